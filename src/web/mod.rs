//! Liveness, readiness, metrics, the API and its pages for people on one port, loopback unless told otherwise.
//!
//! Everything served is a picture that the runtime publishes, or a read of the findings store: a request never touches
//! the tap, the engine or the target. What people do to findings goes to the store, and needs the token everywhere.
//!
//! On a loopback address the `Host` header must name it, so that no web page can reach it under a name of its own. On any
//! other address everything but the probes demands the token, which such a page does not know.

mod acts;
mod api;
mod events;
mod guard;
mod pages;
pub mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::config;
use crate::model::Wall;
use crate::store::{Desk, Store};
use crate::telemetry::Metrics;
use events::Audience;
use view::{Health, Status};

/// How long requests under way may take after the end was asked for. Reads of the store are done within a second; a client
/// that reads slower than this must not hold the process.
const GRACE: Duration = Duration::from_secs(3);

/// A port that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on `{listen}`; set web.listen to a free port, or to \"\" for none")]
pub struct WebError {
    /// Where.
    pub listen: SocketAddr,
    /// Why.
    #[source]
    pub source: std::io::Error,
}

/// What is served.
#[derive(Clone)]
pub struct Site {
    /// The address and the token.
    pub web: config::Web,
    /// How the parts of the process are. The runtime sends a new picture whenever it changes.
    pub health: watch::Receiver<Health>,
    /// How the pipelines stand. The runtime sends a new picture every second or so.
    pub status: watch::Receiver<Arc<Status>>,
    /// Findings.
    pub store: Store,
    /// The same for what people do to them.
    pub desk: Desk,
    /// Ids of findings to be looked at again soon.
    pub revalidate: mpsc::Sender<String>,
    /// The wall time now.
    pub now: Arc<dyn Fn() -> Wall + Send + Sync>,
    /// Counters.
    pub metrics: Metrics,
}

/// Takes the port, so that a taken one is told before anything starts.
///
/// # Errors
/// The address cannot be listened on.
pub async fn bind(web: &config::Web) -> Result<TcpListener, WebError> {
    TcpListener::bind(web.listen).await.map_err(|source| WebError { listen: web.listen, source })
}

/// Serves until `stop` is cancelled and the requests under way are answered.
///
/// # Errors
/// The listener fails for good.
pub async fn serve(listener: TcpListener, site: Site, stop: CancellationToken) -> std::io::Result<()> {
    let server =
        axum::serve(listener, router(site, stop.clone())).with_graceful_shutdown(stop.clone().cancelled_owned());
    let patience = async {
        stop.cancelled().await;
        tokio::time::timeout(GRACE, std::future::pending::<()>()).await
    };
    tokio::select! {
        ended = async { server.await } => ended,
        _ = patience => Ok(()),
    }
}

fn router(site: Site, stop: CancellationToken) -> Router {
    let site = Arc::new(site);
    Router::new()
        .route("/livez", get(api::livez))
        .route("/readyz", get(api::readyz))
        .route("/startupz", get(api::startupz))
        .route("/metrics", get(api::metrics))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/pipelines", get(api::pipelines))
        .route("/api/v1/pipelines/{name}", get(api::pipeline))
        .route("/api/v1/watermarks", get(api::watermarks))
        .route("/api/v1/events", get(events::events).layer(Extension(Audience::until(stop))))
        .route("/api/v1/findings", get(api::findings))
        .route("/api/v1/findings/{id}", get(api::finding))
        .route("/api/v1/findings/{id}/{act}", post(acts::act))
        .merge(pages::routes())
        .fallback(api::unknown)
        .layer(axum::middleware::from_fn_with_state(Arc::clone(&site), guard::check))
        .with_state(site)
}

#[cfg(test)]
mod tests;
