//! Three kinds of time that never convert into one another by themselves.

use std::ops::{Add, Sub};
use std::time::Duration;

/// Monotonic milliseconds since the pipeline started. The only time a deadline may be made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// Milliseconds from `earlier` to `self`; zero if `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Tick) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Tick {
    type Output = Tick;
    fn add(self, by: Duration) -> Tick {
        Tick(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl Sub<Duration> for Tick {
    type Output = Tick;
    fn sub(self, by: Duration) -> Tick {
        Tick(self.0.saturating_sub(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }
}

/// What the log says: milliseconds since the Unix epoch on the *source's* clock. A hint about order, never a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SourceTime(pub i64);

/// Our own wall clock: milliseconds since the Unix epoch. For display and storage only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(pub i64);

fn rfc3339(millis: i64) -> String {
    chrono::DateTime::from_timestamp_millis(millis)
        .map_or_else(|| format!("{millis} ms since 1970"), |at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

impl Wall {
    /// How long after a commit at the source, between two clocks: zero where the source's is ahead.
    #[must_use]
    pub fn after(self, committed: SourceTime) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(committed.0)).unwrap_or_default())
    }

    /// RFC 3339, UTC, milliseconds: `2026-11-22T10:00:01.000Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        rfc3339(self.0)
    }
}

impl SourceTime {
    /// RFC 3339, UTC, milliseconds: `2026-11-22T10:00:01.000Z`.
    #[must_use]
    pub fn rfc3339(self) -> String {
        rfc3339(self.0)
    }
}
