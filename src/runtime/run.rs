//! `run`: every pipeline, until it is stopped.
#![expect(clippy::disallowed_methods, reason = "the target is asked again at a bounded pace")]

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Pipeline};
use crate::model::finding::State;
use crate::model::{Tick, Wall};
use crate::report::group::{GroupKey, Limits};
use crate::report::webhook::{self, Alerts, Filter, Retry, Webhook};
use crate::store::Store;
use crate::telemetry::Metrics;

use super::clock::Clock;
use super::entry::{Failure, Outcome, RunArgs};
use super::findings::store_failure;
use super::pipeline::{Running, Start};
use super::record::Sink;
use super::settings::Read;
use super::status::{self, Board};

/// Waits between two tries to reach a target at the start.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

pub(super) async fn run(args: RunArgs) -> Result<Outcome, Failure> {
    let RunArgs { config, metrics, stop } = args;
    let store = Store::open(config.store.url.expose_secret()).await.map_err(store_failure)?;
    let (mut board, port) = Board::new(&config, &store, &metrics).await?;
    let over = CancellationToken::new();
    let mut tasks = JoinSet::new();
    if let Some(port) = port {
        tasks.spawn(port.serve(over.clone()));
    }
    let alerts = channels(&config, &over, &mut tasks)?;
    seed(&alerts, &store).await?;
    let mut running = Vec::new();
    for pipeline in &config.pipelines {
        match started(pipeline, &store, &alerts, &stop).await? {
            Some(one) => running.push((pipeline, one)),
            None => break,
        }
    }
    watch(&mut board, &running, &metrics, &stop).await;
    for (_, pipeline) in running {
        pipeline.stop().await;
    }
    over.cancel();
    while tasks.join_next().await.is_some() {}
    store.close().await;
    Ok(Outcome::Clean)
}

/// Renews the board until the end is asked for.
async fn watch(board: &mut Board, running: &[(&Pipeline, Running)], metrics: &Metrics, stop: &CancellationToken) {
    let mut pace = tokio::time::interval(status::EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = pace.tick() => {
                board.renew(running);
                metrics.upkeep();
            }
        }
    }
}

/// One task for each alert channel.
fn channels(config: &Config, over: &CancellationToken, tasks: &mut JoinSet<()>) -> Result<Vec<Alerts>, Failure> {
    let clock: Arc<dyn webhook::Clock> = Arc::new(Clock::start());
    let mut channels = Vec::new();
    for alert in &config.alerts {
        let filter = Filter { severity: alert.severity, kinds: alert.kinds.clone(), tables: alert.tables.clone() };
        let unusable =
            |error| Failure { source: Some(Box::new(error)), ..Failure::new("an alert channel cannot be used") };
        let webhook = Webhook::new(&alert.url, alert.secret.clone(), Retry::default()).map_err(unusable)?;
        let alerts = Alerts::new(filter, Limits::default());
        tasks.spawn(webhook.run(alerts.clone(), Arc::clone(&clock), over.clone()));
        channels.push(alerts);
    }
    Ok(channels)
}

/// Tells each channel what was open before: a group is not over while some of it is.
async fn seed(alerts: &[Alerts], store: &Store) -> Result<(), Failure> {
    if alerts.is_empty() {
        return Ok(());
    }
    let counts = store.counts(None).await.map_err(store_failure)?;
    for count in counts.iter().filter(|count| matches!(count.state, State::Open | State::Acknowledged)) {
        let key = GroupKey { pipeline: count.pipeline.clone(), table: count.table.clone(), kind: Some(count.kind) };
        alerts.iter().for_each(|channel| channel.seed(key.clone(), count.severity, count.count));
    }
    Ok(())
}

impl webhook::Clock for Clock {
    fn now(&self) -> Tick {
        Clock::now(self)
    }

    fn wall(&self) -> Wall {
        Clock::wall(self, Clock::now(self))
    }
}

/// Starts a pipeline as soon as its target answers; `None` if it was stopped before.
async fn started(
    pipeline: &Pipeline,
    store: &Store,
    alerts: &[Alerts],
    stop: &CancellationToken,
) -> Result<Option<Running>, Failure> {
    let mut wait = RETRY.0;
    loop {
        let start = Start {
            pipeline,
            read: Read::Follow,
            sink: Sink::Store(store.clone()),
            alerts: alerts.to_vec(),
            window: None,
            clock: Clock::start(),
        };
        match Running::start(start).await {
            Ok(running) => return Ok(Some(running)),
            Err(failure) if failure.is_passing() => {
                tracing::warn!(pipeline = pipeline.name, "{}; trying again", super::tell::chain(&failure));
            }
            Err(failure) => return Err(failure),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(None),
            () = tokio::time::sleep(wait) => wait = (wait * 2).min(RETRY.1),
        }
    }
}
