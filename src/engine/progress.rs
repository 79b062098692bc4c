//! Evidence moves horizons; horizons make keys due.

use crate::model::{PartitionId, SourceTime, Tick};

use super::event::{Note, Output};
use super::horizon::Back;
use super::limit::{ASSUMED_AHEAD, Order};
use super::partition::{Commit, Cursor};
use super::state::{Engine, ScopeId};
use super::track::Tracked;

/// Batches of the applier by which a partition is read again when its committed position goes backward: the one that was
/// in flight, and the one before.
const REWIND_COMMITS: u64 = 2;

/// A single commit counts as no longer than this for the rewind: a group that jumps to the end of its log commits no batch.
const REWIND_AT_MOST: u64 = 50_000;

impl Engine {
    pub(super) fn ends(&mut self, asked: Tick, ends: &[(PartitionId, u64)]) {
        for (id, end) in ends {
            let partition = self.partitions.entry(*id).or_default();
            partition.grew(*end, asked);
            if self.options.evidence.assumed && partition.stated.is_none() {
                partition.stated = Some(*end);
            }
        }
        self.assume();
        self.bound_truncates(asked, ends);
        self.bound_old_logs(asked, ends);
        let scopes: Vec<ScopeId> = self.horizons.keys().copied().collect();
        for scope in scopes {
            let of = match scope {
                ScopeId::Partition(partition) => self.scope_ends(partition, ends),
                ScopeId::Table(_) | ScopeId::Pipeline => ends.into(),
            };
            // An applier ahead of the tap may show what is appended only later.
            let margin = self.settle() + self.lead();
            if let Some(horizon) = self.horizons.get_mut(&scope) {
                horizon.ends(&of, asked, margin);
            }
        }
        self.move_horizons();
        self.pump();
    }

    /// What is assumed applied counts from where it was read whole: a key is judged by its newest version there and read
    /// once, however the tap cuts its batches.
    pub(super) fn assume(&mut self) {
        let many = self.memory.versions >= ASSUMED_AHEAD;
        for partition in self.partitions.values_mut().filter(|partition| partition.assumed.is_none()) {
            partition.assumed = partition.stated.filter(|end| many || partition.consumed >= *end);
        }
    }

    pub(super) fn committed(&mut self, asked: Tick, next: &[(PartitionId, u64)], generation: Option<u64>) {
        for (id, offset) in next {
            let partition = self.partitions.entry(*id).or_default();
            let before = partition.committed;
            match partition.commit_seen(*offset, asked, generation) {
                Commit::Stands | Commit::MovedOn(None) => {}
                Commit::MovedOn(Some(interval)) => self.checkpoint_measured(interval),
                Commit::WentBack => self.committed_went_back(*id, before.unwrap_or(*offset), *offset),
            }
        }
        self.move_horizons();
        self.pump();
    }

    /// The applier was set back: it decides changes anew that we may have called done.
    fn committed_went_back(&mut self, id: PartitionId, from: u64, to: u64) {
        let place = (self.place(id, from), self.place(id, to));
        let why = format!("the applier's committed position went back from {} to {}", place.0, place.1);
        self.say(Output::Note(Note::Frozen { partition: Some(id), why }));
        let now = self.now;
        if let Order::Partition = self.options.order {
            let horizon = self.horizons.entry(ScopeId::Partition(id)).or_default();
            horizon.lower(to);
            horizon.went_back(now, Back::Committed);
        } else {
            // Nothing tells where in a wider order the position stands.
            for horizon in self.horizons.values_mut() {
                horizon.lower(0);
                horizon.went_back(now, Back::Committed);
            }
        }
        let step = self.partitions.get(&id).map_or(0, |partition| partition.commit_step.min(REWIND_AT_MOST));
        self.say(Output::Rewind { partition: id, to: to.saturating_sub(step * REWIND_COMMITS) });
    }

    /// A source commit time: the position of the first change that is not older.
    pub(super) fn applied_time(&mut self, asked: Tick, time: SourceTime) {
        let next: Vec<(PartitionId, u64)> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.assigned)
            .map(|(id, partition)| {
                let known = partition.committed.map_or(0, |below| partition.index_of(below));
                let newer = (known..partition.tracked()).find_map(|index| {
                    let tracked = partition.tracked_at(index)?;
                    let version = self.keys.get(tracked.key)?.tracked(*id, tracked)?;
                    (version.committed_at()? >= time).then_some(tracked.offset)
                });
                (*id, newer.unwrap_or(partition.consumed).max(partition.committed.unwrap_or_default()))
            })
            .collect();
        self.committed(asked, &next, None);
    }

    /// Lets everything that became provable since the last call become due.
    pub(super) fn move_horizons(&mut self) {
        let (now, margin) = (self.now, self.options.zombie_after);
        let ids = self.partition_ids();
        for id in ids.iter() {
            if let Some(partition) = self.partitions.get_mut(id) {
                partition.ripen(now, margin);
            }
            self.advance(*id, Cursor::Applied);
            self.advance(*id, Cursor::Settled);
            if let Some(lag) = self.partitions.get_mut(id).and_then(|partition| partition.lag(now)) {
                self.measures.lags.measured(lag, now);
                self.counters.lag = self.measures.lags.largest();
            }
        }
        self.schedule.ripen(now);
    }

    fn advance(&mut self, id: PartitionId, cursor: Cursor) {
        while let Some(next) = self.partitions.get(&id).and_then(|partition| partition.peek(cursor)) {
            match self.passed(id, next, cursor) {
                Passed::NotYet => break,
                Passed::Due => self.schedule_read(next.key),
                Passed::Done => {}
            }
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.advance(cursor);
            }
        }
    }

    fn passed(&self, id: PartitionId, tracked: Tracked, cursor: Cursor) -> Passed {
        let Some(entry) = self.keys.get(tracked.key) else { return Passed::Done };
        let Some(version) = entry.tracked(id, tracked) else { return Passed::Done };
        let table = entry.key.table();
        let (proven, judged) = match cursor {
            Cursor::Applied => (self.convicts(version, table).is_some(), entry.is_applied(tracked.arrival)),
            Cursor::Settled => (self.settles(version, table), entry.is_done(tracked.arrival)),
        };
        match (proven, judged) {
            (_, true) => Passed::Done,
            (true, false) => Passed::Due,
            (false, false) => Passed::NotYet,
        }
    }
}

enum Passed {
    NotYet,
    Due,
    Done,
}
