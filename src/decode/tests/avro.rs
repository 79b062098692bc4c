//! Avro whose schemas are in a registry: what it says must be what the same event says as JSON with its schema inside.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::registry::{Registry, each_captured, each_recorded, envelope, payload, widened, wrapped};
use super::*;
use crate::model::schema::Part;

#[test]
fn recorded_events_say_the_same_in_avro() {
    each_recorded(|recorded, expected| {
        let Some((schema, payload)) = recorded.payload.as_deref().and_then(wrapped) else { return false };
        let mut registry = Registry::default();
        let value = registry.framed(&schema, &payload);
        let key = recorded.key.as_deref().and_then(wrapped).map(|(schema, key)| registry.framed(&schema, &key));
        let headers = recorded.headers();
        // A key in JSON beside a value in Avro, and the other way round, too.
        let (json_key, json_value) = (recorded.key.as_deref(), recorded.payload.as_deref());
        let (json_key, json_value) = (json_key.map(str::as_bytes), json_value.map(str::as_bytes));
        for (key, value) in [(key.as_deref(), Some(&*value)), (json_key, Some(&value)), (key.as_deref(), json_value)] {
            assert_eq!(registry.told(&recorded.topic, key, value, &headers), expected, "{recorded:?}");
        }
        true
    });
}

#[test]
fn captured_values_become_the_same_cells() {
    each_captured(|registry, schema, text| registry.framed(schema, &serde_json::from_str(text).expect("an envelope")));
}

#[test]
fn markers_of_unsent_values_in_every_type() {
    let marker = "__debezium_unavailable_value";
    let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
    let codes: Vec<i64> = marker.bytes().map(i64::from).collect();
    for (column, value, expected) in [
        (json!({"type": "string", "optional": true}), json!(marker), "NotSent"),
        (json!({"type": "string", "name": "io.debezium.data.Json"}), json!(marker), "NotSent"),
        (json!({"type": "bytes", "optional": true}), json!(base64), "NotSent"),
        (json!({"type": "bytes"}), json!(""), "Bytes([])"),
        (json!({"type": "array", "items": {"type": "string"}}), json!([marker]), "NotSent"),
        (json!({"type": "array", "items": {"type": "bytes"}}), json!([base64]), "NotSent"),
        (json!({"type": "array", "items": {"type": "int32"}}), json!(codes), "NotSent"),
        (json!({"type": "map", "values": {"type": "string"}}), json!({marker: marker}), "NotSent"),
        (json!({"type": "array", "optional": true, "items": {"type": "string"}}), Value::Null, "NotSent"),
    ] {
        let mut registry = Registry::default();
        let row = json!({"id": 1, "v": value});
        let record = registry.framed(&envelope(&column), &payload("u", Value::Null, row));
        let told = registry.told("t", None, Some(&record), &[]);
        assert!(told.starts_with(&format!("update public.t after{{id=Int(1) v={expected}}}")), "{column}: {told}");
    }
}

#[test]
fn without_connects_names_the_target_says_what_a_number_is() {
    let mut registry = Registry::default();
    let decimal = json!({"type": "bytes", "logicalType": "decimal", "precision": 64, "scale": 2});
    let row = |fields: Value| json!({"type": "record", "name": "Value", "fields": fields});
    let fields = json!([
        {"name": "id", "type": "int"},
        {"name": "price", "type": ["null", decimal]},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
        {"name": "seen", "type": "long"},
        {"name": "kind", "type": {"type": "enum", "name": "Kind", "symbols": ["A", "B"]}},
        {"name": "either", "type": ["null", "string", "long"]},
        {"name": "mac", "type": {"type": "fixed", "name": "Mac", "size": 2}},
    ]);
    let source = json!({"type": "record", "name": "Source", "fields": [
        {"name": "connector", "type": "string"}, {"name": "db", "type": "string"}, {"name": "table", "type": "string"}]});
    let schema = json!({"type": "record", "name": "Envelope", "fields": [
        {"name": "after", "type": ["null", row(fields)]}, {"name": "source", "type": source}, {"name": "op", "type": "string"}]});
    let mut record = registry.frame(&schema);
    record.extend_from_slice(&[2, 2, 2, 4, 0x30, 0x39, 4, 6, 2, 4, 14, 0xab, 0xcd]);
    for text in ["mysql", "app", "t", "c"] {
        record.push(2 * text.len() as u8);
        record.extend_from_slice(text.as_bytes());
    }
    assert_eq!(
        registry.told("t", None, Some(&record), &[]),
        r#"insert app.t after{id=Int(1) price=Decimal("123.45") day=Date(2) seen=Int(3) kind=Text("B") either=Int(7) mac=Bytes([171, 205])} Bare complete"#
    );
}

#[test]
fn a_column_more_in_the_middle_of_a_topic() {
    let mut registry = Registry::default();
    let (old, new) =
        widened(&json!({"type": "int32", "optional": true, "name": "io.debezium.time.Date", "field": "due"}));
    let before = registry.framed(&old, &payload("c", Value::Null, json!({"id": 1, "v": "a"})));
    let after = registry.framed(&new, &payload("c", Value::Null, json!({"id": 2, "v": "b", "due": 7})));
    let options = Options { schemas: Schemas::Registry, format: Format::Debezium, ..Options::default() };
    let mut decoder = decoder(&options);
    let place = "Declared at=5 source=0/10 order=15 complete";
    let (old, new) = (r#"id=Int(1) v=Text("a")"#, r#"id=Int(2) v=Text("b") due=Date(7)"#);
    for (record, row) in [(&before, old), (&after, new), (&before, old), (&after, new)] {
        let told = registry.told_by(&mut *decoder, "t", (None, Some(record)), &[]);
        assert_eq!(told, format!("insert public.t after{{{row}}} {place}"));
    }
}

#[test]
fn ids_in_headers_and_keys_that_name_no_columns() {
    let mut registry = Registry::default();
    let value =
        registry.framed(&envelope(&json!({"type": "string"})), &payload("c", Value::Null, json!({"id": 1, "v": "a"})));
    let long = registry.framed(&json!({"type": "int64"}), &json!(7));
    let key = json!({"type": "struct", "name": "p.s.t.Key", "fields": [
        {"type": "int64", "field": "id"}, {"type": "string", "field": "__dbz__physicalTableIdentifier"}]});
    let key = registry.framed(&key, &json!({"id": 1, "__dbz__physicalTableIdentifier": "x"}));
    let header = |name: &str, frame: &[u8]| (name.to_owned(), Some(frame[..5].to_vec()));
    let headers = [header("__value_schema_id", &value), header("__key_schema_id", &key)];
    let row = r#"after{id=Int(1) v=Text("a")} Declared at=5 source=0/10 order=15 complete"#;
    let keyed = format!("insert public.t key{{id=Int(1)}} {row}");
    assert_eq!(registry.told("t", Some(&key[5..]), Some(&value[5..]), &headers), keyed);
    assert_eq!(registry.told("t", Some(&key), Some(&value), &[]), keyed);
    for key in [Some(&long[..]), Some(b"42"), Some(b"\"42\""), None] {
        assert_eq!(registry.told("t", key, Some(&value), &[]), format!("insert public.t {row}"));
    }
    assert_eq!(registry.told("t", Some(&key), None, &[]), "tombstone");
}

#[test]
fn configured_keys_are_those_of_avro_too() {
    let mut registry = Registry::default();
    let own =
        registry.framed(&json!({"type": "struct", "fields": [{"type": "int64", "field": "id"}]}), &json!({"id": 1}));
    let number = registry.framed(&json!({"type": "int64"}), &json!(1));
    let text = registry.framed(&json!({"type": "string"}), &json!("x"));
    let schema = envelope(&json!({"type": "string"}));
    let row = |v: &str| json!({"id": 1, "v": v});
    let insert = registry.framed(&schema, &payload("c", Value::Null, row("x")));
    let delete = registry.framed(&schema, &payload("d", row("x"), Value::Null));
    let moved = registry.framed(&schema, &payload("u", row("w"), row("x")));
    let unsure = registry.framed(&schema, &payload("u", Value::Null, row("x")));
    let in_json = payload("u", Value::Null, row("x")).to_string();
    let place = "Declared at=5 source=0/10 order=15";
    let inserted = format!(r#"insert public.t key{{v=Text("x")}} after{{id=Int(1) v=Text("x")}} {place} complete"#);
    let updated = inserted.replace("insert", "update");
    let deleted = format!(r#"delete public.t key{{v=Text("x")}} {place}"#);
    let pair = format!(
        r#"delete public.t key{{v=Text("w")}} before{{id=Int(1) v=Text("w")}} {place} Old + insert public.t key{{v=Text("x")}} after{{id=Int(1) v=Text("x")}} {place} New complete"#
    );
    let untold = "reject: debezium record: whether key column `v` changed cannot be told";
    for (key, value, expected) in [
        (Some(&own), &insert[..], &*inserted),
        (None, &unsure, &updated),
        (Some(&text), &unsure, &updated),
        (Some(&text), in_json.as_bytes(), &updated.replace("Declared", "Bare")),
        (Some(&text), &delete, &deleted),
        (Some(&own), &moved, &pair),
        (Some(&own), &unsure, untold),
        (Some(&number), &unsure, untold),
    ] {
        let options = Options { schemas: Schemas::Registry, ..keyed("public.t", &["v"]) };
        let key = key.map(Vec::as_slice);
        let told = registry.told_by(&mut *decoder(&options), "t", (key, Some(value)), &[]);
        assert!(told.starts_with(expected), "{told}");
    }
}

#[test]
fn what_cannot_be_read_says_why() {
    let mut registry = Registry::default();
    let text = json!({"type": "string"});
    let value = registry.framed(&envelope(&text), &payload("c", Value::Null, json!({"id": 1, "v": "a"})));
    let zoned = json!({"type": "string", "name": "io.debezium.time.ZonedTimestamp"});
    let mistyped = registry.framed(&envelope(&zoned), &payload("c", Value::Null, json!({"id": 1, "v": "secret"})));
    let lacking = registry.framed(&envelope(&text), &payload("u", Value::Null, Value::Null));
    let flat = registry.framed(
        &json!({"type": "struct", "name": "t.Value", "fields": [{"type": "int64", "field": "id"}]}),
        &json!({"id": 1}),
    );
    let broken_key =
        registry.framed(&json!({"type": "struct", "fields": [{"type": "string", "field": "id"}]}), &json!({"id": "a"}));
    registry.put(90, "XML", "syntax");
    registry.put(91, "AVRO", r#"{"type":"Money"}"#);
    let longer = [&value[..], b"x"].concat();
    for (key, value, expected) in [
        (None, &b"\0\0\0\0\x5c"[..], "wants schema 92 of its value"),
        (Some(&b"\0\0\0\0\x5c"[..]), &value, "wants schema 92 of its key"),
        (
            None,
            b"\0\0\0\0\x5a",
            "reject: debezium record: its schema 90 cannot be read: it is written in XML; this version reads AVRO, PROTOBUF, JSON and KCONNECT",
        ),
        (
            None,
            b"\0\0\0\0\x5b",
            "reject: debezium record: its schema 91 cannot be read: the type `Money` is defined nowhere",
        ),
        (
            None,
            &value[..12],
            "reject: debezium record: the bytes end inside a text or bytes, at byte 7 behind the schema's id",
        ),
        (
            None,
            &longer,
            "reject: debezium record: bytes follow that the schema does not tell of, at byte 54 behind the schema's id",
        ),
        (
            None,
            &mistyped,
            "reject: debezium record: column `v`: the value is not an ISO 8601 moment, as declared (public.t)",
        ),
        (None, &lacking, "reject: debezium record: an update without `after` (public.t)"),
        (None, &flat, "update t after{id=Int(1)} Declared complete"),
        (
            Some(&broken_key[..6]),
            &value,
            "reject: debezium record: record key: the bytes end inside a text or bytes, at byte 1 behind the schema's id (public.t)",
        ),
    ] {
        assert_eq!(registry.told("t", key, Some(value), &[]), expected);
    }
    let envelopes = Options { format: Format::Debezium, schemas: Schemas::Registry, ..Options::default() };
    let told = registry.told_by(&mut *decoder(&envelopes), "t", (None, Some(&flat)), &[]);
    assert_eq!(told, format!("reject: {} where Debezium is declared", Format::Flattened.noun()));
    let dms = Options { format: Format::Dms, schemas: Schemas::Registry, ..Options::default() };
    let told = registry.told_by(&mut *decoder(&dms), "t", (None, Some(&value)), &[]);
    assert_eq!(told, "reject: a record whose schema is in a registry where DMS is declared");
    assert_eq!(Wanted { id: SchemaId::Short(1), part: Part::Key }.to_string(), "schema 1 of its key");
}

#[test]
fn hostile_schemas_end() {
    let source = json!({"type": "record", "name": "S", "fields": []});
    let around = |column: Value| {
        let row = json!({"type": "record", "name": "V", "fields": [{"name": "v", "type": column}]});
        json!({"type": "record", "name": "E", "fields": [
            {"name": "after", "type": row}, {"name": "source", "type": source}, {"name": "op", "type": "string"}]})
    };
    let endless = json!({"type": "record", "name": "R", "fields": [{"name": "r", "type": "R"}]});
    let doubling = (0..20).fold(json!("null"), |inner, depth| {
        let name = format!("D{depth}");
        json!({"type": "record", "name": name, "fields": [{"name": "a", "type": inner}]})
    });
    let nulls = json!({"type": "array", "items": "null"});
    let many = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for (column, bytes, expected) in [
        (
            json!({"type": "enum", "name": "W", "symbols": ["n".repeat(1_025)]}),
            &[0][..],
            "its schema 1 cannot be read: a name of more than 1024 bytes",
        ),
        (endless.clone(), &[][..], "values nested deeper than 127 levels"),
        (json!({"type": "array", "items": endless}), &[2], "values nested deeper than 127 levels"),
        (nulls, &many, "more values than the bytes could hold"),
        (doubling, &[], "the bytes end inside an integer"),
        (json!("string"), &many, "the bytes end inside a text or bytes"),
        (
            json!({"type": "fixed", "name": "F", "size": u64::MAX >> 1}),
            &[],
            "the bytes end inside a value of fixed length",
        ),
        (json!(["null", "int"]), &[4], "a branch that the schema's union does not have"),
        (json!([]), &[0], "a branch that the schema's union does not have"),
    ] {
        let mut registry = Registry::default();
        let record = [registry.frame(&around(column)), bytes.to_vec()].concat();
        let told = registry.told("t", None, Some(&record), &[]);
        assert!(told.starts_with(&format!("reject: debezium record: {expected}")), "{told}");
    }
}

/// Two bytes of each list stand for a megabyte of text, two of each number for a hundred thousand digits.
#[test]
fn few_bytes_do_not_become_gigabytes() {
    let source = json!({"type": "record", "name": "S", "fields": []});
    let named = json!({"type": "record", "name": "N", "fields": [{"name": "n".repeat(1_000), "type": "null"}]});
    let list = |items: &Value| json!({"type": "array", "items": items});
    let number = json!({"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 140_000});
    for (first, more, bytes) in [(list(&named), list(&json!("N")), &[0x60, 0][..]), (number.clone(), number, &[2, 1])] {
        let column =
            |index: usize| json!({"name": format!("f{index}"), "type": if index == 0 { &first } else { &more }});
        let row = json!({"type": "record", "name": "V", "fields": (0..2_000).map(column).collect::<Vec<_>>()});
        let schema = json!({"type": "record", "name": "E", "fields": [
            {"name": "after", "type": row}, {"name": "source", "type": source}, {"name": "op", "type": "string"}]});
        let mut registry = Registry::default();
        let record = [registry.frame(&schema), bytes.repeat(2_000), b"\x02c".to_vec()].concat();
        let told = registry.told("t", None, Some(&record), &[]);
        assert!(
            told.starts_with("reject: debezium record: values that take more than 16 MiB to write, at byte"),
            "{told}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_records_are_told_the_same_warm_and_fresh(
        damages in prop::collection::vec(super::hostile::damage(), 1..4),
        in_key in any::<bool>(),
    ) {
        let mut registry = Registry::default();
        let column = json!({"type": "array", "items": {"type": "string", "optional": true}});
        let row = |text: &str| json!({"id": 1, "v": [text, null]});
        let mut value = registry.framed(&envelope(&column), &payload("u", row("a"), row("b")));
        let key = json!({"type": "struct", "fields": [{"type": "int64", "field": "id"}]});
        let mut key = registry.framed(&key, &json!({"id": 1}));
        let options = Options { schemas: Schemas::Registry, ..Options::default() };
        let mut warm = decoder(&options);
        prop_assert!(registry.told_by(&mut *warm, "t", (Some(&key), Some(&value)), &[]).starts_with("update public.t key"));
        damages.iter().for_each(|damage| damage.apply(if in_key { &mut key } else { &mut value }));
        let told = registry.told_by(&mut *warm, "t", (Some(&key), Some(&value)), &[]);
        prop_assert_eq!(told, registry.told("t", Some(&key), Some(&value), &[]));
    }
}
