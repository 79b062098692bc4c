//! What can be seen of a pipeline from outside, also after it has ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use crate::config::Pipeline;
use crate::engine::tally::Tally;
use crate::tap::Partitions;
use crate::target::Target;

use super::clock::Clock;
use super::context::PipelineContext;
use super::crash::{Crash, Guard};
use super::driver::TapState;
use super::record::{CommitTimes, StoreState};
use super::schemas::Schemas;
use super::tables::Tables;

/// The read-only side of a pipeline's stages.
#[derive(Clone)]
pub(super) struct Picture {
    pub(super) clock: Clock,
    pub(super) tables: Arc<Tables>,
    pub(super) partitions: Partitions,
    pub(super) tally: watch::Receiver<Tally>,
    pub(super) tap: watch::Receiver<TapState>,
    pub(super) store: watch::Receiver<StoreState>,
    pub(super) committed: CommitTimes,
    /// The last lookup failed.
    pub(super) failing: Arc<AtomicBool>,
    /// Whether one server answers.
    pub(super) target: Target,
    /// The schemas that records name.
    pub(super) schemas: Schemas,
    pub(super) guard: Guard,
}

impl Picture {
    /// Whether the last lookup failed.
    pub(super) fn is_target_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// The panic that ended the pipeline.
    pub(super) fn crash(&self) -> Option<&Crash> {
        self.guard.crash()
    }

    pub(super) fn context(&self, pipeline: &Pipeline) -> PipelineContext {
        PipelineContext::new(pipeline, Arc::clone(&self.tables), self.partitions.clone(), self.clock)
    }
}
