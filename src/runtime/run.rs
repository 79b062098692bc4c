//! `run`: every pipeline, until it is stopped.
#![expect(clippy::disallowed_methods, reason = "the target is asked again at a bounded pace")]

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Pipeline;
use crate::store::Store;
use crate::telemetry::Metrics;

use super::alerting::{self, Alerts};
use super::clock::Clock;
use super::crash;
use super::entry::{Failure, Outcome, RunArgs};
use super::findings::store_failure;
use super::keeper::{Keeper, Kept};
use super::picture::Picture;
use super::pipeline::{Running, Start};
use super::record::Sink;
use super::scheduler::{Desk, Schedules};
use super::settings::Read;
use super::status::{self, Board};

/// Findings that wait to be looked at because somebody asked for it; past it the asker is told to come back.
const ASKED: usize = 1_000;

/// Waits between two tries to reach a target at the start.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

pub(super) async fn run(args: RunArgs) -> Result<Outcome, Failure> {
    let RunArgs { config, metrics, stop } = args;
    let store = Store::open(config.store.url.expose_secret()).await.map_err(store_failure)?;
    let (revalidate, asked) = mpsc::channel(ASKED);
    let (mut board, port) = Board::new(&config, &store, (&metrics, &revalidate)).await?;
    let over = CancellationToken::new();
    let mut tasks = JoinSet::new();
    if let Some(port) = port {
        tasks.spawn(port.serve(over.clone()));
    }
    let (alerts, tellers) = alerting::start(&config, &store, &over, &mut tasks).await?;
    board.show(tellers);
    let mut running = Vec::new();
    for pipeline in &config.pipelines {
        match started(pipeline, &store, &alerts, &stop).await? {
            Some(one) => running.push((pipeline, one)),
            None => break,
        }
    }
    let schedules = Schedules::default();
    board.show_schedules(schedules.clone());
    let desk = Desk {
        config: Arc::new(config.clone()),
        store: store.clone(),
        alerts: alerts.clone(),
        schedules,
        clock: Clock::start(),
        stop: over.clone(),
    };
    running.iter().for_each(|(pipeline, one)| desk.start((pipeline, &one.target, &one.open), &mut tasks));
    let kept = running.iter().map(|(pipeline, one)| Kept {
        pipeline: Pipeline::clone(pipeline),
        target: one.target.clone(),
        open: one.open.clone(),
        compared: String::new(),
    });
    let (kept, clock) = (kept.collect(), Clock::start());
    let keeper = Keeper { kept, store: store.clone(), alerts, asked, clock, stop: over.clone() };
    tasks.spawn(keeper.run());
    let ended = watch(&mut board, running, &metrics, &stop).await;
    over.cancel();
    while tasks.join_next().await.is_some() {}
    store.close().await;
    ended
}

/// Renews the board until the end is asked for, and ends the pipelines then.
///
/// # Errors
/// A panic has ended every one of them.
async fn watch(
    board: &mut Board,
    running: Vec<(&Pipeline, Running)>,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Result<Outcome, Failure> {
    let shown: Vec<(&Pipeline, Picture)> = running.iter().map(|(name, one)| (*name, one.picture.clone())).collect();
    let mut running: Vec<Running> = running.into_iter().map(|(_, one)| one).collect();
    let mut ending = JoinSet::new();
    let mut pace = tokio::time::interval(status::EVERY);
    let ended = loop {
        tokio::select! {
            () = stop.cancelled() => break Ok(Outcome::Clean),
            _ = pace.tick() => {
                running.extract_if(.., |one| one.picture.crash().is_some()).for_each(|one| {
                    ending.spawn(one.stop());
                });
                board.renew(&shown);
                metrics.upkeep();
            }
        }
        let crashed = shown.iter().find_map(|(pipeline, picture)| Some((pipeline, picture.crash()?)));
        if let Some((pipeline, crash)) = crashed.filter(|_| running.is_empty()) {
            break Err(crash::failure(&pipeline.name, crash));
        }
    };
    for one in running {
        one.stop().await;
    }
    while ending.join_next().await.is_some() {}
    ended
}

/// Starts a pipeline as soon as its target answers; `None` if it was stopped before.
async fn started(
    pipeline: &Pipeline,
    store: &Store,
    alerts: &Alerts,
    stop: &CancellationToken,
) -> Result<Option<Running>, Failure> {
    let mut wait = RETRY.0;
    loop {
        let clock = Clock::start();
        let start = Start {
            pipeline,
            read: Read::Follow,
            sink: Sink::Store(store.clone()),
            alerts: alerts.clone(),
            window: None,
            clock,
            since: clock.wall(clock.now()),
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

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use crate::config::load::{Flags, Need};
    use crate::config::{Config, Layers, Surroundings, load};
    use crate::model::PartitionId;
    use crate::web::view::{Check, CheckState};

    use super::super::driver::{Record, Reply};
    use super::*;

    const RECORD: &str = r#"{"topic":"shop.public.orders","partition":0,"offset":0,"key":"{\"id\":1}","payload":null}"#;

    fn config(dir: &std::path::Path) -> Config {
        std::fs::write(dir.join("e.jsonl"), RECORD).expect("a file");
        let path = dir.display();
        let pipelines = ["sound", "poisoned"].map(|name| {
            format!(
                "[pipelines.{name}]\napplied = \"inferred\"\ntap = {{ type = \"file\", path = \"{path}/e.jsonl\" }}\n\
                 target = {{ url = \"sqlite::memory:\" }}\n"
            )
        });
        let text = format!("[store]\nurl = \"sqlite:{path}/a.db\"\n[web]\nlisten = \"\"\n{}", pipelines.concat());
        let file = dir.join("a.toml");
        std::fs::write(&file, text).expect("a file");
        let around = Surroundings::of_process();
        let layers = Layers { file: Some(file), around: &around, flags: Flags::default(), need: Need::Pipelines };
        load(&layers).expect("a configuration").config
    }

    /// Both pipelines, running, and how each is poisoned.
    async fn both<'a>(config: &'a Config, store: &Store) -> Vec<(&'a Pipeline, Running)> {
        let mut running = Vec::new();
        for pipeline in &config.pipelines {
            let one = started(pipeline, store, &Alerts::default(), &CancellationToken::new()).await;
            running.push((pipeline, one.expect("it starts").expect("nobody stops it")));
        }
        running
    }

    async fn commit(records: &mpsc::Sender<Record>, next: u64) {
        let (asker, durable) = oneshot::channel();
        for record in [Record::Commit { partition: PartitionId(0), next }, Record::Flush(asker)] {
            records.send(record).await.expect("the recorder goes on");
        }
        durable.await.expect("it answers");
    }

    async fn committed(store: &Store, pipeline: &str) -> Vec<u64> {
        let marks = store.load_watermarks(pipeline).await.expect("the store answers");
        marks.iter().map(|mark| mark.verified).collect()
    }

    fn of<'h>(checks: &'h [Check], name: &str) -> Option<&'h Check> {
        checks.iter().find(|check| check.name == name)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_panic_ends_its_own_pipeline_and_the_last_one_ends_the_process() {
        let dir = tempfile::tempdir().expect("a directory");
        let config = config(dir.path());
        let store = Store::open(config.store.url.expose_secret()).await.expect("a store");
        let (_, metrics) = Metrics::local().expect("buckets");
        let (mut board, _) =
            Board::new(&config, &store, (&metrics, &mpsc::channel(1).0)).await.expect("no port is asked for");
        let running = both(&config, &store).await;
        let [sound, poisoned] = ["sound", "poisoned"].map(|name| {
            let found = running.iter().find(|(pipeline, _)| pipeline.name == name);
            let (_, one) = found.expect("it runs");
            (one.replies.clone(), one.records.clone())
        });
        let mut health = board.health.subscribe();
        let stop = CancellationToken::new();
        let story = async {
            commit(&poisoned.1, 1).await;
            assert_eq!(committed(&store, "poisoned").await, [1]);
            poisoned.0.send(Reply::Poison).await.expect("its engine runs");
            let seen = health.wait_for(|seen| of(&seen.ready, "poisoned: engine").is_some()).await.expect("a board");
            let ended = of(&seen.ready, "poisoned: engine").expect("waited for").clone();
            assert_eq!(ended.state, CheckState::Failing);
            assert!(ended.detail.contains("stage `engine` panicked at src/runtime/driver.rs:"), "{}", ended.detail);
            assert!(ended.detail.ends_with(": poisoned"), "{}", ended.detail);
            assert!(of(&seen.ready, "sound: engine").is_none() && of(&seen.ready, "sound: target").is_some());
            assert!(seen.live.iter().all(|check| check.state == CheckState::Ok), "{:?}", seen.live);
            drop(seen);

            commit(&poisoned.1, 2).await;
            commit(&sound.1, 2).await;
            assert_eq!((committed(&store, "poisoned").await, committed(&store, "sound").await), (vec![1], vec![2]));
            drop(poisoned);
            sound.0.send(Reply::Poison).await.expect("the other engine goes on");
            drop(sound);
        };
        let (ended, ()) = tokio::join!(watch(&mut board, running, &metrics, &stop), story);
        let failure = ended.expect_err("no pipeline is left");
        assert!(failure.to_string().contains("panicked at src/runtime/driver.rs:"), "{failure}");
        assert!(failure.hint.is_some_and(|hint| hint.contains("restart")));
    }
}
