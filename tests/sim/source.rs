//! The source database and the tap: every change of a run, drawn before it starts.

use std::collections::VecDeque;
use std::sync::Arc;

use afterimage::canon::{Mask, ObservedHashes};
use afterimage::engine::event::{PlanEpoch, Role, Tracked};
use afterimage::engine::limit::Order;
use afterimage::model::change::KeyChange;
use afterimage::model::waymark::{Form, Place, Server};
use afterimage::model::{Cell, Columns, Key, Op, PartitionId, Position, Row, SourceTime, TableId, Typing, Waymark};

use crate::carried::is_within;
use crate::plan::{Leaving, Plan, SECOND, Skew};
use crate::rng::Rng;

pub(crate) const COLUMNS: usize = 4;
pub(crate) const TABLES: u32 = 3;
/// The table whose rows are made of bits: stale rows often equal newer ones there.
pub(crate) const BITS: u32 = 0;
const HEARTBEATS: TableId = TableId(TABLES);

/// The values of a row; `None` is NULL.
pub(crate) type Cells = [Option<u32>; COLUMNS];

/// A set of columns, by bit.
pub(crate) type Bits = u8;
pub(crate) const ALL: Bits = (1 << COLUMNS) - 1;

/// A key of the run, heartbeats behind the others.
pub(crate) type KeyId = u32;

#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) key: KeyId,
    pub(crate) op: Op,
    /// The whole row after it; the tap carries only the columns of `sent`.
    pub(crate) row: Option<Cells>,
    pub(crate) sent: Bits,
    pub(crate) before: Option<Cells>,
    pub(crate) half: KeyChange,
    /// Transaction at the source: the position in a scope wider than a partition.
    pub(crate) txn: u64,
    pub(crate) commit: u64,
    pub(crate) append: u64,
    pub(crate) partition: u16,
    pub(crate) offset: u64,
    pub(crate) heartbeat: bool,
    /// The record cannot be understood by us; the applier has no trouble with it.
    pub(crate) unreadable: bool,
    /// What the source's clock said, off by steps.
    clock: i64,
}

impl Change {
    /// The table that is emptied, where that is what it does.
    pub(crate) fn is_truncate(&self) -> bool {
        self.op == Op::Truncate
    }

    /// Whether a target row is what this change left, as far as the tap says what it left.
    pub(crate) fn fits(&self, row: Option<&Cells>) -> bool {
        match (&self.row, row) {
            (None, None) => true,
            (Some(expected), Some(row)) => {
                (0..COLUMNS).all(|column| self.sent >> column & 1 == 0 || expected[column] == row[column])
            }
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

/// The plans of a table: how many came after the first, and when the last did.
#[derive(Debug, Clone, Copy, Default)]
struct Plans {
    epoch: u32,
    since: u64,
}

/// How long after the columns of a table changed changes may come that were decoded before.
const DECODED_BEFORE: u64 = 2_000;

pub(crate) struct Source {
    pub(crate) changes: Vec<Change>,
    /// The changes of each partition in tap order.
    pub(crate) logs: Vec<Vec<usize>>,
    /// The changes of each key in order.
    pub(crate) by_key: Vec<Vec<usize>>,
    /// Rows that stood on both sides before the tap began.
    pub(crate) before: Vec<Option<Cells>>,
    pub(crate) keys: u32,
    /// From here on a key stands for a whole table.
    truncates: u32,
    names: Arc<Columns>,
    masks: Vec<Mask>,
    order: Order,
    pub(crate) before_images: bool,
    pub(crate) leaving: Option<Leaving>,
    /// How often each table's columns changed: what was hashed before compares with nothing after.
    plans: [Plans; TABLES as usize + 1],
    /// The source was rewound.
    pub(crate) fork: Option<Fork>,
}

/// A log that ends, and another that goes on from an earlier moment of it.
#[derive(Debug, Clone)]
pub(crate) struct Fork {
    /// The first change that was taken back, and the first of the new log.
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// When.
    pub(crate) at: u64,
    /// The rows that stood at the source then.
    pub(crate) rows: Vec<Option<Cells>>,
}

impl Fork {
    /// Whether places fall in some partition: where the new log takes just those of what was taken back, nothing shows it.
    fn shows(&self, changes: &[Change], logs: &[Vec<usize>]) -> bool {
        logs.iter().any(|log| {
            let (old, new): (Vec<usize>, Vec<usize>) = log.iter().partition(|index| **index < self.to);
            let highest = old.iter().map(|index| changes[*index].txn).max();
            new.first().is_some_and(|first| highest.is_some_and(|highest| changes[*first].txn < highest))
        })
    }

    pub(crate) fn takes_back(&self, index: usize) -> bool {
        (self.from..self.to).contains(&index)
    }
}

impl Source {
    pub(crate) fn of(plan: &Plan) -> Source {
        let mut draft = Draft::new(plan);
        draft.fill();
        let mut changes = draft.changes;
        let logs = logs((plan, draft.fork.as_ref()), &mut changes, &mut draft.rng);
        if draft.fork.as_ref().is_some_and(|fork| !fork.shows(&changes, &logs)) {
            return Source::of(&Plan { rewind: None, ..plan.clone() });
        }
        let count = (plan.keys + u32::from(plan.partitions) + TABLES) as usize;
        let mut by_key = vec![Vec::new(); count];
        for (index, change) in changes.iter().enumerate() {
            by_key[change.key as usize].push(index);
            if change.is_truncate() {
                let table = table_of_truncate(plan, change.key);
                (table..plan.keys).step_by(TABLES as usize).for_each(|key| by_key[key as usize].push(index));
            }
        }
        let mut before = draft.start;
        before.resize(count, None);
        let masks = (0..=ALL).map(mask).collect();
        Source {
            changes,
            logs,
            by_key,
            before,
            keys: plan.keys,
            truncates: plan.keys + u32::from(plan.partitions),
            names: Arc::new(Columns::new(["a", "b", "c", "d"])),
            masks,
            order: plan.order,
            before_images: plan.before_images,
            leaving: plan.leaving,
            plans: [Plans::default(); TABLES as usize + 1],
            fork: draft.fork,
        }
    }

    /// The columns of a table change on the target.
    pub(crate) fn replan(&mut self, table: TableId, now: u64) {
        let plans = &mut self.plans[table.0 as usize];
        *plans = Plans { epoch: plans.epoch + 1, since: now };
    }

    pub(crate) fn plan_of(&self, table: TableId) -> u32 {
        self.plans[table.0 as usize].epoch
    }

    /// The plan under which a change is decoded that is handed in now: what was appended before the columns changed may have
    /// been decoded before, too.
    fn decoded_under(&self, index: usize, now: u64) -> u32 {
        let change = &self.changes[index];
        let plans = self.plans[self.table(change.key).0 as usize];
        let before = change.append < plans.since && now < plans.since + DECODED_BEFORE;
        plans.epoch - u32::from(before && plans.epoch > 0)
    }

    pub(crate) fn table(&self, key: KeyId) -> TableId {
        match key {
            _ if key >= self.truncates => TableId(key - self.truncates),
            _ if key >= self.keys => HEARTBEATS,
            _ => table_of(key),
        }
    }

    /// Whether an unreadable record's topic says which table it is of.
    pub(crate) fn tells_table(&self, index: usize) -> bool {
        index.is_multiple_of(2)
    }

    /// The rows that a change is about.
    pub(crate) fn keys_of(&self, index: usize) -> Vec<KeyId> {
        self.rows_of(self.changes[index].key)
    }

    /// The row of a key, or all of a table where the key stands for one.
    pub(crate) fn rows_of(&self, key: KeyId) -> Vec<KeyId> {
        if key >= self.truncates {
            (self.table(key).0..self.keys).step_by(TABLES as usize).collect()
        } else {
            vec![key]
        }
    }

    pub(crate) fn key(&self, key: KeyId) -> Key {
        if key >= self.truncates {
            return Key::new(self.table(key), &[]);
        }
        Key::new(self.table(key), &[Cell::Int(i64::from(key))])
    }

    pub(crate) fn key_id(key: &Key) -> KeyId {
        match key.cells()[..] {
            [Cell::Int(id)] => u32::try_from(id).expect("keys are small"),
            _ => panic!("keys have one integer"),
        }
    }

    pub(crate) fn position(&self, index: usize) -> Position {
        let change = &self.changes[index];
        Position { partition: PartitionId(change.partition), offset: change.offset }
    }

    /// A change as decoding and canonical forms would hand it to the engine.
    pub(crate) fn tracked(&self, index: usize, now: u64) -> Tracked {
        let change = &self.changes[index];
        let wide = matches!(self.order, Order::Table | Order::Pipeline);
        let plan = self.decoded_under(index, now);
        let sum = |row: Cells| hashes(&row, plan).sum(&mask(change.sent));
        Tracked {
            key: self.key(change.key),
            at: self.position(index),
            order: if wide { change.txn } else { change.offset },
            waymark: Some(Waymark {
                connector: 1,
                place: Some(Place { order: change.txn, form: Form::Scn, server: Server::Unsaid }),
            }),
            op: change.op,
            fingerprint: change.row.map_or(0, sum),
            mask: self.masks[usize::from(change.sent)].clone(),
            before: change
                .before
                .filter(|row| self.before_images && self.leaving.is_none_or(|_| is_within(row)))
                .map(sum),
            committed_at: Some(SourceTime(change.clock)),
            appended_at: Some(change.append as i64),
            key_change: change.half,
            carried: change.carried(self.leaving, self.before_images),
            role: if change.heartbeat { Role::Heartbeat } else { Role::Rows },
            plan: PlanEpoch(plan),
        }
    }

    pub(crate) fn image(&self, index: usize) -> Option<Arc<Row<'static>>> {
        let change = &self.changes[index];
        change.row.map(|row| Arc::new(self.row(&row, change.sent)))
    }

    pub(crate) fn row(&self, cells: &Cells, sent: Bits) -> Row<'static> {
        let cell = |column: usize| match cells[column] {
            _ if sent >> column & 1 == 0 => Cell::NotSent,
            Some(value) => Cell::Int(i64::from(value)),
            None => Cell::Null,
        };
        Row::new(Arc::clone(&self.names), (0..COLUMNS).map(cell).collect(), Typing::Declared)
    }

    /// The tap's end of a partition at a moment: the next offset it gives out.
    pub(crate) fn end(&self, partition: u16, at: u64) -> u64 {
        let log = &self.logs[usize::from(partition)];
        let count = log.partition_point(|index| self.changes[*index].append <= at);
        count.checked_sub(1).map_or(0, |last| self.changes[log[last]].offset + 1)
    }
}

fn table_of_truncate(plan: &Plan, key: KeyId) -> u32 {
    key - plan.keys - u32::from(plan.partitions)
}

fn table_of(key: KeyId) -> TableId {
    TableId(key % TABLES)
}

fn mask(bits: Bits) -> Mask {
    Mask::of(COLUMNS, (0..COLUMNS).filter(|column| bits >> column & 1 == 1))
}

fn column_hash(column: usize, value: Option<u32>, plan: u32) -> u128 {
    let bytes = value.map_or(u64::MAX, u64::from).to_be_bytes();
    xxhash_rust::xxh3::xxh3_128_with_seed(&bytes, u64::from(plan) << 8 | column as u64)
}

/// The hashes of a row's columns under a plan of its table.
pub(crate) fn hashes(row: &Cells, plan: u32) -> ObservedHashes {
    ObservedHashes(row.iter().enumerate().map(|(column, value)| column_hash(column, *value, plan)).collect())
}

/// Gives every change its append time, then every partition its offsets, with gaps where a log has other records.
fn logs((plan, fork): (&Plan, Option<&Fork>), changes: &mut [Change], rng: &mut Rng) -> Vec<Vec<usize>> {
    let mut newest = vec![0u64; usize::from(plan.partitions)];
    let mut blocked = 0;
    let mut logs = vec![Vec::new(); usize::from(plan.partitions)];
    let mut next = vec![0u64; usize::from(plan.partitions)];
    for (index, change) in changes.iter_mut().enumerate() {
        if plan.source_log && rng.chance(0.000_5) {
            // A partition that alone is held back for longer than the lead is past what the judge assumes.
            blocked = blocked.max(change.commit + rng.range((20_000, 120_000)));
        }
        if fork.is_some_and(|fork| fork.to == index) {
            // A connector publishes one log after the other.
            let last = newest.iter().copied().max().unwrap_or(0);
            newest.fill(last + 1);
        }
        let at = usize::from(change.partition);
        let held = if change.commit < blocked { blocked } else { 0 };
        change.append = (change.commit + rng.range((1, plan.tap_delay))).max(newest[at]).max(held);
        newest[at] = change.append;
        next[at] += if rng.chance(0.02) { rng.range((1, 3)) } else { 0 };
        change.offset = next[at];
        next[at] += 1;
        logs[at].push(index);
    }
    logs
}

struct Draft<'a> {
    plan: &'a Plan,
    rng: Rng,
    start: Vec<Option<Cells>>,
    now: Vec<Option<Cells>>,
    changes: Vec<Change>,
    zipf: Vec<f64>,
    /// Keys that change again soon, so that one window holds several changes of them.
    soon: VecDeque<KeyId>,
    time: u64,
    txn: u64,
    beats: u32,
    clock_off: i64,
    fork: Option<Fork>,
}

impl Draft<'_> {
    fn new(plan: &Plan) -> Draft<'_> {
        let mut rng = Rng::new(plan.seed ^ 0x50_55_52_43);
        let mut sum = 0.0;
        let zipf = (1..=plan.keys)
            .map(|rank| {
                sum += if plan.skew == Skew::Uniform { 1.0 } else { f64::from(rank).powf(-0.9) };
                sum
            })
            .collect();
        let start: Vec<Option<Cells>> = (0..plan.keys).map(|key| rng.chance(0.6).then(|| row(&mut rng, key))).collect();
        let now = start.clone();
        Draft {
            plan,
            rng,
            start,
            now,
            changes: Vec::new(),
            zipf,
            soon: VecDeque::new(),
            time: 0,
            txn: 0,
            beats: 0,
            clock_off: 0,
            fork: None,
        }
    }

    fn fill(&mut self) {
        let mut beat = 0;
        let end = self.plan.end();
        // After the load a trickle goes on, so that progress can be seen to its end.
        while self.time < end {
            let every = if self.time < self.plan.busy() { self.plan.every } else { 4_000 };
            self.time += 1 + (-(1.0 - self.rng.unit()).ln() * every as f64) as u64;
            if self.plan.mode == crate::plan::Mode::Assumed && self.time >= self.plan.busy() {
                break;
            }
            while self.plan.heartbeat.is_some() && beat <= self.time {
                self.heartbeats(beat);
                beat += self.plan.heartbeat.unwrap_or(u64::MAX);
            }
            self.rewind();
            self.txn += 1;
            let size = if self.rng.chance(0.1) { self.rng.range((2, 5)) } else { 1 };
            (0..size).for_each(|_| self.change());
        }
    }

    /// The source goes on from where it stood a while ago, under places that it has given out before.
    fn rewind(&mut self) {
        let Some(rewind) = self.plan.rewind.filter(|rewind| self.fork.is_none() && self.time >= rewind.at) else {
            return;
        };
        let since = rewind.at.saturating_sub(rewind.back);
        let last = self.changes.iter().rfind(|change| change.commit <= since).map_or(0, |last| last.txn);
        let from = self.changes.iter().position(|change| change.txn > last).unwrap_or(self.changes.len());
        self.now = self.start.clone();
        for index in 0..from {
            let change = &self.changes[index];
            match change.key {
                key if change.is_truncate() => {
                    let table = table_of_truncate(self.plan, key);
                    (table..self.plan.keys).step_by(TABLES as usize).for_each(|key| self.now[key as usize] = None);
                }
                key if key < self.plan.keys => self.now[key as usize] = change.row,
                _ => self.beats = change.row.and_then(|row| row[0]).unwrap_or(self.beats),
            }
        }
        self.txn = last;
        self.time += rewind.takes;
        self.soon.clear();
        self.fork = Some(Fork { from, to: self.changes.len(), at: self.time, rows: self.now.clone() });
    }

    fn heartbeats(&mut self, at: u64) {
        self.txn += 1;
        self.beats += 1;
        let time = std::mem::replace(&mut self.time, at.max(self.changes.last().map_or(0, |change| change.commit)));
        for partition in 0..self.plan.partitions {
            let key = self.plan.keys + u32::from(partition);
            self.push(key, Op::Update, Some([Some(self.beats), Some(7), None, Some(7)]), ALL, KeyChange::No);
        }
        self.time = time.max(self.time);
    }

    fn pick(&mut self) -> KeyId {
        if let Skew::OneHot(part) = self.plan.skew
            && self.rng.below(u64::from(part)) == 0
        {
            return 1;
        }
        if self.rng.chance(0.7)
            && let Some(key) = self.soon.pop_front()
        {
            return key;
        }
        let total = self.zipf[self.zipf.len() - 1];
        let draw = self.rng.unit() * total;
        // Ranks are spread over tables and partitions by a step that is coprime to most counts of keys.
        let rank = self.zipf.partition_point(|sum| *sum < draw) as u64;
        (rank * 7919 % u64::from(self.plan.keys)) as u32
    }

    fn change(&mut self) {
        if self.rng.chance(self.plan.clock_steps) {
            self.clock_off += self.rng.range((0, 1200 * SECOND)) as i64 - 600 * SECOND as i64;
        }
        if self.rng.chance(self.plan.truncates) {
            self.truncate();
            return;
        }
        let before = self.changes.len();
        self.change_row();
        if self.rng.chance(self.plan.duplicated)
            && let Some(last) = self.changes.get(before..).and_then(<[Change]>::last).cloned()
        {
            // A producer that was not answered appends the record once more.
            self.changes.push(last);
        }
        if self.rng.chance(self.plan.unreadable)
            && let Some(last) = self.changes.last_mut()
        {
            last.unreadable = true;
        }
    }

    fn truncate(&mut self) {
        let table = self.rng.below(u64::from(TABLES)) as u32;
        let key = self.plan.keys + u32::from(self.plan.partitions) + table;
        self.push(key, Op::Truncate, None, ALL, KeyChange::No);
        (table..self.plan.keys).step_by(TABLES as usize).for_each(|key| self.now[key as usize] = None);
    }

    fn change_row(&mut self) {
        let key = self.pick();
        let Some(old) = self.now[key as usize] else {
            let new = row(&mut self.rng, key);
            self.push(key, Op::Insert, Some(new), ALL, KeyChange::No);
            self.again(key, 0.4);
            return;
        };
        match self.rng.below(100) {
            0..12 => {
                self.push(key, Op::Delete, None, ALL, KeyChange::No);
                self.again(key, 0.4);
            }
            12..14 => self.push(key, Op::Update, Some(old), ALL, KeyChange::No),
            14..16 => self.change_key(key, old),
            16..18 => self.there_and_back(key, old),
            _ => {
                let (new, changed) = self.updated(key, old);
                let partial = self.rng.chance(self.plan.partial);
                self.push(key, Op::Update, Some(new), if partial { changed } else { ALL }, KeyChange::No);
                self.again(key, 0.2);
            }
        }
    }

    fn again(&mut self, key: KeyId, probability: f64) {
        if self.rng.chance(probability) {
            self.soon.push_back(key);
        }
    }

    fn updated(&mut self, key: KeyId, old: Cells) -> (Cells, Bits) {
        let changed = 1 + self.rng.below(u64::from(ALL)) as Bits;
        let mut new = old;
        for (column, cell) in new.iter_mut().enumerate().filter(|(column, _)| changed >> column & 1 == 1) {
            *cell = value(&mut self.rng, key, column);
        }
        (new, changed)
    }

    /// A → B → A: the stale row equals the newest one.
    fn there_and_back(&mut self, key: KeyId, old: Cells) {
        let (new, _) = self.updated(key, old);
        self.push(key, Op::Update, Some(new), ALL, KeyChange::No);
        self.push(key, Op::Update, Some(old), ALL, KeyChange::No);
    }

    fn change_key(&mut self, key: KeyId, old: Cells) {
        let other = (key + TABLES * (1 + self.rng.below(9) as u32)) % self.plan.keys;
        if self.now[other as usize].is_none() && table_of(other) == table_of(key) {
            self.push(key, Op::Delete, None, ALL, KeyChange::Old);
            self.push(other, Op::Insert, Some(old), ALL, KeyChange::New);
        }
    }

    fn push(&mut self, key: KeyId, op: Op, row: Option<Cells>, sent: Bits, half: KeyChange) {
        let heartbeat = key >= self.plan.keys;
        let truncates = op == Op::Truncate;
        let heartbeat = heartbeat && !truncates;
        let partition = if heartbeat {
            (key - self.plan.keys) as u16
        } else {
            (Rng::new(u64::from(key)).below(u64::from(self.plan.partitions))) as u16
        };
        let before = if heartbeat || truncates { None } else { std::mem::replace(&mut self.now[key as usize], row) };
        let (txn, commit) = (self.txn, self.time);
        self.changes.push(Change {
            key,
            op,
            row,
            sent,
            before,
            half,
            txn,
            commit,
            append: 0,
            partition,
            offset: 0,
            heartbeat,
            unreadable: false,
            clock: commit as i64 + self.clock_off,
        });
    }
}

fn row(rng: &mut Rng, key: KeyId) -> Cells {
    std::array::from_fn(|column| value(rng, key, column))
}

fn value(rng: &mut Rng, key: KeyId, column: usize) -> Option<u32> {
    if table_of(key).0 == BITS {
        Some(rng.below(2) as u32)
    } else if column == 3 && rng.chance(0.3) {
        None
    } else {
        Some((rng.next() >> 33) as u32)
    }
}
