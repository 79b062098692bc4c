//! What happens, as it happens: server-sent events for pages and scripts.
//!
//! `status` at each renewal of the picture; `finding` for each finding that is new or in another state by what this process
//! writes, as the API gives it; `missed` with how many of these a slow listener lost. Nothing here is the truth that the lists
//! are: whoever connects again, or missed some, reads the lists.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio_util::sync::CancellationToken;

use super::Site;
use super::api::problem;
use super::view::{Beat, Status};
use crate::store::Store;

/// Listeners at once: each holds a connection, and costs a read of the store for each finding that turns.
const SEATS: usize = 32;

/// Who listens.
#[derive(Clone)]
pub(super) struct Audience {
    seats: Arc<Semaphore>,
    stop: CancellationToken,
}

impl Audience {
    /// One that goes home at `stop`.
    pub(super) fn until(stop: CancellationToken) -> Audience {
        Audience { seats: Arc::new(Semaphore::new(SEATS)), stop }
    }
}

struct Listener {
    status: watch::Receiver<Arc<Status>>,
    turned: broadcast::Receiver<Arc<str>>,
    store: Store,
    stop: CancellationToken,
    _seat: OwnedSemaphorePermit,
}

pub(super) async fn events(State(site): State<Arc<Site>>, Extension(audience): Extension<Audience>) -> Response {
    let Ok(seat) = audience.seats.try_acquire_owned() else {
        let message = format!("{SEATS} listen already: read the lists instead, or close a page");
        return problem(StatusCode::SERVICE_UNAVAILABLE, message);
    };
    let mut status = site.status.clone();
    // The first event comes at once.
    status.mark_changed();
    let (store, turned) = (site.store.clone(), site.store.listen());
    let listener = Listener { status, turned, store, stop: audience.stop, _seat: seat };
    let events = stream::unfold(listener, |mut listener| async {
        let event = listener.next().await?;
        Some((Ok::<Event, Infallible>(event), listener))
    });
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

impl Listener {
    /// The next event; `None` at the end of the process.
    async fn next(&mut self) -> Option<Event> {
        loop {
            let event = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                turned = self.turned.recv() => match turned {
                    Ok(id) => self.finding(&id).await,
                    Err(RecvError::Lagged(missed)) => told("missed", &serde_json::json!({ "findings": missed })),
                    Err(RecvError::Closed) => return None,
                },
                changed = self.status.changed() => {
                    changed.ok()?;
                    let status = Arc::clone(&self.status.borrow_and_update());
                    told("status", &Beat::of(&status))
                }
            };
            if event.is_some() {
                return event;
            }
        }
    }

    /// A finding that cannot be read is one that was missed.
    async fn finding(&self, id: &str) -> Option<Event> {
        match self.store.get(id).await {
            Ok(finding) => told("finding", &finding?),
            Err(error) => {
                crate::telemetry::event::StoreFailed { error: &error }.emit();
                told("missed", &serde_json::json!({ "findings": 1 }))
            }
        }
    }
}

fn told(name: &str, data: &impl serde::Serialize) -> Option<Event> {
    Event::default().event(name).json_data(data).ok()
}
