//! The object that ends an audit: what was read, what was judged, whether that was everything.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::printable;
use super::wire;
use crate::model::Wall;

/// The value of `schema` in every audit summary of this shape.
pub const SCHEMA: &str = "afterimage.audit/1";

/// What an audit read and judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "afterimage audit", rename = "Audit")]
pub struct Summary {
    /// Always `afterimage.audit/1`.
    #[schemars(schema_with = "schema_word")]
    pub schema: String,
    /// The offsets audited, by partition.
    pub range: Vec<Span>,
    /// Records read.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub records: u64,
    /// Changes understood.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub changes: u64,
    /// Keys judged.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub keys: u64,
    /// Changes seen applied.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub matched: u64,
    /// Changes never seen themselves, whose newer version matched.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub superseded: u64,
    /// Changes that differ at present and that nothing proves had to be applied yet.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub lagging: u64,
    /// Changes that could not be judged.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub unverifiable: u64,
    /// Why changes could not be judged, with their ranges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unverified: Vec<Unverified>,
    /// What an earlier, unfinished run of the same command had judged; left out where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goes_on: Option<GoesOn>,
    /// Keys of which a change meets `--where`; left out without one.
    #[serde(default, with = "wire", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "wire::schema::<Option<u64>>")]
    pub chosen: Option<u64>,
    /// Why it ended before everything was judged; left out where it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_early: Option<String>,
    /// Findings by kind; suspected ones are not counted.
    pub findings: BTreeMap<String, u64>,
    /// Whether every key of the range got its verdict.
    pub complete: bool,
    /// How far every change was judged, by partition.
    pub watermarks: Vec<Reached>,
    /// Seconds it took.
    pub elapsed_s: f64,
}

/// An unfinished run of the same command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GoesOn {
    /// When it began.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Wall>")]
    pub from: Wall,
    /// Keys that it had judged.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub keys: u64,
}

/// Offsets of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// Topic, stream or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub from: u64,
    /// The offset before which the range ends.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub to: u64,
}

/// Offsets of one partition that end without a verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unverified {
    /// Topic, stream or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub from: u64,
    /// The offset before which it ends.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub to: u64,
    /// Why, as a fragment.
    pub reason: String,
}

/// How far one partition was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Reached {
    /// Topic, stream or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The lowest offset without a verdict.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub verified: u64,
}

fn schema_word(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "const": SCHEMA })
}

impl Summary {
    /// One sentence for people.
    #[must_use]
    pub fn sentence(&self) -> String {
        let found: u64 = self.findings.values().sum();
        let mut text = format!(
            "{} records, {} changes of {} keys: {} matched, {} superseded, {} lagging, {} unverifiable; {found} findings",
            self.records, self.changes, self.keys, self.matched, self.superseded, self.lagging, self.unverifiable,
        );
        if let Some(chosen) = self.chosen {
            text.push_str(&format!(" of the {chosen} keys that were asked for"));
        }
        if let Some(GoesOn { from, keys }) = &self.goes_on {
            text.push_str(&format!("; {keys} keys were judged by the run of {}", from.rfc3339()));
        }
        if let Some(why) = &self.ended_early {
            text.push_str(&format!("; it ended early: {why}"));
        }
        text.push_str(if self.complete { "; every key has its verdict" } else { "; NOT every key has its verdict" });
        text
    }
}

impl Unverified {
    /// One sentence for people: `orders/3 from 1300 to 1307: the images are no longer known`.
    #[must_use]
    pub fn sentence(&self) -> String {
        let place = format!("{}/{} from {} to {}: {}", self.topic, self.partition, self.from, self.to, self.reason);
        printable(&place).into_owned()
    }
}
