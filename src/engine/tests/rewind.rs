//! Sources that were rewound: what the old log left is not judged, and nothing of it counts for the new one.

use std::time::Duration;

use super::{Bench, check};
use crate::engine::limit::Order;
use crate::model::finding::Subject;

/// A log that goes on from an earlier place: three of its changes, each a second behind the one before.
const ANOTHER_LOG: &str = "quiet
                           wait 1
                           rewound 500
                           applied insert 101 1/1
                           wait 1
                           applied insert 102 1/1
                           wait 1
                           applied insert 103 1/1
                           beats";

fn wide() -> Bench {
    Bench::heartbeat().with(|options| options.order = Order::Pipeline)
}

fn notes_of<'b>(bench: &'b Bench, word: &str) -> Vec<&'b String> {
    bench.notes.iter().filter(|note| note.contains(word)).collect()
}

#[test]
fn what_the_old_log_left_is_no_finding_and_a_loss_of_the_new_one_is() {
    for order in [Order::Partition, Order::Pipeline, Order::Table, Order::Key] {
        let mut bench = Bench::committed().with(|options| options.order = order);
        bench.run(&format!(
            "named
             applied insert 1 10/20
             insert 2 10/20
             {ANOTHER_LOG}
             quiet
             insert 3 10/20
             commit all
             wait 100"
        ));
        assert_eq!(bench.said, ["open coverage_gap @2", "open missing_row unknown committed @5"], "{order:?}");
        assert_eq!(notes_of(&bench, "Unverifiable").len(), if order.is_wide() { 4 } else { 2 }, "{:?}", bench.notes);
    }
}

#[test]
fn a_rewind_is_told_by_both_logs_and_the_range_between_them() {
    let mut bench = Bench::heartbeat();
    bench.run(&format!(
        "named
         txn 400 applied insert 1 10/20
         wait 10
         {ANOTHER_LOG}"
    ));
    let Subject::Scope { at: Some(at), detail } = &bench.findings[0].subject else { panic!("{:?}", bench.said) };
    assert_eq!((bench.said.len(), at.offset), (1, 3));
    assert_eq!(
        detail,
        "the source was rewound: its log reached LSN 0/3EB committed 1970-01-01T00:00:10.000Z (0/2) and then goes on at \
         LSN 0/1F4 committed 1970-01-01T00:00:12.000Z (0/3); what it published behind that place, here 0/1 up to 0/2, may \
         never have happened"
    );
}

#[test]
fn a_log_that_is_read_again_is_no_other_one() {
    check(
        Bench::heartbeat(),
        "named
         applied insert 1 10/20
         wait 2
         applied insert 2 10/20
         wait 2
         late 4 txn 1001 applied insert 1 10/20
         late 2 txn 1002 applied insert 2 10/20
         applied insert 4 10/20
         insert 3 10/20
         wait 100",
        &[
            "suspected missing_row unknown @6",
            "open missing_row unknown early @6",
            "open missing_row unknown settled @6",
        ],
    );
}

#[test]
fn verdicts_wait_while_a_log_may_be_another() {
    for order in [Order::Partition, Order::Pipeline] {
        let stall = Some(Duration::from_secs(60));
        let mut bench = Bench::committed().with(|options| (options.order, options.stall_after) = (order, stall));
        bench.run(
            "named
             insert 1 10/20
             wait 1
             rewound 500
             applied insert 2 10/20
             commit all
             wait 300",
        );
        assert_eq!(bench.said, ["open judging_suspended"], "{order:?}");
        // The log goes beyond where it was, and never came by that place.
        bench.run("applied txn 2000 insert 3 10/20".strip_prefix("applied ").expect("a change"));
        assert_eq!(bench.said[1], "open coverage_gap @1", "{order:?}");
        bench.run("put 3 10/20\n wait 200");
        assert_eq!(&bench.said[2..], ["healed judging_suspended"], "{order:?}");
    }
}

#[test]
fn places_of_the_old_log_prove_nothing_of_the_new_one() {
    let mut bench = wide();
    bench.run(&format!(
        "named
         applied insert 1 10/20
         wait 200
         {ANOTHER_LOG}
         quiet
         wait 40"
    ));
    let before = bench.commits[&0];
    bench.run("applied insert 4 10/20\n wait 200");
    assert_eq!(bench.commits[&0], before, "nothing shows that it was applied for good");
    bench.run("beats\n wait 200");
    assert!(bench.commits[&0] > before + 30, "{:?}", bench.commits);
    assert_eq!(bench.said, ["open coverage_gap @41"]);
}

#[test]
fn a_heartbeat_of_the_old_log_is_none_of_the_new_one() {
    let mut bench = wide();
    bench.run("named\n wait 100\n quiet\n unseen beat\n unseen beat");
    bench.run("rewound 500\n wait 1\n unseen beat\n wait 1\n unseen beat\n wait 1\n unseen beat\n insert 1 10/20");
    // The row steps through what the old log left, on and on.
    for back in [4, 3] {
        bench.run(&format!("old beat {back}\n wait 10"));
    }
    bench.run("wait 100");
    assert_eq!(bench.said, ["open coverage_gap @22", "open stalled @22"]);
    assert_eq!(bench.engine().tally().partitions[0].applied, 0);
}

#[test]
fn what_another_partition_holds_of_the_old_log_is_left_up_to_its_end() {
    for own in [true, false] {
        let mut bench = Bench::heartbeat().with(|options| options.order = Order::Pipeline);
        bench.run("named\n assign 0@1\n txn 900 applied insert 1@1 1/1\n applied insert 2 1/1\n wait 20");
        bench.run(ANOTHER_LOG);
        let old = notes_of(&bench, "Unverifiable").len();
        // Read after the rewind was seen, published before.
        bench.run("late 5 txn 901 insert 3@1 1/1");
        assert_eq!(notes_of(&bench, "Unverifiable").len(), old + 1, "{:?}", bench.notes);
        bench.run(if own { "txn 510 insert 4@1 1/1" } else { "wait 1\n txn 510 insert 4@1 1/1" });
        bench.run("wait 100");
        let found = [
            "open coverage_gap @5",
            "suspected missing_row unknown @2",
            "open missing_row unknown early @2",
            "open missing_row unknown settled @2",
        ];
        assert_eq!(bench.said, found, "{own}");
        // It is known where its new log begins, should it be read again.
        bench.run("assign 1@1\n late 200 txn 901 insert 3@1 1/1\n wait 100");
        assert_eq!(bench.said.iter().filter(|line| line.contains("coverage_gap")).count(), 1);
        assert!(!bench.said.iter().any(|line| line.ends_with("@1")), "{:?}", bench.said);
    }
}

#[test]
fn the_new_log_is_not_committed_before_what_others_hold_of_the_old_one() {
    let mut bench = Bench::heartbeat();
    bench.run("named\n assign 0@1\n insert 1@1 1/1\n beat\n insert 2 1/1");
    bench.run(ANOTHER_LOG);
    bench.run("wait 25");
    assert_eq!(bench.commits.get(&0), Some(&1), "after a restart the old log has to be read again");
    bench.run("wait 300");
    assert!(bench.commits[&0] > 30, "{:?}", bench.commits);
}

#[test]
fn a_row_as_the_old_log_left_it_is_no_progress_of_the_new_one() {
    let mut bench = Bench::inferred();
    bench.run(&format!("named\n {ANOTHER_LOG}\n quiet"));
    bench.run("rewound 400\n wait 1\n insert 1 7/7\n wait 1\n insert 2 7/7\n wait 1\n insert 3 7/7");
    // They stand there, from before; so does what comes later.
    for round in 0..8 {
        let keys = [10, 11, 12].map(|key| key + round * 3);
        keys.iter().for_each(|key| bench.run(&format!("put {key} 5/5\n insert {key} 5/5")));
        bench.run("wait 10");
    }
    assert_eq!(bench.said, ["open coverage_gap @3", "open stalled @3"]);
    assert_eq!(bench.engine().tally().partitions[0].applied, 0);
    bench.run("wait 600");
    for round in 0..8 {
        let keys = [50, 51, 52].map(|key| key + round * 3);
        keys.iter().for_each(|key| bench.run(&format!("applied insert {key} 5/5")));
        bench.run("wait 10");
    }
    assert!(bench.said.iter().any(|line| line.starts_with("open missing_row")), "{:?}", bench.said);
}

#[test]
fn a_finding_of_the_old_log_stays_until_the_new_one_rights_its_row() {
    for order in [Order::Partition, Order::Pipeline] {
        let mut bench = Bench::heartbeat().with(|options| options.order = order);
        bench.run("named\n insert 1 10/20\n wait 100");
        assert_eq!(bench.said.last().map(String::as_str), Some("open missing_row unknown settled @0"), "{order:?}");
        bench.run(ANOTHER_LOG);
        bench.run("wait 100\n insert 1 11/21\n put 1 11/21\n wait 100");
        let rest = &bench.said[3..];
        assert_eq!(rest, ["open coverage_gap @21", "healed missing_row unknown settled @0"], "{order:?}");
    }
}

#[test]
fn another_server_that_has_it_all_is_no_gap() {
    let mut bench = wide();
    bench.run("named\n server 1\n insert 1 10/20\n wait 1\n server 2\n rewound 500\n insert 2 10/20\n wait 100");
    let found = &bench.said[..2];
    assert_eq!(found, ["suspected missing_row unknown @1", "open missing_row unknown early @1"]);
    assert_eq!(notes_of(&bench, "another server took over").len(), 1);
    assert_eq!(notes_of(&bench, "Unverifiable").len(), 1, "{:?}", bench.notes);
}

#[test]
fn a_file_whose_log_was_rewound_is_judged_by_the_new_one() {
    let mut bench = Bench::assumed();
    bench.run(&format!(
        "named\n behind 4\n insert 1 10/20\n {ANOTHER_LOG}\n quiet\n insert 2 10/20\n caught up\n wait 20"
    ));
    assert_eq!(bench.said, ["open coverage_gap @1", "open missing_row unknown assumed @4"]);
}

#[test]
fn sources_that_share_one_name_are_not_rewound() {
    for order in [Order::Partition, Order::Table] {
        let mut bench = Bench::committed().with(|options| options.order = order);
        bench.run("named");
        for key in 1..12 {
            bench.run(&format!(
                "rewound {}
                 applied insert {key} 1/1
                 wait 1",
                if key % 2 == 0 { 500 + key } else { 9000 + key }
            ));
        }
        bench.run(
            "insert 50 10/20
             commit all
             wait 200",
        );
        let told = ["open coverage_gap @1", "healed coverage_gap @1"];
        let more = match order {
            Order::Table => "open evidence_unsound",
            Order::Partition | Order::Key | Order::Pipeline => "open missing_row unknown committed @11",
        };
        assert_eq!(bench.said[..2], told, "{order:?}");
        assert!(bench.said[2..].iter().any(|line| line.starts_with(more)), "{order:?}: {:?}", bench.said);
        assert_eq!(
            bench.said.iter().filter(|line| line.contains("coverage_gap")).count(),
            2,
            "{order:?}: {:?}",
            bench.said
        );
    }
}
