//! Records as a tap delivers them: bytes, positions, headers.

use std::ops::Range;

use super::position::PartitionId;

/// What a record's timestamp tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Stamp {
    /// When its producer made it.
    #[default]
    Created,
    /// When the broker appended it.
    Appended,
}

/// One record inside a [`Batch`]: positions and where its bytes lie in the batch's buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSpan {
    /// Partition.
    pub partition: PartitionId,
    /// Offset.
    pub offset: u64,
    /// Milliseconds since the epoch at which the record was appended (or created), if the tap knows.
    pub timestamp_ms: Option<i64>,
    /// What the timestamp tells.
    pub stamp: Stamp,
    key: Option<Range<u32>>,
    value: Option<Range<u32>>,
    headers: Range<u32>,
}

/// Records in arrival order with their bytes in one buffer, so that a record costs no allocation of its own.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    buffer: Vec<u8>,
    spans: Vec<RecordSpan>,
    headers: Vec<(Range<u32>, Option<Range<u32>>)>,
}

/// One record, borrowed from its batch.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Partition.
    pub partition: PartitionId,
    /// Offset.
    pub offset: u64,
    /// Milliseconds since the epoch at which the record was appended (or created), if the tap knows.
    pub timestamp_ms: Option<i64>,
    /// What the timestamp tells.
    pub stamp: Stamp,
    /// Key bytes; `None` is a null key.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a null value (a tombstone).
    pub value: Option<&'a [u8]>,
    batch: &'a Batch,
    headers: &'a Range<u32>,
}

impl<'a> Record<'a> {
    /// Header names and values, in order.
    pub fn headers(&self) -> impl Iterator<Item = (&'a [u8], Option<&'a [u8]>)> + use<'a> {
        let batch = self.batch;
        batch.headers[self.headers.start as usize..self.headers.end as usize]
            .iter()
            .map(|(name, value)| (batch.slice(name), value.as_ref().map(|value| batch.slice(value))))
    }

    /// The first header of that name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers().find(|(known, _)| *known == name.as_bytes()).and_then(|(_, value)| value)
    }
}

impl Batch {
    /// Appends a record, copying its bytes.
    pub fn push<'h>(
        &mut self,
        (partition, offset, timestamp_ms): (PartitionId, u64, Option<i64>),
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'h [u8], Option<&'h [u8]>)>,
    ) {
        let key = key.map(|bytes| self.keep(bytes));
        let value = value.map(|bytes| self.keep(bytes));
        let first = self.headers.len() as u32;
        for (name, value) in headers {
            let name = self.keep(name);
            let value = value.map(|bytes| self.keep(bytes));
            self.headers.push((name, value));
        }
        let headers = first..self.headers.len() as u32;
        let stamp = Stamp::Created;
        self.spans.push(RecordSpan { partition, offset, timestamp_ms, stamp, key, value, headers });
    }

    /// Says what the timestamp of the record pushed last tells, where it is not [`Stamp::Created`].
    pub fn stamp(&mut self, stamp: Stamp) {
        if let Some(span) = self.spans.last_mut() {
            span.stamp = stamp;
        }
    }

    fn keep(&mut self, bytes: &[u8]) -> Range<u32> {
        let start = self.buffer.len() as u32;
        self.buffer.extend_from_slice(bytes);
        start..self.buffer.len() as u32
    }

    fn slice(&self, range: &Range<u32>) -> &[u8] {
        &self.buffer[range.start as usize..range.end as usize]
    }

    /// Bytes held. A tap closes a batch long before 4 GiB, the limit of its spans; 1 MiB is usual.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }

    /// Number of records.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether it holds no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The records, in arrival order.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.spans.iter().map(|span| Record {
            partition: span.partition,
            offset: span.offset,
            timestamp_ms: span.timestamp_ms,
            stamp: span.stamp,
            key: span.key.as_ref().map(|range| self.slice(range)),
            value: span.value.as_ref().map(|range| self.slice(range)),
            batch: self,
            headers: &span.headers,
        })
    }
}
