//! Rules of Debezium envelopes that no recorded event shows.

use super::*;

const PG: &str = r#""source":{"connector":"postgresql","schema":"public","table":"t","db":"app","ts_ms":5,"lsn":16,"snapshot":"false"}"#;
const MY: &str = r#""source":{"connector":"mysql","table":"t","db":"app","ts_ms":5,"file":"b.2","pos":7,"row":0}"#;

fn check(key: Option<&str>, value: &str, expected: &str) {
    let understood = decode(&mut *decoder(&Options::default()), "topic", (key, Some(value.as_bytes())), &[]);
    assert_eq!(told(&understood), expected, "{value}");
}

#[test]
fn envelopes_without_schemas() {
    let place = "at=5 source=0/10 order=16";
    for (key, value, expected) in [
        (Some(r#"{"id":1}"#), format!(r#"{{"op":"C","after":{{"id":1,"big":12345678901234567890,"d":1.10,"n":null,"b":true}},{PG}}}"#),
            format!(r#"insert public.t key{{id=Int(1)}} after{{id=Int(1) big=Decimal("12345678901234567890") d=Decimal("1.10") n=Null b=Bool(true)}} Bare {place} complete"#)),
        (None, format!(r#"{{"op":"u","before":{{"id":1,"v":2}},"after":{{"id":1,"v":3}},{PG}}}"#),
            format!("update public.t after{{id=Int(1) v=Int(3)}} before{{id=Int(1) v=Int(2)}} Bare {place} complete")),
        (Some(r#"{"id":1}"#), format!(r#"{{"op":"u","before":{{"id":0,"v":2}},"after":{{"id":1,"v":3}},{PG}}}"#),
            format!("update public.t key{{id=Int(1)}} after{{id=Int(1) v=Int(3)}} Bare {place} complete")),
        (Some(r#"{"id":1}"#), format!(r#"{{"op":"d","before":{{"id":1,"v":0}},"after":null,{PG}}}"#),
            format!("delete public.t key{{id=Int(1)}} Bare {place}")),
        (Some(r#"{"id":1}"#), format!(r#"{{"op":"d","before":{{"id":1,"v":0}},"after":null,{MY}}}"#),
            "delete app.t key{id=Int(1)} before{id=Int(1) v=Int(0)} Bare at=5 source=b.2:7 order=2199023255559".to_owned()),
        (Some(r#"{"__dbz__physicalTableIdentifier":"x","id":1}"#), format!(r#"{{"op":"r","after":{{"id":1}},{MY}}}"#),
            "read app.t key{id=Int(1)} after{id=Int(1)} Bare at=5 source=b.2:7 order=2199023255559 complete".to_owned()),
        (Some("42"), format!(r#"{{"op":"c","after":{{"id":1}},{MY}}}"#),
            "insert app.t after{id=Int(1)} Bare at=5 source=b.2:7 order=2199023255559 complete".to_owned()),
        (None, r#"{"op":"c","after":{"id":1},"source":{"connector":"oracle","schema":"S","table":"T","ts_ms":7,"commit_scn":"9"}}"#.to_owned(),
            "insert S.T after{id=Int(1)} Bare at=7 source=9 order=9 complete".to_owned()),
        (None, r#"{"schema":null,"payload":null}"#.to_owned(), "tombstone".to_owned()),
    ] {
        check(key, &value, &expected);
    }
}

#[test]
fn what_was_read_of_a_broken_envelope_is_forgotten() {
    let field = |name: &str, fields: &str| format!(r#"{{"type":"struct","field":"{name}","fields":[{fields}]}}"#);
    let id = r#"{"type":"int32","field":"id"}"#;
    let op = r#"{"type":"string","field":"op"}"#;
    let schema = format!(r#"{{"type":"struct","fields":[{},{op},{}]}}"#, field("after", id), field("source", ""));
    let payload = format!(r#"{{"after":{{"id":1}},{PG},"op":"c"}}"#);
    let spaced = format!(r#"{{"schema":{schema},"payload":{}}}"#, payload.replace("\"after\":", "\"after\": "));
    let more = format!(r#"{{"schema":{schema},"payload":{payload},"more":1}}"#);
    let mut warm = decoder(&Options::default());
    assert!(told_value(&mut *warm, &spaced).starts_with("insert public.t"));
    assert_eq!(told_value(&mut *warm, &more), told_value(&mut *decoder(&Options::default()), &more));
}

#[test]
fn tables_that_share_a_topic_do_not_mix() {
    let source =
        |table: &str| format!(r#""source":{{"connector":"postgresql","schema":"s","table":"{table}","lsn":16}}"#);
    let rows = [
        ("a", r#"{"id":1,"table":"b","n":1}"#),
        ("b", r#"{"id":1,"v":"x"}"#),
        ("b", r#"{"v":"\"table\":\"a\"","id":2}"#),
        ("c", r#"{"table":"a","id":3}"#),
        ("a", r#"{"id":2,"table":"a","n":null}"#),
    ];
    let mut warm = decoder(&Options::default());
    for (table, row) in rows.iter().cycle().take(20) {
        for value in [
            format!(r#"{{"before":null,"after":{row},{},"op":"c"}}"#, source(table)),
            format!(r#"{{{},"op":"u","before":{row},"after":{row}}}"#, source(table)),
        ] {
            let fresh = told_value(&mut *decoder(&Options::default()), &value);
            assert_eq!(told_value(&mut *warm, &value), fresh, "{value}");
            assert!(fresh.contains(&format!("s.{table} ")), "{fresh}");
        }
    }
}

#[test]
fn broken_envelopes() {
    for (value, expected) in [
        (
            format!(r#"{{"op":"x","after":{{}},{PG}}}"#),
            "reject: debezium record: unknown `op` (expected one of c, u, d, r, t, m) (public.t)",
        ),
        (format!(r#"{{"op":"u","after":null,{PG}}}"#), "reject: debezium record: an update without `after` (public.t)"),
        (
            format!(r#"{{"op":"d","after":{{"id":1}},{PG}}}"#),
            "reject: debezium record: a delete with `after` (public.t)",
        ),
        (
            format!(r#"{{"op":"c","after":{{"id":1,"id":2}},{PG}}}"#),
            "reject: debezium record: the row has a column twice (public.t)",
        ),
        (
            format!(r#"{{"op":"c","after":{{"v":"\ud800"}},{PG}}}"#),
            "reject: debezium record: column `v`: the value is not a text of valid Unicode (public.t)",
        ),
        (
            format!(r#"{{"op":"c","after":{{"v":{}{}}},{PG}}}"#, "[".repeat(200), "]".repeat(200)),
            "reject: debezium record: column `v`: the value is nested deeper than 127 levels (public.t)",
        ),
        (format!(r#"{{"op":"c","after":{{"v":NaN}},{PG}}}"#), "reject: not JSON: expected value at line 1 column 24"),
        (format!(r#"{{"op":"c","after":"secret",{PG}}}"#), "reject: unexpected kind of JSON value at line 1 column 26"),
        (
            r#"{"op":"c","after":{},"source":{"connector":"mysql","db":"d"}}"#.to_owned(),
            "reject: debezium record: the `source` names no table",
        ),
        (
            format!(r#"{{"op":"c","op":"d","after":{{}},{PG}}}"#),
            "reject: a field comes twice in one object, at line 1 column 145",
        ),
        (
            r#"{"schema":{"type":5},"payload":{}}"#.to_owned(),
            "reject: debezium record: the record's schema cannot be read: unexpected kind of JSON value at line 1 column 9",
        ),
        (
            declared(r#"{"type":"int32","field":"id"}"#, r#"{"id":"secret"}"#),
            "reject: debezium record: column `id`: the value is not an integer of 64 bits, as declared (public.t)",
        ),
        (
            declared(r#"{"type":"int32","field":"id"}"#, r#"{"no":1}"#),
            "reject: debezium record: column `no`: the record's schema has no such column (public.t)",
        ),
    ] {
        check(None, &value, expected);
    }
}

fn declared(columns: &str, after: &str) -> String {
    format!(
        r#"{{"schema":{{"type":"struct","fields":[{{"type":"struct","fields":[{columns}],"field":"after"}},{{"type":"struct","field":"source"}},{{"type":"string","field":"op"}}]}},"payload":{{"op":"u","after":{after},{PG}}}}}"#
    )
}

#[test]
fn nulls_that_may_be_unsent_values() {
    let columns = r#"{"type":"int32","field":"id"},{"type":"array","field":"tags","items":{"type":"string"}},{"type":"string","field":"v"}"#;
    let value = declared(columns, r#"{"id":1,"tags":null,"v":null}"#);
    check(None, &value, "update public.t after{id=Int(1) tags=NotSent v=Null} Declared at=5 source=0/10 order=16");
    let whole = value.replacen(r#""op":"u","#, r#""op":"u","before":{"id":1,"tags":null,"v":"x"},"#, 1);
    let before = r#"before{id=Int(1) tags=Null v=Text("x")}"#;
    check(
        None,
        &whole,
        &format!(
            "update public.t after{{id=Int(1) tags=Null v=Null}} {before} Declared at=5 source=0/10 order=16 complete"
        ),
    );
}

#[test]
fn columns_in_another_order_than_the_schema_or_the_last_record() {
    let columns = r#"{"type":"int32","field":"id"},{"type":"double","field":"v"}"#;
    check(
        None,
        &declared(columns, r#"{"v":1,"id":2}"#),
        "update public.t after{v=Float64(1.0) id=Int(2)} Declared at=5 source=0/10 order=16 complete",
    );
    check(
        None,
        &declared(columns, r#"{"id":2}"#),
        "update public.t after{id=Int(2)} Declared at=5 source=0/10 order=16",
    );
    let mut decoder = decoder(&Options::default());
    for after in
        [r#"{"a":1,"b":2}"#, r#"{"a":1}"#, r#"{"a":1,"c":2}"#, r#"{"b":2,"a":1}"#, "{}", r#"{"a":1,"b":2,"c":3}"#]
    {
        let understood = decode_after(&mut *decoder, after);
        let names: Vec<String> = understood.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        assert!(names.iter().all(|name| after.contains(name)) && names.len() == after.matches(':').count(), "{after}");
    }
}

fn decode_after(decoder: &mut dyn Decoder, after: &str) -> Row<'static> {
    let value = format!(r#"{{"op":"c","after":{after},{PG}}}"#);
    let understood = decode(decoder, "topic", (None, Some(value.as_bytes())), &[]);
    let Understood::Change(Change { after: Some(row), .. }) = understood else { panic!("{understood:?}") };
    row
}

#[test]
fn keys_and_markers_of_the_users_own() {
    let options = Options { placeholder: Some("gone".to_owned()), ..keyed("public.t", &["b", "a"]) };
    let mut decoder = decoder(&options);
    let insert = format!(r#"{{"op":"c","after":{{"a":1,"b":2,"v":"gone"}},{PG}}}"#);
    let expected = "insert public.t key{b=Int(2) a=Int(1)} after{a=Int(1) b=Int(2) v=NotSent} Bare at=5 source=0/10 order=16 placeholders=[2]";
    assert_eq!(told_value(&mut *decoder, &insert), expected);
    let unsent = insert.replace("\"b\":2", "\"b\":\"gone\"");
    assert!(
        told_value(&mut *decoder, &unsent).contains("key column `b` is neither in the record's key nor in its row")
    );
}

/// What is understood of a record of a table whose key is the column `c`, but for its place in the source.
fn keyed_by_c(key: Option<&str>, value: &str, headers: &[(&[u8], Option<&[u8]>)]) -> String {
    let table = if value.contains("mysql") { "app.t" } else { "public.t" };
    let mut decoder = decoder(&keyed(table, &["c"]));
    let understood = decode(&mut *decoder, "topic", (key, Some(value.as_bytes())), headers);
    told(&understood).replace(" at=5 source=0/10 order=16", "").replace(" at=5 source=b.2:7 order=2199023255559", "")
}

const OWN: Option<&str> = Some(r#"{"id":1}"#);

#[test]
fn keys_come_from_the_record_key_or_from_the_row() {
    let lacking = "reject: debezium record: key column `c` is neither in the record's key nor in its row: expected it in one \
                   of them, for `tables[0].key` names it; name columns that every record of the table carries (public.t)";
    let row = r#"{"id":1,"c":"x"}"#;
    for (key, value, expected) in [
        (
            Some(r#"{"id":1,"c":"k"}"#),
            format!(r#"{{"op":"c","after":{row},{PG}}}"#),
            r#"insert public.t key{c=Text("k")} after{id=Int(1) c=Text("x")} Bare complete"#,
        ),
        (
            OWN,
            format!(r#"{{"op":"r","after":{row},{PG}}}"#),
            r#"read public.t key{c=Text("x")} after{id=Int(1) c=Text("x")} Bare complete"#,
        ),
        (
            None,
            format!(r#"{{"op":"u","after":{row},{PG}}}"#),
            r#"update public.t key{c=Text("x")} after{id=Int(1) c=Text("x")} Bare complete"#,
        ),
        (
            Some(r#"{"schema":null,"payload":null}"#),
            format!(r#"{{"op":"d","before":{row},{PG}}}"#),
            r#"delete public.t key{c=Text("x")} before{id=Int(1) c=Text("x")} Bare"#,
        ),
        (
            OWN,
            format!(r#"{{"op":"d","before":{row},{MY}}}"#),
            r#"delete app.t key{c=Text("x")} before{id=Int(1) c=Text("x")} Bare"#,
        ),
        (Some("x"), format!(r#"{{"op":"d","before":{row},{PG}}}"#), r#"delete public.t key{c=Text("x")} Bare"#),
        (
            Some(r#""x""#),
            format!(r#"{{"op":"u","after":{row},{PG}}}"#),
            r#"update public.t key{c=Text("x")} after{id=Int(1) c=Text("x")} Bare complete"#,
        ),
        (OWN, format!(r#"{{"op":"t",{PG}}}"#), "truncate public.t key{} Declared"),
        (OWN, "null".to_owned(), "tombstone"),
        (OWN, format!(r#"{{"op":"c","after":{{"id":1}},{PG}}}"#), lacking),
        (OWN, format!(r#"{{"op":"u","before":{row},"after":{{"id":1}},{PG}}}"#), lacking),
        (OWN, format!(r#"{{"op":"d","before":null,{PG}}}"#), lacking),
        (
            OWN,
            declared(r#"{"type":"int32","field":"id"},{"type":"string","field":"c"}"#, row)
                .replace("\"op\":\"u\"", "\"op\":\"c\""),
            r#"insert public.t key{c=Text("x")} after{id=Int(1) c=Text("x")} Declared complete"#,
        ),
    ] {
        assert_eq!(keyed_by_c(key, &value, &[]), expected, "{value}");
    }
}

#[test]
fn a_change_of_a_configured_key_is_told_or_refused() {
    let pair = |table: &str| {
        let rows = r#"before{id=Int(1) c=Text("w")} Bare Old"#;
        format!(
            r#"delete {table} key{{c=Text("w")}} {rows} + insert {table} key{{c=Text("x")}} after{{id=Int(1) c=Text("x")}} Bare New complete"#
        )
    };
    let untold = "reject: debezium record: whether key column `c` changed cannot be told: `tables[0].key` names it, and the \
                  record has no old row that is sure; log rows whole at the source (REPLICA IDENTITY FULL, \
                  binlog_row_image=FULL), or name the column in the connector's `message.key.columns` (public.t)";
    let unsure = "reject: debezium record: key column `c`, which `tables[0].key` names, is not in the record's key, and the rest \
                  of a deleted row may be made up by the connector: log rows whole at the source (REPLICA IDENTITY FULL) and \
                  name the column in the connector's `message.key.columns`, or configure columns of the record's key (public.t)";
    let same =
        r#"update public.t key{c=Text("x")} after{id=Int(1) c=Text("x")} before{id=Int(1) c=Text("x")} Bare complete"#;
    let row = r#"{"id":1,"c":"x"}"#;
    let update = |before: &str, source: &str| format!(r#"{{"op":"u","before":{before},"after":{row},{source}}}"#);
    let moved = r#"{"id":1,"c":"w"}"#;
    for (key, value, expected) in [
        (OWN, update(moved, PG), pair("public.t")),
        (None, update(moved, PG), pair("public.t")),
        (OWN, update(moved, MY), pair("app.t")),
        (Some(r#"{"c":"x"}"#), update(moved, MY), pair("app.t")),
        (OWN, update(row, PG), same.to_owned()),
        (OWN, update("null", PG), untold.to_owned()),
        (Some("1"), update("null", PG), untold.to_owned()),
        (OWN, update(r#"{"id":0,"c":""}"#, PG), untold.to_owned()),
        (Some(r#"{"c":"x"}"#), update(r#"{"id":0,"c":""}"#, PG), untold.to_owned()),
        (OWN, format!(r#"{{"op":"d","before":{row},{PG}}}"#), unsure.to_owned()),
        (Some("1"), format!(r#"{{"op":"d","before":{row},{PG}}}"#), unsure.to_owned()),
    ] {
        assert_eq!(keyed_by_c(key, &value, &[]), expected, "{value}");
    }
}

#[test]
fn halves_of_a_key_change_are_halves_of_the_configured_key_alone() {
    let headers: &[(&[u8], Option<&[u8]>)] = &[(b"__debezium.newkey", Some(b"{}"))];
    let value = format!(r#"{{"op":"d","before":{{"id":1,"c":"x"}},{MY}}}"#);
    for (key, is_half) in [(OWN, false), (Some(r#"{"id":1,"c":"x"}"#), false), (Some(r#"{"c":"x"}"#), true)] {
        assert_eq!(keyed_by_c(key, &value, headers).ends_with("Old"), is_half, "{key:?}");
    }
}
