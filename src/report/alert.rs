//! What an alert says: a group of findings of one kind in one table, and how it stands with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::text::printable;
use super::wire;
use crate::model::finding::{Kind, Severity};

/// The value of `schema` in every alert of this shape.
pub const SCHEMA: &str = "afterimage.alert/1";

/// One message about a group of findings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(title = "afterimage alert")]
pub struct Alert {
    /// Always `afterimage.alert/1`.
    #[schemars(schema_with = "schema_word")]
    pub schema: String,
    /// Whether something is wrong or all is right again.
    pub status: Status,
    /// The message in one line.
    pub text: String,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Table as the tap names it; null where no table is concerned, or where groups were merged.
    pub table: Option<String>,
    /// Kind of the findings; null where groups were merged because there were too many.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Option<Kind>>")]
    pub kind: Option<Kind>,
    /// The worst severity among the findings told of.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Severity>")]
    pub severity: Severity,
    /// Findings opened since the last message of the group.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub opened: u64,
    /// Findings healed or retracted since the last message of the group.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub closed: u64,
    /// Findings of the group that are open now.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub open: u64,
    /// Some of the findings opened or closed; the counts tell of all of them.
    pub findings: Vec<Document>,
}

/// How it stands with a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Findings are open.
    Firing,
    /// The last open finding of the group is over.
    Resolved,
}

fn schema_word(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "const": SCHEMA })
}

impl Alert {
    /// The message in one line: `[critical] unapplied_delete in orders, public.customers: 3 new, 1 over, 5 open`.
    pub(super) fn line(&self) -> String {
        let kind = self.kind.map_or("findings of many kinds", Kind::word);
        let mut place = self.pipeline.clone();
        if let Some(table) = &self.table {
            place.push_str(", ");
            place.push_str(table);
        }
        let stand = match self.status {
            Status::Firing => format!("{} new, {} over, {} open", self.opened, self.closed, self.open),
            Status::Resolved => format!("resolved, {} over", self.closed),
        };
        printable(&format!("[{}] {kind} in {place}: {stand}", self.severity)).into_owned()
    }
}
