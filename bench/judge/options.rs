//! What the command line says.

use std::path::PathBuf;

/// One regime of the bench.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Changes written at the source; a few more follow until everything is judged.
    pub(crate) changes: u64,
    /// Changes a second.
    pub(crate) rate: u64,
    /// Seconds that the applier is behind the tap, besides its window.
    pub(crate) lag_s: u64,
    /// Milliseconds in which the applier collects changes.
    pub(crate) window_ms: u64,
    /// Of the load, the faults and the second writer.
    pub(crate) seed: u64,
    /// Per cent of the keys that the timed rules judge.
    pub(crate) share: u64,
    /// The sidecar's program.
    pub(crate) binary: PathBuf,
    /// The `reladiff` program; without one that rule is left out.
    pub(crate) reladiff: Option<PathBuf>,
    /// Where to append the record; without one it is only printed.
    pub(crate) record: Option<PathBuf>,
    /// Where to keep the sidecar's log and the list of what was lost and found.
    pub(crate) keep: Option<PathBuf>,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Task {
    /// Run the regime.
    Run(Box<Options>),
    /// Print the table of the records in a file.
    Table(PathBuf),
}

pub(crate) const USAGE: &str = "usage: judge [--changes N] [--rate N] [--lag SECONDS] [--window MILLIS] [--seed N] \
[--share PER_CENT] [--binary FILE] [--reladiff FILE] [--record FILE] [--keep DIRECTORY] | judge table FILE";

impl Task {
    /// Reads the arguments; cargo adds `--bench`.
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Result<Task, String> {
        let mut arguments = arguments.filter(|argument| argument != "--bench");
        let mut options = Options::standard();
        while let Some(name) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("`{name}` wants a value\n{USAGE}"));
            if name == "table" {
                return Ok(Task::Table(value()?.into()));
            }
            let value = value()?;
            let number = || value.parse::<u64>().map_err(|_| format!("`{name} {value}`: not a number"));
            match name.as_str() {
                "--changes" => options.changes = number()?,
                "--rate" => options.rate = number()?.max(10),
                "--lag" => options.lag_s = number()?,
                "--window" => options.window_ms = number()?,
                "--seed" => options.seed = number()?,
                "--share" => options.share = number()?.min(100),
                "--binary" => options.binary = value.into(),
                "--reladiff" => options.reladiff = Some(value.into()),
                "--record" => options.record = Some(value.into()),
                "--keep" => options.keep = Some(value.into()),
                _ => return Err(format!("`{name}` is not known\n{USAGE}")),
            }
        }
        Ok(Task::Run(Box::new(options)))
    }
}

impl Options {
    fn standard() -> Options {
        Options {
            changes: 340_000,
            rate: 600,
            lag_s: 0,
            window_ms: 1000,
            seed: 1,
            share: 25,
            binary: env!("CARGO_BIN_EXE_afterimage").into(),
            reladiff: None,
            record: None,
            keep: None,
        }
    }
}
