//! What happens to findings.

use std::time::Duration;

use metrics::{counter, histogram};
use tracing::{info, warn};

use crate::model::finding::{Kind, Severity};
use crate::telemetry::name;

/// A finding that was opened, or was proven.
#[derive(Debug, Clone, Copy)]
pub struct FindingOpened<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Kind.
    pub kind: Kind,
    /// Cause, as its word.
    pub cause: &'a str,
    /// Severity, the table's rules applied.
    pub severity: Severity,
    /// Table, where one is concerned.
    pub table: Option<&'a str>,
    /// Position as people know it: `orders/3@991`.
    pub position: Option<&'a str>,
    /// Why it is believed. Names positions, never values.
    pub evidence: &'a str,
    /// How long after the commit at the source, where the record told of it.
    pub after: Option<Duration>,
}

impl FindingOpened<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        let FindingOpened { pipeline, id, kind, cause, severity, table, position, evidence, after } = self;
        let (table, position) = (table.unwrap_or("-"), position.unwrap_or("-"));
        counter!(name::FINDINGS, name::PIPELINE => pipeline.to_owned(), name::KIND => kind.word(), name::SEVERITY => severity.word())
            .increment(1);
        if let Some(after) = after {
            histogram!(name::CHECK_DELAY, name::PIPELINE => pipeline.to_owned()).record(after.as_secs_f64());
        }
        match severity {
            Severity::Critical | Severity::Warning => {
                warn!(
                    pipeline,
                    id,
                    kind = kind.word(),
                    cause,
                    severity = severity.word(),
                    table,
                    position,
                    evidence,
                    "finding"
                );
            }
            Severity::Info => {
                info!(
                    pipeline,
                    id,
                    kind = kind.word(),
                    cause,
                    severity = severity.word(),
                    table,
                    position,
                    evidence,
                    "finding"
                );
            }
        }
    }
}

/// A finding that was true and is right now.
#[derive(Debug, Clone, Copy)]
pub struct FindingHealed<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Kind.
    pub kind: Kind,
}

impl FindingHealed<'_> {
    /// Logs it.
    pub fn emit(self) {
        info!(pipeline = self.pipeline, id = self.id, kind = self.kind.word(), "finding healed");
    }
}
