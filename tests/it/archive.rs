//! `record` and `replay` against a real broker: transactions, what retention took, and the same verdicts of the archive as of the
//! topic.

use std::process::Stdio;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kafka::{Kafka, Record};
use crate::postgres::Postgres;
use crate::services::{Services, Stay};

const LIMIT: Duration = Duration::from_secs(30);

/// How a command ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn afterimage(folder: &TempDir, arguments: &[&str]) -> Ended {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.args(arguments).current_dir(folder.path());
    let output = command.stdin(Stdio::null()).output().await.expect("the binary runs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ended { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
}

/// Orders that came to be, in one transaction: committed or not.
fn transaction(producer: &BaseProducer, topic: &str, ids: std::ops::Range<i64>, partition: i32) {
    producer.begin_transaction().expect("a transaction");
    for id in ids {
        let source = json!({"connector": "postgresql", "schema": "public", "table": "orders"});
        let after = json!({"id": id, "note": format!("note {id}")});
        let value = json!({"before": null, "after": after, "source": source, "op": "c"}).to_string();
        let key = json!({ "id": id }).to_string();
        let record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
        producer.send(record).map_err(|(error, _)| error).expect("the queue takes it");
    }
}

/// Partition, key and value.
type Kept = (i32, Option<Vec<u8>>, Option<Vec<u8>>);

/// What a replay keeps of records, by partition and in order.
fn kept(records: Vec<Record>) -> Vec<Kept> {
    records.into_iter().map(|record| (record.partition, record.key, record.value)).collect()
}

fn judged(report: &str) -> (Vec<(Value, Value, Value)>, Value) {
    let report: Value = serde_json::from_str(report).unwrap_or_else(|error| panic!("{error}: {report}"));
    let findings = report["findings"].as_array().expect("findings").clone();
    let place = |finding: &Value| finding["expected"]["at"]["offset"].clone();
    let findings = findings.iter().map(|one| (one["kind"].clone(), one["key"].clone(), place(one))).collect();
    (findings, report["summary"]["matched"].clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_archive_is_judged_as_its_topic_is_and_plays_it_again() {
    let _stay = Stay::shared().await;
    let services = Services::from_env();
    let kafka = Kafka::new(&services.broker);
    let topic = format!("archive_{}", std::process::id());
    let again = format!("{topic}_again");
    kafka.create_topic(&topic, 2).await;
    kafka.create_topic(&again, 2).await;
    let target = Postgres::create(&services.pg_target, &topic).await;
    target.execute("CREATE TABLE orders (id bigint PRIMARY KEY, note text)").await;
    target.execute("INSERT INTO orders SELECT n, 'note ' || n FROM generate_series(0, 59) n WHERE n <> 33").await;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &services.broker)
        .set("transactional.id", &topic)
        .create()
        .expect("a producer");
    producer.init_transactions(LIMIT).expect("a coordinator");
    transaction(&producer, &topic, 0..20, 0);
    producer.commit_transaction(LIMIT).expect("it is committed");
    transaction(&producer, &topic, 900..910, 0);
    producer.flush(LIMIT).expect("the broker takes them");
    producer.abort_transaction(LIMIT).expect("it is given up");
    transaction(&producer, &topic, 20..60, 1);
    producer.commit_transaction(LIMIT).expect("it is committed");

    let folder = TempDir::new().expect("a folder");
    let tap = format!("kafka://{}/{topic}", services.broker);
    let record = ["record", "--tap", &tap, "--archive", "archive:tape", "--from", "0", "--to", "end"];
    let recorded = afterimage(&folder, &record).await;
    assert_eq!(recorded.code, Some(0), "{}{}", recorded.out, recorded.err);

    // Nobody is left who could ask the topic.
    let audit = |tap: &str| {
        let arguments = ["audit", "--tap", tap, "--target", target.url(), "--applied", "assumed", "-o", "json"];
        arguments.map(str::to_owned)
    };
    let (of_topic, of_tape) = (audit(&format!("{tap}?group=afterimage-{topic}")), audit("archive:tape"));
    let of_topic = afterimage(&folder, &of_topic.each_ref().map(String::as_str)).await;
    let of_tape = afterimage(&folder, &of_tape.each_ref().map(String::as_str)).await;
    assert_eq!((of_topic.code, of_tape.code), (Some(1), Some(1)), "{}{}", of_topic.err, of_tape.err);
    assert_eq!(judged(&of_tape.out), judged(&of_topic.out));
    assert_eq!(judged(&of_tape.out).0, [(json!("missing_row"), json!({"id": 33}), json!(13))]);

    let into = format!("kafka://{}/{again}", services.broker);
    let played = afterimage(&folder, &["replay", "--tap", "archive:tape", "--into", &into, "--speed", "max"]).await;
    assert_eq!(played.code, Some(0), "{}{}", played.out, played.err);
    assert_eq!(kept(kafka.read_all(&again)), kept(kafka.read_all(&topic)));

    // What retention takes before it is recorded is a gap of the archive, and said.
    kafka.delete_records(&topic, 1, 5).await;
    let late = ["record", "--tap", &tap, "--archive", "archive:late", "--from", "0", "--to", "end"];
    let late = afterimage(&folder, &late).await;
    assert_eq!(late.code, Some(2), "{}{}", late.out, late.err);
    let of_late = audit("archive:late");
    let of_late = afterimage(&folder, &of_late.each_ref().map(String::as_str)).await;
    assert_eq!(of_late.code, Some(2), "{}{}", of_late.out, of_late.err);
    assert!(of_late.out.contains("\"coverage_gap\""), "{}", of_late.out);
    kafka.delete_topics(&[&topic, &again]).await;
    target.drop_database().await;
}
