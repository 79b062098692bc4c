//! The table-version cache of a run: bounded, and comparing cells for what they are.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use afterimage::canon::{Compared, Mask};
use afterimage::engine::event::{ColumnVerdict, Image, Images, Kinship, PlanEpoch, Verified};
use afterimage::model::{Cell, Key, PartitionId, Position, Row, TableId};

use crate::plan::Plan;
use crate::source::{Cells, hashes};

#[derive(Default)]
struct Shelf {
    images: BTreeMap<(Position, Key), Image>,
    arrived: VecDeque<(Position, Key)>,
    verified: BTreeMap<Key, Verified>,
    remembered: VecDeque<Key>,
    most: usize,
    unscannable: Option<&'static str>,
}

/// Shared between the world, which fills it, and the engine.
#[derive(Clone)]
pub(crate) struct Cache(Arc<Mutex<Shelf>>);

impl Cache {
    pub(crate) fn of(plan: &Plan) -> Cache {
        let unscannable = match (plan.partitions, plan.leaving) {
            (1, None) => None,
            (1, Some(_)) => Some("its applier carries some rows"),
            (_, _) => Some("its changes are in several partitions"),
        };
        Cache(Arc::new(Mutex::new(Shelf { most: plan.images, unscannable, ..Shelf::default() })))
    }

    fn shelf(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.0.lock().expect("one thread")
    }

    pub(crate) fn put(&self, at: Position, key: Key, row: Option<Arc<Row<'static>>>) {
        let mut shelf = self.shelf();
        shelf.arrived.push_back((at, key.clone()));
        shelf.images.insert((at, key), Image { row, source: None });
        while shelf.arrived.len() > shelf.most {
            if let Some(oldest) = shelf.arrived.pop_front() {
                shelf.images.remove(&oldest);
            }
        }
    }
}

impl Images for Cache {
    fn image(&self, at: Position, key: &Key) -> Option<Image> {
        self.shelf().images.get(&(at, key.clone())).cloned()
    }

    fn scannable(&self, _: TableId, _: PartitionId) -> Result<(), &'static str> {
        self.shelf().unscannable.map_or(Ok(()), Err)
    }

    fn compare(&self, _: &Key, expected: &Row, observed: &Row) -> Vec<ColumnVerdict> {
        let cells = expected.iter().zip(observed.iter()).enumerate();
        cells
            .filter(|(_, ((_, expected), _))| **expected != Cell::NotSent)
            .map(|(index, ((name, expected), (_, observed)))| ColumnVerdict {
                index,
                name: name.into(),
                outcome: if expected == observed { Compared::Equal } else { Compared::Different },
                expected: format!("{expected:?}"),
                observed: format!("{observed:?}"),
                placeholder: false,
            })
            .collect()
    }

    fn kinship(&self, _: TableId, _: PlanEpoch, _: PlanEpoch) -> Kinship {
        Kinship::Keys
    }

    fn tell_anew(&self, _: TableId, row: &Row, (_, mask): (PlanEpoch, &Mask), to: PlanEpoch) -> Option<(u128, Mask)> {
        let mut cells = Cells::default();
        for (cell, (_, sent)) in cells.iter_mut().zip(row.iter()) {
            *cell = if let Cell::Int(value) = sent { u32::try_from(*value).ok() } else { None };
        }
        Some((hashes(&cells, to.0).sum(mask), mask.clone()))
    }

    fn remember(&mut self, key: &Key, verified: Verified) {
        let mut shelf = self.shelf();
        if shelf.verified.insert(key.clone(), verified).is_none() {
            shelf.remembered.push_back(key.clone());
        }
        while shelf.remembered.len() > shelf.most {
            if let Some(oldest) = shelf.remembered.pop_front() {
                shelf.verified.remove(&oldest);
            }
        }
    }

    fn recall(&self, key: &Key) -> Option<Verified> {
        self.shelf().verified.get(key).cloned()
    }

    fn partition_name(&self, partition: PartitionId) -> String {
        format!("tap/{}", partition.0)
    }

    fn table_name(&self, table: TableId) -> Arc<str> {
        format!("public.t{}", table.0).into()
    }
}
