//! Whatever the bytes, decoding ends, says something, and quotes no values.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn reason(options: &Options, headers: &[(&[u8], Option<&[u8]>)], value: &[u8]) -> String {
    told(&decode(&mut *decoder(options), "topic", (None, Some(value)), headers))
}

#[test]
fn formats_that_are_recognised_and_not_read() {
    let guid = [[1].as_slice(), &[9; 20]].concat();
    for (value, expected) in [
        (
            &b"\x00\x00\x00\x00\x01\x02\x02"[..],
            "reject: its schema 1 is in a registry: set `decode.registry` to the address of that registry",
        ),
        (
            &guid,
            "reject: its schema 09090909-0909-0909-0909-090909090909 is in a registry: set `decode.registry` to the address of that registry",
        ),
        (b"\xf3\x89\x9a\xc2rest", "reject: an aggregate of the Kinesis Producer Library; not read by this version"),
        (b"", "reject: an empty value (neither null nor JSON); not read by this version"),
        (b"{\"a\":\"\xff\"}", "reject: neither UTF-8 text nor a known binary form: byte 6"),
        (b"{\"eventName\":\"INSERT\",\"dynamodb\":{}}", "reject: a DynamoDB stream record; not read by this version"),
        (b"[]", "reject: unexpected kind of JSON value at line 1 column 0"),
        (b"hello", "reject: not JSON: expected value at line 1 column 1"),
        (b"{\"a\":", "reject: JSON ends early, at line 1 column 5"),
        (b"null", "tombstone"),
    ] {
        assert_eq!(reason(&Options::default(), &[], value), expected);
    }
}

#[test]
fn a_declared_format_is_held_to() {
    let debezium = Options { format: Format::Debezium, ..Options::default() };
    let dms = Options { format: Format::Dms, ..Options::default() };
    let message = br#"{"data":{"id":1},"metadata":{"record-type":"data","operation":"insert","schema-name":"s","table-name":"t"}}"#;
    let envelope = br#"{"op":"c","after":{"id":1},"source":{"connector":"mysql","db":"d","table":"t"}}"#;
    assert_eq!(reason(&debezium, &[], message), "reject: a DMS record where Debezium is declared");
    assert_eq!(reason(&dms, &[], envelope), "reject: a Debezium record where DMS is declared");
    let row = br#"{"id":1,"__op":"u"}"#;
    let maxwell = br#"{"database":"d","table":"t","type":"insert","ts":1,"data":{"id":1}}"#;
    let canal = br#"{"data":[{"id":"1"}],"database":"d","table":"t","isDdl":false,"es":1,"type":"INSERT"}"#;
    for (value, own, noun) in [
        (&row[..], Format::Flattened, "a row without an envelope (a flattened Debezium record or a plain row)"),
        (maxwell, Format::Maxwell, "a Maxwell record"),
        (canal, Format::Canal, "a Canal record"),
        (message, Format::Dms, "a DMS record"),
    ] {
        for (format, title) in [(Format::Debezium, "Debezium"), (Format::Maxwell, "Maxwell"), (Format::Canal, "Canal")]
        {
            let options = Options { format, ..Options::default() };
            let told = reason(&options, &[], value);
            assert!(format == own || told == format!("reject: {noun} where {title} is declared"), "{told}");
        }
    }
    assert_eq!(reason(&dms, &[], message), "insert s.t after{id=Int(1)} Dms");
    assert_eq!(reason(&debezium, &[], envelope), "insert d.t after{id=Int(1)} Bare complete");
    let late_data = br#"{"metadata":{"record-type":"data","operation":"insert","schema-name":"s","table-name":"t"},"BI":{},"data":{"id":1}}"#;
    let early_image = br#"{"BI":{"id":2},"data":{"id":1},"metadata":{"record-type":"data","operation":"insert","schema-name":"s","table-name":"t"}}"#;
    assert_eq!(reason(&Options::default(), &[], late_data), "insert s.t after{id=Int(1)} Dms");
    assert_eq!(reason(&Options::default(), &[], early_image), "insert s.t after{id=Int(1)} Dms");
}

#[test]
fn a_record_of_a_megabyte() {
    let text = "é".repeat(600_000);
    let value =
        format!(r#"{{"op":"c","after":{{"v":"{text}"}},"source":{{"connector":"mysql","db":"d","table":"t"}}}}"#);
    let Understood::Change(change) =
        decode(&mut *decoder(&Options::default()), "t", (None, Some(value.as_bytes())), &[])
    else {
        panic!("a long value is a value");
    };
    assert_eq!(change.after.and_then(|row| row.get("v").cloned()), Some(Cell::text(&text)));
    let deep = [r#"{"op":"#, &"[".repeat(1_000_000)].concat();
    assert_eq!(reason(&Options::default(), &[], deep.as_bytes()), "reject: JSON ends early, at line 1 column 1000006");
    let deep_schema =
        [r#"{"schema":"#, &r#"{"fields":["#.repeat(5_000), &"]}".repeat(5_000), r#","payload":{}}"#].concat();
    assert!(
        reason(&Options::default(), &[], deep_schema.as_bytes())
            .starts_with("reject: debezium record: the record's schema")
    );
}

/// An envelope around one column's value.
fn around(value: &str) -> Vec<u8> {
    row(&format!(r#""id":1,"v":{value}"#))
}

fn row(columns: &str) -> Vec<u8> {
    let source = r#"{"connector":"mysql","db":"d","table":"t"}"#;
    format!(r#"{{"op":"c","after":{{{columns}}},"source":{source}}}"#).into_bytes()
}

#[test]
fn what_is_wrong_is_said_so_that_a_person_understands() {
    let nested = ["[".repeat(128), "]".repeat(128)].concat();
    let many = |count: usize, value: &str| {
        row(&(0..count).map(|index| format!(r#""c{index}":{value}"#)).collect::<Vec<_>>().join(","))
    };
    let long = row(&format!(r#""{}":1e999999"#, "n".repeat(100_000)));
    let unnamed = br#"{"data":{"id":1},"metadata":{"record-type":"data","operation":"insert","schema-name":"s"}}"#;
    let cut = format!("debezium record: column `{}… (d.t)", "n".repeat(500 - "debezium record: column `".len()));
    for (value, expected) in [
        (around("NaN"), "not JSON: expected value at line 1 column 31"),
        (around("-Infinity"), "not JSON: invalid number at line 1 column 32"),
        (around("01"), "not JSON: invalid number at line 1 column 32"),
        (around("1e999999"), "debezium record: column `v`: the number has more digits than any database holds (d.t)"),
        (around("\"\\ud800\""), "debezium record: column `v`: the value is not a text of valid Unicode (d.t)"),
        (
            around("\"a\u{1}b\""),
            "not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 32",
        ),
        (around("\"a\"} {\"b\":\"c\""), "not JSON: expected `,` or `}` at line 1 column 36"),
        (around(&nested), "debezium record: column `v`: the value is nested deeper than 127 levels (d.t)"),
        (row(r#""id":1,"id":2"#), "debezium record: the row has a column twice (d.t)"),
        (
            br#"{"op":"c","op":"d","after":{"id":1},"source":{"connector":"mysql","db":"d","table":"t"}}"#.to_vec(),
            "a field comes twice in one object, at line 1 column 88",
        ),
        (
            br#"{"op":"c","after":{"id":1},"source":{"connector":"mysql","db":"d","table":"t","table":"u"}}"#.to_vec(),
            "a field comes twice in one object, at line 1 column 85",
        ),
        (
            br#"{"op":"c","after":{"id":1},"source":{"connector":"mysql","db":"d","table":""}}"#.to_vec(),
            "debezium record: the `source` names no table",
        ),
        ([around("1"), around("1")].concat(), "not JSON: trailing characters at line 1 column 86"),
        ([&b"\xef\xbb\xbf"[..], &around("1")].concat(), "not JSON: expected value at line 1 column 1"),
        (
            around("\"\u{0}\""),
            "not JSON: control character (\\u0000-\\u001F) found while parsing a string at line 1 column 31",
        ),
        (many(4_000, "1e147455"), "debezium record: its numbers take more than 16 MiB to write (d.t)"),
        (many(20_000, "1"), "debezium record: the row has more than 5000 columns (d.t)"),
        (
            row("\"a\\u000ab\":1e999999"),
            "debezium record: column `a\u{fffd}b`: the number has more digits than any database holds (d.t)",
        ),
        (long, &cut),
        (unnamed.to_vec(), "dms record: `metadata` has no `table-name`"),
    ] {
        assert_eq!(reason(&Options::default(), &[], &value), format!("reject: {expected}"));
    }
    let rows = format!("[{}]", vec![r#"{"id":1e140000}"#; 10_000].join(","));
    let canal = format!(r#"{{"data":{rows},"database":"d","table":"t","isDdl":false,"es":1,"type":"INSERT"}}"#);
    assert_eq!(
        reason(&Options::default(), &[], canal.as_bytes()),
        "reject: canal record: its numbers take more than 16 MiB to write (d.t)"
    );
}

/// Values of every recorded row, each in turn of every wrong kind: whatever is said of it, it is not said.
#[test]
fn no_reason_quotes_a_value() {
    const SECRET: &str = "s3cr3t";
    let wrong = [json!(SECRET), json!([SECRET]), json!({ SECRET: SECRET }), json!({"scale": 1, "value": SECRET})];
    let mut rejects = 0;
    for event in recorded() {
        let Some(payload) = event.payload.as_deref().and_then(|text| serde_json::from_str::<Value>(text).ok()) else {
            continue;
        };
        let inside = if payload.get("payload").is_some() { "/payload" } else { "" };
        for image in ["before", "after"].map(|image| format!("{inside}/{image}")) {
            let columns = payload.pointer(&image).and_then(Value::as_object).into_iter().flatten();
            for (column, wrong) in columns.flat_map(|(column, _)| wrong.iter().map(move |wrong| (column, wrong))) {
                let mut spoilt = payload.clone();
                spoilt.pointer_mut(&image).expect("an image")[column] = wrong.clone();
                let told = reason(&Options::default(), &[], spoilt.to_string().as_bytes());
                if told.starts_with("reject") {
                    assert!(!told.contains(SECRET), "{told}");
                    rejects += 1;
                }
            }
        }
    }
    assert!(rejects > 100, "only {rejects} rejects");
}

fn recorded() -> Vec<Recorded> {
    let events = include_str!("../../../tests/data/debezium/events.jsonl");
    lines(events).map(|line| serde_json::from_str(line).expect("recorded lines are JSON")).collect()
}

/// Values as they may be written, right and wrong.
const WRITTEN: &[&str] = &[
    "1",
    "12",
    "-0",
    "01",
    "1.",
    "1.50",
    "1e3",
    "-1.5E-3",
    "9223372036854775808",
    "null",
    "nul",
    "true",
    "tru",
    "false",
    "\"\"",
    r#""a""#,
    r#""ab""#,
    r#""a\n\"b\\""#,
    r#""\u00e9""#,
    r#""\ud800""#,
    r#""\x""#,
    "\"a\tb\"",
    "\"é longer than what is kept inline\"",
    r#""__debezium_unavailable_value""#,
    r#"["__debezium_unavailable_value"]"#,
    "{}",
    "[]",
    "[1,2]",
    "[1,]",
    "[1 ]",
    r#"{"a":[null,"]"]}"#,
    r#"{"a":1,"a":2}"#,
    r#"{"scale":1,"value":"Dw=="}"#,
    " 1",
    "1 ",
    r#"1,"c":2"#,
    "",
];

/// One record of each format without an envelope.
const OTHERS: &[&str] = &[
    r#"{"id":1,"v":"a","n":1.5,"__op":"u","__table":"t","__lsn":5,"__deleted":"false"}"#,
    r#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"}]},"payload":{"id":1}}"#,
    r#"{"database":"d","table":"t","type":"update","ts":1,"position":"b.1:4","data":{"id":1,"v":null},"old":{"v":[1]}}"#,
    r#"{"data":[{"id":"1"},{"id":"2"}],"database":"d","es":1,"isDdl":false,"mysqlType":{"id":"int"},"old":[{"id":"0"}],"pkNames":["id"],"table":"t","type":"UPDATE"}"#,
    r#"{"specversion":"1.0","iodebeziumop":"c","iodebeziumtable":"t","data":{"before":null,"after":{"id":1}}}"#,
];

/// How the bytes of a recorded event are spoilt.
#[derive(Debug, Clone)]
pub(super) enum Damage {
    Cut(usize),
    Set(usize, u8),
    Drop(usize, usize),
    Repeat(usize, usize),
}

impl Damage {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        let length = bytes.len().max(1);
        match *self {
            Damage::Cut(at) => bytes.truncate(at % length),
            Damage::Set(at, byte) => {
                if let Some(slot) = bytes.get_mut(at % length) {
                    *slot = byte;
                }
            }
            Damage::Drop(at, count) => {
                let start = (at % length).min(bytes.len());
                bytes.drain(start..(start + count).min(bytes.len()));
            }
            Damage::Repeat(at, count) => {
                let start = (at % length).min(bytes.len());
                let copy = bytes[start..(start + count).min(bytes.len())].to_vec();
                bytes.splice(start..start, copy);
            }
        }
    }
}

pub(super) fn damage() -> impl Strategy<Value = Damage> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"{}[]\",:\\0-.eEn".to_vec())];
    prop_oneof![
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), byte).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<usize>(), 1..40usize).prop_map(|(at, count)| Damage::Drop(at, count)),
        (any::<usize>(), 1..200usize).prop_map(|(at, count)| Damage::Repeat(at, count)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(key in prop::collection::vec(any::<u8>(), 0..40), value in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut batch = Batch::default();
        batch.push((PartitionId(0), 0, None), Some(&key), Some(&value), []);
        let record = batch.records().next().expect("one record was pushed");
        let understood = decoder(&Options::default()).decode("topic", record);
        prop_assert!(matches!(understood, Ok(Understood::Reject(_))));
    }

    #[test]
    fn damaged_events(
        index in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damage(), 1..4),
        in_key in any::<bool>(),
    ) {
        let events = recorded();
        let event = &events[index.index(events.len())];
        let mut key = event.key.clone().unwrap_or_default().into_bytes();
        let mut value = event.payload.clone().unwrap_or_default().into_bytes();
        damages.iter().for_each(|damage| damage.apply(if in_key { &mut key } else { &mut value }));
        let mut batch = Batch::default();
        batch.push((PartitionId(0), 0, None), Some(&key), Some(&value), []);
        let mut decoder = decoder(&Options::default());
        event.decode(&mut *decoder);
        let first = batch.records().map(|record| told(&decoder.decode(&event.topic, record).expect("no schema is wanted"))).collect::<Vec<_>>();
        let fresh = batch.records().map(|record| {
            told(&super::decoder(&Options::default()).decode(&event.topic, record).expect("no schema is wanted"))
        });
        prop_assert_eq!(first, fresh.collect::<Vec<_>>());
    }

    #[test]
    fn damaged_records_of_other_formats(
        index in any::<prop::sample::Index>(),
        damages in prop::collection::vec(damage(), 1..4),
        before in any::<prop::sample::Index>(),
    ) {
        let mut value = index.get(OTHERS).as_bytes().to_vec();
        damages.iter().for_each(|damage| damage.apply(&mut value));
        // A null value is a delete once its topic has shown a row.
        prop_assume!(!matches!(value.trim_ascii(), b"" | b"null"));
        let mut warm = decoder(&Options::default());
        told_value(&mut *warm, OTHERS[before.index(OTHERS.len())]);
        let told_by = |decoder: &mut dyn Decoder| told(&decode(decoder, "topic", (Some("{\"id\":1}"), Some(&value)), &[]));
        let first = told_by(&mut *warm);
        prop_assert_eq!(first, told_by(&mut *decoder(&Options::default())));
    }

    #[test]
    fn a_row_reads_the_same_behind_a_row_of_its_columns(
        before in prop::collection::vec(prop::sample::select(WRITTEN), 3),
        after in prop::collection::vec((prop::sample::select(WRITTEN), 0..3u8), 3),
    ) {
        let row = |values: &[&str]| format!(r#"{{"id":{},"a":{},"b c":{}}}"#, values[0], values[1], values[2]);
        let envelope = |before: &[&str], after: &[&str]| {
            let source = r#"{"connector":"mysql","db":"d","table":"t","file":"f.1","pos":5,"ts_ms":null}"#;
            format!(r#"{{"before":{},"after":{},"source":{source},"op":"u"}}"#, row(before), row(after))
        };
        let after: Vec<&str> =
            after.iter().zip(&before).map(|((other, pick), same)| if *pick == 0 { *other } else { *same }).collect();
        let value = envelope(&before, &after);
        let mut warm = decoder(&Options::default());
        told_value(&mut *warm, &envelope(&["1", "2", "3"], &["1", "2", "4"]));
        prop_assert_eq!(told_value(&mut *warm, &value), told_value(&mut *decoder(&Options::default()), &value));
    }

    #[test]
    fn numbers_keep_their_digits(number in "-?(0|[1-9][0-9]{0,60})(\\.[0-9]{1,60})?") {
        let value = format!(r#"{{"op":"c","after":{{"v":{number}}},"source":{{"connector":"mysql","db":"d","table":"t"}}}}"#);
        let told = told_value(&mut *decoder(&Options::default()), &value);
        let exact = [format!("v=Decimal(\"{number}\")"), format!("v=Int({number})"), format!("v=Int({})", number.trim_start_matches('-'))];
        prop_assert!(exact.iter().any(|cell| told.contains(cell)), "{told}");
    }
}
