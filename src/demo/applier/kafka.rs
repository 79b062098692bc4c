//! Drives the applier from a consumer group: records in, SQLite rows out, offsets committed after the rows are written.
//!
//! It runs on a thread of its own. A planned restart goes back to the committed offsets as a restarted task does, without
//! leaving the group, which would only make everybody wait.
#![expect(clippy::disallowed_methods, reason = "it owns the thread of the demo's applier")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::change::Place;
use super::debezium::{self, Dated, Unreadable};
use super::sqlite::SqliteWriter;
use super::{Applier, Counts, FaultPlan, Loss, Then};
use crate::model::{SourceTime, Tick, Wall};
use crate::runtime::Clock;

/// How long one poll waits: also how soon a stop is noticed.
const POLL: Duration = Duration::from_millis(50);

/// How long the group's coordinator may take over a commit or a seek.
const ANSWER: Duration = Duration::from_secs(10);

/// Lags remembered for percentiles; past it only the largest is kept up to date.
const LAGS_AT_MOST: usize = 200_000;

/// What the applier reads, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `host:port[,host:port]`.
    pub brokers: String,
    /// Its consumer group.
    pub group: String,
    /// Topics of Debezium records.
    pub topics: Vec<String>,
    /// How long changes are collected before they are merged and applied.
    pub window: Duration,
    /// When it goes wrong.
    pub plan: FaultPlan,
}

/// How far it came.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// It has joined its group.
    pub joined: bool,
    /// Changes, windows, restarts.
    pub counts: Counts,
    /// Median time from commit at the source to commit of the applier's offset.
    pub lag_p50: Duration,
    /// The longest one.
    pub lag_max: Duration,
    /// Everything lost so far.
    pub losses: Arc<[Loss<Place>]>,
}

/// An applier that cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ApplierError {
    /// The broker refuses.
    #[error("the applier's consumer fails")]
    Kafka(#[from] KafkaError),
    /// The target refuses.
    #[error("the applier cannot write its target")]
    Target(#[from] sqlx::Error),
    /// A record is none of Debezium's.
    #[error("the applier cannot read {at}")]
    Record {
        /// Where.
        at: Place,
        /// Why.
        #[source]
        source: Unreadable,
    },
    /// No thread.
    #[error("the applier's thread cannot be started")]
    Thread(#[from] std::io::Error),
    /// The thread panicked.
    #[error("the applier's thread panicked")]
    Panicked,
}

/// A running applier.
#[derive(Debug)]
pub struct Running {
    progress: watch::Receiver<Progress>,
    faults: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<(), ApplierError>>,
}

/// A record's place, and its change, if it is one.
type Polled = (Place, Option<Dated<Place>>);

impl Running {
    /// Starts the thread. Call it inside a multi-threaded tokio runtime, which the target's driver needs.
    ///
    /// # Errors
    /// When no consumer or thread can be made.
    pub fn start(settings: &Settings, writer: SqliteWriter, clock: Clock) -> Result<Running, ApplierError> {
        let assignments = Arc::new(AtomicU64::new(0));
        let consumer = consumer(settings, Arc::clone(&assignments))?;
        let (here, progress) = watch::channel(Progress::default());
        let (faults, stop) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicBool::new(false)));
        let shell = Shell {
            consumer,
            assignments,
            known_assignments: 0,
            topics: settings.topics.iter().map(|topic| topic.as_str().into()).collect(),
            applier: Applier::new(settings.plan.clone()),
            writer,
            clock,
            handle: Handle::current(),
            window: settings.window,
            opened: clock.now(),
            next: BTreeMap::new(),
            reach: BTreeMap::new(),
            committed: BTreeMap::new(),
            fresh: Vec::new(),
            lags: Lags::default(),
            progress: here,
        };
        let (faults_there, stop_there) = (Arc::clone(&faults), Arc::clone(&stop));
        let thread = std::thread::Builder::new()
            .name("demo-applier".into())
            .spawn(move || shell.run(&faults_there, &stop_there))?;
        Ok(Running { progress, faults, stop, thread })
    }

    /// How far it came.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// Whether the thread has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// No more faults from here on.
    pub fn stop_faults(&self) {
        self.faults.store(false, Ordering::Relaxed);
    }

    /// Ends it: what its window holds is left unapplied. Blocking.
    ///
    /// # Errors
    /// What it had ended with before.
    pub fn stop(self) -> Result<(), ApplierError> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| ApplierError::Panicked)?
    }
}

struct Assignments(Arc<AtomicU64>);

impl ClientContext for Assignments {}

impl ConsumerContext for Assignments {
    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) if list.count() > 0 => {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
            Rebalance::Assign(_) | Rebalance::Revoke(_) | Rebalance::Error(_) => {}
        }
    }
}

fn consumer(settings: &Settings, assignments: Arc<AtomicU64>) -> Result<BaseConsumer<Assignments>, KafkaError> {
    let consumer: BaseConsumer<Assignments> = ClientConfig::new()
        .set("bootstrap.servers", &settings.brokers)
        .set("group.id", &settings.group)
        .set("client.id", "demo-applier")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("fetch.wait.max.ms", "100")
        .create_with_context(Assignments(assignments))?;
    let topics: Vec<&str> = settings.topics.iter().map(String::as_str).collect();
    consumer.subscribe(&topics)?;
    Ok(consumer)
}

type Offsets = BTreeMap<(Arc<str>, i32), u64>;

/// Everything the thread owns.
struct Shell {
    consumer: BaseConsumer<Assignments>,
    assignments: Arc<AtomicU64>,
    known_assignments: u64,
    topics: Vec<Arc<str>>,
    applier: Applier<Place>,
    writer: SqliteWriter,
    clock: Clock,
    handle: Handle,
    window: Duration,
    opened: Tick,
    /// Next offset to be taken.
    next: Offsets,
    /// Where taking stood when it was set back: the window is not closed before all of it was taken again.
    reach: Offsets,
    committed: Offsets,
    fresh: Vec<SourceTime>,
    lags: Lags,
    progress: watch::Sender<Progress>,
}

impl Shell {
    fn run(mut self, faults: &AtomicBool, stop: &AtomicBool) -> Result<(), ApplierError> {
        while !stop.load(Ordering::Relaxed) {
            if !faults.load(Ordering::Relaxed) {
                self.applier.stop_faults();
            }
            let polled = self.poll()?;
            self.look_at_assignment();
            if let Some((at, event)) = polled {
                self.take(at, event);
            }
            if self.is_due() {
                self.close()?;
            }
        }
        Ok(())
    }

    /// The next record: its place, and its change, if it is one.
    fn poll(&self) -> Result<Option<Polled>, ApplierError> {
        match self.consumer.poll(POLL) {
            None => Ok(None),
            Some(Ok(message)) => self.read(&message).map(Some),
            Some(Err(error)) if error.rdkafka_error_code() == Some(rdkafka::types::RDKafkaErrorCode::Fatal) => {
                Err(error.into())
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "the demo's applier");
                Ok(None)
            }
        }
    }

    fn read(&self, message: &BorrowedMessage<'_>) -> Result<(Place, Option<Dated<Place>>), ApplierError> {
        let known = self.topics.iter().find(|topic| &***topic == message.topic());
        let topic = known.map_or_else(|| message.topic().into(), Arc::clone);
        let offset = u64::try_from(message.offset()).unwrap_or_default();
        let at = Place { topic, partition: message.partition(), offset };
        let event = debezium::read(message.key(), message.payload(), at.clone())
            .map_err(|source| ApplierError::Record { at: at.clone(), source })?;
        Ok((at, event))
    }

    /// A new assignment begins at the committed offsets: a restart that nobody planned.
    fn look_at_assignment(&mut self) {
        let assignments = self.assignments.load(Ordering::Relaxed);
        if assignments == self.known_assignments {
            return;
        }
        if self.known_assignments > 0 {
            self.set_back();
        }
        self.known_assignments = assignments;
        self.tell();
    }

    fn take(&mut self, at: Place, event: Option<Dated<Place>>) {
        let partition = (Arc::clone(&at.topic), at.partition);
        let expected = self.next.get(&partition).copied();
        let stale = !self.reach.is_empty() && expected.is_some_and(|expected| at.offset != expected);
        if stale {
            return;
        }
        self.next.insert(partition, at.offset + 1);
        if let Some((event, committed_at)) = event {
            self.applier.take(event);
            self.fresh.extend(committed_at);
        }
    }

    fn is_due(&self) -> bool {
        let reached = self.reach.iter().all(|(partition, to)| self.next.get(partition).is_some_and(|next| next >= to));
        let over = self.clock.now().since(self.opened) >= self.window;
        (over && reached) || self.applier.is_full()
    }

    fn close(&mut self) -> Result<(), ApplierError> {
        self.opened = self.clock.now();
        let Some(batch) = self.applier.close() else { return Ok(()) };
        let effects = self.handle.block_on(self.writer.write(&batch.statements))?;
        self.applier.applied(&effects, self.wall());
        match batch.then {
            Then::Restart => self.restart()?,
            Then::Commit => match self.consumer.commit(&list(&self.next)?, CommitMode::Sync) {
                Ok(()) => self.count_committed(),
                Err(error) => {
                    tracing::warn!(%error, "the demo's applier could not commit, and begins again");
                    self.restart()?;
                }
            },
        }
        self.tell();
        Ok(())
    }

    fn count_committed(&mut self) {
        let now = self.wall();
        self.applier.committed(now);
        self.committed.clone_from(&self.next);
        self.reach.clear();
        for committed_at in self.fresh.drain(..) {
            self.lags.push(now.after(committed_at));
        }
    }

    /// Goes back to the committed offsets.
    fn restart(&mut self) -> Result<(), ApplierError> {
        let mut back = Offsets::new();
        for partition in self.next.keys() {
            back.insert(partition.clone(), self.committed.get(partition).copied().unwrap_or_default());
        }
        let sought = self.consumer.seek_partitions(list(&back)?, ANSWER)?;
        sought.elements().iter().try_for_each(|element| element.error())?;
        self.set_back();
        Ok(())
    }

    fn set_back(&mut self) {
        self.applier.restarted();
        self.fresh.clear();
        for (partition, next) in std::mem::take(&mut self.next) {
            let committed = self.committed.get(&partition).copied().unwrap_or_default();
            let reach = self.reach.entry(partition.clone()).or_default();
            *reach = (*reach).max(next);
            self.next.insert(partition, committed);
        }
    }

    fn wall(&self) -> Wall {
        self.clock.wall(self.clock.now())
    }

    fn tell(&self) {
        let progress = Progress {
            joined: self.known_assignments > 0,
            counts: self.applier.counts(),
            lag_p50: self.lags.median(),
            lag_max: self.lags.max,
            losses: self.applier.ledger().losses().into(),
        };
        self.progress.send_replace(progress);
    }
}

fn list(offsets: &Offsets) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for ((topic, partition), offset) in offsets {
        list.add_partition_offset(topic, *partition, Offset::Offset(i64::try_from(*offset).unwrap_or(i64::MAX)))?;
    }
    Ok(list)
}

/// Times from commit at the source to commit of the applier's offset.
#[derive(Debug, Default)]
struct Lags {
    all: Vec<Duration>,
    max: Duration,
}

impl Lags {
    fn push(&mut self, lag: Duration) {
        self.max = self.max.max(lag);
        if self.all.len() < LAGS_AT_MOST {
            self.all.push(lag);
        }
    }

    fn median(&self) -> Duration {
        let mut all = self.all.clone();
        let middle = all.len() / 2;
        if all.is_empty() { Duration::ZERO } else { *all.select_nth_unstable(middle).1 }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Rates;
    use super::*;
    use crate::demo::broker::{Broker, Producing};
    use crate::demo::source::{SQLITE_SCHEMA, Source, Table};
    use std::path::Path;

    async fn held(path: &Path) -> BTreeMap<i64, String> {
        let pool = sqlx::SqlitePool::connect(&format!("sqlite:{}", path.display())).await.expect("a database");
        let rows: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, '\"' || status || '\"' FROM orders").fetch_all(&pool).await.expect("rows");
        rows.into_iter().collect()
    }

    /// The orders that the losses say stand with another status than they should, or should be there and are not.
    fn wrong(losses: &[Loss<Place>]) -> BTreeMap<i64, String> {
        let orders = losses.iter().filter(|loss| &*loss.id.table == "public.orders" && loss.healed_at.is_none());
        let expected = orders.filter_map(|loss| loss.expected.as_ref());
        expected.map(|row| (row["id"].as_i64().expect("a number"), row["status"].to_string())).collect()
    }

    /// The orders as the source left them.
    fn truth(changes: u64) -> BTreeMap<i64, String> {
        let (mut source, mut rows, mut elapsed) = (Source::new(3, Wall(0)), BTreeMap::new(), 0);
        while source.changes() < changes {
            for record in source.advance(elapsed) {
                let value = record.value.as_ref().map(String::as_bytes);
                let read = debezium::read(Some(record.key.as_bytes()), value, ()).expect("readable");
                if let Some((event, _)) = read.filter(|(event, _)| &*event.table == "public.orders") {
                    let row = event.act.row().expect("orders are never deleted");
                    rows.insert(row["id"].as_i64().expect("a number"), row["status"].to_string());
                }
            }
            elapsed += 1;
        }
        assert_eq!(source.changes(), changes);
        rows
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn restarts_on_a_broker_lose_what_the_ledger_says() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("shop.db");
        let broker = Broker::start(&Table::ALL.map(Table::topic)).expect("a broker");
        let clock = Clock::start();
        let writer = SqliteWriter::create(&path, SQLITE_SCHEMA).await.expect("a target");
        let rates = Rates { restart: 600, skipped_batch: 0, torn_update: 0, calm_windows: 1 };
        let settings = Settings {
            brokers: broker.address(),
            group: "applier".into(),
            topics: Table::ALL.map(|table| table.topic().into()).into(),
            window: Duration::from_millis(600),
            plan: FaultPlan::new(3, rates),
        };
        let applier = Running::start(&settings, writer, clock).expect("an applier");
        let mut progress = applier.progress.clone();
        progress.wait_for(|progress| progress.joined).await.expect("partitions");
        let source = Source::new(3, clock.wall(clock.now()));
        let producing = Producing::start(&settings.brokers, source, clock).expect("a source");
        progress.wait_for(|progress| progress.losses.len() >= 3).await.expect("losses");
        applier.stop_faults();
        let changes = tokio::task::spawn_blocking(move || {
            let counted = producing.counter();
            producing.stop().expect("everything produced");
            counted.load(Ordering::Relaxed)
        });
        let changes = changes.await.expect("no panic");
        progress.wait_for(|progress| progress.counts.changes >= changes).await.expect("everything applied");
        let last = progress.borrow().clone();
        tokio::task::spawn_blocking(move || applier.stop()).await.expect("no panic").expect("no failure");
        let (held, truth) = (held(&path).await, truth(changes));
        let differ: BTreeMap<i64, String> =
            truth.into_iter().filter(|(id, status)| held.get(id) != Some(status)).collect();
        assert_eq!(differ, wrong(&last.losses));
        assert!(last.counts.restarts > 0 && !last.losses.is_empty());
    }
}
