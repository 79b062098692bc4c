//! What is done by the clock, or with what others have logged.

use std::time::Duration;

use metrics::counter;
use tracing::{info, warn};

use crate::telemetry::name;

/// A failure of another validation that was judged anew.
#[derive(Debug, Clone, Copy)]
pub struct FailureImported<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// What came of it, in a word.
    pub outcome: &'static str,
}

impl FailureImported<'_> {
    /// Counts it.
    pub fn emit(self) {
        counter!(name::FAILURES_IMPORTED, name::PIPELINE => self.pipeline.to_owned(), name::RESULT => self.outcome)
            .increment(1);
    }
}

/// A run by the clock that ended, or was not begun.
#[derive(Debug, Clone, Copy)]
pub struct ScheduleRan<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Its name.
    pub schedule: &'a str,
    /// `clean`, `findings`, `incomplete`, `failed` or `skipped`.
    pub outcome: &'static str,
    /// What came of it, or why it was not begun, as a sentence.
    pub detail: &'a str,
    /// How long it took.
    pub took: Duration,
}

impl ScheduleRan<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        let ScheduleRan { pipeline, schedule, outcome, detail, took } = self;
        counter!(
            name::SCHEDULE_RUNS,
            name::PIPELINE => pipeline.to_owned(),
            name::SCHEDULE => schedule.to_owned(),
            name::OUTCOME => outcome
        )
        .increment(1);
        let took_s = took.as_secs_f64();
        match outcome {
            "clean" => info!(pipeline, schedule, outcome, took_s, "{detail}"),
            _ => warn!(pipeline, schedule, outcome, took_s, "{detail}"),
        }
    }
}
