//! `record` and `replay` with Kafka, against librdkafka's in-process cluster: what was recorded is played as it was, and a recorder
//! that is killed loses and doubles nothing.
#![expect(clippy::disallowed_methods, reason = "records are written while the binary runs, and waited for")]

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::Value;

use super::{Ended, afterimage, folder};

const LIMIT: Duration = Duration::from_secs(60);

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn cluster(topics: &[&str]) -> (Cluster, String) {
    let cluster = MockCluster::new(1).expect("a cluster");
    topics.iter().for_each(|topic| cluster.create_topic(topic, 3, 1).expect("a topic"));
    let brokers = cluster.bootstrap_servers();
    (cluster, brokers)
}

/// Writes records with everything a record can have, and some that have nothing.
fn produce(brokers: &str, topic: &str, numbers: std::ops::Range<i64>) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", brokers).create().expect("a producer");
    for number in numbers {
        let (key, value) = (format!("k{number}"), format!("{{\"n\":{number}}}"));
        let headers = OwnedHeaders::new()
            .insert(Header { key: "h", value: Some(&value) })
            .insert(Header { key: "null", value: None::<&str> });
        let partition = i32::try_from(number % 3).expect("a small number");
        let mut record: BaseRecord<'_, str, str> =
            BaseRecord::to(topic).partition(partition).timestamp(1_790_000_000_000 + number);
        match number % 4 {
            0 => record = record.key(&key),
            1 => record = record.key(&key).payload(&value),
            2 => record = record.payload("").headers(headers),
            _ => record = record.key("").payload(&value),
        }
        producer.send(record).map_err(|(error, _)| error).expect("room");
    }
    producer.flush(LIMIT).expect("written");
}

/// Partition, key, value, headers, timestamp.
type Told = (i32, Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, Option<i64>);

/// Everything in a topic, by partition and in order.
fn all(brokers: &str, topic: &str, count: usize) -> Vec<Told> {
    let consumer: BaseConsumer =
        ClientConfig::new().set("bootstrap.servers", brokers).set("group.id", "reader").create().expect("a consumer");
    let mut list = TopicPartitionList::new();
    (0..3).for_each(|partition| list.add_partition_offset(topic, partition, Offset::Beginning).expect("an offset"));
    consumer.assign(&list).expect("assigned");
    let mut told: Vec<Told> = Vec::new();
    while told.len() < count {
        let message = consumer.poll(LIMIT).expect("a record in time").expect("a record");
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers = headers.map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
        let own = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let at = message.timestamp().to_millis();
        told.push((message.partition(), own(message.key()), own(message.payload()), headers, at));
    }
    told.sort_by_key(|one| one.0);
    told
}

fn offsets(ended: &Ended) -> Vec<(i64, u64)> {
    let lines = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line"));
    lines
        .map(|line| (line["partition"].as_i64().expect("a number"), line["offset"].as_u64().expect("a number")))
        .collect()
}

#[test]
fn a_topic_is_recorded_and_played_into_another_as_it_was() {
    let (_cluster, brokers) = cluster(&["orders", "copy"]);
    produce(&brokers, "orders", 0..300);
    let folder = folder("");
    let tap = format!("kafka://{brokers}/orders");
    let arguments = ["record", "--tap", &tap, "--archive", "archive:tape", "--to", "end", "--segment-bytes", "2KiB"];
    let ended = afterimage(folder.path(), &arguments, &[]);
    let summary: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    assert_eq!((ended.code, &summary["records"]), (Some(0), &Value::from(300)), "{}", ended.err);
    let into = format!("kafka://{brokers}/copy");
    let ended = afterimage(folder.path(), &["replay", "--tap", "archive:tape", "--into", &into, "--speed", "100"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert_eq!(all(&brokers, "copy", 300), all(&brokers, "orders", 300));
    let (_small, elsewhere) = cluster(&[]);
    let into = format!("kafka://{elsewhere}/copy?properties.allow.auto.create.topics=false");
    let ended = afterimage(folder.path(), &["replay", "--tap", "archive:tape", "--into", &into, "--speed", "max"], &[]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
}

#[test]
fn a_killed_recorder_goes_on_without_loss_or_doubles() {
    let (_cluster, brokers) = cluster(&["orders"]);
    let folder = folder("");
    let tap = format!("kafka://{brokers}/orders");
    let fixed = ["record", "--tap", &tap, "--archive", "archive:tape", "--segment-bytes", "2KiB"];
    for round in 0..3i64 {
        let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
        command.args(fixed).current_dir(folder.path()).env_clear().stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary runs");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        std::thread::scope(|scope| {
            scope.spawn(|| produce(&brokers, "orders", round * 3000..(round + 1) * 3000));
            let mut line = String::new();
            for _ in 0..5 {
                while !line.contains("a segment was closed") {
                    line.clear();
                    assert!(log.read_line(&mut line).expect("a log") > 0, "it ended by itself");
                }
                line.clear();
            }
            child.kill().expect("it was killed");
            child.wait().expect("it is gone");
        });
    }
    let ended = afterimage(folder.path(), &[&fixed[..], &["--to", "end"]].concat(), &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let arguments = ["replay", "--tap", "archive:tape", "--into", "file:-", "--speed", "max"];
    let ended = afterimage(folder.path(), &arguments, &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let mut recorded = offsets(&ended);
    recorded.sort_unstable();
    let expected: Vec<(i64, u64)> =
        (0..3).flat_map(|partition| (0..3000u64).map(move |offset| (partition, offset))).collect();
    assert!(recorded == expected, "{} records", recorded.len());
}

#[test]
fn a_recorder_closes_its_segment_at_a_signal() {
    let (_cluster, brokers) = cluster(&["orders"]);
    produce(&brokers, "orders", 0..30);
    let folder = folder("");
    let tap = format!("kafka://{brokers}/orders");
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.args(["record", "--tap", &tap, "--archive", "archive:tape", "--segment-time", "500ms"]);
    command.current_dir(folder.path()).env_clear().stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary runs");
    let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    while !line.contains("a segment was closed") {
        line.clear();
        assert!(log.read_line(&mut line).expect("a log") > 0, "it ended by itself");
    }
    let id = child.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().expect("it was asked to end");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(143));
    let summary: Value = serde_json::from_slice(&output.stdout).expect("a summary");
    assert_eq!(summary["records"], Value::from(30), "{summary}");
}
