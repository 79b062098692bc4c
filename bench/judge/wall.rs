//! The wall clock of this machine, which all parties of the bench share.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use afterimage::model::Wall;

/// Now, in milliseconds since 1970.
pub(crate) fn now() -> Wall {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// The wall time `by` later.
pub(crate) fn later(at: Wall, by: Duration) -> Wall {
    Wall(at.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
}

/// Seconds from one to the other.
pub(crate) fn seconds(from: Wall, to: Wall) -> f64 {
    (to.0 - from.0) as f64 / 1000.0
}
