//! Every kind that a row can have, and every proof.

use super::{Bench, check};

#[test]
fn a_column_that_the_last_judged_update_did_not_carry_is_nobody_elses() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         wait 100
         partial 1 11
         put 1 11/20
         wait 100
         update 1 12/22
         partial 1 13
         put 1 13/20
         wait 100",
        &[
            "suspected diverged_row unknown @43",
            "open diverged_row unknown early @43",
            "open diverged_row unknown settled @43",
        ],
    );
}

#[test]
fn a_delete_that_is_not_applied() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         delete 1
         wait 100",
        &[
            "suspected unapplied_delete insert_delete_merge @1",
            "open unapplied_delete insert_delete_merge early @1",
            "open unapplied_delete insert_delete_merge settled @1",
        ],
    );
}

#[test]
fn a_row_that_never_came() {
    check(
        Bench::heartbeat(),
        "insert 1 10/20
         wait 100",
        &[
            "suspected missing_row unknown @0",
            "open missing_row unknown early @0",
            "open missing_row unknown settled @0",
        ],
    );
}

#[test]
fn an_update_merged_into_its_insert() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         update 1 11/21
         wait 100",
        &[
            "suspected lost_update insert_update_merge @1",
            "open lost_update insert_update_merge early @1",
            "open lost_update insert_update_merge settled @1",
        ],
    );
}

#[test]
fn columns_of_two_versions_in_one_row() {
    check(
        Bench::heartbeat(),
        "insert 1 10/20
         update 1 11/21
         put 1 10/21
         wait 100",
        &[
            "suspected torn_row update_merge @1",
            "open torn_row update_merge early @1",
            "open torn_row update_merge settled @1",
        ],
    );
}

#[test]
fn content_that_no_version_had() {
    check(
        Bench::heartbeat(),
        "insert 1 10/20
         put 1 98/99
         wait 100",
        &[
            "suspected diverged_row foreign_write @0",
            "open diverged_row foreign_write early @0",
            "open diverged_row foreign_write settled @0",
        ],
    );
}

#[test]
fn a_deleted_row_that_was_seen_gone_and_is_back() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         applied delete 1
         wait 20
         put 1 10/20
         wait 100",
        &["open resurrected_row insert_delete_merge settled @1"],
    );
}

#[test]
fn a_row_that_was_seen_right_and_went_back() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         applied update 1 11/21
         wait 20
         put 1 10/20
         wait 100",
        &["open regressed_row insert_update_merge settled @1"],
    );
}

#[test]
fn a_row_that_was_seen_right_and_is_gone() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         wait 20
         gone 1
         wait 100",
        &["open vanished_row unknown settled @0"],
    );
}

#[test]
fn two_rows_for_one_key_though_one_of_them_is_right() {
    check(
        Bench::heartbeat(),
        "insert 1 10/20
         twice 1 10/20
         wait 100",
        &[
            "suspected duplicate_row unknown @0",
            "open duplicate_row unknown early @0",
            "open duplicate_row unknown settled @0",
        ],
    );
}

#[test]
fn a_connectors_marker_in_a_row_that_is_right_otherwise() {
    check(
        Bench::heartbeat(),
        "insert 1 10/20
         marker 1 10/20
         wait 100",
        &[
            "suspected diverged_row placeholder_written @0",
            "open diverged_row placeholder_written early @0",
            "open diverged_row placeholder_written settled @0",
        ],
    );
}

#[test]
fn a_new_row_after_a_delete_that_swallowed_it() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         applied delete 1
         insert 1 11/21
         wait 100",
        &[
            "suspected missing_row delete_insert_merge @2",
            "open missing_row delete_insert_merge early @2",
            "open missing_row delete_insert_merge settled @2",
        ],
    );
}

#[test]
fn commits_convict_once_a_later_row_of_the_partition_is_visible() {
    check(
        Bench::committed(),
        "insert 1 10/20
         commit all
         wait 5
         applied insert 2 10/20
         wait 5",
        &["open missing_row unknown committed @0"],
    );
}

#[test]
fn commits_of_an_idle_partition_convict_after_the_margin() {
    let mut bench = Bench::committed();
    bench.run(
        "insert 1 10/20
         commit all
         wait 29",
    );
    assert!(bench.said.is_empty());
    bench.run("wait 10");
    assert_eq!(bench.said, ["open missing_row unknown committed @0"]);
}

#[test]
fn what_was_right_between_two_reads_is_not_wrong_in_both() {
    let mut bench = Bench::committed();
    bench.run(
        "insert 1 10/20
         put 1 12/22
         commit 1
         wait 1
         update 1 12/22
         update 1 13/23
         applied insert 2 10/20
         commit 4
         wait 4",
    );
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    bench.run(
        "applied insert 3 10/20
         wait 4",
    );
    assert_eq!(bench.said.len(), 1, "{:?}", bench.said);
}

#[test]
fn a_row_in_the_middle_of_being_written_is_not_wrong() {
    let mut bench = Bench::committed();
    bench.run(
        "applied insert 1 10/20
         commit 1
         update 1 11/21
         put 1 11/20
         wait 2",
    );
    for key in 2..20 {
        bench.run(&format!(
            "applied insert {key} 10/20
             wait 1"
        ));
    }
    assert!(bench.said.is_empty(), "{:?}", bench.said);
}

#[test]
fn what_a_former_member_of_the_group_writes_after_the_commit_is_found() {
    check(
        Bench::committed(),
        "applied insert 1 10/20
         applied update 1 11/21
         commit all
         wait 20
         put 1 10/20
         wait 90",
        &["open regressed_row insert_update_merge committed @1"],
    );
}

#[test]
fn what_a_former_member_writes_after_the_group_changed_is_found() {
    check(
        Bench::committed(),
        "group 1
         applied insert 1 10/20
         applied update 1 11/21
         commit all
         wait 20
         group 2
         wait 20
         put 1 10/20
         wait 90",
        &["open regressed_row insert_update_merge committed @1"],
    );
}

#[test]
fn the_users_word_convicts_at_two_reads() {
    check(
        Bench::assumed(),
        "insert 1 10/20
         applied insert 2 10/20
         wait 4",
        &["open missing_row unknown assumed @0"],
    );
}

#[test]
fn what_is_assumed_applied_is_judged_where_it_was_read_whole() {
    let mut bench = Bench::assumed();
    bench.run(
        "behind 2
         applied insert 1 10/20
         wait 20",
    );
    assert_eq!(bench.engine().tally().counters.matched, 0);
    bench.run(
        "update 1 30/40
         caught up
         wait 10",
    );
    assert_eq!(bench.said, ["open lost_update insert_update_merge assumed @1"]);
}

#[test]
fn a_row_that_changes_though_all_was_applied_ends_without_a_verdict() {
    let mut bench = Bench::assumed();
    bench.run("insert 1 10/20");
    for value in 30..40 {
        bench.run(&format!(
            "put 1 {value}/{value}
             wait 1"
        ));
    }
    assert!(bench.said.is_empty(), "{:?}", bench.said);
    assert!(bench.notes.iter().any(|note| note.contains("Unverifiable")), "{:?}", bench.notes);
}

#[test]
fn a_loss_that_is_repaired_heals() {
    check(
        Bench::heartbeat(),
        "insert 1 10/20
         wait 100
         put 1 10/20
         wait 20",
        &[
            "suspected missing_row unknown @0",
            "open missing_row unknown early @0",
            "open missing_row unknown settled @0",
            "healed missing_row unknown settled @0",
        ],
    );
}

#[test]
fn a_later_loss_of_the_same_key_extends_its_finding() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         update 1 11/21
         wait 100
         update 1 12/22
         wait 100",
    );
    let last = bench.findings.last().expect("a finding");
    let crate::model::finding::Subject::Row { expected, latest, versions_behind, .. } = &last.subject else {
        panic!("about a row")
    };
    assert_eq!(expected.at.offset, 1);
    assert!(latest.is_some_and(|latest| latest.offset > 1));
    assert_eq!(*versions_behind, 2);
    assert!(bench.said.iter().all(|line| line.ends_with("@1")), "{:?}", bench.said);
}

#[test]
fn a_suspicion_that_was_stated_is_withdrawn() {
    check(
        Bench::heartbeat(),
        "insert 1 10/20
         wait 17
         put 1 10/20
         wait 60",
        &["suspected missing_row unknown @0", "healed missing_row unknown @0"],
    );
}

#[test]
fn what_matches_is_verified_and_committed() {
    let mut bench = Bench::heartbeat();
    bench.run(
        "applied insert 1 10/20
         applied update 1 11/21
         wait 80",
    );
    assert!(bench.said.is_empty());
    assert!(bench.commits[&0] >= 2, "{:?}", bench.commits);
    assert_eq!(bench.engine().tally().keys, 1, "only the heartbeat is left");
}

#[test]
fn what_came_back_to_an_earlier_value_is_no_loss() {
    check(
        Bench::heartbeat(),
        "applied insert 1 10/20
         update 1 11/21
         update 1 10/20
         wait 100",
        &[],
    );
}

#[test]
fn what_a_forgotten_version_may_have_left_is_nobody_elses() {
    check(
        Bench::heartbeat(),
        "insert 1 10/20
         no images
         update 1 11/21
         put 1 10/21
         wait 100",
        &[
            "suspected diverged_row unknown @1",
            "open diverged_row unknown early @1",
            "open diverged_row unknown settled @1",
        ],
    );
}
