//! Rows that no key tells apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Bench;
use super::bench::row_key;
use crate::canon::{Mask, ObservedHashes};
use crate::engine::Input;
use crate::engine::event::{Role, Seen, Tracked};
use crate::model::finding::{Finding, Kind, State, Subject};
use crate::model::{Cell, Columns, Key, Op, Row, Typing};

impl Bench {
    /// A change of the count of a content is read from the tap: `1`, or `1@2` in partition 2.
    fn changes(&mut self, content: &str, by: i64) {
        let (key, partition) = row_key(content);
        let at = self.position(&partition.to_string());
        let op = if by > 0 { Op::Insert } else { Op::Delete };
        let tracked = self.tracked_as(key, at, op, by as u128, Role::Counted);
        self.give(Input::Change(Tracked { mask: Mask::default(), ..tracked }));
        self.give(Input::Reached { partition: at.partition, next: at.offset + 1 });
    }

    fn reads(&mut self, content: &str) {
        let (key, at) = (row_key(content).0, self.position("0"));
        let tracked = self.tracked_as(key, at, Op::Read, 1, Role::Counted);
        self.give(Input::Change(Tracked { mask: Mask::default(), ..tracked }));
        self.give(Input::Reached { partition: at.partition, next: at.offset + 1 });
    }

    fn holds(&mut self, content: &str, count: u64) {
        let row = Arc::new(Row::new(Arc::new(Columns::new(["a"])), vec![Cell::Int(1)], Typing::Declared));
        let seen = match count {
            0 => Seen::Absent,
            _ => Seen::Row { hashes: ObservedHashes::of_count(count), row, placeholder: false },
        };
        self.target.insert(row_key(content).0, seen);
    }

    /// What is open, as content and kind.
    fn open(&self) -> BTreeMap<Key, Kind> {
        let mut open = BTreeMap::new();
        for Finding { kind, state, subject, .. } in &self.findings {
            if let Subject::Row { key, .. } = subject {
                match state {
                    State::Open => open.insert(key.clone(), *kind),
                    State::Suspected | State::Acknowledged | State::Ignored | State::Healed | State::Retracted => {
                        open.remove(key)
                    }
                };
            }
        }
        open
    }

    fn kinds(&self) -> Vec<Kind> {
        self.open().into_values().collect()
    }
}

/// So many of a content are there, and that was read.
fn learned(count: u64) -> Bench {
    let mut bench = Bench::heartbeat();
    bench.changes("1", 1);
    bench.holds("1", count);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), [], "{:?}", bench.said);
    bench
}

#[test]
fn one_more_has_to_be_there_whatever_was() {
    let mut bench = Bench::heartbeat();
    bench.changes("1", 1);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), [Kind::MissingRow]);
    bench.holds("1", 3);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), []);
}

#[test]
fn one_fewer_of_an_unknown_number_demands_nothing() {
    let mut bench = Bench::heartbeat();
    bench.holds("1", 2);
    bench.changes("1", -1);
    bench.run("wait 100");
    assert_eq!((bench.kinds(), bench.lookups > 0), (Vec::new(), true));
    let unverifiable = |note: &&String| note.contains("how many equal rows there were before");
    assert_eq!(bench.notes.iter().filter(unverifiable).count(), 1, "{:?}", bench.notes);
}

#[test]
fn what_was_learned_is_counted_from() {
    for (by, holds, kind) in [
        (-1, 3, Some(Kind::UnappliedDelete)),
        (-1, 2, None),
        (-1, 1, Some(Kind::MissingRow)),
        (1, 3, Some(Kind::MissingRow)),
        (1, 4, None),
        (1, 5, Some(Kind::DuplicateRow)),
        (-3, 0, None),
        (-3, 3, Some(Kind::UnappliedDelete)),
    ] {
        let mut bench = learned(3);
        bench.changes("1", by);
        bench.holds("1", holds);
        bench.run("wait 100");
        assert_eq!(bench.kinds(), kind.into_iter().collect::<Vec<_>>(), "{by} {holds} {:?}", bench.said);
    }
}

#[test]
fn a_finding_of_a_count_heals() {
    let mut bench = learned(1);
    bench.changes("1", -1);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), [Kind::UnappliedDelete]);
    bench.holds("1", 0);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), []);
    bench.changes("1", 1);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), [Kind::MissingRow]);
}

#[test]
fn a_truncate_leaves_none() {
    let mut bench = learned(3);
    bench.run("truncate");
    bench.holds("1", 0);
    bench.changes("1", 1);
    bench.changes("2", 1);
    bench.changes("2", 1);
    bench.holds("1", 1);
    bench.holds("2", 1);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), [Kind::MissingRow], "{:?}", bench.said);
}

#[test]
fn nothing_is_counted_over_what_was_not_read() {
    for unread in ["reject", "gap 3"] {
        let mut bench = learned(2);
        bench.run(unread);
        bench.changes("1", -1);
        bench.holds("1", 0);
        bench.run("wait 100");
        assert_eq!(bench.kinds(), [], "{unread}");
    }
}

#[test]
fn a_row_that_is_read_again_may_be_one_that_was_counted() {
    let mut bench = learned(2);
    bench.reads("1");
    bench.run("wait 100");
    assert_eq!(bench.kinds(), []);
    bench.changes("1", -1);
    bench.holds("1", 2);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), [Kind::UnappliedDelete]);
}

#[test]
fn records_in_several_partitions_are_in_no_order() {
    let mut bench = learned(1);
    bench.run("assign 0@1");
    bench.changes("1@1", -1);
    bench.changes("2", 1);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), [], "{:?}", bench.said);
    assert!(bench.notes.iter().any(|note| note.contains("several partitions")), "{:?}", bench.notes);
}

#[test]
fn a_log_made_anew_tells_no_number() {
    let mut bench = learned(2);
    bench.run("another log");
    bench.changes("1@1", -1);
    bench.run("wait 100");
    assert_eq!(bench.kinds(), [], "{:?}", bench.said);
}

/// A table, and an applier behind it that may lose changes.
struct World {
    bench: Bench,
    dice: u64,
    source: BTreeMap<u64, u64>,
    target: BTreeMap<u64, u64>,
    /// Changes that wait for the applier.
    on_the_way: Vec<(u64, u64, i64)>,
    applied: u64,
    next: u64,
    loses: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut bench = Bench::committed();
        let mut source = BTreeMap::new();
        for content in 0..4 {
            source.insert(content, (seed >> content) % 3);
            bench.holds(&content.to_string(), source[&content]);
        }
        let dice = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let (target, on_the_way) = (source.clone(), Vec::new());
        World { bench, dice, source, target, on_the_way, applied: 0, next: 0, loses: false }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice % sides
    }

    fn second(&mut self) {
        for _ in 0..self.roll(3) {
            let content = self.roll(4);
            let there = self.source[&content];
            let by = if there > 0 && self.roll(2) == 0 { -1 } else { 1 };
            self.source.insert(content, there.saturating_add_signed(by));
            self.bench.changes(&content.to_string(), by);
            self.on_the_way.push((self.next, content, by));
            self.next += 1;
        }
        if self.roll(4) == 0 {
            self.apply();
        }
        let applied = self.applied;
        self.bench.run(&format!("commit {applied}\nwait 1"));
    }

    /// The applier takes all that waits, in order, and commits behind it.
    fn apply(&mut self) {
        for (offset, content, by) in std::mem::take(&mut self.on_the_way) {
            self.applied = offset + 1;
            if self.loses && self.roll(8) == 0 {
                continue;
            }
            let count = self.target[&content].saturating_add_signed(by);
            self.target.insert(content, count);
            self.bench.holds(&content.to_string(), count);
        }
    }

    fn rest(&mut self) {
        self.apply();
        let applied = self.applied;
        self.bench.run(&format!("commit {applied}\nwait 200"));
    }
}

#[test]
fn an_honest_applier_is_never_accused() {
    for seed in 1..=60 {
        let mut world = World::new(seed);
        for second in 0..150 {
            world.second();
            if second == 70 && seed % 3 == 0 {
                world.rest();
            }
        }
        world.rest();
        assert!(world.bench.findings.is_empty(), "seed {seed}: {:?}", world.bench.said);
    }
}

#[test]
fn what_a_lossy_applier_leaves_wrong_is_found_and_nothing_else() {
    let mut wrong = 0;
    for seed in 1..=60 {
        let mut world = World::new(seed);
        (0..4).for_each(|content| {
            world.source.entry(content).and_modify(|there| *there += 1);
            world.bench.changes(&content.to_string(), 1);
            world.on_the_way.push((world.next, content, 1));
            world.next += 1;
        });
        world.rest();
        world.loses = true;
        (0..40).for_each(|_| world.second());
        world.rest();
        let differs = |content: &u64| world.source[content] != world.target[content];
        let lost: BTreeSet<Key> = (0..4).filter(differs).map(|content| row_key(&content.to_string()).0).collect();
        let found: BTreeSet<Key> = world.bench.open().into_keys().collect();
        assert_eq!(found, lost, "seed {seed}: {:?}", world.bench.said);
        wrong += lost.len();
    }
    assert!(wrong > 50, "{wrong}");
}
