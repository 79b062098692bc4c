//! The applier and the target it writes: in order, in batches that merge a key's changes, with crashes that apply a window
//! again, and with everything it may get wrong.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use afterimage::model::Op;

use crate::model::{Label, Truth};
use crate::plan::{Plan, Second, Workers};
use crate::rng::Rng;
use crate::source::{ALL, Bits, COLUMNS, Cells, Change, KeyId, Source, TABLES};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Put {
    Row(Option<Cells>),
    /// Only some columns, and only where there is a row.
    Columns(Cells, Bits),
    /// Every row of the table of this key.
    Table,
}

#[derive(Debug, Clone)]
struct Batch {
    end: usize,
    keys: BTreeSet<KeyId>,
    wrong: Vec<(KeyId, Label)>,
    groups: VecDeque<Vec<(KeyId, Put)>>,
}

#[derive(Debug, Default)]
pub(crate) struct Worker {
    queue: Vec<usize>,
    next: usize,
    done: usize,
    checkpoint: usize,
    checkpointed: u64,
    batch: Option<Batch>,
    /// What was left of a batch when its writer was put out of the group, and when that writer gets to it.
    zombie: Option<(u64, Batch)>,
    lag: u64,
    lag_until: u64,
    stalled_until: u64,
    /// Until then the last group of every batch is refused, and the batch tried again with what came meanwhile.
    refused_until: u64,
    /// Positions that are applied again after a crash, and must be done before their keys are judged.
    redo: BTreeMap<KeyId, usize>,
    /// When a change was applied, and how long it had been on the tap.
    pub(crate) lags: Vec<(u64, u64)>,
    /// When which heartbeat became visible, each further than those before it.
    pub(crate) beats: Vec<(u64, usize)>,
    pub(crate) restarts: Vec<u64>,
    /// When a position was committed.
    pub(crate) commits: Vec<u64>,
}

impl Worker {
    /// How long the oldest change that it has not applied had been on the tap at a moment.
    pub(crate) fn waits(&self, source: &Source, moment: u64) -> u64 {
        self.queue.get(self.done).map_or(0, |next| moment.saturating_sub(source.changes[*next].append))
    }
}

pub(crate) struct Applier {
    pub(crate) workers: Vec<Worker>,
    pub(crate) target: Vec<Option<Cells>>,
    first: Vec<Option<Cells>>,
    pub(crate) truth: Truth,
    /// What stood there, and since when: for reads of a replica.
    history: Vec<Vec<(u64, Option<Cells>)>>,
    shares: Workers,
    rng: Rng,
    watch: Option<KeyId>,
}

impl Workers {
    /// Which of them writes a change.
    pub(crate) fn of(self, source: &Source, change: &Change, count: usize) -> usize {
        match self {
            Workers::One => 0,
            Workers::Partitions => usize::from(change.partition),
            Workers::Tables => source.table(change.key).0 as usize % count,
            Workers::Keys(_) => Rng::new(u64::from(change.key) << 20).below(count as u64) as usize,
        }
    }
}

impl Applier {
    pub(crate) fn new(plan: &Plan, source: &Source) -> Applier {
        let count = match plan.workers {
            Workers::One => 1,
            Workers::Partitions => usize::from(plan.partitions),
            Workers::Tables => TABLES as usize,
            Workers::Keys(count) => usize::from(count),
        };
        let mut workers: Vec<Worker> = (0..count).map(|_| Worker::default()).collect();
        for (index, change) in source.changes.iter().enumerate() {
            workers[plan.workers.of(source, change, count)].queue.push(index);
        }
        Applier {
            workers,
            target: source.before.clone(),
            first: source.before.clone(),
            truth: Truth::new(source),
            history: if plan.replica.is_some() { vec![Vec::new(); source.by_key.len()] } else { Vec::new() },
            shares: plan.workers,
            rng: Rng::new(plan.seed ^ 0x41_50_50_4c),
            watch: plan.watch,
        }
    }

    /// The next offset of a partition that the applier has committed, if it has: below it every worker is done.
    pub(crate) fn committed(&self, source: &Source, partition: u16) -> Option<u64> {
        if self.shares == Workers::Partitions {
            let worker = &self.workers[usize::from(partition)];
            return worker.checkpoint.checked_sub(1).map(|last| source.changes[worker.queue[last]].offset + 1);
        }
        let of = |index: &&usize| source.changes[**index].partition == partition;
        let open = |worker: &Worker| worker.queue[worker.checkpoint..].iter().find(of).copied();
        let next = self.workers.iter().filter_map(open).min().map(|index| source.changes[index].offset);
        next.filter(|next| *next > 0)
    }

    /// What stood at a key at a moment, now or before.
    pub(crate) fn row_at(&self, key: KeyId, moment: u64) -> Option<Cells> {
        let Some(history) = self.history.get(key as usize) else { return self.target[key as usize] };
        match history.iter().rev().find(|(since, _)| *since <= moment) {
            Some((_, row)) => *row,
            None => self.first[key as usize],
        }
    }

    /// Somebody else writes a row.
    pub(crate) fn elsewhere(&mut self, source: &Source, second: Second, now: u64) {
        let key = self.rng.below(u64::from(source.keys)) as KeyId;
        let row = match second {
            Second::Junk => Some(std::array::from_fn(|_| Some(self.rng.next() as u32))),
            Second::Future => {
                let ahead = |index: &&usize| source.changes[**index].commit <= now && !self.truth.is_done(**index);
                let ahead: Vec<&usize> = source.by_key[key as usize].iter().filter(ahead).collect();
                let Some(index) = ahead.last() else { return };
                source.changes[**index].row
            }
        };
        if self.target[key as usize] != row {
            self.write_elsewhere(source, key, row, (Label::Elsewhere, now));
        }
    }

    /// Not the applier writes a row.
    pub(crate) fn write_elsewhere(&mut self, source: &Source, key: KeyId, row: Option<Cells>, by: (Label, u64)) {
        self.put(key, row, by.1);
        if self.watch == Some(key) {
            println!("{}: somebody else writes {row:?}", by.1);
        }
        self.truth.elsewhere(source, key, row, by);
    }

    fn put(&mut self, key: KeyId, row: Option<Cells>, now: u64) {
        self.target[key as usize] = row;
        if let Some(history) = self.history.get_mut(key as usize) {
            history.push((now, row));
        }
    }

    /// The target is as it was when the source's log was left, and the applier goes on with the new one.
    pub(crate) fn restored(&mut self, source: &Source, now: u64) {
        let Some(fork) = &source.fork else { return };
        for worker in &mut self.workers {
            let next = worker.queue.partition_point(|index| *index < fork.to);
            (worker.next, worker.done, worker.checkpoint) = (next, next, next);
            (worker.batch, worker.zombie) = (None, None);
            worker.redo.clear();
            worker.restarts.push(now);
        }
        for key in 0..source.by_key.len() as KeyId {
            let last = source.by_key[key as usize].iter().rfind(|index| **index < fork.from).copied();
            let row = match fork.rows.get(key as usize) {
                Some(row) => *row,
                None => last.and_then(|last| source.changes[last].row),
            };
            self.put(key, row, now);
            self.truth.restored(key, last, now);
        }
        (0..fork.from).for_each(|index| self.truth.was_done(index));
    }

    /// How often a worker's group changed its members.
    pub(crate) fn generation(&self) -> u64 {
        self.workers.iter().map(|worker| worker.restarts.len() as u64).sum()
    }

    /// One step of a worker; gives back when its next one is.
    pub(crate) fn step(&mut self, plan: &Plan, source: &Source, at: usize, now: u64) -> u64 {
        if let Some((due, batch)) = self.workers[at].zombie.take_if(|(due, _)| *due <= now)
            && now < due + 5_000
        {
            self.write_late(source, at, batch, now);
        }
        if now < self.workers[at].stalled_until {
            return self.workers[at].stalled_until;
        }
        if self.workers[at].batch.is_some() {
            return self.write_group(plan, source, at, now);
        }
        if now >= self.workers[at].lag_until {
            self.workers[at].lag = self.rng.range(plan.lag.range());
            self.workers[at].lag_until = now + self.rng.range((20_000, 120_000));
        }
        if self.rng.chance(plan.stalls) {
            self.workers[at].stalled_until = now + self.rng.range((120_000, 900_000));
            return self.workers[at].stalled_until;
        }
        let end = self.batch_end(plan, source, at, now);
        if end == self.workers[at].next {
            self.checkpoint(plan, at, now);
            return now + plan.window.max(20);
        }
        let batch = self.merge(plan, source, at, end);
        self.workers[at].batch = Some(batch);
        match plan.commits_ahead.filter(|(share, _)| self.rng.chance(*share)) {
            Some((_, most)) => {
                self.workers[at].checkpoint = end;
                self.workers[at].commits.push(now);
                now + self.rng.range((5, most))
            }
            None => now + self.rng.range((5, 60)),
        }
    }

    fn batch_end(&mut self, plan: &Plan, source: &Source, at: usize, now: u64) -> usize {
        let worker = &self.workers[at];
        let most = worker.next + if self.rng.chance(0.3) { 10 } else { plan.batch_most };
        let available = |index: &usize| {
            let change = &source.changes[*index];
            let since = if plan.source_log { change.commit } else { change.append };
            since + worker.lag <= now
        };
        let mut end = worker.next;
        while end < most.min(worker.queue.len()) && available(&worker.queue[end]) {
            // A truncate is a batch of its own.
            let alone = source.changes[worker.queue[end]].is_truncate();
            if alone && end > worker.next {
                break;
            }
            end += 1;
            if alone {
                break;
            }
        }
        end
    }

    fn write_group(&mut self, plan: &Plan, source: &Source, at: usize, now: u64) -> u64 {
        let Some(mut batch) = self.workers[at].batch.take() else { return now };
        for (key, label) in batch.wrong.drain(..) {
            self.truth.misapplied(key, label, now);
        }
        self.truth.again = batch.end <= self.workers[at].done;
        for (key, put) in batch.groups.pop_front().unwrap_or_default() {
            self.write(source, key, put, now);
            self.beat(source, at, (key, put), now);
        }
        if batch.groups.len() == 1 && self.is_refused(plan, at, now) {
            return now + 5_000;
        }
        if batch.groups.is_empty() {
            self.complete(source, at, batch.end, &batch.keys, now);
            self.checkpoint(plan, at, now);
            let crashes = self.rng.chance(plan.wrongs.crash);
            return if crashes { self.crash(plan, source, at, batch.end, now) } else { now + plan.window };
        }
        let end = batch.end;
        self.workers[at].batch = Some(batch);
        // Only soon after a checkpoint: how far back a crash reaches is what the margin R must cover.
        let recent = self.workers[at].checkpointed + plan.reach / 2 > now;
        if recent && self.rng.chance(plan.wrongs.crash * 0.3) {
            return self.crash(plan, source, at, end, now);
        }
        now + self.rng.range((10, plan.group_gap.max(11)))
    }

    fn write(&mut self, source: &Source, key: KeyId, put: Put, now: u64) {
        if let Put::Table = put {
            let table = source.table(key).0;
            (table..source.keys).step_by(TABLES as usize).for_each(|key| self.write(source, key, Put::Row(None), now));
            return;
        }
        let old = self.target[key as usize];
        let new = match (put, old) {
            (Put::Table, _) => None,
            (Put::Row(row), _) => row,
            (Put::Columns(from, bits), Some(mut row)) => {
                (0..COLUMNS).filter(|column| bits >> column & 1 == 1).for_each(|column| row[column] = from[column]);
                Some(row)
            }
            (Put::Columns(..), None) => None,
        };
        if new != old {
            self.put(key, new, now);
            self.truth.written(source, key, put, new, now);
            if self.watch == Some(key) {
                println!("{now}: written {put:?}");
            }
        }
    }

    /// Whether the target refuses the last group of a batch now: what stood before it stays.
    fn is_refused(&mut self, plan: &Plan, at: usize, now: u64) -> bool {
        let worker = &mut self.workers[at];
        if plan.refusals > 0.0 && now >= worker.refused_until + 300_000 && self.rng.chance(plan.refusals) {
            worker.refused_until = now + self.rng.range((30_000, 300_000));
        }
        now < worker.refused_until
    }

    fn beat(&mut self, source: &Source, at: usize, (key, put): (KeyId, Put), now: u64) {
        let Put::Row(Some([Some(number), ..])) = put else { return };
        let beats = &mut self.workers[at].beats;
        let index = source.by_key[key as usize].get((number as usize).wrapping_sub(1)).filter(|_| key >= source.keys);
        beats.extend(
            index.filter(|index| beats.last().is_none_or(|(_, last)| last < *index)).map(|index| (now, *index)),
        );
    }

    fn checkpoint(&mut self, plan: &Plan, at: usize, now: u64) {
        let worker = &mut self.workers[at];
        if now >= worker.checkpointed + plan.checkpoint() && worker.next >= worker.checkpoint {
            if worker.checkpoint != worker.next {
                worker.commits.push(now);
            }
            (worker.checkpoint, worker.checkpointed) = (worker.next, now);
        }
    }

    fn complete(&mut self, source: &Source, at: usize, end: usize, keys: &BTreeSet<KeyId>, now: u64) {
        let worker = &mut self.workers[at];
        let fresh = worker.next.max(worker.done)..end.max(worker.done);
        for index in &worker.queue[fresh] {
            let change = &source.changes[*index];
            source.keys_of(*index).into_iter().for_each(|key| self.truth.done(source, *index, key));
            worker.lags.push((now, now.saturating_sub(change.append)));
        }
        let again = end < worker.done;
        let keys: BTreeSet<KeyId> = keys.iter().flat_map(|key| source.rows_of(*key)).collect();
        worker.next = end;
        worker.done = worker.done.max(end);
        let redone: Vec<KeyId> = worker.redo.iter().filter(|(_, to)| **to < end).map(|(key, _)| *key).collect();
        worker.redo.retain(|_, to| *to >= end);
        let judged: BTreeSet<KeyId> = if again {
            redone.into_iter().collect()
        } else {
            keys.iter().copied().chain(redone).filter(|key| !worker.redo.contains_key(key)).collect()
        };
        for key in judged {
            if self.watch == Some(key) {
                println!("{now}: complete, expects {:?}", self.truth.row(source, key));
            }
            self.truth.judged(source, key, at, self.target[key as usize], now);
        }
    }

    /// A writer that was put out of the group writes what it had begun, over what was applied again meanwhile.
    fn write_late(&mut self, source: &Source, at: usize, batch: Batch, now: u64) {
        (self.truth.again, self.truth.late) = (true, Some(now));
        for (key, put) in batch.groups.into_iter().flatten() {
            if matches!(put, Put::Table) {
                continue;
            }
            self.write(source, key, put, now);
            if !self.workers[at].redo.contains_key(&key) {
                self.truth.judged(source, key, at, self.target[key as usize], now);
            }
        }
    }

    /// The window since the checkpoint is applied again, with other batch limits.
    fn crash(&mut self, plan: &Plan, source: &Source, at: usize, reached: usize, now: u64) -> u64 {
        let worker = &mut self.workers[at];
        for place in worker.checkpoint..reached.max(worker.done) {
            for key in source.keys_of(worker.queue[place]) {
                let to = worker.redo.entry(key).or_insert(place);
                *to = (*to).max(place);
            }
        }
        worker.next = worker.checkpoint;
        let left = worker.batch.take().filter(|_| plan.has_zombies());
        // With the age of the checkpoint, that is within the margin R.
        worker.zombie = left.map(|batch| (now + self.rng.range((500, plan.reach / 3)), batch));
        worker.restarts.push(now);
        now + self.rng.range((500, 5_000))
    }

    /// Reduces a window to one write a key, in groups that become visible one after another.
    fn merge(&mut self, plan: &Plan, source: &Source, at: usize, end: usize) -> Batch {
        let worker = &self.workers[at];
        let mut order = Vec::new();
        let mut of: BTreeMap<KeyId, Vec<usize>> = BTreeMap::new();
        for index in &worker.queue[worker.next..end] {
            let key = source.changes[*index].key;
            let changes = of.entry(key).or_default();
            if changes.is_empty() {
                order.push(key);
            }
            changes.push(*index);
        }
        let skipped = self.rng.chance(plan.wrongs.batch_skipped);
        // A group that is refused is the same one at every attempt.
        let salt = if plan.refusals > 0.0 { Rng::new(plan.seed).next() } else { self.rng.next() };
        let mut wrong = Vec::new();
        let mut groups: BTreeMap<(u64, u8), Vec<(KeyId, Put)>> = BTreeMap::new();
        for key in order {
            let changes: Vec<usize> = of[&key].iter().copied().filter(|index| source.carries(*index)).collect();
            let changes = &changes[..];
            if changes.is_empty() {
                continue;
            }
            let special = key >= source.keys;
            let right = net(source, changes);
            let (put, label) = match self.wronged(plan, source, changes) {
                _ if plan.drops_truncates && matches!(right, Put::Table) => {
                    wrong.extend(source.rows_of(key).into_iter().map(|row| (row, Label::NoDelete)));
                    (None, None)
                }
                _ if special => (Some(right), None),
                _ if plan.rejected && breaks_constraint(right) => (None, Some(Label::Rejected)),
                _ if skipped => (None, Some(Label::BatchSkipped)),
                Some((put, label)) => (put, Some(label)),
                None => (Some(right), None),
            };
            wrong.extend(label.map(|label| (key, label)));
            if let Some(put) = put {
                let class = if matches!(put, Put::Row(None)) { 0 } else { 1 + u8::from(matches!(put, Put::Row(_))) };
                let table = u64::from(source.table(key).0 + 1).wrapping_mul(salt | 1) >> 32;
                groups.entry((table, class)).or_default().push((key, put));
            }
        }
        let keys = of.keys().copied().collect();
        let groups: VecDeque<Vec<(KeyId, Put)>> = if plan.batches {
            groups.into_values().collect()
        } else {
            [groups.into_values().flatten().collect()].into()
        };
        Batch { end, keys, wrong, groups }
    }

    /// What goes wrong with a key of a batch, if anything does: what is written instead, and why.
    fn wronged(&mut self, plan: &Plan, source: &Source, changes: &[usize]) -> Option<(Option<Put>, Label)> {
        let wrongs = plan.wrongs;
        let change = |at: usize| &source.changes[changes[at]];
        let last = change(changes.len() - 1);
        let insert = changes.iter().position(|index| source.changes[*index].op == Op::Insert);
        let deleted = changes.iter().any(|index| source.changes[*index].op == Op::Delete);
        let mut falls = |probability: f64| self.rng.chance(probability);
        match (last.op, insert) {
            (Op::Update, Some(insert)) if falls(wrongs.insert_update) => {
                return Some((Some(Put::Row(change(insert).row)), Label::InsertUpdate));
            }
            (Op::Delete, Some(insert)) if falls(wrongs.insert_delete) => {
                return Some((Some(Put::Row(change(insert).row)), Label::InsertDelete));
            }
            (Op::Insert | Op::Update, Some(_)) if deleted && falls(wrongs.delete_insert) => {
                return Some((Some(Put::Row(None)), Label::DeleteInsert));
            }
            (Op::Update, None) if changes.len() > 1 && !deleted && falls(wrongs.update_merge) => {
                return Some((Some(net(source, &changes[..1])), Label::UpdateMerge));
            }
            (Op::Delete, _) if falls(wrongs.no_delete) => return Some((None, Label::NoDelete)),
            (Op::Update, None) if falls(wrongs.torn) => {
                let bit = 1 << self.rng.below(COLUMNS as u64);
                return Some((last.row.map(|row| Put::Columns(row, bit)), Label::Torn));
            }
            (Op::Insert | Op::Update | Op::Delete | Op::Read | Op::Truncate, _) => {}
        }
        if falls(wrongs.skipped) {
            return Some((None, Label::Skipped));
        }
        if falls(wrongs.foreign) {
            let junk = std::array::from_fn(|_| Some(self.rng.next() as u32));
            return Some((Some(Put::Row(Some(junk))), Label::Foreign));
        }
        None
    }
}

/// What a window of one key comes to.
fn net(source: &Source, changes: &[usize]) -> Put {
    let last = &source.changes[changes[changes.len() - 1]];
    let sent = changes.iter().fold(0, |bits, index| bits | source.changes[*index].sent);
    let left = source.left_by(changes[changes.len() - 1]);
    let updates = changes.iter().all(|index| source.changes[*index].op == Op::Update);
    match left {
        _ if last.is_truncate() => Put::Table,
        Some(row) if updates && sent != ALL => Put::Columns(row, sent),
        row => Put::Row(row),
    }
}

/// Whether the target refuses a row, whenever it is written.
fn breaks_constraint(put: Put) -> bool {
    match put {
        Put::Row(Some(row)) | Put::Columns(row, _) => row[0].is_some_and(|value| value % 211 == 7),
        Put::Row(None) | Put::Table => false,
    }
}
