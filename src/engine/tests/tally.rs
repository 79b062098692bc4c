//! What the status shows: counters, and what is held at a moment.

use super::Bench;
use crate::engine::tally::Counters;

/// The counters at the end of a script.
fn counted(mut bench: Bench, script: &str) -> Counters {
    bench.run(script);
    bench.engine().counters().clone()
}

#[test]
fn every_change_is_counted_once_and_what_comes_again_apart() {
    let counters = counted(
        Bench::heartbeat(),
        "quiet
         applied insert 1 10/20
         applied insert 2 10/20
         again 0
         again 0
         reject
         reject",
    );
    assert_eq!((counters.changes, counters.duplicates, counters.rejects), (2, 2, 2));
}

#[test]
fn verdicts_are_counted_by_what_they_were() {
    let counters = counted(
        Bench::heartbeat(),
        "applied insert 1 10/20
         applied update 1 11/21
         applied update 1 12/22
         applied insert 2 10/20
         insert 3 10/20
         insert 4 10/20
         wait 100
         put 3 10/20
         put 4 10/20
         wait 100",
    );
    assert_eq!((counters.matched, counters.superseded), (2, 2));
    assert_eq!((counters.opened, counters.healed), (2, 2));
    assert!(counters.right >= 4 && counters.wrong >= 6, "{counters:?}");
}

#[test]
fn a_finding_is_counted_when_nothing_can_take_it_back() {
    let early = "insert 1 10/20
         wait 20";
    let mut bench = Bench::heartbeat();
    bench.run(early);
    assert_eq!(bench.said.last().map(String::as_str), Some("open missing_row unknown early @0"));
    assert_eq!(bench.engine().counters().opened, 0);
    bench.run("wait 80");
    assert_eq!(bench.engine().counters().opened, 1);
}

#[test]
fn reads_and_those_that_failed_are_counted_by_keys() {
    let failed = counted(
        Bench::heartbeat(),
        "fail
         applied insert 1 10/20
         applied insert 2 10/20
         wait 30",
    );
    assert!(failed.failed_reads >= 4 && failed.failed_reads <= failed.reads, "{failed:?}");
}

#[test]
fn a_step_backward_is_counted() {
    let counters = counted(
        Bench::heartbeat(),
        "wait 60
         quiet
         old beat 3
         wait 10
         beat
         wait 5
         old beat 4
         wait 10",
    );
    assert_eq!(counters.back_steps, 2);
}

#[test]
fn what_is_verified_is_held_no_longer() {
    let mut bench = Bench::heartbeat();
    let empty = bench.engine().tally();
    assert_eq!((empty.keys, empty.versions, empty.memory_bytes), (0, 0, 0));
    bench.run(
        "beat
         applied insert 1 10/20
         applied update 1 11/21
         applied update 1 12/22
         applied insert 2 10/20",
    );
    let held = bench.engine().tally();
    assert_eq!((held.keys, held.versions), (3, 5));
    assert_eq!((held.partitions[0].pending, held.partitions[0].unproven), (4, 4));
    bench.run("wait 100");
    let after = bench.engine().tally();
    // The heartbeat is kept, each of its versions.
    assert_eq!((after.keys, after.versions as u64), (1, after.counters.changes - 4));
    assert_eq!((after.partitions[0].pending, after.partitions[0].unproven), (0, 0));
}

#[test]
fn what_is_asked_and_what_waits_is_shown() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "hold
         applied insert 1 10/20
         wait 12",
    );
    assert_eq!(bench.engine().tally().lookups, 1);
    bench.run("release");
    assert_eq!(bench.engine().tally().lookups, 0);
}

#[test]
fn the_patrol_covers_rows_that_were_verified_and_no_others() {
    for (script, covered) in [
        ("applied insert 1 10/20", 1),
        ("applied insert 1 10/20\n applied delete 1", 1),
        ("applied insert 1 10/20\n truncate\n gone 1", 0),
        ("applied insert 1 10/20\n leaves update 1 11/21", 0),
        ("beat", 0),
    ] {
        let mut bench = Bench::heartbeat().with(|options| options.patrol_reads_per_second = 5);
        bench.run(script);
        bench.run("wait 100");
        assert_eq!(bench.engine().tally().patrolled_keys, covered, "{script}");
    }
}

#[test]
fn a_table_shows_its_hottest_keys_and_how_long_its_verdicts_took() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "beat
         applied insert 1 10/20
         applied update 1 11/21
         applied update 1 12/22
         applied insert 2 10/20
         applied update 2 11/20
         applied insert 3 10/20",
    );
    let held = bench.engine().tally();
    let [table] = held.tables.as_slice() else { panic!("{:?}", held.tables) };
    assert_eq!(
        (table.keys, table.versions, table.suspects, table.open_rows),
        (3, 6, 0, 0),
        "heartbeats are not judged"
    );
    assert_eq!(table.hot.iter().map(|(_, versions)| *versions).collect::<Vec<_>>(), [3, 2]);
    assert!(table.verdicts.is_empty());
    bench.run("wait 100");
    let after = bench.engine().tally();
    let [table] = after.tables.as_slice() else { panic!("{:?}", after.tables) };
    assert_eq!((table.keys, table.versions, table.hot.len(), table.verdicts.len()), (0, 0, 0, 3));
    bench.run(
        "insert 4 10/20
         wait 100",
    );
    assert_eq!(bench.engine().tally().tables[0].open_rows, 1);
}
