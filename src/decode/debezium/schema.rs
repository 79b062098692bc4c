//! Connect schemas as `JsonConverter` writes them beside each record, read once each.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64;

use super::cells::{Kind, kind};
use crate::decode::json::{self, Flaw, Scalar};
use crate::decode::memo::remember;
use crate::decode::row::ReadCell;
use crate::model::{Cell, Columns};

/// Longest schema text that is remembered, in bytes; a longer one is read again for each record.
const MAX_TEXT_BYTES: usize = 512 * 1024;

/// Most schemas remembered.
const MAX_SCHEMAS: usize = 256;

/// A schema node as written.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Node {
    #[serde(rename = "type")]
    pub(super) base: String,
    #[serde(default)]
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) parameters: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) field: Option<String>,
    #[serde(default)]
    pub(super) fields: Vec<Node>,
    /// What an array holds.
    #[serde(default)]
    pub(super) items: Option<Box<Node>>,
}

/// A schema, read.
#[derive(Debug)]
pub(in crate::decode) struct Schema {
    /// As written in the record.
    pub(super) text: Box<str>,
    /// The columns of the row it describes: of an envelope's `after`, or of a key.
    pub(super) plan: RowPlan,
    /// Whether it describes an envelope.
    pub(super) envelope: bool,
}

/// The columns of a row and how each is read.
#[derive(Debug, Default)]
pub(super) struct RowPlan {
    pub(super) columns: Arc<Columns>,
    kinds: Box<[Kind]>,
    /// Columns whose values are read as written.
    pub(super) as_written: Box<[bool]>,
    /// Columns in which the PostgreSQL connector writes null for a value that it did not get.
    pub(super) weak_nulls: Box<[Box<str>]>,
}

/// What a schema says of every row of its table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Declared<'s> {
    /// How many columns it has.
    pub(super) columns: usize,
    /// Columns in which the PostgreSQL connector writes null for a value that it did not get.
    pub(super) weak_nulls: &'s [Box<str>],
}

impl ReadCell for RowPlan {
    fn written<'a>(&self, at: Option<usize>, name: &str, raw: &'a str) -> Result<Cell<'a>, Flaw> {
        let at = at.or_else(|| self.columns.index_of(name)).ok_or(Flaw::NotInSchema)?;
        self.kinds[at].written(raw)
    }

    fn scalar<'a>(&self, at: usize, value: Scalar<'a>) -> Option<Result<Cell<'a>, Flaw>> {
        self.kinds[at].scalar(value)
    }
}

impl RowPlan {
    /// What it says of every row.
    pub(super) fn declared(&self) -> Declared<'_> {
        Declared { columns: self.columns.0.len(), weak_nulls: &self.weak_nulls }
    }

    fn of(row: &Node) -> Result<RowPlan, String> {
        let names: Vec<&str> = row.fields.iter().filter_map(|node| node.field.as_deref()).collect();
        if names.len() != row.fields.len() {
            return Err("the record's schema has a column without a name".to_owned());
        }
        if json::repeated(names.iter().copied()) {
            return Err("the record's schema has a column twice".to_owned());
        }
        let weak = row.fields.iter().filter(|node| super::cells::null_may_be_unsent(node));
        let kinds: Box<[Kind]> = row.fields.iter().map(kind).collect();
        Ok(RowPlan {
            columns: Arc::new(Columns::new(names)),
            as_written: kinds.iter().map(Kind::is_seen_as_written).collect(),
            kinds,
            weak_nulls: weak.filter_map(|node| node.field.as_deref().map(Into::into)).collect(),
        })
    }
}

impl Schema {
    pub(super) fn read(text: &str) -> Result<Schema, String> {
        let root: Node = serde_json::from_str(text)
            .map_err(|error| format!("the record's schema cannot be read: {}", json::complaint(&error)))?;
        Schema::of(&root, text)
    }

    /// The schema that a node is the root of.
    pub(super) fn of(root: &Node, text: &str) -> Result<Schema, String> {
        let named = |name: &str| root.fields.iter().find(|node| node.field.as_deref() == Some(name));
        let is_row = |name: &str| named(name).is_some_and(|node| node.base == "struct");
        // In an event of CloudEvents the rows are all that there is.
        let is_data = root.fields.len() == 2 && is_row("before") && is_row("after");
        let envelope = is_data || named("op").is_some() && named("source").is_some();
        let row = if envelope { named("after").or_else(|| named("before")) } else { Some(root) };
        let plan = row.map(RowPlan::of).transpose()?.unwrap_or_default();
        Ok(Schema { text: text.into(), plan, envelope })
    }
}

/// Schemas met before, by the hash of their text.
#[derive(Debug, Default)]
pub(super) struct Schemas(HashMap<u64, Arc<Schema>>);

impl Schemas {
    /// The schema of this text.
    pub(super) fn of(&mut self, text: &str) -> Result<Arc<Schema>, String> {
        let hash = xxh3_64(text.as_bytes());
        if let Some(known) = self.0.get(&hash)
            && *known.text == *text
        {
            return Ok(Arc::clone(known));
        }
        let schema = Arc::new(Schema::read(text)?);
        if text.len() <= MAX_TEXT_BYTES {
            if self.0.len() >= MAX_SCHEMAS {
                self.0.clear();
            }
            remember(&mut self.0, hash, Arc::clone(&schema));
        }
        Ok(schema)
    }
}
