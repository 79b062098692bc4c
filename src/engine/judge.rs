//! 5 ▸ An observed row meets the versions that may stand there.

use std::sync::Arc;

use crate::model::{Key, Op, Position, Row, TableId, Tick};

use super::chain::{Arrival, Base, Content, Version};
use super::event::{Note, Output, Role, Seen, Verified};
use super::horizon::Ends;
use super::keys::{Entry, KeyIx};
use super::lookup::Asked;
use super::standing::{Standing, TOLERANCE_GONE};
use super::state::Engine;
use super::suspect::{Convict, Floor, Floors};

/// Versions before a verified one that are remembered with it.
const REMEMBERED: usize = 4;

/// Reads under a settled floor that may stay unclear before the versions up to it are left without a verdict.
const UNCLEAR_READS: u8 = 8;

/// How often a row may change between reads where everything is assumed applied: then somebody writes it.
const CHANGED_WHILE_ASSUMED: u8 = 3;

/// A version before a verified one: its place, operation and fingerprint.
type Earlier = (Position, Op, u128);

/// One observation on its way to a verdict.
pub(super) struct Observation<'a> {
    pub(super) content: Content,
    pub(super) row: Option<Arc<Row<'static>>>,
    pub(super) sent: Tick,
    pub(super) ended: Tick,
    pub(super) ends: &'a Ends,
    /// As they stood when the read was sent.
    pub(super) floors: Floors,
}

impl Engine {
    pub(super) fn judge(&mut self, asked: &Asked, seen: &Seen, (sent, ended): (Tick, Tick), ends: &Ends) {
        let ix = asked.ix;
        let now = self.now;
        let Some(entry) = self.keys.get_mut(ix) else { return };
        entry.flight = 0;
        let role = entry.role;
        entry.more().last_read = Some(now);
        let Some(content) = Content::of(seen) else {
            self.counters.incomparable += 1;
            self.schedule_rest(ix);
            return;
        };
        let row = match seen {
            Seen::Row { row, .. } | Seen::Several { row, .. } => Some(Arc::clone(row)),
            Seen::Absent | Seen::Incomparable => None,
        };
        let Some(floors) = self.keys.get(ix).map(|entry| held(entry, asked.floors)) else { return };
        let observation = Observation { content, row, sent, ended, ends, floors };
        self.take_witness(ix, &observation);
        if role == Role::Heartbeat {
            return;
        }
        self.weigh(ix, &observation);
        match floors.applied {
            Some(floor) if floor.by != Convict::Committed || self.commits_convict() => {
                self.against(ix, floor, &observation);
            }
            Some(_) | None => self.unproven(ix, &observation),
        }
    }

    fn against(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let Some(index) = entry.chain.at_or_before(floor.arrival) else {
            self.schedule_rest(ix);
            return;
        };
        let standing = self.standing(entry, index, observation);
        let index = entry.chain.demanded(index).unwrap_or(index);
        match standing {
            Standing::Allowed => {
                self.counters.right += 1;
                self.right(ix, floor, observation);
            }
            Standing::Wrong if self.may_be_rejected(entry, index, observation) => {
                self.unclear(ix, "a record that could not be read may have changed it", floor, observation.floors);
            }
            Standing::Wrong if self.is_out_of_reach(entry, observation) => {
                self.unclear(ix, TOLERANCE_GONE, floor, observation.floors);
            }
            Standing::Wrong => {
                self.counters.wrong += 1;
                self.wrong(ix, floor, index, observation);
            }
            Standing::Mixed => self.schedule_rest(ix),
            // The patrol looks at what was verified long ago, and reads nothing again for it.
            Standing::Forgotten(_) if !entry.is_patrolled() && self.awaits_images(ix, floor.arrival, observation) => {
                self.hold_for_images(ix);
                // One more read that said nothing: the answer is waited for no longer than those that follow.
                if let Some(entry) = self.keys.get_mut(ix) {
                    let more = entry.more();
                    more.unclear = more.unclear.saturating_add(1);
                }
            }
            Standing::Unclear(why) | Standing::Forgotten(why) => self.unclear(ix, why, floor, observation.floors),
        }
    }

    /// What stays unclear where it is settled ends without a verdict, so that one hot key does not hold its partition.
    fn unclear(&mut self, ix: KeyIx, why: &'static str, floor: Floor, floors: Floors) {
        self.counters.unclear += 1;
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let more = entry.more();
        more.unclear = more.unclear.saturating_add(1);
        // Another read under the same floor would be no clearer.
        more.applied_to = more.applied_to.max(Some(floor.arrival));
        let index = floors.settled.and_then(|settled| entry.chain.at_or_before(settled));
        let Some(index) = index.filter(|_| entry.more().unclear >= UNCLEAR_READS) else {
            self.schedule_rest(ix);
            return;
        };
        let (to, unjudged) = (entry.chain.versions()[index].arrival, entry.unjudged(index));
        let more = entry.more();
        more.asking = None;
        // What began while an image was still there ends with it, or the key would be kept for ever.
        let suspicion = more.suspect.take().and_then(|suspect| suspect.stated);
        self.suspects.remove(&ix);
        if let Some(suspicion) = suspicion {
            self.withdraw(*suspicion);
        }
        self.leave(unjudged, why);
        if let Some((key, passed)) = self.known_at(ix, 0, index) {
            self.images.remember(&key, Verified { seen: false, ..passed });
        }
        match self.pass(ix, to) {
            Some(entry) => self.strike(&entry.key),
            None => {
                if let Some(entry) = self.keys.get_mut(ix) {
                    entry.more().passed_unseen = true;
                }
            }
        }
        self.schedule_rest(ix);
    }

    /// Nothing proves what had to be there: the row may still be verified by what is settled, and tells what differs now.
    fn unproven(&mut self, ix: KeyIx, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let last = entry.chain.len() - 1;
        let newest = if entry.chain.newest().is_left_out() {
            self.standing(entry, last, observation) == Standing::Allowed
        } else {
            self.probe(&observation.content).fits(entry.chain.newest())
        };
        let settled = observation.floors.settled.and_then(|settled| {
            let index = entry.chain.at_or_before(settled)?;
            let version = entry.chain.versions()[index];
            Some(Floor { partition: version.partition, arrival: version.arrival, by: Convict::Causal })
                .filter(|_| self.standing(entry, index, observation) == Standing::Allowed)
        });
        if let Some(floor) = settled {
            self.right(ix, floor, observation);
        }
        if let Some(entry) = self.keys.get_mut(ix) {
            entry.more().differs = !newest;
        }
        self.schedule_if_moved(ix, observation.floors);
    }

    /// What became due while the key was in flight was told to nobody.
    fn schedule_if_moved(&mut self, ix: KeyIx, asked: Floors) {
        if self.keys.get(ix).is_some_and(|entry| self.floors(entry) != asked) {
            self.schedule_rest(ix);
        }
    }

    pub(super) fn right(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        self.clear_suspect(ix, floor, observation);
        self.heal(ix, floor, observation);
        let Some(op) = self.keys.get(ix).map(|entry| self.shown(entry, floor, &observation.content)) else { return };
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let table = entry.key.table();
        let first = !entry.is_applied(floor.arrival);
        let left_out = entry.chain.find(floor.arrival).is_some_and(Version::is_left_out);
        let more = entry.more();
        more.applied_to = more.applied_to.max(Some(floor.arrival));
        if !left_out {
            more.seen_best = more.seen_best.max(Some(floor.arrival));
        }
        (more.differs, more.asking) = (false, None);
        if first {
            self.judged_first(floor, (table, op), Standing::Allowed);
        }
        self.verify_settled(ix, floor, observation);
        self.schedule_rest(ix);
    }

    /// The first judgement of a version: by them the group gate opens and closes, and commits show what they are worth.
    fn judged_first(&mut self, floor: Floor, (table, op): (TableId, Op), standing: Standing) {
        let wrong = standing == Standing::Wrong;
        let of = self.statements(floor.partition, table, op);
        self.gate.judged(of, wrong, self.now);
        let below = self.partitions.get(&floor.partition).filter(|_| floor.by == Convict::Committed);
        match below.map(|partition| partition.committed_moved) {
            Some(_) if wrong => self.soundness.wrong(),
            Some(moved) => self.soundness.right(moved),
            None => {}
        }
    }

    /// The operation that a right row shows applied: a newer version than the floor's may stand there, which says nothing of
    /// the floor's own.
    fn shown(&self, entry: &Entry, floor: Floor, content: &Content) -> Op {
        let Some(index) = entry.chain.at_or_before(floor.arrival) else { return Op::Update };
        let allowed = &entry.chain.versions()[index..];
        let probe = self.probe(content);
        allowed.iter().find(|version| probe.fits(version)).unwrap_or(&allowed[0]).op
    }

    /// What is settled may be newer than what convicts (committed positions that only let us forget): the row is verified up
    /// to there if it is right there too.
    fn verify_settled(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(settled) = observation.floors.settled else { return };
        let Some(entry) = self.keys.get(ix) else { return };
        let right_there = || {
            let index = entry.chain.at_or_before(settled)?;
            (self.standing(entry, index, observation) == Standing::Allowed).then_some(settled)
        };
        let to = if settled <= floor.arrival { settled } else { right_there().unwrap_or(floor.arrival) };
        self.verify(ix, to, observation);
    }

    /// Everything up to the settled floor has its verdict: older versions go, and the key too if nothing newer is open.
    fn verify(&mut self, ix: KeyIx, settled: Arrival, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let Some(index) = entry.chain.at_or_before(settled) else { return };
        if entry.unordered_to().is_some_and(|to| settled < to) {
            return;
        }
        let is_news = |version: &&Version| !entry.is_done(version.arrival) && !version.is_left_out();
        self.counters.superseded += entry.chain.versions()[..index].iter().filter(is_news).count() as u64;
        let more = entry.more();
        more.unclear = 0;
        if more.settled_to.is_none_or(|to| to < settled) {
            self.counters.matched += 1;
            self.sample_verdict(ix, index);
        }
        let Some(entry) = self.keys.get(ix) else { return };
        if entry.blind().is_some_and(|blind| settled <= blind) {
            self.pass_blindly(ix, settled);
            return;
        }
        let probe = self.probe(&observation.content);
        let seen = entry.chain.versions()[index..].iter().position(|version| probe.fits(version));
        let at = index + seen.unwrap_or(0);
        if entry.role == Role::Counted {
            self.learn_count(ix, settled, observation);
        } else if entry.chain.versions()[index].is_left_out() || entry.chain.versions()[at].is_left_out() {
            let (key, at) = (entry.key.clone(), entry.chain.versions()[at].at());
            self.forget_verified(&key, at);
        } else if let Some((key, verified)) = self.known_at(ix, index, at) {
            self.images.remember(&key, verified);
        }
        if let Some(entry) = self.pass(ix, settled) {
            self.enlist(entry, observation);
        }
    }

    /// A row that is right as an old version may be written by a change behind it of which nothing is known: what it is now is
    /// nothing that it has to stay.
    fn pass_blindly(&mut self, ix: KeyIx, settled: Arrival) {
        let index = self.keys.get(ix).and_then(|entry| entry.chain.at_or_before(settled));
        // An older one that is remembered would be taken for the last before what comes next.
        if let Some((key, passed)) = index.and_then(|index| self.known_at(ix, 0, index)) {
            self.images.remember(&key, Verified { seen: false, ..passed });
        }
        if let Some(entry) = self.pass(ix, settled) {
            self.strike(&entry.key);
        }
    }

    /// Drops what is older than a version that needs nothing more, and the key if nothing newer or open is left.
    fn pass(&mut self, ix: KeyIx, settled: Arrival) -> Option<Entry> {
        let entry = self.keys.get_mut(ix)?;
        let newest = entry.chain.newest().arrival;
        let index = entry.chain.at_or_before(settled)?;
        // What is left out below a version that is demanded says nothing of what stood there.
        let oldest = entry.chain.demanded(index).unwrap_or(index);
        // What an open finding was stated against tells whether it heals.
        let stated = entry.reported().and_then(|reported| entry.chain.at_or_before(reported.floor));
        let oldest = stated.map_or(oldest, |stated| stated.min(oldest));
        let passed = entry.chain.versions()[oldest].arrival;
        let base = oldest.checked_sub(1).map(|last| entry.chain.versions()[last]);
        let dropped = entry.chain.drop_first(oldest);
        self.memory.versions -= dropped;
        let more = entry.more();
        more.settled_to = more.settled_to.max(Some(settled));
        if let Some(base) = base {
            more.base = if base.is_left_out() { Base::Unknown } else { Base::Version(base) };
        }
        if more.hole.as_mut().is_some_and(|hole| hole.pass(passed)) {
            // What stood there before may have been any of the versions that are forgotten with it.
            more.base = Base::Unknown;
        }
        more.hole = more.hole.take().filter(|hole| hole.newest > passed);
        let open = more.reported.is_some() || more.suspect.is_some();
        if settled >= newest && !open { self.forget(ix) } else { None }
    }

    /// The version that the key is at, with some before `passed`: what comes next is compared with it.
    fn known_at(&self, ix: KeyIx, passed: usize, at: usize) -> Option<(Key, Verified)> {
        let entry = self.keys.get(ix)?;
        let (passed, version) = (&entry.chain.versions()[..passed], entry.chain.versions()[at]);
        let base = entry.base().version();
        let before = passed.iter().rev().chain(base.iter()).take(REMEMBERED);
        let mut earlier: Vec<Earlier> = before.map(|before| (before.at(), before.op, before.fingerprint())).collect();
        self.remembered_before(&entry.key, version.at(), &mut earlier);
        let verified = Verified {
            at: version.at(),
            seen: true,
            op: version.op,
            fingerprint: version.fingerprint(),
            mask: self.masks.get(version.mask).clone(),
            earlier,
        };
        Some((entry.key.clone(), verified))
    }

    /// Adds what was remembered of the key's versions when an older one was verified.
    fn remembered_before(&self, key: &Key, at: Position, earlier: &mut Vec<Earlier>) {
        let room = REMEMBERED.saturating_sub(earlier.len());
        if room == 0 {
            return;
        }
        let Some(known) = self.images.recall(key) else { return };
        let oldest = earlier.last().map_or(at, |(at, _, _)| *at);
        let is_older = |(at, _, _): &Earlier| at.partition == oldest.partition && at.offset < oldest.offset;
        let own = (known.at, known.op, known.fingerprint);
        earlier.extend(std::iter::once(own).chain(known.earlier).filter(is_older).take(room));
    }

    fn clear_suspect(&mut self, ix: KeyIx, floor: Floor, observation: &Observation<'_>) {
        let Some(suspect) = self.keys.get_mut(ix).and_then(|entry| entry.more().suspect.take()) else { return };
        self.suspects.remove(&ix);
        self.counters.transient += 1;
        self.say(Output::Note(Note::Transient));
        if let Some(stated) = suspect.stated {
            self.withdraw(*stated);
        }
        if suspect.floor.by == Convict::Committed {
            self.soundness.healed();
        }
        let Some(entry) = self.keys.get(ix) else { return };
        let own = entry.chain.find(suspect.floor.arrival).copied();
        let probe = self.probe(&observation.content);
        // A later version with the same content may have healed it.
        let fits_later =
            |own: &Version| entry.chain.versions().iter().any(|later| later.arrival > own.arrival && probe.fits(later));
        // A row that was not written since may be right by now because what told its other columns is gone.
        let was_own = |own: &Version| self.probe(&suspect.content).fits(own);
        let to_own =
            !entry.is_patrolled() && own.is_some_and(|own| probe.fits(&own) && !was_own(&own) && !fits_later(&own));
        let calm = own
            .and_then(|version| self.horizon(&version, entry.key.table()))
            .is_none_or(|horizon| !horizon.frozen(self.now, self.settle()));
        let below_commit = suspect.floor.by == Convict::Committed && suspect.floor.arrival == floor.arrival;
        if below_commit && to_own && calm && self.soundness.healed_to_own(self.now) {
            let place = own.map(|version| self.place(version.partition, version.offset)).unwrap_or_default();
            self.demote(format!(
                "rows below the committed position were written after it was committed, lately at {place}"
            ));
        }
    }

    fn wrong(&mut self, ix: KeyIx, floor: Floor, index: usize, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let expected = entry.chain.versions()[index];
        let (op, table) = (expected.op, entry.key.table());
        let (reached, floor) =
            (floor, Floor { partition: expected.partition, arrival: expected.arrival, by: floor.by });
        let same_finding = entry.reported().is_some_and(|reported| {
            floor.arrival <= reported.floor && reported.content.as_ref() == Some(&observation.content)
        });
        if same_finding {
            self.still_there(ix, reached, observation);
            return;
        }
        if entry.blind().is_some_and(|blind| floor.arrival <= blind) {
            self.schedule_rest(ix);
            return;
        }
        let first = !entry.is_applied(floor.arrival) && entry.suspect().is_none();
        let wrong_when_settled = observation.floors.settled.is_some_and(|settled| {
            let index = entry.chain.at_or_before(settled);
            let demanded = index.and_then(|index| entry.chain.demanded(index));
            index.is_some_and(|index| self.standing(entry, index, observation) == Standing::Wrong)
                && demanded.is_some_and(|index| !self.may_be_rejected(entry, index, observation))
        });
        if first {
            self.judged_first(floor, (table, op), Standing::Wrong);
        }
        self.suspect(ix, floor, wrong_when_settled, observation);
        let changed = self.keys.get(ix).and_then(|entry| entry.suspect()).map_or(0, |suspect| suspect.changed);
        if floor.by == Convict::Assumed && changed >= CHANGED_WHILE_ASSUMED {
            self.give_up(ix, "its row changes, though all of the tap was said to be applied");
            return;
        }
        self.convict(ix, floor, observation);
    }
}

/// Floors on versions that are still held. Where one was coalesced while the read was under way, the row is right or wrong by
/// the version before it, and by no more.
fn held(entry: &Entry, floors: Floors) -> Floors {
    let versions = entry.chain.versions();
    let held = |arrival| entry.chain.at_or_before(arrival).map_or(arrival, |index| versions[index].arrival);
    Floors {
        applied: floors.applied.map(|floor| Floor { arrival: held(floor.arrival), ..floor }),
        settled: floors.settled.map(held),
    }
}
