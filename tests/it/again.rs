//! Findings of real topics and databases, looked at again: by `revalidate`, beside the source's own rows, and by the audit that goes
//! on after a kill.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::database::Database;
use crate::kafka::Kafka;
use crate::mariadb::MariaDb;
use crate::postgres::Postgres;
use crate::services::{Services, Stay};

const LIMIT: Duration = Duration::from_secs(30);

/// A topic of one test's own, a database beside it, and a store in PostgreSQL.
struct Bench {
    services: Services,
    topic: String,
    target: Database,
    store: Postgres,
    folder: TempDir,
    _stay: Stay,
}

/// How a command ended.
struct Ended {
    code: Option<i32>,
    out: String,
    log: String,
}

impl Bench {
    async fn new(name: &str, target: impl AsyncFnOnce(&Services, &str) -> Database) -> Bench {
        let stay = Stay::shared().await;
        let services = Services::from_env();
        let topic = format!("again_{name}_{}", std::process::id());
        Kafka::new(&services.broker).create_topic(&topic, 1).await;
        let target = target(&services, &topic).await;
        let store = Postgres::create(&services.pg_target, &format!("{topic}_store")).await;
        let folder = TempDir::new().expect("a folder");
        let bench = Bench { services, topic, target, store, folder, _stay: stay };
        bench.configure("", "");
        bench
    }

    /// Writes the configuration, with these parameters of the target and these sections.
    fn configure(&self, target: &str, more: &str) {
        let (topic, broker) = (&self.topic, &self.services.broker);
        let config = format!(
            "[store]\nurl = {:?}\n[web]\nlisten = \"\"\n[pipelines.again]\napplied = \"assumed\"\npoll = \"50ms\"\n\
             confirm_after = \"50ms\"\n{more}\n[pipelines.again.tap]\ntype = \"kafka\"\nbrokers = {broker:?}\n\
             topics = [{topic:?}]\ngroup = \"afterimage-{topic}\"\n[pipelines.again.target]\nurl = {:?}\n{target}\n",
            self.store.url(),
            self.target.url()
        );
        fs::write(self.folder.path().join("a.toml"), config).expect("a file");
    }

    /// Changes of a table as Debezium writes them, each at the next offset: what it does, its key, and its row.
    fn changes(&self, table: &str, changes: impl IntoIterator<Item = (&'static str, i64, Value)>) {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.services.broker);
        let producer: BaseProducer = client.create().expect("a producer");
        for (op, id, row) in changes {
            let source = json!({"connector": "postgresql", "schema": "public", "table": table});
            let (before, after) = if op == "d" { (row, Value::Null) } else { (Value::Null, row) };
            let value = json!({"before": before, "after": after, "source": source, "op": op}).to_string();
            let key = json!({ "id": id }).to_string();
            let record = BaseRecord::to(&self.topic).partition(0).key(&key).payload(&value);
            producer.send(record).map_err(|(error, _)| error).expect("the queue takes it");
        }
        producer.flush(LIMIT).expect("the broker takes them");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
        command.args(arguments).args(["-c", "a.toml"]).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    async fn run(&self, arguments: &[&str]) -> Ended {
        let output = self.command(arguments).output().await.expect("the binary runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ended { code: output.status.code(), out: text(&output.stdout), log: text(&output.stderr) }
    }

    async fn audit(&self) -> Ended {
        self.run(&["audit", "--from", "beginning", "-o", "json"]).await
    }

    /// The findings that the store lists, by table and key.
    async fn listed(&self) -> BTreeMap<String, Value> {
        let ended = self.run(&["findings", "list", "-o", "ndjson"]).await;
        let one = |line: &str| {
            let finding: Value = serde_json::from_str(line).expect("JSON");
            (format!("{} {}", finding["table"].as_str().unwrap_or_default(), finding["key"]["id"]), finding)
        };
        ended.out.lines().map(one).collect()
    }

    /// The exit code, and what came of each finding: its outcome, and what target and source hold.
    async fn revalidated(&self) -> (Option<i32>, BTreeMap<String, (String, Value)>) {
        let ended = self.run(&["revalidate", "-o", "json"]).await;
        let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.log));
        let one = |one: &Value| {
            let name = format!("{} {}", one["table"].as_str().unwrap_or_default(), one["key"]["id"]);
            (name, (one["outcome"].as_str().unwrap_or_default().to_owned(), one["facts"].clone()))
        };
        (ended.code, report["outcomes"].as_array().expect("outcomes").iter().map(one).collect())
    }

    async fn over(self) {
        self.target.drop_database().await;
        self.store.drop_database().await;
    }
}

async fn postgres(services: &Services, name: &str) -> Database {
    Database::Postgres(Postgres::create(&services.pg_target, name).await)
}

async fn mariadb(services: &Services, name: &str) -> Database {
    Database::MariaDb(MariaDb::create(&services.mysql, name).await)
}

fn states(listed: &BTreeMap<String, Value>) -> BTreeMap<&str, &str> {
    listed.iter().map(|(name, finding)| (name.as_str(), finding["state"].as_str().unwrap_or_default())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_audit_found_has_a_life_after_it() {
    let bench = Bench::new("life", postgres).await;
    let table = |name: &str| format!("CREATE TABLE {name} (id bigint PRIMARY KEY, note text);");
    bench.target.execute(&(table("orders") + &table("boxes"))).await;
    bench.target.execute("INSERT INTO orders VALUES (1, 'a'), (2, 'a'), (4, 'a')").await;
    let row = |id: i64, note: &str| json!({"id": id, "note": note});
    let inserted = (1..=4).map(|id| ("c", id, row(id, "a")));
    bench.changes("orders", inserted.chain([("u", 1, row(1, "b")), ("u", 2, row(2, "b"))]));
    bench.changes("boxes", [("c", 9, row(9, "x"))]);

    let ended = bench.audit().await;
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.log));
    let found = bench.listed().await;
    let open: BTreeMap<&str, &str> =
        ["public.boxes 9", "public.orders 1", "public.orders 2", "public.orders 3"].map(|name| (name, "open")).into();
    assert_eq!((ended.code, states(&found)), (Some(1), open.clone()), "{}", ended.log);
    for finding in report["findings"].as_array().expect("findings") {
        assert!(found.values().any(|known| known["id"] == finding["id"]), "{finding} under its own id");
    }
    let mark = found["public.orders 1"]["audit"].as_str().expect("it is marked").to_owned();
    assert!(mark.starts_with("audit ") && mark.contains(", begun 20"), "{mark}");

    bench.target.execute("UPDATE orders SET note = 'b' WHERE id = 1; DROP TABLE boxes").await;
    let (code, outcomes) = bench.revalidated().await;
    let outcome = |name: &str| outcomes[name].0.as_str();
    assert_eq!((code, outcome("public.orders 1")), (Some(1), "healed"), "{outcomes:?}");
    assert_eq!((outcome("public.orders 2"), outcome("public.orders 3")), ("still_true", "still_true"), "{outcomes:?}");
    assert_eq!(outcome("public.boxes 9"), "gone_from_mapping", "{outcomes:?}");
    assert_eq!(states(&bench.listed().await)["public.orders 1"], "healed");

    // Wrong again, and found again by the same audit: the same finding, opened anew.
    bench.target.execute("UPDATE orders SET note = 'a' WHERE id = 1").await;
    assert_eq!(bench.audit().await.code, Some(2), "a table is gone");
    let again = bench.listed().await;
    assert_eq!(states(&again), open);
    assert_eq!(again["public.orders 1"]["id"], found["public.orders 1"]["id"]);
    assert_eq!(again["public.orders 1"]["audit"], json!(mark), "the first that found it");

    let history = |sql: &'static str| sqlx::query(sql).execute(bench.store.pool());
    for change in
        ["UPDATE afterimage_history SET at = 0", "DELETE FROM afterimage_history", "TRUNCATE afterimage_history"]
    {
        let error = history(change).await.expect_err("what happened, happened").to_string();
        assert!(error.contains("history is only added to"), "{change}: {error}");
    }
    bench.over().await;
}

/// The same columns at both ends, in two engines.
const SOURCE: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, note text, price numeric(12, 4), paid boolean, \
    at timestamp(3), moment timestamptz, doc jsonb, shape box, token uuid, raw bytea)";
const TARGET: &str = "CREATE TABLE orders (id bigint PRIMARY KEY, note varchar(80), price decimal(12, 2), paid tinyint(1), \
    at datetime(3), moment datetime, doc longtext, shape varchar(80), token char(36), raw varbinary(80))";
const ROWS: &str = "'2026-11-22 10:00:00.123', '2026-11-22 10:00:00', '{\"a\": 1}', '(1,1),(0,0)', \
    '01890a5d-ac96-774b-bcce-b302099a8057'";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_another_engine_are_compared_with_the_source_s() {
    let bench = Bench::new("source", mariadb).await;
    let source = Postgres::create(&bench.services.pg_source, &bench.topic).await;
    let url = format!("[pipelines.again.source]\nurl = {:?}\n", source.url());
    bench.configure("", &url);
    source.execute(SOURCE).await;
    bench.target.execute(TARGET).await;
    let at_source = |id: i64, note: &str| format!("({id}, '{note}', 1.2300, true, {ROWS}, '\\x0102')");
    let at_target = |id: i64, note: &str| format!("({id}, '{note}', 1.23, 1, {ROWS}, x'0102')");
    // 1 is behind its source, 2 is as its source though the tap tells of something else, 3 was never applied, 4 never deleted.
    let rows = [at_source(1, "b"), at_source(2, "by hand"), at_source(3, "a"), at_source(5, "a")].join(", ");
    source.execute(&format!("INSERT INTO orders VALUES {rows}")).await;
    let rows = [at_target(1, "a"), at_target(2, "by hand"), at_target(4, "a"), at_target(5, "a")].join(", ");
    bench.target.execute(&format!("INSERT INTO orders VALUES {rows}")).await;
    let row = |id: i64, note: &str| json!({"id": id, "note": note});
    let inserted = (1..=5).map(|id| ("c", id, row(id, "a")));
    bench.changes("orders", inserted.chain([("u", 1, row(1, "b")), ("d", 4, row(4, "a"))]));
    let ended = bench.audit().await;
    assert_eq!(ended.code, Some(1), "{}{}", ended.out, ended.log);

    let (code, outcomes) = bench.revalidated().await;
    assert_eq!(code, Some(1), "{outcomes:?}");
    assert!(outcomes.values().all(|(outcome, _)| outcome == "still_true") && outcomes.len() == 4, "{outcomes:?}");
    let told = |id: i64| {
        let facts = &outcomes[&format!("public.orders {id}")].1;
        let words = facts["source"].as_str().expect("words").to_owned();
        (facts["available_in_target"].as_bool(), facts["matching_with_source"].as_bool(), words)
    };
    // A local time that may be a moment's, and a type that is not covered, are said so and never a mismatch.
    let left_out = " (not comparable with the source's: shape)";
    let expect = |available, matching, words: &str| (Some(available), Some(matching), words.to_owned());
    assert_eq!(told(1), expect(true, false, &format!("the source's row now differs in note{left_out}")));
    assert_eq!(told(2), expect(true, true, &format!("the source has the same row now{left_out}")));
    assert_eq!(told(3), expect(false, false, "the source has a row now"));
    assert_eq!(told(4), expect(true, false, "the source has no such row now"));

    let doctor = bench.run(&["doctor", "-o", "table"]).await.out;
    assert!(doctor.contains("public.orders beside ") && doctor.contains("not compared: shape"), "{doctor}");
    source.drop_database().await;
    bench.over().await;
}

const KEYS: i64 = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_audit_of_a_topic_goes_on_by_what_postgresql_kept() {
    let bench = Bench::new("resumed", postgres).await;
    bench.configure("reads_per_second = 400", "");
    let rows = "CREATE TABLE orders (id bigint PRIMARY KEY, note text); INSERT INTO orders \
                SELECT id, CASE WHEN id % 97 = 0 THEN 'a' ELSE 'b' END FROM generate_series(0, 1999) AS id";
    bench.target.execute(rows).await;
    let row = |id: i64, note: &str| json!({"id": id, "note": note});
    let changes = (0..KEYS).map(|id| ("c", id, row(id, "a"))).chain((0..KEYS).map(|id| ("u", id, row(id, "b"))));
    bench.changes("orders", changes);

    let mut audit = bench.command(&["audit", "--from", "beginning", "-o", "json", "-v"]);
    let mut audit = audit.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary runs");
    let mut log = BufReader::new(audit.stderr.take().expect("a pipe")).lines();
    loop {
        let line = log.next_line().await.expect("a log").expect("it ended by itself");
        if line.contains("kept how far the audit is") {
            break;
        }
    }
    audit.kill().await.expect("it was killed");

    // The applier goes on meanwhile: what was judged before is judged again where something newer is known of it.
    bench.changes("orders", [("u", 5, row(5, "c"))]);
    let ended = bench.audit().await;
    let report: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {}", ended.log));
    assert!(ended.log.contains("goes on from the run of 20"), "{}", ended.log);
    let summary = &report["summary"];
    assert_eq!((ended.code, &summary["complete"]), (Some(1), &json!(true)), "{summary:#}");
    assert!(summary["goes_on"]["keys"].as_u64().is_some_and(|keys| keys >= 1), "{summary:#}");
    let mut found: Vec<i64> =
        report["findings"].as_array().expect("findings").iter().filter_map(|one| one["key"]["id"].as_i64()).collect();
    found.sort_unstable();
    let lost: Vec<i64> = (0..KEYS).filter(|id| id % 97 == 0 || *id == 5).collect();
    assert_eq!(found, lost, "{summary:#}");
    let whole: Value = serde_json::from_str(&bench.audit().await.out).expect("JSON");
    assert_eq!(whole["summary"].get("goes_on"), None, "what was judged to its end is begun anew");
    for name in ["changes", "findings", "range"] {
        assert_eq!(summary[name], whole["summary"][name], "{name}");
    }
    // Key 5 may have been seen right before its newest change.
    for name in ["matched", "superseded"] {
        let count = |report: &Value| report[name].as_u64().expect("a count");
        assert!((0..=1).contains(&(count(summary) - count(&whole["summary"]))), "{name}: {summary:#}");
    }
    bench.over().await;
}
