//! Records and gaps as the bytes of a segment's payload.
//!
//! A frame is a tag and its fields. Numbers are LEB128, texts and bytes are their length and themselves, bytes that may be
//! absent are their length and one, or zero. So an absent value and an empty one differ.
//!
//! | tag | frame | fields |
//! |---|---|---|
//! | 1 | record | span, offset, stamp (0 none, 1 created, 2 appended), its time in zigzag if there is one, key, value, number of headers, each its name and value |
//! | 2 | gap | span, first missing offset, first offset that exists again |
//!
//! A span is the index of the partition in the segment's head.

use crate::model::{Record, Stamp};

use super::Damage;

const RECORD: u8 = 1;
const GAP: u8 = 2;

/// One header: its name, and its value unless that is null.
pub(super) type Header<'a> = (&'a [u8], Option<&'a [u8]>);

/// One frame, borrowed from the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    Record(Framed<'a>),
    /// The offsets `from..to` were gone before they were recorded.
    Gap {
        span: usize,
        from: u64,
        to: u64,
    },
}

/// A record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Framed<'a> {
    pub(super) span: usize,
    pub(super) offset: u64,
    pub(super) timestamp_ms: Option<i64>,
    pub(super) stamp: Stamp,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: Vec<Header<'a>>,
}

/// Appends a record.
pub(super) fn put_record(out: &mut Vec<u8>, span: usize, record: &Record<'_>) {
    out.push(RECORD);
    put_number(out, span as u64);
    put_number(out, record.offset);
    match (record.timestamp_ms, record.stamp) {
        (None, _) => out.push(0),
        (Some(millis), stamp) => {
            out.push(match stamp {
                Stamp::Created => 1,
                Stamp::Appended => 2,
            });
            put_number(out, ((millis << 1) ^ (millis >> 63)).cast_unsigned());
        }
    }
    put_optional(out, record.key);
    put_optional(out, record.value);
    put_number(out, record.headers().count() as u64);
    for (name, value) in record.headers() {
        put_bytes(out, name);
        put_optional(out, value);
    }
}

/// Appends a gap.
pub(super) fn put_gap(out: &mut Vec<u8>, span: usize, (from, to): (u64, u64)) {
    out.push(GAP);
    put_number(out, span as u64);
    put_number(out, from);
    put_number(out, to);
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number as u8) | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            put_number(out, bytes.len() as u64 + 1);
            out.extend_from_slice(bytes);
        }
    }
}

/// The frames of a payload.
#[derive(Debug, Clone)]
pub(super) struct Frames<'a> {
    rest: &'a [u8],
    /// Partitions that the segment's head names.
    spans: usize,
}

impl<'a> Frames<'a> {
    pub(super) fn new(payload: &'a [u8], spans: usize) -> Frames<'a> {
        Frames { rest: payload, spans }
    }

    /// The next frame; `None` at the end.
    ///
    /// # Errors
    /// Bytes that are no frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame<'a>>, Damage> {
        let Some((tag, rest)) = self.rest.split_first() else { return Ok(None) };
        self.rest = rest;
        match *tag {
            RECORD => self.record().map(Frame::Record).map(Some),
            GAP => Ok(Some(Frame::Gap { span: self.span()?, from: self.number()?, to: self.number()? })),
            _ => Err(Damage::new("it holds a frame of a kind that is not known")),
        }
    }

    fn record(&mut self) -> Result<Framed<'a>, Damage> {
        let (span, offset) = (self.span()?, self.number()?);
        let (timestamp_ms, stamp) = match self.byte()? {
            0 => (None, Stamp::Created),
            1 => (Some(self.signed()?), Stamp::Created),
            2 => (Some(self.signed()?), Stamp::Appended),
            _ => return Err(Damage::new("it holds a timestamp of a kind that is not known")),
        };
        let (key, value) = (self.optional()?, self.optional()?);
        let mut headers = Vec::new();
        for _ in 0..self.number()? {
            let length = self.number()?;
            headers.push((self.bytes(length)?, self.optional()?));
        }
        Ok(Framed { span, offset, timestamp_ms, stamp, key, value, headers })
    }

    fn span(&mut self) -> Result<usize, Damage> {
        let span = usize::try_from(self.number()?).ok().filter(|span| *span < self.spans);
        span.ok_or_else(|| Damage::new("it holds a record of a partition that its head does not name"))
    }

    fn byte(&mut self) -> Result<u8, Damage> {
        let (first, rest) = self.rest.split_first().ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Damage> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Damage::new("it holds a number past 64 bits"))
    }

    fn signed(&mut self) -> Result<i64, Damage> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    fn optional(&mut self) -> Result<Option<&'a [u8]>, Damage> {
        match self.number()?.checked_sub(1) {
            None => Ok(None),
            Some(length) => self.bytes(length).map(Some),
        }
    }

    fn bytes(&mut self, length: u64) -> Result<&'a [u8], Damage> {
        let length = usize::try_from(length).map_err(|_| cut_off())?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or_else(cut_off)?;
        self.rest = rest;
        Ok(bytes)
    }
}

fn cut_off() -> Damage {
    Damage::new("its last frame is cut off")
}
