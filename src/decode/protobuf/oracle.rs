//! The same data read by `prost-reflect` under descriptors of `protox`: random files, random values, and what is left of them
//! when they are cut.

use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MapKey, MessageDescriptor, ReflectMessage as _, Value};
use protox::Compiler;
use protox::file::{File, FileResolver};

use super::{Cursor, MessageId, Schema, Type};
use crate::decode::written::{show, write_base64, write_float, write_text};
use crate::model::Definition;

/// One file, and nothing that it imports.
struct Only(String);

impl FileResolver for Only {
    fn open_file(&self, name: &str) -> Result<File, protox::Error> {
        match name {
            "t.proto" => File::from_source(name, &self.0),
            other => Err(protox::Error::file_not_found(other)),
        }
    }
}

const SCALARS: [&str; 15] = [
    "double", "float", "int32", "int64", "uint32", "uint64", "sint32", "sint64", "fixed32", "fixed64", "sfixed32",
    "sfixed64", "bool", "string", "bytes",
];

/// How a field of a message is written in its file.
#[derive(Debug, Clone)]
enum Shape {
    Plain(&'static str),
    Optional(&'static str),
    Repeated(&'static str),
    Map(&'static str, &'static str),
    Choice(Vec<&'static str>),
    /// A message of these, defined inside.
    Inner(Vec<Shape>),
    Inners(Vec<Shape>),
}

fn shape() -> impl Strategy<Value = Shape> {
    let kinds: Vec<&str> = SCALARS.into_iter().chain(["Kind", "Root"]).collect();
    let kind = || prop::sample::select(kinds.clone());
    let leaf = prop_oneof![
        kind().prop_map(Shape::Plain),
        kind().prop_map(Shape::Optional),
        kind().prop_map(Shape::Repeated),
        (prop::sample::select(vec!["int32", "sint64", "bool", "string", "fixed32", "uint64"]), kind())
            .prop_map(|(key, kind)| Shape::Map(key, kind)),
        prop::collection::vec(kind(), 1..4).prop_map(Shape::Choice),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        let fields = || prop::collection::vec(inner.clone(), 0..5);
        prop_oneof![fields().prop_map(Shape::Inner), fields().prop_map(Shape::Inners)]
    })
}

/// The definitions of fields. Numbers grow by more than one and do not follow the order of the fields.
fn file(fields: &[Shape], syntax: &str, out: &mut String, next: &mut u32) {
    for shape in fields {
        let number = *next ^ 1;
        *next += 3;
        let plain = if syntax == "proto2" { "optional" } else { "" };
        let field = |label: &str, kind: &str| format!("{label} {kind} f{number} = {number}; // a field\n");
        match shape {
            Shape::Plain(kind) => out.push_str(&field(plain, kind)),
            Shape::Optional(kind) => out.push_str(&field("optional", kind)),
            Shape::Repeated(kind) => out.push_str(&field("repeated", kind)),
            Shape::Map(key, kind) => out.push_str(&format!("map<{key}, {kind}> f{number} = {number};")),
            Shape::Choice(kinds) => {
                out.push_str(&format!("oneof one_of_{number} {{"));
                for kind in kinds {
                    out.push_str(&format!("{kind} f{next} = {next} [deprecated = true];"));
                    *next += 1;
                }
                *next += 1;
                out.push('}');
            }
            Shape::Inner(fields) | Shape::Inners(fields) => {
                out.push_str(&format!("message M{number} {{ reserved 9, 12 to 14; /* inside */"));
                file(fields, syntax, out, &mut 20);
                out.push('}');
                let label = if matches!(shape, Shape::Inners(_)) { "repeated" } else { plain };
                out.push_str(&field(label, &format!("M{number}")));
            }
        }
    }
}

/// A value of a field, made of as many random numbers as it takes.
fn value(kind: &prost_reflect::Kind, dice: &mut dyn FnMut() -> u64, depth: usize) -> Value {
    use prost_reflect::Kind;
    let few = |dice: &mut dyn FnMut() -> u64| dice() % 4;
    match kind {
        Kind::Double => Value::F64(f64::from_bits(dice())),
        Kind::Float => Value::F32(f32::from_bits(dice() as u32)),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => Value::I32((dice() >> (dice() % 64)) as i32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => Value::I64((dice() >> (dice() % 64)) as i64),
        Kind::Uint32 | Kind::Fixed32 => Value::U32((dice() >> (dice() % 64)) as u32),
        Kind::Uint64 | Kind::Fixed64 => Value::U64(dice() >> (dice() % 64)),
        Kind::Bool => Value::Bool(dice().is_multiple_of(2)),
        Kind::String => Value::String((0..few(dice)).filter_map(|_| char::from_u32(dice() as u32 % 0x2_000)).collect()),
        Kind::Bytes => Value::Bytes((0..few(dice)).map(|_| dice() as u8).collect::<Vec<u8>>().into()),
        Kind::Enum(_) => Value::EnumNumber([0, 5, -1, 77][dice() as usize % 4]),
        Kind::Message(message) => Value::Message(filled(message, dice, depth + 1)),
    }
}

fn filled(descriptor: &MessageDescriptor, dice: &mut dyn FnMut() -> u64, depth: usize) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    for field in descriptor.fields() {
        if dice().is_multiple_of(3) || depth > 4 {
            continue;
        }
        let whole = if field.is_map() {
            let entry = field.kind();
            let entry = entry.as_message().expect("an entry is a message");
            let key = value(&entry.map_entry_key_field().kind(), dice, depth);
            // One entry: they are kept in no order.
            let key: MapKey = key.into_map_key().expect("a type that may be a key");
            Value::Map([(key, value(&entry.map_entry_value_field().kind(), dice, depth))].into())
        } else if field.is_list() {
            Value::List((0..dice() % 4).map(|_| value(&field.kind(), dice, depth)).collect())
        } else {
            value(&field.kind(), dice, depth)
        };
        message.set_field(&field, whole);
    }
    message
}

/// As Connect's JSON converter would write it.
fn written(schema: &Schema, id: MessageId, message: &DynamicMessage) -> String {
    let mut parts = Vec::new();
    for field in &schema.message(id).fields {
        let known = message.descriptor().get_field_by_name(&field.name).expect("a field of that name");
        let text = match &*message.get_field(&known) {
            _ if known.supports_presence() && !message.has_field(&known) => "null".to_owned(),
            Value::List(items) => {
                format!("[{}]", items.iter().map(|item| one(schema, field.kind, item)).collect::<Vec<_>>().join(","))
            }
            Value::Map(entries) => {
                let entry = |(key, value): (&MapKey, &Value)| {
                    let key = one(schema, field.kind, &key.clone().into());
                    let key = if key.starts_with('"') { key } else { format!("\"{key}\"") };
                    format!("{key}:{}", one(schema, field.kind, value))
                };
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
            }
            value @ (Value::Bool(_)
            | Value::I32(_)
            | Value::I64(_)
            | Value::U32(_)
            | Value::U64(_)
            | Value::F32(_)
            | Value::F64(_)
            | Value::String(_)
            | Value::Bytes(_)
            | Value::EnumNumber(_)
            | Value::Message(_)) => one(schema, field.kind, value),
        };
        parts.push(format!("\"{}\":{text}", field.name));
    }
    format!("{{{}}}", parts.join(","))
}

fn one(schema: &Schema, kind: Type, value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Bool(value) => show(&mut out, value),
        Value::I32(value) => show(&mut out, value),
        Value::I64(value) => show(&mut out, value),
        Value::U32(value) => show(&mut out, value),
        Value::U64(value) => show(&mut out, value),
        Value::F32(value) => write_float(&mut out, f64::from(*value), Some(*value).filter(|value| value.is_finite())),
        Value::F64(value) => write_float(&mut out, *value, Some(*value).filter(|value| value.is_finite())),
        Value::String(text) => write_text(&mut out, text),
        Value::Bytes(bytes) => write_base64(&mut out, bytes),
        Value::EnumNumber(number) => match number {
            0 => out.push_str("\"ZERO\""),
            5 => out.push_str("\"FIVE\""),
            -1 => out.push_str("\"BELOW\""),
            other => show(&mut out, other),
        },
        Value::Message(message) => {
            let Type::Message(id) = kind else { panic!("a message of another type") };
            out = written(schema, id, message);
        }
        Value::List(_) | Value::Map(_) => panic!("lists do not nest"),
    }
    out
}

fn read(schema: &Schema, id: MessageId, bytes: &[u8]) -> Option<String> {
    let mut out = String::new();
    schema.write_message(id, &mut Cursor::new(bytes), &mut out, 0).ok().map(|()| out)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_data_is_read_as_prost_reflect_reads_it(
        fields in prop::collection::vec(shape(), 0..6),
        syntax in prop::sample::select(vec!["proto2", "proto3"]),
        seed in any::<u64>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = format!("syntax = '{syntax}';\npackage a.b; option java_package = \"x;y}}\";\n");
        text.push_str("enum Kind { ZERO = 0; FIVE = 0x5; BELOW = -1; }\nmessage Other {}\nmessage Root {");
        file(&fields, syntax, &mut text, &mut 2);
        text.push('}');
        let mut compiler = Compiler::with_file_resolver(Only(text.clone()));
        compiler.open_file("t.proto").expect("a random file is one");
        let pool: DescriptorPool = compiler.descriptor_pool();
        let theirs = pool.get_message_by_name("a.b.Root").expect("it is defined");
        let definition = Definition { language: "PROTOBUF".into(), text: text.clone(), references: Vec::new() };
        let ours = Schema::read(&definition).expect("a random file is one");
        let id = ours.at([1].into_iter()).expect("the second message");
        let mut state = seed;
        let mut dice = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state ^ state >> 29
        };
        let message = filled(&theirs, &mut dice, 0);
        let bytes = message.encode_to_vec();
        let again = DynamicMessage::decode(theirs.clone(), &*bytes).expect("what was written can be read");
        prop_assert_eq!(read(&ours, id, &bytes), Some(written(&ours, id, &again)), "{}", text);
        let short = &bytes[..cut.index(bytes.len() + 1)];
        let rest = DynamicMessage::decode(theirs, short).ok().map(|message| written(&ours, id, &message));
        prop_assert_eq!(read(&ours, id, short), rest, "{} cut to {}", text, short.len());
    }
}
