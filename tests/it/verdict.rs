//! What a sidecar beside a pipeline came to: how far it verified the tap, and which rows it names.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::future::Future;
use std::time::Duration;

use serde_json::Value;

use crate::database::Dialect;
use crate::ledger::{Event, Spot, spot};
use crate::load::Load;
use crate::pipeline::Pipeline;
use crate::sidecar::{Sidecar, beside};
use crate::wait;

/// How long verdicts may take on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(150);

/// Margins for sinks that commit every second, as those of the tests do, and room for rows that change hundreds of times
/// between two commits.
const MARGINS: &str = r#"
zombie_after = "3s"
settle = "3s"
poll = "200ms"
confirm_after = "200ms"
limits.reread = "1s"
limits.versions_per_key = 4096
"#;

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

/// How often the world moves on while verdicts are waited for.
const PACE: Duration = Duration::from_millis(1_500);

/// Rows of each table that a trickle touches.
const TRICKLE: usize = 6;

/// Next offsets by topic and partition.
pub(crate) type Ends = BTreeMap<(String, i64), i64>;

/// The evidence of the sink's committed offsets.
pub(crate) fn committed(pipeline: &Pipeline) -> String {
    format!("kafka-group:{}", pipeline.group())
}

/// The same as a line of a pipeline section.
pub(crate) fn applied_by_commits(pipeline: &Pipeline) -> String {
    format!("applied = {:?}", committed(pipeline))
}

/// Keys of a pipeline section: `lines`, and quick margins.
pub(crate) fn quick(lines: &str) -> String {
    format!("{lines}{MARGINS}")
}

/// The sections of a sidecar that judges by `applied`.
pub(crate) fn judging(pipeline: &Pipeline, applied: &str) -> String {
    let mut sections = beside(pipeline, &quick(&format!("applied = {applied:?}")));
    if pipeline.target.dialect() == Dialect::MariaDb {
        // Source and target are databases of one server here: without a rule the source's own table would be found.
        let (source, target) = (pipeline.source.schema(), pipeline.target.schema());
        for table in pipeline.tables() {
            let name = pipeline.name();
            write!(
                sections,
                "\n[[pipelines.{name}.tables]]\nmatch = \"{source}.{table}\"\ntarget = \"{target}.{table}\"\n"
            )
            .expect("a string takes all");
        }
    }
    sections
}

/// Where the topics of the load end now.
pub(crate) fn ends(pipeline: &Pipeline) -> Ends {
    let of_topic = |topic: String| {
        let ends = pipeline.kafka.ends(&topic);
        (0..).zip(ends).map(move |(partition, end)| ((topic.clone(), partition), end))
    };
    pipeline.tapped_topics().into_iter().flat_map(of_topic).collect()
}

/// Waits until every change before `ends` has its verdict; returns the status of the pipeline.
pub(crate) async fn wait_verified(sidecar: &Sidecar, ends: &Ends) -> Value {
    let status = sidecar.wait_status("everything is verified", LIMIT, |status| {
        let verified = verified(status);
        ends.iter().filter(|(_, end)| **end > 0).all(|(place, end)| verified.get(place).is_some_and(|next| next >= end))
    });
    status.await["pipelines"][0].take()
}

/// Waits until the sidecars together have judged all that lies in the topics of the load now.
pub(crate) async fn wait_all_verified(pipeline: &Pipeline, sidecars: &[&Sidecar]) {
    let ends = ends(pipeline);
    wait::until("every change has its verdict", LIMIT, || async {
        let mut marks = Vec::new();
        for sidecar in sidecars {
            marks.push(verified(&sidecar.status().await?));
        }
        let reaches = |place, end| marks.iter().any(|verified| verified.get(place).is_some_and(|next| next >= end));
        ends.iter().filter(|(_, end)| **end > 0).all(|(place, end)| reaches(place, end)).then_some(())
    })
    .await;
}

/// The verified watermark of every partition.
pub(crate) fn verified(status: &Value) -> Ends {
    let of_partition = |partition: Value| {
        let topic = partition["topic"].as_str().expect("a topic").to_owned();
        let number = partition["partition"].as_i64().expect("a partition");
        ((topic, number), partition["verified"].as_i64().expect("an offset"))
    };
    partitions(status).into_iter().map(of_partition).collect()
}

/// The partitions that a sidecar says are its own.
pub(crate) fn partitions(status: &Value) -> Vec<Value> {
    let pipelines = status["pipelines"].as_array().into_iter().flatten();
    pipelines.flat_map(|pipeline| pipeline["partitions"].as_array().cloned().unwrap_or_default()).collect()
}

/// Drives `work` to its end while `world` is called at a steady pace.
pub(crate) async fn meanwhile<T, F, P>(world: P, work: impl Future<Output = T>) -> T
where
    P: FnMut() -> F,
    F: Future<Output = ()>,
{
    tokio::select! {
        () = wait::every(PACE, world) => unreachable!("a steady pace has no end"),
        done = work => done,
    }
}

/// A few living rows of every table change at a steady pace until `work` is done.
pub(crate) async fn trickling<T>(pipeline: &Pipeline, load: &Load, work: impl Future<Output = T>) -> T {
    let load = std::cell::RefCell::new(load.clone());
    let step = || async {
        let changes = load.borrow_mut().trickle(TRICKLE);
        pipeline.apply(&changes).await;
    };
    meanwhile(step, work).await
}

/// A row finding, as tests compare it: its kind, and where the lost change lies.
pub(crate) type Loss = (String, String, i32, i64);

/// The loss that `kind` at the position of `event` is.
pub(crate) fn loss(kind: &str, event: &Event) -> Loss {
    (kind.to_owned(), event.topic.clone(), event.partition, event.offset)
}

/// Row findings in `state`, by key. Two findings of one key are refused.
pub(crate) fn losses(findings: &[Value], state: &str) -> BTreeMap<Spot, Loss> {
    let mut losses = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding["state"] == state && finding["key"].is_object()) {
        let name = finding["table"].as_str().expect("a row has a table");
        let table = name.rsplit('.').next().expect("a split gives one part at least");
        let at = &finding["expected"]["at"];
        let loss = (
            finding["kind"].as_str().expect("a kind").to_owned(),
            at["topic"].as_str().expect("a topic").to_owned(),
            at["partition"].as_i64().and_then(|n| i32::try_from(n).ok()).expect("a partition"),
            at["offset"].as_i64().expect("an offset"),
        );
        let before = losses.insert(spot(table, &finding["key"]), loss);
        assert!(before.is_none(), "two {state} findings of one key: {finding:#}");
    }
    losses
}

/// Waits until as many findings of rows are open as are expected, and refuses any other finding, in any state.
pub(crate) async fn assert_exactly(sidecar: &Sidecar, expected: &BTreeMap<Spot, Loss>) -> Vec<Value> {
    let enough = |findings: &[Value]| losses(findings, "open").len() >= expected.len();
    let findings = sidecar.wait_findings("every loss is an open finding", LIMIT, enough).await;
    let found = losses(&findings, "open");
    let missed = excerpt(expected.iter().filter(|(spot, loss)| found.get(*spot) != Some(*loss)));
    let wrong = excerpt(found.iter().filter(|(spot, loss)| expected.get(*spot) != Some(*loss)));
    assert!(missed.is_empty() && wrong.is_empty(), "missed: {missed:#?}\nwrong: {wrong:#?}");
    let others = excerpt(findings.iter().filter(|one| one["state"] != "open" || !one["key"].is_object()));
    assert!(others.is_empty(), "further findings: {others:#?}");
    findings
}

/// No finding in any state.
pub(crate) fn assert_clean(sidecar: &Sidecar) {
    let findings = sidecar.findings();
    assert!(findings.is_empty(), "{} findings: {:#?}", findings.len(), excerpt(findings.iter()));
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

/// How often each word stands under `field`.
pub(crate) fn count_by(findings: &[Value], field: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for finding in findings {
        *counts.entry(finding[field].as_str().unwrap_or("-").to_owned()).or_default() += 1;
    }
    counts
}

/// The first few, so that a failure can be read.
fn excerpt<T: Debug>(items: impl Iterator<Item = T>) -> Vec<T> {
    items.take(6).collect()
}
