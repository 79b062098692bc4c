//! Flags become checked values. Each function notes its mistakes and goes on, so that all are told at once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::args;
use crate::config::check::archive_place;
use crate::config::condition::parse;
use crate::config::problem::Problems;
use crate::config::unit::{Scalar, Size, Span};
use crate::config::{Bound, Place};
use crate::model::finding::{Kind, Severity, State};
use crate::model::{Condition, Op, Wall};
use crate::runtime::Clock;
use crate::runtime::entry::{Destination, Range, Speed, Until};

/// A range of a tap.
pub(super) fn range(raw: &args::Range, problems: &mut Problems) -> Option<Range> {
    let from = bound("--from", &raw.from, problems);
    let to = bound("--to", &raw.to, problems);
    let range = Range { from: from?, to: to? };
    problems.take("--to", range.is_sensible().map(|()| range))
}

pub(super) fn bound(flag: &str, places: &[String], problems: &mut Problems) -> Option<Bound> {
    let read: Vec<Option<Place>> = places.iter().map(|text| problems.take(flag, Place::parse(text))).collect();
    let places: Vec<Place> = read.into_iter().collect::<Option<_>>()?;
    problems.take(flag, Bound::of(&places))
}

/// A duration.
pub(super) fn duration(flag: &str, text: &str, problems: &mut Problems) -> Option<Duration> {
    problems.take(flag, Span::parse(text)).map(|span| span.0)
}

/// A moment to come: a time, or so long from now.
pub(super) fn until(flag: &str, text: &str, problems: &mut Problems) -> Option<Until> {
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(Until::At(Wall(at.timestamp_millis())));
    }
    let wrong =
        format!("`{text}` is no moment to come: expected a time (2026-11-22T10:00:00Z), or so long from now (7d)");
    problems.take(flag, Span::parse(text).map_err(|_| wrong)).map(|span| Until::In(span.0))
}

/// A moment that is over: a time, or so long ago.
pub(super) fn since(flag: &str, text: &str, problems: &mut Problems) -> Option<Wall> {
    if let Ok(at) = chrono::DateTime::parse_from_rfc3339(text) {
        return Some(Wall(at.timestamp_millis()));
    }
    let wrong = format!("`{text}` is no moment: expected a time (2026-11-22T10:00:00Z), or so long ago (2h)");
    let ago = problems.take(flag, Span::parse(text).map_err(|_| wrong))?.0;
    let now = Clock::start();
    let now = now.wall(now.now());
    Some(Wall(now.0.saturating_sub(i64::try_from(ago.as_millis()).unwrap_or(i64::MAX))))
}

/// A condition on rows.
pub(super) fn condition(flag: &str, text: &str, problems: &mut Problems) -> Option<Condition> {
    problems.take(flag, parse(text))
}

/// A size in bytes.
pub(super) fn size(flag: &str, text: &str, problems: &mut Problems) -> Option<u64> {
    problems.take(flag, Size::parse(text)).map(|size| size.0)
}

/// The place of an archive, as `archive:URL`.
pub(super) fn archive(flag: &str, text: &str, problems: &mut Problems) -> Option<String> {
    let place = text.strip_prefix("archive:").map(|place| place.strip_prefix("//").unwrap_or(place));
    let place = place.ok_or_else(|| format!("`{text}` is no archive: expected archive:FOLDER"));
    let place = problems.take(flag, place)?;
    problems.take(flag, archive_place(place).map(|()| place.to_owned()))
}

/// Where `replay` plays to.
pub(super) fn into(flag: &str, text: &str, problems: &mut Problems) -> Option<Destination> {
    problems.take(flag, destination(text))
}

fn destination(text: &str) -> Result<Destination, String> {
    let wrong = || {
        format!(
            "`{text}` is no place to play to: expected kafka://HOST:PORT, kafka://HOST:PORT/TOPIC, file:PATH or file:-"
        )
    };
    if let Some(path) = text.strip_prefix("file:").filter(|path| !path.is_empty()) {
        return Ok(if path == "-" { Destination::Output } else { Destination::File(path.into()) });
    }
    let rest = text.strip_prefix("kafka://").ok_or_else(wrong)?;
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (brokers, topic) = place.split_once('/').unwrap_or((place, ""));
    let mut properties = BTreeMap::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let property = parameter.strip_prefix("properties.").and_then(|property| property.split_once('='));
        let (name, value) = property.ok_or_else(wrong)?;
        properties.insert(name.to_owned(), value.to_owned());
    }
    if brokers.is_empty() || topic.contains([',', '/']) {
        return Err(wrong());
    }
    let topic = Some(topic.to_owned()).filter(|topic| !topic.is_empty());
    Ok(Destination::Topics { brokers: brokers.to_owned(), topic, properties })
}

/// A speed: a number above 0, or `max`.
pub(super) fn speed(flag: &str, text: &str, problems: &mut Problems) -> Option<Speed> {
    let times = || text.parse().ok().filter(|times: &f64| *times > 0.0 && times.is_finite()).map(Speed::Times);
    let speed = if text == "max" { Some(Speed::Max) } else { times() };
    problems
        .take(flag, speed.ok_or_else(|| format!("`{text}` is no speed: expected a number above 0, such as 10, or max")))
}

/// Operations by their words.
pub(super) fn ops(flag: &str, words: &[String], problems: &mut Problems) -> Vec<Op> {
    let all = [Op::Insert, Op::Read, Op::Update, Op::Delete, Op::Truncate];
    each(flag, words, &all.map(|op| (op.word(), op)), problems)
}

/// Kinds by their words.
pub(super) fn kinds(flag: &str, words: &[String], problems: &mut Problems) -> Vec<Kind> {
    let all: Vec<_> = Kind::ALL.iter().map(|kind| (kind.word(), *kind)).collect();
    each(flag, words, &all, problems)
}

/// States by their words.
pub(super) fn states(flag: &str, words: &[String], problems: &mut Problems) -> Vec<State> {
    let all: Vec<_> = State::ALL.iter().map(|state| (state.word(), *state)).collect();
    each(flag, words, &all, problems)
}

/// A severity by its word.
pub(super) fn severity(flag: &str, word: &str, problems: &mut Problems) -> Option<Severity> {
    let all: Vec<_> = Severity::ALL.iter().map(|severity| (severity.word(), *severity)).collect();
    each(flag, &[word.to_owned()], &all, problems).pop()
}

fn each<T: Copy>(flag: &str, words: &[String], all: &[(&'static str, T)], problems: &mut Problems) -> Vec<T> {
    let known: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    let found = words.iter().map(|word| {
        let value = all.iter().find(|(known, _)| known == word).map(|(_, value)| *value);
        problems.take(flag, value.ok_or_else(|| crate::config::unit::not_among(word, &known)))
    });
    found.collect::<Vec<_>>().into_iter().flatten().collect()
}
