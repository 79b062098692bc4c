//! What happens to the store and to alerts.

use std::time::Duration;

use metrics::{counter, gauge, histogram};
use tracing::{debug, error, info};

use super::chain;
use crate::telemetry::name;

/// A write of the store that was durable.
#[derive(Debug, Clone, Copy)]
pub struct StoreWritten {
    /// How long it took.
    pub took: Duration,
}

impl StoreWritten {
    /// Records it.
    pub fn emit(self) {
        histogram!(name::STORE_WRITE_DURATION).record(self.took.as_secs_f64());
    }
}

/// A store that did not do what it was asked.
#[derive(Debug, Clone, Copy)]
pub struct StoreFailed<'a> {
    /// What failed and why.
    pub error: &'a dyn std::error::Error,
}

impl StoreFailed<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::STORE_ERRORS).increment(1);
        error!(error = chain(self.error), "the findings store failed");
    }
}

/// An alert that was delivered, or was given up.
#[derive(Debug, Clone, Copy)]
pub struct AlertSent<'a> {
    /// Channel: its name, never its address.
    pub sink: &'a str,
    /// How many findings it told of.
    pub findings: usize,
    /// Why it was not taken; `None`: delivered.
    pub error: Option<&'a dyn std::error::Error>,
    /// Whether an error is worth a line.
    pub loudness: Loudness,
}

/// Whether an error is worth a line for everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loudness {
    /// It is news.
    Loud,
    /// It was told before and goes on.
    Quiet,
}

impl AlertSent<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        let (sink, findings) = (self.sink, self.findings);
        let outcome = if self.error.is_some() { "failed" } else { "delivered" };
        counter!(name::ALERTS_SENT, name::SINK => sink.to_owned(), name::OUTCOME => outcome).increment(1);
        match (self.error, self.loudness) {
            (None, _) => info!(sink, findings, "alert delivered"),
            (Some(error), Loudness::Loud) => {
                error!(sink, findings, error = chain(error), "alert not delivered: it waits in the store");
            }
            (Some(error), Loudness::Quiet) => debug!(sink, findings, error = chain(error), "alert not delivered"),
        }
    }
}

/// What a channel has not told yet, as gauges.
#[derive(Debug, Clone, Copy)]
pub struct AlertsQueued<'a> {
    /// Channel: its name, never its address.
    pub sink: &'a str,
    /// Findings to be told of.
    pub findings: u64,
    /// How long no message was taken; zero: the last one was.
    pub failing: Duration,
}

impl AlertsQueued<'_> {
    /// Sets the gauges.
    pub fn emit(self) {
        let sink = self.sink.to_owned();
        gauge!(name::ALERTS_QUEUED, name::SINK => sink.clone()).set(self.findings as f64);
        gauge!(name::ALERTS_FAILING, name::SINK => sink).set(self.failing.as_secs_f64());
    }
}

/// Groups of news that were put together, because a channel had too many.
#[derive(Debug, Clone, Copy)]
pub struct AlertsMerged {
    /// How many.
    pub groups: u64,
}

impl AlertsMerged {
    /// Counts them.
    pub fn emit(self) {
        counter!(name::ALERTS_MERGED).increment(self.groups);
    }
}
