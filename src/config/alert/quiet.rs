//! Hours of the day in which a channel is silent.

use chrono::{DateTime, Timelike};

use crate::config::unit::{Scalar, field, words};
use crate::model::Wall;
use crate::model::finding::Severity;

const DAY_MINUTES: i64 = 24 * 60;
const MINUTE_MS: i64 = 60_000;

words! {
    /// What is told in quiet hours all the same.
    Except {
        /// Critical findings.
        Critical = "critical",
        /// Warnings and critical findings.
        Warning = "warning",
        /// Nothing.
        Nothing = "nothing",
    }
}

/// A stretch of every day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuietHours {
    /// The first silent minute of the day.
    pub from: Minute,
    /// The first minute that is not silent any more; before `from`: on the next day.
    pub to: Minute,
    /// Whose day.
    pub zone: Zone,
    /// What is told all the same.
    pub except: Except,
}

impl QuietHours {
    /// Until when news of this severity waits; `None`: it may be told at `now`.
    #[must_use]
    pub fn until(&self, now: Wall, severity: Severity) -> Option<Wall> {
        let breaks_through = match self.except {
            Except::Critical => severity >= Severity::Critical,
            Except::Warning => severity >= Severity::Warning,
            Except::Nothing => false,
        };
        if breaks_through {
            return None;
        }
        let local = DateTime::from_timestamp_millis(now.0 + self.zone.0 * MINUTE_MS)?;
        let minute = i64::from(local.hour() * 60 + local.minute());
        let since = (minute - self.from.0).rem_euclid(DAY_MINUTES);
        let length = (self.to.0 - self.from.0).rem_euclid(DAY_MINUTES);
        let begun = now.0.div_euclid(MINUTE_MS) * MINUTE_MS;
        (since < length).then(|| Wall(begun + (length - since) * MINUTE_MS))
    }
}

/// A minute of the day: `22:30`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minute(pub i64);

/// Minutes east of UTC: `UTC`, `+02:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Zone(pub i64);

impl Scalar for Minute {
    fn expected() -> String {
        "a time of the day such as \"22:00\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let minute = minutes(text).filter(|minute| *minute < DAY_MINUTES);
        minute.map(Minute).ok_or_else(|| format!("`{text}` is not valid: expected {}", Self::expected()))
    }

    fn written(&self) -> serde_json::Value {
        clock(self.0).into()
    }
}

impl Scalar for Zone {
    fn expected() -> String {
        "`UTC`, or an offset from it such as \"+02:00\" (names of zones are not known)".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let offset = match (text, text.get(..1)) {
            ("UTC" | "Z", _) => Some(0),
            (_, Some("+")) => minutes(&text[1..]),
            (_, Some("-")) => minutes(&text[1..]).map(|minutes| -minutes),
            _ => None,
        };
        let offset = offset.filter(|offset| offset.abs() <= 14 * 60);
        offset.map(Zone).ok_or_else(|| format!("`{text}` is not valid: expected {}", Self::expected()))
    }

    fn written(&self) -> serde_json::Value {
        match self.0 {
            0 => "UTC".into(),
            offset => format!("{}{}", if offset < 0 { '-' } else { '+' }, clock(offset.abs())).into(),
        }
    }
}

field!(Minute, Zone);

fn minutes(text: &str) -> Option<i64> {
    let (hours, minutes) = text.split_once(':')?;
    let two =
        |text: &str| (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok());
    let (hours, minutes): (i64, i64) = (two(hours)??, two(minutes)??);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

fn clock(minutes: i64) -> String {
    format!("{:02}:{:02}", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Wall {
        Wall(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
    }

    #[track_caller]
    fn check((from, to, zone): (&str, &str, &str), now: &str, until: Option<&str>) {
        let (from, to, zone) = (Minute::parse(from).unwrap(), Minute::parse(to).unwrap(), Zone::parse(zone).unwrap());
        let quiet = QuietHours { from, to, zone, except: Except::Critical };
        assert_eq!(quiet.until(at(now), Severity::Warning), until.map(at), "{now}");
        assert_eq!(quiet.until(at(now), Severity::Critical), None, "{now}");
        let all = QuietHours { except: Except::Nothing, ..quiet };
        assert_eq!(all.until(at(now), Severity::Critical), until.map(at), "{now}");
    }

    #[test]
    fn a_night_lasts_until_morning_wherever_it_is() {
        let utc = ("22:00", "07:00", "UTC");
        check(utc, "2026-11-22T21:59:59.999Z", None);
        check(utc, "2026-11-22T22:00:00Z", Some("2026-11-23T07:00:00Z"));
        check(utc, "2026-11-23T06:59:59.999Z", Some("2026-11-23T07:00:00Z"));
        check(utc, "2026-11-23T07:00:00Z", None);
        let east = ("22:00", "07:00", "+05:30");
        check(east, "2026-11-22T16:30:00Z", Some("2026-11-23T01:30:00Z"));
        check(east, "2026-11-22T16:29:00Z", None);
        check(("12:00", "13:00", "-03:00"), "2026-11-22T15:20:30Z", Some("2026-11-22T16:00:00Z"));
    }

    #[test]
    fn words_are_read_and_written() {
        for text in ["UTC", "+02:00", "-09:30"] {
            assert_eq!(Zone::parse(text).unwrap().written(), text);
        }
        for text in ["Europe/Berlin", "+2", "+15:00", "02:00", ""] {
            assert!(Zone::parse(text).is_err(), "{text}");
        }
        for text in ["24:00", "7:00", "07:60", "07", "+7:00"] {
            assert!(Minute::parse(text).is_err(), "{text}");
        }
    }
}
