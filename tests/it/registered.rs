//! Records in JSON and Protobuf whose schemas are in a registry. Confluent's converters and Apicurio's of Protobuf are on no public
//! repository of archives, so their records are written by hand here; the registry that holds the schemas is real.

use serde_json::{Value, json};

use crate::database::Dialect;
use crate::deletes_off::names_every_delete_by_committed_offsets;
use crate::honest::stays_clean_by_committed_offsets;
use crate::kafka::{Draft, Kafka};
use crate::pipeline::Plan;
use crate::services::{Services, Stay};
use crate::sidecar::afterimage;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_honest_sink_of_registered_json_is_verified_to_the_end() {
    stays_clean_by_committed_offsets(Plan::new("kjson_honest", Dialect::Postgres).registered_json()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_unapplied_delete_of_registered_json_is_named_by_its_offset() {
    names_every_delete_by_committed_offsets(Plan::new("kjson_deletes", Dialect::Postgres).registered_json()).await;
}

const DAY: &str = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"integer","title":"io.debezium.time.Date","connect.type":"int32","connect.version":1}"#;

const ENVELOPE: &str = r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","title":"s.public.t.Envelope",
    "properties":{
    "op":{"type":"string","connect.index":3},
    "source":{"type":"object","connect.index":2,"properties":{"connector":{"type":"string"},"table":{"type":"string"}}},
    "after":{"connect.index":1,"oneOf":[{"type":"null"},{"type":"object","properties":{
        "id":{"type":"integer","connect.type":"int64","connect.index":0},"due":{"$ref":"day.json"}}}]}}}"#;

const ROW: &str = r#"syntax = "proto3"; package rows;
    import "confluent/type/decimal.proto"; import "google/protobuf/wrappers.proto";
    message Value { int64 id = 1; confluent.type.Decimal price = 2; google.protobuf.StringValue note = 3; }"#;

const FILE: &str = r#"syntax = "proto3"; package s.public.t; import "row.proto";
    message Other { string x = 1; }
    message Envelope { rows.Value before = 1; rows.Value after = 2; Source source = 3; string op = 4;
        message Source { string connector = 1; string table = 2; string schema = 3; } }"#;

/// `after` of id 7 and price 123.45, `source` of `public.t`, and `op` `c`.
const EVENT: &[u8] =
    b"\x12\x0c\x08\x07\x12\x06\x0a\x02\x30\x39\x18\x02\x1a\x00\x1a\x17\x0a\x0apostgresql\x12\x01t\x1a\x06public\x22\x01c";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schemas_of_json_and_protobuf_come_from_the_registry_with_what_they_refer_to() {
    let _stay = Stay::shared().await;
    let services = Services::from_env();
    let (registry, kafka) = (services.compatible_registry(), Kafka::new(&services.broker));
    let name = format!("registered_{}", std::process::id());
    let refers = |to: &str| json!([{"name": to, "subject": format!("{name}-{to}"), "version": 1}]);
    register(&registry, &format!("{name}-day.json"), "JSON", DAY, &json!([])).await;
    let json = register(&registry, &format!("{name}-json"), "JSON", ENVELOPE, &refers("day.json")).await;
    register(&registry, &format!("{name}-row.proto"), "PROTOBUF", ROW, &json!([])).await;
    let file = register(&registry, &format!("{name}-file"), "PROTOBUF", FILE, &refers("row.proto")).await;

    kafka.create_topic(&name, 1).await;
    let framed = |id: u32, rest: &[u8]| [&[0], &id.to_be_bytes()[..], rest].concat();
    let text = br#"{"after":{"id":7,"due":20780},"source":{"connector":"postgresql","table":"t"},"op":"c"}"#;
    for value in [
        framed(json, text),
        framed(file, &[&[2, 2], EVENT].concat()),
        framed(file, &[b"\x0a\x0a\x08Envelope", EVENT].concat()),
        framed(file, &[&[2, 2], &EVENT[..9]].concat()),
        framed(999_999, EVENT),
    ] {
        let draft = Draft { topic: &name, partition: 0, key: None, value: Some(&value), headers: &[] };
        kafka.produce(&draft).await;
    }
    let tap = format!("kafka://{}/{name}", kafka.broker());
    let told = afterimage(&std::env::temp_dir(), &["decode", "--tap", &tap, "--registry", &registry, "-o", "ndjson"]);
    let told = String::from_utf8(told.stdout).expect("JSON is text");
    let told: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let after = |index: usize, column: &str| &told[index]["row"][column];
    assert_eq!((after(0, "id"), after(0, "due")), (&json!(7), &json!("2026-11-23")), "{told:#?}");
    for index in [1, 2] {
        assert_eq!((after(index, "price"), after(index, "note")), (&json!("123.45"), &json!("")), "{told:#?}");
    }
    let reason = |index: usize| told[index]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason(3).contains("the bytes end inside"), "{told:#?}");
    assert!(reason(4).contains("999999 is not in the registry"), "{told:#?}");
}

/// Registers a schema; answers its id.
async fn register(registry: &str, subject: &str, language: &str, text: &str, references: &Value) -> u32 {
    let body = json!({"schema": text, "schemaType": language, "references": references});
    let url = format!("{registry}/subjects/{subject}/versions");
    let answer = reqwest::Client::new().post(url).json(&body).send().await.expect("the registry answers");
    let answer: Value = answer.json().await.expect("the registry answers in JSON");
    answer["id"].as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or_else(|| panic!("{subject}: {answer}"))
}
