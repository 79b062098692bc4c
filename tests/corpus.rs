//! Real events, and what a real sink made of them: the decoder's cells and the target's cells of one value must be one
//! value, and where the sink altered a value that must show.
//!
//! `tests/data/canon/pairs.jsonl` was captured from Debezium 3.5.0 and its JDBC sink over PostgreSQL 15 and MariaDB 10.11:
//! the field of an event with its Connect schema, and the text that the target's column then showed (intervals as ISO 8601,
//! bits as digits). `altered` marks the values that the sink is known to change on the way: not-a-number and infinities,
//! fractions of a second in intervals, nulls in hstores, and the order of bytes in long bits.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use afterimage::canon::{Compared, Plan, Rules};
use afterimage::decode::{self, Understood};
use afterimage::model::calendar::{infinity, parse_date, parse_moment, parse_time};
use afterimage::model::{Batch, Cell, ColumnMeta, Columns, Dialect, PartitionId, Row, TableId, TableMeta, Typing};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

const PAIRS: &str = include_str!("data/canon/pairs.jsonl");

/// What `tests/it/values.rs` proves of each type, with the real connectors.
const FAMILIES: &str = include_str!("data/canon/families.json");

#[derive(Deserialize)]
struct Pair<'a> {
    dialect: &'a str,
    #[serde(rename = "type")]
    declared: String,
    schema: Value,
    #[serde(borrow)]
    event: &'a RawValue,
    text: Option<String>,
    #[serde(default)]
    altered: bool,
}

#[derive(Debug, PartialEq, Eq, Clone, Copy)]
enum Relation {
    Alike,
    Near,
    Open,
    Apart,
}

impl Pair<'_> {
    fn dialect(&self) -> Dialect {
        match self.dialect {
            "mysql" => Dialect::Mysql,
            _ => Dialect::Postgres,
        }
    }

    fn plan(&self) -> Plan {
        plan(self.dialect(), &self.declared)
    }

    /// The event's row, as the decoder understands a record that carries the field, with or without its schema.
    fn expected(&self, schemas: bool) -> Row<'static> {
        let payload = format!(
            r#"{{"before":null,"after":{{"id":1,"v":{}}},"source":{{"version":"3.5.0.Final","connector":"postgresql","name":"p",
            "ts_ms":1,"snapshot":"false","db":"d","schema":"s","table":"t","lsn":1}},"op":"c","ts_ms":1}}"#,
            self.event.get()
        );
        let record = if schemas { self.with_schema(&payload) } else { payload };
        let mut batch = Batch::default();
        batch.push((PartitionId(0), 0, None), Some(br#"{"id":1}"#), Some(record.as_bytes()), []);
        let record = batch.records().next().expect("one record was pushed");
        let mut decoder = decode::decoder(&decode::Options::default());
        match decoder.decode("p.s.t", record).expect("no schema is wanted") {
            Understood::Change(change) => change.after.expect("an insert has a row").into_owned(),
            other @ (Understood::KeyChange(_)
            | Understood::Changes(_)
            | Understood::Tombstone
            | Understood::Control(_)
            | Understood::Reject(_)) => {
                panic!("{other:?}: {}", self.event.get())
            }
        }
    }

    fn with_schema(&self, payload: &str) -> String {
        let mut value = self.schema.clone();
        value["field"] = json!("v");
        let id = json!({"type": "int64", "optional": false, "field": "id"});
        let row = |field: &str| json!({"type": "struct", "optional": true, "name": "p.s.t.Value", "field": field, "fields": [id, value]});
        let text = |field: &str| json!({"type": "string", "optional": true, "field": field});
        let number = |field: &str| json!({"type": "int64", "optional": true, "field": field});
        let source = json!({"type": "struct", "optional": false, "name": "io.debezium.connector.postgresql.Source",
            "field": "source", "fields": [text("version"), text("connector"), text("name"), number("ts_ms"),
            text("snapshot"), text("db"), text("schema"), text("table"), number("lsn")]});
        let schema = json!({"type": "struct", "optional": false, "name": "p.s.t.Envelope", "version": 2,
            "fields": [row("before"), row("after"), source, text("op"), number("ts_ms")]});
        format!(r#"{{"schema":{schema},"payload":{payload}}}"#)
    }

    /// The target's row, from the text that the column showed, as the adapter reads that column.
    fn observed(&self) -> Row<'static> {
        let cell = self.text.as_deref().map_or(Cell::Null, |text| observed(self.dialect(), &self.declared, text));
        Row::new(Arc::new(Columns::new(["id", "v"])), vec![Cell::Int(1), cell], Typing::Declared)
    }

    fn relation(&self, schemas: bool) -> Relation {
        let (plan, expected, observed) = (self.plan(), self.expected(schemas), self.observed());
        let reduced = plan.expect(&plan.bind(&expected.columns, expected.typing), &expected);
        let alike = plan.observe(&observed).sum(&reduced.mask) == reduced.fingerprint;
        let outcome = plan.differ(&expected, &observed).into_iter().find(|found| &*found.name == "v");
        match outcome.map(|found| found.outcome) {
            None | Some(Compared::Incomparable) => Relation::Open,
            Some(Compared::Different) => Relation::Apart,
            Some(Compared::Equal) if alike => Relation::Alike,
            Some(Compared::Equal) => Relation::Near,
        }
    }

    fn told(&self) -> String {
        format!("{} {} {} | {} | {:?}", self.dialect, self.declared, self.schema, self.event.get(), self.text)
    }
}

/// Of a table with the column `v`.
fn plan(dialect: Dialect, declared: &str) -> Plan {
    let column = |name: &str, declared: &str| ColumnMeta {
        name: name.into(),
        declared: declared.into(),
        nullable: true,
        collation: None,
        number: 0,
    };
    let meta = TableMeta {
        dialect,
        schema: "s".into(),
        name: "t".into(),
        columns: vec![column("id", "bigint"), column("v", declared)],
        primary_key: vec![0],
        unique: Vec::new(),
    };
    Plan::new(TableId(0), Arc::new(meta), &Rules::default(), None).expect("a plan")
}

fn observed(dialect: Dialect, declared: &str, text: &str) -> Cell<'static> {
    let words: Vec<&str> = declared.split(|at: char| !at.is_ascii_alphanumeric()).collect();
    let local =
        |text: &str| parse_moment(text).map(|at| (at.local_secs - i64::from(at.offset_secs.unwrap_or(0)), at.nanos));
    let far = infinity(text).map(Cell::Infinity);
    if declared.ends_with("[]") || matches!((declared, dialect), ("interval", _) | ("point", Dialect::Mysql)) {
        return Cell::Opaque(Box::new((declared.to_owned(), text.to_owned())));
    }
    match (words[0], dialect) {
        ("smallint" | "integer" | "bigint" | "oid" | "int" | "tinyint" | "mediumint" | "year", _) => {
            text.parse().map_or_else(|_| Cell::Decimal(text.to_owned().into()), Cell::Int)
        }
        ("numeric" | "decimal", _) => Cell::Decimal(text.to_owned().into()),
        ("money", _) => Cell::Decimal(text.replace(['$', ','], "").into()),
        ("real" | "float", _) => Cell::Float32(text.parse().expect("a float")),
        ("double", _) => Cell::Float64(text.parse().expect("a double")),
        ("boolean", _) => Cell::Bool(text == "true"),
        ("bit", _) if declared == "bit(1)" => Cell::Bool(text == "1" || text == "01"),
        ("bytea", _) => Cell::Bytes(hex(text.trim_start_matches("\\x"))),
        ("binary" | "varbinary" | "blob" | "longblob", _) => Cell::Bytes(hex(text)),
        ("date", _) => far.unwrap_or_else(|| Cell::Date(parse_date(text).expect("a date"))),
        ("time", _) => {
            let (nanos, offset) = parse_time(text).expect("a time");
            Cell::Time(nanos - i64::from(offset.unwrap_or(0)) * 1_000_000_000)
        }
        ("timestamp", Dialect::Postgres) if words.contains(&"without") => {
            far.unwrap_or_else(|| local(text).map(|(secs, nanos)| Cell::Local(secs, nanos)).expect("a timestamp"))
        }
        ("timestamp", _) => {
            far.unwrap_or_else(|| local(text).map(|(secs, nanos)| Cell::Instant(secs, nanos)).expect("a moment"))
        }
        ("datetime", _) => local(text).map(|(secs, nanos)| Cell::Local(secs, nanos)).expect("a datetime"),
        ("uuid", _) => Cell::Uuid(hex(&text.replace('-', ""))[..].try_into().expect("16 bytes")),
        ("json" | "jsonb", _) => Cell::Json(text.to_owned().into()),
        _ => Cell::Text(text.to_owned().into()),
    }
}

fn hex(text: &str) -> Box<[u8]> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal digits"))
        .collect()
}

fn pairs() -> impl Iterator<Item = Pair<'static>> {
    PAIRS.lines().map(|line| serde_json::from_str(line).expect("a pair"))
}

#[test]
fn what_the_sink_carried_is_found_equal_and_what_it_altered_is_not() {
    let mut slow = Vec::new();
    for pair in pairs() {
        match (pair.relation(true), pair.altered) {
            (Relation::Apart, true) | (Relation::Alike, false) => {}
            (Relation::Near, false) => slow.push(pair.told()),
            (relation, altered) => panic!("{relation:?}, altered: {altered}: {}", pair.told()),
        }
    }
    assert!(slow.is_empty(), "the fingerprint should have told:\n{}", slow.join("\n"));
}

#[test]
fn plain_json_never_makes_an_unaltered_value_different() {
    let mut open = 0;
    let mut told = 0;
    for pair in pairs().filter(|pair| !pair.altered) {
        match pair.relation(false) {
            Relation::Apart => panic!("{}", pair.told()),
            Relation::Open => open += 1,
            Relation::Alike | Relation::Near => told += 1,
        }
    }
    assert!(told > 20 * open, "{open} of {} values were left open", open + told);
}

/// What is said of every type, in one place.
const COVERAGE: &str = "src/canon/coverage.md";

#[derive(Deserialize)]
struct Families {
    postgres: BTreeMap<String, Vec<Column>>,
    mariadb: BTreeMap<String, Vec<Column>>,
    /// Compared, and not written by this sink.
    beyond_the_sink: BTreeMap<String, Vec<String>>,
    /// Not compared.
    unknown: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
struct Column {
    #[serde(rename = "type")]
    declared: String,
    /// The name for readers, where the declared one is only of the test.
    shown: Option<String>,
    /// What two values may differ in and still be called equal.
    #[serde(default)]
    loses: String,
    /// What the connectors make another value of.
    #[serde(default)]
    alters: String,
}

/// The table of one engine's types.
fn types(families: &BTreeMap<String, Vec<Column>>) -> String {
    let mut rows: BTreeMap<&str, [BTreeSet<&str>; 2]> = BTreeMap::new();
    for column in families.values().flatten() {
        let [loses, alters] = rows.entry(column.shown.as_ref().unwrap_or(&column.declared)).or_default();
        loses.extend(Some(&*column.loses).filter(|text| !text.is_empty()));
        alters.extend(Some(&*column.alters).filter(|text| !text.is_empty()));
    }
    let mut text = String::from("| type | compared | what the connectors do to it |\n|---|---|---|\n");
    for (declared, [loses, alters]) in rows {
        let listed = |texts: BTreeSet<&str>| texts.into_iter().collect::<Vec<_>>().join("; ");
        let how = if loses.is_empty() { "exactly".to_owned() } else { format!("but for {}", listed(loses)) };
        text += &format!("| `{declared}` | {how} | {} |\n", listed(alters));
    }
    text
}

/// The table of what the corpus has: each encoding of the connectors beside each type that a sink wrote it to.
fn encodings() -> String {
    let mut rows: BTreeMap<(String, String), [usize; 2]> = BTreeMap::new();
    for pair in pairs() {
        let sent = pair.schema["name"].as_str().or(pair.schema["type"].as_str()).unwrap_or_default();
        let engine = if pair.dialect == "mysql" { "MariaDB" } else { "PostgreSQL" };
        let counts = rows.entry((sent.to_owned(), format!("{engine} `{}`", pair.declared))).or_default();
        match pair.relation(true) {
            Relation::Alike => counts[0] += 1,
            Relation::Apart => counts[1] += 1,
            Relation::Near | Relation::Open => {}
        }
    }
    let mut text = String::from("| sent as | into | equal | altered and found |\n|---|---|---|---|\n");
    for ((sent, into), [alike, apart]) in rows {
        text += &format!("| `{sent}` | {into} | {alike} | {apart} |\n");
    }
    text
}

fn coverage() -> String {
    let families: Families = serde_json::from_str(FAMILIES).expect("the families are JSON");
    let listed = |lists: &BTreeMap<String, Vec<String>>, engine: &str| {
        lists[engine].iter().map(|declared| format!("`{declared}`")).collect::<Vec<_>>().join(", ")
    };
    let of_engine = |name: &str, engine: &str, own| {
        format!(
            "### {name}\n\n{}\nCompared too, though Debezium's JDBC sink does not write them: {}. Not compared, and said so: {}.\n\n",
            types(own),
            listed(&families.beyond_the_sink, engine),
            listed(&families.unknown, engine),
        )
    };
    [
        "## Which types are compared, and how\n\n",
        "Measured with Debezium 3.5.0 and its JDBC sink, PostgreSQL 15 and MariaDB 10.11, each type into the same type: in JSON \
         with and without schemas and in Avro, with decimals precise, as text and as doubles, times adaptive and as Connect's, bytes as such, in base64 \
         and in hexadecimal. For each, the smallest step of its values was found. The last column is what these connectors \
         make another value of, or stop at: a row with an altered value is a finding, and a true one.\n\n",
        &of_engine("PostgreSQL", "postgres", &families.postgres),
        &of_engine("MariaDB", "mariadb", &families.mariadb),
        "### One type into another\n\nValues of the corpus by what the connector sent and what the sink wrote it to.\n\n",
        &encodings(),
    ]
    .concat()
}

#[test]
fn what_is_said_of_every_type_is_what_tests_have_found() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(COVERAGE);
    if std::env::var_os("UPDATE_COVERAGE").is_some() {
        fs::write(&path, coverage()).expect("the file can be written");
        return;
    }
    let committed = fs::read_to_string(&path).expect("it is committed");
    assert!(committed == coverage(), "{COVERAGE} is out of date: run `UPDATE_COVERAGE=1 cargo test --test corpus`");
}

#[test]
fn types_are_compared_as_the_table_says() {
    let families: Families = serde_json::from_str(FAMILIES).expect("the families are JSON");
    for (engine, dialect) in [("postgres", Dialect::Postgres), ("mariadb", Dialect::Mysql)] {
        for declared in &families.beyond_the_sink[engine] {
            assert_eq!(plan(dialect, declared).not_compared(), [], "{declared}");
        }
        for declared in &families.unknown[engine] {
            assert_eq!(plan(dialect, declared).not_compared().len(), 1, "{declared}");
        }
    }
}
