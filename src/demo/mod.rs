//! The whole thing in one process: a simulated source, rdkafka's mock cluster as the broker, a batch applier that loses
//! merges, a SQLite target, and the sidecar beside it, by the same road as `run`.
//!
//! ```text
//! source ──▶ broker ──▶ applier ──▶ target
//!               └─────▶ sidecar ──reads──┘
//! ```
//! The applier dies in the middle of merge windows for the first half of the time; it writes down what it lost thereby.
//! Traffic goes on until the sidecar has found the last of it. What it says is then held against what was lost.

pub mod applier;

mod broker;
pub mod dice;
mod live;
mod report;
mod score;
mod sidecar;
mod source;
mod stage;

use std::io::Write;

use tokio_util::sync::CancellationToken;

use crate::runtime::entry::{Failure, Outcome, OutputFormat};
use crate::telemetry::Metrics;

use stage::{Plan, Stage};

/// What `demo` is asked.
pub struct DemoArgs {
    /// The seed of everything that is random.
    pub seed: u64,
    /// How to print the report: a table or JSON.
    pub format: OutputFormat,
    /// Whether a live view is shown on the terminal.
    pub view: View,
    /// The counters.
    pub metrics: Metrics,
    /// Cancelled at the first signal.
    pub stop: CancellationToken,
}

/// What is shown while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum View {
    /// A view that is redrawn, on a terminal.
    Live,
    /// A line every 10 seconds, elsewhere.
    Lines,
}

/// Runs the demonstration; the report goes to `out`. Clean only if everything planted was found and nothing else.
///
/// # Errors
/// What kept it from running.
pub async fn demo(args: DemoArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let stage = Stage::set(args.seed, args.metrics).await?;
    let report = stage.play(&Plan::default(), args.view, &args.stop).await?;
    let printed = match args.format {
        OutputFormat::Json | OutputFormat::Ndjson => report.json(out),
        OutputFormat::Table | OutputFormat::Csv | OutputFormat::Markdown | OutputFormat::Junit | OutputFormat::Html => {
            report.table(out)
        }
    };
    let written = printed.and_then(|()| out.flush());
    written
        .map_err(|error| Failure { source: Some(Box::new(error)), ..Failure::new("the report cannot be written") })?;
    Ok(if report.is_clean() { Outcome::Clean } else { Outcome::Findings })
}
