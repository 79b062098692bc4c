//! `doctor`: connects to tap and target, and tells what it found and what `run` would do.
#![expect(clippy::disallowed_methods, reason = "a group is looked at twice, a moment apart")]

mod bound;
mod groups;
mod guarantee;
mod letters;
mod progress;
mod report;
mod sample;
mod source;
mod target;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use crate::config::{Evidence, Pipeline, Tap};
use crate::model::position::PartitionName;
use crate::tap::kafka::standing;
use crate::target::AppliedRow;

pub(super) use self::bound::{Pace, bound};
pub(super) use self::guarantee::guarantee;
pub(super) use self::progress::commit_interval;

use super::clock::Clock;
use super::entry::{DoctorArgs, Failure, Outcome, OutputFormat};
use super::findings::writing;
use super::settings;
use super::tell::chain;
use groups::Look;
use progress::{Facts, Shown};
use report::Report;
use sample::Sample;
use target::Examined;

/// How long a group that is behind is watched for a move: several commits of most appliers.
const WATCH: Duration = Duration::from_secs(6);

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
            reports.iter().try_for_each(|report| report.print(out)).map_err(writing)?;
        }
    }
    out.flush().map_err(writing)?;
    let sound = reports.len() == args.config.pipelines.len() && reports.iter().all(|report| report.problems.is_empty());
    Ok(if sound { Outcome::Clean } else { Outcome::Incomplete })
}

async fn examine(pipeline: &Pipeline) -> Report {
    let clock = Clock::start();
    let mut report = Report { pipeline: pipeline.name.clone(), ..Report::default() };
    let (sample, first) = tokio::task::block_in_place(|| {
        let sample = Sample::read(pipeline, &mut report);
        groups::list(pipeline, &mut report);
        letters::look(pipeline, &mut report);
        let first = look(pipeline, &sample, &mut report);
        (sample, first)
    });
    let examined = target::examine(pipeline, &sample, &mut report).await;
    source::examine(pipeline, examined.as_ref(), &mut report).await;
    if let Some(first) = first {
        watch(pipeline, &sample, &first, clock, &mut report).await;
    }
    report.applied = settings::applied(pipeline).iter().map(ToString::to_string).collect();
    report.guarantee = guarantee(pipeline);
    tell_progress(pipeline, &sample, examined, clock, &mut report).await;
    report
}

fn look(pipeline: &Pipeline, sample: &Sample, report: &mut Report) -> Option<Look> {
    groups::look(pipeline, sample.partitions.keys().cloned().collect()).unwrap_or_else(|error| {
        report.problems.push(chain(&error));
        None
    })
}

/// Looks at the group again, a moment later where records wait for it.
async fn watch(pipeline: &Pipeline, sample: &Sample, first: &Look, clock: Clock, report: &mut Report) {
    let mut later = None;
    if !first.waiting().is_empty() {
        tokio::time::sleep(WATCH).await;
        later = tokio::task::block_in_place(|| look(pipeline, sample, report));
    }
    let found = tokio::task::block_in_place(|| first.report(later.as_ref(), clock.wall(clock.now())));
    match found {
        Ok(found) => {
            report.problems.extend(found.problem());
            report.tap.likely_applier.take_if(|likely| *likely == found.name);
            report.group = Some(found);
        }
        Err(error) => report.problems.push(chain(&error)),
    }
}

/// What proves progress now, and within which time a loss is reported.
async fn tell_progress(
    pipeline: &Pipeline,
    sample: &Sample,
    examined: Option<Examined>,
    clock: Clock,
    report: &mut Report,
) {
    let (mut shown, mut query) = (Shown::default(), None);
    if let Some(examined) = &examined {
        match examined.shown(pipeline, sample).await {
            Ok(found) => shown = found,
            Err(error) => report.problems.push(chain(&error)),
        }
        query = ask_query(pipeline, sample, examined, clock).await;
    }
    let options = settings::engine(pipeline);
    let facts = Facts {
        sample,
        group: report.group.as_ref(),
        query,
        shown,
        replica: examined.as_ref().and_then(|examined| examined.replica.as_deref()),
        now: clock.wall(clock.now()),
    };
    let found = progress::progress(pipeline, &options, &facts);
    report.without_evidence = found.unproven;
    report.detection = Some(bound(&options, &found.pace));
}

/// The partitions whose position the user's query returns, and how long the first record behind it has been there.
async fn ask_query(
    pipeline: &Pipeline,
    sample: &Sample,
    examined: &Examined,
    clock: Clock,
) -> Option<Result<BTreeMap<PartitionName, Duration>, String>> {
    let applied = settings::applied(pipeline);
    let sql = applied.iter().find_map(|evidence| match evidence {
        Evidence::Query(sql) => Some(sql.clone()),
        Evidence::DmsStatus { schema, task } => Some(settings::status_query(pipeline, schema, task.as_deref())),
        Evidence::KafkaGroup(_)
        | Evidence::KclLease(_)
        | Evidence::Heartbeat { .. }
        | Evidence::Inferred
        | Evidence::Assumed => None,
    })?;
    let rows = match examined.target.applied(&sql).await {
        Ok(rows) => rows,
        Err(error) => return Some(Err(chain(&error))),
    };
    let now = clock.wall(clock.now());
    let (mut positions, mut late) = (BTreeMap::new(), BTreeMap::new());
    for row in rows {
        match row {
            AppliedRow::Position { topic, partition, next_offset } => {
                positions.insert(PartitionName { topic: topic.into(), partition }, next_offset);
            }
            AppliedRow::Time(at) => {
                late.extend(sample.partitions.keys().map(|name| (name.clone(), groups::age(now, at))));
            }
        }
    }
    let asked = tokio::task::block_in_place(|| waiting_since(pipeline, &positions));
    let since = match asked {
        Ok(since) => since,
        Err(why) => return Some(Err(why)),
    };
    late.extend(positions.into_keys().map(|name| {
        let waits = since.get(&name).map_or(Duration::ZERO, |at| groups::age(now, *at));
        (name, waits)
    }));
    Some(Ok(late))
}

/// When the first record behind each position was appended; positions at the end have none.
fn waiting_since(
    pipeline: &Pipeline,
    positions: &BTreeMap<PartitionName, u64>,
) -> Result<BTreeMap<PartitionName, i64>, String> {
    let Tap::Kafka(kafka) = &pipeline.tap else { return Ok(BTreeMap::new()) };
    let brokers = settings::brokers(kafka);
    let names: Vec<PartitionName> = positions.keys().cloned().collect();
    let ranges = standing::ranges(&brokers, &names).map_err(|error| chain(&error))?;
    let behind = |(name, next): (&PartitionName, &u64)| {
        ranges.get(name).is_some_and(|(_, end)| next < end).then(|| (name.clone(), *next))
    };
    let behind = positions.iter().filter_map(behind).collect();
    standing::appended_at(&brokers, &behind).map_err(|error| chain(&error))
}
