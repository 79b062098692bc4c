//! The binary as a user meets it: what it says, where it says it, and its exit code.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// How a command ended.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

/// Runs the binary in a folder, with nothing in its environment but what is given.
fn afterimage(folder: &Path, arguments: &[&str], environment: &[(&str, &str)]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.args(arguments).current_dir(folder).env_clear().envs(environment.iter().copied()).stdin(Stdio::null());
    let output = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("output is text");
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("a.toml"), config).expect("a file");
    folder
}

/// What is said of a broken configuration: on standard error only, with exit code 2, and nothing is written.
fn refused_with(config: &str, arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let folder = folder(config);
    let ended = afterimage(folder.path(), arguments, environment);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{}", ended.err);
    let files: Vec<_> = fs::read_dir(folder.path()).expect("the folder").collect();
    assert_eq!(files.len(), 1, "nothing is written: {files:?}");
    ended.err
}

fn refused(config: &str) -> String {
    let said = refused_with(config, &["config", "check", "-c", "a.toml"], &[]);
    for command in ["run", "audit", "doctor"] {
        assert_eq!(refused_with(config, &[command, "-c", "a.toml"], &[]), said, "{command} says the same");
    }
    said
}

/// A pipeline with nothing wrong in it, and one thing more.
fn orders(more: &str) -> String {
    format!(
        "[pipelines.orders]\n\
         tap = {{ type = \"kafka\", brokers = \"127.0.0.1:9092\", topics = [\"orders\"] }}\n\
         target = {{ url = \"sqlite:t.db\" }}\n{more}\n"
    )
}

macro_rules! refused {
    ($($name:ident: $config:expr, @$said:literal;)+) => { $(
        #[test]
        fn $name() {
            insta::assert_snapshot!(refused(&$config), @$said);
        }
    )+ };
}

refused! {
    an_unknown_key: orders("settel = \"5s\""), @"";
    an_unknown_section: "[pipeline.orders]\n", @"";
    a_key_of_another_section: orders("group = \"g\""), @"";
    a_duration_without_a_unit: orders("settle = 60\npoll = \"soon\""), @"";
    a_number_that_is_none: orders("confirmations = \"many\""), @"";
    too_few_confirmations: orders("confirmations = 1"), @"";
    a_word_with_a_slip: orders("commits = \"afterwrite\"\norder = \"global\""), @"";
    evidence_with_a_slip: orders("applied = [\"kafka_group:x\", \"heartbeat:beats\", \"query:\"]"), @"";
    no_evidence: orders("applied = []"), @"";
    an_order_without_positions: orders("order = \"table\"\ndecode = { format = \"dms\" }"), @"";
    an_order_of_unknown_positions: orders("order = \"pipeline\""), @"";
    a_size_that_is_none: orders("limits = { memory = \"1 GB of RAM\", cache = \"1KiB\", versions_per_key = 1 }"), @"";
    a_section_that_is_no_table: orders("limits = \"1GiB\"\ntables = { match = \"a.b\" }"), @"";
    no_tap_and_no_target: "[pipelines.orders]\n", @"";
    half_a_tap: "[pipelines.orders]\ntap = { type = \"kafka\" }\ntarget = { url = \"oracle://h/x\" }\n", @"";
    a_file_tap_with_brokers: "[pipelines.a]\ntap = { type = \"file\", path = \"x\", brokers = \"h:1\", from = \"stored\" }\ntarget = { url = \"sqlite:t.db\" }\napplied = \"kafka-group:g\"\n", @"";
    brokers_and_topics_that_are_none: "[pipelines.a]\ntap = { type = \"kafka\", brokers = \"localhost\", topics = [\"a b\", \"/(/\", \"/x\"] }\ntarget = { url = \"sqlite:t.db\" }\n", @"";
    properties_that_are_ours: "[pipelines.a]\ntap = { type = \"kafka\", brokers = \"h:1\", topics = [\"a\"], properties = { \"group.id\" = \"g\", \"enable.auto.commit\" = true } }\ntarget = { url = \"sqlite:t.db\" }\n", @"";
    the_appliers_own_group: orders("applied = \"kafka-group:afterimage-orders\""), @"";
    two_positions: "[pipelines.a]\ntap = { type = \"kafka\", brokers = \"h:1\", topics = [\"a\"], from = [\"end\", \"beginning\"] }\ntarget = { url = \"sqlite:t.db\" }\n", @"";
    what_comes_later: orders("dead_letters = \"dlq\"\nsource = { url = \"postgres://h/s\" }\ndecode = { format = \"maxwell\", registry = \"http://r\" }\napplied = \"kcl-lease:t\"\n[[pipelines.orders.schedules]]\nrun = \"revalidate\"\ncron = \"0 * * * *\""), @"";
    other_taps_and_targets: "[pipelines.a]\ntap = { type = \"kinesis\" }\ntarget = { type = \"dynamodb\", url = \"dynamodb://eu-west-1\" }\n", @"";
    a_target_that_contradicts_itself: "[pipelines.a]\ntap = { type = \"file\", path = \"x\" }\ntarget = { type = \"mysql\", url = \"postgres://u:pw@h/d?max_connections=0&poolr=none\", max_connections = 2 }\n", @"";
    an_open_port_without_a_token: "[web]\nlisten = \"0.0.0.0:8470\"\n[store]\nurl = \"mysql://h/d\"\n", @"";
    an_address_that_is_none: "web = { listen = \"8470\" }\n", @"";
    rules_for_tables: orders("[[pipelines.orders.tables]]\nmatch = \"a.b\"\ntarget = \"x.y.z\"\ncolumns = { a = \"c\", b = \"c\" }\ntolerance = { p = -1 }\nseverity = { lost = \"bad\" }\n[[pipelines.orders.tables]]\nmatch = \"a.b\"\n[[pipelines.orders.tables]]\ntarget = \"t\""), @"";
    alerts: "[[alerts]]\ntype = \"slack\"\nurl = \"https://h/x\"\n[[alerts]]\nurl = \"ftp://h\"\nfor = { severity = \"high\", kinds = [\"missing\"] }\n", @"";
    variables_that_are_not_set: orders("connect_url = \"http://${CONNECT_HOST}:8083\"\npoll = \"${POLL\""), @"";
    no_toml: "[pipelines.orders\nsettle = 5s\n", @"";
    a_name_that_is_none: "[pipelines.\"my orders\"]\ntap = { type = \"file\", path = \"x\" }\ntarget = { url = \"sqlite:t.db\" }\n", @"";
    nothing: "", @"";
}

#[test]
fn a_file_that_is_not_there() {
    let said = refused_with("", &["run", "-c", "none.toml"], &[]);
    insta::assert_snapshot!(said, @"");
}

#[test]
fn mistakes_in_flags_and_environment_are_told_together() {
    let said = refused_with(
        "",
        &[
            "audit",
            "--tap",
            "kafka://h:9092/orders?grup=g",
            "--target",
            "postgres://u:secret@h/d?pooler=yes",
            "--applied",
            "guess",
            "--from",
            "first",
            "--to",
            "0:end",
            "--to",
            "0:5",
            "--op",
            "upsert",
            "--max-wait",
            "5",
            "--fail-on",
            "bad",
            "--report",
            "out.pdf",
        ],
        &[("AFTERIMAGE__PIPELINES__ORDERS__SETTLE", "long"), ("AFTERIMAGE__STOER__URL", "x")],
    );
    insta::assert_snapshot!(said, @"");
    assert!(!said.contains("secret"));
}

#[test]
fn usage_errors_exit_2() {
    for arguments in [&["frobnicate"][..], &["run", "--frob"], &["audit", "-o", "yaml"], &[], &["decode", "-n", "few"]]
    {
        let folder = folder("");
        let ended = afterimage(folder.path(), arguments, &[]);
        assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.err.contains("Usage: afterimage"), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn a_good_configuration_is_called_good() {
    let folder = folder(&orders("applied = [\"kafka-group:connect-orders\", \"inferred\"]"));
    let ended = afterimage(folder.path(), &["config", "check", "-c", "a.toml"], &[]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ended.out, @"");
}

#[test]
fn show_says_where_each_value_came_from() {
    let folder = folder(&format!(
        "{}\n[web]\ntoken = \"${{TOKEN:-}}\"\n[[alerts]]\ntype = \"webhook\"\nurl = \"https://hooks.example.com/T0/secret\"\n",
        orders("settle = \"90s\"")
    ));
    let environment = [("TOKEN", "s3cret"), ("AFTERIMAGE__PIPELINES__ORDERS__POLL", "2s")];
    let target = "postgres://app:s3cret@db/crm?pooler=transaction";
    let arguments = ["config", "show", "-c", "a.toml", "--origin", "--target", target];
    let ended = afterimage(folder.path(), &arguments, &environment);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    assert!(!ended.out.contains("s3cret") && !ended.out.contains("T0/secret"), "{}", ended.out);
    insta::assert_snapshot!(ended.out, @"");
}

#[test]
fn show_as_json_is_json() {
    let folder = folder(&orders(""));
    let ended = afterimage(folder.path(), &["config", "show", "-c", "a.toml", "-o", "json", "--origin"], &[]);
    let shown: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!(shown["store"]["url"], serde_json::json!({"value": "sqlite:afterimage.db", "origin": "default"}));
    assert_eq!(shown["pipelines"]["orders"]["tap"]["brokers"]["origin"], "a.toml:2");
}

#[test]
fn the_committed_schema_is_that_of_the_configuration() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/config.json");
    let printed = afterimage(&std::env::temp_dir(), &["config", "schema"], &[]).out;
    if std::env::var_os("UPDATE_SCHEMAS").is_some() {
        fs::write(&path, &printed).expect("schemas/ can be written");
    }
    let committed = fs::read_to_string(&path).expect("the schema is committed");
    assert!(committed == printed, "schemas/config.json is old: run `UPDATE_SCHEMAS=1 cargo test --test cli`");
}

#[test]
fn help() {
    let said = |arguments: &[&str]| afterimage(&std::env::temp_dir(), arguments, &[]).out;
    insta::assert_snapshot!(said(&["--help"]), @"");
    insta::assert_snapshot!(said(&["run", "-h"]), @"");
    insta::assert_snapshot!(said(&["audit", "-h"]), @"");
    insta::assert_snapshot!(said(&["decode", "-h"]), @"");
    insta::assert_snapshot!(said(&["findings", "list", "-h"]), @"");
}

#[test]
fn completions_and_manual_are_printed() {
    for (arguments, part) in [
        (&["completions", "bash"][..], "complete -F _afterimage"),
        (&["completions", "zsh"], "#compdef afterimage"),
        (&["completions", "fish"], "complete -c afterimage"),
        (&["man"], ".TH afterimage 1"),
        (&["man"], ".TH afterimage-findings-list 1"),
    ] {
        let ended = afterimage(&std::env::temp_dir(), arguments, &[]);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{arguments:?}");
        assert!(ended.out.contains(part), "{arguments:?}: {part}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let output = command.arg("man").stdout(writer).stderr(Stdio::piped()).output().expect("the binary runs");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}
