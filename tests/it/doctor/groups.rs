//! What proves progress: the applier's group, heartbeats, rows, and what follows for the time to detect.

use serde_json::json;

use super::Setup;
use crate::database::Dialect;
use crate::load::Load;
use crate::pipeline::{Plan, Topics};
use crate::sidecar::{Sidecar, afterimage, beside};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_told_by_whether_it_is_there_and_what_it_committed() {
    let setup = Setup::new("group", Dialect::Postgres).await;
    setup.orders(0, 0..3).await;
    setup.orders(1, 3..6).await;
    let group = format!("connect-{}", setup.name);
    let applied = format!("applied = \"kafka-group:{group}\"");

    let absent = setup.doctor(&applied);
    absent.assert_problem(&format!("`{group}` of `applied` does not exist"));
    absent.assert_unbounded("does not exist");
    assert_eq!(absent.report["group"]["exists"], false);

    let other = format!("{}.elsewhere", setup.name);
    setup.kafka.create_topic(&other, 1).await;
    setup.commit(&group, &other, 0, 0);
    let elsewhere = setup.doctor(&applied);
    elsewhere.assert_problem("committed nothing in these topics");
    elsewhere.assert_unbounded("committed nothing in these topics");

    // A slip, and a connector's name in the place of its group's, are answered by the name that is there.
    for wrong in [group.replace("connect-doctor", "connect-doctr"), setup.name.clone()] {
        let slip = setup.doctor(&format!("applied = \"kafka-group:{wrong}\""));
        slip.assert_problem(&format!("`{wrong}` of `applied` does not exist; there is `{group}`"));
        assert_eq!(slip.report["group"]["similar"][0], json!(group), "{:#}", slip.report);
    }

    setup.commit(&group, &setup.topic, 0, 3);
    let partial = setup.doctor(&applied);
    partial.assert_problem(&format!("never committed in {}/1, which hold records", setup.topic));
    assert_eq!(partial.report["group"]["committed_partitions"], 1);
    assert_eq!(partial.list("without_evidence"), [format!("{}/1", setup.topic)]);

    setup.commit(&group, &setup.topic, 1, 1);
    let behind = setup.doctor(&applied);
    behind.assert_sound();
    let told = &behind.report["group"];
    assert_eq!(
        (&told["behind"], &told["moved"], &told["state"]),
        (&json!(2), &json!(false), &json!("Empty")),
        "{told:#}"
    );
    let place = told["stands_before"].as_str().expect("a place");
    assert!(place.starts_with(&format!("{}/1:1, ", setup.topic)), "{place}");
    assert_eq!(behind.term("lag"), told["behind_s"].as_f64());

    setup.commit(&group, &setup.topic, 1, 3);
    let level = setup.doctor(&applied);
    level.assert_sound();
    assert_eq!(level.list("without_evidence"), [""; 0]);
    // 4 x 60 s of commits, 2 x 120 s of `settle`, 5 s of `reread`, 6 polls of 1 s, one `confirm_after` of 1 s, 5 s of rest.
    assert_eq!(level.within(), Some(497.0), "{:#}", level.report["detection"]);
    let fast = setup.doctor(&format!("{applied}\nsettle = \"40s\"\npoll = \"500ms\"\nconfirm_after = \"3s\""));
    assert_eq!(fast.within(), Some(176.0), "{:#}", fast.report["detection"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_group_of_a_connect_sink_is_seen_at_work_and_proposed() {
    let pipeline = Plan::new("doctor_connect", Dialect::Postgres).topics(Topics::PerTable(1)).start().await;
    pipeline.apply(&Load::new(5).take(300)).await;
    pipeline.wait_applied().await;
    let group = pipeline.group();
    let told = |applied: &str, format: &str| {
        let sidecar = Sidecar::prepare(&beside(&pipeline, applied));
        let config = sidecar.config_path();
        let dir = config.parent().expect("a directory");
        afterimage(dir, &["doctor", "-o", format, "-c", config.to_str().expect("a path of text")])
    };
    let named = told(&format!("applied = \"kafka-group:{group}\""), "json");
    let report: serde_json::Value = serde_json::from_slice(&named.stdout).expect("a report");
    let report = &report[0];
    assert_eq!(named.status.code(), Some(0), "{report:#}");
    assert_eq!((&report["group"]["state"], &report["group"]["members"]), (&json!("Stable"), &json!(1)), "{report:#}");
    assert_eq!(report["group"]["behind"], 0);
    assert_eq!(report["detection"]["within_s"], 497.0, "{:#}", report["detection"]);
    assert_eq!(report["tap"]["likely_applier"], serde_json::Value::Null, "it is the one that is configured");

    let text = String::from_utf8(told("applied = \"inferred\"", "table").stdout).expect("text");
    for part in [
        format!("`{group}` looks like the applier: applied = \"kafka-group:{group}\""),
        "it is not in recovery: read as the node that the applier writes".to_owned(),
        "may be read, and by DELETE, INSERT, UPDATE written".to_owned(),
        "answered by 127.0.0.1:".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heartbeats_prove_progress_only_in_the_partitions_that_have_them() {
    let setup = Setup::new("beats", Dialect::Postgres).await;
    setup.database.execute("CREATE TABLE beats (id bigint PRIMARY KEY, beat bigint)").await;
    let applied = "applied = \"heartbeat:public.beats.beat\"\nsettle = \"30s\"";
    setup.orders(0, 0..2).await;
    let none = setup.doctor(applied);
    none.assert_unbounded("no two heartbeats of `public.beats` are among the newest records of");
    assert_eq!(none.list("without_evidence"), [format!("{}/0", setup.topic)]);

    for beat in 0..3 {
        setup.append("beats", 0, json!({"id": 1, "beat": beat})).await;
    }
    setup.database.execute("INSERT INTO beats VALUES (1, 2)").await;
    let beating = setup.doctor(applied);
    beating.assert_sound();
    assert_eq!((beating.term("lag"), beating.list("without_evidence")), (Some(0.0), vec![]), "{:#}", beating.report);
    let spacing = beating.term("between two signs of progress").expect("it was measured");
    let within = beating.within().expect("it is bounded");
    assert!(
        (within - (60.0 + 5.0 + 6.0 + 4.0 * 2.0 + 1.0 + 5.0 + 4.0 * spacing)).abs() <= 1.0,
        "{:#}",
        beating.report["detection"]
    );

    setup.database.execute("UPDATE beats SET beat = 0").await;
    assert!(setup.doctor(applied).term("lag") > Some(0.0), "two heartbeats are on their way");

    setup.orders(1, 2..4).await;
    let half = setup.doctor(applied);
    assert_eq!(half.list("without_evidence"), [format!("{}/1", setup.topic)]);
    half.assert_unbounded(&format!(
        "no two heartbeats of `public.beats` are among the newest records of {}/1",
        setup.topic
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_bound_it_where_enough_keys_change_and_an_order_of_keys_does_not() {
    let setup = Setup::new("rows", Dialect::Postgres).await;
    setup.orders(0, 0..2).await;
    setup.doctor("").assert_unbounded("fewer than 3 keys change in");
    setup.orders(0, 2..9).await;
    let moving = setup.doctor("");
    moving.assert_sound();
    assert_eq!(moving.term("lag"), Some(0.0), "{:#}", moving.report);
    assert!(moving.within().is_some(), "{:#}", moving.report["detection"]);
    setup.append("orders", 0, json!({"id": 77, "note": "late"})).await;
    assert!(setup.doctor("").term("lag") > Some(0.0));
    setup.doctor("order = \"key\"").assert_unbounded("nothing but a single key is in order");
    setup.doctor("applied = \"assumed\"").assert_unbounded("you state what was applied");
    let unknown = format!("applied = \"kafka-group:{}\"", setup.name);
    for partition in 0..2 {
        setup.commit(&setup.name, &setup.topic, partition, 0);
    }
    setup.doctor(&unknown).assert_unbounded("committed positions only let us forget here");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_is_asked_for_its_positions() {
    let setup = Setup::new("query", Dialect::Postgres).await;
    setup.orders(0, 0..2).await;
    setup.orders(1, 2..4).await;
    setup.database.execute("CREATE TABLE progress (topic text, part int, next_offset bigint)").await;
    let applied = "applied = \"query:SELECT topic, part, next_offset FROM progress\"\nquery_durable = true";
    let insert =
        |partition: i32, next: i32| format!("INSERT INTO progress VALUES ('{}', {partition}, {next})", setup.topic);
    setup.database.execute(&insert(0, 2)).await;
    let half = setup.doctor(applied);
    half.assert_unbounded(&format!("returns no position of {}/1", setup.topic));
    assert_eq!(half.list("without_evidence"), [format!("{}/1", setup.topic)]);
    setup.database.execute(&insert(1, 2)).await;
    let all = setup.doctor(applied);
    assert_eq!(all.term("lag"), Some(0.0), "{:#}", all.report);
    assert!(all.within().is_some(), "{:#}", all.report["detection"]);
}
