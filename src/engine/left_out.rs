//! 3 ▸ Changes of rows that the applier is not meant to carry: its table has a condition, and the row does not meet it.
//!
//! An applier drops such a change, and the row stays as it was; or it knows what the change means, and takes the row away. Both
//! are right. So the change demands nothing: it is a delete that may be left undone, and below it what was demanded before still
//! holds. It witnesses nothing either, for a row that is gone may never have been there.

use super::chain::{Base, Content};
use super::event::{Carried, Tracked, Verified};
use super::judge::Observation;
use super::keys::Entry;
use super::standing::Standing;
use super::state::Engine;
use crate::canon::Mask;
use crate::model::{Key, Op, Position};

/// Why a change is left that may or may not be carried.
pub(super) const UNTOLD: &str = "it does not tell whether the applier is meant to carry its row";

/// Why a row is, that nobody is meant to carry any more.
const NOBODYS: &str = "the applier is not meant to carry its row any more, and it is not as it was left";

/// A change as the engine takes it: one that is left out says nothing of what its row holds.
pub(super) fn demanding(change: Tracked) -> Tracked {
    match change.carried {
        Carried::Leaves | Carried::Outside => Tracked { op: Op::Delete, fingerprint: 0, before: None, ..change },
        Carried::Always | Carried::Within | Carried::Untold => change,
    }
}

impl Engine {
    /// A change that the applier is not meant to carry. Where nothing of its key waits for a verdict, nothing is to be read.
    pub(super) fn left_out(&mut self, change: &Tracked) {
        self.counters.left_out += 1;
        if change.carried == Carried::Leaves {
            self.left.insert(change.key.table());
        }
        self.strike(&change.key);
        self.forget_verified(&change.key, change.at);
        let Some(ix) = self.keys.find(&change.key) else { return };
        if self.keys.get(ix).is_some_and(|entry| entry.is_patrolled() && !entry.is_in_flight()) {
            self.forget(ix);
            return;
        }
        let version = self.version(change);
        self.append(ix, version, change.role);
    }

    /// What a key was verified as it need not be any more.
    pub(super) fn forget_verified(&mut self, key: &Key, at: Position) {
        if self.images.recall(key).is_none() {
            return;
        }
        let nothing =
            Verified { at, seen: false, op: Op::Delete, fingerprint: 0, mask: Mask::default(), earlier: Vec::new() };
        self.images.remember(key, nothing);
    }

    /// How a row stands that no version of its chain demands: it is there, and as no version left it.
    pub(super) fn standing_undemanded(&self, entry: &Entry, observation: &Observation<'_>) -> Standing {
        let content = &observation.content;
        let probe = self.probe(content);
        let as_before = match (entry.base(), content) {
            (_, Content::Absent) => true,
            (_, Content::Several) => false,
            // What it was found wrong by is not known any more.
            (_, Content::Row { .. }) if entry.reported().is_some() => false,
            (Base::Unknown | Base::Left(..), Content::Row { .. }) => true,
            (Base::Absent, Content::Row { .. }) => false,
            (Base::Version(version), Content::Row { .. }) => probe.fits(&version),
            (Base::Content(fingerprint, mask), Content::Row { .. }) => probe.sums_to(mask, fingerprint),
        };
        if as_before { Standing::Allowed } else { Standing::Unclear(NOBODYS) }
    }
}
