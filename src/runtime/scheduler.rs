//! Inside `run`: audits, looks at findings and imports by the clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Bound, Config, Due, Pipeline, Schedule, ScheduledRun, Start};
use crate::dms::{Book, DmsError, Scope};
use crate::model::Wall;
use crate::model::finding::State;
use crate::report::Document;
use crate::store::{About, ScheduleKey, ScheduleState, Store};
use crate::target::Target;
use crate::telemetry::event;
use crate::web::view::ScheduleStatus;

use super::alerting::Alerts;
use super::audit;
use super::clock::Clock;
use super::entry::{AuditArgs, Failure, Outcome, Range};
use super::findings::store_failure;
use super::import::{self, Import, dms_failure};
use super::record::OpenFindings;
use super::revalidate::{Depth, Looker};
use super::rota::{Ran, Rota, Slice, Turn};
use super::tell;

/// The longest wait between two looks: clocks are set, and another process may have gone.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// How the schedules of this process stand, for whoever shows it. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Schedules(Arc<Mutex<BTreeMap<(String, String), ScheduleStatus>>>);

impl Schedules {
    /// Those of a pipeline.
    pub(super) fn of(&self, pipeline: &str) -> Vec<ScheduleStatus> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|((of, _), _)| of == pipeline).map(|(_, status)| status.clone()).collect()
    }

    fn set(&self, key: &ScheduleKey, status: ScheduleStatus) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((key.pipeline.clone(), key.name.clone()), status);
    }
}

/// What the schedules of a process need of it.
#[derive(Clone)]
pub(super) struct Desk {
    pub(super) config: Arc<Config>,
    pub(super) store: Store,
    pub(super) alerts: Alerts,
    pub(super) schedules: Schedules,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
}

/// One schedule.
struct Scheduler {
    desk: Desk,
    pipeline: Pipeline,
    target: Target,
    open: OpenFindings,
    rota: Rota,
}

impl Desk {
    /// Starts the schedules of a pipeline.
    pub(super) fn start(&self, (pipeline, target, open): (&Pipeline, &Target, &OpenFindings), tasks: &mut JoinSet<()>) {
        let begun = self.clock.wall(self.clock.now());
        let holder = format!("{}-{}", std::process::id(), begun.0);
        for schedule in &pipeline.schedules {
            let key = ScheduleKey { pipeline: pipeline.name.clone(), name: schedule.name.clone() };
            let (store, schedule) = (self.store.clone(), schedule.clone());
            let scheduler = Scheduler {
                desk: self.clone(),
                pipeline: pipeline.clone(),
                target: target.clone(),
                open: open.clone(),
                rota: Rota { store, key, schedule, holder: holder.clone() },
            };
            tasks.spawn(Box::pin(scheduler.run()));
        }
    }

    /// The time as the system's clock has it by now, however it was set since the start.
    fn now(&self) -> Wall {
        let clock = Clock::start();
        clock.wall(clock.now())
    }
}

impl Scheduler {
    /// Runs until it is stopped. A run that goes on then is ended, and due still.
    async fn run(self) {
        let stop = self.desk.stop.clone();
        while !stop.is_cancelled() {
            let wait = self.look().await;
            let _ = tokio::time::timeout(wait, stop.cancelled()).await;
        }
    }

    /// Does what is due, and tells how long there is nothing to do.
    async fn look(&self) -> Duration {
        let now = || self.desk.now();
        let (name, pipeline) = (&self.rota.key.name, &self.pipeline.name);
        self.show(None).await;
        let began = self.desk.clock.elapsed();
        let work = |slice, stop| Box::pin(self.work(slice, stop));
        match self.rota.turn(&now, &self.desk.stop, work).await {
            Ok(Turn::Waits(Some(at))) => {
                let left = u64::try_from(at.0.saturating_sub(now().0)).unwrap_or_default();
                Duration::from_millis(left).min(LOOK_EVERY)
            }
            Ok(Turn::Waits(None) | Turn::Elsewhere) => LOOK_EVERY,
            Ok(Turn::Done(ran)) => {
                let took = self.desk.clock.elapsed().saturating_sub(began);
                event::ScheduleRan { pipeline, schedule: name, outcome: ran.outcome, detail: &ran.detail, took }.emit();
                self.show(None).await;
                Duration::ZERO
            }
            Ok(Turn::LetGo) => LOOK_EVERY,
            Err(error) => {
                event::StoreFailed { error: &error }.emit();
                LOOK_EVERY
            }
        }
    }

    async fn show(&self, running_since: Option<Wall>) {
        let now = self.desk.now();
        if let Ok(state) = self.rota.state(now).await {
            self.desk.schedules.set(&self.rota.key, status(&self.rota.schedule, &state, (now, running_since)));
        }
    }

    async fn work(&self, slice: Slice, stop: CancellationToken) -> Result<Ran, Failure> {
        let (schedule, pipeline) = (&*self.rota.key.name, &*self.pipeline.name);
        let (from, to) = (slice.0.rfc3339(), slice.1.rfc3339());
        tracing::info!(pipeline, schedule, from, to, "run by the clock begins");
        self.show(Some(self.desk.now())).await;
        let ran = match self.rota.schedule.run {
            Schedule::Audit => self.audit(slice, stop).await,
            Schedule::Revalidate => self.revalidate(slice, stop).await,
            Schedule::Import => self.import(slice, stop).await,
            Schedule::Reconcile => Err(Failure::new("`reconcile` is not supported by this version")),
        }?;
        self.open.load(&self.desk.store, &self.pipeline.name).await.map_err(store_failure)?;
        Ok(ran)
    }

    fn judging(&self, stop: CancellationToken) -> AuditArgs {
        import::judging(&self.pipeline, &self.desk.config, stop)
    }

    /// Judges what was appended to the tap in the slice.
    async fn audit(&self, (from, to): Slice, stop: CancellationToken) -> Result<Ran, Failure> {
        let range = Range { from: Bound::from(Start::Time(from.0)), to: Bound::from(Start::Time(to.0)) };
        let args = AuditArgs { range, ..self.judging(stop) };
        let (findings, summary, outcome) = Box::pin(audit::by_the_clock(&args)).await?;
        let open = |finding: &Document| finding.state == State::Open;
        let findings: Vec<Document> = findings.into_iter().filter(open).collect();
        self.keep(&findings).await?;
        let slice = format!("of what was appended from {} to {}", from.rfc3339(), to.rfc3339());
        Ok(Ran {
            outcome: word(outcome),
            detail: format!(
                "{slice}: {} changes of {} keys, {} findings, {} changes without a verdict",
                summary.changes,
                summary.keys,
                findings.len(),
                summary.unverifiable + summary.lagging
            ),
        })
    }

    /// Looks again at what was found before the slice's end, with what the tap says of it by now.
    async fn revalidate(&self, (_, to): Slice, stop: CancellationToken) -> Result<Ran, Failure> {
        let looker = Looker::new(&self.pipeline, self.target.clone(), stop.clone());
        let (mut looked, mut over, mut after) = (0, 0, String::new());
        while !stop.is_cancelled() {
            let page = self.desk.store.open_findings(&self.pipeline.name, About::Rows, &after).await;
            let page = page.map_err(store_failure)?;
            let Some(last) = page.last() else { break };
            after.clone_from(&last.id);
            let due = |document: &Document| document.may_heal() && document.first_seen < to;
            let due: Vec<Document> = page.into_iter().filter(due).collect();
            if due.is_empty() {
                continue;
            }
            let told = looker.look(due, Depth::Tap).await?;
            super::again::record(&self.desk.store, &told, self.desk.alerts.routes()).await?;
            let healed = told.iter().filter(|one| one.looked.is_over());
            over += healed.inspect(|one| tell::closed(one.statement.as_ref().unwrap_or(&one.document))).count();
            looked += told.len();
        }
        self.desk.alerts.wake();
        let remain = looked - over;
        let outcome = if remain > 0 { Outcome::Findings } else { Outcome::Clean };
        let detail = format!("of {looked} findings opened before {} {over} are over, {remain} remain", to.rfc3339());
        Ok(Ran { outcome: word(outcome), detail })
    }

    /// Judges anew what DMS logged in the slice.
    async fn import(&self, (from, to): Slice, stop: CancellationToken) -> Result<Ran, Failure> {
        let slice = format!("of what DMS logged from {} to {}", from.rfc3339(), to.rfc3339());
        let scope = Scope { schema: None, since: Some(from), until: Some(to) };
        let url = self.rota.schedule.failures.as_ref().unwrap_or(&self.pipeline.target.url);
        let book = match Book::open(url, scope).await {
            Ok(book) => book,
            // DMS makes it with the first failure.
            Err(DmsError::NoTable { .. }) => {
                return Ok(Ran { outcome: "clean", detail: format!("{slice}: it has no table of failures yet") });
            }
            Err(error) => return Err(dms_failure(error)),
        };
        let args = self.judging(stop);
        let import = Import { args: &args, store: &self.desk.store, routes: self.desk.alerts.routes() };
        let mut counts = import::Counts::new();
        let mut count = |line: crate::report::import::Line| {
            *counts.entry(line.outcome).or_default() += 1;
            Ok(())
        };
        Box::pin(import.all(book, &mut count)).await?;
        self.desk.alerts.wake();
        let outcome = import::outcome(&counts);
        Ok(Ran { outcome: word(outcome), detail: format!("{slice}: {}", import::summed(&counts)) })
    }

    async fn keep(&self, findings: &[Document]) -> Result<(), Failure> {
        let routes = self.desk.alerts.routes();
        let (recorded, _) = self.desk.store.record_for(findings, routes).await.map_err(store_failure)?;
        for (one, document) in recorded.iter().zip(findings) {
            if one.outcome.opened() {
                tell::opened(document, self.desk.now());
            }
        }
        self.desk.alerts.wake();
        Ok(())
    }
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Clean => "clean",
        Outcome::Findings => "findings",
        Outcome::Incomplete => "incomplete",
    }
}

fn status(schedule: &ScheduledRun, state: &ScheduleState, (now, since): (Wall, Option<Wall>)) -> ScheduleStatus {
    let next = match schedule.timetable.due(state.done, now) {
        Due::Now(at) | Due::At(at) => Some(at.rfc3339()),
        Due::Never => None,
    };
    let last = state.last.as_ref();
    ScheduleStatus {
        name: schedule.name.clone(),
        run: schedule.run.word(),
        running_since: since.map(Wall::rfc3339),
        next,
        last_outcome: last.map(|last| last.outcome.clone()),
        last_detail: last.map(|last| last.detail.clone()),
        last_ended: last.map(|last| last.ended.rfc3339()),
    }
}
