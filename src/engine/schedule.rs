//! Which keys to read, and when: at once in the order in which they became due, or not before a moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{TableId, Tick};

use super::keys::KeyIx;

/// The schedule. A key is in it at most once; the entry's `queued` mark says so, and only this file's callers set it.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    ready: BTreeMap<TableId, VecDeque<KeyIx>>,
    delayed: BTreeSet<(Tick, TableId, KeyIx)>,
}

impl Schedule {
    /// Due at once, behind those that already are.
    pub(super) fn now(&mut self, table: TableId, key: KeyIx) {
        self.ready.entry(table).or_default().push_back(key);
    }

    /// Due at `at`.
    pub(super) fn at(&mut self, at: Tick, table: TableId, key: KeyIx) {
        self.delayed.insert((at, table, key));
    }

    /// When the next delayed key becomes due.
    pub(super) fn next_delayed(&self) -> Option<Tick> {
        self.delayed.first().map(|(at, _, _)| *at)
    }

    /// Moves what is due at `now` to the ready ones.
    pub(super) fn ripen(&mut self, now: Tick) {
        while let Some((at, table, key)) = self.delayed.first().copied() {
            if at > now {
                break;
            }
            self.delayed.pop_first();
            self.now(table, key);
        }
    }

    /// Takes up to `most` ready keys of one table: the table whose front waits in the lowest id, in turn.
    pub(super) fn take(&mut self, after: TableId, most: usize) -> Option<(TableId, Vec<KeyIx>)> {
        let later = self.ready.range(TableId(after.0.wrapping_add(1))..).next().map(|(table, _)| *table);
        let table = later.or_else(|| self.ready.keys().next().copied())?;
        let queue = self.ready.get_mut(&table)?;
        let count = queue.len().min(most);
        let keys = queue.drain(..count).collect();
        if queue.is_empty() {
            self.ready.remove(&table);
        }
        Some((table, keys))
    }

    /// Whether no key is due now.
    pub(super) fn nothing_ready(&self) -> bool {
        self.ready.is_empty()
    }

    /// How many keys wait, ready or delayed.
    pub(super) fn len(&self) -> usize {
        self.delayed.len() + self.ready.values().map(VecDeque::len).sum::<usize>()
    }
}
