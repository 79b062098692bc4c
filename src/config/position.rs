//! Positions on a tap in kcat's grammar, and a little more.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::unit::{Scalar, field};

/// A position of any partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The oldest record that exists: `beginning`.
    Beginning,
    /// The end at the start of the command: `end`.
    End,
    /// What the group has committed: `stored`.
    Stored,
    /// An offset: `991`.
    Offset(u64),
    /// So many records before the end: `-5`.
    Tail(u64),
    /// The first record appended at or after this moment, in milliseconds since the Unix epoch: `s@1763805600000`,
    /// `s@2026-11-22T10:00:00Z`, or the bare time.
    Time(i64),
    /// The first record appended within this long before the start of the command: `last 2h`.
    Last(Duration),
}

/// One position as written: for every partition, or pinned to one (`3:991`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The partition it is pinned to.
    pub partition: Option<i32>,
    /// The position.
    pub start: Start,
}

/// A position of each partition of a tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// The position of partitions that have none of their own. `None`: partitions that are not pinned are not read.
    pub everywhere: Option<Start>,
    /// The position of single partitions.
    pub pinned: BTreeMap<i32, Start>,
}

impl From<Start> for Bound {
    fn from(start: Start) -> Bound {
        Bound { everywhere: Some(start), pinned: BTreeMap::new() }
    }
}

impl Bound {
    /// Puts places together: at most one for all partitions, at most one for each single one.
    ///
    /// # Errors
    /// Two places for the same partitions.
    pub fn of(places: &[Place]) -> Result<Bound, String> {
        let mut bound = Bound { everywhere: None, pinned: BTreeMap::new() };
        for place in places {
            let (earlier, whose) = match place.partition {
                None => (bound.everywhere.replace(place.start), "all partitions".to_owned()),
                Some(partition) => (bound.pinned.insert(partition, place.start), format!("partition {partition}")),
            };
            if let Some(earlier) = earlier {
                return Err(format!("two positions for {whose}: `{earlier}` and `{}`; give one", place.start));
            }
        }
        Ok(bound)
    }
}

impl Start {
    /// Whether no record can lie at or behind this position and before `to`, whatever the tap holds.
    #[must_use]
    pub fn never_before(self, to: Start) -> bool {
        match (self, to) {
            (Start::End, _) | (_, Start::Beginning) | (Start::Stored, Start::Stored) => true,
            (Start::Offset(from), Start::Offset(to)) => from >= to,
            (Start::Tail(from), Start::Tail(to)) => from <= to,
            (Start::Time(from), Start::Time(to)) => from >= to,
            (Start::Last(from), Start::Last(to)) => from <= to,
            (
                Start::Beginning | Start::Stored | Start::Offset(_) | Start::Tail(_) | Start::Time(_) | Start::Last(_),
                Start::End | Start::Stored | Start::Offset(_) | Start::Tail(_) | Start::Time(_) | Start::Last(_),
            ) => false,
        }
    }
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Start::Beginning => f.write_str("beginning"),
            Start::End => f.write_str("end"),
            Start::Stored => f.write_str("stored"),
            Start::Offset(offset) => write!(f, "{offset}"),
            Start::Tail(count) => write!(f, "-{count}"),
            Start::Time(millis) => write!(f, "s@{millis}"),
            Start::Last(span) => write!(f, "last {}", humantime::format_duration(*span)),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.partition {
            Some(partition) => write!(f, "{partition}:{}", self.start),
            None => write!(f, "{}", self.start),
        }
    }
}

/// A time. Kafka has none before 1970: it takes negative ones for places.
fn rfc3339(text: &str) -> Option<i64> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| at.timestamp_millis()).filter(|millis| *millis >= 0)
}

/// Digits alone. Offsets and times are signed 64-bit numbers on the wire.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn offset(text: &str) -> Option<u64> {
    number(text).map(i64::unsigned_abs)
}

fn start(text: &str) -> Option<Start> {
    if let Some(time) = text.strip_prefix("s@") {
        return number(time).or_else(|| rfc3339(time)).map(Start::Time);
    }
    if let Some(span) = text.strip_prefix("last ") {
        return humantime::parse_duration(span.trim()).ok().map(Start::Last);
    }
    match text {
        "beginning" => Some(Start::Beginning),
        "end" => Some(Start::End),
        "stored" => Some(Start::Stored),
        _ => match text.strip_prefix('-') {
            Some(count) => offset(count).map(Start::Tail),
            None => offset(text).map(Start::Offset).or_else(|| rfc3339(text).map(Start::Time)),
        },
    }
}

impl Scalar for Place {
    fn expected() -> String {
        "beginning, end, stored, N, -N, s@MILLIS, s@RFC3339, an RFC 3339 time such as 2026-11-22T10:00:00Z, or \
         `last 2h`; P:POSITION pins partition P"
            .into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let pin = text.split_once(':').and_then(|(pin, rest)| Some((pin.parse::<u16>().ok()?, rest)));
        let (partition, rest) = pin.map_or((None, text), |(pin, rest)| (Some(i32::from(pin)), rest));
        let start =
            start(rest.trim()).ok_or_else(|| format!("`{text}` is no position: expected {}", Self::expected()))?;
        Ok(Place { partition, start })
    }

    fn written(&self) -> serde_json::Value {
        self.to_string().into()
    }
}

field!(Place);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_position_is_read() {
        for (text, partition, start) in [
            ("beginning", None, Start::Beginning),
            ("end", None, Start::End),
            ("stored", None, Start::Stored),
            ("991", None, Start::Offset(991)),
            ("-5", None, Start::Tail(5)),
            ("s@1763805600000", None, Start::Time(1_763_805_600_000)),
            ("s@2025-11-22T10:00:00Z", None, Start::Time(1_763_805_600_000)),
            ("2025-11-22T11:00:00+01:00", None, Start::Time(1_763_805_600_000)),
            ("last 2h", None, Start::Last(Duration::from_secs(7200))),
            ("3:991", Some(3), Start::Offset(991)),
            ("0:2025-11-22T10:00:00Z", Some(0), Start::Time(1_763_805_600_000)),
        ] {
            assert_eq!(Place::parse(text), Ok(Place { partition, start }), "{text}");
        }
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in [
            "",
            "first",
            "--5",
            "+5",
            "-+5",
            "3:",
            "s@soon",
            "s@-1",
            "1969-12-31T23:59:59Z",
            "9223372036854775808",
            "last",
            "last two hours",
            "1.5",
            "2025-11-22",
        ] {
            assert!(Place::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_that_can_hold_nothing_is_known_by_its_ends() {
        let start = |text: &str| Place::parse(text).unwrap().start;
        for (from, to, expected) in [
            ("end", "end", true),
            ("end", "99", true),
            ("5", "beginning", true),
            ("stored", "stored", true),
            ("8", "8", true),
            ("5", "8", false),
            ("-5", "-8", true),
            ("-8", "-5", false),
            ("last 1h", "last 2h", true),
            ("last 2h", "last 1h", false),
            ("2025-11-22T10:00:00Z", "s@1763805600000", true),
            ("beginning", "end", false),
            ("stored", "end", false),
            ("8", "-8", false),
            ("last 2h", "5", false),
        ] {
            assert_eq!(start(from).never_before(start(to)), expected, "{from} to {to}");
        }
    }

    #[test]
    fn places_come_together_without_contradiction() {
        let places = |texts: &[&str]| texts.iter().map(|text| Place::parse(text).unwrap()).collect::<Vec<_>>();
        let bound = Bound::of(&places(&["0:991", "1:120"])).unwrap();
        assert_eq!(bound.everywhere, None);
        assert_eq!(bound.pinned, BTreeMap::from([(0, Start::Offset(991)), (1, Start::Offset(120))]));
        assert_eq!(
            Bound::of(&places(&["0:991", "0:5"])),
            Err("two positions for partition 0: `991` and `5`; give one".into())
        );
    }
}
