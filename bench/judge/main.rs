//! The judgement on a real pipeline: a load at a PostgreSQL source, Debezium, Kafka, a batch applier that loses what the ones in
//! the field lose and writes down what, a PostgreSQL target, and `afterimage run` as a separate process. What it finds is scored
//! against what was lost, and so are the rules of others.
//!
//! ```sh
//! bench/judge/run --changes 340000              # services, all three lag regimes, the table
//! cargo bench --bench judge -- --lag 2          # one regime, where the services run
//! cargo bench --bench judge -- table FILE       # the table of the records in a file
//! ```
//! Prints one JSON object a regime. Databases, topics and connectors it makes are its own and are removed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a benchmark prints, waits and measures"
)]

#[path = "../../tests/it/connect.rs"]
#[expect(dead_code, reason = "knobs of the pipeline tests that are not turned here")]
mod connect;
#[path = "../../tests/it/connector.rs"]
#[expect(dead_code, reason = "knobs of the pipeline tests that are not turned here")]
mod connector;
#[path = "../../tests/it/database.rs"]
#[expect(dead_code, reason = "knobs of the pipeline tests that are not turned here")]
mod database;
#[path = "../../tests/it/kafka.rs"]
#[expect(dead_code, reason = "knobs of the pipeline tests that are not turned here")]
mod kafka;
#[path = "../../tests/it/mariadb.rs"]
#[expect(dead_code, reason = "knobs of the pipeline tests that are not turned here")]
mod mariadb;
#[path = "../../tests/it/postgres.rs"]
#[expect(dead_code, reason = "knobs of the pipeline tests that are not turned here")]
mod postgres;
#[path = "../../tests/it/services.rs"]
#[expect(dead_code, reason = "knobs of the pipeline tests that are not turned here")]
mod services;
#[path = "../../tests/it/wait.rs"]
#[expect(dead_code, reason = "knobs of the pipeline tests that are not turned here")]
mod wait;

#[path = "../process.rs"]
#[expect(dead_code, reason = "the broker is administered otherwise here")]
mod process;

mod options;

mod dice;
mod load;
mod tables;
mod wall;

mod feed;
mod pipeline;

mod applier;
mod book;
mod plant;
mod target;

mod cost;
mod sidecar;

mod rules;

mod truth;

mod check;
mod drive;
mod score;

mod record;
mod table;

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::book::Shelf;
use crate::cost::Meter;
use crate::drive::{Beside, Drive};
use crate::feed::Feed;
use crate::options::{Options, Task};
use crate::pipeline::Pipeline;
use crate::record::Regime;
use crate::rules::Rule;
use crate::rules::dms::Dms;
use crate::rules::fixed_delay::FixedDelay;
use crate::rules::reset_on_change::ResetOnChange;
use crate::score::Score;
use crate::sidecar::Sidecar;
use crate::truth::Truth;

fn main() {
    match Task::parse(std::env::args().skip(1)) {
        Ok(Task::Run(options)) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.expect("a runtime").block_on(run(&options));
        }
        Ok(Task::Table(path)) => {
            let records = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            print!("{}", table::markdown(&records));
        }
        Err(complaint) => {
            eprintln!("{complaint}");
            std::process::exit(2);
        }
    }
}

/// One regime, from empty databases to its record.
async fn run(options: &Options) {
    tell_plan(options);
    let pipeline = Pipeline::build(&format!("judge_{}", std::process::id())).await;
    let shelf = Shelf::default();
    let mut sidecar = Sidecar::start(&pipeline, &options.binary).await;
    let meter = Meter::start(pipeline.target_url()).await;
    let applier = applier::Running::start(applier_settings(options, &pipeline), shelf.clone());
    drive::fill(&pipeline).await;
    let rules = rules::Running::start(rules_settings(options, &pipeline), timed_rules());
    // A consumer that begins at the end has to be there before the load.
    tokio::time::sleep(Duration::from_secs(5)).await;

    let mut drive = Drive::new(options, &pipeline);
    let mut beside = Beside { pipeline: &pipeline, applier: &applier, sidecar: &mut sidecar, shelf: &shelf };
    let (written, mut rivals, planter) = drive.run(options, &mut beside).await;
    let planted = planter.into_planted();
    let truth = || Truth::new(&shelf.book(), &planted);
    drive.wind_down(options, &mut beside, &truth).await;

    wait::until("everything is applied", Duration::from_secs(120), || async { pipeline.is_applied().then_some(()) })
        .await;
    applier.stop();
    let (timed, judged_changes) = rules.stop();
    rivals.extend(timed);
    let (truth, told) = (truth(), sidecar.told());
    let check = check::check(&pipeline, &truth).await;
    let score = Score::of(&truth, &told);
    let sidecar_cost = record::SidecarCost::of(&sidecar).await;
    let target_cpu = meter.stop();
    let line = {
        let book = shelf.book();
        let (options, written, book) = (options, &written, &*book);
        let (truth, score, rivals, check) = (&truth, &score, &*rivals, &check);
        let sidecar = sidecar_cost;
        let regime =
            Regime { options, written, book, truth, score, rivals, judged_changes, target_cpu, sidecar, check };
        regime.to_json().to_string()
    };
    println!("{line}");
    if let Some(path) = &options.record {
        append(path, &line);
    }
    if let Some(path) = &options.keep {
        record::keep(path, options, &truth, &score, &told, &sidecar.log());
    }
    drop(sidecar);
    pipeline.clear().await;
}

fn tell_plan(options: &Options) {
    let rates = applier::RATES;
    eprintln!(
        "fault plan: seed {}, windows of {} ms, {} s late; of 1000 windows {} are written twice because the applier dies before \
         it commits, {} set only the columns of a row's last change, {} are skipped; none of the first {}; rows that are there \
         already are not inserted, rows that are not there are not updated, and nobody is told; a second writer damages a \
         verified row every {} ms",
        options.seed,
        options.window_ms,
        options.lag_s,
        rates.restart,
        rates.torn_update,
        rates.skipped_batch,
        rates.calm_windows,
        plant::EVERY.as_millis(),
    );
}

fn applier_settings(options: &Options, pipeline: &Pipeline) -> applier::Settings {
    applier::Settings {
        feed: feed(pipeline, pipeline.group()),
        target: pipeline.target_url().to_owned(),
        window: Duration::from_millis(options.window_ms),
        lag: Duration::from_secs(options.lag_s),
        seed: options.seed,
    }
}

fn rules_settings(options: &Options, pipeline: &Pipeline) -> rules::Settings {
    rules::Settings {
        feed: feed(pipeline, format!("rules-{}", pipeline.name())),
        target: pipeline.target_url().to_owned(),
        share: options.share,
    }
}

fn feed(pipeline: &Pipeline, group: String) -> Feed {
    Feed { broker: pipeline.broker().to_owned(), group, topics: pipeline.topics() }
}

fn timed_rules() -> Vec<Box<dyn Rule>> {
    vec![Box::<FixedDelay>::default(), Box::<ResetOnChange>::default(), Box::<Dms>::default()]
}

fn append(path: &Path, line: &str) {
    let file = fs::OpenOptions::new().create(true).append(true).open(path);
    let written = file.and_then(|mut file| writeln!(file, "{line}"));
    written.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
