//! Looks again at findings about rows: reads the target's rows now, and what the tap says of their keys by now.
//!
//! Findings come in windows of bounded size; of each key the newest versions are kept. A row that is what a later version left,
//! or the expected one, ends its finding; a row that is neither leaves it as it is, and that it was never true is never said.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use crate::canon::{COUNT, Compared};
use crate::config::Pipeline;
use crate::engine::event::Seen;
use crate::model::finding::{Act, Finding, Observed, State, Subject};
use crate::model::position::PartitionName;
use crate::model::{Columns, Key, Op, PartitionId, Position, TableId, Tick, Wall};
use crate::report::compose::Context as _;
use crate::report::document::{Document, Place};
use crate::report::life::Event;
use crate::report::revive::Directory;
use crate::tap::Partitions;
use crate::target::{Target, TargetError};

use super::clock::Clock;
use super::context::PipelineContext;
use super::entry::Failure;
use super::heard::{Version, Versions, from};
use super::look;
use super::mapping::PlanRules;
use super::tables::{Carries, Mapped, Table, Tables};
use super::twin::Beside;

/// Findings looked at together: one reading of the tap serves all of them, and their newest versions fit tens of MB.
pub(super) const WINDOW: usize = 5_000;

/// Keys of one statement.
const KEYS: usize = 100;

/// What came of looking again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(super) enum Looked {
    /// It is.
    StillTrue {
        /// The version that the row is now, where it is a known one.
        equals: Option<String>,
    },
    /// The row is the one that was expected: applied late, or put right by hand.
    Healed {
        /// The version that it is.
        by: String,
    },
    /// The row is what a later version demands.
    Superseded {
        /// That version.
        by: String,
    },
    /// Nothing of the target stands for the table any more.
    GoneFromMapping {
        /// Why.
        why: String,
    },
    /// It cannot be told; the finding stays as it is.
    Unclear {
        /// Why.
        why: String,
    },
}

impl Looked {
    /// Whether the finding is over.
    pub(super) fn is_over(&self) -> bool {
        match self {
            Looked::Healed { .. } | Looked::Superseded { .. } => true,
            Looked::StillTrue { .. } | Looked::GoneFromMapping { .. } | Looked::Unclear { .. } => false,
        }
    }
}

/// A finding, and what came of it.
pub(super) struct Told {
    pub(super) document: Document,
    pub(super) looked: Looked,
    /// Whether the target had a row of the key; `None` where it was not read.
    pub(super) available_in_target: Option<bool>,
    /// What the source says.
    pub(super) beside: Beside,
    /// As it is to be recorded; `None` where nothing is new.
    pub(super) statement: Option<Document>,
}

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// Rows, and the tap only for those that are neither as expected nor as they were.
    Rows,
    /// The same, and the source beside the rows.
    Beside,
    /// Rows, the source and the tap.
    Tap,
}

/// Looks at the findings of one pipeline.
pub(super) struct Looker<'p> {
    pub(super) pipeline: &'p Pipeline,
    pub(super) target: Target,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
    pub(super) tables: Arc<Tables>,
    pub(super) partitions: Partitions,
    context: PipelineContext,
    rules: PlanRules,
    /// The source, once it has answered.
    pub(super) source: OnceCell<Target>,
}

/// A finding in terms of this process.
pub(super) struct Case {
    pub(super) document: Document,
    pub(super) table: Arc<Table>,
    pub(super) key: Key,
    finding: Finding,
}

struct Names<'a, 'p> {
    looker: &'a Looker<'p>,
}

impl Directory for Names<'_, '_> {
    fn table(&self, name: &str) -> Option<TableId> {
        Some(self.looker.tables.id(&name.into()))
    }

    fn partition(&self, name: &PartitionName) -> Option<PartitionId> {
        self.looker.partitions.id(name)
    }

    fn tick(&self, _at: Wall) -> Tick {
        Tick(0)
    }
}

impl<'p> Looker<'p> {
    pub(super) fn new(pipeline: &'p Pipeline, target: Target, stop: CancellationToken) -> Looker<'p> {
        let (tables, partitions, clock) = (Arc::<Tables>::default(), Partitions::default(), Clock::start());
        let context = PipelineContext::new(pipeline, Arc::clone(&tables), partitions.clone(), clock);
        let rules = PlanRules::of(pipeline, partitions.clone());
        let source = OnceCell::new();
        Looker { pipeline, target, clock, stop, tables, partitions, context, rules, source }
    }

    /// Looks at all of these, at most [`WINDOW`].
    ///
    /// # Errors
    /// When the target or the tap cannot be read.
    pub(super) async fn look(&self, documents: Vec<Document>, depth: Depth) -> Result<Vec<Told>, Failure> {
        self.map(&documents).await?;
        let (mut told, mut cases) = (Vec::with_capacity(documents.len()), Vec::new());
        for document in documents {
            match self.case(&document) {
                Ok(case) => cases.push(case),
                Err(looked) => told.push(self.told(document, looked, (None, Beside::Unasked), None)),
            }
        }
        cases = match depth {
            Depth::Rows | Depth::Beside => self.by_rows(cases, depth, &mut told).await?,
            Depth::Tap => cases,
        };
        if cases.is_empty() {
            return Ok(told);
        }
        // The tap first: what is read after it cannot be older.
        let mut versions = Versions::of(cases.iter().map(|case| &case.key));
        tokio::task::block_in_place(|| self.hear(&mut versions, &from(&cases)))?;
        let seen = self.sides(&cases, depth, &mut versions).await?;
        for (case, (seen, beside)) in cases.into_iter().zip(seen) {
            let looked = self.judge(&case, &seen, &versions);
            told.push(self.judged(case, looked, (&seen, beside)));
        }
        Ok(told)
    }

    /// Decides what rows alone tell, and gives back the rest.
    async fn by_rows(&self, cases: Vec<Case>, depth: Depth, told: &mut Vec<Told>) -> Result<Vec<Case>, Failure> {
        let (nothing, mut rest) = (Versions::default(), Vec::new());
        let mut meanwhile = Versions::of(cases.iter().map(|case| &case.key));
        let seen = self.sides(&cases, depth, &mut meanwhile).await?;
        for (case, (seen, beside)) in cases.into_iter().zip(seen) {
            let looked = self.judge(&case, &seen, &nothing);
            match (&looked, is_as_it_was(&self.context, &case.document, &seen)) {
                (Looked::Unclear { .. }, true) => {
                    let equals = matched(&case.document);
                    told.push(self.judged(case, Looked::StillTrue { equals }, (&seen, beside)));
                }
                (Looked::Unclear { .. }, false) => rest.push(case),
                (_, _) => told.push(self.judged(case, looked, (&seen, beside))),
            }
        }
        Ok(rest)
    }

    /// Finds the counterpart of each table that was not met yet.
    async fn map(&self, documents: &[Document]) -> Result<(), Failure> {
        for document in documents {
            let (Some(name), Some(key)) = (&document.table, &document.key) else { continue };
            let name: Arc<str> = name.as_str().into();
            if self.tables.mapped(&name).is_some() {
                continue;
            }
            let topic = document.expected.as_ref().map_or("", |expected| &expected.at.topic);
            let columns = Columns(key.keys().map(|name| name.as_str().into()).collect());
            let id = self.tables.id(&name);
            let record = Carries { key: Some(&columns), row: None };
            let made = self.rules.make(&self.target, (id, &name, topic), record, BTreeMap::new()).await;
            self.tables.set(id, made.map_err(no_target)?);
        }
        Ok(())
    }

    pub(super) fn case(&self, document: &Document) -> Result<Case, Looked> {
        let name = document.table.as_deref().unwrap_or_default();
        let table = match self.tables.mapped(name) {
            Some(Mapped::Judged(table)) => table,
            Some(Mapped::NotJudged(why)) => return Err(Looked::GoneFromMapping { why: why.to_string() }),
            None => return Err(Looked::GoneFromMapping { why: "it names no table".to_owned() }),
        };
        if document.columns.iter().any(|column| column.name == COUNT) {
            return Err(Looked::Unclear { why: "its table has no key: `run` counts its rows again".to_owned() });
        }
        let why = || Looked::Unclear { why: "its key was kept by another version of afterimage".to_owned() };
        let finding = document.revive(&Names { looker: self }).ok_or_else(why)?;
        let Subject::Row { key, .. } = &finding.subject else { return Err(why()) };
        let key = key.clone();
        Ok(Case { document: document.clone(), table, key, finding })
    }

    /// The rows of the cases, in their order.
    pub(super) async fn read(&self, cases: &[&Case]) -> Result<Vec<Seen>, Failure> {
        let mut by_table: BTreeMap<TableId, Vec<usize>> = BTreeMap::new();
        for (index, case) in cases.iter().enumerate() {
            by_table.entry(case.table.id).or_default().push(index);
        }
        let mut seen: BTreeMap<usize, Seen> = BTreeMap::new();
        for indexes in by_table.values().flat_map(|indexes| indexes.chunks(KEYS)) {
            let keys: Vec<Key> = indexes.iter().map(|index| cases[*index].key.clone()).collect();
            let Some(table) = indexes.first().map(|index| &cases[*index].table) else { continue };
            let rows = self.target.lookup(&look::ask(table, &keys)).await.map_err(no_target)?;
            for (index, rows) in indexes.iter().zip(rows) {
                seen.insert(*index, look::seen(table, &cases[*index].key, rows));
            }
        }
        Ok((0..cases.len()).map(|index| seen.remove(&index).unwrap_or(Seen::Incomparable)).collect())
    }

    fn judge(&self, case: &Case, seen: &Seen, versions: &Versions) -> Looked {
        let Subject::Row { expected, latest, .. } = &case.finding.subject else {
            return Looked::Unclear { why: "it is not about a row".to_owned() };
        };
        if *seen == Seen::Incomparable {
            return Looked::Unclear { why: "the row found there has another key".to_owned() };
        }
        let lost = latest.unwrap_or(expected.at).max(expected.at);
        let known = versions.known(&case.key);
        let later = |version: &&Version| version.at.partition == lost.partition && version.at.offset > lost.offset;
        let newest = known.last().filter(|newest| later(newest));
        if let Some(newest) = newest.filter(|newest| is_it(case, seen, newest)) {
            return Looked::Superseded { by: self.place(newest.at) };
        }
        let was = is_as_it_was(&self.context, &case.document, seen);
        let past = known.iter().rev().filter(later).find(|version| !was && is_it(case, seen, version));
        if let Some(past) = past {
            return Looked::Superseded { by: self.place(past.at) };
        }
        let own = known.iter().rev().find(|version| version.at == lost);
        let expected = Version { at: expected.at, op: expected.op, row: expected.row.clone() };
        let own = own.or(latest.is_none().then_some(&expected));
        if let Some(own) = own.filter(|own| (newest.is_none() || !was) && is_it(case, seen, own)) {
            return Looked::Healed { by: self.place(own.at) };
        }
        if case.table.filter.is_some() {
            return Looked::Unclear { why: "which of its rows the applier carries is told while it runs".to_owned() };
        }
        if !versions.is_whole() {
            return Looked::Unclear { why: "what the tap says of the key by now could not be read".to_owned() };
        }
        let equals = known.iter().rev().find(|version| is_it(case, seen, version));
        let equals = equals.map(|version| self.place(version.at));
        Looked::StillTrue { equals: equals.or_else(|| was.then(|| matched(&case.document)).flatten()) }
    }

    fn place(&self, at: Position) -> String {
        let PartitionName { topic, partition } = self.partitions.name(at.partition);
        Place { topic: topic.to_string(), partition, offset: at.offset }.to_string()
    }

    fn judged(&self, case: Case, looked: Looked, (seen, beside): (&Seen, Beside)) -> Told {
        let (row, available) = match seen {
            Seen::Row { row, .. } | Seen::Several { row, .. } => (Some(Arc::clone(row)), Some(true)),
            Seen::Absent => (None, Some(false)),
            Seen::Incomparable => (None, None),
        };
        let is_true = matches!(looked, Looked::StillTrue { .. });
        let Case { document, mut finding, .. } = case;
        if let Subject::Row { observed, .. } = &mut finding.subject {
            let at = self.clock.now();
            let matches = observed.matches.take().filter(|_| is_as_it_was(&self.context, &document, seen));
            *observed = Observed { row, at, matches };
        }
        self.told(document, looked, (available, beside), is_true.then_some(finding))
    }

    /// As it is to be recorded.
    fn told(
        &self,
        document: Document,
        looked: Looked,
        (available_in_target, beside): (Option<bool>, Beside),
        still: Option<Finding>,
    ) -> Told {
        let now = self.context.now();
        let event = |act, note: Option<String>| Event {
            available_in_target,
            matching_with_source: beside.matching(),
            ..Event::ours(act, now, note)
        };
        let over = |act, note: String| Document {
            state: State::Healed,
            healed_at: Some(now),
            last_seen: now,
            history: vec![event(act, Some(beside.added_to(note)))],
            ..document.clone()
        };
        let statement = match &looked {
            Looked::Healed { by } => Some(over(
                Act::Healed,
                format!("the row is the expected one, of {by}: applied late, or put right by hand"),
            )),
            Looked::Superseded { by } => {
                Some(over(Act::Superseded, format!("the row is what a later version left, of {by}")))
            }
            Looked::GoneFromMapping { why } => {
                let history = vec![Event::ours(Act::Unmapped, now, Some(why.clone()))];
                Some(Document { history, ..document.clone() })
            }
            Looked::StillTrue { .. } => still.map(|finding| {
                let observed = Document::of(&finding, &self.context);
                Document {
                    observed: observed.observed,
                    extra: observed.extra,
                    last_seen: now,
                    observations: document.observations.saturating_add(1),
                    history: beside.story().map(|story| event(Act::StillTrue, Some(story))).into_iter().collect(),
                    ..document.clone()
                }
            }),
            Looked::Unclear { .. } => None,
        };
        Told { document, looked, available_in_target, beside, statement }
    }
}

/// Whether the row, or its absence, is what a version left: in every column that is compared, and surely in those that differed.
fn is_it(case: &Case, seen: &Seen, version: &Version) -> bool {
    let leaves_row = !matches!(version.op, Op::Delete | Op::Truncate);
    match (seen, &version.row) {
        (Seen::Absent, _) => !leaves_row,
        (Seen::Row { row, .. }, Some(expected)) if leaves_row => {
            let differed = |name: &str| case.document.columns.iter().any(|column| column.name == name);
            case.table.plan.differ(expected, row).iter().all(|column| match column.outcome {
                Compared::Equal => true,
                Compared::Different => false,
                Compared::Incomparable => !differed(&column.name),
            })
        }
        (Seen::Row { .. } | Seen::Several { .. } | Seen::Incomparable, _) => false,
    }
}

/// The version that the row was when the finding was told last.
fn matched(document: &Document) -> Option<String> {
    let matched = document.observed.as_ref()?.matches.as_ref()?;
    Some(Place { topic: matched.topic.clone(), partition: matched.partition, offset: matched.offset }.to_string())
}

/// Whether the row is as it was when the finding was told last. Where values are withheld, it may be.
fn is_as_it_was(context: &PipelineContext, document: &Document, seen: &Seen) -> bool {
    let was = document.observed.as_ref().and_then(|observed| observed.row.as_ref());
    match (seen, was) {
        (Seen::Absent, None) => true,
        (Seen::Row { row, .. }, Some(was)) => context.values().row(row) == *was,
        (Seen::Several { .. }, Some(_)) => document.kind == crate::model::finding::Kind::DuplicateRow,
        (Seen::Absent, Some(_)) | (Seen::Row { .. } | Seen::Several { .. }, None) | (Seen::Incomparable, _) => false,
    }
}

fn no_target(error: TargetError) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new("the target cannot be read") }
}
