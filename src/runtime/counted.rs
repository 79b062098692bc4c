//! Changes of rows that no key tells apart become steps of their counts: one more of a content, or one fewer.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::canon::{Mask, Meets};
use crate::engine::event::{Carried, Image, Tracked};
use crate::model::change::SourcePlace;
use crate::model::{Cell, Change, Key, Op, Row, SourceTime, Waymark};

use super::decoding::{Decoded, Place};
use super::tables::Table;

/// What one record does to counts. It may tell of several equal rows.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<Key, Step>);

/// What it does to one of them.
struct Step {
    table: Arc<Table>,
    by: i64,
    /// Whether one of its changes is asked for.
    meets: Option<Meets>,
    /// Some of it was read, by a snapshot: it may have been counted before.
    read: bool,
    row: Option<Arc<Row<'static>>>,
    source: Option<SourcePlace>,
    source_order: Option<u64>,
    waymark: Option<Waymark>,
    committed_at: Option<SourceTime>,
}

impl Counts {
    /// Adds a change.
    ///
    /// # Errors
    /// When it does not tell a row that it adds or takes away.
    pub(super) fn add(&mut self, table: &Arc<Table>, change: &Change<'_>, meets: Option<Meets>) -> Result<(), String> {
        let gone = || change.before.as_ref().ok_or_else(|| untold(&change.table));
        let taken = match change.op {
            Op::Update | Op::Delete => Some(key(table, gone()?)?),
            Op::Insert | Op::Read | Op::Truncate => None,
        };
        let added = change.after.as_ref().map(|row| Ok::<_, String>((key(table, row)?, row))).transpose()?;
        if let Some(taken) = taken {
            self.step(table, taken, (change, meets)).by -= 1;
        }
        if let Some((added, row)) = added {
            let step = self.step(table, added, (change, meets));
            (step.by, step.read) = (step.by + 1, step.read || change.op == Op::Read);
            step.row = Some(Arc::new(row.clone().into_owned()));
        }
        Ok(())
    }

    fn step(&mut self, table: &Arc<Table>, key: Key, (change, meets): (&Change<'_>, Option<Meets>)) -> &mut Step {
        let step = self.0.entry(key).or_insert_with(|| Step {
            meets,
            table: Arc::clone(table),
            by: 0,
            read: false,
            row: None,
            source: change.source.clone(),
            source_order: change.source_order,
            waymark: change.waymark,
            committed_at: change.committed_at,
        });
        if meets == Some(Meets::Yes) {
            step.meets = meets;
        }
        step
    }

    /// The steps of a record whose changes were all added. What it leaves as it was is none.
    pub(super) fn end(self, place: &Place<'_>, out: &mut Decoded) {
        for (key, step) in self.0 {
            let op = match step.by {
                _ if step.read => Op::Read,
                0 => continue,
                1.. => Op::Insert,
                _ => Op::Delete,
            };
            let tracked = Tracked {
                key,
                at: place.at,
                order: step.source_order.unwrap_or_default(),
                waymark: step.waymark,
                op,
                fingerprint: step.by as u128,
                mask: Mask::default(),
                before: None,
                committed_at: step.committed_at,
                appended_at: place.appended,
                key_change: crate::model::change::KeyChange::No,
                carried: Carried::Always,
                role: step.table.role,
                plan: step.table.epoch,
            };
            out.meets.extend(step.meets);
            out.keep(tracked, Image { row: step.row.filter(|_| op != Op::Delete), source: step.source });
        }
    }
}

fn key(table: &Table, row: &Row<'_>) -> Result<Key, String> {
    let key = table.plan.key(row).map_err(|error| error.to_string())?;
    match key.cells().iter().all(|cell| *cell == Cell::Null) {
        false => Ok(key),
        true => Err("every column by which rows of its table are counted is null".to_owned()),
    }
}

fn untold(table: &str) -> String {
    format!(
        "table `{table}` has no key, and the record does not tell the row that it changes: have the source log whole rows \
         (REPLICA IDENTITY FULL), or name a key that every record carries (`key` in a [[tables]] rule)"
    )
}
