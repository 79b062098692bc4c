//! Lag is no loss: a sink that is paused under load, and a pipeline that has nothing to carry.

use std::time::Duration;

use serde_json::Value;

use crate::database::Dialect;
use crate::load::Load;
use crate::pipeline::{Pipeline, Plan, Topics};
use crate::sidecar::{Sidecar, beside};
use crate::verdict::{applied_by_commits, is_of_rows, quick, told, wait_all_verified};
use crate::wait;

const VERIFY_LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_paused_under_load_is_one_stall_that_heals() {
    let pipeline = Plan::new("paused", Dialect::Postgres).topics(Topics::PerTable(2)).start().await;
    let mut load = Load::new(7);
    pipeline.apply(&load.take(500)).await;
    let lines = quick(&format!("{}\nstall_after = \"20s\"", applied_by_commits(&pipeline)));
    let sidecar = Sidecar::run(&beside(&pipeline, &lines)).await;
    wait_all_verified(&pipeline, &[&sidecar]).await;
    assert!(sidecar.findings().is_empty(), "{:#?}", told(&sidecar.findings()));

    pipeline.connect.pause(&pipeline.sink_connector()).await;
    wait::throughout("no row is found wrong while the sink is paused", Duration::from_secs(60), || {
        let (changes, pipeline, sidecar) = (load.take(100), &pipeline, &sidecar);
        async move {
            pipeline.apply(&changes).await;
            let wrong: Vec<_> = sidecar.findings().into_iter().filter(is_of_rows).collect();
            if wrong.is_empty() { Ok(()) } else { Err(format!("{:#?}", told(&wrong))) }
        }
    })
    .await;
    assert_one_stall(&sidecar.findings(), "open", &pipeline);

    pipeline.connect.resume(&pipeline.sink_connector()).await;
    pipeline.wait_applied().await;
    wait_all_verified(&pipeline, &[&sidecar]).await;
    let healed = |findings: &[Value]| findings.iter().all(|finding| finding["state"] == "healed");
    let findings = sidecar.wait_findings("the stall heals", VERIFY_LIMIT, healed).await;
    assert_one_stall(&findings, "healed", &pipeline);
}

/// It names a position before which the sink stood: a committed offset of then, so not behind that of now.
fn assert_one_stall(findings: &[Value], state: &str, pipeline: &Pipeline) {
    let [stall] = findings else { panic!("one finding, not {:#?}", told(findings)) };
    assert_eq!((&stall["kind"], &stall["state"]), (&"stalled".into(), &state.into()));
    let at = &stall["expected"]["at"];
    let topic = at["topic"].as_str().expect("a stall stands before a position");
    let partition = usize::try_from(at["partition"].as_i64().expect("a partition")).expect("a small number");
    let committed = pipeline.kafka.committed(&pipeline.group(), topic)[partition].expect("the sink has committed");
    let offset = at["offset"].as_i64().expect("an offset");
    if state == "open" {
        assert_eq!(offset, committed, "it names the committed offset");
    } else {
        assert!(offset <= committed, "the sink has passed {offset}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_pipeline_has_no_finding_and_neither_has_its_awakening() {
    let pipeline = Plan::new("quiet", Dialect::Postgres).topics(Topics::PerTable(1)).start().await;
    let mut load = Load::new(8);
    pipeline.apply(&load.take(300)).await;
    pipeline.wait_applied().await;
    let sections = |applied: &str, group: &str| {
        let lines = quick(&format!("{applied}\nstall_after = \"20s\""));
        beside(&pipeline, &lines).replace("\"afterimage-", &format!("\"{group}-"))
    };
    let by_commits = Sidecar::run(&sections(&applied_by_commits(&pipeline), "commits")).await;
    let by_rows = Sidecar::run(&sections("applied = \"inferred\"", "rows")).await;
    wait_all_verified(&pipeline, &[&by_commits]).await;

    wait::throughout("nothing is found in silence", Duration::from_secs(60), || async {
        no_finding(&[&by_commits, &by_rows])
    })
    .await;
    pipeline.apply(&load.take(20)).await;
    wait::throughout("nothing is found in what comes then", Duration::from_secs(5), || async {
        no_finding(&[&by_commits, &by_rows])
    })
    .await;
    wait_all_verified(&pipeline, &[&by_commits]).await;
    assert_eq!(no_finding(&[&by_commits, &by_rows]), Ok(()));
}

fn no_finding(sidecars: &[&Sidecar]) -> Result<(), String> {
    let found: Vec<_> = sidecars.iter().flat_map(|sidecar| sidecar.findings()).collect();
    if found.is_empty() { Ok(()) } else { Err(format!("{:#?}", told(&found))) }
}
