//! Findings as CSV: what a spreadsheet or `COPY` wants, one finding a row.

use std::io::{self, Write};

use ::csv::WriterBuilder;
use serde::Serialize;

use super::Document;

const HEADER: [&str; 27] = [
    "id",
    "pipeline",
    "table",
    "target",
    "key",
    "kind",
    "cause",
    "severity",
    "state",
    "op",
    "topic",
    "partition",
    "offset",
    "source",
    "committed_at",
    "observed_at",
    "columns",
    "versions_behind",
    "proof",
    "evidence",
    "count",
    "detail",
    "first_seen",
    "last_seen",
    "observations",
    "healed_at",
    "note",
];

pub(super) fn print(findings: &[Document], out: &mut dyn Write) -> io::Result<()> {
    let mut writer = WriterBuilder::new().from_writer(out);
    writer.write_record(HEADER)?;
    for finding in findings {
        writer.write_record(record(finding)?)?;
    }
    writer.flush()
}

/// In the order of [`HEADER`]. Keys and columns are JSON; what is unknown is empty.
fn record(finding: &Document) -> io::Result<[String; 27]> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let expected = finding.expected.as_ref();
    let at = expected.map(|expected| &expected.at);
    Ok([
        finding.id.clone(),
        finding.pipeline.clone(),
        text(&finding.table),
        text(&finding.target),
        finding.key.as_ref().map(json).transpose()?.unwrap_or_default(),
        finding.kind.word().to_owned(),
        finding.cause.word().to_owned(),
        finding.severity.word().to_owned(),
        finding.state.word().to_owned(),
        expected.and_then(|expected| expected.op).map(|op| op.word().to_owned()).unwrap_or_default(),
        at.map(|at| at.topic.clone()).unwrap_or_default(),
        at.map(|at| at.partition.to_string()).unwrap_or_default(),
        at.map(|at| at.offset.to_string()).unwrap_or_default(),
        at.and_then(|at| at.source.clone()).unwrap_or_default(),
        at.and_then(|at| at.committed_at.clone()).unwrap_or_default(),
        finding.observed.as_ref().map(|observed| observed.at.rfc3339()).unwrap_or_default(),
        if finding.columns.is_empty() { String::new() } else { json(&finding.columns)? },
        finding.versions_behind.to_string(),
        finding.proof.map(|proof| proof.word().to_owned()).unwrap_or_default(),
        finding.evidence.clone(),
        finding.count.map(|count| count.to_string()).unwrap_or_default(),
        finding.reason.clone().or_else(|| finding.detail.clone()).unwrap_or_default(),
        finding.first_seen.rfc3339(),
        finding.last_seen.rfc3339(),
        finding.observations.to_string(),
        finding.healed_at.map(crate::model::Wall::rfc3339).unwrap_or_default(),
        text(&finding.note),
    ])
}

fn json<T: Serialize>(value: &T) -> io::Result<String> {
    Ok(serde_json::to_string(value)?)
}
