//! The engine's state, and the small questions every stage asks of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::model::finding::Finding;
use crate::model::{Op, PartitionId, SourceTime, TableId, Tick};

use super::chain::{Content, Probe, Version};
use super::coercion::Coercions;
use super::counted::Counting;
use super::event::{Images, Output, PlanEpoch};
use super::foreign::Foreign;
use super::gate::{Gate, Group, Statements};
use super::horizon::{Ends, Horizon};
use super::keys::{Entry, KeyIx, Keys};
use super::letters::Letters;
use super::limit::{CHECKPOINTS_AGAIN, CHECKPOINTS_KNOWN, Margin, Options, Order, SETTLE_AT_MOST, USUAL_PERCENT};
use super::lookup::Flights;
use super::masks::Masks;
use super::partition::Partition;
use super::patrol::Patrol;
use super::recall::Recalls;
use super::recent::Recent;
use super::rewind::Rewound;
use super::scan::Scans;
use super::schedule::Schedule;
use super::soundness::Soundness;
use super::suspect::{Convict, Floor, Floors};
use super::tally::Counters;

/// Where positions are compared with one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ScopeId {
    Partition(PartitionId),
    Table(TableId),
    Pipeline,
}

/// Findings about more than one key that are open now.
#[derive(Debug, Default)]
pub(super) struct Stated {
    pub(super) groups: BTreeMap<(TableId, Group), Finding>,
    pub(super) stalled: Option<Finding>,
    pub(super) suspended: Option<Finding>,
    pub(super) unsound: Option<Finding>,
}

/// What the margins are measured by.
#[derive(Debug, Default)]
pub(super) struct Measures {
    /// From append to sight.
    pub(super) lags: Recent,
    /// From the source's commit to the append, where that is no outage.
    pub(super) tap_delays: Recent,
    /// Between two commits of the applier, while there was something to commit.
    pub(super) checkpoints: Recent,
    /// The last verdicts of each table: when the source committed what was judged, and when that was. Bounded by
    /// the tally and the tables there are.
    pub(super) verdicts: BTreeMap<TableId, VecDeque<(SourceTime, Tick)>>,
    /// The re-application margin that follows of them.
    settle: Option<Duration>,
}

/// The last truncate of each table: what was committed at the source before it is gone, whatever partition it stands in.
pub(super) type Truncates = BTreeMap<TableId, Version>;

/// Whether consumption is paused on full memory.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) versions: usize,
    pub(super) paused_since: Option<Tick>,
    /// Versions there were when consumption last went on.
    pub(super) resumed: usize,
}

/// The judge. See the module for its contract.
pub struct Engine {
    pub(super) options: Options,
    pub(super) images: Box<dyn Images>,
    pub(super) now: Tick,
    pub(super) next_poll: Tick,
    pub(super) next_sample: Tick,
    pub(super) keys: Keys,
    pub(super) masks: Masks,
    pub(super) partitions: BTreeMap<PartitionId, Partition>,
    pub(super) horizons: BTreeMap<ScopeId, Horizon>,
    pub(super) orders: BTreeMap<ScopeId, u64>,
    pub(super) schedule: Schedule,
    pub(super) flights: Flights,
    pub(super) gate: Gate,
    pub(super) heartbeats: BTreeSet<KeyIx>,
    pub(super) suspects: BTreeSet<KeyIx>,
    pub(super) again: BTreeSet<(Tick, KeyIx)>,
    pub(super) stated: Stated,
    pub(super) soundness: Soundness,
    pub(super) memory: Memory,
    pub(super) measures: Measures,
    pub(super) truncates: Truncates,
    /// Tables of which some row left those that the applier carries: another may have, and stand on the target as it was.
    pub(super) left: BTreeSet<TableId>,
    /// Tables whose rows are counted.
    pub(super) counting: BTreeMap<TableId, Counting>,
    /// Connectors whose source was rewound.
    pub(super) rewound: BTreeMap<u64, Rewound>,
    /// Connectors under whose name several sources write.
    pub(super) several: BTreeSet<u64>,
    /// The plan under which the versions of each table are held; those not named are under their first.
    pub(super) plans: BTreeMap<TableId, PlanEpoch>,
    pub(super) foreign: Foreign,
    pub(super) coercions: Coercions,
    pub(super) letters: Letters,
    pub(super) patrol: Patrol,
    pub(super) recalls: Recalls,
    pub(super) scans: Scans,
    pub(super) counters: Counters,
    pub(super) outputs: VecDeque<Output>,
}

impl Engine {
    /// A judge that knows nothing yet.
    #[must_use]
    pub fn new(options: Options, images: Box<dyn Images>) -> Engine {
        Engine {
            patrol: Patrol::new(options.patrol_reads_per_second),
            options,
            images,
            now: Tick::default(),
            next_poll: Tick::default(),
            next_sample: Tick::default(),
            keys: Keys::default(),
            masks: Masks::default(),
            partitions: BTreeMap::new(),
            horizons: BTreeMap::new(),
            orders: BTreeMap::new(),
            schedule: Schedule::default(),
            flights: Flights::default(),
            gate: Gate::default(),
            heartbeats: BTreeSet::new(),
            suspects: BTreeSet::new(),
            again: BTreeSet::new(),
            stated: Stated::default(),
            soundness: Soundness::default(),
            memory: Memory::default(),
            measures: Measures::default(),
            truncates: Truncates::new(),
            left: BTreeSet::new(),
            counting: BTreeMap::new(),
            rewound: BTreeMap::new(),
            several: BTreeSet::new(),
            plans: BTreeMap::new(),
            foreign: Foreign::default(),
            coercions: Coercions::default(),
            letters: Letters::default(),
            recalls: Recalls::default(),
            scans: Scans::default(),
            counters: Counters::default(),
            outputs: VecDeque::new(),
        }
    }

    /// The re-application margin R.
    pub(super) fn settle(&self) -> Duration {
        match self.options.settle {
            Margin::Stated(settle) => settle,
            Margin::Measured { unknown, .. } => self.measures.settle.unwrap_or(unknown),
        }
    }

    /// The applier's commits tell how far back it may begin again.
    pub(super) fn checkpoint_measured(&mut self, interval: Duration) {
        let checkpoints = &mut self.measures.checkpoints;
        checkpoints.measured(interval, self.now);
        let Margin::Measured { least, .. } = self.options.settle else { return };
        if checkpoints.count() >= CHECKPOINTS_KNOWN {
            let usual = checkpoints.percentile(USUAL_PERCENT);
            self.measures.settle = Some((usual * CHECKPOINTS_AGAIN).clamp(least, SETTLE_AT_MOST.max(least)));
        }
    }

    /// How far the applier may be ahead of the tap.
    pub(super) fn lead(&self) -> Duration {
        match self.options.lead {
            Margin::Stated(lead) => lead,
            Margin::Measured { least, .. } => (self.measures.tap_delays.largest() * 3 / 2).max(least),
        }
    }

    pub(super) fn is_wide(&self) -> bool {
        self.options.order.is_wide()
    }

    /// The scope of a version; `None` where nothing but the key itself is ordered.
    pub(super) fn scope(&self, partition: PartitionId, table: TableId) -> Option<ScopeId> {
        match self.options.order {
            Order::Partition => Some(ScopeId::Partition(partition)),
            Order::Table => Some(ScopeId::Table(table)),
            Order::Pipeline => Some(ScopeId::Pipeline),
            Order::Key => None,
        }
    }

    /// What the change of a row was written with.
    pub(super) fn statements(&self, partition: PartitionId, table: TableId, op: Op) -> Statements {
        Statements { scope: self.scope(partition, table), table, group: Group::of(op) }
    }

    pub(super) fn horizon(&self, version: &Version, table: TableId) -> Option<&Horizon> {
        self.horizons.get(&self.scope(version.partition, table)?)
    }

    /// What a witness of this version proves once its batch is complete: in a partition everything up to it; in a wider
    /// scope, whose positions are those of transactions, everything before its transaction.
    pub(super) fn passed_by(&self, version: &Version) -> u64 {
        match self.options.order {
            Order::Partition | Order::Key => version.offset + 1,
            Order::Table | Order::Pipeline => version.order,
        }
    }

    fn order_of(&self, version: &Version) -> u64 {
        match self.options.order {
            Order::Partition | Order::Key => version.offset,
            Order::Table | Order::Pipeline => version.order,
        }
    }

    /// What says that this version had to be on the target, if anything does.
    pub(super) fn convicts(&self, version: &Version, table: TableId) -> Option<Convict> {
        let partition = self.partitions.get(&version.partition).filter(|partition| partition.assigned)?;
        if partition.assumed.is_some_and(|below| version.offset < below) {
            return Some(Convict::Assumed);
        }
        if self.commits_convict() && partition.committed.is_some_and(|below| version.offset < below) {
            return Some(Convict::Committed);
        }
        let horizon = self.horizon(version, table)?;
        (self.order_of(version) < horizon.applied()).then_some(Convict::Causal)
    }

    /// Whether this version can no longer be undone by a re-application.
    pub(super) fn settles(&self, version: &Version, table: TableId) -> bool {
        let partition = self.partitions.get(&version.partition).filter(|partition| partition.assigned);
        let Some(partition) = partition else { return false };
        partition.assumed.is_some_and(|below| version.offset < below)
            || version.offset < partition.forget_below
            || self.horizon(version, table).is_some_and(|horizon| self.order_of(version) < horizon.settled())
    }

    /// The floors of a key as they stand now. Versions without an order among them are passed together or not at all.
    pub(super) fn floors(&self, entry: &Entry) -> Floors {
        let table = entry.key.table();
        let versions = entry.chain.versions();
        let floor = |version: &Version| {
            let by = self.convicts(version, table)?;
            Some(Floor { partition: version.partition, arrival: version.arrival, by })
        };
        let settles = |version: &Version| self.settles(version, table).then_some(version.arrival);
        let to = entry.unordered_to();
        let (unordered, ordered) =
            versions.split_at(to.map_or(0, |to| versions.partition_point(|version| version.arrival <= to)));
        let weakest = || {
            let all: Vec<Floor> = unordered.iter().map(floor).collect::<Option<_>>()?;
            let by = all.iter().map(|floor| floor.by).min()?;
            Some(Floor { by, ..*all.last()? })
        };
        let last_settled = || unordered.iter().map(settles).collect::<Option<Vec<_>>>()?.last().copied();
        Floors {
            applied: ordered.iter().rev().find_map(floor).or_else(weakest),
            settled: ordered.iter().rev().find_map(settles).or_else(last_settled),
        }
    }

    /// The ends of a scope's partitions, out of the ends of all.
    pub(super) fn scope_ends(&self, partition: PartitionId, ends: &[(PartitionId, u64)]) -> Ends {
        match self.options.order {
            Order::Partition | Order::Key => {
                ends.iter().copied().filter(|(known, _)| *known == partition).collect::<Vec<_>>().into()
            }
            Order::Table | Order::Pipeline => ends.into(),
        }
    }

    /// Compares one content with versions.
    pub(super) fn probe<'a>(&'a self, content: &'a Content) -> Probe<'a> {
        Probe::new(content, &self.masks)
    }

    /// Schedules a read of the key, at once or as soon as its last read is old enough. Suspects are read by their own rule.
    pub(super) fn schedule_read(&mut self, ix: KeyIx) {
        let (now, reread) = (self.now, self.options.reread);
        let Some(entry) = self.keys.get_mut(ix) else { return };
        if entry.queued || entry.is_in_flight() || entry.suspect().is_some() {
            return;
        }
        entry.queued = true;
        let table = entry.key.table();
        match entry.last_read().map(|last| last + reread) {
            Some(at) if at > now => self.schedule.at(at, table, ix),
            Some(_) | None => self.schedule.now(table, ix),
        }
    }

    /// Schedules a read as soon as it can be sent, whatever the last one was.
    pub(super) fn schedule_now(&mut self, ix: KeyIx) {
        let Some(entry) = self.keys.get_mut(ix) else { return };
        if !entry.queued && !entry.is_in_flight() {
            entry.queued = true;
            self.schedule.now(entry.key.table(), ix);
        }
    }

    /// Schedules a key again if something of it is applied or settled and not yet judged so.
    pub(super) fn schedule_rest(&mut self, ix: KeyIx) {
        let Some(entry) = self.keys.get(ix) else { return };
        let floors = self.floors(entry);
        let applied = floors.applied.is_some_and(|floor| !entry.is_applied(floor.arrival));
        let settled = floors.settled.is_some_and(|settled| !entry.is_done(settled));
        if applied || settled {
            self.schedule_read(ix);
        }
    }

    pub(super) fn say(&mut self, output: Output) {
        self.outputs.push_back(output);
    }

    /// States a finding, copied for those who keep it.
    pub(super) fn state(&mut self, finding: &Finding) {
        self.counters.stated(finding);
        self.outputs.push_back(Output::Finding(Box::new(finding.clone())));
    }

    /// How a position is written in evidence.
    pub(super) fn place(&self, partition: PartitionId, offset: u64) -> String {
        format!("{}/{offset}", self.images.partition_name(partition))
    }

    pub(super) fn partition_ids(&self) -> Arc<[PartitionId]> {
        self.partitions.iter().filter(|(_, partition)| partition.assigned).map(|(id, _)| *id).collect()
    }
}
