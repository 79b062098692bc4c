//! What a sender without declared types left out.

use super::Relation::{Alike, Apart, Near};
use super::*;

#[test]
fn what_a_sender_without_types_left_out_may_be_any_zero() {
    let seconds = 14 * 3_600;
    for (declared, zero, other) in [
        ("integer", Cell::Int(0), Cell::Int(1)),
        ("numeric(10,2)", Cell::Decimal("0.00".into()), Cell::Decimal("0.01".into())),
        ("boolean", Cell::Bool(false), Cell::Bool(true)),
        ("double precision", Cell::Float64(0.0), Cell::Float64(0.5)),
        ("date", Cell::Date(0), Cell::Date(1)),
        ("time without time zone", Cell::Time(0), Cell::Time(1_000)),
        ("timestamp without time zone", Cell::Local(seconds, 0), Cell::Local(seconds + 1_800, 0)),
        ("timestamp with time zone", Cell::Instant(0, 0), Cell::Instant(0, 1_000)),
        ("text", Cell::text(""), Cell::text("[]")),
        ("bytea", Cell::Bytes(Box::default()), Cell::Bytes([0].into())),
        ("integer[]", Cell::text("{}"), Cell::text("{0}")),
        ("hstore", Cell::text(""), Cell::text("\"a\"=>\"1\"")),
    ] {
        check(
            Dialect::Postgres,
            declared,
            Typing::Bare,
            &[(Cell::Absent, Cell::Null, Alike), (Cell::Absent, zero, Near), (Cell::Absent, other, Apart)],
        );
    }
    check(Dialect::Postgres, "integer", Typing::Dms, &[(Cell::Absent, Cell::Int(0), Apart)]);
    check(Dialect::Postgres, "integer", Typing::Declared, &[(Cell::Absent, Cell::Int(0), Apart)]);
}

#[test]
fn a_map_in_protobuf_may_have_lost_nulls() {
    let map = |text: &str| Cell::Opaque(Box::new(("map".to_owned(), text.to_owned())));
    let pairs = || map(r#"{"a":"","b":"1"}"#);
    for (typing, lost) in [(Typing::Bare, Near), (Typing::Declared, Apart)] {
        check(
            Dialect::Postgres,
            "hstore",
            typing,
            &[
                (pairs(), Cell::text(r#""a"=>"", "b"=>"1""#), Alike),
                (pairs(), Cell::text(r#""a"=>NULL, "b"=>"1""#), lost),
                (pairs(), Cell::text(r#""a"=>NULL, "b"=>"2""#), Apart),
                (pairs(), Cell::text(r#""b"=>"1""#), Apart),
            ],
        );
    }
}
