//! Findings as a table that fits the terminal.

use std::io::{self, Write};

use comfy_table::{Cell, Color, ContentArrangement, Table, presets};

use super::output::{Ink, Look};
use super::text::{about, printable, shortened};
use super::{Document, Summary};
use crate::model::Wall;
use crate::model::finding::Severity;

/// Enough digits of an id to be unique among millions of findings nearly always; `findings show` takes them.
const ID_DIGITS: usize = 10;

/// Longer keys are cut: the whole one is in `findings show`.
const KEY_LIMIT: usize = 60;

pub(super) fn print(
    look: Look,
    findings: &[Document],
    summary: Option<&Summary>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if findings.is_empty() {
        writeln!(out, "no findings")?;
    } else {
        writeln!(out, "{}", rows(look, findings))?;
    }
    if let Some(summary) = summary {
        writeln!(out, "{}", summary.sentence())?;
        for gap in &summary.unverified {
            writeln!(out, "not judged: {}", gap.sentence())?;
        }
    }
    Ok(())
}

pub(super) fn terminal_width() -> Option<u16> {
    Table::new().width()
}

fn rows(look: Look, findings: &[Document]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["id", "severity", "state", "kind", "table", "key", "position", "cause", "first seen"]);
    match look.ink {
        Ink::Plain => table.force_no_tty(),
        Ink::Ansi => table.enforce_styling(),
    };
    if let Some(width) = look.width {
        table.set_width(width);
    }
    for finding in findings {
        table.add_row(vec![
            Cell::new(finding.id.get(..ID_DIGITS).unwrap_or(&finding.id)),
            severity(finding.severity),
            Cell::new(finding.state),
            Cell::new(finding.kind),
            Cell::new(printable(finding.table.as_deref().unwrap_or_default())),
            Cell::new(shortened(&about(finding), KEY_LIMIT)),
            Cell::new(printable(&finding.position())),
            Cell::new(finding.cause),
            Cell::new(seconds(finding.first_seen)),
        ]);
    }
    table
}

/// The moment without its milliseconds, which nobody reads in a table.
fn seconds(at: Wall) -> String {
    let text = at.rfc3339();
    format!("{}Z", text.split('.').next().unwrap_or_default())
}

fn severity(severity: Severity) -> Cell {
    let cell = Cell::new(severity);
    match severity {
        Severity::Critical => cell.fg(Color::Red),
        Severity::Warning => cell.fg(Color::Yellow),
        Severity::Info => cell,
    }
}
