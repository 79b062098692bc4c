//! What a cell says under the form of its column: the fast path, and the one rendering that is hashed.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::form::{Form, Padding, Scale, Zone};
use super::value::{Canonical, Reading, nothing, numeric, temporal as temporal_cell};
use super::{compound, json, number, shape, temporal};
use crate::model::{Cell, Typing};

impl Form {
    /// Reads a cell. Where a wire form leaves the value open, the likeliest reading is taken; the slow path
    /// ([`super::lenient`]) knows the others.
    pub(super) fn read<'c>(&self, cell: &'c Cell<'_>, typing: Typing) -> Reading<'c> {
        match cell {
            Cell::Null | Cell::Absent => return Reading::Value(Canonical::Null),
            Cell::NotSent | Cell::Redacted => return Reading::Unknown,
            Cell::Opaque(_) | Cell::Text(_) | Cell::Bytes(_) | Cell::Uuid(_) | Cell::Json(_) => {}
            numeric!() | temporal_cell!() => {}
        }
        Reading::from(match self {
            Form::Number(scale) => read_number(cell, typing, *scale),
            Form::Float32 => read_float(cell, narrow),
            Form::Float64 => read_float(cell, |value| value),
            Form::Bool => read_bool(cell).map(Canonical::Bool),
            Form::Text(padding) => read_text(cell, *padding),
            Form::Bytes(padding) => read_bytes(cell, typing, *padding),
            Form::Date => temporal::date(cell, typing),
            Form::Time(digits, Zone::Utc) if named(cell, ZONED_TIME).is_some() => {
                named(cell, ZONED_TIME).and_then(|text| temporal::zoned_time(text, *digits))
            }
            Form::Time(digits, zone) => temporal::time(cell, typing, *digits, *zone),
            Form::Moment(digits, zone) => temporal::moment(cell, typing, *digits, *zone),
            Form::Uuid => read_uuid(cell).map(Canonical::Uuid),
            Form::Json => read_json(cell).map(Canonical::Json),
            Form::Bits => shape::bits(cell, typing),
            Form::Interval => shape::interval(cell, typing),
            Form::Address => shape::address(cell),
            Form::Hstore => compound::hstore(cell),
            Form::Point => shape::point(cell),
            Form::Geometry => shape::geometry(cell),
            Form::Array(element) => compound::array(element, cell, typing),
            Form::Range(bound) => compound::range(bound, cell),
        })
    }
}

/// Debezium's name for times with a zone, which no kind of cell holds. Debezium has moved them to UTC; the target's are
/// moved there too.
const ZONED_TIME: &str = "io.debezium.time.ZonedTime";

/// The text of a value that the decoder only named, and not its quotation marks.
fn named<'c>(cell: &'c Cell<'_>, name: &str) -> Option<&'c str> {
    let Cell::Opaque(pair) = cell else { return None };
    (pair.0 == name).then(|| pair.1.trim_matches('"'))
}

fn read_number<'c>(cell: &'c Cell<'_>, typing: Typing, scale: Scale) -> Option<Canonical<'c>> {
    match cell {
        Cell::Int(value) if *value < 0 && scale == Scale::Unsigned64 => {
            Some(Canonical::Decimal(Cow::Owned((*value as u64).to_string())))
        }
        Cell::Int(value) => Some(Canonical::Int(*value)),
        Cell::Bool(value) => Some(Canonical::Int(i64::from(*value))),
        Cell::Decimal(text) => number::decimal(text, scale.digits()),
        Cell::Float64(value) => number::float(*value, scale.digits()),
        Cell::Float32(value) if value.is_finite() => {
            number::decimal(&value.to_string(), scale.digits()).map(Canonical::into_owned)
        }
        Cell::Float32(value) => number::float(f64::from(*value), None),
        Cell::Text(text) => number::decimal(text, scale.digits()).or_else(|| text_as_number(text, typing, scale)),
        Cell::Opaque(pair) => shape::micros(&pair.0, &pair.1).map(Canonical::Int),
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => None,
        temporal_cell!() | Cell::Bytes(_) | Cell::Uuid(_) | Cell::Json(_) => None,
    }
}

fn text_as_number(text: &str, typing: Typing, scale: Scale) -> Option<Canonical<'static>> {
    match typing {
        Typing::Declared => None,
        Typing::Bare => number::unscaled(&STANDARD.decode(text).ok()?, scale.digits()?),
        Typing::Dms => truth(text).map(|value| Canonical::Int(i64::from(value))),
    }
}

fn read_float<'c>(cell: &'c Cell<'_>, at_precision: fn(f64) -> f64) -> Option<Canonical<'c>> {
    let value = match cell {
        Cell::Float32(value) => f64::from(*value),
        Cell::Float64(value) => *value,
        Cell::Int(value) => *value as f64,
        Cell::Decimal(text) | Cell::Text(text) => text.trim().parse().ok()?,
        nothing!() | temporal_cell!() | Cell::Bool(_) | Cell::Bytes(_) | Cell::Uuid(_) | Cell::Json(_) => return None,
    };
    Some(Canonical::Float(plain_float(at_precision(value)).to_bits()))
}

fn narrow(value: f64) -> f64 {
    f64::from(value as f32)
}

/// One NaN, one zero.
pub(super) fn plain_float(value: f64) -> f64 {
    if value.is_nan() {
        f64::NAN
    } else if value == 0.0 {
        0.0
    } else {
        value
    }
}

fn read_bool(cell: &Cell<'_>) -> Option<bool> {
    match cell {
        Cell::Bool(value) => Some(*value),
        Cell::Int(value) => (0..=1).contains(value).then_some(*value == 1),
        Cell::Text(text) => truth(text),
        nothing!()
        | temporal_cell!()
        | Cell::Decimal(_)
        | Cell::Float32(_)
        | Cell::Float64(_)
        | Cell::Bytes(_)
        | Cell::Uuid(_)
        | Cell::Json(_) => None,
    }
}

/// `t` and `f` are what AWS DMS writes for PostgreSQL's booleans.
fn truth(text: &str) -> Option<bool> {
    match text {
        "t" | "true" | "TRUE" | "1" => Some(true),
        "f" | "false" | "FALSE" | "0" => Some(false),
        _ => None,
    }
}

/// A value of another kind in a text column is read as it prints; how the applier printed it is not known, so the slow
/// path parses both before it calls them different.
fn read_text<'c>(cell: &'c Cell<'_>, padding: Padding) -> Option<Canonical<'c>> {
    match cell {
        Cell::Text(text) | Cell::Json(text) | Cell::Decimal(text) => Some(Canonical::Text(filled(text, padding))),
        temporal_cell!() | Cell::Bool(_) | Cell::Int(_) | Cell::Float32(_) | Cell::Float64(_) | Cell::Uuid(_) => {
            Some(Canonical::Text(Cow::Owned(cell.to_string())))
        }
        Cell::Opaque(pair) if matches!(&*pair.0, ZONED_TIME | shape::INTERVAL) => {
            Some(Canonical::Text(Cow::Borrowed(pair.1.trim_matches('"'))))
        }
        nothing!() | Cell::Bytes(_) => None,
    }
}

fn filled(text: &str, padding: Padding) -> Cow<'_, str> {
    match padding {
        Padding::Exact => Cow::Borrowed(text),
        Padding::Filled => Cow::Borrowed(text.trim_end_matches(' ')),
    }
}

fn read_bytes<'c>(cell: &'c Cell<'_>, typing: Typing, padding: Padding) -> Option<Canonical<'c>> {
    let bytes: Cow<'_, [u8]> = match cell {
        Cell::Bytes(bytes) => Cow::Borrowed(bytes),
        Cell::Uuid(bytes) => Cow::Borrowed(bytes),
        Cell::Text(text) => Cow::Owned(match typing {
            // An applier writes a text as it is; the slow path knows what else it may stand for.
            Typing::Declared => text.as_bytes().to_vec(),
            Typing::Bare => STANDARD.decode(&**text).ok()?,
            Typing::Dms => hex(text.strip_prefix("0x").unwrap_or(text))?,
        }),
        nothing!() | numeric!() | temporal_cell!() | Cell::Json(_) => return None,
    };
    Some(Canonical::Bytes(match padding {
        Padding::Exact => bytes,
        Padding::Filled => without_zeros(bytes),
    }))
}

fn without_zeros(bytes: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    match bytes {
        Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..length]),
        Cow::Owned(mut bytes) => {
            bytes.truncate(length);
            Cow::Owned(bytes)
        }
    }
}

/// Bytes of hexadecimal text without prefix.
pub(super) fn hex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    (0..text.len()).step_by(2).map(|start| u8::from_str_radix(&text[start..start + 2], 16).ok()).collect()
}

fn read_uuid(cell: &Cell<'_>) -> Option<[u8; 16]> {
    match cell {
        Cell::Uuid(bytes) => Some(*bytes),
        Cell::Bytes(bytes) => bytes[..].try_into().ok(),
        Cell::Text(text) => uuid(text),
        nothing!() | numeric!() | temporal_cell!() | Cell::Json(_) => None,
    }
}

/// The bytes of a UUID in any of PostgreSQL's spellings.
pub(super) fn uuid(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(|digit| !matches!(digit, '-' | '{' | '}')).collect();
    hex(&digits)?.try_into().ok()
}

fn read_json(cell: &Cell<'_>) -> Option<String> {
    match cell {
        Cell::Json(text) | Cell::Text(text) => json::canonical(text),
        Cell::Opaque(pair) if matches!(&*pair.0, "map" | "array") => json::canonical(&pair.1),
        nothing!() | numeric!() | temporal_cell!() | Cell::Bytes(_) | Cell::Uuid(_) => None,
    }
}
