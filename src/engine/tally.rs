//! The read-only picture of the judge: what status, metrics and the live view show.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::finding::{Finding, Kind, Proof, State};
use crate::model::{Key, PartitionId, SourceTime, TableId, Tick};

use super::chain::Version;
use super::event::Role;
use super::keys::KeyIx;
use super::state::{Engine, ScopeId};
use super::track::Tracked;

/// Keys named in a picture.
const SAMPLES: usize = 5;

/// The keys of a table that are named for their many versions.
const HOT_KEYS: usize = 5;

/// Verdicts of a table that are remembered: enough for the slowest of a hundred to be among them.
const VERDICTS: usize = 200;

/// What was counted since the start.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// Changes read.
    pub changes: u64,
    /// Records not understood.
    pub rejects: u64,
    /// Changes that came again.
    pub duplicates: u64,
    /// Keys read on the target.
    pub reads: u64,
    /// Verified keys that the patrol looked at again, among those read.
    pub patrolled: u64,
    /// Keys that a truncate of their table is judged by, though nobody tracked them.
    pub scanned: u64,
    /// Keys whose read failed.
    pub failed_reads: u64,
    /// Reads whose row was right by what had to be applied.
    pub right: u64,
    /// Reads whose row was wrong by what had to be applied.
    pub wrong: u64,
    /// Versions verified by being seen, or by a newer one being seen.
    pub matched: u64,
    /// Versions that a newer one replaced before they were seen themselves.
    pub superseded: u64,
    /// Suspects that turned out right.
    pub transient: u64,
    /// Versions left without a verdict.
    pub unverifiable: u64,
    /// Changes of rows that the applier is not meant to carry.
    pub left_out: u64,
    /// Versions coalesced to stay inside a bound.
    pub coalesced: u64,
    /// Reads whose row could not be compared at all.
    pub incomparable: u64,
    /// Reads whose row may be a coalesced version.
    pub unclear: u64,
    /// Images that were read again from the log.
    pub recalled: u64,
    /// Images that could not be read again.
    pub not_recalled: u64,
    /// Backward steps of a scope.
    pub back_steps: u64,
    /// Findings opened, those of rows.
    pub opened: u64,
    /// Findings healed.
    pub healed: u64,
    /// Largest lag measured, from append to sight.
    pub lag: Duration,
}

impl Counters {
    pub(super) fn stated(&mut self, finding: &Finding) {
        match finding.state {
            State::Open if finding.proof.is_some_and(|proof| proof != Proof::Early) || finding.proof.is_none() => {
                self.opened += 1;
            }
            State::Healed => self.healed += 1,
            State::Open | State::Suspected | State::Acknowledged | State::Ignored | State::Retracted => {}
        }
    }
}

/// One partition, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionTally {
    /// Which.
    pub partition: PartitionId,
    /// It is ours.
    pub assigned: bool,
    /// First offset consumed since it was assigned.
    pub start: u64,
    /// Next offset to be consumed.
    pub consumed: u64,
    /// Last known end of the log.
    pub end: u64,
    /// The applier's committed position, where it is known.
    pub committed: Option<u64>,
    /// Applied watermark: every position below it is applied. For wide scopes, the source position.
    pub applied: u64,
    /// Settled watermark, in the same measure.
    pub settled: u64,
    /// Verified watermark: every position below it has its verdict.
    pub verified: u64,
    /// Versions without a verdict.
    pub pending: usize,
    /// Versions that nothing proves due yet.
    pub unproven: usize,
    /// When the source committed the oldest version without a verdict, where the record told.
    pub oldest: Option<SourceTime>,
    /// Verdicts are held since a backward step.
    pub frozen: bool,
}

/// One table, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableTally {
    /// Which.
    pub table: TableId,
    /// Keys with versions that have no verdict.
    pub keys: usize,
    /// These versions.
    pub versions: usize,
    /// Keys that differ and wait for proof.
    pub suspects: usize,
    /// Open findings about rows.
    pub open_rows: usize,
    /// The keys with the most versions without a verdict, most first, and how many these are; never those with one alone.
    pub hot: Vec<(Key, usize)>,
    /// The last verdicts, oldest first: when the source committed what was judged, and when that was.
    pub verdicts: Vec<(SourceTime, Tick)>,
}

/// The judge, as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tally {
    /// When.
    pub at: Tick,
    /// Counters.
    pub counters: Counters,
    /// The re-application margin in force.
    pub settle: Duration,
    /// How far the applier may be ahead of the tap, as far as is known now.
    pub lead: Duration,
    /// Keys tracked.
    pub keys: usize,
    /// Versions tracked.
    pub versions: usize,
    /// Bytes of versions and keys.
    pub memory_bytes: usize,
    /// Suspects.
    pub suspects: usize,
    /// Open findings about rows.
    pub open_rows: usize,
    /// Keys whose row differs at present though nothing proves it had to be otherwise.
    pub differing: usize,
    /// Some of them.
    pub differing_keys: Vec<Key>,
    /// Lookups in flight, and keys that wait to be read.
    pub lookups: usize,
    /// Keys that wait to be read.
    pub scheduled: usize,
    /// Verified keys that the patrol covers.
    pub patrolled_keys: usize,
    /// How long ago the key was read that the patrol looks at next; zero where it covers none.
    pub oldest_look: Duration,
    /// Consumption is paused on full memory.
    pub paused: bool,
    /// Committed positions no longer convict.
    pub demoted: bool,
    /// The kinds of the open findings about more than one key.
    pub stated: Vec<Kind>,
    /// Partitions, in order.
    pub partitions: Vec<PartitionTally>,
    /// Tables that have something to show, in order.
    pub tables: Vec<TableTally>,
}

impl Engine {
    /// The picture now. Walks every tracked key: call it at the pace of a display.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let differing = || {
            self.keys
                .iter()
                .filter(|(_, entry)| entry.more.as_ref().is_some_and(|more| more.differs && more.reported.is_none()))
        };
        let stated = self.stated.groups.values().chain(&self.stated.stalled).chain(&self.stated.unsound);
        Tally {
            at: self.now,
            counters: self.counters.clone(),
            settle: self.settle(),
            lead: self.lead(),
            keys: self.keys.len(),
            versions: self.memory.versions,
            memory_bytes: self.memory_bytes(),
            suspects: self.suspects.len(),
            open_rows: self.keys.iter().filter(|(_, entry)| entry.reported().is_some()).count(),
            differing: differing().count(),
            differing_keys: differing().take(SAMPLES).map(|(_, entry)| entry.key.clone()).collect(),
            lookups: self.flights.in_flight(),
            scheduled: self.schedule.len(),
            patrolled_keys: self.patrolled(),
            oldest_look: self.patrol.roster.oldest_look().map_or(Duration::ZERO, |look| self.now.since(look)),
            paused: self.memory.paused_since.is_some(),
            demoted: self.soundness.demoted,
            stated: stated.chain(&self.stated.suspended).map(|finding| finding.kind).collect(),
            partitions: self.partition_tallies(),
            tables: self.table_tallies(),
        }
    }

    /// The picture of a range: of each partition that has an end here, `pending` counts only what lies before it.
    #[must_use]
    pub fn tally_before(&self, ends: &BTreeMap<PartitionId, u64>) -> Tally {
        let mut tally = self.tally();
        for mark in &mut tally.partitions {
            let known = self.partitions.get(&mark.partition).zip(ends.get(&mark.partition));
            if let Some((partition, end)) = known {
                mark.pending = partition.index_of(*end);
            }
        }
        tally
    }

    /// Counters alone: cheap.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn committed_at(&self, tracked: Tracked) -> Option<SourceTime> {
        let chain = &self.keys.get(tracked.key)?.chain;
        chain.versions()[chain.at_or_before(tracked.arrival)?].committed_at()
    }

    fn table_tallies(&self) -> Vec<TableTally> {
        let mut tables: BTreeMap<TableId, TableTally> = BTreeMap::new();
        let empty = |table| TableTally {
            table,
            keys: 0,
            versions: 0,
            suspects: 0,
            open_rows: 0,
            hot: Vec::new(),
            verdicts: Vec::new(),
        };
        for (_, entry) in self.keys.iter() {
            if entry.role == Role::Heartbeat {
                continue;
            }
            let table = entry.key.table();
            let tally = tables.entry(table).or_insert_with(|| empty(table));
            tally.open_rows += usize::from(entry.reported().is_some());
            if entry.more.as_ref().is_some_and(|more| more.patrolled.is_some()) {
                continue;
            }
            let versions = entry.chain.versions().iter().filter(|version| !entry.is_done(version.arrival)).count();
            tally.keys += usize::from(versions > 0);
            tally.versions += versions;
            tally.suspects += usize::from(entry.suspect().is_some());
            let place = tally.hot.partition_point(|(_, hotter)| *hotter >= versions);
            if versions > 1 && place < HOT_KEYS {
                tally.hot.truncate(HOT_KEYS - 1);
                tally.hot.insert(place, (entry.key.clone(), versions));
            }
        }
        for (table, verdicts) in &self.measures.verdicts {
            let tally = tables.entry(*table).or_insert_with(|| empty(*table));
            tally.verdicts = verdicts.iter().copied().collect();
        }
        tables.into_values().collect()
    }

    /// Keeps what was judged now for the picture of its table.
    pub(super) fn sample_verdict(&mut self, ix: KeyIx, index: usize) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(committed) = entry.chain.versions().get(index).and_then(Version::committed_at) else { return };
        let verdicts = self.measures.verdicts.entry(entry.key.table()).or_default();
        if verdicts.len() >= VERDICTS {
            verdicts.pop_front();
        }
        verdicts.push_back((committed, self.now));
    }

    fn partition_tallies(&self) -> Vec<PartitionTally> {
        let tally = |(id, partition): (&PartitionId, &super::partition::Partition)| {
            let scope = match self.options.order {
                super::limit::Order::Partition => Some(ScopeId::Partition(*id)),
                super::limit::Order::Pipeline => Some(ScopeId::Pipeline),
                super::limit::Order::Table | super::limit::Order::Key => None,
            };
            let horizon = scope.and_then(|scope| self.horizons.get(&scope));
            let commits = self.commits_convict();
            let committed = partition.committed.filter(|_| commits).or(partition.assumed).unwrap_or_default();
            PartitionTally {
                partition: *id,
                assigned: partition.assigned,
                start: partition.start,
                consumed: partition.consumed,
                end: partition.end,
                committed: partition.committed,
                applied: horizon.map_or(0, |horizon| horizon.applied()).max(committed),
                settled: horizon
                    .map_or(0, |horizon| horizon.settled())
                    .max(partition.forget_below)
                    .max(partition.assumed.unwrap_or_default()),
                verified: partition.low_watermark(),
                pending: partition.tracked(),
                unproven: partition.unproven(),
                oldest: partition.oldest().and_then(|oldest| self.committed_at(oldest)),
                frozen: horizon.is_some_and(|horizon| horizon.frozen(self.now, self.settle())),
            }
        };
        self.partitions.iter().map(tally).collect()
    }
}
