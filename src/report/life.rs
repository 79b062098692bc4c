//! The life of a finding: what happened to it, by whom and when, and the rules by which people set findings aside.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{Document, Fields, Place};
use super::wire;
use crate::model::Wall;
use crate::model::finding::{Act, Kind};

/// Who did what nobody did.
pub const OURSELVES: &str = "afterimage";

/// One event of a finding's history. Events are added and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// When.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Wall>")]
    pub at: Wall,
    /// Who: a person as they named themselves, or `afterimage`.
    pub by: String,
    /// What happened.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Act>")]
    pub act: Act,
    /// What was said of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Set aside until then; left out where that is for good.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "wire::schema::<Option<Wall>>")]
    pub until: Option<Wall>,
    /// The rule that set it aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Whether the target had a row of the key when it was looked at again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available_in_target: Option<bool>,
    /// Whether the target's row was the source's own; left out where the source was not read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matching_with_source: Option<bool>,
}

impl Event {
    /// One that nobody in particular did.
    #[must_use]
    pub fn ours(act: Act, at: Wall, note: Option<String>) -> Event {
        Event {
            at,
            by: OURSELVES.to_owned(),
            act,
            note,
            until: None,
            rule: None,
            available_in_target: None,
            matching_with_source: None,
        }
    }

    /// Whether it says what the event before it said already: that something is still so.
    #[must_use]
    pub fn repeats(&self, last: &Event) -> bool {
        let lasts = match self.act {
            Act::StillTrue | Act::Unmapped => true,
            Act::Acknowledged
            | Act::Ignored
            | Act::Reopened
            | Act::Noted
            | Act::RanOut
            | Act::Opened
            | Act::Healed
            | Act::Superseded
            | Act::Retracted => false,
        };
        lasts && Event { at: last.at, ..self.clone() } == *last
    }

    /// One line for people: `2026-11-22T10:00:01.000Z  ignored by ada until …: not ours`.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = format!("{}  {} by {}", self.at.rfc3339(), self.act.word().replace('_', " "), self.by);
        if let Some(until) = self.until {
            line.push_str(&format!(" until {}", until.rfc3339()));
        }
        if let Some(rule) = &self.rule {
            line.push_str(&format!(" (rule {rule})"));
        }
        if let Some(note) = &self.note {
            line.push_str(": ");
            line.push_str(note);
        }
        let facts =
            [("available in target", self.available_in_target), ("matching with source", self.matching_with_source)];
        for (fact, holds) in facts {
            if let Some(holds) = holds {
                line.push_str(&format!("; {fact}: {}", if holds { "yes" } else { "no" }));
            }
        }
        line
    }
}

/// How long a finding is set aside, and by what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ignored {
    /// Until then; null: for good.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Option<Wall>>")]
    pub until: Option<Wall>,
    /// The rule that did it; null where a person named this finding.
    pub rule: Option<String>,
    /// The newest version that is set aside with it: what is lost after that is a finding of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upto: Option<Place>,
    /// The finding of what was lost after that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A rule by which findings are set aside as they open. What it leaves out it does not ask for; it asks for something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoreRule {
    /// Twelve hex digits.
    pub id: String,
    /// Of this pipeline.
    pub pipeline: String,
    /// Of this table of the tap.
    pub table: Option<String>,
    /// Of this key: `COLUMN=VALUE,…`, or the value alone for a key of one column.
    pub key: Option<String>,
    /// Where this is the only column that differs.
    pub column: Option<String>,
    /// Of this kind.
    #[serde(with = "wire")]
    pub kind: Option<Kind>,
    /// Until then; null: until it is removed.
    #[serde(with = "wire")]
    pub until: Option<Wall>,
    /// Who made it.
    pub by: String,
    /// When.
    #[serde(with = "wire")]
    pub at: Wall,
    /// Why.
    pub note: Option<String>,
}

impl IgnoreRule {
    /// Whether it covers a finding, as that was last seen.
    #[must_use]
    pub fn covers(&self, document: &Document) -> bool {
        let is_table = |table: &String| document.table.as_ref() == Some(table);
        let is_column = |column: &String| {
            !document.columns.is_empty() && document.columns.iter().all(|differs| differs.name == *column)
        };
        self.pipeline == document.pipeline
            && self.until.is_none_or(|until| document.last_seen < until)
            && self.table.as_ref().is_none_or(is_table)
            && self.key.as_ref().is_none_or(|key| document.key.as_ref().is_some_and(|known| is_key(key, known)))
            && self.column.as_ref().is_none_or(is_column)
            && self.kind.is_none_or(|kind| kind == document.kind)
    }

    /// What it asks for, in words: `table public.orders, kind lost_update`.
    #[must_use]
    pub fn asks(&self) -> String {
        let parts = [
            ("table", self.table.as_deref()),
            ("key", self.key.as_deref()),
            ("column", self.column.as_deref()),
            ("kind", self.kind.map(Kind::word)),
        ];
        let parts = parts.iter().filter_map(|(name, part)| part.map(|part| format!("{name} {part}")));
        parts.collect::<Vec<_>>().join(", ")
    }
}

/// `COLUMN=VALUE,…`, or the value alone for a key of one column.
#[must_use]
pub fn is_key(wanted: &str, key: &Fields) -> bool {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let named = |part: &str| {
        part.split_once('=').is_some_and(|(column, value)| key.get(column).is_some_and(|known| text(known) == value))
    };
    let alone = key.len() == 1 && key.values().any(|value| text(value) == wanted);
    alone || wanted.split(',').all(named)
}
