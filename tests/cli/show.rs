//! `config check`, `config show` and `config schema` of good configurations.

use std::fs;
use std::path::Path;

use crate::{afterimage, folder, orders};

#[test]
fn a_good_configuration_is_called_good() {
    let folder = folder(&orders("applied = [\"kafka-group:connect-orders\", \"inferred\"]"));
    let ended = afterimage(folder.path(), &["config", "check", "-c", "a.toml"], &[]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ended.out, @r"the configuration is valid; pipelines: orders");
}

/// Some of each origin.
fn shown() -> super::Ended {
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
    ended
}

#[test]
fn show_says_where_each_value_came_from() {
    let ended = shown();
    insta::assert_snapshot!(ended.out, @r#"
    [[alerts]]
    rate = "30/1m"                                # default
    secret = ""                                   # default
    type = "webhook"                              # a.toml:9
    url = "https://hooks.example.com/<redacted>"  # a.toml:10

    [alerts.for]
    severity = "warning"  # default

    [pipelines.orders]
    applied = "inferred"    # default
    applier = "batch"       # default
    commits = "auto"        # default
    confirm_after = "1s"    # default
    confirmations = "auto"  # default
    connect_url = ""        # default
    dead_letters = ""       # default
    lead = "auto"           # default
    order = "partition"     # default
    patrol = "idle"         # default
    poll = "2s"             # environment AFTERIMAGE__PIPELINES__ORDERS__POLL
    query_durable = false   # default
    settle = "1m 30s"       # a.toml:4
    stall_after = "auto"    # default
    values = "full"         # default
    zombie_after = "30s"    # default

    [pipelines.orders.decode]
    before_image = ""               # default
    fields_prefix = ""              # default
    format = "auto"                 # default
    include_null_and_empty = false  # default
    placeholder = ""                # default
    registry = ""                   # default
    registry_ca = ""                # default
    registry_ids = "auto"           # default
    registry_token = ""             # default

    [pipelines.orders.limits]
    cache = "256MiB"        # default
    memory = "1GiB"         # default
    reread = "5s"           # default
    versions_per_key = 512  # default

    [pipelines.orders.source]
    max_connections = 2     # default
    pooler = "none"         # default
    reads_per_second = 200  # default
    url = ""                # default

    [pipelines.orders.tap]
    brokers = "127.0.0.1:9092"   # a.toml:2
    from = "stored"              # default
    group = "afterimage-orders"  # default
    topics = "orders"            # a.toml:2
    type = "kafka"               # a.toml:2

    [pipelines.orders.target]
    dead_rows = ""                     # default
    max_connections = 4                # default
    pooler = "transaction"             # flag --target
    reads_per_second = 0               # default
    url = "postgres://app:***@db/crm"  # flag --target

    [store]
    url = "sqlite:afterimage.db"  # default

    [web]
    listen = "127.0.0.1:8470"  # default
    token = "<redacted>"       # a.toml:7
    "#);
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
