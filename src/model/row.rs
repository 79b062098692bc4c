//! Rows: ordered columns and their cells.

use std::sync::Arc;

use super::cell::Cell;

/// The column names of a row, shared by every row of the same shape.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Columns(pub Box<[Box<str>]>);

impl Columns {
    /// From names, in order.
    pub fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Columns {
        Columns(names.into_iter().map(Into::into).collect())
    }

    /// Where `name` stands, compared exactly.
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|column| &**column == name)
    }
}

/// How far the wire form told the types of its cells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Typing {
    /// The record (or its schema) said the type of each column: cells are what they seem.
    #[default]
    Declared,
    /// Plain JSON without a schema: a number may be a date, a time or a count; a text may be base64 of bytes or of a
    /// decimal. The canonical form of the target column decides.
    Bare,
    /// AWS DMS JSON: texts and numbers as DMS renders them; see `formats` of the decoder.
    Dms,
}

/// One row as a record or a target gave it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Row<'a> {
    /// Names, in the order of `cells`.
    pub columns: Arc<Columns>,
    /// One cell for each column.
    pub cells: Box<[Cell<'a>]>,
    /// How to read the cells.
    pub typing: Typing,
}

impl<'a> Row<'a> {
    /// A row whose cells are what they seem. Panics if the counts differ, which is a programmer's mistake.
    #[must_use]
    pub fn new(columns: Arc<Columns>, cells: Vec<Cell<'a>>, typing: Typing) -> Row<'a> {
        assert_eq!(columns.0.len(), cells.len(), "a row has one cell for each column");
        Row { columns, cells: cells.into(), typing }
    }

    /// The cell of `name`, if the row has that column.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Cell<'a>> {
        self.columns.index_of(name).map(|index| &self.cells[index])
    }

    /// Names and cells, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Cell<'a>)> {
        self.columns.0.iter().map(|name| &**name).zip(self.cells.iter())
    }

    /// The same row, in need of nothing else.
    #[must_use]
    pub fn into_owned(self) -> Row<'static> {
        let cells = self.cells.into_iter().map(Cell::into_owned).collect();
        Row { columns: self.columns, cells, typing: self.typing }
    }

    /// Approximate size in bytes, for bounded caches.
    #[must_use]
    pub fn weight(&self) -> usize {
        32 + self.cells.iter().map(Cell::weight).sum::<usize>()
    }
}
