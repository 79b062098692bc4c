//! Avro schemas, read once each into a table of types that name each other by place.
//!
//! Only what is needed to walk over a datum is kept, and what Connect wrote beside each type. Defaults and aliases are for
//! readers with a schema of their own, which no one here has.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use serde_json::{Map, Value};

use crate::decode::frame::{LONGEST_NAME, NAME_TOO_LONG};
use crate::decode::json;
use crate::model::Definition;

/// The most types and fields a schema may have. PostgreSQL stops at 1,600 columns, MySQL at 4,096; an envelope has them once.
const MAX_PARTS: usize = 65_536;

/// A place in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::decode) struct NodeId(u32);

/// A schema, read.
#[derive(Debug)]
pub(in crate::decode) struct Schema {
    nodes: Vec<Node>,
    pub(in crate::decode) root: NodeId,
}

/// One type.
#[derive(Debug)]
pub(in crate::decode) struct Node {
    pub(in crate::decode) shape: Shape,
    /// What was written beside it.
    pub(in crate::decode) notes: Option<Box<Notes>>,
}

/// How the bytes of a type lie.
#[derive(Debug)]
pub(in crate::decode) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    Text,
    Fixed(usize),
    Enum(Box<[Box<str>]>),
    Array(NodeId),
    Map(NodeId),
    Union(Box<[NodeId]>),
    Record(Box<[Field]>),
}

/// A field of a record.
#[derive(Debug)]
pub(in crate::decode) struct Field {
    pub(in crate::decode) name: Box<str>,
    pub(in crate::decode) node: NodeId,
}

/// What is written beside a type and does not change its bytes.
#[derive(Debug, Default)]
pub(in crate::decode) struct Notes {
    /// The full name of a record, an enum or a fixed.
    pub(in crate::decode) full_name: Option<String>,
    /// `connect.name`.
    pub(in crate::decode) connect_name: Option<String>,
    /// `connect.parameters`.
    pub(in crate::decode) parameters: BTreeMap<String, String>,
    /// `logicalType`.
    pub(in crate::decode) logical: Option<String>,
    /// `scale` of a decimal.
    pub(in crate::decode) scale: i64,
}

impl Schema {
    /// Reads a schema and what it refers to.
    ///
    /// # Errors
    /// What is wrong with it, as a fragment.
    pub(in crate::decode) fn read(definition: &Definition) -> Result<Schema, String> {
        let mut reading = Reading::default();
        for reference in &definition.references {
            reading.text(&reference.text).map_err(|reason| format!("a schema it refers to: {reason}"))?;
        }
        let root = reading.text(&definition.text)?;
        Ok(Schema { nodes: reading.nodes, root })
    }

    pub(in crate::decode) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(in crate::decode) fn shape(&self, id: NodeId) -> &Shape {
        &self.node(id).shape
    }
}

#[derive(Default)]
struct Reading {
    nodes: Vec<Node>,
    /// Named types, and those that have only their name.
    names: HashMap<String, NodeId>,
    fields: usize,
}

impl Reading {
    fn text(&mut self, text: &str) -> Result<NodeId, String> {
        // Confluent registries give a schema that is a mere name without quotes, as it was registered.
        let value = match serde_json::from_str(text) {
            Ok(value) => value,
            Err(_) if text.bytes().all(|byte| byte.is_ascii_alphabetic()) && !text.is_empty() => text.into(),
            Err(error) => return Err(json::complaint(&error)),
        };
        self.node(&value, "")
    }

    fn node(&mut self, value: &Value, namespace: &str) -> Result<NodeId, String> {
        match value {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.node(branch, namespace));
                let branches = branches.collect::<Result<Box<[_]>, _>>()?;
                let is_union = |id: &NodeId| matches!(self.nodes[id.0 as usize].shape, Shape::Union(_));
                match branches.iter().any(is_union) {
                    true => Err("a union directly in a union".to_owned()),
                    false => self.push(Shape::Union(branches), None),
                }
            }
            Value::Object(object) => self.object(object, namespace),
            Value::Null | Value::Bool(_) | Value::Number(_) => {
                Err("a type that is neither a name, an object nor a list".to_owned())
            }
        }
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, String> {
        let Some(kind) = object.get("type") else { return Err("a type without `type`".to_owned()) };
        let Some(kind) = kind.as_str() else { return self.node(kind, namespace) };
        match kind {
            "record" | "error" => self.record(object, namespace),
            "enum" => {
                let symbols = list(object, "symbols")?;
                let symbols = symbols.iter().map(|symbol| symbol.as_str().map(Into::into));
                let symbols =
                    symbols.collect::<Option<Box<[Box<str>]>>>().ok_or("a symbol of an enum that is no text")?;
                symbols.iter().try_for_each(|symbol| fits(symbol))?;
                self.count(symbols.len())?;
                self.define(object, namespace, Shape::Enum(symbols))
            }
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                self.define(object, namespace, Shape::Fixed(size.ok_or("a fixed without `size`")?))
            }
            "array" => {
                let items = self.node(object.get("items").ok_or("an array without `items`")?, namespace)?;
                self.push(Shape::Array(items), notes(object))
            }
            "map" => {
                let values = self.node(object.get("values").ok_or("a map without `values`")?, namespace)?;
                self.push(Shape::Map(values), notes(object))
            }
            name => match (primitive(name), notes(object)) {
                (Some(shape), Some(notes)) => self.push(shape, Some(notes)),
                (Some(_) | None, _) => self.named(name, namespace),
            },
        }
    }

    /// A record is known by its name while its fields are read: they may be of its own type.
    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<NodeId, String> {
        let id = self.define(object, namespace, Shape::Null)?;
        let full_name = self.full_name(id);
        let namespace = full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let mut fields = Vec::new();
        for field in list(object, "fields")? {
            let name = field.get("name").and_then(Value::as_str).ok_or("a field without `name`")?;
            let kind = field.get("type").ok_or_else(|| format!("field `{name}` without `type`"))?;
            self.count(1)?;
            fits(name)?;
            fields.push(Field { name: name.into(), node: self.node(kind, namespace)? });
        }
        if json::repeated(fields.iter().map(|field| &*field.name)) {
            return Err(format!("record `{full_name}` has a field twice"));
        }
        self.nodes[id.0 as usize].shape = Shape::Record(fields.into());
        Ok(id)
    }

    fn full_name(&self, id: NodeId) -> String {
        self.nodes[id.0 as usize].notes.as_ref().and_then(|notes| notes.full_name.clone()).unwrap_or_default()
    }

    fn define(&mut self, object: &Map<String, Value>, namespace: &str, shape: Shape) -> Result<NodeId, String> {
        let name = object.get("name").and_then(Value::as_str).ok_or("a named type without `name`")?;
        let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let full_name = qualified(name, namespace);
        fits(&full_name)?;
        let mut notes = notes(object).unwrap_or_default();
        notes.full_name = Some(full_name.clone());
        let id = self.push(shape, Some(notes))?;
        match self.names.insert(full_name, id) {
            Some(_) => Err(format!("the type `{name}` is defined twice")),
            None => Ok(id),
        }
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<NodeId, String> {
        if let Some(shape) = primitive(name) {
            return match self.names.get(name) {
                Some(known) => Ok(*known),
                None => {
                    let id = self.push(shape, None)?;
                    self.names.insert(name.to_owned(), id);
                    Ok(id)
                }
            };
        }
        let known = self.names.get(&qualified(name, namespace)).or_else(|| self.names.get(name));
        known.copied().ok_or_else(|| format!("the type `{name}` is defined nowhere"))
    }

    fn push(&mut self, shape: Shape, notes: Option<Box<Notes>>) -> Result<NodeId, String> {
        let id = NodeId(u32::try_from(self.nodes.len()).map_err(|_| too_large())?);
        self.count(0)?;
        self.nodes.push(Node { shape, notes });
        Ok(id)
    }

    fn count(&mut self, fields: usize) -> Result<(), String> {
        self.fields += fields;
        if self.nodes.len() + self.fields >= MAX_PARTS { Err(too_large()) } else { Ok(()) }
    }
}

fn fits(name: &str) -> Result<(), String> {
    if name.len() > LONGEST_NAME { Err(NAME_TOO_LONG.to_owned()) } else { Ok(()) }
}

fn too_large() -> String {
    format!("more than {MAX_PARTS} types and fields")
}

fn qualified(name: &str, namespace: &str) -> String {
    match name.contains('.') || namespace.is_empty() {
        true => name.to_owned(),
        false => format!("{namespace}.{name}"),
    }
}

fn list<'v>(object: &'v Map<String, Value>, name: &str) -> Result<&'v [Value], String> {
    object.get(name).and_then(Value::as_array).map(Vec::as_slice).ok_or_else(|| format!("a type without `{name}`"))
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "int" => Shape::Int,
        "long" => Shape::Long,
        "float" => Shape::Float,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "string" => Shape::Text,
        _ => return None,
    })
}

fn notes(object: &Map<String, Value>) -> Option<Box<Notes>> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
    let parameters = object.get("connect.parameters").and_then(Value::as_object).into_iter().flatten();
    let notes = Notes {
        full_name: None,
        connect_name: text("connect.name"),
        parameters: parameters.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        logical: text("logicalType"),
        scale: object.get("scale").and_then(Value::as_i64).unwrap_or(0),
    };
    let any = notes.connect_name.is_some() || notes.logical.is_some() || !notes.parameters.is_empty();
    any.then(|| Box::new(notes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reference;

    fn flaw(text: &str, references: &[&str]) -> String {
        let reference = |text: &&str| Reference { name: String::new(), text: (*text).to_owned() };
        let references = references.iter().map(reference).collect();
        let definition = Definition { language: "AVRO".into(), text: text.into(), references };
        Schema::read(&definition).map_or_else(|reason| reason, |_| "none".to_owned())
    }

    #[test]
    fn what_is_wrong_is_named() {
        let list = |count: usize| {
            let fields = (0..count).map(|index| format!(r#"{{"name":"f{index}","type":"int"}}"#));
            format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.collect::<Vec<_>>().join(","))
        };
        let deep = ["[".repeat(200), "]".repeat(200)].concat();
        for (text, expected) in [
            (r#""long""#, "none"),
            ("long", "none"),
            (r#"{"type":"string","connect.version":1}"#, "none"),
            (r#"{"type":{"type":"array","items":"int"}}"#, "none"),
            (r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}"#, "none"),
            (r#"{"type":"record","name":"a.R","fields":[{"name":"next","type":["null","a.R"]}]}"#, "none"),
            (r#"{"type":"record","name":"R","namespace":"a","fields":[{"name":"next","type":["null","R"]}]}"#, "none"),
            (&list(1600), "none"),
            (&list(70_000), "more than 65536 types and fields"),
            (&deep, "not JSON: recursion limit exceeded at line 1 column 128"),
            ("7", "a type that is neither a name, an object nor a list"),
            ("{}", "a type without `type`"),
            (r#"{"type":"fixed","name":"F","size":-1}"#, "a fixed without `size`"),
            (r#"["null",["int"]]"#, "a union directly in a union"),
            (r#"{"type":"Money"}"#, "the type `Money` is defined nowhere"),
            (r#"{"type":"record","name":"R"}"#, "a type without `fields`"),
            (
                r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
                "record `R` has a field twice",
            ),
            (
                r#"[{"type":"fixed","name":"F","size":1},{"type":"fixed","name":"F","size":2}]"#,
                "the type `F` is defined twice",
            ),
        ] {
            assert_eq!(flaw(text, &[]), expected, "{}", &text[..text.len().min(90)]);
        }
    }

    #[test]
    fn references_are_known_by_name() {
        let money = r#"{"type":"record","name":"shop.Money","fields":[{"name":"cents","type":"long"}]}"#;
        let text = r#"{"type":"record","name":"shop.Order","fields":[{"name":"total","type":"Money"}]}"#;
        assert_eq!(flaw(text, &[]), "the type `Money` is defined nowhere");
        assert_eq!(flaw(text, &[money]), "none");
        assert_eq!(flaw(text, &["{"]), "a schema it refers to: JSON ends early, at line 1 column 1");
    }
}
