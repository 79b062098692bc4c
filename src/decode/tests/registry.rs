//! A registry for tests, and the events that they put behind its schemas.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::converter;
use super::*;

/// A registry, and the records that name its schemas.
#[derive(Default)]
pub(super) struct Registry(pub(super) BTreeMap<SchemaId, Definition>);

impl Registry {
    /// A Connect schema and a value of it, as a framed record.
    pub(super) fn framed(&mut self, connect: &Value, value: &Value) -> Vec<u8> {
        let mut record = self.frame(&converter::schema(connect));
        converter::bytes(connect, value, &mut record);
        record
    }

    pub(super) fn frame(&mut self, avro: &Value) -> Vec<u8> {
        self.begin("AVRO", &avro.to_string())
    }

    /// A schema under the next id, and what a record of it begins with.
    pub(super) fn begin(&mut self, language: &str, text: &str) -> Vec<u8> {
        let id = self.0.len() as u32 + 1;
        self.put(id, language, text);
        [[0].as_slice(), &id.to_be_bytes()].concat()
    }

    pub(super) fn put(&mut self, id: u32, language: &str, text: &str) {
        self.define(SchemaId::Short(id), language, text);
    }

    pub(super) fn define(&mut self, id: SchemaId, language: &str, text: &str) {
        let definition = Definition { language: language.into(), text: text.into(), references: Vec::new() };
        self.0.insert(id, definition);
    }

    pub(super) fn told(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>, headers: &Headers) -> String {
        let options = Options { schemas: Schemas::Registry, ..Options::default() };
        self.told_by(&mut *decoder(&options), topic, (key, value), headers)
    }

    /// What is understood, and before it which schemas it took.
    pub(super) fn told_by(
        &self,
        decoder: &mut dyn Decoder,
        topic: &str,
        (key, value): (Option<&[u8]>, Option<&[u8]>),
        headers: &Headers,
    ) -> String {
        let mut batch = Batch::default();
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_deref()));
        batch.push((PartitionId(0), 0, None), key, value, headers);
        for _ in 0..3 {
            let record = batch.records().next().expect("one record was pushed");
            match decoder.decode(topic, record) {
                Ok(understood) => return told(&understood),
                Err(wanted) => match self.0.get(&wanted.id) {
                    Some(definition) => decoder.learn(wanted.id, definition),
                    None => return format!("wants {wanted}"),
                },
            }
        }
        panic!("a schema that was told is wanted again")
    }
}

type Headers = [(String, Option<Vec<u8>>)];

/// A JSON text with its schema inside, taken apart.
pub(super) fn wrapped(text: &str) -> Option<(Value, Value)> {
    let mut value: Value = serde_json::from_str(text).ok()?;
    let schema = value.get_mut("schema").map(Value::take).filter(|schema| schema["type"] == "struct")?;
    Some((schema, value["payload"].take()))
}

/// Shows each recorded event with what it says as JSON. Those that are compared are of every kind.
pub(super) fn each_recorded(mut is_compared: impl FnMut(&Recorded, &str) -> bool) {
    let events = include_str!("../../../tests/data/debezium/events.jsonl");
    let expected = include_str!("../../../tests/data/debezium/events.told");
    let mut compared = BTreeMap::new();
    for (line, expected) in lines(events).zip(lines(expected)) {
        let recorded: Recorded = serde_json::from_str(line).expect("recorded lines are JSON");
        if is_compared(&recorded, expected) {
            *compared.entry(expected.split(' ').take(2).collect::<Vec<_>>().join(" ")).or_insert(0) += 1;
        }
    }
    for kind in ["control heartbeat", "control transaction", "control schema-change", "control message"] {
        assert!(compared.contains_key(kind), "{kind} is not among {compared:?}");
    }
    for op in ["insert", "update", "delete", "truncate"] {
        assert!(compared.keys().any(|kind| kind.starts_with(op)), "{op} is not among {compared:?}");
    }
}

/// Shows each captured value as the schema and the text of an envelope around it. Under a registry, `write` says the same as
/// with the schema inside.
pub(super) fn each_captured(write: impl Fn(&mut Registry, &Value, &str) -> Vec<u8>) {
    let mut compared = 0;
    for line in include_str!("../../../tests/data/debezium/values.jsonl").lines() {
        let captured: Captured<'_> = serde_json::from_str(line).expect("captured lines are JSON");
        let (schema, event) = (envelope(&captured.schema), captured.event.get());
        // As it was written: fields keep their order, numbers their form.
        let text = payload("c", Value::Null, json!({"id": 1, "v": "*"})).to_string().replace("\"*\"", event);
        let mut registry = Registry::default();
        let framed = write(&mut registry, &schema, &text);
        let inside = format!(r#"{{"schema":{schema},"payload":{text}}}"#);
        let expected = registry.told("t", None, Some(inside.as_bytes()), &[]);
        assert!(expected.starts_with("insert public.t after{id=Int(1) v="), "{expected}");
        assert_eq!(registry.told("t", None, Some(&framed), &[]), expected, "{line}");
        compared += 1;
    }
    assert!(compared > 200, "only {compared} values");
}

/// An envelope, and the same with one more column.
pub(super) fn widened(due: &Value) -> (Value, Value) {
    let old = envelope(&json!({"type": "string"}));
    let mut new = old.clone();
    for row in [0, 1] {
        new["fields"][row]["fields"].as_array_mut().expect("fields").push(due.clone());
    }
    (old, new)
}

/// An envelope of a table with an id and one other column.
pub(super) fn envelope(column: &Value) -> Value {
    let mut column = column.clone();
    column["field"] = "v".into();
    let id = json!({"type": "int64", "optional": false, "field": "id"});
    let row = |field: &str| json!({"type": "struct", "optional": true, "name": "p.s.t.Value", "field": field, "fields": [id, column]});
    let text = |field: &str| json!({"type": "string", "optional": true, "field": field});
    let number = |field: &str| json!({"type": "int64", "optional": true, "field": field});
    let source = json!({"type": "struct", "optional": false, "name": "io.debezium.connector.postgresql.Source",
        "field": "source", "fields": [text("connector"), number("ts_ms"), text("snapshot"), text("schema"), text("table"),
        number("lsn"), text("sequence")]});
    let op = json!({"type": "string", "optional": false, "field": "op"});
    json!({"type": "struct", "optional": false, "name": "p.s.t.Envelope", "version": 2,
        "fields": [row("before"), row("after"), source, op]})
}

pub(super) fn payload(op: &str, before: Value, after: Value) -> Value {
    json!({"before": before, "after": after, "op": op, "source": {"connector": "postgresql", "ts_ms": 5,
        "snapshot": "false", "schema": "public", "table": "t", "lsn": 16, "sequence": "[\"15\",\"16\"]"}})
}

#[derive(Deserialize)]
pub(super) struct Captured<'a> {
    pub(super) schema: Value,
    #[serde(borrow)]
    pub(super) event: &'a serde_json::value::RawValue,
}
