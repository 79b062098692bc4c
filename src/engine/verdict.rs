//! 6 ▸ A suspect becomes a finding, a finding heals: proof, statement, evidence.

use crate::model::finding::{Cause, ColumnDifference, Finding, Kind, NamedVersion, Observed, Proof, State, Subject};
use crate::model::{Op, Row, TableId};

use super::cause::cause;
use super::chain::{Arrival, Version};
use super::classify::Case;
use super::event::{Image, Role};
use super::gate::Passage;
use super::judge::Observation;
use super::keys::{Entry, KeyIx, Reported};
use super::limit::{Applier, EARLY_READS, Order, SURE_READS};
use super::state::Engine;
use super::suspect::{Convict, Floor, Suspect};

impl Engine {
    /// States what the reads that agree so far amount to.
    pub(super) fn convict(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(suspect) = entry.suspect() else { return };
        if self.coercions.holds(entry.key.table(), self.now) {
            return;
        }
        let proof = self.proof(entry, suspect, floor, observation);
        let expected = proof.map_or(floor, |(_, floor)| floor);
        if self.awaits_images(ix, expected.arrival, observation) {
            if proof.is_some() {
                self.hold_for_images(ix);
            }
            return;
        }
        if self.is_foreign(ix, (floor, proof), observation) {
            return;
        }
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(suspect) = entry.suspect() else { return };
        match proof {
            Some((proof, floor)) => self.report(ix, floor, proof, observation),
            None if suspect.count >= SURE_READS
                && suspect.stated.is_none()
                && floor.by == Convict::Causal
                && entry.reported().is_none() =>
            {
                self.suspected(ix, floor, observation);
            }
            None => {}
        }
    }

    /// What the reads prove, and against which floor.
    fn proof(
        &self,
        entry: &Entry,
        suspect: &Suspect,
        floor: Floor,
        observation: &Observation<'_>,
    ) -> Option<(Proof, Floor)> {
        let wanted = |default: u32| self.options.confirmations.unwrap_or(default).max(SURE_READS);
        let sure = suspect.count >= wanted(SURE_READS);
        match floor.by {
            // What was applied may have been taken back with the log that one partition shows to be left.
            Convict::Assumed => (sure && !self.is_doubtful_anywhere()).then_some((Proof::Assumed, floor)),
            Convict::Committed => sure.then_some((Proof::Committed, floor)),
            Convict::Causal => {
                let index = entry.chain.at_or_before(floor.arrival)?;
                let version = entry.chain.versions()[index];
                let passage = match self.options.applier {
                    Applier::Transactional => Passage::Open,
                    Applier::Batch => {
                        let of = self.statements(version.partition, entry.key.table(), version.op);
                        self.gate.passage(of, suspect.judged)
                    }
                };
                let back = self.horizon(&version, entry.key.table()).and_then(|horizon| horizon.last_back());
                let calm = back.is_none_or(|at| at < suspect.first && at + self.settle() <= self.now);
                let settled = observation.floors.settled.filter(|_| {
                    suspect.settled_count >= wanted(SURE_READS)
                        && passage != Passage::Closed
                        && !self.is_frozen(entry, floor)
                });
                let early = suspect.count >= wanted(EARLY_READS) && calm && passage == Passage::Open;
                settled
                    .map(|settled| (Proof::Settled, demanded_by(entry, settled, floor)))
                    .or(early.then_some((Proof::Early, floor)))
            }
        }
    }

    /// States a suspicion, which may be withdrawn.
    fn suspected(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(suspect) = entry.suspect() else { return };
        let Some(finding) = self.finding(entry, suspect, floor, None, observation) else { return };
        self.state(&finding);
        if let Some(suspect) = self.keys.get_mut(ix).and_then(|entry| entry.more().suspect.as_mut()) {
            suspect.stated = Some(Box::new(finding));
        }
    }

    fn report(&mut self, ix: KeyIx, floor: Floor, proof: Proof, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(suspect) = entry.suspect() else { return };
        let Some(mut finding) = self.finding(entry, suspect, floor, Some(proof), observation) else { return };
        let stated = suspect.stated.as_deref().cloned();
        match (entry.reported(), stated) {
            (Some(reported), _) => finding = extended(&reported.finding, finding),
            (None, Some(stated)) if stated.kind == finding.kind => finding = extended(&stated, finding),
            (None, Some(stated)) => self.withdraw(stated),
            (None, None) => {}
        }
        self.suspects.remove(&ix);
        self.state(&finding);
        let look = self.now + self.options.reread;
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let more = entry.more();
        (more.suspect, more.asking) = (None, None);
        more.applied_to = more.applied_to.max(Some(floor.arrival));
        if proof != Proof::Early {
            more.settled_to = more.settled_to.max(Some(floor.arrival));
        }
        let content = Some(observation.content.clone());
        let known = more.reported.take().map(|reported| reported.look);
        more.reported =
            Some(Box::new(Reported { finding, content, floor: floor.arrival, look: known.unwrap_or(look) }));
        if known.is_none() {
            self.again.insert((look, ix));
        }
        self.schedule_rest(ix);
    }

    /// The same finding, seen again: it may have become durable.
    pub(super) fn still_there(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let frozen = self.is_frozen(entry, floor);
        let named = entry.reported().and_then(|reported| self.named_since(&reported.finding));
        let is_named = named.is_some();
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let more = entry.more();
        let Some(reported) = more.reported.as_mut() else { return };
        if let Some(evidence) = named {
            (reported.finding.cause, reported.finding.evidence) = (Cause::RejectedRow, evidence);
        }
        reported.content = Some(observation.content.clone());
        reported.finding.last_seen = observation.ended;
        reported.finding.observations = reported.finding.observations.saturating_add(1);
        let early = reported.finding.proof == Some(Proof::Early);
        let settled = observation.floors.settled.is_some_and(|settled| settled >= reported.floor);
        let upgraded = early && settled && !frozen;
        if upgraded {
            reported.finding.proof = Some(Proof::Settled);
        }
        let stated = reported.finding.clone();
        if upgraded || !early {
            more.settled_to = more.settled_to.max(Some(floor.arrival));
        }
        more.applied_to = more.applied_to.max(Some(floor.arrival));
        let suspicion = more.suspect.take().and_then(|suspect| suspect.stated);
        self.suspects.remove(&ix);
        if let Some(suspicion) = suspicion {
            self.withdraw(*suspicion);
        }
        if upgraded || is_named || stated.observations % 30 == 0 {
            self.state(&stated);
        }
        self.schedule_rest(ix);
    }

    /// The row is right under a floor that covers what was found: it is not wrong any more.
    pub(super) fn heal(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get_mut(ix) else { return };
        if entry.reported().is_none_or(|reported| floor.arrival < reported.floor) {
            return;
        }
        let Some(reported) = entry.more().reported.take() else { return };
        let mut finding = reported.finding;
        finding.last_seen = observation.ended;
        self.withdraw(finding);
    }

    /// What was stated is right now.
    pub(super) fn withdraw(&mut self, mut finding: Finding) {
        finding.state = State::Healed;
        self.state(&finding);
    }

    /// A row that is wrong under a floor.
    pub(super) fn case<'a>(
        &self,
        entry: &'a Entry,
        floor: Floor,
        observation: &'a Observation<'a>,
    ) -> Option<Case<'a>> {
        let index = entry.chain.at_or_before(floor.arrival)?;
        Some(Case { entry, index, observation, verified: self.images.recall(&entry.key) })
    }

    fn finding(
        &self,
        entry: &Entry,
        suspect: &Suspect,
        floor: Floor,
        proof: Option<Proof>,
        observation: &Observation<'_>,
    ) -> Option<Finding> {
        let case = self.case(entry, floor, observation)?;
        let expected = case.expected();
        let seen = self.seen_version(&case);
        let kind = self.kind(&case, &seen);
        let letter = self.set_aside(&case, kind);
        let cause = cause(&self.history(&case, &seen, (kind, letter.as_ref()), suspect));
        let proven = self.proven(entry, floor, expected) + &self.hazard(entry.key.table(), kind, cause);
        let image = self.images.image(expected.at(), &entry.key);
        let columns = image.as_ref().and_then(|image| image.row.as_deref()).map(|row| self.columns(&case, row));
        let count = self.count_column(&case).map(|count| vec![count]);
        Some(Finding {
            kind,
            cause,
            state: if proof.is_some() { State::Open } else { State::Suspected },
            proof,
            subject: Subject::Row {
                key: entry.key.clone(),
                expected: named(&shown(entry, expected), image),
                latest: None,
                observed: Observed {
                    row: observation.row.clone(),
                    at: observation.ended,
                    matches: seen.named.map(|version| named(&version, self.images.image(version.at(), &entry.key))),
                },
                columns: count.or(columns).unwrap_or_default(),
                versions_behind: seen.behind,
            },
            evidence: match &letter {
                Some(letter) => self.with_letter(&proven, letter),
                None => proven,
            },
            first_seen: suspect.first,
            last_seen: observation.ended,
            observations: suspect.count,
        })
    }

    /// What may have made a row wrong that no rule names a cause of.
    fn hazard(&self, table: TableId, kind: Kind, cause: Cause) -> String {
        let may_be_of_another = matches!(kind, Kind::MissingRow | Kind::VanishedRow | Kind::DivergedRow);
        let is_open = matches!(cause, Cause::Unknown | Cause::ForeignWrite);
        let hazard = self.images.hazard(table).filter(|_| may_be_of_another && is_open);
        hazard.map(|hazard| format!("; the target table is {hazard}")).unwrap_or_default()
    }

    fn proven(&self, entry: &Entry, floor: Floor, expected: &Version) -> String {
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
                let applied = match self.options.order {
                    Order::Partition | Order::Key => self.place(floor.partition, applied),
                    Order::Table | Order::Pipeline => format!("at source position {applied}"),
                };
                format!("applied watermark {applied} ({name}: a later change was seen on the target) is past {lost}")
            }
        }
    }

    /// The columns in which the observed row is not as it had to be.
    fn columns(&self, case: &Case<'_>, expected: &Row) -> Vec<ColumnDifference> {
        let Some(row) = &case.observation.row else { return Vec::new() };
        let verdicts = self.compare(&case.entry.key, case.expected(), expected, row);
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
}

/// The newest version that is demanded where both the settled floor and this one stand.
fn demanded_by(entry: &Entry, settled: Arrival, floor: Floor) -> Floor {
    let arrival = settled.min(floor.arrival);
    let demanded = entry.chain.at_or_before(arrival).and_then(|index| entry.chain.demanded(index));
    Floor { arrival: demanded.map_or(arrival, |index| entry.chain.versions()[index].arrival), ..floor }
}

/// One fewer of several equal rows is a delete, though a row has to be there.
fn shown(entry: &Entry, version: &Version) -> Version {
    match (entry.role, version.op) {
        (Role::Counted, Op::Update) => version.doing(Op::Delete),
        (Role::Counted | Role::Rows | Role::Heartbeat, _) => *version,
    }
}

fn named(version: &Version, image: Option<Image>) -> NamedVersion {
    let (row, source) = image.map_or((None, None), |image| (image.row, image.source));
    NamedVersion { at: version.at(), op: version.op, committed_at: version.committed_at(), source, row }
}

/// A stated finding whose key lost a later version too, or that is proven better: the same finding, further behind.
fn extended(stated: &Finding, new: Finding) -> Finding {
    let mut finding = stated.clone();
    (finding.state, finding.last_seen) = (State::Open, new.last_seen);
    finding.proof = new.proof.max(stated.proof);
    finding.observations = stated.observations.saturating_add(new.observations);
    finding.evidence = new.evidence;
    let (
        Subject::Row { latest, observed, columns, versions_behind, expected, .. },
        Subject::Row { expected: newer, observed: now, columns: differ, versions_behind: behind, .. },
    ) = (&mut finding.subject, new.subject)
    else {
        return finding;
    };
    if newer.at > expected.at {
        *latest = Some(newer.at).max(*latest);
    }
    (*observed, *columns) = (now, differ);
    // What was only suspected may have been read with another content.
    let known = if stated.state == State::Suspected { 0 } else { *versions_behind };
    *versions_behind = known.max(behind);
    finding
}
