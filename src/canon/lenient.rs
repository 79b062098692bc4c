//! The slow path: two cells whose canonical forms differ are called different only if no documented rendering makes them
//! one value and nothing is left open.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};

use super::form::{Form, Scale, Zone};
use super::read::{plain_float, uuid};
use super::temporal::{Unit, WIDEST_ZONE_SECS, as_nanos, cut, infinite_moment, may_be_zone, moment_at, time_at};
use super::value::{Canonical, Reading, nothing, temporal};
use super::{Compared, Tolerance, compound, json, number};
use crate::model::calendar::{self, NANOS};
use crate::model::{Cell, Typing};

/// PostgreSQL converts a double to numeric with 15 significant digits (DBL_DIG).
const DOUBLE_DIGITS: usize = 15;
/// Widest scale tried before an unscaled number is called different: PostgreSQL's and MySQL's largest useful ones.
const WIDEST_SCALE: u32 = 38;

/// One column of an expected row against the same column of an observed one. `None` where expected says nothing.
pub(super) fn compare(
    form: &Form,
    tolerance: Option<Tolerance>,
    (expected, typing): (&Cell, Typing),
    (observed, observed_typing): (&Cell, Typing),
) -> Option<Compared> {
    let wanted = form.read(expected, typing);
    let seen = form.read(observed, observed_typing);
    let (wanted, seen) = match (wanted, seen) {
        (Reading::Unknown, _) => return None,
        (Reading::Value(wanted), Reading::Value(seen)) => (wanted, seen),
        (Reading::Incomparable, _) | (_, Reading::Unknown | Reading::Incomparable) => {
            return Some(Compared::Incomparable);
        }
    };
    if wanted == seen || absent_means(form, (expected, typing), &seen) {
        return Some(Compared::Equal);
    }
    if wanted == Canonical::Null || seen == Canonical::Null {
        return Some(Compared::Different);
    }
    if tolerance.is_some_and(|tolerance| within(tolerance, &wanted, &seen)) {
        return Some(Compared::Equal);
    }
    Some(match form {
        Form::Number(scale) => numbers(*scale, (expected, typing), observed, &seen),
        Form::Float32 | Form::Float64 => floats((expected, typing), &seen),
        Form::Text(_) => texts(expected, observed),
        Form::Time(digits, zone) => times((expected, typing), &seen, *digits, *zone),
        Form::Moment(digits, zone) => moments((expected, typing), &seen, *digits, *zone),
        Form::Bytes(_) => byte_texts((expected, typing), &seen),
        Form::Array(element) => arrays(element, (expected, typing), (observed, observed_typing)),
        Form::Bool | Form::Date | Form::Uuid | Form::Json => Compared::Different,
        Form::Hstore => maps((expected, typing), &seen),
        Form::Bits | Form::Interval | Form::Address => Compared::Different,
        Form::Point | Form::Geometry | Form::Range(_) => Compared::Different,
    })
}

/// Element by element, each with the leniency of its own type.
fn arrays(element: &Form, (expected, typing): (&Cell, Typing), (observed, seen): (&Cell, Typing)) -> Compared {
    let (Some(wanted), Some(found)) = (compound::elements(expected), compound::elements(observed)) else {
        return Compared::Incomparable;
    };
    if wanted.len() != found.len() {
        return Compared::Different;
    }
    let outcomes = wanted.iter().zip(&found);
    let outcomes: Vec<_> =
        outcomes.filter_map(|(wanted, found)| compare(element, None, (wanted, typing), (found, seen))).collect();
    let has = |outcome| outcomes.contains(&outcome);
    match (has(Compared::Different), has(Compared::Incomparable)) {
        (true, _) => Compared::Different,
        (false, true) => Compared::Incomparable,
        (false, false) => Compared::Equal,
    }
}

/// A map of a sender of no declared types (Protobuf's) has an empty text for null.
fn maps((expected, typing): (&Cell, Typing), seen: &Canonical<'_>) -> Compared {
    let (Cell::Opaque(pair), Typing::Bare, Canonical::Json(seen)) = (expected, typing, seen) else {
        return Compared::Different;
    };
    let values = |text: &str| serde_json::from_str::<BTreeMap<String, Option<String>>>(text).ok();
    let (Some(wanted), Some(seen)) = (values(&pair.1), values(seen)) else { return Compared::Different };
    let blank = |pair: (String, Option<String>)| (pair.0, pair.1.unwrap_or_default());
    equal_if(wanted.into_iter().map(blank).eq(seen.into_iter().map(blank)))
}

/// A sender that leaves out nulls leaves out empty values too; a sender of no declared types (Protobuf's) every zero, and
/// lists and maps of nothing.
fn absent_means(form: &Form, (expected, typing): (&Cell, Typing), seen: &Canonical<'_>) -> bool {
    let Cell::Absent = expected else { return false };
    let leaves_out_zeros = typing == Typing::Bare;
    match seen {
        Canonical::Text(text) => {
            text.is_empty() || leaves_out_zeros && matches!((form, &**text), (Form::Array(_), "[]"))
        }
        Canonical::Bytes(bytes) => bytes.is_empty(),
        Canonical::Json(text) => leaves_out_zeros && matches!(&**text, "[]" | "{}"),
        Canonical::Bool(value) => leaves_out_zeros && !value,
        Canonical::Int(value) | Canonical::Date(value) | Canonical::Time(value) => leaves_out_zeros && *value == 0,
        Canonical::Float(_) | Canonical::Decimal(_) => leaves_out_zeros && as_float(seen) == Some(0.0),
        // A zero of a moment is read in the zone of whoever applied it.
        Canonical::Local(secs, nanos) | Canonical::Instant(secs, nanos) => {
            leaves_out_zeros && secs.abs() <= WIDEST_ZONE_SECS && *nanos == 0
        }
        Canonical::Null | Canonical::Infinity(_) | Canonical::Uuid(_) => false,
    }
}

fn equal_if(equal: bool) -> Compared {
    if equal { Compared::Equal } else { Compared::Different }
}

fn within(tolerance: Tolerance, wanted: &Canonical<'_>, seen: &Canonical<'_>) -> bool {
    match tolerance {
        Tolerance::Number(most) => match (as_float(wanted), as_float(seen)) {
            // The margin is the error of reading decimals as binary floats, so that 1.005 is within 0.005 of 1.
            (Some(wanted), Some(seen)) => (wanted - seen).abs() <= most + f64::EPSILON * wanted.abs().max(seen.abs()),
            (Some(_) | None, _) => false,
        },
        Tolerance::Time(most) => match (as_nanos(wanted), as_nanos(seen)) {
            (Some(wanted), Some(seen)) => (wanted - seen).unsigned_abs() <= u128::from(most.unsigned_abs()),
            (Some(_) | None, _) => false,
        },
    }
}

fn as_float(value: &Canonical<'_>) -> Option<f64> {
    match value {
        Canonical::Int(value) => Some(*value as f64),
        Canonical::Float(bits) => Some(f64::from_bits(*bits)),
        Canonical::Decimal(text) | Canonical::Text(text) => text.parse().ok(),
        Canonical::Null
        | Canonical::Bool(_)
        | Canonical::Bytes(_)
        | Canonical::Date(_)
        | Canonical::Time(_)
        | Canonical::Local(..)
        | Canonical::Instant(..)
        | Canonical::Infinity(_)
        | Canonical::Uuid(_)
        | Canonical::Json(_) => None,
    }
}

fn numbers(scale: Scale, (expected, typing): (&Cell, Typing), observed: &Cell, seen: &Canonical<'_>) -> Compared {
    if let (Cell::Text(text), Typing::Bare) = (expected, typing) {
        return unscaled_numbers(text, scale, seen);
    }
    if is_wrapped(expected, seen) {
        return Compared::Equal;
    }
    let as_double = match (float_of(expected), float_of(observed)) {
        (Some(wanted), Some(seen)) => wanted == seen,
        (Some(_) | None, _) => false,
    };
    let from_float = matches!(expected, Cell::Float32(_) | Cell::Float64(_));
    let into_float = matches!(observed, Cell::Float32(_) | Cell::Float64(_));
    // A float was stored in, or a number went through, a binary double: what digits remain must agree.
    if (from_float || into_float) && (as_double || significant(expected) == significant(observed)) {
        return Compared::Equal;
    }
    // DMS writes integers of more than 16 digits in scientific notation and loses the rest.
    let lossy = typing == Typing::Dms && float_of(expected).is_some_and(|value| value.abs() >= 1e16);
    equal_if(lossy && significant(expected) == significant(observed))
}

/// Debezium wraps unsigned numbers beyond 2^63 by default, and a column of numbers may hold them as they were.
fn is_wrapped(expected: &Cell, seen: &Canonical<'_>) -> bool {
    let (Cell::Int(wrapped @ ..0), Canonical::Decimal(text)) = (expected, seen) else { return false };
    text.parse() == Ok(*wrapped as u64)
}

/// Base64 of an unscaled number does not tell its scale: if any scale makes it the observed value, nothing is known.
fn unscaled_numbers(text: &str, scale: Scale, seen: &Canonical<'_>) -> Compared {
    let Ok(bytes) = STANDARD.decode(text) else { return Compared::Different };
    let at = |digits: u32| {
        let text = number::unscaled_text(&bytes, digits)?;
        number::decimal(&text, scale.digits()).map(|value| value == *seen)
    };
    if scale.digits().and_then(at) == Some(true) {
        return Compared::Equal;
    }
    if (0..=WIDEST_SCALE).any(|digits| at(digits) == Some(true)) {
        return Compared::Incomparable;
    }
    Compared::Different
}

fn float_of(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Int(value) => Some(*value as f64),
        Cell::Float32(value) => Some(f64::from(*value)),
        Cell::Float64(value) => Some(*value),
        Cell::Decimal(text) | Cell::Text(text) => text.parse().ok(),
        nothing!() | temporal!() | Cell::Bool(_) | Cell::Bytes(_) | Cell::Uuid(_) | Cell::Json(_) => None,
    }
}

/// The value at the significant digits that survive a double.
fn significant(cell: &Cell) -> Option<String> {
    float_of(cell).map(|value| format!("{value:.width$e}", width = DOUBLE_DIGITS - 1))
}

fn floats((expected, typing): (&Cell, Typing), seen: &Canonical<'_>) -> Compared {
    let (Some(wanted), Some(seen)) = (float_of(expected), as_float(seen)) else { return Compared::Incomparable };
    let alike_at_32_bits =
        plain_float(f64::from(wanted as f32)).to_bits() == plain_float(f64::from(seen as f32)).to_bits();
    // Plain JSON prints a 32-bit float with as many digits as 32 bits need.
    let printed_from_32_bits = typing != Typing::Declared && wanted.to_string() == (wanted as f32).to_string();
    let is_32_bits = matches!(expected, Cell::Float32(_)) || printed_from_32_bits;
    equal_if(is_32_bits && alike_at_32_bits)
}

/// A text column may hold another kind of value as the applier printed it.
fn texts(expected: &Cell, observed: &Cell) -> Compared {
    let Cell::Text(text) = observed else { return Compared::Incomparable };
    let parsed = match expected {
        Cell::Text(_) => return Compared::Different,
        Cell::Int(_) | Cell::Decimal(_) | Cell::Float32(_) | Cell::Float64(_) => {
            text.parse::<f64>().ok().map(|_| printed_number(expected, text))
        }
        Cell::Bool(value) => match &*text.to_ascii_lowercase() {
            "t" | "true" | "1" => Some(*value),
            "f" | "false" | "0" => Some(!*value),
            _ => None,
        },
        Cell::Json(document) => match (json::canonical(document), json::canonical(text)) {
            (Some(wanted), Some(seen)) => Some(wanted == seen),
            (Some(_) | None, _) => None,
        },
        Cell::Uuid(bytes) => uuid(text).map(|seen| seen == *bytes),
        Cell::Date(days) => calendar::parse_date(text).map(|seen| seen == *days),
        Cell::Time(nanos) => calendar::parse_time(text).map(|(seen, _)| seen == *nanos),
        Cell::Local(secs, nanos) | Cell::Instant(secs, nanos) => calendar::parse_moment(text)
            .map(|seen| (seen.local_secs - i64::from(seen.offset_secs.unwrap_or(0)), seen.nanos) == (*secs, *nanos)),
        nothing!() | Cell::Bytes(_) | Cell::Infinity(_) => None,
    };
    parsed.map_or(Compared::Incomparable, equal_if)
}

fn printed_number(expected: &Cell, text: &str) -> bool {
    let exact =
        number::decimal(text, None).is_some_and(|seen| number::decimal(&expected.to_string(), None) == Some(seen));
    exact || (matches!(expected, Cell::Float32(_) | Cell::Float64(_)) && float_of(expected) == text.parse().ok())
}

fn times((expected, typing): (&Cell, Typing), seen: &Canonical<'_>, digits: u8, zone: Zone) -> Compared {
    let mut readings: Vec<i64> = match expected {
        Cell::Time(nanos) => vec![*nanos],
        Cell::Int(count) if typing == Typing::Bare => Unit::ALL.iter().filter_map(|unit| unit.nanos(*count)).collect(),
        Cell::Text(text) => calendar::parse_time(text)
            .map(|(nanos, offset)| nanos - if zone == Zone::Utc { i64::from(offset.unwrap_or(0)) * NANOS } else { 0 })
            .into_iter()
            .collect(),
        Cell::Int(_) => Vec::new(),
        nothing!()
        | Cell::Bool(_)
        | Cell::Decimal(_)
        | Cell::Float32(_)
        | Cell::Float64(_)
        | Cell::Bytes(_)
        | Cell::Date(_)
        | Cell::Local(..)
        | Cell::Instant(..)
        | Cell::Infinity(_)
        | Cell::Uuid(_)
        | Cell::Json(_) => Vec::new(),
    };
    readings.extend(readings.clone().into_iter().map(|nanos| cut(nanos, digits)));
    equal_if(readings.into_iter().any(|nanos| time_at(nanos, digits, zone) == *seen))
}

fn moments((expected, typing): (&Cell, Typing), seen: &Canonical<'_>, digits: u8, zone: Zone) -> Compared {
    let readings: Vec<(i64, u32)> = match (expected, Form::Moment(9, Zone::None).read(expected, typing)) {
        (Cell::Int(count), _) if infinite_moment(*count).is_some() => Vec::new(),
        (Cell::Int(count), _) => Unit::ALL.iter().map(|unit| unit.split(*count)).collect(),
        (_, Reading::Value(Canonical::Local(secs, nanos))) => vec![(secs, nanos)],
        (_, Reading::Value(_) | Reading::Unknown | Reading::Incomparable) => Vec::new(),
    };
    let matches = |(secs, nanos): &(i64, u32)| {
        moment_at(*secs, *nanos, digits, zone) == *seen
            || moment_at(*secs, cut(i64::from(*nanos), digits) as u32, digits, zone) == *seen
    };
    if readings.iter().any(matches) {
        return Compared::Equal;
    }
    if readings.iter().any(|reading| may_be_another_zone((expected, typing), *reading, seen, zone)) {
        return Compared::Incomparable;
    }
    Compared::Different
}

/// A moment in a column without zone, or a local time in one with: the applier's zone is not known, nor is the one in which a
/// sender of plain JSON writes text without zone, so a difference that could be a zone's offset says nothing.
fn may_be_another_zone(
    (expected, typing): (&Cell, Typing),
    (secs, nanos): (i64, u32),
    seen: &Canonical<'_>,
    zone: Zone,
) -> bool {
    let mixed = match zone {
        Zone::None => matches!(expected, Cell::Instant(..)) || is_text_of(expected, Option::is_some),
        Zone::Utc => {
            matches!(expected, Cell::Local(..)) || typing == Typing::Bare && is_text_of(expected, Option::is_none)
        }
    };
    let (Canonical::Local(seen_secs, seen_nanos) | Canonical::Instant(seen_secs, seen_nanos)) = seen else {
        return false;
    };
    let offset = seen_secs.saturating_sub(secs);
    mixed && nanos == *seen_nanos && may_be_zone(offset)
}

/// Whether it is the text of a moment whose offset is as wanted.
fn is_text_of(cell: &Cell, is_wanted: fn(&Option<i32>) -> bool) -> bool {
    let Cell::Text(text) = cell else { return false };
    calendar::parse_moment(text).is_some_and(|moment| is_wanted(&moment.offset_secs))
}

/// Text in a bytes column stands for itself, or is base64 or hexadecimal by settings of the sender that the record does not
/// carry.
fn byte_texts((expected, typing): (&Cell, Typing), seen: &Canonical<'_>) -> Compared {
    let (Cell::Text(text), Canonical::Bytes(bytes)) = (expected, seen) else { return Compared::Different };
    let is = |decoded: Option<Vec<u8>>| decoded.is_some_and(|decoded| decoded == **bytes);
    let hexadecimal = || is(super::read::hex(text.strip_prefix("0x").unwrap_or(text)));
    let base64 = || is(STANDARD.decode(&**text).ok()) || is(URL_SAFE.decode(&**text).ok());
    let verbatim = text.as_bytes() == &**bytes;
    equal_if(verbatim || (typing != Typing::Dms && (hexadecimal() || base64())))
}
