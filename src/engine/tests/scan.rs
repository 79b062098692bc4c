//! What a truncate leaves of keys that nobody tracked.

use super::bench::{Bench, check};
use crate::engine::limit::Applier;

/// Rows that stood on the target before the tap was read.
const OLD: &str = "put 7 1/1
     put 8 1/1
     put 9 1/1
     applied insert 1 10/20
     commit all
     wait 60";

fn old(bench: Bench, script: &str) -> Bench {
    let mut bench = bench;
    bench.run(OLD);
    bench.run(script);
    bench
}

#[test]
fn a_truncate_that_was_not_applied_is_found_by_rows_of_keys_that_nobody_tracked() {
    let bench = old(Bench::committed(), "truncate\n gone 1\n gone 9\n commit all\n wait 120");
    assert_eq!(bench.said, ["open unapplied_delete unknown committed @1"], "said of both: {:?}", bench.notes);
    assert_eq!(bench.scans, 2, "two keys a page");
    assert!(bench.notes.iter().any(|note| note.contains("Scanned") && note.contains("looked: 2, found: 2")));
}

#[test]
fn a_table_that_is_empty_is_looked_at_once() {
    let bench = old(Bench::committed(), "truncate\n gone 1\n gone 7\n gone 8\n gone 9\n commit all\n wait 120");
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert_eq!(bench.scans, 1);
}

#[test]
fn what_changed_behind_the_truncate_is_not_judged_by_it() {
    let script = "truncate
         gone 1
         gone 7
         gone 8
         gone 9
         applied insert 8 2/2
         applied insert 9 3/3
         wait 200";
    let bench = old(Bench::heartbeat(), script);
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

/// The row of an insert that was not read yet, when its page was: the answer of its own read waits for the tap's end.
#[test]
fn a_row_of_a_change_that_comes_later_is_judged_by_it() {
    let script = "truncate
         gone 1
         gone 7
         gone 8
         gone 9
         wait 15
         quiet
         behind 1
         put 5 3/3
         wait 60
         insert 5 3/3
         caught up
         wait 100";
    let bench = old(Bench::heartbeat(), script);
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert!(bench.notes.iter().any(|note| note.contains("Scanned")), "{:?}", bench.notes);
}

#[test]
fn commits_wait_at_a_truncate_until_its_last_page_is_judged() {
    let mut bench = old(Bench::committed(), "truncate\n gone 1\n gone 9\n commit all\n fail\n wait 100");
    assert_eq!(bench.commits[&0], 1, "a page that could not be read is asked for again");
    bench.run("heed\n applied insert 3 1/1\n commit all\n wait 200");
    assert_eq!(bench.commits[&0], 3);
    assert_eq!(bench.findings.len(), 2, "{:?}", bench.said);
}

#[test]
fn a_partition_that_is_given_out_anew_is_scanned_anew() {
    let mut bench =
        old(Bench::committed(), "truncate\n gone 1\n gone 7\n gone 8\n gone 9\n commit all\n fail\n wait 100");
    bench.run("heed\n revoke\n wait 60");
    let before = bench.scans;
    bench.run("assign 1\n truncate\n commit all\n wait 100");
    assert!(bench.scans > before);
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

/// Any row that is left may be of such a change.
#[test]
fn an_unreadable_record_behind_the_truncate_leaves_its_rows_without_a_verdict() {
    let bench = old(Bench::committed(), "truncate\n gone 1\n reject\n commit all\n wait 200");
    assert!(bench.said.iter().all(|line| line.starts_with("open undecodable")), "{:?}", bench.said);
    assert!(bench.notes.iter().any(|note| note.contains("Unverifiable")), "{:?}", bench.notes);
}

#[test]
fn a_table_that_cannot_be_scanned_says_so() {
    let mut bench = old(Bench::committed(), "unscannable\n truncate\n gone 1\n commit all\n wait 120");
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert_eq!(bench.scans, 0);
    assert!(bench.notes.iter().any(|note| note.contains("its rows are in several partitions")), "{:?}", bench.notes);
    bench.run("applied insert 2 1/1\n commit all\n wait 60");
    assert_eq!(bench.commits[&0], 3, "nothing is held for it");
}

#[test]
fn a_gap_behind_the_truncate_ends_the_scan() {
    let bench = old(Bench::committed(), "truncate\n gone 1\n gap 3\n commit all\n wait 120");
    assert!(bench.said.iter().all(|line| line.starts_with("open coverage_gap")), "{:?}", bench.said);
}

#[test]
fn a_plan_that_is_made_anew_ends_the_scan() {
    let bench = old(Bench::committed(), "truncate\n gone 1\n replan keys\n commit all\n wait 120");
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert!(bench.notes.iter().any(|note| note.contains("its table changed")), "{:?}", bench.notes);
}

/// Under watermarks the gate tells one finding of the table from many of its rows.
#[test]
fn a_mass_of_rows_that_a_truncate_left_is_one_finding() {
    let mut bench = Bench::heartbeat().with(|options| options.applier = Applier::Batch);
    bench.page = 400;
    (0..40).for_each(|key| bench.run(&format!("put {key} 1/1")));
    bench.run("applied insert 90 10/20\n wait 60\n truncate\n gone 90\n wait 400");
    let rows = bench.said.iter().filter(|line| line.starts_with("open unapplied_delete")).count();
    let groups = bench.said.iter().filter(|line| line.starts_with("open mass_divergence")).count();
    assert_eq!((rows.min(1), groups), (0, 1), "{:?} {:?}", bench.said, bench.notes);
}

#[test]
fn one_truncate_after_another_is_scanned_once() {
    let script = "truncate
         applied insert 2 1/1
         truncate
         gone 1
         gone 2
         gone 7
         gone 8
         commit all
         wait 120";
    let bench = old(Bench::committed(), script);
    assert_eq!(bench.said, ["open unapplied_delete unknown committed @3"], "{:?}", bench.notes);
}

#[test]
fn a_tracked_row_is_found_by_its_own_version() {
    check(
        Bench::committed(),
        "applied insert 1 10/20
         truncate
         commit all
         wait 120",
        &["open unapplied_delete insert_delete_merge committed @1"],
    );
}
