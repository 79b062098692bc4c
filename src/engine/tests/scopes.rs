//! Facts about more than one key: stalls, groups, freezes, unsound evidence, gaps, records that cannot be read.

use std::time::Duration;

use super::{Bench, check};
use crate::engine::limit::{Applier, Margin, Order};
use crate::model::finding::Subject;

#[test]
fn an_applier_that_stands_still_is_one_finding_and_no_rows() {
    check(
        Bench::heartbeat().with(|options| options.stall_after = Some(Duration::from_secs(60))),
        "applied insert 1 10/20
         wait 30
         quiet
         unseen beat
         insert 2 10/20
         delete 1
         wait 120
         put 2 10/20
         gone 1
         beats
         wait 20",
        &["open stalled @7", "healed stalled @7"],
    );
}

#[test]
fn commits_that_stay_behind_are_a_stall() {
    let mut bench = Bench::committed().with(|options| options.stall_after = Some(Duration::from_secs(60)));
    bench.run(
        "applied insert 1 10/20
         commit all
         wait 5
         insert 2 10/20
         commit 1
         wait 100",
    );
    assert_eq!(bench.said, ["open stalled @1"]);
}

#[test]
fn an_idle_pipeline_is_no_stall() {
    check(
        Bench::committed().with(|options| options.stall_after = Some(Duration::from_secs(60))),
        "applied insert 1 10/20
         commit 1
         behind 1
         caught up
         wait 300",
        &[],
    );
}

#[test]
fn a_stuck_group_of_statements_is_one_finding_and_no_rows() {
    let mut bench = Bench::heartbeat().with(|options| options.applier = Applier::Batch);
    for key in 0..20 {
        bench.run(&format!("applied insert {key} 10/20"));
    }
    for key in 0..12 {
        bench.run(&format!("delete {key}"));
    }
    bench.run("wait 120");
    let groups: Vec<&String> = bench.said.iter().filter(|line| line.contains("mass_divergence")).collect();
    assert!(!groups.is_empty());
    assert!(groups.iter().all(|line| *line == "open mass_divergence op_not_applied delete"), "{groups:?}");
    let rows = bench.said.iter().filter(|line| line.contains("unapplied_delete"));
    assert!(rows.clone().count() > 0 && rows.clone().all(|line| line.starts_with("suspected")), "{:?}", bench.said);
    bench.findings.clear();
    bench.said.clear();
    for key in 0..12 {
        bench.run(&format!("gone {key}"));
    }
    bench.run("wait 30");
    assert!(bench.said.contains(&"healed mass_divergence op_not_applied delete".to_owned()), "{:?}", bench.said);
}

#[test]
fn commits_ahead_of_writes_are_told_and_convict_no_more() {
    let mut bench = Bench::committed();
    bench.run(
        "insert 1 10/20
         insert 2 10/20
         commit all
         wait 2
         put 1 10/20
         put 2 10/20
         wait 40
         insert 3 10/20
         applied insert 4 10/20
         wait 60",
    );
    assert_eq!(bench.said, ["open evidence_unsound"]);
    assert!(bench.engine().tally().demoted);
}

#[test]
fn a_transaction_that_stays_open_is_a_stall_and_one_after_another_is_none() {
    let mut bench = Bench::committed().with(|options| options.stall_after = Some(Duration::from_secs(60)));
    bench.run(
        "applied insert 1 10/20
         commit all
         wait 5",
    );
    for round in 1..20 {
        bench.run(&format!("held up {round}\n wait 15"));
    }
    assert_eq!(bench.said, [""; 0]);
    for _ in 0..6 {
        bench.run("held up 20\n wait 15");
    }
    assert_eq!(bench.said, ["open stalled @20"]);
    assert!(said_of(&bench).contains("an open transaction holds the tap before 0/20"), "{}", said_of(&bench));
    bench.run("let go\n wait 5");
    assert_eq!(bench.said[1], "healed stalled @20");
}

#[test]
fn verdicts_wait_for_the_end_of_a_full_load() {
    let mut bench = Bench::heartbeat().with(|options| options.stall_after = Some(Duration::from_secs(60)));
    bench.run(
        "insert 1 10/20
         wait 9",
    );
    for _ in 0..10 {
        bench.run(
            "load
             wait 11",
        );
    }
    assert_eq!(bench.said, ["open judging_suspended"]);
    assert!(said_of(&bench).contains("a full load is under way"), "{}", said_of(&bench));
    bench.run("wait 100");
    assert_eq!(bench.said[1], "healed judging_suspended");
    assert!(bench.said.iter().any(|line| line.starts_with("open missing_row")), "{:?}", bench.said);
}

fn said_of(bench: &Bench) -> String {
    match &bench.findings[0].subject {
        Subject::Scope { detail, .. } => detail.clone(),
        other @ (Subject::Row { .. } | Subject::Record { .. } | Subject::Table { .. } | Subject::Column { .. }) => {
            panic!("no finding about a scope: {other:?}")
        }
    }
}

#[test]
fn a_scope_that_keeps_stepping_back_is_told_once_and_heals() {
    let mut bench = Bench::heartbeat().with(|options| options.stall_after = Some(Duration::from_secs(60)));
    bench.run(
        "insert 1 10/20
         wait 9",
    );
    for _ in 0..10 {
        bench.run(
            "old beat
             wait 11",
        );
    }
    assert_eq!(bench.said, ["open judging_suspended"]);
    bench.run("wait 40");
    assert_eq!(bench.said[1], "healed judging_suspended");
    bench.run("wait 60");
    assert!(bench.said.iter().any(|line| line.starts_with("open missing_row")), "{:?}", bench.said);
}

#[test]
fn verdicts_wait_while_the_tap_is_later_than_the_applier_may_be_ahead_of_it() {
    let mut bench = Bench::heartbeat().with(|options| options.lead = Margin::Stated(Duration::from_secs(2)));
    bench.run(
        "insert 1 10/20
         wait 3",
    );
    for key in 10..16 {
        bench.run(&format!(
            "late 60 applied insert {key} 10/20
             wait 11"
        ));
    }
    assert!(!bench.said.iter().any(|line| line.starts_with("open missing_row")), "{:?}", bench.said);
    bench.run("wait 100");
    assert!(bench.said.iter().any(|line| line.starts_with("open missing_row")), "{:?}", bench.said);
}

#[test]
fn an_unreadable_record_is_told_where_it_stands() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         reject
         wait 5",
        &["open undecodable @1"],
    );
}

#[test]
fn an_unreadable_record_may_have_done_what_no_version_did() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         insert 2 10/20
         reject
         put 1 77/78
         wait 120",
    );
    assert_eq!(bench.said, ["open undecodable @2"], "nothing can be said of a changed row, nor of a missing one");
    assert!(bench.notes.iter().any(|note| note.contains("could not be read")), "{:?}", bench.notes);
    assert!(bench.commits[&0] > 2);
}

#[test]
fn an_unreadable_record_may_have_brought_a_row_back_to_an_earlier_version() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         applied update 1 11/21
         reject
         put 1 10/20
         wait 120",
    );
    assert_eq!(bench.said, ["open undecodable @2"]);
    assert!(bench.notes.iter().any(|note| note.contains("could not be read")), "{:?}", bench.notes);
}

#[test]
fn what_is_lost_behind_an_unreadable_record_is_found() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         reject
         update 1 11/21
         wait 120",
    );
    assert!(bench.said.contains(&"open lost_update insert_update_merge settled @2".to_owned()), "{:?}", bench.said);
}

#[test]
fn records_that_are_gone_are_told_and_what_they_may_have_changed_is_not_judged() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         gap 5
         wait 100",
    );
    assert_eq!(bench.said, ["open coverage_gap @1"]);
    assert!(bench.notes.iter().any(|note| note.contains("gone from the log")), "{:?}", bench.notes);
}

#[test]
fn a_log_made_anew_is_told_and_the_commits_of_the_old_one_convict_nothing_in_it() {
    let mut bench = Bench::committed();
    bench.run(
        "applied insert 1 10/20
         applied insert 2 10/20
         commit all
         wait 60
         commit 2
         another log
         insert 3@1 10/20
         wait 300",
    );
    assert_eq!(bench.said, ["open coverage_gap @2", "open stalled @0"], "nothing of the new log is committed");
}

#[test]
fn a_truncate_expects_every_row_gone() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         applied insert 2 10/20
         truncate
         gone 2
         wait 100",
        &[
            "suspected unapplied_delete insert_delete_merge @2",
            "open unapplied_delete insert_delete_merge early @2",
            "open unapplied_delete insert_delete_merge settled @2",
        ],
    );
}

#[test]
fn a_truncate_orders_nothing_in_another_partition() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         insert 2@1 10/20
         truncate
         gone 1
         insert 3@1 10/20
         wait 100",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert_eq!(bench.notes.iter().filter(|note| note.contains("has no order with it")).count(), 2, "{:?}", bench.notes);
}

/// Order over all partitions, two of them.
fn pipeline(bench: Bench) -> Bench {
    let mut bench = bench.with(|options| (options.order, options.versions_per_key) = (Order::Pipeline, 4));
    bench.run("assign 0@1");
    bench
}

#[test]
fn what_is_read_after_a_truncate_and_stands_before_it_is_expected_gone() {
    let mut bench = pipeline(Bench::heartbeat());
    bench.run("txn 90 truncate");
    for version in 1..20 {
        bench.run(&format!("txn {version} update 1@1 {version}/0"));
    }
    bench.run("wait 120");
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert!(bench.commits[&1] >= 19, "{:?}", bench.commits);
    bench.run(
        "txn 91 insert 1@1 50/0
         wait 120",
    );
    assert!(bench.said.contains(&"open missing_row unknown settled @19".to_owned()), "{:?}", bench.said);
}

#[test]
fn a_truncate_is_not_committed_before_what_other_partitions_held_when_it_was_read() {
    for (change, held) in [("txn 900000 insert 1@1 10/20", true), ("applied insert 1@1 10/20", false)] {
        let mut bench = pipeline(Bench::heartbeat());
        bench.run(&format!(
            "txn 5 truncate
             {change}
             wait 300"
        ));
        assert!(bench.said.is_empty(), "{:?}", bench.said);
        assert_eq!(bench.commits.get(&0).is_none_or(|next| *next == 0), held, "{change}: {:?}", bench.commits);
    }
}

#[test]
fn a_truncate_orders_nothing_in_its_own_transaction() {
    for script in [
        "txn 9 insert 1@1 10/20
         txn 9 truncate",
        "txn 9 truncate
         txn 9 insert 1@1 10/20",
    ] {
        for target in ["put 1 10/20", "gone 1"] {
            let mut bench = pipeline(Bench::heartbeat());
            bench.run(script);
            bench.run(target);
            bench.run("wait 120");
            assert!(bench.said.is_empty(), "{script} {target}: {:?}", bench.said);
        }
    }
}

#[test]
fn what_comes_after_changes_without_an_order_is_judged_while_the_key_goes_on_changing() {
    let mut bench = pipeline(Bench::heartbeat());
    bench.run(
        "txn 9 insert 1@1 10/20
         txn 9 truncate
         gone 1",
    );
    for version in 0..200 {
        bench.run(&format!(
            "applied update 1@1 {version}/0
             wait 1"
        ));
    }
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert!(bench.commits.get(&1).is_some_and(|next| *next > 100), "{:?}", bench.commits);
}

#[test]
fn a_row_as_it_was_before_a_truncate_is_no_progress_past_it() {
    let mut bench = Bench::inferred();
    (200..260).for_each(|key| bench.run(&format!("put {key} 10/20")));
    arriving(&mut bench, 10, 60);
    bench.run(
        "applied insert 1 10/20
         truncate",
    );
    for key in 200..260 {
        bench.run(&format!(
            "insert {key} 10/20
             wait 1"
        ));
    }
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn verdicts_wait_while_the_applier_is_set_back() {
    let mut bench = Bench::committed();
    bench.run(
        "applied insert 1 10/20
         commit 1
         wait 5
         applied insert 2 10/20
         applied insert 3 10/20
         commit 3
         wait 5
         commit 1
         wait 1",
    );
    assert_eq!(bench.rewinds, [0], "two of the largest commits before the position");
    assert!(bench.notes.iter().any(|note| note.contains("went back")));
    let tally = bench.engine().tally();
    assert!(tally.partitions[0].frozen);
    assert_eq!(tally.partitions[0].applied, 1);
}

#[test]
fn lag_is_measured_from_the_tap_to_the_proof() {
    let mut bench = Bench::committed();
    for second in 0..60_u64 {
        let committed = second.saturating_sub(20);
        bench.run(&format!(
            "insert {second} 10/20
             commit {committed}
             wait 1"
        ));
        if second >= 20 {
            bench.run(&format!("put {} 10/20", second - 20));
        }
    }
    let lag = bench.engine().counters().lag;
    assert!((20..=22).contains(&lag.as_secs()), "{lag:?}");
}

/// Rows of other keys arrive, `seconds` of them, one a second.
fn arriving(bench: &mut Bench, from: u64, seconds: u64) {
    for key in from..from + seconds {
        bench.run(&format!(
            "applied insert {key} 10/20
             wait 1"
        ));
    }
}

#[test]
fn by_rows_alone_a_missing_row_is_found() {
    let mut bench = Bench::inferred();
    bench.run("insert 1 10/20");
    arriving(&mut bench, 10, 120);
    assert!(bench.said.contains(&"open missing_row unknown settled @0".to_owned()), "{:?}", bench.said);
}

#[test]
fn by_rows_alone_three_of_them_make_the_next_read_count() {
    let mut bench = Bench::inferred();
    bench.run("insert 1 10/20");
    let mut key = 10;
    while bench.engine().tally().suspects == 0 {
        arriving(&mut bench, key, 1);
        key += 1;
    }
    bench.run(
        "applied insert 7 10/20
         wait 15",
    );
    assert!(bench.said.is_empty(), "one row may be of another hand: {:?}", bench.said);
    bench.run(
        "applied insert 8 10/20
         applied insert 9 10/20
         wait 15",
    );
    assert_eq!(bench.said, ["suspected missing_row unknown @0"]);
}

#[test]
fn by_rows_alone_a_row_that_comes_back_to_a_value_proves_its_first_time_only() {
    let mut bench = Bench::inferred();
    (11..14).for_each(|key| bench.run(&format!("applied insert {key} 1/1")));
    bench.run("insert 1 10/20");
    for round in 2..14 {
        for key in 11..14 {
            bench.run(&format!(
                "update {key} {round}/0
                 update {key} 1/1"
            ));
        }
        bench.run("wait 3");
    }
    assert!(bench.said.is_empty(), "the applier stands before them all: {:?}", bench.said);
}

#[test]
fn by_rows_alone_nothing_is_said_of_a_table_that_somebody_else_writes() {
    let mut bench = Bench::inferred();
    bench.run(
        "insert 1 10/20
         insert 2 10/20
         put 2 77/78",
    );
    arriving(&mut bench, 10, 120);
    assert_eq!(bench.said, ["open evidence_unsound"]);
    let given_up = bench.notes.iter().filter(|note| note.contains("somebody else writes"));
    assert_eq!(given_up.count(), 2, "{:?}", bench.notes);
    assert!(bench.commits[&0] > 2, "{:?}", bench.commits);
}

#[test]
fn a_row_that_was_not_there_yet_was_not_deleted() {
    let mut bench = Bench::inferred();
    bench.run(
        "insert 1 10/20
         delete 1
         wait 5
         put 1 10/20",
    );
    arriving(&mut bench, 10, 120);
    assert_eq!(bench.said.last().map(String::as_str), Some("open unapplied_delete insert_delete_merge settled @1"));
}

#[test]
fn reads_on_both_sides_of_a_step_backward_do_not_agree_early() {
    for seconds in 1..20 {
        let mut bench = Bench::heartbeat();
        bench.run(&format!(
            "insert 1 10/20
             wait {seconds}"
        ));
        if bench.said.iter().any(|line| line.contains("early")) {
            return;
        }
        bench.run(
            "quiet
             old beat
             wait 40
             beats
             beat
             wait 1",
        );
        assert!(!bench.said.iter().any(|line| line.contains("early")), "after {seconds} s: {:?}", bench.said);
    }
    panic!("nothing is ever stated early");
}

#[test]
fn a_lead_that_is_measured_grows_with_the_taps_delay() {
    let two = Duration::from_secs(2);
    let mut bench = Bench::heartbeat().with(|options| options.lead = Margin::Measured { least: two, unknown: two });
    bench.run("wait 200\n applied insert 1 10/20");
    assert_eq!(bench.engine().lead(), two);
    bench.run("late 4 insert 2 10/20");
    assert_eq!(bench.engine().lead(), Duration::from_secs(6));
    assert!(bench.notes[0].contains("the tap is later than the applier may be ahead of it"), "{:?}", bench.notes);
    bench.run("late 90 insert 3 10/20");
    assert_eq!(bench.engine().lead(), Duration::from_secs(6), "so late is an outage of the tap");
}

#[test]
fn a_margin_that_is_measured_is_two_usual_intervals_between_commits() {
    let (least, unknown) = (Duration::from_secs(10), Duration::from_secs(120));
    let mut bench = Bench::committed().with(|options| options.settle = Margin::Measured { least, unknown });
    bench.run("commit 0\n wait 5");
    assert_eq!(bench.engine().settle(), unknown);
    for round in 1..=8 {
        bench.run(&format!("applied insert {round} 10/20\n wait 20\n commit {round}\n wait 1"));
    }
    let measured = bench.engine().settle().as_secs();
    assert!((40..=48).contains(&measured), "{measured}");
    bench.run("wait 600\n applied insert 9 10/20\n wait 2\n commit 9\n wait 1");
    assert!(bench.engine().settle().as_secs() <= 48, "nothing was there to be committed meanwhile");
}
