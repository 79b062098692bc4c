//! Records without an envelope: Debezium's `ExtractNewRecordState` before the topics, rows and null values behind it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::database::{Database, Dialect};
use crate::ledger;
use crate::load::{Load, TABLES};
use crate::pipeline::{Pipeline, Plan, Topics};
use crate::sidecar::{Sidecar, beside};
use crate::verdict::{self, assert_clean, assert_exactly, loss, quick, wait_verified};

/// Changes that the source makes; rows are judged as those of envelopes are, so a few are enough.
const CHANGES: usize = 4_000;

/// Deletes are rewritten into rows, and followed by null values. The sink is given neither the fields that the transform adds nor
/// the topic's prefix, by which it could not name its tables.
async fn start(name: &str, deletes: &str) -> Pipeline {
    let unwrap = [
        ("transforms", "unwrap"),
        ("transforms.unwrap.type", "io.debezium.transforms.ExtractNewRecordState"),
        ("transforms.unwrap.delete.tombstone.handling.mode", "rewrite-with-tombstone"),
        ("transforms.unwrap.add.fields", "op,source.ts_ms"),
    ];
    let plain = [
        ("delete.enabled", deletes),
        ("collection.name.format", "${topic}"),
        ("transforms", "plain,name"),
        ("transforms.plain.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
        ("transforms.plain.exclude", "__deleted,__op,__source_ts_ms"),
        ("transforms.name.type", "org.apache.kafka.connect.transforms.RegexRouter"),
        ("transforms.name.regex", r".*\.([^.]+)"),
        ("transforms.name.replacement", "$1"),
    ];
    let plan = Plan::new(name, Dialect::Postgres).topics(Topics::PerTable(2));
    let plan = unwrap.iter().fold(plan, |plan, (key, value)| plan.source(key, value));
    let plan = plain.iter().fold(plan, |plan, (key, value)| plan.sink(key, value));
    let pipeline = plan.build().await;
    // The sink writes a rewritten delete before it deletes: only what was there may be in it.
    let Database::Postgres(source) = &pipeline.source else { panic!("a PostgreSQL pipeline") };
    for table in TABLES {
        source.identify_fully(table).await;
    }
    pipeline.start_sink().await;
    pipeline
}

fn judging(pipeline: &Pipeline, format: &str) -> String {
    let applied = verdict::committed(pipeline);
    beside(pipeline, &quick(&format!("applied = {applied:?}\ndecode.format = {format:?}")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_of_flattened_rows_is_verified_to_the_end() {
    let pipeline = start("flat_honest", "true").await;
    let sidecar = Sidecar::run(&judging(&pipeline, "auto")).await;
    pipeline.apply(&Load::new(41).take(CHANGES)).await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.differences().await, []);

    let ends = verdict::ends(&pipeline);
    let status = wait_verified(&sidecar, &ends).await;
    let whole = sidecar.status().await.expect("the sidecar answers");
    assert_eq!(verdict::verified(&whole), ends);
    assert_eq!((&status["unverifiable"], &status["rejects"]), (&Value::from(0), &Value::from(0)), "{status:#}");
    assert_eq!(status["changes"].as_i64(), Some(pipeline.records()), "null values are changes too");
    assert_clean(&sidecar);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unapplied_delete_of_flattened_rows_is_named_by_its_offset() {
    let pipeline = start("flat_deletes", "false").await;
    pipeline.apply(&Load::new(42).take(CHANGES)).await;
    pipeline.wait_applied().await;

    let sidecar = Sidecar::run(&judging(&pipeline, "flattened")).await;
    let newest = ledger::newest_of_rows(&pipeline.kafka, &pipeline.load_topics());
    let deleted = newest.into_iter().filter(|(_, event)| event.op == "d");
    let expected: BTreeMap<_, _> = deleted.map(|(spot, event)| (spot, loss("unapplied_delete", &event))).collect();
    assert!(expected.len() > 100, "only {} deletes", expected.len());
    assert_exactly(&sidecar, &expected).await;
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    assert_exactly(&sidecar, &expected).await;
}
