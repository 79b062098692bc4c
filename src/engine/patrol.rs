//! Verified keys are looked at again while nothing else is to be read.
//!
//! A key that was verified and forgotten can be damaged later: a window applied again, a second writer, a restored backup.
//! The patrol calls such keys back, a batch of one table at a time, as if their last version had just been settled. A row
//! that is still right is forgotten again; one that is not becomes a suspect and is confirmed as any other. A change that
//! comes meanwhile takes the key over, and what the patrol saw of it counts for nothing. After a restart of the process the
//! patrol knows no keys.

use std::collections::BTreeMap;

use crate::model::{Key, Op, TableId, Tick};

use super::chain::{Arrival, Base, Content, Version};
use super::event::Role;
use super::judge::Observation;
use super::keys::{Entry, KeyIx, More};
use super::limit::{KEYS_PER_LOOKUP, PATROL_KEYS, PATROL_STRETCH};
use super::roster::{Entered, Known, Roster};
use super::state::Engine;

/// Keys that may turn out void or busy while one batch is put together: the rest waits for the next.
const PASSED_OVER: usize = 4096;

/// A read is paid with so much credit; one read a second earns it in a second.
const PRICE: u64 = 1000;

/// What the patrol covers, and what it may read.
#[derive(Debug)]
pub(super) struct Patrol {
    pub(super) roster: Roster,
    /// Keys called back, with when they had been entered. An index may be of another key by now.
    out: BTreeMap<KeyIx, Entered>,
    credit: u64,
    earned_to: Tick,
}

impl Patrol {
    /// A patrol of `reads_per_second`; of nothing where that is 0.
    pub(super) fn new(reads_per_second: u32) -> Patrol {
        let most = if reads_per_second == 0 { 0 } else { PATROL_KEYS };
        Patrol { roster: Roster::new(most), out: BTreeMap::new(), credit: 0, earned_to: Tick::default() }
    }
}

impl Engine {
    fn patrols(&self) -> bool {
        self.options.patrol_reads_per_second > 0
    }

    /// Keys of one batch: what one stretch of time earns, so that few questions are asked.
    fn patrol_batch(&self) -> usize {
        let earned = self.options.patrol_reads_per_second as usize * PATROL_STRETCH.as_secs() as usize;
        earned.min(KEYS_PER_LOOKUP)
    }

    /// Keys covered: those that wait for their next look, and those that are being looked at.
    pub(super) fn patrolled(&self) -> usize {
        let out = self.patrol.out.keys().filter(|ix| self.keys.get(**ix).is_some_and(Entry::is_patrolled));
        self.patrol.roster.waiting() + out.count()
    }

    /// A key was verified and is tracked no more.
    pub(super) fn enlist(&mut self, mut entry: Entry, observation: &Observation<'_>) {
        if !self.patrols() {
            return;
        }
        let known = self.patrol.roster.leave(&entry.key);
        let (patrolled, newest) = (entry.is_patrolled(), *entry.chain.newest());
        // A truncate is no change of this key: nothing tells when another of its table undoes what was seen.
        let several = entry.more().unordered.is_some()
            || known.as_ref().is_some_and(|known| known.version.partition != newest.partition);
        if several || newest.op == Op::Truncate || newest.is_left_out() || entry.role != Role::Rows {
            return;
        }
        let version = self.as_read(newest, &observation.content);
        let news = if patrolled { 0 } else { newest.arrival.0.max(1) };
        let changes = known.map_or(0, |known| known.changes).saturating_add(news);
        self.patrol.roster.enter(entry.key, version, changes, observation.ended);
    }

    /// What a row was right as is what it has to stay, where only a tolerance made it right.
    fn as_read(&self, version: Version, content: &Content) -> Version {
        match content {
            Content::Row { hashes, .. } if !self.probe(content).fits(&version) => {
                version.holding(hashes.sum(self.masks.get(version.mask)))
            }
            Content::Row { .. } | Content::Absent | Content::Several => version,
        }
    }

    /// A key ends without a verdict: nothing is known of it any more.
    pub(super) fn strike(&mut self, key: &Key) {
        self.patrol.roster.leave(key);
    }

    /// Looks again at keys, oldest look first, as far as there is room and they can be paid.
    pub(super) fn go_on_patrol(&mut self) {
        if !self.patrols() {
            return;
        }
        self.earn();
        let (batch, second) = (self.patrol_batch(), self.options.patrol_reads_per_second as usize);
        while self.patrol.credit >= batch as u64 * PRICE
            && self.schedule.nothing_ready()
            && self.flights.leaves_room(self.lead())
            && self.memory.paused_since.is_none()
        {
            let Some((table, keys)) = self.next_beat(batch) else { break };
            // Small batches, of many tables, are paid by the question.
            let cost = keys.len().max(second.min(KEYS_PER_LOOKUP));
            self.patrol.credit = self.patrol.credit.saturating_sub(cost as u64 * PRICE);
            self.counters.patrolled += keys.len() as u64;
            self.send(table, keys);
        }
    }

    fn earn(&mut self) {
        let passed = self.now.since(self.patrol.earned_to).as_millis() as u64;
        self.patrol.earned_to = self.now;
        let earned = passed.saturating_mul(u64::from(self.options.patrol_reads_per_second));
        let most = self.patrol_batch() as u64 * PRICE;
        self.patrol.credit = self.patrol.credit.saturating_add(earned).min(most);
    }

    /// The keys of one table whose looks are the oldest, called back.
    fn next_beat(&mut self, most: usize) -> Option<(TableId, Vec<KeyIx>)> {
        let mut keys = Vec::new();
        let mut table = None;
        for _ in 0..PASSED_OVER {
            let Some(known) = self.patrol.roster.next(table, self.now).cloned() else { break };
            let of = known.key.table();
            if self.patrol.roster.is_void(known.entered, known.version.partition, of) {
                self.patrol.roster.leave(&known.key);
            } else if self.keys.find(&known.key).is_none() {
                // One that is tracked has a newer change, and is entered again when that is verified.
                table = Some(of);
                keys.push(self.call_back(known));
            }
            if keys.len() >= most {
                break;
            }
        }
        Some((table?, keys))
    }

    fn call_back(&mut self, known: Known) -> KeyIx {
        let mut version = known.version;
        version.arrival = Arrival(0);
        let mut more = More::new(Base::Unknown);
        let verified = Some(version.arrival);
        (more.settled_to, more.applied_to, more.seen_last, more.seen_best) = (verified, verified, verified, verified);
        more.patrolled = Some(known.look);
        let entry = Entry { more: Some(Box::new(more)), ..Entry::of(known.key, version, Role::Rows) };
        let ix = self.keys.insert(Entry { queued: true, ..entry });
        self.memory.versions += 1;
        self.patrol.out.insert(ix, known.entered);
        ix
    }

    /// Forgets again the keys of which nothing was learned, and those that something may have changed unseen.
    pub(super) fn call_off(&mut self) {
        let out: Vec<(KeyIx, Entered)> = self.patrol.out.iter().map(|(ix, entered)| (*ix, *entered)).collect();
        for (ix, entered) in out {
            let Some(entry) = self.keys.get(ix).filter(|entry| entry.is_patrolled()) else {
                self.patrol.out.remove(&ix);
                continue;
            };
            let void = self.patrol.roster.is_void(entered, entry.chain.newest().partition, entry.key.table());
            let busy = entry.is_in_flight() || entry.queued || entry.suspect().is_some();
            if busy && !void {
                continue;
            }
            self.patrol.out.remove(&ix);
            let Some(entry) = self.forget(ix) else { continue };
            if void {
                self.strike(&entry.key);
            } else {
                self.patrol.roster.looked(&entry.key, self.now);
            }
        }
    }

    /// A change of a key that was called back: from now on the key is judged by it, as if the patrol had not been there. One
    /// that was found wrong goes on as any other that has a finding.
    pub(super) fn take_over(&mut self, ix: KeyIx) {
        let Some(entry) = self.keys.get_mut(ix).filter(|entry| entry.chain.len() > 1) else { return };
        let called_back = entry.is_patrolled();
        if let Some(more) = &mut entry.more {
            more.patrolled = None;
        }
        if !called_back {
            return;
        }
        let (verified, partition) = (entry.chain.versions()[0], entry.chain.newest().partition);
        let known = self.partitions.get(&partition);
        let unbroken = verified.partition == partition
            && known.is_some_and(|partition| verified.offset >= partition.unbroken_since);
        self.memory.versions -= entry.chain.drop_first(entry.chain.len() - 1);
        let more = entry.more();
        more.base = if unbroken { Base::Version(verified) } else { Base::Unknown };
        (more.seen_last, more.seen_best) = (None, None);
        let suspicion = more.suspect.take().and_then(|suspect| suspect.stated);
        self.suspects.remove(&ix);
        if let Some(suspicion) = suspicion {
            self.withdraw(*suspicion);
        }
    }
}
