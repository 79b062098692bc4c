//! One JSON object becomes one row, in one pass, without building a tree.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::json::{self, Flaw, Name};
use super::memo::Shapes;
use crate::model::{Cell, Columns};

/// The most columns a row may have: PostgreSQL stops at 1,600, MySQL at 4,096.
const MAX_COLUMNS: usize = 16_384;

/// How the values of a row become cells.
pub(super) trait ReadCell {
    /// The cell of one value as written. `at` is where the column stands in the guessed columns, if the row has
    /// followed them so far.
    fn read(&self, at: Option<usize>, name: &str, raw: &str) -> Result<Cell, Flaw>;
}

/// Values whose types nobody declared.
pub(super) struct Undeclared;

impl ReadCell for Undeclared {
    fn read(&self, _: Option<usize>, _: &str, raw: &str) -> Result<Cell, Flaw> {
        json::undeclared(raw)
    }
}

/// Reads an object, or null, as a row. Most rows of a topic have the columns of the row before, so those are guessed.
pub(super) struct RowSeed<'r, R> {
    pub(super) reader: &'r R,
    pub(super) guess: Option<&'r Columns>,
    /// JSON texts that stand for "not sent".
    pub(super) marks: &'r [Box<str>],
}

impl<R> Clone for RowSeed<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for RowSeed<'_, R> {}

/// A row as read: cells, and the names where they are not the guessed ones.
#[derive(Debug, Default)]
pub(super) struct Draft<'a> {
    pub(super) cells: Vec<Cell>,
    /// Columns that carry the marker of "not sent".
    pub(super) marked: Vec<u16>,
    /// `None` as long as every name was the guessed one.
    names: Option<Vec<Cow<'a, str>>>,
    flaw: Option<String>,
}

impl<'a> Draft<'a> {
    fn take<R: ReadCell>(&mut self, name: Cow<'a, str>, raw: &'a str, seed: &RowSeed<'_, R>) {
        let index = self.cells.len();
        let expected = seed.guess.and_then(|guess| guess.0.get(index));
        let follows = self.names.is_none() && expected.is_some_and(|expected| **expected == *name);
        if self.flaw.is_some() {
            return;
        }
        if index == MAX_COLUMNS {
            self.flaw = Some(format!("the row has more than {MAX_COLUMNS} columns"));
            return;
        }
        let cell = if seed.marks.iter().any(|mark| **mark == *raw) {
            self.marked.push(index as u16);
            Cell::NotSent
        } else {
            match seed.reader.read(follows.then_some(index), &name, raw) {
                Ok(cell) => cell,
                Err(flaw) => {
                    self.flaw = Some(format!("column `{name}`: {flaw}"));
                    return;
                }
            }
        };
        if !follows {
            self.names.get_or_insert_with(|| first_names(seed.guess, index)).push(name);
        }
        self.cells.push(cell);
    }

    /// The columns of the row: the guessed ones, or shared ones of the same names.
    pub(super) fn columns(
        &mut self,
        guess: Option<&Arc<Columns>>,
        shapes: &mut Shapes,
    ) -> Result<Arc<Columns>, String> {
        if let Some(flaw) = self.flaw.take() {
            return Err(flaw);
        }
        match (self.names.take(), guess) {
            (None, Some(guess)) if guess.0.len() == self.cells.len() => Ok(Arc::clone(guess)),
            (None, Some(guess)) => shapes.shared(&first_names(Some(guess), self.cells.len())),
            (None, None) => shapes.shared(&[]),
            (Some(names), _) => shapes.shared(&names),
        }
    }
}

fn first_names<'a>(guess: Option<&Columns>, count: usize) -> Vec<Cow<'a, str>> {
    let known = guess.map_or(&[][..], |guess| &guess.0[..]);
    known.iter().take(count).map(|name| Cow::Owned(name.to_string())).collect()
}

impl<'de, R: ReadCell> DeserializeSeed<'de> for RowSeed<'_, R> {
    type Value = Option<Draft<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, R: ReadCell> Visitor<'de> for RowSeed<'_, R> {
    type Value = Option<Draft<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row or null")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let expected = self.guess.map_or(8, |guess| guess.0.len());
        let mut draft = Draft { cells: Vec::with_capacity(expected), ..Draft::default() };
        while let Some(Name(name)) = map.next_key()? {
            let raw: &'de RawValue = map.next_value()?;
            draft.take(name, raw.get(), &self);
        }
        Ok(Some(draft))
    }
}

/// Reads a whole JSON text as a row; `None` is null.
pub(super) fn read<'a, R: ReadCell>(text: &'a str, seed: RowSeed<'_, R>) -> serde_json::Result<Option<Draft<'a>>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let draft = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(draft)
}
