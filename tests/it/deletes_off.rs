//! The default of the JDBC sink: it applies no delete, and says nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::database::Dialect;
use crate::honest::{CHANGES, ROUTED};
use crate::load::Load;
use crate::pipeline::{Plan, Topics};
use crate::sidecar::Sidecar;
use crate::verdict::{self, assert_exactly, count_by, judging, loss, losses, meanwhile, trickling, wait_verified};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unapplied_delete_is_named_by_its_offset() {
    names_every_delete_by_committed_offsets(Plan::new("deletes_commits", Dialect::Postgres)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_alone_tell_of_a_mass_of_deletes_by_table() {
    tells_of_masses_by_heartbeats(Plan::new("deletes_beats", Dialect::Postgres)).await;
}

/// Exactly the keys whose newest event is a delete, old keys of key changes among them.
pub(crate) async fn names_every_delete_by_committed_offsets(plan: Plan) {
    let pipeline = plan.topics(Topics::PerTable(2)).sink("delete.enabled", "false").start().await;
    pipeline.apply(&Load::new(21).take(CHANGES)).await;
    pipeline.wait_applied().await;

    // What is deleted now is lost for good; a sidecar that had watched would also tell of rows inserted again since.
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    let deleted = pipeline.newest().into_iter().filter(|(_, event)| event.op == "d");
    let expected: BTreeMap<_, _> = deleted.map(|(spot, event)| (spot, loss("unapplied_delete", &event))).collect();
    assert!(expected.len() > 100, "only {} deletes", expected.len());
    assert_exactly(&sidecar, &expected).await;
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    let findings = assert_exactly(&sidecar, &expected).await;
    assert_eq!(count_by(&findings, "severity"), BTreeMap::from([("critical".to_owned(), expected.len())]));
    assert_eq!(count_by(&findings, "cause"), BTreeMap::from([("op_not_applied".to_owned(), expected.len())]));
    shows_by_metrics(&sidecar, expected.len() as f64).await;
}

/// What an alert rule sees of it.
async fn shows_by_metrics(sidecar: &Sidecar, deletes: f64) {
    let metric = async |name, label| sidecar.metric(name, label).await.expect("the page of metrics");
    assert_eq!(metric("afterimage_findings_open", "kind=\"unapplied_delete\"").await, deletes);
    assert_eq!(metric("afterimage_check_delay_seconds_count", "").await, deletes);
    assert_eq!(metric("afterimage_verified_watermark_age_seconds", "").await, 0.0);
    for (name, label) in [
        ("afterimage_events_consumed_total", "op=\"delete\""),
        ("afterimage_checks_total", "result=\"mismatch\""),
        ("afterimage_checks_total", "result=\"match\""),
    ] {
        let seen = metric(name, label).await;
        assert!(seen >= deletes, "{name} {label}: {seen} for {deletes} deletes");
    }
    for name in
        ["afterimage_checkpoint_offset", "afterimage_rebalances_total", "afterimage_store_write_duration_seconds_count"]
    {
        assert!(metric(name, "").await > 0.0, "{name}");
    }
}

/// Causal evidence cannot tell a stuck group of statements from lost rows: one finding a table stands for its deletes.
pub(crate) async fn tells_of_masses_by_heartbeats(plan: Plan) {
    let pipeline = plan.topics(ROUTED).sink("delete.enabled", "false").start().await;
    pipeline.plant_heartbeats().await;
    let mut load = Load::new(22);
    pipeline.apply(&load.take(CHANGES)).await;
    pipeline.wait_applied().await;

    let table = format!("heartbeat:{}.heartbeats.beat", pipeline.source.schema());
    let sidecar = Sidecar::run(&judging(&pipeline, &table)).await;
    let schema = pipeline.source.schema();
    let losing = ["customers", "order_lines", "accounts", "documents"].map(|table| format!("{schema}.{table}"));
    let work = sidecar
        .wait_findings("each table has its finding", verdict::LIMIT, |findings| masses(findings).len() == losing.len());
    let beating = meanwhile(|| pipeline.beat(), trickling(&pipeline, &load, work));
    let findings = beating.await;
    assert_eq!(masses(&findings), losing.into_iter().collect());
    assert_eq!(losses(&findings, "open"), BTreeMap::new());
    let masses = findings.iter().filter(|finding| finding["kind"] == "mass_divergence");
    for finding in masses {
        assert_eq!(finding["expected"]["op"], "delete", "{finding:#}");
    }
}

fn masses(findings: &[Value]) -> BTreeSet<String> {
    let of_table = findings.iter().filter(|one| one["kind"] == "mass_divergence" && one["state"] == "open");
    of_table.map(|one| one["table"].as_str().expect("a table").to_owned()).collect()
}
