//! What happens, as structs: `emit` writes the log line and moves the counter.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tracing::{debug, error, info, warn};

use super::name;
use crate::model::Op;
use crate::model::finding::{Kind, Severity};
use crate::model::position::PartitionName;

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
}

impl GapSeen<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::COVERAGE_GAPS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        let (pipeline, partition) = (self.pipeline, self.partition);
        error!(pipeline, %partition, from = self.from, to = self.to, "records were gone before they were read");
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

/// Changes that were never seen themselves, whose newer version matched.
#[derive(Debug, Clone, Copy)]
pub struct ChangesSuperseded<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// How many.
    pub count: u64,
}

impl ChangesSuperseded<'_> {
    /// Counts them.
    pub fn emit(self) {
        counter!(name::EVENTS_SUPERSEDED, name::PIPELINE => self.pipeline.to_owned()).increment(self.count);
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
    /// How many.
    pub count: u64,
}

impl KeysChecked<'_> {
    /// Counts them.
    pub fn emit(self) {
        counter!(name::CHECKS, name::PIPELINE => self.pipeline.to_owned(), name::RESULT => self.result.word())
            .increment(self.count);
    }
}

/// A change that got its verdict.
#[derive(Debug, Clone, Copy)]
pub struct VerdictGiven<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// From its commit at the source.
    pub after: Duration,
}

impl VerdictGiven<'_> {
    /// Records the delay.
    pub fn emit(self) {
        histogram!(name::CHECK_DELAY, name::PIPELINE => self.pipeline.to_owned()).record(self.after.as_secs_f64());
    }
}

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

/// A write of the store that was durable.
#[derive(Debug, Clone, Copy)]
pub struct StoreWritten {
    /// How long it took.
    pub took: Duration,
}

impl StoreWritten {
    /// Records it.
    pub fn emit(self) {
        histogram!(name::STORE_WRITE_DURATION).record(self.took.as_secs_f64());
    }
}

/// A store that did not do what it was asked.
#[derive(Debug, Clone, Copy)]
pub struct StoreFailed<'a> {
    /// What failed and why.
    pub error: &'a dyn std::error::Error,
}

impl StoreFailed<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::STORE_ERRORS).increment(1);
        error!(error = chain(self.error), "the findings store failed");
    }
}

/// An alert that was delivered, or was given up.
#[derive(Debug, Clone, Copy)]
pub struct AlertSent<'a> {
    /// Channel: its type, never its address.
    pub sink: &'a str,
    /// How many findings it told of.
    pub findings: usize,
    /// Why it was given up; `None`: delivered.
    pub error: Option<&'a dyn std::error::Error>,
}

impl AlertSent<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        let (sink, findings) = (self.sink, self.findings);
        let outcome = if self.error.is_some() { "failed" } else { "delivered" };
        counter!(name::ALERTS_SENT, name::SINK => sink.to_owned(), name::OUTCOME => outcome).increment(1);
        match self.error {
            None => info!(sink, findings, "alert delivered"),
            Some(error) => error!(sink, findings, error = chain(error), "alert not delivered"),
        }
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
}

impl PipelineState<'_> {
    /// Sets the gauges.
    pub fn emit(self) {
        let set = |name, value: f64| gauge!(name, name::PIPELINE => self.pipeline.to_owned()).set(value);
        set(name::KEYS_PENDING, self.keys_pending as f64);
        set(name::KEYS_SUSPECT, self.keys_suspect as f64);
        set(name::OVERDUE_UNPROVEN, self.overdue_unproven as f64);
        set(name::TARGET_INFLIGHT, self.lookups_in_flight as f64);
        let ages = [
            (name::PENDING_OLDEST_AGE, self.oldest_pending),
            (name::VERIFIED_WATERMARK_AGE, self.verified_age),
            (name::APPLY_LAG, self.apply_lag),
        ];
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

fn of_partition(metric: &'static str, pipeline: &str, partition: &PartitionName, value: f64) {
    gauge!(
        metric,
        name::PIPELINE => pipeline.to_owned(),
        name::TOPIC => partition.topic.to_string(),
        name::PARTITION => partition.partition.to_string()
    )
    .set(value);
}

/// An audit that ended complete and clean.
#[derive(Debug, Clone, Copy)]
pub struct AuditSucceeded<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// When, in milliseconds since the epoch.
    pub at_ms: i64,
}

impl AuditSucceeded<'_> {
    /// Sets the gauge.
    pub fn emit(self) {
        gauge!(name::AUDIT_LAST_SUCCESS, name::PIPELINE => self.pipeline.to_owned()).set(self.at_ms as f64 / 1000.0);
    }
}

/// An error and everything below it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(cause) = below {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        below = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn an_event_moves_its_counter() {
        let (recorder, metrics) = Metrics::local().unwrap();
        let partition = PartitionName { topic: "orders".into(), partition: 3 };
        metrics::with_local_recorder(&recorder, || {
            FindingOpened {
                pipeline: "p",
                id: "3f",
                kind: Kind::UnappliedDelete,
                cause: "unknown",
                severity: Severity::Critical,
                table: None,
                position: None,
                evidence: "",
            }
            .emit();
            Committed { pipeline: "p", partition: &partition, next: 991 }.emit();
            AlertSent { sink: "webhook", findings: 2, error: Some(&std::fmt::Error) }.emit();
            PipelineState { pipeline: "p", overdue_unproven: 7, ..PipelineState::default() }.emit();
        });
        let page = metrics.render();
        for line in [
            "afterimage_findings_total{pipeline=\"p\",kind=\"unapplied_delete\",severity=\"critical\"} 1",
            "afterimage_checkpoint_offset{pipeline=\"p\",topic=\"orders\",partition=\"3\"} 991",
            "afterimage_alerts_sent_total{sink=\"webhook\",outcome=\"failed\"} 1",
            "afterimage_overdue_unproven{pipeline=\"p\"} 7",
        ] {
            assert!(page.contains(line), "{line} in {page}");
        }
        assert!(!page.contains("afterimage_apply_lag_seconds{"), "what is not known is not set: {page}");
    }
}
