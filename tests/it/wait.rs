//! Waiting for the outside world: always for a condition, always with a deadline, never for a guessed length of time.
#![expect(
    clippy::disallowed_methods,
    reason = "polling a foreign process needs a clock and a pause; both live here alone"
)]

use std::future::Future;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(100);

/// Polls `probe` until it gives a value; panics with `what` when `limit` is over.
pub(crate) async fn until<T, F, P>(what: &str, limit: Duration, mut probe: P) -> T
where
    P: FnMut() -> F,
    F: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}

/// As [`until`], on a thread that may block.
pub(crate) fn until_now<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// As [`until`], for a probe that says what is still amiss: the panic repeats its last complaint.
pub(crate) async fn until_right<T, F, P>(what: &str, limit: Duration, mut probe: P) -> T
where
    P: FnMut() -> F,
    F: Future<Output = Result<T, String>>,
{
    let start = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(complaint) => assert!(start.elapsed() < limit, "waited {limit:?} in vain: {what}: {complaint}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Polls `probe` for all of `length`; panics with its complaint as soon as it has one.
pub(crate) async fn throughout<F, P>(what: &str, length: Duration, mut probe: P)
where
    P: FnMut() -> F,
    F: Future<Output = Result<(), String>>,
{
    let start = Instant::now();
    while start.elapsed() < length {
        if let Err(complaint) = probe().await {
            panic!("{what} did not hold after {:?}: {complaint}", start.elapsed());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Runs `act` at a steady pace until the future it returns is dropped.
pub(crate) async fn every<F, P>(pace: Duration, mut act: P)
where
    P: FnMut() -> F,
    F: Future<Output = ()>,
{
    let mut clock = tokio::time::interval(pace);
    loop {
        clock.tick().await;
        act().await;
    }
}
