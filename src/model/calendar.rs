//! Dates and times as text: the forms that databases and change streams print.
//!
//! Covers what `chrono` does not: years beyond 262143, `BC`, PostgreSQL's `24:00:00`, MySQL's negative and long TIMEs.
//! Time zones are numeric offsets only; a zone's name says nothing without its rules.

use std::fmt::Write;

/// Nanoseconds of a second.
pub const NANOS: i64 = 1_000_000_000;
/// Seconds of a day.
pub const DAY_SECONDS: i64 = 86_400;

/// A date and time as written, and the offset that was written with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Seconds since 1970-01-01 00:00:00 on the clock as written.
    pub local_secs: i64,
    /// Nanoseconds of the second.
    pub nanos: u32,
    /// Seconds east of UTC, where an offset was written.
    pub offset_secs: Option<i32>,
}

/// Days since 1970-01-01 of a proleptic Gregorian date; year 0 is 1 BC.
#[must_use]
pub fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted_month = i64::from((month + 9) % 12);
    let day_of_year = (153 * shifted_month + 2) / 5 + i64::from(day) - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The date of a day since 1970-01-01: year (0 is 1 BC), month, day.
#[must_use]
pub fn civil_from_days(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u32;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 } as u32;
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

/// `+1` for `infinity`, `-1` for `-infinity`, in any case.
#[must_use]
pub fn infinity(text: &str) -> Option<i8> {
    match text {
        _ if text.eq_ignore_ascii_case("infinity") => Some(1),
        _ if text.eq_ignore_ascii_case("-infinity") => Some(-1),
        _ => None,
    }
}

/// A date: `2024-02-29`, `+12024-02-29`, `0044-03-15 BC`, `-0043-03-15`, and with a `Z` behind it as ISO dates of
/// Debezium have. Days since 1970-01-01. Zero and impossible dates are `None`.
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let (text, before_christ) = strip_era(text);
    civil(text.strip_suffix('Z').unwrap_or(text), before_christ)
}

/// A time: `12:34:56`, `-838:59:59.000001`, `24:00:00`, with an optional numeric offset or `Z`. Nanoseconds since
/// midnight as written, and the offset in seconds.
#[must_use]
pub fn parse_time(text: &str) -> Option<(i64, Option<i32>)> {
    let (text, sign) = match text.strip_prefix('-') {
        Some(rest) => (rest, -1),
        None => (text, 1),
    };
    let (clock, offset) = strip_offset(text)?;
    Some((sign * clock_nanos(clock)?, offset))
}

/// A date and time, divided by a blank or `T`, with an optional offset and era: `2024-02-29T12:34:56.5Z`,
/// `0044-03-15 12:00:00+01 BC`.
#[must_use]
pub fn parse_moment(text: &str) -> Option<Moment> {
    let (text, before_christ) = strip_era(text);
    let divider = text.find(['T', ' ', 't'])?;
    let days = civil(&text[..divider], before_christ)?;
    let (clock, offset_secs) = strip_offset(&text[divider + 1..])?;
    let nanos = clock_nanos(clock)?;
    if nanos > DAY_SECONDS * NANOS {
        return None;
    }
    let local_secs = days.checked_mul(DAY_SECONDS)?.checked_add(nanos / NANOS)?;
    Some(Moment { local_secs, nanos: (nanos % NANOS) as u32, offset_secs })
}

/// A date as PostgreSQL and MySQL read it: `2024-02-29`, `0044-03-15 BC`.
#[must_use]
pub fn format_date(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    match year {
        1.. => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{:04}-{month:02}-{day:02} BC", 1 - year),
    }
}

/// A time as PostgreSQL and MySQL read it: `12:34:56`, `-838:59:59.000001`.
#[must_use]
pub fn format_time(nanos: i64) -> String {
    let secs = nanos.unsigned_abs() / NANOS as u64;
    let mut text = if nanos < 0 { String::from("-") } else { String::new() };
    let _ = write!(text, "{:02}:{:02}:{:02}", secs / 3600, secs / 60 % 60, secs % 60);
    push_fraction(&mut text, (nanos.unsigned_abs() % NANOS as u64) as u32);
    text
}

/// A date and time as PostgreSQL and MySQL read it, without offset: `2024-02-29 12:34:56.5`, `… BC` behind the time.
#[must_use]
pub fn format_moment(secs: i64, nanos: u32) -> String {
    let date = format_date(secs.div_euclid(DAY_SECONDS));
    let (date, era) = match date.strip_suffix(" BC") {
        Some(date) => (date, " BC"),
        None => (date.as_str(), ""),
    };
    let clock = format_time(secs.rem_euclid(DAY_SECONDS) * NANOS + i64::from(nanos));
    format!("{date} {clock}{era}")
}

fn push_fraction(text: &mut String, nanos: u32) {
    if nanos > 0 {
        let digits = format!("{nanos:09}");
        text.push('.');
        text.push_str(digits.trim_end_matches('0'));
    }
}

fn strip_era(text: &str) -> (&str, bool) {
    match text.strip_suffix(" BC") {
        Some(rest) => (rest, true),
        None => (text, false),
    }
}

fn civil(text: &str, before_christ: bool) -> Option<i64> {
    let (digits, sign) = match text.as_bytes().first()? {
        b'-' => (&text[1..], -1),
        b'+' => (&text[1..], 1),
        _ => (text, 1),
    };
    let (year, rest) = digits.split_once('-')?;
    let (month, day) = rest.split_once('-')?;
    let written = sign * i64::from(number(year, 7)?);
    let year = if before_christ { 1 - written } else { written };
    let (month, day) = (number(month, 2)?, number(day, 2)?);
    let days = days_from_civil(year, month.clamp(1, 12), day.clamp(1, 31));
    (civil_from_days(days) == (year, month, day)).then_some(days)
}

fn number(text: &str, most_digits: usize) -> Option<u32> {
    let plain = !text.is_empty() && text.len() <= most_digits && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn strip_offset(text: &str) -> Option<(&str, Option<i32>)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, Some(0)));
    }
    let Some(start) = text.find(['+', '-']) else { return Some((text, None)) };
    let sign = if text.as_bytes()[start] == b'-' { -1 } else { 1 };
    let written = &text[start + 1..];
    let mut parts = if written.contains(':') {
        written.splitn(3, ':').map(|part| number(part, 2)).collect::<Option<Vec<_>>>()?
    } else {
        vec![number(written.get(..2)?, 2)?, written.get(2..4).map_or(Some(0), |minutes| number(minutes, 2))?]
    };
    parts.resize(3, 0);
    let secs = (parts[0] * 3600 + parts[1] * 60 + parts[2]) as i32;
    Some((text[..start].trim_end(), Some(sign * secs)))
}

fn clock_nanos(text: &str) -> Option<i64> {
    let (whole, fraction) = match text.split_once('.') {
        Some((whole, fraction)) => (whole, fraction_nanos(fraction)?),
        None => (text, 0),
    };
    let mut parts = whole.splitn(3, ':');
    let hours = number(parts.next()?, 3)?;
    let minutes = number(parts.next()?, 2)?;
    let seconds = parts.next().map_or(Some(0), |part| number(part, 2))?;
    let valid = minutes < 60 && seconds <= 60;
    valid.then(|| i64::from(hours * 3600 + minutes * 60 + seconds) * NANOS + fraction)
}

fn fraction_nanos(text: &str) -> Option<i64> {
    let digits = number(text, 9)?;
    Some(i64::from(digits) * 10i64.pow(9 - text.len() as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_dates_are_inverse_over_every_era() {
        for days in [-2_147_483_648, -719_529, -719_528, -1, 0, 59, 60, 11_016, 19_782, 2_932_896, 106_751_991] {
            let (year, month, day) = civil_from_days(days);
            assert_eq!(days_from_civil(year, month, day), days);
        }
        assert_eq!(civil_from_days(0), (1970, 1, 1));
        assert_eq!(civil_from_days(19_782), (2024, 2, 29));
    }

    #[test]
    fn dates_read_as_written() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("2024-02-29", Some(19_782)),
            ("2024-02-29Z", Some(19_782)),
            ("2023-02-29", None),
            ("0000-00-00", None),
            ("2024-00-01", None),
            ("0044-03-15 BC", Some(days_from_civil(-43, 3, 15))),
            ("-0043-03-15", Some(days_from_civil(-43, 3, 15))),
            ("+12024-02-29", Some(days_from_civil(12_024, 2, 29))),
            ("20240229", None),
            ("", None),
        ] {
            assert_eq!(parse_date(text), expected, "{text}");
        }
        assert_eq!(format_date(days_from_civil(-43, 3, 15)), "0044-03-15 BC");
    }

    #[test]
    fn times_read_as_written() {
        for (text, expected) in [
            ("12:34:56", Some((45_296 * NANOS, None))),
            ("24:00:00", Some((86_400 * NANOS, None))),
            ("-838:59:59.000001", Some((-(3_020_399 * NANOS + 1_000), None))),
            ("07:04:56.123456Z", Some((25_496 * NANOS + 123_456_000, Some(0)))),
            ("13:51:30+02", Some((49_890 * NANOS, Some(7_200)))),
            ("13:51:30-03:30", Some((49_890 * NANOS, Some(-12_600)))),
            ("12:60:00", None),
            ("noon", None),
        ] {
            assert_eq!(parse_time(text), expected, "{text}");
        }
        assert_eq!(format_time(-(3_020_399 * NANOS + 1_000)), "-838:59:59.000001");
    }

    #[test]
    fn moments_read_as_written() {
        let noon = Moment { local_secs: 1_709_210_096, nanos: 789_012_000, offset_secs: None };
        assert_eq!(parse_moment("2024-02-29 12:34:56.789012"), Some(noon));
        assert_eq!(parse_moment("2024-02-29T12:34:56.789012Z"), Some(Moment { offset_secs: Some(0), ..noon }));
        assert_eq!(
            parse_moment("2024-02-29 12:34:56.789012+05:30"),
            Some(Moment { offset_secs: Some(19_800), ..noon })
        );
        let caesar = parse_moment("0044-03-15 12:00:00+00 BC").expect("a moment");
        assert_eq!(caesar.local_secs, days_from_civil(-43, 3, 15) * DAY_SECONDS + 43_200);
        assert_eq!(format_moment(caesar.local_secs, 5_000_000), "0044-03-15 12:00:00.005 BC");
        for bad in ["2024-02-29", "0000-00-00 00:00:00", "2024-02-29 25:00:00", "soon"] {
            assert_eq!(parse_moment(bad), None, "{bad}");
        }
    }
}
