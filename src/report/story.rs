//! The story of one key: its versions on the tap, what had to be applied, what the target holds now, what was found.

use std::io::{self, Write};

use serde::Serialize;

use super::document::{Column, Document, Fields, Place};
use super::text::{pairs, printable, sides};
use super::{advice, rule};
use crate::model::Op;

/// Identifies the layout of a story.
pub const SCHEMA: &str = "afterimage.story/1";

/// Everything that is known of one key.
#[derive(Debug, Clone, Serialize)]
pub struct Story {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// The pipeline.
    pub pipeline: String,
    /// The table as the tap names it.
    pub table: String,
    /// The table on the target; `None` where there is none to compare with.
    pub target: Option<String>,
    /// The key as it was asked for.
    pub asked: String,
    /// The key, as the newest of its records writes it; empty where there is none.
    pub key: Fields,
    /// Its versions, oldest first, in the order in which they were read.
    pub versions: Vec<Told>,
    /// Older versions of the range that are left out, to bound a story's length.
    pub left_out: u64,
    /// How far the applier provably is, a sentence for each piece of evidence.
    pub applied: Vec<String>,
    /// What the target holds.
    pub observed: Seen,
    /// Columns in which the row differs from the newest version.
    pub columns: Vec<Column>,
    /// Findings of this key in the store.
    pub findings: Vec<Document>,
}

/// One version.
#[derive(Debug, Clone, Serialize)]
pub struct Told {
    /// Its place on the tap.
    pub at: Place,
    /// What it did.
    #[serde(with = "super::wire")]
    pub op: Op,
    /// When the source committed it, RFC 3339.
    pub committed_at: Option<String>,
    /// Its place in the source's log.
    pub source: Option<String>,
    /// Columns that are not as the version before had them; all of its columns where there was none.
    pub changed: Vec<String>,
    /// Its row, as far as the pipeline lets values be told; `None` for a delete.
    pub row: Option<Fields>,
    /// Whether the applier's committed position is past it; `None` where nothing tells.
    pub applied: Option<bool>,
    /// Whether the target's row, or its absence, is what this version left.
    pub is_there: bool,
}

/// What the target holds at the key.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Seen {
    /// No row.
    Absent {
        /// When the read returned, RFC 3339.
        at: String,
    },
    /// A row.
    Row {
        /// When the read returned, RFC 3339.
        at: String,
        /// The row, as far as the pipeline lets values be told.
        row: Fields,
    },
    /// Several rows.
    Several {
        /// When the read returned, RFC 3339.
        at: String,
        /// How many.
        count: usize,
    },
    /// Nothing that can be compared.
    Unknown {
        /// Why.
        why: String,
    },
}

/// Prints a story for people.
///
/// # Errors
/// When `out` cannot be written.
pub fn tell(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    let key = if story.key.is_empty() { printable(&story.asked).into_owned() } else { pairs(&story.key) };
    write!(out, "{}  {key}", printable(&story.table))?;
    match &story.target {
        Some(target) => writeln!(out, "  (on the target: {})", printable(target))?,
        None => writeln!(out)?,
    }
    versions(story, out)?;
    writeln!(out, "\nWhat had to be applied")?;
    for line in &story.applied {
        writeln!(out, "  {}", printable(line))?;
    }
    now(story, out)?;
    findings(story, out)
}

fn versions(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nVersions on the tap, oldest first")?;
    if story.left_out > 0 {
        writeln!(out, "  ({} older ones are left out)", story.left_out)?;
    }
    if story.versions.is_empty() {
        writeln!(out, "  none in this range")?;
    }
    for version in &story.versions {
        let mark = if version.is_there { "=" } else { " " };
        write!(out, "{mark} {}  {}", printable(&version.at.to_string()), version.op.word())?;
        if let Some(at) = &version.committed_at {
            write!(out, "  committed {at}")?;
        }
        if let Some(source) = &version.source {
            write!(out, "  source {}", printable(source))?;
        }
        match version.applied {
            Some(true) => write!(out, "  had to be applied")?,
            Some(false) => write!(out, "  not proven applied")?,
            None => {}
        }
        writeln!(out)?;
        if !version.changed.is_empty() {
            writeln!(out, "      changed {}", printable(&version.changed.join(", ")))?;
        }
    }
    Ok(())
}

fn now(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nThe target now")?;
    match &story.observed {
        Seen::Absent { at } => writeln!(out, "  no row, read {at}")?,
        Seen::Row { at, row } => writeln!(out, "  a row, read {at}: {}", pairs(row))?,
        Seen::Several { at, count } => writeln!(out, "  {count} rows of this key, read {at}")?,
        Seen::Unknown { why } => return writeln!(out, "  {}", printable(why)),
    }
    let newest = story.versions.last();
    let seen = story.versions.iter().rev().find(|version| version.is_there);
    match (newest, seen) {
        (Some(newest), Some(_)) if newest.is_there => {
            writeln!(out, "  that is the newest version, of {}", printable(&newest.at.to_string()))?;
        }
        (Some(newest), Some(seen)) => {
            let (seen, newest) = (seen.at.to_string(), newest.at.to_string());
            writeln!(out, "  that is the version of {}, not the newest, of {}", printable(&seen), printable(&newest))?;
        }
        (Some(_), None) => writeln!(out, "  that is no version of this range")?,
        (None, _) => {}
    }
    for (name, expected, observed) in story.columns.iter().map(sides) {
        writeln!(out, "  {name}\n    expected {expected}\n    observed {observed}")?;
    }
    Ok(())
}

fn findings(story: &Story, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\nFindings")?;
    if story.findings.is_empty() {
        writeln!(out, "  none in the store")?;
    }
    for finding in &story.findings {
        writeln!(
            out,
            "  {}  {} ({}), {}, first seen {}",
            &finding.id,
            finding.kind.word(),
            finding.cause.word(),
            finding.state.word(),
            finding.first_seen.rfc3339()
        )?;
        writeln!(out, "    rule: {}", rule::of(finding.cause))?;
        if !finding.evidence.is_empty() {
            writeln!(out, "    evidence: {}", printable(&finding.evidence))?;
        }
        for line in super::text::wrapped(&advice::advice(finding.kind, finding.cause), 92) {
            writeln!(out, "    {line}")?;
        }
    }
    Ok(())
}
