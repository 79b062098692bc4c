//! What neighbours, halves of a key change and earlier reads say of a row that is lost.

use super::{Bench, check};
use crate::engine::Input;
use crate::engine::event::Tracked;
use crate::model::change::KeyChange;

/// One record tells that a row has another key from now on.
fn key_changes(bench: &mut Bench, from: &str, to: &str, values: &str) {
    let (at, order) = (bench.position("0"), bench.order());
    let old = Tracked { order, key_change: KeyChange::Old, ..bench.tracked(&["delete", from], at) };
    let new = Tracked { order, key_change: KeyChange::New, ..bench.tracked(&["insert", to, values], at) };
    bench.give(Input::Change(old));
    bench.give(Input::Change(new));
    bench.give(Input::Reached { partition: at.partition, next: at.offset + 1 });
}

#[test]
fn a_record_that_tells_of_a_key_twice_demands_the_last() {
    let mut bench = Bench::heartbeat();
    bench.run("applied insert 1 10/20");
    key_changes(&mut bench, "1", "1", "11/21");
    check(
        bench,
        "put 1 11/21
         wait 100",
        &[],
    );
}

#[test]
fn a_key_change_of_which_only_the_new_row_came() {
    let mut bench = Bench::heartbeat();
    bench.run("applied insert 1 10/20");
    key_changes(&mut bench, "1", "2", "10/20");
    check(
        bench,
        "put 2 10/20
         wait 100",
        &[
            "suspected unapplied_delete key_change_split @1",
            "open unapplied_delete key_change_split early @1",
            "open unapplied_delete key_change_split settled @1",
        ],
    );
}

#[test]
fn a_key_change_of_which_only_the_old_row_went() {
    let mut bench = Bench::heartbeat();
    bench.run("applied insert 1 10/20");
    key_changes(&mut bench, "1", "2", "10/20");
    check(
        bench,
        "gone 1
         wait 100",
        &[
            "suspected missing_row key_change_split @1",
            "open missing_row key_change_split early @1",
            "open missing_row key_change_split settled @1",
        ],
    );
}

/// What the findings say of each offset at last.
fn causes_at_last(bench: &Bench) -> Vec<String> {
    let last = |offset: u64| {
        let place = format!(" settled @{offset}");
        bench.said.iter().rev().find(|said| said.ends_with(&place)).cloned()
    };
    (0..10).filter_map(last).collect()
}

#[test]
fn three_neighbours_that_are_lost_are_a_skipped_batch() {
    for (before, first) in [("", 0), ("applied insert 1 10/20", 1)] {
        let mut bench = Bench::heartbeat();
        bench.run(before);
        bench.run(
            "insert 2 10/20
             insert 3 10/20
             insert 4 10/20
             applied insert 5 10/20
             wait 200",
        );
        let expected = [0, 1, 2].map(|lost| format!("open missing_row skipped_batch settled @{}", first + lost));
        assert_eq!(causes_at_last(&bench), expected, "{before}");
    }
}

#[test]
fn lost_rows_with_an_applied_one_between_them_are_no_batch() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         insert 2 10/20
         applied insert 3 10/20
         insert 4 10/20
         insert 5 10/20
         wait 200",
    );
    assert_eq!(
        causes_at_last(&bench),
        [
            "open missing_row unknown settled @0",
            "open missing_row unknown settled @1",
            "open missing_row unknown settled @3",
            "open missing_row unknown settled @4",
        ]
    );
}

/// What kind of finding the rows of a script have at last.
fn kinds_at_last(script: &str) -> Vec<&'static str> {
    let mut bench = Bench::heartbeat();
    bench.run(script);
    bench.findings.last().map(|finding| finding.kind.word()).into_iter().collect()
}

#[test]
fn a_row_that_stood_there_before_its_lost_update_vanished() {
    let kinds = kinds_at_last(
        "applied insert 1 10/20
         wait 10
         update 1 11/21
         gone 1
         wait 100",
    );
    assert_eq!(kinds, ["vanished_row"]);
}

#[test]
fn a_row_that_stood_there_again_before_its_lost_update_vanished() {
    let kinds = kinds_at_last(
        "applied insert 1 10/20
         applied delete 1
         applied insert 1 11/21
         wait 10
         update 1 12/22
         gone 1
         wait 100",
    );
    assert_eq!(kinds, ["vanished_row"]);
}

#[test]
fn a_row_that_stood_there_before_its_delete_is_missing() {
    let kinds = kinds_at_last(
        "applied insert 1 10/20
         wait 10
         applied delete 1
         insert 1 11/21
         wait 100",
    );
    assert_eq!(kinds, ["missing_row"]);
}

#[test]
fn a_heartbeat_that_is_older_than_any_kept_is_a_step_backward() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "wait 500
         quiet
         old beat 80
         wait 20",
    );
    let frozen = bench.notes.iter().filter(|note| note.starts_with("Frozen")).count();
    assert_eq!(frozen, 1, "{:?}", bench.notes);
}
