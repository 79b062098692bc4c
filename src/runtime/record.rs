//! Findings become durable, then the positions below them are committed: in that order, always.
#![expect(clippy::disallowed_methods, reason = "the store is asked again at a bounded pace")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::model::finding::{Finding, Kind, State, Subject};
use crate::model::position::PartitionName;
use crate::model::{PartitionId, Tick};
use crate::report::compose::Context as _;
use crate::report::document::Document;
use crate::report::summary::Unverified;
use crate::report::unverified::UnverifiedRange;
use crate::store::{self, Outcome, Store, StoreError, Watermark};
use crate::tap::Control;
use crate::telemetry::event;

use super::alerting::Alerts;
use super::context::PipelineContext;
use super::crash::Guard;
use super::driver::Record;
use super::ingest::Counts;
use super::inherited::Inherited;
use super::losses::Losses;
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
    /// The hashes of the keys that findings are about, by the findings' ids.
    pub(super) keys: BTreeMap<String, u128>,
    pub(super) unverifiable: Vec<UnverifiedRange>,
}

/// Whether the store takes findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StoreState {
    Taking,
    Failing,
}

/// When each partition was last committed.
pub(super) type CommitTimes = Arc<Mutex<BTreeMap<PartitionId, Tick>>>;

/// Open findings of a pipeline by kind, as its gauge shows them. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct OpenFindings(Arc<Mutex<BTreeMap<Kind, u64>>>);

impl OpenFindings {
    /// Counts them anew: those an earlier process left, and what people did since.
    ///
    /// # Errors
    /// When the store does not answer.
    pub(super) async fn load(&self, store: &Store, pipeline: &str) -> Result<(), StoreError> {
        let counted = store.counts(Some(pipeline)).await?;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.values_mut().for_each(|count| *count = 0);
        for count in counted.iter().filter(|count| count.state == State::Open) {
            *open.entry(count.kind).or_default() += count.count;
        }
        open.iter().for_each(|(kind, count)| show(pipeline, *kind, *count));
        Ok(())
    }

    fn changed(&self, finding: &Document, outcome: Outcome) {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(finding.kind).or_default();
        match outcome {
            Outcome::New { state: State::Open } | Outcome::StateChanged { to: State::Open, .. } => *count += 1,
            Outcome::StateChanged { from: State::Open, .. } => *count = count.saturating_sub(1),
            Outcome::New { .. } | Outcome::StateChanged { .. } | Outcome::Updated | Outcome::Unchanged => return,
        }
        show(&finding.pipeline, finding.kind, *count);
    }
}

fn show(pipeline: &str, kind: Kind, count: u64) {
    event::FindingsOpen { pipeline, kind, count }.emit();
}

/// The stage.
pub(super) struct Recorder {
    pub(super) context: PipelineContext,
    pub(super) sink: Sink,
    pub(super) control: Arc<dyn Control>,
    pub(super) alerts: Alerts,
    pub(super) state: watch::Sender<StoreState>,
    pub(super) reasons: Reasons,
    /// What the tap said of records that were gone.
    pub(super) losses: Losses,
    pub(super) open: OpenFindings,
    pub(super) inherited: Inherited,
    pub(super) committed: CommitTimes,
    pub(super) counts: Arc<Counts>,
    pub(super) guard: Guard,
}

impl Recorder {
    /// Runs until the engine's loop is gone and everything it said is durable.
    pub(super) async fn run(mut self, mut records: mpsc::Receiver<Record>) {
        if let Sink::Store(store) = &self.sink {
            let opened = self.open.load(store, self.context.pipeline()).await;
            let inherited = Inherited::load(store, self.context.pipeline()).await;
            match (opened, inherited) {
                (Ok(()), Ok(inherited)) => self.inherited = inherited,
                (Err(error), _) | (_, Err(error)) => event::StoreFailed { error: &error }.emit(),
            }
        }
        let mut taken = Vec::with_capacity(AT_ONCE);
        while records.recv_many(&mut taken, AT_ONCE).await > 0 {
            let mut findings = Vec::new();
            let mut commits: BTreeMap<PartitionId, u64> = BTreeMap::new();
            let mut flushed = Vec::new();
            let mut ranges = Vec::new();
            for record in taken.drain(..) {
                match record {
                    Record::Finding(finding) if self.counts.is_beside(&finding) => {}
                    Record::Finding(mut finding) => {
                        self.reasons.explain(&mut finding).await;
                        self.losses.explain(&mut finding);
                        findings.push(self.document(&finding));
                    }
                    Record::Commit { partition, next } => {
                        commits.insert(partition, next);
                    }
                    Record::Unverifiable { partition, range, why } => {
                        ranges.push(self.unverified(partition, range, why));
                    }
                    Record::Flush(asker) => flushed.push(asker),
                }
            }
            findings.iter().for_each(|finding: &Document| self.inherited.stated_anew(&finding.id));
            self.write(findings).await;
            self.write_ranges(store::merged(ranges)).await;
            let now = self.context.now();
            let over = self.inherited.passed(&commits, |id| self.context.partition(id), now);
            self.write(over).await;
            self.commit(commits).await;
            for asker in flushed {
                let _ = asker.send(());
            }
        }
    }

    fn document(&self, finding: &Finding) -> Document {
        let document = Document::of(finding, &self.context);
        if let (Sink::Memory(gathered), Subject::Row { key, .. }) = (&self.sink, &finding.subject) {
            let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.keys.insert(document.id.clone(), key.hash128());
        }
        document
    }

    fn unverified(&self, partition: PartitionId, range: (u64, u64), why: &'static str) -> UnverifiedRange {
        let PartitionName { topic, partition } = self.context.partition(partition);
        let (topic, to) = (topic.to_string(), range.1.saturating_add(1));
        let (pipeline, now) = (self.context.pipeline().to_owned(), self.context.now());
        let range = Unverified { topic, partition, from: range.0, to, reason: why.to_owned() };
        UnverifiedRange { pipeline, range, first_seen: now, last_seen: now }
    }

    /// Keeps ranges, for as long as it takes: a position behind one is committed only once the range is listed.
    async fn write_ranges(&self, ranges: Vec<UnverifiedRange>) {
        if ranges.is_empty() {
            return;
        }
        match &self.sink {
            Sink::Memory(gathered) => {
                let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
                let known = std::mem::take(&mut gathered.unverifiable);
                gathered.unverifiable = store::merged(known.into_iter().chain(ranges));
            }
            Sink::Store(store) => self.until_taken(|| store.record_unverified(&ranges)).await,
        }
    }

    /// Writes findings, for as long as it takes. Positions above them are not committed meanwhile.
    async fn write(&mut self, findings: Vec<Document>) {
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
            Sink::Store(store) => {
                let store = store.clone();
                self.write_store(&store, findings).await;
            }
        }
    }

    async fn write_store(&mut self, store: &Store, findings: Vec<Document>) {
        let routes = self.alerts.routes();
        let (recorded, merged) = self.until_taken(|| store.record_for(&findings, routes)).await;
        event::AlertsMerged { groups: merged }.emit();
        let by_id: BTreeMap<String, Document> =
            findings.into_iter().map(|finding| (finding.id.clone(), finding)).collect();
        for one in recorded {
            let Some(document) = by_id.get(&one.id) else { continue };
            self.open.changed(document, one.outcome);
            if one.outcome.opened() {
                tell::opened(document, self.context.now());
                self.alerts.wake();
            } else if one.outcome.closed() {
                tell::closed(document);
                self.alerts.wake();
            }
        }
    }

    /// Asks the store until it has taken something.
    async fn until_taken<T, F>(&self, write: impl Fn() -> F) -> T
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut wait = RETRY.0;
        loop {
            let began = self.context.clock.elapsed();
            match write().await {
                Ok(taken) => {
                    event::StoreWritten { took: self.context.clock.elapsed().saturating_sub(began) }.emit();
                    self.state.send_replace(StoreState::Taking);
                    return taken;
                }
                Err(error) => self.store_failed(&error),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    fn store_failed(&self, error: &StoreError) {
        self.state.send_replace(StoreState::Failing);
        event::StoreFailed { error }.emit();
        tracing::error!(pipeline = self.context.pipeline(), "findings wait, and commits with them");
    }

    /// Commits what was judged. A read that only reports commits nothing.
    async fn commit(&self, commits: BTreeMap<PartitionId, u64>) {
        let Sink::Store(store) = &self.sink else { return };
        // What a panic left half done may have been told as judged.
        if commits.is_empty() || self.guard.crash().is_some() {
            return;
        }
        for (partition, next) in &commits {
            if let Err(error) = self.control.commit(*partition, *next) {
                tell::tap_failed(self.context.pipeline(), &error);
                continue;
            }
            let name = self.context.partition(*partition);
            event::Committed { pipeline: self.context.pipeline(), partition: &name, next: *next }.emit();
            let mut committed = self.committed.lock().unwrap_or_else(PoisonError::into_inner);
            committed.insert(*partition, self.context.clock.now());
        }
        let marks: Vec<Watermark> = commits.iter().map(|(partition, next)| self.watermark(*partition, *next)).collect();
        if let Err(error) = store.save_watermarks(self.context.pipeline(), &marks).await {
            self.store_failed(&error);
        }
    }

    fn watermark(&self, partition: PartitionId, next: u64) -> Watermark {
        let name = self.context.partition(partition);
        let at = self.context.now();
        Watermark { topic: name.topic.to_string(), partition: name.partition, verified: next, applied: None, at }
    }
}
