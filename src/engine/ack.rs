//! What may be committed: nothing at or above the lowest version without a verdict.

use crate::model::PartitionId;

use super::event::Output;
use super::partition::Tracked;
use super::state::Engine;

impl Engine {
    pub(super) fn acknowledge(&mut self) {
        let ids = self.partition_ids();
        for id in ids.iter() {
            self.acknowledge_partition(*id);
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
        let next = partition.low_watermark();
        if partition.committed_out.is_none_or(|known| known < next) {
            partition.committed_out = Some(next);
            self.say(Output::Commit { partition: id, next });
        }
    }

    /// A key that is gone has its verdicts. A coalesced version shares the verdict of its key's next settled floor.
    fn has_verdict(&self, id: PartitionId, tracked: Tracked) -> bool {
        let Some(entry) = self.keys.get(tracked.key) else { return true };
        let hole = entry.more.as_ref().and_then(|more| more.hole.as_ref());
        let coalesced = hole.is_some_and(|hole| {
            // Older than all that was coalesced, it was of another key that had this index.
            let of_this_key = hole.since.partition == id && hole.since.offset <= tracked.offset;
            tracked.arrival <= hole.newest && (entry.is_unordered() || of_this_key)
        });
        entry.is_done(tracked.arrival) || !(coalesced || entry.tracked(id, tracked).is_some())
    }
}
