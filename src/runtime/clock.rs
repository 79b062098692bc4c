//! The only file that reads clocks.
#![expect(clippy::disallowed_methods, reason = "this is the file that reads clocks")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::model::{Tick, Wall};

/// A monotonic clock and the wall time at which it started.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: Instant,
    began_at: Wall,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Clock {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { began: Instant::now(), began_at: Wall(i64::try_from(since.as_millis()).unwrap_or(i64::MAX)) }
    }

    /// Milliseconds since the start.
    #[must_use]
    pub fn now(&self) -> Tick {
        Tick(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Time since the start, exactly.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The wall time of a tick, as our clock stood at the start: a later step of the system clock does not move it.
    #[must_use]
    pub fn wall(&self, at: Tick) -> Wall {
        Wall(self.began_at.0.saturating_add(i64::try_from(at.0).unwrap_or(i64::MAX)))
    }

    /// The moment of a tick, for timers.
    #[must_use]
    pub fn instant(&self, at: Tick) -> Instant {
        self.began + Duration::from_millis(at.0)
    }
}
