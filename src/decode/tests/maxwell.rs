//! Maxwell's records: the examples of its documentation, and others in their form.

use super::*;

const INSERT: &str = r#"{"database":"test","table":"e","type":"insert","ts":1477053217,"xid":23396,"commit":true,
    "position":"master.000006:800911","server_id":23042,"thread_id":108,
    "data":{"id":1,"m":4.2341,"c":"2016-10-21 05:33:37.523000","comment":"I am a creature of light."}}"#;

const UPDATE: &str = r#"{"database":"test","table":"e","type":"update","ts":1477053234,
    "data":{"id":1,"m":5.444,"c":"2016-10-21 05:33:54.631000","comment":"I am a creature of light."},
    "old":{"m":4.2341,"c":"2016-10-21 05:33:37.523000"}}"#;

const CREATE: &str = r#"{"type":"table-create","database":"test","table":"e","def":{"database":"test","charset":"utf8mb4","table":"e",
    "columns":[{"type":"int","name":"id","signed":true}],"primary-key":["id"]},"ts":1477053126000,
    "sql":"create table test.e ( id int(10) not null primary key )","position":"master.000006:800050"}"#;

fn tell(key: Option<&str>, value: &str) -> String {
    let declared = Options { format: Format::Maxwell, ..Options::default() };
    let told_as =
        |options: &Options| told(&decode(&mut *decoder(options), "maxwell", (key, Some(value.as_bytes())), &[]));
    assert_eq!(told_as(&declared), told_as(&Options::default()), "{value}");
    told_as(&declared)
}

#[test]
fn the_examples_of_its_documentation() {
    let hash = Some(r#"{"database":"test","table":"e","pk.id":1}"#);
    let array = Some(r#"["test","e",[{"id":1}]]"#);
    let row = |m: &str, c: &str| {
        format!(r#"{{id=Int(1) m=Decimal("{m}") c=Text("{c}") comment=Text("I am a creature of light.")}}"#)
    };
    let inserted = row("4.2341", "2016-10-21 05:33:37.523000");
    let updated = row("5.444", "2016-10-21 05:33:54.631000");
    let at = "at=1477053217000 source=master.000006:800911 order=6597070567567 complete";
    for key in [hash, array] {
        assert_eq!(tell(key, INSERT), format!("insert test.e key{{id=Int(1)}} after{inserted} Bare {at}"));
        assert_eq!(
            tell(key, UPDATE),
            format!("update test.e key{{id=Int(1)}} after{updated} Bare at=1477053234000 complete")
        );
    }
    let delete = UPDATE.replace("update", "delete").replace("\"old\"", "\"x\"");
    assert_eq!(tell(hash, &delete), format!("delete test.e key{{id=Int(1)}} before{updated} Bare at=1477053234000"));
    assert_eq!(tell(None, CREATE), "control schema-change");
    assert_eq!(tell(None, INSERT), format!("insert test.e after{inserted} Bare {at}"), "no key is told");
    let uuid = Some(r#"{"database":"test","table":"e","_uuid":"d6b3ac03"}"#);
    assert!(tell(uuid, INSERT).starts_with("insert test.e after"));
}

#[test]
fn keys_old_values_and_bootstraps() {
    let record = |kind: &str, rest: &str| format!(r#"{{"database":"d","table":"t","type":"{kind}","ts":5,{rest}}}"#);
    for (value, expected) in [
        (
            record(
                "insert",
                r#""primary_key":[7,"x"],"primary_key_columns":["b","a"],"gtid":"u:1","data":{"a":"x","b":7}"#,
            ),
            r#"insert d.t key{b=Int(7) a=Text("x")} after{a=Text("x") b=Int(7)} Bare at=5000 source=u:1 complete"#,
        ),
        // The null shows that nulls are not left out, so that what is not among the old values did not change.
        (
            record("update", r#""primary_key_columns":["a"],"data":{"a":1,"b":null,"c":3},"old":{"b":2}"#),
            "update d.t key{a=Int(1)} after{a=Int(1) b=Null c=Int(3)} before{a=Int(1) b=Int(2) c=Int(3)} Bare at=5000 complete",
        ),
        (
            record("update", r#""primary_key_columns":["a"],"data":{"a":2,"b":3},"old":{"a":1}"#),
            "delete d.t key{a=Int(1)} Bare at=5000 Old + insert d.t key{a=Int(2)} after{a=Int(2) b=Int(3)} Bare at=5000 New complete",
        ),
        (
            record("bootstrap-insert", r#""primary_key_columns":["a"],"position":"b.1:4","data":{"a":1}"#),
            "read d.t key{a=Int(1)} after{a=Int(1)} Bare at=5000 source=b.1:4 complete",
        ),
        (record("bootstrap-start", r#""data":{}"#), "control bootstrap"),
        (record("bootstrap-complete", r#""data":{}"#), "control bootstrap"),
        (
            record(
                "insert",
                r#""data":{"j":{"a":[1,2.50]},"s":["b_val","c_val"],"n":18446744073709551615,"z":"0000-00-00 00:00:00"}"#,
            ),
            r#"insert d.t after{j=Json("{\"a\":[1,2.50]}") s=Json("[\"b_val\",\"c_val\"]") n=Decimal("18446744073709551615") z=Text("0000-00-00 00:00:00")} Bare at=5000 complete"#,
        ),
        (
            record("insert", r#""data":[1]"#),
            "reject: maxwell record: `data`: unexpected kind of JSON value at line 1 column 1 (d.t)",
        ),
        (
            record("update", r#""data":{"a":1},"old":7"#),
            "reject: maxwell record: `old`: unexpected kind of JSON value at line 1 column 1 (d.t)",
        ),
        (record("insert", r#""data":null"#), "reject: maxwell record: `data`: null where a row is expected (d.t)"),
    ] {
        assert_eq!(tell(None, &value), expected, "{value}");
    }
    let nameless = r#"{"database":"d","type":"insert","data":{"a":1}}"#;
    assert_eq!(tell(None, nameless), "reject: maxwell record: it names no table");
}

#[test]
fn a_key_of_the_users_choice() {
    let ruled = keyed("d.t", &["b"]);
    let tell = |value: &str| told_value(&mut *decoder(&ruled), value);
    assert_eq!(
        tell(r#"{"database":"d","table":"t","type":"update","ts":5,"data":{"a":1,"b":2},"old":{"b":1}}"#),
        "delete d.t key{b=Int(1)} Bare at=5000 Old + insert d.t key{b=Int(2)} after{a=Int(1) b=Int(2)} Bare at=5000 New complete"
    );
    assert_eq!(
        tell(r#"{"database":"d","table":"t","type":"insert","ts":5,"data":{"a":1}}"#),
        "reject: maxwell record: key column `b` is not in its row: expected it there, for `tables[0].key` names it; name columns \
         that every record of the table carries (d.t)"
    );
}
