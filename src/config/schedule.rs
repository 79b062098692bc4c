//! When something is run by the clock: cron, in UTC or at a fixed offset from it.
//!
//! Times are instants: a zone is an offset and knows no daylight saving, so that no run comes twice or never where clocks are set.

use std::time::Duration;

use chrono::{DateTime, FixedOffset};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use secrecy::SecretString;

use super::alert::quiet::Zone;
use super::word::Schedule;
use crate::model::Wall;

/// A run by the clock.
#[derive(Debug, Clone)]
pub struct ScheduledRun {
    /// What it is called in the log, in metrics and in the store. One pipeline has no two of a name.
    pub name: String,
    /// What is run.
    pub run: Schedule,
    /// When.
    pub timetable: Timetable,
    /// What was logged up to so long before the run.
    pub offset: Duration,
    /// `import`: the database with the failures; `None`: the target. May hold a password.
    pub failures: Option<SecretString>,
}

/// The times of a cron expression.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Box<Cron>,
    zone: Zone,
}

/// What is to be done at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The run of this time, the newest of those that were not done: several that were missed are one.
    Now(Wall),
    /// Nothing before then.
    At(Wall),
    /// Nothing, ever: the expression has no further time.
    Never,
}

impl Timetable {
    /// Reads five fields: minute, hour, day of the month, month, day of the week.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse(text: &str, zone: Zone) -> Result<Timetable, String> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(text).map_err(|error| {
            format!("`{text}` is no time of cron: expected five fields such as \"0 * * * *\" ({error})")
        })?;
        Ok(Timetable { cron: Box::new(cron), zone })
    }

    /// What is to be done at `now`, where the run of `done`, and those before, are done.
    #[must_use]
    pub fn due(&self, done: Wall, now: Wall) -> Due {
        match (self.last(now), self.next(now)) {
            (Some(last), _) if last > done => Due::Now(last),
            (_, Some(next)) => Due::At(next),
            (_, None) => Due::Never,
        }
    }

    /// What the run of `due` is about: from the end of what was covered, or from the time before, each less the offset.
    #[must_use]
    pub fn slice(&self, covered: Wall, due: Wall, offset: Duration) -> (Wall, Wall) {
        let before = self.last(Wall(due.0 - 1)).unwrap_or(covered);
        let back = i64::try_from(offset.as_millis()).unwrap_or(i64::MAX);
        (Wall(covered.min(before).0.saturating_sub(back)), Wall(due.0.saturating_sub(back)))
    }

    /// The first time behind this moment.
    #[must_use]
    pub fn next(&self, after: Wall) -> Option<Wall> {
        let next = self.cron.find_next_occurrence(&self.local(after)?, false).ok()?;
        Some(Wall(next.timestamp_millis()))
    }

    /// The last time not behind this moment.
    fn last(&self, upto: Wall) -> Option<Wall> {
        // A time has whole seconds.
        let upto = Wall(upto.0.div_euclid(1_000) * 1_000);
        let last = self.cron.find_previous_occurrence(&self.local(upto)?, true).ok()?;
        Some(Wall(last.timestamp_millis()))
    }

    fn local(&self, at: Wall) -> Option<DateTime<FixedOffset>> {
        let zone = FixedOffset::east_opt(i32::try_from(self.zone.0.checked_mul(60)?).ok()?)?;
        Some(DateTime::from_timestamp_millis(at.0)?.with_timezone(&zone))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::unit::Scalar as _;

    fn at(text: &str) -> Wall {
        Wall(DateTime::parse_from_rfc3339(text).unwrap().timestamp_millis())
    }

    fn table(cron: &str, zone: &str) -> Timetable {
        Timetable::parse(cron, Zone::parse(zone).unwrap()).unwrap()
    }

    #[track_caller]
    fn check((cron, zone): (&str, &str), (done, now): (&str, &str), expected: Due) {
        assert_eq!(table(cron, zone).due(at(done), at(now)), expected, "{cron} {zone}: {done}, {now}");
    }

    #[test]
    fn a_run_is_due_once_at_its_time() {
        let hourly = ("0 * * * *", "UTC");
        let (nine, ten) = ("2026-11-22T09:00:00Z", "2026-11-22T10:00:00Z");
        check(hourly, (nine, "2026-11-22T09:00:00Z"), Due::At(at(ten)));
        check(hourly, (nine, "2026-11-22T09:59:59.999Z"), Due::At(at(ten)));
        check(hourly, (nine, ten), Due::Now(at(ten)));
        check(hourly, (nine, "2026-11-22T10:00:00.500Z"), Due::Now(at(ten)));
        check(hourly, (nine, "2026-11-22T10:59:00Z"), Due::Now(at(ten)));
        check(hourly, (ten, "2026-11-22T10:00:00.500Z"), Due::At(at("2026-11-22T11:00:00Z")));
    }

    #[test]
    fn runs_that_were_missed_are_one() {
        let hourly = ("0 * * * *", "UTC");
        check(hourly, ("2026-11-20T09:00:00Z", "2026-11-22T10:20:00Z"), Due::Now(at("2026-11-22T10:00:00Z")));
        // It was met first between two times: nothing was missed.
        check(hourly, ("2026-11-22T09:30:00Z", "2026-11-22T09:40:00Z"), Due::At(at("2026-11-22T10:00:00Z")));
        // A clock that was set back repeats nothing.
        check(hourly, ("2026-11-22T10:00:00Z", "2026-11-22T08:10:00Z"), Due::At(at("2026-11-22T09:00:00Z")));
        check(hourly, ("2026-11-22T10:00:00Z", "2026-11-22T09:10:00Z"), Due::At(at("2026-11-22T10:00:00Z")));
    }

    #[test]
    fn a_zone_is_an_offset_all_the_year() {
        let nightly = ("30 2 * * *", "+02:00");
        // In Berlin clocks are set at 02:00 and 03:00 of these days; here each day has one 02:30.
        for day in ["2026-03-29", "2026-10-25"] {
            let due = at(&format!("{day}T00:30:00Z"));
            check(nightly, (&format!("{day}T00:00:00Z"), &format!("{day}T00:29:59Z")), Due::At(due));
            check(nightly, (&format!("{day}T00:00:00Z"), &format!("{day}T23:00:00Z")), Due::Now(due));
        }
        check(("0 0 31 2 *", "UTC"), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"), Due::Never);
        check(
            ("0 6 * * MON", "-05:00"),
            ("2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z"),
            Due::At(at("2026-11-23T11:00:00Z")),
        );
    }

    #[test]
    fn a_run_is_about_what_was_logged_until_the_offset() {
        let (hourly, hour) = (table("0 * * * *", "UTC"), Duration::from_secs(3_600));
        let slice = |covered, due| hourly.slice(at(covered), at(due), hour);
        let ten = "2026-11-22T10:00:00Z";
        assert_eq!(slice("2026-11-22T09:00:00Z", ten), (at("2026-11-22T08:00:00Z"), at("2026-11-22T09:00:00Z")));
        // After runs that were missed, or failed, it begins where the last one ended.
        assert_eq!(slice("2026-11-22T04:00:00Z", ten), (at("2026-11-22T03:00:00Z"), at("2026-11-22T09:00:00Z")));
        // The first of all has a whole hour too.
        assert_eq!(slice("2026-11-22T09:40:00Z", ten), (at("2026-11-22T08:00:00Z"), at("2026-11-22T09:00:00Z")));
    }

    #[test]
    fn what_is_no_cron_says_what_would_be() {
        for text in ["", "* * * *", "0 0 * * * *", "61 * * * *", "every hour"] {
            let message = Timetable::parse(text, Zone(0)).unwrap_err();
            assert!(message.contains("expected five fields"), "{text}: {message}");
        }
    }
}
