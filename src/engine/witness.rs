//! What an observed row says about the applier's progress.

use super::chain::{Arrival, Base, Content, Version};
use super::event::{Note, Output, Role};
use super::horizon::{Back, Trust, Witness};
use super::judge::Observation;
use super::keys::{Entry, KeyIx};
use super::limit::HEARTBEATS_BEHIND;
use super::state::Engine;

impl Engine {
    /// A row that equals a version proves that the version became visible, if nothing older has the same content.
    pub(super) fn take_witness(&mut self, ix: KeyIx, observation: &Observation<'_>) {
        let (content, ends) = (&observation.content, observation.ends);
        let Some(entry) = self.keys.get(ix) else { return };
        let probe = self.probe(content);
        let versions = entry.chain.versions();
        let Some(first) = versions.iter().position(|version| probe.fits(version)) else {
            self.heartbeat_lost(ix);
            return;
        };
        if versions[first].is_left_out() {
            return;
        }
        let seen_last = entry.more.as_ref().and_then(|more| more.seen_last);
        let at = self.shown_at(entry, content);
        let stepped_back = seen_last.is_some_and(|seen| at < seen);
        let version = versions[first];
        // As many rows as a change left may be others.
        let eligible = entry.role != Role::Counted && self.is_eligible(entry, first, observation);
        let before_all = seen_last.is_none() && is_before_all(entry, content);
        let (role, table) = (entry.role, entry.key.table());
        let key = xxhash_rust::xxh3::xxh3_64(entry.key.bytes());
        if let Some(entry) = self.keys.get_mut(ix) {
            let more = entry.more();
            if !before_all {
                more.seen_last = Some(at);
                more.seen_best = more.seen_best.max(Some(at));
            }
            if role == Role::Heartbeat {
                let behind = first.saturating_sub(HEARTBEATS_BEHIND);
                self.memory.versions -= entry.chain.drop_first(behind);
            }
        }
        let Some(scope) = self.scope(version.partition, table) else { return };
        let (now, margin, passed) = (self.now, self.settle(), self.passed_by(&version));
        let trust = match role {
            Role::Heartbeat if self.options.evidence.heartbeat => Trust::Heartbeat,
            Role::Heartbeat => Trust::PostDates,
            Role::Rows if self.options.evidence.inferred => Trust::Inferred,
            Role::Rows | Role::Counted => Trust::PostDates,
        };
        let horizon = self.horizons.entry(scope).or_default();
        let mut back = role == Role::Rows && stepped_back && horizon.row_went_back(key, now, margin);
        if !version.is_late() && (role == Role::Heartbeat || eligible) {
            back |= horizon.witness(Witness { key, at: version.at(), passed }, trust, ends, now);
        }
        if back {
            self.froze(version);
        }
    }

    /// The version that a row which fits some is taken for. The same content may be several versions: the row has moved on, or
    /// stayed, where it can have.
    fn shown_at(&self, entry: &Entry, content: &Content) -> Arrival {
        let since = entry.more.as_ref().and_then(|more| more.seen_last).unwrap_or(Arrival(0));
        let probe = self.probe(content);
        let shown = |version: &&Version| !version.is_left_out() && probe.fits(version);
        let fitting = || entry.chain.versions().iter().filter(shown).map(|version| version.arrival);
        match fitting().find(|arrival| *arrival >= since) {
            Some(arrival) => arrival,
            None if self.may_be_coalesced(entry, content, since) => since,
            None => fitting().next_back().unwrap_or(since),
        }
    }

    /// A heartbeat row that was one of its versions and is none of those kept went back beyond them.
    fn heartbeat_lost(&mut self, ix: KeyIx) {
        let now = self.now;
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let newest = *entry.chain.newest();
        let (table, role) = (entry.key.table(), entry.role);
        let more = entry.more();
        if role != Role::Heartbeat || more.hole.is_some() || more.seen_last.take().is_none() {
            return;
        }
        let Some(scope) = self.scope(newest.partition, table) else { return };
        self.horizons.entry(scope).or_default().went_back(now, Back::Rows);
        self.froze(newest);
    }

    fn froze(&mut self, version: Version) {
        self.counters.back_steps += 1;
        let why = format!("rows went back to {} or before", self.place(version.partition, version.offset));
        self.say(Output::Note(Note::Frozen { partition: Some(version.partition), why }));
    }

    /// Eligible as a witness: present, of one partition, known not to equal what stood there before, not maybe coalesced.
    fn is_eligible(&self, entry: &Entry, index: usize, observation: &Observation<'_>) -> bool {
        let content = &observation.content;
        let probe = self.probe(content);
        let base = match entry.base() {
            Base::Unknown => false,
            Base::Absent => true,
            Base::Left(until, before) => {
                let remembered = self.images.recall(&entry.key);
                let is_known = remembered.is_some_and(|known| probe.is_of(&known.mask, known.fingerprint));
                self.now >= until && !is_known && !before.is_some_and(|(sum, mask)| probe.sums_to(mask, sum))
            }
            Base::Version(version) => !probe.fits(&version),
            Base::Content(fingerprint, mask) => !probe.sums_to(mask, fingerprint),
        };
        let present = matches!(content, Content::Row { .. });
        present
            && !entry.is_unordered()
            && base
            && !self.may_be_coalesced(entry, content, Arrival(0))
            && self.is_whole(entry, index, observation)
    }
}

/// Whether no row may stand there because the oldest version has not come yet, and not because a delete has.
fn is_before_all(entry: &Entry, content: &Content) -> bool {
    let was_absent = match entry.base() {
        Base::Absent | Base::Left(..) | Base::Unknown => true,
        Base::Version(version) => !version.leaves_row(),
        Base::Content(..) => false,
    };
    was_absent && matches!(content, Content::Absent)
}
