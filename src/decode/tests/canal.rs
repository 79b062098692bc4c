//! Canal's records, as they are printed in bug reports and samples of its users, and others in their form.

use super::*;

const INSERT: &str = r#"{"data":[{"id":"2","account":"","user_name":"0","password":"","age":null,"create_time":"2020-09-27 18:05:16","update_time":"2020-09-27 18:05:16"}],"database":"canal_tsdb","es":1601201116000,"id":2,"isDdl":false,"mysqlType":{"id":"int unsigned","account":"varchar(50)","user_name":"int","password":"varchar(50)","age":"INT","create_time":"timestamp","update_time":"timestamp"},"old":null,"pkNames":["id"],"sql":"","sqlType":{"id":4,"account":12,"user_name":4,"password":12,"age":4,"create_time":93,"update_time":93},"table":"t_user","ts":1601201116505,"type":"INSERT"}"#;

const UPDATE: &str = r#"{"data":[{"id":"1","name":"mike","is_adult":"0","balance":"1500.62","reg_time":"2018-01-01 00:00:01","win_rate":"0.65"}],"database":"demo","es":1668673476000,"id":7,"isDdl":false,"mysqlType":{"id":"int","name":"varchar(40)","is_adult":"boolean","balance":"decimal(10,2)","reg_time":"timestamp","win_rate":"double"},"old":[{"balance":"1000.62"}],"pkNames":null,"sql":"","sqlType":{"id":4,"name":12,"is_adult":-6,"balance":3,"reg_time":93,"win_rate":8},"table":"demo","ts":1668673476732,"type":"UPDATE"}"#;

fn tell(options: Options, value: &str) -> String {
    let declared = Options { format: Format::Canal, ..options.clone() };
    let declared = told_value(&mut *decoder(&declared), value);
    assert_eq!(told_value(&mut *decoder(&options), value), declared, "{value}");
    declared
}

fn record(kind: &str, types: &str, data: &str, old: &str) -> String {
    format!(
        r#"{{"data":{data},"database":"d","es":5,"gtid":"","id":1,"isDdl":false,"mysqlType":{types},"old":{old},"pkNames":["id"],"sql":"","table":"t","ts":6,"type":"{kind}"}}"#
    )
}

#[test]
fn records_of_its_users() {
    assert_eq!(
        tell(Options::default(), INSERT),
        r#"insert canal_tsdb.t_user key{id=Int(2)} after{id=Int(2) account=Text("") user_name=Int(0) password=Text("") age=Null create_time=Local(1601229916, 0) update_time=Local(1601229916, 0)} Declared at=1601201116000 complete"#
    );
    let rest = r#"reg_time=Local(1514764801, 0) win_rate=Float64(0.65)}"#;
    let row =
        |balance: &str| format!(r#"{{id=Int(1) name=Text("mike") is_adult=Int(0) balance=Decimal("{balance}") {rest}"#);
    let images = format!("after{} before{} Declared at=1668673476000 complete", row("1500.62"), row("1000.62"));
    assert_eq!(tell(Options::default(), UPDATE), format!("update demo.demo {images}"));
    assert_eq!(tell(keyed("demo.demo", &["id"]), UPDATE), format!("update demo.demo key{{id=Int(1)}} {images}"));
}

#[test]
fn one_record_carries_the_rows_of_one_event() {
    let types = r#"{"id":"bigint","v":"varchar(5)"}"#;
    let rows = r#"[{"id":"1","v":"a"},{"id":"2","v":null}]"#;
    for (value, expected) in [
        (
            record("INSERT", types, rows, "null"),
            r#"insert d.t key{id=Int(1)} after{id=Int(1) v=Text("a")} Declared at=5 complete + insert d.t key{id=Int(2)} after{id=Int(2) v=Null} Declared at=5 complete"#,
        ),
        (
            record("DELETE", types, rows, "null"),
            r#"delete d.t key{id=Int(1)} before{id=Int(1) v=Text("a")} Declared at=5 + delete d.t key{id=Int(2)} before{id=Int(2) v=Null} Declared at=5"#,
        ),
        // A key that changes, and one that changes twice at one position.
        (
            record(
                "UPDATE",
                types,
                r#"[{"id":"9","v":"a"},{"id":"2","v":"c"},{"id":"2","v":"d"}]"#,
                r#"[{"id":"1"},{"v":"b"},{"v":"c"}]"#,
            ),
            r#"delete d.t key{id=Int(1)} before{id=Int(1) v=Text("a")} Declared at=5 Old + insert d.t key{id=Int(9)} after{id=Int(9) v=Text("a")} Declared at=5 New complete + update d.t key{id=Int(2)} after{id=Int(2) v=Text("d")} before{id=Int(2) v=Text("b")} Declared at=5 complete"#,
        ),
        // Keys that move up: 2 becomes 3, then 1 becomes 2.
        (
            record("UPDATE", types, r#"[{"id":"3","v":"b"},{"id":"2","v":"a"}]"#, r#"[{"id":"2"},{"id":"1"}]"#),
            r#"insert d.t key{id=Int(3)} after{id=Int(3) v=Text("b")} Declared at=5 New complete + delete d.t key{id=Int(1)} before{id=Int(1) v=Text("a")} Declared at=5 Old + update d.t key{id=Int(2)} after{id=Int(2) v=Text("a")} before{id=Int(2) v=Text("b")} Declared at=5 complete"#,
        ),
        (record("QUERY", "null", "null", "null"), "control statement"),
        (
            record("CREATE", "null", "null", "null").replace("\"isDdl\":false", "\"isDdl\":true"),
            "control schema-change",
        ),
        (
            record("TRUNCATE", "null", "null", "null").replace("\"isDdl\":false", "\"isDdl\":true"),
            "truncate d.t key{} Declared at=5",
        ),
        (
            record("INSERT", "null", "[7]", "null"),
            "reject: canal record: row 0 of `data`: unexpected kind of JSON value at line 1 column 1 (d.t)",
        ),
        (
            record("INSERT", "7", "[]", "null"),
            "reject: canal record: `mysqlType`: unexpected kind of JSON value at line 1 column 1 (d.t)",
        ),
        (
            record("INSERT", types, "{}", "null"),
            "reject: canal record: `data`: unexpected kind of JSON value at line 1 column 0 (d.t)",
        ),
    ] {
        assert_eq!(tell(Options::default(), &value), expected, "{value}");
    }
}

#[test]
fn texts_are_read_by_their_types() {
    for (kind, text, expected) in [
        ("bigint(20) unsigned", "18446744073709551615", r#"Decimal("18446744073709551615")"#),
        ("decimal(65,30)", "-0.10", r#"Decimal("-0.10")"#),
        ("float", "0.1", "Float32(0.1)"),
        ("date", "2024-02-29", "Date(19782)"),
        ("time(3)", "-838:59:59.001", "Time(-3020399001000000)"),
        ("datetime(6)", "1970-01-02 00:00:00.000001", "Local(86400, 1000)"),
        ("year", "2024", "Int(2024)"),
        ("json", r#"{\"a\": 1}"#, r#"Json("{\"a\": 1}")"#),
        ("blob", "\u{00ff}A", "Bytes([255, 65])"),
        ("enum('a','it''s')", "2", r#"Text("it's")"#),
        ("enum('a','b')", "0", r#"Text("")"#),
        ("enum('1','0')", "1", r#"Opaque(("enum", "1"))"#),
        ("set('x','y','z')", "5", r#"Text("x,z")"#),
        ("set('x','y')", "9", r#"Opaque(("set", "9"))"#),
        ("datetime", "0000-00-00 00:00:00", r#"Opaque(("date and time", "0000-00-00 00:00:00"))"#),
        ("int", "many", r#"Opaque(("integer", "many"))"#),
        ("decimal(5,2)", "1e3", r#"Opaque(("decimal", "1e3"))"#),
        ("geometry", "x", r#"Opaque(("geometry", "x"))"#),
    ] {
        let types = format!(r#"{{"id":"int","v":"{kind}"}}"#);
        let value = record("INSERT", &types, &format!(r#"[{{"v":"{text}","id":"1"}}]"#), "null");
        let told = tell(Options::default(), &value);
        assert!(told.contains(&format!("after{{v={expected} id=Int(1)}}")), "{kind}: {told}");
    }
}
