//! Rows that meet a condition, rows that do not, and rows that do not tell.

use super::{dec, plan};
use crate::canon::{Filter, Meets, Rules};
use crate::model::condition::{Case, Comparison, Operand, Pattern};
use crate::model::{Cell, Columns, Condition, Dialect, Row, Typing};

use Comparison::{AtLeast, Equal, Greater, Less, NotEqual};
use Meets::{No, Unknown, Yes};

fn v() -> Operand {
    Operand::Column("v".into())
}

fn text(text: &str) -> Operand {
    Operand::Text(text.into())
}

fn number(digits: &str) -> Operand {
    Operand::Number(digits.into())
}

fn is(comparison: Comparison, other: Operand) -> Condition {
    Condition::Compare(v(), comparison, other)
}

fn row(cell: Cell, typing: Typing) -> Row {
    super::row(cell, typing)
}

fn filter(declared: &str, condition: Condition) -> Filter {
    Filter::new(condition, &plan(Dialect::Postgres, declared, &Rules::default()))
}

fn check(declared: &str, typing: Typing, rows: &[(Cell, Condition, Meets)]) {
    for (cell, condition, expected) in rows {
        let met = filter(declared, condition.clone()).met_by(&row(cell.clone(), typing), None);
        assert_eq!(met, *expected, "{declared}: {cell:?} {condition:?}");
    }
}

#[test]
fn numbers_are_held_against_each_other_by_value() {
    check(
        "numeric(10,2)",
        Typing::Declared,
        &[
            (Cell::Int(5), is(Equal, number("5.0")), Yes),
            (dec("1.004"), is(Greater, number("1.003")), Yes),
            (dec("-12.5"), is(Less, number("-3")), Yes),
            (dec("123456789012345678901234567890"), is(Greater, number("9")), Yes),
            (dec("NaN"), is(Greater, number("9e99")), Yes),
            (Cell::Float64(0.1), is(Equal, number("0.1")), Yes),
            (Cell::Bool(true), is(Equal, number("1")), Yes),
            (Cell::Int(5), is(Equal, text("5")), Yes),
            (Cell::Int(5), is(Equal, text("five")), Unknown),
            (Cell::Int(5), is(NotEqual, number("5")), No),
        ],
    );
}

#[test]
fn texts_are_held_against_each_other_by_their_bytes() {
    let like = |text: &str, case| Condition::Like(v(), Pattern { text: text.into(), escape: Some('\\'), case });
    check(
        "text",
        Typing::Declared,
        &[
            (Cell::text("eu"), is(Equal, text("eu")), Yes),
            (Cell::text("EU"), is(Equal, text("eu")), No),
            (Cell::text("eu "), is(Equal, text("eu")), No),
            (Cell::text("12"), is(Greater, number("9")), Yes),
            (Cell::text("true"), Condition::Holds(v()), Yes),
            (Cell::text("f"), is(Equal, Operand::Bool(false)), Yes),
            (Cell::text("abcabd"), like("a%b_", Case::Told), Yes),
            (Cell::text("ABC"), like("a%", Case::Told), No),
            (Cell::text("ABC"), like("a%", Case::Ignored), Yes),
            (Cell::text("50%"), like("50\\%", Case::Told), Yes),
            (Cell::text("500"), like("50\\%", Case::Told), No),
            (Cell::text(""), like("%", Case::Told), Yes),
            (Cell::text("é"), like("_", Case::Told), Yes),
            (Cell::Int(5), like("5", Case::Told), Unknown),
        ],
    );
}

#[test]
fn times_are_read_as_what_they_show() {
    let day = |text: &str| Operand::Text(text.into());
    check(
        "timestamptz",
        Typing::Declared,
        &[
            (Cell::Instant(1_767_225_600, 0), is(Equal, day("2026-01-01")), Yes),
            (Cell::Instant(1_767_225_600, 1), is(Greater, day("2026-01-01 01:00:00+01")), Yes),
            (Cell::Infinity(1), is(Greater, day("2026-01-01")), Yes),
            (Cell::text("2026-01-01T00:00:00Z"), is(AtLeast, day("2026-01-01")), Yes),
        ],
    );
    check("date", Typing::Declared, &[(Cell::Date(20_454), is(Equal, day("2026-01-01")), Yes)]);
    // Plain JSON: the target's column tells what the number counts.
    check("date", Typing::Bare, &[(Cell::Int(20_454), is(Equal, day("2026-01-01")), Yes)]);
    check(
        "timestamp(6) without time zone",
        Typing::Bare,
        &[(Cell::Int(1_767_225_600_000_000), is(Less, day("2026-01-02")), Yes)],
    );
    check("bigint", Typing::Bare, &[(Cell::Int(20_454), is(Greater, number("20000")), Yes)]);
}

#[test]
fn a_null_leaves_it_open_which_is_no() {
    let none = || Box::new(is(Equal, number("1")));
    check(
        "bigint",
        Typing::Declared,
        &[
            (Cell::Null, is(Equal, number("1")), No),
            (Cell::Null, Condition::Not(none()), No),
            (Cell::Null, Condition::IsNull(v()), Yes),
            (Cell::Null, Condition::Or(none(), Box::new(Condition::IsNull(v()))), Yes),
            (Cell::Null, Condition::Is(none(), true), No),
            (Cell::Null, Condition::Not(Box::new(Condition::Is(none(), true))), Yes),
            (Cell::Null, Condition::Same(v(), Operand::Null), Yes),
            (Cell::Int(1), Condition::Same(v(), Operand::Null), No),
            (Cell::Int(2), Condition::In(v(), vec![number("1"), Operand::Null]), No),
            (Cell::Int(2), Condition::Not(Box::new(Condition::In(v(), vec![number("1"), Operand::Null]))), No),
            (Cell::Int(2), Condition::In(v(), vec![number("1"), number("2"), Operand::Null]), Yes),
        ],
    );
}

#[test]
fn what_was_not_sent_is_unknown_unless_it_decides_nothing() {
    let one = || Box::new(is(Equal, number("1")));
    let yes = || Box::new(Condition::Holds(Operand::Bool(true)));
    let no = || Box::new(Condition::Holds(Operand::Bool(false)));
    check(
        "bigint",
        Typing::Declared,
        &[
            (Cell::NotSent, *one(), Unknown),
            (Cell::NotSent, Condition::And(one(), no()), No),
            (Cell::NotSent, Condition::Or(one(), yes()), Yes),
            (Cell::NotSent, Condition::And(one(), yes()), Unknown),
            (Cell::NotSent, Condition::IsNull(v()), Unknown),
            (Cell::Absent, Condition::IsNull(v()), Unknown),
            (Cell::Bytes(Box::new([1])), *one(), Unknown),
        ],
    );
    // DMS leaves out nulls and empty texts: what has no empty text was null.
    check("bigint", Typing::Dms, &[(Cell::Absent, Condition::IsNull(v()), Yes)]);
    check("text", Typing::Dms, &[(Cell::Absent, Condition::IsNull(v()), Unknown)]);

    let before = row(Cell::Int(1), Typing::Declared);
    let filter = filter("bigint", *one());
    assert_eq!(filter.met_by(&row(Cell::NotSent, Typing::Declared), Some(&before)), Yes);
    assert_eq!(filter.met_by(&row(Cell::Int(2), Typing::Declared), Some(&before)), No);
}

#[test]
fn a_column_need_not_be_on_the_target_and_its_case_is_nobodys() {
    let region = Condition::Compare(Operand::Column("Region".into()), Equal, text("eu"));
    let columns = Columns::new(["id", "region"]);
    let row = Row::new(columns.into(), vec![Cell::Int(1), Cell::text("eu")], Typing::Declared);
    assert_eq!(filter("bigint", region.clone()).met_by(&row, None), Yes);
    assert_eq!(filter("bigint", region).met_by(&super::row(Cell::Int(1), Typing::Declared), None), Unknown);
}

#[test]
fn a_pattern_of_many_signs_ends_soon() {
    let pattern = Pattern { text: "%a".repeat(2_000).into(), escape: None, case: Case::Told };
    let filter = filter("text", Condition::Like(v(), pattern));
    assert_eq!(filter.met_by(&row(Cell::text(&"b".repeat(20_000)), Typing::Declared), None), No);
}
