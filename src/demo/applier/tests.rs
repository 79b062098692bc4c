//! The applier against a target that is a map.

use std::collections::BTreeMap;

use super::sample::{delete, fields, insert, update};
use super::*;
use crate::demo::dice::Dice;
use crate::model::finding::Cause;

/// A target: exactly the semantics of a table with a primary key.
#[derive(Default)]
struct MapTarget(BTreeMap<RowId, Fields>);

impl MapTarget {
    fn carry_out(&mut self, statement: &Statement) -> Effect {
        let row = self.0.get_mut(&statement.id);
        match (&statement.write, row) {
            (Write::Insert(_), Some(_)) | (Write::Update(_) | Write::Delete, None) => return Effect::Skipped,
            (Write::Insert(row), None) => {
                self.0.insert(statement.id.clone(), row.clone());
            }
            (Write::Update(set), Some(row)) => row.extend(set.clone()),
            (Write::Delete, Some(_)) => {
                self.0.remove(&statement.id);
            }
        }
        Effect::Done
    }
}

type Log = Vec<(i64, Act)>;

fn event(log: &Log, at: usize) -> Event<usize> {
    let (id, act) = log[at].clone();
    Event { table: "public.t".into(), key: fields(&[("id", id)]), act, at }
}

/// Drives an applier over a log, `window` changes at a time, until all of it is committed.
fn drive(log: &Log, window: usize, plan: FaultPlan) -> (Applier<usize>, MapTarget) {
    let (mut applier, mut target) = (Applier::new(plan), MapTarget::default());
    let (mut committed, mut next, mut reach) = (0, 0, 0);
    while committed < log.len() {
        let end = (next + window).max(reach + window).min(log.len());
        (next..end).for_each(|at| applier.take(event(log, at)));
        next = end;
        let batch = applier.close().expect("the window holds something");
        let effects: Vec<Effect> = batch.statements.iter().map(|statement| target.carry_out(statement)).collect();
        let now = Wall(next as i64);
        applier.applied(&effects, now);
        match batch.then {
            Then::Commit => {
                applier.committed(now);
                committed = next;
            }
            Then::Restart => {
                applier.restarted();
                (reach, next) = (next, committed);
            }
        }
    }
    (applier, target)
}

const ALWAYS: Rates = Rates { restart: 1000, skipped_batch: 0, torn_update: 0, calm_windows: 0 };

/// Closes and writes one window of the log.
fn window(applier: &mut Applier<usize>, target: &mut MapTarget, log: &Log, of: std::ops::Range<usize>, now: Wall) {
    of.for_each(|at| applier.take(event(log, at)));
    let batch = applier.close().expect("the window holds something");
    let effects: Vec<Effect> = batch.statements.iter().map(|statement| target.carry_out(statement)).collect();
    applier.applied(&effects, now);
    match batch.then {
        Then::Commit => applier.committed(now),
        Then::Restart => applier.restarted(),
    }
}

/// A first window that is applied and forgotten, then one that holds it and the rest.
fn lose(before: &[Act], first: &[Act], rest: &[Act]) -> Vec<Loss<usize>> {
    let log: Log = before.iter().chain(first).chain(rest).map(|act| (1, act.clone())).collect();
    let calm_windows = u32::from(!before.is_empty());
    let mut applier = Applier::new(FaultPlan::new(1, Rates { calm_windows, ..ALWAYS }));
    let mut target = MapTarget::default();
    let windows = [0..before.len(), before.len()..before.len() + first.len(), before.len()..log.len()];
    for of in windows.into_iter().filter(|of| !of.is_empty()) {
        window(&mut applier, &mut target, &log, of, Wall(0));
    }
    applier.ledger().losses().to_vec()
}

#[test]
fn a_restart_in_the_middle_loses_what_is_documented() {
    type Row<'a> = (&'a [Act], &'a [Act], &'a [Act], Option<(Cause, &'a [usize])>);
    let rows: &[Row<'_>] = &[
        (&[], &[insert(1)], &[update(1, 2)], Some((Cause::InsertUpdateMerge, &[1]))),
        (&[], &[insert(1), update(1, 2)], &[update(2, 3), update(3, 4)], Some((Cause::InsertUpdateMerge, &[2, 3]))),
        (&[], &[insert(1)], &[delete()], Some((Cause::InsertDeleteMerge, &[1]))),
        (&[], &[insert(1)], &[update(1, 2), delete()], Some((Cause::InsertDeleteMerge, &[1, 2]))),
        (&[insert(1)], &[delete()], &[insert(2)], Some((Cause::DeleteInsertMerge, &[2]))),
        (&[insert(1)], &[delete()], &[insert(2), update(2, 3)], Some((Cause::DeleteInsertMerge, &[2, 3]))),
        (&[insert(1)], &[update(1, 2)], &[update(2, 3)], None),
        (&[insert(1)], &[update(1, 2)], &[delete()], None),
        (&[insert(1)], &[delete()], &[insert(2), delete()], None),
        (&[], &[insert(1)], &[update(1, 1)], None),
        (&[], &[insert(1), delete()], &[insert(2)], None),
    ];
    for (before, first, rest, expected) in rows {
        let losses = lose(before, first, rest);
        let found = losses.first().map(|loss| (loss.cause, loss.lost.as_slice()));
        assert_eq!(found, *expected, "{before:?} | {first:?} | {rest:?}");
        assert!(losses.len() <= 1);
    }
}

#[test]
fn a_later_change_heals_and_is_written_down() {
    let log: Log = vec![(1, insert(1)), (1, update(1, 2)), (1, update(2, 3))];
    let (mut applier, mut target) = (Applier::new(FaultPlan::new(1, ALWAYS)), MapTarget::default());
    window(&mut applier, &mut target, &log, 0..1, Wall(0));
    window(&mut applier, &mut target, &log, 0..2, Wall(10));
    let loss = applier.ledger().losses()[0].clone();
    assert_eq!((loss.lost_at, loss.healed_at), (Wall(10), None));
    applier.stop_faults();
    window(&mut applier, &mut target, &log, 2..3, Wall(20));
    assert_eq!(applier.ledger().losses(), [Loss { healed_at: Some(Wall(20)), ..loss }]);
}

#[test]
fn a_row_lost_again_while_it_is_wrong_is_one_loss() {
    let log: Log = vec![(1, insert(1)), (1, delete()), (1, insert(2))];
    let (mut applier, mut target) = (Applier::new(FaultPlan::new(1, ALWAYS)), MapTarget::default());
    window(&mut applier, &mut target, &log, 0..1, Wall(0));
    window(&mut applier, &mut target, &log, 0..2, Wall(10));
    applier.stop_faults();
    window(&mut applier, &mut target, &log, 2..3, Wall(20));
    let [loss] = applier.ledger().losses() else { panic!("one loss") };
    assert_eq!(
        (loss.cause, loss.lost.as_slice(), loss.lost_at),
        (Cause::InsertDeleteMerge, [1, 2].as_slice(), Wall(10))
    );
    assert_eq!(loss.expected.as_ref().map(|row| row["v"].clone()), Some(2.into()));
}

/// Few rows, many changes: each valid for the row as the log left it.
fn random_log(seed: u64, changes: usize) -> Log {
    let mut dice = Dice::new(seed, 99);
    let mut rows: BTreeMap<i64, i64> = BTreeMap::new();
    (0..changes)
        .map(|at| {
            let (id, v) = (dice.between(0, 40) as i64, at as i64);
            let act = match rows.get(&id).copied() {
                None => insert(v),
                Some(_) if dice.chance(300) => delete(),
                Some(from) => update(from, v),
            };
            match act {
                Act::Delete => rows.remove(&id),
                Act::Insert(_) | Act::Update { .. } => rows.insert(id, v),
            };
            (id, act)
        })
        .collect()
}

fn truth(log: &Log) -> BTreeMap<RowId, Fields> {
    let mut rows = BTreeMap::new();
    for (id, act) in log {
        let id = RowId::new("public.t", &fields(&[("id", *id)]));
        match act.row() {
            Some(row) => rows.insert(id, row.clone()),
            None => rows.remove(&id),
        };
    }
    rows
}

#[test]
fn the_ledger_names_exactly_the_rows_that_differ() {
    let rates = Rates { restart: 300, skipped_batch: 50, torn_update: 100, calm_windows: 2 };
    let mut causes: BTreeMap<Cause, usize> = BTreeMap::new();
    for seed in 0..40 {
        let log = random_log(seed, 600);
        let (applier, target) = drive(&log, 13, FaultPlan::new(seed, rates));
        let (ledger, truth) = (applier.ledger(), truth(&log));
        assert_eq!(ledger.held(), &target.0, "seed {seed}");
        assert_eq!(ledger.truth(), &truth, "seed {seed}");
        let mut rows: Vec<&RowId> = truth.keys().chain(target.0.keys()).collect();
        rows.sort();
        rows.dedup();
        let differ: Vec<&RowId> = rows.into_iter().filter(|id| truth.get(*id) != target.0.get(*id)).collect();
        let mut open: Vec<&RowId> =
            ledger.losses().iter().filter(|loss| loss.healed_at.is_none()).map(|loss| &loss.id).collect();
        open.sort();
        assert_eq!(open, differ, "seed {seed}");
        for loss in ledger.losses() {
            assert!(!loss.lost.is_empty() && loss.cause != Cause::Unknown, "seed {seed}: {loss:?}");
            assert!(loss.lost.is_sorted(), "seed {seed}: {loss:?}");
            *causes.entry(loss.cause).or_default() += 1;
        }
    }
    for cause in [Cause::InsertUpdateMerge, Cause::InsertDeleteMerge, Cause::DeleteInsertMerge, Cause::SkippedBatch] {
        assert!(causes.get(&cause).is_some_and(|count| *count >= 5), "{cause}: {causes:?}");
    }
}

#[test]
fn an_honest_plan_loses_nothing() {
    for seed in 0..10 {
        let log = random_log(seed, 600);
        let (applier, target) = drive(&log, 13, FaultPlan::new(seed, Rates::HONEST));
        assert!(applier.ledger().losses().is_empty(), "seed {seed}");
        assert_eq!(target.0, truth(&log), "seed {seed}");
        assert_eq!(applier.counts().changes, 600);
    }
}

#[test]
fn the_same_seed_loses_the_same_changes() {
    let rates = Rates { restart: 500, skipped_batch: 0, torn_update: 0, calm_windows: 2 };
    let log = random_log(5, 600);
    let losses = |seed| drive(&log, 13, FaultPlan::new(seed, rates)).0.ledger().losses().to_vec();
    assert_eq!(losses(1), losses(1));
    assert_ne!(losses(1), losses(2));
}
