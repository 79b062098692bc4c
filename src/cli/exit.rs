//! Exit codes. They are part of what scripts may rely on, and never a count.

use crate::runtime::entry::Outcome;

/// Verified clean: nothing is wrong.
pub const CLEAN: u8 = 0;

/// Findings at or above `--fail-on`; for `decode`, a rejected record; for `demo`, a missed or a false finding.
pub const FINDINGS: u8 = 1;

/// Usage, configuration or I/O error, or the range could not be fully verified. Wins over findings.
pub const FAILED: u8 = 2;

/// Ended by SIGINT.
pub const INTERRUPTED: u8 = 130;

/// Ended by SIGTERM.
pub const TERMINATED: u8 = 143;

/// The code of a command that did what it was asked.
#[must_use]
pub fn of(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Clean => CLEAN,
        Outcome::Findings => FINDINGS,
        Outcome::Incomplete => FAILED,
    }
}
