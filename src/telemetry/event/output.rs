//! What happens to the store and to alerts.

use std::time::Duration;

use metrics::{counter, histogram};
use tracing::{error, info};

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
    /// Channel: its type, never its address.
    pub sink: &'a str,
    /// How many findings it told of.
    pub findings: usize,
    /// Why it was given up; `None`: delivered.
    pub error: Option<&'a dyn std::error::Error>,
}

impl AlertSent<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        let (sink, findings) = (self.sink, self.findings);
        let outcome = if self.error.is_some() { "failed" } else { "delivered" };
        counter!(name::ALERTS_SENT, name::SINK => sink.to_owned(), name::OUTCOME => outcome).increment(1);
        match self.error {
            None => info!(sink, findings, "alert delivered"),
            Some(error) => error!(sink, findings, error = chain(error), "alert not delivered"),
        }
    }
}
