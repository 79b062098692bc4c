//! What tests ask of a sidecar that judges: quick settings, how far it is, what it found about rows.

use std::time::Duration;

use serde_json::Value;

use crate::pipeline::Pipeline;
use crate::sidecar::Sidecar;
use crate::wait;

/// Margins for services that answer at once and commit every second.
const QUICK: &str = "zombie_after = \"3s\"\npoll = \"200ms\"\nsettle = \"3s\"\nconfirm_after = \"200ms\"";

/// Kinds of findings that are about one row, or stand for many of them.
const ROWS: [&str; 10] = [
    "unapplied_delete",
    "missing_row",
    "lost_update",
    "torn_row",
    "diverged_row",
    "resurrected_row",
    "regressed_row",
    "vanished_row",
    "duplicate_row",
    "mass_divergence",
];

/// Keys of a pipeline section with quick margins, `lines` among them.
pub(crate) fn quick(name: &str, lines: &str) -> String {
    format!("{lines}\n{QUICK}\n\n[pipelines.{name}.limits]\nreread = \"1s\"")
}

/// The evidence of the pipeline's sink: its committed offsets.
pub(crate) fn commits_of(pipeline: &Pipeline) -> String {
    format!("applied = \"kafka-group:{}\"", pipeline.group())
}

/// Whether a finding is about rows.
pub(crate) fn is_of_rows(finding: &Value) -> bool {
    ROWS.iter().any(|kind| finding["kind"] == *kind)
}

/// One line for each finding, for the message of a failed assertion.
pub(crate) fn told(findings: &[Value]) -> Vec<String> {
    let line = |finding: &Value| {
        let at = &finding["expected"]["at"];
        let place = format!("{}/{}:{}", at["topic"], at["partition"], at["offset"]);
        let (kind, cause, state) = (&finding["kind"], &finding["cause"], &finding["state"]);
        format!("{kind} {cause} {state} {} at {place}: {}", finding["key"], finding["detail"])
    };
    findings.iter().map(line).collect()
}

/// Waits until the sidecars together have judged all that lies in the topics of the load now.
pub(crate) async fn wait_verified(pipeline: &Pipeline, sidecars: &[&Sidecar], limit: Duration) {
    let mut wanted = Vec::new();
    for topic in pipeline.load_topics() {
        for (partition, end) in (0_i64..).zip(pipeline.kafka.ends(&topic)) {
            wanted.push((topic.clone(), partition, end));
        }
    }
    wait::until("every change has its verdict", limit, || async {
        let mut marks = Vec::new();
        for sidecar in sidecars {
            marks.extend(partitions(&sidecar.status().await?));
        }
        let is_verified = |(topic, partition, end): &(String, i64, i64)| {
            marks.iter().any(|mark| {
                mark["topic"] == topic.as_str()
                    && mark["partition"] == *partition
                    && mark["verified"].as_i64() >= Some(*end)
            })
        };
        wanted.iter().all(is_verified).then_some(())
    })
    .await;
}

/// The partitions that a sidecar says are its own.
pub(crate) fn partitions(status: &Value) -> Vec<Value> {
    let pipelines = status["pipelines"].as_array().into_iter().flatten();
    pipelines.flat_map(|pipeline| pipeline["partitions"].as_array().cloned().unwrap_or_default()).collect()
}
