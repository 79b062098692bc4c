//! What is known of a change becomes the change: under which key, and which of its images may be believed.

use super::configured::{Keyed, Trust, keyed};
use super::key::RecordKey;
use super::schema::Declared;
use super::source::{Origin, Provenance};
use crate::decode::Understood;
use crate::decode::keys::{KeyRule, key_changed};
use crate::model::change::{KeyChange, TableName};
use crate::model::{Cell, Change, Op, Record, Row};

/// Both images of an envelope, as sent.
pub(super) struct Images<'a> {
    pub(super) before: Option<Row<'a>>,
    pub(super) after: Option<Row<'a>>,
    pub(super) placeholders: Box<[u16]>,
}

/// Everything a change is assembled from.
pub(super) struct Facts<'r, 'a> {
    pub(super) op: Op,
    pub(super) table: TableName,
    pub(super) source: Provenance,
    pub(super) record_key: RecordKey<'a>,
    pub(super) images: Images<'a>,
    pub(super) declared: Option<Declared<'r>>,
}

impl<'a> Facts<'_, 'a> {
    /// The change, or the two that a change of a configured key is.
    ///
    /// # Errors
    /// What does not fit together, or cannot be told.
    pub(super) fn understand(mut self, rule: Option<&KeyRule>, record: &Record<'_>) -> Result<Understood<'a>, String> {
        let expects_after = matches!(self.op, Op::Insert | Op::Read | Op::Update);
        if expects_after != self.images.after.is_some() {
            return Err(match expects_after {
                true => format!("an {} without `after`", self.op.word()),
                false => format!("a {} with `after`", self.op.word()),
            });
        }
        let trust = if self.trusts_before() { Trust::Whole } else { Trust::Partial };
        let is_own = |rule: &KeyRule| self.record_key.columns().is_some_and(|own| rule.is_of(&own.columns));
        let half = if rule.is_none_or(is_own) { key_change(self.op, record) } else { KeyChange::No };
        let Some(rule) = rule else {
            let key = match self.op {
                Op::Truncate => Some(Row::default()),
                Op::Insert | Op::Read | Op::Update | Op::Delete => self.record_key.take_columns(),
            };
            return Ok(Understood::Change(self.assemble(key, trust, half)));
        };
        Ok(match keyed(rule, self.op, &self.record_key, &self.images, trust)? {
            Keyed::One(key) => Understood::Change(self.assemble(Some(key), trust, half)),
            Keyed::Moved { old, new } => {
                let mut update = self.assemble(Some(new), trust, KeyChange::No);
                let before = update.before.take();
                key_changed(update, old, before)
            }
        })
    }

    fn assemble(mut self, key: Option<Row<'a>>, trust: Trust, key_change: KeyChange) -> Change<'a> {
        let trusted = trust == Trust::Whole;
        if self.source.origin == Origin::Postgres && self.op == Op::Update && !trusted {
            self.forget_weak_nulls();
        }
        let Images { before, after, placeholders } = self.images;
        let declared_columns = self.declared.map_or(0, |declared| declared.columns);
        let whole = |row: &Row| row.cells.len() >= declared_columns && !row.cells.iter().any(Cell::is_unknown);
        let complete = after.as_ref().is_some_and(whole);
        Change {
            table: self.table,
            op: self.op,
            key,
            after,
            before: before.filter(|_| trusted),
            committed_at: self.source.committed_at,
            source: self.source.place,
            source_order: self.source.order,
            waymark: self.source.waymark,
            placeholders,
            key_change,
            complete,
        }
    }

    /// Whether `before` is what the source held. MySQL logs whole rows. PostgreSQL does under `REPLICA IDENTITY FULL`
    /// only, else the converter makes up what is missing; an update that left the record's key alone has a `before` in no
    /// other case.
    fn trusts_before(&self) -> bool {
        let Images { before: Some(before), after, .. } = &self.images else { return false };
        match self.source.origin {
            Origin::Mysql => true,
            Origin::Other => false,
            Origin::Postgres => {
                let own = self.record_key.columns();
                let same = |after: &Row| {
                    own.is_none_or(|key| key.columns.0.iter().all(|name| before.get(name) == after.get(name)))
                };
                match self.op {
                    Op::Update => after.as_ref().is_some_and(same),
                    // A table without a key has its deletes published under no other identity.
                    Op::Delete => matches!(self.record_key, RecordKey::Missing),
                    Op::Insert | Op::Read | Op::Truncate => false,
                }
            }
        }
    }

    fn forget_weak_nulls(&mut self) {
        let (Some(after), Some(declared)) = (&mut self.images.after, self.declared) else { return };
        for name in declared.weak_nulls {
            let cell = after.columns.index_of(name).and_then(|index| after.cells.get_mut(index));
            if let Some(cell @ (Cell::Null | Cell::Absent)) = cell {
                *cell = Cell::NotSent;
            }
        }
    }
}

/// Debezium sends a change of a key as a delete and an insert, each naming the other's key in a header.
fn key_change(op: Op, record: &Record<'_>) -> KeyChange {
    match op {
        Op::Delete if record.header("__debezium.newkey").is_some() => KeyChange::Old,
        // What a flattened row does is not always told.
        Op::Insert | Op::Update if record.header("__debezium.oldkey").is_some() => KeyChange::New,
        Op::Insert | Op::Read | Op::Update | Op::Delete | Op::Truncate => KeyChange::No,
    }
}
