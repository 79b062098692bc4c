//! The tables of histories and rules, and the SQL that both databases understand.

use super::Failure;
use super::merge::Recorded;
use crate::model::finding::Act;
use crate::report::document::Document;
use crate::report::life::{Event, IgnoreRule};

/// Rules of one store at a time: each is looked at for every finding that opens.
pub(super) const RULES_MAX: usize = 1_000;

/// Finding, at, event.
pub(super) const APPEND: &str = "INSERT INTO afterimage_history (finding, at, event) VALUES ($1, $2, $3)";

/// Finding.
pub(super) const LAST: &str = "SELECT event FROM afterimage_history WHERE finding = $1 ORDER BY number DESC LIMIT 1";

/// Id.
pub(super) const LOAD: &str = "SELECT id, document, extra FROM afterimage_finding WHERE id = $1";

/// Pipeline.
pub(super) const ANY_IGNORED: &str =
    "SELECT COUNT(*) FROM (SELECT 1 FROM afterimage_finding WHERE pipeline = $1 AND state = 'ignored' LIMIT 1) one";

/// Pipeline, table, key as JSON, an id that is not asked for. The newest that is set aside.
pub(super) const EARLIER: &str = "
    SELECT id, document, extra FROM afterimage_finding
    WHERE pipeline = $1 AND COALESCE(table_name, '') = $2 AND key_text = $3 AND id <> $4 AND state = 'ignored'
    ORDER BY last_seen DESC LIMIT 1";

/// Now, limit.
pub(super) const RUN_OUT: &str = "
    SELECT id FROM afterimage_finding WHERE state = 'ignored' AND ignored_until <= $1 ORDER BY id LIMIT $2";

/// Rule, limit.
pub(super) const BY_RULE: &str =
    "SELECT id FROM afterimage_finding WHERE state = 'ignored' AND ignored_rule = $1 ORDER BY id LIMIT $2";

/// Pipeline, or null for all.
pub(super) const RULES: &str = "
    SELECT rule FROM afterimage_ignore_rule
    WHERE removed_at IS NULL AND ($1 IS NULL OR pipeline = $1) ORDER BY id";

/// Id, pipeline, until, rule.
pub(super) const ADD_RULE: &str =
    "INSERT INTO afterimage_ignore_rule (id, pipeline, until, rule) VALUES ($1, $2, $3, $4)";

/// Id, now, who.
pub(super) const REMOVE_RULE: &str =
    "UPDATE afterimage_ignore_rule SET removed_at = $2, removed_by = $3 WHERE id = $1 AND removed_at IS NULL";

/// Finding, event.
pub(super) type EventRow = (String, String);

pub(super) fn events(rows: Vec<EventRow>) -> Result<Vec<(String, Event)>, Failure> {
    let read = |(id, text): EventRow| {
        let event = serde_json::from_str(&text).map_err(|source| Failure::damaged(&id, source))?;
        Ok((id, event))
    };
    rows.into_iter().map(read).collect()
}

pub(super) fn rules(rows: Vec<(String,)>) -> Result<Vec<IgnoreRule>, Failure> {
    let read =
        |(text,): (String,)| serde_json::from_str(&text).map_err(|source| Failure::damaged("ignore rule", source));
    rows.into_iter().map(read).collect()
}

pub(super) fn text(id: &str, event: &Event) -> Result<String, Failure> {
    serde_json::to_string(event).map_err(|source| Failure::damaged(id, source))
}

/// Whether an event is worth a row behind the last one.
pub(super) fn is_new(event: &Event, last: Option<(String,)>) -> bool {
    let last = last.and_then(|(text,)| serde_json::from_str::<Event>(&text).ok());
    last.is_none_or(|last| !event.repeats(&last))
}

/// Findings about a row that people hear of by this, with their keys as the table has them.
pub(super) fn opened<'a>(
    recorded: &'a [Recorded],
    stored: &'a std::collections::BTreeMap<String, Document>,
) -> impl Iterator<Item = (&'a Document, String)> {
    let opened = recorded.iter().filter(|one| one.outcome.opened());
    opened
        .filter_map(|one| stored.get(&one.id))
        .filter_map(|document| Some((document, super::query::key_text(document)?)))
}

/// What is said of a finding whose key has an earlier one that is set aside.
pub(super) fn beside(document: &Document, earlier: &Document) -> (String, Event) {
    let until = earlier.ignored.as_ref().and_then(|ignored| ignored.until);
    let until = until.map_or_else(|| "for good".to_owned(), |until| format!("until {}", until.rfc3339()));
    let note = format!("an earlier finding of this key, {}, is ignored {until}", earlier.id);
    (document.id.clone(), Event::ours(Act::Opened, document.last_seen, Some(note)))
}

/// Adds events in a transaction of either database: both bind the same statements.
macro_rules! append {
    ($transaction:expr, $events:expr) => {
        for (id, event) in $events {
            let last = sqlx::query_as(history::LAST).bind(id).fetch_optional(&mut *$transaction).await?;
            if history::is_new(event, last) {
                let append = sqlx::query(history::APPEND).bind(id).bind(event.at.0).bind(history::text(id, event)?);
                append.execute(&mut *$transaction).await?;
            }
        }
    };
}

/// The rules in force.
macro_rules! rules_of {
    ($transaction:expr) => {
        history::rules(sqlx::query_as(history::RULES).bind(None::<&str>).fetch_all(&mut *$transaction).await?)?
    };
}

/// What is said of findings that opened while earlier ones of their keys are set aside.
macro_rules! earlier {
    ($transaction:expr, $recorded:expr, $stored:expr) => {{
        let mut told = Vec::new();
        let mut any: Option<(String, bool)> = None;
        for (document, key) in history::opened($recorded, $stored) {
            let pipeline = query::plain(&document.pipeline);
            if any.as_ref().is_none_or(|(known, _)| *known != pipeline) {
                let count: i64 =
                    sqlx::query_scalar(history::ANY_IGNORED).bind(&pipeline).fetch_one(&mut *$transaction).await?;
                any = Some((pipeline.clone(), count > 0));
            }
            if any.as_ref().is_none_or(|(_, any)| !any) {
                continue;
            }
            let table = document.table.as_deref().map(query::plain).unwrap_or_default();
            let earlier = sqlx::query_as(history::EARLIER).bind(pipeline).bind(table).bind(key).bind(&document.id);
            let earlier: Option<query::Row> = earlier.fetch_optional(&mut *$transaction).await?;
            told.extend(super::documents(earlier)?.iter().map(|earlier| history::beside(document, earlier)));
        }
        told
    }};
}

/// Does to each finding what a person, or time, does to it. Those to which it cannot be done are told with the reason.
macro_rules! act {
    ($transaction:expr, $ids:expr, $deed:expr, $routes:expr) => {{
        let (mut done, mut recorded, mut stored) = (Vec::new(), Vec::new(), std::collections::BTreeMap::new());
        for id in $ids {
            let row: Option<query::Row> =
                sqlx::query_as(history::LOAD).bind(id).fetch_optional(&mut *$transaction).await?;
            let known = super::documents(row)?.pop();
            let acted = known.as_ref().ok_or(life::Refusal::Unknown).and_then(|known| life::acted(known, $deed));
            if let (Ok(document), Some(known)) = (&acted, &known) {
                let row = query::Stored::of(document).map_err(|source| Failure::damaged(id, source))?;
                put(&mut *$transaction, vec![row]).await?;
                recorded.push(life::recorded(known, document));
                stored.insert(id.clone(), document.clone());
                history::append!($transaction, [(id, &$deed.event())]);
            }
            done.push(acted);
        }
        let deltas = group::deltas($routes, outbox::turns(&recorded, &stored));
        outbox::add_news!($transaction, &deltas);
        done
    }};
}

pub(super) use {act, append, earlier, rules_of};
