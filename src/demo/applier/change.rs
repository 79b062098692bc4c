//! What the applier reads and what it writes.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// Columns and their values as JSON carries them, by name.
pub type Fields = BTreeMap<String, serde_json::Value>;

/// One row of one table: the table as the tap names it, and its key as canonical JSON.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId {
    /// Table on the tap: `public.orders`.
    pub table: Arc<str>,
    /// Key columns and values as JSON text, columns in alphabetical order.
    pub key: Arc<str>,
}

impl RowId {
    /// The row of a table that has this key.
    #[must_use]
    pub fn new(table: &str, key: &Fields) -> RowId {
        let text = serde_json::Value::from_iter(key.clone()).to_string();
        RowId { table: table.into(), key: text.into() }
    }
}

impl fmt::Display for RowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.key)
    }
}

/// A place on a Kafka tap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Offset of the record.
    pub offset: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}", self.topic, self.partition, self.offset)
    }
}

/// What a change does to its row.
#[derive(Debug, Clone, PartialEq)]
pub enum Act {
    /// A new row, or a row read by a snapshot.
    Insert(Fields),
    /// A changed row, whole.
    Update {
        /// The row after it.
        row: Fields,
        /// The row before it, where the source sends it.
        before: Option<Fields>,
    },
    /// The row is gone.
    Delete,
}

impl Act {
    /// The row that it leaves.
    #[must_use]
    pub fn row(&self) -> Option<&Fields> {
        match self {
            Act::Insert(row) | Act::Update { row, .. } => Some(row),
            Act::Delete => None,
        }
    }
}

/// One change of one row, with its place `P` in whatever log the applier reads: [`Place`] on a tap, a number in the
/// source's own log.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<P> {
    /// Table as the tap names it.
    pub table: Arc<str>,
    /// Key columns and values.
    pub key: Fields,
    /// What happened.
    pub act: Act,
    /// Where.
    pub at: P,
}

/// One statement for the target.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// The row concerned.
    pub id: RowId,
    /// Its key columns and values.
    pub key: Fields,
    /// What to do.
    pub write: Write,
}

/// What a statement does.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Insert this row. Where the key exists already nothing happens and nobody is told, as with DMS under
    /// `ApplyErrorInsertPolicy = LOG_ERROR`, its default.
    Insert(Fields),
    /// Set these columns. Where no row has the key nothing happens and nobody is told (`ApplyErrorUpdatePolicy =
    /// LOG_ERROR`).
    Update(Fields),
    /// Delete the row. Where there is none nothing happens (`ApplyErrorDeletePolicy = IGNORE_RECORD`).
    Delete,
}

impl Write {
    /// Inserts come before updates, updates before deletes.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Write::Insert(_) => 0,
            Write::Update(_) => 1,
            Write::Delete => 2,
        }
    }
}

/// What became of a statement on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It changed a row.
    Done,
    /// The key was there already, or was not there: the statement was dropped.
    Skipped,
}
