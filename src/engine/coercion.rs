//! 6 ▸ A column that the applier changes in the same way in every row: one finding for the column, none for its rows.
//!
//! A row that is no version of its key, and would be one if the values of some columns were trimmed, cut, shifted, is counted
//! for what would make it so ([`Coercion`]); a row whose value would have shown the same and does not counts against. Six
//! keys with three different values among them, and nine in ten of the rows that could show it, and the column is coerced:
//! that is stated once, and from then on the column is compared by what the coercion leaves of both sides.
//!
//! What an earlier version left may look coerced too. So nothing counts that is a known version, and what few values look like
//! (NULL, zero) counts only where the key's past is known.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use crate::canon::{Weighed, Weight};
use crate::model::finding::{Cause, ColumnDifference, Finding, Kind, Subject};
use crate::model::{Coercion, Key, Op, TableId, Tick};

use super::chain::{Base, Content, Version};
use super::event::Output;
use super::judge::Observation;
use super::keys::{Entry, KeyIx};
use super::limit::{COERCED_COLUMNS, COERCED_KEYS, COERCION_HOLDS, COERCIONS_AT_ONCE, RIGHTS_THAT_END};
use super::state::Engine;

/// Keys that must show a coercion: as many as make a mass.
const SHOWN_LEAST: u32 = 6;

/// Rows that show it for each that could and does not.
const SHOWN_PER_CONTRARY: u32 = 9;

/// Keys that must show one before the cause of a row is told by it.
const NAMED_FROM: u32 = 3;

/// Counts are halved here, so that what is counted was lately.
const LATELY: u32 = 256;

/// Newest versions that a row is weighed against.
const WEIGHED_VERSIONS: usize = 8;

/// Samples that a finding carries.
const SAMPLES: usize = 5;

/// What is counted for one coercion of one column.
#[derive(Debug, Default)]
struct Tally {
    shown: u32,
    contrary: u32,
    /// Keys that showed it lately, by their hashes.
    keys: VecDeque<u64>,
    /// Some of the values that showed it, by their hashes.
    values: BTreeSet<u64>,
    /// Which it was of those that explained a difference: the first erases least.
    rank: usize,
}

impl Tally {
    fn show(&mut self, key: u64, value: u64) {
        if self.keys.contains(&key) {
            return;
        }
        self.keys.push_back(key);
        if self.keys.len() > COERCED_KEYS {
            self.keys.pop_front();
        }
        if self.values.len() < SAMPLES {
            self.values.insert(value);
        }
        self.shown += 1;
        self.age();
    }

    fn oppose(&mut self) {
        self.contrary += 1;
        self.age();
    }

    fn age(&mut self) {
        if self.shown + self.contrary >= LATELY {
            (self.shown, self.contrary) = (self.shown / 2, self.contrary / 2);
        }
    }

    fn prevails(&self) -> bool {
        self.contrary * SHOWN_PER_CONTRARY <= self.shown
    }

    fn convicts(&self, coercion: Coercion) -> bool {
        self.shown >= SHOWN_LEAST && self.values.len() >= coercion.values_wanted() && self.prevails()
    }
}

/// A column that may be coerced.
#[derive(Debug)]
struct Column {
    name: Box<str>,
    first: Tick,
    tallies: BTreeMap<Coercion, Tally>,
    samples: VecDeque<(Key, ColumnDifference)>,
}

fn columns_of(table: TableId) -> RangeInclusive<(TableId, usize)> {
    (table, 0)..=(table, usize::MAX)
}

/// The columns that may be coerced, and those that are.
#[derive(Debug, Default)]
pub(super) struct Coercions {
    columns: BTreeMap<(TableId, usize), Column>,
    /// Tables that wait to be compared otherwise, since when: their rows are not convicted meanwhile.
    waiting: BTreeMap<TableId, Tick>,
    /// Columns that are compared by what a coercion leaves.
    open: BTreeMap<(TableId, Box<str>), Finding>,
    /// What an earlier process said of columns, by their index, and rows that were right since.
    inherited: BTreeMap<(TableId, usize), (Finding, u32)>,
}

impl Coercions {
    /// Whether rows of a table are not to be convicted, because it will be compared otherwise at any moment.
    pub(super) fn holds(&self, table: TableId, now: Tick) -> bool {
        self.waiting.get(&table).is_some_and(|since| now < *since + COERCION_HOLDS)
    }

    fn concerns(&self, table: TableId) -> bool {
        self.columns.range(columns_of(table)).next().is_some()
            || self.inherited.range(columns_of(table)).next().is_some()
    }

    fn asked(&self, table: TableId) -> Vec<(usize, Coercion)> {
        let columns = self.columns.range(columns_of(table));
        columns.flat_map(|((_, index), column)| column.tallies.keys().map(|coercion| (*index, *coercion))).collect()
    }

    /// Columns are numbered anew.
    pub(super) fn replanned(&mut self, table: TableId) {
        self.columns.retain(|(of, _), _| *of != table);
        self.inherited.retain(|(of, _), _| *of != table);
        self.waiting.remove(&table);
    }

    /// The tallies of a column, made at first sight. At the bound the columns that were met first make room.
    fn column(&mut self, table: TableId, weighed: &Weighed, now: Tick) -> &mut Column {
        if self.columns.len() >= COERCED_COLUMNS && !self.columns.contains_key(&(table, weighed.index)) {
            let oldest = self.columns.iter().min_by_key(|(_, column)| column.first).map(|(at, _)| *at);
            oldest.map(|at| self.columns.remove(&at));
        }
        self.columns.entry((table, weighed.index)).or_insert_with(|| Column {
            name: weighed.name.clone(),
            first: now,
            tallies: BTreeMap::new(),
            samples: VecDeque::new(),
        })
    }

    /// The coercion that is proven of some column of a table, if one is.
    fn proven(&self, table: TableId) -> Option<(usize, Coercion)> {
        let best = |column: &Column| {
            let proven = column.tallies.iter().filter(|(coercion, tally)| tally.convicts(**coercion));
            let best = proven.max_by_key(|(_, tally)| {
                (tally.shown, std::cmp::Reverse(tally.contrary), std::cmp::Reverse(tally.rank))
            });
            best.map(|(coercion, _)| *coercion)
        };
        self.columns.range(columns_of(table)).find_map(|((_, index), column)| Some((*index, best(column)?)))
    }
}

impl Engine {
    /// Weighs a row for what the applier does to columns.
    pub(super) fn weigh(&mut self, ix: KeyIx, observation: &Observation<'_>) {
        let Some(entry) = self.keys.get(ix) else { return };
        let table = entry.key.table();
        if self.coercions.holds(table, self.now) {
            return;
        }
        let (Content::Row { placeholder: false, .. }, Some(_)) = (&observation.content, &observation.row) else {
            return;
        };
        let own = self.own_version(entry, observation);
        if own.is_some() && !self.coercions.concerns(table) {
            return;
        }
        let asked = self.coercions.asked(table);
        let (weighed, is_explained, is_past_known) = match own {
            Some(version) => (self.weigh_against(entry, &version, observation, &asked), false, true),
            None => match self.explained(entry, observation, &asked) {
                Some((weighed, past)) => (Some(weighed), true, past),
                None => (self.weigh_against(entry, entry.chain.newest(), observation, &asked), false, false),
            },
        };
        let Some(weighed) = weighed else { return };
        let key = entry.key.clone();
        if own.is_some() {
            self.right_in(table, &weighed);
        }
        for column in weighed {
            self.count(&key, &column, is_explained, is_past_known);
        }
        if is_explained && let Some((index, coercion)) = self.coercions.proven(table) {
            self.coerced(table, index, coercion);
        }
    }

    /// The version whose content a row is; the content may be its even where it says nothing of some columns.
    fn own_version(&self, entry: &Entry, observation: &Observation<'_>) -> Option<Version> {
        let probe = self.probe(&observation.content);
        let base = entry.base().version();
        let mut versions = entry.chain.versions().iter().rev().chain(base.iter());
        versions.find(|version| probe.fits(version)).copied()
    }

    fn weigh_against(
        &self,
        entry: &Entry,
        version: &Version,
        observation: &Observation<'_>,
        asked: &[(usize, Coercion)],
    ) -> Option<Vec<Weighed>> {
        let row = observation.row.as_ref()?;
        let expected = self.images.image(version.at(), &entry.key).and_then(|image| image.row)?;
        let mask = self.masks.get(version.mask);
        let mut weighed = self.images.weigh(&entry.key, &expected, row, asked);
        weighed.retain(|column| mask.has(column.index));
        Some(weighed)
    }

    /// The newest version that a row would be but for coercions, and whether the key's past is known up to it.
    fn explained(
        &self,
        entry: &Entry,
        observation: &Observation<'_>,
        asked: &[(usize, Coercion)],
    ) -> Option<(Vec<Weighed>, bool)> {
        let versions = entry.chain.versions();
        let newest = versions.iter().enumerate().rev().filter(|(_, version)| version.leaves_row());
        newest.take(WEIGHED_VERSIONS).find_map(|(index, version)| {
            let weighed = self.weigh_against(entry, version, observation, asked)?;
            let is_explained = |column: &Weighed| !column.differs || !column.explained.is_empty();
            let differs = weighed.iter().any(|column| column.differs);
            let begins = versions[..=index].iter().any(|version| matches!(version.op, Op::Insert | Op::Read));
            let is_past_known = begins || !matches!(entry.base(), Base::Unknown | Base::Left(..));
            (differs && weighed.iter().all(is_explained)).then_some((weighed, is_past_known))
        })
    }

    fn count(&mut self, key: &Key, weighed: &Weighed, is_explained: bool, is_past_known: bool) {
        let now = self.now;
        let shown = weighed.explained.iter().enumerate().filter(|(_, coercion)| is_past_known || !coercion.is_weak());
        if is_explained && weighed.differs {
            let column = self.coercions.column(key.table(), weighed, now);
            let hash = key.hash128() as u64;
            for (rank, coercion) in shown {
                if column.tallies.len() < COERCIONS_AT_ONCE || column.tallies.contains_key(coercion) {
                    let new = || Tally { rank, ..Tally::default() };
                    column.tallies.entry(*coercion).or_insert_with(new).show(hash, weighed.value);
                }
            }
            let (expected, observed) = (Some(weighed.expected.clone()), weighed.observed.clone());
            column
                .samples
                .push_back((key.clone(), ColumnDifference { name: weighed.name.clone(), expected, observed }));
            if column.samples.len() > SAMPLES {
                column.samples.pop_front();
            }
        }
        let against = weighed.asked.iter().filter(|(_, weight)| *weight == Weight::Contrary);
        let Some(column) = self.coercions.columns.get_mut(&(key.table(), weighed.index)) else { return };
        for (coercion, _) in against {
            if let Some(tally) = column.tallies.get_mut(coercion) {
                tally.oppose();
            }
        }
    }

    /// A column is coerced: that is stated, and whoever makes plans is told.
    fn coerced(&mut self, table: TableId, index: usize, coercion: Coercion) {
        let Some(column) = self.coercions.columns.remove(&(table, index)) else { return };
        let Some(tally) = column.tallies.get(&coercion) else { return };
        let at = (table, column.name.clone());
        // Something else again is done to what was left: of two coercions nothing is left for sure.
        let coercion = if self.coercions.open.contains_key(&at) { Coercion::Any } else { coercion };
        let words = coercion.words();
        let detail = format!("values of `{}` are {words}", column.name);
        let evidence = format!(
            "of {} rows read lately whose value would show it, {} do; the column is compared by what that leaves from now on, and \
             `coercions = {{ {} = \"{coercion}\" }}` in the table's rule accepts it",
            tally.shown + tally.contrary,
            tally.shown,
            column.name
        );
        let (samples, columns) = column.samples.into_iter().unzip();
        let subject = Subject::Column {
            table: self.images.table_name(table),
            column: column.name.clone(),
            detail,
            count: u64::from(tally.shown),
            samples,
            columns,
        };
        let known = self.coercions.inherited.remove(&(table, index)).map(|(finding, _)| finding);
        let known = known.or_else(|| self.coercions.open.remove(&at));
        let first = known.map_or(column.first, |known| known.first_seen);
        let finding = Finding {
            cause: Cause::ColumnCoercion,
            first_seen: first,
            ..Finding::open(Kind::DivergedRow, subject, evidence, self.now)
        };
        self.state(&finding);
        self.coercions.open.insert(at, finding);
        self.coercions.waiting.insert(table, self.now);
        self.say(Output::Coerced { table, column: column.name, coercion });
    }

    /// What an earlier process said of a column of which this one knows the index; `None` where it is not compared as it was
    /// then: that is accepted, or gone.
    pub(super) fn open_column(&mut self, table: TableId, index: Option<usize>, finding: Finding) {
        match index {
            Some(index) => drop(self.coercions.inherited.insert((table, index), (finding, 0))),
            None => self.withdraw(Finding { last_seen: self.now, ..finding }),
        }
    }

    /// Rows that are right in a column end what was said of it before.
    fn right_in(&mut self, table: TableId, weighed: &[Weighed]) {
        for column in weighed.iter().filter(|column| !column.differs) {
            let at = (table, column.index);
            let Some((_, rights)) = self.coercions.inherited.get_mut(&at) else { continue };
            *rights += 1;
            if *rights < RIGHTS_THAT_END {
                continue;
            }
            if let Some((finding, _)) = self.coercions.inherited.remove(&at) {
                self.withdraw(Finding { last_seen: self.now, ..finding });
            }
        }
    }

    /// Whether all that is wrong with a row is what the applier does to other rows' columns too.
    pub(super) fn is_coerced(&self, entry: &Entry, version: &Version, observation: &Observation<'_>) -> bool {
        let table = entry.key.table();
        let Some(weighed) = self.weigh_against(entry, version, observation, &[]) else { return false };
        let is_known = |column: &Weighed| {
            let tallies = self.coercions.columns.get(&(table, column.index)).map(|column| &column.tallies);
            column.explained.iter().any(|coercion| {
                let tally = tallies.and_then(|tallies| tallies.get(coercion));
                tally.is_some_and(|tally| tally.shown >= NAMED_FROM && tally.prevails())
            })
        };
        let mut differing = weighed.iter().filter(|column| column.differs).peekable();
        differing.peek().is_some() && differing.all(is_known)
    }
}
