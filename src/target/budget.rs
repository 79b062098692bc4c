//! The read budget: so many connections at once, so many keys a second.

use std::num::NonZeroU32;
use std::sync::Arc;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What may be taken at once, as a part of a second's budget: the budget is kept within this share from the first
/// second on, and a limit of a million keys still wakes up only twenty times a second.
const BURST_SHARE: u32 = 20;

/// Keeps reads within the budget. Whoever would exceed it waits; nothing is refused or dropped.
#[derive(Debug)]
pub(super) struct Budget {
    connections: Arc<Semaphore>,
    pace: Option<Pace>,
}

#[derive(Debug)]
struct Pace {
    limiter: DefaultDirectRateLimiter,
    burst: NonZeroU32,
}

impl Budget {
    /// A budget of connections, and of keys a second (0 is no limit).
    pub(super) fn new(max_connections: u32, reads_per_second: u32) -> Budget {
        let pace = NonZeroU32::new(reads_per_second).map(|rate| {
            let burst = NonZeroU32::new(rate.get() / BURST_SHARE).unwrap_or(NonZeroU32::MIN);
            Pace { limiter: RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)), burst }
        });
        Budget { connections: Arc::new(Semaphore::new(max_connections.max(1) as usize)), pace }
    }

    /// Waits until `keys` may be read and a connection is free. The keys are waited for first, so that a slow budget
    /// holds no connection.
    pub(super) async fn take(&self, keys: usize) -> Option<OwnedSemaphorePermit> {
        if let Some(pace) = &self.pace {
            pace.wait(u32::try_from(keys).unwrap_or(u32::MAX)).await;
        }
        self.connections.clone().acquire_owned().await.ok()
    }
}

impl Pace {
    async fn wait(&self, keys: u32) {
        let mut left = keys;
        while let Some(wanted) = NonZeroU32::new(left.min(self.burst.get())) {
            // The one error is a wish beyond the burst, which the line above rules out.
            if self.limiter.until_n_ready(wanted).await.is_err() {
                return;
            }
            left -= wanted.get();
        }
    }
}
