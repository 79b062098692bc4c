//! A defect of this program.

use std::fmt::Display;

use metrics::counter;
use tracing::error;

use crate::telemetry::name;

/// A stage of a pipeline panicked: the pipeline ends.
#[derive(Clone, Copy)]
pub struct PipelineCrashed<'a> {
    /// Pipeline.
    pub pipeline: &'a str,
    /// Which stage, and where in the code. Never holds values.
    pub crash: &'a dyn Display,
    /// The calls that led there, where `RUST_BACKTRACE` asks for them.
    pub trace: Option<&'a dyn Display>,
}

impl PipelineCrashed<'_> {
    /// Logs it and counts it.
    pub fn emit(self) {
        counter!(name::PIPELINE_CRASHES, name::PIPELINE => self.pipeline.to_owned()).increment(1);
        error!(
            pipeline = self.pipeline,
            "the pipeline has ended, and commits nothing more: {}; this is a defect: restart, and report it",
            self.crash
        );
        if let Some(trace) = self.trace {
            error!(pipeline = self.pipeline, "{trace}");
        }
    }
}
