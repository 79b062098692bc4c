//! When the applier goes wrong: a seeded plan.

use super::super::dice::Dice;

/// What happens to one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It is applied, then its position is committed.
    None,
    /// It is applied, and the applier dies before it commits the position: the next window begins with the same changes
    /// and merges them with newer ones.
    Restart,
    /// Its position is committed, and nothing of it was applied.
    SkippedBatch,
    /// Its merged updates set only the columns that their last change changed.
    TornUpdate,
}

/// How often each fault happens, per thousand windows that may have one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// [`Fault::Restart`].
    pub restart: u32,
    /// [`Fault::SkippedBatch`].
    pub skipped_batch: u32,
    /// [`Fault::TornUpdate`].
    pub torn_update: u32,
    /// Windows at the beginning that have none, so that the rows losses need exist.
    pub calm_windows: u32,
}

impl Rates {
    /// No fault ever: an honest applier.
    pub const HONEST: Rates = Rates { restart: 0, skipped_batch: 0, torn_update: 0, calm_windows: 0 };
}

/// Draws one fault for each window. The same seed and rates give the same faults.
#[derive(Debug, Clone)]
pub struct FaultPlan {
    dice: Dice,
    rates: Rates,
    windows: u32,
    last: Fault,
}

impl FaultPlan {
    /// A plan.
    #[must_use]
    pub fn new(seed: u64, rates: Rates) -> FaultPlan {
        FaultPlan { dice: Dice::new(seed, 0x0066_6175_6C74), rates, windows: 0, last: Fault::None }
    }

    /// The fault of the next window. The window after a restart has none: it is the one that loses changes.
    pub fn draw(&mut self) -> Fault {
        self.windows = self.windows.saturating_add(1);
        let draw = (self.dice.next() % 1000) as u32;
        let calm = self.windows <= self.rates.calm_windows || self.last == Fault::Restart;
        let Rates { restart, skipped_batch, torn_update, .. } = self.rates;
        self.last = match draw {
            _ if calm => Fault::None,
            draw if draw < restart => Fault::Restart,
            draw if draw < restart + skipped_batch => Fault::SkippedBatch,
            draw if draw < restart + skipped_batch + torn_update => Fault::TornUpdate,
            _ => Fault::None,
        };
        self.last
    }

    /// No more faults from here on.
    pub fn stop(&mut self) {
        self.rates = Rates::HONEST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATES: Rates = Rates { restart: 400, skipped_batch: 100, torn_update: 100, calm_windows: 3 };

    fn faults(seed: u64) -> Vec<Fault> {
        let mut plan = FaultPlan::new(seed, RATES);
        (0..200).map(|_| plan.draw()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_faults_and_another_seed_others() {
        assert_eq!(faults(7), faults(7));
        assert_ne!(faults(7), faults(8));
    }

    #[test]
    fn faults_begin_after_the_calm_windows_and_never_follow_a_restart() {
        let faults = faults(7);
        assert_eq!(faults[..3], [Fault::None; 3]);
        for pair in faults.windows(2) {
            assert!(pair[0] != Fault::Restart || pair[1] == Fault::None);
        }
        for fault in [Fault::Restart, Fault::SkippedBatch, Fault::TornUpdate] {
            assert!(faults.contains(&fault), "{fault:?}");
        }
    }

    #[test]
    fn a_stopped_plan_is_honest() {
        let mut plan = FaultPlan::new(7, RATES);
        plan.stop();
        assert!((0..200).all(|_| plan.draw() == Fault::None));
    }
}
