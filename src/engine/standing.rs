//! Whether a row may stand where versions from a floor on are allowed.

use std::collections::BTreeSet;

use crate::canon::{Compared, ObservedHashes};
use crate::model::{Key, Op, PartitionId, Row};

use super::chain::{Arrival, Content, MaskId, Version};
use super::event::ColumnVerdict;
use super::judge::Observation;
use super::keys::Entry;
use super::partition::BehindGone;
use super::state::Engine;

/// Newest versions compared column by column where fingerprints differ: a tolerance helps the newest or none.
const SLOW_VERSIONS: usize = 8;

/// Why nothing can be said of a row without the image that is gone.
const COLUMNS_GONE: &str = "columns it did not carry are known from images that are gone";
const MIXTURE_GONE: &str = "it may be half of a write that is on its way, whose image is gone";
pub(super) const TOLERANCE_GONE: &str = "it may be right within a tolerance, and its image is gone";

/// Whether a content may stand under a floor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is a version at or above the floor.
    Allowed,
    /// Each column is of some version on its way: a row in the middle of being written.
    Mixed,
    /// It may be one; nothing can be said, for this reason.
    Unclear(&'static str),
    /// The same, and an image that is gone would tell.
    Forgotten(&'static str),
    /// It is none.
    Wrong,
}

/// Whether the columns that a version says nothing about are as earlier versions left them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Fits,
    Differs,
    Unknown,
    /// An image that is gone would tell.
    Forgotten,
}

/// The columns of a row that some version had so, out of those that any version said something about.
#[derive(Debug, Default)]
pub(super) struct Mixed {
    known: BTreeSet<usize>,
    fit: BTreeSet<usize>,
    /// Versions whose images are gone.
    gone: usize,
}

impl Mixed {
    /// Whether the image of every version was there.
    pub(super) fn is_complete(&self) -> bool {
        self.gone == 0
    }

    fn add(&mut self, verdicts: &[ColumnVerdict]) {
        for verdict in verdicts {
            self.known.insert(verdict.index);
            if is_equal(verdict) {
                self.fit.insert(verdict.index);
            }
        }
    }

    /// The columns that are of no version.
    pub(super) fn strangers(&self) -> impl Iterator<Item = usize> {
        self.known.difference(&self.fit).copied()
    }

    /// Whether every column is of some version.
    pub(super) fn is_whole(&self) -> bool {
        !self.known.is_empty() && self.known == self.fit
    }
}

fn is_equal(verdict: &ColumnVerdict) -> bool {
    match verdict.outcome {
        Compared::Equal | Compared::Incomparable => true,
        Compared::Different => false,
    }
}

impl Engine {
    pub(super) fn standing(&self, entry: &Entry, floor: usize, observation: &Observation<'_>) -> Standing {
        let content = &observation.content;
        if is_as_found_wrong(entry, content) {
            return Standing::Wrong;
        }
        let probe = self.probe(content);
        let versions = entry.chain.versions();
        let Some(demanded) = entry.chain.demanded(floor) else { return self.standing_undemanded(entry, observation) };
        let allowed: Vec<usize> =
            (0..versions.len()).filter(|index| is_allowed(entry, (demanded, floor), *index)).collect();
        let (mut unknown, mut forgotten) = (false, false);
        for index in allowed.iter().filter(|index| !content.has_placeholder() && probe.fits(&versions[**index])) {
            match self.rest(entry, *index, observation) {
                Rest::Fits if is_overtaken(entry, *index, floor) => unknown = true,
                Rest::Fits => return Standing::Allowed,
                Rest::Unknown => unknown = true,
                Rest::Forgotten => forgotten = true,
                Rest::Differs => {}
            }
        }
        if forgotten {
            return Standing::Forgotten(COLUMNS_GONE);
        }
        if unknown {
            return Standing::Unclear("columns it did not carry may have been written by changes that are not known");
        }
        let since = if is_ordered(entry, demanded) { versions[demanded].arrival } else { Arrival(0) };
        if self.may_be_coalesced(entry, content, since) {
            return Standing::Unclear("the row may be one of the versions that were coalesced");
        }
        match (content, &observation.row) {
            (Content::Row { placeholder: false, .. }, Some(row)) => {
                self.slow_standing(entry, &allowed, row, observation)
            }
            (Content::Row { .. } | Content::Absent | Content::Several, _) => Standing::Wrong,
        }
    }

    /// Whether the content may be what a coalesced version left, of those that arrived at about `since` or later.
    pub(super) fn may_be_coalesced(&self, entry: &Entry, content: &Content, since: Arrival) -> bool {
        entry.hole().is_some_and(|hole| hole.newest >= since && hole.may_hold(content, &self.masks, since))
    }

    /// A wrong row may be what an unreadable record left, if one stands behind the oldest version that the expected row is
    /// made of. That the row was so before proves nothing: rows come back to what they were.
    pub(super) fn may_be_rejected(&self, entry: &Entry, floor: usize, observation: &Observation<'_>) -> bool {
        if observation.content == Content::Several {
            return false;
        }
        let expected = &entry.chain.versions()[floor];
        let newest = self.newest_rejected(entry, expected.partition);
        newest.is_some_and(|newest| self.made_of(entry, floor, observation).is_none_or(|oldest| newest >= oldest))
            || expected.op == Op::Truncate && self.may_be_rejected_elsewhere(entry, floor)
            || observation.content == Content::Absent && self.may_be_truncated_unread(entry, expected)
    }

    /// A truncate among the records of another partition that were gone before they were read may have removed a row, unless it
    /// was seen to stand after that.
    fn may_be_truncated_unread(&self, entry: &Entry, expected: &Version) -> bool {
        let is_older = |gone: BehindGone| match gone {
            BehindGone::Open => true,
            BehindGone::Before(order, _) if self.is_wide() => expected.order < order,
            BehindGone::Before(_, committed) => {
                expected.committed_at().zip(committed).is_none_or(|(expected, behind)| expected <= behind)
            }
        };
        let mut others = self.partitions.iter().filter(|(id, _)| **id != expected.partition);
        others.any(|(id, known)| {
            known.behind_gone.is_some_and(is_older)
                && entry.seen_before().is_none_or(|seen| seen < known.gone_until)
                && self.images.share_tables(*id, expected.partition)
        })
    }

    /// A truncate stands in a partition that need not be its rows': an unreadable record of theirs may be a newer row, unless one
    /// that was read behind it stands before the truncate.
    fn may_be_rejected_elsewhere(&self, entry: &Entry, truncate: usize) -> bool {
        let versions = &entry.chain.versions()[..=truncate];
        let base = entry.base().version();
        let last_read = |partition: PartitionId| {
            let read = versions.iter().chain(base.iter()).filter(move |version| version.partition == partition);
            read.map(|version| version.offset).max()
        };
        let others = self.partitions.keys().filter(|partition| **partition != versions[truncate].partition);
        others.copied().any(|partition| self.newest_rejected(entry, partition) > last_read(partition))
    }

    /// The offset of the newest unreadable record of a partition that may have been of the key's table.
    pub(super) fn newest_rejected(&self, entry: &Entry, partition: PartitionId) -> Option<u64> {
        let rejected = &self.partitions.get(&partition)?.rejected;
        if rejected.is_empty() {
            return None;
        }
        let table = self.images.table_name(entry.key.table());
        [None, Some(table)].iter().filter_map(|table| rejected.get(table)).max().copied()
    }

    /// A tolerance may make a row right, and the image that would tell is gone: what the patrol looks at again was verified long
    /// ago.
    pub(super) fn is_out_of_reach(&self, entry: &Entry, observation: &Observation<'_>) -> bool {
        let newest = entry.chain.newest();
        entry.is_patrolled()
            && newest.leaves_row()
            && observation.row.is_some()
            && !self.images.is_exact(entry.key.table())
            && self.images.image(newest.at(), &entry.key).is_none_or(|image| image.row.is_none())
    }

    /// The offset of the oldest version that says something about the row of a version; `None` where that is older than all
    /// known ones.
    fn made_of(&self, entry: &Entry, index: usize, observation: &Observation<'_>) -> Option<u64> {
        let Content::Row { hashes, .. } = &observation.content else {
            return Some(entry.chain.versions()[index].offset);
        };
        let mut covered: BTreeSet<usize> = BTreeSet::new();
        let newest = entry.chain.versions()[index];
        for version in entry.chain.versions()[..=index].iter().rev() {
            if entry.is_broken_between(version, &newest) {
                return None;
            }
            covered.extend(self.masks.get(version.mask).iter());
            let whole = version.op != Op::Update || compared(hashes).all(|column| covered.contains(&column));
            if whole {
                return Some(version.offset);
            }
        }
        None
    }

    /// A version that says nothing about some columns left them as earlier versions had them.
    fn rest(&self, entry: &Entry, index: usize, observation: &Observation<'_>) -> Rest {
        let versions = entry.chain.versions();
        let Some(row) = &observation.row else { return Rest::Fits };
        let mut covered = vec![versions[index].mask];
        let base = entry.base().version();
        let mut after = versions[index];
        for version in versions[..index].iter().rev().chain(base.iter()) {
            let whole = !matches!(after.op, Op::Update);
            if whole || entry.is_unordered() || !version.leaves_row() {
                break;
            }
            let between = after.arrival.0.wrapping_sub(version.arrival.0);
            let is_broken = entry.is_broken_between(version, &after) && !self.is_covered(observation, &covered);
            after = *version;
            if is_broken || between > 1 && !self.says_nothing_else(entry, &covered) {
                return Rest::Unknown;
            }
            if covered.contains(&version.mask) {
                continue;
            }
            let says_more = |column: usize| !covered.iter().any(|mask| self.masks.get(*mask).has(column));
            if self.masks.get(version.mask).iter().any(says_more) {
                // What was judged once was right in every column then, unless it was found wrong.
                let found_wrong = entry.reported().is_some_and(|reported| version.arrival <= reported.floor);
                let judged = entry.is_done(version.arrival) && !found_wrong || base == Some(*version);
                let Some(expected) = self.images.image(version.at(), &entry.key).and_then(|image| image.row) else {
                    return if judged { Rest::Fits } else { Rest::Forgotten };
                };
                let verdicts = self.compare(&entry.key, version, &expected, row);
                if verdicts.iter().any(|verdict| says_more(verdict.index) && !is_equal(verdict)) {
                    return Rest::Differs;
                }
            }
            covered.push(version.mask);
        }
        Rest::Fits
    }

    /// Whether a row that fits a version is that version in the columns too that it says nothing about, as far as is known.
    pub(super) fn is_whole(&self, entry: &Entry, index: usize, observation: &Observation<'_>) -> bool {
        let mask = entry.chain.versions()[index].mask;
        self.is_covered(observation, &[mask]) || self.rest(entry, index, observation) == Rest::Fits
    }

    /// Whether every column of a row that is compared is of one of these masks.
    fn is_covered(&self, observation: &Observation<'_>, covered: &[MaskId]) -> bool {
        let Content::Row { hashes, .. } = &observation.content else { return true };
        compared(hashes).all(|column| covered.iter().any(|mask| self.masks.get(*mask).has(column)))
    }

    /// Whether no coalesced version of the key said anything about columns beyond `covered`.
    fn says_nothing_else(&self, entry: &Entry, covered: &[MaskId]) -> bool {
        let Some(hole) = entry.hole() else { return false };
        let is_covered = |column: usize| covered.iter().any(|mask| self.masks.get(*mask).has(column));
        hole.masks().iter().all(|mask| covered.contains(mask) || self.masks.get(*mask).iter().all(is_covered))
    }

    /// Compares the image of a version with a row, column by column. A column that the version says nothing about, because it
    /// was made after the version, is left out.
    pub(super) fn compare(&self, key: &Key, version: &Version, expected: &Row, row: &Row) -> Vec<ColumnVerdict> {
        let mask = self.masks.get(version.mask);
        let mut verdicts = self.images.compare(key, expected, row);
        verdicts.retain(|verdict| verdict.placeholder || is_equal(verdict) || mask.has(verdict.index));
        verdicts
    }

    /// The columns of a row beside all that is known of its key: every version of the chain, and the one before it.
    pub(super) fn beside_known(&self, entry: &Entry, row: &Row) -> Mixed {
        let base = entry.base().version();
        let mut mixed = Mixed::default();
        for version in entry.chain.versions().iter().chain(base.iter()).filter(|version| version.leaves_row()) {
            match self.images.image(version.at(), &entry.key).and_then(|image| image.row) {
                Some(expected) => mixed.add(&self.compare(&entry.key, version, &expected, row)),
                None => mixed.gone += 1,
            }
        }
        mixed
    }

    /// Column by column, with tolerances: equal to one version, or (while newer ones are on their way) a mix of allowed ones.
    fn slow_standing(&self, entry: &Entry, allowed: &[usize], row: &Row, observation: &Observation<'_>) -> Standing {
        let (mut mixed, mut forgotten) = (Mixed::default(), false);
        let versions = allowed.iter().rev().map(|index| (*index, &entry.chain.versions()[*index]));
        for (index, version) in versions.take(SLOW_VERSIONS).filter(|(_, version)| version.leaves_row()) {
            let image = self.images.image(version.at(), &entry.key).and_then(|image| image.row);
            let Some(expected) = image else {
                mixed.gone += 1;
                continue;
            };
            let verdicts = self.compare(&entry.key, version, &expected, row);
            if !verdicts.is_empty() && verdicts.iter().all(is_equal) {
                match self.rest(entry, index, observation) {
                    Rest::Fits => return Standing::Allowed,
                    Rest::Forgotten => forgotten = true,
                    Rest::Unknown | Rest::Differs => {}
                }
            }
            mixed.add(&verdicts);
        }
        if forgotten {
            return Standing::Forgotten(COLUMNS_GONE);
        }
        let may_be_mixed = allowed.len() > 1;
        if may_be_mixed && mixed.is_whole() {
            return Standing::Mixed;
        }
        match mixed.is_complete() {
            true => Standing::Wrong,
            false if !self.images.is_exact(entry.key.table()) => Standing::Forgotten(TOLERANCE_GONE),
            false if may_be_mixed => Standing::Forgotten(MIXTURE_GONE),
            false => Standing::Wrong,
        }
    }
}

/// The columns of an observed row that are compared.
fn compared(hashes: &ObservedHashes) -> impl Iterator<Item = usize> {
    hashes.0.iter().enumerate().filter(|(_, hash)| **hash != 0).map(|(column, _)| column)
}

/// Whether a row is what it was found wrong as, and nothing newer than what it was held against came since: images and versions
/// that told may be gone.
fn is_as_found_wrong(entry: &Entry, content: &Content) -> bool {
    entry.reported().is_some_and(|reported| {
        reported.content.as_ref() == Some(content) && entry.chain.newest().arrival <= reported.floor
    })
}

/// Whether a version is newer than all before it.
fn is_ordered(entry: &Entry, floor: usize) -> bool {
    entry.unordered_to().is_none_or(|to| entry.chain.versions()[floor].arrival > to)
}

/// From the one that is demanded at the floor on every version is allowed; without an order among partitions, the newest of each.
fn is_allowed(entry: &Entry, (demanded, floor): (usize, usize), index: usize) -> bool {
    let versions = entry.chain.versions();
    if is_ordered(entry, demanded) {
        return index >= demanded;
    }
    let of = versions[index].partition;
    let overtakes = |later: &Version| later.partition == of && !later.is_left_out();
    index >= floor || !versions[index + 1..=floor].iter().any(overtakes)
}

/// Whether a version between this one and the floor was coalesced, and may have been demanded.
fn is_overtaken(entry: &Entry, index: usize, floor: usize) -> bool {
    let versions = entry.chain.versions();
    index < floor
        && entry.hole().is_some()
        && versions[floor].arrival.0.wrapping_sub(versions[index].arrival.0) as usize != floor - index
}
