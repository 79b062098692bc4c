//! The columns of a table change while its rows are judged.

use super::{Bench, check};

fn verified(bench: &Bench) -> bool {
    let tally = bench.engine().tally();
    tally.partitions[0].pending == 0 && bench.commits[&0] > 0
}

#[test]
fn what_waits_for_its_verdict_is_judged_by_the_new_columns() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         insert 2 10/20
         applied insert 3 10/20
         applied delete 3
         partial 1 11
         put 1 11/20
         wait 3
         replan
         wait 100",
    );
    assert_eq!(bench.engine().counters().unverifiable, 0, "{:?}", bench.notes);
    assert_eq!(bench.said.last().map(String::as_str), Some("open missing_row unknown settled @1"));
    assert!(bench.said.iter().all(|line| line.ends_with("@1")), "the others are right: {:?}", bench.said);
    assert!(verified(&bench));
}

#[test]
fn what_has_no_image_ends_without_a_verdict_and_is_listed() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         wait 3
         no images
         replan
         wait 100",
    );
    assert_eq!((bench.engine().counters().unverifiable, &bench.said[..]), (1, &[][..]));
    let left = "Unverifiable { partition: PartitionId(0), range: (0, 0), why: \"its table changed while it was being judged\" }";
    assert!(bench.notes.iter().any(|note| note == left), "{:?}", bench.notes);
    assert!(verified(&bench));
}

#[test]
fn what_has_its_verdict_needs_no_image() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         wait 60
         no images
         update 1 11/21
         replan
         wait 100",
    );
    assert_eq!(bench.engine().counters().unverifiable, 0);
    assert_eq!(bench.said.last().map(String::as_str), Some("open lost_update unknown settled @13"), "{:?}", bench.said);
}

#[test]
fn more_columns_cost_nothing() {
    let mut bench = Bench::heartbeat().with(|options| options.patrol_reads_per_second = 1);
    bench.run(
        "applied insert 1 10/20
         wait 100
         applied insert 2 10/20
         insert 3 10/20
         no images
         replan more
         applied insert 4 10/20
         wait 100",
    );
    assert_eq!(bench.engine().counters().unverifiable, 0, "{:?}", bench.notes);
    assert_eq!(bench.said.last().map(String::as_str), Some("open missing_row unknown settled @22"), "{:?}", bench.said);
    assert!(verified(&bench));
    bench.run(
        "put 1 11/21
         wait 200",
    );
    assert!(bench.said.iter().any(|line| line == "open diverged_row unknown settled @0"), "{:?}", bench.said);
}

#[test]
fn keys_of_another_kind_are_not_carried_over() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         applied insert 2 10/20
         delete 2
         wait 3
         replan keys
         stale delete 2
         wait 100",
    );
    assert_eq!((bench.engine().counters().unverifiable, &bench.said[..]), (4, &[][..]), "{:?}", bench.notes);
    assert!(verified(&bench));
}

#[test]
fn a_read_under_way_is_void() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         hold
         wait 20
         replan
         put 1 11/21
         release
         put 1 10/20
         wait 100",
    );
    assert_eq!(bench.engine().counters().wrong, 0);
    assert!(bench.said.is_empty() && verified(&bench), "{:?}", bench.said);
}

#[test]
fn reads_by_two_plans_do_not_agree() {
    let mut bench = Bench::heartbeat();
    bench.run("insert 1 10/20");
    while bench.engine().tally().suspects == 0 {
        bench.run("wait 1");
    }
    bench.run("replan");
    assert_eq!(bench.engine().tally().suspects, 0, "it begins anew");
    bench.run("wait 100");
    assert_eq!(bench.said.last().map(String::as_str), Some("open missing_row unknown settled @0"));
}

#[test]
fn a_suspicion_is_withdrawn() {
    let mut bench = Bench::heartbeat().with(|options| options.confirmations = Some(9));
    bench.run("insert 1 10/20");
    while bench.said.is_empty() {
        bench.run("wait 1");
    }
    bench.run("replan");
    assert_eq!(bench.said, ["suspected missing_row unknown @0", "healed missing_row unknown @0"]);
}

#[test]
fn a_finding_that_is_open_stays_open_and_heals_by_the_new_columns() {
    for images in ["", "no images"] {
        let mut bench = Bench::heartbeat();
        bench.run(&format!(
            "insert 1 10/20
             wait 100
             {images}
             replan
             wait 30"
        ));
        let open = Some("open missing_row unknown settled @0");
        assert_eq!(bench.said.last().map(String::as_str), open, "{images}");
        bench.run(
            "put 1 11/20
             wait 30",
        );
        assert!(!bench.said.iter().any(|line| line.starts_with("healed")), "{images}: {:?}", bench.said);
        bench.run(
            "put 1 10/20
             wait 30",
        );
        assert_eq!(bench.said.last().map(String::as_str), Some("healed missing_row unknown settled @0"), "{images}");
    }
}

#[test]
fn a_finding_whose_row_is_right_by_the_new_columns_heals_at_once() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "insert 1 10/20
         wait 100
         hold
         put 1 10/20
         replan
         release
         wait 2",
    );
    assert_eq!(bench.said.last().map(String::as_str), Some("healed missing_row unknown settled @0"));
}

#[test]
fn a_change_that_was_told_under_the_columns_before_is_told_anew() {
    check(
        Bench::heartbeat(),
        "replan
         stale applied insert 1 10/20
         stale partial 1 11
         put 1 11/20
         stale applied insert 2 10/20
         stale applied delete 2
         wait 100",
        &[],
    );
}

#[test]
fn a_change_that_comes_before_the_word_of_new_columns_brings_it() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         early applied insert 2 10/20
         wait 100",
    );
    assert_eq!((bench.engine().counters().unverifiable, &bench.said[..]), (0, &[][..]));
    let told = bench.notes.iter().filter(|note| note.starts_with("Replanned")).count();
    assert_eq!(told, 1, "{:?}", bench.notes);
}

#[test]
fn who_answers_is_told_when_a_wrong_row_is_read_again() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         wait 100",
    );
    assert_eq!(bench.convicting, 0);
    bench.run(
        "insert 2 10/20
         wait 100",
    );
    assert!(bench.convicting >= 2, "{}", bench.convicting);
}
