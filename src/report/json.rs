//! Findings as JSON and as JSON lines.

use std::io::{self, Write};

use serde::Serialize;

use super::{Document, Summary};

#[derive(Serialize)]
struct Audited<'a> {
    findings: &'a [Document],
    summary: &'a Summary,
}

pub(super) fn print(findings: &[Document], summary: Option<&Summary>, out: &mut dyn Write) -> io::Result<()> {
    match summary {
        Some(summary) => serde_json::to_writer_pretty(&mut *out, &Audited { findings, summary })?,
        None => serde_json::to_writer_pretty(&mut *out, findings)?,
    }
    writeln!(out)
}

pub(super) fn print_lines(findings: &[Document], summary: Option<&Summary>, out: &mut dyn Write) -> io::Result<()> {
    for finding in findings {
        serde_json::to_writer(&mut *out, finding)?;
        writeln!(out)?;
    }
    if let Some(summary) = summary {
        serde_json::to_writer(&mut *out, summary)?;
        writeln!(out)?;
    }
    Ok(())
}
