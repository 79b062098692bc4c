//! Record keys: a struct of the key's columns, with or without a schema.

use std::borrow::Cow;
use std::sync::Arc;

use super::schema::Schemas;
use super::wrapping::{Unwrapped, unwrap};
use super::{Looks, Topic};
use crate::decode::guess::Tokens;
use crate::decode::memo::Shapes;
use crate::decode::row::Marks;
use crate::model::{Row, Typing};

/// The column that routing of many tables into one topic adds to keys, to keep them apart.
const ROUTING_COLUMN: &str = "__dbz__physicalTableIdentifier";

/// What a record has for a key.
#[derive(Debug, Clone)]
pub(in crate::decode) enum RecordKey<'a> {
    /// None, or null: the connector found no key in the table.
    Missing,
    /// One that names no columns, as text: a bare value, or bytes in a form that is not read.
    Unnamed(Cow<'a, str>),
    /// Its columns.
    Columns(Row<'a>),
}

impl<'a> RecordKey<'a> {
    /// The columns, if it names them.
    pub(super) fn columns(&self) -> Option<&Row<'a>> {
        match self {
            RecordKey::Columns(row) => Some(row),
            RecordKey::Missing | RecordKey::Unnamed(_) => None,
        }
    }

    /// The same, taken out.
    pub(super) fn take_columns(&mut self) -> Option<Row<'a>> {
        match std::mem::replace(self, RecordKey::Missing) {
            RecordKey::Columns(row) => Some(row),
            RecordKey::Missing | RecordKey::Unnamed(_) => None,
        }
    }
}

/// The key of a record.
pub(super) fn read<'a>(
    bytes: Option<&'a [u8]>,
    last: &mut Topic,
    schemas: &mut Schemas,
    shapes: &mut Shapes,
) -> Result<RecordKey<'a>, String> {
    let Some(bytes) = bytes else { return Ok(RecordKey::Missing) };
    let text = std::str::from_utf8(bytes).unwrap_or_default();
    if !text.trim_ascii_start().starts_with('{') {
        return Ok(unnamed(text));
    }
    let unwrapped = unwrap(schemas, &mut last.key_schema, (text, None))?;
    let guessed = unwrapped.guessed;
    match columns(unwrapped, last, shapes) {
        Ok(RecordKey::Unnamed(_)) if guessed => {
            last.key_schema = None;
            read(Some(bytes), last, schemas, shapes)
        }
        read => read,
    }
}

/// The columns of a key that is taken out of its wrapping.
pub(super) fn columns<'a>(key: Unwrapped<'a>, last: &mut Topic, shapes: &mut Shapes) -> Result<RecordKey<'a>, String> {
    let Unwrapped { schema, payload, .. } = key;
    if !payload.trim_ascii_start().starts_with('{') {
        return Ok(unnamed(payload));
    }
    let marks = Marks::default();
    let plan = schema.as_ref().map(|schema| &schema.plan);
    let (guess, typing) = match plan {
        Some(plan) => (Some(Arc::clone(&plan.columns)), Typing::Declared),
        None => (last.key.clone(), Typing::Bare),
    };
    let looks = Looks {
        guess: guess.as_deref(),
        tokens: &last.key_tokens,
        as_written: plan.map_or(&[], |plan| &plan.as_written),
        marks: &marks,
    };
    let draft = looks.read(payload, plan).map(|(draft, _)| draft);
    let mut draft = match draft {
        Ok(Some(draft)) => draft,
        Ok(None) | Err(_) => return Ok(RecordKey::Unnamed(payload.into())),
    };
    let columns = draft.columns(guess.as_ref(), shapes).map_err(|reason| format!("record key: {reason}"))?;
    if last.key.as_ref().is_none_or(|known| !Arc::ptr_eq(known, &columns)) {
        last.key_tokens = Tokens::of(&columns);
        last.key = Some(Arc::clone(&columns));
    }
    let key = Row::new(columns, draft.cells, typing);
    Ok(match key.cells.is_empty() {
        true => RecordKey::Unnamed(payload.into()),
        false => RecordKey::Columns(without_routing(key, shapes)),
    })
}

fn unnamed(text: &str) -> RecordKey<'_> {
    if text.trim_ascii() == "null" { RecordKey::Missing } else { RecordKey::Unnamed(text.into()) }
}

pub(super) fn without_routing<'a>(key: Row<'a>, shapes: &mut Shapes) -> Row<'a> {
    if key.columns.index_of(ROUTING_COLUMN).is_none() {
        return key;
    }
    let kept = || key.columns.0.iter().zip(key.cells.iter()).filter(|(name, _)| &***name != ROUTING_COLUMN);
    match shapes.shared(kept().map(|(name, _)| &**name)) {
        Ok(columns) => Row::new(columns, kept().map(|(_, cell)| cell.clone()).collect(), key.typing),
        Err(_) => key,
    }
}
