//! How far the applier provably came in one order scope: witness → applied watermark → settled.
//!
//! A row that shows version q1 was seen by a read; E1 is the tap's end asked after that read. A later read that sees a
//! version q2 appended at or after E1 proves that the batch which held q1 is complete, whatever its size: so everything
//! ordered before q1 is applied. No duration occurs in that step. Applied becomes *settled* when the re-application margin
//! went by and something appended after it became visible.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{PartitionId, Position, Tick};

use super::limit::{HORIZON_STEPS, QUORUM};

/// The tap's ends at one moment.
pub(super) type Ends = Arc<[(PartitionId, u64)]>;

/// A key, by the hash of its canonical bytes: keys are forgotten, witnesses are not.
pub(super) type KeyHash = u64;

/// A version seen on the target, as a witness of progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Witness {
    pub(super) key: KeyHash,
    pub(super) at: Position,
    /// Everything ordered below this is applied once the batch of this version is complete.
    pub(super) passed: u64,
}

/// Whose word a witness's progress is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// A heartbeat row: trusted alone.
    Heartbeat,
    /// An ordinary row: [`QUORUM`] distinct keys together may move the watermark.
    Inferred,
    /// An ordinary row that may only post-date.
    PostDates,
}

/// One order scope.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    heartbeat_ends: BTreeMap<PartitionId, u64>,
    heartbeat_last: BTreeMap<KeyHash, u64>,
    heartbeat_passed: u64,
    rows: Vec<Witness>,
    inferred: Vec<Witness>,
    pending: VecDeque<(u64, Ends)>,
    proven: VecDeque<(Tick, u64)>,
    awaiting: VecDeque<(Ends, u64)>,
    applied: u64,
    settled: u64,
    moved: Tick,
    back_steps: Vec<(KeyHash, Tick)>,
    last_back: Option<(Tick, Back)>,
    frozen_since: Option<Tick>,
}

/// What holds the verdicts of a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// Rows showed earlier versions than before.
    Rows,
    /// The applier's committed position went back.
    Committed,
    LateTap,
    Load,
    /// The source's log may be another one.
    Log,
}

impl Back {
    pub(super) fn words(self) -> &'static str {
        match self {
            Back::Rows => "rows go back to earlier versions",
            Back::Committed => "the applier's committed position goes back",
            Back::LateTap => "the tap is later than the applier may be ahead of it",
            Back::Load => "a full load is under way",
            Back::Log => "places in the source's log went back, as if it had been rewound",
        }
    }
}

impl Horizon {
    /// One of which nothing is proven yet, though verdicts flowed before.
    pub(super) fn anew(now: Tick, by: Back) -> Horizon {
        let mut horizon = Horizon { moved: now, ..Horizon::default() };
        horizon.went_back(now, by);
        horizon
    }

    /// Everything ordered below is applied.
    pub(super) fn applied(&self) -> u64 {
        self.applied
    }

    /// Everything ordered below is applied for good.
    pub(super) fn settled(&self) -> u64 {
        self.settled
    }

    /// When the applied watermark last moved.
    pub(super) fn moved(&self) -> Tick {
        self.moved
    }

    /// The last backward step of the scope.
    pub(super) fn last_back(&self) -> Option<Tick> {
        self.last_back.map(|(at, _)| at)
    }

    /// The last of them that was the target's: another log at the source takes nothing back there.
    pub(super) fn last_replay(&self) -> Option<Tick> {
        self.last_back.filter(|(_, by)| *by != Back::Log).map(|(at, _)| at)
    }

    /// Whether verdicts are held at `now`.
    pub(super) fn frozen(&self, now: Tick, margin: Duration) -> bool {
        self.last_back.is_some_and(|(at, _)| now < at + margin)
    }

    /// Since when verdicts have been held without a break, and what held them last. Asked at every poll.
    pub(super) fn held(&mut self, now: Tick, margin: Duration) -> Option<(Tick, Back)> {
        if !self.frozen(now, margin) {
            self.frozen_since = None;
        }
        Some((self.frozen_since?, self.last_back?.1))
    }

    /// The applier was set back: nothing at or above `to` is proven any more.
    pub(super) fn lower(&mut self, to: u64) {
        (self.applied, self.settled) = (self.applied.min(to), self.settled.min(to));
        self.pending.clear();
        self.proven.clear();
        self.awaiting.clear();
    }

    /// Whether something appended at or after `ends` is visible: any heartbeat, or `quorum` distinct rows.
    pub(super) fn post_dates(&self, ends: &[(PartitionId, u64)], quorum: usize) -> bool {
        let after =
            |partition: PartitionId, offset: u64| ends.iter().any(|(known, end)| *known == partition && offset >= *end);
        self.heartbeat_ends.iter().any(|(partition, offset)| after(*partition, *offset))
            || self.rows.iter().filter(|row| after(row.at.partition, row.at.offset)).count() >= quorum
    }

    /// The tap's ends behind which the watermark's next witness has to stand.
    pub(super) fn awaited(&self) -> Option<&Ends> {
        self.pending.front().map(|(_, ends)| ends)
    }

    /// Takes a witness from a read after which the tap ended at `ends`. Gives back whether the scope stepped backward.
    pub(super) fn witness(&mut self, witness: Witness, trust: Trust, ends: &Ends, now: Tick) -> bool {
        let mut back = false;
        match trust {
            Trust::Heartbeat => {
                let last = self.heartbeat_last.entry(witness.key).or_default();
                back = witness.at.offset < *last;
                *last = witness.at.offset;
                let end = self.heartbeat_ends.entry(witness.at.partition).or_default();
                *end = (*end).max(witness.at.offset);
                self.heartbeat_passed = self.heartbeat_passed.max(witness.passed);
            }
            Trust::Inferred => {
                keep_best(&mut self.rows, witness, |row| row.at.offset, Some(witness.at.partition));
                keep_best(&mut self.inferred, witness, |row| row.passed, None);
            }
            Trust::PostDates => keep_best(&mut self.rows, witness, |row| row.at.offset, Some(witness.at.partition)),
        }
        if back {
            self.went_back(now, Back::Rows);
        }
        self.step(ends, now);
        back
    }

    fn step(&mut self, ends: &Ends, now: Tick) {
        while let Some((passed, asked)) = self.pending.front() {
            if !self.post_dates_trusted(asked) {
                break;
            }
            if *passed > self.applied {
                self.applied = *passed;
                self.moved = now;
                push_thinned(&mut self.proven, (now, *passed));
            }
            self.pending.pop_front();
        }
        let visible = self.visible();
        let newest = self.pending.back().map_or(self.applied, |(passed, _)| (*passed).max(self.applied));
        if visible > newest {
            push_thinned(&mut self.pending, (visible, Arc::clone(ends)));
        }
    }

    /// Post-dating for the watermark itself: only by what may move it.
    fn post_dates_trusted(&self, ends: &Ends) -> bool {
        let after =
            |partition: PartitionId, offset: u64| ends.iter().any(|(known, end)| *known == partition && offset >= *end);
        self.heartbeat_ends.iter().any(|(partition, offset)| after(*partition, *offset))
            || self.inferred.iter().filter(|row| after(row.at.partition, row.at.offset)).count() >= QUORUM
    }

    /// The order up to which trusted witnesses are visible.
    fn visible(&self) -> u64 {
        let inferred = if self.inferred.len() >= QUORUM { self.inferred[QUORUM - 1].passed } else { 0 };
        self.heartbeat_passed.max(inferred)
    }

    /// Counts a row that showed an earlier version than before; two distinct ones within the margin are a backward step.
    pub(super) fn row_went_back(&mut self, key: KeyHash, now: Tick, margin: Duration) -> bool {
        self.back_steps.retain(|(known, at)| *known != key && now < *at + margin);
        self.back_steps.push((key, now));
        let back = self.back_steps.len() >= 2;
        if back {
            self.back_steps.truncate(QUORUM);
            self.went_back(now, Back::Rows);
        }
        back
    }

    /// A backward step of the scope: what waited to be settled waits its margin again.
    pub(super) fn went_back(&mut self, now: Tick, by: Back) {
        self.last_back = Some((now, by));
        self.frozen_since = self.frozen_since.or(Some(now));
        if let Some((_, passed)) = self.awaiting.back() {
            self.proven.push_front((now, *passed));
        }
        self.awaiting.clear();
    }

    /// The tap's ends, asked at `asked`: proofs older than the margin then wait for something appended after these ends.
    pub(super) fn ends(&mut self, ends: &Ends, asked: Tick, margin: Duration) {
        let back = self.last_back().unwrap_or_default();
        let mut ripe = None;
        while let Some((proven, passed)) = self.proven.front() {
            let from = if self.last_back.is_some() { (*proven).max(back) } else { *proven };
            if from + margin > asked {
                break;
            }
            ripe = Some(*passed);
            self.proven.pop_front();
        }
        if let Some(passed) = ripe {
            push_thinned(&mut self.awaiting, (Arc::clone(ends), passed));
        }
        while let Some((ends, passed)) = self.awaiting.front() {
            if !self.post_dates_trusted(ends) {
                break;
            }
            self.settled = self.settled.max(*passed);
            self.awaiting.pop_front();
        }
    }
}

/// Keeps the best [`QUORUM`] distinct keys by `rank`, best first, within one partition where one is named.
fn keep_best(rows: &mut Vec<Witness>, new: Witness, rank: fn(&Witness) -> u64, within: Option<PartitionId>) {
    match rows.iter_mut().find(|row| row.key == new.key) {
        Some(row) if rank(row) < rank(&new) => *row = new,
        Some(_) => {}
        None => rows.push(new),
    }
    rows.sort_by_key(|row| std::cmp::Reverse(rank(row)));
    let mut kept = 0;
    rows.retain(|row| {
        let counted = within.is_none_or(|partition| row.at.partition == partition);
        kept += usize::from(counted);
        !counted || kept <= QUORUM
    });
}

/// Appends; at the bound the middle one goes, which only delays a step.
fn push_thinned<T>(queue: &mut VecDeque<T>, item: T) {
    queue.push_back(item);
    if queue.len() > HORIZON_STEPS {
        queue.remove(HORIZON_STEPS / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(0);

    fn ends(end: u64) -> Ends {
        Arc::new([(P, end)])
    }

    fn seen(key: KeyHash, offset: u64) -> Witness {
        Witness { key, at: Position { partition: P, offset }, passed: offset + 1 }
    }

    #[test]
    fn a_visible_heartbeat_proves_nothing_until_a_later_one_is_visible() {
        let mut horizon = Horizon::default();
        horizon.witness(seen(1, 10), Trust::Heartbeat, &ends(20), Tick(0));
        assert_eq!(horizon.applied(), 0);
        horizon.witness(seen(1, 19), Trust::Heartbeat, &ends(30), Tick(1));
        assert_eq!(horizon.applied(), 0, "19 was appended before the read that saw 10 had returned");
        horizon.witness(seen(1, 20), Trust::Heartbeat, &ends(31), Tick(2));
        assert_eq!(horizon.applied(), 11);
    }

    #[test]
    fn two_rows_are_no_quorum_and_three_are() {
        let mut horizon = Horizon::default();
        for (key, offset) in [(1, 5), (2, 6)] {
            horizon.witness(seen(key, offset), Trust::Inferred, &ends(10), Tick(0));
            horizon.witness(seen(key, offset + 10), Trust::Inferred, &ends(20), Tick(1));
        }
        assert_eq!(horizon.applied(), 0);
        horizon.witness(seen(3, 7), Trust::Inferred, &ends(20), Tick(2));
        horizon.witness(seen(1, 25), Trust::Inferred, &ends(40), Tick(3));
        horizon.witness(seen(2, 26), Trust::Inferred, &ends(40), Tick(3));
        assert_eq!(horizon.applied(), 0);
        horizon.witness(seen(3, 27), Trust::Inferred, &ends(40), Tick(3));
        assert_eq!(horizon.applied(), 8);
    }

    #[test]
    fn rows_that_may_only_post_date_never_move_the_watermark() {
        let mut horizon = Horizon::default();
        for round in 0..10 {
            for key in 0..5 {
                horizon.witness(seen(key, round * 10 + key), Trust::PostDates, &ends(round * 10 + 9), Tick(round));
            }
        }
        assert_eq!(horizon.applied(), 0);
        assert!(horizon.post_dates(&ends(92), 3));
        assert!(!horizon.post_dates(&ends(94), 3));
    }

    #[test]
    fn settled_needs_the_margin_and_then_progress() {
        let margin = Duration::from_millis(1000);
        let mut horizon = Horizon::default();
        horizon.witness(seen(1, 10), Trust::Heartbeat, &ends(11), Tick(0));
        horizon.witness(seen(1, 11), Trust::Heartbeat, &ends(12), Tick(100));
        assert_eq!(horizon.applied(), 11);
        horizon.ends(&ends(50), Tick(1099), margin);
        horizon.witness(seen(1, 60), Trust::Heartbeat, &ends(61), Tick(1100));
        horizon.ends(&ends(70), Tick(1100), margin);
        assert_eq!(horizon.settled(), 0, "60 was appended before the margin was over");
        horizon.witness(seen(1, 70), Trust::Heartbeat, &ends(71), Tick(1200));
        horizon.ends(&ends(72), Tick(1200), margin);
        assert_eq!(horizon.settled(), 11);
    }

    #[test]
    fn a_backward_heartbeat_freezes_and_restarts_the_margin() {
        let margin = Duration::from_millis(1000);
        let mut horizon = Horizon::default();
        horizon.witness(seen(1, 10), Trust::Heartbeat, &ends(11), Tick(0));
        horizon.witness(seen(1, 11), Trust::Heartbeat, &ends(12), Tick(100));
        assert!(horizon.witness(seen(1, 10), Trust::Heartbeat, &ends(12), Tick(200)));
        assert!(horizon.frozen(Tick(1199), margin));
        assert!(!horizon.frozen(Tick(1200), margin));
        horizon.ends(&ends(20), Tick(1150), margin);
        horizon.witness(seen(1, 21), Trust::Heartbeat, &ends(22), Tick(1160));
        horizon.ends(&ends(22), Tick(1160), margin);
        assert_eq!(horizon.settled(), 0);
    }

    #[test]
    fn what_waited_for_progress_waits_its_margin_again_after_a_backward_step() {
        let margin = Duration::from_millis(1000);
        let mut horizon = Horizon::default();
        horizon.witness(seen(1, 10), Trust::Heartbeat, &ends(11), Tick(0));
        horizon.witness(seen(1, 11), Trust::Heartbeat, &ends(12), Tick(100));
        horizon.ends(&ends(50), Tick(1100), margin);
        assert!(horizon.witness(seen(1, 10), Trust::Heartbeat, &ends(50), Tick(1150)));
        horizon.witness(seen(1, 50), Trust::Heartbeat, &ends(51), Tick(1160));
        horizon.ends(&ends(60), Tick(1160), margin);
        assert_eq!(horizon.settled(), 0, "50 was appended when the margin was over, but not the one that began anew");
        horizon.ends(&ends(70), Tick(2150), margin);
        horizon.witness(seen(1, 70), Trust::Heartbeat, &ends(71), Tick(2160));
        horizon.ends(&ends(71), Tick(2160), margin);
        assert!(horizon.settled() >= 11);
    }

    #[test]
    fn one_row_going_back_is_a_loss_and_two_are_a_step() {
        let mut horizon = Horizon::default();
        assert!(!horizon.row_went_back(1, Tick(0), Duration::from_secs(1)));
        assert!(!horizon.row_went_back(1, Tick(10), Duration::from_secs(1)));
        assert!(horizon.row_went_back(2, Tick(20), Duration::from_secs(1)));
    }
}
