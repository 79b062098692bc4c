//! 3 ▸ Changes become versions of keys.

use std::sync::Arc;

use crate::model::change::KeyChange;
use crate::model::finding::{Cause, Finding, Kind, State, Subject};
use crate::model::{Op, PartitionId, Position, TableId};

use super::chain::{Arrival, Base, Chain, Marks, MaskId, Version};
use super::event::{Note, Output, Role, Tracked, Verified};
use super::keys::{Entry, KeyIx, More, Reported};
use super::limit::{HEARTBEAT_VERSIONS, Order};
use super::partition::Tracked as Track;
use super::state::Engine;

impl Engine {
    pub(super) fn change(&mut self, change: Tracked) {
        let partition = self.partitions.entry(change.at.partition).or_default();
        if change.at.offset + 1 < partition.consumed {
            self.counters.duplicates += 1;
            return;
        }
        partition.consumed = partition.consumed.max(change.at.offset + 1);
        self.counters.changes += 1;
        if change.op == Op::Truncate {
            self.truncate(&change);
            return;
        }
        let version = self.version(&change);
        match self.keys.find(&change.key) {
            Some(ix) => self.append(ix, version, change.role),
            None => self.begin(change, version),
        }
    }

    fn version(&mut self, change: &Tracked) -> Version {
        let order = match self.options.order {
            Order::Partition | Order::Key => change.at.offset,
            Order::Table | Order::Pipeline => self.source_order(change),
        };
        let late = self.is_late(change);
        let marks = Marks { committed_at: change.committed_at, key_change: change.key_change, late };
        let mask = self.masks.id(&change.mask);
        Version::new(change.at, order, change.op, (change.fingerprint, mask), &marks)
    }

    /// An applier that reads the source's log itself had this change longer than `lead` before the tap did. Reads of that
    /// time met rows that the tap had not told of, so nothing they said counts.
    fn is_late(&mut self, change: &Tracked) -> bool {
        let lead = i64::try_from(self.options.lead.as_millis()).unwrap_or(i64::MAX);
        let (Some(committed), Some(appended)) = (change.committed_at, change.appended_at) else { return false };
        let late = lead > 0 && appended.saturating_sub(committed.0) > lead;
        if late {
            self.late_tap(change);
        }
        late
    }

    fn late_tap(&mut self, change: &Tracked) {
        let Some(scope) = self.scope(change.at.partition, change.key.table()) else { return };
        let (now, settle) = (self.now, self.options.settle);
        let horizon = self.horizons.entry(scope).or_default();
        let known = horizon.frozen(now, settle);
        horizon.went_back(now);
        if !known {
            let place = self.place(change.at.partition, change.at.offset);
            let why = format!("the tap is later than the applier may be ahead of it, at {place}");
            self.say(Output::Note(Note::Frozen { partition: Some(change.at.partition), why }));
        }
    }

    /// Records without a source position (snapshots) take the newest of their scope: nothing before them is newer.
    fn source_order(&mut self, change: &Tracked) -> u64 {
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
            Base::Version(_) | Base::Content(..) => Some(Box::new(More::new(base))),
        };
        let ix = self.keys.insert(Entry {
            key: change.key,
            chain: Chain::of(version),
            more,
            role: change.role,
            queued: false,
            flight: 0,
            base_absent: base == Base::Absent,
        });
        self.memory.versions += 1;
        if heartbeat {
            self.heartbeats.insert(ix);
        } else {
            self.track(ix, &version, Arrival(0));
        }
    }

    fn base_of(&mut self, change: &Tracked, version: &Version) -> Base {
        if let Some(verified) = self.images.recall(&change.key)
            && verified.at.partition == version.partition
            && verified.at.offset < version.offset
            && self.partitions.get(&version.partition).is_some_and(|known| verified.at.offset >= known.unbroken_since)
        {
            let mask = self.masks.id(&verified.mask);
            return Base::Version(recalled(&verified, mask));
        }
        match (change.op, change.before) {
            (Op::Insert, _) => Base::Absent,
            (Op::Read | Op::Update | Op::Delete | Op::Truncate, Some(before)) => Base::Content(before, version.mask),
            (Op::Read | Op::Update | Op::Delete | Op::Truncate, None) => Base::Unknown,
        }
    }

    fn append(&mut self, ix: KeyIx, version: Version, role: Role) {
        let cap = match role {
            Role::Rows => self.options.versions_per_key.max(4),
            Role::Heartbeat => HEARTBEAT_VERSIONS,
        };
        let Some(entry) = self.keys.get_mut(ix) else { return };
        let newest = *entry.chain.newest();
        if newest.partition != version.partition {
            entry.more().unordered = true;
        } else if newest.offset >= version.offset {
            self.counters.duplicates += 1;
            return;
        }
        let arrival = entry.chain.push(version);
        self.memory.versions += 1;
        if role == Role::Rows {
            self.track(ix, &version, arrival);
        }
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
        let partition = entry.chain.newest().partition;
        let mut hole = entry.more().hole;
        let Some((count, first, last)) = entry.chain.coalesce(&mut hole) else { return 0 };
        entry.more().hole = hole;
        self.memory.versions -= count;
        self.counters.coalesced += count as u64;
        self.say(Output::Note(Note::Coalesced { partition, range: (first, last) }));
        count
    }

    /// Every tracked key of the table in the truncate's partition is expected gone. Keys of other partitions have no order
    /// with it, so what is open of them cannot be judged any more.
    fn truncate(&mut self, change: &Tracked) {
        let table = change.key.table();
        let keys: Vec<(KeyIx, bool)> = self
            .keys
            .iter()
            .filter(|(_, entry)| entry.key.table() == table && entry.role == Role::Rows)
            .map(|(ix, entry)| (ix, entry.chain.newest().partition == change.at.partition))
            .collect();
        for (ix, ordered) in keys {
            if ordered {
                let version = self.truncated(change);
                self.append(ix, version, Role::Rows);
            } else {
                self.give_up(ix, "a truncate in another partition has no order with it");
            }
        }
    }

    fn truncated(&mut self, change: &Tracked) -> Version {
        let marks = Marks { committed_at: change.committed_at, key_change: KeyChange::No, late: false };
        let mask = self.masks.id(&change.mask);
        Version::new(change.at, change.order.max(change.at.offset), Op::Truncate, (0, mask), &marks)
    }

    /// Forgets a key without a verdict, and says so.
    pub(super) fn give_up(&mut self, ix: KeyIx, why: &'static str) {
        let Some(entry) = self.forget(ix) else { return };
        let versions = entry.chain.versions();
        let range = (versions[0].offset, entry.chain.newest().offset);
        if let Some(partition) = self.partitions.get_mut(&versions[0].partition) {
            partition.unbroken_since = partition.consumed;
        }
        self.counters.unverifiable += versions.len() as u64;
        self.say(Output::Note(Note::Unverifiable { partition: versions[0].partition, range, why }));
    }

    /// Takes a key out of every list.
    pub(super) fn forget(&mut self, ix: KeyIx) -> Option<Entry> {
        self.suspects.remove(&ix);
        self.heartbeats.remove(&ix);
        let entry = self.keys.remove(ix)?;
        self.memory.versions -= entry.chain.len();
        Some(entry)
    }

    pub(super) fn reject(&mut self, at: Position, reason: String, table: Option<Arc<str>>) {
        let partition = self.partitions.entry(at.partition).or_default();
        if at.offset < partition.consumed {
            return;
        }
        partition.consumed = at.offset + 1;
        self.counters.rejects += 1;
        let evidence = format!("the record at {} was read whole", self.place(at.partition, at.offset));
        let finding = Finding {
            kind: Kind::Undecodable,
            cause: Cause::Unknown,
            state: State::Open,
            proof: None,
            subject: Subject::Record { at, reason, table },
            evidence,
            first_seen: self.now,
            last_seen: self.now,
            observations: 1,
        };
        self.state(&finding);
    }

    pub(super) fn reached(&mut self, partition: PartitionId, next: u64) {
        let state = self.partitions.entry(partition).or_default();
        state.consumed = state.consumed.max(next);
        self.judge_arrived();
    }

    pub(super) fn assigned(&mut self, partition: PartitionId, next: u64) {
        self.drop_partition(partition);
        let now = self.now;
        let state = self.partitions.entry(partition).or_default();
        state.restart(next, now);
        state.assigned = true;
    }

    pub(super) fn revoked(&mut self, partition: PartitionId) {
        self.drop_partition(partition);
        let now = self.now;
        let state = self.partitions.entry(partition).or_default();
        let next = state.consumed;
        state.restart(next, now);
        state.assigned = false;
        self.horizons.remove(&super::state::ScopeId::Partition(partition));
    }

    /// What is open of a partition is void: it will be read again, by us or by somebody else.
    fn drop_partition(&mut self, partition: PartitionId) {
        let keys: Vec<KeyIx> = self
            .keys
            .iter()
            .filter(|(_, entry)| entry.chain.versions().iter().any(|version| version.partition == partition))
            .map(|(ix, _)| ix)
            .collect();
        for ix in keys {
            self.forget(ix);
        }
    }

    pub(super) fn gap(&mut self, partition: PartitionId, from: u64, to: u64) {
        let state = self.partitions.entry(partition).or_default();
        (state.consumed, state.unbroken_since) = (state.consumed.max(to), to);
        let place = self.place(partition, from);
        let finding = Finding {
            kind: Kind::CoverageGap,
            cause: Cause::Unknown,
            state: State::Open,
            proof: None,
            subject: Subject::Scope {
                at: Some(Position { partition, offset: from }),
                detail: format!("records {place} up to {to} were gone from the log before they were read"),
            },
            evidence: format!("the log now begins at {to}"),
            first_seen: self.now,
            last_seen: self.now,
            observations: 1,
        };
        self.state(&finding);
        self.say(Output::Note(Note::Unverifiable {
            partition,
            range: (from, to.saturating_sub(1)),
            why: "gone from the log",
        }));
        self.give_up_chains_before(partition, to);
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

    /// Fingerprints of another plan compare with nothing: what is open of the table ends without a verdict.
    pub(super) fn replanned(&mut self, table: TableId) {
        let keys: Vec<KeyIx> =
            self.keys.iter().filter(|(_, entry)| entry.key.table() == table).map(|(ix, _)| ix).collect();
        for ix in keys {
            self.give_up(ix, "its table changed while it was being judged");
        }
    }

    /// A finding from before a restart: its key is known again, with the version it expected and nothing else.
    pub(super) fn open_finding(&mut self, expected: Tracked, finding: Finding) {
        if self.keys.find(&expected.key).is_some() {
            return;
        }
        let version = self.version(&expected);
        let mut more = More::new(Base::Unknown);
        (more.settled_to, more.applied_to) = (Some(version.arrival), Some(version.arrival));
        let look = self.now + self.options.reread;
        more.reported = Some(Box::new(Reported { finding, content: None, floor: version.arrival, look }));
        let ix = self.keys.insert(Entry {
            key: expected.key,
            chain: Chain::of(version),
            more: Some(Box::new(more)),
            role: Role::Rows,
            queued: false,
            flight: 0,
            base_absent: false,
        });
        self.memory.versions += 1;
        self.again.insert((look, ix));
    }
}

fn recalled(verified: &Verified, mask: MaskId) -> Version {
    let marks = Marks { committed_at: None, key_change: KeyChange::No, late: false };
    Version::new(verified.at, 0, verified.op, (verified.fingerprint, mask), &marks)
}
