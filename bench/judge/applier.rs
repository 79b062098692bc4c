//! The lossy batch applier between the topics and the target: a consumer group that collects changes for a window, merges
//! them, writes them in one transaction and commits its offsets afterwards.
//!
//! It runs on a thread of its own. A planned restart begins again at the committed offsets with all that had been read
//! since: the records are kept, which is the same as reading them once more.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use afterimage::demo::applier::{Applier, Batch, Event, FaultPlan, Place, Rates, Then, debezium};
use afterimage::model::Wall;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Runtime;

use crate::book::{Shelf, Versions};
use crate::feed::{Begin, Feed};
use crate::target::Target;
use crate::wall;

/// How long one poll waits.
const POLL: Duration = Duration::from_millis(10);

/// The faults, per thousand windows: a restart between the write and the commit, and merged updates that set the columns of
/// their last change alone. A skipped batch loses hundreds of rows at once, which is told as one mass divergence: it is
/// no loss of rows to be counted here. The first windows hold the rows that exist from the beginning.
pub(crate) const RATES: Rates = Rates { restart: 350, skipped_batch: 0, torn_update: 250, calm_windows: 20 };

/// What the applier works on.
pub(crate) struct Settings {
    pub(crate) feed: Feed,
    pub(crate) target: String,
    pub(crate) window: Duration,
    pub(crate) lag: Duration,
    pub(crate) seed: u64,
}

/// A running applier.
pub(crate) struct Running {
    stop: Arc<AtomicBool>,
    faults: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(settings: Settings, shelf: Shelf) -> Running {
        let (stop, faults) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        let (stop_there, faults_there) = (Arc::clone(&stop), Arc::clone(&faults));
        let run = move || Shell::new(settings, shelf).run(&stop_there, &faults_there);
        let thread = std::thread::Builder::new().name("applier".into()).spawn(run).expect("a thread");
        Running { stop, faults, thread }
    }

    /// No more faults from here on.
    pub(crate) fn stop_faults(&self) {
        self.faults.store(false, Ordering::Relaxed);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    pub(crate) fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the applier does not panic");
    }
}

/// A record that waits until the lag is over.
struct Held {
    since: Wall,
    next: i64,
    event: Option<Event<Place>>,
}

/// A partition's records, oldest first.
type Queues = BTreeMap<(Arc<str>, i32), VecDeque<Held>>;

struct Shell {
    consumer: BaseConsumer,
    runtime: Runtime,
    target: Target,
    settings: Settings,
    applier: Applier<Place>,
    held: Queues,
    /// Behind the last record taken of each partition.
    next: BTreeMap<(Arc<str>, i32), i64>,
    /// Whether records were taken since the last commit: tombstones are no changes, but have offsets.
    has_moved: bool,
    /// Changes taken since the last commit.
    uncommitted: Vec<Event<Place>>,
    oldest: Option<Wall>,
    versions: Versions,
    shelf: Shelf,
}

impl Shell {
    fn new(settings: Settings, shelf: Shelf) -> Shell {
        let consumer = settings.feed.consumer(Begin::Earliest);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let target = runtime.block_on(Target::connect(&settings.target, "applier"));
        let applier = Applier::new(FaultPlan::new(settings.seed, RATES));
        Shell {
            consumer,
            runtime,
            target,
            settings,
            applier,
            held: Queues::new(),
            next: BTreeMap::new(),
            has_moved: false,
            uncommitted: Vec::new(),
            oldest: None,
            versions: Versions::default(),
            shelf,
        }
    }

    fn run(mut self, stop: &AtomicBool, faults: &AtomicBool) {
        let mut due = wall::later(wall::now(), self.settings.window);
        while !stop.load(Ordering::Relaxed) {
            self.poll();
            self.take();
            if wall::now() < due && !self.applier.is_full() {
                continue;
            }
            if !faults.load(Ordering::Relaxed) {
                self.applier.stop_faults();
            }
            match self.applier.close() {
                Some(batch) => self.apply(&batch),
                None if self.has_moved => self.commit_offsets(),
                None => {}
            }
            due = wall::later(wall::now(), self.settings.window);
        }
    }

    fn poll(&mut self) {
        let Some(Ok(message)) = self.consumer.poll(POLL) else { return };
        let (topic, partition): (Arc<str>, i32) = (message.topic().into(), message.partition());
        let offset = u64::try_from(message.offset()).expect("an offset");
        let at = Place { topic: Arc::clone(&topic), partition, offset };
        let read = debezium::read(message.key(), message.payload(), at).expect("a record of Debezium");
        let since = Wall(message.timestamp().to_millis().unwrap_or_default());
        let held = Held { since, next: message.offset() + 1, event: read.map(|(event, _)| event) };
        self.held.entry((topic, partition)).or_default().push_back(held);
    }

    /// Takes what is old enough into the window.
    fn take(&mut self) {
        let now = wall::now();
        for (partition, queue) in &mut self.held {
            while let Some(held) = queue.pop_front_if(|held| wall::later(held.since, self.settings.lag) <= now) {
                self.next.insert(partition.clone(), held.next);
                self.has_moved = true;
                let Some(event) = held.event else { continue };
                self.oldest = Some(self.oldest.map_or(held.since, |oldest| oldest.min(held.since)));
                self.versions.take(&event);
                self.uncommitted.push(event.clone());
                self.applier.take(event);
            }
        }
    }

    fn apply(&mut self, batch: &Batch) {
        let began = wall::now();
        let effects = self.runtime.block_on(self.target.write(&batch.statements));
        self.applier.applied(&effects, wall::now());
        match batch.then {
            Then::Commit => self.commit(began),
            Then::Restart => {
                self.applier.restarted();
                self.uncommitted.iter().cloned().for_each(|event| self.applier.take(event));
                self.shelf.book().counts = self.applier.counts();
            }
        }
    }

    fn commit_offsets(&mut self) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in &self.next {
            list.add_partition_offset(topic, *partition, Offset::Offset(*next)).expect("an offset");
        }
        self.consumer.commit(&list, CommitMode::Sync).expect("the coordinator answers");
        self.has_moved = false;
    }

    fn commit(&mut self, began: Wall) {
        self.commit_offsets();
        let now = wall::now();
        self.applier.committed(now);
        let mut book = self.shelf.book();
        book.committed(self.applier.ledger(), &self.versions, &self.uncommitted, now);
        book.counts = self.applier.counts();
        book.writing_ms.push(now.0 - began.0);
        book.lag_ms.extend(self.oldest.take().map(|oldest| now.0 - oldest.0));
        self.uncommitted.clear();
    }
}
