//! The keys that have something without a verdict, and their state. A key that has none is forgotten.

use std::collections::BTreeMap;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::finding::Finding;
use crate::model::{Key, PartitionId, Tick};

use super::chain::{Arrival, Base, Chain, Content, Hole, Version};
use super::event::Role;
use super::recall::Asking;
use super::suspect::Suspect;
use super::track::Tracked;

/// Index of a key in the table; reused after the key is forgotten, so holders check what they find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct KeyIx(pub(super) u32);

/// State of one key. The rarely needed part is behind a pointer.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) chain: Chain,
    pub(super) more: Option<Box<More>>,
    pub(super) role: Role,
    pub(super) queued: bool,
    /// The lookup that asks for it now; 0 for none. An answer of another lookup was for a key that had this index before.
    pub(super) flight: u32,
    pub(super) base_absent: bool,
}

/// What only keys that were read, or that have a known past, need.
#[derive(Debug)]
pub(super) struct More {
    pub(super) base: Base,
    pub(super) hole: Option<Box<Hole>>,
    pub(super) suspect: Option<Box<Suspect>>,
    pub(super) reported: Option<Box<Reported>>,
    /// Versions up to this one were seen right, or reported, under a settled floor.
    pub(super) settled_to: Option<Arrival>,
    /// Versions up to this one were judged under an applied floor.
    pub(super) applied_to: Option<Arrival>,
    /// The version last seen on the target.
    pub(super) seen_last: Option<Arrival>,
    /// The newest version ever seen there.
    pub(super) seen_best: Option<Arrival>,
    pub(super) last_read: Option<Tick>,
    /// Reads in a row of which nothing could be said.
    pub(super) unclear: u8,
    /// A read saw content that differs from the newest version, before anything proved it had to be there.
    pub(super) differs: bool,
    /// Up to this version, changes are missing behind it: other content than that of the open finding says nothing.
    pub(super) blind: Option<Arrival>,
    /// A version before those that are held ended without a verdict: what stood there then, nobody knows.
    pub(super) passed_unseen: bool,
    /// Seen on more than one partition: some versions have no order among them.
    pub(super) unordered: Option<Unordered>,
    /// Called back by the patrol, with when it was read before: its one version was verified then, and nothing of it waits for a
    /// verdict.
    pub(super) patrolled: Option<Tick>,
    /// Images that were asked for again since the last verdict.
    pub(super) asking: Option<Box<Asking>>,
}

impl More {
    pub(super) fn new(base: Base) -> More {
        More {
            base,
            hole: None,
            suspect: None,
            reported: None,
            settled_to: None,
            applied_to: None,
            seen_last: None,
            seen_best: None,
            last_read: None,
            unclear: 0,
            differs: false,
            blind: None,
            passed_unseen: false,
            unordered: None,
            patrolled: None,
            asking: None,
        }
    }
}

/// Versions without an order among them: all up to one. Later ones are newer than each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unordered {
    pub(super) to: Arrival,
    /// The highest place in the order scope that one of them has.
    pub(super) highest: u64,
}

/// The open finding of a key.
#[derive(Debug)]
pub(super) struct Reported {
    /// As last stated.
    pub(super) finding: Finding,
    /// The content that convicted; `None` where the store did not keep it.
    pub(super) content: Option<Content>,
    /// The floor it was last stated against.
    pub(super) floor: Arrival,
    /// When it is looked at again; an appointment of any other time is not this finding's.
    pub(super) look: Tick,
}

impl Entry {
    /// A key of which one version is known, and nothing before it.
    pub(super) fn of(key: Key, version: Version, role: Role) -> Entry {
        Entry { key, chain: Chain::of(version), more: None, role, queued: false, flight: 0, base_absent: false }
    }

    pub(super) fn base(&self) -> Base {
        match &self.more {
            Some(more) => more.base,
            None if self.base_absent => Base::Absent,
            None => Base::Unknown,
        }
    }

    pub(super) fn more(&mut self) -> &mut More {
        let base = self.base();
        self.more.get_or_insert_with(|| Box::new(More::new(base)))
    }

    pub(super) fn suspect(&self) -> Option<&Suspect> {
        self.more.as_ref().and_then(|more| more.suspect.as_deref())
    }

    pub(super) fn reported(&self) -> Option<&Reported> {
        self.more.as_ref().and_then(|more| more.reported.as_deref())
    }

    /// Whether the version needs nothing more.
    pub(super) fn is_done(&self, version: Arrival) -> bool {
        self.more.as_ref().and_then(|more| more.settled_to).is_some_and(|to| version <= to)
    }

    /// Whether the version was judged under an applied floor.
    pub(super) fn is_applied(&self, version: Arrival) -> bool {
        self.is_done(version) || self.more.as_ref().and_then(|more| more.applied_to).is_some_and(|to| version <= to)
    }

    /// Some versions came from more than one partition, so they have no order among them.
    pub(super) fn is_unordered(&self) -> bool {
        self.unordered_to().is_some()
    }

    /// Up to this version they have no order among them.
    pub(super) fn unordered_to(&self) -> Option<Arrival> {
        let to = self.more.as_ref()?.unordered?.to;
        (self.chain.versions()[0].arrival < to).then_some(to)
    }

    /// Takes the newest version for one that has no order with those before it.
    pub(super) fn disorder(&mut self) {
        let to = self.chain.newest().arrival;
        let highest = self.chain.versions().iter().map(|version| version.order).max().unwrap_or_default();
        self.more().unordered = Some(Unordered { to, highest });
    }

    /// When a key that the patrol looks at was read before.
    pub(super) fn seen_before(&self) -> Option<Tick> {
        self.more.as_ref()?.patrolled
    }

    /// Called back by the patrol, and not found wrong for sure.
    pub(super) fn is_patrolled(&self) -> bool {
        self.more.as_ref().is_some_and(|more| more.patrolled.is_some() && more.reported.is_none())
    }

    pub(super) fn is_in_flight(&self) -> bool {
        self.flight != 0
    }

    /// The version that a partition's track names, unless the index belongs to another key by now.
    pub(super) fn tracked(&self, partition: PartitionId, tracked: Tracked) -> Option<&Version> {
        let version = self.chain.find(tracked.arrival)?;
        (version.partition == partition && version.offset == tracked.offset).then_some(version)
    }

    pub(super) fn last_read(&self) -> Option<Tick> {
        self.more.as_ref().and_then(|more| more.last_read)
    }

    pub(super) fn hole(&self) -> Option<&Hole> {
        self.more.as_ref().and_then(|more| more.hole.as_deref())
    }

    /// Up to this version, changes are missing behind it.
    pub(super) fn blind(&self) -> Option<Arrival> {
        self.more.as_ref().and_then(|more| more.blind)
    }

    /// Whether changes are missing between two versions: what the older one says of columns that the newer one does not carry
    /// may have been changed.
    pub(super) fn is_broken_between(&self, older: &Version, newer: &Version) -> bool {
        self.blind().is_some_and(|blind| older.arrival <= blind && newer.arrival > blind)
    }

    /// The versions that still need something, of those up to a place in the chain.
    pub(super) fn unjudged(&self, to: usize) -> Unjudged {
        let (mut unjudged, mut done) = (Unjudged::default(), BTreeMap::new());
        for version in &self.chain.versions()[..=to] {
            if self.is_done(version.arrival) {
                done.insert(version.partition, version.offset + 1);
                continue;
            }
            // Those that were coalesced stand behind the last that needs nothing.
            let behind = done.get(&version.partition).filter(|_| self.hole().is_some()).copied();
            let from = behind.unwrap_or(version.offset).min(version.offset);
            let range = unjudged.ranges.entry(version.partition).or_insert((from, version.offset));
            *range = (range.0.min(from), range.1.max(version.offset));
            unjudged.count += 1;
        }
        // Of another partition than those that are held, or newer than the last of its own.
        let coalesced = self.hole().filter(|_| unjudged.count > 0).map_or(&[][..], Hole::spans);
        for (partition, first, last) in coalesced {
            let from = done.get(partition).map_or(*first, |behind| (*behind).max(*first));
            if from <= *last {
                let range = unjudged.ranges.entry(*partition).or_insert((from, *last));
                *range = (range.0.min(from), range.1.max(*last));
            }
        }
        unjudged
    }
}

/// Versions of a key without a verdict.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unjudged {
    pub(super) count: u64,
    /// The first and the last of each partition, coalesced ones among them.
    pub(super) ranges: BTreeMap<PartitionId, (u64, u64)>,
}

/// Entries of one piece of the slab: 88 KiB.
const PIECE: usize = 1024;

/// Entries by index, in pieces, so that growing copies nothing and leaves no hole behind.
#[derive(Debug, Default)]
struct Slab {
    pieces: Vec<Vec<Option<Entry>>>,
    free: Vec<KeyIx>,
}

impl Slab {
    fn get(&self, ix: KeyIx) -> Option<&Entry> {
        self.pieces.get(ix.0 as usize / PIECE)?.get(ix.0 as usize % PIECE)?.as_ref()
    }

    fn slot(&mut self, ix: KeyIx) -> Option<&mut Option<Entry>> {
        self.pieces.get_mut(ix.0 as usize / PIECE)?.get_mut(ix.0 as usize % PIECE)
    }

    fn insert(&mut self, entry: Entry) -> KeyIx {
        if let Some(ix) = self.free.pop() {
            if let Some(slot) = self.slot(ix) {
                *slot = Some(entry);
            }
            return ix;
        }
        let used = self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len());
        match self.pieces.last_mut().filter(|last| last.len() < PIECE) {
            Some(last) => last.push(Some(entry)),
            None => {
                // Few keys take little.
                let mut piece = Vec::with_capacity(if used == 0 { 1 } else { PIECE });
                piece.push(Some(entry));
                self.pieces.push(piece);
            }
        }
        KeyIx(u32::try_from(used).unwrap_or(u32::MAX))
    }

    fn remove(&mut self, ix: KeyIx) -> Option<Entry> {
        let entry = self.slot(ix)?.take()?;
        self.free.push(ix);
        Some(entry)
    }
}

/// The table: a slab of entries and an index from key bytes.
#[derive(Debug, Default)]
pub(super) struct Keys {
    slab: Slab,
    index: HashTable<KeyIx>,
    key_bytes: usize,
}

fn hash(key: &Key) -> u64 {
    xxh3_64(key.bytes())
}

impl Keys {
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// Bytes of all keys.
    pub(super) fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    /// The index of a key, if it is in the table.
    pub(super) fn find(&self, key: &Key) -> Option<KeyIx> {
        self.index.find(hash(key), |ix| self.get(*ix).is_some_and(|entry| entry.key == *key)).copied()
    }

    pub(super) fn get(&self, ix: KeyIx) -> Option<&Entry> {
        self.slab.get(ix)
    }

    pub(super) fn get_mut(&mut self, ix: KeyIx) -> Option<&mut Entry> {
        self.slab.slot(ix)?.as_mut()
    }

    /// Adds an entry whose key is not in the table.
    pub(super) fn insert(&mut self, entry: Entry) -> KeyIx {
        let hashed = hash(&entry.key);
        self.key_bytes += entry.key.bytes().len();
        let ix = self.slab.insert(entry);
        let slab = &self.slab;
        self.index.insert_unique(hashed, ix, |ix| slab.get(*ix).map_or(0, |entry| hash(&entry.key)));
        ix
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, ix: KeyIx) -> Option<Entry> {
        let entry = self.slab.remove(ix)?;
        if let Ok(found) = self.index.find_entry(hash(&entry.key), |known| *known == ix) {
            found.remove();
        }
        self.key_bytes -= entry.key.bytes().len();
        Some(entry)
    }

    /// Every key, in slab order (which is deterministic).
    pub(super) fn iter(&self) -> impl Iterator<Item = (KeyIx, &Entry)> {
        let slots = (0u32..).map(KeyIx).zip(self.slab.pieces.iter().flatten());
        slots.filter_map(|(ix, slot)| slot.as_ref().map(|entry| (ix, entry)))
    }
}
