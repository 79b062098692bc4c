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
