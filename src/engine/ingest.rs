//! 3 ▸ Changes become versions of keys.

use std::sync::Arc;
use std::time::Duration;

use crate::model::change::KeyChange;
use crate::model::finding::{Finding, Kind, Subject};
use crate::model::{Key, Op, PartitionId, Position, TableId};

use super::chain::{Arrival, Base, Chain, Content, Marks, MaskId, Version};
use super::event::{Carried, Note, Output, Role, Seen, Tracked, Verified};
use super::horizon::Back;
use super::keys::{Entry, KeyIx, More, Reported, Unjudged};
use super::left_out::{UNTOLD, demanding};
use super::limit::{HEARTBEAT_VERSIONS, Order, TAP_DELAY_AT_MOST};
use super::partition::BehindGone;
use super::replan::{REPLANNED, expected_row};
use super::rewind::{Line, REWOUND};
use super::state::{Engine, ScopeId};
use super::track::Tracked as Track;
use super::truncate::TRUNCATED;

impl Engine {
    pub(super) fn change(&mut self, change: Tracked) {
        let partition = self.partitions.entry(change.at.partition).or_default();
        if change.at.offset + 1 < partition.consumed {
            self.counters.duplicates += 1;
            return;
        }
        partition.consumed = partition.consumed.max(change.at.offset + 1);
        partition.newest_change = partition.newest_change.max(Some(change.at.offset));
        partition.read_behind_gone(change.order, change.committed_at);
        self.counters.changes += 1;
        self.guard_memory_between_polls();
        let table = change.key.table();
        self.changed_behind(&change.key);
        let line = self.follow(&change);
        let Some(change) = self.under_plan(demanding(change), None) else {
            // Its key may be another one by the plan that the rows are looked at by.
            return self.leave_scan(table, REPLANNED);
        };
        let change = match (line, change.role) {
            (Line::Current, _) => change,
            (Line::Old, Role::Heartbeat) => return self.old_heartbeat(&change),
            (Line::Old, Role::Rows) | (Line::Old | Line::Doubtful, Role::Counted) => {
                return self.leave_change(&change, REWOUND);
            }
            (Line::Doubtful, Role::Rows | Role::Heartbeat) => Tracked { order: 0, ..change },
        };
        if change.op == Op::Truncate {
            self.counts_end(change.key.table(), change.at);
            self.truncate(&change);
            return;
        }
        if self.may_be_truncated(&change) {
            self.leave_change(&change, TRUNCATED);
            return;
        }
        match change.carried {
            Carried::Leaves | Carried::Outside => return self.left_out(&change),
            Carried::Untold => return self.leave_change(&change, UNTOLD),
            Carried::Within | Carried::Always => {}
        }
        let counted = match change.role {
            Role::Counted => self.counted(change),
            Role::Rows | Role::Heartbeat => Some(change),
        };
        let Some(change) = counted else { return };
        let version = self.version(&change);
        match self.keys.find(&change.key) {
            Some(ix) => self.append(ix, version, change.role),
            None => {
                let key = change.key.clone();
                self.begin(change, version);
                self.truncated_since(&key, &version);
            }
        }
    }

    /// A row that shows a heartbeat of a log before proves nothing of the new one, and must not be taken for a newer one.
    fn old_heartbeat(&mut self, change: &Tracked) {
        let version = self.version(change);
        match self.keys.find(&change.key) {
            Some(ix) => self.append(ix, version, change.role),
            None => self.begin(change.clone(), version),
        }
        if let Some(ix) = self.keys.find(&change.key) {
            self.unorder(ix);
        }
    }

    pub(super) fn version(&mut self, change: &Tracked) -> Version {
        let order = match self.options.order {
            Order::Partition | Order::Key => change.at.offset,
            Order::Table | Order::Pipeline => self.source_order(change),
        };
        let late = self.is_late(change);
        let left_out = matches!(change.carried, Carried::Leaves | Carried::Outside);
        let marks = Marks { committed_at: change.committed_at, key_change: change.key_change, late, left_out };
        let mask = self.masks.id(&change.mask);
        Version::new(change.at, order, change.op, (change.fingerprint, mask), &marks)
    }

    /// An applier that reads the source's log itself had this change longer than `lead` before the tap did. Reads of that
    /// time met rows that the tap had not told of, so nothing they said counts.
    pub(super) fn is_late(&mut self, change: &Tracked) -> bool {
        let lead = self.lead();
        let (Some(committed), Some(appended)) = (change.committed_at, change.appended_at) else { return false };
        let delay = Duration::from_millis(u64::try_from(appended.saturating_sub(committed.0)).unwrap_or(0));
        if delay <= TAP_DELAY_AT_MOST {
            self.measures.tap_delays.measured(delay, self.now);
        }
        let late = !lead.is_zero() && delay > lead;
        if late {
            self.late_tap(change);
        }
        late
    }

    fn late_tap(&mut self, change: &Tracked) {
        let (partition, offset) = (change.at.partition, change.at.offset);
        let why = |judge: &Engine| format!("{}, at {}", Back::LateTap.words(), judge.place(partition, offset));
        self.hold((partition, change.key.table()), Back::LateTap, why);
    }

    /// What a full load writes stands in no order with the changes: verdicts wait until it is over for the margin R.
    pub(super) fn loading(&mut self, partition: PartitionId, table: TableId) {
        let why = |judge: &Engine| format!("{}, of {}", Back::Load.words(), judge.images.table_name(table));
        self.hold((partition, table), Back::Load, why);
    }

    /// Holds the verdicts of a scope, and says why unless they are held already.
    fn hold(&mut self, (partition, table): (PartitionId, TableId), by: Back, why: impl Fn(&Engine) -> String) {
        if let Some(scope) = self.scope(partition, table) {
            self.hold_scope((scope, partition), by, why);
        }
    }

    pub(super) fn hold_scope(
        &mut self,
        (scope, partition): (ScopeId, PartitionId),
        by: Back,
        why: impl Fn(&Engine) -> String,
    ) {
        let (now, settle) = (self.now, self.settle());
        let horizon = self.horizons.entry(scope).or_default();
        let known = horizon.frozen(now, settle);
        horizon.went_back(now, by);
        if !known {
            let why = why(self);
            self.say(Output::Note(Note::Frozen { partition: Some(partition), why }));
        }
    }

    /// Records without a source position (snapshots) take the newest of their scope: nothing before them is newer.
    pub(super) fn source_order(&mut self, change: &Tracked) -> u64 {
        let Some(scope) = self.scope(change.at.partition, change.key.table()) else { return change.order };
        let newest = self.orders.entry(scope).or_default();
        *newest = (*newest).max(change.order);
        if change.order == 0 { *newest } else { change.order }
    }

    fn begin(&mut self, change: Tracked, version: Version) {
        let base = self.base_of(&change, &version);
        let heartbeat = change.role == Role::Heartbeat;
        let more = match base {
            Base::Absent | Base::Unknown => None,
            Base::Version(_) | Base::Content(..) | Base::Left(..) => Some(Box::new(More::new(base))),
        };
        let base_absent = base == Base::Absent;
        let ix = self.keys.insert(Entry { more, base_absent, ..Entry::of(change.key, version, change.role) });
        self.memory.versions += 1;
        if heartbeat {
            self.heartbeats.insert(ix);
        } else {
            self.track(ix, &version, Arrival(0));
        }
    }

    fn base_of(&mut self, change: &Tracked, version: &Version) -> Base {
        let (within, counted) = (change.carried != Carried::Always, change.role == Role::Counted);
        if let Some(verified) = self.trusted(&change.key, version.at())
            && (verified.seen || !within && !counted)
        {
            let mask = self.masks.id(&verified.mask);
            return Base::Version(recalled(&verified, mask));
        }
        match (change.op, change.before) {
            // There may be equal rows.
            _ if counted => Base::Unknown,
            (op, before) if let Some(until) = self.may_be_of_old_log(change) => match (op, before) {
                (Op::Insert, _) => Base::Left(until, None),
                (_, Some(before)) => Base::Left(until, Some((before, version.mask))),
                (_, None) => Base::Unknown,
            },
            // A row that was not tracked when its table was truncated may still be as it was before.
            (Op::Insert, _) if self.is_truncating(change.key.table()) => Base::Unknown,
            // A row that the applier did not carry any more may have stayed as it was.
            (Op::Insert, _) if within && self.left.contains(&change.key.table()) => Base::Unknown,
            (Op::Insert, _) => Base::Absent,
            (Op::Read | Op::Update | Op::Delete | Op::Truncate, Some(before)) => Base::Content(before, version.mask),
            (Op::Read | Op::Update | Op::Delete | Op::Truncate, None) => Base::Unknown,
        }
    }

    /// What a key was verified as before a place, where no change of it since can have been missed.
    pub(super) fn trusted(&self, key: &Key, before: Position) -> Option<Verified> {
        self.images.recall(key).filter(|verified| {
            verified.at.partition == before.partition
                && verified.at.offset < before.offset
                && self.is_unbroken_since(before.partition, verified.at.offset)
        })
    }

    /// Whether every record of a partition was read, from a place on.
    pub(super) fn is_unbroken_since(&self, partition: PartitionId, offset: u64) -> bool {
        self.partitions.get(&partition).is_some_and(|known| offset >= known.unbroken_since)
    }

    pub(super) fn append(&mut self, ix: KeyIx, version: Version, role: Role) {
        let cap = match role {
            Role::Rows | Role::Counted => self.options.versions_per_key.max(4),
            Role::Heartbeat => HEARTBEAT_VERSIONS,
        };
        let wide = self.is_wide();
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let newest = *entry.chain.newest();
        let of_partition = |known: &&Version| known.partition == version.partition;
        let own = entry.chain.versions().iter().rev().find(of_partition).copied();
        // A key change that leaves the key as it is (another case, other blanks) tells of it twice.
        let same_record = |own: &Version| own.in_key_change() && version.in_key_change() && own.op != version.op;
        let is_known = |own: Version| own.offset > version.offset || own.offset == version.offset && !same_record(&own);
        if own.is_some_and(is_known) {
            self.counters.duplicates += 1;
            return;
        }
        let truncates = if wide { entry.chain.truncates_after(&version) } else { 0 };
        if truncates > 0 {
            self.place_before_truncates(ix, version, truncates);
        } else if newest.partition == version.partition && newest.offset == version.offset {
            entry.chain.replace_newest(version);
        } else {
            // A wider order still orders partitions, if changes arrive in it and are not of one transaction.
            let after = |order: u64| wide && order < version.order;
            let unordered = entry.unordered_to().and_then(|_| entry.more.as_ref()?.unordered);
            let ordered = (newest.partition == version.partition || after(newest.order))
                && unordered.is_none_or(|unordered| after(unordered.highest));
            let arrival = entry.chain.push(version);
            if !ordered {
                entry.disorder();
            }
            self.memory.versions += 1;
            if role != Role::Heartbeat {
                self.track(ix, &version, arrival);
            }
        }
        self.take_over(ix);
        if self.keys.get(ix).is_some_and(|entry| entry.chain.len() > cap) {
            self.coalesce(ix);
        }
    }

    fn track(&mut self, key: KeyIx, version: &Version, arrival: Arrival) {
        let partition = self.partitions.entry(version.partition).or_default();
        partition.track(Track { offset: version.offset, key, arrival });
    }

    /// Coalesces the middle versions of a key; gives back how many went.
    pub(super) fn coalesce(&mut self, ix: KeyIx) -> usize {
        let Some(entry) = self.keys.get_mut(ix) else { return 0 };
        let mut hole = entry.more().hole.take();
        let coalesced = entry.chain.coalesce(&mut hole);
        entry.more().hole = hole;
        let Some((count, spans)) = coalesced else { return 0 };
        self.memory.versions -= count;
        self.counters.coalesced += count as u64;
        for (partition, first, last) in spans {
            self.say(Output::Note(Note::Coalesced { partition, range: (first, last) }));
        }
        count
    }

    /// Leaves a key without a verdict, and says so for each partition that holds its changes. An open finding stays.
    pub(super) fn give_up(&mut self, ix: KeyIx, why: &'static str) {
        let Some(entry) = self.keys.get(ix) else { return };
        let (key, unjudged) = (entry.key.clone(), entry.unjudged(entry.chain.len() - 1));
        self.strike(&key);
        if !self.keep_finding(ix) {
            self.forget(ix);
        }
        for partition in unjudged.ranges.keys() {
            if let Some(known) = self.partitions.get_mut(partition) {
                known.unbroken_since = known.consumed;
            }
        }
        self.leave(unjudged, why);
    }

    /// Versions end without a verdict: counted, and said.
    pub(super) fn leave(&mut self, unjudged: Unjudged, why: &'static str) {
        self.counters.unverifiable += unjudged.count;
        for (partition, range) in unjudged.ranges {
            self.say(Output::Note(Note::Unverifiable { partition, range, why }));
        }
    }

    /// Keeps the open finding of a key, with the version it was last stated against and nothing after it. What stands there
    /// may be what a change left that we do not know, so until a newer one comes, nothing else can be said of the row.
    fn keep_finding(&mut self, ix: KeyIx) -> bool {
        let Some(entry) = self.keys.get_mut(ix) else { return false };
        let index = entry.reported().and_then(|reported| entry.chain.at_or_before(reported.floor));
        let Some(index) = index.filter(|_| !entry.is_unordered()) else { return false };
        let (version, versions) = (entry.chain.versions()[index], entry.chain.len());
        entry.chain = Chain::of(version);
        entry.flight = 0;
        let more = entry.more();
        (more.settled_to, more.applied_to) = (Some(version.arrival), Some(version.arrival));
        (more.hole, more.base, more.blind) = (None, Base::Unknown, Some(version.arrival));
        let suspicion = more.suspect.take().and_then(|suspect| suspect.stated);
        self.memory.versions -= versions - 1;
        self.suspects.remove(&ix);
        if let Some(suspicion) = suspicion {
            self.withdraw(*suspicion);
        }
        true
    }

    /// Takes a key out of every list.
    pub(super) fn forget(&mut self, ix: KeyIx) -> Option<Entry> {
        self.suspects.remove(&ix);
        self.heartbeats.remove(&ix);
        let mut entry = self.keys.remove(ix)?;
        self.memory.versions -= entry.chain.len();
        let suspect = entry.more.as_mut().and_then(|more| more.suspect.take());
        if let Some(suspicion) = suspect.and_then(|suspect| suspect.stated) {
            self.withdraw(*suspicion);
        }
        Some(entry)
    }

    pub(super) fn reject(&mut self, at: Position, reason: String, table: Option<Arc<str>>) {
        let partition = self.partitions.entry(at.partition).or_default();
        if at.offset < partition.consumed {
            return;
        }
        partition.consumed = at.offset + 1;
        // What was remembered of a key may lack what the record did to it.
        self.patrol.roster.void_partition(at.partition);
        partition.unbroken_since = partition.unbroken_since.max(at.offset + 1);
        if partition.rejected.len() < REJECTED_TABLES {
            partition.rejected.insert(table.clone(), at.offset);
        } else {
            partition.rejected.insert(None, at.offset);
        }
        self.counters.rejects += 1;
        let evidence = format!("the record at {} was read whole", self.place(at.partition, at.offset));
        let subject = Subject::Record { at, reason, table };
        self.state(&Finding::open(Kind::Undecodable, subject, evidence, self.now));
    }

    pub(super) fn reached(&mut self, partition: PartitionId, next: u64) {
        let state = self.partitions.entry(partition).or_default();
        state.consumed = state.consumed.max(next);
        self.judge_arrived();
    }

    pub(super) fn assigned(&mut self, partition: PartitionId, next: u64) {
        self.patrol.roster.void_partition(partition);
        self.scans.void_partition(partition);
        for ix in self.keys_of(partition) {
            self.begin_anew(ix);
        }
        let now = self.now;
        let state = self.partitions.entry(partition).or_default();
        state.restart(next, now);
        state.assigned = true;
    }

    pub(super) fn revoked(&mut self, partition: PartitionId) {
        self.patrol.roster.void_partition(partition);
        self.scans.void_partition(partition);
        for ix in self.keys_of(partition) {
            self.begin_anew(ix);
        }
        let now = self.now;
        let state = self.partitions.entry(partition).or_default();
        let next = state.consumed;
        state.restart(next, now);
        state.assigned = false;
        let scope = ScopeId::Partition(partition);
        self.horizons.remove(&scope);
        self.gate.revoked(scope);
    }

    fn keys_of(&self, partition: PartitionId) -> Vec<KeyIx> {
        let is_on = |entry: &Entry| entry.chain.versions().iter().any(|version| version.partition == partition);
        self.keys.iter().filter(|(_, entry)| is_on(entry)).map(|(ix, _)| ix).collect()
    }

    /// What is open of a key is void: it will be read again, by us or by somebody else. Versions of other partitions are
    /// not, so they end without a verdict.
    fn void(&mut self, ix: KeyIx) {
        if self.keys.get(ix).is_some_and(Entry::is_unordered) {
            self.give_up(ix, "one of the partitions that hold its changes was given out anew");
        } else if let Some(entry) = self.forget(ix) {
            self.strike(&entry.key);
        }
    }

    /// Like [`Engine::void`], but an open finding stays: it still may heal, once the partition is ours.
    fn begin_anew(&mut self, ix: KeyIx) {
        if !self.keep_finding(ix) {
            self.void(ix);
        }
    }

    pub(super) fn gap(&mut self, partition: PartitionId, from: u64, to: u64) {
        let until = self.now + (self.settle() + self.measures.lags.largest()) * 2;
        let state = self.partitions.entry(partition).or_default();
        (state.consumed, state.unbroken_since) = (state.consumed.max(to), to);
        (state.behind_gone, state.gone_until) = (Some(BehindGone::Open), until);
        self.hold_commits(Position { partition, offset: from });
        self.patrol.roster.void_partition(partition);
        let place = self.place(partition, from);
        let detail = format!("records {place} up to {to} were gone from the log before they were read");
        self.not_covered(Position { partition, offset: from }, detail, format!("the log now begins at {to}"));
        self.say(Output::Note(Note::Unverifiable {
            partition,
            range: (from, to.saturating_sub(1)),
            why: "gone from the log",
        }));
        self.give_up_chains_before(partition, to);
        self.leave_scans(&[partition], "records behind the truncate were gone from the log");
    }

    /// What follows has a partition of its own, so nothing that was proven of the old log holds of it.
    pub(super) fn replaced(&mut self, partition: PartitionId, expected: u64, end: u64) {
        let place = self.place(partition, expected);
        let detail = format!(
            "the log ends at {end}, before {place} that was to be read next: its topic was made anew or its log was cut \
             off, and changes that were in it may never have been read"
        );
        self.not_covered(Position { partition, offset: expected }, detail, format!("the log now ends at {end}"));
    }

    /// States it, and gives back what was stated.
    pub(super) fn not_covered(&mut self, at: Position, detail: String, evidence: String) -> Finding {
        let subject = Subject::Scope { at: Some(at), detail };
        let finding = Finding::open(Kind::CoverageGap, subject, evidence, self.now);
        self.state(&finding);
        finding
    }

    /// Chains that cross a gap may lack versions: they cannot be judged.
    fn give_up_chains_before(&mut self, partition: PartitionId, to: u64) {
        let keys: Vec<KeyIx> = self
            .keys
            .iter()
            .filter(|(_, entry)| {
                let newest = entry.chain.newest();
                newest.partition == partition && newest.offset < to
            })
            .map(|(ix, _)| ix)
            .collect();
        for ix in keys {
            self.give_up(ix, "records of its partition are gone from the log");
        }
    }

    /// A finding from before a restart: its key is known again, with the version it expected and nothing else. Which changes
    /// behind it ended without a verdict nobody knows any more.
    pub(super) fn open_finding(&mut self, expected: Tracked, finding: Finding, observed: Option<&Seen>) {
        let look = self.now + self.options.reread;
        let told = expected.plan;
        let Some(expected) = self.under_plan(expected, expected_row(&finding)) else { return };
        // What was read under another plan is as good as not kept.
        let content = observed.filter(|_| expected.plan == told).and_then(Content::of);
        if let Some(ix) = self.keys.find(&expected.key) {
            let Some(entry) = self.keys.get_mut(ix) else { return };
            let floor = entry.chain.versions()[0].arrival;
            if entry.reported().is_none() {
                entry.more().reported = Some(Box::new(Reported { finding, content, floor, look }));
                self.again.insert((look, ix));
            }
            return;
        }
        let version = self.version(&expected);
        let mut more = More::new(Base::Unknown);
        (more.settled_to, more.applied_to) = (Some(version.arrival), Some(version.arrival));
        more.blind = Some(version.arrival);
        more.reported = Some(Box::new(Reported { finding, content, floor: version.arrival, look }));
        let entry = Entry { more: Some(Box::new(more)), ..Entry::of(expected.key, version, expected.role) };
        let ix = self.keys.insert(entry);
        self.memory.versions += 1;
        self.again.insert((look, ix));
    }
}

/// Tables whose unreadable records are told apart in one partition; past it they count for every table.
const REJECTED_TABLES: usize = 256;

fn recalled(verified: &Verified, mask: MaskId) -> Version {
    let marks = Marks { committed_at: None, key_change: KeyChange::No, late: false, left_out: false };
    Version::new(verified.at, 0, verified.op, (verified.fingerprint, mask), &marks)
}
