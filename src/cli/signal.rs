//! Signals: the first one asks to stop, the second one ends at once.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
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
/// Signals are heard by a task of their own: work that blocks its thread must see `stop` too.
///
/// # Errors
/// Signals cannot be listened to.
pub(super) async fn until_signalled<T>(
    work: impl Future<Output = T>,
    stop: CancellationToken,
) -> std::io::Result<Ended<T>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (heard, mut signals) = watch::channel(None);
    let mut listening = JoinSet::new();
    listening.spawn(async move {
        loop {
            let code = tokio::select! {
                _ = interrupt.recv() => exit::INTERRUPTED,
                _ = terminate.recv() => exit::TERMINATED,
            };
            if !stop.is_cancelled() {
                tracing::info!("stopping; a second signal ends at once");
            }
            stop.cancel();
            heard.send_modify(|heard: &mut Option<(u8, Nth)>| {
                *heard = Some((code, heard.map_or(Nth::First, |_| Nth::Later)));
            });
        }
    });
    tokio::pin!(work);
    loop {
        tokio::select! {
            biased;
            result = &mut work => {
                let signalled = signals.borrow().map(|(code, _)| code);
                return Ok(Ended { result: Some(result), signalled });
            }
            Ok(()) = signals.changed() => {
                if let Some((code, Nth::Later)) = *signals.borrow() {
                    return Ok(Ended { result: None, signalled: Some(code) });
                }
            }
        }
    }
}

/// Which signal it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Nth {
    First,
    Later,
}
