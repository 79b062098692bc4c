//! Values that the change stream and the target write in two shapes: bits, intervals, arrays, ranges, pairs, places, bytes.

use super::Relation::{Alike, Apart, Near, Open};
use super::{Cell, Dialect, Rules, Typing, check, dec, plan, row};

fn named<'a>(name: &str, text: &str) -> Cell<'a> {
    Cell::Opaque(Box::new((name.to_owned(), text.to_owned())))
}

#[test]
fn bits_compare_without_the_zeros_in_front() {
    let bits = |digits: &str| named("io.debezium.data.Bits", digits);
    check(
        Dialect::Postgres,
        "bit varying(16)",
        Typing::Declared,
        &[
            (bits("00000101"), Cell::text("101"), Alike),
            (bits(""), Cell::text(""), Alike),
            (bits("00000101"), Cell::text("0000000000000100"), Apart),
            (Cell::Bool(true), Cell::text("1"), Alike),
            (bits("2"), Cell::text("1"), Open),
        ],
    );
    let wire = [(Cell::text("AQAI"), Cell::text("10000000000000000001"), Alike)];
    check(Dialect::Mysql, "bit(20)", Typing::Bare, &wire);
}

#[test]
fn intervals_compare_by_their_length() {
    let micros = |count: &str| named("io.debezium.time.MicroDuration", count);
    let iso = |text: &str| named("io.debezium.time.Interval", &format!("{text:?}"));
    let held = |text: &str| named("interval", text);
    check(
        Dialect::Postgres,
        "interval",
        Typing::Declared,
        &[
            (micros("37091106789000"), held("P1Y2M3DT4H5M6.789S"), Alike),
            (micros("37091106789000"), held("P0Y0M0DT10303H5M6.789S"), Alike),
            (micros("37091106789000"), held("P1Y2M3DT4H5M6.789001S"), Apart),
            (iso("P0Y0M-1DT0H0M0S"), held("P0Y0M0DT-24H0M0S"), Alike),
            (iso("P0Y0M0DT0H0M-0.5S"), held("P0Y0M0DT0H0M-0.5S"), Alike),
            (iso("P0Y1M0DT0H0M0S"), held("P0Y0M30DT0H0M0S"), Apart),
        ],
    );
    let bare = [(Cell::Int(-1), held("P0Y0M0DT0H0M-0.000001S"), Alike)];
    check(Dialect::Postgres, "interval", Typing::Bare, &bare);
    let text = [(iso("P1Y0M0DT0H0M0S"), Cell::text("P1Y0M0DT0H0M0S"), Alike)];
    check(Dialect::Postgres, "text", Typing::Declared, &text);
    check(Dialect::Postgres, "bigint", Typing::Declared, &[(micros("-1"), Cell::Int(-1), Alike)]);
}

#[test]
fn arrays_compare_element_by_element() {
    let sent = |text: &str| named("array", text);
    let held = |text: &str| named("some[]", text);
    check(
        Dialect::Postgres,
        "numeric(8,3)[]",
        Typing::Declared,
        &[
            (sent("[1.500,null,-3.125]"), held("{1.500,NULL,-3.125}"), Alike),
            (sent(r#"["1.5"]"#), held("{1.500}"), Alike),
            (sent("[]"), held("{}"), Alike),
            (sent("[1]"), held("{1,1}"), Apart),
            (sent("[1,2]"), held("{2,1}"), Apart),
            (sent("[1.501]"), held("{1.500}"), Apart),
            (sent("[[1],[2]]"), held("{{1},{2}}"), Open),
        ],
    );
    check(
        Dialect::Postgres,
        "text[]",
        Typing::Declared,
        &[
            (sent(r#"[null,"NULL","","a,b","q\"","{"]"#), held(r#"{NULL,"NULL","","a,b","q\"","{"}"#), Alike),
            (sent(r#"["a","b"]"#), held(r#"{"a,b"}"#), Apart),
            (sent(r#"[""]"#), held("{NULL}"), Apart),
        ],
    );
    check(
        Dialect::Postgres,
        "timestamp(3) without time zone[]",
        Typing::Declared,
        &[
            (sent(r#"["2024-02-29T12:34:56.789012"]"#), held(r#"{"2024-02-29 12:34:56.789"}"#), Alike),
            (sent(r#"["2024-02-29T12:34:56.7895"]"#), held(r#"{"2024-02-29 12:34:56.789"}"#), Near),
            (sent(r#"["2024-02-29T12:34:56.788"]"#), held(r#"{"2024-02-29 12:34:56.789"}"#), Apart),
        ],
    );
    check(Dialect::Postgres, "bytea[]", Typing::Declared, &[(sent(r#"["\\x00ff"]"#), held(r#"{"\\x00ff"}"#), Alike)]);
    check(Dialect::Postgres, "bytea[]", Typing::Bare, &[(sent(r#"["AP8="]"#), held(r#"{"\\x00ff"}"#), Alike)]);
    check(Dialect::Postgres, "date[]", Typing::Bare, &[(sent("[19782]"), held("{2024-02-29}"), Alike)]);
}

#[test]
fn ranges_compare_by_their_bounds() {
    check(
        Dialect::Postgres,
        "tstzrange",
        Typing::Declared,
        &[
            (Cell::text(r#"["2024-01-01 00:00:00+00",)"#), Cell::text(r#"["2024-01-01 00:00:00+00",)"#), Alike),
            (Cell::text(r#"["2024-01-01 01:00:00+01",)"#), Cell::text(r#"["2024-01-01 00:00:00+00",)"#), Alike),
            (Cell::text(r#"["2024-01-01 00:00:00+00",)"#), Cell::text(r#"("2024-01-01 00:00:00+00",)"#), Apart),
            (Cell::text("empty"), Cell::text("empty"), Alike),
            (Cell::text("(,)"), Cell::text("empty"), Apart),
            (Cell::text("(,infinity)"), Cell::text("(,)"), Apart),
        ],
    );
    check(
        Dialect::Postgres,
        "numrange",
        Typing::Declared,
        &[
            (Cell::text("(1.5,2.50]"), Cell::text("(1.50,2.5]"), Alike),
            (Cell::text("(1.5,2.50]"), Cell::text("(1.5,2.51]"), Apart),
            (Cell::text("no range"), Cell::text("(1.5,2.51]"), Open),
        ],
    );
}

#[test]
fn pairs_and_places_compare_in_either_shape() {
    let map = named("map", r#"{"b":null,"a":"1"}"#);
    check(
        Dialect::Postgres,
        "hstore",
        Typing::Declared,
        &[
            (Cell::Json(r#"{"a":"1","b":null}"#.into()), Cell::text(r#""a"=>"1", "b"=>NULL"#), Alike),
            (map.clone(), Cell::text(r#""a"=>"1", "b"=>NULL"#), Alike),
            (map.clone(), Cell::text(r#""a"=>"1", "b"=>"null""#), Apart),
            (Cell::Json("{}".into()), Cell::text(""), Alike),
        ],
    );
    check(Dialect::Postgres, "jsonb", Typing::Declared, &[(map, Cell::Json(r#"{"a":"1", "b":null}"#.into()), Alike)]);
    let point = named("io.debezium.data.geometry.Point", r#"{"x":1.5,"y":-2.25,"wkb":"AQI=","srid":null}"#);
    check(
        Dialect::Postgres,
        "point",
        Typing::Declared,
        &[(point.clone(), Cell::text("(1.5,-2.25)"), Alike), (point.clone(), Cell::text("(1.5,-2.26)"), Apart)],
    );
    check(
        Dialect::Mysql,
        "point",
        Typing::Declared,
        &[(point.clone(), named("point", "000000000102"), Alike), (point, named("point", "E61000000102"), Apart)],
    );
}

#[test]
fn bytes_may_have_come_as_text() {
    check(
        Dialect::Postgres,
        "bytea",
        Typing::Declared,
        &[
            (Cell::text("AP8Q"), Cell::Bytes((*b"AP8Q").into()), Alike),
            (Cell::text("AP8Q"), Cell::Bytes([0, 255, 16].into()), Near),
            (Cell::text("00ff10"), Cell::Bytes([0, 255, 16].into()), Near),
            (Cell::text("AP8Q"), Cell::Bytes([0, 255, 17].into()), Apart),
        ],
    );
}

#[test]
fn the_marker_is_told_in_values_made_of_values() {
    for (declared, held) in [
        ("text[]", "{__debezium_unavailable_value}"),
        (
            "smallint[]",
            "{95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101}",
        ),
        ("hstore", "\"__debezium_unavailable_value\"=>\"__debezium_unavailable_value\""),
    ] {
        let plan = plan(Dialect::Postgres, declared, &Rules::default());
        let held = if declared == "hstore" { Cell::text(held) } else { named(declared, held) };
        assert_eq!(plan.placeholders(&row(held, Typing::Declared)), vec![1], "{declared}");
    }
}

#[test]
fn unsigned_numbers_are_read_back_where_the_source_wrapped_them() {
    check(
        Dialect::Mysql,
        "bigint(20) unsigned",
        Typing::Declared,
        &[(Cell::Int(-1), dec("18446744073709551615"), Alike), (Cell::Int(-1), Cell::Int(1), Apart)],
    );
    check(
        Dialect::Postgres,
        "numeric(20,0)",
        Typing::Declared,
        &[(Cell::Int(-1), dec("18446744073709551615"), Near), (Cell::Int(-1), dec("18446744073709551614"), Apart)],
    );
}
