//! The state of pipelines and partitions, as gauges.

use std::time::Duration;

use metrics::{counter, gauge};

use super::of_partition;
use crate::model::finding::Kind;
use crate::model::position::PartitionName;
use crate::telemetry::name;

/// How many findings are open.
#[derive(Debug, Clone, Copy)]
pub struct FindingsOpen<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Kind.
    pub kind: Kind,
    /// How many.
    pub count: u64,
}

impl FindingsOpen<'_> {
    /// Sets the gauge.
    pub fn emit(self) {
        gauge!(name::FINDINGS_OPEN, name::PIPELINE => self.pipeline.to_owned(), name::KIND => self.kind.word())
            .set(self.count as f64);
    }
}

/// The state of a pipeline, as gauges. What is not known is not set.
#[derive(Debug, Clone, Copy, Default)]
pub struct PipelineState<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Keys with versions that have no verdict.
    pub keys_pending: u64,
    /// Keys that differ at present.
    pub keys_suspect: u64,
    /// Changes that are overdue, unproven.
    pub overdue_unproven: u64,
    /// Lookups in flight.
    pub lookups_in_flight: u64,
    /// Age of the oldest change without a verdict.
    pub oldest_pending: Option<Duration>,
    /// Age of the verified watermark.
    pub verified_age: Option<Duration>,
    /// Measured lag of the applier.
    pub apply_lag: Option<Duration>,
    /// Verified keys that the patrol covers.
    pub patrolled_keys: u64,
    /// How long ago the one of them was read whose look is the oldest.
    pub oldest_look: Duration,
}

impl PipelineState<'_> {
    /// Sets the gauges.
    pub fn emit(self) {
        let set = |name, value: f64| gauge!(name, name::PIPELINE => self.pipeline.to_owned()).set(value);
        set(name::KEYS_PENDING, self.keys_pending as f64);
        set(name::KEYS_SUSPECT, self.keys_suspect as f64);
        set(name::OVERDUE_UNPROVEN, self.overdue_unproven as f64);
        set(name::TARGET_INFLIGHT, self.lookups_in_flight as f64);
        set(name::PATROL_KEYS, self.patrolled_keys as f64);
        set(name::PATROL_OLDEST_LOOK_AGE, self.oldest_look.as_secs_f64());
        let ages = [
            (name::PENDING_OLDEST_AGE, self.oldest_pending),
            (name::VERIFIED_WATERMARK_AGE, self.verified_age),
            (name::APPLY_LAG, self.apply_lag),
        ];
        // A rule that alerts on it needs it before it first moves.
        for goal_is_zero in [name::RETRACTIONS, name::PIPELINE_CRASHES] {
            counter!(goal_is_zero, name::PIPELINE => self.pipeline.to_owned()).increment(0);
        }
        for (name, age) in ages {
            if let Some(age) = age {
                set(name, age.as_secs_f64());
            }
        }
    }
}

/// The state of a partition, as gauges.
#[derive(Debug, Clone, Copy)]
pub struct PartitionState<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Partition.
    pub partition: &'a PartitionName,
    /// Records not consumed yet.
    pub lag: u64,
    /// Time since the last commit.
    pub commit_age: Option<Duration>,
}

impl PartitionState<'_> {
    /// Sets the gauges.
    pub fn emit(self) {
        of_partition(name::CONSUMER_LAG, self.pipeline, self.partition, self.lag as f64);
        if let Some(age) = self.commit_age {
            of_partition(name::CHECKPOINT_AGE, self.pipeline, self.partition, age.as_secs_f64());
        }
    }
}
