//! A source that was rewound: its log is another one from some place on, and nothing tells which of the changes published
//! behind that place have happened.
//!
//! A connector publishes one log after the other. So once a change of the new log was read in one partition, all that the old
//! one left in the others stands before their ends as asked after that. What of the old log has no verdict by then ends without
//! one, as does what is read before such an end. Nothing of the two logs is compared: what was proven by places of the old one
//! is forgotten, and of the new one it is proven anew.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::finding::Finding;
use crate::model::{PartitionId, Position, SourceTime, Tick, Waymark};

use super::chain::{Base, Version};
use super::course::{Course, Departure, Mark, Step};
use super::event::{Note, Output, Role, Tracked};
use super::horizon::{Back, Horizon};
use super::keys::{Entry, KeyIx, More};
use super::limit::Order;
use super::partition::Partition;
use super::state::{Engine, ScopeId};

pub(super) const REWOUND: &str = "its source was rewound, so it may never have happened";

/// Connectors followed in one partition; what others say of their logs is passed over.
const CONNECTORS: usize = 8;

/// Rewound connectors known at once. Past it the first is forgotten: should a partition be read again from before its source
/// was rewound, that is noticed and said once more.
const REWOUND_KNOWN: usize = 64;

/// A connector whose source seems to be rewound again so soon, by the source's clock, publishes several logs at once: sources
/// that share one name.
const AGAIN_MS: i64 = 600_000;

/// How long a row of the new log is no witness before something was verified of it. What is done again after a rewind often
/// leaves rows as the old log left them, so that such a row says nothing of which of the two was applied. At least; twice the
/// lag of late where that is longer.
const DOUBTED: Duration = Duration::from_secs(600);

/// Which log a change is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// The one that is judged.
    Current,
    /// Perhaps another one that follows it: nothing tells how the two are ordered.
    Doubtful,
    /// Perhaps one before it.
    Old,
}

/// Where the new log begins in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    /// Here.
    At(u64),
    /// No later than here.
    By(u64),
}

/// A connector whose source was rewound.
#[derive(Debug)]
pub(super) struct Rewound {
    /// When it was seen.
    since: Tick,
    /// When the first change of the new log was committed.
    began: SourceTime,
    /// What was stated of it.
    told: Option<Finding>,
    /// Until then rows may stand at the target as the old log left them.
    doubted_until: Tick,
    /// Partitions that are not named hold perhaps nothing but the old log as yet.
    begins: BTreeMap<PartitionId, Begin>,
}

impl Rewound {
    /// Which log a change is of, as far as it is known without its place.
    fn line(&self, at: Position) -> Line {
        match self.begins.get(&at.partition) {
            Some(Begin::At(begin) | Begin::By(begin)) if at.offset >= *begin => Line::Current,
            Some(Begin::At(_) | Begin::By(_)) | None => Line::Old,
        }
    }
}

impl Engine {
    /// Follows the connector's log, and tells which one a change is of.
    pub(super) fn follow(&mut self, change: &Tracked) -> Line {
        let Some(waymark) = change.waymark else { return Line::Current };
        let at = change.at;
        if self.several.contains(&waymark.connector) {
            if self.is_wide() {
                self.hold_while_doubtful(at.partition);
            }
            return Line::Current;
        }
        if let Some(rewound) = self.rewound.get_mut(&waymark.connector)
            && rewound.line(at) == Line::Old
        {
            let Some(mark) = mark(&waymark, change) else { return Line::Old };
            let known = matches!(rewound.begins.get(&at.partition), Some(Begin::At(_)));
            let Some(course) = course(&mut self.partitions, at, waymark.connector).filter(|_| !known) else {
                return Line::Old;
            };
            if !course.is_left_by(&mark) {
                course.step(mark);
                return Line::Old;
            }
            course.begin_anew();
            rewound.begins.insert(at.partition, Begin::At(at.offset));
        }
        self.begun(&waymark, at);
        let Some(mark) = mark(&waymark, change) else { return Line::Current };
        let Some(course) = course(&mut self.partitions, at, waymark.connector) else { return Line::Current };
        match course.step(mark) {
            Step::On => Line::Current,
            Step::Doubtful => {
                self.hold_while_doubtful(at.partition);
                Line::Doubtful
            }
            Step::Left(departure) => {
                self.left_log(waymark.connector, at.partition, &departure);
                Line::Current
            }
        }
    }

    /// The first change at or behind an end that is past the old log: places before it are not of the new one.
    fn begun(&mut self, waymark: &Waymark, at: Position) {
        let Some(rewound) = self.rewound.get_mut(&waymark.connector) else { return };
        if let Some(begin @ Begin::By(_)) = rewound.begins.get_mut(&at.partition) {
            *begin = Begin::At(at.offset);
            if let Some(course) = course(&mut self.partitions, at, waymark.connector) {
                course.begin_anew();
            }
        }
    }

    /// The tap's ends, asked after a rewind was seen: what the old log left stands before them.
    pub(super) fn bound_old_logs(&mut self, asked: Tick, ends: &[(PartitionId, u64)]) {
        for rewound in self.rewound.values_mut().filter(|rewound| rewound.since <= asked) {
            for (partition, end) in ends {
                rewound.begins.entry(*partition).or_insert(Begin::By(*end));
            }
        }
    }

    /// Verdicts wait while a log may have been left: what it published last may never have happened.
    pub(super) fn hold_while_doubtful(&mut self, partition: PartitionId) {
        let why = |judge: &Engine| format!("{}, in {}", Back::Log.words(), judge.images.partition_name(partition));
        let scopes: Vec<ScopeId> = match self.options.order {
            Order::Partition => vec![ScopeId::Partition(partition)],
            Order::Table | Order::Pipeline => self.horizons.keys().copied().collect(),
            Order::Key => Vec::new(),
        };
        scopes.into_iter().for_each(|scope| self.hold_scope((scope, partition), Back::Log, why));
    }

    pub(super) fn watch_logs(&mut self) {
        let doubtful: Vec<PartitionId> =
            self.partitions.iter().filter(|(_, known)| known.is_doubtful()).map(|(id, _)| *id).collect();
        doubtful.into_iter().for_each(|id| self.hold_while_doubtful(id));
    }

    /// Whether the log that a version was read from may have been left.
    pub(super) fn is_doubtful(&self, version: &Version) -> bool {
        if self.is_wide() {
            return self.is_doubtful_anywhere();
        }
        self.partitions.get(&version.partition).is_some_and(|partition| partition.is_doubtful())
    }

    /// Whether the log of any partition may have been left.
    pub(super) fn is_doubtful_anywhere(&self) -> bool {
        self.partitions.values().any(|partition| partition.is_doubtful())
    }

    fn left_log(&mut self, connector: u64, partition: PartitionId, left: &Departure) {
        let soon = |known: &Rewound| left.new.committed_at.0.saturating_sub(known.began.0) < AGAIN_MS;
        if self.rewound.get(&connector).is_some_and(soon) {
            self.has_several(connector, partition);
            return;
        }
        let told = self.say_left(partition, left);
        if self.rewound.len() >= REWOUND_KNOWN && !self.rewound.contains_key(&connector) {
            let first = self.rewound.iter().min_by_key(|(_, rewound)| rewound.since).map(|(known, _)| *known);
            first.map(|first| self.rewound.remove(&first));
        }
        let mut begins = BTreeMap::from([(partition, Begin::At(left.new.offset))]);
        let mut partitions = Vec::new();
        for (id, known) in &mut self.partitions {
            let Some(course) = known.courses.iter_mut().find(|course| course.connector == connector) else { continue };
            partitions.push(*id);
            if let Some(first) = course.give_in() {
                begins.insert(*id, Begin::At(first.offset));
            }
        }
        self.truncates.retain(|_, truncate| !partitions.contains(&truncate.partition));
        self.leave_scans(&partitions, REWOUND);
        let doubted = DOUBTED.max(self.measures.lags.largest() * 2);
        let (since, began) = (self.now, left.new.committed_at);
        let rewound = Rewound { since, began, told, doubted_until: self.now + doubted, begins };
        self.leave_old_log(&partitions, &rewound);
        self.rewound.insert(connector, rewound);
        self.prove_anew(&partitions);
        for id in &partitions {
            self.patrol.roster.void_partition(*id);
            if let Some(known) = self.partitions.get_mut(id) {
                known.unbroken_since = known.consumed;
            }
        }
        // After a restart the old log must be read again, or the new one would not be told from what others still hold of it.
        self.hold_commits(Position { partition, offset: left.old.offset });
    }

    /// Several sources write under one name, so that places say nothing. A partition keeps its own order; under a wider one
    /// nothing is told any more.
    fn has_several(&mut self, connector: u64, partition: PartitionId) {
        if let Some(told) = self.rewound.remove(&connector).and_then(|known| known.told) {
            self.withdraw(told);
        }
        if self.several.len() >= REWOUND_KNOWN {
            self.several.pop_first();
        }
        self.several.insert(connector);
        for known in self.partitions.values_mut() {
            known.courses.retain(|course| course.connector != connector);
        }
        let why = format!(
            "{} holds changes of several logs under one connector's name: give each source a name of its own (Debezium: \
             `topic.prefix`), else it cannot be told whether one of them is rewound",
            self.images.partition_name(partition)
        );
        match self.is_wide() {
            true => self.order_is_unsound(why),
            false => self.say(Output::Note(Note::Frozen { partition: Some(partition), why })),
        }
    }

    fn say_left(&mut self, partition: PartitionId, left: &Departure) -> Option<Finding> {
        let Departure { old, new, from } = left;
        let mark = |mark: &Mark| {
            let (place, at) = (self.place(partition, mark.offset), mark.committed_at.rfc3339());
            format!("{} committed {at} ({place})", mark.place)
        };
        let (old_mark, new_mark) = (mark(old), mark(new));
        let range = format!("{} up to {}", self.place(partition, *from), self.place(partition, old.offset));
        if left.is_renumbered() {
            let why =
                format!("another server took over: its log goes on at {new_mark} after {old_mark} of the one before");
            self.say(Output::Note(Note::Frozen { partition: Some(partition), why }));
            return None;
        }
        let detail = format!(
            "the source was rewound: its log reached {old_mark} and then goes on at {new_mark}; what it published behind that \
             place, here {range}, may never have happened"
        );
        let evidence = "places in the source's log went back while commit times went on".to_owned();
        Some(self.not_covered(Position { partition, offset: new.offset }, detail, evidence))
    }

    /// What is open of the old log ends without a verdict.
    fn leave_old_log(&mut self, partitions: &[PartitionId], rewound: &Rewound) {
        let is_of = |entry: &Entry| entry.chain.versions().iter().any(|known| partitions.contains(&known.partition));
        let keys: Vec<KeyIx> = self.keys.iter().filter(|(_, entry)| is_of(entry)).map(|(ix, _)| ix).collect();
        for ix in keys {
            let Some(role) = self.keys.get(ix).map(|entry| entry.role) else { continue };
            let is_kept = match role {
                Role::Heartbeat => true,
                Role::Counted => false,
                Role::Rows => self.keep_new(ix, rewound),
            };
            if !is_kept {
                self.give_up(ix, REWOUND);
            }
            self.unorder(ix);
        }
    }

    /// Drops what a key has of the old log, where the rest is of the new one for sure; else says that it is not.
    fn keep_new(&mut self, ix: KeyIx, rewound: &Rewound) -> bool {
        let wide = self.is_wide();
        let Some(entry) = self.keys.get_mut(ix) else { return false };
        let is_new = |known: &Version| rewound.line(known.at()) == Line::Current;
        let versions = entry.chain.versions();
        let old = versions.iter().position(is_new).unwrap_or(versions.len());
        let whole = versions[old..].iter().all(is_new) && old < versions.len();
        // In a wider order they were taken for the newest of the old log.
        if wide || !whole || entry.hole().is_some() || entry.reported().is_some() {
            return false;
        }
        entry.base_absent = false;
        if old == 0 {
            entry.more().base = Base::Unknown;
            return true;
        }
        let unjudged = entry.unjudged(old - 1);
        self.memory.versions -= entry.chain.drop_first(old);
        entry.flight = 0;
        let last_read = entry.last_read();
        let known = entry.more.replace(Box::new(More { last_read, ..More::new(Base::Unknown) }));
        self.suspects.remove(&ix);
        if let Some(suspicion) = known.and_then(|more| more.suspect).and_then(|suspect| suspect.stated) {
            self.withdraw(*suspicion);
        }
        self.leave(unjudged, REWOUND);
        true
    }

    /// Versions of the old log that are still held (heartbeats, those of open findings) come before all of the new one.
    pub(super) fn unorder(&mut self, ix: KeyIx) {
        if !self.is_wide() {
            return;
        }
        if let Some(entry) = self.keys.get_mut(ix) {
            let versions = entry.chain.versions().iter().map(|known| known.before_all());
            entry.chain.replace_all(versions.collect());
        }
    }

    /// What places of the old log proved holds of no place of the new one.
    fn prove_anew(&mut self, partitions: &[PartitionId]) {
        let now = self.now;
        if self.is_wide() {
            self.orders.clear();
            for horizon in self.horizons.values_mut() {
                *horizon = Horizon::anew(now, Back::Log);
            }
            for partition in self.partitions.values_mut() {
                partition.again_all();
            }
            return;
        }
        for id in partitions {
            if let Some(known) = self.partitions.get_mut(id) {
                known.again_all();
            }
            if let Some(horizon) = self.horizons.get_mut(&ScopeId::Partition(*id)) {
                horizon.went_back(now, Back::Log);
            }
        }
    }

    /// A row may stand at the target as the old log left it: until when it is taken for that.
    pub(super) fn may_be_of_old_log(&self, change: &Tracked) -> Option<Tick> {
        let rewound = self.rewound.get(&change.waymark?.connector)?;
        let begin = rewound.begins.get(&change.at.partition);
        let is_old = |at: Position| match begin {
            Some(Begin::At(begin) | Begin::By(begin)) => at.partition == change.at.partition && at.offset < *begin,
            None => true,
        };
        let until = rewound.doubted_until;
        (self.now < until || self.images.recall(&change.key).is_some_and(|known| is_old(known.at))).then_some(until)
    }
}

fn mark(waymark: &Waymark, change: &Tracked) -> Option<Mark> {
    Some(Mark { place: waymark.place?, offset: change.at.offset, committed_at: change.committed_at? })
}

/// The course of a connector through a partition, unless there are too many.
fn course(partitions: &mut BTreeMap<PartitionId, Partition>, at: Position, connector: u64) -> Option<&mut Course> {
    let courses = &mut partitions.entry(at.partition).or_default().courses;
    let known = courses.iter().position(|course| course.connector == connector);
    let index = known.unwrap_or(courses.len());
    if known.is_none() && index < CONNECTORS {
        courses.push(Course::of(connector));
    }
    courses.get_mut(index)
}
