//! Records that were read before, found once more by one scan of the file.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::input::each_line;
use super::{APPENDED, FileControl, Line};
use crate::model::{Batch, PartitionId, Position, Stamp};
use crate::tap::TapError;
use crate::tap::outlet::BATCH_BYTES;

/// What is still wanted of each partition, by topic and number.
type Left = BTreeMap<(String, i32), (PartitionId, BTreeSet<u64>)>;

impl FileControl {
    /// What can be read only once, as standard input and pipes can, delivers nothing.
    pub(super) fn scan(&self, wanted: &[Position], each: &mut dyn FnMut(Batch)) -> Result<(), TapError> {
        let path = &self.options.path;
        if path == "-" || !std::fs::metadata(path).is_ok_and(|found| found.is_file()) {
            return Ok(());
        }
        let mut left = self.left(wanted);
        let mut batch = Batch::default();
        each_line(path, self.options.open()?, |_, line, _| {
            if let Ok(line) = serde_json::from_slice::<Line<'_>>(line) {
                take(&mut left, &line, &mut batch);
            }
            if batch.bytes() >= BATCH_BYTES {
                each(std::mem::take(&mut batch));
            }
            !left.is_empty() && !self.signal.stopped()
        })?;
        if !batch.is_empty() {
            each(batch);
        }
        Ok(())
    }

    fn left(&self, wanted: &[Position]) -> Left {
        let mut left = Left::new();
        for at in wanted {
            let name = self.partitions.name(at.partition);
            let of = left.entry((name.topic.to_string(), name.partition));
            of.or_insert_with(|| (at.partition, BTreeSet::new())).1.insert(at.offset);
        }
        left
    }
}

/// The first line of an offset is its record: what comes behind it with the same one was rejected.
fn take(left: &mut Left, line: &Line<'_>, batch: &mut Batch) {
    let name = (line.topic.to_string(), line.partition);
    let Some((id, offsets)) = left.get_mut(&name) else { return };
    if offsets.remove(&line.offset) {
        line.append((*id, line.offset), batch);
    }
    if offsets.is_empty() {
        left.remove(&name);
    }
}

impl Line<'_> {
    /// Appends the record that the line is.
    pub(super) fn append(&self, (partition, offset): (PartitionId, u64), batch: &mut Batch) {
        let bytes = |text: &'_ Option<Cow<'_, str>>| text.as_ref().map(|text| text.as_bytes().to_vec());
        let headers: Vec<_> =
            self.headers.chunks(2).map(|pair| (bytes(&pair[0]), pair.get(1).and_then(bytes))).collect();
        let headers = headers.iter().map(|(name, value)| (name.as_deref().unwrap_or_default(), value.as_deref()));
        let (key, payload) = (self.key.as_deref().map(str::as_bytes), self.payload.as_deref().map(str::as_bytes));
        let timestamp = self.ts.filter(|millis| *millis >= 0);
        batch.push((partition, offset, timestamp), key, payload, headers);
        if self.tstype.as_deref() == Some(APPENDED) {
            batch.stamp(Stamp::Appended);
        }
    }
}
