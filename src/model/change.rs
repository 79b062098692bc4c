//! One decoded change.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

use super::row::Row;
use super::time::SourceTime;
use super::waymark::Waymark;

/// What a change does to its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// A new row.
    Insert,
    /// A row read by a snapshot or full load: it exists, nothing is said about when it was written.
    Read,
    /// A row changed.
    Update,
    /// A row removed.
    Delete,
    /// Every row of the table removed. It has no key.
    Truncate,
}

impl Op {
    /// The word used in findings: `insert`, `read`, `update`, `delete`, `truncate`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Op::Insert => "insert",
            Op::Read => "read",
            Op::Update => "update",
            Op::Delete => "delete",
            Op::Truncate => "truncate",
        }
    }
}

/// A table as the tap names it: `schema.table`, or `database.table` for MySQL.
pub type TableName = Arc<str>;

/// A position in the source's own log, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourcePlace {
    /// PostgreSQL's log sequence number.
    Lsn(u64),
    /// A position that the record has as text, or that was put together of its parts.
    Text(SmolStr),
}

impl fmt::Display for SourcePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SourcePlace::Lsn(lsn) => write!(f, "{:X}/{:X}", lsn >> 32, lsn & u64::from(u32::MAX)),
            SourcePlace::Text(text) => f.write_str(text),
        }
    }
}

/// One half of a change of a row's key, where the source says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum KeyChange {
    /// Not part of a key change.
    #[default]
    No,
    /// The delete of the old key.
    Old,
    /// The insert of the new key.
    New,
}

/// One change of one row; its texts are parts of the record. A record may hold none (heartbeats), one, or two (a key change in one DMS update).
#[derive(Debug, Clone, PartialEq)]
pub struct Change<'a> {
    /// Table on the tap.
    pub table: TableName,
    /// What happened.
    pub op: Op,
    /// Key columns and their cells. Empty for a truncate; `None` where neither the record nor config names a key.
    pub key: Option<Row<'a>>,
    /// The row after the change; `None` for deletes and truncates.
    pub after: Option<Row<'a>>,
    /// The row before, only where it can be trusted (it equals what the source held).
    pub before: Option<Row<'a>>,
    /// When the source committed it; where the record does not tell, when it was written, or, of a row without an envelope, when the
    /// record was.
    pub committed_at: Option<SourceTime>,
    /// Position in the source's own log as text, for people: `0/16B3748`, `mysql-bin.000003:484`.
    pub source: Option<SourcePlace>,
    /// Position in the source's own log as one comparable number, where the format has one that is total within
    /// one source: equal for changes of one transaction that cannot be told apart.
    pub source_order: Option<u64>,
    /// Where it stands in the log of its connector's source; `None` where no connector is named.
    pub waymark: Option<Waymark>,
    /// Columns whose cells carry the connector's "unavailable value" marker.
    pub placeholders: Box<[u16]>,
    /// Whether it is one half of a key change.
    pub key_change: KeyChange,
    /// Whether the record's row carries every column of the table, so that its insert fully determines the row.
    pub complete: bool,
}

impl Change<'_> {
    /// The same change, in need of nothing else.
    #[must_use]
    pub fn into_owned(self) -> Change<'static> {
        Change {
            key: self.key.map(Row::into_owned),
            after: self.after.map(Row::into_owned),
            before: self.before.map(Row::into_owned),
            table: self.table,
            op: self.op,
            committed_at: self.committed_at,
            source: self.source,
            source_order: self.source_order,
            waymark: self.waymark,
            placeholders: self.placeholders,
            key_change: self.key_change,
            complete: self.complete,
        }
    }
}

/// Bytes that should have been a change and are not. Data, not an error: it becomes an `undecodable` finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why, as a lowercase fragment a person understands: what failed and what was expected. Never row values.
    pub reason: String,
    /// Table, when that much was understood.
    pub table: Option<TableName>,
}
