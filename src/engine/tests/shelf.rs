//! What the judge may ask at once, in a bench: images, what was verified, and rows of two columns under each plan.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::canon::{Compared, Mask, ObservedHashes, Weighed, Weight};
use crate::engine::event::{Carried, ColumnVerdict, Image, Images, Kinship, PlanEpoch, Recall, Verified};
use crate::model::{Cell, Coercion, Columns, Key, PartitionId, Position, Row, TableId, Typing};

pub(super) type Values = (i64, i64);

#[derive(Default)]
pub(super) struct Shelf {
    images: BTreeMap<(Position, Key), Image>,
    /// Those that the log still tells.
    log: BTreeMap<(Position, Key), Image>,
    verified: BTreeMap<Key, Verified>,
    pub(super) tolerance: bool,
    /// The applier may write tens only.
    pub(super) tens: bool,
    /// Why no table can be looked at as a whole.
    pub(super) unscannable: Option<&'static str>,
    /// The first plan whose keys are those of now.
    pub(super) keys_since: u32,
    /// A plan that only compares more than the one before.
    pub(super) extended: Option<u32>,
}

#[derive(Clone, Default)]
pub(super) struct Shared(pub(super) Arc<Mutex<Shelf>>);

impl Shared {
    pub(super) fn put(&self, at: Position, key: &Key, row: Option<Arc<Row<'static>>>) {
        let mut shelf = self.0.lock().unwrap();
        let image = Image { row, source: None };
        shelf.images.insert((at, key.clone()), image.clone());
        shelf.log.insert((at, key.clone()), image);
    }

    /// The cache is empty.
    pub(super) fn forget(&self) {
        self.0.lock().unwrap().images.clear();
    }

    /// So is the log.
    pub(super) fn lose(&self) {
        self.forget();
        self.0.lock().unwrap().log.clear();
    }

    /// Takes from the log what is still there; gives back how much that is.
    pub(super) fn put_back(&self, recall: &Recall) -> u64 {
        let mut shelf = self.0.lock().unwrap();
        let found =
            |at: &Position| Some(((*at, recall.key.clone()), shelf.log.get(&(*at, recall.key.clone()))?.clone()));
        let found: Vec<_> = recall.at.iter().filter_map(found).collect();
        let count = found.len() as u64;
        shelf.images.extend(found);
        count
    }
}

impl Images for Shared {
    fn image(&self, at: Position, key: &Key) -> Option<Image> {
        self.0.lock().unwrap().images.get(&(at, key.clone())).cloned()
    }

    fn scannable(&self, _: TableId, _: PartitionId) -> Result<(), &'static str> {
        self.0.lock().unwrap().unscannable.map_or(Ok(()), Err)
    }

    fn compare(&self, _: &Key, expected: &Row, observed: &Row) -> Vec<ColumnVerdict> {
        let tolerance = i64::from(self.0.lock().unwrap().tolerance);
        let equal = |expected: &Cell, observed: &Cell| match (expected, observed) {
            (Cell::Int(expected), Cell::Int(observed)) => (expected - observed).abs() <= tolerance,
            (expected, observed) => expected == observed,
        };
        let pairs = expected.iter().zip(observed.cells.iter()).enumerate();
        let verdict = |(index, ((name, expected), observed)): (usize, ((&str, &Cell), &Cell))| ColumnVerdict {
            index,
            name: name.into(),
            outcome: if equal(expected, observed) { Compared::Equal } else { Compared::Different },
            expected: format!("{expected:?}"),
            observed: format!("{observed:?}"),
            placeholder: false,
        };
        pairs.filter(|(_, ((_, expected), _))| **expected != Cell::NotSent).map(verdict).collect()
    }

    fn weigh(&self, _: &Key, expected: &Row, observed: &Row, asked: &[(usize, Coercion)]) -> Vec<Weighed> {
        let int = |row: &Row, index: usize| if let Cell::Int(int) = row.cells[index] { Some(int) } else { None };
        let made = |coercion: Coercion, was: i64| if coercion == Coercion::Nulled { 0 } else { was / 10 * 10 };
        let weigh = |index: usize| {
            let (was, is) = (int(expected, index)?, int(observed, index)?);
            let shown = |coercion: &Coercion| was != is && made(*coercion, was) == is;
            let weight = |coercion: Coercion| match (shown(&coercion), made(coercion, was) == was) {
                (true, _) => Weight::Shown,
                (false, false) => Weight::Contrary,
                (false, true) => Weight::Silent,
            };
            let asked = asked.iter().filter(|(column, _)| *column == index);
            Some(Weighed {
                index,
                name: ["a", "b"][index].into(),
                differs: was != is,
                explained: [Coercion::Digits(0), Coercion::Nulled].into_iter().filter(shown).collect(),
                asked: asked.map(|(_, coercion)| (*coercion, weight(*coercion))).collect(),
                value: was as u64,
                expected: was.to_string(),
                observed: is.to_string(),
            })
        };
        if self.0.lock().unwrap().tens { (0..2).filter_map(weigh).collect() } else { Vec::new() }
    }

    fn is_exact(&self, _: TableId) -> bool {
        !self.0.lock().unwrap().tolerance
    }

    fn kinship(&self, _: TableId, from: PlanEpoch, to: PlanEpoch) -> Kinship {
        let shelf = self.0.lock().unwrap();
        match from.0 >= shelf.keys_since {
            true if from.0 + 1 == to.0 && shelf.extended == Some(to.0) => Kinship::Fingerprints,
            true => Kinship::Keys,
            false => Kinship::None,
        }
    }

    fn tell_anew(&self, _: TableId, row: &Row, (_, mask): (PlanEpoch, &Mask), to: PlanEpoch) -> Option<(u128, Mask)> {
        Some((hashes_by(to.0, values(row)).sum(mask), mask.clone()))
    }

    fn remember(&mut self, key: &Key, verified: Verified) {
        self.0.lock().unwrap().verified.insert(key.clone(), verified);
    }

    fn recall(&self, key: &Key) -> Option<Verified> {
        self.0.lock().unwrap().verified.get(key).cloned()
    }

    fn partition_name(&self, partition: PartitionId) -> String {
        partition.0.to_string()
    }

    fn table_name(&self, table: TableId) -> Arc<str> {
        format!("t{}", table.0).into()
    }
}

pub(super) fn hashes(values: Values) -> ObservedHashes {
    hashes_by(0, values)
}

pub(super) fn hashes_by(plan: u32, (a, b): Values) -> ObservedHashes {
    let hash = |seed, value: i64| xxh3_128_with_seed(&value.to_be_bytes(), u64::from(plan) << 8 | seed);
    ObservedHashes([hash(0, a), hash(1, b)].into())
}

pub(super) fn values(row: &Row) -> Values {
    let int = |cell: &Cell| if let Cell::Int(int) = cell { *int } else { 0 };
    (int(&row.cells[0]), int(&row.cells[1]))
}

pub(super) fn row((a, b): Values) -> Arc<Row<'static>> {
    let columns = Arc::new(Columns::new(["a", "b"]));
    Arc::new(Row::new(columns, vec![Cell::Int(a), Cell::Int(b)], Typing::Declared))
}

/// Whether the applier is meant to carry a change, by the word of a script.
pub(super) fn carried(word: &str) -> Carried {
    match word {
        "within" => Carried::Within,
        "leaves" => Carried::Leaves,
        "outside" => Carried::Outside,
        _ => Carried::Untold,
    }
}

pub(super) fn number(word: &str) -> u64 {
    word.parse().unwrap_or_else(|_| panic!("not a number: {word}"))
}

pub(super) fn parse(values: &str) -> Values {
    let (a, b) = values.split_once('/').unwrap_or_else(|| panic!("not A/B: {values}"));
    (number(a) as i64, number(b) as i64)
}
