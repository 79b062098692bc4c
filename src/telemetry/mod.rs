//! Log lines and counters, emitted together.
//!
//! What happens is an [`event`]: one struct, whose `emit` writes the log line and moves the counter, so that the two never
//! disagree. Names are constants in [`name`]. No event carries a row value, and keys are named by hash.

pub mod event;
mod log;
mod metrics;
pub mod name;

pub use self::log::{Level, LogFormat, init_log};
pub use self::metrics::{Metrics, MetricsError};
