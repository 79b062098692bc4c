//! Kafka Connect's REST interface, as far as tests turn its knobs.

use std::time::Duration;

use reqwest::{Client, Method, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connector::Config;
use crate::wait;

/// Rebalances of a busy worker answer 409 for a while.
const PATIENCE: Duration = Duration::from_secs(60);

/// One Connect worker.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    http: Client,
    base: String,
}

/// States as Connect names them: `RUNNING`, `PAUSED`, `STOPPED`, `FAILED`, `UNASSIGNED`, `RESTARTING`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) connector: State,
    pub(crate) tasks: Vec<State>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct State {
    pub(crate) state: String,
    /// The stack trace of a failed task.
    #[serde(default)]
    pub(crate) trace: String,
}

impl Status {
    fn is(&self, state: &str) -> bool {
        self.connector.state == state && self.tasks.iter().all(|task| task.state == state)
    }

    fn assert_not_failed(&self, name: &str) {
        let failed = self.tasks.iter().find(|task| task.state == "FAILED");
        assert!(failed.is_none(), "a task of `{name}` failed: {}", failed.map_or("", |task| &task.trace));
    }
}

/// Where the committed position of a sink stands in one partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SinkOffset {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) next: i64,
}

/// The consumer group of a sink connector.
pub(crate) fn sink_group(connector: &str) -> String {
    format!("connect-{connector}")
}

impl Connect {
    pub(crate) fn new(base: &str) -> Self {
        Self { http: Client::new(), base: base.to_owned() }
    }

    /// The REST address, as `connect_url` of a pipeline wants it.
    pub(crate) fn url(&self) -> &str {
        &self.base
    }

    /// Creates or changes a connector and waits until all its tasks run.
    pub(crate) async fn deploy(&self, name: &str, config: &Config) {
        self.must(Method::PUT, &format!("connectors/{name}/config"), Some(config.to_json())).await;
        self.wait_running(name).await;
    }

    pub(crate) async fn status(&self, name: &str) -> Option<Status> {
        let answer = self.send(Method::GET, &format!("connectors/{name}/status"), None).await?;
        if !answer.status().is_success() {
            return None;
        }
        answer.json().await.ok()
    }

    /// Panics with the task's trace if the connector fails instead.
    pub(crate) async fn wait_running(&self, name: &str) {
        wait::until(&format!("connector `{name}` runs"), PATIENCE, || async {
            let status = self.status(name).await?;
            status.assert_not_failed(name);
            (!status.tasks.is_empty() && status.is("RUNNING")).then_some(())
        })
        .await;
    }

    /// Panics with its trace if a task has failed.
    pub(crate) async fn assert_not_failed(&self, name: &str) {
        if let Some(status) = self.status(name).await {
            status.assert_not_failed(name);
        }
    }

    /// Waits until some task has failed; returns its trace.
    pub(crate) async fn wait_failed(&self, name: &str) -> String {
        wait::until(&format!("a task of `{name}` fails"), PATIENCE, || async {
            let failed = self.status(name).await?.tasks.into_iter().find(|task| task.state == "FAILED");
            failed.map(|task| task.trace)
        })
        .await
    }

    /// Tasks stay assigned and idle; their consumers stay in the group.
    pub(crate) async fn pause(&self, name: &str) {
        self.must(Method::PUT, &format!("connectors/{name}/pause"), None).await;
        self.wait_state(name, "PAUSED").await;
    }

    /// Tasks are shut down; offsets may be changed.
    pub(crate) async fn stop(&self, name: &str) {
        self.must(Method::PUT, &format!("connectors/{name}/stop"), None).await;
        self.wait_state(name, "STOPPED").await;
    }

    /// Ends a pause or a stop.
    pub(crate) async fn resume(&self, name: &str) {
        self.must(Method::PUT, &format!("connectors/{name}/resume"), None).await;
        self.wait_running(name).await;
    }

    /// Restarts the connector and its tasks; returns when failed ones run again.
    pub(crate) async fn restart(&self, name: &str) {
        self.must(Method::POST, &format!("connectors/{name}/restart?includeTasks=true"), None).await;
        self.wait_state(name, "RUNNING").await;
    }

    /// As `restart`, for one task.
    pub(crate) async fn restart_task(&self, name: &str, task: u32) {
        self.must(Method::POST, &format!("connectors/{name}/tasks/{task}/restart"), None).await;
        self.wait_state(name, "RUNNING").await;
    }

    async fn wait_state(&self, name: &str, state: &str) {
        wait::until(&format!("connector `{name}` is {state}"), PATIENCE, || async {
            self.status(name).await?.is(state).then_some(())
        })
        .await;
    }

    pub(crate) async fn sink_offsets(&self, name: &str) -> Vec<SinkOffset> {
        let body: Value = self
            .must(Method::GET, &format!("connectors/{name}/offsets"), None)
            .await
            .json()
            .await
            .expect("offsets are JSON");
        let mut offsets: Vec<_> =
            body["offsets"].as_array().expect("a list of offsets").iter().map(sink_offset).collect();
        offsets.sort();
        offsets
    }

    /// Moves the committed position of a stopped sink, as an operator does to get past a poison record.
    pub(crate) async fn move_sink_offset(&self, name: &str, to: &SinkOffset) {
        let body = json!({"offsets": [{
            "partition": {"kafka_topic": to.topic, "kafka_partition": to.partition},
            "offset": {"kafka_offset": to.next},
        }]});
        self.must(Method::PATCH, &format!("connectors/{name}/offsets"), Some(body)).await;
    }

    /// Forgets the committed positions of a stopped connector.
    pub(crate) async fn delete_offsets(&self, name: &str) {
        self.must(Method::DELETE, &format!("connectors/{name}/offsets"), None).await;
    }

    /// Removes a connector if it is there. The offsets of its group stay.
    pub(crate) async fn delete(&self, name: &str) {
        wait::until(&format!("connector `{name}` is deleted"), PATIENCE, || async {
            let status = self.send(Method::DELETE, &format!("connectors/{name}"), None).await?.status();
            (status.is_success() || status == StatusCode::NOT_FOUND).then_some(())
        })
        .await;
    }

    /// Sends until the worker is not rebalancing; panics on any other refusal, with what it said.
    async fn must(&self, method: Method, path: &str, body: Option<Value>) -> Response {
        let answer = wait::until(&format!("Connect takes {method} {path}"), PATIENCE, || async {
            let answer = self.send(method.clone(), path, body.clone()).await?;
            (answer.status() != StatusCode::CONFLICT).then_some(answer)
        })
        .await;
        if !answer.status().is_success() {
            panic!("{method} {path}: {} {}", answer.status(), answer.text().await.unwrap_or_default());
        }
        answer
    }

    async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Option<Response> {
        let mut request = self.http.request(method, format!("{}/{path}", self.base));
        if let Some(body) = &body {
            request = request.json(body);
        }
        request.send().await.ok()
    }
}

fn sink_offset(entry: &Value) -> SinkOffset {
    SinkOffset {
        topic: entry["partition"]["kafka_topic"].as_str().expect("a topic").to_owned(),
        partition: entry["partition"]["kafka_partition"]
            .as_i64()
            .and_then(|n| i32::try_from(n).ok())
            .expect("a partition"),
        next: entry["offset"]["kafka_offset"].as_i64().expect("an offset"),
    }
}
