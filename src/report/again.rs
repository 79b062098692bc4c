//! What came of looking at findings again, a line for each, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::document::{Document, Fields};
use super::text::{headline, printable};
use super::wire;
use crate::model::finding::Kind;

/// Identifies the layout of what `revalidate` prints.
pub const SCHEMA: &str = "afterimage.revalidate/1";

/// What came of one finding.
#[derive(Debug, Serialize)]
pub struct Line<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its pipeline.
    pub pipeline: &'a str,
    /// Its table on the tap.
    pub table: Option<&'a str>,
    /// Its key.
    pub key: Option<&'a Fields>,
    /// Its kind.
    #[serde(with = "wire")]
    pub kind: Kind,
    /// `still_true`, `healed`, `superseded`, `gone_from_mapping` or `unclear`.
    pub outcome: &'a str,
    /// The version that the row is, or why it cannot be told.
    pub detail: Option<&'a str>,
    /// What the databases hold.
    pub facts: Facts<'a>,
}

/// What target and source hold at the key, beside what the tap says.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Facts<'a> {
    /// Whether the target has a row; null where it was not read.
    pub available_in_target: Option<bool>,
    /// Whether the target has what the source has; null where that is not told.
    pub matching_with_source: Option<bool>,
    /// How they compare, or why that is not told; null where no source is configured.
    pub source: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// Of a finding.
    #[must_use]
    pub fn of(document: &'a Document, outcome: &'a str, detail: Option<&'a str>, facts: Facts<'a>) -> Line<'a> {
        Line {
            id: &document.id,
            pipeline: &document.pipeline,
            table: document.table.as_deref(),
            key: document.key.as_ref(),
            kind: document.kind,
            outcome,
            detail,
            facts,
        }
    }
}

/// Prints a line for people.
///
/// # Errors
/// When `out` cannot be written.
pub fn tell(document: &Document, line: &Line<'_>, out: &mut dyn Write) -> io::Result<()> {
    let detail = line.detail.map(|detail| format!(": {}", printable(detail))).unwrap_or_default();
    let source = line.facts.source.map(|words| format!("; {}", printable(words))).unwrap_or_default();
    writeln!(out, "{}  {:<17}  {}{detail}{source}", line.id, line.outcome.replace('_', " "), headline(document))
}
