//! `audit` of a real topic beside a real database: ranges that newer versions, transactions, retention and committed offsets
//! bound.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use afterimage::model::Wall;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kafka::Kafka;
use crate::postgres::Postgres;
use crate::services::{Services, Stay};
use crate::sidecar::Sidecar;
use crate::verdict::quick;
use crate::wait;

const LIMIT: Duration = Duration::from_secs(30);

/// How often a row outside the range changes while a live tap is audited.
const PACE: Duration = Duration::from_millis(150);

/// A topic of one test's own, a database beside it, and the writer of the topic.
struct Bench {
    services: Services,
    kafka: Kafka,
    topic: String,
    target: Postgres,
    producer: BaseProducer,
    folder: TempDir,
    _stay: Stay,
}

/// How an audit ended.
struct Audited {
    code: Option<i32>,
    report: Value,
    log: String,
}

impl Bench {
    async fn new(name: &str) -> Bench {
        let stay = Stay::shared().await;
        let services = Services::from_env();
        let kafka = Kafka::new(&services.broker);
        let own = format!("audit_{name}_{}", std::process::id());
        kafka.create_topic(&own, 1).await;
        let target = Postgres::create(&services.pg_target, &own).await;
        target.execute("CREATE TABLE orders (id bigint PRIMARY KEY, note text)").await;
        let folder = TempDir::new().expect("a folder");
        let producer = client(&services.broker).set("transactional.id", &own).create().expect("a producer");
        Bench { services, kafka, topic: own, target, producer, folder, _stay: stay }
    }

    /// The database goes with it.
    async fn over(self) {
        self.target.drop_database().await;
    }

    /// One transaction of changes: ids and notes, each appended now or at its time. Its marker takes an offset, too.
    fn transaction(&self, changes: &[(i64, &str, Option<i64>)]) {
        self.producer.begin_transaction().expect("a transaction");
        changes.iter().for_each(|(id, note, at)| send(&self.producer, &self.topic, (*id, note), *at));
        self.producer.commit_transaction(LIMIT).expect("it is committed");
    }

    /// Changes, each at the next offset.
    fn changes(&self, changes: &[(i64, &str)]) {
        let producer: BaseProducer = client(&self.services.broker).create().expect("a producer");
        changes.iter().for_each(|change| send(&producer, &self.topic, *change, None));
        producer.flush(LIMIT).expect("the broker takes them");
    }

    fn commit(&self, group: &str, next: i64) {
        let consumer: BaseConsumer = client(&self.services.broker).set("group.id", group).create().expect("a consumer");
        let mut at = TopicPartitionList::new();
        at.add_partition_offset(&self.topic, 0, Offset::Offset(next)).expect("an offset");
        consumer.commit(&at, CommitMode::Sync).expect("it is committed");
    }

    async fn rows(&self, rows: &[(i64, &str)]) {
        for (id, note) in rows {
            self.target.execute(&format!("INSERT INTO orders VALUES ({id}, '{note}')")).await;
        }
    }

    /// Runs the binary on the topic. The writer's word is that all of it was applied.
    async fn audit(&self, more: &[&str]) -> Audited {
        let tap = format!("kafka://{}/{}?group=afterimage-{}", self.services.broker, self.topic, self.topic);
        let fixed = ["--tap", &tap, "--target", self.target.url(), "--applied", "assumed"];
        self.run(&[&fixed[..], more].concat()).await
    }

    async fn run(&self, arguments: &[&str]) -> Audited {
        let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_afterimage"));
        command.arg("audit").args(arguments).args(["-o", "json"]).current_dir(self.folder.path());
        let output = command.stdin(Stdio::null()).output().await.expect("the binary runs");
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|error| panic!("{error}: {log}"));
        Audited { code: output.status.code(), report, log }
    }

    /// The sections of a pipeline that judges by what a sink's group committed, and reads from the first offset there ever was.
    fn live(&self, group: &str) -> String {
        let (topic, keys) = (&self.topic, quick(&format!("applied = \"kafka-group:{group}\"")));
        format!(
            "[pipelines.live]\n{keys}\n[pipelines.live.tap]\ntype = \"kafka\"\nbrokers = {:?}\ntopics = [{topic:?}]\n\
             group = \"afterimage-{topic}\"\nfrom = \"0\"\n\n[pipelines.live.target]\nurl = {:?}\n",
            self.services.broker,
            self.target.url()
        )
    }
}

impl Audited {
    fn summary(&self) -> &Value {
        &self.report["summary"]
    }

    fn range(&self) -> (u64, u64) {
        let at = |name: &str| self.summary()["range"][0][name].as_u64().expect("an offset");
        (at("from"), at("to"))
    }

    /// Kind and offset of each finding of a row, by key.
    fn findings(&self) -> BTreeMap<i64, (String, u64)> {
        let rows = self.report["findings"].as_array().expect("findings").iter().filter(|one| one["key"].is_object());
        let one = |finding: &Value| {
            let kind = finding["kind"].as_str().expect("a kind").to_owned();
            let at = finding["expected"]["at"]["offset"].as_u64().expect("an offset");
            (finding["key"]["id"].as_i64().expect("a key"), (kind, at))
        };
        rows.map(one).collect()
    }

    /// Ended as it should, with nothing open.
    fn assert(&self, code: i32, range: (u64, u64), findings: &[(i64, &str, u64)]) {
        assert_eq!((self.code, self.range()), (Some(code), range), "{:#}\n{}", self.report, self.log);
        assert_eq!(self.summary()["complete"], json!(true), "{:#}", self.report);
        let expected = findings.iter().map(|(id, kind, at)| (*id, ((*kind).to_owned(), *at)));
        assert_eq!(self.findings(), expected.collect(), "{:#}", self.report);
    }
}

fn client(broker: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker).set("enable.auto.commit", "false").set("auto.offset.reset", "earliest");
    config
}

/// The state of an order, as Debezium writes it.
fn send(producer: &BaseProducer, topic: &str, (id, note): (i64, &str), at: Option<i64>) {
    let source = json!({"connector": "postgresql", "schema": "public", "table": "orders"});
    let value = json!({"before": null, "after": {"id": id, "note": note}, "source": source, "op": "c"}).to_string();
    let key = json!({ "id": id }).to_string();
    let record = BaseRecord::to(topic).partition(0).key(&key).payload(&value);
    let record = match at {
        Some(millis) => record.timestamp(millis),
        None => record,
    };
    producer.send(record).map_err(|(error, _)| error).expect("the queue takes it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_of_a_live_tap_is_judged_against_newer_versions_and_ends() {
    let bench = Bench::new("live").await;
    let group = format!("connect-{}", bench.topic);
    bench.changes(&[(1, "a"), (2, "a"), (3, "a"), (1, "b"), (2, "b"), (4, "a")]);
    // Of what is inside, 2 lost its newer version, and 3 itself; 4 is behind the range and none of its business.
    bench.rows(&[(1, "b"), (2, "a")]).await;
    bench.commit(&group, 6);
    let config = bench.folder.path().join("live.toml");
    fs::write(&config, bench.live(&group)).expect("a file");
    let config = config.display().to_string();
    let written = Cell::new(6);
    let busy = async {
        wait::every(PACE, async || {
            // The applier goes on beside it: these rows are no part of the range.
            written.set(written.get() + 1);
            let id = 100 + written.get();
            bench.changes(&[(id, "new")]);
            bench.rows(&[(id, "new")]).await;
            bench.commit(&group, written.get());
        })
        .await;
    };
    let arguments = ["-c", &config, "--from", "beginning", "--to", "3"];
    let audited = tokio::select! {
        () = busy => unreachable!("a steady pace has no end"),
        audited = bench.run(&arguments) => audited,
    };
    audited.assert(1, (0, 3), &[(2, "lost_update", 4), (3, "missing_row", 2)]);
    assert_eq!(audited.summary()["keys"], json!(3));
    bench.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_retention_took_of_a_range_is_listed_and_never_clean() {
    let bench = Bench::new("retention").await;
    bench.changes(&[(1, "a"), (2, "a"), (3, "a")]);
    bench.rows(&[(1, "a"), (2, "a"), (3, "a")]).await;
    bench.kafka.delete_records(&bench.topic, 0, 1).await;
    let audited = bench.audit(&["--from", "0"]).await;
    assert_eq!((audited.code, audited.range()), (Some(2), (0, 3)), "{:#}", audited.report);
    let summary = audited.summary();
    assert_eq!((&summary["complete"], &summary["findings"]), (&json!(false), &json!({"coverage_gap": 1})));
    let gap = json!([{"topic": bench.topic, "partition": 0, "from": 0, "to": 1, "reason": "gone from the log"}]);
    assert_eq!(summary["unverified"], gap);
    bench.audit(&["--from", "1"]).await.assert(0, (1, 3), &[]);
    bench.audit(&["--from", "beginning"]).await.assert(0, (1, 3), &[]);
    bench.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_range_may_end_among_markers_of_transactions() {
    let bench = Bench::new("markers").await;
    bench.producer.init_transactions(LIMIT).expect("transactions are available");
    // Offsets 0, 1 and a marker; 3 and a marker.
    bench.transaction(&[(1, "a", None), (2, "a", None)]);
    bench.transaction(&[(3, "a", None)]);
    bench.rows(&[(1, "a"), (2, "a")]).await;
    bench.audit(&["--to", "3"]).await.assert(0, (0, 3), &[]);
    bench.audit(&["--from", "2", "--to", "3"]).await.assert(0, (2, 3), &[]);
    bench.audit(&[]).await.assert(1, (0, 5), &[(3, "missing_row", 3)]);
    bench.audit(&["--from", "-1"]).await.assert(0, (4, 5), &[]);
    bench.audit(&["--to", "-1"]).await.assert(1, (0, 4), &[(3, "missing_row", 3)]);
    bench.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_two_hours_are_those_before_the_start() {
    let bench = Bench::new("hours").await;
    bench.producer.init_transactions(LIMIT).expect("transactions are available");
    let ago = |hours: i64| Some(now() - hours * 3_600_000);
    bench.transaction(&[(1, "a", ago(5)), (2, "a", ago(3)), (3, "a", ago(1)), (4, "a", ago(0))]);
    // 1 and 3 were lost.
    bench.rows(&[(2, "a"), (4, "a")]).await;
    bench.audit(&["--from", "last 2h"]).await.assert(1, (2, 5), &[(3, "missing_row", 2)]);
    bench.audit(&["--to", "last 2h"]).await.assert(1, (0, 2), &[(1, "missing_row", 0)]);
    bench.audit(&["--from", "last 4h", "--to", "last 2h"]).await.assert(0, (1, 2), &[]);
    let (from, to) = (format!("s@{}", now() - 4 * 3_600_000), Wall(now() - 30 * 60_000).rfc3339());
    bench.audit(&["--from", &from, "--to", &to]).await.assert(1, (1, 3), &[(3, "missing_row", 2)]);
    bench.over().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stored_is_what_the_group_committed() {
    let bench = Bench::new("stored").await;
    bench.changes(&[(1, "a"), (2, "a"), (3, "a")]);
    // 1 and 3 were lost.
    bench.rows(&[(2, "a")]).await;
    let nothing = bench.audit(&["--from", "stored"]).await;
    assert_eq!(nothing.code, Some(2), "{:#}", nothing.report);
    assert!(nothing.log.contains("has committed nothing in these topics"), "{}", nothing.log);
    assert_eq!(nothing.summary()["complete"], json!(false));
    bench.commit(&format!("afterimage-{}", bench.topic), 2);
    bench.audit(&["--from", "stored"]).await.assert(1, (2, 3), &[(3, "missing_row", 2)]);
    bench.audit(&["--to", "stored"]).await.assert(1, (0, 2), &[(1, "missing_row", 0)]);
    bench.audit(&["--from", "0:1", "--to", "0:stored"]).await.assert(0, (1, 2), &[]);
    bench.over().await;
}

/// Images of what changed early are long forgotten when the range was read, and are read again from the topic.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_cache_names_the_same_columns_and_rows() {
    let bench = Bench::new("recall").await;
    let long = "n".repeat(2_000);
    bench.changes(&[(1, "a"), (2, "a"), (3, "a"), (1, "b")]);
    let others: Vec<(i64, &str)> = (10..1_510).map(|id| (id, long.as_str())).collect();
    bench.changes(&others);
    bench.rows(&[(1, "a"), (2, "x")]).await;
    bench.target.execute(&format!("INSERT INTO orders SELECT id, '{long}' FROM generate_series(10, 1509) id")).await;
    let mut found = Vec::new();
    for cache in ["256MiB", "1MiB"] {
        let config = bench.folder.path().join("recall.toml");
        let live = bench.live("none").replace("kafka-group:none", "assumed");
        fs::write(
            &config,
            live.replace("[pipelines.live]\n", &format!("[pipelines.live]\nlimits.cache = {cache:?}\n")),
        )
        .expect("a file");
        let audited = bench.run(&["-c", &config.display().to_string(), "--from", "beginning"]).await;
        let expected = [(1, "lost_update", 3), (2, "diverged_row", 1), (3, "missing_row", 2)];
        audited.assert(1, (0, 1_504), &expected);
        let mut told: Vec<(i64, Value, Value)> = Vec::new();
        for finding in audited.report["findings"].as_array().expect("findings") {
            let id = finding["key"]["id"].as_i64().expect("a key");
            told.push((id, finding["columns"].clone(), finding["expected"].clone()));
        }
        told.sort_by_key(|(id, _, _)| *id);
        assert_eq!(told[0].1, json!([{"name": "note", "expected": "b", "observed": "a"}]), "{cache}");
        found.push(told);
    }
    assert_eq!(found[1], found[0]);
    bench.over().await;
}

/// A range without its times, and those apart.
fn told(mut range: Value) -> (Value, Value) {
    let first_seen = range["first_seen"].take();
    range["last_seen"].take();
    (range, first_seen)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_sidecar_passed_without_a_verdict_stays_listed_once() {
    let bench = Bench::new("passed").await;
    let group = format!("connect-{}", bench.topic);
    bench.changes(&[(1, "a"), (2, "a"), (3, "a")]);
    bench.rows(&[(1, "a"), (2, "a"), (3, "a")]).await;
    bench.kafka.delete_records(&bench.topic, 0, 2).await;
    bench.commit(&group, 3);
    let mut sidecar = Sidecar::run(&bench.live(&group)).await;
    let expected = json!({"pipeline": "live", "topic": bench.topic, "partition": 0, "from": 0, "to": 2,
        "reason": "gone from the log", "first_seen": null, "last_seen": null});
    let listed = wait::until("the range is listed", LIMIT, || async { sidecar.unverified().pop() }).await;
    let (range, since) = told(listed);
    assert_eq!(range, expected);
    // Killed before anything of ours was committed, or after: the range is met again, or it is not.
    for _ in 0..2 {
        sidecar.kill();
        sidecar.start();
        sidecar.wait_up().await;
        sidecar
            .wait_status("what is left is verified", LIMIT, |status| {
                status["pipelines"][0]["partitions"][0]["verified"].as_u64() == Some(3)
            })
            .await;
        let listed: Vec<_> = sidecar.unverified().into_iter().map(told).collect();
        assert_eq!(listed, [(expected.clone(), since.clone())], "neither lost nor doubled");
    }
    drop(sidecar);
    bench.over().await;
}

/// Milliseconds since the epoch.
#[expect(clippy::disallowed_methods, reason = "brokers compare the times of records with the clock")]
fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_millis()).expect("a time of these days")
}
