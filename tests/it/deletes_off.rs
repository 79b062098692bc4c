//! The default of the JDBC sink: it applies no delete, and says nothing.

use std::collections::BTreeMap;

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

/// The sink's default too: it passes truncates over. Every row was verified and forgotten long before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_an_unapplied_truncate_left_are_found_though_nothing_changed_them() {
    let plan = Plan::new("truncate_off", Dialect::Postgres).topics(Topics::PerTable(1));
    let pipeline = plan.sink("truncate.enabled", "false").start().await;
    pipeline.apply(&Load::new(24).take(CHANGES)).await;
    pipeline.wait_applied().await;
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    verdict::assert_clean(&sidecar);

    let topic = pipeline.topic("accounts");
    let rows: Vec<_> =
        pipeline.newest().into_iter().filter(|((table, _), event)| table == "accounts" && event.op != "d").collect();
    pipeline.write("TRUNCATE accounts", 1).await;
    let truncate = pipeline.kafka.ends(&topic)[0] - 1;
    let expected: BTreeMap<_, _> =
        rows.into_iter().map(|(spot, _)| (spot, ("unapplied_delete".to_owned(), topic.clone(), 0, truncate))).collect();
    assert!(expected.len() > 10, "only {} rows", expected.len());
    assert_exactly(&sidecar, &expected).await;
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
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
    let deleted: BTreeMap<_, _> = pipeline.newest().into_iter().filter(|(_, event)| event.op == "d").collect();
    let mut expected: BTreeMap<Mass, usize> = BTreeMap::new();
    for table in ["customers", "order_lines", "accounts", "documents"] {
        let count = deleted.keys().filter(|(name, _)| name == table).count();
        let name = format!("{}.{table}", pipeline.source.schema());
        expected.insert((name, "delete".to_owned(), "open".to_owned(), count), 1);
    }
    let named = |findings: &[Value]| expected.keys().all(|mass| masses(findings).contains_key(mass));
    let work = sidecar.wait_findings("each table's finding names all its deletes", verdict::LIMIT, named);
    let findings = meanwhile(|| pipeline.beat(), trickling(&pipeline, &load, work)).await;
    assert_eq!(masses(&findings), expected);
    let others: Vec<_> = findings.into_iter().filter(|one| one["kind"] != "mass_divergence").collect();
    let suspected = losses(&others, "suspected");
    assert_eq!(others.len(), suspected.len(), "only rows that are held beside them: {:#?}", verdict::told(&others));
    for (spot, held) in &suspected {
        assert_eq!(deleted.get(spot).map(|event| loss("unapplied_delete", event)).as_ref(), Some(held), "{spot:?}");
    }
}

/// Table, operation, state, and how many rows it stands for.
type Mass = (String, String, String, usize);

/// How many findings there are of each mass, whatever their state.
fn masses(findings: &[Value]) -> BTreeMap<Mass, usize> {
    let mut masses = BTreeMap::new();
    for one in findings.iter().filter(|one| one["kind"] == "mass_divergence") {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let count =
            one["count"].as_u64().and_then(|count| usize::try_from(count).ok()).expect("how many rows it stands for");
        let mass = (text(&one["table"]), text(&one["expected"]["op"]), text(&one["state"]), count);
        *masses.entry(mass).or_default() += 1;
    }
    masses
}
