//! 5 ▸ Which keys the target is asked for, and what happens to answers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::model::{PartitionId, TableId, Tick};

use super::event::{Looked, Lookup, LookupId, Output, Role, Seen};
use super::horizon::Ends;
use super::keys::KeyIx;
use super::limit::{KEYS_PER_LOOKUP, LOOKUPS_IN_FLIGHT, LOOKUPS_WAITING, SUSPECTS_AT_ONCE};
use super::state::Engine;
use super::suspect::Floors;

/// Answers that wait for consumption to reach their tap end; past it no further lookup is sent.
const ARRIVED_AT_MOST: usize = 64;

/// One key of a lookup, with its floors as they stood when the read was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    pub(super) ix: KeyIx,
    pub(super) partition: PartitionId,
    /// The low half of the lookup's number, as the key's entry holds it while it waits.
    pub(super) flight: u32,
    pub(super) floors: Floors,
}

#[derive(Debug)]
struct Flight {
    sent: Tick,
    keys: Vec<Asked>,
    partitions: Vec<PartitionId>,
}

#[derive(Debug)]
struct Arrived {
    sent: Tick,
    keys: Vec<Asked>,
    rows: Vec<Seen>,
    ended: Tick,
    ends: Vec<(PartitionId, u64)>,
}

/// Lookups sent, and answers that wait for the tap.
#[derive(Debug)]
pub(super) struct Flights {
    next: u64,
    sent: BTreeMap<LookupId, Flight>,
    arrived: VecDeque<Arrived>,
    last_table: TableId,
}

impl Default for Flights {
    fn default() -> Flights {
        Flights { next: 0, sent: BTreeMap::new(), arrived: VecDeque::new(), last_table: TableId(u32::MAX) }
    }
}

/// How many lookups may wait for the applier's lead to be over.
fn waiting(lead: Duration) -> usize {
    if lead.is_zero() { 0 } else { LOOKUPS_WAITING }
}

impl Flights {
    fn has_room(&self, lead: Duration) -> bool {
        self.sent.len() < LOOKUPS_IN_FLIGHT + waiting(lead) && self.arrived.len() < ARRIVED_AT_MOST
    }

    /// Whether there is room for a read that nobody waits for: one more must still find its place.
    pub(super) fn leaves_room(&self, lead: Duration) -> bool {
        self.sent.len() + 1 < LOOKUPS_IN_FLIGHT + waiting(lead) / 2 && self.arrived.len() < LOOKUPS_IN_FLIGHT
    }

    /// Whether some answer waits for its tap end.
    pub(super) fn any_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.sent.len()
    }
}

impl LookupId {
    /// What an entry keeps of it: never 0.
    fn flight(self) -> u32 {
        (self.0 as u32).max(1)
    }
}

/// Whether every asked partition's end is there: an answer that lacks one proves nothing.
fn names_all(asked: &[PartitionId], ends: &[(PartitionId, u64)]) -> bool {
    asked.iter().all(|partition| ends.iter().any(|(known, _)| known == partition))
}

impl Engine {
    /// Sends what is due, as far as there is room.
    pub(super) fn pump(&mut self) {
        while self.flights.has_room(self.lead()) {
            let Some((table, keys)) = self.schedule.take(self.flights.last_table, KEYS_PER_LOOKUP) else { break };
            self.flights.last_table = table;
            self.send(table, keys);
        }
        self.go_on_patrol();
    }

    pub(super) fn send(&mut self, table: TableId, keys: Vec<KeyIx>) {
        let id = LookupId(self.flights.next + 1);
        let flight = id.flight();
        let mut asked = Vec::with_capacity(keys.len());
        let mut names = Vec::with_capacity(keys.len());
        let mut partitions = BTreeSet::new();
        let (mut patrolled, mut convicts) = (false, false);
        for ix in keys {
            let Some(entry) = self.keys.get(ix) else { continue };
            if entry.key.table() != table || !entry.queued {
                continue;
            }
            let partition = entry.chain.newest().partition;
            let floors = self.floors(entry);
            patrolled |= entry.is_patrolled();
            convicts |= entry.suspect().is_some() || entry.reported().is_some();
            partitions.extend(entry.chain.versions().iter().map(|version| version.partition));
            asked.push(Asked { ix, partition, flight, floors });
            names.push(entry.key.clone());
            if let Some(entry) = self.keys.get_mut(ix) {
                (entry.queued, entry.flight) = (false, flight);
            }
        }
        if asked.is_empty() {
            return;
        }
        self.flights.next = id.0;
        self.counters.reads += asked.len() as u64;
        // The next change of a key whose last one is long ago may come in any partition.
        let partitions = if patrolled { self.partition_ids().to_vec() } else { self.asked_partitions(partitions) };
        self.flights.sent.insert(id, Flight { sent: self.now, keys: asked, partitions: partitions.clone() });
        let lead = self.lead();
        self.say(Output::Lookup(Lookup { id, table, keys: names, partitions, lead, convicts }));
    }

    /// In wide scopes a read is judged only when every partition of the scope was consumed to its end.
    fn asked_partitions(&self, own: BTreeSet<PartitionId>) -> Vec<PartitionId> {
        match self.options.order {
            super::limit::Order::Partition | super::limit::Order::Key => own.into_iter().collect(),
            super::limit::Order::Table | super::limit::Order::Pipeline => self.partition_ids().to_vec(),
        }
    }

    pub(super) fn looked(&mut self, looked: Looked) {
        let Some(flight) = self.flights.sent.remove(&looked.id) else { return };
        match looked.rows {
            Ok(rows) if rows.len() == flight.keys.len() && names_all(&flight.partitions, &looked.ends) => {
                let (ended, ends) = (looked.ended, looked.ends);
                self.flights.arrived.push_back(Arrived { sent: flight.sent, keys: flight.keys, rows, ended, ends });
                self.judge_arrived();
            }
            Ok(_) | Err(_) => self.learned_nothing(&flight.keys),
        }
        self.pump();
    }

    /// A read that failed teaches nothing: its keys are read again later.
    fn learned_nothing(&mut self, keys: &[Asked]) {
        self.counters.failed_reads += keys.len() as u64;
        let at = self.now + self.options.reread.min(self.options.poll * 2);
        for asked in keys {
            let Some(entry) = self.keys.get_mut(asked.ix).filter(|entry| entry.flight == asked.flight) else {
                continue;
            };
            entry.flight = 0;
            let (table, patrolled) = (entry.key.table(), entry.is_patrolled());
            match entry.more.as_mut().and_then(|more| more.suspect.as_mut()) {
                Some(suspect) => (suspect.ready, suspect.settled_ready) = (false, false),
                None if entry.role != Role::Heartbeat && !entry.queued && !patrolled => {
                    entry.queued = true;
                    self.schedule.at(at, table, asked.ix);
                }
                None => {}
            }
        }
    }

    /// Judges every answer whose tap end was consumed. What that makes due is asked for at once.
    pub(super) fn judge_arrived(&mut self) {
        let mut index = 0;
        let mut judged = false;
        while let Some(arrived) = self.flights.arrived.get(index) {
            if !self.is_consumed(&arrived.ends) {
                index += 1;
                continue;
            }
            if let Some(arrived) = self.flights.arrived.remove(index) {
                self.judge_answer(&arrived);
                judged = true;
            }
        }
        if judged {
            self.move_horizons();
            if self.suspects.len() <= SUSPECTS_AT_ONCE {
                self.wake_suspects();
            }
            self.pump();
        }
    }

    fn is_consumed(&self, ends: &[(PartitionId, u64)]) -> bool {
        ends.iter().all(|(id, end)| {
            self.partitions.get(id).is_none_or(|partition| !partition.assigned || partition.consumed >= *end)
        })
    }

    fn judge_answer(&mut self, arrived: &Arrived) {
        for (asked, seen) in arrived.keys.iter().zip(&arrived.rows) {
            if self.keys.get(asked.ix).is_some_and(|entry| entry.flight == asked.flight) {
                let ends: Ends = self.scope_ends(asked.partition, &arrived.ends);
                self.judge(asked, seen, (arrived.sent, arrived.ended), &ends);
            }
        }
    }

    /// Heartbeat rows are read at every poll, before any other row.
    pub(super) fn read_heartbeats(&mut self) {
        let mut tables: BTreeMap<TableId, Vec<KeyIx>> = BTreeMap::new();
        for ix in &self.heartbeats {
            if let Some(entry) = self.keys.get(*ix)
                && !entry.is_in_flight()
            {
                tables.entry(entry.key.table()).or_default().push(*ix);
            }
        }
        for (table, keys) in tables {
            for ix in &keys {
                if let Some(entry) = self.keys.get_mut(*ix) {
                    entry.queued = true;
                }
            }
            self.send(table, keys);
        }
    }

    /// Open findings are read again now and then, more seldom the more there are, so that they can heal.
    pub(super) fn look_again(&mut self) {
        let spread = std::time::Duration::from_millis(10_000 + 50 * self.again.len() as u64);
        while let Some((at, ix)) = self.again.first().copied() {
            if at > self.now {
                break;
            }
            self.again.pop_first();
            let next = self.now + spread;
            let Some(entry) = self.keys.get_mut(ix) else { continue };
            let Some(reported) = entry.more.as_mut().and_then(|more| more.reported.as_mut()) else { continue };
            if reported.look == at {
                reported.look = next;
                self.again.insert((next, ix));
                self.schedule_read(ix);
            }
        }
    }
}
