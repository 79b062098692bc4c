//! 3 ▸ Rows that no key tells apart. Each change says that there is one more of a content, or one fewer; judged is how many
//! there are.
//!
//! How many there were before the first change is not on the tap. Until a settled read has told, one more demands only that
//! there is one, and one fewer demands nothing. From then on every change demands a number. Equal rows take part in one count,
//! so their changes must come in one order: a table whose records come in several partitions is not judged.

use crate::canon::{COUNT, Mask};
use crate::model::finding::{ColumnDifference, Kind};
use crate::model::{Op, PartitionId, Position, TableId};

use super::chain::{Arrival, Content, Version};
use super::classify::Case;
use super::event::{Role, Tracked, Verified};
use super::judge::Observation;
use super::keys::{Entry, KeyIx};
use super::state::Engine;

const SPREAD: &str = "its table has no key, and its records come in several partitions, which are in no order";
const UNCOUNTED: &str = "its table has no key, and how many equal rows there were before is not known";

/// What is known of a table whose rows are counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counting {
    /// Where its records come; `None`: in several partitions.
    partition: Option<PartitionId>,
    /// Where it was truncated last.
    emptied: Option<u64>,
}

impl Engine {
    /// A change of a count, as what it leaves; `None` where that is not known, which is said.
    pub(super) fn counted(&mut self, change: Tracked) -> Option<Tracked> {
        if !self.is_in_one_partition(change.key.table(), change.at.partition) {
            self.leave_change(&change, SPREAD);
            return None;
        }
        let entry = self.keys.find(&change.key).and_then(|ix| self.keys.get(ix));
        if entry.is_some_and(|entry| entry.chain.newest().at() == change.at) {
            self.counters.duplicates += 1;
            return None;
        }
        let step = change.fingerprint as i64;
        // A row that is read may be one that was counted.
        let before = self.count_before(&change).filter(|_| change.op != Op::Read);
        match before.and_then(|before| before.checked_add_signed(step)) {
            Some(count) => Some(leaving(change, count, step)),
            None if step > 0 => Some(Tracked { fingerprint: 0, mask: Mask::default(), before: None, ..change }),
            None => {
                self.leave_change(&change, UNCOUNTED);
                None
            }
        }
    }

    /// Whether the records of a table come in one partition, as far as they came. Where one goes on as another, nothing that was
    /// counted holds.
    fn is_in_one_partition(&mut self, table: TableId, partition: PartitionId) -> bool {
        let fresh = Counting { partition: Some(partition), emptied: None };
        let known = *self.counting.entry(table).or_insert(fresh);
        if known.partition == Some(partition) {
            return true;
        }
        let is_over = |known: PartitionId| self.partitions.get(&known).is_none_or(|known| !known.assigned);
        let goes_on = known.partition.is_some_and(is_over);
        self.counting.insert(table, if goes_on { fresh } else { Counting { partition: None, emptied: None } });
        if known.partition.is_some() {
            let of_table = |entry: &Entry| entry.key.table() == table;
            let keys: Vec<KeyIx> = self.keys.iter().filter(|(_, entry)| of_table(entry)).map(|(ix, _)| ix).collect();
            keys.into_iter().for_each(|ix| self.give_up(ix, SPREAD));
        }
        goes_on
    }

    /// A truncate leaves none of any row.
    pub(super) fn counts_end(&mut self, table: TableId, at: Position) {
        let known = self.counting.get_mut(&table).filter(|known| known.partition == Some(at.partition));
        if let Some(known) = known {
            known.emptied = Some(at.offset);
        }
    }

    /// How many rows of a content there have to be before a change of it, where that is known.
    fn count_before(&self, change: &Tracked) -> Option<u64> {
        let (table, at) = (change.key.table(), change.at);
        if let Some(entry) = self.keys.find(&change.key).and_then(|ix| self.keys.get(ix)) {
            let newest = entry.chain.newest();
            let is_blind = entry.blind().is_some_and(|blind| newest.arrival <= blind);
            let since = self.counted_since(table, at.partition);
            let is_known = !is_blind && since.is_none_or(|since| newest.offset >= since);
            return self.count_of(newest).filter(|_| is_known);
        }
        let emptied = self.counting.get(&table).and_then(|known| known.emptied);
        let verified = self.trusted(&change.key, at).filter(|known| known.seen && emptied < Some(known.at.offset));
        match verified {
            Some(known) if known.mask == Mask::default() => None,
            Some(known) => u64::try_from(known.fingerprint).ok(),
            None => emptied.filter(|emptied| self.is_unbroken_since(at.partition, *emptied)).map(|_| 0),
        }
    }

    /// The offset of the newest record that may have changed a count and could not be read.
    fn counted_since(&self, table: TableId, partition: PartitionId) -> Option<u64> {
        let rejected = &self.partitions.get(&partition)?.rejected;
        let name = self.images.table_name(table);
        [None, Some(name)].iter().filter_map(|table| rejected.get(table)).max().copied()
    }

    /// How many rows a version left; `None` where it says only that there is one.
    fn count_of(&self, version: &Version) -> Option<u64> {
        if !version.leaves_row() {
            return Some(0);
        }
        let is_told = *self.masks.get(version.mask) != Mask::default();
        u64::try_from(version.fingerprint()).ok().filter(|_| is_told)
    }

    /// A settled read behind which nothing waits tells how many there are: the next change is counted from there.
    pub(super) fn learn_count(&mut self, ix: KeyIx, settled: Arrival, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let newest = entry.chain.newest();
        if settled < newest.arrival {
            return;
        }
        let count = count_in(&observation.content);
        let (key, at) = (entry.key.clone(), newest.at());
        let verified = Verified {
            at,
            seen: true,
            op: if count > 0 { Op::Insert } else { Op::Delete },
            fingerprint: u128::from(count),
            mask: one(),
            earlier: Vec::new(),
        };
        self.images.remember(&key, verified);
    }

    /// What is wrong with a count.
    pub(super) fn kind_of_count(&self, case: &Case<'_>, once_so: bool) -> Kind {
        let (expected, observed) = (case.expected(), count_in(&case.observation.content));
        if observed < self.count_of(expected).unwrap_or(1) {
            return if once_so { Kind::VanishedRow } else { Kind::MissingRow };
        }
        match expected.op {
            Op::Insert | Op::Read => Kind::DuplicateRow,
            Op::Update | Op::Delete | Op::Truncate if once_so => Kind::ResurrectedRow,
            Op::Update | Op::Delete | Op::Truncate => Kind::UnappliedDelete,
        }
    }

    /// The count as the one column that differs, where there have to be some.
    pub(super) fn count_column(&self, case: &Case<'_>) -> Option<ColumnDifference> {
        let expected = case.expected();
        let is_counted = case.entry.role == Role::Counted && expected.leaves_row();
        let expected = self.count_of(expected).filter(|_| is_counted)?;
        let observed = count_in(&case.observation.content).to_string();
        Some(ColumnDifference { name: COUNT.into(), expected: Some(expected.to_string()), observed })
    }

    /// Whether there are more rows than any change left: somebody else may write them, and where only rows tell how far the
    /// applier is, nothing tells the two apart.
    pub(super) fn may_be_anothers(&self, case: &Case<'_>) -> bool {
        let count = count_in(&case.observation.content);
        let known = case.entry.base().version();
        let mut known = known.iter().chain(case.entry.chain.versions());
        case.entry.role == Role::Counted && known.all(|version| self.count_of(version).is_some_and(|left| left < count))
    }
}

/// The mask of a count.
fn one() -> Mask {
    Mask::of(1, [0])
}

/// A change of a count by `step`, as the number it leaves.
fn leaving(change: Tracked, count: u64, step: i64) -> Tracked {
    let op = match (count, step) {
        (0, _) => Op::Delete,
        (_, 1..) => Op::Insert,
        (_, _) => Op::Update,
    };
    Tracked { op, fingerprint: u128::from(count), mask: one(), before: None, ..change }
}

fn count_in(content: &Content) -> u64 {
    match content {
        Content::Absent => 0,
        Content::Row { hashes, .. } => hashes.count(),
        // Rows of a table with a key.
        Content::Several => 2,
    }
}
