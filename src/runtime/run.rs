//! `run`: every pipeline, until it is stopped.

use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Pipeline;
use crate::store::Store;

use super::clock::Clock;
use super::entry::{Failure, Outcome, RunArgs};
use super::findings::store_failure;
use super::pipeline::{Running, Start};
use super::record::{News, Sink};
use super::settings::Read;

/// News that wait for the alert channels; past it they are counted and left to the findings list.
const NEWS: usize = 1024;

/// Waits between two tries to reach a target at the start.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

pub(super) async fn run(args: RunArgs) -> Result<Outcome, Failure> {
    let RunArgs { config, metrics: _, stop } = args;
    let store = Store::open(config.store.url.expose_secret()).await.map_err(store_failure)?;
    let (news, mut news_here) = mpsc::channel(NEWS);
    let mut running = Vec::new();
    for pipeline in &config.pipelines {
        match started(pipeline, &store, &news, &stop).await? {
            Some(one) => running.push(one),
            None => break,
        }
    }
    drop(news);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            news = news_here.recv() => match news {
                Some(_) => {}
                None => break,
            },
        }
    }
    for pipeline in running {
        pipeline.stop().await;
    }
    store.close().await;
    Ok(Outcome::Clean)
}

/// Starts a pipeline as soon as its target answers; `None` if it was stopped before.
async fn started(
    pipeline: &Pipeline,
    store: &Store,
    news: &mpsc::Sender<News>,
    stop: &CancellationToken,
) -> Result<Option<Running>, Failure> {
    let mut wait = RETRY.0;
    loop {
        let start = Start {
            pipeline,
            read: Read::Follow,
            sink: Sink::Store(store.clone()),
            news: news.clone(),
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
