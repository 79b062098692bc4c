//! Which rows are looked at to see how far the applier is: progress shows only where somebody looks.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::PartitionId;

use super::chain::Base;
use super::keys::KeyIx;
use super::limit::{SAMPLED_BEHIND_END, SAMPLES_PER_LAG, SAMPLES_PER_POLL};
use super::state::{Engine, ScopeId};
use super::suspect::Suspect;

impl Engine {
    /// Looks at a few rows of partitions that wait for progress: those whose watermark is inferred, those with suspects
    /// that wait for a later row to be visible, and those where nothing is proven for long.
    pub(super) fn sample(&mut self) {
        if self.now < self.next_sample {
            return;
        }
        // A long lag need not be known to the second.
        self.next_sample = self.now + self.counters.lag / SAMPLES_PER_LAG;
        let mut picks = BTreeSet::new();
        for ((id, scope), ends) in self.awaited() {
            picks.extend(ends.iter().flat_map(|end| self.sampled_behind(id, scope, *end)));
        }
        for id in self.partition_ids().iter() {
            let Some(partition) = self.partitions.get(id) else { continue };
            let inferred = self.options.evidence.inferred && partition.tracked() > 0;
            if inferred || (partition.unproven() > 0 && self.is_overdue(*id)) {
                picks.extend(self.sampled_anywhere(*id));
            }
        }
        picks.into_iter().for_each(|ix| self.schedule_read(ix));
    }

    /// The tap's ends behind which a visible row would prove something, by partition and scope: the oldest that a suspect waits
    /// for, and the oldest that an inferred watermark does.
    fn awaited(&self) -> BTreeMap<(PartitionId, ScopeId), BTreeSet<u64>> {
        let mut oldest: BTreeMap<(PartitionId, ScopeId), u64> = BTreeMap::new();
        for ix in &self.suspects {
            let Some(entry) = self.keys.get(*ix) else { continue };
            let waits = |suspect: &&Suspect| !suspect.ready && !self.is_post_dated(entry, suspect, &suspect.ends);
            let Some(suspect) = entry.suspect().filter(waits) else { continue };
            let Some(scope) = self.scope(suspect.floor.partition, entry.key.table()) else { continue };
            for (id, end) in suspect.ends.iter() {
                oldest.entry((*id, scope)).and_modify(|known| *known = (*known).min(*end)).or_insert(*end);
            }
        }
        let mut awaited: BTreeMap<(PartitionId, ScopeId), BTreeSet<u64>> = BTreeMap::new();
        oldest.into_iter().for_each(|(of, end)| _ = awaited.entry(of).or_default().insert(end));
        for (scope, horizon) in self.horizons.iter().filter(|_| self.options.evidence.inferred) {
            for (id, end) in horizon.awaited().into_iter().flat_map(|ends| ends.iter()) {
                awaited.entry((*id, *scope)).or_default().insert(*end);
            }
        }
        awaited
    }

    /// The oldest changes behind an end become visible first.
    fn sampled_behind(&self, id: PartitionId, scope: ScopeId, end: u64) -> BTreeSet<KeyIx> {
        let Some(partition) = self.partitions.get(&id) else { return BTreeSet::new() };
        let first = partition.index_of(end);
        (first..partition.tracked().min(first + SAMPLED_BEHIND_END))
            .filter_map(|index| Some(partition.tracked_at(index)?.key))
            .filter(|ix| self.may_witness(*ix, scope) && self.is_fresh(*ix))
            .take(SAMPLES_PER_POLL)
            .collect()
    }

    /// Whether a row of this key says something of a scope: it could be told from what stood there before it.
    fn may_witness(&self, ix: KeyIx, scope: ScopeId) -> bool {
        self.keys.get(ix).is_some_and(|entry| {
            self.scope(entry.chain.newest().partition, entry.key.table()) == Some(scope)
                && entry.base() != Base::Unknown
                && !entry.is_unordered()
                && entry.chain.newest().leaves_row()
        })
    }

    fn is_fresh(&self, ix: KeyIx) -> bool {
        let last = self.keys.get(ix).and_then(|entry| entry.last_read());
        last.is_none_or(|last| last + self.options.reread <= self.now)
    }

    /// Half of the samples from the newest changes, half cubically biased to the oldest: old ones are likely applied, new
    /// ones prove the most.
    fn sampled_anywhere(&self, id: PartitionId) -> BTreeSet<KeyIx> {
        let Some(partition) = self.partitions.get(&id) else { return BTreeSet::new() };
        let tracked = partition.tracked();
        let draws = (0..SAMPLES_PER_POLL as u64).map(|round| {
            let draw = xxhash_rust::xxh3::xxh3_64_with_seed(&round.to_le_bytes(), self.now.0 ^ u64::from(id.0) << 48);
            let unit = (draw >> 11) as f64 / (1u64 << 53) as f64;
            let biased = if round % 2 == 0 { unit * unit * unit } else { 1.0 - unit * unit * unit };
            ((tracked as f64 * biased) as usize).min(tracked.saturating_sub(1))
        });
        let keys = draws.filter_map(|index| Some(partition.tracked_at(index)?.key));
        keys.filter(|ix| self.is_fresh(*ix)).collect()
    }
}
