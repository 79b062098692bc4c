//! Values that a change stream writes in another shape than the database: bits, intervals, addresses, points, geometries.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::read::hex;
use super::value::{Canonical, numeric, temporal};
use crate::model::calendar::DAY_SECONDS;
use crate::model::{Cell, Typing};

/// Debezium's names for what no kind of cell holds.
pub(super) const INTERVAL: &str = "io.debezium.time.Interval";
const MICRO_DURATION: &str = "io.debezium.time.MicroDuration";
const NANO_DURATION: &str = "io.debezium.time.NanoDuration";

const MICROS: i128 = 1_000_000;
/// What Debezium takes a month for: a twelfth of 365.25 days.
const MONTH_MICROS: i128 = 2_629_800 * MICROS;
const DAY_MICROS: i128 = DAY_SECONDS as i128 * MICROS;

/// Bits as digits without zeros in front. Debezium writes them as bytes, the lowest first, and as a truth value where there
/// is but one.
pub(super) fn bits(cell: &Cell<'_>, typing: Typing) -> Option<Canonical<'static>> {
    let digits: Cow<'_, str> = match cell {
        Cell::Bool(value) => if *value { "1" } else { "0" }.into(),
        Cell::Text(text) if typing == Typing::Bare => {
            let bytes = STANDARD.decode(&**text).ok()?;
            bytes.iter().rev().map(|byte| format!("{byte:08b}")).collect::<String>().into()
        }
        Cell::Text(text) => (&**text).into(),
        Cell::Opaque(pair) => (&*pair.1).into(),
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => return None,
        Cell::Int(_) | Cell::Decimal(_) | Cell::Float32(_) | Cell::Float64(_) => return None,
        temporal!() | Cell::Bytes(_) | Cell::Uuid(_) | Cell::Json(_) => return None,
    };
    let plain = digits.bytes().all(|digit| matches!(digit, b'0' | b'1'));
    plain.then(|| Canonical::Text(Cow::Owned(digits.trim_start_matches('0').to_owned())))
}

/// An interval's length, as seconds and nanoseconds.
pub(super) fn interval(cell: &Cell<'_>, typing: Typing) -> Option<Canonical<'static>> {
    let micros = match cell {
        Cell::Opaque(pair) => match &*pair.0 {
            MICRO_DURATION => pair.1.parse().ok()?,
            NANO_DURATION => pair.1.parse::<i128>().ok()?.div_euclid(1_000),
            _ => iso_micros(pair.1.trim_matches('"'))?,
        },
        Cell::Int(micros) if typing == Typing::Bare => i128::from(*micros),
        Cell::Text(text) => iso_micros(text)?,
        Cell::Infinity(sign) => return Some(Canonical::Infinity(*sign)),
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => return None,
        numeric!() | Cell::Date(_) | Cell::Time(_) | Cell::Local(..) | Cell::Instant(..) => return None,
        Cell::Bytes(_) | Cell::Uuid(_) | Cell::Json(_) => return None,
    };
    let seconds = i64::try_from(micros.div_euclid(MICROS)).ok()?;
    Some(Canonical::Local(seconds, (micros.rem_euclid(MICROS) * 1_000) as u32))
}

/// Microseconds of `P1Y2M3DT4H5M6.789S`, in which every part may have a sign of its own.
fn iso_micros(text: &str) -> Option<i128> {
    let (date, clock) = text.strip_prefix('P')?.split_once('T')?;
    let date_units = [('Y', 12 * MONTH_MICROS), ('M', MONTH_MICROS), ('D', DAY_MICROS)];
    let clock_units = [('H', 3_600 * MICROS), ('M', 60 * MICROS), ('S', MICROS)];
    summed(date, &date_units)?.checked_add(summed(clock, &clock_units)?)
}

fn summed(text: &str, units: &[(char, i128)]) -> Option<i128> {
    let mut rest = text;
    let mut sum = 0_i128;
    for (letter, unit) in units {
        if let Some((number, after)) = rest.split_once(*letter) {
            sum = sum.checked_add(scaled(number, *unit)?)?;
            rest = after;
        }
    }
    rest.is_empty().then_some(sum)
}

/// A decimal number of units, in microseconds; digits beyond the sixth are cut.
fn scaled(number: &str, unit: i128) -> Option<i128> {
    let (sign, digits) = match number.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, number),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction = format!("{:0<6}", fraction.get(..6).unwrap_or(fraction));
    let millionths = whole.parse::<i128>().ok()?.checked_mul(MICROS)?.checked_add(fraction.parse().ok()?)?;
    Some(sign * millionths.checked_mul(unit)? / MICROS)
}

/// An address with its mask, as PostgreSQL casts it to text: Debezium leaves out that of a single host.
pub(super) fn address<'c>(cell: &'c Cell<'_>) -> Option<Canonical<'c>> {
    let Cell::Text(text) = cell else { return None };
    Some(Canonical::Text(match (text.contains('/'), text.contains(':')) {
        (true, _) => Cow::Borrowed(&**text),
        (false, true) => Cow::Owned(format!("{}/128", &**text)),
        (false, false) => Cow::Owned(format!("{}/32", &**text)),
    }))
}

#[derive(Deserialize)]
struct Written<'a> {
    x: Option<f64>,
    y: Option<f64>,
    #[serde(borrow)]
    wkb: Option<Cow<'a, str>>,
    srid: Option<u32>,
}

/// The coordinates of `(1.5,-2.25)`, or of Debezium's struct.
pub(super) fn point(cell: &Cell<'_>) -> Option<Canonical<'static>> {
    let (x, y) = match cell {
        Cell::Text(text) => {
            let (x, y) = text.strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
            (x.trim().parse::<f64>().ok()?, y.trim().parse::<f64>().ok()?)
        }
        Cell::Opaque(pair) => {
            let written: Written<'_> = serde_json::from_str(&pair.1).ok()?;
            (written.x?, written.y?)
        }
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => return None,
        numeric!() | temporal!() | Cell::Bytes(_) | Cell::Uuid(_) | Cell::Json(_) => return None,
    };
    let bits = |value: f64| super::read::plain_float(value).to_bits().to_be_bytes();
    Some(Canonical::Bytes(Cow::Owned([bits(x), bits(y)].concat())))
}

/// A geometry as MySQL keeps it: four bytes of its reference system, the lowest first, and its well-known binary.
pub(super) fn geometry(cell: &Cell<'_>) -> Option<Canonical<'static>> {
    let Cell::Opaque(pair) = cell else { return None };
    if !pair.1.starts_with('{') {
        return hex(&pair.1).map(|bytes| Canonical::Bytes(Cow::Owned(bytes)));
    }
    let written: Written<'_> = serde_json::from_str(&pair.1).ok()?;
    let binary = STANDARD.decode(&*written.wkb?).ok()?;
    let system = written.srid.unwrap_or(0).to_le_bytes();
    Some(Canonical::Bytes(Cow::Owned([&system[..], &binary].concat())))
}

/// The microseconds of a duration that the decoder only named, for columns of numbers.
pub(super) fn micros(name: &str, text: &str) -> Option<i64> {
    if name == MICRO_DURATION { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_have_a_length() {
        for (text, micros) in [
            ("P1Y2M3DT4H5M6.789S", Some(37_091_106_789_000)),
            ("P0Y0M-1DT0H0M0S", Some(-86_400_000_000)),
            ("P0Y1M0DT0H0M0S", Some(2_629_800_000_000)),
            ("P0Y0M0DT0H0M-0.000001S", Some(-1)),
            ("P0Y0M0DT-1H30M0S", Some(-1_800_000_000)),
            ("P178000000Y0M0DT0H0M0S", Some(178_000_000 * 31_557_600 * MICROS)),
            ("P1Y", None),
            ("1 day", None),
            ("PT1X", None),
        ] {
            assert_eq!(iso_micros(text), micros, "{text}");
        }
    }
}
