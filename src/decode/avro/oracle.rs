//! The same data read by `apache-avro`: random schemas, random values, and what is left of them when they are cut.

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::prelude::*;

use super::{Cursor, Schema};
use crate::model::Definition;

/// A random type, and a way to make values of it.
#[derive(Debug, Clone)]
enum Kind {
    Simple(&'static str),
    Fixed(usize),
    Enum(usize),
    Array(Box<Kind>),
    Map(Box<Kind>),
    Optional(Box<Kind>),
    Union(Vec<Kind>),
    Record(Vec<Kind>),
    /// A record that may hold itself.
    List(Box<Kind>),
}

const SIMPLE: [&str; 8] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

fn kind() -> impl Strategy<Value = Kind> {
    let leaf = prop_oneof![
        prop::sample::select(SIMPLE.to_vec()).prop_map(Kind::Simple),
        (1..20usize).prop_map(Kind::Fixed),
        (1..5usize).prop_map(Kind::Enum),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            inner.clone().prop_map(|kind| Kind::Array(Box::new(kind))),
            inner.clone().prop_map(|kind| Kind::Map(Box::new(kind))),
            inner.clone().prop_map(|kind| Kind::Optional(Box::new(kind))),
            prop::collection::vec(inner.clone(), 1..4).prop_map(Kind::Union),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Kind::Record),
            inner.prop_map(|kind| Kind::List(Box::new(kind))),
        ]
    })
}

/// What keeps two types apart in a union: names are.
fn tag(kind: &Kind) -> Option<&'static str> {
    match kind {
        Kind::Simple(name) => Some(name),
        Kind::Array(_) => Some("array"),
        Kind::Map(_) => Some("map"),
        Kind::Fixed(_) | Kind::Enum(_) | Kind::Record(_) | Kind::List(_) => None,
        Kind::Optional(_) | Kind::Union(_) => Some("union"),
    }
}

impl Kind {
    /// The types a union of these may hold: none that is a union, none twice.
    fn branches(kinds: &[Kind]) -> Vec<&Kind> {
        let mut tags = Vec::new();
        let fits = |kind: &&Kind| match tag(kind) {
            Some("union") => false,
            Some(tag) if tags.contains(&tag) => false,
            Some(tag) => {
                tags.push(tag);
                true
            }
            None => true,
        };
        kinds.iter().filter(fits).collect()
    }

    fn schema(&self, names: &mut usize) -> serde_json::Value {
        use serde_json::json;
        let mut name = || {
            *names += 1;
            format!("N{names}")
        };
        match self {
            Kind::Simple(simple) => json!(simple),
            Kind::Fixed(size) => json!({"type": "fixed", "name": name(), "size": size}),
            Kind::Enum(count) => {
                let symbols: Vec<String> = (0..*count).map(|index| format!("S{index}")).collect();
                json!({"type": "enum", "name": name(), "symbols": symbols})
            }
            Kind::Array(items) => json!({"type": "array", "items": items.schema(names)}),
            Kind::Map(values) => json!({"type": "map", "values": values.schema(names)}),
            Kind::Optional(inner) => match tag(inner) {
                Some("union" | "null") => json!(["null", "int"]),
                Some(_) | None => json!(["null", inner.schema(names)]),
            },
            Kind::Union(kinds) => {
                let branches = Kind::branches(kinds).into_iter().map(|kind| kind.schema(names));
                let branches: Vec<_> = branches.collect();
                if branches.is_empty() { json!(["null"]) } else { branches.into() }
            }
            Kind::Record(kinds) => {
                let name = name();
                let field =
                    |(index, kind): (usize, &Kind)| json!({"name": format!("f{index}"), "type": kind.schema(names)});
                let fields: Vec<_> = kinds.iter().enumerate().map(field).collect();
                json!({"type": "record", "name": name, "namespace": "a.b", "fields": fields})
            }
            Kind::List(inner) => {
                let name = name();
                json!({"type": "record", "name": name, "namespace": "c", "fields": [
                    {"name": "item", "type": inner.schema(names)}, {"name": "next", "type": ["null", name]}]})
            }
        }
    }

    /// A value, made of as many random numbers as it takes.
    fn value(&self, dice: &mut dyn FnMut() -> u64, depth: usize) -> Value {
        let count = |dice: &mut dyn FnMut() -> u64| if depth > 6 { 0 } else { dice() % 4 };
        match self {
            Kind::Simple("null") => Value::Null,
            Kind::Simple("boolean") => Value::Boolean(dice().is_multiple_of(2)),
            Kind::Simple("int") => Value::Int(dice() as i32),
            Kind::Simple("long") => Value::Long((dice() >> (dice() % 64)) as i64),
            Kind::Simple("float") => Value::Float(f32::from_bits(dice() as u32)),
            Kind::Simple("double") => Value::Double(f64::from_bits(dice())),
            Kind::Simple("bytes") => Value::Bytes((0..count(dice)).map(|_| dice() as u8).collect()),
            Kind::Simple(_) => {
                Value::String((0..count(dice)).filter_map(|_| char::from_u32(dice() as u32 % 0x2_000)).collect())
            }
            Kind::Fixed(size) => Value::Fixed(*size, (0..*size).map(|_| dice() as u8).collect()),
            Kind::Enum(symbols) => {
                let index = dice() as usize % symbols;
                Value::Enum(index as u32, format!("S{index}"))
            }
            Kind::Array(items) => Value::Array((0..count(dice)).map(|_| items.value(dice, depth + 1)).collect()),
            Kind::Map(values) => {
                let entry = |index| (format!("k{index}"), values.value(dice, depth + 1));
                // One entry: apache-avro keeps them in no order.
                Value::Map((0..1).map(entry).collect())
            }
            Kind::Optional(inner) => match (tag(inner), dice() % 2) {
                (_, 0) => Value::Union(0, Box::new(Value::Null)),
                (Some("union" | "null"), _) => Value::Union(1, Box::new(Value::Int(7))),
                (Some(_) | None, _) => Value::Union(1, Box::new(inner.value(dice, depth + 1))),
            },
            Kind::Union(kinds) => {
                let branches = Kind::branches(kinds);
                if branches.is_empty() {
                    return Value::Union(0, Box::new(Value::Null));
                }
                let index = dice() as usize % branches.len();
                Value::Union(index as u32, Box::new(branches[index].value(dice, depth + 1)))
            }
            Kind::Record(kinds) => {
                let field = |(index, kind): (usize, &Kind)| (format!("f{index}"), kind.value(dice, depth + 1));
                Value::Record(kinds.iter().enumerate().map(field).collect())
            }
            Kind::List(inner) => {
                let item = inner.value(dice, depth + 1);
                let next = match depth < 6 && dice().is_multiple_of(2) {
                    true => Value::Union(1, Box::new(self.value(dice, depth + 1))),
                    false => Value::Union(0, Box::new(Value::Null)),
                };
                Value::Record(vec![("item".to_owned(), item), ("next".to_owned(), next)])
            }
        }
    }
}

/// A value as `JsonConverter` writes it.
#[expect(clippy::wildcard_enum_match_arm, reason = "what no random schema has is no random value")]
fn written(value: &Value) -> String {
    use base64::Engine as _;
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let base64 = |bytes: &[u8]| format!("\"{}\"", base64::engine::general_purpose::STANDARD.encode(bytes));
    let float = |value: f64, text: String| match value {
        value if value.is_nan() => "\"NaN\"".to_owned(),
        f64::INFINITY => "\"Infinity\"".to_owned(),
        f64::NEG_INFINITY => "\"-Infinity\"".to_owned(),
        _ => text,
    };
    match value {
        Value::Null => "null".to_owned(),
        Value::Boolean(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Long(value) => value.to_string(),
        Value::Float(value) => float(f64::from(*value), serde_json::to_string(value).expect("a number")),
        Value::Double(value) => float(*value, serde_json::to_string(value).expect("a number")),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => base64(bytes),
        Value::String(text) | Value::Enum(_, text) => quoted(text),
        Value::Union(_, inner) => written(inner),
        Value::Array(items) => format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(",")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| format!("{}:{}", quoted(key), written(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
        Value::Record(fields) => {
            let fields = fields.iter().map(|(name, value)| format!("{}:{}", quoted(name), written(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
        }
        other => panic!("no random value is {other:?}"),
    }
}

/// What is read of a datum, to its end.
fn read(schema: &Schema, datum: &[u8]) -> Option<String> {
    let mut cursor = Cursor::new(datum);
    let text = schema.written(schema.root, &mut cursor).ok()?;
    let mut passed = Cursor::new(datum);
    schema.skip(schema.root, &mut passed).expect("what can be written can be passed");
    assert_eq!(passed.end().is_ok(), cursor.end().is_ok(), "both end at one place");
    cursor.end().ok().map(|()| text)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn reads_what_apache_avro_reads(kind in kind(), seed in any::<u64>(), cut in any::<prop::sample::Index>()) {
        let json = kind.schema(&mut 0).to_string();
        let theirs = apache_avro::Schema::parse_str(&json).expect("a random schema is one");
        let definition = Definition { language: "AVRO".into(), text: json.clone(), references: Vec::new() };
        let ours = Schema::read(&definition).expect("a random schema is one");
        let mut state = seed;
        let mut dice = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        let value = kind.value(&mut dice, 0);
        let writer = GenericDatumWriter::builder(&theirs).build().expect("a writer");
        let datum = writer.write_value_to_vec(value).expect("the value is of its schema");
        let reader = GenericDatumReader::builder(&theirs).build().expect("a reader");
        let expected = reader.read_value(&mut &datum[..]).expect("what was written can be read");
        prop_assert_eq!(read(&ours, &datum), Some(written(&expected)), "{}", json);

        let short = &datum[..cut.index(datum.len() + 1)];
        let mut rest = short;
        let theirs = reader.read_value(&mut rest).ok().filter(|_| rest.is_empty());
        // It takes a union that is not there at all for null: then it read what was not written.
        let is_whole = |value: &Value| writer.write_value_to_vec(value.clone()).is_ok_and(|again| again == short);
        let theirs = theirs.filter(is_whole);
        prop_assert_eq!(read(&ours, short), theirs.as_ref().map(written), "{} cut to {}", json, short.len());
    }
}
