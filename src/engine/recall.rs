//! 6 ▸ Images that a verdict needs and that the cache has forgotten are read again from the log.
//!
//! Nobody waits for them as a rule: a suspicion is confirmed by a later read, and they are there by then. What is ready to be
//! stated earlier is held for a moment, so that the same loss has the same kind and columns whatever the cache kept. Whether an
//! image is there at last, or is gone for good, the next read judges by what there is.

use std::collections::BTreeMap;

use crate::model::{Op, Position, Tick};

use super::chain::{Arrival, Version};
use super::event::{Output, Recall, RecallId};
use super::judge::Observation;
use super::keys::{Entry, KeyIx};
use super::limit::{RECALL_AT_MOST, RECALL_ROUNDS, RECALLED_VERSIONS, RECALLS_AT_ONCE};
use super::state::Engine;

/// What was asked for while a key had no verdict.
#[derive(Debug)]
pub(super) struct Asking {
    /// Each once; what did not come is gone.
    asked: Vec<Position>,
    /// Up to this version no others are asked for but those that a finding names.
    to: Arrival,
    rounds: u8,
    /// When it was first asked: nothing is held for longer than [`RECALL_AT_MOST`] in all.
    first: Tick,
    /// The question that has no answer yet.
    awaits: Option<RecallId>,
    /// Something was not stated for want of the answer: the key is read again when it comes.
    holds: bool,
}

#[derive(Debug)]
struct Pending {
    ix: KeyIx,
    until: Tick,
    asked: u64,
}

/// Questions without an answer. Each is given up in its time, so ids stand in the order of that.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    next: u64,
    pending: BTreeMap<RecallId, Pending>,
}

impl Engine {
    /// Asks for the images that judging a row needs and that are gone, and says whether an answer is waited for.
    pub(super) fn awaits_images(&mut self, ix: KeyIx, floor: Arrival, observation: &Observation<'_>) -> bool {
        let Some(entry) = self.keys.get(ix) else { return false };
        let Some(index) = entry.chain.at_or_before(floor) else { return false };
        let asking = entry.more.as_deref().and_then(|more| more.asking.as_deref());
        if asking.is_some_and(|asking| asking.awaits.is_some()) {
            return self.is_patient(ix);
        }
        let is_new = |at: &Position| asking.is_none_or(|asking| !asking.asked.contains(at));
        let since = asking.map(|asking| asking.to);
        let may_ask = asking.is_none_or(|asking| asking.rounds < RECALL_ROUNDS);
        if !may_ask || self.recalls.pending.len() >= RECALLS_AT_ONCE {
            return false;
        }
        let gone: Vec<Position> = self.gone(entry, (index, since), observation).into_iter().filter(is_new).collect();
        !gone.is_empty() && self.ask_again(ix, gone) && self.is_patient(ix)
    }

    /// What was to be said of a key is said when the answer comes.
    pub(super) fn hold_for_images(&mut self, ix: KeyIx) {
        if let Some(asking) = self.keys.get_mut(ix).and_then(|entry| entry.more().asking.as_mut()) {
            asking.holds = true;
        }
    }

    /// Images were read again, or cannot be.
    pub(super) fn recalled(&mut self, id: RecallId, found: u64) {
        let Some(Pending { ix, asked, .. }) = self.recalls.pending.remove(&id) else { return };
        self.counters.recalled += found.min(asked);
        self.counters.not_recalled += asked.saturating_sub(found);
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let is_suspect = entry.suspect().is_some();
        let asking = entry.more.as_mut().and_then(|more| more.asking.as_mut());
        let Some(asking) = asking.filter(|asking| asking.awaits == Some(id)) else { return };
        asking.awaits = None;
        match (std::mem::take(&mut asking.holds), is_suspect) {
            (true, true) => self.schedule_now(ix),
            (true, false) => self.schedule_read(ix),
            (false, _) => {}
        }
        self.pump();
    }

    /// What nobody answered in time is as good as gone.
    pub(super) fn give_up_recalls(&mut self) {
        while let Some((id, pending)) = self.recalls.pending.first_key_value() {
            if pending.until > self.now {
                break;
            }
            self.recalled(*id, 0);
        }
    }

    /// Whether a statement about the key may still be held.
    fn is_patient(&self, ix: KeyIx) -> bool {
        let asking = self.keys.get(ix).and_then(|entry| entry.more.as_deref()?.asking.as_deref());
        asking.is_some_and(|asking| self.now < asking.first + RECALL_AT_MOST)
    }

    fn ask_again(&mut self, ix: KeyIx, at: Vec<Position>) -> bool {
        let now = self.now;
        let Some(entry) = self.keys.get_mut(ix) else { return false };
        self.recalls.next += 1;
        let (id, key) = (RecallId(self.recalls.next), entry.key.clone());
        let to = entry.chain.newest().arrival;
        let fresh = || Box::new(Asking { asked: Vec::new(), to, rounds: 0, first: now, awaits: None, holds: false });
        let asking = entry.more().asking.get_or_insert_with(fresh);
        asking.asked.extend(&at);
        asking.to = to;
        (asking.rounds, asking.awaits) = (asking.rounds + 1, Some(id));
        let pending = Pending { ix, until: now + RECALL_AT_MOST, asked: at.len() as u64 };
        self.recalls.pending.insert(id, pending);
        self.say(Output::Recall(Recall { id, key, at }));
        true
    }

    /// The versions whose images are wanted and gone: the expected one, the one that is seen, and where the row is none of
    /// them every other one that came since they were asked for, the newest first.
    fn gone(
        &self,
        entry: &Entry,
        (index, since): (usize, Option<Arrival>),
        observation: &Observation<'_>,
    ) -> Vec<Position> {
        let versions = entry.chain.versions();
        let probe = self.probe(&observation.content);
        let base = entry.base().version();
        let seen = versions[..index].iter().rev().chain(base.iter()).find(|version| probe.fits(version));
        let is_other = |version: &&Version| since.is_none_or(|since| version.arrival > since);
        let is_wanted = observation.row.is_some() && seen.is_none();
        let others = versions.iter().rev().filter(is_other).chain(base.iter().filter(|_| since.is_none()));
        let others = others.filter(|_| is_wanted);
        let mut gone: Vec<Position> = Vec::new();
        for version in std::iter::once(&versions[index]).chain(seen).chain(others) {
            if gone.len() == RECALLED_VERSIONS {
                break;
            }
            if !gone.contains(&version.at()) && self.is_image_gone(entry, version) {
                gone.push(version.at());
            }
        }
        gone
    }

    /// A truncate is of a whole table and has no image.
    fn is_image_gone(&self, entry: &Entry, version: &Version) -> bool {
        version.op != Op::Truncate && self.images.image(version.at(), &entry.key).is_none()
    }
}
