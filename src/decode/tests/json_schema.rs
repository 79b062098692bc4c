//! JSON whose schema is in a registry: what it says must be what the same event says with its schema inside.

use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::registry::{Registry, each_captured, each_recorded, envelope, payload, widened};
use super::*;
use crate::model::Reference;

/// What Confluent's converter makes of a Connect schema.
fn json_schema(connect: &Value, index: Option<usize>) -> Value {
    let (kind, told) = match connect["type"].as_str().expect("a Connect type") {
        "struct" => ("object", None),
        "boolean" => ("boolean", None),
        "string" => ("string", None),
        "bytes" => ("string", Some("bytes")),
        "array" => ("array", None),
        "map" => ("object", Some("map")),
        "float" => ("number", Some("float32")),
        "double" => ("number", Some("float64")),
        other => ("integer", Some(other)),
    };
    let mut schema = json!({"type": kind});
    for (from, to) in [("name", "title"), ("version", "connect.version"), ("parameters", "connect.parameters")] {
        if let Some(value) = connect.get(from) {
            schema[to] = value.clone();
        }
    }
    if let Some(told) = told {
        schema["connect.type"] = told.into();
    }
    if let Some(fields) = connect["fields"].as_array() {
        schema["properties"] = json!({});
        for (index, field) in fields.iter().enumerate() {
            schema["properties"][field["field"].as_str().expect("a name")] = json_schema(field, Some(index));
        }
    }
    if let Some(items) = connect.get("items") {
        schema["items"] = json_schema(items, None);
    }
    if connect["optional"] == true {
        schema = json!({"oneOf": [{"type": "null"}, schema]});
    }
    if let Some(index) = index {
        schema["connect.index"] = index.into();
    }
    schema
}

/// A JSON text with its schema inside.
#[derive(Deserialize)]
struct Wrapped<'a> {
    schema: Value,
    #[serde(borrow)]
    payload: &'a RawValue,
}

fn wrapped(text: Option<&str>) -> Option<Wrapped<'_>> {
    let wrapped: Wrapped<'_> = serde_json::from_str(text?).ok()?;
    (wrapped.schema["type"] == "struct").then_some(wrapped)
}

#[derive(Debug, Clone, Copy)]
enum Writer {
    Confluent,
    ApicurioCompact,
    ApicurioPretty,
}

impl Writer {
    fn write(self, registry: &mut Registry, schema: &Value, payload: &str) -> Vec<u8> {
        match self {
            Writer::Confluent => {
                [registry.begin("JSON", &json_schema(schema, None).to_string()), payload.into()].concat()
            }
            Writer::ApicurioCompact => [registry.begin("KCONNECT", &schema.to_string()), payload.into()].concat(),
            Writer::ApicurioPretty => {
                let id = registry.0.len() as u64 + 1;
                registry.define(SchemaId::Long(id), "KCONNECT", &schema.to_string());
                format!(r#"{{"schemaId":{id},"payload":{payload}}}"#).into_bytes()
            }
        }
    }
}

#[test]
fn recorded_events_say_the_same_under_a_registry() {
    each_recorded(|recorded, expected| {
        let Some(value) = wrapped(recorded.payload.as_deref()) else { return false };
        for writer in [Writer::Confluent, Writer::ApicurioCompact, Writer::ApicurioPretty] {
            let mut registry = Registry::default();
            let event = writer.write(&mut registry, &value.schema, value.payload.get());
            let key = wrapped(recorded.key.as_deref());
            let key = key.map(|key| writer.write(&mut registry, &key.schema, key.payload.get()));
            let told = registry.told(&recorded.topic, key.as_deref(), Some(&event), &recorded.headers());
            assert_eq!(told, expected, "{writer:?} {recorded:?}");
        }
        true
    });
}

#[test]
fn captured_values_become_the_same_cells() {
    each_captured(|registry, schema, text| Writer::Confluent.write(registry, schema, text));
}

#[test]
fn references_are_followed() {
    let day = json!({"type": "integer", "title": "io.debezium.time.Date", "connect.type": "int32"});
    let row = |v: Value| json!({"type": "object", "properties": {"id": {"type": "integer", "connect.type": "int64"}, "v": v}});
    let around = |row: Value| json!({"type": "object", "properties": {"op": {"type": "string"}, "source": {"type": "object"}, "after": row}});
    let inside = |name: &str, row: Value| {
        let mut schema = around(json!({"$ref": format!("#/{name}/Row")}));
        schema[name] = json!({"Row": row, "Day": day});
        schema
    };
    let with_id =
        json!({"$id": "urn:day", "connect.type": "int32", "title": "io.debezium.time.Date", "type": "integer"});
    for (schema, reference) in [
        (inside("definitions", row(json!({"$ref": "#/definitions/Day"}))), None),
        (inside("$defs", row(json!({"anyOf": [{"type": "null"}, {"$ref": "#/$defs/Day"}]}))), None),
        (around(row(json!({"$ref": "day.json"}))), Some(("day.json", day.clone()))),
        (around(row(json!({"$ref": "all.json#/Day"}))), Some(("all.json", json!({"Day": day})))),
        (around(row(json!({"$ref": "urn:day"}))), Some(("day", with_id.clone()))),
        (around(row(json!({"$ref": "urn:day"}))), Some(("days", json!({"one": with_id})))),
        (
            around(json!({"$ref": "row.json"})),
            Some((
                "row.json",
                row(json!({"type": ["null", "integer"], "title": "io.debezium.time.Date", "connect.type": "int32"})),
            )),
        ),
    ] {
        let mut registry = Registry::default();
        let begin = registry.begin("JSON", &schema.to_string());
        let references = reference.map(|(name, text)| Reference { name: name.to_owned(), text: text.to_string() });
        registry.0.values_mut().for_each(|one| one.references.extend(references.clone()));
        let event = payload("c", Value::Null, json!({"id": 1, "v": 7})).to_string();
        let told = registry.told("t", None, Some(&[begin, event.into_bytes()].concat()), &[]);
        assert!(told.starts_with("insert public.t after{id=Int(1) v=Date(7)} Declared"), "{schema}: {told}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let text = envelope(&json!({"type": "string", "name": "io.debezium.time.ZonedTimestamp"}));
    let event = |v: &str| payload("c", Value::Null, json!({"id": 1, "v": v})).to_string();
    let whole = event("2026-11-23T00:00:00Z");
    let around = |row: Value| json!({"properties": {"op": {}, "source": {}, "after": row}}).to_string();
    let endless = around(json!({"$ref": "#/properties/after"}));
    let nowhere = around(json!({"$ref": "#/definitions/None"}));
    let known = json_schema(&text, None).to_string();
    // The row is described by the envelope itself, which is read no deeper than rows are.
    let recursive = r##"{"properties":{"op":{},"source":{},"after":{"$ref":"#"}}}"##;
    let deep = format!("{}{}", r#"{"properties":"#.repeat(200), "}".repeat(200));
    for (schema, event, expected) in [
        (&*known, &*whole, "insert public.t after{id=Int(1) v=Instant(1795392000, 0)} Declared"),
        (
            &*known,
            &*event("secret"),
            "reject: debezium record: column `v`: the value is not an ISO 8601 moment, as declared",
        ),
        (&*known, &whole[..40], "reject: "),
        (&*known, "", "reject: "),
        (&*known, "\u{0}", "reject: "),
        ("{}", &*whole, r#"insert public.t after{id=Int(1) v=Text("2026-11-23T00:00:00Z")} Bare"#),
        (recursive, &*whole, r#"insert public.t after{id=Int(1) v=Text("2026-11-23T00:00:00Z")} Bare"#),
        (
            &*endless,
            &*whole,
            "reject: debezium record: its schema 1 cannot be read: a type behind more than 32 references",
        ),
        (
            &*nowhere,
            &*whole,
            "reject: debezium record: its schema 1 cannot be read: `#/definitions/None` refers to what is nowhere",
        ),
        (&*deep, &*whole, "reject: debezium record: its schema 1 cannot be read: not JSON: recursion limit exceeded"),
        ("{", &*whole, "reject: debezium record: its schema 1 cannot be read: JSON ends early, at line 1 column 1"),
    ] {
        let mut registry = Registry::default();
        let record = [registry.begin("JSON", schema), event.as_bytes().to_vec()].concat();
        let told = registry.told("t", None, Some(&record), &[]);
        assert!(told.starts_with(expected), "{schema}: {told}");
    }
    let mut registry = Registry::default();
    let record = [registry.begin("JSON", &known), vec![b'{', 0xff]].concat();
    assert_eq!(registry.told("t", None, Some(&record), &[]), "reject: debezium record: JSON that is not UTF-8: byte 1");
}

#[test]
fn a_column_more_in_the_middle_of_a_topic() {
    let mut registry = Registry::default();
    let (old, new) =
        widened(&json!({"type": "int32", "optional": true, "name": "io.debezium.time.Date", "field": "due"}));
    let before = payload("c", Value::Null, json!({"id": 1, "v": "a"})).to_string();
    let before = Writer::Confluent.write(&mut registry, &old, &before);
    let after = payload("c", Value::Null, json!({"id": 2, "v": "b", "due": 7})).to_string();
    let after = Writer::Confluent.write(&mut registry, &new, &after);
    let options = Options { schemas: Schemas::Registry, ..Options::default() };
    let mut decoder = decoder(&options);
    let place = "Declared at=5 source=0/10 order=15 complete";
    let (old, new) = (r#"id=Int(1) v=Text("a")"#, r#"due=Date(7) id=Int(2) v=Text("b")"#);
    for (record, row) in [(&before, old), (&after, new), (&before, old), (&after, new)] {
        let told = registry.told_by(&mut *decoder, "t", (None, Some(record)), &[]);
        assert_eq!(told, format!("insert public.t after{{{row}}} {place}"));
    }
}

#[test]
fn rows_without_an_envelope_say_the_same_under_a_registry() {
    let text = |field: &str| json!({"type": "string", "optional": true, "field": field});
    let id = json!({"type": "int64", "optional": false, "field": "id"});
    let day = json!({"type": "int32", "optional": true, "name": "io.debezium.time.Date", "field": "v"});
    let row = json!({"type": "struct", "name": "p.s.t.Value", "fields": [id, day, text("__op"), text("__deleted")]});
    let key = json!({"type": "struct", "name": "p.s.t.Key", "fields": [id]});
    let keyed = json!({"id": 1}).to_string();
    let inside = |schema: &Value, payload: &str| format!(r#"{{"schema":{schema},"payload":{payload}}}"#).into_bytes();
    let envelopes = Options { format: Format::Debezium, schemas: Schemas::Registry, ..Options::default() };
    for writer in [Writer::Confluent, Writer::ApicurioCompact, Writer::ApicurioPretty] {
        let mut registry = Registry::default();
        let options = Options { schemas: Schemas::Registry, ..Options::default() };
        let (mut decoder, mut plain) = (decoder(&options), super::decoder(&options));
        let framed_key = writer.write(&mut registry, &key, &keyed);
        for (value, expected) in [
            (None, "tombstone"),
            (Some(json!({"id": 1, "v": 7, "__op": "c", "__deleted": "false"})), "insert s.t key{id=Int(1)} after{"),
            (Some(json!({"id": 1, "v": 7, "__op": null, "__deleted": "true"})), "delete s.t key{id=Int(1)}"),
            (None, "delete s.t key{id=Int(1)}"),
        ] {
            let value = value.map(|value| value.to_string());
            let wrapped = value.as_ref().map(|value| inside(&row, value));
            let framed = value.as_ref().map(|value| writer.write(&mut registry, &row, value));
            let one = registry.told_by(&mut *decoder, "p.s.t", (Some(&framed_key), framed.as_deref()), &[]);
            let other = (Some(&*inside(&key, &keyed)), wrapped.as_deref());
            assert_eq!(one, registry.told_by(&mut *plain, "p.s.t", other, &[]), "{writer:?}");
            assert!(one.starts_with(expected), "{writer:?}: {one}");
            if framed.is_some() {
                let pair = (Some(&*framed_key), framed.as_deref());
                let told = registry.told_by(&mut *super::decoder(&envelopes), "p.s.t", pair, &[]);
                assert_eq!(told, format!("reject: {} where Debezium is declared", Format::Flattened.noun()));
            }
        }
    }
}
