//! Records that were read before, found once more by the index.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::position::PartitionName;
use crate::model::{Batch, PartitionId, Position};
use crate::tap::TapError;
use crate::tap::outlet::BATCH_BYTES;

use super::catalog::{Catalog, Fetched};
use super::frame::Frame;
use super::segment::Span;
use super::{ArchiveControl, unreachable};

/// What is still wanted of each partition.
type Left = BTreeMap<PartitionName, (PartitionId, BTreeSet<u64>)>;

impl ArchiveControl {
    /// What lies in segments that are lost is gone for good.
    pub(super) fn find(&self, wanted: &[Position], each: &mut dyn FnMut(Batch)) -> Result<(), TapError> {
        let opened = self.opened()?;
        let mut left = Left::new();
        for at in wanted {
            let of = left.entry(self.partitions.name(at.partition));
            of.or_insert_with(|| (at.partition, BTreeSet::new())).1.insert(at.offset);
        }
        let holds = |left: &Left, span: &Span| {
            let wanted = left.get(&span.name());
            wanted.is_some_and(|(_, offsets)| offsets.range(span.from..span.next).next().is_some())
        };
        let mut batch = Batch::default();
        for entry in opened.catalog.entries.values() {
            if self.signal.stopped() {
                return Ok(());
            }
            if !entry.head.spans.iter().any(|span| holds(&left, span)) {
                continue;
            }
            let fetched = Catalog::fetch(&*self.vault, entry)
                .map_err(|error| TapError { fatal: false, ..unreachable(&self.location, error) })?;
            let Fetched::Whole(segment) = fetched else { continue };
            let names: Vec<PartitionName> = segment.head.spans.iter().map(Span::name).collect();
            let mut frames = segment.frames();
            while let Ok(Some(frame)) = frames.next() {
                let Frame::Record(record) = frame else { continue };
                let Some((id, offsets)) = left.get_mut(&names[record.span]) else { continue };
                if offsets.remove(&record.offset) {
                    let place = (*id, record.offset, record.timestamp_ms);
                    batch.push(place, record.key, record.value, record.headers.iter().copied());
                    batch.stamp(record.stamp);
                }
                if batch.bytes() >= BATCH_BYTES {
                    each(std::mem::take(&mut batch));
                }
            }
        }
        if !batch.is_empty() {
            each(batch);
        }
        Ok(())
    }
}
