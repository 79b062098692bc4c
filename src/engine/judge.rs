//! 5 ▸ An observed row meets the versions that may stand there.

use std::sync::Arc;

use crate::model::{Op, Row, Tick};

use super::chain::{Base, Content, Version, maybe_in_hole};
use super::event::{Note, Output, Role, Seen, Verified};
use super::horizon::{Ends, Trust, Witness};
use super::keys::{Entry, KeyIx};
use super::lookup::Asked;
use super::state::Engine;
use super::suspect::{Convict, Floor, Suspect};

/// Newest versions compared column by column where fingerprints differ: a tolerance helps the newest or none.
const SLOW_VERSIONS: usize = 8;

/// Versions before a verified one that are remembered with it.
const REMEMBERED: usize = 4;

/// Whether a content may stand under a floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is a version at or above the floor.
    Allowed,
    /// It may be one; nothing can be said.
    Unclear,
    /// It is none.
    Wrong,
}

/// One observation on its way to a verdict.
pub(super) struct Observation<'a> {
    pub(super) content: Content,
    pub(super) row: Option<Arc<Row>>,
    pub(super) ended: Tick,
    pub(super) ends: &'a Ends,
    /// Offset of the newest settled version when the read was sent.
    pub(super) settled: Option<u64>,
}

impl Engine {
    pub(super) fn judge(&mut self, asked: &Asked, seen: &Seen, ended: Tick, ends: &Ends) {
        let ix = asked.ix;
        let now = self.now;
        let Some(entry) = self.keys.get_mut(ix) else { return };
        entry.in_flight = false;
        let role = entry.role;
        entry.more().last_read = Some(now);
        let Some(content) = Content::of(seen) else {
            self.counters.incomparable += 1;
            self.schedule_rest(ix);
            return;
        };
        self.take_witness(ix, &content, ends);
        if role == Role::Heartbeat {
            return;
        }
        let row = match seen {
            Seen::Row { row, .. } | Seen::Several { row, .. } => Some(Arc::clone(row)),
            Seen::Absent | Seen::Incomparable => None,
        };
        let observation = Observation { content, row, ended, ends, settled: asked.floors.settled };
        match asked.floors.applied {
            Some(floor) => self.against(ix, floor, &observation),
            None => self.unproven(ix, &observation),
        }
    }

    fn against(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(index) = floor_index(entry, floor) else {
            self.schedule_rest(ix);
            return;
        };
        match self.standing(entry, index, observation) {
            Standing::Allowed => self.right(ix, floor, observation),
            Standing::Wrong => self.wrong(ix, floor, index, observation),
            Standing::Unclear => {
                self.counters.unclear += 1;
                self.schedule_rest(ix);
            }
        }
    }

    /// Nothing proves what had to be there: the row may still be verified by what is settled, and tells what differs now.
    fn unproven(&mut self, ix: KeyIx, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let newest = self.equals(entry.chain.newest(), &observation.content);
        let settled = observation.settled.and_then(|offset| {
            let index = entry.chain.versions().iter().rposition(|version| version.offset <= offset)?;
            let version = entry.chain.versions()[index];
            Some(Floor { partition: version.partition, offset: version.offset, by: Convict::Causal })
                .filter(|_| self.standing(entry, index, observation) == Standing::Allowed)
        });
        if let Some(floor) = settled {
            self.right(ix, floor, observation);
        }
        if let Some(entry) = self.keys.get_mut(ix) {
            entry.more().differs = !newest;
        }
    }

    fn standing(&self, entry: &Entry, floor: usize, observation: &Observation<'_>) -> Standing {
        let content = &observation.content;
        let allowed = &entry.chain.versions()[floor..];
        if !content.has_placeholder() && allowed.iter().any(|version| self.equals(version, content)) {
            return Standing::Allowed;
        }
        let hole = entry.more.as_ref().and_then(|more| more.hole.as_ref());
        if maybe_in_hole(hole, allowed[0].offset, content, self.masks.all()) {
            return Standing::Unclear;
        }
        match &observation.row {
            Some(row) if !content.has_placeholder() => self.slow_standing(entry, allowed, row),
            Some(_) | None => Standing::Wrong,
        }
    }

    /// Column by column, with tolerances: equal to one version, or (while newer ones are on their way) a mix of allowed ones.
    fn slow_standing(&self, entry: &Entry, allowed: &[Version], row: &Row) -> Standing {
        let mut columns_allowed: Vec<bool> = Vec::new();
        let mut complete = true;
        for version in allowed.iter().rev().take(SLOW_VERSIONS).filter(|version| version.leaves_row()) {
            let image = self.images.image(version.at(), &entry.key).and_then(|image| image.row);
            let Some(expected) = image else {
                complete = false;
                continue;
            };
            let verdicts = self.images.compare(&entry.key, &expected, row);
            let equal = |outcome| outcome != crate::canon::Compared::Different;
            if verdicts.iter().all(|verdict| equal(verdict.outcome)) {
                return Standing::Allowed;
            }
            columns_allowed.resize(columns_allowed.len().max(verdicts.len()), false);
            for (slot, verdict) in columns_allowed.iter_mut().zip(&verdicts) {
                *slot |= equal(verdict.outcome);
            }
        }
        let mixed =
            allowed.len() > 1 && complete && !columns_allowed.is_empty() && columns_allowed.iter().all(|ok| *ok);
        if mixed { Standing::Unclear } else { Standing::Wrong }
    }

    /// A row that equals a version proves that the version became visible, if nothing older has the same content.
    fn take_witness(&mut self, ix: KeyIx, content: &Content, ends: &Ends) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(index) = entry.chain.versions().iter().position(|version| self.equals(version, content)) else {
            return;
        };
        let version = entry.chain.versions()[index];
        let table = entry.key.table();
        let key = xxhash_rust::xxh3::xxh3_64(entry.key.bytes());
        let earlier = entry.more.as_ref().and_then(|more| more.seen_to).is_some_and(|seen| version.offset < seen);
        let eligible = self.is_eligible(entry, content);
        let role = entry.role;
        let Some(scope) = self.scope(version.partition, table) else { return };
        let (now, margin, passed) = (self.now, self.options.settle, self.passed_by(&version));
        let trust = match role {
            Role::Heartbeat if self.options.evidence.heartbeat => Trust::Heartbeat,
            Role::Heartbeat => Trust::PostDates,
            Role::Rows if self.options.evidence.inferred => Trust::Inferred,
            Role::Rows => Trust::PostDates,
        };
        let horizon = self.horizons.entry(scope).or_default();
        let mut back = role == Role::Rows && earlier && horizon.row_went_back(key, now, margin);
        if role == Role::Heartbeat || eligible {
            back |= horizon.witness(Witness { key, at: version.at(), passed }, trust, ends, now);
        }
        if let Some(entry) = self.keys.get_mut(ix) {
            entry.more().seen_to = Some(version.offset);
        }
        if back {
            self.froze(version);
        }
    }

    fn froze(&mut self, version: Version) {
        self.counters.back_steps += 1;
        let why = format!("rows went back to {} or before", self.place(version.partition, version.offset));
        self.say(Output::Note(Note::Frozen { partition: Some(version.partition), why }));
    }

    /// Eligible as a witness: present, of one partition, known not to equal what stood there before, not maybe coalesced.
    fn is_eligible(&self, entry: &Entry, content: &Content) -> bool {
        let present = matches!(content, Content::Row { .. });
        let more = entry.more.as_deref();
        let ordered = more.is_none_or(|more| !more.unordered);
        let hole = more.and_then(|more| more.hole.as_ref());
        let base = match entry.base() {
            Base::Unknown => false,
            Base::Absent => true,
            Base::Version(version) => !self.equals(&version, content),
            Base::Content(fingerprint, mask) => match content {
                Content::Row { hashes, .. } => hashes.sum(&self.masks.get(mask)) != fingerprint,
                Content::Absent | Content::Several => true,
            },
        };
        present && ordered && base && !maybe_in_hole(hole, 0, content, self.masks.all())
    }

    fn right(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        self.clear_suspect(ix, floor, observation);
        self.heal(ix, observation);
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let table = entry.key.table();
        let first = !entry.is_applied(floor.offset);
        let op = floor_index(entry, floor).map_or(Op::Update, |index| entry.chain.versions()[index].op);
        let more = entry.more();
        more.applied_to = more.applied_to.max(Some(floor.offset));
        more.differs = false;
        if first {
            self.gate.judged(table, op, false, self.now);
        }
        if let Some(settled) = observation.settled {
            self.verify(ix, settled.min(floor.offset), observation);
        }
        self.schedule_rest(ix);
    }

    /// Everything up to the settled floor has its verdict: older versions go, and the key too if nothing newer is open.
    fn verify(&mut self, ix: KeyIx, settled: u64, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let unordered = entry.more.as_ref().is_some_and(|more| more.unordered);
        let newest = entry.chain.newest().offset;
        let Some(index) = entry.chain.versions().iter().rposition(|version| version.offset <= settled) else { return };
        if unordered && settled < newest {
            return;
        }
        let passed = entry.chain.versions()[..index].to_vec();
        self.counters.superseded += passed.len() as u64;
        let dropped = entry.chain.drop_first(index);
        self.memory.versions -= dropped;
        let more = entry.more();
        if more.settled_to.is_none_or(|to| to < settled) {
            self.counters.matched += 1;
        }
        more.settled_to = more.settled_to.max(Some(settled));
        if more.hole.as_ref().is_some_and(|hole| hole.newest <= settled) {
            more.hole = None;
        }
        if let Some(last) = passed.last() {
            more.base = Base::Version(*last);
        }
        let open = more.reported.is_some() || more.suspect.is_some();
        self.remember(ix, &passed, &observation.content);
        if settled >= newest && !open {
            self.forget(ix);
        }
    }

    fn remember(&mut self, ix: KeyIx, passed: &[Version], content: &Content) {
        let Some(entry) = self.keys.get(ix) else { return };
        let seen = entry.chain.versions().iter().find(|version| self.equals(version, content));
        let version = *seen.unwrap_or(&entry.chain.versions()[0]);
        let earlier = passed.iter().rev().take(REMEMBERED);
        let verified = Verified {
            at: version.at(),
            op: version.op,
            fingerprint: version.fingerprint(),
            mask: self.masks.get(version.mask),
            earlier: earlier.map(|version| (version.at(), version.op, version.fingerprint())).collect(),
        };
        let key = entry.key.clone();
        self.images.remember(&key, verified);
    }

    fn clear_suspect(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(suspect) = self.keys.get_mut(ix).and_then(|entry| entry.more().suspect.take()) else { return };
        self.suspects.remove(&ix);
        self.counters.transient += 1;
        self.say(Output::Note(Note::Transient));
        let Some(entry) = self.keys.get(ix) else { return };
        let own = floor_index(entry, suspect.floor).map(|index| entry.chain.versions()[index]);
        let to_own = own.is_some_and(|version| self.equals(&version, &observation.content));
        let calm = own
            .and_then(|version| self.horizon(&version, entry.key.table()))
            .is_none_or(|horizon| !horizon.frozen(self.now, self.options.settle));
        if suspect.floor.by == Convict::Committed && suspect.floor.offset == floor.offset && to_own && calm {
            self.soundness.healed_to_own += 1;
            if self.soundness.healed_to_own >= 2 {
                let place = self.place(floor.partition, floor.offset);
                self.demote(format!(
                    "rows below the committed position were written after it was committed, lately at {place}"
                ));
            }
        }
        if suspect.count >= 2 && suspect.floor.by == Convict::Causal {
            self.withdraw(ix, &suspect);
        }
    }

    fn wrong(&mut self, ix: KeyIx, floor: Floor, index: usize, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let version = entry.chain.versions()[index];
        let table = entry.key.table();
        let same_finding = entry.reported().is_some_and(|reported| {
            floor.offset <= reported.floor
                && reported.content.as_ref().is_none_or(|known| *known == observation.content)
        });
        if same_finding {
            self.still_there(ix, floor, observation);
            return;
        }
        let first = !entry.is_applied(floor.offset) && entry.suspect().is_none();
        if first {
            self.gate.judged(table, version.op, true, self.now);
        }
        let wrong_when_settled = observation.settled.is_some_and(|settled| {
            let index = entry.chain.versions().iter().rposition(|version| version.offset <= settled);
            index.is_some_and(|index| self.standing(entry, index, observation) == Standing::Wrong)
        });
        self.suspect(ix, floor, wrong_when_settled, observation);
        self.convict(ix, floor, observation);
    }

    /// Counts a wrong read: the same content after new progress counts on, a different one starts again.
    fn suspect(&mut self, ix: KeyIx, floor: Floor, settled: bool, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let version = floor_index(entry, floor).map(|index| entry.chain.versions()[index]);
        let margin = self.margin_after_back(floor);
        let frozen = version
            .and_then(|version| self.horizon(&version, entry.key.table()))
            .is_some_and(|horizon| horizon.frozen(self.now, margin));
        let same = entry.suspect().is_some_and(|suspect| self.is_same_loss(entry, suspect, observation));
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let known = entry.more().suspect.take();
        let fresh = || Suspect {
            floor,
            content: observation.content.clone(),
            row: observation.row.clone(),
            count: 1,
            settled_count: u32::from(settled),
            first: observation.ended,
            last: observation.ended,
            ends: Arc::clone(observation.ends),
            ready: false,
        };
        let next = match known {
            Some(suspect) if !suspect.ready && same => *suspect,
            Some(suspect) if same && !frozen => Suspect {
                count: suspect.count + 1,
                settled_count: suspect.settled_count + u32::from(settled),
                content: observation.content.clone(),
                row: observation.row.clone(),
                last: observation.ended,
                ends: Arc::clone(observation.ends),
                ready: false,
                ..*suspect
            },
            Some(_) | None => fresh(),
        };
        entry.more().suspect = Some(Box::new(next));
        self.suspects.insert(ix);
    }

    /// A backward committed position holds its partition for two commit intervals at least, any other step for the margin.
    fn margin_after_back(&self, floor: Floor) -> std::time::Duration {
        let interval =
            self.partitions.get(&floor.partition).map(|partition| partition.commit_interval).unwrap_or_default();
        match floor.by {
            Convict::Causal => self.options.settle,
            Convict::Committed | Convict::Assumed => (interval * 2).min(self.options.settle),
        }
    }

    /// The same wrong content, or one column that stays at a value which no allowed version has.
    fn is_same_loss(&self, entry: &Entry, suspect: &Suspect, observation: &Observation<'_>) -> bool {
        if suspect.content == observation.content {
            return true;
        }
        let (Some(before), Some(row)) = (&suspect.row, &observation.row) else { return false };
        let (Content::Row { hashes: was, .. }, Content::Row { hashes: is, .. }) =
            (&suspect.content, &observation.content)
        else {
            return false;
        };
        let allowed = entry.chain.versions().iter().filter(|version| version.offset >= suspect.floor.offset);
        let mut stale: Vec<usize> = (0..is.0.len()).filter(|index| was.0.get(*index) == is.0.get(*index)).collect();
        for version in allowed.filter(|version| version.leaves_row()) {
            let Some(expected) = self.images.image(version.at(), &entry.key).and_then(|image| image.row) else {
                return false;
            };
            let verdicts = self.images.compare(&entry.key, &expected, row);
            stale.retain(|index| {
                verdicts
                    .iter()
                    .any(|verdict| verdict.index == *index && verdict.outcome == crate::canon::Compared::Different)
            });
        }
        !stale.is_empty() && before.columns == row.columns
    }

    /// Suspects whose next read may count: something appended after their last read is visible (or the applier committed a
    /// standing log whole), and the last read is old enough.
    pub(super) fn wake_suspects(&mut self) {
        let mut wake = Vec::new();
        for ix in &self.suspects {
            let Some(entry) = self.keys.get(*ix) else { continue };
            let Some(suspect) = entry.suspect() else { continue };
            if entry.in_flight || suspect.last + self.options.confirm_after > self.now {
                continue;
            }
            if suspect.ready || self.is_post_dated(entry, suspect) {
                wake.push(*ix);
            }
        }
        for ix in wake {
            if let Some(suspect) = self.keys.get_mut(ix).and_then(|entry| entry.more().suspect.as_mut()) {
                suspect.ready = true;
            }
            self.schedule_now(ix);
        }
    }

    fn is_post_dated(&self, entry: &Entry, suspect: &Suspect) -> bool {
        let Some(index) = floor_index(entry, suspect.floor) else { return true };
        let version = entry.chain.versions()[index];
        let horizon = self.horizon(&version, entry.key.table());
        let visible = |quorum| horizon.is_some_and(|horizon| horizon.post_dates(&suspect.ends, quorum));
        match suspect.floor.by {
            Convict::Assumed => true,
            Convict::Causal => visible(super::limit::QUORUM),
            Convict::Committed => {
                let partition = self.partitions.get(&suspect.floor.partition);
                let zombie = self.options.zombie_after;
                visible(1)
                    || partition.is_some_and(|partition| {
                        partition.idle_and_committed(self.now, zombie)
                            && partition.committed_asked >= suspect.last
                            && suspect.last + zombie <= self.now
                    })
            }
        }
    }
}

/// Where the floor stands in the chain, or the newest version below it that is left. Without an order among partitions,
/// every version is allowed.
pub(super) fn floor_index(entry: &Entry, floor: Floor) -> Option<usize> {
    if entry.more.as_ref().is_some_and(|more| more.unordered) {
        return Some(0);
    }
    let below = |version: &Version| version.partition == floor.partition && version.offset <= floor.offset;
    entry.chain.versions().iter().rposition(below)
}
