//! Positions as users write them, in kcat's grammar.
//!
//! `beginning | end | stored | N | -N | s@MILLIS | s@RFC3339 | RFC3339 | last 2h`, and `p:POSITION` for one partition.
//! A position stands *before* a record: reading `--from 5 --to 8` gives the offsets 5, 6 and 7.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::Wall;
use crate::model::position::PartitionName;

/// One place in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The first record the log still holds.
    Beginning,
    /// Behind the last record.
    End,
    /// What the configured group committed.
    Stored,
    /// Before this offset.
    Offset(u64),
    /// This many offsets before the end.
    BeforeEnd(u64),
    /// Before the first record appended at this time or later.
    Time(Wall),
}

/// A place for each partition: one for all, others for the numbers that are pinned, and before those, others for single
/// partitions of single topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Places {
    rest: Place,
    pinned: BTreeMap<i32, Place>,
    named: BTreeMap<PartitionName, Place>,
}

/// A position that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// None of the forms.
    #[error("`{0}` is no position: {FORMS}")]
    Form(String),
    /// A number past 64 bits.
    #[error("`{0}` is past the largest offset, 9223372036854775807")]
    TooLarge(String),
    /// A time without a zone, or otherwise broken.
    #[error(
        "`{0}` is no time: write milliseconds since 1970 (`s@1795312813127`) or RFC 3339 with a zone (`2026-11-22T10:00:00Z`)"
    )]
    Time(String),
    /// A duration that cannot be read.
    #[error("`{0}` is no duration: write `last 2h`, `last 90s` or `last 1day 6h`")]
    Duration(String),
    /// The same partition twice.
    #[error("partition {0} is given two positions: keep one of them")]
    PinnedTwice(i32),
    /// Two positions without a partition.
    #[error("`{0}` and `{1}` are both for every partition: keep one, or pin partitions (`0:991`)")]
    Twice(Place, Place),
}

const FORMS: &str = "expected `beginning`, `end`, `stored`, an offset (`991`), an offset from the end (`-10`), a time \
                     (`s@1795312813127`, `2026-11-22T10:00:00Z`), `last 2h`, or any of these for one partition (`0:991`)";

impl Places {
    /// The same place in every partition.
    #[must_use]
    pub fn all(place: Place) -> Places {
        Places { rest: place, pinned: BTreeMap::new(), named: BTreeMap::new() }
    }

    /// These offsets, and the end of every other partition.
    #[must_use]
    pub fn onward(offsets: impl IntoIterator<Item = (PartitionName, u64)>) -> Places {
        let named = offsets.into_iter().map(|(name, offset)| (name, Place::Offset(offset)));
        Places { rest: Place::End, pinned: BTreeMap::new(), named: named.collect() }
    }

    /// The same, but for these partitions, which go on at these offsets.
    #[must_use]
    pub fn going_on(mut self, offsets: impl IntoIterator<Item = (PartitionName, u64)>) -> Places {
        self.named.extend(offsets.into_iter().map(|(name, offset)| (name, Place::Offset(offset))));
        self
    }

    /// From what the user wrote, once or several times. `default` is the place of partitions that nothing is said of;
    /// `now` is what `last 2h` counts from.
    ///
    /// # Errors
    /// [`PlaceError`], which says what would be right.
    pub fn parse<'a>(
        texts: impl IntoIterator<Item = &'a str>,
        default: Place,
        now: Wall,
    ) -> Result<Places, PlaceError> {
        let mut rest = None;
        let mut pinned = BTreeMap::new();
        for text in texts {
            let text = text.trim();
            match pin(text)? {
                Some((partition, place)) => {
                    if pinned.insert(partition, self::place(place, now)?).is_some() {
                        return Err(PlaceError::PinnedTwice(partition));
                    }
                }
                None => {
                    let place = self::place(text, now)?;
                    if let Some(earlier) = rest.replace(place) {
                        return Err(PlaceError::Twice(earlier, place));
                    }
                }
            }
        }
        Ok(Places { rest: rest.unwrap_or(default), pinned, named: BTreeMap::new() })
    }

    /// The place of one partition.
    #[must_use]
    pub fn of(&self, name: &PartitionName) -> Place {
        let pinned = self.named.get(name).or_else(|| self.pinned.get(&name.partition));
        pinned.copied().unwrap_or(self.rest)
    }

    /// Whether any partition is asked for by `test`.
    pub(super) fn any(&self, test: impl Fn(Place) -> bool) -> bool {
        test(self.rest) || self.pinned.values().chain(self.named.values()).copied().any(test)
    }
}

/// The last moment that RFC 3339 can write: years have four digits.
const LAST_WRITTEN: Wall = Wall(253_402_300_799_999);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Beginning => f.write_str("beginning"),
            Place::End => f.write_str("end"),
            Place::Stored => f.write_str("stored"),
            Place::Offset(offset) => write!(f, "{offset}"),
            Place::BeforeEnd(count) => write!(f, "-{count}"),
            Place::Time(at) if *at <= LAST_WRITTEN => f.write_str(&at.rfc3339()),
            Place::Time(at) => write!(f, "s@{}", at.0),
        }
    }
}

/// `p:POSITION`, split. A time holds colons too, but never behind digits alone.
fn pin(text: &str) -> Result<Option<(i32, &str)>, PlaceError> {
    match text.split_once(':') {
        Some((number, place)) if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) => {
            let partition = number.parse().map_err(|_| PlaceError::TooLarge(number.to_owned()))?;
            Ok(Some((partition, place.trim())))
        }
        Some(_) | None => Ok(None),
    }
}

fn place(text: &str, now: Wall) -> Result<Place, PlaceError> {
    match text {
        "beginning" => return Ok(Place::Beginning),
        "end" => return Ok(Place::End),
        "stored" => return Ok(Place::Stored),
        _ => {}
    }
    if let Some(time) = text.strip_prefix("s@") {
        return self::time(time).map(Place::Time);
    }
    if let Some(duration) = text.strip_prefix("last ") {
        return since(duration, now);
    }
    if let Some(count) = text.strip_prefix('-').filter(|digits| is_number(digits)) {
        return number(count).map(Place::BeforeEnd);
    }
    if is_number(text) {
        return number(text).map(Place::Offset);
    }
    // A date begins with a year; whatever else it lacks, that is what was meant.
    if text.len() >= 8 && text.as_bytes()[4] == b'-' {
        return self::time(text).map(Place::Time);
    }
    Err(PlaceError::Form(text.to_owned()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Offsets are signed 64-bit numbers on the wire.
fn number(text: &str) -> Result<u64, PlaceError> {
    let number = text.parse::<i64>().map_err(|_| PlaceError::TooLarge(text.to_owned()))?;
    Ok(number.unsigned_abs())
}

fn time(text: &str) -> Result<Wall, PlaceError> {
    if is_number(text) {
        return text.parse().map(Wall).map_err(|_| PlaceError::Time(text.to_owned()));
    }
    // Kafka has no time before 1970: it takes negative ones for places.
    let at = chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| Wall(at.timestamp_millis()));
    at.filter(|at| at.0 >= 0).ok_or_else(|| PlaceError::Time(text.to_owned()))
}

fn since(duration: &str, now: Wall) -> Result<Place, PlaceError> {
    let duration =
        humantime::parse_duration(duration.trim()).map_err(|_| PlaceError::Duration(duration.trim().to_owned()))?;
    let millis = i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    Ok(Place::Time(Wall(now.0.saturating_sub(millis).max(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Wall = Wall(1_795_341_600_000);

    fn parse(texts: &[&str]) -> Result<Places, PlaceError> {
        Places::parse(texts.iter().copied(), Place::Stored, NOW)
    }

    fn check(text: &str, expected: Place) {
        assert_eq!(parse(&[text]), Ok(Places::all(expected)), "{text}");
    }

    #[test]
    fn every_form_is_read() {
        check("beginning", Place::Beginning);
        check("end", Place::End);
        check("stored", Place::Stored);
        check(" 991 ", Place::Offset(991));
        check("-10", Place::BeforeEnd(10));
        check("s@1795312813127", Place::Time(Wall(1_795_312_813_127)));
        check("s@2026-11-22T10:00:00Z", Place::Time(NOW));
        check("2026-11-22T10:00:00Z", Place::Time(NOW));
        check("2026-11-22T11:00:00.000+01:00", Place::Time(NOW));
        check("last 2h", Place::Time(Wall(NOW.0 - 7_200_000)));
        check("last 1day 6h", Place::Time(Wall(NOW.0 - 108_000_000)));
    }

    #[test]
    fn pins_repeat_and_leave_the_others_alone() {
        let places = parse(&["0:991", "1:-5", "7:2026-11-22T10:00:00Z", "end"]).unwrap();
        let of = |places: &Places, partition| places.of(&PartitionName { topic: "a".into(), partition });
        assert_eq!(of(&places, 0), Place::Offset(991));
        assert_eq!(of(&places, 1), Place::BeforeEnd(5));
        assert_eq!(of(&places, 7), Place::Time(NOW));
        assert_eq!(of(&places, 2), Place::End);
        assert_eq!(of(&parse(&["3:beginning"]).unwrap(), 0), Place::Stored, "the default");
        assert_eq!(of(&parse(&[]).unwrap(), 0), Place::Stored);
    }

    #[test]
    fn onward_tells_partitions_of_one_number_apart() {
        let name = |topic: &str| PartitionName { topic: topic.into(), partition: 0 };
        let places = Places::onward([(name("a"), 10), (name("b"), 1_000)]);
        assert_eq!(places.of(&name("a")), Place::Offset(10));
        assert_eq!(places.of(&name("b")), Place::Offset(1_000));
        assert_eq!(places.of(&name("c")), Place::End);
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let rows = [
            ("begining", "`begining` is no position: expected `beginning`"),
            ("", "`` is no position"),
            ("+5", "`+5` is no position"),
            ("--5", "`--5` is no position"),
            ("0:", "`` is no position"),
            ("x:5", "`x:5` is no position"),
            ("99999999999999999999", "past the largest offset"),
            ("9999999999:5", "past the largest offset"),
            ("s@yesterday", "`yesterday` is no time: write milliseconds"),
            ("2026-11-22T10:00:00", "with a zone"),
            ("2026-13-22T10:00:00Z", "is no time"),
            ("1969-12-31T23:59:59Z", "is no time"),
            ("last week", "`week` is no duration: write `last 2h`"),
        ];
        for (text, expected) in rows {
            let error = parse(&[text]).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        assert_eq!(parse(&["1:5", "1:6"]), Err(PlaceError::PinnedTwice(1)));
        assert_eq!(parse(&["5", "end"]), Err(PlaceError::Twice(Place::Offset(5), Place::End)));
    }
}
