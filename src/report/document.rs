//! The published form of a finding: what the store keeps, what `-o json` prints, what an alert carries.
//!
//! One shape serves every kind. A finding about a row has `key`, `expected`, `observed` and `columns`. One about a
//! record (`undecodable`) has a null `key`, its position in `expected.at` and `reason`. One about a table
//! (`mass_divergence`) has `expected.op`, `expected.at` where it begins, `count` and `samples`. One about a column
//! (`column_coercion`) has a null `expected`, `detail`, `count`, `samples` of keys, and in `columns` the column of each. One about a scope
//! (`stalled`, `coverage_gap`, `evidence_unsound`, `judging_suspended`) has `detail`, and `expected.at` where a position
//! is concerned. `schemas/finding.json` is generated from these types.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::life::{Event, Ignored};
use super::wire;
use crate::model::finding::{Cause, Kind, Proof, Severity, State};
use crate::model::{Op, Wall};

/// The value of `schema` in every document of this shape.
pub const SCHEMA: &str = "afterimage.finding/1";

/// Columns and their values, in column order. Integers beyond 2^53, decimals, times and JSON are texts; bytes are hex.
pub type Fields = IndexMap<String, serde_json::Value>;

/// One finding as it is published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "afterimage finding", rename = "Finding")]
pub struct Document {
    /// Always `afterimage.finding/1`.
    #[schemars(schema_with = "schema_word")]
    pub schema: String,
    /// 32 hex digits, made of pipeline, table, key, expected position and kind: the same fact found twice has the same id.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Table as the tap names it; null where no table is concerned or known.
    pub table: Option<String>,
    /// Table as the target names it, where that is another name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Key column and value; null for findings that are not about one row. Keys are never hashed or withheld.
    pub key: Option<Fields>,
    /// What is wrong.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Kind>")]
    pub kind: Kind,
    /// The documented rule that fits, else `unknown`.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Cause>")]
    pub cause: Cause,
    /// How bad.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Severity>")]
    pub severity: Severity,
    /// Where in its life. Suspected findings are listed, never alerted.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<State>")]
    pub state: State,
    /// What the tap says; null where no position is concerned.
    pub expected: Option<Expected>,
    /// What the target held; null for findings that are not about one row.
    pub observed: Option<Observed>,
    /// The columns that differ, as far as images are still known.
    pub columns: Vec<Column>,
    /// The columns of the table that are not compared, each with the reason: a finding says nothing about them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_compared: Vec<String>,
    /// How many versions the row is behind; 0 where that cannot be said.
    pub versions_behind: u32,
    /// What convicted; null while suspected, and for facts that need no proof.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Option<Proof>>")]
    pub proof: Option<Proof>,
    /// Why it is believed.
    pub evidence: String,
    /// Rows held back by a table-level finding.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "wire::schema::<Option<u64>>")]
    pub count: Option<u64>,
    /// Some of the keys concerned by a table-level finding.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<Fields>,
    /// Why a record could not be understood.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What is the matter with a scope, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// First seen wrong. Survives restarts.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Wall>")]
    pub first_seen: Wall,
    /// Last seen wrong; last seen at all, once healed.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Wall>")]
    pub last_seen: Wall,
    /// How many reads agreed.
    pub observations: u32,
    /// When it was seen right again.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Option<Wall>>")]
    pub healed_at: Option<Wall>,
    /// A person's remark.
    pub note: Option<String>,
    /// The audit that found it first; left out where `run` did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
    /// Until when, and by which rule, it is set aside; left out unless it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ignored: Option<Ignored>,
    /// What happened to it, oldest first: at most the last hundred events. Left out where nothing did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Event>,
    /// What [`Document::revive`] needs and JSON cannot carry. Stored, never published.
    #[serde(skip)]
    pub extra: Vec<u8>,
}

/// What the tap says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expected {
    /// What the version did; null where no single operation is concerned.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Option<Op>>")]
    pub op: Option<Op>,
    /// The row after it: null for a delete, or where the image is no longer known. Columns that were not sent are left out.
    pub row: Option<Fields>,
    /// Where it stands.
    pub at: At,
    /// The newest version of the key known to be lost since, where that is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<Place>,
}

/// A place on the tap and what the source said of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct At {
    /// The kind of tap: `kafka`, `file`.
    pub tap: String,
    /// Topic, stream or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset of the record.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub offset: u64,
    /// Place in the source's own log, where the record tells.
    pub source: Option<String>,
    /// When the source committed it, where the record tells.
    pub committed_at: Option<String>,
}

/// A place on the tap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Place {
    /// Topic, stream or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset of the record.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub offset: u64,
}

/// What the target held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Observed {
    /// The row; null where there was none.
    pub row: Option<Fields>,
    /// When the deciding read returned.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Wall>")]
    pub at: Wall,
    /// The version whose content it is, where there is one.
    pub matches: Option<Matched>,
}

/// The version whose content was observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Matched {
    /// What it did.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Op>")]
    pub op: Op,
    /// Its offset.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub offset: u64,
    /// Its partition.
    pub partition: i32,
    /// Its topic.
    pub topic: String,
}

/// One column that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Column {
    /// Column on the target.
    pub name: String,
    /// Expected, as text; null where it is no longer known or withheld.
    pub expected: Option<String>,
    /// Observed, as text; null where it is withheld.
    pub observed: Option<String>,
}

fn schema_word(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "const": SCHEMA })
}

impl Document {
    /// Whether it is about one row.
    #[must_use]
    pub fn is_about_row(&self) -> bool {
        self.key.is_some()
    }

    /// Whether looking at its row again may change anything: it is about a row, and proven, and not over or set aside.
    #[must_use]
    pub fn may_heal(&self) -> bool {
        self.is_about_row() && matches!(self.state, State::Open | State::Acknowledged)
    }

    /// Where it stands, as people write it: `orders/3:991`. Empty where no position is concerned.
    #[must_use]
    pub fn position(&self) -> String {
        self.expected.as_ref().map(|expected| expected.at.to_string()).unwrap_or_default()
    }
}

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}:{}", self.topic, self.partition, self.offset)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}:{}", self.topic, self.partition, self.offset)
    }
}

impl std::fmt::Display for Matched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}:{} ({})", self.topic, self.partition, self.offset, self.op.word())
    }
}
