//! One segment: a stretch of the recording, of every partition that moved in it.
//!
//! ```text
//! "AFTIMG" 0x00 0x01          magic, and the version of the format
//! u32, little endian          length of the head
//! the head                    JSON: number, when it was closed, bytes of the payload unpacked, one span a partition
//! the payload                 frames, packed by zstd
//! u128, little endian         xxh3-128 of all bytes before it
//! ```
//! A span says which offsets the segment answers for: everything in `from..next` is in it, or was passed over for ever by the log
//! itself (markers, aborted records, compaction), or is a gap that it names.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write as _};

use serde::{Deserialize, Serialize};

use crate::model::position::PartitionName;
use crate::model::{Record, Wall};

use super::Damage;
use super::frame::{Frames, put_gap, put_record};

const MAGIC: [u8; 8] = *b"AFTIMG\0\x01";

/// Bytes of the checksum at the end.
const SUM: usize = 16;

/// Packs five times or better at hundreds of MB a second; higher levels gain little on JSON.
const LEVEL: i32 = 3;

/// What a segment holds of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) topic: String,
    pub(super) partition: i32,
    /// First offset it answers for.
    pub(super) from: u64,
    /// First offset it does not answer for any more.
    pub(super) next: u64,
    pub(super) records: u64,
    /// Least and greatest timestamp of its records, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) times: Option<(i64, i64)>,
    /// Offsets that were gone before they were recorded: first missing, first that exists again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) gaps: Vec<(u64, u64)>,
}

impl Span {
    pub(super) fn name(&self) -> PartitionName {
        PartitionName { topic: self.topic.as_str().into(), partition: self.partition }
    }
}

/// What stands before the payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) segment: u64,
    /// Milliseconds since the epoch.
    pub(super) closed_ms: i64,
    /// Bytes of the payload, unpacked.
    pub(super) unpacked: u64,
    pub(super) spans: Vec<Span>,
}

/// The checksum of some bytes, as it is written in an index.
pub(super) fn sum(bytes: &[u8]) -> String {
    format!("{:032x}", xxhash_rust::xxh3::xxh3_128(bytes))
}

/// A segment while it is written. It is in memory until it is closed.
pub(super) struct Open {
    packer: zstd::Encoder<'static, Vec<u8>>,
    frame: Vec<u8>,
    unpacked: u64,
    spans: Vec<Span>,
    index: BTreeMap<PartitionName, usize>,
}

impl Open {
    pub(super) fn new() -> io::Result<Open> {
        let packer = zstd::Encoder::new(Vec::new(), LEVEL)?;
        Ok(Open { packer, frame: Vec::new(), unpacked: 0, spans: Vec::new(), index: BTreeMap::new() })
    }

    /// Bytes of the payload so far, unpacked.
    pub(super) fn unpacked(&self) -> u64 {
        self.unpacked
    }

    pub(super) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Appends a record; the partition's span begins at `from` if this is its first.
    pub(super) fn record(&mut self, (name, from): (&PartitionName, u64), record: &Record<'_>) -> io::Result<()> {
        let index = self.span(name, from);
        let span = &mut self.spans[index];
        (span.next, span.records) = (record.offset.saturating_add(1), span.records + 1);
        if let Some(at) = record.timestamp_ms {
            let (least, greatest) = span.times.unwrap_or((at, at));
            span.times = Some((least.min(at), greatest.max(at)));
        }
        put_record(&mut self.frame, index, record);
        self.pack()
    }

    pub(super) fn gap(&mut self, (name, from): (&PartitionName, u64), gap: (u64, u64)) -> io::Result<()> {
        let index = self.span(name, from);
        let span = &mut self.spans[index];
        span.next = gap.1;
        span.gaps.push(gap);
        put_gap(&mut self.frame, index, gap);
        self.pack()
    }

    /// Answers for everything before `next`.
    pub(super) fn reached(&mut self, (name, from): (&PartitionName, u64), next: u64) {
        let index = self.span(name, from);
        self.spans[index].next = next;
    }

    fn span(&mut self, name: &PartitionName, from: u64) -> usize {
        if let Some(index) = self.index.get(name) {
            return *index;
        }
        let (topic, partition) = (name.topic.to_string(), name.partition);
        self.spans.push(Span { topic, partition, from, next: from, records: 0, times: None, gaps: Vec::new() });
        self.index.insert(name.clone(), self.spans.len() - 1);
        self.spans.len() - 1
    }

    fn pack(&mut self) -> io::Result<()> {
        self.packer.write_all(&self.frame)?;
        self.unpacked += self.frame.len() as u64;
        self.frame.clear();
        Ok(())
    }

    /// The whole segment, and its head.
    pub(super) fn close(self, segment: u64, now: Wall) -> io::Result<(Head, Vec<u8>)> {
        let payload = self.packer.finish()?;
        let head = Head { segment, closed_ms: now.0, unpacked: self.unpacked, spans: self.spans };
        let text = serde_json::to_vec(&head)?;
        let length = u32::try_from(text.len()).map_err(io::Error::other)?;
        let mut bytes = Vec::with_capacity(MAGIC.len() + 4 + text.len() + payload.len() + SUM);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&length.to_le_bytes());
        bytes.extend_from_slice(&text);
        bytes.extend_from_slice(&payload);
        let sum = xxhash_rust::xxh3::xxh3_128(&bytes);
        bytes.extend_from_slice(&sum.to_le_bytes());
        Ok((head, bytes))
    }
}

/// A segment that was read, whole and as it was written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) head: Head,
    payload: Vec<u8>,
}

impl Segment {
    /// # Errors
    /// What is wrong with the bytes, whatever was done to them.
    pub(super) fn read(bytes: &[u8]) -> Result<Segment, Damage> {
        let Some((body, sum)) = bytes.split_last_chunk::<SUM>() else {
            return Err(Damage::new(format!("it is cut off after {} bytes", bytes.len())));
        };
        if !body.starts_with(&MAGIC[..6]) {
            return Err(Damage::new("it is no segment: its first bytes are others"));
        }
        if xxhash_rust::xxh3::xxh3_128(body) != u128::from_le_bytes(*sum) {
            return Err(Damage::new("its checksum does not fit: it was damaged or cut off after it was written"));
        }
        if !body.starts_with(&MAGIC) {
            return Err(Damage::new("it is of a format that this version does not know"));
        }
        let text = body[MAGIC.len()..].split_first_chunk::<4>();
        let cut = text.and_then(|(length, rest)| rest.split_at_checked(u32::from_le_bytes(*length) as usize));
        let (text, payload) = cut.ok_or_else(|| Damage::new("its head is cut off"))?;
        let head: Head = serde_json::from_slice(text).map_err(|_| Damage::new("its head cannot be read"))?;
        Ok(Segment { payload: unpacked(payload, head.unpacked)?, head })
    }

    pub(super) fn frames(&self) -> Frames<'_> {
        Frames::new(&self.payload, self.head.spans.len())
    }
}

/// Not a byte more than the head says.
fn unpacked(packed: &[u8], expected: u64) -> Result<Vec<u8>, Damage> {
    let wrong = || Damage::new("its payload cannot be unpacked");
    let mut payload = Vec::new();
    let unpacker = zstd::Decoder::new(packed).map_err(|_| wrong())?;
    unpacker.take(expected.saturating_add(1)).read_to_end(&mut payload).map_err(|_| wrong())?;
    if payload.len() as u64 == expected { Ok(payload) } else { Err(wrong()) }
}
