//! What formats that carry rows of MySQL's binary log have in common: an update has the whole row after it and, beside it, the
//! old values of the columns that changed. A change of a key is one update.

use std::sync::Arc;

use super::Understood;
use super::guess::Tokens;
use super::json;
use super::keys::{KeyRule, key_changed};
use super::memo::Shapes;
use super::row::{self, AsWritten, Marks, ReadCell, RowSeed};
use crate::model::change::{KeyChange, SourcePlace, TableName};
use crate::model::{Cell, Change, Columns, Op, Row, SourceTime, Typing};

/// What the last row looked like: the next one is guessed to look the same.
#[derive(Debug, Default)]
pub(super) struct Seen {
    columns: Option<Arc<Columns>>,
    tokens: Tokens,
    as_written: Box<[bool]>,
}

impl Seen {
    /// Reads an object as a row.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read<'a, R: ReadCell>(
        &mut self,
        raw: &'a str,
        (reader, typing): (&R, Typing),
        shapes: &mut Shapes,
    ) -> Result<Row<'a>, String> {
        let rows = RowSeed {
            reader,
            guess: self.columns.as_deref(),
            as_written: AsWritten::Marked(&self.as_written),
            marks: &Marks::default(),
            tokens: &self.tokens,
        };
        let (draft, surprised) = row::read(raw, rows).map_err(|error| json::complaint(&error))?;
        let mut draft = draft.ok_or("null where a row is expected")?;
        let columns = draft.columns(self.columns.as_ref(), shapes)?;
        let row = Row::new(columns, draft.cells, typing);
        let is_known = self.columns.as_ref().is_some_and(|known| Arc::ptr_eq(known, &row.columns));
        if surprised || !is_known {
            self.as_written = row.cells.iter().map(row::is_seen_as_written).collect();
        }
        if !is_known {
            self.tokens = Tokens::of(&row.columns);
            self.columns = Some(Arc::clone(&row.columns));
        }
        Ok(row)
    }
}

/// Whether the old values of an update are all that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Old {
    /// They are.
    Whole,
    /// Those that were null may be missing.
    Partial,
}

/// A change of a row as a record tells of it.
pub(super) struct Logged<'a> {
    pub(super) table: TableName,
    pub(super) op: Op,
    /// The row after the change; of a delete the row before it.
    pub(super) row: Row<'a>,
    /// Old values of columns that an update changed.
    pub(super) old: Option<(Row<'a>, Old)>,
    pub(super) committed_at: Option<SourceTime>,
    pub(super) source: Option<SourcePlace>,
    pub(super) source_order: Option<u64>,
}

impl<'a> Logged<'a> {
    /// The change, or the two that a change of the key is. The key is the user's, else of the columns that the record names.
    ///
    /// # Errors
    /// The row lacks a column of the user's key.
    pub(super) fn understand(
        self,
        (rule, own): (Option<&KeyRule>, &[String]),
        shapes: &mut Shapes,
    ) -> Result<Understood<'a>, String> {
        let key = match rule {
            Some(rule) => Some(rule.key_in(&self.row).map_err(|column| {
                format!(
                    "key column `{column}` is not in its row: expected it there, for `{}` names it; name columns that every \
                     record of the table carries",
                    rule.path
                )
            })?),
            None => shapes.key_of(&self.row, own),
        };
        let Logged { table, op, row, old, committed_at, source, source_order } = self;
        let before_of = |row: &Row<'a>, old: &Row<'a>| {
            let cells = row.iter().map(|(name, cell)| old.get(name).unwrap_or(cell).clone()).collect();
            Row::new(Arc::clone(&row.columns), cells, row.typing)
        };
        let (after, before) = match op {
            Op::Delete => (None, Some(row)),
            Op::Insert | Op::Read | Op::Update | Op::Truncate => {
                let whole = old.as_ref().filter(|(_, old)| *old == Old::Whole);
                let before = whole.map(|(old, _)| before_of(&row, old));
                (Some(row), before)
            }
        };
        let old_key = key.as_ref().zip(old.as_ref()).map(|(key, (old, _))| before_of(key, old));
        let moved = old_key.filter(|old| op == Op::Update && Some(old) != key.as_ref());
        let change = Change {
            table,
            op,
            key,
            complete: after.as_ref().is_some_and(|row| !row.cells.iter().any(Cell::is_unknown)),
            after,
            before,
            committed_at,
            source,
            source_order,
            waymark: None,
            placeholders: Box::default(),
            key_change: KeyChange::No,
        };
        Ok(match moved {
            Some(old_key) => {
                let mut update = change;
                let before = update.before.take();
                key_changed(update, old_key, before)
            }
            None => Understood::Change(change),
        })
    }
}
