//! What Connect's Avro converter makes of the schemas and values that its JSON converter wrote: its types and names, and bytes
//! by the letter of Avro's specification.

use base64::Engine as _;
use serde_json::{Map, Value, json};

/// The Avro schema of a Connect schema.
pub(super) fn schema(connect: &Value) -> Value {
    schema_of(connect, &mut Vec::new())
}

fn schema_of(connect: &Value, named: &mut Vec<String>) -> Value {
    let base = connect["type"].as_str().expect("a Connect type");
    let mut avro = match base {
        "struct" => match record(connect, named) {
            Ok(record) => record,
            Err(name) => return optional(connect, name.into()),
        },
        "array" => object("array", [("items", schema_of(&connect["items"], named))]),
        "map" => object("map", [("values", schema_of(&connect["values"], named))]),
        "int8" | "int16" => object("int", [("connect.type", base.into())]),
        "int32" => object("int", []),
        "int64" => object("long", []),
        simple => object(simple, []),
    };
    for (from, to) in [("name", "connect.name"), ("version", "connect.version"), ("parameters", "connect.parameters")] {
        if let Some(value) = connect.get(from) {
            avro.insert(to.to_owned(), value.clone());
        }
    }
    optional(connect, Value::Object(avro))
}

fn object<const N: usize>(kind: &str, rest: [(&str, Value); N]) -> Map<String, Value> {
    let rest = rest.map(|(name, value)| (name.to_owned(), value));
    [("type".to_owned(), Value::from(kind))].into_iter().chain(rest).collect()
}

fn optional(connect: &Value, avro: Value) -> Value {
    if connect["optional"] == true { json!(["null", avro]) } else { avro }
}

/// A record; where one of its name was written before, that name.
fn record(connect: &Value, named: &mut Vec<String>) -> Result<Map<String, Value>, String> {
    let name = connect["name"].as_str().map_or_else(|| format!("ConnectDefault{}", named.len()), str::to_owned);
    if named.contains(&name) {
        return Err(name);
    }
    named.push(name.clone());
    let field = |field: &Value| json!({"name": field["field"], "type": schema_of(field, named)});
    let fields: Vec<Value> = connect["fields"].as_array().expect("fields").iter().map(field).collect();
    Ok(object("record", [("name", name.into()), ("fields", fields.into())]))
}

/// The Avro bytes of a value as JSON.
pub(super) fn bytes(connect: &Value, value: &Value, out: &mut Vec<u8>) {
    if connect["optional"] == true {
        long(i64::from(!value.is_null()), out);
        if value.is_null() {
            return;
        }
    }
    match connect["type"].as_str().expect("a Connect type") {
        "boolean" => out.push(u8::from(value.as_bool().expect("a boolean"))),
        "float" => out.extend_from_slice(&(double(value) as f32).to_le_bytes()),
        "double" => out.extend_from_slice(&double(value).to_le_bytes()),
        "string" => text(value.as_str().expect("a text").as_bytes(), out),
        "bytes" => {
            let written = value.as_str().expect("base64");
            text(&base64::engine::general_purpose::STANDARD.decode(written).expect("base64"), out);
        }
        "array" => {
            let items = value.as_array().expect("a list");
            block(items.len(), out, |out| items.iter().for_each(|item| bytes(&connect["items"], item, out)));
        }
        "map" => {
            let entries = value.as_object().expect("an object");
            block(entries.len(), out, |out| {
                for (key, value) in entries {
                    text(key.as_bytes(), out);
                    bytes(&connect["values"], value, out);
                }
            });
        }
        "struct" => {
            for field in connect["fields"].as_array().expect("fields") {
                bytes(field, &value[field["field"].as_str().expect("a name")], out);
            }
        }
        _ => long(value.as_i64().expect("an integer"), out),
    }
}

fn double(value: &Value) -> f64 {
    match value.as_str() {
        Some("NaN") => f64::NAN,
        Some("Infinity") => f64::INFINITY,
        Some("-Infinity") => f64::NEG_INFINITY,
        Some(_) | None => value.as_f64().expect("a number"),
    }
}

fn block(count: usize, out: &mut Vec<u8>, items: impl FnOnce(&mut Vec<u8>)) {
    if count > 0 {
        long(count as i64, out);
        items(out);
    }
    long(0, out);
}

fn text(bytes: &[u8], out: &mut Vec<u8>) {
    long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

pub(super) fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest > 0x7f {
        out.push((rest as u8 & 0x7f) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}
