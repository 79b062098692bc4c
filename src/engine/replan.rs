//! 3 ▸ The columns of a table changed, so its rows are compared by another plan.
//!
//! No row is judged by fingerprints of two plans: reads under way are void, suspects begin anew, and what has no verdict yet
//! is told anew from its images, of the columns that both plans compare. What has no image any more ends without a verdict.

use std::sync::Arc;

use crate::model::finding::{Finding, Subject};
use crate::model::{Key, Op, Position, Row, TableId};

use super::chain::{Base, Chain, Version};
use super::event::{Kinship, Note, Output, PlanEpoch, Tracked};
use super::keys::{Entry, KeyIx};
use super::state::Engine;

pub(super) const REPLANNED: &str = "its table changed while it was being judged";

/// One plan, and the one after it.
type Plans = (PlanEpoch, PlanEpoch);

/// The row of a version as a finding kept it.
pub(super) fn expected_row(finding: &Finding) -> Option<(Position, Arc<Row<'static>>)> {
    match &finding.subject {
        Subject::Row { expected, .. } => Some((expected.at, Arc::clone(expected.row.as_ref()?))),
        Subject::Record { .. } | Subject::Table { .. } | Subject::Column { .. } | Subject::Scope { .. } => None,
    }
}

impl Engine {
    fn plan_of(&self, table: TableId) -> PlanEpoch {
        self.plans.get(&table).copied().unwrap_or_default()
    }

    pub(super) fn replanned(&mut self, table: TableId, plan: PlanEpoch) {
        let before = self.plan_of(table);
        if plan <= before {
            return;
        }
        self.plans.insert(table, plan);
        let kinship = self.images.kinship(table, before, plan);
        let is_of = |entry: &Entry| entry.key.table() == table;
        let keys: Vec<KeyIx> = self.keys.iter().filter(|(_, entry)| is_of(entry)).map(|(ix, _)| ix).collect();
        let (mut carried, left) = (0, self.counters.unverifiable);
        for ix in keys {
            let held = match kinship {
                Kinship::None => None,
                // What stood before a key's versions has no image, and without it a row proves nothing of progress.
                Kinship::Keys if self.rests_on_rows() => None,
                Kinship::Keys => self.carry_over(ix, (before, plan)),
                Kinship::Fingerprints => self.keep(ix),
            };
            match held {
                Some(versions) => carried += versions,
                None => self.leave_behind(ix, (before, plan)),
            }
        }
        self.coercions.replanned(table);
        self.leave_scan(table, REPLANNED);
        if kinship != Kinship::Fingerprints {
            self.gate.replanned(table);
            // What is remembered of verified keys is of the columns before.
            self.patrol.roster.void_table(table);
            for partition in self.partitions.values_mut() {
                partition.unbroken_since = partition.consumed;
            }
        }
        let left = self.counters.unverifiable - left;
        self.say(Output::Note(Note::Replanned { table, carried, left }));
    }

    /// A change under the plan that its table is held under. One that was told under an earlier plan is told anew, or ends
    /// without a verdict. `spare` is the row of some change, where its image may be gone.
    pub(super) fn under_plan(
        &mut self,
        change: Tracked,
        spare: Option<(Position, Arc<Row<'static>>)>,
    ) -> Option<Tracked> {
        let table = change.key.table();
        let plan = self.plan_of(table);
        if change.plan == plan {
            return Some(change);
        }
        if change.plan > plan {
            self.replanned(table, change.plan);
            return Some(change);
        }
        let kinship = self.images.kinship(table, change.plan, plan);
        if kinship == Kinship::Fingerprints {
            return Some(Tracked { plan, ..change });
        }
        let keeps_keys = kinship == Kinship::Keys;
        if change.op == Op::Truncate || change.op == Op::Delete && keeps_keys {
            return Some(Tracked { before: None, plan, ..change });
        }
        let image = self.images.image(change.at, &change.key).and_then(|image| image.row);
        let row = image.or_else(|| spare.filter(|(at, _)| *at == change.at).map(|(_, row)| row));
        let row = row.filter(|_| keeps_keys);
        let told = row.and_then(|row| self.images.tell_anew(table, &row, (change.plan, &change.mask), plan));
        let Some((fingerprint, mask)) = told else {
            self.leave_change(&change, REPLANNED);
            return None;
        };
        Some(Tracked { fingerprint, mask, before: None, plan, ..change })
    }

    /// Holds a key under the new plan; gives back how many of its versions wait for a verdict, or `None` where some of them
    /// cannot be told anew.
    fn carry_over(&mut self, ix: KeyIx, plans: Plans) -> Option<u64> {
        let entry = self.keys.get(ix)?;
        if entry.is_patrolled() || entry.hole().is_some() {
            return None;
        }
        let (key, spare, base) = (entry.key.clone(), spare_of(entry), entry.base());
        let versions = entry.chain.versions().to_vec();
        let done = versions.iter().take_while(|version| entry.is_done(version.arrival)).count();
        let told: Vec<Option<Version>> =
            versions.iter().map(|version| self.told_anew(&key, *version, spare.as_ref(), plans)).collect();
        // What has its verdict may go, but for the last.
        let gone = told.iter().rposition(Option::is_none).map_or(0, |last| last + 1);
        if gone > done.min(versions.len() - 1) {
            return None;
        }
        let base = match base {
            Base::Version(version) if gone == 0 => self.told_anew(&key, version, None, plans).map(Base::Version),
            Base::Absent | Base::Left(_, None) if gone == 0 => Some(base),
            Base::Version(_) | Base::Absent | Base::Left(..) | Base::Unknown | Base::Content(..) => None,
        };
        let base = base.unwrap_or(Base::Unknown);
        let entry = self.keys.get_mut(ix)?;
        self.memory.versions -= entry.chain.drop_first(gone);
        entry.chain.replace_all(told.into_iter().skip(gone).flatten().collect());
        entry.base_absent = base == Base::Absent;
        if entry.more.is_some() || matches!(base, Base::Version(_) | Base::Left(..)) {
            entry.more().base = base;
        }
        let open = entry.chain.versions().iter().filter(|version| !entry.is_done(version.arrival)).count();
        self.look_anew(ix);
        Some(open as u64)
    }

    /// Whether nothing but rows tells of progress.
    fn rests_on_rows(&self) -> bool {
        let evidence = self.options.evidence;
        !evidence.committed && !evidence.heartbeat && !evidence.assumed
    }

    /// Fingerprints are as they were; reads are not.
    fn keep(&mut self, ix: KeyIx) -> Option<u64> {
        let entry = self.keys.get(ix)?;
        let open = entry.chain.versions().iter().filter(|version| !entry.is_done(version.arrival)).count();
        self.look_anew(ix);
        Some(open as u64)
    }

    /// A version under another plan: of the columns that it told of.
    fn told_anew(
        &mut self,
        key: &Key,
        version: Version,
        spare: Option<&(Position, Arc<Row<'static>>)>,
        (from, to): Plans,
    ) -> Option<Version> {
        if !version.leaves_row() {
            return Some(version);
        }
        let image = self.images.image(version.at(), key).and_then(|image| image.row);
        let spare = || spare.filter(|(at, _)| *at == version.at()).map(|(_, row)| Arc::clone(row));
        let row = image.or_else(spare)?;
        let told = (from, self.masks.get(version.mask));
        let (fingerprint, mask) = self.images.tell_anew(key.table(), &row, told, to)?;
        Some(version.told(fingerprint, self.masks.id(&mask)))
    }

    /// Ends what a key has without a verdict. An open finding stays, and may heal if the row that it expects is there still.
    fn leave_behind(&mut self, ix: KeyIx, plans: Plans) {
        let Some(key) = self.keys.get(ix).map(|entry| entry.key.clone()) else { return };
        self.give_up(ix, REPLANNED);
        let Some(entry) = self.keys.get(ix).filter(|entry| entry.key == key) else { return };
        let (version, spare) = (*entry.chain.newest(), spare_of(entry));
        let told = self.told_anew(&key, version, spare.as_ref(), plans);
        if let (Some(told), Some(entry)) = (told, self.keys.get_mut(ix)) {
            entry.chain = Chain::of(told);
        }
        self.look_anew(ix);
    }

    /// Reads agree no more with those before them: suspects begin anew, what is under way is void, and what is open is looked
    /// at again now.
    fn look_anew(&mut self, ix: KeyIx) {
        let now = self.now;
        let Some(entry) = self.keys.get_mut(ix) else { return };
        entry.flight = 0;
        if let Some(more) = &mut entry.more {
            (more.unclear, more.differs) = (0, false);
            let suspicion = more.suspect.take().and_then(|suspect| suspect.stated);
            if let Some(reported) = &mut more.reported {
                (reported.content, reported.look) = (None, now);
                self.again.insert((now, ix));
            }
            self.suspects.remove(&ix);
            if let Some(suspicion) = suspicion {
                self.withdraw(*suspicion);
            }
        }
        self.schedule_rest(ix);
    }
}

/// The row of the version that an open finding was stated against: its image may be gone.
fn spare_of(entry: &Entry) -> Option<(Position, Arc<Row<'static>>)> {
    expected_row(&entry.reported()?.finding)
}
