//! What happens on the tap.

use metrics::counter;
use tracing::{debug, error, info, warn};

use super::{chain, of_partition};
use crate::model::position::PartitionName;
use crate::model::{Op, Wanted};
use crate::telemetry::name;

/// Records that were gone before they were read.
#[derive(Debug, Clone, Copy)]
pub struct GapSeen<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// First missing offset.
    pub from: u64,
    /// First offset that exists again.
    pub to: u64,
    /// How they went, where that is known.
    pub why: Option<&'a str>,
}

impl GapSeen<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::COVERAGE_GAPS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, partition) = (self.pipeline, self.partition);
        error!(pipeline, %partition, from = self.from, to = self.to, why = self.why, "records were gone before they were read");
    }
}

/// The log of a partition is another one than before.
#[derive(Debug, Clone, Copy)]
pub struct LogReplaced<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// Offset that was to be read next.
    pub expected: u64,
    /// Next offset the log gives out.
    pub end: u64,
}

impl LogReplaced<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::COVERAGE_GAPS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, partition) = (self.pipeline, self.partition);
        error!(pipeline, %partition, expected = self.expected, end = self.end, "the log was made anew or cut off");
    }
}

/// A schema that the registry did not answer for: the records behind it wait.
#[derive(Debug, Clone, Copy)]
pub struct RegistryFailed<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// What was asked for.
    pub wanted: &'a Wanted,
    /// What failed and why.
    pub error: &'a dyn std::error::Error,
}

impl RegistryFailed<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::REGISTRY_ERRORS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, wanted, error) = (self.pipeline, self.wanted, chain(self.error));
        warn!(pipeline, %wanted, error, "the registry was not read; records wait for it");
    }
}

/// A record that decodes to no change. It is a finding too, which is what the log shows at its usual level.
#[derive(Debug, Clone, Copy)]
pub struct RecordRejected<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// Offset.
    pub offset: u64,
    /// Why. Never holds values.
    pub reason: &'a str,
}

impl RecordRejected<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::EVENT_DECODE_ERRORS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, partition) = (self.pipeline, self.partition);
        debug!(pipeline, %partition, offset = self.offset, reason = self.reason, "record not understood");
    }
}

/// Changes that were consumed: counted for a whole batch at once.
#[derive(Debug, Clone, Copy)]
pub struct ChangesConsumed<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Operation.
    pub op: Op,
    /// How many.
    pub count: u64,
}

impl ChangesConsumed<'_> {
    /// Counts them.
    pub fn emit(self) {
        counter!(name::EVENTS_CONSUMED, name::PIPELINE => self.pipeline.to_owned(), name::OP => self.op.word())
            .increment(self.count);
    }
}

/// An error of the tap.
#[derive(Debug, Clone, Copy)]
pub struct TapFailed<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// What failed and why.
    pub error: &'a dyn std::error::Error,
    /// Whether the tap goes on by itself.
    pub end: TapEnd,
}

/// Whether a tap goes on after an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TapEnd {
    /// It tries again.
    GoesOn,
    /// It ended.
    Ended,
}

impl TapFailed<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::TAP_ERRORS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, error) = (self.pipeline, chain(self.error));
        match self.end {
            TapEnd::GoesOn => warn!(pipeline, error, "the tap has trouble"),
            TapEnd::Ended => error!(pipeline, error, "the tap ended"),
        }
    }
}

/// A change of the partitions that are ours.
#[derive(Debug, Clone, Copy)]
pub struct Rebalanced<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// The first offset that will be consumed; `None`: it is no longer ours.
    pub next: Option<u64>,
}

impl Rebalanced<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::REBALANCES, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, partition) = (self.pipeline, self.partition);
        match self.next {
            Some(next) => info!(pipeline, %partition, next, "partition assigned"),
            None => info!(pipeline, %partition, "partition revoked"),
        }
    }
}

/// A position that was committed.
#[derive(Debug, Clone, Copy)]
pub struct Committed<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// Next offset.
    pub next: u64,
}

impl Committed<'_> {
    /// Logs it and sets the gauge.
    pub fn emit(self) {
        let (pipeline, partition) = (self.pipeline, self.partition);
        of_partition(name::CHECKPOINT_OFFSET, pipeline, partition, self.next as f64);
        debug!(pipeline, %partition, next = self.next, "committed");
    }
}
