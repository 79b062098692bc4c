//! What goes on around verdicts: reads that fail or come late, restarts, rebalances, bounds.

use super::{Bench, check};
use crate::engine::Input;
use crate::engine::event::{Looked, Seen};
use crate::model::Tick;

#[test]
fn a_read_that_fails_teaches_nothing() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         fail
         wait 60
         heed
         wait 60",
        &[],
    );
}

#[test]
fn a_row_is_not_judged_before_the_tap_was_read_to_its_end() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         wait 12
         put 1 11/21
         hold
         wait 10
         behind 3
         release
         wait 30",
    );
    assert!(bench.said.is_empty(), "the change that wrote the row is among those not read: {:?}", bench.said);
    bench.run(
        "caught up
         wait 1",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn a_partition_that_goes_takes_its_reads_in_flight_with_it() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         hold
         wait 30
         revoke
         assign 0
         applied insert 1 10/20
         release
         wait 100",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn an_answer_for_a_key_that_went_is_no_word_about_the_key_in_its_place() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         wait 14
         hold
         wait 10
         revoke
         assign 0
         applied insert 2 10/20
         applied insert 3 10/20
         release",
    );
    assert_eq!(bench.engine().tally().suspects, 0);
}

#[test]
fn what_is_told_again_after_it_was_forgotten_is_no_news() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         applied update 1 11/21
         wait 100
         again 0
         wait 100",
        &[],
    );
}

#[test]
fn a_partition_that_comes_back_is_proven_anew() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         wait 60
         quiet
         revoke
         assign 0
         insert 2 10/20
         wait 50",
    );
    assert!(bench.said.is_empty(), "another log may have taken its name: {:?}", bench.said);
}

/// A lost insert, and a new life that knows of it from the store alone.
fn known_from_the_store() -> Bench {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         wait 100",
    );
    let open = bench.findings.last().expect("a finding").clone();
    bench.restart(&[(open, "insert 1 10/20")]);
    bench.said.clear();
    bench
}

#[test]
fn a_finding_known_from_the_store_heals() {
    let mut bench = known_from_the_store();
    bench.run("wait 60");
    assert!(bench.said.is_empty(), "it stands as it did: {:?}", bench.said);
    bench.run(
        "put 1 10/20
         wait 30",
    );
    assert_eq!(bench.said, ["healed missing_row unknown settled @0"]);
}

#[test]
fn a_finding_known_from_the_store_heals_beside_newer_changes() {
    let mut bench = known_from_the_store();
    bench.run(
        "applied update 1 12/22
         wait 60",
    );
    assert_eq!(bench.said, ["healed missing_row unknown settled @0"]);
}

#[test]
fn a_finding_known_from_the_store_is_stated_again_while_the_row_is_as_it_was() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         delete 1
         wait 100",
    );
    let open = bench.findings.last().expect("a finding").clone();
    bench.restart(&[(open.clone(), "delete 1")]);
    bench.run("wait 400");
    assert!(bench.findings.last().is_some_and(|finding| finding.observations > open.observations + 20));
    let stated = bench.findings.len();
    bench.run(
        "put 1 12/22
         wait 400",
    );
    assert_eq!(bench.findings.len(), stated, "a change without a verdict may have written it");
}

#[test]
fn what_an_update_behind_an_old_finding_does_not_carry_is_not_known() {
    let mut bench = known_from_the_store();
    let stated = bench.findings.len();
    bench.run(
        "put 1 12/22
         partial 1 12
         wait 100",
    );
    assert_eq!(bench.findings.len(), stated, "its other column may be of a change that had no verdict");
    bench.run(
        "update 1 13/23
         put 1 12/22
         wait 100",
    );
    assert!(bench.findings.len() > stated, "a whole update says it all");
}

#[test]
fn an_open_finding_outlives_an_assignment() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         wait 100",
    );
    let next = bench.commits[&0];
    bench.said.clear();
    bench.run(&format!(
        "assign {next}
         wait 20
         put 1 10/20
         wait 40"
    ));
    assert_eq!(bench.said, ["healed missing_row unknown settled @0"]);
}

#[test]
fn what_is_found_early_is_not_committed_before_it_is_settled() {
    let mut bench = Bench::heartbeat();
    bench.run("insert 1 10/20");
    while !bench.said.iter().any(|line| line.contains("early")) {
        bench.run("wait 1");
    }
    bench.run("wait 3");
    assert!(!bench.said.iter().any(|line| line.contains("settled")), "{:?}", bench.said);
    assert!(bench.commits.get(&0).is_none_or(|next| *next == 0), "{:?}", bench.commits);
}

#[test]
fn a_row_that_heals_beside_a_gap_may_still_become_what_was_in_it() {
    let mut bench = Bench::committed().with(|options| options.patrol_reads_per_second = 1);
    bench.run(
        "applied insert 1 10/20
         applied insert 2 10/20
         commit all
         wait 100
         update 1 11/20
         applied update 2 11/20
         wait 100
         update 1 12/20
         gap 5
         put 1 11/20
         wait 100
         put 1 12/20
         wait 400",
    );
    assert_eq!(
        bench.said,
        [
            "open lost_update insert_update_merge committed @2",
            "open coverage_gap @5",
            "healed lost_update insert_update_merge committed @2"
        ]
    );
}

#[test]
fn what_a_row_was_before_a_gap_names_no_cause() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         wait 100
         gap 5
         update 1 11/21
         wait 100",
    );
    let rows: Vec<&String> = bench.said.iter().filter(|line| line.starts_with("open lost_update")).collect();
    assert!(!rows.is_empty() && rows.iter().all(|line| line.contains("unknown")), "{:?}", bench.said);
}

#[test]
fn a_lost_row_that_changes_every_second_is_found_in_bounded_time() {
    let mut bench = Bench::heartbeat();
    bench.run("applied insert 1 10/20");
    for value in 0..60 {
        bench.run(&format!(
            "update 1 {value}/7
             wait 1"
        ));
    }
    assert!(bench.said.iter().any(|line| line.starts_with("open lost_update")), "{:?}", bench.said);
    assert_eq!(bench.said.iter().filter(|line| line.starts_with("suspected")).count(), 1, "{:?}", bench.said);
}

#[test]
fn a_row_that_is_right_and_changes_every_second_is_read_seldom_and_committed() {
    let mut bench = Bench::heartbeat();
    bench.run("applied insert 1 10/20");
    for value in 0..200 {
        bench.run(&format!(
            "applied update 1 {value}/7
             wait 1"
        ));
    }
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    let counters = bench.engine().counters().clone();
    assert!(bench.commits[&0] > 150, "{:?}", bench.commits);
    // Two hundred of the reads are heartbeats.
    assert!(counters.reads <= 200 + 200 / 5 + 2, "{counters:?}");
}

#[test]
fn a_key_with_more_versions_than_allowed_is_coalesced_and_still_judged() {
    let mut bench = Bench::heartbeat().with(|options| options.versions_per_key = 8);
    bench.run("applied insert 1 10/20");
    for value in 0..40 {
        bench.run(&format!("update 1 {value}/7"));
    }
    assert!(bench.engine().tally().versions <= 9);
    bench.run("wait 120");
    assert!(bench.said.iter().any(|line| line.starts_with("open lost_update")), "{:?}", bench.said);
}

#[test]
fn a_row_that_may_be_a_coalesced_version_is_not_accused() {
    let mut bench = Bench::heartbeat().with(|options| options.versions_per_key = 8);
    bench.run("applied insert 1 10/20");
    for value in 0..40 {
        bench.run(&format!("update 1 {value}/7"));
    }
    for value in 1..40 {
        bench.run(&format!(
            "put 1 {value}/7
             wait 1"
        ));
    }
    bench.run("wait 100");
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn a_floor_that_is_coalesced_while_it_is_read_heals_nothing() {
    let mut bench = Bench::heartbeat().with(|options| options.versions_per_key = 8);
    bench.run(
        "applied insert 1 10/20
         update 1 11/21
         wait 100
         hold
         wait 15",
    );
    for value in 0..12 {
        bench.run(&format!("update 1 {value}/7"));
    }
    bench.run(
        "release
         wait 30",
    );
    assert!(bench.notes.iter().any(|note| note.contains("Coalesced")), "{:?}", bench.notes);
    assert!(!bench.said.iter().any(|line| line.starts_with("healed")), "{:?}", bench.said);
}

#[test]
fn full_memory_pauses_the_tap_and_room_resumes_it() {
    let mut bench = Bench::heartbeat().with(|options| options.memory = 64 * 60);
    for key in 0..40 {
        bench.run(&format!("applied insert {key} 10/20"));
    }
    bench.run("wait 1");
    assert!(bench.paused);
    bench.run("wait 80");
    assert!(!bench.paused);
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn a_pause_that_holds_a_read_back_is_lifted() {
    let mut bench = Bench::heartbeat().with(|options| options.memory = 64 * 60);
    for value in 0..60 {
        bench.run(&format!("applied update 1 {value}/7"));
    }
    bench.run(
        "quiet
         beat
         behind 5
         wait 1",
    );
    assert!(bench.paused);
    bench.run("wait 7");
    assert!(!bench.paused, "middle versions were coalesced instead");
    assert!(bench.notes.iter().any(|note| note.contains("Coalesced")), "{:?}", bench.notes);
}

#[test]
fn a_hot_key_gets_verdicts_though_memory_is_full_and_the_applier_is_late() {
    let mut bench = Bench::heartbeat().with(|options| options.memory = 64);
    bench.run(
        "quiet
         behind 1",
    );
    for second in 0..600u64 {
        bench.run(&format!("update 1 {second}/7"));
        if second.is_multiple_of(5) {
            bench.run(
                "unseen beat
                 old beat 8",
            );
        }
        if second >= 42 {
            bench.run(&format!("put 1 {}/7", second - 42));
        }
        bench.run("wait 1");
    }
    assert!(bench.notes.iter().any(|note| note.contains("Coalesced")));
    assert!(bench.commits.get(&0).is_some_and(|next| *next > 100), "{:?}", bench.commits);
}

#[test]
fn a_key_on_two_partitions_may_hold_the_newest_of_either() {
    let mut bench = Bench::committed();
    bench.run(
        "applied insert 1@0 10/20
         update 1@1 11/21
         commit all
         wait 60",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn a_change_that_comes_again_changes_nothing() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         applied delete 1
         assign 0
         insert 1 10/20
         delete 1
         wait 100",
        &[],
    );
}

#[test]
fn what_is_found_early_does_not_become_final_while_verdicts_are_held() {
    let mut held = 0;
    for seconds in 20..30 {
        let mut bench = Bench::heartbeat();
        bench.run("insert 1 10/20");
        while !bench.said.iter().any(|line| line.contains("early")) {
            bench.run("wait 1");
        }
        bench.run(&format!(
            "wait {seconds}
             fail
             wait 1"
        ));
        let known = bench.said.clone();
        bench.run(
            "old beat
             heed
             wait 12",
        );
        if bench.notes.iter().any(|note| note.contains("Frozen")) {
            held += 1;
            assert_eq!(bench.said, known, "after {seconds} s");
        }
    }
    assert!(held > 0);
}

/// An update of both columns is lost, one behind it that carries the first column alone is not, and the partition is given
/// out anew once that was found.
fn torn_and_given_out_anew() -> Bench {
    let mut bench = Bench::committed();
    bench.run(
        "applied insert 1 10/20\ncommit 1\nwait 100\nupdate 1 12/21\npartial 1 13\nput 1 13/20\ncommit all\nwait 60",
    );
    let open = bench.said.clone();
    assert!(open.len() == 1 && open[0].starts_with("open "), "{open:?}");
    bench.run("revoke\nassign 3\nwait 100");
    assert_eq!(bench.said, open, "the row is what it was found wrong as");
    bench
}

#[test]
fn a_row_is_not_healed_by_what_is_not_known_any_more() {
    torn_and_given_out_anew();
}

#[test]
fn what_is_passed_by_a_finding_alone_is_remembered() {
    let mut bench = torn_and_given_out_anew();
    bench.run("put 1 13/21\nwait 100");
    assert!(bench.said.last().is_some_and(|said| said.starts_with("healed ")), "{:?}", bench.said);
    let said = bench.said.clone();
    bench.run("partial 1 14\nput 1 14/21\nwait 100");
    assert_eq!(bench.said, said, "the first row is not the last before it");
}

/// An insert whose read is answered by so many absent rows, with the ends of so many partitions; how many keys learned nothing.
fn learned_nothing(rows: usize, ends: usize) -> u64 {
    let mut bench = Bench::heartbeat();
    bench.run(
        "quiet
         hold
         insert 1 10/20
         beat
         wait 3
         beat
         wait 10",
    );
    let lookup = bench.held.pop().expect("a read");
    assert_eq!(lookup.keys.len(), 1);
    let looked = Looked {
        id: lookup.id,
        ended: Tick(14_000),
        rows: Ok(vec![Seen::Absent; rows]),
        ends: bench.ends()[..ends].to_vec(),
    };
    bench.give(Input::Looked(looked));
    bench.engine().counters().failed_reads
}

#[test]
fn an_answer_that_lacks_a_row_or_an_end_teaches_nothing() {
    assert_eq!(learned_nothing(1, 1), 0);
    assert_eq!(learned_nothing(0, 1), 1);
    assert_eq!(learned_nothing(2, 1), 1);
    assert_eq!(learned_nothing(1, 0), 1);
}

/// What the lost version said of a column is known from its image, and that is gone.
#[test]
fn a_finding_stays_while_what_a_partial_update_left_cannot_be_told() {
    let mut bench = Bench::committed();
    bench.run(
        "applied insert 1 10/20
         commit all
         wait 60
         update 1 11/21
         commit all
         wait 60
         partial 1 12
         put 1 12/20
         no images
         commit all
         wait 100",
    );
    assert_eq!(bench.said, ["open lost_update insert_update_merge committed @1"], "{:?}", bench.notes);
}
