//! One partition of the tap: what was consumed, what is tracked, what the applier committed, what may be committed by us.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::{SourceTime, Tick};

use super::course::Course;
use super::horizon::Ends;
use super::limit::HORIZON_STEPS;
use super::track::{Track, Tracked};

/// A truncate that may not be committed yet.
#[derive(Debug, Clone)]
pub(super) struct Barrier {
    pub(super) offset: u64,
    pub(super) read: Tick,
    /// How far the other partitions had grown when it was asked after the truncate was read.
    pub(super) ends: Option<Ends>,
}

/// The state of one partition.
#[derive(Debug, Default)]
pub(super) struct Partition {
    pub(super) assigned: bool,
    /// First offset of the assignment.
    pub(super) start: u64,
    /// When it was assigned.
    pub(super) began: Tick,
    /// When it was last seen that nothing was due though nothing moved.
    pub(super) at_rest: Tick,
    /// Next offset to be consumed.
    pub(super) consumed: u64,
    /// Since this offset every change was read: what was remembered before it may lack some.
    pub(super) unbroken_since: u64,
    /// Last known end of the log, when it was asked, and when it was last seen to move.
    pub(super) end: u64,
    pub(super) end_moved: Tick,
    /// Where an open transaction holds the readable end back, where the log ends, and since when it has stood there.
    pub(super) held: Option<(u64, u64, Tick)>,
    /// When the log reached which end, as far as nothing proves it applied.
    growth: VecDeque<(Tick, u64)>,
    /// The newest change read. What stands behind it (tombstones, marks of transactions) need never be committed.
    pub(super) newest_change: Option<u64>,
    /// The newest record of each table (of none in particular) that could not be read.
    pub(super) rejected: BTreeMap<Option<Arc<str>>, u64>,
    /// Where the first change stands behind the newest records that were gone before they were read.
    pub(super) behind_gone: Option<BehindGone>,
    /// Until then what they did may still be applied.
    pub(super) gone_until: Tick,
    /// Truncates that other partitions must have read past before they are committed: one that is not read again after a
    /// restart would be missing to changes of theirs that are.
    pub(super) truncates: VecDeque<Barrier>,
    /// The ways of connectors through it.
    pub(super) courses: Vec<Course>,
    /// Every tracked version in offset order; the front goes when it has its verdict.
    track: Track,
    /// Places in `track`.
    applied_cursor: u64,
    settled_cursor: u64,
    /// The applier's committed position.
    pub(super) committed: Option<u64>,
    pub(super) committed_asked: Tick,
    pub(super) committed_moved: Tick,
    commit_log: VecDeque<(Tick, u64)>,
    /// Below it, committed positions let us forget.
    pub(super) forget_below: u64,
    pub(super) generation: Option<u64>,
    pub(super) group_changed: Tick,
    /// The user's word: everything below was applied. The log's end when it was first told.
    pub(super) stated: Option<u64>,
    /// The same, from where it counts.
    pub(super) assumed: Option<u64>,
    /// What was last given out to be committed.
    pub(super) committed_out: Option<u64>,
    /// Largest time in which the committed position moved on while there was something to commit, for the margin after it
    /// goes back.
    pub(super) commit_interval: Duration,
    /// Since when there has been something to commit.
    uncommitted_since: Option<Tick>,
    /// Largest step by which it moved on.
    pub(super) commit_step: u64,
}

/// What is known of the time up to which records that are gone may have stood in the source's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BehindGone {
    /// Nothing was read behind them yet that has a place there.
    Open,
    /// Before this change: its order, and when it was committed.
    Before(u64, Option<SourceTime>),
}

/// What a committed position did since it was last asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Commit {
    Stands,
    /// In so long, if there was something to commit all the time.
    MovedOn(Option<Duration>),
    WentBack,
}

/// Which cursor of a partition's track moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cursor {
    Applied,
    Settled,
}

impl Partition {
    /// A change was read: what is gone before it is older.
    pub(super) fn read_behind_gone(&mut self, order: u64, committed_at: Option<SourceTime>) {
        if self.behind_gone == Some(BehindGone::Open) && (order > 0 || committed_at.is_some()) {
            self.behind_gone = Some(BehindGone::Before(order, committed_at));
        }
    }

    pub(super) fn track(&mut self, version: Tracked) {
        self.track.push(version);
    }

    /// Tracks a version whose place was read before.
    pub(super) fn track_late(&mut self, version: Tracked) {
        let place = self.track.insert(version);
        (self.applied_cursor, self.settled_cursor) = (self.applied_cursor.min(place), self.settled_cursor.min(place));
    }

    pub(super) fn tracked(&self) -> usize {
        self.track.len()
    }

    /// The tracked version at a place counted from the oldest.
    pub(super) fn tracked_at(&self, index: usize) -> Option<Tracked> {
        self.track.at(self.track.first() + index as u64)
    }

    /// Where an offset stands, or would stand, counted from the oldest.
    pub(super) fn index_of(&self, offset: u64) -> usize {
        (self.track.place_of(offset) - self.track.first()) as usize
    }

    pub(super) fn oldest(&self) -> Option<Tracked> {
        self.track.at(self.track.first())
    }

    pub(super) fn drop_oldest(&mut self) {
        self.track.pop();
    }

    /// The next version a cursor has not passed.
    pub(super) fn peek(&self, cursor: Cursor) -> Option<Tracked> {
        self.track.at(self.cursor(cursor).max(self.track.first()))
    }

    pub(super) fn advance(&mut self, cursor: Cursor) {
        let next = self.cursor(cursor).max(self.track.first()) + 1;
        match cursor {
            Cursor::Applied => self.applied_cursor = next,
            Cursor::Settled => self.settled_cursor = next,
        }
    }

    /// Sends a cursor back to the oldest tracked version.
    pub(super) fn again(&mut self, cursor: Cursor) {
        match cursor {
            Cursor::Applied => self.applied_cursor = self.track.first(),
            Cursor::Settled => self.settled_cursor = self.track.first(),
        }
    }

    /// Sends both cursors back.
    pub(super) fn again_all(&mut self) {
        self.again(Cursor::Applied);
        self.again(Cursor::Settled);
    }

    /// Whether a connector may have left its source's log.
    pub(super) fn is_doubtful(&self) -> bool {
        self.courses.iter().any(Course::is_doubtful)
    }

    /// How many tracked versions nothing has proven due yet.
    pub(super) fn unproven(&self) -> usize {
        let passed = self.applied_cursor.saturating_sub(self.track.first());
        self.track.len().saturating_sub(usize::try_from(passed).unwrap_or(usize::MAX))
    }

    fn cursor(&self, cursor: Cursor) -> u64 {
        match cursor {
            Cursor::Applied => self.applied_cursor,
            Cursor::Settled => self.settled_cursor,
        }
    }

    /// Forgets what a former assignment left.
    pub(super) fn restart(&mut self, next: u64, now: Tick) {
        self.began = now;
        self.track.clear();
        (self.applied_cursor, self.settled_cursor) = (self.track.first(), self.track.first());
        if next > self.consumed {
            self.unbroken_since = next;
        }
        (self.start, self.consumed) = (next, next);
        self.end = self.end.max(next);
        self.end_moved = now;
        (self.newest_change, self.growth) = (None, VecDeque::new());
        self.rejected.clear();
        self.truncates.clear();
        self.courses.clear();
        self.committed_out = Some(next);
    }

    /// Takes the applier's committed position.
    pub(super) fn commit_seen(&mut self, next: u64, asked: Tick, generation: Option<u64>) -> Commit {
        let back = self.committed.is_some_and(|known| next < known);
        let mut seen = if back { Commit::WentBack } else { Commit::Stands };
        if self.committed != Some(next) {
            if let Some(known) = self.committed.filter(|_| !back) {
                self.commit_step = self.commit_step.max(next.saturating_sub(known));
                let since = self.uncommitted_since.take().map(|since| since.max(self.committed_moved));
                let interval = since.map(|since| asked.since(since));
                self.commit_interval = self.commit_interval.max(interval.unwrap_or_default());
                seen = Commit::MovedOn(interval);
            }
            self.committed_moved = asked;
            self.commit_log.push_back((asked, next));
            if self.commit_log.len() > HORIZON_STEPS {
                self.commit_log.remove(HORIZON_STEPS / 2);
            }
        }
        if back {
            self.commit_log.clear();
            self.forget_below = self.forget_below.min(next);
            self.commit_log.push_back((asked, next));
        }
        if self.generation != generation {
            if self.generation.is_some() {
                self.group_changed = asked;
            }
            self.generation = generation;
        }
        self.committed = Some(next);
        self.committed_asked = asked;
        self.uncommitted_since = if self.all_committed() { None } else { self.uncommitted_since.or(Some(asked)) };
        seen
    }

    /// Lets commits older than the margin be forgotten by.
    pub(super) fn ripen(&mut self, now: Tick, margin: Duration) {
        while let Some((asked, next)) = self.commit_log.front().copied() {
            if asked.max(self.group_changed) + margin > now {
                break;
            }
            self.forget_below = self.forget_below.max(next);
            self.commit_log.pop_front();
        }
    }

    /// Takes the log's end, asked at `asked`.
    pub(super) fn grew(&mut self, end: u64, asked: Tick) {
        if end > self.end {
            (self.end, self.end_moved) = (end, asked);
            self.growth.push_back((asked, end));
            if self.growth.len() > HORIZON_STEPS {
                self.growth.remove(HORIZON_STEPS / 2);
            }
        }
    }

    /// Drops what is proven applied by now, and gives back how long the last of it had been on the tap.
    pub(super) fn lag(&mut self, now: Tick) -> Option<Duration> {
        let proven = self.peek(Cursor::Applied).map_or(self.consumed, |next| next.offset);
        let mut lag = None;
        while let Some((at, _)) = self.growth.front().filter(|(_, end)| *end <= proven) {
            lag = Some(now.since(*at));
            self.growth.pop_front();
        }
        lag
    }

    /// The applier committed every change that was read.
    pub(super) fn all_committed(&self) -> bool {
        self.newest_change.is_none_or(|newest| self.committed.is_some_and(|next| next > newest))
    }

    /// Whether the log stood still for `margin`, was read whole, and the applier committed every change of it.
    pub(super) fn idle_and_committed(&self, now: Tick, margin: Duration) -> bool {
        self.all_committed()
            && self.committed.is_some()
            && self.consumed >= self.end
            && self.end_moved + margin <= now
            && self.committed_moved.max(self.group_changed) + margin <= now
    }

    /// Below it everything has its verdict.
    pub(super) fn low_watermark(&self) -> u64 {
        let below = self.oldest().map_or(self.consumed, |oldest| oldest.offset);
        self.truncates.iter().fold(below, |below, barrier| below.min(barrier.offset))
    }

    /// As [`Partition::low_watermark`], without regard to truncates.
    pub(super) fn verified_to(&self) -> u64 {
        self.oldest().map_or(self.consumed, |oldest| oldest.offset)
    }
}
