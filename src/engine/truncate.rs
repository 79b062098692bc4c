//! 3 ▸ A truncate changes every row of its table, whatever partitions they are in.

use crate::model::change::KeyChange;
use crate::model::{Key, Op, TableId};

use super::chain::{Arrival, Marks, Version};
use super::event::{Note, Output, Role, Tracked};
use super::keys::{Entry, KeyIx};
use super::state::Engine;
use super::track::Tracked as Track;

pub(super) const TRUNCATED: &str = "a truncate in another partition has no order with it";

/// Where a key stands to a truncate of its table.
enum Truncated {
    Gone,
    Newer,
    Unknown,
}

impl Engine {
    /// Leaves a change without a verdict, and what is open of its key.
    pub(super) fn leave_change(&mut self, change: &Tracked, why: &'static str) {
        if let Some(ix) = self.keys.find(&change.key) {
            self.give_up(ix, why);
        }
        self.strike(&change.key);
        if let Some(partition) = self.partitions.get_mut(&change.at.partition) {
            partition.unbroken_since = partition.consumed;
        }
        self.counters.unverifiable += 1;
        let range = (change.at.offset, change.at.offset);
        self.say(Output::Note(Note::Unverifiable { partition: change.at.partition, range, why }));
    }

    /// Every tracked key of the table that is ordered with the truncate is expected gone. What is open of the others, and
    /// not known to be newer, cannot be judged any more.
    pub(super) fn truncate(&mut self, change: &Tracked) {
        let table = change.key.table();
        let version = self.truncated(change);
        self.patrol.roster.void_table(table);
        let known = self.truncates.entry(table).or_insert(version);
        if known.order <= version.order || !self.options.order.is_wide() {
            *known = version;
        }
        let is_last = known.at() == version.at();
        self.hold_commits(change.at);
        if is_last {
            self.scan_behind(change, version);
        }
        let wide = self.is_wide();
        let place = |entry: &Entry| {
            let newest = entry.chain.newest();
            if wide && newest.order > version.order {
                // Read late: what came after it stands, and what came before it has lost its place.
                let oldest = entry.chain.versions()[0].order;
                return if oldest > version.order { Truncated::Newer } else { Truncated::Unknown };
            }
            if wide || newest.partition == change.at.partition {
                return Truncated::Gone;
            }
            match (newest.committed_at(), change.committed_at) {
                (Some(written), Some(truncated)) if written > truncated => Truncated::Newer,
                (_, _) => Truncated::Unknown,
            }
        };
        let is_of = |entry: &Entry| entry.key.table() == table && entry.role != Role::Heartbeat;
        let keys: Vec<(KeyIx, Truncated)> =
            self.keys.iter().filter(|(_, entry)| is_of(entry)).map(|(ix, entry)| (ix, place(entry))).collect();
        for (ix, truncated) in keys {
            match truncated {
                Truncated::Gone => {
                    let role = self.keys.get(ix).map_or(Role::Rows, |entry| entry.role);
                    self.append(ix, version, role);
                }
                Truncated::Newer => {}
                Truncated::Unknown => self.give_up(ix, TRUNCATED),
            }
        }
    }

    fn truncated(&mut self, change: &Tracked) -> Version {
        let order = if self.is_wide() { self.source_order(change) } else { change.at.offset };
        let late = self.is_late(change);
        let marks = Marks { committed_at: change.committed_at, key_change: KeyChange::No, late, left_out: false };
        let mask = self.masks.id(&change.mask);
        Version::new(change.at, order, Op::Truncate, (0, mask), &marks)
    }

    /// A change that was read after a truncate of another partition, and stands before it in a wider order, is gone with it.
    /// In the transaction of the truncate it may stand on either side.
    pub(super) fn truncated_since(&mut self, key: &Key, version: &Version) {
        let Some(truncate) = self.truncates.get(&key.table()).copied() else { return };
        let concerns = truncate.partition != version.partition && truncate.order >= version.order;
        let Some(ix) = self.keys.find(key).filter(|_| self.is_wide() && concerns) else { return };
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let arrival = entry.chain.push(truncate);
        if truncate.order == version.order {
            entry.disorder();
        }
        self.memory.versions += 1;
        self.track_late(ix, &truncate, arrival);
    }

    /// A version that was read after truncates which stand behind it in a wider order. What was said of the row against them
    /// was said without it.
    pub(super) fn place_before_truncates(&mut self, ix: KeyIx, version: Version, truncates: usize) {
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let unordered = entry.is_unordered();
        let placed = entry.chain.push_before(truncates, version).to_vec();
        if unordered {
            entry.disorder();
        }
        self.memory.versions += 1;
        let suspect = entry.more().suspect.take();
        self.suspects.remove(&ix);
        if let Some(suspicion) = suspect.and_then(|suspect| suspect.stated) {
            self.withdraw(*suspicion);
        }
        for version in placed {
            self.track_late(ix, &version, version.arrival);
        }
    }

    pub(super) fn track_late(&mut self, key: KeyIx, version: &Version, arrival: Arrival) {
        let partition = self.partitions.entry(version.partition).or_default();
        partition.track_late(Track { offset: version.offset, key, arrival });
    }

    /// Whether a truncate of the table was read that may still have to be applied.
    pub(super) fn is_truncating(&self, table: TableId) -> bool {
        self.truncates.get(&table).is_some_and(|truncate| !self.settles(truncate, table))
    }

    /// A change of another partition that the source committed no later than a truncate of its table: nothing tells which
    /// of the two came first.
    pub(super) fn may_be_truncated(&self, change: &Tracked) -> bool {
        let Some(truncate) = self.truncates.get(&change.key.table()) else { return false };
        truncate.partition != change.at.partition
            && !self.is_wide()
            && match (truncate.committed_at(), change.committed_at) {
                (Some(truncated), Some(committed)) => committed <= truncated,
                (None, _) | (_, None) => true,
            }
    }
}
