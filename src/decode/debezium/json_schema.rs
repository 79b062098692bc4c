//! JSON Schemas as Connect's converters register them: the Connect schema that each was made of.
//!
//! Only what a row needs is read: the envelope's row, its columns, and what an array holds. Nothing is validated, so what a schema allows beside
//! types does not matter, and what lies deeper than a column is not looked at.

use serde_json::{Map, Value};

use super::schema::{Node, Schema};
use crate::decode::json;
use crate::decode::row::MAX_COLUMNS;
use crate::model::Definition;

/// The most references that are followed for one type.
const MAX_HOPS: usize = 32;

/// Reads a schema and what it refers to; nothing where it names no types of Connect's.
///
/// # Errors
/// What is wrong with it, as a fragment.
pub(super) fn read(definition: &Definition) -> Result<Option<Schema>, String> {
    let parse = |text: &str| serde_json::from_str::<Value>(text).map_err(|error| json::complaint(&error));
    let own = parse(&definition.text)?;
    let mut documents = vec![("", own)];
    for reference in &definition.references {
        let document = parse(&reference.text).map_err(|reason| format!("a schema it refers to: {reason}"))?;
        documents.push((&*reference.name, document));
    }
    let documents = Documents(documents);
    let root = documents.value(Place { document: 0, value: &documents.0[0].1 })?;
    let envelope = properties(root).is_some_and(|fields| fields.contains_key("op") && fields.contains_key("source"));
    let depth = if envelope { 2 } else { 1 };
    let node = documents.node(root, None, depth)?;
    let is_of_connect = documents.0.iter().any(|(_, document)| names_connect(document));
    if is_of_connect { Schema::of(&node, "").map(Some) } else { Ok(None) }
}

/// Whether any type says what Connect calls it.
fn names_connect(document: &Value) -> bool {
    match document {
        Value::Object(object) => {
            object.keys().any(|name| name.starts_with("connect.")) || object.values().any(names_connect)
        }
        Value::Array(items) => items.iter().any(names_connect),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The schema and those that it refers to, by the names it uses for them.
struct Documents<'d>(Vec<(&'d str, Value)>);

/// A type, and the document it stands in.
#[derive(Clone, Copy)]
struct Place<'v> {
    document: usize,
    value: &'v Value,
}

impl<'v> Place<'v> {
    fn at(self, value: &'v Value) -> Place<'v> {
        Place { document: self.document, value }
    }
}

fn properties<'v>(place: Place<'v>) -> Option<&'v Map<String, Value>> {
    place.value.get("properties")?.as_object()
}

impl Documents<'_> {
    /// The type that a value has which is not null: references followed, and one choice among null and it made.
    fn value<'v>(&'v self, mut place: Place<'v>) -> Result<Place<'v>, String> {
        for _ in 0..MAX_HOPS {
            if let Some(reference) = place.value.get("$ref").and_then(Value::as_str) {
                place = self.find(place.document, reference)?;
                continue;
            }
            let choice = ["oneOf", "anyOf", "allOf"].iter().find_map(|name| place.value.get(name)?.as_array());
            let is_value = |choice: &&Value| choice.get("type").is_none_or(|kind| kind != "null");
            let mut values = choice.into_iter().flatten().filter(is_value);
            match (values.next(), values.next()) {
                (Some(only), None) => place = place.at(only),
                (None | Some(_), _) => return Ok(place),
            }
        }
        Err(format!("a type behind more than {MAX_HOPS} references"))
    }

    /// What a reference means: a document by its name or its own id, and a place in it.
    fn find(&self, from: usize, reference: &str) -> Result<Place<'_>, String> {
        let nowhere = || format!("`{reference}` refers to what is nowhere");
        let (name, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let names = |(known, document): &(&str, Value)| *known == name || id(document) == Some(name);
        let document = match name {
            "" => Some(from),
            name if id(&self.0[from].1) == Some(name) => Some(from),
            _ => self.0.iter().position(names),
        };
        let document =
            document.or_else(|| self.0.iter().position(|(_, document)| holds(document, reference, 0).is_some()));
        let document = document.ok_or_else(nowhere)?;
        let root = &self.0[document].1;
        let value = match fragment {
            "" if name.is_empty() || names(&self.0[document]) => Some(root),
            "" => holds(root, reference, 0),
            pointer if pointer.starts_with('/') => root.pointer(pointer),
            anchor => holds(root, anchor, 0),
        };
        value.map(|value| Place { document, value }).ok_or_else(nowhere)
    }

    /// The Connect schema of a type, and so many levels of its fields.
    fn node(&self, place: Place<'_>, field: Option<&str>, levels: usize) -> Result<Node, String> {
        let place = self.value(place)?;
        let mut fields = Vec::new();
        let columns = properties(place).filter(|_| levels > 0).into_iter().flatten();
        for (name, value) in columns {
            if fields.len() == MAX_COLUMNS {
                return Err(format!("more than {MAX_COLUMNS} fields of one object"));
            }
            let index = index(value).or_else(|| index(self.value(place.at(value)).ok()?.value));
            // The envelope's other fields are no rows: what lies in them is not looked at.
            let levels = if levels == 2 && !matches!(&**name, "before" | "after") { 0 } else { levels - 1 };
            fields.push((index, self.node(place.at(value), Some(name), levels)?));
        }
        fields.sort_by_key(|(index, _)| index.unwrap_or(u64::MAX));
        let items = place.value.get("items").filter(|items| items.is_object());
        let items = items.map(|items| self.value(place.at(items))).transpose()?;
        Ok(Node {
            field: field.map(str::to_owned),
            fields: fields.into_iter().map(|(_, node)| node).collect(),
            items: items.map(|items| Box::new(simple(items.value))),
            ..simple(place.value)
        })
    }
}

/// The Connect schema of a type, without what it is made of.
fn simple(value: &Value) -> Node {
    let parameters = value.get("connect.parameters").and_then(Value::as_object).into_iter().flatten();
    Node {
        base: base(value).to_owned(),
        name: value.get("title").and_then(Value::as_str).map(str::to_owned),
        parameters: parameters.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect(),
        ..Node::default()
    }
}

fn index(value: &Value) -> Option<u64> {
    value.get("connect.index")?.as_u64()
}

fn id(document: &Value) -> Option<&str> {
    ["$id", "id"].iter().find_map(|name| document.get(name)?.as_str())
}

/// The part of a document that has this id or anchor, no deeper than JSON may be.
fn holds<'v>(document: &'v Value, name: &str, depth: usize) -> Option<&'v Value> {
    /// As deep as JSON is read.
    const MAX_DEPTH: usize = 127;
    let anchor = || document.get("$anchor").and_then(Value::as_str);
    if document.is_object() && (id(document) == Some(name) || anchor() == Some(name)) {
        return Some(document);
    }
    let inner = |value: &'v Value| holds(value, name, depth + 1);
    match document {
        Value::Object(object) if depth < MAX_DEPTH => object.values().find_map(inner),
        Value::Array(items) if depth < MAX_DEPTH => items.iter().find_map(inner),
        Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// What Connect calls the type.
fn base(value: &Value) -> &str {
    if let Some(told) = value.get("connect.type").and_then(Value::as_str) {
        return told;
    }
    let named = match value.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null"),
        Some(kind) => kind.as_str(),
        None => None,
    };
    match named {
        Some("integer") => "int64",
        Some("number") => "float64",
        Some("object") => "struct",
        Some(other) => other,
        None if value.get("enum").is_some() => "string",
        None => "union",
    }
}
