//! Lag that never ends, groups that are held, and the memory bound: facts about more than one key.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::finding::{Cause, Finding, Kind, State, Subject};
use crate::model::{PartitionId, Position, TableId, Tick};

use super::event::{Output, Role};
use super::gate::{Group, Passage};
use super::horizon::Back;
use super::keys::{Entry, KeyIx};
use super::limit::{Applier, PAUSE_AT_MOST, SAMPLE_KEYS, USUAL_PERCENT, VERSIONS_WHILE_FULL};
use super::partition::Cursor;
use super::state::{Engine, ScopeId};
use super::suspect::Convict;

/// Progress is looked for by extra reads once nothing moved for this part of `stall_after`.
const LOOK_AFTER_PART: u32 = 4;

/// `stall_after` where the user leaves it to us.
const STALL_AFTER: Duration = Duration::from_secs(60);

/// The margin is widened to this many times the lag that [`LAG_PERCENT`] of those measured of late do not exceed.
const LAG_TIMES: u32 = 5;

/// The one in a hundred beyond it may be the stall before this one.
const LAG_PERCENT: u64 = 99;

/// No commit for so many of their intervals is no accident.
const COMMIT_TIMES: u32 = 3;

/// `offset.flush.interval.ms` of Kafka Connect, unless it is changed.
const COMMIT_INTERVAL: Duration = Duration::from_secs(60);

struct Held {
    since: Position,
    count: u64,
    samples: Vec<KeyIx>,
    first: Tick,
}

impl Engine {
    fn stall_after(&self) -> Duration {
        self.options.stall_after.unwrap_or_else(|| {
            let commits = if self.options.evidence.committed { self.commit_interval() } else { Duration::ZERO };
            let lag = self.measures.lags.percentile(LAG_PERCENT);
            STALL_AFTER.max(lag * LAG_TIMES).max(commits * COMMIT_TIMES)
        })
    }

    /// The usual time in which a committed position moves on; where none did yet, that of Kafka Connect.
    fn commit_interval(&self) -> Duration {
        let checkpoints = &self.measures.checkpoints;
        if checkpoints.count() == 0 { COMMIT_INTERVAL } else { checkpoints.percentile(USUAL_PERCENT) }
    }

    /// The last sign of progress of a partition.
    fn progressed(&self, id: PartitionId) -> Tick {
        let Some(partition) = self.partitions.get(&id) else { return self.now };
        let scope = match self.options.order {
            super::limit::Order::Partition => Some(ScopeId::Partition(id)),
            super::limit::Order::Pipeline => Some(ScopeId::Pipeline),
            super::limit::Order::Table => {
                let next = partition.peek(Cursor::Applied).and_then(|next| self.keys.get(next.key));
                next.map(|entry| ScopeId::Table(entry.key.table()))
            }
            super::limit::Order::Key => None,
        };
        let moved =
            scope.and_then(|scope| self.horizons.get(&scope)).map_or(Tick::default(), |horizon| horizon.moved());
        moved.max(partition.committed_moved).max(partition.began)
    }

    /// Whether nothing moved for long enough that it is worth looking at rows.
    pub(super) fn is_overdue(&self, id: PartitionId) -> bool {
        self.progressed(id) + self.stall_after() / LOOK_AFTER_PART <= self.now
    }

    /// One `stalled` finding for the pipeline while some partition stands still with something due.
    pub(super) fn watch_stalls(&mut self) {
        let stall_after = self.stall_after();
        let ids = self.partition_ids();
        let mut standing: Vec<(PartitionId, u64, String)> = Vec::new();
        for id in ids.iter() {
            if let Some((at, why)) = self.is_held_up(*id, stall_after) {
                standing.push((*id, at, why));
                continue;
            }
            if !self.is_overdue(*id) {
                continue;
            }
            let (stands, progressed) = (self.stands(*id), self.progressed(*id));
            let Some(partition) = self.partitions.get_mut(id) else { continue };
            match stands {
                // What comes after a silence is not late because of the silence.
                None => partition.at_rest = self.now,
                Some((at, why)) if partition.at_rest.max(progressed) + stall_after <= self.now => {
                    standing.push((*id, at, why));
                }
                Some(_) => {}
            }
        }
        match (self.stated.stalled.take(), standing.first()) {
            (None, None) => {}
            (Some(finding), None) => self.withdraw(Finding { last_seen: self.now, ..finding }),
            (known, Some((id, at, _))) => self.stalled(known, Position { partition: *id, offset: *at }, &standing),
        }
    }

    /// What open transactions hold back now.
    pub(super) fn held_up(&mut self, asked: Tick, held: &[(PartitionId, u64, u64)]) {
        for (id, partition) in &mut self.partitions {
            let now = held.iter().find(|(of, _, _)| of == id);
            partition.held = now.map(|(_, stable, end)| {
                let same = partition.held.filter(|(known, _, _)| known == stable);
                (*stable, *end, same.map_or(asked, |(_, _, since)| since))
            });
        }
    }

    /// Where neither the applier nor we get any further, since a transaction was left open. One after another moves on.
    fn is_held_up(&self, id: PartitionId, stall_after: Duration) -> Option<(u64, String)> {
        let (stable, end, since) = self.partitions.get(&id)?.held?;
        let (place, end) = (self.place(id, stable), self.place(id, end));
        let why = format!("an open transaction holds the tap before {place}, though its log ends at {end}");
        (since + stall_after <= self.now).then_some((stable, why))
    }

    fn stalled(&mut self, known: Option<Finding>, at: Position, standing: &[(PartitionId, u64, String)]) {
        let places: Vec<String> = standing.iter().map(|(_, _, why)| why.clone()).collect();
        let fresh = known.is_none();
        let mut finding = known.unwrap_or_else(|| {
            let subject = Subject::Scope { at: Some(at), detail: String::new() };
            Finding { observations: 0, ..Finding::open(Kind::Stalled, subject, String::new(), self.now) }
        });
        if let Subject::Scope { detail, .. } = &mut finding.subject {
            *detail = format!("the applied watermark does not move: {}", places.join("; "));
        }
        finding.evidence =
            format!("no progress was seen for {} s", self.now.since(self.progressed(at.partition)).as_secs());
        finding.last_seen = self.now;
        finding.observations = finding.observations.saturating_add(1);
        if fresh || finding.observations.is_multiple_of(60) {
            self.state(&finding);
        }
        self.stated.stalled = Some(finding);
    }

    /// Where a partition stands and why that is no idleness: commits behind the tap's end, or a due row that differs from
    /// its newest version (heartbeat rows among them).
    fn stands(&self, id: PartitionId) -> Option<(u64, String)> {
        let partition = self.partitions.get(&id)?;
        if self.options.evidence.committed && !partition.all_committed() {
            let next = partition.committed.unwrap_or(partition.start);
            let (place, end) = (self.place(id, next), self.place(id, partition.end));
            return Some((next, format!("the applier stands before {place} while the tap ends at {end}")));
        }
        let heartbeat = self.heartbeats.iter().find_map(|ix| {
            let entry = self.keys.get(*ix)?;
            let newest = entry.chain.newest();
            let seen = entry.more.as_ref()?.seen_last;
            let behind = newest.partition == id && seen.is_none_or(|seen| seen < newest.arrival);
            let next = seen.map_or(0, |seen| entry.chain.at_or_before(seen).map_or(0, |index| index + 1));
            behind.then(|| entry.chain.versions()[next].offset)
        });
        if let Some(offset) = heartbeat.filter(|_| self.options.evidence.heartbeat) {
            return Some((offset, format!("the heartbeat at {} is not on the target", self.place(id, offset))));
        }
        let differs = (0..partition.tracked().min(1000)).find_map(|index| {
            let tracked = partition.tracked_at(index)?;
            let more = self.keys.get(tracked.key)?.more.as_ref();
            more.filter(|more| more.differs && more.reported.is_none()).map(|_| tracked.offset)
        });
        differs.map(|offset| (offset, format!("the row changed at {} is not on the target", self.place(id, offset))))
    }

    /// One `judging_suspended` finding for the pipeline while some scope's verdicts are held for long.
    pub(super) fn watch_freezes(&mut self) {
        let (now, settle) = (self.now, self.settle());
        let long = self.stall_after().max(settle * 2);
        let held: Vec<(ScopeId, Tick, Back)> = self
            .horizons
            .iter_mut()
            .filter_map(|(scope, horizon)| horizon.held(now, settle).map(|(since, by)| (*scope, since, by)))
            .filter(|(_, since, _)| *since + long <= now)
            .collect();
        match (self.stated.suspended.take(), held.first()) {
            (None, None) => {}
            (Some(finding), None) => self.withdraw(Finding { last_seen: now, ..finding }),
            (Some(known), Some(_)) => self.stated.suspended = Some(known),
            (None, Some((_, since, by))) => {
                let scopes: Vec<String> = held.iter().map(|(scope, _, _)| self.scope_name(*scope)).collect();
                let detail = format!("no verdicts on rows of {}: {}", scopes.join(", "), by.words());
                let evidence = format!("verdicts have been held for {} s", now.since(*since).as_secs());
                let subject = Subject::Scope { at: None, detail };
                let finding =
                    Finding { first_seen: *since, ..Finding::open(Kind::JudgingSuspended, subject, evidence, now) };
                self.state(&finding);
                self.stated.suspended = Some(finding);
            }
        }
    }

    fn scope_name(&self, scope: ScopeId) -> String {
        match scope {
            ScopeId::Partition(partition) => self.images.partition_name(partition),
            ScopeId::Table(table) => self.images.table_name(table).to_string(),
            ScopeId::Pipeline => "the pipeline".to_owned(),
        }
    }

    /// One `mass_divergence` finding for each group of suspects that the gate holds.
    pub(super) fn state_groups(&mut self) {
        if self.options.applier == Applier::Transactional {
            return;
        }
        let held = self.held_groups();
        let healed: Vec<(TableId, Group)> =
            self.stated.groups.keys().filter(|group| !held.contains_key(*group)).copied().collect();
        for group in healed {
            if let Some(finding) = self.stated.groups.remove(&group) {
                self.withdraw(Finding { last_seen: self.now, ..finding });
            }
        }
        for (group, held) in held {
            self.state_group(group, &held);
        }
    }

    fn held_groups(&self) -> BTreeMap<(TableId, Group), Held> {
        let mut groups: BTreeMap<(TableId, Group), Held> = BTreeMap::new();
        for ix in &self.suspects {
            let Some(entry) = self.keys.get(*ix) else { continue };
            let Some(suspect) = entry.suspect() else { continue };
            let Some(index) = entry.chain.at_or_before(suspect.floor.arrival) else { continue };
            let version = entry.chain.versions()[index];
            let table = entry.key.table();
            let held = suspect.floor.by == Convict::Causal && suspect.count >= 2;
            let of = self.statements(version.partition, table, version.op);
            if !held || self.gate.passage(of, suspect.judged) != Passage::Closed {
                continue;
            }
            let group = groups.entry((table, Group::of(version.op))).or_insert(Held {
                since: version.at(),
                count: 0,
                samples: Vec::new(),
                first: suspect.first,
            });
            group.since = group.since.min(version.at());
            group.first = group.first.min(suspect.first);
            group.count += 1;
            if group.samples.len() < SAMPLE_KEYS {
                group.samples.push(*ix);
            }
        }
        groups
    }

    fn state_group(&mut self, group: (TableId, Group), held: &Held) {
        let samples = held.samples.iter().filter_map(|ix| self.keys.get(*ix)).map(|entry| entry.key.clone()).collect();
        let known = self.stated.groups.remove(&group);
        let since = match known.as_ref().map(|finding| &finding.subject) {
            Some(Subject::Table { since, .. }) => *since,
            Some(Subject::Row { .. } | Subject::Record { .. } | Subject::Column { .. } | Subject::Scope { .. })
            | None => held.since,
        };
        let grown = match known.as_ref().map(|finding| &finding.subject) {
            Some(Subject::Table { count, .. }) => held.count > *count,
            Some(Subject::Row { .. } | Subject::Record { .. } | Subject::Column { .. } | Subject::Scope { .. })
            | None => true,
        };
        let op = group.1.op();
        let never = self.gate.never_applied(group.0, op);
        let finding = Finding {
            kind: Kind::MassDivergence,
            cause: if never && group.1 == Group::Delete { Cause::OpNotApplied } else { Cause::Unknown },
            state: State::Open,
            proof: None,
            subject: Subject::Table {
                table: self.images.table_name(group.0),
                op: Some(op),
                since,
                count: held.count,
                samples,
            },
            evidence: format!(
                "{} rows whose {} was passed by the watermark differ; a stuck group of statements cannot be told from a mass loss",
                held.count,
                op.word()
            ),
            first_seen: known.as_ref().map_or(held.first, |finding| finding.first_seen),
            last_seen: self.now,
            observations: known.as_ref().map_or(1, |finding| finding.observations + 1),
        };
        if grown {
            self.state(&finding);
        }
        self.stated.groups.insert(group, finding);
    }

    /// Keeps versions in memory under their bound: consumption pauses, and where that would leave an answer waiting for its
    /// tap end for ever, middle versions are coalesced and it goes on.
    pub(super) fn guard_memory(&mut self) {
        let full = self.memory_bytes() >= self.options.memory;
        match (self.memory.paused_since, full) {
            (None, true) => {
                self.memory.paused_since = Some(self.now);
                self.say(Output::Pause);
            }
            (Some(_), false) => self.resume(),
            (Some(since), true) if since + PAUSE_AT_MOST <= self.now && self.flights.any_arrived() => {
                self.coalesce_all();
                self.resume();
            }
            (Some(_), true) | (None, false) => {}
        }
    }

    fn resume(&mut self) {
        (self.memory.paused_since, self.memory.resumed) = (None, self.memory.versions);
        self.say(Output::Resume);
    }

    /// The same while much comes between two polls. Whatever is full, some changes come in each time it goes on: without them
    /// nothing would show the applier's progress.
    pub(super) fn guard_memory_between_polls(&mut self) {
        if self.memory.paused_since.is_none() && self.memory.versions >= self.memory.resumed + VERSIONS_WHILE_FULL {
            self.guard_memory();
        }
    }

    /// Three versions stay of a key: with its oldest and newest alone, a key that goes on changing would never be at a version
    /// that something proves applied.
    fn coalesce_all(&mut self) {
        loop {
            let long = |entry: &Entry| entry.chain.len() > 3 && entry.role != Role::Heartbeat;
            let keys: Vec<KeyIx> = self.keys.iter().filter(|(_, entry)| long(entry)).map(|(ix, _)| ix).collect();
            let freed: usize = keys.into_iter().map(|ix| self.coalesce(ix)).sum();
            if freed == 0 || self.memory_bytes() < self.options.memory / 4 * 3 {
                return;
            }
        }
    }

    /// Bytes of versions and keys, by the stated cost of each.
    pub(super) fn memory_bytes(&self) -> usize {
        (self.memory.versions + self.keys.len()) * super::limit::VERSION_BYTES + self.keys.key_bytes()
    }
}
