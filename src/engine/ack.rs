//! What may be committed: nothing at or above the lowest version without a verdict.

use crate::model::{PartitionId, Position, Tick};

use super::event::Output;
use super::limit::TRUNCATES_HELD;
use super::partition::Barrier;
use super::state::Engine;
use super::track::Tracked;

impl Engine {
    pub(super) fn acknowledge(&mut self) {
        let ids = self.partition_ids();
        self.release_truncates();
        for id in ids.iter() {
            self.acknowledge_partition(*id);
        }
    }

    /// Holds commits of a partition at a truncate, or where a source was rewound, until the others were verified past what
    /// stood before it.
    pub(super) fn hold_commits(&mut self, at: Position) {
        if self.partitions.len() < 2 {
            return;
        }
        let now = self.now;
        let Some(partition) = self.partitions.get_mut(&at.partition) else { return };
        if partition.truncates.len() >= TRUNCATES_HELD {
            partition.truncates.pop_back();
        }
        partition.truncates.push_back(Barrier { offset: at.offset, read: now, ends: None });
    }

    /// Notes how far the partitions had grown when a truncate was known for the margin: one partition of a tap comes later
    /// than another.
    pub(super) fn bound_truncates(&mut self, asked: Tick, ends: &[(PartitionId, u64)]) {
        let margin = self.settle() + self.lead();
        for partition in self.partitions.values_mut() {
            for truncate in partition.truncates.iter_mut().filter(|truncate| truncate.ends.is_none()) {
                if truncate.read + margin <= asked {
                    truncate.ends = Some(ends.into());
                }
            }
        }
    }

    fn release_truncates(&mut self) {
        let verified: Vec<(PartitionId, u64)> = self
            .partitions
            .iter()
            .filter(|(_, partition)| partition.assigned)
            .map(|(id, partition)| (*id, partition.verified_to()))
            .collect();
        let past = |own: PartitionId, truncate: &Barrier| {
            truncate.ends.as_ref().is_some_and(|ends| {
                let open = |(id, end): &(PartitionId, u64)| {
                    *id != own && verified.iter().any(|(known, to)| known == id && to < end)
                };
                !ends.iter().any(open)
            })
        };
        for (id, partition) in &mut self.partitions {
            while partition.truncates.front().is_some_and(|truncate| past(*id, truncate)) {
                partition.truncates.pop_front();
            }
        }
    }

    fn acknowledge_partition(&mut self, id: PartitionId) {
        while let Some(oldest) = self.partitions.get(&id).and_then(|partition| partition.oldest()) {
            if !self.has_verdict(id, oldest) {
                break;
            }
            if let Some(partition) = self.partitions.get_mut(&id) {
                partition.drop_oldest();
            }
        }
        let Some(partition) = self.partitions.get_mut(&id) else { return };
        let next = partition.low_watermark().min(self.scans.hold(id).unwrap_or(u64::MAX));
        if partition.committed_out.is_none_or(|known| known < next) {
            partition.committed_out = Some(next);
            self.say(Output::Commit { partition: id, next });
        }
    }

    /// A key that is gone has its verdicts. A coalesced version shares the verdict of its key's next settled floor.
    fn has_verdict(&self, id: PartitionId, tracked: Tracked) -> bool {
        let Some(entry) = self.keys.get(tracked.key) else { return true };
        let coalesced = entry.hole().is_some_and(|hole| {
            // Where none was coalesced, it was of another key that had this index.
            tracked.arrival <= hole.newest && hole.may_be_at(Position { partition: id, offset: tracked.offset })
        });
        entry.is_done(tracked.arrival) || !(coalesced || entry.tracked(id, tracked).is_some())
    }
}
