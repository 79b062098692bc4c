//! A sink that applies everything is never accused, whatever proves that it did.

use std::collections::BTreeMap;

use crate::database::Dialect;
use crate::load::{Change, Load};
use crate::pipeline::{Pipeline, Plan, Topics};
use crate::sidecar::Sidecar;
use crate::verdict::{self, assert_clean, assert_exactly, judging, loss, meanwhile, trickling, wait_verified};

pub(crate) const CHANGES: usize = 20_000;

/// All tables in one topic.
pub(crate) const ROUTED: Topics = Topics::Routed(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_is_verified_to_the_end_by_its_committed_offsets() {
    stays_clean_by_committed_offsets(Plan::new("honest_commits", Dialect::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_is_verified_by_heartbeats() {
    stays_clean_by_heartbeats(Plan::new("honest_beats", Dialect::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_is_verified_by_its_rows_alone() {
    stays_clean_by_rows(Plan::new("honest_rows", Dialect::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_placeholder_over_a_long_value_is_found_in_exactly_its_rows() {
    let pipeline = Plan::new("toast", Dialect::Postgres).topics(Topics::PerTable(2)).start().await;
    pipeline.source.execute("ALTER TABLE documents REPLICA IDENTITY DEFAULT").await;
    let mut load = Load::new(14);
    pipeline.apply(&load.take(5_000)).await;
    pipeline.wait_applied().await;

    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    let newest = pipeline.newest();
    let unsent = load.unsent_bodies().into_iter().map(|key| crate::ledger::spot("documents", &key));
    let expected: BTreeMap<_, _> = unsent
        .map(|spot| {
            let lost = loss("diverged_row", &newest[&spot]);
            (spot, lost)
        })
        .collect();
    assert!(!expected.is_empty());
    let findings = assert_exactly(&sidecar, &expected).await;
    assert!(findings.iter().all(|finding| finding["cause"] == "placeholder_written"), "{:#}", findings[0]);
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
}

/// The sidecar watches from the beginning, and what it verified ends where the tap ends.
pub(crate) async fn stays_clean_by_committed_offsets(plan: Plan) {
    let pipeline = plan.topics(Topics::PerTable(2)).start().await;
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    let changes = Load::new(11).take(CHANGES);
    pipeline.apply(&changes).await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.differences().await, []);

    let ends = verdict::ends(&pipeline);
    assert_eq!(ends.values().sum::<i64>(), pipeline.records_of(&changes));
    let status = wait_verified(&sidecar, &ends).await;
    let whole = sidecar.status().await.expect("the sidecar answers");
    assert_eq!(verdict::verified(&whole), ends);
    assert_eq!((status["unverifiable"].as_u64(), status["rejects"].as_u64()), (Some(0), Some(0)), "{status:#}");
    assert_eq!(status["changes"].as_u64(), Some(changes.iter().map(Change::events).sum()), "all of them are judged");
    assert_clean(&sidecar);
}

/// A heartbeat in each partition and a trickle prove what lies before them.
pub(crate) async fn stays_clean_by_heartbeats(plan: Plan) {
    let pipeline = plan.topics(ROUTED).start().await;
    pipeline.plant_heartbeats().await;
    let table = format!("heartbeat:{}.heartbeats.beat", pipeline.source.schema());
    let sidecar = Sidecar::run(&judging(&pipeline, &table)).await;
    let mut load = Load::new(12);
    let work = async {
        pipeline.apply(&load.take(CHANGES)).await;
        let ends = verdict::ends(&pipeline);
        let status = trickling(&pipeline, &load, wait_verified(&sidecar, &ends)).await;
        assert_trickled(&pipeline, &ends);
        status
    };
    let status = meanwhile(|| pipeline.beat(), work).await;
    assert_eq!(status["unverifiable"], 0, "{status:#}");
    assert_clean(&sidecar);
}

/// Rows that go on changing prove what lies before them.
pub(crate) async fn stays_clean_by_rows(plan: Plan) {
    let pipeline = plan.topics(ROUTED).start().await;
    let sidecar = Sidecar::run(&judging(&pipeline, "inferred")).await;
    let mut load = Load::new(13);
    pipeline.apply(&load.take(CHANGES)).await;
    let ends = verdict::ends(&pipeline);
    let status = trickling(&pipeline, &load, wait_verified(&sidecar, &ends)).await;
    assert_trickled(&pipeline, &ends);
    assert_eq!(status["unverifiable"], 0, "{status:#}");
    assert_clean(&sidecar);
}

/// What changed since `ends`: three keys in each partition at least, which is what rows alone prove anything by.
fn assert_trickled(pipeline: &Pipeline, ends: &verdict::Ends) {
    let since = pipeline.newest().into_values().filter(|event| {
        let place = (event.topic.clone(), i64::from(event.partition));
        ends.get(&place).is_some_and(|end| event.offset >= *end)
    });
    let mut keys: BTreeMap<i32, usize> = BTreeMap::new();
    since.for_each(|event| *keys.entry(event.partition).or_default() += 1);
    assert!(keys.len() == ends.len() && keys.values().all(|count| *count >= 3), "{keys:?}");
}
