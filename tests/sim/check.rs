//! What must hold in every run.

use std::collections::BTreeMap;

use afterimage::engine::event::{Lookup, Note};
use afterimage::engine::limit::{Applier as Shape, VERSION_BYTES};
use afterimage::engine::tally::{Counters, Tally};
use afterimage::model::finding::{Finding, Kind, NamedVersion, Proof, State, Subject};
use afterimage::model::{PartitionId, Position};

use crate::applier::Applier;
use crate::model::{Loss, Truth, is_mix, removes, was_ever};
use crate::plan::{Mode, Plan, SECOND, millis};
use crate::source::{BITS, Cells, Change, KeyId, Source};

/// Violations kept of a run; the first tells most.
const KEPT: usize = 12;

/// One read that the engine was answered with.
#[derive(Debug, Clone, Copy)]
struct Read {
    snapshot: u64,
    ended: u64,
    row: Option<Cells>,
}

/// What became of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<String>,
    pub(crate) changes: usize,
    pub(crate) losses: usize,
    pub(crate) guaranteed: usize,
    pub(crate) found: usize,
    pub(crate) findings: usize,
    pub(crate) early: usize,
    pub(crate) stalls: usize,
    pub(crate) groups: usize,
    pub(crate) frozen: usize,
    /// Milliseconds from the loss to the finding.
    pub(crate) detected: Vec<u64>,
    pub(crate) counters: Counters,
    pub(crate) trace: u64,
}

pub(crate) struct Check {
    outcome: Outcome,
    reads: Vec<Vec<Read>>,
    /// Findings about rows by key, as last stated, while they are open.
    open: BTreeMap<(KeyId, Position), Finding>,
    suspected: BTreeMap<(KeyId, Position, Kind), ()>,
    /// Tables whose rows stand under one `mass_divergence` finding: from when.
    groups: BTreeMap<String, u64>,
    group_times: Vec<(String, u64, u64)>,
    stalled: bool,
    interruptions: Vec<u64>,
    in_flight: BTreeMap<KeyId, u64>,
    /// Ranges that the judge listed as left without a verdict.
    unverifiable: Vec<(u16, (u64, u64))>,
    memory: usize,
    keys: usize,
    watch: Option<KeyId>,
    inferred: bool,
}

impl Check {
    pub(crate) fn new(plan: &Plan, source: &Source) -> Check {
        Check {
            outcome: Outcome { changes: source.changes.len(), ..Outcome::default() },
            reads: vec![Vec::new(); source.by_key.len()],
            open: BTreeMap::new(),
            suspected: BTreeMap::new(),
            groups: BTreeMap::new(),
            group_times: Vec::new(),
            stalled: false,
            interruptions: Vec::new(),
            in_flight: BTreeMap::new(),
            unverifiable: Vec::new(),
            memory: plan.options.memory,
            keys: source.by_key.len(),
            watch: plan.watch,
            inferred: matches!(plan.mode, Mode::Inferred),
        }
    }

    fn violated(&mut self, what: String) {
        if self.outcome.violations.len() < KEPT {
            self.outcome.violations.push(what);
        }
    }

    /// We died, or a partition left us: suspects begin anew, and so does the clock of the guarantee.
    pub(crate) fn interrupted(&mut self, now: u64) {
        self.interruptions.push(now);
        self.in_flight.clear();
    }

    pub(crate) fn asked(&mut self, lookup: &Lookup) {
        if lookup.keys.is_empty() {
            self.violated(format!("lookup {:?} asks for nothing", lookup.id));
        }
        for key in &lookup.keys {
            if self.in_flight.insert(Source::key_id(key), lookup.id.0).is_some() {
                self.violated(format!("{key:?} is in two lookups at once, {:?} the second", lookup.id));
            }
        }
    }

    pub(crate) fn read(&mut self, lookup: &Lookup, rows: &[Option<Cells>], (snapshot, ended): (u64, u64)) {
        for (key, row) in lookup.keys.iter().zip(rows) {
            if self.watch == Some(Source::key_id(key)) {
                println!("{ended}: read {row:?} at {snapshot}");
            }
            self.reads[Source::key_id(key) as usize].push(Read { snapshot, ended, row: *row });
        }
    }

    pub(crate) fn answered(&mut self, lookup: &Lookup) {
        for key in &lookup.keys {
            if self.in_flight.get(&Source::key_id(key)) == Some(&lookup.id.0) {
                self.in_flight.remove(&Source::key_id(key));
            }
        }
    }

    pub(crate) fn note(&mut self, note: &Note) {
        match note {
            Note::Unverifiable { partition, range, .. } => self.unverifiable.push((partition.0, *range)),
            Note::Frozen { .. } => self.outcome.frozen += 1,
            Note::Demoted { why } => self.violated(format!("sound commits were demoted: {why}")),
            Note::Coalesced { .. } | Note::Transient | Note::SlowEqual { .. } => {}
        }
    }

    pub(crate) fn bounds(&mut self, tally: &Tally) {
        // One key costs an entry and, coalesced, four versions.
        let most = self.memory.saturating_add(self.keys * (VERSION_BYTES * 5 + 32)) + 64 * 1024;
        if tally.memory_bytes > most {
            self.violated(format!("{} bytes are tracked where {most} are allowed", tally.memory_bytes));
        }
    }

    pub(crate) fn finding(&mut self, source: &Source, truth: &mut Truth, finding: &Finding, now: u64) {
        match &finding.subject {
            Subject::Row { key, expected, .. } => {
                let key = Source::key_id(key);
                self.row(source, truth, key, expected, finding, now);
            }
            Subject::Table { table, .. } => match finding.state {
                State::Healed => {
                    if let Some(since) = self.groups.remove(&**table) {
                        self.group_times.push((table.to_string(), since, now));
                    }
                }
                State::Suspected | State::Open | State::Acknowledged | State::Ignored | State::Retracted => {
                    self.outcome.groups += usize::from(!self.groups.contains_key(&**table));
                    self.groups.entry(table.to_string()).or_insert(finding.first_seen.0);
                }
            },
            Subject::Scope { detail, .. } => match finding.kind {
                Kind::Stalled => {
                    let open = finding.state == State::Open;
                    self.outcome.stalls += usize::from(open && !self.stalled);
                    self.stalled = open;
                }
                Kind::JudgingSuspended => {}
                // Content that nobody wrote to the tap takes from rows what only they prove.
                Kind::EvidenceUnsound if self.inferred && truth.was_foreign() => {}
                Kind::UnappliedDelete
                | Kind::MissingRow
                | Kind::LostUpdate
                | Kind::TornRow
                | Kind::DivergedRow
                | Kind::ResurrectedRow
                | Kind::RegressedRow
                | Kind::VanishedRow
                | Kind::DuplicateRow
                | Kind::Undecodable
                | Kind::CoverageGap
                | Kind::MassDivergence
                | Kind::EvidenceUnsound => {
                    self.violated(format!("{now}: {:?} without a reason: {detail}", finding.kind))
                }
            },
            Subject::Record { .. } => self.violated(format!("{now}: every record can be read: {finding:?}")),
        }
    }

    fn row(
        &mut self,
        source: &Source,
        truth: &mut Truth,
        key: KeyId,
        expected: &NamedVersion,
        finding: &Finding,
        now: u64,
    ) {
        let id = (key, expected.at);
        if self.watch == Some(key) {
            println!("{now}: {}", told(key, finding));
        }
        match finding.state {
            State::Suspected => {
                self.suspected.insert((key, expected.at, finding.kind), ());
            }
            State::Healed => {
                let known = self.open.remove(&id).is_some();
                let suspected = self.suspected.remove(&(key, expected.at, finding.kind)).is_some();
                if !known && !suspected {
                    self.violated(format!("{now}: healed, but never stated: {}", told(key, finding)));
                }
            }
            State::Open => {
                self.suspected.remove(&(key, expected.at, finding.kind));
                self.opened(source, truth, key, finding, now);
                self.open.insert(id, finding.clone());
            }
            State::Acknowledged | State::Ignored | State::Retracted => {
                self.violated(format!("{now}: not the judge's to say: {}", told(key, finding)));
            }
        }
    }

    fn opened(&mut self, source: &Source, truth: &mut Truth, key: KeyId, finding: &Finding, now: u64) {
        let Subject::Row { expected, latest, observed, .. } = &finding.subject else { return };
        let known = self.open.iter().any(|((of, at), _)| *of == key && *at == expected.at);
        if !known {
            self.outcome.findings += 1;
            self.outcome.early += usize::from(finding.proof == Some(Proof::Early));
            if let Some(other) = self.open.keys().find(|(of, _)| *of == key) {
                self.violated(format!("{now}: a second finding beside {other:?}: {}", told(key, finding)));
            }
        }
        let Some(read) = self.reads[key as usize].iter().rev().find(|read| read.ended == observed.at.0).copied() else {
            self.violated(format!("{now}: no read returned at {}: {}", observed.at.0, told(key, finding)));
            return;
        };
        let attempted = truth.attempted(key, read.snapshot);
        let mut standing: Option<Loss> = None;
        for loss in truth.at(key, read.snapshot) {
            loss.found = loss.found.or(Some(now));
            standing = Some(loss.clone());
        }
        let Some(loss) = standing else {
            if !attempted {
                self.violated(format!("{now}: FALSE, read at {}: {}", read.snapshot, told(key, finding)));
            }
            return;
        };
        let Some(index) = self.change_at(source, key, expected.at) else {
            self.violated(format!("{now}: expects a version that is none: {}", told(key, finding)));
            return;
        };
        if index > truth.expected[key as usize].unwrap_or(0) {
            self.violated(format!("{now}: expects what was not applied yet: {}", told(key, finding)));
        }
        if !known && latest.is_none() {
            self.kind(source, key, index, read, finding, now);
        }
        if !attempted && !loss.label.admits(finding.cause) {
            self.violated(format!("{now}: {:?} was named {}: {}", loss.label, finding.cause, told(key, finding)));
        }
    }

    fn change_at(&self, source: &Source, key: KeyId, at: Position) -> Option<usize> {
        source.by_key[key as usize].iter().copied().find(|index| source.position(*index) == at)
    }

    /// Whether the kind fits what was expected, what was read, and what had been read before.
    fn kind(&mut self, source: &Source, key: KeyId, index: usize, read: Read, finding: &Finding, now: u64) {
        let gone = removes(source.changes[index].op);
        let fits_later = source.by_key[key as usize]
            .iter()
            .filter(|later| **later >= index && source.changes[**later].append <= read.ended)
            .any(|later| source.changes[*later].row == read.row);
        if fits_later {
            self.violated(format!(
                "{now}: the row read is the version expected, or a later one: {}",
                told(key, finding)
            ));
        }
        let Subject::Row { versions_behind, .. } = &finding.subject else { return };
        // Of a row that no known version fits it may be all there is to say that it is none of the newer ones.
        let ever = *versions_behind == 0 || was_ever(source, key, read.row.as_ref());
        let once = self.reads[key as usize].iter().take_while(|earlier| earlier.ended < read.ended).any(|earlier| {
            source.by_key[key as usize]
                .iter()
                .any(|known| *known >= index && source.changes[*known].fits(earlier.row.as_ref()))
        });
        let right = match (finding.kind, read.row) {
            (Kind::MissingRow, None) => !gone,
            (Kind::VanishedRow, None) => !gone && self.reads[key as usize].iter().any(|read| read.row.is_some()),
            (Kind::UnappliedDelete, Some(_)) => gone && ever,
            (Kind::ResurrectedRow, Some(_)) => gone && once && ever,
            (Kind::LostUpdate, Some(_)) => !gone && ever,
            (Kind::RegressedRow, Some(_)) => !gone && once && ever,
            (Kind::TornRow, Some(row)) => !gone && is_mix(source, key, &row),
            // The versions it once had may be out of the cache's reach.
            (Kind::DivergedRow, Some(_)) => true,
            (_, _) => false,
        };
        if !right {
            self.violated(format!("{now}: the kind does not fit {:?}: {}", read.row, told(key, finding)));
        }
    }

    /// Nothing is committed before it is applied for good, nor past a loss that was not stated.
    pub(crate) fn commit(&mut self, source: &Source, truth: &Truth, (partition, from, to): (u16, u64, u64), now: u64) {
        let log = &source.logs[usize::from(partition)];
        let place = |offset: u64| log.partition_point(|index| source.changes[*index].offset < offset);
        for index in &log[place(from)..place(to).max(place(from))] {
            let change = &source.changes[*index];
            if change.heartbeat {
                continue;
            }
            if !truth.is_done(*index) {
                self.violated(format!("{now}: {partition}/{} was committed before it was applied", change.offset));
            }
            let unsaid = truth.standing(change.key).filter(|loss| loss.change == *index && loss.found.is_none());
            let listed = self.is_listed(change);
            if let Some(loss) = unsaid.filter(|loss| !listed && loss.start + SECOND < now && !loss.masked(source, now))
            {
                self.violated(format!("{now}: {partition}/{} was committed past {loss:?}", change.offset));
            }
        }
    }

    /// Findings that the store kept, with the versions they expected.
    pub(crate) fn kept(&self, source: &Source) -> Vec<(usize, Finding)> {
        let find = |((key, at), finding): (&(KeyId, Position), &Finding)| {
            Some((self.change_at(source, *key, *at)?, finding.clone()))
        };
        self.open.iter().filter_map(find).collect()
    }

    pub(crate) fn finish(
        mut self,
        plan: &Plan,
        source: &Source,
        applier: &Applier,
        tally: &Tally,
        trace: u64,
    ) -> Outcome {
        for (table, since) in std::mem::take(&mut self.groups) {
            self.group_times.push((table, since, u64::MAX));
        }
        for loss in &applier.truth.losses {
            self.outcome.losses += 1;
            if let Some(found) = loss.found {
                self.outcome.found += 1;
                self.outcome.detected.push(found - loss.start);
            }
            if let Some(bound) = self.guaranteed(plan, source, applier, loss) {
                self.outcome.guaranteed += 1;
                if loss.found.is_none() {
                    self.violated(format!("MISSED, guaranteed within {bound} ms: {loss:?}"));
                }
            }
        }
        self.is_live(plan, source, tally);
        self.outcome.counters = tally.counters.clone();
        self.outcome.trace = trace;
        self.outcome
    }

    /// With progress, everything of the load has its verdict at the end.
    fn is_live(&mut self, plan: &Plan, source: &Source, tally: &Tally) {
        if !self.groups.is_empty() || tally.stated.contains(&Kind::MassDivergence) {
            return;
        }
        for partition in &tally.partitions {
            let log = &source.logs[usize::from(partition.partition.0)];
            let load = log.iter().rev().find(|index| {
                let change = &source.changes[**index];
                change.commit < plan.busy() && !change.heartbeat
            });
            let last = load.map_or(0, |index| source.changes[*index].offset);
            if partition.verified <= last {
                let PartitionId(id) = partition.partition;
                let next = log.iter().find(|index| source.changes[**index].offset >= partition.verified);
                let next = next.map(|index| &source.changes[*index]);
                self.violated(format!(
                    "partition {id}: verified to {} where the load ends at {last}, before {next:?}: {partition:?}",
                    partition.verified
                ));
            }
        }
    }

    /// How long the loss may stand unsaid, if it is of those that must be said.
    fn guaranteed(&self, plan: &Plan, source: &Source, applier: &Applier, loss: &Loss) -> Option<u64> {
        let worker = &applier.workers[loss.worker];
        let end = loss.end.min(plan.end());
        let mut cuts: Vec<u64> = worker.restarts.iter().chain(&self.interruptions).copied().collect();
        let start = loss.start.max(plan.start());
        cuts.retain(|cut| *cut > start && *cut < end);
        cuts.extend([start, end.max(start)]);
        cuts.sort_unstable();
        let listed = self.is_listed(&source.changes[loss.change]);
        if listed || loss.masked(source, end) || self.is_grouped(source, loss, end) {
            return None;
        }
        cuts.windows(2).find_map(|segment| {
            let (from, to) = (segment[0], segment[1]);
            let first = worker.lags.partition_point(|(at, _)| *at < from);
            let until = worker.lags.partition_point(|(at, _)| *at <= to);
            let lag = worker.lags[first..(until + 1).min(worker.lags.len())].iter().map(|(_, lag)| *lag).max();
            let bound = bound(plan, source, loss, lag.unwrap_or(0));
            (to - from >= bound).then_some(bound)
        })
    }

    fn is_listed(&self, change: &Change) -> bool {
        self.unverifiable.iter().any(|(partition, (first, last))| {
            *partition == change.partition && *first <= change.offset && change.offset <= *last
        })
    }

    fn is_grouped(&self, source: &Source, loss: &Loss, end: u64) -> bool {
        let table = format!("public.t{}", source.table(loss.key).0);
        self.group_times.iter().any(|(of, from, to)| *of == table && *from <= end && *to >= loss.start)
    }
}

/// The bound of the protocol's guarantee with the run's figures, and room for failed reads.
fn bound(plan: &Plan, source: &Source, loss: &Loss, lag: u64) -> u64 {
    let options = &plan.options;
    let consumption = if plan.slow_consumption { 62_000 } else { 2_000 };
    // Without heartbeats, witnesses are ordinary rows, of which a trickle goes on.
    let spacing = match plan.mode {
        Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat => plan.heartbeat.unwrap_or(0),
        Mode::Committed => 90_000,
        Mode::Inferred => 180_000,
        Mode::Assumed => 0,
    } + plan.every * 4;
    let slow_batches = plan.window + 8 * plan.group_gap;
    let polls = millis(options.reread) + 6 * millis(options.poll) + 5 * SECOND;
    let settle = plan.settle();
    let gate = if options.applier == Shape::Batch { 150_000 + 4 * (lag + spacing) + settle } else { 0 };
    let causal = 3 * (lag + spacing + consumption + slow_batches) + 2 * settle + spacing + 4 * plan.lead() + gate;
    let bits = if source.table(loss.key).0 == BITS { causal } else { 0 };
    let committed =
        2 * (lag + plan.checkpoint + consumption + slow_batches) + lag + spacing + millis(options.zombie_after);
    let base = match plan.mode {
        Mode::Committed => committed,
        Mode::Assumed => consumption,
        Mode::Heartbeat | Mode::UnknownCommitsAndHeartbeat | Mode::Inferred => causal,
    };
    (base + polls + bits) * 3 / 2
}

fn told(key: KeyId, finding: &Finding) -> String {
    let Subject::Row { expected, latest, observed, versions_behind, .. } = &finding.subject else {
        return format!("{finding:?}");
    };
    format!(
        "key {key} {} ({}) {} proof {:?}, expected {} at {}/{}, latest {latest:?}, behind {versions_behind}, seen {}; {}",
        finding.kind,
        finding.cause,
        finding.state,
        finding.proof,
        expected.op.word(),
        expected.at.partition.0,
        expected.at.offset,
        observed.at.0,
        finding.evidence
    )
}
