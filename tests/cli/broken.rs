//! Broken configurations: what is said of each.

use std::fs;

use crate::{afterimage, folder, orders};

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

#[test]
fn an_unknown_key() {
    let config = orders("settel = \"5s\"");
    insta::assert_snapshot!(refused(&config), @r"error: pipelines.orders.settel (a.toml:4): unknown key: did you mean `settle`?");
}

#[test]
fn an_unknown_section() {
    let config = "[pipeline.orders]\n";
    insta::assert_snapshot!(refused(config), @r"error: pipeline (a.toml:1): unknown key: did you mean `pipelines`?");
}

#[test]
fn a_key_of_another_section() {
    let config = orders("group = \"g\"");
    insta::assert_snapshot!(refused(&config), @r"error: pipelines.orders.group (a.toml:4): unknown key: did you mean `group` of the section `tap`?");
}

#[test]
fn a_duration_without_a_unit() {
    let config = orders("settle = 60\npoll = \"soon\"");
    insta::assert_snapshot!(refused(&config), @r#"
    error: 2 mistakes:
      pipelines.orders.poll (a.toml:5): `soon` is not valid: expected a duration with its unit, such as "60s", "500ms" or "2h"
      pipelines.orders.settle (a.toml:4): `60` is not valid: expected "auto" or a duration with its unit, such as "60s", "500ms" or "2h"
    "#);
}

#[test]
fn a_number_that_is_none() {
    let config = orders("confirmations = \"many\"");
    insta::assert_snapshot!(refused(&config), @r#"error: pipelines.orders.confirmations (a.toml:4): `many` is not valid: expected "auto" or a whole number from 0 to 4294967295"#);
}

#[test]
fn too_few_confirmations() {
    let config = orders("confirmations = 1");
    insta::assert_snapshot!(refused(&config), @r#"error: pipelines.orders.confirmations (a.toml:4): `1` is too few, one read proves nothing: expected "auto" or at least 2"#);
}

#[test]
fn a_word_with_a_slip() {
    let config = orders("commits = \"afterwrite\"\norder = \"global\"");
    insta::assert_snapshot!(refused(&config), @r"
    error: 2 mistakes:
      pipelines.orders.commits (a.toml:4): `afterwrite` is not valid: did you mean `after_write`? Expected one of `auto`, `after_write`, `unknown`
      pipelines.orders.order (a.toml:5): `global` is not valid: expected one of `key`, `partition`, `table`, `pipeline`
    ");
}

#[test]
fn evidence_with_a_slip() {
    let config = orders("applied = [\"kafka_group:x\", \"heartbeat:beats\", \"query:\"]");
    insta::assert_snapshot!(refused(&config), @r"
    error: 3 mistakes:
      pipelines.orders.applied[0] (a.toml:4): `kafka_group` is not valid: did you mean `kafka-group`? Expected one of `kafka-group`, `kcl-lease`, `query`, `dms-status`, `heartbeat`, `inferred`, `assumed`
      pipelines.orders.applied[1] (a.toml:4): `heartbeat:beats` names no column: expected heartbeat:SCHEMA.TABLE.COLUMN
      pipelines.orders.applied[2] (a.toml:4): `query` needs what it names behind a colon: expected kafka-group:NAME, query:SQL, dms-status:SCHEMA, heartbeat:SCHEMA.TABLE.COLUMN, inferred or assumed
    ");
}

#[test]
fn no_evidence() {
    let config = orders("applied = []");
    insta::assert_snapshot!(refused(&config), @r#"error: pipelines.orders.applied (a.toml:4): empty: expected at least one form of evidence, such as "inferred""#);
}

#[test]
fn an_order_without_positions() {
    let config = orders("order = \"table\"\ndecode = { format = \"dms\" }");
    insta::assert_snapshot!(refused(&config), @r"error: pipelines.orders.order (a.toml:4): `table` compares source positions, and the format `dms` carries none that can be compared: expected `partition` or `key`");
}

#[test]
fn an_order_of_unknown_positions() {
    let config = orders("order = \"pipeline\"");
    insta::assert_snapshot!(refused(&config), @r#"error: pipelines.orders.order (a.toml:4): `pipeline` compares source positions, which only some formats carry: declare decode.format = "debezium" if the tap carries them, else expected `partition` or `key`"#);
}

#[test]
fn two_forms_of_the_appliers_own_position() {
    let config = orders("applied = [\"query:select 1\", \"heartbeat:a.b.c\", \"kafka-group:g\"]");
    insta::assert_snapshot!(refused(&config), @"error: pipelines.orders.applied[2] (a.toml:4): `query:select 1` already says where the applier stands: expected one such form, and at most heartbeat or inferred beside it");
}

#[test]
fn a_size_that_is_none() {
    let config = orders("limits = { memory = \"1 GB of RAM\", cache = \"1KiB\", versions_per_key = 1 }");
    insta::assert_snapshot!(refused(&config), @r#"
    error: 3 mistakes:
      pipelines.orders.limits.cache (a.toml:4): is too little: expected at least "1MiB"
      pipelines.orders.limits.memory (a.toml:4): `1 GB of RAM` is not valid: expected a size such as "1GiB", "256MiB" or "64KiB"
      pipelines.orders.limits.versions_per_key (a.toml:4): `1` is too few: expected at least 2
    "#);
}

#[test]
fn a_section_that_is_no_table() {
    let config = orders("limits = \"1GiB\"\ntables = { match = \"a.b\" }");
    insta::assert_snapshot!(refused(&config), @r#"
    error: 2 mistakes:
      pipelines.orders.limits (a.toml:4): wrong type: string "1GiB", expected a table
      pipelines.orders.tables (a.toml:5): wrong type: a table, expected a list
    "#);
}

#[test]
fn no_tap_and_no_target() {
    let config = "[pipelines.orders]\n";
    insta::assert_snapshot!(refused(config), @r"
    error: 2 mistakes:
      pipelines.orders.tap.type (a.toml:1): missing: expected `kafka`, `file` or `archive`
      pipelines.orders.target.url (a.toml:1): missing: expected postgres://…, mysql://… or sqlite:PATH
    ");
}

#[test]
fn half_a_tap() {
    let config = "[pipelines.orders]\ntap = { type = \"kafka\" }\ntarget = { url = \"oracle://h/x\" }\n";
    insta::assert_snapshot!(refused(config), @r#"
    error: 3 mistakes:
      pipelines.orders.tap.brokers (a.toml:2): missing: expected HOST:PORT, several behind commas
      pipelines.orders.tap.topics (a.toml:2): missing: expected a list of topics, or of patterns such as "/^inventory\\..*/"
      pipelines.orders.target.url (a.toml:3): `oracle:` is no database that can be read: expected postgres://…, mysql://… or sqlite:PATH
    "#);
}

#[test]
fn a_file_tap_with_brokers() {
    let config = "[pipelines.a]\ntap = { type = \"file\", path = \"x\", brokers = \"h:1\", from = \"stored\" }\ntarget = { url = \"sqlite:t.db\" }\napplied = \"kafka-group:g\"\ndead_letters = \"dlq\"\n";
    insta::assert_snapshot!(refused(config), @r#"
    error: 4 mistakes:
      pipelines.a.applied (a.toml:4): `kafka-group` needs a tap of type `kafka`: a file has no consumer groups; expected query:SQL, heartbeat:…, inferred or assumed
      pipelines.a.dead_letters (a.toml:5): needs a tap of type `kafka`: the topic is read from the tap's brokers; remove the key
      pipelines.a.tap.brokers (a.toml:2): belongs to taps of type `kafka`: leave it out, or set type = "kafka"
      pipelines.a.tap.from (a.toml:2): `stored` is not for files, of which nothing is stored: expected `beginning`, an offset or a time
    "#);
}

#[test]
fn brokers_and_topics_that_are_none() {
    let config = "[pipelines.a]\ntap = { type = \"kafka\", brokers = \"localhost\", topics = [\"a b\", \"/(/\", \"/x\"] }\ntarget = { url = \"sqlite:t.db\" }\n";
    insta::assert_snapshot!(refused(config), @r#"
    error: 4 mistakes:
      pipelines.a.tap.brokers (a.toml:2): `localhost` is no broker: expected HOST:PORT, several behind commas
      pipelines.a.tap.topics[0] (a.toml:2): `a b` is no topic: expected letters, digits, `.`, `_` and `-`, one topic each
      pipelines.a.tap.topics[1] (a.toml:2): `/(/` is no regular expression: unclosed group
      pipelines.a.tap.topics[2] (a.toml:2): `/x` is no regular expression between slashes: expected "/EXPRESSION/"
    "#);
}

#[test]
fn properties_that_are_ours() {
    let config = "[pipelines.a]\ntap = { type = \"kafka\", brokers = \"h:1\", topics = [\"a\"], properties = { \"group.id\" = \"g\", \"enable.auto.commit\" = true } }\ntarget = { url = \"sqlite:t.db\" }\n";
    insta::assert_snapshot!(refused(config), @r#"
    error: 2 mistakes:
      pipelines.a.tap.properties."enable.auto.commit" (a.toml:2): is not to be set here: only judged changes are committed
      pipelines.a.tap.properties."group.id" (a.toml:2): is not to be set here: set `group`
    "#);
}

#[test]
fn the_appliers_own_group() {
    let config = orders("applied = \"kafka-group:afterimage-orders\"");
    insta::assert_snapshot!(refused(&config), @r"error: pipelines.orders.tap.group (a.toml:2): `afterimage-orders` is the applier's own group: joining it would take partitions from the applier; name another");
}

#[test]
fn two_positions() {
    let config = "[pipelines.a]\ntap = { type = \"kafka\", brokers = \"h:1\", topics = [\"a\"], from = [\"end\", \"beginning\"] }\ntarget = { url = \"sqlite:t.db\" }\n";
    insta::assert_snapshot!(refused(config), @r"error: pipelines.a.tap.from (a.toml:2): two positions for all partitions: `end` and `beginning`; give one");
}

#[test]
fn what_comes_later() {
    let config = orders(
        "source = { url = \"dynamodb://h/s\" }\ndecode = { format = \"dynamodb\" }\napplied = \"kcl-lease:t\"\n[[pipelines.orders.schedules]]\nrun = \"reconcile\"\ncron = \"0 * * * *\"",
    );
    insta::assert_snapshot!(refused(&config), @r"
    error: 4 mistakes:
      pipelines.orders.applied (a.toml:6): `kcl-lease` is not supported by this version: expected kafka-group:NAME, query:SQL, dms-status:SCHEMA, heartbeat:SCHEMA.TABLE.COLUMN, inferred or assumed
      pipelines.orders.decode.format (a.toml:5): the format `dynamodb` is not supported by this version: expected `auto`, `debezium`, `flattened`, `dms`, `maxwell` or `canal`
      pipelines.orders.schedules[0].run (a.toml:8): `reconcile` is not supported by this version: expected `revalidate`, `audit` or `import`
      pipelines.orders.source.url (a.toml:4): `dynamodb:` targets are not supported by this version: expected postgres://…, mysql://… or sqlite:PATH
    ");
}

#[test]
fn registries() {
    let config = orders(
        "[pipelines.orders.decode]\nregistry = \"https://u:secret@r:8081, ftp://r\"\nregistry_ids = \"guid\"\n[pipelines.other]\ndecode = { registry_token = \"secret\", registry_ca = \"a.pem\", registry_ids = \"global\" }\n[pipelines.third]\ndecode = { format = \"dms\", registry = \"http://r\" }",
    );
    insta::assert_snapshot!(refused(&config), @r"
    error: 10 mistakes:
      pipelines.orders.decode.registry (a.toml:5): no web address: expected http://… or https://…
      pipelines.orders.decode.registry_ids (a.toml:6): `guid` is not valid: expected one of `auto`, `global`, `content`
      pipelines.other.decode.registry_ca (a.toml:8): there is no registry: set `registry` to its address
      pipelines.other.decode.registry_ids (a.toml:8): there is no registry: set `registry` to its address
      pipelines.other.decode.registry_token (a.toml:8): there is no registry: set `registry` to its address
      pipelines.other.tap.type (a.toml:7): missing: expected `kafka`, `file` or `archive`
      pipelines.other.target.url (a.toml:7): missing: expected postgres://…, mysql://… or sqlite:PATH
      pipelines.third.decode.registry (a.toml:10): records of the format `dms` name no schemas: leave it out
      pipelines.third.tap.type (a.toml:9): missing: expected `kafka`, `file` or `archive`
      pipelines.third.target.url (a.toml:9): missing: expected postgres://…, mysql://… or sqlite:PATH
    ");
}

#[test]
fn other_taps_and_targets() {
    let config = "[pipelines.a]\ntap = { type = \"kinesis\" }\ntarget = { type = \"dynamodb\", url = \"dynamodb://eu-west-1\" }\n";
    insta::assert_snapshot!(refused(config), @r"
    error: 2 mistakes:
      pipelines.a.tap.type (a.toml:2): `kinesis` taps are not supported by this version: expected `kafka`, `file` or `archive`
      pipelines.a.target.type (a.toml:3): `dynamodb` targets are not supported by this version: expected `postgres`, `mysql` or `sqlite`
    ");
}

#[test]
fn a_target_that_contradicts_itself() {
    let config = "[pipelines.a]\ntap = { type = \"file\", path = \"x\" }\ntarget = { type = \"mysql\", url = \"postgres://u:pw@h/d?max_connections=0&poolr=none\", max_connections = 2 }\n";
    insta::assert_snapshot!(refused(config), @r"
    error: 3 mistakes:
      pipelines.a.target.max_connections (a.toml:3): given twice: as a key and as a parameter of the URL; give one
      pipelines.a.target.poolr (a.toml:3): unknown key: did you mean `pooler`?
      pipelines.a.target.type (a.toml:3): `mysql` contradicts the URL, which is of `postgres`: make them agree, or leave the type out
    ");
}

#[test]
fn an_open_port_without_a_token() {
    let config = "[web]\nlisten = \"0.0.0.0:8470\"\n[store]\nurl = \"mysql://h/d\"\n";
    insta::assert_snapshot!(refused(config), @r"
    error: 3 mistakes:
      -c: no pipeline is configured: give a file with one, or --tap and --target
      store.url (a.toml:4): no store: expected sqlite:PATH or postgres://USER@HOST/DATABASE
      web.listen (a.toml:2): `0.0.0.0:8470` is no loopback address and there is no token: set web.token, or listen on 127.0.0.1
    ");
}

#[test]
fn an_address_that_is_none() {
    let config = "web = { listen = \"8470\" }\n";
    insta::assert_snapshot!(refused(config), @r#"
    error: 2 mistakes:
      -c: no pipeline is configured: give a file with one, or --tap and --target
      web.listen (a.toml:1): `8470` is no address: expected ADDRESS:PORT such as "127.0.0.1:8470", or "" for off
    "#);
}

#[test]
fn rules_for_tables() {
    let config = orders(
        "[[pipelines.orders.tables]]\nmatch = \"a.b\"\ntarget = \"x.y.z\"\ncolumns = { a = \"c\", b = \"c\" }\ntolerance = { p = -1 }\nseverity = { lost = \"bad\" }\n[[pipelines.orders.tables]]\nmatch = \"a.b\"\n[[pipelines.orders.tables]]\ntarget = \"t\"",
    );
    insta::assert_snapshot!(refused(&config), @r#"
    error: 6 mistakes:
      pipelines.orders.tables[0].columns.b (a.toml:7): `c` is the target of another column too: each target column has one
      pipelines.orders.tables[0].severity.lost (a.toml:9): `lost` is not valid: did you mean `lost_update`? Expected one of `unapplied_delete`, `missing_row`, `lost_update`, `torn_row`, `diverged_row`, `resurrected_row`, `regressed_row`, `vanished_row`, `duplicate_row`, `stalled`, `undecodable`, `coverage_gap`, `mass_divergence`, `evidence_unsound`, `judging_suspended`
      pipelines.orders.tables[0].target (a.toml:6): `x.y.z` is no table: expected schema.table or table
      pipelines.orders.tables[0].tolerance.p (a.toml:8): `-1` is not valid: expected a number that is not negative, or for times a duration such as "1ms"
      pipelines.orders.tables[1].match (a.toml:11): `a.b` has a rule already, and the first one wins: put the two together
      pipelines.orders.tables[2].match (a.toml:12): missing: expected schema.table, or a pattern between slashes, of the tap's table name
    "#);
}

#[test]
fn alerts() {
    let config = "[[alerts]]\ntype = \"slack\"\nurl = \"hooks.slack.com/services/s3cret\"\nsecret = \"x\"\n\
                  [[alerts]]\nurl = \"ftp://h\"\nfor = { severity = \"high\", kinds = [\"missing\"] }\n";
    insta::assert_snapshot!(refused(config), @r#"
    error: 5 mistakes:
      alerts[0].secret (a.toml:4): belongs to channels of type `webhook`, `pagerduty` and `alertmanager`: leave it out
      alerts[0].url (a.toml:3): no web address: expected http://… or https://…
      alerts[1].for.kinds[0] (a.toml:7): `missing` is not valid: did you mean `missing_row`? Expected one of `unapplied_delete`, `missing_row`, `lost_update`, `torn_row`, `diverged_row`, `resurrected_row`, `regressed_row`, `vanished_row`, `duplicate_row`, `stalled`, `undecodable`, `coverage_gap`, `mass_divergence`, `evidence_unsound`, `judging_suspended`
      alerts[1].for.severity (a.toml:7): `high` is not valid: expected one of `info`, `warning`, `critical`
      alerts[1].type (a.toml:5): missing: expected one of `slack`, `pagerduty`, `alertmanager`, `kafka`, `webhook`
    "#);
}

#[test]
fn alerts_of_every_type() {
    let config = orders(
        "[[alerts]]\ntype = \"pagerduty\"\nsecret = \"s3cret\"\ntemplate = \"{kind} in {tabel}\"\n\
         [[alerts]]\ntype = \"kafka\"\nurl = \"https://h/s3cret\"\nbrokers = \"here\"\nproperties = { acks = 0 }\n\
         [[alerts]]\ntype = \"webhook\"\nurl = \"https://h\"\ntopic = \"t\"\nrate = \"fast\"\n\
         quiet_hours = { from = \"22:00\", to = \"7\", zone = \"Europe/Berlin\" }\n\
         [[alerts]]\ntype = \"webhook\"\nname = \"webhook\"\nurl = \"https://h\"\n\
         for = { tables = [\"/(/\"], pipelines = [\"order\"] }\nquiet_hours = { from = \"22:00\", to = \"22:00\" }",
    );
    let said = refused(&config);
    assert!(!said.contains("s3cret"), "{said}");
    insta::assert_snapshot!(said, @r#"
    error: 14 mistakes:
      alerts[0].secret (a.toml:6): no routing key: expected the integration's routing key, 32 letters and digits
      alerts[0].template (a.toml:7): at character 11: `tabel` is not valid: did you mean `table`? Expected one of `status`, `severity`, `kind`, `pipeline`, `table`, `opened`, `closed`, `open`, `text`, `since`, `finding`, `key`, `cause`, `position`, `evidence`
      alerts[1].brokers (a.toml:11): `here` is no broker: expected HOST:PORT, several behind commas
      alerts[1].properties.acks (a.toml:12): is not to be set here: an alert counts as delivered once all in-sync replicas have it
      alerts[1].topic (a.toml:8): missing: expected the name of a topic
      alerts[1].url (a.toml:10): belongs to channels of type `slack`, `pagerduty`, `alertmanager` and `webhook`: leave it out
      alerts[2].quiet_hours.to (a.toml:18): `7` is not valid: expected a time of the day such as "22:00"
      alerts[2].quiet_hours.zone (a.toml:18): `Europe/Berlin` is not valid: expected `UTC`, or an offset from it such as "+02:00" (names of zones are not known)
      alerts[2].rate (a.toml:17): `fast` is not valid: expected `off`, or messages in a time, such as "30/1m"
      alerts[2].topic (a.toml:16): belongs to channels of type `kafka`: leave it out
      alerts[3].for.pipelines[0] (a.toml:23): `order` is not valid: did you mean `orders`? Expected one of `orders`
      alerts[3].for.tables[0] (a.toml:23): `/(/` is no regular expression: unclosed group
      alerts[3].name (a.toml:21): `webhook` is the name of a channel above: each has its own
      alerts[3].quiet_hours.to (a.toml:24): the hours end where they begin: expected another time than `from`
    "#);
}

#[test]
fn variables_that_are_not_set() {
    let config = orders("connect_url = \"http://${CONNECT_HOST}:8083\"\npoll = \"${POLL\"");
    insta::assert_snapshot!(refused(&config), @r"
    error: 2 mistakes:
      pipelines.orders.connect_url (a.toml:4): the environment variable `CONNECT_HOST` is not set: set it, or write ${CONNECT_HOST:-default}
      pipelines.orders.poll (a.toml:5): `${` is not closed: write `${NAME}`, or `$${` for a plain `${`
    ");
}

#[test]
fn no_toml() {
    let config = "[pipelines.orders\nsettle = 5s\n";
    insta::assert_snapshot!(refused(config), @r"error: a.toml:1: this is not TOML: unclosed table, expected `]`");
}

#[test]
fn a_name_that_is_none() {
    let config =
        "[pipelines.\"my orders\"]\ntap = { type = \"file\", path = \"x\" }\ntarget = { url = \"sqlite:t.db\" }\n";
    insta::assert_snapshot!(refused(config), @r#"error: pipelines."my orders" (a.toml:1): `my orders` is no name of a pipeline: expected 1 to 64 letters, digits, `-`, `_` and `.`"#);
}

#[test]
fn nothing() {
    let config = "";
    insta::assert_snapshot!(refused(config), @r"error: -c: no pipeline is configured: give a file with one, or --tap and --target");
}

#[test]
fn a_file_that_is_not_there() {
    let said = refused_with("", &["run", "-c", "none.toml"], &[]);
    insta::assert_snapshot!(said, @r"error: -c: cannot read `none.toml`: No such file or directory (os error 2)");
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
            "--where",
            "id >",
            "--incarnation",
            "new",
        ],
        &[("AFTERIMAGE__PIPELINES__ORDERS__SETTLE", "long"), ("AFTERIMAGE__STOER__URL", "x")],
    );
    insta::assert_snapshot!(said, @r#"
    error: 13 mistakes:
      --fail-on: `bad` is not valid: expected one of `info`, `warning`, `critical`
      --from: `first` is no position: expected beginning, end, stored, N, -N, s@MILLIS, s@RFC3339, an RFC 3339 time such as 2026-11-22T10:00:00Z, or `last 2h`; P:POSITION pins partition P
      --incarnation: `new` is no number of a log: 1 is the first that the range holds
      --max-wait: `5` is not valid: expected a duration with its unit, such as "60s", "500ms" or "2h"
      --op: `upsert` is not valid: expected one of `insert`, `read`, `update`, `delete`, `truncate`
      --report: the name says no format: expected .html, .json, .ndjson, .csv, .md, .xml or .txt
      --to: two positions for partition 0: `end` and `5`; give one
      --where: no condition: Expected: an expression, found: EOF; expected comparisons of columns with values, `in (…)`, `between`, `like`, `is null`, and `and`, `or`, `not` of these
      pipelines.orders.applied[0] (flag --applied): `guess` is not valid: expected one of `kafka-group`, `kcl-lease`, `query`, `dms-status`, `heartbeat`, `inferred`, `assumed`
      pipelines.orders.settle (environment AFTERIMAGE__PIPELINES__ORDERS__SETTLE): `long` is not valid: expected "auto" or a duration with its unit, such as "60s", "500ms" or "2h"
      pipelines.orders.tap.grup (flag --tap): unknown key: did you mean `group`?
      pipelines.orders.target.pooler (flag --target): `yes` is not valid: expected one of `none`, `transaction`
      stoer (environment AFTERIMAGE__STOER__URL): unknown key: did you mean `store`?
    "#);
    assert!(!said.contains("secret"));
}
