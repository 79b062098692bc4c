//! 6 ▸ A suspect becomes a finding, a finding heals: kind, proof, evidence.

use std::sync::Arc;

use crate::model::Op;
use crate::model::finding::{ColumnDifference, Finding, Kind, NamedVersion, Observed, Proof, State, Subject};

use super::cause::{History, cause};
use super::chain::{Base, Content, Version};
use super::event::Verified;
use super::gate::Passage;
use super::judge::{Observation, floor_index};
use super::keys::{Entry, KeyIx, Reported};
use super::limit::Applier;
use super::state::Engine;
use super::suspect::{Convict, Floor, Suspect};

/// Reads that must agree before anything rests on the margin R.
const EARLY_READS: u32 = 3;

/// Reads that must agree where the margin, a committed position or the user's word stands behind them.
const SURE_READS: u32 = 2;

/// How far to either side of a lost version its neighbours are looked at.
const NEIGHBOURS: usize = 8;

/// Which earlier version an observed row is.
struct SeenVersion {
    named: Option<Version>,
    /// Operations after it up to the floor.
    since: Vec<Op>,
    /// Versions after it up to the floor; 0 where it is of no known version.
    behind: u32,
}

impl Engine {
    pub(super) fn convict(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(suspect) = entry.suspect() else { return };
        let Some(index) = floor_index(entry, floor) else { return };
        if self.stood_between(entry, suspect, index, &observation.content) {
            return;
        }
        match self.proof(entry, suspect, floor, index) {
            Some(proof) => self.report(ix, floor, index, proof, observation),
            None if suspect.count == SURE_READS
                && suspect.floor.by == Convict::Causal
                && entry.reported().is_none() =>
            {
                let finding = self.finding(entry, suspect, floor, index, None, observation);
                self.state(&finding);
            }
            None => {}
        }
    }

    /// The content was right for a moment between the floors of the two reads: a row that toggles.
    fn stood_between(&self, entry: &Entry, suspect: &Suspect, index: usize, content: &Content) -> bool {
        let versions = &entry.chain.versions()[..=index];
        versions.iter().any(|version| {
            version.offset > suspect.floor.offset
                && version.partition == suspect.floor.partition
                && !content.has_placeholder()
                && self.equals(version, content)
        })
    }

    fn proof(&self, entry: &Entry, suspect: &Suspect, floor: Floor, index: usize) -> Option<Proof> {
        let wanted = |default: u32| self.options.confirmations.unwrap_or(default).max(SURE_READS);
        match floor.by {
            Convict::Assumed => (suspect.count >= wanted(SURE_READS)).then_some(Proof::Assumed),
            Convict::Committed => (suspect.count >= wanted(SURE_READS)).then_some(Proof::Committed),
            Convict::Causal => {
                let version = entry.chain.versions()[index];
                let passage = match self.options.applier {
                    Applier::Transactional => Passage::Open,
                    Applier::Batch => self.gate.passage(entry.key.table(), version.op, suspect.first),
                };
                let horizon = self.horizon(&version, entry.key.table());
                let back = horizon.and_then(|horizon| horizon.last_back());
                let calm = back.is_none_or(|at| at < suspect.first && at + self.options.settle <= self.now);
                let settled = suspect.settled_count >= wanted(SURE_READS) && passage != Passage::Closed;
                let early = suspect.count >= wanted(EARLY_READS) && calm && passage == Passage::Open;
                settled.then_some(Proof::Settled).or(early.then_some(Proof::Early))
            }
        }
    }

    fn report(&mut self, ix: KeyIx, floor: Floor, index: usize, proof: Proof, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(suspect) = entry.suspect() else { return };
        let mut finding = self.finding(entry, suspect, floor, index, Some(proof), observation);
        if let Some(reported) = entry.reported() {
            finding = extended(&reported.finding, finding);
        }
        let final_now = proof != Proof::Early;
        let again = self.now + self.options.reread;
        let first = entry.reported().is_none();
        self.suspects.remove(&ix);
        self.state(&finding);
        if let Some(entry) = self.keys.get_mut(ix) {
            let more = entry.more();
            more.suspect = None;
            more.applied_to = more.applied_to.max(Some(floor.offset));
            if final_now {
                more.settled_to = more.settled_to.max(Some(floor.offset));
            }
            let content = Some(observation.content.clone());
            more.reported = Some(Box::new(Reported { finding, content, floor: floor.offset }));
        }
        if first {
            self.again.insert((again, ix));
        }
        self.schedule_rest(ix);
    }

    /// The same finding, seen again: it may have become durable.
    pub(super) fn still_there(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let more = entry.more();
        let Some(reported) = more.reported.as_mut() else { return };
        reported.content = Some(observation.content.clone());
        reported.finding.last_seen = observation.ended;
        reported.finding.observations = reported.finding.observations.saturating_add(1);
        let early = reported.finding.proof == Some(Proof::Early);
        let settled = observation.settled.is_some_and(|settled| settled >= floor.offset);
        let upgraded = early && settled;
        if upgraded {
            reported.finding.proof = Some(Proof::Settled);
        }
        let stated = reported.finding.clone();
        if settled || !early {
            more.settled_to = more.settled_to.max(Some(floor.offset));
        }
        more.applied_to = more.applied_to.max(Some(floor.offset));
        if more.suspect.take().is_some() {
            self.suspects.remove(&ix);
        }
        if upgraded || stated.observations % 30 == 0 {
            self.state(&stated);
        }
        self.schedule_rest(ix);
    }

    /// The row is right: what was open of it is not any more.
    pub(super) fn heal(&mut self, ix: KeyIx, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let Some(reported) = entry.more().reported.take() else { return };
        let mut finding = reported.finding;
        finding.state = State::Healed;
        finding.last_seen = observation.ended;
        self.state(&finding);
    }

    /// A stated suspicion did not become a finding.
    pub(super) fn withdraw(&mut self, ix: KeyIx, suspect: &Suspect) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(index) = floor_index(entry, suspect.floor) else { return };
        let ends = Arc::clone(&suspect.ends);
        let observation = Observation {
            content: suspect.content.clone(),
            row: suspect.row.clone(),
            ended: suspect.last,
            ends: &ends,
            settled: None,
        };
        let mut finding = self.finding(entry, suspect, suspect.floor, index, None, &observation);
        finding.state = State::Healed;
        finding.last_seen = self.now;
        self.state(&finding);
    }

    fn finding(
        &self,
        entry: &Entry,
        suspect: &Suspect,
        floor: Floor,
        index: usize,
        proof: Option<Proof>,
        observation: &Observation<'_>,
    ) -> Finding {
        let expected = entry.chain.versions()[index];
        let verified = self.images.recall(&entry.key);
        let seen = self.seen_version(entry, index, &observation.content, verified.as_ref());
        let columns = self.columns(entry, &expected, observation);
        let kind = self.kind(entry, &expected, &seen, &observation.content, verified.as_ref(), observation);
        let history = self.history(entry, floor, &expected, &seen, kind, observation, suspect);
        Finding {
            kind,
            cause: cause(&history),
            state: if proof.is_some() { State::Open } else { State::Suspected },
            proof,
            subject: Subject::Row {
                key: entry.key.clone(),
                expected: self.named(entry, &expected),
                latest: None,
                observed: Observed {
                    row: observation.row.clone(),
                    at: observation.ended,
                    matches: seen.named.map(|version| self.named(entry, &version)),
                },
                columns,
                versions_behind: seen.behind,
            },
            evidence: self.evidence(entry, floor, &expected),
            first_seen: suspect.first,
            last_seen: observation.ended,
            observations: suspect.count,
        }
    }

    fn evidence(&self, entry: &Entry, floor: Floor, expected: &Version) -> String {
        let lost = self.place(expected.partition, expected.offset);
        let partition = self.partitions.get(&floor.partition);
        match floor.by {
            Convict::Assumed => {
                let end = partition.and_then(|partition| partition.assumed).unwrap_or_default();
                format!(
                    "assumed: you stated that everything before {} was applied; that is past {lost}",
                    self.place(floor.partition, end)
                )
            }
            Convict::Committed => {
                let next = partition.and_then(|partition| partition.committed).unwrap_or_default();
                let name = &self.options.evidence_name;
                format!("applied watermark {} ({name}) is past {lost}", self.place(floor.partition, next))
            }
            Convict::Causal => {
                let applied = self.horizon(expected, entry.key.table()).map_or(0, |horizon| horizon.applied());
                let name = if self.options.evidence.heartbeat { "heartbeat" } else { "inferred" };
                format!("applied watermark {applied} ({name}: a later change was seen on the target) is past {lost}")
            }
        }
    }

    fn named(&self, entry: &Entry, version: &Version) -> NamedVersion {
        let image = self.images.image(version.at(), &entry.key);
        let (row, source) = image.map_or((None, None), |image| (image.row, image.source));
        NamedVersion { at: version.at(), op: version.op, committed_at: version.committed_at(), source, row }
    }

    /// Finds the newest version before the floor whose content is seen: in the chain, before it, or among what is remembered.
    fn seen_version(&self, entry: &Entry, index: usize, content: &Content, verified: Option<&Verified>) -> SeenVersion {
        let versions = &entry.chain.versions()[..=index];
        let ops = |from: usize| versions[from..].iter().map(|version| version.op).collect::<Vec<_>>();
        if let Some(at) = versions[..index].iter().rposition(|version| self.equals(version, content)) {
            return SeenVersion { named: Some(versions[at]), since: ops(at + 1), behind: count(index - at) };
        }
        match entry.base() {
            Base::Version(version) if self.equals(&version, content) => {
                return SeenVersion { named: Some(version), since: ops(0), behind: count(index + 1) };
            }
            Base::Version(_) | Base::Content(..) | Base::Absent | Base::Unknown => {}
        }
        let remembered = verified.is_some_and(|verified| self.is_earlier(verified, content));
        let behind = if remembered { count(index + 2) } else { 0 };
        SeenVersion { named: None, since: ops(0), behind }
    }

    fn is_earlier(&self, verified: &Verified, content: &Content) -> bool {
        let Content::Row { hashes, .. } = content else { return false };
        let sum = hashes.sum(&verified.mask);
        verified
            .earlier
            .iter()
            .any(|(_, op, fingerprint)| *fingerprint == sum && !matches!(op, Op::Delete | Op::Truncate))
    }

    fn kind(
        &self,
        entry: &Entry,
        expected: &Version,
        seen: &SeenVersion,
        content: &Content,
        verified: Option<&Verified>,
        observation: &Observation<'_>,
    ) -> Kind {
        let once_so = self.was_read_so(entry, expected, verified);
        let earlier = seen.named.is_some() || seen.behind > 0 || self.may_be_before(entry, content);
        match content {
            Content::Several => Kind::DuplicateRow,
            Content::Absent if once_so || self.was_ever_seen(entry) => Kind::VanishedRow,
            Content::Absent => Kind::MissingRow,
            Content::Row { .. } if !expected.leaves_row() => match (earlier, once_so) {
                (true, true) => Kind::ResurrectedRow,
                (true, false) => Kind::UnappliedDelete,
                (false, _) => Kind::DivergedRow,
            },
            Content::Row { placeholder: true, .. } => Kind::DivergedRow,
            Content::Row { .. } if earlier && once_so => Kind::RegressedRow,
            Content::Row { .. } if earlier => Kind::LostUpdate,
            Content::Row { .. } if self.is_torn(entry, observation) => Kind::TornRow,
            Content::Row { .. } => Kind::DivergedRow,
        }
    }

    /// The row was once read as this version or a later one.
    fn was_read_so(&self, entry: &Entry, expected: &Version, verified: Option<&Verified>) -> bool {
        let seen = entry.more.as_ref().and_then(|more| more.seen_to).is_some_and(|to| to >= expected.offset);
        let applied = entry.more.as_ref().and_then(|more| more.applied_to).is_some_and(|to| to >= expected.offset);
        let verified = verified.is_some_and(|verified| {
            verified.at.partition == expected.partition && verified.at.offset >= expected.offset
        });
        let reported = entry.reported().is_some();
        (seen || (applied && !reported) || verified) && !reported
    }

    /// Some version of the row was once read on the target.
    fn was_ever_seen(&self, entry: &Entry) -> bool {
        let seen = entry.more.as_ref().and_then(|more| more.seen_to);
        seen.is_some_and(|to| entry.chain.versions().iter().any(|version| version.offset == to && version.leaves_row()))
    }

    /// The content may be what stood there before the oldest known version.
    fn may_be_before(&self, entry: &Entry, content: &Content) -> bool {
        match (entry.base(), content) {
            (Base::Unknown, Content::Row { placeholder, .. }) => !placeholder,
            (Base::Content(fingerprint, mask), Content::Row { hashes, .. }) => {
                hashes.sum(&self.masks.get(mask)) == fingerprint
            }
            (Base::Version(version), content) => self.equals(&version, content),
            (Base::Absent, _) | (Base::Unknown | Base::Content(..), Content::Absent | Content::Several) => false,
        }
    }

    /// Every column belongs to some known version.
    fn is_torn(&self, entry: &Entry, observation: &Observation<'_>) -> bool {
        let Some(row) = &observation.row else { return false };
        let mut belongs: Vec<bool> = Vec::new();
        let base = match entry.base() {
            Base::Version(version) => Some(version),
            Base::Unknown | Base::Absent | Base::Content(..) => None,
        };
        for version in entry.chain.versions().iter().chain(base.iter()).filter(|version| version.leaves_row()) {
            let Some(expected) = self.images.image(version.at(), &entry.key).and_then(|image| image.row) else {
                continue;
            };
            let verdicts = self.images.compare(&entry.key, &expected, row);
            belongs.resize(belongs.len().max(verdicts.len()), false);
            for (slot, verdict) in belongs.iter_mut().zip(&verdicts) {
                *slot |= verdict.outcome != crate::canon::Compared::Different;
            }
        }
        !belongs.is_empty() && belongs.iter().all(|column| *column)
    }

    fn columns(&self, entry: &Entry, expected: &Version, observation: &Observation<'_>) -> Vec<ColumnDifference> {
        let Some(row) = &observation.row else { return Vec::new() };
        let Some(image) = self.images.image(expected.at(), &entry.key).and_then(|image| image.row) else {
            return Vec::new();
        };
        let verdicts = self.images.compare(&entry.key, &image, row);
        let differing = verdicts
            .into_iter()
            .filter(|verdict| verdict.outcome == crate::canon::Compared::Different || verdict.placeholder);
        differing
            .map(|verdict| ColumnDifference {
                name: verdict.name,
                expected: Some(verdict.expected),
                observed: verdict.observed,
            })
            .collect()
    }

    fn history(
        &self,
        entry: &Entry,
        floor: Floor,
        expected: &Version,
        seen: &SeenVersion,
        kind: Kind,
        observation: &Observation<'_>,
        suspect: &Suspect,
    ) -> History {
        let (lost_run, lost_run_keys) = self.lost_run(floor);
        let horizon = self.horizon(expected, entry.key.table());
        let back_step = horizon
            .and_then(|horizon| horizon.last_back())
            .is_some_and(|at| at + self.options.settle * 2 >= suspect.first);
        let before_base = match (seen.named, entry.base()) {
            (None, Base::Version(version)) => Some(version.op),
            (Some(_), _) | (None, Base::Unknown | Base::Absent | Base::Content(..)) => None,
        };
        History {
            kind,
            placeholder: observation.content.has_placeholder(),
            op_never_applied: self.gate.never_applied(entry.key.table(), expected.op),
            key_change: expected.in_key_change(),
            back_step,
            lost_run,
            lost_run_keys,
            seen: seen.named.map(|version| version.op),
            since: before_base.into_iter().chain(seen.since.iter().copied()).collect(),
        }
    }

    /// The run of adjacent lost positions around a floor: how long, and of how many keys.
    fn lost_run(&self, floor: Floor) -> (usize, usize) {
        let Some(partition) = self.partitions.get(&floor.partition) else { return (1, 1) };
        let at = partition.index_of(floor.offset);
        let is_lost = |index: usize| {
            let (offset, ix) = partition.tracked_at(index)?;
            let entry = self.keys.get(ix)?;
            let lost_floor = entry.suspect().map(|suspect| suspect.floor.offset);
            let lost_floor = lost_floor.or(entry.reported().map(|reported| reported.floor))?;
            (offset <= lost_floor && entry.more.as_ref()?.seen_to.is_none_or(|seen| seen < offset)).then_some(ix)
        };
        let after = (at..at + NEIGHBOURS).map_while(is_lost);
        let before = (at.saturating_sub(NEIGHBOURS)..at).rev().map_while(is_lost);
        let lost: Vec<KeyIx> = before.chain(after).collect();
        let mut keys = lost.clone();
        keys.sort_unstable();
        keys.dedup();
        (lost.len(), keys.len())
    }
}

fn count(versions: usize) -> u32 {
    u32::try_from(versions).unwrap_or(u32::MAX)
}

/// An open finding whose key lost a later version too: the same finding, further behind.
fn extended(open: &Finding, new: Finding) -> Finding {
    let mut finding = open.clone();
    (finding.state, finding.last_seen) = (State::Open, new.last_seen);
    finding.proof = new.proof.max(open.proof);
    finding.observations = open.observations.saturating_add(new.observations);
    finding.evidence = new.evidence;
    let (
        Subject::Row { latest, observed, columns, versions_behind, expected, .. },
        Subject::Row { expected: newer, observed: now, columns: differ, versions_behind: behind, .. },
    ) = (&mut finding.subject, new.subject)
    else {
        return finding;
    };
    if newer.at != expected.at {
        *latest = Some(newer.at);
    }
    (*observed, *columns) = (now, differ);
    *versions_behind = (*versions_behind).max(behind);
    finding
}
