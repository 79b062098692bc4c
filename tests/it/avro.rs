//! Records in Avro whose schemas are in a registry: the same proofs, a column that comes in the middle of a topic, and a
//! registry that does not answer.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::database::Dialect;
use crate::deletes_off::names_every_delete_by_committed_offsets;
use crate::honest::stays_clean_by_committed_offsets;
use crate::ledger::spot;
use crate::load::Load;
use crate::pipeline::{Pipeline, Plan};
use crate::services::{Act, Service};
use crate::sidecar::{Sidecar, afterimage, beside};
use crate::verdict::{
    self, applied_by_commits, assert_clean, assert_exactly, count_by, judging, loss, quick, wait_verified,
};
use crate::wait;

/// How long it may take until it shows that the registry is frozen: one question runs into its own limit.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_of_avro_is_verified_to_the_end() {
    stays_clean_by_committed_offsets(Plan::new("avro_honest", Dialect::Postgres).avro()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unapplied_delete_of_avro_is_named_by_its_offset() {
    names_every_delete_by_committed_offsets(Plan::new("avro_deletes", Dialect::Postgres).avro()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_of_avro_into_mariadb_is_verified_to_the_end() {
    stays_clean_by_committed_offsets(Plan::new("avro_maria", Dialect::MariaDb).avro()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_column_comes_in_mid_topic_and_a_frozen_registry_keeps_records_waiting() {
    let plan = Plan::new("avro_evolves", Dialect::Postgres).avro().alone();
    let plan = plan.source("provide.transaction.metadata", "true").source("heartbeat.interval.ms", "500");
    let pipeline = plan.start().await;
    let mut load = Load::new(31);
    pipeline.apply(&load.take(2_000)).await;
    for database in [&pipeline.target, &pipeline.source] {
        database.execute("ALTER TABLE counters ADD COLUMN due date").await;
    }
    let counters = i64::try_from(load.alive("counters").len()).expect("a small number");
    pipeline.write("UPDATE counters SET due = '2026-11-23', note = note || '!'", counters).await;
    pipeline.apply(&load.take(1_000)).await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.differences().await, []);

    pipeline.disturb(Act::Pause, Service::Registry).await;
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    let held = sidecar.wait_status("it shows that records wait", NOTICED_WITHIN, |status| held(status).is_some()).await;
    let held = held["pipelines"][0]["held"][0].as_str().expect("a reason").to_owned();
    assert!(held.contains("records wait for schema") && held.contains("does not answer"), "{held}");
    assert!(sidecar.log().contains("the registry was not read; records wait for it"), "{}", sidecar.log());
    pipeline.disturb(Act::Resume, Service::Registry).await;

    let status = wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    assert_eq!((&status["rejects"], &status["unverifiable"]), (&Value::from(0), &Value::from(0)), "{status:#}");
    assert_clean(&sidecar);
    tells_what_it_understands(&pipeline, &sidecar).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_sink_skips_while_its_registry_is_out_of_reach_is_named_by_its_dead_letters() {
    let (plan, settings) = Plan::new("avro_letters", Dialect::Postgres).avro().letters();
    let pipeline = plan.start().await;
    pipeline.write("INSERT INTO counters VALUES (1, 0, 'reached')", 1).await;
    pipeline.wait_applied().await;

    let sink = pipeline.sink_connector();
    let nowhere = "http://127.0.0.1:9/apis/registry/v2";
    let cut_off = pipeline.sink_config().with("value.converter.apicurio.registry.url", nowhere);
    pipeline.connect.deploy(&sink, &cut_off).await;
    pipeline.write("INSERT INTO counters VALUES (2, 0, 'a'), (3, 0, 'b'), (4, 0, 'c')", 3).await;
    let letters = format!("{}_letters", pipeline.name());
    wait::until("the sink has skipped them", NOTICED_WITHIN, || async {
        (pipeline.kafka.count(&letters) == 3).then_some(())
    })
    .await;
    pipeline.connect.deploy(&sink, &pipeline.sink_config()).await;
    pipeline.write("INSERT INTO counters VALUES (5, 0, 'reached')", 1).await;
    pipeline.wait_applied().await;

    let newest = pipeline.newest();
    let lost = (2..5).map(|id| spot("counters", &json!({"id": id})));
    let lost: BTreeMap<_, _> = lost.map(|spot| (spot.clone(), loss("missing_row", &newest[&spot]))).collect();
    let own = format!("{}{settings}", applied_by_commits(&pipeline));
    let sidecar = Sidecar::run(&beside(&pipeline, &quick(&own))).await;
    let findings = assert_exactly(&sidecar, &lost).await;
    assert_eq!(count_by(&findings, "cause"), BTreeMap::from([("rejected_row".to_owned(), lost.len())]));
}

fn held(status: &Value) -> Option<&Value> {
    status["pipelines"][0]["held"].as_array()?.first()
}

/// `decode` on every topic, those of the connector's own records among them, and `doctor`.
async fn tells_what_it_understands(pipeline: &Pipeline, sidecar: &Sidecar) {
    let (name, registry) = (pipeline.name(), pipeline.registry().expect("a pipeline of Avro"));
    let own = [format!("__debezium-heartbeat.{name}"), format!("{name}.transaction")];
    wait::until("there are heartbeats and transactions", NOTICED_WITHIN, || async {
        own.iter().all(|topic| pipeline.kafka.count(topic) > 0).then_some(())
    })
    .await;
    let decode = |topics: &[String], output: &str| {
        let tap = format!("kafka://{}/{}", pipeline.kafka.broker(), topics.join(","));
        let told = afterimage(&std::env::temp_dir(), &["decode", "--tap", &tap, "--registry", &registry, "-o", output]);
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        String::from_utf8(told.stdout).expect("JSON is text")
    };
    let summary: Value = serde_json::from_str(&decode(&pipeline.load_topics(), "summary")).expect("JSON");
    assert_eq!(summary["rejects"], 0, "{summary:#}");
    for line in decode(&own, "ndjson").lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        assert!(record["status"] == "control" && record["format"] == "debezium", "{record}");
    }
    let config = sidecar.config_path();
    let doctor = afterimage(&std::env::temp_dir(), &["doctor", "-o", "table", "-c", config.to_str().expect("a path")]);
    let told = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(told.contains(&format!("registry   {registry} answers")), "{told}");
}
