//! Puts everybody on the stage, lets them play, and takes them off again in the right order.
#![expect(
    clippy::disallowed_methods,
    reason = "the demo looks at its parts at a steady pace, and stopping them blocks"
)]

use std::time::Duration;

use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::View;
use super::applier::kafka::{self, Running};
use super::applier::sqlite::SqliteWriter;
use super::applier::{FaultPlan, Loss, Place, Rates};
use super::broker::{Broker, Producing};
use super::live::{Live, Picture};
use super::report::Report;
use super::score::{Score, Scoreboard, sentence};
use super::sidecar::{self, Setup, Sidecar};
use super::source::{SQLITE_SCHEMA, Source, Table};
use crate::model::Wall;
use crate::model::finding::{Cause, Kind, State};
use crate::report::Document;
use crate::runtime::Clock;
use crate::runtime::entry::Failure;
use crate::telemetry::Metrics;

/// The applier's consumer group.
const APPLIER: &str = "dms-batch-apply";

/// The applier's merge window. DMS waits between 1 s and 30 s.
const WINDOW: Duration = Duration::from_secs(2);

/// The causes that are planted.
const CAUSES: [Cause; 3] = [Cause::InsertUpdateMerge, Cause::InsertDeleteMerge, Cause::DeleteInsertMerge];

/// Losses of each cause below which planting goes on for longer.
const ENOUGH: u64 = 5;

/// How often everything is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long the applier and the sidecar have to come up.
const JOIN: Duration = Duration::from_secs(30);

/// When what happens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// The applier dies now and then for so long.
    pub(super) plant: Duration,
    /// And for so long at most, if there are fewer than five losses of some cause by then.
    pub(super) plant_at_most: Duration,
    /// It takes so long at least, so that anything false has time to show.
    pub(super) least: Duration,
    /// What is not found by then is missed.
    pub(super) most: Duration,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            plant: Duration::from_secs(45),
            plant_at_most: Duration::from_secs(75),
            least: Duration::from_secs(85),
            most: Duration::from_secs(180),
        }
    }
}

/// Everybody.
pub(super) struct Stage {
    seed: u64,
    clock: Clock,
    broker: Broker,
    writer: SqliteWriter,
    applier: Running,
    sidecar: Sidecar,
    producing: Producing,
    board: Scoreboard,
    dir: TempDir,
}

fn failed(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure { source: Some(Box::new(source)), ..Failure::new(what) }
}

impl Stage {
    /// Starts everybody; traffic flows when this returns.
    pub(super) async fn set(seed: u64, metrics: Metrics) -> Result<Stage, Failure> {
        let clock = Clock::start();
        let dir = TempDir::with_prefix("afterimage-demo-")
            .map_err(|error| failed("no temporary directory can be made", error))?;
        let target = dir.path().join("shop.db");
        let broken = |error| failed("the demo's broker does not start", error);
        let broker = Broker::start(&Table::ALL.map(Table::topic)).map_err(broken)?;
        let brokers = broker.address();
        let writer = SqliteWriter::create(&target, SQLITE_SCHEMA);
        let writer = writer.await.map_err(|error| failed("the demo's target cannot be made", error))?;
        let settings = kafka::Settings {
            brokers: brokers.clone(),
            group: APPLIER.into(),
            topics: Table::ALL.map(|table| table.topic().into()).into(),
            window: WINDOW,
            plan: FaultPlan::new(seed, Rates { restart: 700, skipped_batch: 0, torn_update: 0, calm_windows: 3 }),
        };
        let applier = Running::start(&settings, writer.clone(), clock);
        let applier = applier.map_err(|error| failed("the demo's applier does not start", error))?;
        let setup = Setup { dir: dir.path(), brokers: &brokers, applier: APPLIER, target: &target };
        let sidecar = Sidecar::start(&setup, metrics).await?;
        joined(&applier, clock).await?;
        let source = Source::new(seed, clock.wall(clock.now()));
        let producing = Producing::start(&brokers, source, clock).map_err(broken)?;
        Ok(Stage { seed, clock, broker, writer, applier, sidecar, producing, board: Scoreboard::default(), dir })
    }

    /// Plays to the end, and takes everybody off the stage.
    pub(super) async fn play(mut self, plan: &Plan, view: View, stop: &CancellationToken) -> Result<Report, Failure> {
        let began = self.clock.now();
        let mut live = Live::new(view);
        let mut ticks = tokio::time::interval(LOOK);
        let mut planting = true;
        let mut last = None;
        let played = loop {
            tokio::select! {
                () = stop.cancelled() => break Ok(()),
                _ = ticks.tick() => {}
            }
            let elapsed = self.clock.now().since(began);
            let seen = match self.look().await {
                Ok(seen) => seen,
                Err(failure) => break Err(failure),
            };
            last = seen.last.or(last);
            planting = planting && elapsed < plan.plant_at_most && (elapsed < plan.plant || !seen.enough);
            if !planting {
                self.applier.stop_faults();
            }
            let applier = self.applier.progress();
            live.show(&Picture {
                elapsed,
                about: plan.least.max(elapsed),
                phase: phase(planting),
                changes: self.producing.changes(),
                applier: &applier,
                verified: seen.verified,
                suspected: seen.suspected,
                score: &seen.score,
                last: last.as_deref(),
            });
            let done = !planting && elapsed >= plan.least && seen.score.total().waiting == 0;
            if done || elapsed >= plan.most {
                break Ok(());
            }
        };
        live.end();
        let report = self.report(self.clock.now().since(began));
        self.clear().await?;
        played.map(|()| report)
    }

    /// Takes in what the sidecar says.
    async fn look(&mut self) -> Result<Seen, Failure> {
        if self.applier.has_ended() || self.producing.has_ended() {
            return Err(Failure::new("the demo's applier or source ended by itself"));
        }
        let picture = self.sidecar.look().await?;
        let now = self.now();
        let before = self.board.opened().count();
        let suspected = picture.findings.iter().filter(|document| document.state == State::Suspected).count();
        let verified = picture.verified;
        picture.findings.into_iter().for_each(|document| self.board.see(document, now));
        let losses = self.applier.progress().losses;
        let newest = self.board.opened().max_by_key(|opened| opened.at);
        let last = newest.filter(|_| self.board.opened().count() > before).map(|opened| {
            let after = lost_at(&opened.document, &losses).map(|lost_at| opened.at.0.saturating_sub(lost_at.0));
            let after = after.map(|ms| format!(", {}.{} s after it was lost", ms / 1000, ms % 1000 / 100));
            format!("{}{}", sentence(&opened.document), after.unwrap_or_default())
        });
        let score = self.board.score(&losses, now);
        let enough =
            CAUSES.iter().all(|cause| score.lines.get(cause).is_some_and(|line| line.planted - line.healed >= ENOUGH));
        Ok(Seen { score, verified, suspected, enough, last })
    }

    fn now(&self) -> Wall {
        self.clock.wall(self.clock.now())
    }

    fn report(&self, elapsed: Duration) -> Report {
        let progress = self.applier.progress();
        Report {
            seed: self.seed,
            changes: self.producing.changes(),
            score: self.board.score(&progress.losses, self.now()),
            lag_p50: progress.lag_p50,
            lag_max: progress.lag_max,
            elapsed,
            example: self.example(),
        }
    }

    /// The finding shown in full: a deleted row that stands for ever, if there is one.
    fn example(&self) -> Option<Document> {
        let rank =
            |document: &Document| (document.kind != Kind::UnappliedDelete, document.first_seen, document.id.clone());
        let open = self.board.opened().filter(|opened| opened.document.state == State::Open);
        open.map(|opened| opened.document.clone()).min_by_key(rank)
    }

    /// Everybody goes before the broker does.
    async fn clear(self) -> Result<(), Failure> {
        let Stage { broker, writer, applier, sidecar, producing, dir, .. } = self;
        let sidecar = sidecar.stop().await;
        let others = spawn_blocking(move || (producing.stop(), applier.stop())).await;
        writer.close().await;
        drop((broker, dir));
        let (source, applier) = others.map_err(|error| failed("the demo's threads do not end", error))?;
        source.map_err(|error| failed("the demo's source failed", error))?;
        applier.map_err(|error| failed("the demo's applier failed", error))?;
        sidecar
    }
}

struct Seen {
    score: Score,
    verified: u64,
    suspected: usize,
    enough: bool,
    /// The newest finding, if there is one since the last look.
    last: Option<String>,
}

fn phase(planting: bool) -> &'static str {
    if planting { "the applier dies in the middle of windows" } else { "the applier behaves; proving what it lost" }
}

fn lost_at(document: &Document, losses: &[Loss<Place>]) -> Option<Wall> {
    let place = sidecar::place(document)?;
    losses.iter().find(|loss| loss.covers(&place)).map(|loss| loss.lost_at)
}

/// Waits until the applier has its partitions.
async fn joined(applier: &Running, clock: Clock) -> Result<(), Failure> {
    let began = clock.now();
    let mut ticks = tokio::time::interval(LOOK);
    while !applier.progress().joined {
        ticks.tick().await;
        if applier.has_ended() || clock.now().since(began) > JOIN {
            return Err(Failure::new("the demo's applier got no partitions from its broker"));
        }
    }
    Ok(())
}
