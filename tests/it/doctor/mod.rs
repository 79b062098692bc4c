//! What `doctor` tells of a setup: each answer against real services.

mod groups;
mod rows;
mod servers;

use std::path::PathBuf;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::database::{Database, Dialect};
use crate::kafka::{Draft, Kafka};
use crate::mariadb::MariaDb;
use crate::postgres::Postgres;
use crate::services::{Services, Stay};
use crate::sidecar::afterimage;

/// A topic with changes of `public.orders`, and a database with that table.
struct Setup {
    name: String,
    topic: String,
    kafka: Kafka,
    database: Database,
    services: Services,
    stay: Stay,
    dir: TempDir,
}

/// What one run of `doctor` gave.
struct Told {
    code: i32,
    report: Value,
}

impl Setup {
    async fn new(name: &str, dialect: Dialect) -> Self {
        Self::build(name, dialect, Stay::shared().await).await
    }

    async fn alone(name: &str, dialect: Dialect) -> Self {
        Self::build(name, dialect, Stay::alone().await).await
    }

    async fn build(name: &str, dialect: Dialect, stay: Stay) -> Self {
        let services = Services::from_env();
        let name = format!("doctor_{name}_{}", std::process::id());
        let database = match dialect {
            Dialect::Postgres => Database::Postgres(Postgres::create(&services.pg_target, &name).await),
            Dialect::MariaDb => Database::MariaDb(MariaDb::create(&services.mysql, &name).await),
        };
        database.execute(ORDERS).await;
        let kafka = Kafka::new(&services.broker);
        let topic = format!("{name}.public.orders");
        kafka.create_topic(&topic, 2).await;
        let dir = TempDir::new().expect("a directory");
        Self { name, topic, kafka, database, services, stay, dir }
    }

    /// An insert of `table`, on the tap alone.
    async fn append(&self, table: &str, partition: i32, after: Value) {
        let key = json!({"id": after["id"]}).to_string();
        let source = json!({
            "version": "3.5.0.Final", "connector": "postgresql", "name": "app", "ts_ms": 1_795_312_732_885_u64,
            "snapshot": "false", "db": "app", "schema": "public", "table": table, "txId": 1, "lsn": 1,
        });
        let value =
            json!({"before": null, "after": after, "source": source, "op": "c", "ts_ms": 1_795_312_732_885_u64});
        let value = value.to_string();
        let (key, value) = (Some(key.as_bytes()), Some(value.as_bytes()));
        self.kafka.produce(&Draft { topic: &self.topic, partition, key, value, headers: &[] }).await;
    }

    /// Orders with these ids, on the tap and on the target.
    async fn orders(&self, partition: i32, ids: std::ops::Range<i64>) {
        for id in ids {
            self.append("orders", partition, json!({"id": id, "note": "n"})).await;
            self.database.execute(&format!("INSERT INTO orders VALUES ({id}, 'n')")).await;
        }
    }

    /// Commits for a group that has no member.
    fn commit(&self, group: &str, topic: &str, partition: i32, next: i64) {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.services.broker)
            .set("group.id", group)
            .set("enable.auto.commit", "false");
        let applier: BaseConsumer = config.create().expect("a consumer");
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(next)).expect("an offset");
        applier.commit(&offsets, CommitMode::Sync).expect("a commit");
    }

    /// Writes a configuration: `lines` belong to the pipeline, `rest` are sections behind the target's.
    fn config(&self, lines: &str, url: &str, rest: &str) -> PathBuf {
        let (name, broker, topic, kind) = (&self.name, &self.services.broker, &self.topic, self.database.kind());
        let store = self.dir.path().join("store.db");
        let text = format!(
            "[store]\nurl = \"sqlite:{}\"\n[web]\nlisten = \"\"\n[pipelines.{name}]\n{lines}\n[pipelines.{name}.tap]\n\
             type = \"kafka\"\nbrokers = {broker:?}\ntopics = [{topic:?}]\ngroup = \"afterimage-{name}\"\n\
             from = \"beginning\"\n[pipelines.{name}.target]\ntype = {kind:?}\nurl = {url:?}\n{rest}",
            store.display()
        );
        let path = self.dir.path().join("afterimage.toml");
        std::fs::write(&path, text).expect("the directory is writable");
        path
    }

    /// `doctor` of a target at `url`.
    fn doctor_at(&self, lines: &str, url: &str, rest: &str) -> Told {
        let config = self.config(lines, url, rest);
        let config = config.to_str().expect("a path of text");
        let output = afterimage(self.dir.path(), &["doctor", "-o", "json", "-c", config]);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let reports: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no report ({error}): {complaint}"));
        Told { code: output.status.code().expect("it ended by itself"), report: reports[0].clone() }
    }

    fn doctor(&self, lines: &str) -> Told {
        self.doctor_at(lines, self.database.url(), "")
    }

    /// What `doctor` prints for people.
    fn text(&self, lines: &str) -> String {
        let config = self.config(lines, self.database.url(), "");
        let config = config.to_str().expect("a path of text");
        let output = afterimage(self.dir.path(), &["doctor", "-o", "table", "-c", config]);
        String::from_utf8(output.stdout).expect("text")
    }
}

const ORDERS: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(20))";

impl Told {
    fn list(&self, key: &str) -> Vec<String> {
        let list = self.report[key].as_array().unwrap_or_else(|| panic!("`{key}` is a list: {:#}", self.report));
        list.iter().map(|text| text.as_str().expect("texts").to_owned()).collect()
    }

    /// It found exactly one problem, and the problem says so.
    fn assert_problem(&self, part: &str) {
        let problems = self.list("problems");
        assert!(problems.len() == 1 && problems[0].contains(part), "{part}: {:#}", self.report);
        assert_eq!(self.code, 2, "{:#}", self.report);
    }

    fn assert_sound(&self) {
        assert_eq!((self.list("problems"), self.code), (Vec::new(), 0), "{:#}", self.report);
    }

    /// The term of that name, in seconds.
    fn term(&self, name: &str) -> Option<f64> {
        let terms = self.report["detection"]["terms"].as_array().expect("terms");
        let term = terms.iter().find(|term| term["name"] == name).unwrap_or_else(|| panic!("a term `{name}`"));
        term["seconds"].as_f64()
    }

    fn within(&self) -> Option<f64> {
        self.report["detection"]["within_s"].as_f64()
    }

    fn assert_unbounded(&self, because: &str) {
        let statement = self.report["detection"]["statement"].as_str().expect("a sentence");
        assert!(self.within().is_none() && statement.contains(because), "{because}: {statement}");
    }
}
