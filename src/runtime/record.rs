//! Findings become durable, then the positions below them are committed: in that order, always.
#![expect(clippy::disallowed_methods, reason = "the store is asked again at a bounded pace")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::model::PartitionId;
use crate::report::compose::Context as _;
use crate::report::document::Document;
use crate::report::webhook::Alerts;
use crate::store::{Store, StoreError, Watermark};
use crate::tap::Control;

use super::context::PipelineContext;
use super::driver::Record;
use super::poison::Reasons;
use super::tell;

/// Records taken at once: one transaction of the store.
const AT_ONCE: usize = 256;

/// The first and the longest wait before the store is asked again.
const RETRY: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(15));

/// Where findings go.
#[derive(Clone)]
pub(super) enum Sink {
    /// The store of the configuration.
    Store(Store),
    /// Memory, for a report at the end: newest statement by id, and ranges without a verdict.
    Memory(Arc<Mutex<Gathered>>),
}

/// What a report is made of.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) findings: BTreeMap<String, Document>,
    pub(super) unverifiable: Vec<(PartitionId, (u64, u64), &'static str)>,
}

/// Whether the store takes findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoreState {
    Taking,
    Failing,
}

/// The stage.
pub(super) struct Recorder {
    pub(super) context: PipelineContext,
    pub(super) sink: Sink,
    pub(super) control: Arc<dyn Control>,
    pub(super) alerts: Vec<Alerts>,
    pub(super) state: watch::Sender<StoreState>,
    pub(super) reasons: Reasons,
}

impl Recorder {
    /// Runs until the engine's loop is gone and everything it said is durable.
    pub(super) async fn run(mut self, mut records: mpsc::Receiver<Record>) {
        let mut taken = Vec::with_capacity(AT_ONCE);
        while records.recv_many(&mut taken, AT_ONCE).await > 0 {
            let mut findings = Vec::new();
            let mut commits: BTreeMap<PartitionId, u64> = BTreeMap::new();
            let mut flushed = Vec::new();
            for record in taken.drain(..) {
                match record {
                    Record::Finding(mut finding) => {
                        self.reasons.explain(&mut finding).await;
                        findings.push(Document::of(&finding, &self.context));
                    }
                    Record::Commit { partition, next } => {
                        commits.insert(partition, next);
                    }
                    Record::Unverifiable { partition, range, why } => self.unverifiable(partition, range, why),
                    Record::Flush(asker) => flushed.push(asker),
                }
            }
            self.write(findings).await;
            self.commit(commits).await;
            for asker in flushed {
                let _ = asker.send(());
            }
        }
    }

    fn unverifiable(&self, partition: PartitionId, range: (u64, u64), why: &'static str) {
        if let Sink::Memory(gathered) = &self.sink {
            let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.unverifiable.push((partition, range, why));
        }
    }

    /// Writes findings, for as long as it takes. Positions above them are not committed meanwhile.
    async fn write(&self, findings: Vec<Document>) {
        if findings.is_empty() {
            return;
        }
        match &self.sink {
            Sink::Memory(gathered) => {
                let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                for mut finding in findings {
                    if let Some(known) = gathered.findings.get(&finding.id) {
                        finding.first_seen = finding.first_seen.min(known.first_seen);
                    }
                    gathered.findings.insert(finding.id.clone(), finding);
                }
            }
            Sink::Store(store) => self.write_store(store, findings).await,
        }
    }

    async fn write_store(&self, store: &Store, findings: Vec<Document>) {
        let mut wait = RETRY.0;
        let recorded = loop {
            match store.record(&findings).await {
                Ok(recorded) => break recorded,
                Err(error) => self.store_failed(&error),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        };
        self.state.send_replace(StoreState::Taking);
        let by_id: BTreeMap<String, Document> =
            findings.into_iter().map(|finding| (finding.id.clone(), finding)).collect();
        for one in recorded {
            let Some(document) = by_id.get(&one.id) else { continue };
            if one.outcome.opened() {
                tell::opened(document);
                self.alerts.iter().for_each(|channel| channel.opened(document));
            } else if one.outcome.closed() {
                tell::closed(document);
                self.alerts.iter().for_each(|channel| channel.closed(document));
            }
        }
    }

    fn store_failed(&self, error: &StoreError) {
        self.state.send_replace(StoreState::Failing);
        metrics::counter!("afterimage_store_errors_total").increment(1);
        tracing::error!(
            pipeline = self.context.pipeline(),
            "findings wait, and commits with them: {}",
            tell::chain(error)
        );
    }

    async fn commit(&self, commits: BTreeMap<PartitionId, u64>) {
        if commits.is_empty() {
            return;
        }
        for (partition, next) in &commits {
            if let Err(error) = self.control.commit(*partition, *next) {
                tell::tap_failed(self.context.pipeline(), &error);
            }
        }
        if let Sink::Store(store) = &self.sink {
            let marks: Vec<Watermark> =
                commits.iter().map(|(partition, next)| self.watermark(*partition, *next)).collect();
            if let Err(error) = store.save_watermarks(self.context.pipeline(), &marks).await {
                self.store_failed(&error);
            }
        }
    }

    fn watermark(&self, partition: PartitionId, next: u64) -> Watermark {
        let name = self.context.partition(partition);
        let at = self.context.now();
        Watermark { topic: name.topic.to_string(), partition: name.partition, verified: next, applied: None, at }
    }
}
