//! What of a tap an audit judges: keys that change inside its range, and which of these were asked for.
//!
//! Every key of the range is judged, with all its versions: only its newest says what the row has to be. What was asked for
//! chooses the findings that are told, and what the report says of the others.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashSet;

use crate::canon::Meets;
use crate::engine::Input;
use crate::engine::event::Tracked;
use crate::model::{Condition, Key, Op, PartitionId, Position, TableId};
use crate::tap::Partitions;

use super::accused::Docket;
use super::decoding::{Decoded, Passed};
use super::entry::AsOf;
use super::job::{Judged, Noted};
use super::tables::Tables;

/// New keys of each partition that a batch behind the range may bring: some twenty a second.
const WITNESSES: usize = 4;

/// Keys behind the range at most; an audit that waits for hours has seen enough by then.
const WITNESSES_HELD: usize = 1 << 16;

/// Keys named where some of the range cannot be told.
const NAMED: usize = 5;

/// Judges only keys that change inside a range: what comes behind it matters for those alone.
///
/// A few others are followed besides once the log is read on behind where it ended at the start. That something appended later
/// is seen on the target proves progress, and the keys of a range may never change again.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Where the range ends; the tap says so before it delivers what lies behind.
    ends: BTreeMap<PartitionId, u64>,
    keys: HashSet<u128>,
    beside: HashSet<u128>,
    part: Part,
    asked: Asked,
    judged: Judged,
    noted: Noted,
}

/// What of a range the user asked for, as far as the tap alone tells it.
#[derive(Debug, Clone, Default)]
pub(super) struct Asked {
    /// Only keys of which a change meets this.
    pub(super) condition: Option<Condition>,
    /// Only changes of these operations choose a key by the condition; empty: all.
    pub(super) ops: Vec<Op>,
    pub(super) as_of: AsOf,
    /// Only these keys, where somebody names them.
    pub(super) docket: Option<Docket>,
}

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Part {
    /// What there was at the start.
    #[default]
    Before,
    /// What was appended since.
    Since,
}

/// Which keys of a range were asked for, by their hashes. As large as the range has keys.
#[derive(Debug, Default)]
pub(super) struct Selection {
    /// Keys of which a change meets the condition.
    chosen: HashSet<u128>,
    /// Keys of which no change is known to meet it, and some do not tell.
    untold: BTreeMap<u128, (PartitionId, TableId, Passed)>,
    /// Keys that changed behind the range, with the first of these changes.
    overtaken: BTreeMap<u128, (Key, Position)>,
    asked: Asked,
}

/// Keys of one table that were overtaken in one partition.
#[derive(Debug, Clone)]
pub(super) struct Overtaken {
    /// How many, and the first and the last of the changes that overtook them.
    pub(super) passed: Passed,
    /// Some of them.
    pub(super) keys: Vec<Key>,
}

impl Window {
    pub(super) fn new(asked: Asked, judged: Judged, noted: Noted) -> Window {
        Window { asked, judged, noted, ..Window::default() }
    }

    /// With the ids that its partitions have in this process, and the plans of its tables.
    pub(super) fn among(mut self, partitions: &Partitions, tables: &Arc<Tables>) -> Window {
        self.judged.find(partitions);
        if let Some(docket) = &self.asked.docket {
            docket.among(Arc::clone(tables));
        }
        self
    }

    pub(super) fn noted(&self) -> &Noted {
        &self.noted
    }

    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    pub(super) fn reads(&mut self, part: Part) {
        self.part = part;
    }

    pub(super) fn ends_at(&mut self, partition: PartitionId, at: u64) {
        self.ends.insert(partition, at);
    }

    /// Changes that an earlier process judged: those it saw, and those that were replaced before.
    pub(super) fn passed(&self) -> (u64, u64) {
        self.judged.passed()
    }

    /// Keys that change inside the range.
    pub(super) fn keys(&self) -> u64 {
        self.keys.len() as u64
    }

    pub(super) fn beside(&self) -> &HashSet<u128> {
        &self.beside
    }

    fn holds(&self, partition: PartitionId, offset: u64) -> bool {
        self.ends.get(&partition).is_none_or(|end| offset < *end)
    }

    /// Takes out what is not judged, and its images. Everything that is no change of a row is judged.
    pub(super) fn narrow(&mut self, decoded: &mut Decoded, selection: &mut Selection) {
        self.noted.met(&decoded.batch, &mut self.judged);
        let mut images = std::mem::take(&mut decoded.images).into_iter();
        let mut meets = std::mem::take(&mut decoded.meets).into_iter();
        let mut admitted: BTreeMap<PartitionId, usize> = BTreeMap::new();
        decoded.inputs.retain(|input| {
            let Input::Change(change) = input else { return true };
            // Each change has its image, in the same order, and its answer where something is asked.
            let (image, meets) = (images.next(), meets.next());
            let (key, at) = (&change.key, change.at);
            let judged = change.op == Op::Truncate
                || (self.is_named(change) && self.follows(at.partition, at.offset, key))
                || self.admits(key, admitted.entry(at.partition).or_default());
            self.select(change, meets, selection);
            let judged = judged && !(change.op != Op::Truncate && self.judged.passes(change));
            decoded.images.extend(image.filter(|_| judged));
            judged
        });
        let ends = &self.ends;
        decoded.not_judged.retain(|(partition, _), passed| ends.get(partition).is_none_or(|end| passed.range.0 < *end));
    }

    fn select(&self, change: &Tracked, meets: Option<Meets>, selection: &mut Selection) {
        let inside = self.holds(change.at.partition, change.at.offset);
        let is_asked = self.asked.ops.is_empty() || self.asked.ops.contains(&change.op);
        match meets.filter(|_| inside && is_asked) {
            Some(Meets::Yes) => selection.choose(change.key.hash128()),
            Some(Meets::Unknown) => selection.leave_untold(&change.key, change.at),
            Some(Meets::No) | None => {}
        }
        let hash = change.key.hash128();
        if !inside && self.asked.as_of == AsOf::End && self.keys.contains(&hash) {
            selection.overtaken.entry(hash).or_insert_with(|| (change.key.clone(), change.at));
        }
    }

    /// Whether the key is one of those that were named, where only these are judged. Each is noted as it comes by.
    fn is_named(&self, change: &Tracked) -> bool {
        self.asked.docket.as_ref().is_none_or(|docket| docket.takes(change))
    }

    fn follows(&mut self, partition: PartitionId, offset: u64, key: &Key) -> bool {
        let inside = self.holds(partition, offset);
        if inside {
            self.beside.remove(&key.hash128());
            self.keys.insert(key.hash128());
        }
        inside || self.keys.contains(&key.hash128())
    }

    /// Whether a key behind the range is followed as a witness.
    fn admits(&mut self, key: &Key, admitted: &mut usize) -> bool {
        let hash = key.hash128();
        let may = self.admits_others() && *admitted < WITNESSES && self.beside.len() < WITNESSES_HELD;
        if may && self.beside.insert(hash) {
            *admitted += 1;
        }
        self.beside.contains(&hash)
    }
}

impl Window {
    /// What is named is seldom right, so it proves no progress: others are followed from the start then.
    fn admits_others(&self) -> bool {
        self.part == Part::Since || self.asked.docket.as_ref().is_some_and(Docket::is_alone)
    }
}

impl Selection {
    pub(super) fn new(asked: Asked) -> Selection {
        Selection { asked, ..Selection::default() }
    }

    fn choose(&mut self, key: u128) {
        self.untold.remove(&key);
        self.chosen.insert(key);
    }

    fn leave_untold(&mut self, key: &Key, at: Position) {
        if self.chosen.contains(&key.hash128()) {
            return;
        }
        let one = Passed { count: 1, range: (at.offset, at.offset) };
        let known = self.untold.entry(key.hash128()).or_insert((at.partition, key.table(), Passed { count: 0, ..one }));
        // A key whose changes lie in several partitions is listed in the first.
        known.2 =
            if known.0 == at.partition { known.2.with(one) } else { Passed { count: known.2.count + 1, ..known.2 } };
    }

    /// Whether findings of a key are told. Where its changes do not tell, they are.
    pub(super) fn tells(&self, key: u128) -> bool {
        let is_asked = self.asked.condition.is_none() || self.chosen.contains(&key) || self.untold.contains_key(&key);
        is_asked && !self.overtaken.contains_key(&key)
    }

    /// Keys of which the condition chose a change; `None` where there is none.
    pub(super) fn chosen(&self) -> Option<u64> {
        self.asked.condition.as_ref().map(|_| self.chosen.len() as u64)
    }

    /// Changes of which nothing tells whether they were asked for, by partition and table.
    pub(super) fn untold(&self) -> BTreeMap<(PartitionId, TableId), Passed> {
        let mut untold: BTreeMap<(PartitionId, TableId), Passed> = BTreeMap::new();
        for (partition, table, passed) in self.untold.values() {
            let known = untold.entry((*partition, *table)).or_insert(Passed { count: 0, ..*passed });
            *known = known.with(*passed);
        }
        untold
    }

    /// Keys that were asked for and changed behind the range, by the partition of that change.
    pub(super) fn overtaken(&self) -> BTreeMap<(PartitionId, TableId), Overtaken> {
        let mut overtaken: BTreeMap<(PartitionId, TableId), Overtaken> = BTreeMap::new();
        let is_asked = |key: &u128| self.asked.condition.is_none() || self.chosen.contains(key);
        for (_, (key, at)) in self.overtaken.iter().filter(|(hash, _)| is_asked(hash)) {
            let one = Passed { count: 1, range: (at.offset, at.offset) };
            let none = Overtaken { passed: Passed { count: 0, ..one }, keys: Vec::new() };
            let of = overtaken.entry((at.partition, key.table())).or_insert(none);
            of.passed = of.passed.with(one);
            if of.keys.len() < NAMED {
                of.keys.push(key.clone());
            }
        }
        overtaken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: i64) -> Key {
        Key::new(TableId(0), &[crate::model::Cell::Int(id)])
    }

    #[test]
    fn a_window_follows_only_keys_it_saw_inside() {
        let (one, other) = (PartitionId(0), PartitionId(1));
        let mut window = Window::default();
        assert!(window.follows(one, 9, &key(1)), "no end was told yet");
        window.ends_at(one, 10);
        assert!(window.follows(one, 9, &key(2)));
        assert!(window.follows(one, 10, &key(1)));
        assert!(!window.follows(one, 10, &key(3)));
        assert!(window.follows(other, 10, &key(3)), "each partition has its own end");
    }

    #[test]
    fn a_window_admits_a_few_witnesses_of_what_is_appended_since() {
        let mut window = Window { ends: BTreeMap::from([(PartitionId(0), 10)]), ..Window::default() };
        assert!(!window.admits(&key(0), &mut 0), "what was there at the start proves nothing new");
        window.reads(Part::Since);
        let mut admitted = 0;
        let followed: Vec<_> = (0..10).filter(|id| window.admits(&key(*id), &mut admitted)).collect();
        assert_eq!(followed, [0, 1, 2, 3]);
        assert!(window.admits(&key(2), &mut admitted), "once followed, always followed");
        assert!(window.admits(&key(7), &mut 0), "the next batch brings others");
        assert!(window.follows(PartitionId(1), 5, &key(7)) && !window.beside.contains(&key(7).hash128()));
    }

    #[test]
    fn a_change_that_does_not_tell_counts_only_where_no_other_chooses_its_key() {
        let at = |offset| Position { partition: PartitionId(0), offset };
        let condition = Some(Condition::Holds(crate::model::condition::Operand::Bool(true)));
        let mut selection = Selection::new(Asked { condition, ..Asked::default() });
        for (id, offset) in [(1, 3), (2, 5), (1, 9)] {
            selection.leave_untold(&key(id), at(offset));
        }
        selection.choose(key(2).hash128());
        selection.leave_untold(&key(2), at(11));
        let untold = selection.untold();
        assert_eq!(untold[&(PartitionId(0), TableId(0))], Passed { count: 2, range: (3, 9) });
        assert!(selection.tells(key(1).hash128()) && selection.tells(key(2).hash128()));
        assert!(!selection.tells(key(3).hash128()));
    }
}
