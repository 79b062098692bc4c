//! Other ways in which the real sink, or somebody beside it, loses changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde_json::{Value, json};

use crate::connect::SinkOffset;
use crate::database::{Database, Dialect};
use crate::kafka::Draft;
use crate::ledger::{Spot, spot};
use crate::load::Load;
use crate::pipeline::{Pipeline, Plan};
use crate::sidecar::{Sidecar, beside};
use crate::verdict::{
    self, Loss, applied_by_commits, assert_exactly, count_by, judging, loss, quick, trickling, wait_verified,
};
use crate::wait;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_that_the_sinks_converter_skips_are_missing_rows() {
    let plan = Plan::new("lost_convert", Dialect::Postgres);
    what_the_converter_skips_is_found(plan, "", "skipped_batch").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_on_the_dead_letter_topic_are_rejected_rows() {
    let plan = Plan::new("lost_letters", Dialect::Postgres);
    let (plan, settings) = plan.letters();
    let findings = what_the_converter_skips_is_found(plan, &settings, "rejected_row").await;
    let evidence = findings[0]["evidence"].as_str().expect("evidence is a sentence");
    assert!(evidence.contains("DataException in the KEY_CONVERTER of "), "{evidence}");
}

async fn what_the_converter_skips_is_found(plan: Plan, settings: &str, cause: &str) -> Vec<Value> {
    let pipeline = plan.sink("errors.tolerance", "all").start().await;
    let topic = pipeline.topic("counters");
    insert_counters(&pipeline, 0..10).await;
    let mut expected = BTreeMap::new();
    for id in 100..105 {
        let key = json!({"id": id}).to_string();
        let event = bare_insert(id).to_string();
        let (key, value) = (Some(key.as_bytes()), Some(event.as_bytes()));
        let offset = pipeline.kafka.produce(&Draft { topic: &topic, partition: 0, key, value, headers: &[] }).await;
        let lost = ("missing_row".to_owned(), topic.clone(), 0, offset);
        expected.insert(spot("counters", &json!({"id": id})), lost);
    }
    // The sink commits what it processed: skipped records are behind its position only with the next good one.
    insert_counters(&pipeline, 10..13).await;
    pipeline.wait_applied().await;
    let sidecar =
        Sidecar::run(&beside(&pipeline, &quick(&format!("{}{settings}", applied_by_commits(&pipeline))))).await;
    let findings = assert_exactly(&sidecar, &expected).await;
    assert_eq!(count_by(&findings, "cause"), BTreeMap::from([(cause.to_owned(), expected.len())]));
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    assert_exactly(&sidecar, &expected).await;
    findings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moving_the_sink_past_a_poison_record_loses_the_batch_before_it() {
    let pipeline = Plan::new("lost_moved", Dialect::Postgres).start().await;
    let (sink, topic) = (pipeline.sink_connector(), pipeline.topic("counters"));
    insert_counters(&pipeline, 0..5).await;
    pipeline.wait_applied().await;
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;

    pipeline.target.execute("ALTER TABLE counters ALTER note TYPE varchar(8)").await;
    // All of it waits in the topic before the sink goes on, so that one poll brings the poison with what stands before it.
    pipeline.connect.pause(&sink).await;
    let row = |id| format!("({id}, 0, '{}')", if id == 20 { "far too long" } else { "fits" });
    let rows: Vec<_> = (10..30).map(row).collect();
    pipeline.write(&format!("INSERT INTO counters VALUES {}", rows.join(", ")), 20).await;
    wait::until("the last of them lies in its topic", PATIENCE, || async {
        pipeline.newest().contains_key(&spot("counters", &json!({"id": 29}))).then_some(())
    })
    .await;
    pipeline.connect.resume(&sink).await;
    pipeline.connect.wait_failed(&sink).await;
    let poison = pipeline.newest()[&spot("counters", &json!({"id": 20}))].offset;
    pipeline.connect.stop(&sink).await;
    pipeline.connect.move_sink_offset(&sink, &SinkOffset { topic, partition: 0, next: poison + 1 }).await;
    pipeline.connect.resume(&sink).await;
    pipeline.wait_applied().await;

    let expected = absent(&pipeline).await;
    assert!(expected.len() > 1 && expected.contains_key(&spot("counters", &json!({"id": 20}))), "{expected:?}");
    let findings = assert_exactly(&sidecar, &expected).await;
    assert_eq!(count_by(&findings, "kind"), BTreeMap::from([("missing_row".to_owned(), expected.len())]));
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_lies_before_a_sink_that_starts_at_the_latest_record_is_missing() {
    let latest = Plan::new("lost_latest", Dialect::Postgres).sink("consumer.override.auto.offset.reset", "latest");
    let pipeline = latest.build().await;
    insert_counters(&pipeline, 0..20).await;
    pipeline.start_sink().await;
    let mut next = 20;
    wait::until("the sink applies what comes later", PATIENCE, || {
        let id = next;
        next += 1;
        let pipeline = &pipeline;
        async move {
            insert_counters(pipeline, id..id + 1).await;
            (!pipeline.target.rows("counters").await.is_empty()).then_some(())
        }
    })
    .await;
    pipeline.wait_applied().await;

    let expected = absent(&pipeline).await;
    assert!(expected.len() >= 20, "{expected:?}");
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    assert_exactly(&sidecar, &expected).await;
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
    assert_exactly(&sidecar, &expected).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_writer_is_found_by_committed_offsets() {
    let (pipeline, _, changed, deleted) = overwritten(Plan::new("second_commits", Dialect::Postgres)).await;
    let newest = pipeline.newest();
    let named = |kind: &str, spots: &BTreeSet<Spot>| -> Vec<(Spot, Loss)> {
        spots.iter().map(|spot| (spot.clone(), loss(kind, &newest[spot]))).collect()
    };
    let expected = [named("diverged_row", &changed), named("missing_row", &deleted)].concat();
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    let findings = assert_exactly(&sidecar, &expected.into_iter().collect()).await;
    for finding in findings.iter().filter(|finding| finding["kind"] == "diverged_row") {
        assert_eq!(finding["cause"], "foreign_write", "{finding:#}");
    }
    wait_verified(&sidecar, &verdict::ends(&pipeline)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_inference_a_second_writer_leaves_its_table_unverifiable() {
    let (pipeline, load, ..) = overwritten(Plan::new("second_rows", Dialect::Postgres)).await;
    let sidecar = Sidecar::run(&judging(&pipeline, "inferred")).await;
    let ends = verdict::ends(&pipeline);
    let status = trickling(&pipeline, &load, wait_verified(&sidecar, &ends)).await;
    assert!(status["unverifiable"].as_u64() >= Some(1), "{status:#}");
    let findings = sidecar.findings();
    let [unsound] = &*findings else { panic!("one finding, not {findings:#?}") };
    assert_eq!((&unsound["kind"], &unsound["cause"]), (&"evidence_unsound".into(), &"foreign_write".into()));
    assert!(unsound["detail"].as_str().is_some_and(|detail| detail.contains("customers")), "{unsound:#}");
}

/// An applied pipeline, and the rows of `customers` that somebody else then changed or deleted on the target.
async fn overwritten(plan: Plan) -> (Pipeline, Load, BTreeSet<Spot>, BTreeSet<Spot>) {
    let pipeline = plan.start().await;
    let mut load = Load::new(31);
    pipeline.apply(&load.take(2_000)).await;
    pipeline.wait_applied().await;
    let victims: Vec<Value> = load.alive("customers").into_iter().take(8).collect();
    let (changed, deleted) = victims.split_at(4);
    pipeline
        .target
        .execute(&format!("UPDATE customers SET name = 'somebody else' WHERE id IN ({})", ids(changed)))
        .await;
    pipeline.target.execute(&format!("DELETE FROM customers WHERE id IN ({})", ids(deleted))).await;
    let spots = |keys: &[Value]| keys.iter().map(|key| spot("customers", key)).collect();
    let (changed, deleted) = (spots(changed), spots(deleted));
    (pipeline, load, changed, deleted)
}

fn ids(keys: &[Value]) -> String {
    keys.iter().map(|key| key["id"].to_string()).collect::<Vec<_>>().join(", ")
}

/// The counters of the source that the target lacks, as the findings that name their newest events.
async fn absent(pipeline: &Pipeline) -> BTreeMap<Spot, Loss> {
    let there = counter_ids(&pipeline.target).await;
    let newest = pipeline.newest();
    let lost = counter_ids(&pipeline.source).await.into_iter().filter(|id| !there.contains(id));
    lost.map(|id| {
        let spot = spot("counters", &json!({"id": id}));
        let loss = loss("missing_row", &newest[&spot]);
        (spot, loss)
    })
    .collect()
}

async fn counter_ids(database: &Database) -> BTreeSet<i32> {
    let Database::Postgres(database) = database else { panic!("a PostgreSQL pipeline") };
    let ids = sqlx::query_scalar("SELECT id FROM counters").fetch_all(database.pool()).await;
    ids.expect("the table can be read").into_iter().collect()
}

/// MariaDB's upsert takes a row that any unique index finds: debezium/dbz#2403.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upsert_that_meets_another_unique_index_writes_the_row_of_another_key() {
    let pipeline = Plan::new("lost_unique", Dialect::MariaDb).start().await;
    pipeline.target.execute("ALTER TABLE counters ADD UNIQUE INDEX by_note (note)").await;
    let sidecar = Sidecar::run(&judging(&pipeline, &verdict::committed(&pipeline))).await;
    insert_counters(&pipeline, 0..10).await;
    pipeline.write("INSERT INTO counters VALUES (20, 77, 'n3')", 1).await;
    insert_counters(&pipeline, 10..13).await;
    pipeline.wait_applied().await;
    let are_there = |findings: &[Value]| findings.len() == 2;
    let mut findings = sidecar.wait_findings("both rows are found", verdict::LIMIT, are_there).await;
    findings.sort_by_key(|finding| finding["key"]["id"].as_i64());
    let told = |finding: &Value| {
        (finding["kind"].clone(), finding["key"]["id"].clone(), finding["observed"]["row"]["total"].clone())
    };
    assert_eq!(told(&findings[0]), (json!("diverged_row"), json!(3), json!(77)), "{findings:#?}");
    assert_eq!(told(&findings[1]), (json!("missing_row"), json!(20), Value::Null), "{findings:#?}");
    for finding in &findings {
        let evidence = finding["evidence"].as_str().expect("a sentence");
        assert!(evidence.contains("the target table is unique besides the key: `by_note` (note); "), "{evidence}");
    }
}

async fn insert_counters(pipeline: &Pipeline, ids: Range<i32>) {
    let records = i64::from(ids.end - ids.start);
    let rows: Vec<_> = ids.map(|id| format!("({id}, 0, 'n{id}')")).collect();
    pipeline.write(&format!("INSERT INTO counters VALUES {}", rows.join(", ")), records).await;
}

/// A Debezium event without its schema.
fn bare_insert(id: i32) -> Value {
    json!({
        "before": null,
        "after": {"id": id, "total": 1, "note": "bare"},
        "source": {"version": "3.5.0.Final", "connector": "postgresql", "name": "bare", "ts_ms": 1_790_000_000_000_i64,
            "snapshot": "false", "db": "bare", "schema": "public", "table": "counters", "txId": 1, "lsn": 1},
        "op": "c",
        "ts_ms": 1_790_000_000_000_i64,
    })
}
