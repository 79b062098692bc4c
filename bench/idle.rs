//! What a sidecar costs that has nothing to do: memory, processor time, and what the target sees of it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::process::{cpu, make_topic, remove_topic, resident};
use crate::record::update;

const ROWS: u64 = 10_000;
const PARTITIONS: i32 = 4;

/// How long it is watched doing nothing.
const WATCHED: Duration = Duration::from_secs(60);

/// How long it may take to verify the rows.
const PATIENCE: Duration = Duration::from_secs(120);

/// Runs the sidecar on a topic that was applied, waits until it has verified all of it, and watches it.
pub(crate) fn sidecar(brokers: &str, url: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    let name = format!("afterimage_idle_{}", std::process::id());
    runtime.block_on(make_topic(brokers, &name, PARTITIONS));
    fill(brokers, &name);
    let pool = runtime.block_on(make_table(url, &name));
    let dir = tempfile::tempdir().expect("a directory");
    let listen = listen();
    std::fs::write(dir.path().join("idle.toml"), config(brokers, url, &name, &listen)).expect("it can be written");
    let mut child = run(dir.path());
    let status = format!("http://{listen}/api/v1/status");
    runtime.block_on(verified(&status));
    let line = runtime.block_on(watch(child.id(), &pool));
    child.kill().expect("it still runs");
    child.wait().expect("it is a child of ours");
    println!("{line}");
    runtime.block_on(clear(brokers, &name, &pool));
}

fn listen() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound").to_string()
}

fn config(brokers: &str, url: &str, name: &str, listen: &str) -> String {
    format!(
        r#"
        store.url = "sqlite:idle.db"
        web.listen = "{listen}"
        [pipelines.idle]
        applied = "kafka-group:connect-{name}"
        [pipelines.idle.tap]
        type = "kafka"
        brokers = "{brokers}"
        topics = ["{name}"]
        group = "afterimage-{name}"
        from = "beginning"
        [pipelines.idle.target]
        type = "postgres"
        url = "{url}"
        [[pipelines.idle.tables]]
        match = "public.orders"
        target = "{name}.orders"
        "#
    )
}

fn run(dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("log")).expect("it can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.args(["run", "-c", "idle.toml"]).current_dir(dir).stdout(Stdio::null()).stderr(log);
    command.spawn().expect("the sidecar starts")
}

/// Writes the records, and commits their ends for the group of the applier.
fn fill(brokers: &str, name: &str) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a producer starts");
    for id in 0..ROWS {
        let (key, value) = update(id, id);
        let record = BaseRecord::to(name).key(&key).payload(&value).partition((id % PARTITIONS as u64) as i32);
        producer.send(record).expect("there is room for it");
    }
    producer.flush(Duration::from_secs(60)).expect("everything is written");
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", format!("connect-{name}"))
        .create()
        .expect("a consumer starts");
    let mut ends = rdkafka::TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        let (_, end) = consumer.fetch_watermarks(name, partition, Duration::from_secs(10)).expect("the broker answers");
        ends.add_partition_offset(name, partition, rdkafka::Offset::Offset(end)).expect("it is a partition");
    }
    consumer.commit(&ends, CommitMode::Sync).expect("the broker takes it");
}

/// A table that holds what the records say.
async fn make_table(url: &str, name: &str) -> sqlx::PgPool {
    let pool = sqlx::PgPool::connect(url).await.expect("the database answers");
    let table = format!(
        "create schema {name}; create table {name}.orders (id bigint primary key, customer varchar(64), email text, \
         street text, city text, country char(2), status text, quantity integer, total double precision, paid boolean, \
         note text, version bigint)"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(table)).execute(&pool).await.expect("the table can be made");
    let rows: Vec<serde_json::Value> = (0..ROWS).map(after).collect();
    let insert = format!("insert into {name}.orders select * from jsonb_populate_recordset(null::{name}.orders, $1)");
    let insert = sqlx::query(sqlx::AssertSqlSafe(insert)).bind(serde_json::Value::Array(rows));
    insert.execute(&pool).await.expect("the table takes them");
    pool
}

fn after(id: u64) -> serde_json::Value {
    let envelope: serde_json::Value = serde_json::from_str(&update(id, id).1).expect("updates are JSON");
    envelope["after"].clone()
}

async fn verified(url: &str) {
    let began = Instant::now();
    loop {
        let status = async { reqwest::get(url).await.ok()?.json::<serde_json::Value>().await.ok() }.await;
        let partitions = status.as_ref().and_then(|status| status["pipelines"][0]["partitions"].as_array());
        let done = |partition: &serde_json::Value| {
            partition["end"].as_i64() > Some(0) && partition["verified"].as_i64() >= partition["end"].as_i64()
        };
        if partitions.is_some_and(|all| all.len() == PARTITIONS as usize && all.iter().all(done)) {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "not verified in {PATIENCE:?}: {status:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn watch(process: u32, pool: &sqlx::PgPool) -> serde_json::Value {
    let (seconds, statements) = (cpu(process), statements(pool).await);
    tokio::time::sleep(WATCHED).await;
    let (seconds, statements) = (cpu(process) - seconds, self::statements(pool).await - statements);
    let watched = WATCHED.as_secs_f64();
    serde_json::json!({
        "bench": "idle sidecar", "seconds": watched, "partitions": PARTITIONS,
        "rss_mb": (resident(process) as f64 / 1e5).round() / 10.0,
        "core_share": (seconds / watched * 10_000.0).round() / 10_000.0,
        // One of them is our own question.
        "target_transactions_per_s": ((statements - 1.0) / watched * 100.0).round() / 100.0,
    })
}

/// Transactions of the database so far. The server publishes them with a delay of up to a second.
async fn statements(pool: &sqlx::PgPool) -> f64 {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let sum = "select (xact_commit + xact_rollback)::float8 from pg_stat_database where datname = current_database()";
    sqlx::query_scalar(sum).fetch_one(pool).await.expect("the database answers")
}

async fn clear(brokers: &str, name: &str, pool: &sqlx::PgPool) {
    let drop = format!("drop schema {name} cascade");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(pool).await.expect("it can be dropped");
    remove_topic(brokers, name).await;
}
