//! What happens, as structs: `emit` writes the log line and moves the counter.

mod crash;
mod finding;
mod output;
mod schedule;
mod state;
mod tap;
mod target;
mod verdict;

use metrics::gauge;

pub use self::crash::PipelineCrashed;
pub use self::finding::{FindingHealed, FindingOpened};
pub use self::output::{AlertSent, AlertsMerged, AlertsQueued, Loudness, StoreFailed, StoreWritten};
pub use self::schedule::{FailureImported, ScheduleRan};
pub use self::state::{FindingsOpen, PartitionState, PipelineState};
pub use self::tap::{
    ChangesConsumed, Committed, GapSeen, LogReplaced, Rebalanced, RecordRejected, RegistryFailed, TapEnd, TapFailed,
};
pub use self::target::{ColumnsChanged, ColumnsNotCompared, TargetFailed, TargetRead};
pub use self::verdict::{
    ChangesLeftOut, ChangesSuperseded, CheckResult, Coalesced, Frozen, ImagesRecalled, KeysChecked, Replanned,
    SlowEqual, TableScanned, Transient, Unverifiable,
};
use super::name;
use crate::model::position::PartitionName;

fn of_partition(metric: &'static str, pipeline: &str, partition: &PartitionName, value: f64) {
    gauge!(
        metric,
        name::PIPELINE => pipeline.to_owned(),
        name::TOPIC => partition.topic.to_string(),
        name::PARTITION => partition.partition.to_string()
    )
    .set(value);
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
    use crate::model::finding::{Kind, Severity};
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
                after: None,
            }
            .emit();
            Committed { pipeline: "p", partition: &partition, next: 991 }.emit();
            AlertSent { sink: "webhook", findings: 2, error: Some(&std::fmt::Error), loudness: Loudness::Loud }.emit();
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
