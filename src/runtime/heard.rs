//! What the tap says of some keys: their newest versions, read for those who look again at findings.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::config::{Bound, FilePath, Start, Tap};
use crate::decode::Understood;
use crate::model::{Change, Key, Op, PartitionId, Position, Record, Row};

use super::decoding::key_of;
use super::entry::{Failure, Outcome, Range};
use super::range::Reading;
use super::revalidate::{Case, Looker};
use super::schemas::{ENDS_WITHIN, Patience, Reader, Schemas, Stopped, Waiter};
use super::tables::Mapped;

/// Newest versions of a key that are kept, to say which one a row is.
const VERSIONS: usize = 4;

/// Records read to learn where a partition ends: the very last may be a transaction's marker.
const LAST: u64 = 10;

/// A version of a key, as the tap has it.
pub(super) struct Version {
    pub(super) at: Position,
    pub(super) op: Op,
    pub(super) row: Option<Arc<Row<'static>>>,
}

/// Versions by key, newest last.
#[derive(Default)]
pub(super) struct Versions {
    of: BTreeMap<Key, Vec<Version>>,
    /// Up to where each partition was read.
    ends: BTreeMap<PartitionId, u64>,
    /// The keys that the last reading told of.
    fresh: BTreeSet<Key>,
    reached: Reached,
}

/// How far the tap was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Reached {
    /// Not, or not all of it.
    #[default]
    Less,
    /// To its end.
    End,
}

impl Versions {
    /// Of these keys, before anything was read.
    pub(super) fn of<'k>(keys: impl Iterator<Item = &'k Key>) -> Versions {
        Versions { of: keys.map(|key| (key.clone(), Vec::new())).collect(), ..Versions::default() }
    }

    /// The newest versions of a key, newest last.
    pub(super) fn known(&self, key: &Key) -> &[Version] {
        self.of.get(key).map_or(&[], Vec::as_slice)
    }

    /// Whether the tap was read to its end.
    pub(super) fn is_whole(&self) -> bool {
        self.reached == Reached::End
    }

    fn keep(&mut self, key: &Key, version: Version) {
        let Some(known) = self.of.get_mut(key) else { return };
        if known.len() == VERSIONS {
            known.remove(0);
        }
        known.push(version);
        self.fresh.insert(key.clone());
    }

    /// Whether a record was read before.
    fn has_read(&mut self, record: &Record<'_>) -> bool {
        let end = self.ends.entry(record.partition).or_default();
        let known = record.offset < *end;
        *end = (record.offset + 1).max(*end);
        known
    }
}

impl Looker<'_> {
    /// Reads the tap from there to its end.
    pub(super) fn hear(&self, versions: &mut Versions, from: &Bound) -> Result<(), Failure> {
        versions.reached = Reached::Less;
        versions.fresh.clear();
        if matches!(&self.pipeline.tap, Tap::File(file) if file.path == FilePath::Stdin) {
            return Ok(());
        }
        let range = Range { from: from.clone(), to: Start::End.into() };
        let reading = Reading {
            command: "revalidate",
            tap: &self.pipeline.tap,
            range: &range,
            partitions: &self.partitions,
            stop: &self.stop,
        };
        let decode = &self.pipeline.decode;
        let schemas = Schemas::of(decode, Waiter::ending("revalidate", self.clock, Patience::For(ENDS_WITHIN)))?;
        let mut reader = Reader::new(decode, &self.pipeline.tables, &schemas);
        let outcome = reading.batches(&self.clock, |batch| {
            for record in batch.records() {
                if versions.has_read(&record) {
                    continue;
                }
                let topic = self.partitions.name(record.partition).topic;
                let at = Position { partition: record.partition, offset: record.offset };
                let changes = match reader.read(&topic, record) {
                    Ok(Understood::Change(change)) => vec![change],
                    Ok(Understood::KeyChange(pair)) => vec![pair.0, pair.1],
                    Ok(Understood::Changes(changes)) => changes,
                    Ok(Understood::Tombstone | Understood::Control(_) | Understood::Reject(_)) => Vec::new(),
                    Err(Stopped) => return ControlFlow::Break(()),
                };
                changes.into_iter().for_each(|change| self.note(versions, at, change));
            }
            ControlFlow::Continue(())
        })?;
        if outcome == Outcome::Clean && !schemas.gave_up() {
            versions.reached = Reached::End;
        }
        Ok(())
    }

    /// Learns where the partitions of these cases end, unless they were read.
    pub(super) fn hear_end(&self, versions: &mut Versions, cases: &[&Case]) -> Result<(), Failure> {
        if versions.ends.is_empty() {
            let partitions = cases.iter().filter_map(|case| Some(case.document.expected.as_ref()?.at.partition));
            let pinned = partitions.map(|partition| (partition, Start::Tail(LAST))).collect();
            self.hear(versions, &Bound { everywhere: None, pinned })?;
        }
        Ok(())
    }

    /// The keys that the tap told of since it was last read; `None` where it could not be read to its end.
    pub(super) fn hear_on(&self, versions: &mut Versions, cases: &[&Case]) -> Result<Option<BTreeSet<Key>>, Failure> {
        let mut bound = from(cases.iter().copied());
        for (id, end) in &versions.ends {
            let number = self.partitions.name(*id).partition;
            let least = versions.ends.iter().filter(|(other, _)| self.partitions.name(**other).partition == number);
            let least = least.map(|(_, end)| *end).min().unwrap_or(*end);
            bound.pinned.entry(number).and_modify(|start| *start = Start::Offset(least));
        }
        self.hear(versions, &bound)?;
        Ok(versions.is_whole().then(|| std::mem::take(&mut versions.fresh)))
    }

    fn note(&self, versions: &mut Versions, at: Position, change: Change<'_>) {
        let Some(Mapped::Judged(table)) = self.tables.mapped(&change.table) else { return };
        if change.op == Op::Truncate {
            let of_table: Vec<Key> = versions.of.keys().filter(|key| key.table() == table.id).cloned().collect();
            of_table.iter().for_each(|key| versions.keep(key, Version { at, op: change.op, row: None }));
            return;
        }
        if let Ok(key) = key_of(&table, &change) {
            let row = change.after.map(|row| Arc::new(row.into_owned()));
            versions.keep(&key, Version { at, op: change.op, row });
        }
    }
}

/// Before the oldest position of each partition.
pub(super) fn from<'c>(cases: impl IntoIterator<Item = &'c Case>) -> Bound {
    let mut pinned: BTreeMap<i32, Start> = BTreeMap::new();
    let mut least: BTreeMap<i32, u64> = BTreeMap::new();
    for at in cases.into_iter().filter_map(|case| Some(&case.document.expected.as_ref()?.at)) {
        let known = least.entry(at.partition).or_insert(at.offset);
        *known = at.offset.min(*known);
        pinned.insert(at.partition, Start::Offset(*known));
    }
    Bound { everywhere: None, pinned }
}
