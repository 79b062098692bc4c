//! Times and durations in the words of a sentence. All of them are UTC.

use chrono::{DateTime, Utc};

use crate::model::Wall;

/// `14:02:31`, with its day where that is another one.
pub(super) fn clock(at: Wall, now: Wall) -> String {
    let today = utc(at).map(|at| at.date_naive()) == utc(now).map(|now| now.date_naive());
    written(at, if today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" })
}

/// `09:12`, `Monday` or `2026-11-02`: as exact as somebody would say it.
pub(super) fn since(at: Wall, now: Wall) -> String {
    let day = |of| utc(of).map(|of| of.date_naive());
    let days = day(now).zip(day(at)).map(|(now, at)| (now - at).num_days());
    match days {
        Some(0) => written(at, "%H:%M"),
        Some(1..=6) => written(at, "%A"),
        Some(_) | None => written(at, "%Y-%m-%d"),
    }
}

/// `41 s`, `12 min`, `3.5 h`, `2.1 days`.
pub(super) fn length(seconds: f64) -> String {
    match seconds {
        short if short < 10.0 => format!("{short:.1} s"),
        short if short < 120.0 => format!("{short:.0} s"),
        minutes if minutes < 7_200.0 => format!("{:.0} min", minutes / 60.0),
        hours if hours < 172_800.0 => format!("{:.1} h", hours / 3_600.0),
        days => format!("{:.1} days", days / 86_400.0),
    }
}

/// The moment of a published text.
pub(super) fn parsed(text: &str) -> Option<Wall> {
    DateTime::parse_from_rfc3339(text).ok().map(|at| Wall(at.timestamp_millis()))
}

fn utc(at: Wall) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_millis(at.0)
}

fn written(at: Wall, style: &str) -> String {
    utc(at).map_or_else(|| at.rfc3339(), |at| at.format(style).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_as_exact_as_they_need_to_be() {
        let at = |text| parsed(text).unwrap();
        let now = at("2026-11-22T10:00:00Z");
        let rows = [
            ("2026-11-22T09:12:01Z", "09:12:01", "09:12"),
            ("2026-11-16T23:59:00Z", "2026-11-16 23:59:00", "Monday"),
            ("2026-11-02T08:00:00Z", "2026-11-02 08:00:00", "2026-11-02"),
        ];
        for (text, exact, said) in rows {
            assert_eq!((clock(at(text), now), since(at(text), now)), (exact.to_owned(), said.to_owned()));
        }
        assert_eq!(
            [0.25, 41.0, 700.0, 9_000.0, 200_000.0].map(length),
            ["0.2 s", "41 s", "12 min", "2.5 h", "2.3 days"]
        );
    }
}
