//! `audit`: a range of the tap, judged to its end.
#![expect(clippy::disallowed_methods, reason = "it is looked now and then whether every verdict is there")]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::{Evidence, Start as From};
use crate::engine::tally::Tally;
use crate::model::PartitionId;
use crate::model::finding::State;
use crate::report;
use crate::report::document::Document;
use crate::report::summary::{Reached, SCHEMA, Span, Summary, Unverified};
use crate::tap::Partitions;

use super::clock::Clock;
use super::crash;
use super::driver::TapState;
use super::entry::{AuditArgs, Failure, Filter, Outcome, OutputFormat, ProgressStyle};
use super::findings::writing;
use super::ingest::Window;
use super::pipeline::{Running, Start};
use super::record::{Gathered, Sink};
use super::settings::{self, Read};

/// How often it is looked whether everything has its verdict.
const LOOK: Duration = Duration::from_millis(200);

/// How often a line of progress is printed where there is no terminal.
const LINE: Duration = Duration::from_secs(10);

/// Why an audit stopped waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Every change has its verdict.
    Judged,
    /// The tap failed for good before the end of the range.
    CutOff,
    /// Time was up.
    TimedOut,
    /// A signal, or a panic.
    Stopped,
    /// Several servers answer: their rows say nothing together.
    Refused,
}

pub(super) async fn audit(args: AuditArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let clock = Clock::start();
    let gathered: Arc<Mutex<Gathered>> = Arc::default();
    let live = !settings::applied(&args.pipeline).contains(&Evidence::Assumed);
    let start = Start {
        pipeline: &args.pipeline,
        read: Read::Range { from: args.range.from.clone(), to: From::End.into() },
        sink: Sink::Memory(Arc::clone(&gathered)),
        alerts: Vec::new(),
        window: Some(Window::new(args.range.to.clone())),
        clock,
    };
    let running = Running::start(start).await?;
    let end = wait(&args, &running, clock, live).await;
    if let Some(why) = running.target.refusal() {
        running.stop().await;
        return Err(Failure::new(why));
    }
    let tally = running.tally_now().await;
    running.flush().await;
    let (partitions, counts) = (running.picture.partitions.clone(), Arc::clone(&running.counts));
    let not_judged = counts.not_judged.load(Ordering::Relaxed);
    let crash = running.picture.crash().cloned();
    running.stop().await;
    if let Some(crash) = crash {
        return Err(crash::failure(&args.pipeline.name, &crash));
    }
    let gathered = std::mem::take(&mut *gathered.lock().unwrap_or_else(PoisonError::into_inner));
    let mut findings: Vec<Document> = gathered.findings.into_values().filter(|one| admits(&args.filter, one)).collect();
    findings.retain(|finding| !matches!(finding.state, State::Healed | State::Retracted));
    findings.sort_by(|left, right| (left.first_seen, &left.id).cmp(&(right.first_seen, &right.id)));
    let summary = summary(&Facts {
        tally: tally.as_ref(),
        partitions: &partitions,
        findings: &findings,
        unverifiable: &gathered.unverifiable,
        keys: counts.keys.load(Ordering::Relaxed),
        records: counts.records.load(Ordering::Relaxed),
        changes: counts.changes.load(Ordering::Relaxed),
        rejects: counts.rejects.load(Ordering::Relaxed),
        not_judged,
        end,
        elapsed: clock.elapsed(),
    });
    write(&args, &findings, &summary, out)?;
    Ok(outcome(&args, &findings, &summary))
}

fn outcome(args: &AuditArgs, findings: &[Document], summary: &Summary) -> Outcome {
    let counts = |finding: &&Document| finding.state != State::Suspected && finding.severity >= args.fail_on;
    if !summary.complete {
        Outcome::Incomplete
    } else if findings.iter().any(|finding| counts(&finding)) {
        Outcome::Findings
    } else {
        Outcome::Clean
    }
}

fn write(
    args: &AuditArgs,
    findings: &[Document],
    summary: &Summary,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    let most = args.max_findings.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX));
    let shown = &findings[..findings.len().min(most)];
    report::print(args.format.into(), shown, Some(summary), out).map_err(writing)?;
    out.flush().map_err(writing)?;
    if let Some(path) = &args.report {
        let format = OutputFormat::of_file(path).unwrap_or(args.format);
        let mut file = std::fs::File::create(path).map_err(writing)?;
        report::print(format.into(), shown, Some(summary), &mut file).map_err(writing)?;
        file.sync_all().map_err(writing)?;
    }
    Ok(())
}

/// Whether the user asked for this finding. Findings that are about no table or row always are.
fn admits(filter: &Filter, finding: &Document) -> bool {
    let table = finding.table.as_ref().is_none_or(|table| filter.tables.is_empty() || filter.tables.contains(table));
    let op = finding.expected.as_ref().and_then(|expected| expected.op);
    let op = op.is_none_or(|op| filter.ops.is_empty() || filter.ops.contains(&op));
    let key = finding
        .key
        .as_ref()
        .is_none_or(|key| filter.keys.is_empty() || filter.keys.iter().any(|wanted| is_key(wanted, key)));
    table && op && key
}

/// `COLUMN=VALUE,…`, or the value alone for a key of one column.
pub(super) fn is_key(wanted: &str, key: &report::document::Fields) -> bool {
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let named = |part: &str| {
        part.split_once('=').is_some_and(|(column, value)| key.get(column).is_some_and(|known| text(known) == value))
    };
    let alone = key.len() == 1 && key.values().any(|value| text(value) == wanted);
    alone || wanted.split(',').all(named)
}

/// Waits until every change of the range has its verdict; on a live tap, at most `max_wait` after its end was reached.
async fn wait(args: &AuditArgs, running: &Running, clock: Clock, live: bool) -> End {
    let mut read_at = None;
    let mut shown = clock.elapsed();
    loop {
        let state = *running.picture.tap.borrow();
        let read = state >= TapState::Ended;
        if read && read_at.is_none() {
            read_at = Some(clock.elapsed());
        }
        let tally = if read { running.tally_now().await } else { None };
        match state {
            TapState::Ended if tally.as_ref().is_some_and(is_judged) => return End::Judged,
            TapState::Closed => return End::CutOff,
            TapState::Running | TapState::Ended => {}
        }
        if running.target.refusal().is_some() {
            return End::Refused;
        }
        if running.picture.crash().is_some() {
            return End::Stopped;
        }
        let waited = read_at.map_or(Duration::ZERO, |at| clock.elapsed().saturating_sub(at));
        if waited >= args.max_wait || args.max_time.is_some_and(|most| clock.elapsed() >= most) {
            return End::TimedOut;
        }
        if let Some(tally) = tally.filter(|_| live)
            && let Err(failure) = running.follow_on(&args.pipeline, &tally)
        {
            tracing::debug!("{failure}");
        }
        if args.progress == ProgressStyle::Lines && clock.elapsed().saturating_sub(shown) >= LINE {
            shown = clock.elapsed();
            let tally = running.picture.tally.borrow().clone();
            let pending: usize = tally.partitions.iter().map(|partition| partition.pending).sum();
            tracing::warn!(changes = tally.counters.changes, pending, "auditing");
        }
        tokio::select! {
            () = args.stop.cancelled() => return End::Stopped,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn is_judged(tally: &Tally) -> bool {
    tally.partitions.iter().all(|partition| partition.pending == 0 && partition.consumed >= partition.end)
        && tally.suspects == 0
}

struct Facts<'a> {
    tally: Option<&'a Tally>,
    partitions: &'a Partitions,
    findings: &'a [Document],
    unverifiable: &'a [(PartitionId, (u64, u64), &'static str)],
    keys: u64,
    records: u64,
    changes: u64,
    rejects: u64,
    not_judged: u64,
    end: End,
    elapsed: Duration,
}

fn summary(facts: &Facts<'_>) -> Summary {
    let marks = facts.tally.map(|tally| tally.partitions.clone()).unwrap_or_default();
    let pending: u64 = marks.iter().map(|partition| partition.pending as u64).sum();
    let counters = facts.tally.map(|tally| tally.counters.clone()).unwrap_or_default();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for finding in facts.findings.iter().filter(|finding| finding.state != State::Suspected) {
        *kinds.entry(finding.kind.word().to_owned()).or_default() += 1;
    }
    let differing = facts.tally.map_or(0, |tally| tally.differing as u64);
    let lagging = differing.min(pending);
    let unverifiable = counters.unverifiable + facts.not_judged + (pending - lagging);
    let complete = facts.end == End::Judged
        && unverifiable == 0
        && lagging == 0
        && facts.rejects == 0
        && !kinds.contains_key("coverage_gap");
    let name = |id: PartitionId| facts.partitions.name(id);
    Summary {
        schema: SCHEMA.to_owned(),
        range: marks
            .iter()
            .map(|mark| Span {
                topic: name(mark.partition).topic.to_string(),
                partition: name(mark.partition).partition,
                from: mark.start,
                to: mark.consumed,
            })
            .collect(),
        records: facts.records,
        changes: facts.changes,
        keys: facts.keys,
        matched: counters.matched,
        superseded: counters.superseded,
        lagging,
        unverifiable,
        unverified: unverified(facts),
        findings: kinds,
        complete,
        watermarks: marks
            .iter()
            .map(|mark| Reached {
                topic: name(mark.partition).topic.to_string(),
                partition: name(mark.partition).partition,
                verified: mark.verified,
            })
            .collect(),
        elapsed_s: facts.elapsed.as_secs_f64(),
    }
}

fn unverified(facts: &Facts<'_>) -> Vec<Unverified> {
    facts
        .unverifiable
        .iter()
        .map(|(partition, range, why)| {
            let name = facts.partitions.name(*partition);
            Unverified {
                topic: name.topic.to_string(),
                partition: name.partition,
                from: range.0,
                to: range.1 + 1,
                reason: (*why).to_owned(),
            }
        })
        .collect()
}
