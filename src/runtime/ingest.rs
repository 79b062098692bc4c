//! Tap events become engine inputs: decoded, keyed, in canonical form. Runs on a thread of its own, in the tap's order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use tokio::sync::mpsc::Sender;

use crate::canon::{Binding, Expected, Mask};
use crate::config::{Bound, Start};
use crate::decode::{Decoder, Understood};
use crate::engine::Input;
use crate::engine::event::{Image, Tracked};

use crate::model::{Batch, Change, Columns, Key, Op, PartitionId, Position, Record, Row, TableId, Typing};
use crate::tap::{Partitions, TapEvent};

use super::driver::Fed;
use super::images::ImageStore;
use super::mapping::Mapper;
use super::restore::Restore;
use super::tables::{Mapped, Table};

/// Shapes of rows remembered for one table; past it the oldest goes and is bound again when met.
const SHAPES: usize = 32;

/// What was read so far, for reports.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) records: AtomicU64,
    /// Keys that change inside an audited range.
    pub(super) keys: AtomicU64,
    pub(super) changes: AtomicU64,
    pub(super) rejects: AtomicU64,
    /// Changes of tables that have no counterpart, and so are not judged.
    pub(super) not_judged: AtomicU64,
}

/// Judges only keys that change inside a range: what comes behind it matters for those alone.
#[derive(Debug)]
pub(super) struct Window {
    to: Bound,
    keys: HashSet<u128>,
}

/// Where a range ends in one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Never,
    Offset(u64),
    /// Milliseconds since the epoch, by the record's own timestamp.
    Time(i64),
}

impl Window {
    /// The range up to `to`, which is resolved already where it is relative to the end or to now.
    pub(super) fn new(to: Bound) -> Window {
        Window { to, keys: HashSet::new() }
    }

    fn limit(&self, partition: i32) -> Limit {
        match self.to.pinned.get(&partition).copied().or(self.to.everywhere) {
            Some(Start::Offset(offset)) => Limit::Offset(offset),
            Some(Start::Time(millis)) => Limit::Time(millis),
            Some(Start::Beginning | Start::End | Start::Stored | Start::Tail(_) | Start::Last(_)) | None => {
                Limit::Never
            }
        }
    }

    fn admits(&mut self, partition: i32, offset: u64, timestamp: Option<i64>, key: &Key) -> bool {
        let inside = match self.limit(partition) {
            Limit::Never => true,
            Limit::Offset(to) => offset < to,
            Limit::Time(to) => timestamp.is_none_or(|at| at < to),
        };
        if inside {
            self.keys.insert(key.hash128());
        }
        inside || self.keys.contains(&key.hash128())
    }
}

type Shape = (Arc<Columns>, Typing, Arc<Binding>);

/// The stage.
pub(super) struct Ingest {
    pub(super) decoder: Box<dyn Decoder>,
    pub(super) mapper: Mapper,
    pub(super) images: Arc<ImageStore>,
    pub(super) partitions: Partitions,
    pub(super) counts: Arc<Counts>,
    pub(super) window: Option<Window>,
    pub(super) shapes: BTreeMap<TableId, (Arc<Table>, Vec<Shape>)>,
    /// Findings of an earlier process, by table.
    pub(super) restore: Restore,
    /// Where each partition will go on, so that a continued read is no new assignment.
    pub(super) next: BTreeMap<PartitionId, u64>,
}

impl Ingest {
    /// Runs until there is no further tap or nobody listens any more. A read that is continued brings a tap for each part.
    pub(super) fn run(&mut self, taps: &Receiver<Receiver<TapEvent>>, engine: &Sender<Fed>) {
        while let Ok(events) = taps.recv() {
            if engine.blocking_send(Fed::TapStarted).is_err() {
                return;
            }
            while let Ok(event) = events.recv() {
                let fed = self.event(event);
                if engine.blocking_send(fed).is_err() {
                    return;
                }
            }
        }
        let _ = engine.blocking_send(Fed::TapClosed);
    }

    fn event(&mut self, event: TapEvent) -> Fed {
        match event {
            TapEvent::Records(batch) => Fed::Inputs(self.batch(&batch)),
            TapEvent::Reached { partition, next } => {
                self.next.insert(partition, next);
                Fed::Inputs(vec![Input::Reached { partition, next }])
            }
            TapEvent::Assigned { partition, next } => {
                let continues = self.next.insert(partition, next) == Some(next) && self.window.is_some();
                let assigned = (!continues).then_some(Input::Assigned { partition, next });
                Fed::Inputs(assigned.into_iter().collect())
            }
            TapEvent::Revoked { partition } => {
                self.next.remove(&partition);
                Fed::Inputs(vec![Input::Revoked { partition }])
            }
            TapEvent::Gap { partition, from, to } => Fed::Inputs(vec![Input::Gap { partition, from, to }]),
            TapEvent::Ended => Fed::TapEnded,
            TapEvent::Failed(error) => Fed::TapFailed(error),
        }
    }

    fn batch(&mut self, batch: &Batch) -> Vec<Input> {
        let mut inputs = Vec::with_capacity(batch.len() + 4);
        let mut topic: Option<(PartitionId, Arc<str>)> = None;
        let mut reached: BTreeMap<PartitionId, u64> = BTreeMap::new();
        for record in batch.records() {
            let name = match &topic {
                Some((partition, name)) if *partition == record.partition => Arc::clone(name),
                Some(_) | None => {
                    let name = self.partitions.name(record.partition).topic;
                    topic = Some((record.partition, Arc::clone(&name)));
                    name
                }
            };
            self.record(&name, record, &mut inputs);
            reached.insert(record.partition, record.offset + 1);
        }
        self.counts.records.fetch_add(batch.len() as u64, Ordering::Relaxed);
        for (partition, next) in reached {
            self.next.insert(partition, next);
            inputs.push(Input::Reached { partition, next });
        }
        inputs
    }

    fn record(&mut self, topic: &Arc<str>, record: Record<'_>, inputs: &mut Vec<Input>) {
        let at = Position { partition: record.partition, offset: record.offset };
        let appended = record.timestamp_ms;
        match self.decoder.decode(topic, record) {
            Understood::Change(change) => self.change(topic, at, appended, change, inputs),
            Understood::KeyChange(pair) => {
                let (old, new) = *pair;
                self.change(topic, at, appended, old, inputs);
                self.change(topic, at, appended, new, inputs);
            }
            Understood::Tombstone | Understood::Control(_) => {}
            Understood::Reject(reject) => {
                self.counts.rejects.fetch_add(1, Ordering::Relaxed);
                inputs.push(Input::Reject { at, reason: reject.reason, table: reject.table });
            }
        }
    }

    fn change(
        &mut self,
        topic: &Arc<str>,
        at: Position,
        appended: Option<i64>,
        change: Change<'_>,
        inputs: &mut Vec<Input>,
    ) {
        self.counts.changes.fetch_add(1, Ordering::Relaxed);
        let key_shape = change.key.as_ref().map(|key| &*key.columns);
        let table = match self.mapper.mapped(&change.table, topic, key_shape) {
            Mapped::Judged(table) => {
                if !self.shapes.contains_key(&table.id) {
                    inputs.extend(self.restore.take(&table));
                }
                table
            }
            Mapped::NotJudged(_) => {
                self.counts.not_judged.fetch_add(1, Ordering::Relaxed);
                return;
            }
        };
        let key = match self.key(&table, &change) {
            Ok(key) => key,
            Err(reason) => {
                self.counts.rejects.fetch_add(1, Ordering::Relaxed);
                inputs.push(Input::Reject { at, reason, table: Some(Arc::clone(&change.table)) });
                return;
            }
        };
        if let Some(window) = &mut self.window
            && change.op != Op::Truncate
            && !window.admits(self.partitions.name(at.partition).partition, at.offset, appended, &key)
        {
            return;
        }
        if let Some(window) = &self.window {
            self.counts.keys.store(window.keys.len() as u64, Ordering::Relaxed);
        }
        inputs.push(Input::Change(self.tracked(&table, at, appended, key, change)));
    }

    fn key(&self, table: &Table, change: &Change) -> Result<Key, String> {
        if change.op == Op::Truncate {
            return Ok(Key::new(table.id, &[]));
        }
        let row = change.key.as_ref().or(change.after.as_ref()).or(change.before.as_ref());
        let row = row.ok_or("it names no key: set `key` in the table's rule")?;
        let named = table.plan.key(row);
        let spare = change.after.as_ref().or(change.before.as_ref());
        named.or_else(|error| spare.map_or(Err(error), |row| table.plan.key(row))).map_err(|error| error.to_string())
    }

    fn tracked(
        &mut self,
        table: &Arc<Table>,
        at: Position,
        appended: Option<i64>,
        key: Key,
        change: Change<'_>,
    ) -> Tracked {
        let after = change.after.as_ref().map(|row| self.expected(table, row, None));
        let beside = change.after.as_ref().zip(after.as_ref());
        let before = change.before.as_ref().map(|row| self.expected(table, row, beside));
        let (fingerprint, mask) = match (after, &before) {
            (Some(after), _) => (after.fingerprint, after.mask),
            (None, Some(before)) => (0, Arc::clone(&before.mask)),
            (None, None) => (0, Arc::new(Mask::default())),
        };
        let before = before.filter(|before| before.mask == mask).map(|before| before.fingerprint);
        let image = Image { row: change.after.map(|row| Arc::new(row.into_owned())), source: change.source };
        self.images.keep(at, &key, image);
        Tracked {
            key,
            at,
            order: change.source_order.unwrap_or_default(),
            op: change.op,
            fingerprint,
            mask,
            before,
            committed_at: change.committed_at,
            appended_at: appended,
            key_change: change.key_change,
            role: table.role,
        }
    }

    /// What a row says; read beside another image of the same change where that has the same shape.
    fn expected(&mut self, table: &Arc<Table>, row: &Row, beside: Option<(&Row, &Expected)>) -> Expected {
        let binding = self.binding(table, row);
        let alike =
            |(other, _): &(&Row, &Expected)| Arc::ptr_eq(&other.columns, &row.columns) && other.typing == row.typing;
        match beside.filter(alike) {
            Some(other) => table.plan.expect_before(&binding, row, other),
            None => table.plan.expect(&binding, row),
        }
    }

    fn binding(&mut self, table: &Arc<Table>, row: &Row) -> Arc<Binding> {
        let known = self.shapes.entry(table.id).or_insert_with(|| (Arc::clone(table), Vec::new()));
        if !Arc::ptr_eq(&known.0, table) {
            *known = (Arc::clone(table), Vec::new());
        }
        let shapes = &mut known.1;
        let found =
            shapes.iter().find(|(columns, typing, _)| Arc::ptr_eq(columns, &row.columns) && *typing == row.typing);
        if let Some((_, _, binding)) = found {
            return Arc::clone(binding);
        }
        let binding = Arc::new(table.plan.bind(&row.columns, row.typing));
        if shapes.len() >= SHAPES {
            shapes.remove(0);
        }
        shapes.push((Arc::clone(&row.columns), row.typing, Arc::clone(&binding)));
        binding
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_follows_only_keys_it_saw_inside() {
        let mut window = Window::new(Start::Offset(10).into());
        let key = |id| Key::new(TableId(0), &[crate::model::Cell::Int(id)]);
        assert!(window.admits(0, 9, None, &key(1)));
        assert!(window.admits(0, 10, None, &key(1)));
        assert!(!window.admits(0, 10, None, &key(2)));
    }

    #[test]
    fn a_window_may_end_at_a_time() {
        let mut window = Window::new(Start::Time(1000).into());
        let key = |id| Key::new(TableId(0), &[crate::model::Cell::Int(id)]);
        assert!(window.admits(0, 5, Some(999), &key(1)));
        assert!(!window.admits(0, 6, Some(1000), &key(2)));
    }
}
