//! What records and control records have told of a table.

use std::borrow::Cow;
use std::sync::Arc;

use crate::decode::json::Fields;
use crate::decode::memo::Shapes;
use crate::decode::row::is_seen_as_written;
use crate::model::{Cell, Columns, Op, Row, Typing};

/// Most columns remembered of a table (MySQL's limit). Records with more are read, and none of their missing columns
/// are known to be missing.
const MAX_COLUMNS: usize = 4_096;

/// A table as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Known {
    columns: Arc<Columns>,
    /// Which of `columns` are read as written.
    pub(super) as_written: Box<[bool]>,
    /// Columns of the primary key, in key order; empty where no control record told.
    pub(super) key: Vec<String>,
    /// Columns of large objects: an update may leave them out because they did not change.
    large: Vec<Box<str>>,
    declared: bool,
}

/// The `table-def` of a control record.
#[derive(Debug)]
pub(super) struct Declaration {
    columns: Vec<(String, String)>,
    key: Vec<String>,
}

impl Declaration {
    pub(super) fn read(raw: &str) -> Option<Declaration> {
        let fields: Fields<'_> = serde_json::from_str(raw).ok()?;
        let columns: Fields<'_> = serde_json::from_str(fields.get("columns")?).ok()?;
        let kind = |raw: &str| serde_json::from_str::<Fields<'_>>(raw).ok()?.text("type").map(Cow::into_owned);
        let key = fields.get("primary-key").and_then(|raw| serde_json::from_str(raw).ok());
        Some(Declaration {
            columns: columns
                .0
                .iter()
                .map(|(name, raw)| (name.to_string(), kind(raw.get()).unwrap_or_default()))
                .collect(),
            key: key.unwrap_or_default(),
        })
    }
}

impl Known {
    /// As declared by a control record.
    pub(super) fn declared(declaration: Declaration, shapes: &mut Shapes) -> Result<Known, String> {
        let large = declaration.columns.iter().filter(|(_, kind)| kind.to_ascii_uppercase().ends_with("LOB"));
        Ok(Known {
            columns: shapes.shared(declaration.columns.iter().map(|(name, _)| name.as_str()))?,
            as_written: Box::default(),
            large: large.map(|(name, _)| name.as_str().into()).collect(),
            key: declaration.key,
            declared: true,
        })
    }

    pub(super) fn columns(&self) -> &Arc<Columns> {
        &self.columns
    }

    /// Whether a control record told every column.
    pub(super) fn is_declared(&self) -> bool {
        self.declared
    }

    /// The row over all known columns, learning those it brings. A missing column was null or empty, or, where the
    /// task sends those too, was not sent.
    pub(super) fn completed<'a>(
        &mut self,
        sent: Row<'a>,
        (op, sends_all): (Op, bool),
        shapes: &mut Shapes,
    ) -> Result<Row<'a>, String> {
        if Arc::ptr_eq(&sent.columns, &self.columns) {
            self.learn(&sent);
            return Ok(sent);
        }
        let known = &self.columns;
        let new: Vec<&str> =
            sent.columns.0.iter().map(|name| &**name).filter(|name| known.index_of(name).is_none()).collect();
        if known.0.len() + new.len() > MAX_COLUMNS {
            return Ok(sent);
        }
        if !new.is_empty() {
            self.columns = shapes.shared(known.0.iter().map(|name| &**name).chain(new))?;
        }
        let missing = |name: &str| match op {
            _ if sends_all => Cell::NotSent,
            Op::Update if self.large.iter().any(|large| **large == *name) => Cell::NotSent,
            Op::Insert | Op::Read | Op::Update | Op::Delete | Op::Truncate => Cell::Absent,
        };
        let cells =
            self.columns.0.iter().map(|name| sent.get(name).cloned().unwrap_or_else(|| missing(name))).collect();
        let row = Row::new(Arc::clone(&self.columns), cells, Typing::Dms);
        self.learn(&row);
        Ok(row)
    }

    /// Remembers which columns held values that are read as written.
    fn learn(&mut self, row: &Row) {
        let seen = |index: usize| self.as_written.get(index).is_some_and(|seen| *seen);
        if row.cells.iter().enumerate().any(|(index, cell)| is_seen_as_written(cell) && !seen(index)) {
            let marked = row.cells.iter().enumerate().map(|(index, cell)| seen(index) || is_seen_as_written(cell));
            self.as_written = marked.collect();
        }
    }
}

/// Whether a control operation makes what was learnt of a table's columns doubtful.
pub(super) fn changes_columns(operation: &str) -> bool {
    matches!(
        operation,
        "change-columns" | "drop-column" | "rename-column" | "column-type-change" | "drop-table" | "rename-table"
    )
}

/// The word for a control operation.
pub(super) fn control_word(operation: &str) -> &'static str {
    const WORDS: [&str; 8] = [
        "create-table",
        "rename-table",
        "drop-table",
        "change-columns",
        "add-column",
        "drop-column",
        "rename-column",
        "column-type-change",
    ];
    WORDS.into_iter().find(|word| *word == operation).unwrap_or("control")
}
