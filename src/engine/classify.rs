//! 6 ▸ What is wrong with a row, and what its key's history says about why.

use crate::model::Op;
use crate::model::finding::Kind;

use super::cause::History;
use super::chain::{Arrival, Base, Content, Version, kept};
use super::event::{Role, Verified};
use super::judge::Observation;
use super::keys::{Entry, KeyIx};
use super::letters::Letter;
use super::state::Engine;
use super::suspect::Suspect;

/// How far to either side of a lost version its neighbours are looked at.
const NEIGHBOURS: usize = 8;

/// One row that is wrong: the key, the version it had to be, and what was read.
pub(super) struct Case<'a> {
    pub(super) entry: &'a Entry,
    /// Of the expected version in the chain.
    pub(super) index: usize,
    pub(super) observation: &'a Observation<'a>,
    pub(super) verified: Option<Verified>,
}

impl Case<'_> {
    pub(super) fn expected(&self) -> &Version {
        &self.entry.chain.versions()[self.index]
    }
}

/// Which earlier version an observed row is.
pub(super) struct SeenVersion {
    pub(super) named: Option<Version>,
    /// Operations after it up to the floor.
    pub(super) since: Vec<Op>,
    /// Versions after it up to the floor; 0 where it is of no known version.
    pub(super) behind: u32,
    /// It may be one of those that were coalesced, as far as their summary tells.
    coalesced: bool,
}

impl Engine {
    /// Finds the newest version before the floor whose content is seen: in the chain, before it, or among what is remembered.
    pub(super) fn seen_version(&self, case: &Case<'_>) -> SeenVersion {
        let (index, content) = (case.index, &case.observation.content);
        let versions = &case.entry.chain.versions()[..=index];
        let probe = self.probe(content);
        let demanded = |from: usize| versions[from..].iter().filter(|version| !version.is_left_out());
        let ops = |from: usize| demanded(from).map(|version| version.op).collect::<Vec<_>>();
        let is_it = |version: &Version| !version.is_left_out() && probe.fits(version);
        if let Some(at) = versions[..index].iter().rposition(is_it) {
            return SeenVersion {
                named: Some(versions[at]),
                since: ops(at + 1),
                behind: count(demanded(at + 1).count()),
                coalesced: false,
            };
        }
        match case.entry.base() {
            Base::Version(version) if probe.fits(&version) => {
                return SeenVersion {
                    named: Some(version),
                    since: ops(0),
                    behind: count(demanded(0).count()),
                    coalesced: false,
                };
            }
            Base::Version(_) | Base::Content(..) | Base::Absent | Base::Left(..) | Base::Unknown => {}
        }
        let remembered = case.verified.as_ref().is_some_and(|verified| is_earlier(verified, content));
        let coalesced = self.may_be_coalesced(case.entry, content, Arrival(0));
        let behind = if remembered { count(demanded(0).count() + 1) } else { 0 };
        SeenVersion { named: None, since: ops(0), behind, coalesced }
    }

    pub(super) fn kind(&self, case: &Case<'_>, seen: &SeenVersion) -> Kind {
        let content = &case.observation.content;
        let once_so = was_read_so(case);
        // Of a verified row that is gone, every version is earlier; of one that is there, those that are remembered.
        let may_be_before = if case.entry.is_patrolled() {
            !case.expected().leaves_row()
        } else {
            self.may_be_before(case.entry, content) && !is_behind_known(case)
        };
        let earlier = seen.named.is_some() || seen.behind > 0 || seen.coalesced || may_be_before;
        match content {
            _ if case.entry.role == Role::Counted => self.kind_of_count(case, once_so),
            Content::Several => Kind::DuplicateRow,
            Content::Absent if once_so || self.stood_there(case) => Kind::VanishedRow,
            Content::Absent => Kind::MissingRow,
            Content::Row { placeholder: true, .. } => Kind::DivergedRow,
            Content::Row { .. } if !case.expected().leaves_row() => match (earlier, once_so) {
                (true, true) => Kind::ResurrectedRow,
                (true, false) => Kind::UnappliedDelete,
                (false, _) => Kind::DivergedRow,
            },
            Content::Row { .. } if earlier && once_so => Kind::RegressedRow,
            Content::Row { .. } if earlier => Kind::LostUpdate,
            Content::Row { .. } => match &case.observation.row {
                Some(row) if self.beside_known(case.entry, row).is_whole() => Kind::TornRow,
                Some(_) | None => Kind::DivergedRow,
            },
        }
    }

    /// The content may be what stood there before the oldest known version.
    fn may_be_before(&self, entry: &Entry, content: &Content) -> bool {
        let probe = self.probe(content);
        match (entry.base(), content) {
            (Base::Unknown | Base::Left(..), Content::Row { placeholder, .. }) => !placeholder,
            (Base::Content(fingerprint, mask), Content::Row { .. }) => probe.sums_to(mask, fingerprint),
            (Base::Version(version), _) => probe.fits(&version),
            (Base::Absent, _)
            | (Base::Unknown | Base::Left(..) | Base::Content(..), Content::Absent | Content::Several) => false,
        }
    }

    /// The key was read as a row that no change has removed since.
    fn stood_there(&self, case: &Case<'_>) -> bool {
        let versions = &case.entry.chain.versions()[..=case.index];
        let seen = case.entry.more.as_deref().and_then(|more| more.seen_best);
        match versions.iter().rposition(|version| !version.leaves_row()) {
            Some(removed) => seen.is_some_and(|seen| seen > versions[removed].arrival),
            // A delete among the coalesced versions may have removed it.
            None if self.may_be_coalesced(case.entry, &Content::Absent, Arrival(0)) => false,
            None => {
                let verified = case.verified.as_ref();
                let was_row = |verified: &Verified| !matches!(verified.op, Op::Delete | Op::Truncate);
                seen.is_some() || verified.is_some_and(|verified| verified.seen && was_row(verified))
            }
        }
    }

    pub(super) fn history(
        &self,
        case: &Case<'_>,
        seen: &SeenVersion,
        (kind, letter): (Kind, Option<&Letter>),
        suspect: &Suspect,
    ) -> History {
        let expected = case.expected();
        let table = case.entry.key.table();
        let (lost_run, lost_run_keys) = self.lost_run(expected);
        let horizon = self.horizon(expected, table);
        let back_step =
            horizon.and_then(|horizon| horizon.last_replay()).is_some_and(|at| at + self.settle() * 2 >= suspect.first);
        let before_base = match (seen.named, case.entry.base()) {
            (None, Base::Version(version)) => Some(version.op),
            (Some(_), _) | (None, Base::Unknown | Base::Absent | Base::Left(..) | Base::Content(..)) => None,
        };
        // What was verified once was not lost by a merge.
        let verified = case.entry.is_patrolled();
        let (lost_run, lost_run_keys) = if verified { (1, 1) } else { (lost_run, lost_run_keys) };
        History {
            kind,
            set_aside: letter.is_some(),
            placeholder: case.observation.content.has_placeholder(),
            op_never_applied: !verified && self.gate.never_applied(table, expected.op),
            key_change: !verified && expected.in_key_change(),
            back_step,
            lost_run,
            lost_run_keys,
            seen: seen.named.map(|version| version.op),
            coerced: self.is_coerced(case.entry, expected, case.observation),
            stranger: self.was_never_written(case.entry, case.observation),
            since: before_base.into_iter().chain(seen.since.iter().copied()).collect(),
        }
    }

    /// The run of adjacent lost positions around a lost version: how long, and of how many keys.
    fn lost_run(&self, expected: &Version) -> (usize, usize) {
        let Some(partition) = self.partitions.get(&expected.partition) else { return (1, 1) };
        let at = partition.index_of(expected.offset);
        let is_lost = |index: usize| {
            let tracked = partition.tracked_at(index)?;
            let entry = self.keys.get(tracked.key)?;
            let lost = entry.suspect().map(|suspect| suspect.floor.arrival);
            let lost = lost.or(entry.reported().map(|reported| reported.floor))?;
            let seen = entry.more.as_ref()?.seen_best;
            (tracked.arrival <= lost && seen.is_none_or(|seen| seen < tracked.arrival)).then_some(tracked.key)
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

fn is_earlier(verified: &Verified, content: &Content) -> bool {
    let Content::Row { hashes, .. } = content else { return false };
    let sum = kept(hashes.sum(&verified.mask));
    let earlier =
        |(_, op, fingerprint): &(_, Op, u128)| kept(*fingerprint) == sum && !matches!(op, Op::Delete | Op::Truncate);
    verified.earlier.iter().any(earlier)
}

/// What stood before the oldest known version is not known, and the key was read as one of those that are: what a row of no
/// known version is cannot be told, but an earlier one it is not known to be.
fn is_behind_known(case: &Case<'_>) -> bool {
    let seen = case.entry.more.as_deref().and_then(|more| more.seen_best);
    matches!(case.entry.base(), Base::Unknown | Base::Left(..)) && seen.is_some()
}

/// The row was once read as the expected version or a later one.
fn was_read_so(case: &Case<'_>) -> bool {
    let expected = case.expected();
    let more = case.entry.more.as_deref();
    let seen = more.and_then(|more| more.seen_best).is_some_and(|seen| seen >= expected.arrival);
    let verified = case
        .verified
        .as_ref()
        .filter(|verified| verified.seen && verified.at.partition == expected.partition)
        .is_some_and(|verified| verified.at.offset >= expected.offset);
    seen || verified
}

fn count(versions: usize) -> u32 {
    u32::try_from(versions).unwrap_or(u32::MAX)
}
