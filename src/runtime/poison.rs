//! Why an applier may stand still: what Kafka Connect says of its task, and the first record behind its position that the
//! target cannot hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::engine::tally::Tally;
use crate::model::Position;
use crate::model::finding::{Finding, Kind, State, Subject};

use crate::tap::Partitions;

use super::images::ImageStore;
use super::tables::Tables;

/// Records looked at behind the position an applier stands before: more than one poll of a sink.
const LOOK_AT: usize = 2000;

/// How long Connect may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(3);

/// Characters of a trace that are shown: its first line says what failed.
const TRACE: usize = 400;

/// What reasons are looked up in.
pub(super) struct Reasons {
    pub(super) images: Arc<ImageStore>,
    pub(super) tables: Arc<Tables>,
    /// Kafka Connect's REST address and the connector's name, where both are known.
    pub(super) connect: Option<(String, String)>,
    pub(super) client: reqwest::Client,
    /// Where the applier stands: a failed task holds back partitions that hold no poison.
    pub(super) tally: watch::Receiver<Tally>,
    pub(super) partitions: Partitions,
    /// What was last said of a stall: one that heals keeps its reason.
    pub(super) said: String,
}

impl Reasons {
    /// Adds to a `stalled` finding what is likely in the way, or was.
    pub(super) async fn explain(&mut self, finding: &mut Finding) {
        if finding.kind != Kind::Stalled {
            return;
        }
        let Subject::Scope { at: Some(at), detail } = &mut finding.subject else { return };
        if finding.state == State::Open {
            self.said = self.reason(*at).await;
        }
        detail.push_str(&self.said);
    }

    async fn reason(&self, at: Position) -> String {
        let mut reason = String::new();
        if let Some(poison) = self.standing(at).into_iter().find_map(|at| self.poison(at)) {
            reason.push_str("; likely poison: ");
            reason.push_str(&poison);
        }
        if let Some(trace) = self.trace().await {
            reason.push_str("; the sink's task says: ");
            reason.push_str(&trace);
        }
        reason
    }

    /// Every position that the applier stands before, the one that is named first.
    fn standing(&self, at: Position) -> Vec<Position> {
        let tally = self.tally.borrow();
        let behind = tally.partitions.iter().filter_map(|mark| {
            let offset = mark.committed.filter(|next| *next < mark.end)?;
            Some(Position { partition: mark.partition, offset })
        });
        std::iter::once(at).chain(behind.filter(|other| other.partition != at.partition)).collect()
    }

    fn poison(&self, at: Position) -> Option<String> {
        let behind = self.images.behind(at, LOOK_AT);
        behind.into_iter().find_map(|(offset, table, row)| {
            let plan = self.tables.plan(table)?;
            let misfit = plan.misfit(&row)?;
            let place = self.partitions.name(at.partition);
            Some(format!("{place}:{offset}, column `{}`: {}", misfit.column, misfit.why))
        })
    }

    async fn trace(&self) -> Option<String> {
        let (url, connector) = self.connect.as_ref()?;
        let url = format!("{}/connectors/{connector}/status", url.trim_end_matches('/'));
        let answer = self.client.get(url).timeout(ANSWER_WITHIN).send().await.ok()?;
        let status: serde_json::Value = answer.json().await.ok()?;
        let tasks = status.get("tasks")?.as_array()?;
        let failed = tasks.iter().find(|task| task.get("state").and_then(|state| state.as_str()) == Some("FAILED"))?;
        let trace = failed.get("trace").and_then(|trace| trace.as_str()).unwrap_or("FAILED");
        let cause = trace.lines().rfind(|line| line.starts_with("Caused by:"));
        let line = cause.or(trace.lines().next()).unwrap_or("FAILED");
        Some(line.chars().take(TRACE).collect())
    }
}
