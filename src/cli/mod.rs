//! The command line: arguments in, exit codes out. Data goes to standard output, everything else to standard error.
//!
//! Nothing here reads a tap or a target: commands become plain arguments of [`crate::runtime::entry`].

mod archive;
pub mod args;
pub mod commands;
mod decode_output;
mod dms;
pub mod exit;
mod findings;
mod signal;
mod understand;

use std::io::Write;

use clap::Parser;

pub use self::commands::CliError;

/// Runs the command line of this process and returns its exit code.
#[must_use]
pub fn main() -> u8 {
    let cli = match args::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match commands::run(cli) {
        Ok(code) => code,
        Err(error) => complain(&error),
    }
}

/// Help and version are data and a success; everything else that clap says is a usage error.
fn refuse(error: &clap::Error) -> u8 {
    let printed = error.print();
    match (error.use_stderr(), printed) {
        (false, Ok(())) => exit::CLEAN,
        (false, Err(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => exit::CLEAN,
        (true, _) | (false, Err(_)) => exit::FAILED,
    }
}

fn complain(error: &CliError) -> u8 {
    if error.is_broken_pipe() {
        return exit::CLEAN;
    }
    let mut text = format!("error: {error}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!("\n  caused by: {cause}"));
        source = cause.source();
    }
    if let Some(hint) = error.hint() {
        text.push_str(&format!("\nhint: {hint}"));
    }
    text.push('\n');
    // When even standard error is gone there is nobody left to tell; the exit code says it still.
    let _ = std::io::stderr().write_all(text.as_bytes());
    exit::FAILED
}
