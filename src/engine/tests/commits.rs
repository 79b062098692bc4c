//! How soon a row below a committed position is a loss: where commits have shown that they follow writes, at the second read.

use super::{Bench, check};

/// A group that committed forty rows by ten commits, each after its rows.
fn proven() -> Bench {
    let mut bench = Bench::committed();
    bench.run("group 1");
    commit_forty(bench)
}

fn commit_forty(mut bench: Bench) -> Bench {
    for commit in 0..10 {
        for key in 0..4 {
            bench.run(&format!("applied insert {} 10/20", 100 + commit * 4 + key));
        }
        bench.run(&format!(
            "commit {}
             wait 4",
            (commit + 1) * 4
        ));
    }
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    bench
}

const LOST: &str = "
    insert 1 10/20
    applied insert 2 10/20
    commit 42
    wait 4";

#[test]
fn a_loss_under_proven_commits_waits_for_nothing_that_is_appended_later() {
    check(proven(), LOST, &["open missing_row unknown committed @40"]);
}

#[test]
fn commits_that_have_shown_little_are_not_proven() {
    check(
        Bench::committed(),
        "group 1
         insert 1 10/20
         applied insert 2 10/20
         commit 2
         wait 20",
        &[],
    );
}

#[test]
fn a_row_that_healed_takes_the_proof_from_commits() {
    check(
        proven(),
        "insert 7 10/20
         applied insert 8 10/20
         commit 42
         wait 1
         put 7 10/20
         wait 3
         insert 1 10/20
         applied insert 2 10/20
         commit 44
         wait 20",
        &[],
    );
}

#[test]
fn rows_that_are_wrong_all_at_once_are_not_yet_lost() {
    let mut bench = proven();
    for key in 0..4 {
        bench.run(&format!("insert {key} 10/20"));
    }
    bench.run(
        "applied insert 9 10/20
         commit 45
         wait 20",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn a_loss_with_nothing_visible_behind_it_waits() {
    check(
        proven(),
        "insert 1 10/20
         commit 41
         wait 20",
        &[],
    );
}

#[test]
fn a_group_that_changed_of_late_may_apply_again() {
    check(proven(), &format!("group 2\nwait 2\n{LOST}\nwait 10"), &[]);
}

#[test]
fn a_group_that_changes_between_the_reads_may_apply_again() {
    check(
        proven(),
        "insert 1 10/20
         applied insert 2 10/20
         commit 42
         group 2
         wait 20",
        &[],
    );
}

#[test]
fn a_group_whose_members_cannot_be_asked_for_may_apply_again() {
    check(commit_forty(Bench::committed()), &format!("{LOST}\nwait 10"), &[]);
}

#[test]
fn on_a_replica_nothing_convicts_by_commits() {
    let mut bench = Bench::committed();
    bench.run(
        "replica
         insert 1 10/20
         commit all
         wait 5
         applied insert 2 10/20
         wait 60",
    );
    assert!(bench.said.is_empty(), "it may be behind: {:?}", bench.said);
    bench.run(
        "primary
         wait 1
         applied insert 3 10/20
         wait 5",
    );
    assert_eq!(bench.said, ["open missing_row unknown committed @0"]);
}

#[test]
fn a_suspect_by_commits_is_none_on_a_replica() {
    check(
        Bench::committed(),
        "insert 1 10/20
         commit all
         wait 2
         replica
         applied insert 2 10/20
         wait 60",
        &[],
    );
}

#[test]
fn a_record_that_the_applier_set_aside_is_named_as_the_cause() {
    let named = "open missing_row rejected_row committed @40";
    let mut bench = proven();
    bench.run("letter 40");
    bench.run(LOST);
    assert_eq!(bench.said, [named]);
    assert!(bench.findings[0].evidence.ends_with("the dead-letter topic names 0/40: it did not convert"));
}

#[test]
fn a_letter_that_comes_late_names_the_cause_of_what_is_found() {
    let mut bench = proven();
    bench.run(LOST);
    bench.run(
        "letter 40
         letter 39
         wait 60",
    );
    assert_eq!(
        bench.said[..2],
        ["open missing_row unknown committed @40", "open missing_row rejected_row committed @40"]
    );
}

#[test]
fn a_letter_alone_is_no_loss() {
    check(proven(), "letter 40\n applied insert 1 10/20\n commit 41\n wait 60", &[]);
}

#[test]
fn a_group_that_changes_puts_off_what_an_idle_partition_convicts() {
    let mut bench = Bench::committed();
    bench.run(
        "group 1
         insert 1 10/20
         commit all
         wait 20
         group 2
         wait 25",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    bench.run("wait 15");
    assert_eq!(bench.said, ["open missing_row unknown committed @0"]);
}

#[test]
fn a_partition_that_grew_is_not_idle() {
    let mut bench = Bench::committed();
    bench.run(
        "insert 1 10/20
         commit 9
         wait 20
         insert 2 10/20
         wait 25",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    bench.run("wait 15");
    assert_eq!(bench.said[0], "open missing_row unknown committed @0");
}
