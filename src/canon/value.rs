//! A canonical value: what two renderings of one value have in common.

use std::borrow::Cow;

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::model::Cell;

/// A value in the one form in which it is compared. Equal values of one column are equal here, byte for byte.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Canonical<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is no 64-bit integer: plain, without superfluous zeros; or `NaN`, `Infinity`, `-Infinity`.
    Decimal(Cow<'a, str>),
    /// The bits of a 64-bit float: NaN has one pattern and zero no sign.
    Float(u64),
    Text(Cow<'a, str>),
    Bytes(Cow<'a, [u8]>),
    Date(i64),
    Time(i64),
    Local(i64, u32),
    Instant(i64, u32),
    Infinity(i8),
    Uuid([u8; 16]),
    Json(String),
}

/// Patterns of the cells that most readings refuse, so that every match over cells stays exhaustive and short.
macro_rules! nothing {
    () => {
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted | Cell::Opaque(_)
    };
}
macro_rules! temporal {
    () => {
        Cell::Date(_) | Cell::Time(_) | Cell::Local(..) | Cell::Instant(..) | Cell::Infinity(_)
    };
}
macro_rules! numeric {
    () => {
        Cell::Bool(_) | Cell::Int(_) | Cell::Decimal(_) | Cell::Float32(_) | Cell::Float64(_)
    };
}
pub(super) use {nothing, numeric, temporal};

/// What a cell says under the form of its column.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reading<'a> {
    /// A value.
    Value(Canonical<'a>),
    /// Nothing: not sent, or withheld.
    Unknown,
    /// Something that cannot be held against a value of that column.
    Incomparable,
}

impl<'a> From<Option<Canonical<'a>>> for Reading<'a> {
    fn from(value: Option<Canonical<'a>>) -> Reading<'a> {
        value.map_or(Reading::Incomparable, Reading::Value)
    }
}

impl Reading<'_> {
    /// Whether it is the empty text or no bytes.
    pub(super) fn is_empty(&self) -> bool {
        let text = matches!(self, Reading::Value(Canonical::Text(text)) if text.is_empty());
        text || matches!(self, Reading::Value(Canonical::Bytes(bytes)) if bytes.is_empty())
    }
}

/// xxh3-128 of canonical bytes, seeded with the column's index and the kind of value, so that equal bytes in two columns, or
/// of two kinds, hash differently.
#[inline]
fn seeded(column: usize, tag: u8, bytes: &[u8]) -> u128 {
    xxh3_128_with_seed(bytes, (column as u64) << 8 | u64::from(tag))
}

/// The hash of [`Canonical::Int`].
#[inline]
pub(super) fn hash_int(column: usize, value: i64) -> u128 {
    seeded(column, 5, &value.to_be_bytes())
}

/// The hash of [`Canonical::Text`].
#[inline]
pub(super) fn hash_text(column: usize, text: &str) -> u128 {
    seeded(column, 9, text.as_bytes())
}

impl<'a> Canonical<'a> {
    /// The hash of this value in a column.
    pub(super) fn hash(&self, column: usize) -> u128 {
        let seeded = |tag: u8, bytes: &[u8]| seeded(column, tag, bytes);
        match self {
            Canonical::Null => seeded(0, &[]),
            Canonical::Bool(value) => seeded(4, &[u8::from(*value)]),
            Canonical::Int(value) => hash_int(column, *value),
            Canonical::Decimal(text) => seeded(6, text.as_bytes()),
            Canonical::Float(value) => seeded(8, &value.to_be_bytes()),
            Canonical::Text(text) => hash_text(column, text),
            Canonical::Bytes(bytes) => seeded(10, bytes),
            Canonical::Date(days) => seeded(11, &days.to_be_bytes()),
            Canonical::Time(nanos) => seeded(12, &nanos.to_be_bytes()),
            Canonical::Local(secs, nanos) => seeded(13, &two_part(*secs, *nanos)),
            Canonical::Instant(secs, nanos) => seeded(14, &two_part(*secs, *nanos)),
            Canonical::Infinity(sign) => seeded(15, &sign.to_be_bytes()),
            Canonical::Uuid(bytes) => seeded(16, bytes),
            Canonical::Json(text) => seeded(17, text.as_bytes()),
        }
    }

    /// The same value, owning its text.
    pub(super) fn into_owned(self) -> Canonical<'static> {
        match self {
            Canonical::Null => Canonical::Null,
            Canonical::Bool(value) => Canonical::Bool(value),
            Canonical::Int(value) => Canonical::Int(value),
            Canonical::Decimal(text) => Canonical::Decimal(Cow::Owned(text.into_owned())),
            Canonical::Float(value) => Canonical::Float(value),
            Canonical::Text(text) => Canonical::Text(Cow::Owned(text.into_owned())),
            Canonical::Bytes(bytes) => Canonical::Bytes(Cow::Owned(bytes.into_owned())),
            Canonical::Date(days) => Canonical::Date(days),
            Canonical::Time(nanos) => Canonical::Time(nanos),
            Canonical::Local(secs, nanos) => Canonical::Local(secs, nanos),
            Canonical::Instant(secs, nanos) => Canonical::Instant(secs, nanos),
            Canonical::Infinity(sign) => Canonical::Infinity(sign),
            Canonical::Uuid(bytes) => Canonical::Uuid(bytes),
            Canonical::Json(text) => Canonical::Json(text),
        }
    }

    /// The cell of this value: what keys are made of and what people are shown.
    pub(super) fn into_cell(self) -> Cell<'a> {
        match self {
            Canonical::Null => Cell::Null,
            Canonical::Bool(value) => Cell::Bool(value),
            Canonical::Int(value) => Cell::Int(value),
            Canonical::Decimal(text) => Cell::Decimal(text.into()),
            Canonical::Float(value) => Cell::Float64(f64::from_bits(value)),
            Canonical::Text(text) => Cell::Text(text.into()),
            Canonical::Bytes(bytes) => Cell::Bytes(bytes.into()),
            Canonical::Date(days) => Cell::Date(days),
            Canonical::Time(nanos) => Cell::Time(nanos),
            Canonical::Local(secs, nanos) => Cell::Local(secs, nanos),
            Canonical::Instant(secs, nanos) => Cell::Instant(secs, nanos),
            Canonical::Infinity(sign) => Cell::Infinity(sign),
            Canonical::Uuid(bytes) => Cell::Uuid(bytes),
            Canonical::Json(text) => Cell::Json(text.into()),
        }
    }
}

fn two_part(secs: i64, nanos: u32) -> [u8; 12] {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&secs.to_be_bytes());
    bytes[8..].copy_from_slice(&nanos.to_be_bytes());
    bytes
}
