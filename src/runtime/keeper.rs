//! Beside the judges of `run`: findings of earlier processes, and those that the judges do not hold, are looked at again with
//! back-off, or as soon as somebody asks; and what was set aside for a while opens again.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Pipeline;
use crate::model::{Tick, Wall};
use crate::report::Document;
use crate::store::{About, Store};
use crate::target::Target;
use crate::telemetry::event;

use super::alerting::Alerts;
use super::clock::Clock;
use super::entry::Failure;
use super::findings::store_failure;
use super::record::OpenFindings;
use super::revalidate::{Depth, Looker};
use super::tell;

/// The first and the longest wait between two passes over what is open; it doubles while nothing heals.
const PASSES: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(3_600));

/// Findings of a pipeline that a pass compares with the source; the next pass goes on behind them, so that a burst of findings
/// costs the source as much as a few.
const COMPARED: usize = 2_000;

/// Between two pages of a pass, so that a burst of findings costs a page a second and not the target's attention.
const PAUSE: Duration = Duration::from_secs(1);

/// How often it is looked for what was set aside for a while.
const RUN_OUT: Duration = Duration::from_secs(15);

/// A pipeline whose findings are kept.
pub(super) struct Kept {
    pub(super) pipeline: Pipeline,
    pub(super) target: Target,
    pub(super) open: OpenFindings,
    /// The finding behind which the next pass compares with the source.
    pub(super) compared: String,
}

/// The task.
pub(super) struct Keeper {
    pub(super) kept: Vec<Kept>,
    pub(super) store: Store,
    pub(super) alerts: Alerts,
    pub(super) asked: mpsc::Receiver<String>,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
}

impl Keeper {
    /// Runs until it is stopped.
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.keep() => {}
        }
    }

    async fn keep(&mut self) {
        let (mut wait, mut next) = (PASSES.0, self.clock.now() + PASSES.0);
        loop {
            let left = next.since(self.clock.now()).min(RUN_OUT);
            let asked = tokio::time::timeout(left, self.asked.recv()).await;
            let done = match asked {
                Ok(Some(id)) => self.look_at(&id).await,
                Ok(None) => return,
                Err(_) if self.clock.now() < next => self.run_out().await,
                Err(_) => {
                    let healed = self.pass().await;
                    wait = if matches!(healed, Ok(1..)) { PASSES.0 } else { (wait * 2).min(PASSES.1) };
                    next = self.clock.now() + wait;
                    healed
                }
            };
            if let Err(failure) = done {
                tracing::warn!("open findings were not looked at again: {}", tell::chain(&failure));
            }
        }
    }

    fn now(&self) -> Wall {
        self.clock.wall(self.clock.now())
    }

    /// Opens what was set aside until now, and counts what is open as the store has it: people change it too.
    async fn run_out(&mut self) -> Result<u64, Failure> {
        let opened = self.store.run_out(self.now(), self.alerts.routes()).await.map_err(store_failure)?;
        if opened > 0 {
            self.alerts.wake();
        }
        for kept in &self.kept {
            kept.open.load(&self.store, &kept.pipeline.name).await.map_err(store_failure)?;
        }
        Ok(opened)
    }

    /// Looks at all that is open and was not seen for a while, a page at a time. Returns how many of them healed.
    async fn pass(&mut self) -> Result<u64, Failure> {
        self.run_out().await?;
        let began = self.clock.wall(Tick(self.clock.now().0) - PASSES.0);
        let mut healed = 0;
        for index in 0..self.kept.len() {
            let kept = &self.kept[index];
            let looker = Looker::new(&kept.pipeline, kept.target.clone(), self.stop.clone());
            let (mut after, mut compared, mut left) = (String::new(), kept.compared.clone(), COMPARED);
            loop {
                let page = self.store.open_findings(&kept.pipeline.name, About::Rows, &after).await;
                let page = page.map_err(store_failure)?;
                let Some(last) = page.last() else { break };
                after.clone_from(&last.id);
                let depth = if after > compared && left > 0 { Depth::Beside } else { Depth::Rows };
                let due = |document: &Document| document.may_heal() && document.last_seen < began;
                let due: Vec<Document> = page.into_iter().filter(due).collect();
                if depth == Depth::Beside {
                    left = left.saturating_sub(due.len());
                    compared.clone_from(&after);
                }
                healed += self.look(kept, &looker, due, depth).await?;
                // It ends by time alone: whoever stops the task drops it here.
                let _ = tokio::time::timeout(PAUSE, std::future::pending::<()>()).await;
            }
            // Whoever came to the end begins anew.
            self.kept[index].compared = if left > 0 { String::new() } else { compared };
        }
        Ok(healed)
    }

    async fn look_at(&mut self, id: &str) -> Result<u64, Failure> {
        let Some(document) = self.store.get(id).await.map_err(store_failure)? else { return Ok(0) };
        let kept = self.kept.iter().find(|kept| kept.pipeline.name == document.pipeline);
        let Some(kept) = kept.filter(|_| document.may_heal()) else { return Ok(0) };
        let looker = Looker::new(&kept.pipeline, kept.target.clone(), self.stop.clone());
        self.look(kept, &looker, vec![Document { history: Vec::new(), ..document }], Depth::Tap).await
    }

    async fn look(
        &self,
        kept: &Kept,
        looker: &Looker<'_>,
        documents: Vec<Document>,
        depth: Depth,
    ) -> Result<u64, Failure> {
        if documents.is_empty() {
            return Ok(0);
        }
        let (keys, began) = (documents.len(), self.clock.elapsed());
        let told = looker.look(documents, depth).await?;
        let took = self.clock.elapsed().saturating_sub(began);
        event::TargetRead { pipeline: &kept.pipeline.name, keys, took }.emit();
        super::again::record(&self.store, &told, self.alerts.routes()).await?;
        let over = told.iter().filter(|one| one.looked.is_over());
        let over = over.inspect(|one| tell::closed(one.statement.as_ref().unwrap_or(&one.document))).count();
        if over > 0 {
            self.alerts.wake();
            kept.open.load(&self.store, &kept.pipeline.name).await.map_err(store_failure)?;
        }
        Ok(over as u64)
    }
}
