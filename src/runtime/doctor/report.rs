//! What `doctor` tells about one pipeline, as data and as text.

use std::collections::BTreeSet;
use std::io::Write;

use serde::Serialize;

use super::bound::Detection;
use super::groups::GroupReport;

/// Everything found about one pipeline.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) pipeline: String,
    pub(super) tap: TapReport,
    pub(super) target: TargetReport,
    /// The source, where one is configured and answers.
    pub(super) source: Option<SourceReport>,
    pub(super) tables: Vec<TableReport>,
    pub(super) applied: Vec<String>,
    /// The group that `applied` names.
    pub(super) group: Option<GroupReport>,
    /// Partitions that no evidence of `applied` covers now.
    pub(super) without_evidence: Vec<String>,
    pub(super) guarantee: Vec<String>,
    pub(super) detection: Option<Detection>,
    pub(super) problems: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct TapReport {
    pub(super) place: String,
    pub(super) partitions: Vec<String>,
    pub(super) records_seen: u64,
    pub(super) rejected: u64,
    pub(super) first_reject: Option<String>,
    /// Formats of the records that were looked at.
    pub(super) formats: BTreeSet<&'static str>,
    /// What is better said of them in the configuration.
    pub(super) format_notes: Vec<String>,
    /// Each address of the schema registry, and whether it answers.
    pub(super) registry: Vec<String>,
    pub(super) groups: Vec<String>,
    pub(super) likely_applier: Option<String>,
    /// What the applier's dead-letter topic holds.
    pub(super) dead_letters: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct TargetReport {
    pub(super) version: String,
    /// Which server answers.
    pub(super) server: Option<String>,
    pub(super) pooler: String,
    pub(super) replica: bool,
    /// What the node is, by what it was told, and what that means for evidence.
    pub(super) node: String,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct SourceReport {
    pub(super) version: String,
    /// Tables whose rows findings are compared with.
    pub(super) tables: Vec<String>,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
pub(super) struct TableReport {
    pub(super) table: String,
    pub(super) target: Option<String>,
    pub(super) key: Vec<String>,
    pub(super) compared: usize,
    pub(super) not_compared: Vec<String>,
    /// How many of the changes seen are of rows that the applier is not meant to carry.
    pub(super) left_out: Option<String>,
    /// What an upsert does that meets another unique index.
    pub(super) hazard: Option<String>,
    pub(super) permissions: Option<String>,
    pub(super) not_judged: Option<String>,
}

impl Report {
    /// As text for people.
    pub(super) fn print(&self, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
        writeln!(out, "pipeline {}", self.pipeline)?;
        self.tap.print(out)?;
        self.target.print(out)?;
        if let Some(source) = &self.source {
            told(out, "source", [format!("{} (read beside findings; nothing is judged by it)", source.version)])?;
            told(out, "", &source.tables)?;
            told(out, "note", &source.notes)?;
        }
        for table in &self.tables {
            table.print(out)?;
        }
        told(out, "applied", std::iter::once(self.applied.join(", ")))?;
        for words in self.group.iter().flat_map(|group| &group.words) {
            told(out, "", [words])?;
        }
        if !self.without_evidence.is_empty() {
            told(out, "", [format!("without evidence now: {}", self.without_evidence.join(", "))])?;
        }
        told(out, "", &self.guarantee)?;
        if let Some(detection) = &self.detection {
            told(out, "detects", [&detection.statement])?;
            for term in &detection.terms {
                let time = term.seconds.map_or("unknown".to_owned(), |seconds| format!("{seconds} s"));
                told(out, "", [format!("{} x {time}: {} ({})", term.times, term.name, term.from)])?;
            }
        }
        told(out, "problem", &self.problems)
    }
}

fn join(words: &BTreeSet<&'static str>) -> String {
    words.iter().copied().collect::<Vec<_>>().join(", ")
}

impl TapReport {
    fn print(&self, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
        let (partitions, seen, rejected) = (self.partitions.len(), self.records_seen, self.rejected);
        let what =
            format!("{} ({partitions} partitions, {seen} records looked at, {rejected} not understood)", self.place);
        told(out, "tap", [what])?;
        told(out, "", self.first_reject.iter().map(|reject| format!("first not understood: {reject}")))?;
        told(out, "format", Some(&self.formats).filter(|formats| !formats.is_empty()).map(join))?;
        told(out, "", &self.format_notes)?;
        told(out, "registry", &self.registry)?;
        told(out, "group", &self.groups)?;
        let likely = self.likely_applier.iter();
        told(
            out,
            "",
            likely.map(|group| format!("`{group}` looks like the applier: applied = \"kafka-group:{group}\"")),
        )?;
        told(out, "rejects", &self.dead_letters)
    }
}

impl TargetReport {
    fn print(&self, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
        if self.version.is_empty() {
            return Ok(());
        }
        told(out, "target", [format!("{} (pooler: {})", self.version, self.pooler)])?;
        told(out, "", self.server.iter().map(|server| format!("answered by {server}")))?;
        told(out, "", [&self.node])?;
        told(out, "note", &self.notes)
    }
}

impl TableReport {
    fn print(&self, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
        let (table, key) = (&self.table, self.key.join(", "));
        told(
            out,
            "table",
            [match &self.target {
                Some(target) => format!("{table} -> {target}, key ({key}), {} columns compared", self.compared),
                None => format!("{table} is not judged"),
            }],
        )?;
        told(out, "", self.left_out.iter())?;
        told(out, "", self.not_compared.iter().map(|column| format!("not compared: {column}")))?;
        told(out, "", &self.hazard)?;
        told(out, "", &self.permissions)
    }
}

/// Each line under its heading.
fn told<T: std::fmt::Display>(
    out: &mut (dyn Write + Send),
    heading: &str,
    lines: impl IntoIterator<Item = T>,
) -> std::io::Result<()> {
    lines.into_iter().try_for_each(|line| writeln!(out, "  {heading:<10} {line}"))
}
