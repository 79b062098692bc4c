//! The table-version cache: recent images of changes, and what keys were last read as. Bounded by bytes; what it forgets
//! costs detail of a finding, never a verdict.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache;

use crate::canon::{Mask, Weighed};
use crate::engine::event::{ColumnVerdict, Image, Images, Kinship, PlanEpoch, Verified};
use crate::model::{Coercion, Key, PartitionId, Position, Row, TableId};
use crate::tap::Partitions;

use super::job::Noted;
use super::tables::{Owned, Tables};

/// Consecutive offsets that share one cache entry: one entry a change would cost more than the change.
const CHUNK_BITS: u32 = 8;

/// Share of the cache, in eighths, that keeps what keys were last read as.
const VERIFIED_EIGHTHS: u64 = 2;

/// Where an image is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shelf {
    /// With those of the changes around it, by partition and number.
    Chunk(PartitionId, u64),
    /// By itself, read again from the log: by position and key.
    Alone(Position, u64),
}

/// The image of one change.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    at: Position,
    key: u64,
    table: TableId,
    image: Image,
}

impl Kept {
    pub(super) fn new(at: Position, key: &Key, image: Image) -> Kept {
        Kept { at, key: Kept::hash(key), table: key.table(), image }
    }

    /// What it is found by.
    pub(super) fn name(&self) -> (Position, u64) {
        (self.at, self.key)
    }

    /// What a key is found by.
    pub(super) fn hash(key: &Key) -> u64 {
        xxhash_rust::xxh3::xxh3_64(key.bytes())
    }
}

/// Images by position, written by ingest and read by the judge.
#[derive(Debug)]
pub(super) struct ImageStore {
    open: Mutex<BTreeMap<PartitionId, (u64, Vec<Kept>)>>,
    closed: Cache<Shelf, Arc<[Kept]>>,
}

impl ImageStore {
    pub(super) fn new(bytes: u64) -> ImageStore {
        let weigh = |_: &Shelf, chunk: &Arc<[Kept]>| {
            let rows = chunk.iter().map(|kept| 64 + kept.image.row.as_ref().map_or(0, |row| row.weight()));
            u32::try_from(rows.sum::<usize>()).unwrap_or(u32::MAX)
        };
        let closed = Cache::builder()
            .max_capacity(bytes / 8 * (8 - VERIFIED_EIGHTHS))
            .weigher(weigh)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .build();
        ImageStore { open: Mutex::default(), closed }
    }

    /// Keeps images of changes. Positions of a partition come in order, or again after a restart.
    pub(super) fn keep(&self, images: Vec<Kept>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        for new in images {
            let (partition, chunk) = (new.at.partition, new.at.offset >> CHUNK_BITS);
            let (current, kept) = open.entry(partition).or_insert_with(|| (chunk, Vec::new()));
            if *current != chunk {
                let full = std::mem::take(kept);
                self.closed.insert(Shelf::Chunk(partition, *current), full.into());
                // Else it would make room at some later look, and forget between two of one judgement.
                self.closed.run_pending_tasks();
                *current = chunk;
            }
            kept.push(new);
        }
    }

    /// Rows of changes at and behind a position, oldest first, as far as they are cached.
    pub(super) fn behind(&self, at: Position, most: usize) -> Vec<(u64, TableId, Arc<Row<'static>>)> {
        let mut rows = Vec::new();
        let mut take = |kept: &[Kept]| {
            let behind = kept.iter().filter(|kept| kept.at.offset >= at.offset);
            rows.extend(
                behind.filter_map(|kept| Some((kept.at.offset, kept.table, Arc::clone(kept.image.row.as_ref()?)))),
            );
        };
        let mut chunk = at.offset >> CHUNK_BITS;
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = open.get(&at.partition);
        let last = newest.map_or(chunk, |(current, _)| *current);
        while chunk < last && chunk < (at.offset + most as u64) >> CHUNK_BITS {
            if let Some(closed) = self.closed.get(&Shelf::Chunk(at.partition, chunk)) {
                take(&closed);
            }
            chunk += 1;
        }
        if let Some((_, kept)) = newest {
            take(kept);
        }
        rows.truncate(most);
        rows
    }

    /// Keeps an image that was read again from the log, in place of what was used longest ago.
    pub(super) fn put_back(&self, kept: Kept) {
        let (at, key) = kept.name();
        self.closed.insert(Shelf::Alone(at, key), [kept].into());
        self.closed.run_pending_tasks();
    }

    /// The image of a change, by the hash of its key.
    pub(super) fn find(&self, at: Position, key: u64) -> Option<Image> {
        let chunk = at.offset >> CHUNK_BITS;
        let is_it = |kept: &&Kept| kept.at.offset == at.offset && kept.key == key;
        {
            let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some((current, kept)) = open.get(&at.partition)
                && *current == chunk
                && let Some(kept) = kept.iter().rev().find(is_it)
            {
                return Some(kept.image.clone());
            }
        }
        let on = |shelf| self.closed.get(&shelf)?.iter().rev().find(is_it).map(|kept| kept.image.clone());
        on(Shelf::Chunk(at.partition, chunk)).or_else(|| on(Shelf::Alone(at, key)))
    }
}

/// What the judge may ask at once.
pub(super) struct TableVersions {
    store: Arc<ImageStore>,
    verified: Cache<u128, Verified>,
    tables: Arc<Tables>,
    partitions: Partitions,
    /// Where an audit is to go on after it was ended: what was verified, in order.
    noted: Option<Noted>,
}

impl TableVersions {
    pub(super) fn new(
        store: Arc<ImageStore>,
        bytes: u64,
        tables: Arc<Tables>,
        partitions: Partitions,
        noted: Option<Noted>,
    ) -> TableVersions {
        let weigh =
            |_: &u128, verified: &Verified| 400 + 40 * u32::try_from(verified.earlier.len()).unwrap_or(u32::MAX / 80);
        let verified = Cache::builder()
            .max_capacity(bytes / 8 * VERIFIED_EIGHTHS)
            .weigher(weigh)
            .eviction_policy(moka::policy::EvictionPolicy::lru())
            .build();
        TableVersions { store, verified, tables, partitions, noted }
    }
}

impl Images for TableVersions {
    fn image(&self, at: Position, key: &Key) -> Option<Image> {
        self.store.find(at, Kept::hash(key))
    }

    fn compare(&self, key: &Key, expected: &Row, observed: &Row) -> Vec<ColumnVerdict> {
        let Some(plan) = self.tables.plan(key.table()) else { return Vec::new() };
        let compared = plan.differ(expected, observed).into_iter();
        compared
            .map(|column| ColumnVerdict {
                index: column.index,
                name: column.name,
                outcome: column.outcome,
                expected: column.expected,
                observed: column.observed,
                placeholder: column.placeholder,
            })
            .collect()
    }

    fn scannable(&self, table: TableId, partition: PartitionId) -> Result<(), &'static str> {
        let Some(judged) = self.tables.get(table) else { return Err("its columns are not known") };
        if self.noted.is_some() {
            return Err("a range is judged by the keys that change in it");
        }
        if self.partitions.is_spread(&self.partitions.name(partition).topic) {
            return Err("its topic has several partitions, so that rows of keys that nobody tracked may be newer");
        }
        if judged.filter.is_some() {
            return Err("the applier carries some of its rows");
        }
        match judged.owned {
            Owned::Alone => Ok(()),
            Owned::PerhapsShared => {
                Err("other tables may be written into its target too, unless a rule names it alone (`match`, `target`)")
            }
        }
    }

    fn weigh(&self, key: &Key, expected: &Row, observed: &Row, asked: &[(usize, Coercion)]) -> Vec<Weighed> {
        self.tables.plan(key.table()).map(|plan| plan.weigh(expected, observed, asked)).unwrap_or_default()
    }

    fn kinship(&self, table: TableId, from: PlanEpoch, to: PlanEpoch) -> Kinship {
        match self.tables.plan_at(table, from).zip(self.tables.plan_at(table, to)) {
            Some((from, to)) if to.extends(&from) => Kinship::Fingerprints,
            Some((from, to)) if to.has_keys_of(&from) => Kinship::Keys,
            Some(_) | None => Kinship::None,
        }
    }

    fn tell_anew(&self, table: TableId, row: &Row, told: (PlanEpoch, &Mask), to: PlanEpoch) -> Option<(u128, Mask)> {
        let (from, to) = (self.tables.plan_at(table, told.0)?, self.tables.plan_at(table, to)?);
        let still = to.expect_still(row, &from, told.1);
        Some((still.fingerprint, still.mask))
    }

    fn remember(&mut self, key: &Key, verified: Verified) {
        if let Some(noted) = &self.noted {
            noted.note(key.hash128(), verified.seen.then_some(verified.at));
        }
        self.verified.insert(key.hash128(), verified);
    }

    fn recall(&self, key: &Key) -> Option<Verified> {
        self.verified.get(&key.hash128())
    }

    fn hazard(&self, table: TableId) -> Option<String> {
        self.tables.plan(table)?.hazard()
    }

    fn is_exact(&self, table: TableId) -> bool {
        self.tables.plan(table).is_some_and(|plan| !plan.has_tolerance())
    }

    fn share_tables(&self, one: PartitionId, other: PartitionId) -> bool {
        self.partitions.name(one).topic == self.partitions.name(other).topic
    }

    fn partition_name(&self, partition: PartitionId) -> String {
        self.partitions.name(partition).to_string()
    }

    fn table_name(&self, table: TableId) -> Arc<str> {
        self.tables.tap_name(table)
    }
}
