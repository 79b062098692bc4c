//! What may be committed: nothing at or above the lowest version without a verdict.

use crate::model::PartitionId;

use super::event::Output;
use super::keys::KeyIx;
use super::state::Engine;

impl Engine {
    pub(super) fn acknowledge(&mut self) {
        let ids = self.partition_ids();
        for id in ids.iter() {
            self.acknowledge_partition(*id);
        }
    }

    fn acknowledge_partition(&mut self, id: PartitionId) {
        while let Some((offset, ix)) = self.partitions.get(&id).and_then(|partition| partition.oldest()) {
            if !self.has_verdict(id, offset, ix) {
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
    fn has_verdict(&self, id: PartitionId, offset: u64, ix: KeyIx) -> bool {
        let Some(entry) = self.keys.get(ix) else { return true };
        let more = entry.more.as_deref();
        let held = entry.chain.versions().iter().any(|version| version.partition == id && version.offset == offset);
        let coalesced = more.and_then(|more| more.hole.as_ref()).is_some_and(|hole| offset <= hole.newest);
        if more.is_some_and(|more| more.unordered) {
            return !held;
        }
        !(held || coalesced) || entry.is_done(offset)
    }
}
