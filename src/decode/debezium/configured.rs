//! The key of a change under the user's rule.
//!
//! Columns of the record's own key are sure: the connector writes a change of theirs as a delete and an insert. Of any other
//! column an old row tells something only where the source logged that row whole; elsewhere the converter makes up what it
//! did not get. What cannot be told is a reject, and no version of a key that may not exist.

use super::facts::Images;
use super::key::RecordKey;
use crate::decode::json;
use crate::decode::keys::KeyRule;
use crate::model::Op;
use crate::model::{Cell, Row};

/// What a change does under the configured key.
pub(super) enum Keyed<'a> {
    /// It is one of this key.
    One(Row<'a>),
    /// It moves a row from the old key to the new one.
    Moved {
        /// Before.
        old: Row<'a>,
        /// After.
        new: Row<'a>,
    },
}

/// How far the row before can be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is what the source held.
    Whole,
    /// Columns may be made up.
    Partial,
}

/// The key of a change of a row.
///
/// # Errors
/// Why it cannot be told, and what to do.
pub(super) fn keyed<'a>(
    rule: &KeyRule,
    op: Op,
    record_key: &RecordKey<'a>,
    images: &Images<'a>,
    trust: Trust,
) -> Result<Keyed<'a>, String> {
    let own = match record_key {
        RecordKey::Columns(row) => rule.key_in(row).ok(),
        RecordKey::Missing | RecordKey::Unnamed(_) => None,
    };
    let asked = Asked { rule, record_key, images, trust };
    match (op, own) {
        (Op::Truncate, _) => Ok(Keyed::One(Row::default())),
        (Op::Update, own) => asked.update(own),
        (Op::Insert | Op::Read | Op::Delete, Some(own)) => Ok(Keyed::One(own)),
        (Op::Insert | Op::Read, None) => asked.of_row(images.after.as_ref()).map(Keyed::One),
        (Op::Delete, None) => asked.delete().map(Keyed::One),
    }
}

struct Asked<'r, 'a> {
    rule: &'r KeyRule,
    record_key: &'r RecordKey<'a>,
    images: &'r Images<'a>,
    trust: Trust,
}

impl<'a> Asked<'_, 'a> {
    fn of_row(&self, row: Option<&Row<'a>>) -> Result<Row<'a>, String> {
        let found = row.ok_or_else(|| self.foreign()).and_then(|row| self.rule.key_in(row));
        found.map_err(|column| {
            format!(
                "key column `{column}` is neither in the record's key nor in its row: expected it in one of them, for `{}` \
                 names it; name columns that every record of the table carries",
                self.rule.path
            )
        })
    }

    fn delete(&self) -> Result<Row<'a>, String> {
        let key = self.of_row(self.images.before.as_ref())?;
        if self.trust == Trust::Whole || self.is_records_own(&key) {
            return Ok(key);
        }
        Err(format!(
            "key column `{}`, which `{}` names, is not in the record's key, and the rest of a deleted row may be made up by \
             the connector: log rows whole at the source (REPLICA IDENTITY FULL) and name the column in the connector's \
             `message.key.columns`, or configure columns of the record's key",
            self.foreign(),
            self.rule.path
        ))
    }

    fn update(&self, own: Option<Row<'a>>) -> Result<Keyed<'a>, String> {
        let Images { before, after, .. } = self.images;
        let of_row = self.of_row(after.as_ref());
        let old = before.as_ref().and_then(|before| self.rule.key_in(before).ok());
        let is_moved = old.as_ref().zip(of_row.as_ref().ok()).map(|(old, new)| old.cells != new.cells);
        let is_own = own.is_some();
        let new = own.map_or(of_row, Ok)?;
        match (is_moved, old) {
            (Some(true), Some(old)) if self.trust == Trust::Whole => Ok(Keyed::Moved { old, new }),
            (Some(true), _) => Err(self.untold()),
            (Some(false), _) => Ok(Keyed::One(new)),
            (None, _) if is_own || self.is_records_own(&new) => Ok(Keyed::One(new)),
            (None, _) => Err(self.untold()),
        }
    }

    fn untold(&self) -> String {
        format!(
            "whether key column `{}` changed cannot be told: `{}` names it, and the record has no old row that is sure; log rows \
             whole at the source (REPLICA IDENTITY FULL, binlog_row_image=FULL), or name the column in the connector's \
             `message.key.columns`",
            self.foreign(),
            self.rule.path
        )
    }

    /// Whether the record's key stands for these cells without naming their columns: it is one bare value, the same as
    /// theirs, or there is none, and the user's key stands in its place.
    fn is_records_own(&self, key: &Row<'_>) -> bool {
        match (self.record_key, &key.cells[..]) {
            (RecordKey::Missing, _) => true,
            (RecordKey::Unnamed(text), [cell]) => is_written_as(cell, text),
            (RecordKey::Unnamed(_) | RecordKey::Columns(_), _) => false,
        }
    }

    /// The first key column that the record's key does not have.
    fn foreign(&self) -> &str {
        let outside = match self.record_key {
            RecordKey::Columns(row) => self.rule.outside(&row.columns),
            RecordKey::Missing | RecordKey::Unnamed(_) => None,
        };
        outside.unwrap_or_else(|| self.rule.columns.0.first().map_or("", |name| name))
    }
}

/// Whether a bare value, in JSON or as plain text, is that of a cell.
fn is_written_as(cell: &Cell<'_>, text: &str) -> bool {
    match cell {
        Cell::Int(value) => text.parse() == Ok(*value),
        Cell::Decimal(value) => **value == *text,
        Cell::Text(value) => **value == *text || json::text(text).is_ok_and(|content| **value == *content),
        Cell::Null
        | Cell::Absent
        | Cell::NotSent
        | Cell::Redacted
        | Cell::Bool(_)
        | Cell::Float32(_)
        | Cell::Float64(_)
        | Cell::Bytes(_)
        | Cell::Date(_)
        | Cell::Time(_)
        | Cell::Local(..)
        | Cell::Instant(..)
        | Cell::Infinity(_)
        | Cell::Uuid(_)
        | Cell::Json(_)
        | Cell::Opaque(_) => false,
    }
}
