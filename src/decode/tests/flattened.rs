//! Rows without an envelope: what `ExtractNewRecordState` leaves, in its documentation's examples and others, plain rows, and
//! envelopes in events of CloudEvents.

use super::*;

const FLAT: Options = Options {
    format: Format::Flattened,
    before_image: String::new(),
    include_null_and_empty: false,
    placeholder: None,
    fields_prefix: None,
    schemas: Schemas::Nowhere,
    keys: KeyRules::NONE,
};

const KEY: Option<&str> = Some(r#"{"id":1}"#);

fn flat(options: &Options, topic: &str, key: Option<&str>, value: Option<&str>) -> String {
    told(&decode(&mut *decoder(options), topic, (key, value.map(str::as_bytes)), &[]))
}

#[test]
fn what_a_row_tells_and_what_it_does_not() {
    let topic = "pg1.public.item";
    for (value, expected) in [
        (r#"{"id":1,"v":"a"}"#, r#"update public.item key{id=Int(1)} after{id=Int(1) v=Text("a")} Bare complete"#),
        (
            r#"{"id":1,"v":"a","__op":"c","__deleted":"false"}"#,
            r#"insert public.item key{id=Int(1)} after{id=Int(1) v=Text("a") __op=Text("c") __deleted=Text("false")} Bare complete"#,
        ),
        (
            r#"{"id":1,"__op":"u","__table":"goods","__lsn":112394521944,"__source_ts_ms":1709210096790}"#,
            r#"update goods key{id=Int(1)} after{id=Int(1) __op=Text("u") __table=Text("goods") __lsn=Int(112394521944) __source_ts_ms=Int(1709210096790)} Bare at=1709210096790 source=1A/2B3C4D58 order=112394521944 complete"#,
        ),
        (
            r#"{"id":1,"__op":"r","__table":"item","__lsn":5}"#,
            r#"read public.item key{id=Int(1)} after{id=Int(1) __op=Text("r") __table=Text("item") __lsn=Int(5)} Bare source=0/5 complete"#,
        ),
        (
            r#"{"id":1,"__source_schema":"s","__source_table":"t","__source_snapshot":"true"}"#,
            r#"read s.t key{id=Int(1)} after{id=Int(1) __source_schema=Text("s") __source_table=Text("t") __source_snapshot=Text("true")} Bare complete"#,
        ),
        // The rest of a deleted row may be made up.
        (r#"{"id":1,"v":"","__deleted":"true"}"#, "delete public.item key{id=Int(1)} Bare"),
        (r#"{"id":1,"v":"","__op":"d","__deleted":true}"#, "delete public.item key{id=Int(1)} Bare"),
        (
            r#"{"id":1,"v":"a","__deleted":"true","__source_connector":"mysql","__source_file":"b.2","__source_pos":7}"#,
            r#"delete public.item key{id=Int(1)} before{id=Int(1) v=Text("a") __deleted=Text("true") __source_connector=Text("mysql") __source_file=Text("b.2") __source_pos=Int(7)} Bare source=b.2:7 order=2199023255559"#,
        ),
        (
            r#"{"id":1,"v":"__debezium_unavailable_value"}"#,
            "update public.item key{id=Int(1)} after{id=Int(1) v=NotSent} Bare placeholders=[1]",
        ),
        (
            r#"{"schema":{"type":"struct","fields":[{"type":"int32","field":"id"},{"type":"int32","name":"io.debezium.time.Date","field":"d"},{"type":"array","field":"a"},{"type":"string","field":"__op"}]},"payload":{"id":1,"d":19782,"a":null,"__op":"u"}}"#,
            r#"update public.item key{id=Int(1)} after{id=Int(1) d=Date(19782) a=NotSent __op=Text("u")} Declared"#,
        ),
        (
            r#"{"id":1,"__op":"x"}"#,
            "reject: debezium record: the field or header that tells the operation holds another word than c, u, r or d (public.item)",
        ),
        ("{}", "reject: debezium record: it has no fields (public.item)"),
        ("[1]", "reject: unexpected kind of JSON value at line 1 column 0"),
        (r#"{"id":1,"id":2}"#, "reject: a field comes twice in one object, at line 1 column 15"),
        (r#"{"ts_ms":1}"#, "control heartbeat"),
    ] {
        assert_eq!(flat(&FLAT, topic, KEY, Some(value)), expected, "{value}");
        let auto = flat(&Options::default(), topic, KEY, Some(value));
        assert_eq!(auto, expected, "auto: {value}");
    }
}

#[test]
fn a_null_value_is_the_delete_of_its_key_in_a_topic_of_rows() {
    let deleted = "delete public.t key{id=Int(1)} Bare";
    assert_eq!(flat(&FLAT, "p.public.t", KEY, None), deleted);
    assert_eq!(flat(&FLAT, "p.public.t", KEY, Some("null")), deleted);
    assert_eq!(flat(&FLAT, "p.public.t", KEY, Some(r#"{"schema":null,"payload":null}"#)), deleted);
    assert_eq!(flat(&FLAT, "p.public.t", None, None), "tombstone");
    let nameless = "reject: debezium record: a null value, which deletes the row of its key, behind a key that names no columns: \
                    expected a JSON object; set `key` in a [[tables]] rule to the one column that it holds (public.t)";
    assert_eq!(flat(&FLAT, "p.public.t", Some("7"), None), nameless);
    let ruled = Options { keys: keyed("public.t", &["id"]).keys, ..FLAT };
    assert_eq!(flat(&ruled, "p.public.t", Some("7"), None), r#"delete public.t key{id=Text("7")} Bare"#);
    assert_eq!(flat(&ruled, "p.public.t", Some(r#""a""#), None), r#"delete public.t key{id=Text("a")} Bare"#);

    let mut auto = decoder(&Options::default());
    let mut tell = |topic, value: Option<&str>| told(&decode(&mut *auto, topic, (KEY, value.map(str::as_bytes)), &[]));
    assert_eq!(tell("p.public.t", None), "tombstone", "nothing tells yet what the topic holds");
    tell("p.public.t", Some(r#"{"id":1}"#));
    assert_eq!(tell("p.public.t", None), deleted);
    assert_eq!(tell("p.public.other", None), "tombstone");
    let envelopes = Options { format: Format::Debezium, ..Options::default() };
    assert_eq!(flat(&envelopes, "p.public.t", KEY, None), "tombstone");
}

#[test]
fn tables_are_named_by_the_topic_where_nothing_else_does() {
    for (topic, table) in [
        ("pg1.public.item", "public.item"),
        ("ms1.shop.dbo.item", "dbo.item"),
        ("orders.item", "orders.item"),
        ("item", "item"),
        ("", ""),
    ] {
        assert_eq!(
            flat(&FLAT, topic, None, Some(r#"{"id":1}"#)),
            format!("update {table} after{{id=Int(1)}} Bare complete")
        );
    }
}

#[test]
fn a_prefix_of_the_users_own_and_headers() {
    let own = Options { fields_prefix: Some("cdc_".to_owned()), ..FLAT };
    let value = r#"{"id":1,"cdc_op":"c","__op":"u","cdc_table":"t","cdc_db":"shop"}"#;
    assert!(flat(&own, "x", KEY, Some(value)).starts_with("insert shop.t key{id=Int(1)}"));
    let in_headers = |op: &[u8], table: &[u8]| {
        let headers: [(&[u8], Option<&[u8]>); 3] =
            [(b"__op", Some(op)), (b"__source_table", Some(table)), (b"__lsn", Some(b"16"))];
        told(&decode(&mut *decoder(&FLAT), "a.b.c", (KEY, Some(br#"{"id":1}"#)), &headers))
    };
    let expected = "insert t key{id=Int(1)} after{id=Int(1)} Bare source=0/10 order=16 complete";
    assert_eq!(in_headers(b"c", b"t"), expected);
    assert_eq!(in_headers(br#""c""#, br#"{"schema":{"type":"string"},"payload":"t"}"#), expected);
    let moved: [(&[u8], Option<&[u8]>); 1] = [(b"__debezium.oldkey", Some(b"{}"))];
    let told = told(&decode(&mut *decoder(&FLAT), "a.b.c", (KEY, Some(br#"{"id":1}"#)), &moved));
    assert!(told.ends_with("New complete"), "{told}");
}

#[test]
fn keys_of_the_users_choice_are_taken_only_where_they_are_sure() {
    let ruled = Options { keys: keyed("b.c", &["v"]).keys, ..FLAT };
    let tell = |key, value| flat(&ruled, "a.b.c", key, Some(value));
    assert_eq!(
        tell(KEY, r#"{"id":1,"v":"x","__op":"c"}"#),
        r#"insert b.c key{v=Text("x")} after{id=Int(1) v=Text("x") __op=Text("c")} Bare complete"#
    );
    assert!(tell(KEY, r#"{"id":1,"v":"x"}"#).contains("whether key column `v` changed cannot be told"));
    assert!(tell(KEY, r#"{"id":1,"v":"x","__deleted":"true"}"#).contains("may be made up by the connector"));
    assert!(tell(None, r#"{"id":1,"v":"x"}"#).starts_with(r#"update b.c key{v=Text("x")}"#));
}

#[test]
fn where_rows_are_declared_columns_of_other_formats_are_columns() {
    let value = r#"{"database":"d","table":"t","type":"insert","data":{"a":1}}"#;
    assert!(flat(&FLAT, "a.b.c", KEY, Some(value)).starts_with("update b.c key{id=Int(1)} after{database="));
    let envelope = r#"{"op":"c","after":{"id":1},"source":{"connector":"mysql","db":"d","table":"t"}}"#;
    assert_eq!(flat(&FLAT, "a.b.c", KEY, Some(envelope)), "reject: a Debezium record where flattened is declared");
}

/// The example of Debezium's documentation, and the same with a schema inside.
const CLOUD: &str = r#"{"id":"name:test_server;lsn:29274832;txId:565","source":"/debezium/postgresql/test_server","specversion":"1.0",
    "type":"io.debezium.postgresql.datachangeevent","time":"2020-01-13T13:55:39.738Z","datacontenttype":"application/json",
    "iodebeziumop":"r","iodebeziumversion":"1.9.0.Final","iodebeziumconnector":"postgresql","iodebeziumname":"test_server",
    "iodebeziumtsms":"1578923739738","iodebeziumsnapshot":"true","iodebeziumdb":"postgres","iodebeziumschema":"s1",
    "iodebeziumtable":"a","iodebeziumtxId":"565","iodebeziumlsn":"29274832","iodebeziumxmin":null,"iodebeziumtxid":"565",
    "iodebeziumtxtotalorder":"1","iodebeziumtxdatacollectionorder":"1","data":DATA}"#;

#[test]
fn envelopes_in_cloud_events() {
    let expected =
        r#"read s1.a key{pk=Int(1)} after{pk=Int(1) name=Text("Bob")} Bare at=1578923739738 source=0/1BEB2D0 complete"#;
    let tell = |data: &str| {
        let value = CLOUD.replace("DATA", data);
        flat(&Options { format: Format::Debezium, ..Options::default() }, "t", Some(r#"{"pk":1}"#), Some(&value))
    };
    let rows = r#"{"before":null,"after":{"pk":1,"name":"Bob"}}"#;
    assert_eq!(tell(rows), expected);
    let row =
        r#"{"type":"struct","fields":[{"type":"int32","field":"pk"},{"type":"string","field":"name"}],"optional":true"#;
    let schema = format!(r#"{{"type":"struct","fields":[{row},"field":"before"}},{row},"field":"after"}}]}}"#);
    assert_eq!(tell(&format!(r#"{{"schema":{schema},"payload":{rows}}}"#)), expected.replace("Bare", "Declared"));
    let streamed = CLOUD.replace("DATA", rows).replace(r#""iodebeziumop":"r""#, r#""iodebeziumop":"u""#);
    let streamed = streamed.replace(
        r#""iodebeziumsnapshot":"true""#,
        r#""iodebeziumsnapshot":"false","iodebeziumsequence":"[\"16\",\"29274832\"]""#,
    );
    assert!(flat(&Options::default(), "t", None, Some(&streamed)).ends_with("source=0/1BEB2D0 order=16 complete"));
    assert_eq!(
        tell(r#""AAAAAAEAAgICAg==""#),
        "reject: debezium record: a CloudEvents event: its `data` is no JSON object: set `data.serializer.type` of the converter to `json`"
    );
    let foreign = r#"{"specversion":"1.0","id":"1","source":"/x","type":"t","data":{"a":1}}"#;
    assert_eq!(
        flat(&Options::default(), "t", None, Some(foreign)),
        "reject: debezium record: a CloudEvents event: it has no `op` and `source`"
    );
}
