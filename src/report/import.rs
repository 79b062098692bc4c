//! What came of failures that another validation had logged, a line for each, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::text::printable;

/// Identifies the layout of what `findings import` prints.
pub const SCHEMA: &str = "afterimage.import/1";

/// What came of one failure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Line {
    /// Where it stands.
    pub at: String,
    /// The task that logged it.
    pub task: String,
    /// The table as it names it.
    pub table: String,
    /// The key as it writes it.
    pub key: String,
    /// What it said: `RECORD_DIFF`, `MISSING_SOURCE`, `MISSING_TARGET`, …
    pub failure: String,
    /// How many rows say so.
    pub rows: u64,
    /// `false_alarm`, `superseded`, `resynced`, `finding`, `unclear` or `rejected`.
    pub outcome: Word,
    /// By which change, or why it cannot be told.
    pub detail: String,
    /// The finding that it is.
    pub id: Option<String>,
}

/// What came of a failure, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The row is what the newest change demands, which was there before the failure was logged.
    FalseAlarm,
    /// The row is what a change demands that was logged since.
    Superseded,
    /// The row is what the newest change demands, and a resync says that it wrote it.
    Resynced,
    /// The row is not what it must be.
    Finding,
    /// It cannot be told.
    Unclear,
    /// The failure cannot be understood.
    Rejected,
}

impl Word {
    /// As people read it.
    #[must_use]
    pub fn spoken(self) -> &'static str {
        match self {
            Word::FalseAlarm => "false alarm",
            Word::Superseded => "superseded",
            Word::Resynced => "resynced",
            Word::Finding => "finding",
            Word::Unclear => "unclear",
            Word::Rejected => "rejected",
        }
    }
}

/// Prints a line for people.
///
/// # Errors
/// When `out` cannot be written.
pub fn tell(line: &Line, out: &mut dyn Write) -> io::Result<()> {
    let id = line.id.as_ref().map(|id| format!("  {id}")).unwrap_or_default();
    let (table, key, detail) = (printable(&line.table), printable(&line.key), printable(&line.detail));
    writeln!(out, "{:<11}  {table} {key} {}: {detail}{id}", line.outcome.spoken(), line.failure)
}
