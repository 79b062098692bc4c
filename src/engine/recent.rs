//! What was measured of late, in bounded memory: its largest value and any share of it.

use std::time::Duration;

use crate::model::Tick;

/// A stretch of time; what was measured in this one and in the one before it counts, so that one outage is not remembered
/// for ever.
const STRETCH: Duration = Duration::from_secs(600);

/// Steps to an octave of milliseconds: a share is told 19 % too large at most.
const STEPS: u32 = 4;

/// Up to 2^32 ms, 49 days; longer ones count as that.
const STEPS_IN_ALL: usize = 32 * STEPS as usize + 1;

/// Durations of one kind.
#[derive(Debug, Default)]
pub(super) struct Recent {
    since: Tick,
    before: Measured,
    current: Measured,
}

#[derive(Debug)]
struct Measured {
    largest: Duration,
    counts: Box<[u32; STEPS_IN_ALL]>,
}

impl Default for Measured {
    fn default() -> Measured {
        Measured { largest: Duration::ZERO, counts: Box::new([0; STEPS_IN_ALL]) }
    }
}

impl Recent {
    /// Takes one in.
    pub(super) fn measured(&mut self, value: Duration, now: Tick) {
        if self.since + STRETCH <= now {
            (self.since, self.before) = (now, std::mem::take(&mut self.current));
        }
        self.current.largest = self.current.largest.max(value);
        let count = &mut self.current.counts[step(value)];
        *count = count.saturating_add(1);
    }

    /// The largest; zero where nothing was measured.
    pub(super) fn largest(&self) -> Duration {
        self.current.largest.max(self.before.largest)
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.counts().map(u64::from).sum()
    }

    /// What so many of a hundred do not exceed, rounded up to the next step; zero where nothing was measured.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        let upto = self.counts().position(|count| {
            seen += u64::from(count);
            seen >= wanted
        });
        upto.map_or(Duration::ZERO, end).min(self.largest())
    }

    fn counts(&self) -> impl Iterator<Item = u32> {
        self.current
            .counts
            .iter()
            .zip(self.before.counts.iter())
            .map(|(current, before)| current.saturating_add(*before))
    }
}

/// The step of a value: those up to 1 ms are in the first, then [`STEPS`] to every doubling.
fn step(value: Duration) -> usize {
    let millis = u64::try_from(value.as_millis()).unwrap_or(u64::MAX).max(1);
    let octave = millis.ilog2();
    // Linear within an octave, which is near enough to a root of two and needs no floating point.
    let within = ((u128::from(millis) << 2) >> octave) as u32 - STEPS;
    usize::try_from(octave * STEPS + within).unwrap_or(usize::MAX).min(STEPS_IN_ALL - 1)
}

/// Where a step ends.
fn end(step: usize) -> Duration {
    if step + 1 == STEPS_IN_ALL {
        return Duration::MAX;
    }
    let (octave, within) = (step as u32 / STEPS, step as u64 % u64::from(STEPS));
    Duration::from_millis(((u64::from(STEPS) + within + 1) << octave) / u64::from(STEPS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recent(millis: impl IntoIterator<Item = u64>) -> Recent {
        let mut recent = Recent::default();
        millis.into_iter().for_each(|millis| recent.measured(Duration::from_millis(millis), Tick(0)));
        recent
    }

    #[test]
    fn shares_are_rounded_up_by_a_quarter_at_most() {
        for (values, percent, expected) in [
            ((1..=1000).collect::<Vec<u64>>(), 99, 1000),
            ((1..=1000).collect(), 50, 512),
            (vec![5], 99, 5),
            (vec![700, 700, 700, 90_000], 50, 768),
            (vec![700, 700, 700, 90_000], 99, 90_000),
            (vec![u64::MAX / 2_000_000], 99, u64::MAX / 2_000_000),
            (vec![], 99, 0),
        ] {
            let told = recent(values.clone()).percentile(percent);
            assert_eq!(told, Duration::from_millis(expected), "{percent} of {values:?}");
        }
    }

    #[test]
    fn two_stretches_are_remembered() {
        let mut recent = recent([90_000]);
        recent.measured(Duration::from_millis(20), Tick(600_000));
        assert_eq!(recent.largest(), Duration::from_secs(90));
        recent.measured(Duration::from_millis(20), Tick(1_200_000));
        assert_eq!((recent.largest(), recent.count()), (Duration::from_millis(20), 2));
    }
}
