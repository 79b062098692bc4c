//! Images that the cache has forgotten, and that the log may still tell.

use crate::engine::limit::RECALL_AT_MOST;
use crate::model::finding::Subject;

use super::bench::{Bench, check};

/// What a finding says of its columns, and whether it has the expected row.
fn detail(bench: &Bench) -> (Vec<String>, bool) {
    let Some(Subject::Row { columns, expected, .. }) = bench.findings.last().map(|finding| &finding.subject) else {
        panic!("a finding about a row: {:?}", bench.said);
    };
    (columns.iter().map(|column| column.name.to_string()).collect(), expected.row.is_some())
}

const LOST: &str = "applied insert 1 10/20
     update 1 11/20";

#[test]
fn what_the_cache_forgot_is_asked_of_the_log_once() {
    let mut bench = Bench::heartbeat();
    bench.run(LOST);
    bench.run("forget\nwait 100");
    assert_eq!(bench.said.last().map(String::as_str), Some("open lost_update insert_update_merge settled @1"));
    assert_eq!(detail(&bench), (vec!["a".to_owned()], true));
    assert_eq!(bench.recalls, [[1, 0]], "the expected version, and the one that is seen");
    let counters = bench.engine().tally().counters;
    assert_eq!((counters.recalled, counters.not_recalled), (2, 0));
}

#[test]
fn what_the_log_does_not_hold_any_more_costs_detail_alone() {
    let mut bench = Bench::heartbeat();
    bench.run(LOST);
    bench.run("no images\nwait 100");
    assert_eq!(bench.said.last().map(String::as_str), Some("open lost_update insert_update_merge settled @1"));
    assert_eq!((detail(&bench), bench.recalls.len()), ((Vec::new(), false), 1));
    assert_eq!(bench.engine().tally().counters.not_recalled, 2);
}

#[test]
fn a_torn_row_is_told_from_a_diverged_one_by_images_of_the_log() {
    let script = "applied insert 1 10/20
         update 1 11/21
         forget
         put 1 11/20
         wait 100";
    let torn = [
        "suspected torn_row update_merge @1",
        "open torn_row update_merge early @1",
        "open torn_row update_merge settled @1",
    ];
    check(Bench::heartbeat(), script, &torn);
}

#[test]
fn what_is_proven_waits_for_images_and_not_for_ever() {
    for (answer, said) in [("told\nwait 2", true), ("wait 5", false)] {
        let mut bench = Bench::assumed();
        bench.run("mute");
        bench.run(LOST);
        bench.run("forget\nwait 10");
        assert_eq!((bench.said.len(), bench.recalls.len()), (0, 1), "two reads agreed: {:?}", bench.said);
        bench.run(answer);
        assert_eq!(bench.said.len(), usize::from(said), "{answer}");
        bench.run(&format!("wait {}", RECALL_AT_MOST.as_secs()));
        assert_eq!(bench.said, ["open lost_update insert_update_merge assumed @1"], "{answer}");
        assert_eq!(detail(&bench).1, said);
        assert_eq!(bench.recalls.len(), 1);
    }
}

#[test]
fn a_row_within_a_tolerance_is_judged_by_what_the_log_tells() {
    let near = "tolerance
         insert 1 10/20
         put 1 10/21";
    for (images, unverifiable) in [("forget", 0), ("no images", 1)] {
        let mut bench = Bench::assumed();
        bench.run(near);
        bench.run(&format!("{images}\nwait 100"));
        let tally = bench.engine().tally();
        assert_eq!((bench.said.len(), tally.counters.unverifiable), (0, unverifiable), "{images}: {:?}", bench.said);
        assert_eq!((tally.keys, bench.recalls.len(), bench.commits[&0]), (0, 1, 1), "{images}");
    }
    let beyond = "tolerance
         insert 1 10/20
         forget
         put 1 10/30
         wait 100";
    check(Bench::assumed(), beyond, &["open diverged_row foreign_write assumed @0"]);
}

#[test]
fn a_suspicion_whose_image_goes_ends_without_a_verdict() {
    let mut bench = Bench::assumed().with(|options| options.confirmations = Some(4));
    bench.run(
        "tolerance
         insert 1 10/20
         put 1 10/30
         wait 2
         no images
         wait 100",
    );
    let tally = bench.engine().tally();
    assert_eq!((bench.said.len(), tally.suspects, tally.keys, tally.counters.unverifiable), (0, 0, 0, 1), "{tally:?}");
}

#[test]
fn columns_that_a_change_did_not_carry_are_known_from_the_log() {
    let written = "applied insert 1 10/20
         wait 1
         partial 1 11
         put 1 11/20";
    for (images, unverifiable) in [("forget", 0), ("no images", 2)] {
        let mut bench = Bench::assumed();
        bench.run("behind 9");
        bench.run(written);
        bench.run(&format!("{images}\ncaught up\nwait 200"));
        let tally = bench.engine().tally();
        assert_eq!((bench.said.len(), tally.counters.unverifiable), (0, unverifiable), "{images}: {:?}", bench.said);
        assert_eq!((tally.keys, bench.recalls.len()), (0, 1), "{images}");
    }
}

#[test]
fn newer_versions_of_a_suspect_are_asked_for_too() {
    let mut bench = Bench::heartbeat();
    bench.run(LOST);
    bench.run(
        "forget
         wait 6
         update 1 12/20
         forget
         wait 100",
    );
    assert_eq!(bench.recalls.concat().iter().filter(|offset| **offset == 1).count(), 1, "{:?}", bench.recalls);
    assert_eq!(detail(&bench), (vec!["a".to_owned()], true), "{:?}", bench.recalls);
}
