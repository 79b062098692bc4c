//! What an alert says: a group of findings of one kind in one table, and how it stands with them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::Document;
use super::text::printable;
use super::wire;
use crate::config::alert::{Field, Part, Template};
use crate::model::Wall;
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
    /// 32 hex digits, made of pipeline, table and kind: every message of a group has the same.
    #[schemars(regex(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// How many messages of the group this channel took before. A message with the same `id` and number was tried again.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<u64>")]
    pub number: u64,
    /// When the first finding was opened of those that the group tells of until it is resolved.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Wall>")]
    pub since: Wall,
    /// Name of the pipeline.
    pub pipeline: String,
    /// Table as the tap names it; null where no table is concerned, or where groups were merged.
    pub table: Option<String>,
    /// Kind of the findings; null where groups were merged because there were too many.
    #[serde(with = "wire")]
    #[schemars(schema_with = "wire::schema::<Option<Kind>>")]
    pub kind: Option<Kind>,
    /// The worst severity among the findings that the group told of since it was resolved last.
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

impl Status {
    /// The fixed word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Status::Firing => "firing",
            Status::Resolved => "resolved",
        }
    }
}

fn schema_word(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "const": SCHEMA })
}

impl Alert {
    /// Sets the text: as the template says, or the usual one.
    #[must_use]
    pub fn worded(self, template: Option<&Template>) -> Alert {
        let text = match template {
            None => self.line(),
            Some(Template(parts)) => parts.iter().map(|part| self.piece(part)).collect(),
        };
        Alert { text, ..self }
    }

    fn piece(&self, part: &Part) -> String {
        let field = match part {
            Part::Text(text) => return text.clone(),
            Part::Field(field) => field,
        };
        let first = self.findings.first();
        let or_none = |text: Option<String>| text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
        let text = match field {
            Field::Status => self.status.word().to_owned(),
            Field::Severity => self.severity.to_string(),
            Field::Kind => or_none(self.kind.map(|kind| kind.word().to_owned())),
            Field::Pipeline => self.pipeline.clone(),
            Field::Table => or_none(self.table.clone()),
            Field::Opened => self.opened.to_string(),
            Field::Closed => self.closed.to_string(),
            Field::Open => self.open.to_string(),
            Field::Text => self.line(),
            Field::Since => self.since.rfc3339(),
            Field::Finding => or_none(first.map(|finding| finding.id.clone())),
            Field::Key => or_none(first.and_then(|finding| serde_json::to_string(finding.key.as_ref()?).ok())),
            Field::Cause => or_none(first.map(|finding| finding.cause.word().to_owned())),
            Field::Position => or_none(first.map(Document::position)),
            Field::Evidence => or_none(first.map(|finding| finding.evidence.clone())),
        };
        printable(&text).into_owned()
    }

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

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;

    #[test]
    fn a_template_says_what_the_message_has() {
        let alert = trial::alert(Status::Firing, Wall(1_795_341_600_000));
        let fields: String = Field::WORDS.iter().map(|word| format!("{word}={{{word}}}\n")).collect();
        let template = Template::parse(&fields).expect("every field is one");
        insta::assert_snapshot!(alert.clone().worded(Some(&template)).text, @r#"
        status=firing
        severity=info
        kind=unapplied_delete
        pipeline=sample
        table=sample.customers
        opened=1
        closed=0
        open=1
        text=[info] unapplied_delete in sample, sample.customers: 1 new, 0 over, 1 open
        since=2026-11-22T10:00:00.000Z
        finding=00000000000000000000000000000000
        key={"id":42}
        cause=insert_delete_merge
        position=sample/0:991
        evidence=a sample sent by `afterimage alerts test`: nothing is wrong
        "#);
        let bare = Alert { findings: vec![], kind: None, table: None, ..alert };
        let template = Template::parse("{kind} {table} {key} {finding}{{}}").expect("fields");
        assert_eq!(bare.worded(Some(&template)).text, "- - - -{}");
    }
}
