//! Signals: the first one asks to stop, the second one ends at once.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit;

/// How work ended.
pub(super) struct Ended<T> {
    /// What it returned; `None` if a second signal cut it short.
    pub(super) result: Option<T>,
    /// The exit code of the signal that ended it, if one did.
    pub(super) signalled: Option<u8>,
}

/// Waits for `work`. The first SIGINT or SIGTERM cancels `stop`, and the work may end in its own way; the second abandons it.
///
/// # Errors
/// Signals cannot be listened to.
pub(super) async fn until_signalled<T>(
    work: impl Future<Output = T>,
    stop: CancellationToken,
) -> std::io::Result<Ended<T>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut signalled = None;
    tokio::pin!(work);
    loop {
        let code = tokio::select! {
            biased;
            result = &mut work => return Ok(Ended { result: Some(result), signalled }),
            _ = interrupt.recv() => exit::INTERRUPTED,
            _ = terminate.recv() => exit::TERMINATED,
        };
        if signalled.replace(code).is_some() {
            return Ok(Ended { result: None, signalled });
        }
        tracing::info!("stopping; a second signal ends at once");
        stop.cancel();
    }
}
