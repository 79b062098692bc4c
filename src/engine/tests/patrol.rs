//! Verified keys that are damaged later.

use super::{Bench, check};
use crate::engine::limit::Order;

fn patrolling(bench: Bench) -> Bench {
    bench.with(|options| options.patrol_reads_per_second = 5)
}

#[test]
fn a_verified_row_that_goes_back_to_what_it_was_before() {
    check(
        patrolling(Bench::heartbeat()),
        "applied insert 1 10/20
         wait 100
         applied update 1 11/21
         wait 100
         put 1 10/20
         wait 40",
        &["open regressed_row unknown settled @21"],
    );
}

#[test]
fn a_verified_row_that_is_gone() {
    check(
        patrolling(Bench::heartbeat()),
        "applied insert 1 10/20
         wait 100
         gone 1
         wait 40",
        &["open vanished_row unknown settled @0"],
    );
}

#[test]
fn a_deleted_row_that_is_there_again() {
    check(
        patrolling(Bench::heartbeat()),
        "applied insert 1 10/20
         applied delete 1
         wait 100
         put 1 10/20
         wait 40",
        &["open resurrected_row unknown settled @1"],
    );
}

#[test]
fn a_verified_row_that_somebody_else_wrote() {
    check(
        patrolling(Bench::heartbeat()),
        "applied insert 1 10/20
         wait 100
         put 1 98/99
         wait 40",
        &["open diverged_row unknown settled @0"],
    );
}

#[test]
fn a_verified_row_that_is_there_twice() {
    check(
        patrolling(Bench::heartbeat()),
        "applied insert 1 10/20
         wait 100
         twice 1 10/20
         wait 40",
        &["open duplicate_row unknown settled @0"],
    );
}

#[test]
fn without_a_patrol_nobody_looks() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         wait 100
         gone 1
         wait 100",
        &[],
    );
}

#[test]
fn what_is_repaired_heals_and_is_covered_again() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         gone 1
         wait 40
         put 1 10/20
         wait 40",
    );
    assert_eq!(bench.said, ["open vanished_row unknown settled @0", "healed vanished_row unknown settled @0"]);
    assert_eq!(bench.engine().tally().patrolled_keys, 1);
}

#[test]
fn changes_that_came_while_the_damage_stood_are_judged_after_it_healed() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         gone 1
         wait 40
         applied update 1 11/21
         update 1 12/22
         wait 10
         update 1 13/23
         wait 20",
    );
    let pending = bench.engine().tally().partitions[0].pending;
    assert_eq!(pending, 3, "neither loss has its verdict: {:?}", bench.said);
    bench.run("wait 100");
    assert_eq!(bench.said.last().map(String::as_str), Some("open lost_update update_merge settled @30"));
}

#[test]
fn damage_that_is_repaired_before_it_is_confirmed_is_no_finding() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         quiet
         gone 1
         wait 20",
    );
    assert_eq!(bench.engine().tally().suspects, 1, "nothing was appended since the first read");
    bench.run(
        "put 1 10/20
         beats
         wait 40",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    let tally = bench.engine().tally();
    assert_eq!((tally.suspects, tally.patrolled_keys, tally.counters.transient), (0, 1, 1));
}

#[test]
fn commits_of_an_idle_partition_confirm_damage() {
    let mut bench = patrolling(Bench::committed());
    bench.run(
        "applied insert 1 10/20
         applied insert 2 10/20
         commit all
         wait 100
         gone 1
         wait 25",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    bench.run("wait 40");
    assert_eq!(bench.said, ["open vanished_row unknown committed @0"]);
}

#[test]
fn damage_that_is_repaired_says_nothing_of_commits() {
    let mut bench = patrolling(Bench::committed());
    bench.run(
        "applied insert 1 10/20
         applied insert 2 10/20
         commit all
         wait 100",
    );
    for _ in 0..4 {
        bench.run(
            "gone 1
             gone 2
             wait 15
             put 1 10/20
             put 2 10/20
             wait 60",
        );
    }
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert!(bench.engine().counters().transient >= 4);
    assert!(!bench.engine().tally().demoted);
}

#[test]
fn the_users_word_covers_what_comes_later() {
    check(
        patrolling(Bench::assumed()),
        "applied insert 1 10/20
         wait 20
         put 1 98/99
         wait 20",
        &["open diverged_row unknown assumed @0"],
    );
}

#[test]
fn a_change_that_comes_while_its_key_is_looked_at_is_judged_alone() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         hold
         wait 12",
    );
    assert_eq!(bench.engine().tally().keys, 2, "called back, beside the heartbeat");
    bench.run(
        "update 1 11/21
         release
         wait 5",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    bench.run(
        "put 1 11/21
         wait 100",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert_eq!(bench.engine().counters().transient, 0);
}

#[test]
fn a_change_takes_over_a_key_whose_damage_waits_for_confirmation() {
    check(
        patrolling(Bench::heartbeat()),
        "applied insert 1 10/20
         wait 100
         quiet
         put 1 98/99
         wait 20
         update 1 11/21
         beats
         wait 100",
        &[
            "suspected diverged_row foreign_write @21",
            "open diverged_row foreign_write early @21",
            "open diverged_row foreign_write settled @21",
        ],
    );
}

#[test]
fn a_change_that_is_on_the_target_before_it_is_consumed_is_no_damage() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         hold
         put 1 11/21
         wait 12
         quiet
         behind 1
         release
         wait 10",
    );
    assert_eq!(bench.engine().tally().suspects, 0, "the tap goes on behind what was consumed");
    bench.run(
        "behind 0
         update 1 11/21
         beats
         wait 100",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert_eq!(bench.engine().counters().transient, 0);
}

#[test]
fn a_change_in_another_partition_is_waited_for() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run("assign 0@1");
    bench.run(
        "applied insert 1 10/20
         wait 100
         put 1 11/21
         update 1@1 11/21
         wait 100",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn what_a_truncate_may_have_changed_is_covered_no_more() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100",
    );
    assert_eq!(bench.engine().tally().patrolled_keys, 1);
    bench.run(
        "truncate
         gone 1
         wait 60",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert_eq!(bench.engine().tally().patrolled_keys, 0);
}

#[test]
fn what_an_unreadable_record_may_have_changed_is_covered_no_more() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         reject
         put 1 11/21
         wait 60",
    );
    assert_eq!(bench.said, ["open undecodable @21"]);
    assert_eq!(bench.engine().tally().patrolled_keys, 0);
}

#[test]
fn a_record_that_cannot_be_read_lets_go_of_a_key_whose_damage_waits() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         quiet
         put 1 11/21
         wait 20",
    );
    assert_eq!(bench.engine().tally().suspects, 1);
    bench.run(
        "reject
         beats
         wait 60",
    );
    assert_eq!(bench.said.len(), 1, "the record alone: {:?}", bench.said);
    let tally = bench.engine().tally();
    assert_eq!((tally.suspects, tally.keys), (0, 1), "only the heartbeat is left");
}

#[test]
fn a_partition_that_is_given_out_anew_is_covered_no_more() {
    for step in ["assign 0", "gap 3", "revoke"] {
        let mut bench = patrolling(Bench::heartbeat());
        bench.run(&format!(
            "applied insert 1 10/20
             wait 100
             {step}
             gone 1
             wait 60"
        ));
        assert!(!bench.said.iter().any(|line| line.contains("row")), "{step}: {:?}", bench.said);
        assert_eq!(bench.engine().tally().patrolled_keys, 0, "{step}");
    }
}

#[test]
fn a_read_that_fails_teaches_nothing_and_is_not_repeated_at_once() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         quiet
         gone 1
         fail
         wait 100",
    );
    let failed = bench.engine().counters().patrolled;
    assert!((10..40).contains(&failed), "{failed}");
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    bench.run(
        "heed
         beats
         wait 40",
    );
    assert_eq!(bench.said, ["open vanished_row unknown settled @0"]);
}

#[test]
fn a_freeze_holds_what_the_patrol_finds() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         quiet
         old beat
         wait 2
         gone 1
         wait 12
         beats
         wait 15",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    bench.run("wait 40");
    assert_eq!(bench.said, ["suspected vanished_row replayed_batch @0", "open vanished_row replayed_batch settled @0"]);
}

#[test]
fn a_key_that_two_partitions_write_is_not_covered() {
    let mut bench = patrolling(Bench::inferred());
    bench.run("assign 0@1");
    bench.run(
        "applied insert 1 10/20
         applied update 1@1 11/21",
    );
    for key in 10..60 {
        bench.run(&format!(
            "applied insert {key} 1/{key}
             applied insert {key}@1 1/{key}
             wait 3"
        ));
    }
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert_eq!(bench.engine().tally().patrolled_keys, 0);
}

#[test]
fn without_an_order_but_the_keys_own_commits_alone_confirm() {
    let bench = patrolling(Bench::committed().with(|options| options.order = Order::Key));
    check(
        bench,
        "applied insert 1 10/20
         applied insert 2 10/20
         commit all
         wait 100
         put 2 98/99
         wait 60",
        &["open diverged_row unknown committed @1"],
    );
}

#[test]
fn few_questions_are_asked_and_every_key_in_its_turn() {
    let mut bench = patrolling(Bench::committed());
    for key in 0..200 {
        bench.run(&format!("applied insert {key} 1/{key}"));
    }
    bench.run(
        "commit all
         wait 100",
    );
    let before = (bench.engine().counters().patrolled, bench.lookups);
    bench.run("wait 100");
    let after = (bench.engine().counters().patrolled, bench.lookups);
    assert_eq!(after.0 - before.0, 500, "five reads a second");
    assert_eq!(after.1 - before.1, 10, "one question in ten seconds");
    let tally = bench.engine().tally();
    assert_eq!(tally.patrolled_keys, 200);
    assert!(tally.oldest_look.as_secs() <= 50, "{:?}", tally.oldest_look);
}

#[test]
fn a_row_that_is_right_within_a_tolerance_stays_so() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "tolerance
         insert 1 10/20
         put 1 11/20
         wait 100
         no images
         wait 40",
    );
    let tally = bench.engine().tally();
    assert_eq!((bench.said.len(), tally.patrolled_keys, tally.counters.unclear), (0, 1, 0));
    bench.run(
        "put 1 10/21
         wait 60",
    );
    assert!(bench.said.is_empty(), "no image tells whether it is near enough: {:?}", bench.said);
    bench.run(
        "gone 1
         wait 40",
    );
    assert_eq!(bench.said, ["open vanished_row unknown settled @0"]);
}

#[test]
fn damage_beyond_a_tolerance_is_told_while_the_image_is_there() {
    check(
        patrolling(Bench::heartbeat()),
        "tolerance
         insert 1 10/20
         put 1 11/20
         wait 100
         put 1 10/21
         wait 40
         put 1 10/29
         wait 40",
        &["open diverged_row unknown settled @0"],
    );
}

#[test]
fn nothing_is_read_again_while_other_reads_wait() {
    let mut bench = patrolling(Bench::heartbeat());
    bench.run(
        "applied insert 1 10/20
         wait 100
         hold",
    );
    for key in 100..2100 {
        bench.run(&format!("applied insert {key} 1/1"));
    }
    let before = bench.engine().counters().patrolled;
    bench.run("wait 30");
    assert!(bench.engine().counters().patrolled <= before + 1, "all room is taken");
    bench.run(
        "release
         wait 100",
    );
    assert!(bench.engine().counters().patrolled > before + 1);
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}
