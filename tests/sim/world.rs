//! Virtual time, the network, the tap, the target and our own life: one run, driven by the engine's contract and nothing else.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use afterimage::engine::event::{
    Images, LookFailure, Looked, Lookup, Page, PageEnd, PlanEpoch, Recall, Scan, Seen, Tracked,
};
use afterimage::engine::{Engine, Input, Output};
use afterimage::model::finding::Subject;
use afterimage::model::{Key, PartitionId, TableId, Tick};

use crate::applier::Applier;
use crate::check::{Check, Outcome};
use crate::damage;
use crate::images::Cache;
use crate::model::Label;
use crate::plan::{Plan, SECOND, millis};
use crate::rng::Rng;
use crate::source::{ALL, Cells, KeyId, Source, TABLES, hashes};

/// Keys of a page of the target's.
const PAGE: usize = 16;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Step(usize),
    Consume(u16),
    /// The statement of a lookup is executed.
    Snapshot(u64),
    /// Its rows are back.
    Returned(u64),
    /// The tap's ends are known too.
    Answered(u64),
    AskEnds,
    EndsKnown(u64),
    AskCommitted,
    CommittedKnown(u64),
    /// Forgotten images were read again, or are gone.
    Recalled(u64),
    /// A page of a table's keys is read.
    Page(u64),
    Wake,
    Crash,
    Restart,
    Rebalance(u16),
    Assign(u16, u64),
    /// Somebody else writes the target.
    Elsewhere,
    /// A row that was verified is changed behind our back.
    Damage,
    /// The columns of a table change on the target.
    Replan(u32),
    /// The source was rewound, and the target with it.
    Restored,
}

struct Flight {
    life: u32,
    lookup: Lookup,
    rows: Vec<Option<Cells>>,
    /// The plan of its table when it was read.
    plan: u32,
    snapshot: u64,
    ended: u64,
    lost: bool,
}

/// One partition as our consumer sees it.
#[derive(Debug, Clone, Copy, Default)]
struct Consumer {
    assigned: bool,
    /// Place in the partition's log of the next change.
    next: usize,
    /// What the consumer group has stored for us.
    stored: u64,
    delay: u64,
    delay_until: u64,
}

pub(crate) struct World<'a> {
    plan: &'a Plan,
    source: Source,
    applier: Applier,
    engine: Engine,
    cache: Cache,
    check: Check,
    rng: Rng,
    now: u64,
    count: u64,
    queue: BinaryHeap<Reverse<(u64, u64, Event)>>,
    wake: u64,
    flights: BTreeMap<u64, Flight>,
    asked: BTreeMap<u64, (u64, Input)>,
    recalls: BTreeMap<u64, (u32, Recall)>,
    scans: BTreeMap<u64, (u32, Scan)>,
    consumers: Vec<Consumer>,
    /// Counts our lives: what was under way when we died is lost.
    life: u32,
    alive: bool,
    paused: bool,
    /// How far the replica we read has come.
    replica: u64,
    trace: DefaultHasher,
}

/// Runs a plan to its end.
pub(crate) fn run(plan: &Plan) -> Outcome {
    let mut world = World::new(plan);
    world.begin();
    while let Some(Reverse((at, _, event))) = world.queue.pop() {
        if at > plan.end() {
            break;
        }
        world.now = at;
        world.event(event);
    }
    world.finish()
}

impl World<'_> {
    fn new(plan: &Plan) -> World<'_> {
        let source = Source::of(plan);
        let applier = Applier::new(plan, &source);
        let cache = Cache::of(plan);
        World {
            plan,
            engine: Engine::new(plan.options.clone(), Box::new(cache.clone())),
            check: Check::new(plan, &source),
            applier,
            cache,
            rng: Rng::new(plan.seed ^ 0x57_4f_52_4c),
            now: 0,
            count: 0,
            queue: BinaryHeap::new(),
            wake: u64::MAX,
            flights: BTreeMap::new(),
            asked: BTreeMap::new(),
            recalls: BTreeMap::new(),
            scans: BTreeMap::new(),
            consumers: vec![Consumer::default(); usize::from(plan.partitions)],
            life: 0,
            alive: true,
            paused: false,
            replica: 0,
            trace: DefaultHasher::new(),
            source,
        }
    }

    fn at(&mut self, at: u64, event: Event) {
        self.count += 1;
        self.queue.push(Reverse((at, self.count, event)));
    }

    fn begin(&mut self) {
        for worker in 0..self.applier.workers.len() {
            self.at(500 + worker as u64 * 7, Event::Step(worker));
        }
        let start = self.plan.start();
        self.at(start, Event::Restart);
        self.at(start, Event::AskEnds);
        self.at(start, Event::AskCommitted);
        let busy = self.plan.busy();
        for _ in 0..self.plan.our_crashes {
            let at = self.rng.range((30_000, busy.max(60_000)));
            self.at(at, Event::Crash);
        }
        for _ in 0..self.plan.rebalances {
            let at = self.rng.range((30_000, busy.max(60_000)));
            let partition = self.rng.below(u64::from(self.plan.partitions)) as u16;
            self.at(at, Event::Rebalance(partition));
        }
        let mut rng = Rng::new(self.plan.seed ^ 0x44_41_4d_47);
        for _ in 0..self.plan.damages {
            let at = rng.range((start + 60 * SECOND, start.max(busy) + 600 * SECOND));
            self.at(at, Event::Damage);
        }
        for _ in 0..self.plan.replans {
            let at = rng.range((30_000, busy.max(60_000)));
            self.at(at, Event::Replan(rng.below(u64::from(TABLES)) as u32));
        }
        if let (Some(fork), true) = (&self.source.fork, self.plan.rewind.is_some_and(|rewind| rewind.restored)) {
            let at = fork.at;
            self.at(at, Event::Restored);
        }
        if self.plan.second.is_some() {
            self.at(30 * SECOND, Event::Elsewhere);
        }
    }

    fn event(&mut self, event: Event) {
        let latency = |rng: &mut Rng| rng.range((1, 120));
        match event {
            Event::Step(worker) => {
                let next = self.applier.step(self.plan, &self.source, worker, self.now);
                self.at(next.max(self.now + 1), Event::Step(worker));
            }
            Event::Consume(partition) => self.consume(partition),
            Event::Snapshot(id) => self.snapshot(id),
            Event::Returned(id) => self.returned(id),
            Event::Answered(id) => self.answered(id),
            Event::AskEnds => {
                let ends = self.ends(0..self.plan.partitions);
                let after = latency(&mut self.rng);
                self.ask(Input::Ends { asked: Tick(self.now), ends }, after, Event::EndsKnown);
                self.at(self.now + millis(self.plan.options.poll), Event::AskEnds);
            }
            Event::AskCommitted => self.ask_committed(latency(&mut self.rng.clone())),
            Event::EndsKnown(id) | Event::CommittedKnown(id) => {
                if let Some((life, input)) = self.asked.remove(&id)
                    && life == u64::from(self.life)
                {
                    self.drive(input);
                }
            }
            Event::Recalled(id) => self.recalled(id),
            Event::Page(id) => self.page(id),
            Event::Wake => {
                if self.wake == self.now {
                    self.drive(Input::Tick);
                }
            }
            Event::Crash => {
                self.alive = false;
                self.life += 1;
                self.check.interrupted(self.now);
                let back = self.now + self.rng.range((500, 20 * SECOND));
                self.at(back, Event::Restart);
            }
            Event::Restart => self.restart(),
            Event::Rebalance(partition) => self.rebalance(partition),
            Event::Assign(partition, next) => {
                if self.alive {
                    self.assign(partition, next);
                    self.expire(partition);
                }
            }
            Event::Elsewhere => {
                if let Some(second) = self.plan.second.filter(|_| self.now < self.plan.busy()) {
                    self.applier.elsewhere(&self.source, second, self.now);
                    let next = self.now + self.rng.range((1_000, 60_000));
                    self.at(next, Event::Elsewhere);
                }
            }
            Event::Damage => self.damage(),
            Event::Restored => self.applier.restored(&self.source, self.now),
            Event::Replan(table) => {
                let table = TableId(table);
                self.source.replan(table, self.now);
                self.check.replanned(table, self.now);
                self.drive(Input::Replanned { table, plan: PlanEpoch(self.source.plan_of(table)) });
            }
        }
    }

    fn damage(&mut self) {
        let stored: Vec<u64> = self.consumers.iter().map(|consumer| consumer.stored).collect();
        let mut rng = Rng::new(self.plan.seed ^ self.now);
        let chosen = damage::choose(&self.source, &self.applier, &self.check, &stored, (self.now, &mut rng));
        if let Some((key, row)) = chosen {
            self.applier.write_elsewhere(&self.source, key, row, (Label::Damaged, self.now));
        }
    }

    /// Hands an input in, carries out what comes of it, and sets the alarm.
    fn drive(&mut self, input: Input) {
        if !self.alive {
            return;
        }
        if self.plan.traced {
            format!("{} {input:?}", self.now).hash(&mut self.trace);
        }
        self.engine.handle(input, Tick(self.now));
        while let Some(output) = self.engine.poll_output() {
            if self.plan.traced {
                format!("{output:?}").hash(&mut self.trace);
            }
            self.carry_out(output);
        }
        let (at, _) = self.engine.poll_timeout();
        if self.wake != at.0 {
            self.wake = at.0.max(self.now + 1);
            self.at(self.wake, Event::Wake);
        }
        if self.count.is_multiple_of(512) {
            self.check.bounds(&self.engine.tally());
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Lookup(lookup) => {
                let id = u64::from(self.life) << 48 | lookup.id.0;
                let sent = self.now + self.rng.range((1, 120));
                let lost = self.rng.chance(self.plan.failed_reads);
                self.check.asked(&lookup);
                let flight = Flight { life: self.life, lookup, rows: Vec::new(), plan: 0, snapshot: 0, ended: 0, lost };
                self.flights.insert(id, flight);
                self.at(sent, Event::Snapshot(id));
            }
            Output::Recall(recall) => {
                self.count += 1;
                let after = self.chance_of(recall.id.0).range((5, 2 * SECOND));
                self.recalls.insert(self.count, (self.life, recall));
                let id = self.count;
                self.at(self.now + after, Event::Recalled(id));
            }
            Output::Scan(scan) => {
                self.count += 1;
                let after = self.chance_of(scan.id.0 | 1 << 39).range((5, 2 * SECOND));
                self.scans.insert(self.count, (self.life, scan));
                let id = self.count;
                self.at(self.now + after, Event::Page(id));
            }
            Output::Finding(finding) => {
                self.check.finding(&self.source, &mut self.applier.truth, &finding, self.now);
            }
            Output::Commit { partition, next } => {
                let consumer = &mut self.consumers[usize::from(partition.0)];
                self.check.commit(&self.source, &self.applier.truth, (partition.0, consumer.stored, next), self.now);
                consumer.stored = next;
            }
            Output::Rewind { partition, to } => {
                let at = self.now + self.rng.range((5, 500));
                self.at(at, Event::Assign(partition.0, to));
            }
            Output::Pause => self.paused = true,
            Output::Resume => self.paused = false,
            Output::Coerced { .. } => {}
            Output::Note(note) => self.check.note(&self.applier.truth, &note, self.now),
        }
    }

    /// Chance of one question for images, apart from every other.
    fn chance_of(&self, question: u64) -> Rng {
        Rng::new(self.plan.seed ^ 0x4c_4f_47 ^ u64::from(self.life) << 48 ^ question << 8)
    }

    /// The log holds most of what it is asked for.
    fn recalled(&mut self, id: u64) {
        let Some((_, recall)) = self.recalls.remove(&id).filter(|(life, _)| *life == self.life) else { return };
        let mut rng = self.chance_of(recall.id.0 | 1 << 40);
        let mut found = 0;
        for at in &recall.at {
            let log = &self.source.logs[usize::from(at.partition.0)];
            let place = log.partition_point(|index| self.source.changes[*index].offset < at.offset);
            let index = log.get(place).filter(|index| self.source.changes[**index].offset == at.offset);
            if let Some(index) = index.filter(|_| rng.chance(0.8)) {
                self.cache.put(*at, recall.key.clone(), self.source.image(*index));
                found += 1;
            }
        }
        self.drive(Input::Recalled { id: recall.id, found });
    }

    /// Pages are small, so that a table has several.
    fn page(&mut self, id: u64) {
        let Some((_, scan)) = self.scans.remove(&id).filter(|(life, _)| *life == self.life) else { return };
        if self.chance_of(scan.id.0 | 1 << 38).chance(self.plan.failed_reads) {
            self.drive(Input::Scanned { id: scan.id, page: Err(LookFailure::Unreachable) });
            return;
        }
        let first = scan.after.as_ref().map_or(0, |after| Source::key_id(after) + 1);
        let stands =
            |key: &KeyId| self.source.table(*key) == scan.table && self.applier.target[*key as usize].is_some();
        let keys: Vec<Key> =
            (first..self.plan.keys).filter(stands).map(|key| self.source.key(key)).take(PAGE).collect();
        let end = keys.get(PAGE - 1).map_or(PageEnd::Last, |last| PageEnd::At(last.clone()));
        self.drive(Input::Scanned { id: scan.id, page: Ok(Page { keys, end }) });
    }

    fn consume(&mut self, partition: u16) {
        let at = usize::from(partition);
        let next = self.now + self.rng.range((50, 300));
        self.at(next, Event::Consume(partition));
        if !self.alive || self.paused || !self.consumers[at].assigned {
            return;
        }
        if self.now >= self.consumers[at].delay_until {
            let slow = self.plan.slow_consumption && self.rng.chance(0.1);
            self.consumers[at].delay = if slow { self.rng.range((5_000, 60_000)) } else { self.rng.below(1_000) };
            self.consumers[at].delay_until = self.now + self.rng.range((1_000, 30_000));
        }
        let until = self.now.saturating_sub(self.consumers[at].delay);
        let log = &self.source.logs[at];
        let from = self.consumers[at].next;
        let to = from + log[from..].partition_point(|index| self.source.changes[*index].append <= until);
        let records: Vec<usize> = log[from..to].to_vec();
        self.consumers[at].next = to;
        for index in records {
            if self.paused || !self.consumers[at].assigned {
                // A pause stops the consumer before the next record, not after the batch.
                let place = self.source.logs[at].partition_point(|known| *known < index);
                self.consumers[at].next = place;
                return;
            }
            self.hand_in(index);
            if self.rng.chance(self.plan.redelivered) {
                let again = self.rng.below(8) as usize;
                let place = self.source.logs[at].partition_point(|known| *known <= index);
                self.hand_in(self.source.logs[at][place.saturating_sub(1 + again)]);
            }
        }
        let next = self.source.end(partition, until);
        self.drive(Input::Reached { partition: PartitionId(partition), next });
    }

    fn hand_in(&mut self, index: usize) {
        let tracked = self.source.tracked(index, self.now);
        let change = &self.source.changes[index];
        if self.plan.watch.is_some_and(|key| self.source.by_key[key as usize].contains(&index)) {
            println!("{}: consumed {change:?}", self.now);
        }
        if change.unreadable {
            let table = self.source.tells_table(index).then(|| self.cache.table_name(tracked.key.table()));
            self.check.voided();
            self.drive(Input::Reject { at: tracked.at, reason: "not JSON".to_owned(), table });
            return;
        }
        self.cache.put(tracked.at, tracked.key.clone(), self.source.image(index));
        self.drive(Input::Change(tracked));
    }

    /// Retention overtook us: the next records of a partition are gone.
    fn expire(&mut self, partition: u16) {
        if !self.rng.chance(self.plan.gaps) {
            return;
        }
        let at = usize::from(partition);
        let from = self.consumers[at].next;
        let log = &self.source.logs[at];
        let appended = log.partition_point(|index| self.source.changes[*index].append <= self.now);
        let to = (from + self.rng.range((1, 40)) as usize).min(appended);
        if to <= from {
            return;
        }
        let offset = |place: usize| self.source.changes[log[place]].offset;
        let (first, next) = (offset(from), offset(to - 1) + 1);
        self.consumers[at].next = to;
        self.check.voided();
        self.drive(Input::Gap { partition: PartitionId(partition), from: first, to: next });
    }

    fn snapshot(&mut self, id: u64) {
        if let Some(delay) = self.plan.replica {
            self.replica = self.replica.max(self.now.saturating_sub(self.rng.range(delay)));
        }
        let at = if self.plan.replica.is_some() { self.replica } else { self.now };
        let Some(flight) = self.flights.get_mut(&id) else { return };
        (flight.snapshot, flight.plan) = (at, self.source.plan_of(flight.lookup.table));
        let keys = flight.lookup.keys.iter().map(Source::key_id);
        flight.rows = keys.map(|key| self.applier.row_at(key, at)).collect();
        let late = if flight.lost { 10 * SECOND } else { 0 };
        let back = self.now + self.rng.range((1, 120 + late));
        self.at(back, Event::Returned(id));
    }

    fn returned(&mut self, id: u64) {
        let Some(flight) = self.flights.get_mut(&id) else { return };
        flight.ended = self.now;
        let at = self.now + self.plan.lead() + self.rng.below(50);
        self.at(at, Event::Answered(id));
    }

    fn answered(&mut self, id: u64) {
        let Some(flight) = self.flights.remove(&id).filter(|flight| flight.life == self.life) else { return };
        let ends = self.ends(flight.lookup.partitions.iter().map(|partition| partition.0));
        let rows = if flight.lost {
            Err(LookFailure::Unreachable)
        } else {
            self.check.read(&flight.lookup, &flight.rows, (flight.snapshot, flight.ended));
            Ok(flight.rows.iter().map(|row| self.seen(row.as_ref(), flight.plan)).collect())
        };
        self.check.answered(&flight.lookup);
        self.drive(Input::Looked(Looked { id: flight.lookup.id, ended: Tick(flight.ended), rows, ends }));
    }

    fn seen(&self, row: Option<&Cells>, plan: u32) -> Seen {
        row.map_or(Seen::Absent, |cells| Seen::Row {
            hashes: hashes(cells, plan),
            row: Arc::new(self.source.row(cells, ALL)),
            placeholder: false,
        })
    }

    fn ends(&self, partitions: impl Iterator<Item = u16>) -> Vec<(PartitionId, u64)> {
        partitions.map(|partition| (PartitionId(partition), self.source.end(partition, self.now))).collect()
    }

    fn ask(&mut self, input: Input, after: u64, event: fn(u64) -> Event) {
        self.count += 1;
        let id = self.count;
        self.asked.insert(id, (u64::from(self.life), input));
        self.at(self.now + after, event(id));
    }

    fn ask_committed(&mut self, after: u64) {
        if self.plan.options.evidence.committed {
            let next = (0..self.plan.partitions)
                .filter_map(|partition| {
                    Some((PartitionId(partition), self.applier.committed(&self.source, partition)?))
                })
                .collect();
            let generation =
                if self.plan.exact { Some(0) } else { self.plan.generations.then(|| self.applier.generation()) };
            self.ask(Input::Committed { asked: Tick(self.now), next, generation }, after, Event::CommittedKnown);
        }
        self.at(self.now + millis(self.plan.options.poll), Event::AskCommitted);
    }

    /// A new life: nothing is known but what was committed and the findings that were kept.
    fn restart(&mut self) {
        let first = self.life == 0;
        self.alive = true;
        self.paused = false;
        if !first {
            self.check.ended(self.engine.counters());
            self.cache = Cache::of(self.plan);
            self.engine = Engine::new(self.plan.options.clone(), Box::new(self.cache.clone()));
            self.wake = u64::MAX;
        }
        for partition in 0..self.plan.partitions {
            if first {
                self.at(self.now + 20 + u64::from(partition), Event::Consume(partition));
            }
            self.assign(partition, self.consumers[usize::from(partition)].stored);
            if !first {
                self.expire(partition);
            }
        }
        for (index, finding, row) in self.check.kept(&self.source) {
            let Subject::Row { key, .. } = &finding.subject else { continue };
            // A truncate is of every key of its table.
            let expected = Box::new(Tracked { key: key.clone(), ..self.source.tracked(index, self.now) });
            let observed = Some(self.seen(row.as_ref(), self.source.plan_of(key.table())));
            self.drive(Input::OpenFinding { expected, finding: Box::new(finding), observed });
        }
        self.drive(Input::Tick);
    }

    fn assign(&mut self, partition: u16, next: u64) {
        let at = usize::from(partition);
        let log = &self.source.logs[at];
        self.consumers[at].next = log.partition_point(|index| self.source.changes[*index].offset < next);
        self.consumers[at].assigned = true;
        self.consumers[at].stored = self.consumers[at].stored.min(next);
        self.check.interrupted(self.now);
        self.drive(Input::Assigned { partition: PartitionId(partition), next });
    }

    fn rebalance(&mut self, partition: u16) {
        if !self.alive {
            return;
        }
        self.consumers[usize::from(partition)].assigned = false;
        self.check.interrupted(self.now);
        self.drive(Input::Revoked { partition: PartitionId(partition) });
        let back = self.now + self.rng.range((100, 30 * SECOND));
        self.at(back, Event::Assign(partition, self.consumers[usize::from(partition)].stored));
    }

    fn finish(self) -> Outcome {
        let tally = self.engine.tally();
        self.check.finish(self.plan, &self.source, &self.applier, &tally, self.trace.finish())
    }
}
