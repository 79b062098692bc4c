//! `explain`: the story of one key, read from the tap and the target at this moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::config::Evidence;
use crate::decode::Understood;
use crate::engine::event::Seen;
use crate::model::position::PartitionName;
use crate::model::{Change, Key, Op, Row, TableId};
use crate::report::document::{Column, Document, Place};
use crate::report::life::is_key;
use crate::report::story::{self, Story, Told};
use crate::store::Filter as StoreFilter;
use crate::tap::Partitions;
use crate::target::Target;

use super::clock::Clock;
use super::entry::{ExplainArgs, Failure, Outcome, OutputFormat};
use super::evidence::Positions;
use super::findings::{self, writing};
use super::mapping::PlanRules;
use super::pipeline::positions;
use super::range::Reading;
use super::schemas::{ENDS_WITHIN, Patience, Reader, Schemas, Stopped, Waiter};
use super::settings;
use super::tables::{Carries, Mapped, Table};
use super::tell::chain;
use super::{context, look};

/// Versions told at most: the newest ones.
const VERSIONS: usize = 1000;

/// Tables named where the one asked for is not in the range.
const TABLES_NAMED: usize = 20;

/// A change of the key, as it was read.
struct Version {
    name: PartitionName,
    offset: u64,
    change: Change<'static>,
}

/// What the range holds of the key.
#[derive(Default)]
struct Gathered {
    versions: VecDeque<Version>,
    left_out: u64,
    /// Tables met, a few.
    tables: BTreeSet<Arc<str>>,
    key: Option<Row<'static>>,
    topic: Option<Arc<str>>,
    /// Every record of the range was there, and was read.
    whole: bool,
}

pub(super) async fn explain(args: ExplainArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let partitions = Partitions::default();
    let gathered = tokio::task::block_in_place(|| gather(&args, &partitions))?;
    let whole = gathered.whole;
    let story = tell(&args, gathered, &partitions).await?;
    match args.format {
        OutputFormat::Json | OutputFormat::Ndjson => {
            serde_json::to_writer_pretty(&mut *out, &story).map_err(|error| writing(error.into()))?;
            writeln!(out).map_err(writing)?;
        }
        OutputFormat::Table | OutputFormat::Csv | OutputFormat::Markdown | OutputFormat::Junit | OutputFormat::Html => {
            story::tell(&story, out).map_err(writing)?;
        }
    }
    out.flush().map_err(writing)?;
    Ok(if whole && !story.versions.is_empty() { Outcome::Clean } else { Outcome::Incomplete })
}

/// Reads the range, and keeps what is of the key.
fn gather(args: &ExplainArgs, partitions: &Partitions) -> Result<Gathered, Failure> {
    let (tap, range) = (&args.pipeline.tap, &args.range);
    let reading = Reading { command: "explain", tap, range, partitions, stop: &args.stop };
    let (clock, decode) = (Clock::start(), &args.pipeline.decode);
    let schemas = Schemas::of(decode, Waiter::ending("explain", clock, Patience::For(ENDS_WITHIN)))?;
    let mut reader = Reader::new(decode, &args.pipeline.tables, &schemas);
    let mut gathered = Gathered::default();
    let outcome = reading.batches(&clock, |batch| {
        for record in batch.records() {
            let (name, offset) = (partitions.name(record.partition), record.offset);
            match reader.read(&name.topic, record) {
                Ok(Understood::Change(change)) => gathered.take(args, name, offset, change),
                Ok(Understood::KeyChange(pair)) => {
                    let (old, new) = *pair;
                    gathered.take(args, name.clone(), offset, old);
                    gathered.take(args, name, offset, new);
                }
                Ok(Understood::Changes(changes)) => {
                    changes.into_iter().for_each(|change| gathered.take(args, name.clone(), offset, change));
                }
                Ok(Understood::Tombstone | Understood::Control(_) | Understood::Reject(_)) => {}
                Err(Stopped) => return ControlFlow::Break(()),
            }
        }
        ControlFlow::Continue(())
    })?;
    if gathered.topic.is_none() {
        return Err(unknown_table(args, &gathered));
    }
    gathered.whole = outcome == Outcome::Clean && !schemas.gave_up();
    Ok(gathered)
}

impl Gathered {
    fn take(&mut self, args: &ExplainArgs, name: PartitionName, offset: u64, change: Change) {
        if *change.table != *args.table {
            if self.tables.len() < TABLES_NAMED {
                self.tables.insert(change.table);
            }
            return;
        }
        self.topic = Some(Arc::clone(&name.topic));
        if change.op != Op::Truncate {
            let Some(key) = key_of(&change, &args.key) else { return };
            self.key = Some(key);
        }
        if self.versions.len() == VERSIONS {
            self.versions.pop_front();
            self.left_out += 1;
        }
        self.versions.push_back(Version { name, offset, change: change.into_owned() });
    }
}

/// The row that holds the key, if it is the one asked for.
fn key_of(change: &Change, wanted: &str) -> Option<Row<'static>> {
    let row = change.key.as_ref().or(change.after.as_ref()).or(change.before.as_ref())?;
    is_key(wanted, &crate::report::Values::Full.row(row)).then(|| row.clone().into_owned())
}

fn unknown_table(args: &ExplainArgs, gathered: &Gathered) -> Failure {
    let known: Vec<&str> = gathered.tables.iter().map(|table| &**table).collect();
    let hint = match known.is_empty() {
        true => "the range holds no change at all: look further back with `--from`".to_owned(),
        false => format!("the range holds changes of {}", known.join(", ")),
    };
    Failure { hint: Some(hint), ..Failure::new(format!("the range holds no change of `{}`", args.table)) }
}

async fn tell(args: &ExplainArgs, gathered: Gathered, partitions: &Partitions) -> Result<Story, Failure> {
    let committed = applied(args, partitions);
    let mut story = Story {
        schema: story::SCHEMA,
        pipeline: args.pipeline.name.clone(),
        table: args.table.clone(),
        target: None,
        asked: args.key.clone(),
        key: gathered.key.as_ref().map(|key| crate::report::Values::Full.row(key)).unwrap_or_default(),
        versions: Vec::new(),
        left_out: gathered.left_out,
        applied: committed.words,
        observed: story::Seen::Unknown { why: "no version of this key is in the range".to_owned() },
        columns: Vec::new(),
        findings: stored(args).await,
    };
    let values = context::values(&args.pipeline);
    let mut before: Option<&Row> = None;
    for version in &gathered.versions {
        let passed = committed.next.get(&(version.name.topic.to_string(), version.name.partition));
        story.versions.push(Told {
            at: Place {
                topic: version.name.topic.to_string(),
                partition: version.name.partition,
                offset: version.offset,
            },
            op: version.change.op,
            committed_at: version.change.committed_at.map(|at| at.rfc3339()),
            source: version.change.source.as_ref().map(ToString::to_string),
            changed: version.change.after.as_ref().map(|row| changed(before, row)).unwrap_or_default(),
            row: version.change.after.as_ref().map(|row| values.row(row)),
            applied: passed.map(|next| version.offset < *next),
            is_there: false,
        });
        before = version.change.after.as_ref();
    }
    look_at_target(args, &gathered, &mut story).await;
    Ok(story)
}

/// Names of the columns that are not as they were.
fn changed(before: Option<&Row>, after: &Row) -> Vec<String> {
    let was = |name: &str| before.and_then(|before| before.get(name));
    let differs = after.iter().filter(|(name, cell)| !cell.is_unknown() && was(name) != Some(*cell));
    differs.map(|(name, _)| name.to_owned()).collect()
}

/// How far the applier is, in words and by partition.
#[derive(Default)]
struct Progress {
    words: Vec<String>,
    next: BTreeMap<(String, i32), u64>,
}

fn applied(args: &ExplainArgs, partitions: &Partitions) -> Progress {
    let mut progress = Progress::default();
    match positions(&args.pipeline, partitions) {
        Ok(Positions::Group(group)) => {
            let all: Vec<_> = partitions.all().into_iter().map(|(id, _)| id).collect();
            match tokio::task::block_in_place(|| group.committed(&all)) {
                Ok(next) => {
                    for (id, next) in next {
                        let name = partitions.name(id);
                        progress
                            .words
                            .push(format!("the applier committed {name}:{next}: what is before it is applied or lost"));
                        progress.next.insert((name.topic.to_string(), name.partition), next);
                    }
                    if progress.words.is_empty() {
                        progress.words.push("the applier's group has committed nothing yet".to_owned());
                    }
                }
                Err(error) => progress.words.push(chain(&error)),
            }
        }
        Ok(Positions::Query { .. } | Positions::None) => {
            progress.words.extend(settings::applied(&args.pipeline).iter().map(|evidence| match evidence {
                Evidence::Assumed => "assumed: it was stated that all of the tap is applied".to_owned(),
                Evidence::KafkaGroup(_)
                | Evidence::KclLease(_)
                | Evidence::Query(_)
                | Evidence::DmsStatus { .. }
                | Evidence::Heartbeat { .. }
                | Evidence::Inferred => format!("{evidence}: rows tell it while the sidecar runs, one look does not"),
            }));
        }
        Err(failure) => progress.words.push(failure.to_string()),
    }
    progress
}

/// Findings of the key, as far as there is a store.
async fn stored(args: &ExplainArgs) -> Vec<Document> {
    let Ok(store) = findings::open(&args.store).await else { return Vec::new() };
    let (pipeline, table) = (Some(args.pipeline.name.clone()), Some(args.table.clone()));
    let filter = StoreFilter { pipeline, table, ..StoreFilter::default() };
    let of_key = |document: &Document| document.key.as_ref().is_some_and(|key| is_key(&args.key, key));
    findings::listed(&store, filter, of_key, u64::MAX).await.unwrap_or_default()
}

/// Reads the row, and says which version it is.
async fn look_at_target(args: &ExplainArgs, gathered: &Gathered, story: &mut Story) {
    let (Some(key_row), Some(topic)) = (&gathered.key, &gathered.topic) else { return };
    match observe(args, key_row, topic).await {
        Ok((table, seen)) => {
            story.target = Some(table.target_name());
            compare(&table, &seen, gathered, story, args);
        }
        Err(why) => story.observed = story::Seen::Unknown { why },
    }
}

async fn observe(args: &ExplainArgs, key_row: &Row<'_>, topic: &str) -> Result<(Arc<Table>, Seen), String> {
    let target = Target::connect(settings::target(&args.pipeline.target)).await.map_err(|error| chain(&error))?;
    let name: Arc<str> = args.table.as_str().into();
    let rules = PlanRules::of(&args.pipeline, Partitions::default());
    let made = rules
        .make(&target, (TableId(0), &name, topic), Carries { key: Some(&key_row.columns), row: None }, BTreeMap::new())
        .await;
    let table = match made.map_err(|error| chain(&error))? {
        Mapped::Judged(table) => table,
        Mapped::NotJudged(why) => return Err(format!("the table is not judged: {why}")),
    };
    let key: Key = table.plan.key(key_row).map_err(|error| error.to_string())?;
    let rows = target.lookup(&look::ask(&table, std::slice::from_ref(&key))).await.map_err(|error| chain(&error))?;
    let seen = look::seen(&table, &key, rows.into_iter().next().unwrap_or_default());
    Ok((table, seen))
}

fn compare(table: &Table, seen: &Seen, gathered: &Gathered, story: &mut Story, args: &ExplainArgs) {
    let values = context::values(&args.pipeline);
    let clock = Clock::start();
    let at = clock.wall(clock.now()).rfc3339();
    story.observed = match seen {
        Seen::Absent => story::Seen::Absent { at },
        Seen::Row { row, .. } => story::Seen::Row { at, row: values.row(row) },
        Seen::Several { count, .. } => story::Seen::Several { at, count: *count },
        Seen::Incomparable => story::Seen::Unknown { why: "the row found there has another key".to_owned() },
    };
    for (version, told) in gathered.versions.iter().zip(&mut story.versions) {
        told.is_there = look::is_there(table, seen, &version.change);
    }
    let newest = gathered.versions.back().and_then(|version| version.change.after.as_ref());
    if let (Some(expected), Seen::Row { row, .. }) = (newest, seen) {
        let differing = table.plan.differ(expected, row).into_iter();
        let differing = differing.filter(|column| column.outcome == crate::canon::Compared::Different);
        story.columns = differing
            .map(|column| Column {
                name: column.name.to_string(),
                expected: values.text(&column.expected),
                observed: values.text(&column.observed),
            })
            .collect();
    }
}
