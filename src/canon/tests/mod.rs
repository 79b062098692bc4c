//! Pairs of renderings that must hash alike, pairs that must not, and what the slow path makes of the rest.

use std::sync::Arc;

use proptest::prelude::*;

mod conditions;
mod moments;
mod nothing;
mod shapes;

use super::*;
use crate::model::{Cell, ColumnMeta, Columns, Dialect, Row, TableId, TableMeta, Typing};

fn column(name: &str, declared: &str) -> ColumnMeta {
    ColumnMeta { name: name.into(), declared: declared.into(), nullable: true, collation: None, number: 0 }
}

fn meta(dialect: Dialect, declared: &str) -> Arc<TableMeta> {
    table(dialect, vec![column("id", "bigint"), column("v", declared)], vec![0])
}

fn table(dialect: Dialect, columns: Vec<ColumnMeta>, primary_key: Vec<usize>) -> Arc<TableMeta> {
    Arc::new(TableMeta { dialect, schema: "s".into(), name: "t".into(), columns, primary_key, unique: Vec::new() })
}

fn plan(dialect: Dialect, declared: &str, rules: &Rules) -> Plan {
    Plan::new(TableId(1), meta(dialect, declared), rules, None).expect("a plan")
}

fn row(cell: Cell, typing: Typing) -> Row {
    Row::new(Arc::new(Columns::new(["id", "v"])), vec![Cell::Int(1), cell], typing)
}

/// How one expected value relates to one observed value.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Relation {
    /// Equal by fingerprint.
    Alike,
    /// Equal on the slow path only.
    Near,
    /// Different.
    Apart,
    /// Not comparable, or not compared.
    Open,
}

fn relate_under(plan: &Plan, expected: &Row, observed: &Row) -> Relation {
    let reduced = plan.expect(&plan.bind(&expected.columns, expected.typing), expected);
    let alike = plan.observe(observed).sum(&reduced.mask) == reduced.fingerprint;
    let outcome =
        plan.differ(expected, observed).into_iter().find(|found| &*found.name == "v").map(|found| found.outcome);
    match outcome {
        None | Some(Compared::Incomparable) => Relation::Open,
        Some(Compared::Different) => {
            assert!(!alike, "a difference must show in the fingerprint");
            Relation::Apart
        }
        Some(Compared::Equal) if alike => Relation::Alike,
        Some(Compared::Equal) => Relation::Near,
    }
}

fn check(dialect: Dialect, declared: &str, typing: Typing, pairs: &[(Cell, Cell, Relation)]) {
    let plan = plan(dialect, declared, &Rules::default());
    for (expected, observed, relation) in pairs {
        let found = relate_under(&plan, &row(expected.clone(), typing), &row(observed.clone(), Typing::Declared));
        assert_eq!(found, *relation, "{declared}: expected {expected:?}, observed {observed:?}");
    }
}

fn dec(text: &str) -> Cell<'_> {
    Cell::Decimal(text.into())
}

fn zoned_time(text: &str) -> Cell<'_> {
    Cell::Opaque(Box::new(("io.debezium.time.ZonedTime".to_owned(), text.to_owned())))
}

use Relation::{Alike, Apart, Near, Open};

#[test]
fn numbers_compare_by_value_at_the_columns_scale() {
    check(
        Dialect::Postgres,
        "numeric(10,2)",
        Typing::Declared,
        &[
            (dec("1.10"), dec("1.1"), Alike),
            (dec("-0.00"), Cell::Int(0), Alike),
            (Cell::Int(3), dec("3.00"), Alike),
            (dec("1.005"), dec("1.01"), Alike),
            (dec("-1.005"), dec("-1.01"), Alike),
            (Cell::Float64(1.1), dec("1.10"), Alike),
            (Cell::Float32(0.1), dec("0.10"), Alike),
            (Cell::text("-12345678.90"), dec("-12345678.9"), Alike),
            (dec("1.10"), dec("1.11"), Apart),
            (dec("1"), Cell::Null, Apart),
            (Cell::Null, dec("0"), Apart),
            (Cell::Null, Cell::Null, Alike),
            (Cell::NotSent, dec("0"), Open),
            (Cell::Redacted, dec("0"), Open),
            (Cell::Date(3), dec("3"), Open),
        ],
    );
    check(
        Dialect::Postgres,
        "numeric",
        Typing::Declared,
        &[
            (dec("NaN"), dec("NaN"), Alike),
            (Cell::text("NAN"), dec("NaN"), Alike),
            (Cell::Float64(f64::INFINITY), dec("Infinity"), Alike),
            (Cell::Float64(0.1 + 0.2), dec("0.3"), Near),
            (dec("12345678901234567890.12"), dec("12345678901234567890.120"), Alike),
            (dec("12345678901234567890.12"), dec("12345678901234567890.13"), Apart),
        ],
    );
}

#[test]
fn plain_json_leaves_numbers_open_and_the_column_decides() {
    check(
        Dialect::Postgres,
        "numeric(10,2)",
        Typing::Bare,
        &[
            (Cell::text("tmn9Lg=="), dec("-12345678.90"), Alike),
            (Cell::text("-12345678.90"), dec("-12345678.90"), Alike),
            (Cell::text("1234"), dec("1234"), Alike),
            (Cell::text("1234"), dec("-26588.24"), Near),
            (Cell::text("1234"), dec("-2658.82"), Open),
            (Cell::text("tmn9Lg=="), dec("-1234567.89"), Open),
            (Cell::text("tmn9Lg=="), dec("17.00"), Apart),
            (Cell::text("not a number"), dec("1"), Open),
        ],
    );
    check(
        Dialect::Postgres,
        "bytea",
        Typing::Bare,
        &[
            (Cell::text("AP8Q/n+A"), Cell::Bytes([0, 255, 16, 254, 127, 128].into()), Alike),
            (Cell::text("00ff10"), Cell::Bytes([0, 255, 16].into()), Open),
            (Cell::text("AP8Q/n+A"), Cell::Bytes([0].into()), Apart),
            (Cell::text(""), Cell::Bytes([].into()), Alike),
        ],
    );
    check(
        Dialect::Postgres,
        "date",
        Typing::Bare,
        &[
            (Cell::Int(19_782), Cell::Date(19_782), Alike),
            (Cell::Int(-2_147_472_692), Cell::Infinity(1), Alike),
            (Cell::text("2024-02-29"), Cell::Date(19_782), Alike),
            (Cell::Int(19_782), Cell::Date(19_783), Apart),
        ],
    );
    check(
        Dialect::Postgres,
        "timestamp without time zone",
        Typing::Bare,
        &[
            (Cell::Int(1_709_210_096_789_012), Cell::Local(1_709_210_096, 789_012_000), Alike),
            (Cell::Int(1_709_210_096_789), Cell::Local(1_709_210_096, 789_000_000), Alike),
            (Cell::Int(86_400_000), Cell::Local(86_400, 0), Near),
            (Cell::Int(86_400_000_000), Cell::Local(86_400, 0), Alike),
            (Cell::Int(9_223_372_036_825_200_000), Cell::Infinity(1), Alike),
            (Cell::Int(9_223_372_036_825_200_000), Cell::Local(9_223_372_036_825, 200_000_000), Apart),
            (Cell::Int(1_709_210_096_789), Cell::Local(1_709_210_096, 788_000_000), Apart),
        ],
    );
    check(
        Dialect::Mysql,
        "time(6)",
        Typing::Bare,
        &[
            (Cell::Int(-45_296_000_000), Cell::Time(-45_296_000_000_000), Alike),
            (Cell::Int(3_020_398_999_999), Cell::Time(3_020_398_999_999_000), Alike),
            (Cell::Int(45_296_000), Cell::Time(45_296_000_000_000), Near),
        ],
    );
}

#[test]
fn floats_compare_at_the_columns_precision() {
    check(
        Dialect::Postgres,
        "real",
        Typing::Declared,
        &[
            (Cell::Float64(0.1), Cell::Float32(0.1), Alike),
            (dec("0.1"), Cell::Float32(0.1), Alike),
            (Cell::Float64(f64::NAN), Cell::Float32(f32::NAN), Alike),
            (Cell::Float32(-0.0), Cell::Float32(0.0), Alike),
            (Cell::Float32(0.1), Cell::Float32(0.2), Apart),
        ],
    );
    check(
        Dialect::Postgres,
        "double precision",
        Typing::Declared,
        &[
            (Cell::Float32(0.1), Cell::Float64(0.100_000_001_490_116_12), Alike),
            (Cell::Float32(0.1), Cell::Float64(0.1), Near),
            (Cell::Float64(0.1), Cell::Float64(0.100_000_001_490_116_12), Apart),
            (Cell::text("NaN"), Cell::Float64(f64::NAN), Alike),
            (Cell::text("-Infinity"), Cell::Float64(f64::NEG_INFINITY), Alike),
            (Cell::Float64(f64::NAN), Cell::Float64(0.0), Apart),
        ],
    );
    check(
        Dialect::Postgres,
        "double precision",
        Typing::Bare,
        &[
            (dec("0.1"), Cell::Float64(0.100_000_001_490_116_12), Near),
            (dec("0.123456789012"), Cell::Float64(f64::from(0.123_456_79_f32)), Apart),
        ],
    );
}

#[test]
fn text_keeps_every_character_but_padding() {
    check(
        Dialect::Postgres,
        "character(8)",
        Typing::Declared,
        &[
            (Cell::text("abc     "), Cell::text("abc"), Alike),
            (Cell::text("        "), Cell::text(""), Alike),
            (Cell::text("abc"), Cell::text("abd"), Apart),
        ],
    );
    check(
        Dialect::Postgres,
        "text",
        Typing::Declared,
        &[
            (Cell::text("abc "), Cell::text("abc"), Apart),
            (Cell::text(""), Cell::Null, Apart),
            (Cell::Absent, Cell::text(""), Near),
            (Cell::Absent, Cell::Null, Alike),
            (Cell::Absent, Cell::text("x"), Apart),
            (Cell::Int(5), Cell::text("5"), Alike),
            (dec("1.10"), Cell::text("1.1"), Near),
            (dec("1.10"), Cell::text("1.2"), Apart),
            (dec("1.10"), Cell::text("soon"), Open),
            (Cell::Json("{\"a\":1}".into()), Cell::text("{ \"a\" : 1.0 }"), Near),
            (Cell::Json("{\"a\":1}".into()), Cell::text("{\"a\":2}"), Apart),
            (Cell::Date(0), Cell::text("1970-01-01"), Alike),
            (Cell::Instant(0, 0), Cell::text("1970-01-01 01:00:00+01"), Near),
        ],
    );
    check(
        Dialect::Mysql,
        "binary(4)",
        Typing::Declared,
        &[
            (Cell::Bytes([1, 0, 0, 0].into()), Cell::Bytes([1].into()), Alike),
            (Cell::Bytes([1, 2].into()), Cell::Bytes([1].into()), Apart),
        ],
    );
}

#[test]
fn truth_values_have_many_spellings() {
    check(
        Dialect::Postgres,
        "boolean",
        Typing::Dms,
        &[
            (Cell::text("t"), Cell::Bool(true), Alike),
            (Cell::text("f"), Cell::Bool(false), Alike),
            (Cell::Int(1), Cell::Bool(true), Alike),
            (Cell::text("t"), Cell::Bool(false), Apart),
            (Cell::text("maybe"), Cell::Bool(false), Open),
        ],
    );
    check(
        Dialect::Mysql,
        "tinyint(1)",
        Typing::Dms,
        &[
            (Cell::Bool(true), Cell::Int(1), Alike),
            (Cell::text("t"), Cell::Int(1), Alike),
            (Cell::Int(2), Cell::Int(2), Alike),
            (Cell::Bool(false), Cell::Int(1), Apart),
        ],
    );
}

#[test]
fn identifiers_and_documents_compare_by_content() {
    let bytes = [0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11];
    check(
        Dialect::Postgres,
        "uuid",
        Typing::Declared,
        &[
            (Cell::text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), Cell::Uuid(bytes), Alike),
            (Cell::Bytes(bytes.into()), Cell::Uuid(bytes), Alike),
            (Cell::text("short"), Cell::Uuid(bytes), Open),
        ],
    );
    check(
        Dialect::Postgres,
        "jsonb",
        Typing::Declared,
        &[
            (Cell::text("{\"b\":1,\"a\":2.50}"), Cell::Json("{\"a\": 2.5, \"b\": 1.0}".into()), Alike),
            (Cell::text("[1]"), Cell::Json("[2]".into()), Apart),
            (Cell::text("no document"), Cell::Json("[2]".into()), Open),
        ],
    );
    check(
        Dialect::Postgres,
        "inet",
        Typing::Declared,
        &[
            (Cell::text("10.0.0.1"), Cell::text("10.0.0.1/32"), Alike),
            (Cell::text("10.0.0.1/24"), Cell::text("10.0.0.1/24"), Alike),
            (Cell::text("::1"), Cell::text("::1/128"), Alike),
            (Cell::text("10.0.0.1"), Cell::text("10.0.0.2/32"), Apart),
            (Cell::text("10.0.0.1"), Cell::text("10.0.0.1/31"), Apart),
        ],
    );
    check(Dialect::Postgres, "box", Typing::Declared, &[(Cell::text("(1,1),(0,0)"), Cell::text("(2,2),(0,0)"), Open)]);
}

#[test]
fn tolerances_hold_on_the_slow_path_only() {
    let near = |declared, tolerance, expected: Cell, observed: Cell| {
        let rules = Rules { tolerance: BTreeMap::from([("v".to_owned(), tolerance)]), ..Rules::default() };
        let plan = plan(Dialect::Postgres, declared, &rules);
        relate_under(&plan, &row(expected, Typing::Declared), &row(observed, Typing::Declared))
    };
    let price = Tolerance::Number(0.005);
    assert_eq!(near("numeric", price, dec("1.00"), dec("1.005")), Near);
    assert_eq!(near("numeric", price, dec("1.00"), dec("1.0051")), Apart);
    assert_eq!(near("numeric", price, dec("1.00"), Cell::Null), Apart);
    let seen_at = Tolerance::Time(1_000_000);
    assert_eq!(near("timestamp without time zone", seen_at, Cell::Local(5, 0), Cell::Local(5, 1_000_000)), Near);
    assert_eq!(near("timestamp without time zone", seen_at, Cell::Local(5, 0), Cell::Local(5, 1_001_000)), Apart);
}

#[test]
fn null_and_empty_are_one_value_where_the_rule_says_so() {
    let rules = Rules { empty_is_null: true, ..Rules::default() };
    let plan = plan(Dialect::Postgres, "text", &rules);
    for (expected, observed, relation) in [
        (Cell::Absent, Cell::text(""), Alike),
        (Cell::text(""), Cell::Null, Alike),
        (Cell::Null, Cell::text(""), Alike),
        (Cell::text("x"), Cell::Null, Apart),
    ] {
        assert_eq!(relate_under(&plan, &row(expected, Typing::Dms), &row(observed, Typing::Declared)), relation);
    }
}

#[test]
fn the_marker_is_told_even_where_the_tap_sent_nothing() {
    let plan = plan(Dialect::Postgres, "text", &Rules::default());
    let observed = row(Cell::text(UNAVAILABLE_VALUE), Typing::Declared);
    assert_eq!(plan.placeholders(&observed), vec![1]);
    assert_eq!(plan.placeholders(&row(Cell::text("real"), Typing::Declared)), Vec::<usize>::new());
    let found = plan.differ(&row(Cell::NotSent, Typing::Declared), &observed);
    let marked = found.iter().find(|found| found.placeholder).expect("the marked column");
    assert_eq!((&*marked.name, marked.outcome), ("v", Compared::Different));
    let renamed = plan.with_placeholder("__none__");
    assert_eq!(renamed.placeholders(&observed), Vec::<usize>::new());
}

#[test]
fn a_partial_row_is_summed_over_what_it_says() {
    let columns = vec![column("id", "integer"), column("a", "text"), column("b", "text"), column("gone", "box")];
    let meta = table(Dialect::Postgres, columns, vec![0]);
    let plan = Plan::new(TableId(1), meta, &Rules::default(), None).expect("a plan");
    assert_eq!(plan.not_compared(), [NotCompared { column: "gone".into(), why: "type `box` is not covered".into() }]);
    let shape = Arc::new(Columns::new(["id", "a", "b", "unknown"]));
    let binding = plan.bind(&shape, Typing::Declared);
    assert_eq!(binding.unbound(), [Box::from("unknown")]);
    let partial = |a: Cell| {
        let cells = vec![Cell::Int(1), a, Cell::text("b"), Cell::Int(9)];
        plan.expect(&binding, &Row::new(shape.clone(), cells, Typing::Declared))
    };
    let (whole, part, again) = (partial(Cell::text("a")), partial(Cell::NotSent), partial(Cell::NotSent));
    assert_eq!(part.mask.iter().collect::<Vec<_>>(), [0, 2]);
    assert_eq!(part, again);
    let cells = vec![Cell::Int(1), Cell::text("other"), Cell::text("b")];
    let observed = plan.observe(&Row::new(plan.names().clone(), cells, Typing::Declared));
    assert_eq!(observed.sum(&part.mask), part.fingerprint);
    assert_ne!(observed.sum(&whole.mask), whole.fingerprint);
}

#[test]
fn equal_values_in_two_columns_do_not_cancel() {
    let columns = vec![column("id", "integer"), column("a", "text"), column("b", "text")];
    let meta = table(Dialect::Postgres, columns, vec![0]);
    let plan = Plan::new(TableId(1), meta, &Rules::default(), None).expect("a plan");
    let of = |a: &str, b: &str| {
        let row = Row::new(plan.names().clone(), vec![Cell::Int(1), Cell::text(a), Cell::text(b)], Typing::Declared);
        plan.expect(&plan.bind(&row.columns, row.typing), &row).fingerprint
    };
    assert_ne!(of("x", "y"), of("y", "x"));
}

#[test]
fn keys_are_canonical_and_their_faults_named() {
    let columns = vec![column("tenant", "character(4)"), column("no", "numeric(10,2)"), column("v", "text")];
    let meta = table(Dialect::Postgres, columns, vec![1, 0]);
    let rules = Rules { rename: BTreeMap::from([("number".to_owned(), "no".to_owned())]), ..Rules::default() };
    let plan = Plan::new(TableId(7), meta, &rules, None).expect("a plan");
    assert_eq!(plan.key_places(), [1, 0]);
    assert_eq!(plan.key_names().collect::<Vec<_>>(), ["number", "tenant"]);
    let of = |number: Cell, tenant: Cell| {
        let columns = Arc::new(Columns::new(["number", "tenant"]));
        plan.key(&Row::new(columns, vec![number, tenant], Typing::Declared))
    };
    let key = of(dec("1.10"), Cell::text("a   ")).expect("a key");
    assert_eq!(key.cells(), [dec("1.1"), Cell::text("a")]);
    assert_eq!(of(Cell::Float64(1.1), Cell::text("a")), Ok(key.clone()));
    let observed = Row::new(
        Arc::new(Columns::new(["tenant", "no", "v"])),
        vec![Cell::text("a   "), dec("1.10"), Cell::text("x")],
        Typing::Declared,
    );
    assert_eq!(plan.observed_key(&observed), Ok(key));
    assert_eq!(of(Cell::Null, Cell::text("a")), Err(KeyError::Null { column: "number".into() }));
    assert_eq!(of(Cell::NotSent, Cell::text("a")), Err(KeyError::Missing { column: "number".into() }));
    let wrong = of(Cell::text("seven"), Cell::text("a")).expect_err("no number");
    assert_eq!(wrong.to_string(), "key column `number` holds a value that target type `numeric(10,2)` does not");
}

#[test]
fn columns_whose_names_avro_does_not_allow() {
    let names = ["order-no", "2nd", "a b", "a.b", "plain"];
    let columns = names.iter().map(|name| column(name, "text")).collect();
    let meta = table(Dialect::Postgres, columns, vec![0]);
    let keys = ["order_no".to_owned()];
    let plan = Plan::new(TableId(7), meta, &Rules::default(), Some(&keys)).expect("a plan");
    assert_eq!(plan.key_places(), [0]);
    // Two columns could be meant by `a_b`: neither is.
    for (tap, place) in [("order_no", Some(0)), ("_2nd", Some(1)), ("a_b", None), ("a b", Some(2)), ("plain", Some(4))]
    {
        assert_eq!(plan.place_of_tap(tap), place, "{tap}");
    }
}

#[test]
fn a_plan_says_what_it_lacks() {
    let make = |declared: &str, rules: Rules, key: Option<&[String]>, primary_key: Vec<usize>| {
        let columns = vec![column("id", declared), column("v", "text")];
        let meta = table(Dialect::Postgres, columns, primary_key);
        Plan::new(TableId(1), meta, &rules, key).expect_err("no plan").to_string()
    };
    let named = |names: &[&str]| Rules { key: names.iter().map(ToString::to_string).collect(), ..Rules::default() };
    assert!(make("bigint", Rules::default(), None, vec![]).starts_with("table `s.t` has no primary key"));
    assert!(make("bigint", named(&["nope"]), None, vec![0]).starts_with("key column `nope` has no counterpart"));
    assert!(make("point", named(&["id"]), None, vec![0]).contains("has type `point`"));
    let rename = Rules { rename: BTreeMap::from([("a".into(), "b".into())]), ..Rules::default() };
    assert!(make("bigint", rename, None, vec![0]).starts_with("`columns` maps `a` to `b`"));
    let tolerance = Rules { tolerance: BTreeMap::from([("v".into(), Tolerance::Time(1))]), ..Rules::default() };
    assert!(make("bigint", tolerance, None, vec![0]).contains("must be left out"));
}

proptest! {
    /// One number written at two scales is one number, whichever side has which.
    #[test]
    fn equal_numbers_hash_alike_over_scales(
        unscaled in any::<i64>(), scale in 0usize..12, zeros in 0usize..6, leading in 0usize..3,
    ) {
        let digits = format!("{:0>width$}", unscaled.unsigned_abs(), width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if unscaled < 0 { "-" } else { "" };
        let short = format!("{sign}{whole}.{fraction}");
        let long = format!("{sign}{}{whole}.{fraction}{}", "0".repeat(leading), "0".repeat(zeros));
        for declared in ["numeric", "numeric(38,12)"] {
            let plan = plan(Dialect::Postgres, declared, &Rules::default());
            let found = relate_under(&plan, &row(dec(&short), Typing::Declared), &row(dec(&long), Typing::Declared));
            prop_assert_eq!(found, Alike);
        }
    }

    /// What Connect writes as unscaled bytes is what the target shows as text.
    #[test]
    fn unscaled_bytes_are_their_number(value in any::<i64>(), scale in 0u32..10) {
        use base64::Engine;
        let text = base64::engine::general_purpose::STANDARD.encode(value.to_be_bytes());
        let factor = 10i128.pow(scale);
        let (whole, fraction) = (i128::from(value) / factor, (i128::from(value) % factor).unsigned_abs());
        let sign = if value < 0 && whole == 0 { "-" } else { "" };
        let shown = format!("{sign}{whole}.{fraction:0>width$}", width = scale.max(1) as usize);
        let plan = plan(Dialect::Postgres, &format!("numeric(38,{scale})"), &Rules::default());
        prop_assume!(text.parse::<f64>().is_err());
        let found = relate_under(&plan, &row(Cell::text(&text), Typing::Bare), &row(dec(&shown), Typing::Declared));
        prop_assert_eq!(found, Alike);
    }

    /// A key's canonical cells make the same key again.
    #[test]
    fn keys_come_back_as_they_went_in(number in any::<i64>(), text in ".{0,12}", secs in -10_000_000_000i64..10_000_000_000) {
        let columns = vec![
            column("n", "numeric(30,4)"), column("t", "text"), column("at", "timestamp(3) without time zone"),
        ];
        let meta = table(Dialect::Postgres, columns, vec![0, 1, 2]);
        let plan = Plan::new(TableId(3), meta, &Rules::default(), None).expect("a plan");
        let cells = vec![Cell::Int(number), Cell::text(&text), Cell::Local(secs, 123_456_789)];
        let key = plan.key(&Row::new(plan.names().clone(), cells, Typing::Declared)).expect("a key");
        let again = plan.key(&Row::new(plan.names().clone(), key.cells(), Typing::Declared));
        prop_assert_eq!(again, Ok(key));
    }
}
