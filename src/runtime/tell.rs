//! What the runtime tells the log and the counters about its adapters.

use std::error::Error;
use std::time::Duration;

use crate::engine::event::Note;
use crate::report::document::Document;
use crate::tap::TapError;
use crate::target::TargetError;

use super::tables::Mapped;

/// An error and the errors below it, as one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}

/// A tap that does not deliver.
pub(super) fn tap_failed(pipeline: &str, error: &TapError) {
    metrics::counter!("afterimage_tap_errors_total", "pipeline" => pipeline.to_owned()).increment(1);
    tracing::warn!(pipeline, fatal = error.fatal, "{}", chain(error));
}

/// A target that does not answer.
pub(super) fn target_failed(pipeline: &str, error: &TargetError) {
    metrics::counter!("afterimage_target_errors_total", "pipeline" => pipeline.to_owned()).increment(1);
    tracing::warn!(pipeline, "{}", chain(error));
}

/// One lookup was answered, or failed.
pub(super) fn looked(pipeline: &str, keys: usize, took: Duration) {
    metrics::histogram!("afterimage_target_query_duration_seconds", "pipeline" => pipeline.to_owned()).record(took);
    metrics::histogram!("afterimage_target_batch_keys", "pipeline" => pipeline.to_owned()).record(keys as f64);
}

/// Something the judge wants a person to be able to read.
pub(super) fn noted(pipeline: &str, note: &Note) {
    match note {
        Note::Frozen { why, .. } => tracing::warn!(pipeline, "verdicts are held: {why}"),
        Note::Demoted { why } => tracing::warn!(pipeline, "committed offsets no longer convict: {why}"),
        Note::Coalesced { partition, range } => {
            metrics::counter!("afterimage_unverified_evictions_total", "pipeline" => pipeline.to_owned()).increment(1);
            tracing::info!(pipeline, partition = partition.0, from = range.0, to = range.1, "middle versions were coalesced");
        }
        Note::Unverifiable { partition, range, why } => {
            metrics::counter!("afterimage_unverifiable_total", "pipeline" => pipeline.to_owned()).increment(1);
            tracing::warn!(pipeline, partition = partition.0, from = range.0, to = range.1, "unverifiable: {why}");
        }
        Note::Transient => {
            metrics::counter!("afterimage_transient_suspects_total", "pipeline" => pipeline.to_owned()).increment(1);
        }
        Note::SlowEqual { table } => {
            metrics::counter!("afterimage_slow_equal_total", "pipeline" => pipeline.to_owned()).increment(1);
            tracing::debug!(pipeline, table = table.0, "fingerprints differ and the rows are equal");
        }
    }
}

/// A finding became open.
pub(super) fn opened(finding: &Document) {
    let table = finding.table.clone().unwrap_or_default();
    metrics::counter!(
        "afterimage_findings_total",
        "pipeline" => finding.pipeline.clone(), "kind" => finding.kind.word(), "severity" => finding.severity.word()
    )
    .increment(1);
    tracing::warn!(
        pipeline = finding.pipeline,
        id = finding.id,
        table,
        kind = finding.kind.word(),
        cause = finding.cause.word(),
        severity = finding.severity.word(),
        at = finding.expected.as_ref().map(|expected| expected.at.position()),
        "finding opened: {}",
        finding.evidence
    );
}

/// A finding healed.
pub(super) fn closed(finding: &Document) {
    metrics::counter!("afterimage_findings_healed_total", "pipeline" => finding.pipeline.clone()).increment(1);
    tracing::info!(pipeline = finding.pipeline, id = finding.id, kind = finding.kind.word(), "finding healed");
}

/// A table was met for the first time.
pub(super) fn mapped(pipeline: &str, tap_name: &str, mapped: &Mapped) {
    match mapped {
        Mapped::Judged(table) => {
            let left_out = table.plan.not_compared().iter();
            let left_out: Vec<String> = left_out.map(|column| format!("{} ({})", column.column, column.why)).collect();
            let target = table.target_name();
            tracing::info!(pipeline, table = tap_name, target, not_compared = left_out.join(", "), "table is judged");
        }
        Mapped::NotJudged(why) => tracing::warn!(pipeline, table = tap_name, "table is not judged: {why}"),
    }
}
