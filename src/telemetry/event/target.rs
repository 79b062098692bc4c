//! What happens on the target.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tracing::warn;

use super::chain;
use crate::telemetry::name;

/// A lookup that answered.
#[derive(Debug, Clone, Copy)]
pub struct TargetRead<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// How many keys.
    pub keys: usize,
    /// How long it took.
    pub took: Duration,
}

impl TargetRead<'_> {
    /// Records it.
    pub fn emit(self) {
        histogram!(name::TARGET_QUERY_DURATION, name::PIPELINE => self.pipeline.to_owned())
            .record(self.took.as_secs_f64());
        histogram!(name::TARGET_BATCH_KEYS, name::PIPELINE => self.pipeline.to_owned()).record(self.keys as f64);
    }
}

/// A table of the target is not what it was.
#[derive(Debug, Clone, Copy)]
pub struct ColumnsChanged<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// The table, as the tap names it.
    pub table: &'a str,
}

impl ColumnsChanged<'_> {
    /// Counts it.
    pub fn emit(self) {
        let (pipeline, table) = (self.pipeline.to_owned(), self.table.to_owned());
        counter!(name::COLUMN_CHANGES, name::PIPELINE => pipeline, name::TABLE => table).increment(1);
    }
}

/// How many columns of a table are not compared.
#[derive(Debug, Clone, Copy)]
pub struct ColumnsNotCompared<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// The table, as the tap names it.
    pub table: &'a str,
    /// How many.
    pub count: usize,
}

impl ColumnsNotCompared<'_> {
    /// Sets the gauge.
    pub fn emit(self) {
        let (pipeline, table) = (self.pipeline.to_owned(), self.table.to_owned());
        gauge!(name::COLUMNS_NOT_COMPARED, name::PIPELINE => pipeline, name::TABLE => table).set(self.count as f64);
    }
}

/// A lookup that taught nothing.
#[derive(Debug, Clone, Copy)]
pub struct TargetFailed<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// What failed and why.
    pub error: &'a dyn std::error::Error,
    /// How many keys wait for another try.
    pub keys: usize,
}

impl TargetFailed<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::TARGET_ERRORS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, keys, error) = (self.pipeline, self.keys, chain(self.error));
        warn!(pipeline, keys, error, "the target was not read; its keys stay unverified");
    }
}
