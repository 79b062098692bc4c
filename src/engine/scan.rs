//! 3 ▸ After a truncate no row of its table may be left but those that later changes wrote, of keys too that nobody tracks.
//!
//! Once the truncate is settled, the keys of the target's table are read, page by page. One that no change was read of behind
//! the truncate is judged as if it had been tracked when that came: its row is read again, and what still stands there is
//! confirmed as any other loss. Commits wait at the truncate until the last page is judged, so that a restart reads it again,
//! with all that is behind it.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Key, PartitionId, TableId};

use super::chain::{Arrival, Version};
use super::event::{LookFailure, Note, Output, Page, PageEnd, Role, Scan, ScanId, Tracked};
use super::gate::Group;
use super::keys::Entry;
use super::limit::{CHANGED_BEHIND, KEYS_PER_LOOKUP, SCANS_AT_ONCE, TRUNCATED_ROWS};
use super::state::Engine;

const UNREAD: &str = "its rows cannot be read through in the order of their key";

/// What is known of the table below a truncate.
#[derive(Debug)]
struct Scanning {
    truncate: Version,
    /// Hashes of the keys that changed behind it.
    changed: BTreeSet<u64>,
    stage: Stage,
    /// The last key of the page before.
    after: Option<Key>,
    looked: u64,
    found: u64,
}

#[derive(Debug)]
enum Stage {
    /// The next page may be asked for.
    Waits,
    Asked(ScanId),
    /// These keys of a page have no verdict yet, and that is how the page ended.
    Judges(Vec<Key>, PageEnd),
}

/// Scans that are not over, by table.
#[derive(Debug, Default)]
pub(super) struct Scans {
    next: u64,
    tables: BTreeMap<TableId, Scanning>,
}

impl Scans {
    /// Where commits of a partition wait.
    pub(super) fn hold(&self, partition: PartitionId) -> Option<u64> {
        let own = self.tables.values().filter(|scan| scan.truncate.partition == partition);
        own.map(|scan| scan.truncate.offset).min()
    }

    /// What stands in a partition that is given out anew will be read again.
    pub(super) fn void_partition(&mut self, partition: PartitionId) {
        self.tables.retain(|_, scan| scan.truncate.partition != partition);
    }
}

impl Engine {
    /// Begins to remember which keys change behind a truncate. One before it of the same table needs no scan any more.
    pub(super) fn scan_behind(&mut self, change: &Tracked, truncate: Version) {
        let table = change.key.table();
        if change.role != Role::Rows {
            return;
        }
        self.scans.tables.remove(&table);
        let refused = match self.images.scannable(table, change.at.partition) {
            Ok(()) if self.scans.tables.len() < SCANS_AT_ONCE => None,
            Ok(()) => Some("too many tables were truncated at once for all of their rows to be looked at"),
            Err(why) => Some(why),
        };
        if let Some(why) = refused {
            self.not_scanned(&truncate, why);
            return;
        }
        let changed = BTreeSet::new();
        let scanning = Scanning { truncate, changed, stage: Stage::Waits, after: None, looked: 0, found: 0 };
        self.scans.tables.insert(table, scanning);
    }

    /// Remembers that a key changed behind a truncate of its table.
    pub(super) fn changed_behind(&mut self, key: &Key) {
        let table = key.table();
        let Some(scan) = self.scans.tables.get_mut(&table) else { return };
        scan.changed.insert(hash(key));
        if scan.changed.len() > CHANGED_BEHIND {
            self.leave_scan(table, "more keys changed behind the truncate than are remembered");
        }
    }

    /// Goes on with scans, a page of each table at a poll.
    pub(super) fn scan(&mut self) {
        let tables: Vec<TableId> = self.scans.tables.keys().copied().collect();
        for table in tables {
            let Some(scan) = self.scans.tables.get(&table) else { continue };
            match &scan.stage {
                Stage::Waits if self.memory.paused_since.is_none() && self.settles(&scan.truncate, table) => {
                    self.next_page(table);
                }
                Stage::Waits | Stage::Asked(_) => {}
                Stage::Judges(..) => self.judge_page(table),
            }
        }
    }

    fn next_page(&mut self, table: TableId) {
        let id = ScanId(self.scans.next + 1);
        let Some(scan) = self.scans.tables.get_mut(&table) else { return };
        self.scans.next = id.0;
        scan.stage = Stage::Asked(id);
        let after = scan.after.clone();
        self.say(Output::Scan(Scan { id, table, after, most: KEYS_PER_LOOKUP }));
    }

    /// A page came: the keys of it that nothing newer is known of are judged by the truncate.
    pub(super) fn scanned(&mut self, id: ScanId, page: Result<Page, LookFailure>) {
        let is_it = |scan: &Scanning| matches!(scan.stage, Stage::Asked(asked) if asked == id);
        let Some(table) = self.scans.tables.iter().find(|(_, scan)| is_it(scan)).map(|(table, _)| *table) else {
            return;
        };
        let Some(scan) = self.scans.tables.get_mut(&table) else { return };
        let Ok(page) = page else {
            scan.stage = Stage::Waits;
            return;
        };
        scan.looked += page.keys.len() as u64;
        let (truncate, keys) = (scan.truncate, &self.keys);
        let unknown = |key: &Key| keys.find(key).is_none() && !scan.changed.contains(&hash(key));
        let left: Vec<Key> = page.keys.into_iter().filter(unknown).collect();
        scan.stage = Stage::Judges(left.clone(), page.end);
        self.counters.scanned += left.len() as u64;
        for key in left {
            self.judge_by_truncate(key, truncate);
        }
        self.judge_page(table);
        self.pump();
    }

    fn judge_by_truncate(&mut self, key: Key, truncate: Version) {
        let mut version = truncate;
        version.arrival = Arrival(0);
        let ix = self.keys.insert(Entry::of(key, version, Role::Rows));
        self.memory.versions += 1;
        self.track_late(ix, &version, Arrival(0));
        self.schedule_now(ix);
    }

    /// Ends a page once its keys have their verdicts, and the scan with the last.
    fn judge_page(&mut self, table: TableId) {
        let Some(scan) = self.scans.tables.get_mut(&table) else { return };
        let Stage::Judges(left, end) = &mut scan.stage else { return };
        let (at, keys) = (scan.truncate.at(), &self.keys);
        let entry_of = |key: &Key| keys.find(key).and_then(|ix| keys.get(ix));
        let is_found = |key: &Key| entry_of(key).is_some_and(|entry| entry.reported().is_some());
        let is_open = |key: &Key| entry_of(key).is_some_and(|entry| entry.chain.newest().at() == at);
        scan.found += left.iter().filter(|key| is_found(key)).count() as u64;
        left.retain(|key| is_open(key) && !is_found(key));
        if scan.found >= TRUNCATED_ROWS {
            return self.leave_scan(table, "so many of its rows are still there that the others were not looked at");
        }
        if self.stated.groups.contains_key(&(table, Group::Delete)) {
            return self.leave_scan(table, "its rows are still there, as one finding says of the table");
        }
        if !left.is_empty() {
            return;
        }
        match end {
            // A key that its order does not tell from the one before it.
            PageEnd::At(last) if scan.after.as_ref() == Some(last) => self.leave_scan(table, UNREAD),
            PageEnd::At(last) => {
                scan.after = Some(last.clone());
                scan.stage = Stage::Waits;
            }
            PageEnd::Unread => self.leave_scan(table, UNREAD),
            PageEnd::Last => self.finish_scan(table),
        }
    }

    fn finish_scan(&mut self, table: TableId) {
        let Some(scan) = self.scans.tables.remove(&table) else { return };
        let Scanning { truncate, looked, found, .. } = scan;
        self.say(Output::Note(Note::Scanned { table, at: truncate.at(), looked, found }));
    }

    /// Ends a scan before its end.
    pub(super) fn leave_scan(&mut self, table: TableId, why: &'static str) {
        if let Some(scan) = self.scans.tables.remove(&table) {
            self.not_scanned(&scan.truncate, why);
        }
    }

    /// Ends the scans below truncates of these partitions.
    pub(super) fn leave_scans(&mut self, partitions: &[PartitionId], why: &'static str) {
        let is_of = |scan: &Scanning| partitions.contains(&scan.truncate.partition);
        let tables = self.scans.tables.iter().filter(|(_, scan)| is_of(scan)).map(|(table, _)| *table);
        let tables: Vec<TableId> = tables.collect();
        tables.into_iter().for_each(|table| self.leave_scan(table, why));
    }

    /// Rows that were not tracked when their table was truncated end without a verdict.
    fn not_scanned(&mut self, truncate: &Version, why: &'static str) {
        self.counters.unverifiable += 1;
        let range = (truncate.offset, truncate.offset);
        self.say(Output::Note(Note::Unverifiable { partition: truncate.partition, range, why }));
    }
}

fn hash(key: &Key) -> u64 {
    xxhash_rust::xxh3::xxh3_64(key.bytes())
}
