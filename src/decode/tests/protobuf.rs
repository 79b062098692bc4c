//! Protobuf whose schemas are in a registry. Connect's converters drop Debezium's types, so events are held to what is left.

use base64::Engine as _;
use serde_json::{Value, json};

use super::registry::{Registry, envelope, payload, widened, wrapped};
use super::*;
use crate::model::Reference;

/// How a converter is told to keep nulls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nulls {
    Lost,
    Optional,
    Wrapped,
}

/// What Confluent's converter makes of a Connect schema: a file of one message.
fn file(connect: &Value, nulls: Nulls) -> String {
    let name = connect["name"].as_str().unwrap_or("ConnectDefault1");
    let (package, name) = name.rsplit_once('.').unwrap_or(("", name));
    let mut text = "syntax = \"proto3\";\n".to_owned();
    if !package.is_empty() {
        text.push_str(&format!("package {package};\n"));
    }
    text.push_str("import \"confluent/meta.proto\";\nimport \"confluent/type/decimal.proto\";\n");
    text.push_str(&format!("message {name} {}", message(connect, nulls)));
    text
}

fn message(connect: &Value, nulls: Nulls) -> String {
    let (mut fields, mut nested) = (String::new(), Vec::new());
    for (index, field) in connect["fields"].as_array().expect("fields").iter().enumerate() {
        let (name, number) = (field["field"].as_str().expect("a name"), index + 1);
        let mut kind = |one: &Value| {
            if one["type"] != "struct" {
                return simple(one, nulls).to_owned();
            }
            let name = one["name"].as_str().expect("a name").rsplit('.').next().expect("a name").to_owned();
            if !nested.iter().any(|(known, _)| *known == name) {
                nested.push((name.clone(), message(one, nulls)));
            }
            name
        };
        let meta = "[(confluent.field_meta) = { params: [ { key: \"scale\", value: \"2\" } ] }]";
        let definition = match field["type"].as_str().expect("a type") {
            "array" => format!("repeated {}", kind(&field["items"])),
            "map" => format!("map<string, {}>", kind(&field["values"])),
            _ if field["optional"] == true && nulls == Nulls::Optional => format!("optional {}", kind(field)),
            _ => kind(field),
        };
        fields.push_str(&format!("  {definition} {name} = {number} {meta};\n"));
    }
    let nested: Vec<String> = nested.iter().map(|(name, body)| format!("message {name} {body}")).collect();
    format!("{{\n{fields}{}}}\n", nested.join(""))
}

fn simple(connect: &Value, nulls: Nulls) -> &'static str {
    let wraps = nulls == Nulls::Wrapped && connect["optional"] == true;
    match (connect["type"].as_str().expect("a type"), connect["name"].as_str(), wraps) {
        (_, Some("org.apache.kafka.connect.data.Decimal"), _) => "confluent.type.Decimal",
        (_, Some("org.apache.kafka.connect.data.Date"), _) => "google.type.Date",
        (_, Some("org.apache.kafka.connect.data.Time"), _) => "google.type.TimeOfDay",
        (_, Some("org.apache.kafka.connect.data.Timestamp"), _) => "google.protobuf.Timestamp",
        ("int64", _, true) => "google.protobuf.Int64Value",
        ("int64", _, false) => "int64",
        ("boolean", _, true) => "google.protobuf.BoolValue",
        ("boolean", _, false) => "bool",
        ("float", _, true) => "google.protobuf.FloatValue",
        ("float", _, false) => "float",
        ("double", _, true) => "google.protobuf.DoubleValue",
        ("double", _, false) => "double",
        ("string", _, true) => "google.protobuf.StringValue",
        ("string", _, false) => "string",
        ("bytes", _, true) => "google.protobuf.BytesValue",
        ("bytes", _, false) => "bytes",
        (_, _, true) => "google.protobuf.Int32Value",
        (_, _, false) => "int32",
    }
}

/// The bytes of a message.
fn bytes(connect: &Value, value: &Value, nulls: Nulls, out: &mut Vec<u8>) {
    for (index, field) in connect["fields"].as_array().expect("fields").iter().enumerate() {
        let (number, value) = (index as u64 + 1, &value[field["field"].as_str().expect("a name")]);
        let tells = field["optional"] == true && nulls != Nulls::Lost;
        match field["type"].as_str().expect("a type") {
            _ if value.is_null() => {}
            "array" => {
                for item in value.as_array().expect("a list") {
                    one(number, &field["items"], item, (nulls, true), out);
                }
            }
            "map" => {
                for (key, value) in value.as_object().expect("an object") {
                    let mut entry = Vec::new();
                    one(1, &json!({"type": "string"}), &key.as_str().into(), (nulls, true), &mut entry);
                    one(2, &field["values"], value, (nulls, true), &mut entry);
                    sized(number, &entry, out);
                }
            }
            _ => one(number, field, value, (nulls, tells), out),
        }
    }
}

/// One value; a zero only where it is told.
fn one(number: u64, connect: &Value, value: &Value, (nulls, tells): (Nulls, bool), out: &mut Vec<u8>) {
    let base64 = |value: &Value| base64::engine::general_purpose::STANDARD.decode(value.as_str().expect("base64"));
    let kind = simple(connect, nulls);
    let integer = || value.as_i64().expect("an integer");
    let mut inner = Vec::new();
    let whole = |parts: &[i64]| {
        let mut out = Vec::new();
        for (index, part) in parts.iter().enumerate().filter(|(_, part)| **part != 0) {
            varint((index as u64 + 1) << 3, &mut out);
            varint(*part as u64, &mut out);
        }
        out
    };
    match (connect["type"].as_str().expect("a type"), kind) {
        ("struct", _) => {
            bytes(connect, value, nulls, &mut inner);
            sized(number, &inner, out);
        }
        (_, "confluent.type.Decimal") => {
            let scale = connect["parameters"]["scale"].as_str().expect("a scale").parse().expect("a number");
            sized(1, &base64(value).expect("base64"), &mut inner);
            inner.extend(whole(&[0, 0, scale]));
            sized(number, &inner, out);
        }
        (_, "google.type.Date") => {
            let (year, month, day) = crate::model::calendar::civil_from_days(integer());
            sized(number, &whole(&[year, month.into(), day.into()]), out);
        }
        (_, "google.type.TimeOfDay") => {
            let seconds = integer() / 1000;
            let parts = [seconds / 3600, seconds / 60 % 60, seconds % 60, integer() % 1000 * 1_000_000];
            sized(number, &whole(&parts), out);
        }
        (_, "google.protobuf.Timestamp") => {
            let parts = [integer().div_euclid(1000), integer().rem_euclid(1000) * 1_000_000];
            sized(number, &whole(&parts), out);
        }
        (_, wrapper) if wrapper.starts_with("google.protobuf.") => {
            let mut plain = connect.clone();
            plain["optional"] = false.into();
            one(1, &plain, value, (nulls, false), &mut inner);
            sized(number, &inner, out);
        }
        ("string", _) if tells || value != "" => sized(number, value.as_str().expect("a text").as_bytes(), out),
        ("bytes", _) if tells || value != "" => sized(number, &base64(value).expect("base64"), out),
        ("boolean", _) if tells || value == true => {
            varint(number << 3, out);
            varint(value.as_bool().expect("a boolean").into(), out);
        }
        ("double", _) if tells || value.as_f64() != Some(0.0) => {
            varint(number << 3 | 1, out);
            out.extend(value.as_f64().unwrap_or(f64::NAN).to_le_bytes());
        }
        ("float", _) if tells || value.as_f64() != Some(0.0) => {
            varint(number << 3 | 5, out);
            out.extend((value.as_f64().unwrap_or(f64::NAN) as f32).to_le_bytes());
        }
        ("string" | "bytes" | "boolean" | "double" | "float", _) => {}
        _ if tells || integer() != 0 => {
            varint(number << 3, out);
            varint(integer() as u64, out);
        }
        _ => {}
    }
}

fn sized(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint(number << 3 | 2, out);
    varint(bytes.len() as u64, out);
    out.extend(bytes);
}

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// A framed record: the first message of its file.
fn framed(registry: &mut Registry, connect: &Value, value: &Value, nulls: Nulls) -> Vec<u8> {
    let mut record = registry.begin("PROTOBUF", &file(connect, nulls));
    record.push(0);
    bytes(connect, value, nulls, &mut record);
    record
}

const MODES: [Nulls; 3] = [Nulls::Lost, Nulls::Optional, Nulls::Wrapped];

#[test]
fn recorded_events_are_of_the_same_tables_keys_and_places() {
    let events = include_str!("../../../tests/data/debezium/events.jsonl");
    let mut compared = 0;
    for (line, nulls) in lines(events).flat_map(|line| MODES.map(|nulls| (line, nulls))) {
        let recorded: Recorded = serde_json::from_str(line).expect("recorded lines are JSON");
        let Some((schema, event)) = recorded.payload.as_deref().and_then(wrapped) else { continue };
        let mut registry = Registry::default();
        let value = framed(&mut registry, &schema, &event, nulls);
        let key =
            recorded.key.as_deref().and_then(wrapped).map(|(schema, key)| framed(&mut registry, &schema, &key, nulls));
        let headers = recorded.headers();
        let told = registry.told(&recorded.topic, key.as_deref(), Some(&value), &headers);
        let bare = event.to_string();
        let bare_key = recorded.key.as_deref().and_then(wrapped).map(|(_, key)| key.to_string());
        let expected =
            registry.told(&recorded.topic, bare_key.as_deref().map(str::as_bytes), Some(bare.as_bytes()), &headers);
        // What stands before the first image and behind the last one.
        let ends = |told: &str| {
            let begin = told.find(" after{").or_else(|| told.find(" before{")).unwrap_or(told.len());
            let end = told.find(" Bare ").map_or("", |end| &told[end..]);
            // Where a marked column stands follows the order of the columns, which JSON's values here have lost.
            format!("{} … {}", &told[..begin], end.split(" placeholders").next().unwrap_or_default())
        };
        assert_eq!(ends(&told), ends(&expected), "{line}");
        compared += 1;
    }
    assert!(compared > 40, "only {compared} events");
}

#[test]
fn values_of_every_type() {
    let named = |base: &str, name: &str| json!({"type": base, "name": name});
    let decimal =
        json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "parameters": {"scale": "2"}});
    let any_scale = json!({"type": "struct", "name": "io.debezium.data.VariableScaleDecimal", "fields": [
        {"type": "int32", "field": "scale"}, {"type": "bytes", "field": "value"}]});
    let point = json!({"type": "struct", "name": "io.debezium.data.geometry.Point", "fields": [
        {"type": "double", "field": "x"}, {"type": "double", "field": "y"}]});
    let marker = "__debezium_unavailable_value";
    let base64 = "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==";
    for (column, value, expected) in [
        (json!({"type": "int16"}), json!(-3), "Int(-3)"),
        (json!({"type": "int64"}), json!(i64::MIN), "Int(-9223372036854775808)"),
        (json!({"type": "boolean"}), json!(true), "Bool(true)"),
        (json!({"type": "float"}), json!(0.5), "Float32(0.5)"),
        (json!({"type": "double"}), json!("NaN"), "Float64(NaN)"),
        (json!({"type": "string"}), json!("é"), "Text(\"é\")"),
        (json!({"type": "bytes"}), json!("AP8="), "Bytes([0, 255])"),
        (decimal, json!("MDk="), "Decimal(\"123.45\")"),
        (any_scale, json!({"scale": 1, "value": "Dw=="}), "Decimal(\"1.5\")"),
        (named("int32", "org.apache.kafka.connect.data.Date"), json!(-1), "Date(-1)"),
        (named("int32", "org.apache.kafka.connect.data.Time"), json!(45_296_789), "Time(45296789000000)"),
        (named("int64", "org.apache.kafka.connect.data.Timestamp"), json!(-1), "Local(-1, 999000000)"),
        (named("int64", "io.debezium.time.MicroTimestamp"), json!(7), "Int(7)"),
        (point, json!({"x": 1.5, "y": 0.0}), r#"Opaque(("struct", "{\"x\":1.5,\"y\":0.0}"))"#),
        (json!({"type": "array", "items": {"type": "int32"}}), json!([1, 0]), r#"Opaque(("array", "[1,0]"))"#),
        (json!({"type": "array", "items": {"type": "int32"}}), json!([]), "NotSent"),
        (
            json!({"type": "map", "values": {"type": "string"}}),
            json!({"a": "b"}),
            r#"Opaque(("map", "{\"a\":\"b\"}"))"#,
        ),
        (json!({"type": "string"}), json!(marker), "NotSent"),
        (json!({"type": "bytes"}), json!(base64), "NotSent"),
        (json!({"type": "array", "items": {"type": "string"}}), json!([marker]), "NotSent"),
    ] {
        for (nulls, optional) in MODES.into_iter().flat_map(|nulls| [(nulls, true), (nulls, false)]) {
            let mut column = column.clone();
            column["optional"] = optional.into();
            let mut registry = Registry::default();
            let record = framed(
                &mut registry,
                &envelope(&column),
                &payload("u", Value::Null, json!({"id": 1, "v": value})),
                nulls,
            );
            let told = registry.told("t", None, Some(&record), &[]);
            let expected = format!("update public.t after{{id=Int(1) v={expected}}} Bare at=5 source=0/10 order=15");
            assert!(told.starts_with(&expected), "{column} {nulls:?}: {told}");
        }
    }
}

#[test]
fn nulls_and_zeros() {
    for (kind, zero, cell) in [
        ("int32", json!(0), "Int(0)"),
        ("int64", json!(0), "Int(0)"),
        ("boolean", json!(false), "Bool(false)"),
        ("double", json!(0.0), "Float64(0.0)"),
        ("string", json!(""), "Text(\"\")"),
        ("bytes", json!(""), "Bytes([])"),
    ] {
        for (nulls, optional, value, expected) in [
            (Nulls::Lost, true, &zero, "Absent"),
            (Nulls::Lost, true, &Value::Null, "Absent"),
            (Nulls::Lost, false, &zero, "Absent"),
            (Nulls::Optional, true, &zero, cell),
            (Nulls::Optional, true, &Value::Null, "Null"),
            (Nulls::Optional, false, &zero, cell),
            (Nulls::Wrapped, true, &zero, cell),
            (Nulls::Wrapped, true, &Value::Null, "Null"),
            (Nulls::Wrapped, false, &zero, cell),
        ] {
            let mut registry = Registry::default();
            let schema = envelope(&json!({"type": kind, "optional": optional}));
            let key = json!({"type": "struct", "name": "Key", "fields": [{"type": kind, "field": "v"}]});
            let key = framed(&mut registry, &key, &json!({"v": zero}), nulls);
            let record =
                framed(&mut registry, &schema, &payload("c", Value::Null, json!({"id": 1, "v": value})), nulls);
            let told = registry.told("t", Some(&key), Some(&record), &[]);
            let expected = format!("insert public.t key{{v={cell}}} after{{id=Int(1) v={expected}}} Bare");
            assert!(told.starts_with(&expected), "{kind} {nulls:?} {optional}: {told}");
        }
    }
}

#[test]
fn messages_are_named_in_many_ways() {
    let schema = envelope(&json!({"type": "string"}));
    let own = file(&schema, Nulls::Optional);
    let text = own.replacen("message Envelope", "message Other { message Deep {} }\nmessage Envelope", 1);
    let mut body = Vec::new();
    bytes(&schema, &payload("c", Value::Null, json!({"id": 1, "v": "a"})), Nulls::Optional, &mut body);
    let reference = |name: &str| {
        let mut inner = Vec::new();
        sized(1, name.as_bytes(), &mut inner);
        [vec![inner.len() as u8], inner].concat()
    };
    let row = r#"insert public.t after{id=Int(1) v=Text("a")} Bare at=5 source=0/10 order=15 complete"#;
    let header = |name: &str, value: Vec<u8>| vec![(name.to_owned(), Some(value))];
    let id = |rest: &[u8]| [&[0, 0, 0, 0, 1], rest].concat();
    let guid = [[1].as_slice(), &[7; 16], &[2, 2]].concat();
    for (prefix, headers, expected) in [
        (id(&[2, 2]), vec![], row),
        (id(&[2, 2]).into_iter().chain(reference("Envelope")).collect(), vec![], row),
        (id(&reference("Envelope")), vec![], row),
        (vec![], header("__value_schema_id", id(&[2, 2])), row),
        (vec![], header("__value_schema_id", guid), row),
        (
            vec![],
            [
                header("apicurio.value.globalId", vec![0, 0, 0, 0, 0, 0, 0, 2]),
                header("apicurio.protobuf.type", b"Envelope".to_vec()),
            ]
            .concat(),
            row,
        ),
        (id(&[0]), vec![], "reject: debezium record: it has no fields"),
        (
            vec![],
            header("__value_schema_id", id(&[2, 6])),
            "reject: debezium record: the message that it names is not in its schema, at byte 0 behind the schema's id",
        ),
    ] {
        let mut registry = Registry::default();
        for known in [SchemaId::Short(1), SchemaId::Guid([7; 16]), SchemaId::Global(2)] {
            registry.define(known, "PROTOBUF", &text);
        }
        let record = [prefix.clone(), body.clone()].concat();
        assert_eq!(registry.told("t", None, Some(&record), &headers), expected, "{prefix:?} {headers:?}");
    }
    // Apicurio's version 3 names no message where it is told to send no reference: the first is meant.
    let mut registry = Registry::default();
    let record = [registry.begin("PROTOBUF", &own), body].concat();
    assert_eq!(registry.told("t", None, Some(&record), &[]), row);
}

#[test]
fn a_column_more_in_the_middle_of_a_topic_and_rows_of_another_file() {
    let mut registry = Registry::default();
    let (old, new) = widened(&json!({"type": "int32", "optional": true, "field": "due"}));
    let before = framed(&mut registry, &old, &payload("c", Value::Null, json!({"id": 1, "v": "a"})), Nulls::Optional);
    let after = payload("c", Value::Null, json!({"id": 2, "v": "b", "due": 7}));
    let after = framed(&mut registry, &new, &after, Nulls::Optional);
    let options = Options { schemas: Schemas::Registry, ..Options::default() };
    let mut decoder = decoder(&options);
    let place = "Bare at=5 source=0/10 order=15 complete";
    let (old, new) = (r#"id=Int(1) v=Text("a")"#, r#"id=Int(2) v=Text("b") due=Int(7)"#);
    for (record, row) in [(&before, old), (&after, new), (&before, old), (&after, new)] {
        let told = registry.told_by(&mut *decoder, "t", (None, Some(record)), &[]);
        assert_eq!(told, format!("insert public.t after{{{row}}} {place}"));
    }
    let row = "syntax = 'proto3'; package x; message Row { int32 id = 1; .y.Kind kind = 2; }";
    let kind = "syntax = 'proto3'; package y; enum Kind { A = 0; B = 1; }";
    let text =
        "syntax = 'proto3'; package x.z; message S { string table = 1; string schema = 2; optional string db = 3; }
        message E { Row after = 1; S source = 2; string op = 3; }";
    let begin = registry.begin("PROTOBUF", text);
    for (name, text) in [("y.proto", kind), ("row.proto", row)] {
        let reference = Reference { name: name.to_owned(), text: text.to_owned() };
        registry.0.values_mut().for_each(|one| one.references.push(reference.clone()));
    }
    let record = [&*begin, b"\x02\x02\x0a\x04\x08\x05\x10\x01\x12\x06\x0a\x01t\x12\x01s\x1a\x01c"].concat();
    let told = registry.told("t", None, Some(&record), &[]);
    assert_eq!(told, r#"insert s.t after{id=Int(5) kind=Text("B")} Bare complete"#);
}

#[test]
fn what_cannot_be_read_says_why() {
    let schema = envelope(&json!({"type": "string"}));
    let own = file(&schema, Nulls::Optional);
    let mut good = vec![0];
    bytes(&schema, &payload("c", Value::Null, json!({"id": 1, "v": "a"})), Nulls::Optional, &mut good);
    let nested = format!("syntax = \"proto3\"; {}{}", "message M {".repeat(80), "}".repeat(80));
    let huge =
        format!("message M {{ {} }}", (1..70_000).map(|n| format!("optional int32 f{n} = {n};")).collect::<String>());
    let unread = "its schema 1 cannot be read: ";
    for (text, body, expected) in [
        (&*own, &good[..9], "the bytes end inside"),
        (&*own, &[], "it has no `op` and `source`"),
        (&*own, &[0], "it has no `op` and `source`"),
        (&*own, &[0, 0x0f], "a field of a wire type that there is not, at byte 1 behind"),
        (&*own, &[0, 0x02, 0], "a field of a number that no field may have, at byte 1 behind"),
        (&*own, &[0, 0x12, 2, 0x0a, 0], "a field whose bytes lie otherwise than its type's, at byte"),
        (&*own, &[0, 0x12, 4, 0x12, 2, 0xff, 0xff], "a text that is not UTF-8, at byte"),
        (&*own, &[0, 0x12, 0, 0x12, 0], "an image that comes in two parts, at byte"),
        (
            &*own,
            &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            "an integer of more than 64 bits, at byte",
        ),
        (&*own, &[0, 0x7b], "the bytes end inside an integer, at byte"),
        ("{", &good, &format!("{unread}neither a message nor anything else that a file may hold, at line 1")),
        ("message M {\n\n", &good, &format!("{unread}a name is missing, at line 3")),
        ("message M { X x = 1; }", &good, &format!("{unread}the type `X` of field `x` is defined nowhere")),
        ("message M { int32 x = 0; }", &good, &format!("{unread}the number of field `x` is none, at line 1")),
        (
            "message M { int32 x = 1; int32 y = 1; }",
            &good,
            &format!("{unread}message `M` has two fields of one number"),
        ),
        ("message M {} message M {}", &good, &format!("{unread}the type `M` is defined twice")),
        ("/* endless", &good, &format!("{unread}a comment without end, at line 1")),
        ("syntax = \"proto", &good, &format!("{unread}a text without end, at line 1")),
        ("edition = \"2023\";", &good, &format!("{unread}editions of Protobuf are not read by this version")),
        (
            "message M { optional group G = 1 {} }",
            &good,
            &format!("{unread}a group; not read by this version, at line 1"),
        ),
        ("", &good, "the message that it names is not in its schema, at byte 0 behind the schema's id"),
        (&*nested, &good, &format!("{unread}messages nested deeper than 64 levels, at line 1")),
        (&*huge, &good, &format!("{unread}more than 65536 messages, fields and symbols")),
    ] {
        let mut registry = Registry::default();
        let record = [&*registry.begin("PROTOBUF", text), body].concat();
        let told = registry.told("t", None, Some(&record), &[]);
        assert!(
            told.starts_with(&format!("reject: debezium record: {expected}")),
            "{}: {told}",
            &text[..text.len().min(60)]
        );
    }
}

#[test]
fn hostile_messages_end() {
    let text = "syntax = 'proto3'; message E { optional string op = 1; R after = 2; R source = 3; }
        message R { R r = 1; repeated R many = 2; D d = 3; } message D { int32 year = 1; }";
    let deep = |levels: usize| {
        (0..levels).fold(Vec::new(), |inner, _| {
            let mut out = Vec::new();
            sized(1, &inner, &mut out);
            out
        })
    };
    let groups = [0x23; 200];
    for (row, expected) in [
        (deep(300), "values nested deeper than 127 levels"),
        (deep(100), "it has no `op` and `source`"),
        (groups.to_vec(), "groups nested deeper than 100 levels"),
        ([deep(2), deep(2)].concat(), "it has no `op` and `source`"),
        ([0x0a, 4, 0x0a, 0, 0x0a, 0].to_vec(), "a message that comes in two parts"),
        ([0x12, 0].repeat(100_000), "it has no `op` and `source`"),
    ] {
        let mut registry = Registry::default();
        let mut record = [registry.begin("PROTOBUF", text), vec![0]].concat();
        sized(2, &row, &mut record);
        let told = registry.told("t", None, Some(&record), &[]);
        assert!(told.starts_with(&format!("reject: debezium record: {expected}")), "{told}");
    }
}

/// Two bytes of each item stand for a thousand of text.
#[test]
fn few_bytes_do_not_become_gigabytes() {
    let columns: Vec<String> = (1..=1_000).map(|number| format!("repeated N f{number} = {number};")).collect();
    let (columns, name) = (columns.concat(), "n".repeat(1_000));
    let text = format!(
        "syntax = 'proto3'; message E {{ optional string op = 1; R after = 2; R source = 3; }}
        message R {{ {columns} }} message N {{ W w = 1; }} enum W {{ {name} = 0; }}"
    );
    let mut row = Vec::new();
    for number in 1..=1_000 {
        (0..20).for_each(|_| sized(number, &[], &mut row));
    }
    let mut registry = Registry::default();
    let mut record = [registry.begin("PROTOBUF", &text), vec![0]].concat();
    sized(1, b"c", &mut record);
    sized(2, &row, &mut record);
    let told = registry.told("t", None, Some(&record), &[]);
    assert!(told.starts_with("reject: debezium record: values that take more than 16 MiB to write, at byte"), "{told}");
    let longer = format!("message {} {{}}", "n".repeat(1_025));
    let record = registry.begin("PROTOBUF", &longer);
    let told = registry.told("t", None, Some(&record), &[]);
    assert_eq!(told, "reject: debezium record: its schema 2 cannot be read: a name of more than 1024 bytes, at line 1");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn damaged_records_are_told_the_same_warm_and_fresh(
        damages in proptest::collection::vec(super::hostile::damage(), 1..4),
        in_key in proptest::prelude::any::<bool>(),
    ) {
        let mut registry = Registry::default();
        let column = json!({"type": "array", "items": {"type": "string", "optional": true}});
        let row = |text: &str| json!({"id": 1, "v": [text]});
        let mut value =
            framed(&mut registry, &envelope(&column), &payload("u", row("a"), row("b")), Nulls::Optional);
        let key = json!({"type": "struct", "name": "Key", "fields": [{"type": "int64", "field": "id"}]});
        let mut key = framed(&mut registry, &key, &json!({"id": 1}), Nulls::Optional);
        let options = Options { schemas: Schemas::Registry, ..Options::default() };
        let mut warm = decoder(&options);
        let told = registry.told_by(&mut *warm, "t", (Some(&key), Some(&value)), &[]);
        proptest::prop_assert!(told.starts_with("update public.t key"), "{}", told);
        damages.iter().for_each(|damage| damage.apply(if in_key { &mut key } else { &mut value }));
        let told = registry.told_by(&mut *warm, "t", (Some(&key), Some(&value)), &[]);
        proptest::prop_assert_eq!(told, registry.told("t", Some(&key), Some(&value), &[]));
    }
}

#[test]
fn rows_without_an_envelope() {
    let text = |field: &str| json!({"type": "string", "optional": true, "field": field});
    let id = json!({"type": "int64", "optional": false, "field": "id"});
    let row =
        json!({"type": "struct", "name": "p.s.t.Value", "fields": [id, text("v"), text("__op"), text("__deleted")]});
    let key = json!({"type": "struct", "name": "p.s.t.Key", "fields": [id]});
    for nulls in MODES {
        let mut registry = Registry::default();
        let key = framed(&mut registry, &key, &json!({"id": 1}), nulls);
        let mut value = |op: Value, deleted: &str| {
            framed(&mut registry, &row, &json!({"id": 1, "v": "a", "__op": op, "__deleted": deleted}), nulls)
        };
        let (insert, untold) = (value("c".into(), "false"), value(Value::Null, "false"));
        let delete = value(Value::Null, "true");
        let mut decoder = decoder(&Options { schemas: Schemas::Registry, ..Options::default() });
        for (value, expected) in [
            (None, "tombstone"),
            (Some(&insert), "insert s.t key{id=Int(1)} after{id=Int(1) v=Text(\"a\")"),
            (Some(&untold), "update s.t key{id=Int(1)} after{id=Int(1) v=Text(\"a\")"),
            (Some(&delete), "delete s.t key{id=Int(1)}"),
            (None, "delete s.t key{id=Int(1)}"),
        ] {
            let told = registry.told_by(&mut *decoder, "p.s.t", (Some(&key), value.map(|value| &**value)), &[]);
            assert!(told.starts_with(expected), "{nulls:?}: {told}");
        }
        let envelopes = Options { format: Format::Debezium, schemas: Schemas::Registry, ..Options::default() };
        let told = registry.told_by(&mut *super::decoder(&envelopes), "p.s.t", (Some(&key), Some(&insert)), &[]);
        assert_eq!(told, format!("reject: {} where Debezium is declared", Format::Flattened.noun()));
    }
}
