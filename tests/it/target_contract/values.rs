//! Every covered type, written by SQL and read back: the cells are right, and expected values of the same meaning have
//! the same fingerprint.

use afterimage::canon::{Plan, Rules};
use afterimage::model::{Cell, Row, TableId, Typing};

use super::bench::{Bench, Engine};
use super::{ask, cells, describe};

/// Declared type, SQL literal, what is read.
type Written = (&'static str, &'static str, Cell<'static>);

fn dec(text: &'static str) -> Cell<'static> {
    Cell::Decimal(text.into())
}

fn json(text: &'static str) -> Cell<'static> {
    Cell::Json(text.into())
}

fn opaque(declared: &str, text: &str) -> Cell<'static> {
    Cell::Opaque(Box::new((declared.to_owned(), text.to_owned())))
}

const NOON: i64 = 1_709_210_096;
const UUID: [u8; 16] = [0xa0, 0xee, 0xbc, 0x99, 0x9c, 0x0b, 0x4e, 0xf8, 0xbb, 0x6d, 0x6b, 0xb9, 0xbd, 0x38, 0x0a, 0x11];

fn postgres() -> Vec<Written> {
    vec![
        ("smallint", "-32768", Cell::Int(-32_768)),
        ("integer", "2147483647", Cell::Int(2_147_483_647)),
        ("bigint", "-9223372036854775808", Cell::Int(i64::MIN)),
        ("oid", "4294967295", Cell::Int(4_294_967_295)),
        ("numeric(10,2)", "-12345678.9", dec("-12345678.90")),
        ("numeric", "123456789012345678901234567890.10", dec("123456789012345678901234567890.10")),
        ("numeric", "'NaN'", dec("NaN")),
        ("numeric", "'-Infinity'", dec("-Infinity")),
        ("money", "-12.34", dec("-12.34")),
        ("real", "0.1", Cell::Float32(0.1)),
        ("real", "'-Infinity'", Cell::Float32(f32::NEG_INFINITY)),
        ("double precision", "1e308", Cell::Float64(1e308)),
        ("boolean", "true", Cell::Bool(true)),
        ("bit(1)", "B'0'", Cell::Bool(false)),
        ("text", "'ü ☃'", Cell::text("ü ☃")),
        ("varchar(10)", "'trail  '", Cell::text("trail  ")),
        ("char(8)", "'abc'", Cell::text("abc     ")),
        ("tc_mood", "'sad'", Cell::text("sad")),
        ("tc_positive", "7", Cell::Int(7)),
        ("bytea", "'\\x00ff10'", Cell::Bytes([0, 255, 16].into())),
        ("date", "'2024-02-29'", Cell::Date(19_782)),
        ("date", "'infinity'", Cell::Infinity(1)),
        ("date", "'0044-03-15 BC'", Cell::Date(-735_160)),
        ("time", "'24:00:00'", Cell::Time(86_400_000_000_000)),
        ("time(6)", "'12:34:56.789012'", Cell::Time(45_296_789_012_000)),
        ("timetz", "'01:04:56.5+02'", Cell::Time(83_096_500_000_000)),
        ("timestamp", "'2024-02-29 12:34:56.789012'", Cell::Local(NOON, 789_012_000)),
        ("timestamp(3)", "'1969-12-31 23:59:59.999'", Cell::Local(-1, 999_000_000)),
        ("timestamp", "'-infinity'", Cell::Infinity(-1)),
        ("timestamptz", "'2024-02-29 14:34:56+02'", Cell::Instant(NOON, 0)),
        ("timestamptz", "'294276-12-31 23:59:59+00'", Cell::Instant(9_224_318_015_999, 0)),
        ("uuid", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'", Cell::Uuid(UUID)),
        ("json", "'{\"b\": 1,  \"a\":[1,2.50]}'", json("{\"b\": 1,  \"a\":[1,2.50]}")),
        ("jsonb", "'{\"b\": 1,  \"a\":[1,2.50]}'", json("{\"a\": [1, 2.50], \"b\": 1}")),
        ("inet", "'10.1.2.3'", Cell::text("10.1.2.3/32")),
        ("cidr", "'::/0'", Cell::text("::/0")),
        ("macaddr", "'08-00-2B-01-02-03'", Cell::text("08:00:2b:01:02:03")),
        ("macaddr8", "'08:00:2b:01:02:03:04:05'", Cell::text("08:00:2b:01:02:03:04:05")),
        ("xml", "'<a b=\"1\">x</a>'", Cell::text("<a b=\"1\">x</a>")),
        ("tsvector", "'a cat'", Cell::text("'a' 'cat'")),
        ("\"char\"", "'x'", Cell::text("x")),
        ("name", "'n'", Cell::text("n")),
        ("citext", "'Mixed'", Cell::text("Mixed")),
        ("ltree", "'a.b'", Cell::text("a.b")),
        ("hstore", "'a=>1,b=>NULL'", Cell::text("\"a\"=>\"1\", \"b\"=>NULL")),
        ("bit(20)", "B'00000000000000000101'", Cell::text("00000000000000000101")),
        ("varbit(16)", "B'101'", Cell::text("101")),
        ("point", "'(1.5,-2.25)'", Cell::text("(1.5,-2.25)")),
        ("int4range", "'(1,10]'", Cell::text("[2,11)")),
        ("tstzrange", "'[2024-01-01 02:00+02,)'", Cell::text("[\"2024-01-01 00:00:00+00\",)")),
        ("interval", "'1 year 2 mons 3 days 04:05:06.789'", opaque("interval", "P1Y2M3DT4H5M6.789S")),
        ("interval", "'-1 mons +2 days -00:00:00.5'", opaque("interval", "P0Y-1M2DT0H0M-0.5S")),
        ("interval day to second(3)", "'-1 day'", opaque("interval day to second(3)", "P0Y0M-1DT0H0M0S")),
        ("integer[]", "'{1,2}'", opaque("integer[]", "{1,2}")),
        ("tc_mood[]", "'{sad,NULL}'", opaque("enum(tc_mood)[]", "{sad,NULL}")),
        ("box", "'(1,1),(0,0)'", opaque("box", "(1,1),(0,0)")),
    ]
}

/// Without `inet4` and `inet6`, which kill Debezium's connector on the whole server: its parser does not know them.
fn mariadb() -> Vec<Written> {
    vec![
        ("tinyint(1)", "1", Cell::Int(1)),
        ("tinyint", "-128", Cell::Int(-128)),
        ("tinyint unsigned", "255", Cell::Int(255)),
        ("smallint", "-32768", Cell::Int(-32_768)),
        ("mediumint", "-8388608", Cell::Int(-8_388_608)),
        ("mediumint unsigned", "16777215", Cell::Int(16_777_215)),
        ("int", "-2147483648", Cell::Int(-2_147_483_648)),
        ("int(6) unsigned zerofill", "42", Cell::Int(42)),
        ("bigint", "-9223372036854775808", Cell::Int(i64::MIN)),
        ("bigint unsigned", "18446744073709551615", dec("18446744073709551615")),
        ("decimal(10,2)", "-12345678.9", dec("-12345678.90")),
        ("float", "0.1", Cell::Float32(0.1)),
        ("double", "1e308", Cell::Float64(1e308)),
        ("bit(1)", "b'1'", Cell::Bool(true)),
        ("char(8)", "'abc'", Cell::text("abc")),
        ("varchar(10)", "'trail  '", Cell::text("trail  ")),
        ("varchar(10) CHARACTER SET latin1", "'naïve'", Cell::text("naïve")),
        ("text", "'ü ☃ 𝄞'", Cell::text("ü ☃ 𝄞")),
        ("varchar(10) COLLATE utf8mb4_bin", "'Bin'", Cell::text("Bin")),
        ("enum('x','Y') COLLATE utf8mb4_bin", "'Y'", Cell::text("Y")),
        ("enum('a','ü')", "'ü'", Cell::text("ü")),
        ("set('a','b','c')", "'c,a'", Cell::text("a,c")),
        ("binary(4)", "x'01'", Cell::Bytes([1, 0, 0, 0].into())),
        ("varbinary(20)", "x'00ff10'", Cell::Bytes([0, 255, 16].into())),
        ("blob", "x'00ff10'", Cell::Bytes([0, 255, 16].into())),
        ("date", "'2024-02-29'", Cell::Date(19_782)),
        ("time", "'-12:34:56'", Cell::Time(-45_296_000_000_000)),
        ("time(6)", "'838:59:58.999999'", Cell::Time(3_020_398_999_999_000)),
        ("datetime", "'2024-02-29 12:34:56'", Cell::Local(NOON, 0)),
        ("datetime(6)", "'9999-12-31 23:59:59.999999'", Cell::Local(253_402_300_799, 999_999_000)),
        ("timestamp(6) NULL", "'2024-02-29 12:34:56.789012'", Cell::Instant(NOON, 789_012_000)),
        ("year", "2155", Cell::Int(2_155)),
        ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", Cell::Uuid(UUID)),
        ("json", "'{\"b\": 1,  \"a\":[1,2.50]}'", Cell::text("{\"b\": 1,  \"a\":[1,2.50]}")),
        ("bit(20)", "b'101'", Cell::text("00000000000000000101")),
        ("point", "ST_GeomFromText('POINT(1.5 -2.25)')", opaque("point", POINT)),
    ]
}

fn sqlite() -> Vec<Written> {
    vec![
        ("integer", "-9223372036854775808", Cell::Int(i64::MIN)),
        ("real", "0.1", Cell::Float64(0.1)),
        ("text", "'ü ☃ 𝄞'", Cell::text("ü ☃ 𝄞")),
        ("blob", "x'00ff10'", Cell::Bytes([0, 255, 16].into())),
        ("decimal(10,2)", "'1.50'", Cell::Float64(1.5)),
        ("varchar(10)", "'trail  '", Cell::text("trail  ")),
        ("datetime", "'2024-02-29 12:34:56'", Cell::text("2024-02-29 12:34:56")),
        ("boolean", "1", Cell::Int(1)),
        ("integer", "'no number'", Cell::text("no number")),
    ]
}

const OWN_TYPES: &str = "
CREATE EXTENSION hstore; CREATE EXTENSION ltree; CREATE EXTENSION citext;
CREATE TYPE tc_mood AS ENUM ('sad', 'ok');
CREATE DOMAIN tc_positive AS integer CHECK (VALUE > 0);
";

/// A point's reference system, 0, and its well-known binary.
const POINT: &str = "000000000101000000000000000000F83F00000000000002C0";

/// One row that holds every value, and one that holds NULLs.
async fn reads_back(engine: Engine, prepare: &str, written: Vec<Written>) {
    let bench = Bench::shared(engine, "reads_back").await;
    if !prepare.is_empty() {
        bench.execute(prepare).await;
    }
    let columns: Vec<String> =
        written.iter().enumerate().map(|(at, (declared, ..))| format!("c{at} {declared}")).collect();
    let values: Vec<&str> = written.iter().map(|(_, literal, _)| *literal).collect();
    bench.execute(&format!("CREATE TABLE all_types (id integer PRIMARY KEY, {})", columns.join(", "))).await;
    bench.execute(&format!("INSERT INTO all_types VALUES (1, {})", values.join(", "))).await;
    bench.execute("INSERT INTO all_types (id) VALUES (2)").await;

    let target = bench.target().await;
    let meta = describe(&target, "all_types").await;
    let answer = target.lookup(&ask(&meta, vec![vec![Cell::Int(1)], vec![Cell::Int(2)]])).await.expect("an answer");
    let found = cells(&answer);
    for (at, (declared, literal, expected)) in written.iter().enumerate() {
        assert_eq!(found[0][0][at + 1], *expected, "{declared} {literal}");
        assert_eq!(found[1][0][at + 1], Cell::Null, "{declared}");
    }

    let plan = Plan::new(TableId(0), meta.clone(), &Rules::default(), None).expect("a plan");
    let observed = &answer[0][0];
    let expected = Row::new(observed.columns.clone(), observed.cells.to_vec(), Typing::Declared);
    let reduced = plan.expect(&plan.bind(&expected.columns, expected.typing), &expected);
    assert_eq!(plan.observe(observed).sum(&reduced.mask), reduced.fingerprint);
    let left_out = plan.not_compared().iter();
    let left_out: Vec<&str> = left_out.filter_map(|left| left.why.split('`').nth(1)).collect();
    let expected: Vec<&str> = written.iter().map(|(declared, ..)| *declared).filter(|one| *one == "box").collect();
    assert_eq!(left_out, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_values_are_read_as_written() {
    reads_back(Engine::Postgres, OWN_TYPES, postgres()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_values_are_read_as_written() {
    reads_back(Engine::MariaDb, "", mariadb()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_values_are_read_as_written() {
    reads_back(Engine::Sqlite, "", sqlite()).await;
}

/// A row is found by its own canonical key, whatever the key's type.
async fn found_by_key(engine: Engine, prepare: &str, written: Vec<Written>) {
    let bench = Bench::shared(engine, "found_by_key").await;
    if !prepare.is_empty() {
        bench.execute(prepare).await;
    }
    let target = bench.target().await;
    for (at, (declared, literal, _)) in written.iter().enumerate() {
        let table = format!("k{at}");
        bench.execute(&format!("CREATE TABLE {table} (k {declared} NOT NULL, id integer NOT NULL)")).await;
        bench.execute(&format!("INSERT INTO {table} VALUES ({literal}, 1)")).await;
        let meta = describe(&target, &table).await;
        let rules = Rules { key: vec!["k".into(), "id".into()], ..Rules::default() };
        let Ok(plan) = Plan::new(TableId(0), meta.clone(), &rules, None) else { continue };
        let by_id = super::ask_by(&meta, vec![1], vec![vec![Cell::Int(1)]]);
        let row = target.lookup(&by_id).await.expect("an answer").remove(0).remove(0);
        let Ok(key) = plan.observed_key(&row) else { continue };
        let by_key = super::ask_by(&meta, vec![0, 1], vec![key.cells()]);
        let answer = target.lookup(&by_key).await.expect("an answer");
        assert_eq!(answer[0].len(), 1, "{declared} {literal}: {:?}", key.cells());
        assert_eq!(plan.observed_key(&answer[0][0]), Ok(key), "{declared} {literal}");
    }
}

fn can_be_keys(written: Vec<Written>) -> Vec<Written> {
    written.into_iter().filter(|(_, _, cell)| !matches!(cell, Cell::Json(_) | Cell::Opaque(_))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_rows_are_found_by_keys_of_any_type() {
    found_by_key(Engine::Postgres, OWN_TYPES, can_be_keys(postgres())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_rows_are_found_by_keys_of_any_type() {
    found_by_key(Engine::MariaDb, "", can_be_keys(mariadb())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_rows_are_found_by_keys_of_any_type() {
    found_by_key(Engine::Sqlite, "", can_be_keys(sqlite())).await;
}
