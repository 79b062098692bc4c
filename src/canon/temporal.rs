//! Dates and times: instants, local times, and the bare numbers that stand for them.
//!
//! Plain JSON says neither what a number counts nor from where. A number for a date column is days since 1970. A number
//! for a timestamp column is milliseconds, microseconds or nanoseconds, told apart by magnitude: below 10^11 (three
//! years around 1970 in milliseconds) magnitude says nothing and the column's precision decides, up to three digits
//! meaning milliseconds. Times likewise, where a number beyond one day of a unit cannot be of that unit.

use super::form::Zone;
use super::value::{Canonical, nothing};
use crate::model::calendar::{self, DAY_SECONDS, NANOS};
use crate::model::{Cell, Typing};

/// Cells that no date or time can be read from.
macro_rules! untimely {
    () => {
        Cell::Bool(_)
            | Cell::Decimal(_)
            | Cell::Float32(_)
            | Cell::Float64(_)
            | Cell::Bytes(_)
            | Cell::Uuid(_)
            | Cell::Json(_)
    };
}

/// Zones lie on quarters of an hour, at most 14 hours from UTC.
pub(super) const ZONE_STEP_SECS: i64 = 900;
pub(super) const WIDEST_ZONE_SECS: i64 = 14 * 3600;

const DAY_NANOS: i64 = DAY_SECONDS * NANOS;
/// Debezium's stand-ins for PostgreSQL's infinite dates: days of java.time.LocalDate's extremes after overflow.
const INFINITE_DATES: [(i64, i8); 2] = [(-2_147_472_692, 1), (-2_147_472_691, -1)];
/// Debezium's stand-ins for PostgreSQL's infinite timestamps, in microseconds.
const INFINITE_MICROS: [(i64, i8); 2] = [(9_223_372_036_825_200_000, 1), (-9_223_372_036_832_400_000, -1)];

/// What a bare number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Millis,
    Micros,
    Nanos,
}

impl Unit {
    pub(super) const ALL: [Unit; 4] = [Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos];

    fn per_second(self) -> i64 {
        match self {
            Unit::Seconds => 1,
            Unit::Millis => 1_000,
            Unit::Micros => 1_000_000,
            Unit::Nanos => NANOS,
        }
    }

    fn of_moment(count: i64, digits: u8) -> Unit {
        match count.unsigned_abs() {
            0..100_000_000_000 if digits > 3 => Unit::Micros,
            0..100_000_000_000_000 => Unit::Millis,
            100_000_000_000_000..100_000_000_000_000_000 => Unit::Micros,
            _ => Unit::Nanos,
        }
    }

    fn of_time(count: i64, digits: u8) -> Unit {
        match count.unsigned_abs() {
            0..=86_400_000 if digits <= 3 => Unit::Millis,
            0..=3_020_400_000_000 => Unit::Micros,
            _ => Unit::Nanos,
        }
    }

    /// Seconds and nanoseconds of a count since 1970.
    pub(super) fn split(self, count: i64) -> (i64, u32) {
        let per_second = self.per_second();
        (count.div_euclid(per_second), (count.rem_euclid(per_second) * (NANOS / per_second)) as u32)
    }

    /// Nanoseconds of a count since midnight.
    pub(super) fn nanos(self, count: i64) -> Option<i64> {
        count.checked_mul(NANOS / self.per_second())
    }
}

pub(super) fn date(cell: &Cell, typing: Typing) -> Option<Canonical<'static>> {
    let midnight = |secs: i64, nanos: u32| (nanos == 0 && secs % DAY_SECONDS == 0).then_some(secs / DAY_SECONDS);
    match cell {
        Cell::Date(days) => Some(Canonical::Date(*days)),
        Cell::Infinity(sign) => Some(Canonical::Infinity(*sign)),
        Cell::Int(days) if typing == Typing::Bare => {
            let infinite = INFINITE_DATES.iter().find(|(stand_in, _)| stand_in == days);
            Some(infinite.map_or(Canonical::Date(*days), |(_, sign)| Canonical::Infinity(*sign)))
        }
        Cell::Local(secs, nanos) | Cell::Instant(secs, nanos) => midnight(*secs, *nanos).map(Canonical::Date),
        Cell::Text(text) => calendar::infinity(text)
            .map(Canonical::Infinity)
            .or_else(|| calendar::parse_date(text).map(Canonical::Date))
            .or_else(|| {
                let moment = calendar::parse_moment(text)?;
                midnight(moment.local_secs, moment.nanos).map(Canonical::Date)
            }),
        nothing!() | untimely!() | Cell::Int(_) | Cell::Time(_) => None,
    }
}

pub(super) fn time(cell: &Cell, typing: Typing, digits: u8, zone: Zone) -> Option<Canonical<'static>> {
    let nanos = match cell {
        Cell::Time(nanos) => *nanos,
        Cell::Int(count) if typing == Typing::Bare => Unit::of_time(*count, digits).nanos(*count)?,
        Cell::Text(text) => match zone {
            Zone::None => calendar::parse_time(text)?.0,
            Zone::Utc => return zoned_time(text, digits),
        },
        nothing!()
        | untimely!()
        | Cell::Int(_)
        | Cell::Date(_)
        | Cell::Local(..)
        | Cell::Instant(..)
        | Cell::Infinity(_) => return None,
    };
    Some(time_at(nanos, digits, zone))
}

/// A time with an offset, as UTC.
pub(super) fn zoned_time(text: &str, digits: u8) -> Option<Canonical<'static>> {
    let (nanos, offset) = calendar::parse_time(text)?;
    Some(time_at(nanos - i64::from(offset.unwrap_or(0)) * NANOS, digits, Zone::Utc))
}

/// A time at the column's precision; a zoned one on the day of UTC.
pub(super) fn time_at(nanos: i64, digits: u8, zone: Zone) -> Canonical<'static> {
    let unit = 10i64.pow(9 - u32::from(digits));
    let rounded = nanos.signum() * ((nanos.abs() + unit / 2) / unit * unit);
    match zone {
        Zone::None => Canonical::Time(rounded),
        Zone::Utc if rounded == DAY_NANOS => Canonical::Time(rounded),
        Zone::Utc => Canonical::Time(rounded.rem_euclid(DAY_NANOS)),
    }
}

pub(super) fn moment(cell: &Cell, typing: Typing, digits: u8, zone: Zone) -> Option<Canonical<'static>> {
    let (secs, nanos) = match cell {
        Cell::Local(secs, nanos) | Cell::Instant(secs, nanos) => (*secs, *nanos),
        Cell::Date(days) => (days.checked_mul(DAY_SECONDS)?, 0),
        Cell::Infinity(sign) => return Some(Canonical::Infinity(*sign)),
        Cell::Int(count) if typing == Typing::Bare => {
            if let Some(sign) = infinite_moment(*count) {
                return Some(Canonical::Infinity(sign));
            }
            Unit::of_moment(*count, digits).split(*count)
        }
        Cell::Text(text) => match text_moment(text)? {
            Ok(parts) => parts,
            Err(sign) => return Some(Canonical::Infinity(sign)),
        },
        nothing!() | untimely!() | Cell::Int(_) | Cell::Time(_) => return None,
    };
    Some(moment_at(secs, nanos, digits, zone))
}

pub(super) fn infinite_moment(count: i64) -> Option<i8> {
    let stands_for = |(micros, _): &&(i64, i8)| count == *micros || count == *micros / 1_000;
    match count {
        i64::MAX => Some(1),
        i64::MIN => Some(-1),
        _ => INFINITE_MICROS.iter().find(stands_for).map(|(_, sign)| *sign),
    }
}

/// Seconds and nanoseconds in UTC, or (`Err`) the sign of an infinity.
fn text_moment(text: &str) -> Option<Result<(i64, u32), i8>> {
    if let Some(sign) = calendar::infinity(text) {
        return Some(Err(sign));
    }
    if let Some(moment) = calendar::parse_moment(text) {
        return Some(Ok((moment.local_secs - i64::from(moment.offset_secs.unwrap_or(0)), moment.nanos)));
    }
    calendar::parse_date(text)?.checked_mul(DAY_SECONDS).map(|secs| Ok((secs, 0)))
}

/// A moment at the column's precision, half up, as databases round.
pub(super) fn moment_at(secs: i64, nanos: u32, digits: u8, zone: Zone) -> Canonical<'static> {
    let unit = 10u32.pow(9 - u32::from(digits.min(9)));
    let rounded = nanos.saturating_add(unit / 2) / unit * unit;
    let (secs, nanos) = if i64::from(rounded) >= NANOS { (secs.saturating_add(1), 0) } else { (secs, rounded) };
    match zone {
        Zone::None => Canonical::Local(secs, nanos),
        Zone::Utc => Canonical::Instant(secs, nanos),
    }
}

/// The same value cut, not rounded, to the column's precision.
pub(super) fn cut(nanos: i64, digits: u8) -> i64 {
    let unit = 10i64.pow(9 - u32::from(digits));
    nanos / unit * unit
}

/// Whether two clocks that lie so far apart may show one moment in two zones.
pub(super) fn may_be_zone(offset_secs: i64) -> bool {
    offset_secs % ZONE_STEP_SECS == 0 && offset_secs.abs() <= WIDEST_ZONE_SECS
}

/// Nanoseconds since 1970, or since midnight; `None` for what is no time.
pub(super) fn as_nanos(value: &Canonical<'_>) -> Option<i128> {
    let nanos = i128::from(NANOS);
    match value {
        Canonical::Date(days) => Some(i128::from(*days) * i128::from(calendar::DAY_SECONDS) * nanos),
        Canonical::Time(of_day) => Some(i128::from(*of_day)),
        Canonical::Local(secs, rest) | Canonical::Instant(secs, rest) => {
            Some(i128::from(*secs) * nanos + i128::from(*rest))
        }
        Canonical::Null
        | Canonical::Bool(_)
        | Canonical::Int(_)
        | Canonical::Decimal(_)
        | Canonical::Float(_)
        | Canonical::Text(_)
        | Canonical::Bytes(_)
        | Canonical::Infinity(_)
        | Canonical::Uuid(_)
        | Canonical::Json(_) => None,
    }
}
