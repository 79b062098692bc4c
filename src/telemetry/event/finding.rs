//! What happens to findings.

use metrics::counter;
use tracing::{error, info, warn};

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
}

impl FindingOpened<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        let FindingOpened { pipeline, id, kind, cause, severity, table, position, evidence } = self;
        let (table, position) = (table.unwrap_or("-"), position.unwrap_or("-"));
        counter!(name::FINDINGS, name::PIPELINE => pipeline.to_owned(), name::KIND => kind.word(), name::SEVERITY => severity.word())
            .increment(1);
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

/// A finding that was never true: a mistake of ours.
#[derive(Debug, Clone, Copy)]
pub struct FindingRetracted<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Its id.
    pub id: &'a str,
    /// Kind.
    pub kind: Kind,
    /// What showed it.
    pub why: &'a str,
}

impl FindingRetracted<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::RETRACTIONS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        error!(pipeline = self.pipeline, id = self.id, kind = self.kind.word(), why = self.why, "finding retracted");
    }
}
