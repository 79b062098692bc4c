//! One JSON object becomes one row, in one pass, without building a tree.
//!
//! A value that must be looked at as written (a number that is no integer, an array, an object) costs twice what a
//! text or an integer does, so each column is first read as what it was in the record before. A value that is
//! something else ends the attempt, and the object is read again with every value as written. That second attempt
//! also finds every error, so that what is said of a broken record does not depend on the record before.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::guess::{self, Image, Tokens};
use super::json::{Flaw, Name, Scalar};
use super::memo::Shapes;
use super::scan::Scan;
use crate::model::cell::Text;
use crate::model::{Cell, Columns, Row};

/// The most columns a row may have: PostgreSQL stops at 1,600, MySQL and Oracle at 4,096, and what flattens rows adds some. To
/// find the columns of a key takes the square of it.
pub(super) const MAX_COLUMNS: usize = 5_000;

/// What is said of a row of so many columns, if they are too many.
pub(super) fn too_wide(columns: usize) -> Option<String> {
    (columns > MAX_COLUMNS).then(|| format!("the row has more than {MAX_COLUMNS} columns"))
}

/// A number of fewer digits is about as long as it was written.
const LONG_NUMBER: usize = 1_024;

/// The most bytes that the long numbers of a row, or of all rows of a record, may take: `1e100000` is written in 8 bytes, and there may be as many of them as
/// there are columns. Databases have rows of less.
pub(super) const MAX_LONG_NUMBERS: usize = 16 << 20;

/// What is said of more.
pub(super) const NUMBERS_TOO_LONG: &str = "its numbers take more than 16 MiB to write";

/// Bytes of the long numbers of a row.
pub(super) fn long_numbers(row: &Row<'_>) -> usize {
    let length = |cell: &Cell<'_>| if let Cell::Decimal(number) = cell { number.len() } else { 0 };
    row.cells.iter().map(length).filter(|length| *length > LONG_NUMBER).sum()
}

/// How the values of a row become cells. Both ways give the same cell wherever both can read a value.
pub(super) trait ReadCell {
    /// The cell of a value as written. `at` is where the column stands in the guessed columns, if the row has
    /// followed them so far.
    fn written<'a>(&self, at: Option<usize>, name: &str, raw: &'a str) -> Result<Cell<'a>, Flaw>;

    /// The cell of a simple value; `None` where it must be seen as written.
    fn scalar<'a>(&self, at: usize, value: Scalar<'a>) -> Option<Result<Cell<'a>, Flaw>>;
}

/// JSON values that stand for "not sent".
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Contents of texts.
    pub(super) texts: Vec<Box<str>>,
    /// Arrays and objects, as written.
    pub(super) written: Vec<Box<str>>,
    /// Bytes, where the encoding has those.
    pub(super) bytes: Box<[u8]>,
}

impl Marks {
    #[inline]
    pub(super) fn hold_text(&self, text: &str) -> bool {
        self.texts.iter().any(|mark| **mark == *text)
    }

    /// Of a value as written.
    pub(super) fn hold_raw(&self, raw: &str) -> bool {
        let quoted = || raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match raw.as_bytes().first() {
            Some(b'[' | b'{') => self.written.iter().any(|mark| **mark == *raw),
            Some(b'"') if raw.contains('\\') => super::json::text(raw).is_ok_and(|text| self.hold_text(&text)),
            Some(b'"') => quoted().is_some_and(|text| self.hold_text(text)),
            Some(_) | None => false,
        }
    }

    /// No bytes are no marker.
    pub(super) fn hold_bytes(&self, bytes: &[u8]) -> bool {
        *self.bytes == *bytes && !bytes.is_empty()
    }
}

/// Which columns are read as written.
#[derive(Debug, Clone, Copy)]
pub(super) enum AsWritten<'r> {
    /// Every column.
    All,
    /// Those marked, by their place in the guessed columns; and every column that was not guessed.
    Marked(&'r [bool]),
}

impl AsWritten<'_> {
    fn holds(self, index: usize) -> bool {
        match self {
            AsWritten::All => true,
            AsWritten::Marked(columns) => columns.get(index).is_some_and(|marked| *marked),
        }
    }
}

/// Reads an object, or null, as a row. Most rows of a topic have the columns of the row before, so those are guessed.
pub(super) struct RowSeed<'r, R> {
    pub(super) reader: &'r R,
    pub(super) guess: Option<&'r Columns>,
    pub(super) as_written: AsWritten<'r>,
    pub(super) marks: &'r Marks,
    /// Of the guessed columns, or none.
    pub(super) tokens: &'r Tokens,
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
    pub(super) cells: Vec<Cell<'a>>,
    /// Columns that carry the marker of "not sent".
    pub(super) marked: Vec<u16>,
    /// `None` as long as every name was the guessed one.
    names: Option<Vec<Cow<'a, str>>>,
    flaw: Option<String>,
    /// Bytes of numbers that are long.
    long: usize,
}

/// What a value came to.
pub(super) enum Taken<'a> {
    Cell(Cell<'a>),
    NotSent,
    Flaw(Flaw),
}

impl<'a> From<Result<Cell<'a>, Flaw>> for Taken<'a> {
    fn from(read: Result<Cell<'a>, Flaw>) -> Taken<'a> {
        read.map_or_else(Taken::Flaw, Taken::Cell)
    }
}

impl<'a> Draft<'a> {
    /// A draft of no columns yet, with room for some.
    pub(super) fn with_capacity(columns: usize) -> Draft<'a> {
        Draft { cells: Vec::with_capacity(columns), ..Draft::default() }
    }

    /// Adds the cell of a column that follows the guess.
    #[inline]
    pub(super) fn take(&mut self, index: usize, cell: Cell<'a>) {
        if matches!(cell, Cell::NotSent) {
            self.marked.push(index as u16);
        } else if let Cell::Decimal(number) = &cell {
            self.fits(number.len());
        }
        self.cells.push(if self.flaw.is_some() { Cell::NotSent } else { cell });
    }

    /// Counts a number that may have become far longer than it was written.
    fn fits(&mut self, length: usize) {
        if length > LONG_NUMBER {
            self.long += length;
        }
        if self.long > MAX_LONG_NUMBERS {
            self.flaw.get_or_insert_with(|| NUMBERS_TOO_LONG.to_owned());
        }
    }

    /// Adds a cell of another draft.
    #[inline]
    pub(super) fn repeat(&mut self, index: usize, cell: &Cell<'a>) {
        // Nearly all are; cloning tells all kinds of cells apart, and costs more than reading does.
        if let Cell::Text(text) = cell
            && let Some(part) = text.part()
        {
            self.cells.push(Cell::Text(part.into()));
        } else if let Cell::Int(value) = cell {
            self.cells.push(Cell::Int(*value));
        } else {
            self.take(index, cell.clone());
        }
    }

    /// Where the next column stands in the guess, if the row follows it.
    fn follows(&self, name: &str, guess: Option<&Columns>) -> Option<usize> {
        let index = self.cells.len();
        let expected = guess?.0.get(index)?;
        (self.names.is_none() && **expected == *name).then_some(index)
    }

    fn push(&mut self, name: Cow<'a, str>, follows: bool, taken: Taken<'a>, guess: Option<&Columns>) {
        let index = self.cells.len();
        if self.flaw.is_some() {
            return;
        }
        self.flaw = too_wide(index + 1);
        if self.flaw.is_some() {
            return;
        }
        let cell = match taken {
            Taken::Cell(cell) => cell,
            Taken::NotSent => {
                self.marked.push(index as u16);
                Cell::NotSent
            }
            Taken::Flaw(flaw) => {
                self.flaw = Some(format!("column `{name}`: {flaw}"));
                return;
            }
        };
        if let Cell::Decimal(number) = &cell {
            self.fits(number.len());
        }
        if !follows {
            let names = self
                .names
                .get_or_insert_with(|| first_names(guess, index).map(|name| Cow::Owned(name.to_owned())).collect());
            names.push(name);
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
        let names = self.names.take();
        match (&names, guess) {
            (None, Some(guess)) if guess.0.len() == self.cells.len() => Ok(Arc::clone(guess)),
            (None, _) => shapes.shared(first_names(guess.map(|guess| &**guess), self.cells.len())),
            (Some(names), _) => shapes.shared(names.iter().map(|name| &**name)),
        }
    }
}

fn first_names(guess: Option<&Columns>, count: usize) -> impl Iterator<Item = &str> + Clone {
    guess.map_or(&[][..], |guess| &guess.0[..]).iter().take(count).map(|name| &**name)
}

/// Whether the column of a cell is better read as written in the next record.
pub(super) fn is_seen_as_written(cell: &Cell) -> bool {
    matches!(cell, Cell::Decimal(_) | Cell::Float32(_) | Cell::Float64(_) | Cell::Opaque(_))
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

    fn visit_unit<E: de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let expected = self.guess.map_or(8, |guess| guess.0.len());
        let mut draft = Draft::with_capacity(expected);
        while let Some(Name(name)) = map.next_key()? {
            let at = draft.follows(&name, self.guess);
            let taken = match at {
                Some(index) if !self.as_written.holds(index) => map.next_value_seed(ScalarSeed { row: self, index })?,
                Some(_) | None => self.take_written(at, &name, map.next_value::<&'de RawValue>()?.get()),
            };
            draft.push(name, at.is_some(), taken, self.guess);
        }
        Ok(Some(draft))
    }
}

impl<R: ReadCell> RowSeed<'_, R> {
    pub(super) fn take_written<'a>(&self, at: Option<usize>, name: &str, raw: &'a str) -> Taken<'a> {
        if self.marks.hold_raw(raw) { Taken::NotSent } else { self.reader.written(at, name, raw).into() }
    }

    /// Adds the cell of a simple value; `None` where it must be seen as written. Each kind of value is added where it is
    /// read: a cell that is made in one place and moved to another costs more than it takes to read it.
    #[inline(always)]
    pub(super) fn take<'a>(&self, index: usize, value: Scalar<'a>, draft: &mut Draft<'a>) -> Option<Result<(), Flaw>> {
        match self.reader.scalar(index, value)? {
            Ok(cell) => draft.take(index, cell),
            Err(flaw) => return Some(Err(flaw)),
        }
        Some(Ok(()))
    }

    /// The same of a text, which may stand for "not sent".
    #[inline(always)]
    pub(super) fn take_text<'a>(
        &self,
        index: usize,
        text: Text<'a>,
        draft: &mut Draft<'a>,
    ) -> Option<Result<(), Flaw>> {
        if self.is_mark(&text) {
            draft.take(index, Cell::NotSent);
            return Some(Ok(()));
        }
        self.take(index, Scalar::Text(text), draft)
    }

    #[inline]
    pub(super) fn is_mark(&self, text: &str) -> bool {
        self.marks.hold_text(text)
    }
}

/// Reads one value of a column that has followed the guess.
struct ScalarSeed<'r, R> {
    row: RowSeed<'r, R>,
    index: usize,
}

impl<R: ReadCell> ScalarSeed<'_, R> {
    fn take<'a, E: de::Error>(&self, value: Scalar<'a>) -> Result<Taken<'a>, E> {
        match self.row.reader.scalar(self.index, value) {
            Some(read) => Ok(read.into()),
            None => Self::surprise(),
        }
    }

    fn take_text<'a, E: de::Error>(&self, text: Text<'a>) -> Result<Taken<'a>, E> {
        if self.row.is_mark(&text) { Ok(Taken::NotSent) } else { self.take(Scalar::Text(text)) }
    }

    fn surprise<T, E: de::Error>() -> Result<T, E> {
        Err(E::custom("a value to be seen as written"))
    }
}

impl<'de, R: ReadCell> DeserializeSeed<'de> for ScalarSeed<'_, R> {
    type Value = Taken<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Taken<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, R: ReadCell> Visitor<'de> for ScalarSeed<'_, R> {
    type Value = Taken<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Taken<'de>, E> {
        self.take(Scalar::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Taken<'de>, E> {
        self.take(Scalar::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Taken<'de>, E> {
        self.take(Scalar::Int(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Taken<'de>, E> {
        match i64::try_from(value) {
            Ok(value) => self.take(Scalar::Int(value)),
            Err(_) => Self::surprise(),
        }
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Taken<'de>, E> {
        Self::surprise()
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Taken<'de>, E> {
        self.take_text(text.into())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Taken<'de>, E> {
        self.take_text(text.to_owned().into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, _: A) -> Result<Taken<'de>, A::Error> {
        Self::surprise()
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Taken<'de>, A::Error> {
        Self::surprise()
    }
}

/// Two attempts at most: with some columns as written, then with all. The second answer is whether both were needed.
pub(super) fn attempts<T>(
    marked: &[bool],
    attempt: impl Fn(AsWritten<'_>) -> serde_json::Result<T>,
) -> (serde_json::Result<T>, bool) {
    match attempt(AsWritten::Marked(marked)) {
        Ok(read) => (Ok(read), false),
        Err(_) => (attempt(AsWritten::All), true),
    }
}

/// Reads a whole JSON text as a row; `None` is null. The second answer is whether a column was something else than
/// `rows.as_written` has it.
pub(super) fn read<'a, R: ReadCell>(
    text: &'a str,
    rows: RowSeed<'_, R>,
) -> serde_json::Result<(Option<Draft<'a>>, bool)> {
    let RowSeed { guess, as_written, .. } = rows;
    if let Some(draft) = guess.and_then(|guess| {
        let mut scan = Scan::of(text);
        let draft = guess::row(&mut scan, RowSeed { as_written: AsWritten::All, ..rows }, guess, Image::Alone)?;
        scan.is_at_end().then_some(draft)
    }) {
        return Ok((Some(draft), false));
    }
    let attempt = |as_written: AsWritten<'_>| {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let draft = RowSeed { as_written, ..rows }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(draft)
    };
    let (read, surprised) = match as_written {
        AsWritten::Marked(marked) => attempts(marked, attempt),
        AsWritten::All => (attempt(AsWritten::All), false),
    };
    Ok((read?, surprised))
}
