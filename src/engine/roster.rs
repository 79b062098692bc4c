//! The verified keys that the patrol covers, in the order of their last look.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{Key, PartitionId, TableId, Tick};

use super::chain::Version;
use super::limit::PATROL_STRETCH;

/// A verified key and what it was last read as.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) key: Key,
    pub(super) version: Version,
    /// How often it changed since it was first verified.
    pub(super) changes: u32,
    /// When it was last read.
    pub(super) look: Tick,
    pub(super) entered: Entered,
    /// It is in the order of looks. It is not while it is being looked at, nor while it has a change without a verdict.
    waits: bool,
}

/// When a key was entered, counted; what was entered before something that may have changed it unseen is void.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Entered(u64);

/// Looks of one stretch of time count as equally old.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Stretch(u64);

impl Stretch {
    fn of(at: Tick) -> Stretch {
        Stretch(at.0 / PATROL_STRETCH.as_millis() as u64)
    }
}

/// Place of a key in the roster.
type Slot = u32;

/// The roster. Past its bound a key makes room that is drawn by the count of those that came, so that keys of now and of
/// long ago are both in it.
#[derive(Debug)]
pub(super) struct Roster {
    most: usize,
    slots: Vec<Option<Known>>,
    free: Vec<Slot>,
    index: HashTable<Slot>,
    /// Oldest look first, most often changed first.
    order: BTreeMap<TableId, BTreeSet<(Stretch, Reverse<u32>, Slot)>>,
    entered: Entered,
    void_partitions: BTreeMap<PartitionId, Entered>,
    void_tables: BTreeMap<TableId, Entered>,
}

fn hash(key: &Key) -> u64 {
    xxh3_64(key.bytes())
}

impl Roster {
    pub(super) fn new(most: usize) -> Roster {
        Roster {
            most,
            slots: Vec::new(),
            free: Vec::new(),
            index: HashTable::new(),
            order: BTreeMap::new(),
            entered: Entered::default(),
            void_partitions: BTreeMap::new(),
            void_tables: BTreeMap::new(),
        }
    }

    /// How many keys wait for their next look.
    pub(super) fn waiting(&self) -> usize {
        self.order.values().map(BTreeSet::len).sum()
    }

    /// The oldest look of those that wait.
    pub(super) fn oldest_look(&self) -> Option<Tick> {
        let firsts = self.order.values().filter_map(|table| table.first()).map(|(_, _, slot)| *slot);
        firsts.filter_map(|slot| self.get(slot)).map(|known| known.look).min()
    }

    fn get(&self, slot: Slot) -> Option<&Known> {
        self.slots.get(slot as usize).and_then(Option::as_ref)
    }

    fn find(&self, key: &Key) -> Option<Slot> {
        self.index.find(hash(key), |slot| self.get(*slot).is_some_and(|known| known.key == *key)).copied()
    }

    /// Enters a key that was verified at `look`, and is not in it.
    pub(super) fn enter(&mut self, key: Key, version: Version, changes: u32, look: Tick) {
        if self.most == 0 {
            return;
        }
        self.entered.0 += 1;
        if self.index.len() >= self.most {
            let draw = xxh3_64(&self.entered.0.to_le_bytes()) as usize % self.slots.len();
            self.clear(draw as Slot);
        }
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as Slot
        });
        let hashed = hash(&key);
        self.slots[slot as usize] = Some(Known { key, version, changes, look, entered: self.entered, waits: false });
        let slots = &self.slots;
        self.index
            .insert_unique(hashed, slot, |slot| slots[*slot as usize].as_ref().map_or(0, |known| hash(&known.key)));
        self.await_look(slot);
    }

    /// A key was looked at and nothing was learned, or nothing that may be said: it waits for its next look.
    pub(super) fn looked(&mut self, key: &Key, look: Tick) {
        let Some(slot) = self.find(key) else { return };
        self.rest(slot);
        if let Some(known) = self.slots[slot as usize].as_mut() {
            known.look = look;
        }
        self.await_look(slot);
    }

    /// Forgets a key, and gives back what was known of it.
    pub(super) fn leave(&mut self, key: &Key) -> Option<Known> {
        let slot = self.find(key)?;
        self.clear(slot)
    }

    /// What is known of the keys of a partition may lack a change.
    pub(super) fn void_partition(&mut self, partition: PartitionId) {
        self.void_partitions.insert(partition, self.entered);
    }

    /// What is known of the keys of a table is true no more.
    pub(super) fn void_table(&mut self, table: TableId) {
        self.void_tables.insert(table, self.entered);
    }

    /// Whether what was entered then is void.
    pub(super) fn is_void(&self, entered: Entered, partition: PartitionId, table: TableId) -> bool {
        let marks = [self.void_partitions.get(&partition), self.void_tables.get(&table)];
        marks.into_iter().flatten().any(|mark| entered <= *mark)
    }

    /// Takes the key whose look is the oldest out of the order, of this table if one is named. `None` where all were looked
    /// at in this stretch of time. It stays known until it leaves or is entered again.
    pub(super) fn next(&mut self, table: Option<TableId>, now: Tick) -> Option<&Known> {
        let first = |keys: &BTreeSet<(Stretch, Reverse<u32>, Slot)>| keys.first().copied();
        let (_, _, slot) = match table {
            Some(table) => self.order.get(&table).and_then(first),
            None => self.order.values().filter_map(first).min(),
        }
        .filter(|(stretch, _, _)| *stretch < Stretch::of(now))?;
        self.rest(slot);
        self.get(slot)
    }

    fn await_look(&mut self, slot: Slot) {
        let Some(known) = self.slots[slot as usize].as_mut() else { return };
        known.waits = true;
        let place = (Stretch::of(known.look), Reverse(known.changes), slot);
        self.order.entry(known.key.table()).or_default().insert(place);
    }

    /// Takes a key out of the order.
    fn rest(&mut self, slot: Slot) {
        let Some(known) = self.slots[slot as usize].as_mut().filter(|known| known.waits) else { return };
        known.waits = false;
        let (table, place) = (known.key.table(), (Stretch::of(known.look), Reverse(known.changes), slot));
        if let Some(keys) = self.order.get_mut(&table) {
            keys.remove(&place);
            if keys.is_empty() {
                self.order.remove(&table);
            }
        }
    }

    fn clear(&mut self, slot: Slot) -> Option<Known> {
        self.rest(slot);
        let hashed = hash(&self.get(slot)?.key);
        if let Ok(found) = self.index.find_entry(hashed, |known| *known == slot) {
            found.remove();
        }
        self.free.push(slot);
        self.slots[slot as usize].take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::chain::{Marks, MaskId};
    use crate::model::change::KeyChange;
    use crate::model::{Cell, Op, Position};

    const STRETCH: u64 = PATROL_STRETCH.as_millis() as u64;

    fn key(table: u32, id: u64) -> Key {
        Key::new(TableId(table), &[Cell::Int(id as i64)])
    }

    fn version(partition: u16) -> Version {
        let at = Position { partition: PartitionId(partition), offset: 0 };
        let marks = Marks { committed_at: None, key_change: KeyChange::No, late: false, left_out: false };
        Version::new(at, 0, Op::Insert, (1, MaskId(0)), &marks)
    }

    fn taken(roster: &mut Roster, table: Option<u32>, now: u64) -> Vec<Key> {
        std::iter::from_fn(|| roster.next(table.map(TableId), Tick(now)).map(|known| known.key.clone())).collect()
    }

    #[test]
    fn the_oldest_look_comes_first_and_then_the_key_that_changes_most() {
        let mut roster = Roster::new(10);
        for (id, changes, look) in [(1, 1, 0), (2, 5, 9), (3, 9, STRETCH), (4, 2, STRETCH * 2)] {
            roster.enter(key(0, id), version(0), changes, Tick(look));
        }
        roster.enter(key(1, 5), version(0), 3, Tick(1));
        assert_eq!(roster.oldest_look(), Some(Tick(1)), "of the one that is next in its table");
        assert_eq!(taken(&mut roster, None, STRETCH * 2), [key(0, 2), key(1, 5), key(0, 1), key(0, 3)]);
        assert_eq!(roster.waiting(), 1, "what was looked at in this stretch waits");
        roster.looked(&key(0, 1), Tick(STRETCH * 2));
        assert_eq!(taken(&mut roster, Some(0), STRETCH * 3), [key(0, 4), key(0, 1)]);
    }

    #[test]
    fn past_the_bound_one_key_makes_room_and_the_new_one_is_in() {
        let mut roster = Roster::new(16);
        for id in 0..1000 {
            roster.enter(key(0, id), version(0), 1, Tick(id));
            assert!(roster.find(&key(0, id)).is_some());
            assert_eq!(roster.waiting(), usize::try_from(id + 1).unwrap_or(16).min(16));
        }
        assert_eq!((roster.slots.len(), roster.index.len()), (16, 16));
        assert!(taken(&mut roster, None, 1_000_000).iter().any(|known| *known < key(0, 980)), "some are older");
    }

    #[test]
    fn what_was_entered_before_a_mark_is_void_and_what_comes_after_is_not() {
        let mut roster = Roster::new(4);
        roster.enter(key(0, 1), version(3), 1, Tick(0));
        roster.void_partition(PartitionId(3));
        roster.enter(key(0, 2), version(3), 1, Tick(0));
        roster.void_table(TableId(7));
        let void = |roster: &Roster, id| {
            let known = roster.find(&key(0, id)).and_then(|slot| roster.get(slot)).expect("known");
            roster.is_void(known.entered, known.version.partition, known.key.table())
        };
        assert_eq!((void(&roster, 1), void(&roster, 2)), (true, false));
        roster.void_table(TableId(0));
        assert!(void(&roster, 2));
    }

    #[test]
    fn a_key_takes_two_hundred_bytes() {
        assert!(size_of::<Option<Known>>() <= 112, "{}", size_of::<Option<Known>>());
    }
}
