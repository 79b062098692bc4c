//! The picture of all pipelines: what the web port shows and the gauges say. Read-only; nothing is decided by it.

mod tables;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Pipeline};
use crate::engine::Options;
use crate::engine::limit::{Commits, Margin, Order};
use crate::engine::tally::{Counters, Tally};
use crate::model::{PartitionId, Tick};
use crate::report::compose::Context as _;
use crate::store::{Desk, Store};
use crate::telemetry::Metrics;
use crate::telemetry::event::{self, CheckResult};
use crate::web::view::{Check, CheckState, Health, PartitionStatus, PipelineStatus, ReadStatus, Status};
use crate::web::{self, Site};

use crate::runtime::alerting::{self, Tellers};
use crate::runtime::clock::Clock;
use crate::runtime::doctor;
use crate::runtime::driver::TapState;
use crate::runtime::entry::Failure;
use crate::runtime::picture::Picture;
use crate::runtime::record::StoreState;
use crate::runtime::scheduler::Schedules;
use crate::runtime::settings;

/// How often the picture is renewed.
pub(in crate::runtime) const EVERY: Duration = Duration::from_secs(1);

/// The engine's loop is called stuck when its picture is older than this.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// The senders of what the web port shows.
pub(in crate::runtime) struct Board {
    pub(in crate::runtime) health: watch::Sender<Health>,
    status: watch::Sender<Arc<Status>>,
    tellers: Tellers,
    schedules: Schedules,
    clock: Clock,
    warned: BTreeMap<String, u64>,
    /// By pipeline.
    signs: BTreeMap<String, Signs>,
}

/// Signs of progress in each partition of a pipeline, for the bound of the time to detect.
#[derive(Default)]
struct Signs(BTreeMap<PartitionId, Sign>);

/// How the applied watermark of one partition moved.
#[derive(Clone, Copy)]
struct Sign {
    applied: u64,
    /// When it moved last, or nothing waited for it to.
    moved: Tick,
    /// It was seen to move, or nothing ever waited for it.
    seen: bool,
    /// The longest time in which changes waited for it to move.
    widest: Duration,
}

impl Signs {
    fn note(&mut self, tally: &Tally, now: Tick) {
        for mark in tally.partitions.iter().filter(|mark| mark.assigned) {
            let waits = mark.pending > 0;
            let new = Sign { applied: mark.applied, moved: now, seen: !waits, widest: Duration::ZERO };
            let sign = self.0.entry(mark.partition).or_insert(new);
            sign.widest = sign.widest.max(now.since(sign.moved));
            sign.seen |= mark.applied > sign.applied || !waits;
            if mark.applied > sign.applied || !waits {
                (sign.applied, sign.moved) = (mark.applied, now);
            }
        }
    }

    /// The longest of all; `None` where changes wait and none was ever seen.
    fn widest(&self) -> Option<Duration> {
        self.0
            .values()
            .map(|sign| sign.seen.then_some(sign.widest))
            .try_fold(Duration::ZERO, |widest, one| Some(widest.max(one?)))
    }
}

/// The web port, taken but not yet served.
pub(in crate::runtime) struct Port {
    listener: TcpListener,
    site: Site,
}

impl Board {
    /// A board, and the port that shows it where one is configured.
    ///
    /// # Errors
    /// The port is taken.
    pub(in crate::runtime) async fn new(
        config: &Config,
        store: &Store,
        (metrics, revalidate): (&Metrics, &mpsc::Sender<String>),
    ) -> Result<(Board, Option<Port>), Failure> {
        let clock = Clock::start();
        let started = clock.wall(clock.now()).rfc3339();
        let (health, health_seen) = watch::channel(Health::starting());
        let (status, status_seen) = watch::channel(Arc::new(Status::starting(started)));
        let port = match &config.web {
            None => None,
            Some(web) => {
                let listener = web::bind(web).await;
                let listener = listener.map_err(|error| Failure {
                    source: Some(Box::new(error)),
                    ..Failure::new("the web port cannot be opened")
                })?;
                let site = Site {
                    desk: Desk::new(store.clone(), alerting::routes(&config.alerts)),
                    revalidate: revalidate.clone(),
                    now: Arc::new(move || clock.wall(clock.now())),
                    web: web.clone(),
                    health: health_seen,
                    status: status_seen,
                    store: store.clone(),
                    metrics: metrics.clone(),
                };
                Some(Port { listener, site })
            }
        };
        let (tellers, warned, signs) = (Tellers::default(), BTreeMap::new(), BTreeMap::new());
        let schedules = Schedules::default();
        Ok((Board { health, status, tellers, schedules, clock, warned, signs }, port))
    }

    /// Shows how the channels of alerts are doing.
    pub(in crate::runtime) fn show(&mut self, tellers: Tellers) {
        self.tellers = tellers;
    }

    /// Shows how runs by the clock are doing.
    pub(in crate::runtime) fn show_schedules(&mut self, schedules: Schedules) {
        self.schedules = schedules;
    }

    /// Renews everything.
    pub(in crate::runtime) fn renew(&mut self, pipelines: &[(&Pipeline, Picture)]) {
        let at = self.clock.wall(self.clock.now());
        let started_at = self.status.borrow().started_at.clone();
        let mut status = Status::starting(started_at);
        status.at = at.rfc3339();
        status.alerts = self.tellers.statuses(at);
        let mut health = Health { live: Vec::new(), ready: Vec::new(), started: Vec::new() };
        for (pipeline, picture) in pipelines {
            let tally = picture.tally.borrow().clone();
            gauges(&pipeline.name, picture, &tally);
            check(&pipeline.name, picture, &tally, &mut health);
            let signs = self.signs.entry(pipeline.name.clone()).or_default();
            signs.note(&tally, picture.clock.now());
            let mut one = pipeline_status(pipeline, picture, &tally);
            one.schedules = self.schedules.of(&pipeline.name);
            one.detects_within_s = detects_within(&settings::engine(pipeline), &tally, signs);
            self.warn_once(&one);
            status.pipelines.push(one);
        }
        self.health.send_replace(health);
        self.status.send_replace(Arc::new(status));
    }

    /// Says plainly, once a minute, and at once where rows differ, how much nothing proves.
    fn warn_once(&mut self, status: &PipelineStatus) {
        let Some(would) = &status.would_settle else { return };
        let minute = self.clock.now().0 / 60_000;
        // In the first minute what is merely on its way is no news.
        let is_news = minute > 0 || !status.differing.is_empty();
        if self.warned.get(&status.name) == Some(&minute) || !is_news {
            return;
        }
        self.warned.insert(status.name.clone(), minute);
        tracing::info!(
            pipeline = status.name,
            overdue_unproven = status.overdue_unproven,
            differing = status.differing.join(", "),
            "nothing proves yet that these changes had to be applied; {would}"
        );
    }
}

impl Port {
    /// Serves until `stop`.
    pub(in crate::runtime) async fn serve(self, stop: CancellationToken) {
        if let Err(error) = web::serve(self.listener, self.site, stop).await {
            tracing::error!("the web port failed: {error}");
        }
    }
}

fn check(name: &str, picture: &Picture, tally: &Tally, health: &mut Health) {
    let one = |part: &str, ok: bool, detail: String| Check {
        name: format!("{name}: {part}"),
        state: if ok { CheckState::Ok } else { CheckState::Failing },
        detail,
    };
    if let Some(crash) = picture.crash() {
        // A restart would end the other pipelines too, and might meet the same record again: an operator decides.
        health.live.push(one("engine", true, "ended by a panic: see /readyz".to_owned()));
        health.ready.push(one("engine", false, format!("ended: {crash}")));
        return;
    }
    let age = picture.clock.now().since(tally.at);
    let turns = age < STUCK_AFTER;
    health.live.push(one("engine", turns, format!("looked at {} ms ago", age.as_millis())));
    let assigned = tally.partitions.iter().filter(|partition| partition.assigned).count();
    let state = *picture.tap.borrow();
    let detail = match state {
        TapState::Running => format!("{assigned} partitions are ours"),
        TapState::Ended => "it was read to its end: nothing more comes".to_owned(),
        TapState::Closed => "it delivers nothing more: the log says why".to_owned(),
    };
    let tap = one("tap", assigned > 0 && state == TapState::Running, detail);
    health.started.push(tap.clone());
    health.ready.push(tap);
    let failed = tally.counters.failed_reads;
    health.ready.push(one("target", !picture.is_target_failing(), format!("{failed} key reads failed so far")));
    let taking = *picture.store.borrow() == StoreState::Taking;
    let detail = if taking { "takes findings" } else { "does not take findings: commits wait" };
    if picture.schemas.registry().is_some() {
        let held = picture.schemas.held();
        let detail = held.clone().unwrap_or_else(|| "answers for the schemas that records name".to_owned());
        health.ready.push(one("registry", held.is_none(), detail));
    }
    health.ready.push(one("store", taking, detail.to_owned()));
}

fn gauges(pipeline: &str, picture: &Picture, tally: &Tally) {
    let unproven: usize = tally.partitions.iter().map(|partition| partition.unproven).sum();
    let now = picture.clock.now();
    event::PipelineState {
        pipeline,
        keys_pending: tally.keys as u64,
        keys_suspect: tally.suspects as u64,
        overdue_unproven: unproven as u64,
        lookups_in_flight: tally.lookups as u64,
        oldest_pending: Some(oldest_pending(picture, tally).unwrap_or_default()),
        verified_age: verified_age(picture, tally),
        apply_lag: Some(tally.counters.lag),
        patrolled_keys: tally.patrolled_keys as u64,
        oldest_look: tally.oldest_look,
    }
    .emit();
    checks(pipeline, &tally.counters);
    for (table, columns) in picture.tables.not_compared() {
        event::ColumnsNotCompared { pipeline, table: &table, count: columns.len() }.emit();
    }
    let committed = picture.committed.lock().unwrap_or_else(PoisonError::into_inner);
    for mark in &tally.partitions {
        let name = picture.partitions.name(mark.partition);
        let lag = mark.end.saturating_sub(mark.consumed);
        let commit_age = committed.get(&mark.partition).map(|at| now.since(*at));
        event::PartitionState { pipeline, partition: &name, lag, commit_age }.emit();
    }
}

fn oldest_pending(picture: &Picture, tally: &Tally) -> Option<Duration> {
    let oldest = tally.partitions.iter().filter_map(|mark| mark.oldest).min();
    oldest.map(|at| picture.clock.wall(picture.clock.now()).after(at))
}

/// How far judging is behind the tap, where that can be told.
fn verified_age(picture: &Picture, tally: &Tally) -> Option<Duration> {
    let all_verified = tally.partitions.iter().all(|mark| mark.pending == 0 && mark.consumed >= mark.end);
    // Where nothing is read any more, what was verified grows old.
    let unseen = picture.crash().map_or(Duration::ZERO, |_| picture.clock.now().since(tally.at));
    oldest_pending(picture, tally).or(all_verified.then_some(unseen))
}

fn checks(pipeline: &str, counters: &Counters) {
    event::ChangesSuperseded { pipeline, total: counters.superseded }.emit();
    event::ChangesLeftOut { pipeline, total: counters.left_out }.emit();
    event::ImagesRecalled { pipeline, found: counters.recalled, gone: counters.not_recalled }.emit();
    let judged = counters.right + counters.wrong + counters.failed_reads;
    let results = [
        (CheckResult::Match, counters.right),
        (CheckResult::Mismatch, counters.wrong),
        (CheckResult::Error, counters.failed_reads),
        (CheckResult::Inconclusive, counters.reads.saturating_sub(judged)),
    ];
    for (result, total) in results {
        event::KeysChecked { pipeline, result, total }.emit();
    }
}

fn pipeline_status(pipeline: &Pipeline, picture: &Picture, tally: &Tally) -> PipelineStatus {
    let context = picture.context(pipeline);
    let unproven: usize = tally.partitions.iter().map(|partition| partition.unproven).sum();
    let pending: usize = tally.partitions.iter().map(|partition| partition.pending).sum();
    let key = |key: &crate::model::Key| {
        let cells: Vec<String> = key.cells().iter().map(ToString::to_string).collect();
        format!("{} ({})", context.table(key.table()).tap, cells.join(", "))
    };
    PipelineStatus {
        name: pipeline.name.clone(),
        guarantee: doctor::guarantee(pipeline).join("; "),
        detects_within_s: None,
        applied: settings::applied(pipeline).iter().map(ToString::to_string).collect(),
        would_settle: (unproven > 0).then(|| would_settle(pipeline)),
        changes: tally.counters.changes,
        rejects: tally.counters.rejects,
        matched: tally.counters.matched,
        superseded: tally.counters.superseded,
        left_out: tally.counters.left_out,
        transient: tally.counters.transient,
        unverifiable: tally.counters.unverifiable,
        images_recalled: tally.counters.recalled,
        images_gone: tally.counters.not_recalled,
        keys: tally.keys as u64,
        pending: pending as u64,
        suspects: tally.suspects as u64,
        overdue_unproven: unproven as u64,
        differing: tally.differing_keys.iter().map(key).collect(),
        open_findings: tally.open_rows as u64,
        verified_age_s: verified_age(picture, tally).map(|age| age.as_secs_f64()),
        lag_s: tally.counters.lag.as_secs_f64(),
        memory_bytes: tally.memory_bytes as u64,
        patrolled_keys: tally.patrolled_keys as u64,
        oldest_look_s: tally.oldest_look.as_secs_f64(),
        not_compared: not_compared(picture),
        held: held(picture, tally),
        reads: reads(pipeline, tally),
        tables: tables::statuses(picture, tally),
        partitions: partition_statuses(tally, picture),
        schedules: Vec::new(),
    }
}

fn reads(pipeline: &Pipeline, tally: &Tally) -> ReadStatus {
    ReadStatus {
        per_second: pipeline.target.reads_per_second,
        max_connections: pipeline.target.max_connections,
        keys: tally.counters.reads,
        patrolled: tally.counters.patrolled,
        failed: tally.counters.failed_reads,
        in_flight: tally.lookups as u64,
        waiting: tally.scheduled as u64,
    }
}

fn not_compared(picture: &Picture) -> Vec<String> {
    let of = |(table, columns): (std::sync::Arc<str>, Vec<String>)| {
        columns.into_iter().map(move |column| format!("{table}: {column}"))
    };
    picture.tables.not_compared().into_iter().flat_map(of).collect()
}

/// Why verdicts wait, or will not come.
fn held(picture: &Picture, tally: &Tally) -> Vec<String> {
    let crash = picture.crash().map(|crash| format!("the pipeline has ended: {crash}"));
    let refusal = picture.target.refusal();
    let stated = tally.stated.iter().map(ToString::to_string);
    crash.into_iter().chain(refusal).chain(picture.schemas.held()).chain(stated).collect()
}

/// The bound that `doctor` tells, by what was measured since the start.
fn detects_within(options: &Options, tally: &Tally, signs: &Signs) -> Option<f64> {
    let commits = options.evidence.committed && options.commits == Commits::AfterWrite && !tally.demoted;
    let rows = (options.evidence.heartbeat || options.evidence.inferred) && options.order != Order::Key;
    if !commits && !rows {
        return None;
    }
    let seen = signs.widest()?;
    let spacing = if commits { seen.max(doctor::commit_interval(options).0) } else { seen };
    let measured = |time| Ok((time, String::new()));
    let pace = doctor::Pace { lag: measured(tally.counters.lag), spacing: measured(spacing) };
    let now = Options { settle: Margin::Stated(tally.settle), lead: Margin::Stated(tally.lead), ..options.clone() };
    doctor::bound(&now, &pace).within_s
}

/// What an ended pipeline had was given up.
fn partition_statuses(tally: &Tally, picture: &Picture) -> Vec<PartitionStatus> {
    let owned = tally.partitions.iter().filter(|mark| mark.assigned && picture.crash().is_none());
    owned
        .map(|mark| {
            let name = picture.partitions.name(mark.partition);
            PartitionStatus {
                topic: name.topic.to_string(),
                partition: name.partition,
                end: Some(mark.end),
                consumed: mark.consumed,
                committed: mark.committed,
                applied: mark.applied,
                settled: mark.settled,
                verified: mark.verified,
                pending: mark.pending as u64,
                overdue_unproven: mark.unproven as u64,
                frozen: mark.frozen,
            }
        })
        .collect()
}

/// What evidence would settle what nothing proves.
fn would_settle(pipeline: &Pipeline) -> String {
    let options = settings::engine(pipeline);
    let convicts = options.commits == crate::engine::limit::Commits::AfterWrite;
    if options.evidence.committed && convicts {
        "the applier's committed offsets settle it when they pass these changes".to_owned()
    } else if options.evidence.heartbeat {
        "a heartbeat row seen behind these changes settles it: one in each partition".to_owned()
    } else {
        "committed offsets of the applier (`kafka-group:NAME`), a heartbeat row in each partition, or three further changing \
         keys in each settle it"
            .to_owned()
    }
}
