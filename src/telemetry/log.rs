//! The log on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    #[default]
    Auto,
    /// Lines for people
    Text,
    /// One JSON object a line
    Json,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Errors alone: commands that draw on the terminal themselves.
    Errors,
    /// Warnings and errors, and how far long work is: commands that print their result.
    Quiet,
    /// What an operator wants to know: commands that go on for long.
    Usual,
    /// Decisions of the runtime.
    Verbose,
    /// Everything, the clients' own logs too.
    Everything,
}

impl Level {
    fn directives(self) -> &'static str {
        match self {
            Level::Errors => "error,rdkafka=off",
            Level::Quiet => "warn,rdkafka=off,afterimage::runtime::progress=info",
            Level::Usual => "warn,rdkafka=off,afterimage=info",
            Level::Verbose => "info,rdkafka=off,afterimage=debug",
            Level::Everything => "debug,afterimage=trace",
        }
    }
}

/// Sets up the log of this process. `RUST_LOG` wins over the level; a second call changes nothing.
pub fn init_log(format: LogFormat, level: Level) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level.directives()));
    let terminal = std::io::stderr().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    let set = match (format, terminal) {
        (LogFormat::Text, _) | (LogFormat::Auto, true) => log.with_ansi(colour).try_init(),
        (LogFormat::Json, _) | (LogFormat::Auto, false) => log.json().flatten_event(true).try_init(),
    };
    // Only a log that is set up already refuses, as in tests that run in one process.
    drop(set);
}
