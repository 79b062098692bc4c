//! Drives one regime: fill, load, second writer, the runs of reladiff at the load's end, and the time after it until everything
//! is judged.

use std::time::Duration;

use afterimage::model::Wall;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior};

use crate::applier;
use crate::book::Shelf;
use crate::load::{Load, TICKS_PER_SECOND, Transaction};
use crate::options::Options;
use crate::pipeline::Pipeline;
use crate::plant::{self, Planter};
use crate::rules::Outcome;
use crate::rules::reladiff::Reladiff;
use crate::score::Score;
use crate::sidecar::Sidecar;
use crate::tables::{COUNTERS, CUSTOMERS, FILL};
use crate::target::connect;
use crate::truth::Truth;
use crate::{wait, wall};

/// How long the rows of the beginning may take to the target.
const PATIENCE: Duration = Duration::from_secs(300);

/// After the last change: the fixed threshold of a minute, and a little.
const AFTER_AT_LEAST: f64 = 80.0;

/// After the last change: both margins and the reads behind them, besides three times the lag.
const AFTER_AT_MOST: f64 = 240.0;

/// Ticks from one trickle of changes to the next.
const TRICKLE: u64 = 3;

/// Time between two looks at whether everything is found.
const LOOK: f64 = 10.0;

/// What was written.
pub(crate) struct Written {
    pub(crate) changes: u64,
    pub(crate) began: Wall,
    pub(crate) ended: Wall,
}

/// Everything that runs beside the load.
pub(crate) struct Beside<'a> {
    pub(crate) pipeline: &'a Pipeline,
    pub(crate) applier: &'a applier::Running,
    pub(crate) sidecar: &'a mut Sidecar,
    pub(crate) shelf: &'a Shelf,
}

/// Writes the rows of the beginning and waits until they are on the target.
pub(crate) async fn fill(pipeline: &Pipeline) {
    execute(&pipeline.source(), FILL).await;
    let rows = i64::try_from(CUSTOMERS + COUNTERS).expect("a count");
    wait::until("the rows of the beginning are on the target", PATIENCE, || async {
        let records: i64 = pipeline.topics().iter().map(|topic| pipeline.kafka.count(topic)).sum();
        tokio::time::sleep(Duration::from_secs(1)).await;
        (records >= rows && pipeline.is_applied()).then_some(())
    })
    .await;
}

/// The load itself.
pub(crate) struct Drive {
    load: Load,
    source: PgPool,
    pace: Interval,
    changes: u64,
}

impl Drive {
    pub(crate) fn new(options: &Options, pipeline: &Pipeline) -> Drive {
        let mut pace = tokio::time::interval(Duration::from_millis(1000 / TICKS_PER_SECOND));
        // A slow machine has less load, never a burst of it.
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Drive { load: Load::new(options.seed, options.rate), source: pipeline.source(), pace, changes: 0 }
    }

    /// Writes the load and whatever goes with it; what reladiff said, and the second writer.
    pub(crate) async fn run(&mut self, options: &Options, beside: &mut Beside<'_>) -> (Written, Vec<Outcome>, Planter) {
        let began = wall::now();
        let target = connect(beside.pipeline.target_url(), "second writer").await;
        let mut planter = Planter::new(target, beside.shelf.clone());
        let mut reladiff: Option<JoinHandle<[Outcome; 2]>> = None;
        let (mut next_damage, mut next_word) = (began, began);
        loop {
            self.tick(&mut planter).await;
            let now = wall::now();
            if now >= next_damage {
                planter.step().await;
                next_damage = wall::later(now, plant::EVERY);
            }
            if now >= next_word {
                self.tell(beside, began);
                next_word = wall::later(now, Duration::from_secs(15));
            }
            if self.changes < options.changes {
                continue;
            }
            match &reladiff {
                Some(task) if task.is_finished() => break,
                Some(_) => {}
                None => match start_reladiff(options, beside.pipeline) {
                    Some(rule) => reladiff = Some(tokio::spawn(rule.run())),
                    None => break,
                },
            }
        }
        let ended = wall::now();
        let outcomes = match reladiff {
            Some(task) => task.await.expect("reladiff runs to its end").into(),
            None => Vec::new(),
        };
        (Written { changes: self.changes, began, ended }, outcomes, planter)
    }

    async fn tick(&mut self, planter: &mut Planter) {
        self.pace.tick().await;
        let (transactions, finished) = self.load.tick();
        self.write(&transactions).await;
        planter.finished(finished);
    }

    async fn write(&mut self, transactions: &[Transaction]) {
        for transaction in transactions {
            execute(&self.source, &transaction.sql).await;
            self.changes += transaction.changes;
        }
    }

    fn tell(&self, beside: &mut Beside<'_>, began: Wall) {
        assert!(!beside.applier.has_ended(), "the applier ended");
        assert!(!beside.sidecar.has_ended(), "the sidecar ended: see its log");
        let book = beside.shelf.book();
        let open = book.losses.iter().filter(|loss| loss.healed_at.is_none()).count();
        let seconds = wall::seconds(began, wall::now());
        eprintln!(
            "{seconds:>6.0} s: {} changes written, {} applied, {} restarts, {} losses, {open} of them open, {:.1} s behind",
            self.changes,
            book.counts.changes,
            book.counts.restarts,
            book.losses.len(),
            book.lag_ms.last().copied().unwrap_or_default() as f64 / 1000.0,
        );
    }

    /// Without faults: the planned changes of the living rows, then a few changes at a steady pace until every row that is wrong
    /// was told, or the time is over.
    pub(crate) async fn wind_down(&mut self, options: &Options, beside: &mut Beside<'_>, truth: &dyn Fn() -> Truth) {
        beside.applier.stop_faults();
        let (ended, mut look) = (wall::now(), AFTER_AT_LEAST + options.lag_s as f64);
        for tick in 0_u64.. {
            self.pace.tick().await;
            if self.load.has_plans() {
                let (transactions, _) = self.load.wind_down();
                self.write(&transactions).await;
            }
            if tick % TRICKLE == 0 {
                let transactions = self.load.trickle();
                self.write(&transactions).await;
            }
            let after = wall::seconds(ended, wall::now());
            if after < look {
                continue;
            }
            look = after + LOOK;
            let truth = truth();
            let missed = Score::of(&truth, &beside.sidecar.told()).missed(&truth).len();
            eprintln!("{after:>6.0} s after the load: {missed} not found yet");
            if missed == 0 || after > AFTER_AT_MOST + 3.0 * options.lag_s as f64 {
                break;
            }
        }
    }
}

fn start_reladiff(options: &Options, pipeline: &Pipeline) -> Option<Reladiff> {
    let program = options.reladiff.clone()?;
    // It knows the scheme by its long name alone.
    let long = |url: &str| url.replacen("postgres://", "postgresql://", 1);
    Some(Reladiff { program, source: long(pipeline.source_url()), target: long(pipeline.target_url()) })
}

async fn execute(database: &PgPool, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(database).await.expect("the source takes it");
}
