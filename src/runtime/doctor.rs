//! `doctor`: connects to tap and target, and tells what it found and what `run` would do.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use secrecy::ExposeSecret;
use serde::Serialize;

use crate::config::{Evidence, Order, Pipeline, Pooler, QueryTrust, Start, Tap, Topic};
use crate::decode::Understood;
use crate::model::{Change, Columns};
use crate::tap::kafka::{Brokers, evidence};
use crate::tap::{self, Partitions, TapEvent};
use crate::target::{Privileges, Target};

use super::clock::Clock;
use super::entry::{DoctorArgs, Failure, Outcome, OutputFormat};
use super::findings::writing;
use super::mapping::PlanRules;
use super::settings::{self, Read};
use super::tables::{Mapped, Tables};
use super::tell::chain;

/// Records read from the end of each partition to see which tables there are.
const SAMPLE: u64 = 200;

/// How long the tap may take to give them.
const SAMPLE_WITHIN: Duration = Duration::from_secs(20);

/// Everything found about one pipeline.
#[derive(Debug, Default, Serialize)]
struct Report {
    pipeline: String,
    tap: TapReport,
    target: TargetReport,
    tables: Vec<TableReport>,
    applied: Vec<String>,
    guarantee: Vec<String>,
    problems: Vec<String>,
}

#[derive(Debug, Default, Serialize)]
struct TapReport {
    place: String,
    partitions: Vec<String>,
    records_seen: u64,
    rejected: u64,
    first_reject: Option<String>,
    groups: Vec<String>,
    likely_applier: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct TargetReport {
    version: String,
    pooler: String,
    replica: bool,
}

#[derive(Debug, Serialize)]
struct TableReport {
    table: String,
    target: Option<String>,
    key: Vec<String>,
    compared: usize,
    not_compared: Vec<String>,
    permissions: Option<String>,
    not_judged: Option<String>,
}

/// A table as records showed it: its topic, and the columns of its key.
struct SeenTable {
    topic: Arc<str>,
    key: Option<Arc<Columns>>,
}

pub(super) async fn doctor(args: DoctorArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let mut reports = Vec::new();
    for pipeline in &args.config.pipelines {
        if args.stop.is_cancelled() {
            break;
        }
        reports.push(examine(pipeline).await);
    }
    match args.format {
        OutputFormat::Json | OutputFormat::Ndjson => {
            serde_json::to_writer_pretty(&mut *out, &reports).map_err(|error| writing(error.into()))?;
            writeln!(out).map_err(writing)?;
        }
        OutputFormat::Table | OutputFormat::Csv | OutputFormat::Markdown | OutputFormat::Junit | OutputFormat::Html => {
            for report in &reports {
                print(report, out).map_err(writing)?;
            }
        }
    }
    out.flush().map_err(writing)?;
    let sound = reports.iter().all(|report| report.problems.is_empty());
    Ok(if sound { Outcome::Clean } else { Outcome::Incomplete })
}

async fn examine(pipeline: &Pipeline) -> Report {
    let mut report = Report { pipeline: pipeline.name.clone(), ..Report::default() };
    let tables = tokio::task::block_in_place(|| examine_tap(pipeline, &mut report));
    examine_target(pipeline, &tables, &mut report).await;
    report.applied = settings::applied(pipeline).iter().map(ToString::to_string).collect();
    report.guarantee = guarantee(pipeline);
    report
}

fn examine_tap(pipeline: &Pipeline, report: &mut Report) -> BTreeMap<Arc<str>, SeenTable> {
    let clock = Clock::start();
    report.tap.place = match &pipeline.tap {
        Tap::Kafka(kafka) => kafka.brokers.clone(),
        Tap::File(_) => "a file".to_owned(),
    };
    let mut tables = BTreeMap::new();
    let read = Read::Range { from: Start::Tail(SAMPLE).into(), to: Start::End.into() };
    let partitions = Partitions::default();
    let started = settings::tap(&pipeline.tap, read, clock.wall(clock.now()))
        .and_then(|options| tap::start(options, partitions.clone()).map_err(|error| chain(&error)));
    let (events, control) = match started {
        Ok(started) => started,
        Err(problem) => {
            report.problems.push(problem);
            return tables;
        }
    };
    let mut decoder = crate::decode::decoder(&settings::decoder(&pipeline.decode, &pipeline.tables));
    while clock.elapsed() < SAMPLE_WITHIN {
        match events.recv_timeout(SAMPLE_WITHIN.saturating_sub(clock.elapsed())) {
            Ok(TapEvent::Records(batch)) => {
                for record in batch.records() {
                    let name = partitions.name(record.partition);
                    let place = format!("{name} offset {}", record.offset);
                    report.tap.records_seen += 1;
                    let understood = decoder.decode(&name.topic, record);
                    note(understood, &name.topic, &place, report, &mut tables);
                }
            }
            Ok(TapEvent::Failed(error)) => report.problems.push(chain(&error)),
            Ok(TapEvent::Ended) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => break,
            Ok(
                TapEvent::Reached { .. }
                | TapEvent::Assigned { .. }
                | TapEvent::Revoked { .. }
                | TapEvent::Gap { .. }
                | TapEvent::Replaced { .. },
            ) => {}
        }
    }
    control.stop();
    report.tap.partitions = partitions.all().into_iter().map(|(_, name)| name.to_string()).collect();
    if report.tap.partitions.is_empty() {
        report.problems.push("no partition of the tap could be read: check `topics`".to_owned());
    }
    examine_groups(pipeline, report);
    tables
}

fn note(
    understood: Understood,
    topic: &Arc<str>,
    place: &str,
    report: &mut Report,
    tables: &mut BTreeMap<Arc<str>, SeenTable>,
) {
    let mut seen = |change: &Change| {
        let key = change.key.as_ref().map(|key| Arc::clone(&key.columns));
        tables.insert(Arc::clone(&change.table), SeenTable { topic: Arc::clone(topic), key });
    };
    match understood {
        Understood::Change(change) => seen(&change),
        Understood::KeyChange(pair) => seen(&pair.1),
        Understood::Tombstone | Understood::Control(_) => {}
        Understood::Reject(reject) => {
            report.tap.rejected += 1;
            report.tap.first_reject.get_or_insert_with(|| format!("{place}: {}", reject.reason));
        }
    }
}

/// Lists the groups that read the same topics, and the one that looks like the applier: a Connect sink's, else the only
/// other one.
fn examine_groups(pipeline: &Pipeline, report: &mut Report) {
    let Tap::Kafka(kafka) = &pipeline.tap else { return };
    let properties = kafka.properties.iter();
    let brokers = Brokers {
        bootstrap: kafka.brokers.clone(),
        properties: properties.map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect(),
    };
    let topics: Vec<String> = kafka
        .topics
        .iter()
        .map(|topic| match topic {
            Topic::Name(name) => name.clone(),
            Topic::Pattern(pattern) => format!("/{pattern}/"),
        })
        .collect();
    match evidence::groups_on(&brokers, &topics) {
        Ok(groups) => {
            let others: Vec<_> = groups.into_iter().filter(|group| group.group != kafka.group).collect();
            let connect = others.iter().find(|group| group.group.starts_with("connect-"));
            let likely = connect.or(if others.len() == 1 { others.first() } else { None });
            report.tap.likely_applier = likely.map(|group| group.group.clone());
            report.tap.groups = others
                .iter()
                .map(|group| format!("{} ({}, {} members)", group.group, group.state, group.members))
                .collect();
        }
        Err(error) => report.tap.groups.push(format!("groups cannot be listed: {}", chain(&error))),
    }
}

async fn examine_target(pipeline: &Pipeline, seen: &BTreeMap<Arc<str>, SeenTable>, report: &mut Report) {
    let target = match Target::connect(settings::target(&pipeline.target)).await {
        Ok(target) => target,
        Err(error) => {
            report.problems.push(chain(&error));
            return;
        }
    };
    match target.probe().await {
        Ok(probe) => {
            report.target.version = probe.version;
            report.target.replica = probe.replica;
            report.target.pooler = match (probe.transaction_pooler, pipeline.target.pooler) {
                (true, _) => "transaction".to_owned(),
                (false, Pooler::Transaction) => "transaction (declared; none was seen)".to_owned(),
                (false, Pooler::None) => "none".to_owned(),
            };
            report.problems.extend(probe.warnings);
        }
        Err(error) => report.problems.push(chain(&error)),
    }
    let rules = PlanRules::of(pipeline);
    let tables = Tables::default();
    for (name, table) in seen {
        let place = (tables.id(name), name, &*table.topic);
        match rules.make(&target, place, table.key.as_deref()).await {
            Ok(mapped) => {
                let mut table = table_report(name, &mapped);
                if let Mapped::Judged(judged) = &mapped {
                    match target.privileges(judged.plan.meta()).await {
                        Ok(privileges) => table.permissions = Some(permissions(&privileges)),
                        Err(error) => report.problems.push(chain(&error)),
                    }
                }
                report.tables.push(table);
            }
            Err(error) => report.problems.push(chain(&error)),
        }
    }
    let unjudged = report.tables.iter().filter_map(|table| table.not_judged.clone());
    report.problems.extend(unjudged.collect::<Vec<_>>());
}

/// What the session may do to a table, and what of that nothing here needs.
fn permissions(privileges: &Privileges) -> String {
    let reads = if privileges.reads { "may be read" } else { "may not be read: grant SELECT" };
    if privileges.writes.is_empty() {
        return reads.to_owned();
    }
    format!(
        "{reads}, and by {} written, which is never done: a user without them is enough",
        privileges.writes.join(", ")
    )
}

fn table_report(name: &str, mapped: &Mapped) -> TableReport {
    match mapped {
        Mapped::Judged(table) => {
            let left_out = table.plan.not_compared();
            TableReport {
                table: name.to_owned(),
                target: Some(table.target_name()),
                key: table.plan.key_names().map(str::to_owned).collect(),
                compared: table.plan.names().0.len(),
                not_compared: left_out.iter().map(|column| format!("{}: {}", column.column, column.why)).collect(),
                permissions: None,
                not_judged: None,
            }
        }
        Mapped::NotJudged(why) => TableReport {
            table: name.to_owned(),
            target: None,
            key: Vec::new(),
            compared: 0,
            not_compared: Vec::new(),
            permissions: None,
            not_judged: Some(why.to_string()),
        },
    }
}

/// What this setup can promise, in plain words.
pub(super) fn guarantee(pipeline: &Pipeline) -> Vec<String> {
    let options = settings::engine(pipeline);
    let mut words = Vec::new();
    for evidence in settings::applied(pipeline) {
        words.push(match evidence {
            Evidence::KafkaGroup(group) if options.commits == crate::engine::limit::Commits::AfterWrite => {
                format!("the committed offsets of `{group}` convict, a few seconds after a commit where the rows below others were right at first sight: this assumes that it commits after it writes")
            }
            Evidence::KafkaGroup(group) => {
                format!("the committed offsets of `{group}` only let us forget: nothing convicts by them (set `commits = \"after_write\"` if it commits after it writes)")
            }
            Evidence::KclLease(table) => format!("the checkpoints in `{table}`, likewise"),
            Evidence::Query(_) if pipeline.progress.query == QueryTrust::Durable => {
                "exact: the positions of your query are, as you declared, durable and complete: a row below them that is wrong at two reads is lost".to_owned()
            }
            Evidence::Query(_) => "the positions of your query only let us forget: nothing convicts by them (set `query_durable = true` if each is written with the rows below it)".to_owned(),
            Evidence::Heartbeat { table, .. } => {
                format!("heartbeat rows of `{table}` prove progress: detection is bounded by their spacing; a partition without one proves nothing")
            }
            Evidence::Inferred => {
                "progress is inferred from rows seen on the target: this assumes that nobody else writes them, and needs 3 changing keys a partition".to_owned()
            }
            Evidence::Assumed => "you state that all of the tap was applied".to_owned(),
        });
    }
    words.push(match pipeline.progress.order {
        Order::Partition => "the applier is assumed to keep order inside a partition".to_owned(),
        Order::Key if options.commits == crate::engine::limit::Commits::AfterWrite => {
            "nothing but a single key is assumed to be in order: nothing but committed offsets convicts".to_owned()
        }
        Order::Key => {
            "nothing but a single key is assumed to be in order: only content that never was can convict".to_owned()
        }
        Order::Table => {
            "you declare that the applier keeps order inside a table; if that is wrong, findings are wrong".to_owned()
        }
        Order::Pipeline => {
            "you declare that the applier keeps order over the whole pipeline; if that is wrong, findings are wrong"
                .to_owned()
        }
    });
    words.push(format!(
        "what was called applied may still be repaired for {} s (`settle`)",
        options.settle.at_first().as_secs()
    ));
    words
}

fn print(report: &Report, out: &mut (dyn Write + Send)) -> std::io::Result<()> {
    writeln!(out, "pipeline {}", report.pipeline)?;
    writeln!(
        out,
        "  tap        {} ({} partitions, {} records looked at, {} not understood)",
        report.tap.place,
        report.tap.partitions.len(),
        report.tap.records_seen,
        report.tap.rejected
    )?;
    if let Some(reject) = &report.tap.first_reject {
        writeln!(out, "             first not understood: {reject}")?;
    }
    for group in &report.tap.groups {
        writeln!(out, "  group      {group}")?;
    }
    if let Some(group) = &report.tap.likely_applier {
        writeln!(out, "             `{group}` looks like the applier: applied = \"kafka-group:{group}\"")?;
    }
    writeln!(
        out,
        "  target     {} (pooler: {}{})",
        report.target.version,
        report.target.pooler,
        if report.target.replica { ", a replica" } else { "" }
    )?;
    for table in &report.tables {
        match &table.target {
            Some(target) => writeln!(
                out,
                "  table      {} -> {target}, key ({}), {} columns compared",
                table.table,
                table.key.join(", "),
                table.compared
            )?,
            None => writeln!(out, "  table      {} is not judged", table.table)?,
        }
        for column in &table.not_compared {
            writeln!(out, "             not compared: {column}")?;
        }
        if let Some(permissions) = &table.permissions {
            writeln!(out, "             {permissions}")?;
        }
    }
    writeln!(out, "  applied    {}", report.applied.join(", "))?;
    for sentence in &report.guarantee {
        writeln!(out, "             {sentence}")?;
    }
    for problem in &report.problems {
        writeln!(out, "  problem    {problem}")?;
    }
    Ok(())
}
