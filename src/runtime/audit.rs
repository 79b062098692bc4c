//! `audit`: a range of the tap, judged to its end.
#![expect(clippy::disallowed_methods, reason = "it is looked now and then whether every verdict is there")]

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::Evidence;
use crate::engine::tally::{PartitionTally, Tally};
use crate::model::finding::{Kind, State};
use crate::model::position::PartitionName;
use crate::model::{Key, PartitionId, TableId};
use crate::report;
use crate::report::document::Document;
use crate::report::life::is_key;
use crate::report::summary::{GoesOn, Reached, SCHEMA, Span, Summary, Unverified};
use crate::report::unverified::UnverifiedRange;
use crate::tap::{Behind, Partitions};

use super::alerting::{self, Alerts};
use super::clock::Clock;
use super::crash;
use super::decoding::Passed;
use super::driver::TapState;
use super::entry::{AuditArgs, Failure, Filter, Outcome, OutputFormat};
use super::findings::writing;
use super::incarnation;
use super::ingest::{Counts, RangeCounts};
use super::job::{Job, Judged, Next, Noted};
use super::pipeline::{Running, Start};
use super::progress::{Beside, Picture, Progress};
use super::record::{Gathered, Sink};
use super::settings::{self, Read};
use super::tables::Tables;
use super::window::{Asked, Overtaken, Selection, Window};

/// How often it is looked whether everything has its verdict.
const LOOK: Duration = Duration::from_millis(200);

/// Why an audit stopped waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Every change has its verdict.
    Judged,
    /// The tap failed for good before the end of the range.
    CutOff,
    /// What was waited for did not come.
    TimedOut,
    /// The time given for the whole was over.
    OutOfTime,
    /// There are more findings than the user wants.
    Enough,
    /// A signal, or a panic.
    Stopped,
    /// Several servers answer: their rows say nothing together.
    Refused,
}

pub(super) async fn audit(args: AuditArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let clock = Clock::start();
    let args = tokio::task::block_in_place(|| incarnation::chosen(args, clock))?;
    let (mut job, judged) = Job::find(&args, clock).await;
    let asked =
        Asked { condition: args.row_filter.clone(), ops: args.filter.ops.clone(), as_of: args.as_of, docket: None };
    let noted = Noted::default();
    let window = Window::new(asked, judged, noted.clone());
    let ended = judge(&args, window, (&mut job, &noted), clock).await?;
    let findings = listed(&ended.gathered, &args.filter, &ended.selection);
    let summary = summary(&Facts::of(&ended, &args, &findings, (job.goes_on(), clock.elapsed())));
    let healed = over(&ended.gathered, &args.filter, &ended.selection);
    job.keep_findings(&findings, &healed, &alerting::routes(&args.config.alerts)).await;
    job.end(ended.end.then()).await;
    write(&args, &findings, &summary, out)?;
    Ok(outcome(&args, &findings, &summary))
}

/// The same for whoever prints nothing and may not go on with it: what was found, what came of the range, and whether it is well.
///
/// # Errors
/// What kept it from reading or judging at all.
pub(super) async fn by_the_clock(args: &AuditArgs) -> Result<(Vec<Document>, Summary, Outcome), Failure> {
    let (clock, noted) = (Clock::start(), Noted::default());
    let window = Window::new(Asked::default(), Judged::default(), noted.clone());
    let ended = judge(args, window, (&mut Job::kept_nowhere(clock), &noted), clock).await?;
    let findings = listed(&ended.gathered, &args.filter, &ended.selection);
    let summary = summary(&Facts::of(&ended, args, &findings, (None, clock.elapsed())));
    let outcome = outcome(args, &findings, &summary);
    Ok((findings, summary, outcome))
}

/// A range, judged as far as it went.
pub(super) struct Ended {
    pub(super) end: End,
    pub(super) tally: Option<Tally>,
    pub(super) range: RangeCounts,
    pub(super) partitions: Partitions,
    pub(super) tables: Arc<Tables>,
    pub(super) gathered: Gathered,
    selection: Selection,
    counts: Arc<Counts>,
}

/// Judges a range to its end. Findings stay in memory.
///
/// # Errors
/// What kept it from reading or judging at all.
pub(super) async fn judge(
    args: &AuditArgs,
    window: Window,
    (job, noted): (&mut Job, &Noted),
    clock: Clock,
) -> Result<Ended, Failure> {
    let gathered: Arc<Mutex<Gathered>> = Arc::default();
    let live = !settings::applied(&args.pipeline).contains(&Evidence::Assumed);
    let start = Start {
        pipeline: &args.pipeline,
        read: Read::Range { from: args.range.from.clone(), to: args.range.to.clone(), behind: Behind::Read },
        sink: Sink::Memory(Arc::clone(&gathered)),
        alerts: Alerts::default(),
        window: Some(window),
        clock,
        since: job.started(),
    };
    let running = Running::start(start).await?;
    let mut waiting = Waiting { args, running: &running, clock, live, gathered: &gathered, job, noted };
    let end = waiting.wait().await;
    if let Some(why) = running.target.refusal() {
        running.stop().await;
        return Err(Failure::new(why));
    }
    let range = running.counts.range();
    let tally = running.tally_now(range.ends.clone()).await;
    running.flush().await;
    let (partitions, tables, counts) =
        (running.picture.partitions.clone(), Arc::clone(&running.picture.tables), Arc::clone(&running.counts));
    let crash = running.picture.crash().cloned();
    running.stop().await;
    if let Some(crash) = crash {
        return Err(crash::failure(&args.pipeline.name, &crash));
    }
    let gathered = std::mem::take(&mut *gathered.lock().unwrap_or_else(PoisonError::into_inner));
    let selection = std::mem::take(&mut *counts.selection.lock().unwrap_or_else(PoisonError::into_inner));
    Ok(Ended { end, tally, range, partitions, tables, gathered, selection, counts })
}

/// What was asked for and is not over, oldest first.
fn listed(gathered: &Gathered, filter: &Filter, selection: &Selection) -> Vec<Document> {
    let is_over = |finding: &Document| matches!(finding.state, State::Healed | State::Retracted);
    let mut listed: Vec<Document> =
        asked_for(gathered, filter, selection).filter(|finding| !is_over(finding)).cloned().collect();
    listed.sort_by(|left, right| (left.first_seen, &left.id).cmp(&(right.first_seen, &right.id)));
    listed
}

/// What was asked for and is right by now.
fn over(gathered: &Gathered, filter: &Filter, selection: &Selection) -> Vec<Document> {
    let healed = asked_for(gathered, filter, selection).filter(|finding| finding.state == State::Healed);
    healed.cloned().collect()
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

/// The findings that were asked for.
fn asked_for<'g>(
    gathered: &'g Gathered,
    filter: &'g Filter,
    selection: &'g Selection,
) -> impl Iterator<Item = &'g Document> {
    let tells = |id: &String| gathered.keys.get(id).is_none_or(|key| selection.tells(*key));
    let asked = gathered.findings.iter().filter(move |(id, finding)| admits(filter, finding) && tells(id));
    asked.map(|(_, finding)| finding)
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

/// What is waited for, and what is shown meanwhile.
struct Waiting<'a> {
    args: &'a AuditArgs,
    running: &'a Running,
    clock: Clock,
    /// The applier still works: what nothing proves may be proven yet.
    live: bool,
    gathered: &'a Mutex<Gathered>,
    job: &'a mut Job,
    noted: &'a Noted,
}

impl Waiting<'_> {
    /// Waits until every change of the range has its verdict, at most `max_wait` without progress after its end was reached; on
    /// a live tap, at most `max_wait` in all from there on.
    async fn wait(&mut self) -> End {
        let mut progress = Progress::new(self.args.progress);
        let (mut since, mut least) = (None, usize::MAX);
        let end = loop {
            let now = self.clock.elapsed();
            if *self.running.picture.tap.borrow() == TapState::Closed {
                break End::CutOff;
            }
            if self.running.target.refusal().is_some() {
                break End::Refused;
            }
            if self.running.picture.crash().is_some() {
                break End::Stopped;
            }
            if self.has_enough() {
                break End::Enough;
            }
            let tally = self.tally_once_read().await;
            if tally.as_ref().is_some_and(|tally| is_judged(tally, &self.running.counts.range())) {
                break End::Judged;
            }
            if let Some(pending) = tally.as_ref().map(pending) {
                let moves = pending < least && !self.live;
                least = least.min(pending);
                since = since.filter(|_| !moves).or(Some(now));
            }
            let left = since.map(|since: Duration| self.args.max_wait.saturating_sub(now.saturating_sub(since)));
            if self.args.max_time.is_some_and(|most| now >= most) {
                break End::OutOfTime;
            }
            if left == Some(Duration::ZERO) {
                break End::TimedOut;
            }
            self.job.keep(self.noted, &self.running.picture.partitions, now).await;
            progress.show(now, || self.picture(now, left));
            if let Some(tally) = tally.filter(|_| self.live)
                && let Err(failure) = self.running.follow_on(&self.args.pipeline, &tally)
            {
                tracing::debug!("{failure}");
            }
            tokio::select! {
                () = self.args.stop.cancelled() => break End::Stopped,
                () = tokio::time::sleep(LOOK) => {}
            }
        };
        progress.end();
        end
    }

    /// The picture of the range, once all of it was read.
    async fn tally_once_read(&self) -> Option<Tally> {
        if *self.running.picture.tap.borrow() < TapState::Ended {
            return None;
        }
        self.running.tally_now(self.running.counts.range().ends).await
    }

    /// Whether more was found than the user wants; the same of the same findings, however fast they came.
    fn has_enough(&self) -> bool {
        let Some(most) = self.args.max_findings else { return false };
        self.found() as u64 > most
    }

    fn found(&self) -> usize {
        let gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        let selection = self.running.counts.selection.lock().unwrap_or_else(PoisonError::into_inner);
        asked_for(&gathered, &self.args.filter, &selection).filter(|finding| is_found(finding)).count()
    }

    fn picture(&self, elapsed: Duration, left: Option<Duration>) -> Picture {
        let tally = self.running.picture.tally.borrow().clone();
        Picture::of(&tally, &self.running.picture.partitions, Beside { elapsed, findings: self.found(), left })
    }
}

fn is_found(finding: &Document) -> bool {
    match finding.state {
        State::Suspected | State::Healed | State::Retracted => false,
        State::Open | State::Acknowledged | State::Ignored => true,
    }
}

fn pending(tally: &Tally) -> usize {
    tally.partitions.iter().map(|partition| partition.pending).sum()
}

/// Nothing of the range is without a verdict. Where more than it was read, newer versions of its keys may still be suspect.
fn is_judged(tally: &Tally, range: &RangeCounts) -> bool {
    let goes_on = |mark: &PartitionTally| range.ends.get(&mark.partition).is_some_and(|end| mark.consumed > *end);
    pending(tally) == 0 && (tally.suspects == 0 || tally.partitions.iter().any(goes_on))
}

/// Changes of the range that are not judged, if the user asked for their table: because it has no counterpart, because nothing
/// tells whether they were asked for, or because the range's end cannot be told of any more.
fn not_judged(
    filter: &Filter,
    (range, selection): (&RangeCounts, &Selection),
    tables: &Tables,
) -> Vec<(PartitionId, Passed, String)> {
    let asked = |table: TableId| {
        let name = tables.tap_name(table);
        (filter.tables.is_empty() || filter.tables.iter().any(|asked| **asked == *name)).then_some(name)
    };
    let unmapped = |((partition, table), passed): (&(PartitionId, TableId), &Passed)| {
        let name = asked(*table)?;
        Some((*partition, *passed, format!("`{name}` is not judged: {}", tables.why_not(*table))))
    };
    let untold = |((partition, table), passed): ((PartitionId, TableId), Passed)| {
        let (name, count) = (asked(table)?, passed.count);
        let (changes, do_not) = if count == 1 { ("change", "does not") } else { ("changes", "do not") };
        Some((partition, passed, format!("{count} {changes} of `{name}` {do_not} tell whether --where holds")))
    };
    let overtaken = |((partition, table), overtaken): ((PartitionId, TableId), Overtaken)| {
        let (name, count) = (asked(table)?, overtaken.passed.count);
        let (keys, their) = if count == 1 { ("key", "it") } else { ("keys", "them") };
        let why = format!(
            "{count} {keys} of `{name}` changed behind the range, so what its end demanded of {their} cannot be told: {}",
            named(&overtaken, tables)
        );
        Some((partition, overtaken.passed, why))
    };
    let unmapped = range.not_judged.iter().filter_map(unmapped);
    let untold = selection.untold().into_iter().filter_map(untold);
    unmapped.chain(untold).chain(selection.overtaken().into_iter().filter_map(overtaken)).collect()
}

/// Some of the keys, as people read them.
fn named(overtaken: &Overtaken, tables: &Tables) -> String {
    let one = |key: &Key| {
        let cells: Vec<String> = key.cells().iter().map(ToString::to_string).collect();
        let plan = tables.plan(key.table());
        let names: Vec<&str> = plan.iter().flat_map(|plan| plan.key_names()).collect();
        let pairs = cells.iter().enumerate().map(|(at, cell)| format!("{}={cell}", names.get(at).unwrap_or(&"?")));
        format!("({})", pairs.collect::<Vec<_>>().join(", "))
    };
    let mut named: Vec<String> = overtaken.keys.iter().map(one).collect();
    let more = overtaken.passed.count.saturating_sub(named.len() as u64);
    if more > 0 {
        named.push(format!("and {more} more"));
    }
    named.join(", ")
}

struct Facts<'a> {
    tally: Option<&'a Tally>,
    partitions: &'a Partitions,
    findings: &'a [Document],
    unverifiable: &'a [UnverifiedRange],
    not_judged: Vec<(PartitionId, Passed, String)>,
    range: &'a RangeCounts,
    keys: u64,
    records: u64,
    changes: u64,
    rejects: u64,
    /// Keys that the condition chose.
    chosen: Option<u64>,
    max_findings: Option<u64>,
    /// Changes that an earlier process saw applied, and those that were replaced before.
    passed: [u64; 2],
    goes_on: Option<GoesOn>,
    end: End,
    elapsed: Duration,
}

fn summary(facts: &Facts<'_>) -> Summary {
    let marks = facts.tally.map(|tally| tally.partitions.clone()).unwrap_or_default();
    let pending = facts.tally.map_or(0, pending) as u64;
    let counters = facts.tally.map(|tally| tally.counters.clone()).unwrap_or_default();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for finding in facts.findings.iter().filter(|finding| finding.state != State::Suspected) {
        *kinds.entry(finding.kind.word().to_owned()).or_default() += 1;
    }
    let differing = facts.tally.map_or(0, |tally| tally.differing as u64);
    let lagging = differing.min(pending);
    let passed_over: u64 = facts.not_judged.iter().map(|(_, passed, _)| passed.count).sum();
    let unverified = facts.unverified(&marks);
    // Versions behind the range that were given up are nobody's question.
    let given_up = if facts.given_up(&marks).next().is_some() { counters.unverifiable } else { 0 };
    let unverifiable = given_up + passed_over + (pending - lagging);
    let complete = facts.end == End::Judged
        && unverifiable == 0
        && lagging == 0
        && facts.rejects == 0
        && !kinds.contains_key(Kind::CoverageGap.word());
    Summary {
        schema: SCHEMA.to_owned(),
        range: marks.iter().map(|mark| facts.span(mark)).collect(),
        records: facts.records,
        changes: facts.changes,
        keys: facts.keys,
        matched: counters.matched + facts.passed[0],
        superseded: counters.superseded + facts.passed[1],
        lagging,
        unverifiable,
        unverified,
        goes_on: facts.goes_on.clone(),
        chosen: facts.chosen,
        ended_early: facts.ended_early(),
        findings: kinds,
        complete,
        watermarks: marks.iter().map(|mark| facts.reached(mark)).collect(),
        elapsed_s: facts.elapsed.as_secs_f64(),
    }
}

impl<'a> Facts<'a> {
    fn of(
        ended: &'a Ended,
        args: &AuditArgs,
        findings: &'a [Document],
        (goes_on, elapsed): (Option<GoesOn>, Duration),
    ) -> Facts<'a> {
        let Ended { end, tally, range, partitions, tables, gathered, selection, counts } = ended;
        Facts {
            tally: tally.as_ref(),
            partitions,
            findings,
            unverifiable: &gathered.unverifiable,
            not_judged: not_judged(&args.filter, (range, selection), tables),
            chosen: selection.chosen(),
            max_findings: args.max_findings,
            passed: [&counts.passed.0, &counts.passed.1].map(|count| count.load(Ordering::Relaxed)),
            goes_on,
            range,
            keys: counts.keys.load(Ordering::Relaxed),
            records: counts.records.load(Ordering::Relaxed),
            changes: counts.changes.load(Ordering::Relaxed),
            rejects: counts.rejects.load(Ordering::Relaxed),
            end: *end,
            elapsed,
        }
    }

    fn ended_early(&self) -> Option<String> {
        match self.end {
            End::OutOfTime => Some("the time of --max-time was over".to_owned()),
            End::Enough => Some(format!("there are more than {} findings", self.max_findings.unwrap_or_default())),
            End::Stopped => Some("it was stopped".to_owned()),
            End::CutOff => Some("the tap failed".to_owned()),
            End::Judged | End::TimedOut | End::Refused => None,
        }
    }

    fn span(&self, mark: &PartitionTally) -> Span {
        let PartitionName { topic, partition } = self.partitions.name(mark.partition);
        let to = self.range.ends.get(&mark.partition).copied().unwrap_or(mark.consumed);
        Span { topic: topic.to_string(), partition, from: mark.start, to: to.max(mark.start) }
    }

    fn reached(&self, mark: &PartitionTally) -> Reached {
        let PartitionName { topic, partition } = self.partitions.name(mark.partition);
        Reached { topic: topic.to_string(), partition, verified: mark.verified }
    }

    /// What the judge gave up of the range.
    fn given_up(&self, marks: &[PartitionTally]) -> impl Iterator<Item = &Unverified> {
        let spans: Vec<Span> = marks.iter().map(|mark| self.span(mark)).collect();
        let is_behind = move |one: &&Unverified| {
            let mut own = spans.iter().filter(|span| (&span.topic, span.partition) == (&one.topic, one.partition));
            own.any(|span| one.from >= span.to)
        };
        self.unverifiable.iter().map(|one| &one.range).filter(move |one| !is_behind(one))
    }

    /// Every range that ends without a verdict, and why: what the judge gave up, what is not judged at all, what was still
    /// waited for.
    fn unverified(&self, marks: &[PartitionTally]) -> Vec<Unverified> {
        let given_up = self.given_up(marks).cloned();
        let passed_over =
            self.not_judged.iter().map(|(partition, passed, why)| (*partition, passed.range, why.clone()));
        let waited_for = marks.iter().filter_map(|mark| {
            let Span { from, to, .. } = self.span(mark);
            let from = from.max(mark.verified);
            let why = self.end.why().filter(|_| from < to)?;
            Some((mark.partition, (from, to - 1), why.to_owned()))
        });
        let one = |(partition, range, reason): (PartitionId, (u64, u64), String)| {
            let PartitionName { topic, partition } = self.partitions.name(partition);
            Unverified { topic: topic.to_string(), partition, from: range.0, to: range.1 + 1, reason }
        };
        given_up.chain(passed_over.chain(waited_for).map(one)).collect()
    }
}

impl End {
    /// What the same command does after it.
    fn then(self) -> Next {
        match self {
            End::Judged | End::TimedOut => Next::BeginsAnew,
            End::CutOff | End::OutOfTime | End::Enough | End::Stopped | End::Refused => Next::GoesOn,
        }
    }

    /// Why what is open has no verdict.
    pub(super) fn why(self) -> Option<&'static str> {
        match self {
            End::Judged => None,
            End::OutOfTime => Some("the time of --max-time was over before all of it was judged"),
            End::Enough => Some("there were more findings than --max-findings before all of it was judged"),
            End::TimedOut => Some("the time given was over before all of it was proven applied or lost"),
            End::CutOff => Some("the tap failed before all of it was read"),
            End::Refused => Some("several servers answered, so their rows say nothing together"),
            End::Stopped => Some("the audit was stopped before all of it was judged"),
        }
    }
}
