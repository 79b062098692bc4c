//! One value of one column, as exactly as its wire form allows.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use smol_str::SmolStr;

/// Text of a cell: a part of the record it was read from, or its own. Up to 23 bytes of its own need no allocation.
#[derive(Clone)]
pub struct Text<'a>(Repr<'a>);

#[derive(Clone)]
enum Repr<'a> {
    Part(&'a str),
    Own(SmolStr),
}

impl<'a> Text<'a> {
    /// The part of a record that this is, if it is one.
    #[must_use]
    #[inline]
    pub fn part(&self) -> Option<&'a str> {
        match self.0 {
            Repr::Part(text) => Some(text),
            Repr::Own(_) => None,
        }
    }

    /// The same text, in need of nothing else.
    #[must_use]
    pub fn into_owned(self) -> Text<'static> {
        Text(Repr::Own(match self.0 {
            Repr::Part(text) => SmolStr::new(text),
            Repr::Own(text) => text,
        }))
    }
}

impl Deref for Text<'_> {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        match &self.0 {
            Repr::Part(text) => text,
            Repr::Own(text) => text,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Text<'_> {}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Text(Repr::Part(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Text(Repr::Own(text.into()))
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

/// A typed value.
///
/// Four kinds of nothing are kept apart: [`Cell::Null`] is a value; [`Cell::Absent`] was left out by a sender that
/// leaves out nulls *and* empty values (AWS DMS by default, Protobuf where fields do not tell whether they are set);
/// [`Cell::NotSent`] was not sent at all, so its value is unknown (an unchanged TOAST column, a partial update);
/// [`Cell::Redacted`] was sent and is withheld from display.
///
/// Texts may be parts of the record that the cell was read from.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell<'a> {
    /// SQL NULL.
    Null,
    /// Left out by a sender that leaves out nulls and empty values alike.
    Absent,
    /// Not sent: unknown. Never compared.
    NotSent,
    /// Sent, and withheld from display. Never compared.
    Redacted,
    /// A boolean.
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// An exact number as plain decimal text (`-12.50`): wider integers and every decimal.
    Decimal(Text<'a>),
    /// A 32-bit float.
    Float32(f32),
    /// A 64-bit float.
    Float64(f64),
    /// Text.
    Text(Text<'a>),
    /// Bytes.
    Bytes(Box<[u8]>),
    /// Days since 1970-01-01.
    Date(i64),
    /// Nanoseconds since midnight; MySQL's TIME may be negative or longer than a day.
    Time(i64),
    /// A date and time without zone: seconds since 1970-01-01 00:00:00 and nanoseconds of the second.
    Local(i64, u32),
    /// A moment: seconds since the Unix epoch and nanoseconds of the second.
    Instant(i64, u32),
    /// A date or time beyond every other: `+1` is infinity, `-1` is minus infinity.
    Infinity(i8),
    /// A UUID.
    Uuid([u8; 16]),
    /// JSON text, as written.
    Json(Text<'a>),
    /// Something this version does not compare: the name of its type, and its text.
    Opaque(Box<(String, String)>),
}

impl<'a> Cell<'a> {
    /// A text cell.
    #[must_use]
    pub fn text(text: &'a str) -> Cell<'a> {
        Cell::Text(text.into())
    }

    /// The same cell, in need of nothing else.
    #[must_use]
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::Decimal(text) => Cell::Decimal(text.into_owned()),
            Cell::Text(text) => Cell::Text(text.into_owned()),
            Cell::Json(text) => Cell::Json(text.into_owned()),
            Cell::Null => Cell::Null,
            Cell::Absent => Cell::Absent,
            Cell::NotSent => Cell::NotSent,
            Cell::Redacted => Cell::Redacted,
            Cell::Bool(value) => Cell::Bool(value),
            Cell::Int(value) => Cell::Int(value),
            Cell::Float32(value) => Cell::Float32(value),
            Cell::Float64(value) => Cell::Float64(value),
            Cell::Bytes(bytes) => Cell::Bytes(bytes),
            Cell::Date(days) => Cell::Date(days),
            Cell::Time(nanos) => Cell::Time(nanos),
            Cell::Local(secs, nanos) => Cell::Local(secs, nanos),
            Cell::Instant(secs, nanos) => Cell::Instant(secs, nanos),
            Cell::Infinity(sign) => Cell::Infinity(sign),
            Cell::Uuid(bytes) => Cell::Uuid(bytes),
            Cell::Opaque(pair) => Cell::Opaque(pair),
        }
    }

    /// Whether the cell says nothing about the value that a row holds.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Cell::NotSent | Cell::Redacted)
    }

    /// Approximate heap and inline size in bytes, for bounded caches.
    #[must_use]
    pub fn weight(&self) -> usize {
        let heap = match self {
            Cell::Decimal(text) | Cell::Text(text) | Cell::Json(text) => text.len(),
            Cell::Bytes(bytes) => bytes.len(),
            Cell::Opaque(pair) => pair.0.len() + pair.1.len() + 48,
            Cell::Null
            | Cell::Absent
            | Cell::NotSent
            | Cell::Redacted
            | Cell::Bool(_)
            | Cell::Int(_)
            | Cell::Float32(_)
            | Cell::Float64(_)
            | Cell::Date(_)
            | Cell::Time(_)
            | Cell::Local(..)
            | Cell::Instant(..)
            | Cell::Infinity(_)
            | Cell::Uuid(_) => 0,
        };
        std::mem::size_of::<Cell<'_>>() + heap
    }
}

fn two_part_time(f: &mut fmt::Formatter<'_>, secs: i64, nanos: u32, zone: &str) -> fmt::Result {
    match chrono::DateTime::from_timestamp(secs, nanos) {
        Some(at) if nanos == 0 => write!(f, "{}{zone}", at.format("%Y-%m-%dT%H:%M:%S")),
        Some(at) => {
            let text = at.format("%Y-%m-%dT%H:%M:%S%.9f").to_string();
            write!(f, "{}{zone}", text.trim_end_matches('0'))
        }
        None => write!(f, "{secs}.{nanos:09}{zone}"),
    }
}

fn time_of_day(f: &mut fmt::Formatter<'_>, nanos: i64) -> fmt::Result {
    let sign = if nanos < 0 { "-" } else { "" };
    let (secs, fraction) = (nanos.unsigned_abs() / 1_000_000_000, nanos.unsigned_abs() % 1_000_000_000);
    write!(f, "{sign}{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60)?;
    if fraction > 0 {
        write!(f, ".{}", format!("{fraction:09}").trim_end_matches('0'))?;
    }
    Ok(())
}

/// The text a person reads: the value without its type. Kinds of nothing print as words in angle brackets, SQL NULL as `null`.
impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cell::Null => f.write_str("null"),
            Cell::Absent => f.write_str("<absent>"),
            Cell::NotSent => f.write_str("<not sent>"),
            Cell::Redacted => f.write_str("<redacted>"),
            Cell::Bool(value) => write!(f, "{value}"),
            Cell::Int(value) => write!(f, "{value}"),
            Cell::Decimal(text) | Cell::Text(text) | Cell::Json(text) => f.write_str(text),
            Cell::Float32(value) => write!(f, "{value}"),
            Cell::Float64(value) => write!(f, "{value}"),
            Cell::Bytes(bytes) => bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}")),
            Cell::Date(days) => {
                match days.checked_mul(86_400).and_then(|secs| chrono::DateTime::from_timestamp(secs, 0)) {
                    Some(at) => write!(f, "{}", at.format("%Y-%m-%d")),
                    None => write!(f, "day {days}"),
                }
            }
            Cell::Time(nanos) => time_of_day(f, *nanos),
            Cell::Local(secs, nanos) => two_part_time(f, *secs, *nanos, ""),
            Cell::Instant(secs, nanos) => two_part_time(f, *secs, *nanos, "Z"),
            Cell::Infinity(sign) => f.write_str(if *sign < 0 { "-infinity" } else { "infinity" }),
            Cell::Uuid(bytes) => uuid(f, bytes),
            Cell::Opaque(pair) => f.write_str(&pair.1),
        }
    }
}

fn uuid(f: &mut fmt::Formatter<'_>, bytes: &[u8; 16]) -> fmt::Result {
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            f.write_str("-")?;
        }
        write!(f, "{byte:02x}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_small() {
        assert_eq!((size_of::<Text<'_>>(), size_of::<Cell<'_>>()), (24, 32));
    }
}
