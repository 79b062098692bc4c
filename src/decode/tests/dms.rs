//! AWS DMS messages. No public sample holds every rule, so these are written after its documentation.

use super::*;

#[test]
fn a_record_that_a_bridge_wrote_as_base64() {
    use base64::Engine as _;
    let plain = message("insert", r#"{"id": 1}"#, "");
    let packed = base64::engine::general_purpose::STANDARD.encode(&plain);
    for value in [&packed, &format!("{packed}\n")] {
        assert_eq!(told_value(&mut *decoder(&Options::default()), value), "insert public.foo after{id=Int(1)} Dms");
    }
    assert!(told_value(&mut *decoder(&Options::default()), &packed[1..]).starts_with("reject: not JSON"));
}

fn message(operation: &str, data: &str, rest: &str) -> String {
    format!(
        r#"{{"data": {data},{rest} "metadata": {{"timestamp": "2024-07-29T00:58:44.895275Z", "record-type": "data",
            "operation": "{operation}", "partition-key-type": "schema-table", "schema-name": "public", "table-name": "foo"}}}}"#
    )
}

fn control(operation: &str, control: &str) -> String {
    format!(
        r#"{{"control":{control},"metadata":{{"operation":"{operation}","partition-key-type":"task-id","record-type":"control",
            "schema-name":"public","table-name":"foo","timestamp":"2024-07-29T00:30:47.266581Z"}}}}"#
    )
}

const DECLARED: &str = r#"{"table-def":{"columns":{"id":{"type":"INT32","nullable":false},"name":{"type":"WSTRING","length":64},"doc":{"type":"NCLOB"}},"primary-key":["id"],"collation-name":"c"}}"#;

fn check(options: &Options, rows: &[(String, &str)]) {
    let mut decoder = decoder(options);
    for (value, expected) in rows {
        assert_eq!(told_value(&mut *decoder, value), *expected, "{value}");
    }
}

#[test]
fn a_message_with_transaction_details() {
    let value = r#"{"data":{"id":42,"name":"John","age":33,"attributes":"{\"foo\": \"bar\"}"},"before-image":{},
        "metadata":{"timestamp":"2024-07-29T00:58:44.895275Z","record-type":"data","operation":"update",
        "partition-key-type":"schema-table","schema-name":"public","table-name":"foo","transaction-id":1140,
        "commit-timestamp":"2024-07-29T00:58:44.886717Z","stream-position":"00000002/7C007328.2.00000002/7C007328"}}"#;
    let expected = r#"update public.foo after{id=Int(42) name=Text("John") age=Int(33) attributes=Text("{\"foo\": \"bar\"}")} Dms at=1722214724886 source=00000002/7C007328.2.00000002/7C007328 order=10670338856"#;
    check(&Options::default(), &[(value.to_owned(), expected)]);
}

#[test]
fn columns_left_out_are_those_met_before() {
    check(
        &Options::default(),
        &[
            (message("load", r#"{"id":1,"a":"x"}"#, ""), r#"read public.foo after{id=Int(1) a=Text("x")} Dms"#),
            (
                message("insert", r#"{"id":2,"b":1.2e17}"#, ""),
                r#"insert public.foo after{id=Int(2) a=Absent b=Decimal("120000000000000000")} Dms"#,
            ),
            (
                message("insert", r#"{"b":true,"id":3}"#, ""),
                "insert public.foo after{id=Int(3) a=Absent b=Bool(true)} Dms",
            ),
            (control("drop-column", "{}"), "control drop-column"),
            (message("insert", r#"{"id":4}"#, ""), "insert public.foo after{id=Int(4)} Dms"),
        ],
    );
}

#[test]
fn columns_and_key_from_a_control_record() {
    check(
        &Options::default(),
        &[
            (control("create-table", DECLARED), "control create-table"),
            (
                message("insert", r#"{"id":1}"#, ""),
                "insert public.foo key{id=Int(1)} after{id=Int(1) name=Absent doc=Absent} Dms complete",
            ),
            (
                message("update", r#"{"id":1,"name":"x"}"#, ""),
                r#"update public.foo key{id=Int(1)} after{id=Int(1) name=Text("x") doc=NotSent} Dms"#,
            ),
            (message("delete", r#"{"id":1}"#, ""), "delete public.foo key{id=Int(1)} Dms"),
            (control("create-table", "{}"), "control create-table"),
            (message("delete", r#"{"name":"x"}"#, ""), "delete public.foo"),
            (control("something-new", "{}"), "control control"),
        ],
    );
}

#[test]
fn nulls_sent() {
    let options = Options { include_null_and_empty: true, ..Options::default() };
    check(
        &options,
        &[
            (
                message("insert", r#"{"id":1,"a":null,"b":""}"#, ""),
                r#"insert public.foo after{id=Int(1) a=Null b=Text("")} Dms complete"#,
            ),
            (
                message("update", r#"{"id":1,"b":""}"#, ""),
                r#"update public.foo after{id=Int(1) a=NotSent b=Text("")} Dms"#,
            ),
        ],
    );
}

#[test]
fn before_images() {
    let keyed = || keyed("public.foo", &["id"]);
    let halves = r#"delete public.foo key{id=Int(46)} Dms Old + insert public.foo key{id=Int(47)} after{id=Int(47) v=Text("x")} Dms New"#;
    let whole = r#"update public.foo key{id=Int(47)} after{id=Int(47) v=Text("x")} before{id=Int(47) v=Text("w")} Dms"#;
    let part = r#"update public.foo key{id=Int(47)} after{id=Int(47) v=Text("x")} Dms"#;
    let data = r#"{"id":47,"v":"x"}"#;
    check(
        &keyed(),
        &[
            (message("update", data, r#""before-image":{"id":46},"#), halves),
            (message("update", data, r#""BI":{"id":46,"v":"w"},"#), halves),
            (message("update", data, r#""BI":{"id":47,"v":"w"},"#), whole),
            (message("update", data, r#""BI":{"id":47},"#), part),
            (message("update", data, r#""BI":{},"#), part),
            (message("update", data, r#""BI":null,"#), part),
        ],
    );
    let named = Options { before_image: "BI".to_owned(), ..keyed() };
    check(
        &named,
        &[
            (message("update", data, r#""other":{"id":46},"#), part),
            (message("update", data, r#""other":{"id":45},"BI":{"id":46},"#), halves),
        ],
    );
    let nothing_names_the_key = r#"update public.foo after{id=Int(47) v=Text("x")} Dms"#;
    check(&Options::default(), &[(message("update", data, r#""BI":{"id":46},"#), nothing_names_the_key)]);
    let by_record_key = decode(
        &mut *decoder(&Options::default()),
        "t",
        (Some(r#"{"id":47}"#), Some(message("update", data, r#""BI":{"id":46},"#).as_bytes())),
        &[],
    );
    assert_eq!(told(&by_record_key), halves);
}

#[test]
fn keys_of_the_users_choice() {
    let untold = "reject: dms record: whether key column `name` changed cannot be told: `tables[0].key` names it, it is not of the \
                  table's primary key, and no before image has it; set `EnableBeforeImage` with `ColumnFilter` `all` in the \
                  task's `BeforeImageSettings` (public.foo)";
    let lacking = "reject: dms record: key column `name` is not in `data`: expected it there, for `tables[0].key` names it; name \
                   columns that every record of the table carries (public.foo)";
    let row = r#"{"id":1,"name":"x","doc":"d"}"#;
    let after = r#"key{name=Text("x")} after{id=Int(1) name=Text("x") doc=Text("d")}"#;
    check(
        &keyed("public.foo", &["name"]),
        &[
            (message("update", row, ""), &format!("update public.foo {after} Dms")),
            (control("create-table", DECLARED), "control create-table"),
            (message("insert", row, ""), &format!("insert public.foo {after} Dms complete")),
            (message("update", row, ""), untold),
            (message("update", row, r#""BI":{"id":1},"#), untold),
            (message("update", row, r#""BI":{"name":"x"},"#), &format!("update public.foo {after} Dms complete")),
            (
                message("update", row, r#""BI":{"name":"w"},"#),
                &format!(
                    r#"delete public.foo key{{name=Text("w")}} Dms Old + insert public.foo {after} Dms New complete"#
                ),
            ),
            (message("delete", row, ""), r#"delete public.foo key{name=Text("x")} Dms"#),
            (message("insert", r#"{"id":2}"#, ""), lacking),
            (message("delete", r#"{"id":2}"#, ""), lacking),
        ],
    );
}

#[test]
fn rows_in_a_document() {
    let value = message("insert", r#"{"pk":"1","_doc":{"id":1,"name":"x"}}"#, "");
    check(&Options::default(), &[(value, r#"insert public.foo after{id=Int(1) name=Text("x")} Dms"#)]);
}

#[test]
fn broken_messages() {
    check(
        &Options::default(),
        &[
            (
                message("merge", "{}", ""),
                "reject: dms record: unknown `operation` (expected load, insert, update or delete) (public.foo)",
            ),
            (message("insert", "5", ""), "reject: dms record: `data` is no object (public.foo)"),
            (message("insert", r#"{"a":1,"a":2}"#, ""), "reject: dms record: the row has a column twice (public.foo)"),
            (
                message("insert", r#"{"a":1e999999}"#, ""),
                "reject: dms record: column `a`: the number has more digits than any database holds (public.foo)",
            ),
            (
                r#"{"data":{},"metadata":{"record-type":"x"}}"#.to_owned(),
                "reject: dms record: unknown `record-type` (expected data or control) ()",
            ),
        ],
    );
}
