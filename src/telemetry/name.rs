//! Names of metrics and labels. They are part of what dashboards and alert rules may rely on.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

macro_rules! names {
    ($($(#[$doc:meta])* $kind:ident $constant:ident = $name:literal, $unit:ident, $what:literal;)+) => {
        $(#[doc = $what] pub const $constant: &str = $name;)+

        /// Every name, with its kind: `counter`, `gauge` or `histogram`.
        pub const ALL: &[(&str, &str)] = &[$(($name, stringify!($kind)),)+];

        /// Describes every metric to the recorder.
        pub(super) fn describe_all() {
            $(names!(@describe $kind $constant, $unit, $what);)+
        }
    };
    (@describe counter $constant:ident, $unit:ident, $what:literal) => {
        describe_counter!($constant, Unit::$unit, $what)
    };
    (@describe gauge $constant:ident, $unit:ident, $what:literal) => {
        describe_gauge!($constant, Unit::$unit, $what)
    };
    (@describe histogram $constant:ident, $unit:ident, $what:literal) => {
        describe_histogram!($constant, Unit::$unit, $what)
    };
}

names! {
    counter PIPELINE_CRASHES = "afterimage_pipeline_crashes_total", Count,
        "Panics in a pipeline: defects of this program, each of which ends its pipeline. The goal is 0.";
    gauge BUILD_INFO = "afterimage_build_info", Count, "1, with the version as a label.";
    counter EVENTS_CONSUMED = "afterimage_events_consumed_total", Count, "Changes read from the tap, by operation.";
    counter EVENT_DECODE_ERRORS = "afterimage_event_decode_errors_total", Count, "Records that decode to no change.";
    counter EVENTS_SUPERSEDED = "afterimage_events_superseded_total", Count,
        "Changes never seen themselves, whose newer version matched.";
    counter EVENTS_LEFT_OUT = "afterimage_events_left_out_total", Count,
        "Changes of rows that the applier is not meant to carry.";
    gauge KEYS_PENDING = "afterimage_keys_pending", Count, "Keys with versions that have no verdict yet.";
    gauge PENDING_OLDEST_AGE = "afterimage_pending_oldest_age_seconds", Seconds,
        "Age of the oldest change without a verdict.";
    gauge KEYS_SUSPECT = "afterimage_keys_suspect", Count, "Keys that differ at present and wait for proof.";
    gauge OVERDUE_UNPROVEN = "afterimage_overdue_unproven", Count,
        "Changes that differ or wait and that nothing proves had to be applied yet.";
    counter CHECKS = "afterimage_checks_total", Count, "Reads of keys that were judged, by result.";
    histogram CHECK_DELAY = "afterimage_check_delay_seconds", Seconds, "From the commit at the source to its finding.";
    counter FINDINGS = "afterimage_findings_total", Count, "Findings opened, by kind and severity.";
    counter FAILURES_IMPORTED = "afterimage_failures_imported_total", Count,
        "Failures of DMS validation that were judged anew, by result.";
    gauge FINDINGS_OPEN = "afterimage_findings_open", Count, "Findings open now, by kind.";
    counter RETRACTIONS = "afterimage_retractions_total", Count, "Findings that were never true. The goal is 0.";
    gauge VERIFIED_WATERMARK_AGE = "afterimage_verified_watermark_age_seconds", Seconds,
        "Age of the position up to which every change has its verdict.";
    gauge APPLY_LAG = "afterimage_apply_lag_seconds", Seconds, "From the commit at the source to its proof on the target.";
    counter UNVERIFIED_EVICTIONS = "afterimage_unverified_evictions_total", Count,
        "Versions that lost their own verdict to a bound.";
    counter UNVERIFIABLE_RANGES = "afterimage_unverifiable_ranges_total", Count,
        "Ranges of the tap that ended without a verdict.";
    counter TRANSIENTS = "afterimage_transients_total", Count,
        "Keys that differed and turned out right before they were proven wrong.";
    counter SLOW_EQUALS = "afterimage_slow_equals_total", Count,
        "Equal values whose fingerprints differed: a canonical form of ours is wrong, at a cost of speed.";
    counter IMAGES_RECALLED = "afterimage_images_recalled_total", Count,
        "Images of changes that a verdict needed and the cache had forgotten, by result: read again from the log, or not.";
    counter COVERAGE_GAPS = "afterimage_coverage_gaps_total", Count, "Ranges of the tap that were gone before they were read.";
    counter FREEZES = "afterimage_freezes_total", Count, "Times that verdicts of a scope were held.";
    gauge PATROL_KEYS = "afterimage_patrol_keys", Count, "Verified keys that are looked at again.";
    gauge PATROL_OLDEST_LOOK_AGE = "afterimage_patrol_oldest_look_age_seconds", Seconds,
        "Time since the look at the verified key that was read longest ago; 0 where none is covered.";
    histogram TARGET_QUERY_DURATION = "afterimage_target_query_duration_seconds", Seconds, "Time of one lookup.";
    histogram TARGET_BATCH_KEYS = "afterimage_target_batch_keys", Count, "Keys of one lookup.";
    gauge TARGET_INFLIGHT = "afterimage_target_inflight", Count, "Lookups in flight.";
    counter COLUMN_CHANGES = "afterimage_column_changes_total", Count,
        "Times that a table of the target was found to have other columns.";
    gauge COLUMNS_NOT_COMPARED = "afterimage_columns_not_compared", Count,
        "Columns of a table that are not compared: ignored, of a type not covered, or on one side alone.";
    counter TARGET_ERRORS = "afterimage_target_errors_total", Count, "Lookups that taught nothing.";
    counter REGISTRY_ERRORS = "afterimage_registry_errors_total", Count,
        "Questions for a schema that the registry did not answer; records wait meanwhile.";
    counter TAP_ERRORS = "afterimage_tap_errors_total", Count, "Errors of the tap's client.";
    gauge CONSUMER_LAG = "afterimage_consumer_lag", Count, "Records of a partition that were not consumed yet.";
    counter REBALANCES = "afterimage_rebalances_total", Count, "Changes of the partitions that are ours.";
    gauge CHECKPOINT_OFFSET = "afterimage_checkpoint_offset", Count, "Next offset committed, by partition.";
    gauge CHECKPOINT_AGE = "afterimage_checkpoint_age_seconds", Seconds, "Time since a partition was last committed.";
    counter ALERTS_SENT = "afterimage_alerts_sent_total", Count, "Alerts, by sink and outcome.";
    gauge ALERTS_QUEUED = "afterimage_alerts_queued", Count, "Findings that a channel has not told of yet, by sink.";
    gauge ALERTS_FAILING = "afterimage_alerts_failing_seconds", Seconds,
        "How long a channel has taken no message; 0: it took the last one.";
    counter ALERTS_MERGED = "afterimage_alerts_merged_total", Count,
        "Times that news of a group was counted in its pipeline's common one, because a channel had too many groups.";
    counter SCHEDULE_RUNS = "afterimage_schedule_runs_total", Count, "Runs by the clock, by schedule and outcome.";
    histogram STORE_WRITE_DURATION = "afterimage_store_write_duration_seconds", Seconds, "Time of one write of the store.";
    counter STORE_ERRORS = "afterimage_store_errors_total", Count, "Writes and reads of the store that failed.";
}

/// Label: name of the pipeline.
pub const PIPELINE: &str = "pipeline";
/// Label: table as the tap names it.
pub const TABLE: &str = "table";
/// Label: operation of a change.
pub const OP: &str = "op";
/// Label: kind of a finding.
pub const KIND: &str = "kind";
/// Label: severity of a finding.
pub const SEVERITY: &str = "severity";
/// Label: how a check ended, or a question for images.
pub const RESULT: &str = "result";
/// Label: topic.
pub const TOPIC: &str = "topic";
/// Label: partition.
pub const PARTITION: &str = "partition";
/// Label: channel of an alert.
pub const SINK: &str = "sink";
/// Label: name of a schedule.
pub const SCHEDULE: &str = "schedule";
/// Label: how the delivery of an alert ended, or a run by the clock.
pub const OUTCOME: &str = "outcome";
/// Label: version of this program.
pub const VERSION: &str = "version";
