//! What happens to changes and keys on their way to a verdict.

use metrics::counter;
use tracing::{debug, info, warn};

use crate::model::position::PartitionName;
use crate::telemetry::name;

/// Changes that were never seen themselves, whose newer version matched.
#[derive(Debug, Clone, Copy)]
pub struct ChangesSuperseded<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// How many since the start.
    pub total: u64,
}

impl ChangesSuperseded<'_> {
    /// Sets the counter.
    pub fn emit(self) {
        counter!(name::EVENTS_SUPERSEDED, name::PIPELINE => self.pipeline.to_owned()).absolute(self.total);
    }
}

/// Changes of rows that the applier is not meant to carry.
#[derive(Debug, Clone, Copy)]
pub struct ChangesLeftOut<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// How many since the start.
    pub total: u64,
}

impl ChangesLeftOut<'_> {
    /// Sets the counter.
    pub fn emit(self) {
        counter!(name::EVENTS_LEFT_OUT, name::PIPELINE => self.pipeline.to_owned()).absolute(self.total);
    }
}

/// How a read of a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CheckResult {
    /// The row is right.
    Match,
    /// The row is wrong.
    Mismatch,
    /// Nothing could be said.
    Inconclusive,
    /// Nothing was read.
    Error,
}

impl CheckResult {
    fn word(self) -> &'static str {
        match self {
            CheckResult::Match => "match",
            CheckResult::Mismatch => "mismatch",
            CheckResult::Inconclusive => "inconclusive",
            CheckResult::Error => "error",
        }
    }
}

/// Keys that were read and judged.
#[derive(Debug, Clone, Copy)]
pub struct KeysChecked<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// How.
    pub result: CheckResult,
    /// How many since the start.
    pub total: u64,
}

impl KeysChecked<'_> {
    /// Sets the counter.
    pub fn emit(self) {
        counter!(name::CHECKS, name::PIPELINE => self.pipeline.to_owned(), name::RESULT => self.result.word())
            .absolute(self.total);
    }
}

/// Images that a verdict needed and the cache had forgotten.
#[derive(Debug, Clone, Copy)]
pub struct ImagesRecalled<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Read again from the log, since the start.
    pub found: u64,
    /// Not read again, since the start.
    pub gone: u64,
}

impl ImagesRecalled<'_> {
    /// Sets the counters.
    pub fn emit(self) {
        for (result, total) in [("found", self.found), ("gone", self.gone)] {
            counter!(name::IMAGES_RECALLED, name::PIPELINE => self.pipeline.to_owned(), name::RESULT => result)
                .absolute(total);
        }
    }
}

/// Verdicts of a scope that are held.
#[derive(Debug, Clone, Copy)]
pub struct Frozen<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition, where one is concerned.
    pub partition: Option<&'a PartitionName>,
    /// Why, as a sentence.
    pub why: &'a str,
}

impl Frozen<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::FREEZES, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let partition = self.partition.map_or_else(|| "all".to_owned(), ToString::to_string);
        warn!(pipeline = self.pipeline, partition, why = self.why, "verdicts are held");
    }
}

/// Versions that lost their own verdict to a bound.
#[derive(Debug, Clone, Copy)]
pub struct Coalesced<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// First and last offset.
    pub range: (u64, u64),
    /// How many.
    pub versions: u64,
}

impl Coalesced<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::UNVERIFIED_EVICTIONS, name::PIPELINE => self.pipeline.to_owned()).increment(self.versions);
        let (pipeline, partition, (from, to)) = (self.pipeline, self.partition, self.range);
        warn!(pipeline, %partition, from, to, versions = self.versions, "versions were coalesced to stay within memory");
    }
}

/// A range of the tap that ends without a verdict.
#[derive(Debug, Clone, Copy)]
pub struct Unverifiable<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// First and last offset.
    pub range: (u64, u64),
    /// Why, as a fragment.
    pub why: &'a str,
}

impl Unverifiable<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::UNVERIFIABLE_RANGES, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, partition, (from, to)) = (self.pipeline, self.partition, self.range);
        warn!(pipeline, %partition, from, to, why = self.why, "a range ends without a verdict");
    }
}

/// A key that differed and turned out right before it was proven wrong.
#[derive(Debug, Clone, Copy)]
pub struct Transient<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
}

impl Transient<'_> {
    /// Counts it.
    pub fn emit(self) {
        counter!(name::TRANSIENTS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
    }
}

/// A table is judged by other columns, and what had no verdict goes on by them as far as it can.
#[derive(Debug, Clone, Copy)]
pub struct Replanned<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// The table, as the tap names it.
    pub table: &'a str,
    /// Versions that are judged by the new columns.
    pub carried: u64,
    /// Versions that end without a verdict.
    pub left: u64,
}

impl Replanned<'_> {
    /// Logs it.
    pub fn emit(self) {
        let (pipeline, table, carried, left) = (self.pipeline, self.table, self.carried, self.left);
        info!(
            pipeline,
            table, carried, left, "changes that wait for their verdict are judged by the table's new columns"
        );
    }
}

/// All rows of a truncated table were looked at.
#[derive(Debug, Clone, Copy)]
pub struct TableScanned<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// The table, as the tap names it.
    pub table: &'a str,
    /// Where the truncate stands.
    pub truncate: &'a str,
    /// Rows that stood there.
    pub looked: u64,
    /// Findings among them.
    pub found: u64,
}

impl TableScanned<'_> {
    /// Logs it.
    pub fn emit(self) {
        let TableScanned { pipeline, table, truncate, looked, found } = self;
        tracing::info!(pipeline, table, truncate, looked, found, "a table was looked through after its truncate");
    }
}

/// Equal values whose fingerprints differed.
#[derive(Debug, Clone, Copy)]
pub struct SlowEqual<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// The table, as the tap names it.
    pub table: &'a str,
}

impl SlowEqual<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        let (pipeline, table) = (self.pipeline, self.table);
        counter!(name::SLOW_EQUALS, name::PIPELINE => pipeline.to_owned(), name::TABLE => table.to_owned())
            .increment(1);
        debug!(pipeline, table, "equal values had different fingerprints: a canonical form is wrong");
    }
}
