//! Proof of the ground the other tests stand on: an honest pipeline carries everything, and the knobs do what they say.

use std::collections::BTreeSet;

use crate::connect::SinkOffset;
use crate::database::{Database, Dialect};
use crate::kafka::Draft;
use crate::ledger::spot;
use crate::load::{Act, Load, TABLES};
use crate::pipeline::{Pipeline, Plan, Topics};
use crate::services::{Act as Disturbance, Service};

const CHANGES: usize = 20_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_pipeline_carries_a_mixed_load() {
    carries_a_mixed_load(Plan::new("rig_pg", Dialect::Postgres).topics(Topics::PerTable(2))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_pipeline_carries_a_mixed_load() {
    carries_a_mixed_load(Plan::new("rig_my", Dialect::MariaDb).topics(Topics::PerTable(2))).await;
}

async fn carries_a_mixed_load(plan: Plan) {
    let pipeline = plan.start().await;
    let mut load = Load::new(1);
    let changes = load.take(CHANGES);
    pipeline.apply(&changes).await;
    let records: i64 = changes.iter().map(crate::load::Change::records).sum();
    assert_eq!(pipeline.records(), records, "every change has exactly the records it is known to make");

    pipeline.wait_applied().await;
    assert_eq!(pipeline.differences().await, []);
    for table in TABLES {
        assert_eq!(pipeline.target.rows(table).await.len(), load.alive(table).len(), "{table}");
    }

    pipeline.apply(&load.trickle(5)).await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.differences().await, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_routed_topic_carries_all_tables_and_a_heartbeat_in_each_partition() {
    let pipeline = Plan::new("rig_routed", Dialect::Postgres).topics(Topics::Routed(3)).start().await;
    let changes = Load::new(2).take(500);
    pipeline.plant_heartbeats().await;
    pipeline.apply(&changes).await;
    pipeline.beat().await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.differences().await, []);

    let topic = pipeline.topic("heartbeats");
    let beating: BTreeSet<_> = pipeline
        .kafka
        .read_all(&topic)
        .iter()
        .filter(|record| is_of_table(record, "heartbeats"))
        .map(|record| record.partition)
        .collect();
    assert_eq!(beating, BTreeSet::from([0, 1, 2]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_without_deletes_leaves_exactly_the_deleted_rows() {
    let pipeline = Plan::new("rig_deletes", Dialect::Postgres).sink("delete.enabled", "false").start().await;
    let mut load = Load::new(3);
    let changes = load.take(2_000);
    pipeline.apply(&changes).await;
    pipeline.wait_applied().await;

    assert!(changes.iter().any(|change| change.act == Act::Rekey));
    let deletes = pipeline.newest().into_iter().filter(|(_, event)| event.op == "d").map(|(spot, _)| spot);
    let deleted = TABLES.iter().flat_map(|table| load.deleted(table).into_iter().map(|key| spot(table, &key)));
    assert_eq!(deletes.collect::<BTreeSet<_>>(), deleted.collect());
    for table in TABLES {
        let expected = load.alive(table).len() + load.deleted(table).len();
        assert_eq!(pipeline.target.rows(table).await.len(), expected, "{table}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_the_default_identity_the_sink_overwrites_exactly_the_bodies_that_were_not_sent() {
    let pipeline = Plan::new("rig_toast", Dialect::Postgres).start().await;
    pipeline.source.execute("ALTER TABLE documents REPLICA IDENTITY DEFAULT").await;
    let mut load = Load::new(4);
    pipeline.apply(&load.take(3_000)).await;
    pipeline.wait_applied().await;

    let Database::Postgres(target) = &pipeline.target else { panic!("a PostgreSQL pipeline") };
    let overwritten: Vec<i32> =
        sqlx::query_scalar("SELECT id FROM documents WHERE body = '__debezium_unavailable_value' ORDER BY id")
            .fetch_all(target.pool())
            .await
            .expect("the table can be read");
    let mut unsent: Vec<_> = load.unsent_bodies().iter().map(|key| key["id"].as_i64().expect("a number")).collect();
    unsent.sort_unstable();
    assert!(!unsent.is_empty());
    assert_eq!(overwritten.into_iter().map(i64::from).collect::<Vec<_>>(), unsent);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_sink_can_be_moved_past_records() {
    let pipeline = Plan::new("rig_offsets", Dialect::Postgres).start().await;
    let sink = pipeline.sink_connector();
    let topic = pipeline.topic("counters");
    insert_counters(&pipeline, 0..3).await;
    pipeline.wait_applied().await;

    pipeline.connect.stop(&sink).await;
    insert_counters(&pipeline, 3..6).await;
    let at = SinkOffset { topic: topic.clone(), partition: 0, next: 5 };
    pipeline.connect.move_sink_offset(&sink, &at).await;
    assert!(pipeline.connect.sink_offsets(&sink).await.contains(&at));
    pipeline.connect.resume(&sink).await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.kafka.committed(&pipeline.group(), &topic), [Some(6)]);
    assert_eq!(pipeline.target.rows("counters").await.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_task_tells_why_and_runs_again() {
    let pipeline = Plan::new("rig_fails", Dialect::Postgres).start().await;
    let sink = pipeline.sink_connector();
    pipeline.target.execute("ALTER TABLE counters ALTER note TYPE varchar(3)").await;
    insert_counters(&pipeline, 0..1).await;
    let trace = pipeline.connect.wait_failed(&sink).await;
    assert!(trace.contains("value too long for type character varying(3)"), "{trace}");

    pipeline.target.execute("ALTER TABLE counters ALTER note TYPE varchar(100)").await;
    pipeline.connect.restart_task(&sink, 0).await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.target.rows("counters").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_go_in_raw_and_are_taken_away() {
    let pipeline = Plan::new("rig_raw", Dialect::Postgres).source("poll.interval.ms", "50").build().await;
    let topic = pipeline.topic("counters");
    let headers: &[(&str, &[u8])] = &[("origin", b"test")];
    for value in [Some(b"{}".as_slice()), None] {
        let draft = Draft { topic: &topic, partition: 0, key: Some(b"{\"id\":1}"), value, headers };
        pipeline.kafka.produce(&draft).await;
    }
    let records = pipeline.kafka.read_all(&topic);
    assert_eq!(
        records.iter().map(|record| record.value.as_deref()).collect::<Vec<_>>(),
        [Some(b"{}".as_slice()), None]
    );
    assert_eq!(records[0].headers, [("origin".to_owned(), b"test".to_vec())]);

    pipeline.kafka.delete_records(&topic, 0, 1).await;
    assert_eq!(pipeline.kafka.range(&topic, 0), (1, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_target_fails_the_sink_until_it_is_restarted() {
    let pipeline = Plan::new("rig_target", Dialect::Postgres).alone().start().await;
    insert_counters(&pipeline, 0..2).await;
    pipeline.wait_applied().await;

    pipeline.disturb(Disturbance::Restart, Service::PgTarget).await;
    insert_counters(&pipeline, 2..3).await;
    pipeline.connect.wait_failed(&pipeline.sink_connector()).await;
    pipeline.connect.restart(&pipeline.sink_connector()).await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.target.rows("counters").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipeline_outlives_a_restart_of_the_broker_and_a_frozen_target() {
    let pipeline = Plan::new("rig_broker", Dialect::Postgres).alone().start().await;
    insert_counters(&pipeline, 0..2).await;
    pipeline.disturb(Disturbance::Restart, Service::Broker).await;
    insert_counters(&pipeline, 2..4).await;
    pipeline.disturb(Disturbance::Pause, Service::PgTarget).await;
    insert_counters(&pipeline, 4..6).await;
    pipeline.disturb(Disturbance::Resume, Service::PgTarget).await;
    pipeline.wait_applied().await;
    assert_eq!(pipeline.target.rows("counters").await.len(), 6);
}

async fn insert_counters(pipeline: &Pipeline, ids: std::ops::Range<i32>) {
    let records = i64::from(ids.end - ids.start);
    let rows: Vec<_> = ids.map(|id| format!("({id}, 0, 'note {id}')")).collect();
    pipeline.write(&format!("INSERT INTO counters VALUES {}", rows.join(", ")), records).await;
}

fn is_of_table(record: &crate::kafka::Record, table: &str) -> bool {
    let value: Option<serde_json::Value> =
        record.value.as_deref().map(|value| serde_json::from_slice(value).expect("JSON"));
    value.is_some_and(|value| value["payload"]["source"]["table"] == table)
}
