//! Rows of tables of which the applier carries some.

use super::Bench;

#[test]
fn a_row_that_left_may_stay_or_go() {
    for row in ["put 1 10/20", "gone 1"] {
        let mut bench = Bench::heartbeat();
        bench.run(&format!("within insert 1 10/20\nput 1 10/20\nwait 3\nleaves update 1 11/20\n{row}\nwait 100"));
        assert_eq!(bench.said, Vec::<String>::new(), "{row}");
        assert_eq!(bench.engine().tally().partitions[0].pending, 0, "{row}");
    }
}

fn lost_behind(changes: &str, kind: &str) {
    let mut bench = Bench::heartbeat();
    bench.run(&format!("within insert 1 10/20\nput 1 10/20\nwait 100\n{changes}\nwait 100"));
    let open: Vec<&String> = bench.said.iter().filter(|said| said.contains("settled")).collect();
    assert_eq!(open.len(), 1, "{:?}", bench.said);
    assert!(open[0].starts_with(&format!("open {kind} ")), "{open:?}");
}

#[test]
fn what_was_to_be_carried_before_is_still_demanded() {
    lost_behind("within update 1 11/20\nleaves update 1 12/20", "lost_update");
}

#[test]
fn a_row_that_came_back_is_demanded() {
    lost_behind("leaves update 1 12/20\nwithin update 1 13/20\ngone 1", "missing_row");
    lost_behind("leaves update 1 12/20\nwithin update 1 13/20", "lost_update");
}

#[test]
fn a_delete_is_demanded_where_nothing_tells_that_its_row_had_left() {
    lost_behind("leaves update 1 12/20\nwithin delete 1", "unapplied_delete");
}

#[test]
fn rows_outside_cost_the_target_nothing() {
    let run = |changes: &str| {
        let mut bench = Bench::heartbeat();
        bench.run(&format!("wait 10\n{changes}wait 60"));
        assert_eq!(bench.said, Vec::<String>::new());
        bench
    };
    let (none, some) = (run(""), run("outside insert 7 10/20\noutside update 7 11/20\noutside delete 7\n"));
    assert_eq!(some.engine().tally().counters.left_out, 3);
    assert_eq!(some.lookups, none.lookups);
    assert_eq!(some.commits[&0], none.commits[&0] + 3);
}

#[test]
fn a_change_that_does_not_tell_ends_without_a_verdict() {
    let mut bench = Bench::heartbeat();
    bench.run("within insert 1 10/20\nput 1 10/20\nuntold update 1 11/20\nwait 60");
    assert!(bench.notes.iter().any(|note| note.contains("does not tell whether")), "{:?}", bench.notes);
    assert_eq!(bench.said, Vec::<String>::new());
}

#[test]
fn a_row_that_stayed_when_it_left_is_no_witness_when_it_comes_back_as_it_was() {
    let lives = |first: &str, keys: std::ops::RangeInclusive<i64>| -> String {
        let life = |key: i64| {
            format!(
                "put {key} 10/{key}\n{first} update {key} 11/0\noutside delete {key}\nwithin insert {key} 10/{key}\n"
            )
        };
        keys.map(life).collect()
    };
    let applied = |first: &str| {
        let mut bench = Bench::inferred();
        bench.run(&format!("{}wait 20\n{}wait 20", lives(first, 1..=6), lives(first, 11..=16)));
        assert_eq!(bench.said, Vec::<String>::new());
        bench.engine().tally().partitions[0].applied
    };
    assert_eq!(applied("leaves"), 0);
    // Rows that were never carried cannot have stayed.
    assert!(applied("outside") > 0);
}
