//! What must hold in every run.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use afterimage::engine::event::{Lookup, Note};
use afterimage::engine::limit::{HEARTBEATS_BEHIND, VERSION_BYTES};
use afterimage::engine::tally::{Counters, Tally};
use afterimage::model::finding::{Finding, Kind, NamedVersion, State, Subject};
use afterimage::model::{PartitionId, Position, TableId};

use crate::applier::Applier;
use crate::damage::Damage;
use crate::detect::Detection;
use crate::guarantee::earliest;
use crate::model::{Loss, Truth, is_mix, removes, was_ever};
use crate::plan::{Mode, Plan, SECOND, Workers};
use crate::source::{Cells, KeyId, Source};

/// Violations kept of a run; the first tells most.
const KEPT: usize = 12;

/// One read that the engine was answered with.
#[derive(Debug, Clone, Copy)]
struct Read {
    snapshot: u64,
    ended: u64,
    row: Option<Cells>,
}

/// What a run may violate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Property {
    NoFalseFinding,
    NothingMissed,
    RightName,
    Liveness,
    Other,
}

#[derive(Debug, Clone)]
pub(crate) struct Violation {
    pub(crate) property: Property,
    what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.property {
            Property::NoFalseFinding => "FALSE: ",
            Property::NothingMissed => "MISSED: ",
            Property::RightName => "MISNAMED: ",
            Property::Liveness => "STUCK: ",
            Property::Other => "",
        };
        write!(out, "{word}{}", self.what)
    }
}

/// What became of a run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) violations: Vec<Violation>,
    pub(crate) changes: usize,
    pub(crate) losses: usize,
    pub(crate) guaranteed: usize,
    pub(crate) found: usize,
    pub(crate) findings: usize,
    pub(crate) detections: Vec<Detection>,
    /// Milliseconds from the earliest moment at which anyone could know, to the finding.
    pub(crate) over_earliest: Vec<u64>,
    /// At the moment when most versions were held.
    pub(crate) bytes_per_version: f64,
    /// Losses that never heal: found, planted.
    pub(crate) lasting: (usize, usize),
    /// Losses that were not found, by the class that says why.
    pub(crate) excluded: BTreeMap<&'static str, usize>,
    /// Findings by proof: opened, false, repaired by a re-application.
    pub(crate) proofs: BTreeMap<String, (usize, usize, usize)>,
    /// Damage to rows that had been verified.
    pub(crate) damage: Damage,
    pub(crate) counters: Counters,
    pub(crate) trace: u64,
}

pub(crate) struct Check {
    pub(crate) outcome: Outcome,
    reads: Vec<Vec<Read>>,
    /// Findings about rows by key, as last stated, while they are open.
    open: BTreeMap<(KeyId, Position), Finding>,
    suspected: BTreeMap<(KeyId, Position, Kind), ()>,
    /// Tables whose rows stand under one `mass_divergence` finding: from when.
    groups: BTreeMap<String, u64>,
    pub(crate) group_times: Vec<(String, u64, u64)>,
    pub(crate) interruptions: Vec<u64>,
    rewound_at: u64,
    /// Where the source was said to be rewound.
    pub(crate) rewound: BTreeSet<Position>,
    replans: Vec<(TableId, u64)>,
    in_flight: BTreeMap<KeyId, u64>,
    /// Ranges that the judge listed as left without a verdict.
    pub(crate) unverifiable: Vec<(u16, (u64, u64))>,
    memory: usize,
    keys: usize,
    watch: Option<KeyId>,
    inferred: bool,
    /// Rows alone tell of progress, and somebody else writes rows of changes that are still to be applied.
    misled: bool,
    unsound: bool,
    gaps: bool,
    ordered: bool,
    /// How far behind the rows that are read may be.
    behind: u64,
    most_versions: usize,
}

impl Check {
    pub(crate) fn new(plan: &Plan, source: &Source) -> Check {
        let heartbeats = plan.heartbeat.map_or(0, |_| usize::from(plan.partitions));
        Check {
            outcome: Outcome { changes: source.changes.len(), ..Outcome::default() },
            reads: vec![Vec::new(); source.by_key.len()],
            open: BTreeMap::new(),
            suspected: BTreeMap::new(),
            groups: BTreeMap::new(),
            group_times: Vec::new(),
            interruptions: source.fork.iter().map(|fork| fork.at).chain(plan.calm_after_rewind()).collect(),
            rewound_at: source.fork.as_ref().map_or(u64::MAX, |fork| fork.at),
            rewound: BTreeSet::new(),
            replans: Vec::new(),
            in_flight: BTreeMap::new(),
            unverifiable: Vec::new(),
            // Heartbeats are not coalesced.
            memory: plan.options.memory.saturating_add(heartbeats * HEARTBEATS_BEHIND * VERSION_BYTES),
            keys: source.by_key.len(),
            watch: plan.watch,
            inferred: matches!(plan.mode, Mode::Inferred),
            misled: plan.mode == Mode::Inferred && plan.second.is_some(),
            unsound: false,
            gaps: plan.gaps > 0.0,
            ordered: !matches!(plan.workers, Workers::Keys(_)),
            behind: plan.replica.map_or(0, |(_, most)| most),
            most_versions: 0,
        }
    }

    fn violated(&mut self, what: String) {
        self.broke(Property::Other, what);
    }

    pub(crate) fn broke(&mut self, property: Property, what: String) {
        if self.outcome.violations.len() < KEPT {
            self.outcome.violations.push(Violation { property, what });
        }
    }

    /// Rows alone told how far the applier is, and they were seen to lie.
    pub(crate) fn is_unsound(&self) -> bool {
        self.unsound
    }

    /// Whether a finding of the key is open.
    pub(crate) fn is_open(&self, key: KeyId) -> bool {
        self.open.keys().any(|(of, _)| *of == key)
    }

    /// A life of the judge is over: what it counted is added up.
    pub(crate) fn ended(&mut self, counters: &Counters) {
        let sum = &mut self.outcome.counters;
        sum.matched += counters.matched;
        sum.superseded += counters.superseded;
        sum.unverifiable += counters.unverifiable;
        sum.reads += counters.reads;
        sum.patrolled += counters.patrolled;
        sum.transient += counters.transient;
        sum.coalesced += counters.coalesced;
        sum.unclear += counters.unclear;
        sum.opened += counters.opened;
        sum.healed += counters.healed;
    }

    /// We died, or a partition left us: suspects begin anew, and so does the clock of the guarantee.
    pub(crate) fn interrupted(&mut self, now: u64) {
        self.interruptions.push(now);
        self.in_flight.clear();
    }

    /// The columns of a table changed: what is known of its rows compares with nothing any more.
    pub(crate) fn replanned(&mut self, table: TableId, now: u64) {
        self.replans.push((table, now));
        self.voided();
    }

    /// When the columns of a key's table changed.
    pub(crate) fn replans_of(&self, source: &Source, key: KeyId) -> impl Iterator<Item = u64> {
        let table = source.table(key);
        self.replans.iter().filter(move |(known, _)| *known == table).map(|(_, at)| *at)
    }

    /// Whether some table's columns changed: what rows were before is then forgotten, so that fewer of them are witnesses.
    pub(crate) fn replanned_since(&self, from: u64, to: u64) -> bool {
        self.replans.iter().any(|(_, at)| (from..=to).contains(at))
    }

    /// Some of what is asked for is worth nothing any more: its keys may be asked for anew.
    pub(crate) fn voided(&mut self) {
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

    pub(crate) fn note(&mut self, truth: &Truth, note: &Note, now: u64) {
        match note {
            Note::Unverifiable { partition, range, .. } => {
                self.unverifiable.push((partition.0, *range));
                self.voided();
            }
            Note::Demoted { .. } if truth.wrote_late(now) => self.unsound = true,
            Note::Demoted { why } => self.violated(format!("sound commits were demoted: {why}")),
            Note::Frozen { .. }
            | Note::Coalesced { .. }
            | Note::Scanned { .. }
            | Note::Transient
            | Note::Replanned { .. }
            | Note::SlowEqual { .. } => {}
        }
    }

    pub(crate) fn bounds(&mut self, tally: &Tally) {
        if tally.versions > self.most_versions {
            self.most_versions = tally.versions;
            self.outcome.bytes_per_version = tally.memory_bytes as f64 / tally.versions as f64;
        }
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
                    self.groups.entry(table.to_string()).or_insert(finding.first_seen.0);
                }
            },
            Subject::Column { detail, .. } => self.violated(format!("{now}: a column without a reason: {detail}")),
            Subject::Scope { at, detail } => match finding.kind {
                Kind::Stalled | Kind::JudgingSuspended => {}
                Kind::CoverageGap if self.gaps => {}
                Kind::CoverageGap if source.fork.is_some() => self.rewound.extend(*at),
                // Content that nobody wrote to the tap takes from rows what only they prove.
                Kind::EvidenceUnsound if self.inferred && truth.was_foreign() => self.unsound = true,
                Kind::EvidenceUnsound if self.unsound && truth.wrote_late(now) => {}
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
            Subject::Record { at, .. } => {
                let log = &source.logs[usize::from(at.partition.0)];
                let unreadable = |index: &usize| source.changes[*index].unreadable && source.position(*index) == *at;
                if !log.iter().any(unreadable) {
                    self.violated(format!("{now}: this record can be read: {finding:?}"));
                }
            }
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
                let repaired = truth.losses.iter().rev().find(|loss| loss.key == key && loss.found.is_some());
                if known && repaired.is_some_and(|loss| loss.reapplied && loss.end <= now) {
                    self.outcome.proofs.entry(proof(finding)).or_default().2 += 1;
                }
                if known {
                    self.healed(source, truth, key, finding, now);
                }
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
            self.outcome.proofs.entry(proof(finding)).or_default().0 += 1;
            if let Some(other) = self.open.keys().find(|(of, _)| *of == key) {
                self.violated(format!("{now}: a second finding beside {other:?}: {}", told(key, finding)));
            }
        }
        // What was found of a change that was taken back stays open until something newer is right.
        if known && now >= self.rewound_at && self.is_taken_back(source, key, latest.unwrap_or(expected.at)) {
            return;
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
                self.outcome.proofs.entry(proof(finding)).or_default().1 += 1;
                let what = format!("{now}: read at {}: {}", read.snapshot, told(key, finding));
                self.broke(Property::NoFalseFinding, what);
            }
            return;
        };
        let Some(index) = self.change_at(source, key, expected.at) else {
            self.violated(format!("{now}: expects a version that is none: {}", told(key, finding)));
            return;
        };
        // A target that was restored since is back before what was demanded of the row that was read.
        let restored = self.is_taken_back(source, key, expected.at) && read.snapshot < self.rewound_at;
        if index > truth.expected[key as usize].unwrap_or(0) && !restored {
            self.violated(format!("{now}: expects what was not applied yet: {}", told(key, finding)));
        }
        if !known && latest.is_none() {
            self.kind(source, key, index, read, finding, now);
        }
        if !known {
            self.name_damage(source, &loss, index, (read.row.as_ref(), finding), now);
        }
        // A finding that later losses extend keeps the cause of the first.
        if !attempted && latest.is_none() && !loss.label.admits(finding.cause) {
            let what = format!("{now}: {:?} was named {}: {}", loss.label, finding.cause, told(key, finding));
            self.broke(Property::RightName, what);
        }
    }

    /// A finding heals by a read that saw the row right: no loss of what it expected, or of anything before, stood there.
    fn healed(&mut self, source: &Source, truth: &mut Truth, key: KeyId, finding: &Finding, now: u64) {
        let Subject::Row { expected, latest, .. } = &finding.subject else { return };
        let Some(index) = self.change_at(source, key, latest.unwrap_or(expected.at)) else { return };
        let reads = &self.reads[key as usize];
        let Some(read) = reads.iter().rev().find(|read| read.ended == finding.last_seen.0).copied() else { return };
        let still = |loss: &Loss| {
            let of_it = loss.change.is_some_and(|change| change <= index);
            of_it && loss.start < read.snapshot && read.snapshot < loss.end && !loss.masked(source, now)
        };
        if truth.at(key, read.snapshot).any(|loss| still(loss)) {
            self.violated(format!("{now}: healed, but read wrong at {}: {}", read.snapshot, told(key, finding)));
        }
    }

    pub(crate) fn change_at(&self, source: &Source, key: KeyId, at: Position) -> Option<usize> {
        source.by_key[key as usize].iter().copied().find(|index| source.position(*index) == at)
    }

    /// Whether the kind fits what was expected, what was read, and what had been read before.
    fn kind(&mut self, source: &Source, key: KeyId, index: usize, read: Read, finding: &Finding, now: u64) {
        let gone = removes(source.changes[index].op);
        let fits_later = source.by_key[key as usize]
            .iter()
            .filter(|later| **later >= index && source.changes[**later].append <= read.ended)
            .any(|later| source.left_by(*later) == read.row);
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
            source.by_key[key as usize].iter().any(|known| *known >= index && source.fits(*known, earlier.row.as_ref()))
        });
        let right = match (finding.kind, read.row) {
            (Kind::MissingRow, None) => !gone,
            (Kind::VanishedRow, None) => !gone && self.reads[key as usize].iter().any(|read| read.row.is_some()),
            (Kind::UnappliedDelete, Some(_)) => gone && ever,
            (Kind::ResurrectedRow, Some(_)) => gone && once && ever,
            (Kind::LostUpdate, Some(_)) => !gone && ever,
            (Kind::RegressedRow, Some(_)) => !gone && once && ever,
            (Kind::TornRow, Some(row)) => !gone && is_mix(source, key, (&row, source.changes[index].sent)),
            // The versions it once had may be out of the cache's reach.
            (Kind::DivergedRow, Some(_)) => true,
            (_, _) => false,
        };
        if !right {
            let what = format!("{now}: the kind does not fit {:?}: {}", read.row, told(key, finding));
            self.broke(Property::RightName, what);
        }
    }

    /// Nothing is committed before it is applied for good, nor past a loss that was not stated.
    pub(crate) fn commit(&mut self, source: &Source, truth: &Truth, (partition, from, to): (u16, u64, u64), now: u64) {
        let log = &source.logs[usize::from(partition)];
        let place = |offset: u64| log.partition_point(|index| source.changes[*index].offset < offset);
        for index in &log[place(from)..place(to).max(place(from))] {
            let change = &source.changes[*index];
            let listed = self.is_listed(change);
            let undemanded = source.is_left_out(*index);
            if change.heartbeat || change.is_truncate() || change.unreadable || listed || undemanded {
                continue;
            }
            if !truth.is_done(*index) && !self.misled {
                self.violated(format!("{now}: {partition}/{} was committed before it was applied", change.offset));
            }
            let unsaid = |loss: &&Loss| {
                loss.change == Some(*index)
                    && loss.found.is_none()
                    && !loss.label.is_anothers()
                    && !loss.undemanded
                    && loss.start + SECOND + self.behind < now
                    && !loss.masked(source, now)
            };
            if let Some(loss) = truth.standing(change.key).filter(unsaid) {
                self.violated(format!("{now}: {partition}/{} was committed past {loss:?}", change.offset));
            }
        }
    }

    /// Findings that the store kept, with the versions they expected and what was read when they were last stated.
    pub(crate) fn kept(&self, source: &Source) -> Vec<(usize, Finding, Option<Cells>)> {
        let find = |((key, at), finding): (&(KeyId, Position), &Finding)| {
            let Subject::Row { observed, .. } = &finding.subject else { return None };
            let read = self.reads[*key as usize].iter().rev().find(|read| read.ended == observed.at.0)?;
            Some((self.change_at(source, *key, *at)?, finding.clone(), read.row))
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
        *self.outcome.excluded.entry("D0").or_default() += applier.truth.overwritten;
        for loss in &applier.truth.losses {
            self.count(plan, source, applier, loss);
        }
        self.is_live(plan, source, tally);
        self.is_rewind_said(plan, source);
        self.ended(&tally.counters);
        self.outcome.trace = trace;
        self.outcome
    }

    fn count(&mut self, plan: &Plan, source: &Source, applier: &Applier, loss: &Loss) {
        self.outcome.losses += 1;
        let lasts = loss.end >= plan.end();
        self.outcome.lasting.1 += usize::from(lasts);
        let earliest = earliest(plan, applier, loss);
        match loss.found {
            Some(found) => {
                self.outcome.found += 1;
                self.outcome.lasting.0 += usize::from(lasts);
                self.outcome.detections.push(Detection::of(plan, source, applier, loss, found));
                self.outcome.over_earliest.extend(earliest.map(|earliest| found.saturating_sub(earliest)));
            }
            None => {
                *self.outcome.excluded.entry(self.class(plan, source, loss, earliest)).or_default() += 1;
            }
        }
        self.count_damage(plan, source, applier, loss);
        if let Some(bound) = self.guaranteed(plan, source, applier, loss) {
            self.outcome.guaranteed += 1;
            if loss.found.is_none() {
                self.broke(Property::NothingMissed, format!("guaranteed within {bound} ms: {loss:?}"));
            }
        }
    }

    /// With progress, everything of the load has its verdict at the end.
    fn is_live(&mut self, plan: &Plan, source: &Source, tally: &Tally) {
        if !self.ordered || !self.groups.is_empty() || tally.stated.contains(&Kind::MassDivergence) {
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
                let what = format!(
                    "partition {id}: verified to {} where the load ends at {last}, before {next:?}: {partition:?}",
                    partition.verified
                );
                self.broke(Property::Liveness, what);
            }
        }
    }
}

fn proof(finding: &Finding) -> String {
    finding.proof.map(|proof| proof.to_string()).unwrap_or_default()
}

pub(crate) fn told(key: KeyId, finding: &Finding) -> String {
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
