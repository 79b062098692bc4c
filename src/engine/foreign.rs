//! Somebody else writes the target: where rows alone prove progress, their word is worth nothing any more.
//!
//! Content that no change ever wrote is somebody else's. Under committed positions or heartbeats it is a finding as any other.
//! Inferred progress rests on the rows themselves, so from then on every row of that table that differs ends without a
//! verdict, and one `evidence_unsound` finding says so. Rows that wait beside such a row share its fate.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::finding::{Cause, Finding, Kind, Proof, Subject};
use crate::model::{Op, TableId};

use super::chain::{Base, Version};
use super::judge::Observation;
use super::keys::{Entry, KeyIx};
use super::state::Engine;
use super::suspect::{Convict, Floor};

const FOREIGN: &str = "somebody else writes its table, and only rows told how far the applier is";

/// Tables whose rows hold what no change wrote.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    /// Suspects with such content, by table; those that are none any more are dropped when met.
    suspects: BTreeMap<TableId, BTreeSet<KeyIx>>,
    proven: BTreeSet<TableId>,
}

impl Engine {
    /// Whether nothing but rows says that this floor is applied.
    fn is_by_rows(&self, floor: Floor) -> bool {
        floor.by == Convict::Causal && self.options.evidence.inferred && !self.options.evidence.heartbeat
    }

    /// Whether a suspect may not be convicted, nor called one, because somebody else writes its table or may do so. `proof` is
    /// what its reads prove.
    pub(super) fn is_foreign(
        &mut self,
        ix: KeyIx,
        (floor, proof): (Floor, Option<(Proof, Floor)>),
        observation: &Observation<'_>,
    ) -> bool {
        if !self.is_by_rows(floor) {
            return false;
        }
        let Some(entry) = self.keys.get(ix) else { return false };
        let table = entry.key.table();
        if self.case(entry, floor, observation).is_some_and(|case| self.may_be_anothers(&case)) {
            if proof.is_some() {
                self.give_up(ix, FOREIGN);
            }
            return true;
        }
        let own = self.holds_foreign(entry, floor, observation);
        if own {
            self.foreign.suspects.entry(table).or_default().insert(ix);
            if proof.is_some() {
                self.table_is_foreign(table);
            }
        } else if let Some(suspects) = self.foreign.suspects.get_mut(&table) {
            suspects.remove(&ix);
        }
        if self.foreign.proven.contains(&table) {
            if proof.is_some() {
                self.give_up(ix, FOREIGN);
            }
            return true;
        }
        own || self.waits_beside(table)
    }

    /// Whether the row of a suspect is of no version, and holds what none ever had.
    fn holds_foreign(&self, entry: &Entry, floor: Floor, observation: &Observation<'_>) -> bool {
        !observation.content.has_placeholder()
            && !self.may_have_met_an_older_row(entry)
            && self.was_never_written(entry, observation)
            && self.case(entry, floor, observation).is_some_and(|case| {
                let seen = self.seen_version(&case);
                self.kind(&case, &seen) == Kind::DivergedRow
            })
    }

    /// Whether all that is known of the key may have been lost on a row that a truncate should have removed before.
    fn may_have_met_an_older_row(&self, entry: &Entry) -> bool {
        let was_seen = entry.more.as_deref().is_some_and(|more| more.seen_best.is_some());
        let is_new = entry.base() == Base::Absent && !was_seen && self.images.recall(&entry.key).is_none();
        is_new && self.truncates.contains_key(&entry.key.table())
    }

    /// Whether some column holds what no version of the key ever had there: all of them are known, from the first on or from
    /// one that was judged. What such an update did not carry is as older ones left it.
    pub(super) fn was_never_written(&self, entry: &Entry, observation: &Observation<'_>) -> bool {
        let Some(row) = observation.row.as_deref() else { return false };
        let base = entry.base();
        // Where what was passed was never seen, the row may be as it was before.
        let was_told = entry.reported().is_some_and(|reported| reported.content.as_ref() == Some(&observation.content));
        let passed_unseen = entry.more.as_deref().is_some_and(|more| more.passed_unseen);
        if was_told || passed_unseen || self.images.recall(&entry.key).is_some_and(|known| !known.seen) {
            return false;
        }
        let versions = || entry.chain.versions().iter().filter(|version| version.leaves_row());
        let known_before = |column: usize| match base {
            // An insert may have met an older row and been passed over: what no later update carried is as that row left it.
            // After a rewind that row may be of a change that was taken back.
            Base::Absent => {
                self.rewound.is_empty() && versions().all(|version| self.masks.get(version.mask).has(column))
            }
            Base::Version(version) => version.op != Op::Update || self.masks.get(version.mask).has(column),
            Base::Unknown | Base::Left(..) | Base::Content(..) => false,
        };
        // An applier that carries what it is not meant to wrote a row of which nothing is kept.
        let left_out = entry.chain.versions().iter().any(Version::is_left_out);
        if left_out || entry.hole().is_some() || self.may_lack_a_version(entry, base) {
            return false;
        }
        let known = self.beside_known(entry, row);
        known.is_complete() && known.strangers().any(known_before)
    }

    /// Whether an unreadable record stands behind a version of the key: it may have been one more.
    fn may_lack_a_version(&self, entry: &Entry, base: Base) -> bool {
        let base = base.version();
        let mut known = base.iter().chain(entry.chain.versions());
        known.any(|version| self.newest_rejected(entry, version.partition).is_some_and(|at| at > version.offset))
    }

    /// Whether some other row of the table may prove somebody else's hand.
    fn waits_beside(&mut self, table: TableId) -> bool {
        let Some(waiting) = self.foreign.suspects.get_mut(&table) else { return false };
        let keys = &self.keys;
        waiting.retain(|ix| keys.get(*ix).is_some_and(|entry| entry.suspect().is_some() && entry.key.table() == table));
        !waiting.is_empty()
    }

    fn table_is_foreign(&mut self, table: TableId) {
        if !self.foreign.proven.insert(table) || self.stated.unsound.is_some() {
            return;
        }
        let name = self.images.table_name(table);
        let detail = format!(
            "rows of {name} hold what no change of the tap wrote, and only rows tell how far the applier is: \
             what differs there cannot be judged until committed offsets or a heartbeat do"
        );
        let evidence = "the same content, of no known version, was read again after later changes were visible";
        let subject = Subject::Scope { at: None, detail };
        let finding = Finding::open(Kind::EvidenceUnsound, subject, evidence.to_owned(), self.now);
        self.is_unsound(Finding { cause: Cause::ForeignWrite, ..finding });
    }
}
