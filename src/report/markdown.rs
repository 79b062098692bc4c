//! Findings as a Markdown table.

use std::io::{self, Write};

use super::text::{about, printable};
use super::{Document, Summary};

pub(super) fn print(findings: &[Document], summary: Option<&Summary>, out: &mut dyn Write) -> io::Result<()> {
    if findings.is_empty() {
        writeln!(out, "No findings.")?;
    } else {
        writeln!(out, "| id | severity | state | kind | table | key | position | cause | first seen |")?;
        writeln!(out, "|---|---|---|---|---|---|---|---|---|")?;
    }
    for finding in findings {
        let cells = [
            finding.id.clone(),
            finding.severity.word().to_owned(),
            finding.state.word().to_owned(),
            finding.kind.word().to_owned(),
            finding.table.clone().unwrap_or_default(),
            about(finding),
            finding.position(),
            finding.cause.word().to_owned(),
            finding.first_seen.rfc3339(),
        ];
        writeln!(out, "| {} |", cells.map(|cell| escaped(&cell)).join(" | "))?;
    }
    if let Some(summary) = summary {
        writeln!(out, "\n{}.", summary.sentence())?;
        for gap in &summary.unverified {
            writeln!(out, "- not judged: {}", escaped(&gap.sentence()))?;
        }
    }
    Ok(())
}

/// Text that Markdown shows as it is: nothing ends the cell, opens a tag, a link or emphasis.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '|' | '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '&' | '~' => safe.extend(['\\', c]),
            _ => safe.push(c),
        }
    }
    safe
}
