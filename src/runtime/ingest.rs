//! Tap events become engine inputs, in the tap's order. Records are decoded by threads beside this one; what must come one
//! after another is done here.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};

use hashbrown::HashSet;
use tokio::sync::mpsc::Sender;

use crate::engine::Input;
use crate::model::finding::{Finding, Subject};
use crate::model::{Batch, PartitionId, Position, TableId};
use crate::tap::{Partitions, TapEvent};
use crate::telemetry::event;

use super::decoding::{Decoded, Decoding, Passed, PassedOver};
use super::driver::Fed;
use super::images::ImageStore;
use super::losses::Losses;
use super::ordered::{Ended, Ordered};
use super::restore::Restore;
use super::schemas::Stopped;
use super::tables::Tables;
use super::window::{Part, Selection, Window};

/// Events taken from the tap ahead of the engine, besides the batches that are being decoded.
const AHEAD: usize = 16;

/// What was read so far, for reports.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) records: AtomicU64,
    /// Changes that an earlier process judged: those it saw, and those that were replaced before.
    pub(super) passed: (AtomicU64, AtomicU64),
    /// Keys that change inside an audited range.
    pub(super) keys: AtomicU64,
    pub(super) changes: AtomicU64,
    pub(super) rejects: AtomicU64,
    /// What only an audit asks for.
    pub(super) range: Mutex<RangeCounts>,
    /// Keys of no range that are followed as witnesses, by their hashes.
    beside: Mutex<HashSet<u128>>,
    /// Which keys of the range were asked for.
    pub(super) selection: Mutex<Selection>,
}

/// What is known of an audited range: where it ends in each partition, and the changes of tables that are not judged. As many
/// entries as there are partitions, times tables.
#[derive(Debug, Clone, Default)]
pub(super) struct RangeCounts {
    pub(super) ends: BTreeMap<PartitionId, u64>,
    pub(super) not_judged: PassedOver,
}

impl Counts {
    pub(super) fn of(selection: Selection) -> Counts {
        Counts { selection: Mutex::new(selection), ..Counts::default() }
    }

    fn add(&self, decoded: &Decoded) {
        self.records.fetch_add(decoded.batch.len() as u64, Ordering::Relaxed);
        self.changes.fetch_add(decoded.changes.values().sum(), Ordering::Relaxed);
        self.rejects.fetch_add(decoded.rejects, Ordering::Relaxed);
    }

    /// A copy of what is known of the range.
    pub(super) fn range(&self) -> RangeCounts {
        self.range.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether a finding is about a key that no range holds.
    pub(super) fn is_beside(&self, finding: &Finding) -> bool {
        let beside = || self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        match &finding.subject {
            Subject::Row { key, .. } => beside().contains(&key.hash128()),
            Subject::Record { .. } | Subject::Table { .. } | Subject::Column { .. } | Subject::Scope { .. } => false,
        }
    }

    fn range_ends(&self, partition: PartitionId, at: u64) {
        self.range.lock().unwrap_or_else(PoisonError::into_inner).ends.insert(partition, at);
    }

    /// Takes over the witnesses, where there are more or fewer.
    fn keep_beside(&self, beside: &HashSet<u128>) {
        let mut known = self.beside.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() != beside.len() {
            known.clone_from(beside);
        }
    }

    fn pass_over(&self, not_judged: &PassedOver) {
        let mut range = self.range.lock().unwrap_or_else(PoisonError::into_inner);
        for (place, passed) in not_judged {
            let known = range.not_judged.entry(*place).or_insert(Passed { count: 0, ..*passed });
            *known = known.with(*passed);
        }
    }
}

/// The stage.
pub(super) struct Ingest {
    pub(super) pipeline: Arc<str>,
    pub(super) decoding: Ordered<Batch, Result<Decoded, Stopped>>,
    /// Decodes on this thread what must be decoded in order.
    pub(super) one_by_one: Decoding,
    /// Records were met that are understood by those before them: everything is decoded on this thread from there on.
    pub(super) in_sequence: bool,
    pub(super) tables: Arc<Tables>,
    /// Rises when threads must forget what they know of tables.
    pub(super) epoch: Arc<AtomicU64>,
    pub(super) images: Arc<ImageStore>,
    pub(super) partitions: Partitions,
    pub(super) counts: Arc<Counts>,
    pub(super) window: Option<Window>,
    /// What is known of gaps, for their findings.
    pub(super) losses: Losses,
    /// Findings of an earlier process, by table.
    pub(super) restore: Restore,
    /// Tables of which a change was judged.
    pub(super) met: BTreeSet<TableId>,
    /// Where each partition will go on, so that a continued read is no new assignment.
    pub(super) next: BTreeMap<PartitionId, u64>,
}

/// What was taken from the tap ahead of the engine.
enum Ahead {
    /// The next batch that is being decoded.
    Batch,
    Event(TapEvent),
}

/// Nobody listens any more.
struct Gone;

impl From<Stopped> for Gone {
    fn from(_: Stopped) -> Gone {
        Gone
    }
}

impl Ingest {
    /// Runs until there is no further tap or nobody listens any more. A read that is continued brings a tap for each part.
    pub(super) fn run(&mut self, taps: &Receiver<Receiver<TapEvent>>, engine: &Sender<Fed>) {
        while let Ok(events) = taps.recv() {
            if engine.blocking_send(Fed::TapStarted).is_err() || self.tap(&events, engine).is_err() {
                return;
            }
            if let Some(window) = &mut self.window {
                window.reads(Part::Since);
            }
        }
        let _ = engine.blocking_send(Fed::TapClosed);
    }

    /// Batches are decoded ahead, and everything reaches the engine in the tap's order.
    fn tap(&mut self, events: &Receiver<TapEvent>, engine: &Sender<Fed>) -> Result<(), Gone> {
        let mut ahead = VecDeque::new();
        loop {
            self.take_ahead(events, &mut ahead);
            let fed = match ahead.pop_front() {
                None => return Ok(()),
                Some(Ahead::Event(event)) => self.event(event)?,
                Some(Ahead::Batch) => match self.decoding.answer() {
                    Some(Ok(decoded)) => {
                        let decoded = self.in_order(decoded?)?;
                        Fed::Inputs(self.batch(decoded))
                    }
                    // It panicked, and its pipeline ends: what was read behind the lost batch must not seem to be all.
                    Some(Err(Ended)) | None => return Err(Gone),
                },
            };
            engine.blocking_send(fed).map_err(|_| Gone)?;
        }
    }

    /// Takes what there is; waits only where there is nothing else to do.
    fn take_ahead(&mut self, events: &Receiver<TapEvent>, ahead: &mut VecDeque<Ahead>) {
        while ahead.len() < AHEAD && self.decoding.has_room() {
            let taken = match ahead.is_empty() {
                true => events.recv().map_err(|_| TryRecvError::Disconnected),
                false => events.try_recv(),
            };
            ahead.push_back(match taken {
                // Where the thread has ended, the answer says so.
                Ok(TapEvent::Records(batch)) if !self.in_sequence => {
                    self.decoding.ask(batch).map_or(Ahead::Batch, |()| Ahead::Batch)
                }
                Ok(event) => Ahead::Event(event),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            });
        }
    }

    fn event(&mut self, event: TapEvent) -> Result<Fed, Stopped> {
        Ok(match event {
            TapEvent::Records(batch) => {
                let decoded = self.one_by_one.decode(batch)?;
                Fed::Inputs(self.batch(decoded))
            }
            TapEvent::Reached { partition, next } => {
                self.next.insert(partition, next);
                Fed::Inputs(vec![Input::Reached { partition, next }])
            }
            TapEvent::Assigned { partition, next } => {
                let continues = self.next.insert(partition, next) == Some(next) && self.window.is_some();
                if !continues {
                    self.tell_assignment(partition, Some(next));
                }
                let assigned = (!continues).then_some(Input::Assigned { partition, next });
                Fed::Inputs(assigned.into_iter().collect())
            }
            TapEvent::Revoked { partition } => {
                self.tell_assignment(partition, None);
                self.next.remove(&partition);
                Fed::Inputs(vec![Input::Revoked { partition }])
            }
            TapEvent::Gap { partition, from, to, why } => {
                let name = self.partitions.name(partition);
                let why = why.as_deref();
                event::GapSeen { pipeline: &self.pipeline, partition: &name, from, to, why }.emit();
                self.losses.keep(Position { partition, offset: from }, why);
                Fed::Inputs(vec![Input::Gap { partition, from, to }])
            }
            TapEvent::Replaced { partition, expected, end } => {
                let name = self.partitions.name(partition);
                event::LogReplaced { pipeline: &self.pipeline, partition: &name, expected, end }.emit();
                Fed::Inputs(vec![Input::Replaced { partition, expected, end }])
            }
            TapEvent::RangeEnds { partition, at } => {
                self.counts.range_ends(partition, at);
                if let Some(window) = &mut self.window {
                    window.ends_at(partition, at);
                }
                Fed::Inputs(Vec::new())
            }
            TapEvent::Ended => Fed::TapEnded,
            TapEvent::Failed(error) => Fed::TapFailed(error),
        })
    }

    fn tell_rejects(&self, decoded: &Decoded) {
        if decoded.rejects == 0 {
            return;
        }
        for input in &decoded.inputs {
            if let Input::Reject { at, reason, .. } = input {
                let partition = self.partitions.name(at.partition);
                let (pipeline, offset) = (&*self.pipeline, at.offset);
                event::RecordRejected { pipeline, partition: &partition, offset, reason }.emit();
            }
        }
    }

    fn tell_assignment(&self, partition: PartitionId, next: Option<u64>) {
        let partition = self.partitions.name(partition);
        event::Rebalanced { pipeline: &self.pipeline, partition: &partition, next }.emit();
    }

    fn batch(&mut self, mut decoded: Decoded) -> Vec<Input> {
        self.counts.add(&decoded);
        for (op, count) in &decoded.changes {
            event::ChangesConsumed { pipeline: &self.pipeline, op: *op, count: *count }.emit();
        }
        self.tell_rejects(&decoded);
        if let Some(window) = &mut self.window {
            let mut selection = self.counts.selection.lock().unwrap_or_else(PoisonError::into_inner);
            window.narrow(&mut decoded, &mut selection);
            drop(selection);
            self.counts.pass_over(&decoded.not_judged);
            self.counts.keep_beside(window.beside());
            self.counts.keys.store(window.keys(), Ordering::Relaxed);
            self.counts.passed.0.store(window.passed().0, Ordering::Relaxed);
            self.counts.passed.1.store(window.passed().1, Ordering::Relaxed);
        }
        self.images.keep(decoded.images);
        let restored = self.restored(&decoded.judged);
        let mut inputs = decoded.inputs;
        if !restored.is_empty() {
            inputs.splice(..0, restored);
        }
        for (partition, next) in decoded.reached {
            self.next.insert(partition, next);
            inputs.push(Input::Reached { partition, next });
        }
        inputs
    }

    /// A batch that was decoded too early is decoded again. Too early is what must be understood by the records before it; and
    /// what was decoded before its table was found on the target, where changes before it are judged already: once one is,
    /// every later one must be.
    fn in_order(&mut self, decoded: Decoded) -> Result<Decoded, Stopped> {
        self.in_sequence |= decoded.depends_on_order;
        let is_judged = |table: &TableId| self.met.contains(table) && self.tables.get(*table).is_some();
        let found_since = decoded.not_judged.keys().any(|(_, table)| is_judged(table));
        if found_since {
            self.epoch.fetch_add(1, Ordering::Release);
        }
        if found_since || self.in_sequence { self.one_by_one.decode(decoded.batch) } else { Ok(decoded) }
    }

    /// Findings of an earlier process in tables that are met for the first time.
    fn restored(&mut self, judged: &[TableId]) -> Vec<Input> {
        let mut inputs = Vec::new();
        for table in judged {
            if self.met.insert(*table)
                && let Some(table) = self.tables.get(*table)
            {
                inputs.extend(self.restore.take(&table));
            }
        }
        inputs
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use crate::canon::Rules;
    use crate::config::load::{Flags, Need};
    use crate::config::{Layers, Surroundings, load};
    use crate::engine::event::Role;
    use crate::model::position::PartitionName;
    use crate::model::{Columns, Dialect, Tick};
    use crate::target::Target;

    use super::super::clock::Clock;
    use super::super::decoding::Bindings;
    use super::super::mapping::{Finder, Mapper, PlanRules};
    use super::super::schemas::{Patience, Reader, Schemas, Waiter};
    use super::super::settings;
    use super::super::tables::{Carries, Mapped, Table};
    use super::*;

    /// A stage beside an empty database, whose tables are looked for again in an hour.
    fn ingest(runtime: &tokio::runtime::Runtime) -> Ingest {
        let flags =
            Flags { tap: Some("file:-".to_owned()), target: Some("sqlite::memory:".to_owned()), ..Flags::default() };
        let around = Surroundings::of_process();
        let layers = Layers { file: None, around: &around, flags, need: Need::Pipelines };
        let config = load(&layers).expect("a configuration").config;
        let pipeline = config.pipeline(None).expect("it is the only one");
        let target = runtime.block_on(Target::connect(settings::target(&pipeline.target))).expect("a database");
        let (clock, partitions, epoch) = (Clock::start(), Partitions::default(), Arc::default());
        let tables = Arc::<Tables>::default();
        let finder = Finder {
            rules: Arc::new(PlanRules::of(pipeline, partitions.clone())),
            target,
            handle: runtime.handle().clone(),
            stopped: Arc::new(AtomicBool::new(false)),
            pipeline: "orders".into(),
            again: BTreeMap::from([(tables.id(&TABLE.into()), Tick(3_600_000))]),
        };
        let mapper = Mapper::new(finder, Arc::clone(&tables), Arc::clone(&epoch), clock);
        let schemas = {
            let _inside = runtime.enter();
            let waiter = Waiter::ending("p", clock, Patience::Endless);
            Schemas::of(&pipeline.decode, waiter).expect("there is no registry")
        };
        let decoding = || Decoding {
            reader: Reader::new(&pipeline.decode, &[], &schemas),
            mapper: mapper.clone(),
            partitions: partitions.clone(),
            bindings: Bindings::new(Arc::clone(&tables), "orders".into(), None),
        };
        let mut worker = decoding();
        Ingest {
            pipeline: "p".into(),
            decoding: Ordered::start("decode", [move |batch| worker.decode(batch)]).expect("a thread"),
            one_by_one: decoding(),
            in_sequence: false,
            tables,
            epoch,
            images: Arc::new(ImageStore::new(1 << 20)),
            losses: Losses::default(),
            restore: Restore::nothing(partitions.clone(), clock),
            partitions,
            counts: Arc::default(),
            window: None,
            met: BTreeSet::new(),
            next: BTreeMap::new(),
        }
    }

    const TABLE: &str = "public.orders";

    fn batch(partitions: &Partitions, id: u64) -> Batch {
        let partition = partitions.id(&PartitionName { topic: TABLE.into(), partition: 0 }).expect("there is room");
        let source = r#"{"connector":"postgresql","schema":"public","table":"orders"}"#;
        let value = format!(r#"{{"before":null,"after":{{"id":{id}}},"source":{source},"op":"c"}}"#);
        let mut batch = Batch::default();
        batch.push((partition, id, None), Some(format!(r#"{{"id":{id}}}"#).as_bytes()), Some(value.as_bytes()), []);
        batch
    }

    fn plan(id: TableId) -> Mapped {
        let column = crate::model::ColumnMeta {
            name: "id".into(),
            declared: "bigint".into(),
            nullable: false,
            collation: None,
            number: 0,
        };
        let meta = crate::model::TableMeta {
            dialect: Dialect::Sqlite,
            schema: "".into(),
            name: "orders".into(),
            columns: vec![column],
            primary_key: vec![0],
            unique: Vec::new(),
        };
        let (named, keys) = ((id, &TABLE.into(), Role::Rows), Columns::new(["id"]));
        let table =
            Table::plan(named, Arc::new(meta), &Rules::default(), Carries { key: Some(&keys), row: None }, None);
        Mapped::Judged(Arc::new(table.expect("it has a key")))
    }

    #[test]
    fn what_was_decoded_before_its_table_was_found_is_decoded_again() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut ingest = ingest(&runtime);
        let table = ingest.tables.id(&TABLE.into());
        ingest.tables.set(table, Mapped::NotJudged("it is not there yet".into()));
        let unjudged = ingest.one_by_one.decode(batch(&ingest.partitions, 1)).expect("nothing is waited for");
        assert_eq!(unjudged.not_judged.len(), 1);
        ingest.decoding.ask(batch(&ingest.partitions, 2)).expect("it decodes");
        let early =
            ingest.decoding.answer().expect("something was asked").expect("it decodes").expect("nothing is waited for");
        assert_eq!((early.judged.len(), early.not_judged.len()), (0, 1));
        // Another thread found the table, and a change before these is judged.
        ingest.tables.set(table, plan(table));
        ingest.met.insert(table);
        let again = ingest.in_order(early).expect("nothing is waited for");
        assert_eq!((&again.judged[..], again.not_judged.len()), (&[table][..], 0));
        assert!(matches!(&ingest.batch(again)[..], [Input::Change(_), Input::Reached { next: 3, .. }]));
    }

    #[test]
    fn nothing_behind_a_batch_whose_decoding_panicked_reaches_the_engine() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let mut ingest = ingest(&runtime);
        type Worker = Box<dyn FnMut(Batch) -> Result<Decoded, Stopped> + Send>;
        let panicking: Worker = Box::new(|_| std::panic::resume_unwind(Box::new("a defect")));
        let sound: Worker = Box::new(|batch| Ok(Decoded { batch, ..Decoded::default() }));
        ingest.decoding = Ordered::start("decode", [panicking, sound]).expect("threads");
        let (taps, events) = std::sync::mpsc::sync_channel(4);
        let (engine, mut fed) = tokio::sync::mpsc::channel(4);
        for id in 1..=4 {
            taps.send(TapEvent::Records(batch(&ingest.partitions, id))).expect("there is room");
        }
        assert!(ingest.tap(&events, &engine).is_err());
        assert!(fed.try_recv().is_err(), "the lost batch would seem to be read");
    }
}
