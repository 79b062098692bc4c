//! One pipeline, put together: its threads, its tasks, its channels.
#![expect(clippy::disallowed_methods, reason = "a pipeline owns its threads, and joining them blocks")]

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use secrecy::ExposeSecret;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::config::{Evidence as Applied, Pipeline, QueryTrust, Tap};
use crate::engine::Engine;
use crate::engine::event::{Lookup, Recall, Scan};
use crate::engine::limit::LOOKUPS_IN_FLIGHT;
use crate::engine::tally::Tally;
use crate::model::{PartitionId, Wall};
use crate::tap::kafka::dead_letters::DeadLetters;
use crate::tap::kafka::evidence;
use crate::tap::{self, Control, Partitions, TapEvent};
use crate::target::{Target, TargetError};

use super::alerting::Alerts;
use super::clock::Clock;
use super::columns::ColumnWatch;
use super::crash::Guard;
use super::dead_letters::Postbox;
use super::decoding::{Bindings, Decoding};
use super::driver::{Asks, Driver, FED, Fed, RECORDS, REPLIES, Record, Reply, TapState, Timing};
use super::entry::Failure;
use super::evidence::{Evidence, Positions};
use super::findings::store_failure;
use super::images::{ImageStore, TableVersions};
use super::ingest::{Counts, Ingest};
use super::inherited::Inherited;
use super::look::Looker;
use super::losses::Losses;
use super::mapping::{Finder, Mapper, PlanRules};
use super::ordered::{self, Ordered};
use super::picture::Picture;
use super::poison::Reasons;
use super::recall::{Again, RECALLS, Recaller};
use super::record::{CommitTimes, OpenFindings, Recorder, Sink, StoreState};
use super::restore::Restore;
use super::scan::{SCANS, Scanner};
use super::schemas::{ENDS_WITHIN, Patience, Reader, Schemas, Waiter};
use super::settings::{self, Read};
use super::tables::Tables;
use super::window::{Selection, Window};

/// Longest wait for the stages to end once they were told to.
const END_WITHIN: Duration = Duration::from_secs(12);

/// A running pipeline.
pub(super) struct Running {
    pub(super) picture: Picture,
    pub(super) counts: Arc<Counts>,
    /// What the tap says of gaps, for their findings.
    losses: Losses,
    pub(super) target: Target,
    pub(super) open: OpenFindings,
    pub(super) control: Arc<dyn Control>,
    pub(super) replies: mpsc::Sender<Reply>,
    pub(super) records: mpsc::Sender<Record>,
    fed: mpsc::Sender<Fed>,
    taps: Option<SyncSender<Receiver<TapEvent>>>,
    rules: Arc<PlanRules>,
    epoch: Arc<AtomicU64>,
    images: Arc<ImageStore>,
    name: Arc<str>,
    stopped: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
}

/// What a pipeline is started with.
pub(super) struct Start<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) read: Read,
    pub(super) sink: Sink,
    pub(super) alerts: Alerts,
    pub(super) window: Option<Window>,
    pub(super) clock: Clock,
    /// What times without a date count from (`last 2h`).
    pub(super) since: Wall,
}

/// What the judge asks, for those who answer.
struct Questions {
    lookups: mpsc::Receiver<Lookup>,
    recalls: mpsc::Receiver<Recall>,
    scans: mpsc::Receiver<Scan>,
}

fn asks() -> (Asks, Questions) {
    let ((looks, lookups), (recall, recalls), (scan, scans)) =
        (mpsc::channel(FED), mpsc::channel(RECALLS), mpsc::channel(SCANS));
    (Asks { lookups: looks, recalls: recall, scans: scan }, Questions { lookups, recalls, scans })
}

fn no_target(error: TargetError) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new("the target cannot be used") }
}

fn no_thread(error: std::io::Error) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new("no thread can be started") }
}

fn refused(what: impl Into<String>, hint: Option<&str>) -> Failure {
    Failure { hint: hint.map(str::to_owned), ..Failure::new(what) }
}

impl Running {
    /// Starts every stage. The target need not answer yet; the tap and the options must make sense.
    ///
    /// # Errors
    /// What cannot be waited for.
    pub(super) async fn start(start: Start<'_>) -> Result<Running, Failure> {
        let Start { pipeline, read, sink, alerts, window, clock, since } = start;
        let target = Target::connect(settings::target(&pipeline.target)).await.map_err(no_target)?;
        let (name, partitions) = (Arc::<str>::from(pipeline.name.as_str()), Partitions::default());
        let stopped = Arc::<AtomicBool>::default();
        let schemas = schemas(pipeline, window.as_ref(), (clock, &stopped))?;
        let told = (positions(pipeline, &partitions)?, dead_letters(pipeline)?);
        let (events, control) = open_tap(pipeline, (read, since), &partitions)?;
        let (tables, images) = (Arc::default(), Arc::new(ImageStore::new(pipeline.limits.cache_bytes)));
        let engine = judge(pipeline, window.as_ref(), &images, &tables, &partitions);
        let (fed, fed_here) = mpsc::channel(FED);
        let ((replies, replies_here), (records, records_here)) = (mpsc::channel(REPLIES), mpsc::channel(RECORDS));
        let (asks, questions) = asks();
        let ((tally_here, tally), (tap_here, tap), (store_here, store)) =
            (watch::channel(engine.tally()), watch::channel(TapState::Running), watch::channel(StoreState::Taking));
        let picture = Picture {
            clock,
            tables,
            partitions,
            tally,
            tap,
            store,
            schemas,
            committed: CommitTimes::default(),
            failing: Arc::default(),
            target: target.clone(),
            guard: Guard::new(Arc::clone(&name)),
        };
        let mut running = Running {
            rules: rules(pipeline, &picture.partitions),
            picture,
            counts: counts(window.as_ref()),
            losses: Losses::default(),
            target,
            open: OpenFindings::default(),
            control,
            replies,
            records: records.clone(),
            fed,
            taps: None,
            epoch: Arc::default(),
            images,
            name,
            stopped,
            threads: Vec::new(),
            tasks: JoinSet::new(),
        };
        let driver = Driver {
            engine,
            clock,
            fed: fed_here,
            replies: replies_here,
            asks,
            records,
            control: Arc::clone(&running.control),
            tally: tally_here,
            tap: tap_here,
            pipeline: Arc::clone(&running.name),
            partitions: running.picture.partitions.clone(),
            tables: Arc::clone(&running.picture.tables),
            timing: Timing::default(),
        };
        running.spawn_thread("engine", move |handle| handle.block_on(driver.run()))?;
        let restore = running.restore(pipeline, &sink).await?;
        running.spawn_ingest(pipeline, events, (window, restore))?;
        running.spawn_tasks(pipeline, told, questions);
        running.spawn_recorder(pipeline, (sink, alerts), store_here, records_here);
        Ok(running)
    }

    fn spawn_tasks(
        &mut self,
        pipeline: &Pipeline,
        (positions, letters): (Positions, Option<DeadLetters>),
        Questions { lookups, recalls, scans }: Questions,
    ) {
        self.spawn_recaller(pipeline, recalls);
        self.spawn_scanner(scans);
        let columns = ColumnWatch {
            rules: Arc::clone(&self.rules),
            target: self.target.clone(),
            tables: Arc::clone(&self.picture.tables),
            epoch: Arc::clone(&self.epoch),
            replies: self.replies.clone(),
            pipeline: Arc::clone(&self.name),
            clock: self.picture.clock,
            turn: Arc::default(),
        };
        let looker = Looker {
            clock: self.picture.clock,
            target: self.target.clone(),
            tables: Arc::clone(&self.picture.tables),
            control: Arc::clone(&self.control),
            replies: self.replies.clone(),
            columns: columns.clone(),
            failing: Arc::clone(&self.picture.failing),
            reading: Arc::new(Semaphore::new(LOOKUPS_IN_FLIGHT)),
            pipeline: Arc::clone(&self.name),
            guard: self.picture.guard.clone(),
        };
        let evidence = Evidence {
            clock: self.picture.clock,
            every: pipeline.judging.poll,
            partitions: self.picture.partitions.clone(),
            control: Arc::clone(&self.control),
            positions,
            target: self.target.clone(),
            failing: Arc::clone(&self.picture.failing),
            replies: self.replies.clone(),
            pipeline: Arc::clone(&self.name),
        };
        self.spawn_task("look", looker.run(lookups));
        self.spawn_task("evidence", evidence.run());
        self.spawn_task("columns", columns.run());
        if let Some(letters) = letters {
            let postbox = Postbox {
                letters,
                every: pipeline.judging.poll,
                partitions: self.picture.partitions.clone(),
                replies: self.replies.clone(),
                pipeline: Arc::clone(&self.name),
            };
            self.spawn_task("dead letters", postbox.run());
        }
    }

    fn spawn_recaller(&mut self, pipeline: &Pipeline, recalls: mpsc::Receiver<Recall>) {
        let again = Again {
            control: Arc::clone(&self.control),
            reader: Reader::new(&pipeline.decode, &pipeline.tables, &self.picture.schemas),
            tables: Arc::clone(&self.picture.tables),
            partitions: self.picture.partitions.clone(),
            images: Arc::clone(&self.images),
            gone: BTreeSet::new(),
        };
        let (replies, guard) = (self.replies.clone(), self.picture.guard.clone());
        let recaller = Recaller { recalls, again, replies, pipeline: Arc::clone(&self.name), guard };
        self.spawn_task("recall", recaller.run());
    }

    fn spawn_scanner(&mut self, scans: mpsc::Receiver<Scan>) {
        let scanner = Scanner {
            scans,
            target: self.target.clone(),
            tables: Arc::clone(&self.picture.tables),
            replies: self.replies.clone(),
            pipeline: Arc::clone(&self.name),
            guard: self.picture.guard.clone(),
        };
        self.spawn_task("scan", scanner.run());
    }

    async fn restore(&self, pipeline: &Pipeline, sink: &Sink) -> Result<Restore, Failure> {
        let partitions = self.picture.partitions.clone();
        match sink {
            Sink::Memory(_) => Ok(Restore::nothing(partitions, self.picture.clock)),
            Sink::Store(store) => {
                let documents = Restore::load(store, &pipeline.name).await.map_err(store_failure)?;
                Ok(Restore::of(documents, partitions, self.picture.clock))
            }
        }
    }

    fn spawn_recorder(
        &mut self,
        pipeline: &Pipeline,
        (sink, alerts): (Sink, Alerts),
        state: watch::Sender<StoreState>,
        records: mpsc::Receiver<Record>,
    ) {
        let reasons = Reasons {
            images: Arc::clone(&self.images),
            tables: Arc::clone(&self.picture.tables),
            connect: connect(pipeline),
            client: reqwest::Client::new(),
            tally: self.picture.tally.clone(),
            partitions: self.picture.partitions.clone(),
            said: String::new(),
        };
        let (context, control) = (self.picture.context(pipeline), Arc::clone(&self.control));
        let (open, committed) = (self.open.clone(), Arc::clone(&self.picture.committed));
        let (inherited, counts) = (Inherited::default(), Arc::clone(&self.counts));
        let (guard, losses) = (self.picture.guard.clone(), self.losses.clone());
        let recorder = Recorder {
            context,
            sink,
            control,
            alerts,
            state,
            reasons,
            losses,
            open,
            inherited,
            committed,
            counts,
            guard,
        };
        self.spawn_task("record", recorder.run(records));
    }

    fn spawn_ingest(
        &mut self,
        pipeline: &Pipeline,
        events: Receiver<TapEvent>,
        (window, restore): (Option<Window>, Restore),
    ) -> Result<(), Failure> {
        let window = window.map(|window| window.among(&self.picture.partitions, &self.picture.tables));
        let mut ingest = self.ingest(pipeline, (window, restore))?;
        let fed = self.fed.clone();
        let (taps, taps_here) = sync_channel(1);
        let _ = taps.send(events);
        self.taps = ingest.window.is_some().then_some(taps);
        self.spawn_thread("ingest", move |_| ingest.run(&taps_here, &fed))
    }

    fn ingest(&self, pipeline: &Pipeline, (window, restore): (Option<Window>, Restore)) -> Result<Ingest, Failure> {
        let finder = Finder {
            rules: Arc::clone(&self.rules),
            target: self.target.clone(),
            handle: Handle::current(),
            stopped: Arc::clone(&self.stopped),
            pipeline: Arc::clone(&self.name),
            again: BTreeMap::new(),
        };
        let mapper = Mapper::new(finder, Arc::clone(&self.picture.tables), Arc::clone(&self.epoch), self.picture.clock);
        let decoding = || Decoding {
            reader: Reader::new(&pipeline.decode, &pipeline.tables, &self.picture.schemas),
            mapper: mapper.clone(),
            partitions: self.picture.partitions.clone(),
            bindings: Bindings::new(
                Arc::clone(&self.picture.tables),
                Arc::clone(&self.name),
                window.as_ref().and_then(|window| window.asked().condition.clone()),
            ),
        };
        let workers = (0..ordered::threads()).map(|_| {
            let (mut decoding, guard) = (decoding(), self.picture.guard.clone());
            // A lane that ends without an answer ends ingest, and no batch behind the lost one reaches the engine.
            move |batch| {
                guard
                    .hold("decode", || decoding.decode(batch))
                    .unwrap_or_else(|| resume_unwind(Box::new("told already")))
            }
        });
        Ok(Ingest {
            pipeline: Arc::clone(&self.name),
            decoding: Ordered::start(&format!("decode-{}", self.name), workers).map_err(no_thread)?,
            one_by_one: decoding(),
            in_sequence: settings::decoder(&pipeline.decode, &[]).format.depends_on_order(),
            tables: Arc::clone(&self.picture.tables),
            epoch: Arc::clone(&self.epoch),
            images: Arc::clone(&self.images),
            partitions: self.picture.partitions.clone(),
            counts: Arc::clone(&self.counts),
            window,
            losses: self.losses.clone(),
            restore,
            met: BTreeSet::new(),
            next: BTreeMap::new(),
        })
    }

    fn spawn_thread(&mut self, stage: &'static str, work: impl FnOnce(Handle) + Send + 'static) -> Result<(), Failure> {
        let (handle, guard) = (Handle::current(), self.picture.guard.clone());
        let name = format!("{stage}-{}", self.name);
        let held = move || guard.hold(stage, || work(handle)).unwrap_or_default();
        let thread = std::thread::Builder::new().name(name).spawn(held);
        self.threads.push(thread.map_err(no_thread)?);
        Ok(())
    }

    fn spawn_task(&mut self, stage: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let held = self.picture.guard.clone().hold_task(stage, work);
        self.tasks.spawn(async { held.await.unwrap_or_default() });
    }

    /// Reads on behind the end of a range that was read, if the log has grown: rows are judged only when the tap was
    /// consumed up to where it ended when they were read.
    ///
    /// # Errors
    /// When the tap cannot be started again.
    pub(super) fn follow_on(&self, pipeline: &Pipeline, tally: &Tally) -> Result<(), Failure> {
        let grown = tally.partitions.iter().any(|partition| partition.end > partition.consumed);
        let Some(taps) = self.taps.as_ref().filter(|_| grown) else { return Ok(()) };
        let name = |mark: &crate::engine::tally::PartitionTally| self.picture.partitions.name(mark.partition);
        let from = tally.partitions.iter().map(|mark| (name(mark), mark.consumed));
        let read = Read::Onward(from.collect());
        let options = settings::tap(&pipeline.tap, read, self.picture.clock.wall(self.picture.clock.now()));
        let options = options.map_err(|error| refused(error, None))?;
        let (events, _) = tap::start(options, self.picture.partitions.clone()).map_err(tap_failure)?;
        taps.try_send(events).map_err(|_| Failure::new("the tap is still being read"))
    }

    /// The picture as of now of what lies before `ends`, walked by the engine itself; `None` once it is gone.
    pub(super) async fn tally_now(&self, ends: BTreeMap<PartitionId, u64>) -> Option<Tally> {
        let (asker, answer) = oneshot::channel();
        self.replies.send(Reply::Tally { ends, asker }).await.ok()?;
        answer.await.ok()
    }

    /// Waits until everything said so far is durable.
    pub(super) async fn flush(&self) {
        let (asker, answer) = oneshot::channel();
        if self.records.send(Record::Flush(asker)).await.is_ok() {
            let _ = answer.await;
        }
    }

    /// Stops taking in, makes what was found durable, commits, ends. Bounded in time.
    pub(super) async fn stop(mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        let _ = self.replies.send(Reply::Stop).await;
        self.control.stop();
        drop((self.records, self.fed, self.replies, self.taps));
        let ended = tokio::time::timeout(END_WITHIN, async { while self.tasks.join_next().await.is_some() {} });
        if ended.await.is_err() {
            tracing::warn!(
                pipeline = &*self.name,
                "some stage did not end in time; uncommitted changes will be read again"
            );
            self.tasks.abort_all();
        }
        let threads = self.threads;
        let joined = tokio::task::spawn_blocking(move || threads.into_iter().for_each(|thread| drop(thread.join())));
        let _ = tokio::time::timeout(END_WITHIN, joined).await;
    }
}

/// A command that reads a range does not wait for the registry for ever.
fn schemas(
    pipeline: &Pipeline,
    window: Option<&Window>,
    (clock, stopped): (Clock, &Arc<AtomicBool>),
) -> Result<Schemas, Failure> {
    let patience = if window.is_some() { Patience::For(ENDS_WITHIN) } else { Patience::Endless };
    let waiter = Waiter { pipeline: pipeline.name.as_str().into(), clock, stopped: Arc::clone(stopped), patience };
    Schemas::of(&pipeline.decode, waiter)
}

fn rules(pipeline: &Pipeline, partitions: &Partitions) -> Arc<PlanRules> {
    Arc::new(PlanRules::of(pipeline, partitions.clone()))
}

fn counts(window: Option<&Window>) -> Arc<Counts> {
    let selection = window.map(|window| Selection::new(window.asked().clone()));
    Arc::new(Counts::of(selection.unwrap_or_default()))
}

fn judge(
    pipeline: &Pipeline,
    window: Option<&Window>,
    images: &Arc<ImageStore>,
    tables: &Arc<Tables>,
    partitions: &Partitions,
) -> Engine {
    let mut options = settings::engine(pipeline);
    if window.is_some() {
        // A range is judged once and left.
        options.patrol_reads_per_second = 0;
    }
    let bytes = pipeline.limits.cache_bytes;
    let versions = TableVersions::new(
        Arc::clone(images),
        bytes,
        Arc::clone(tables),
        partitions.clone(),
        window.map(|window| window.noted().clone()),
    );
    Engine::new(options, Box::new(versions))
}

fn open_tap(
    pipeline: &Pipeline,
    (read, now): (Read, Wall),
    partitions: &Partitions,
) -> Result<(Receiver<TapEvent>, Arc<dyn Control>), Failure> {
    let options = settings::tap(&pipeline.tap, read, now).map_err(|error| refused(error, None))?;
    tap::start(options, partitions.clone()).map_err(tap_failure)
}

pub(super) fn tap_failure(error: tap::TapError) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new("the tap cannot be read") }
}

/// The sink's Connect address and name: a Connect sink's group is named after it.
fn connect(pipeline: &Pipeline) -> Option<(String, String)> {
    let url = pipeline.connect_url.as_ref()?.expose_secret().to_owned();
    let sink = settings::applied(pipeline).into_iter().find_map(|one| match one {
        Applied::KafkaGroup(group) => group.strip_prefix("connect-").map(str::to_owned),
        Applied::KclLease(_)
        | Applied::Query(_)
        | Applied::DmsStatus { .. }
        | Applied::Heartbeat { .. }
        | Applied::Inferred
        | Applied::Assumed => None,
    });
    Some((url, sink?))
}

/// The applier's dead-letter topic, where one is configured.
fn dead_letters(pipeline: &Pipeline) -> Result<Option<DeadLetters>, Failure> {
    let (Some(topic), Tap::Kafka(kafka)) = (&pipeline.dead_letters, &pipeline.tap) else { return Ok(None) };
    DeadLetters::new(settings::brokers(kafka), topic).map(Some).map_err(tap_failure)
}

pub(super) fn positions(pipeline: &Pipeline, partitions: &Partitions) -> Result<Positions, Failure> {
    let applied = settings::applied(pipeline);
    for one in &applied {
        match (one, &pipeline.tap) {
            (Applied::KafkaGroup(group), Tap::Kafka(kafka)) => {
                let group =
                    evidence::Applied::new(settings::brokers(kafka), group, partitions.clone()).map_err(tap_failure)?;
                return Ok(Positions::Group(Arc::new(group)));
            }
            (Applied::Query(sql), _) => {
                return Ok(Positions::Query { sql: sql.clone(), trust: pipeline.progress.query });
            }
            (Applied::DmsStatus { schema, task }, _) => {
                let sql = settings::status_query(pipeline, schema, task.as_deref());
                return Ok(Positions::Query { sql, trust: QueryTrust::Witness });
            }
            (Applied::KafkaGroup(_), Tap::File(_) | Tap::Archive(_)) => {
                return Err(refused(
                    "a file or an archive has no consumer group: `kafka-group` is no evidence for it",
                    Some("use `assumed`, or read the topic itself"),
                ));
            }
            (Applied::KclLease(_), _) => {
                return Err(refused("`kcl-lease` is not supported by this version", None));
            }
            (Applied::Heartbeat { .. } | Applied::Inferred | Applied::Assumed, _) => {}
        }
    }
    Ok(Positions::None)
}
