//! A sink whose task has failed on a value that its table cannot hold.

use std::time::Duration;

use serde_json::Value;

use crate::database::Dialect;
use crate::load::Load;
use crate::pipeline::{Plan, Topics};
use crate::sidecar::{Sidecar, beside};
use crate::verdict::{applied_by_commits, quick, told, wait_all_verified};

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_too_long_is_one_stall_that_names_it() {
    let pipeline = Plan::new("stuck", Dialect::Postgres).topics(Topics::PerTable(1)).start().await;
    let sink = pipeline.sink_connector();
    pipeline.target.execute("ALTER TABLE counters ALTER note TYPE varchar(20)").await;
    let mut load = Load::new(4);
    pipeline.apply(&load.take(300)).await;
    let own = format!(
        "{}\nstall_after = \"5s\"\nconnect_url = \"{}\"",
        applied_by_commits(&pipeline),
        pipeline.connect.url()
    );
    let sidecar = Sidecar::run(&beside(&pipeline, &quick(&own))).await;
    wait_all_verified(&pipeline, &[&sidecar]).await;
    assert!(sidecar.findings().is_empty(), "{:#?}", told(&sidecar.findings()));

    let counters = pipeline.topic("counters");
    let poison = pipeline.kafka.ends(&counters)[0];
    pipeline.write("INSERT INTO counters VALUES (77, 0, 'more than twenty characters')", 1).await;
    pipeline.connect.wait_failed(&sink).await;
    pipeline.apply(&load.take(300)).await;

    let findings = sidecar.wait_findings("the stall is found", LIMIT, |findings| !findings.is_empty()).await;
    let [stall] = &*findings else { panic!("one finding, not {:#?}", told(&findings)) };
    assert_eq!((&stall["kind"], &stall["state"]), (&"stalled".into(), &"open".into()));
    let at = &stall["expected"]["at"];
    let topic = at["topic"].as_str().expect("a stall stands before a position");
    let committed = pipeline.kafka.committed(&pipeline.group(), topic)[0];
    assert_eq!(at["offset"].as_i64(), committed, "it names the committed offset of `{topic}`");
    let detail = stall["detail"].as_str().expect("what is the matter");
    let likely =
        format!("likely poison: {counters}/0:{poison}, column `note`: 27 characters into character varying(20)");
    assert!(detail.contains(&likely), "{detail}");
    assert!(detail.contains("value too long for type character varying(20)"), "the task's own words: {detail}");

    pipeline.target.execute("ALTER TABLE counters ALTER note TYPE varchar(100)").await;
    pipeline.connect.restart_task(&sink, 0).await;
    pipeline.wait_applied().await;
    let healed = |findings: &[Value]| findings.iter().all(|finding| finding["state"] == "healed");
    let findings = sidecar.wait_findings("the stall heals", LIMIT, healed).await;
    assert_eq!(findings.len(), 1, "{:#?}", told(&findings));
    assert!(findings[0]["detail"].as_str().is_some_and(|detail| detail.contains(&likely)), "{:#?}", findings[0]);
    wait_all_verified(&pipeline, &[&sidecar]).await;
    assert_eq!(sidecar.findings().len(), 1, "{:#?}", told(&sidecar.findings()));
}
