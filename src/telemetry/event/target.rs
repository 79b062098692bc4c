//! What happens on the target.

use std::time::Duration;

use metrics::{counter, histogram};
use tracing::warn;

use super::chain;
use crate::telemetry::name;

/// A lookup that came back.
#[derive(Debug, Clone, Copy)]
pub struct Looked<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// How many keys.
    pub keys: usize,
    /// How long it took.
    pub took: Duration,
}

impl Looked<'_> {
    /// Records it.
    pub fn emit(self) {
        let of = |name| histogram!(name, name::PIPELINE => self.pipeline.to_owned());
        of(name::TARGET_QUERY_DURATION).record(self.took.as_secs_f64());
        of(name::TARGET_BATCH_KEYS).record(self.keys as f64);
    }
}

/// A read of the target that taught nothing.
#[derive(Debug, Clone, Copy)]
pub struct TargetFailed<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// What failed and why.
    pub error: &'a dyn std::error::Error,
}

impl TargetFailed<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::TARGET_ERRORS, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        warn!(pipeline = self.pipeline, error = chain(self.error), "the target was not read; its keys stay unverified");
    }
}
