//! ISO 8601 texts and epoch counts become dates and times, over the whole range that databases print.
//!
//! `chrono` stops at the year 262143; PostgreSQL's timestamps go on to 294276, and Debezium prints those years.

use crate::model::Cell;

const DAY_SECS: i64 = 86_400;
const SECOND_NANOS: i64 = 1_000_000_000;

/// The length of one tick of an epoch count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds.
    Milli,
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

impl Unit {
    fn per_second(self) -> i64 {
        match self {
            Unit::Milli => 1_000,
            Unit::Micro => 1_000_000,
            Unit::Nano => SECOND_NANOS,
        }
    }

    /// The counts by which Debezium's PostgreSQL connector sends `infinity` and `-infinity` (the JDBC driver's two
    /// stand-ins, and the ends of the range where nanoseconds cannot hold them).
    fn infinities(self) -> (i64, i64) {
        match self {
            Unit::Milli => (9_223_372_036_825_200, -9_223_372_036_832_400),
            Unit::Micro => (9_223_372_036_825_200_000, -9_223_372_036_832_400_000),
            Unit::Nano => (i64::MAX, i64::MIN),
        }
    }
}

/// A zone-less date and time from a count since 1970-01-01.
pub(super) fn local(count: i64, unit: Unit) -> Cell<'static> {
    let (infinity, minus_infinity) = unit.infinities();
    if count == infinity || count == minus_infinity {
        return Cell::Infinity(if count > 0 { 1 } else { -1 });
    }
    let per_second = unit.per_second();
    let nanos = count.rem_euclid(per_second) * (SECOND_NANOS / per_second);
    Cell::Local(count.div_euclid(per_second), nanos as u32)
}

/// A time of day, or MySQL's signed duration, from a count since midnight.
pub(super) fn time(count: i64, unit: Unit) -> Option<Cell<'static>> {
    count.checked_mul(SECOND_NANOS / unit.per_second()).map(Cell::Time)
}

/// A date from days since 1970-01-01. Two counts stand for the infinities: Debezium's PostgreSQL connector sends the
/// first days that overflow Java's `LocalDate` arithmetic.
pub(super) fn date(days: i64) -> Cell<'static> {
    match days {
        -2_147_472_692 => Cell::Infinity(1),
        -2_147_472_691 => Cell::Infinity(-1),
        _ => Cell::Date(days),
    }
}

/// `infinity`, `-infinity`, or an ISO date and time with an offset: a moment.
pub(super) fn instant(text: &str) -> Option<Cell<'static>> {
    infinity(text).or_else(|| moment(text).map(|(secs, nanos)| Cell::Instant(secs, nanos)))
}

/// An ISO date and time whose `Z` means nothing: no zone.
pub(super) fn iso_local(text: &str) -> Option<Cell<'static>> {
    infinity(text).or_else(|| moment(text).map(|(secs, nanos)| Cell::Local(secs, nanos)))
}

/// An ISO date; a trailing `Z` means nothing.
pub(super) fn iso_day(text: &str) -> Option<Cell<'static>> {
    if let Some(infinity) = infinity(text) {
        return Some(infinity);
    }
    let (days, rest) = iso_date(text)?;
    matches!(rest, "" | "Z").then_some(Cell::Date(days))
}

/// An ISO time of day; a trailing `Z` means nothing.
pub(super) fn iso_clock(text: &str) -> Option<Cell<'static>> {
    let (nanos, rest) = iso_time(text)?;
    matches!(rest, "" | "Z").then_some(Cell::Time(nanos))
}

/// Milliseconds since the epoch of an ISO moment.
pub(super) fn millis(text: &str) -> Option<i64> {
    let (secs, nanos) = moment(text)?;
    secs.checked_mul(1_000)?.checked_add(i64::from(nanos / 1_000_000))
}

/// Seconds since the epoch, and nanoseconds of the second.
fn moment(text: &str) -> Option<(i64, u32)> {
    let (days, rest) = iso_date(text)?;
    let (nanos, rest) = iso_time(rest.strip_prefix(['T', ' '])?)?;
    let secs = days.checked_mul(DAY_SECS)?.checked_add(nanos / SECOND_NANOS)?.checked_sub(offset(rest)?)?;
    Some((secs, (nanos % SECOND_NANOS) as u32))
}

fn infinity(text: &str) -> Option<Cell<'static>> {
    match text {
        "infinity" => Some(Cell::Infinity(1)),
        "-infinity" => Some(Cell::Infinity(-1)),
        _ => None,
    }
}

/// Days since 1970-01-01 and what follows the date. Years are proleptic and astronomical: `0000` is 1 BC, and years
/// beyond four digits carry a sign.
fn iso_date(text: &str) -> Option<(i64, &str)> {
    let (sign, unsigned) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    let (year, rest) = unsigned.split_once('-')?;
    if !(4..=9).contains(&year.len()) {
        return None;
    }
    let year = sign * digits(year)?;
    let month = digits(rest.get(..2)?)?;
    let day = digits(rest.get(2..)?.strip_prefix('-')?.get(..2)?)?;
    if !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    Some((days_from_civil(year, month, day), &rest[5..]))
}

/// Nanoseconds since midnight and what follows the time.
fn iso_time(text: &str) -> Option<(i64, &str)> {
    let hour = digits(text.get(..2)?)?;
    let minute = digits(text.get(2..)?.strip_prefix(':')?.get(..2)?)?;
    let rest = text.get(5..)?;
    let (second, rest) = match rest.strip_prefix(':') {
        Some(seconds) => (digits(seconds.get(..2)?)?, seconds.get(2..)?),
        None => (0, rest),
    };
    let (nanos, rest) = match rest.strip_prefix('.') {
        Some(fraction) => fraction_nanos(fraction)?,
        None => (0, rest),
    };
    let secs = hour * 3_600 + minute * 60 + second;
    let in_day = hour < 24 || (hour == 24 && secs == DAY_SECS && nanos == 0);
    (in_day && minute < 60 && second <= 60).then_some((secs * SECOND_NANOS + nanos, rest))
}

fn fraction_nanos(fraction: &str) -> Option<(i64, &str)> {
    let length = fraction.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let nanos = digits(&fraction[..length])? * 10i64.pow(9 - length as u32);
    Some((nanos, &fraction[length..]))
}

/// Seconds east of UTC: `Z`, `+01`, `+0130`, `+01:30`, `-01:30:15`.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = match text.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let compact = text[1..].replace(':', "");
    if !matches!(compact.len(), 2 | 4 | 6) {
        return None;
    }
    let part = |range: std::ops::Range<usize>| compact.get(range).map_or(Some(0), digits);
    let (hours, minutes, seconds) = (part(0..2)?, part(2..4)?, part(4..6)?);
    Some(sign * (hours * 3_600 + minutes * 60 + seconds))
}

fn digits(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn days_in_month(year: i64, month: i64) -> i64 {
    let leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar, counting years from March so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(Cell::Instant(0, 0))),
            ("2024-02-29T12:34:56.789123Z", Some(Cell::Instant(1_709_210_096, 789_123_000))),
            ("2024-02-29T12:34:56.1+02:00", Some(Cell::Instant(1_709_202_896, 100_000_000))),
            ("2024-02-29 12:34:56-0530", Some(Cell::Instant(1_709_229_896, 0))),
            ("1969-12-31T23:59:59.9Z", Some(Cell::Instant(-1, 900_000_000))),
            ("+294247-01-01T23:59:59.999999Z", Some(Cell::Instant(9_223_371_331_199, 999_999_000))),
            ("0000-03-01T00:00:00Z", Some(Cell::Instant(-719_468 * 86_400, 0))),
            ("infinity", Some(Cell::Infinity(1))),
            ("-infinity", Some(Cell::Infinity(-1))),
            ("2024-02-30T00:00:00Z", None),
            ("2024-02-29T12:34:56", None),
            ("2024-02-29", None),
            ("24-02-29T00:00:00Z", None),
            ("2024-02-29T25:00:00Z", None),
            ("2024-02-29T12:34:56.Z", None),
            ("é", None),
            ("", None),
        ] {
            assert_eq!(instant(text), expected, "{text}");
        }
    }

    #[test]
    fn epoch_counts() {
        assert_eq!(local(-1, Unit::Milli), Cell::Local(-1, 999_000_000));
        assert_eq!(local(1_709_210_096_789_012, Unit::Micro), Cell::Local(1_709_210_096, 789_012_000));
        assert_eq!(local(9_223_372_036_825_200, Unit::Milli), Cell::Infinity(1));
        assert_eq!(local(-9_223_372_036_832_400_000, Unit::Micro), Cell::Infinity(-1));
        assert_eq!(local(i64::MIN, Unit::Nano), Cell::Infinity(-1));
        assert_eq!(time(86_400_000_000, Unit::Micro), Some(Cell::Time(86_400_000_000_000)));
        assert_eq!(time(i64::MAX, Unit::Milli), None);
        assert_eq!(date(-2_147_472_692), Cell::Infinity(1));
        assert_eq!(date(19_782), Cell::Date(19_782));
    }

    #[test]
    fn dates_and_clocks() {
        assert_eq!(iso_day("2017-09-15Z"), Some(Cell::Date(17_424)));
        assert_eq!(iso_day("2017-09-15x"), None);
        assert_eq!(iso_day("-0043-03-15"), Some(Cell::Date(-735_160)));
        assert_eq!(iso_clock("04:05:11.789Z"), Some(Cell::Time(14_711_789_000_000)));
        assert_eq!(iso_clock("24:00:00"), Some(Cell::Time(86_400_000_000_000)));
        assert_eq!(iso_clock("24:00:01"), None);
        assert_eq!(iso_local("2023-07-11T11:12:13.123456Z"), Some(Cell::Local(1_689_073_933, 123_456_000)));
        assert_eq!(millis("2024-07-29T00:58:44.886717Z"), Some(1_722_214_724_886));
    }
}
