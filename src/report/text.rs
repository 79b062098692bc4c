//! Words for people: keys, facts and paragraphs, safe to print on a terminal.

use std::borrow::Cow;

use serde_json::Value;

use super::document::{Column, Document, Expected, Fields, Observed};
use crate::model::Op;
use crate::model::finding::State;

/// The text with everything escaped that could steer a terminal or hide what follows: control characters and the marks
/// that change the direction of writing.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let escape = |c: char| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() };
    Cow::Owned(text.chars().map(escape).collect())
}

fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `limit` characters, the last of them `…` where more are left out.
#[must_use]
pub fn shortened(text: &str, limit: usize) -> String {
    if text.chars().count() <= limit {
        return text.to_owned();
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// A value as people read it: texts without quotes.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => printable(text).into_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            printable(&value.to_string()).into_owned()
        }
    }
}

/// `id=42, region=eu`.
pub(super) fn pairs(fields: &Fields) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, field)| format!("{}={}", printable(name), value(field))).collect();
    pairs.join(", ")
}

/// What a finding is about, in a few words: its key, or what stands in its place.
#[must_use]
pub fn about(document: &Document) -> String {
    if let Some(key) = &document.key {
        return pairs(key);
    }
    let op = document.expected.as_ref().and_then(|expected| expected.op);
    match (document.count, op) {
        (Some(count), Some(op)) => format!("{count} keys ({})", op.word()),
        (Some(count), None) => format!("{count} keys"),
        (None, _) => String::new(),
    }
}

/// One line: `unapplied_delete of public.customers id=42 at orders/3:991`.
#[must_use]
pub fn headline(document: &Document) -> String {
    let mut line = document.kind.word().to_owned();
    if let Some(table) = &document.table {
        line.push_str(" of ");
        line.push_str(&printable(table));
    }
    let about = about(document);
    for (word, part) in [(" ", about), (" at ", document.position())] {
        if !part.is_empty() {
            line.push_str(word);
            line.push_str(&printable(&part));
        }
    }
    line
}

/// Everything a finding says, as labelled lines in reading order.
#[must_use]
pub fn facts(document: &Document) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("id", document.id.clone()),
        ("kind", document.kind.word().to_owned()),
        ("cause", document.cause.word().to_owned()),
        ("severity", document.severity.word().to_owned()),
        ("state", state(document)),
        ("pipeline", document.pipeline.clone()),
    ];
    let table = document.table.as_ref().map(|table| match &document.target {
        Some(target) => format!("{table}, on the target {target}"),
        None => table.clone(),
    });
    let samples: Vec<String> = document.samples.iter().map(|key| format!("({})", pairs(key))).collect();
    let optional = [
        ("table", table),
        ("key", document.key.as_ref().map(pairs)),
        ("expected", document.expected.as_ref().map(expected)),
        ("observed", document.observed.as_ref().map(observed)),
        ("left out", (!document.not_compared.is_empty()).then(|| document.not_compared.join(", "))),
        ("source", source(document)),
        ("behind", behind(document.versions_behind)),
        ("count", document.count.map(|count| format!("{count} keys"))),
        ("samples", (!samples.is_empty()).then(|| samples.join(", "))),
        ("reason", document.reason.clone()),
        ("detail", document.detail.clone()),
        ("proof", document.proof.map(|proof| proof.word().to_owned())),
        ("evidence", (!document.evidence.is_empty()).then(|| document.evidence.clone())),
        ("first seen", Some(document.first_seen.rfc3339())),
        ("last seen", Some(last_seen(document))),
        ("found by", document.audit.clone()),
        ("note", document.note.clone()),
    ];
    facts.extend(optional.into_iter().filter_map(|(label, fact)| Some((label, fact?))));
    facts.into_iter().map(|(label, fact)| (label, printable(&fact).into_owned())).collect()
}

fn state(document: &Document) -> String {
    match document.healed_at {
        Some(at) if document.state == State::Healed => format!("healed at {}", at.rfc3339()),
        Some(_) | None => match document.ignored.as_ref().and_then(|ignored| ignored.until) {
            Some(until) => format!("{} until {}", document.state.word(), until.rfc3339()),
            None => document.state.word().to_owned(),
        },
    }
}

fn last_seen(document: &Document) -> String {
    let at = document.last_seen.rfc3339();
    match document.observations {
        0 => at,
        1 => format!("{at}, by 1 read"),
        reads => format!("{at}, by {reads} reads"),
    }
}

fn behind(versions: u32) -> Option<String> {
    match versions {
        0 => None,
        1 => Some("1 version".to_owned()),
        more => Some(format!("{more} versions")),
    }
}

fn expected(expected: &Expected) -> String {
    let what = match expected.op {
        Some(Op::Delete) => "no row after the delete",
        Some(Op::Truncate) => "no rows after the truncate",
        Some(Op::Insert) => "the row of the insert",
        Some(Op::Update) => "the row of the update",
        Some(Op::Read) => "the row of the snapshot",
        None => "the record",
    };
    let at = &expected.at;
    let mut text = format!("{what} at {at}");
    let source = at.source.as_ref().map(|source| format!("source {source}"));
    let committed = at.committed_at.as_ref().map(|moment| format!("committed {moment}"));
    let told: Vec<String> = source.into_iter().chain(committed).collect();
    if !told.is_empty() {
        text.push_str(&format!(" ({})", told.join(", ")));
    }
    if let Some(latest) = &expected.latest {
        text.push_str(&format!("; lost up to {latest}"));
    }
    text
}

fn observed(observed: &Observed) -> String {
    let what = if observed.row.is_some() { "a row" } else { "no row" };
    let mut text = format!("{what}, read {}", observed.at.rfc3339());
    if let Some(version) = &observed.matches {
        text.push_str(&format!("; it is the version of {version}"));
    }
    text
}

/// What was told last of the source's row.
fn source(document: &Document) -> Option<String> {
    let yes = |holds| if holds { "yes" } else { "no" };
    let told = document.history.iter().rev().find(|event| event.matching_with_source.is_some())?;
    let (available, matching) = (told.available_in_target?, told.matching_with_source?);
    let note = told.note.as_deref().map(|note| format!(": {note}")).unwrap_or_default();
    let at = told.at.rfc3339();
    Some(format!("available in target: {}; matching with source: {}; {at}{note}", yes(available), yes(matching)))
}

/// Name, expected and observed text of a column that differs.
#[must_use]
pub fn sides(column: &Column) -> (String, String, String) {
    let side = |text: &Option<String>| text.as_deref().map_or("(not known)".into(), printable).into_owned();
    (printable(&column.name).into_owned(), side(&column.expected), side(&column.observed))
}

/// The paragraph in lines of at most `width` characters, words kept whole.
pub(super) fn wrapped(paragraph: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in paragraph.split_whitespace() {
        let used = lines.last().map_or(0, |line| line.chars().count());
        if used > 0 && used + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_steers_a_terminal() {
        let rows = [
            ("plain ü 漢", "plain ü 漢"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("a\nb\tc\u{9b}", "a\\u{a}b\\u{9}c\\u{9b}"),
            ("abc\u{202e}txt", "abc\\u{202e}txt"),
        ];
        for (text, expected) in rows {
            assert_eq!(printable(text), expected);
        }
    }

    #[test]
    fn long_texts_end_in_an_ellipsis_and_paragraphs_in_whole_words() {
        assert_eq!((shortened("abcdef", 6), shortened("äbcdefg", 6)), ("abcdef".to_owned(), "äbcde…".to_owned()));
        assert_eq!(wrapped("one two three four", 9), ["one two", "three", "four"]);
        assert_eq!(wrapped("unbreakably", 4), ["unbreakably"]);
    }
}
