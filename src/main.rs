//! Parses arguments, calls the library, maps the result to an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(afterimage::cli::main())
}
