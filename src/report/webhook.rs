//! Alerts posted to a web address as JSON: signed, retried, at least once.
//!
//! `X-Afterimage-Timestamp` is the second of the attempt since the Unix epoch. With a secret, `X-Afterimage-Signature` is
//! `v1=` and the hex HMAC-SHA256, under that secret, of the timestamp, a dot and the body. A receiver checks the signature,
//! refuses timestamps that are minutes off, and forgets repetitions of `X-Afterimage-Delivery`, which stays the same when a
//! delivery is tried again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use hmac::{Hmac, KeyInit, Mac};
use metrics::counter;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::alert::Alert;
use super::document::Document;
use super::group::{GroupKey, Groups, Limits, Placed};
use crate::model::finding::{Kind, Severity};
use crate::model::{Tick, Wall};
use crate::telemetry::event::AlertSent;
use crate::telemetry::name;

/// The word for this kind of channel in metrics and logs.
const SINK: &str = "webhook";

/// A receiver that has not answered by then is busy; receivers should answer before they act.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of the process may wait for what is still to be told.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Larger bodies lose findings from their end; the counts still tell of them. Common receivers take 1 MiB.
const BODY_LIMIT_BYTES: usize = 512 * 1024;

/// The longest wait between two looks at the groups, where nothing is due: any bound will do.
const IDLE: Duration = Duration::from_secs(3_600);

/// Which findings a channel hears of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The least severity.
    pub severity: Severity,
    /// Only these kinds; empty: all.
    pub kinds: Vec<Kind>,
    /// Only these tables, as the tap names them; empty: all, and findings that concern no table.
    pub tables: Vec<String>,
}

impl Filter {
    fn passes(&self, document: &Document) -> bool {
        let table = |table: &String| self.tables.contains(table);
        document.severity >= self.severity
            && (self.kinds.is_empty() || self.kinds.contains(&document.kind))
            && (self.tables.is_empty() || document.table.as_ref().is_some_and(table))
    }
}

/// The news of one channel on their way out. Cheap to clone; taking news never waits and never loses any.
#[derive(Debug, Clone)]
pub struct Alerts {
    filter: Arc<Filter>,
    groups: Arc<Mutex<Groups>>,
    wake: Arc<Notify>,
}

impl Alerts {
    /// Nothing to tell yet.
    #[must_use]
    pub fn new(filter: Filter, limits: Limits) -> Alerts {
        let groups = Arc::new(Mutex::new(Groups::new(limits)));
        Alerts { filter: Arc::new(filter), groups, wake: Arc::new(Notify::new()) }
    }

    /// So many findings of a group were open before this process began.
    pub fn seed(&self, key: GroupKey, open: u64) {
        self.groups().seed(key, open);
    }

    /// A finding opened.
    pub fn opened(&self, document: &Document) {
        self.tell(document, Groups::opened);
    }

    /// A finding that had been open is over.
    pub fn closed(&self, document: &Document) {
        self.tell(document, Groups::closed);
    }

    fn tell(&self, document: &Document, news: fn(&mut Groups, &Document) -> Placed) {
        if !self.filter.passes(document) {
            return;
        }
        match news(&mut self.groups(), document) {
            Placed::Own => {}
            Placed::Merged => counter!(name::ALERTS_MERGED, name::SINK => SINK).increment(1),
        }
        self.wake.notify_one();
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time, which this module does not read by itself.
pub trait Clock: Send + Sync {
    /// Monotonic.
    fn now(&self) -> Tick;

    /// On our wall clock.
    fn wall(&self) -> Wall;
}

/// How a delivery is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Attempts after the first.
    pub times: usize,
    /// Wait before the first of them; it doubles from one to the next.
    pub first_wait: Duration,
}

impl Default for Retry {
    /// 1, 2, 4, 8 and 16 seconds: half a minute covers a receiver's restart. What fails longer is told again at the end of
    /// its group's window.
    fn default() -> Retry {
        Retry { times: 5, first_wait: Duration::from_secs(1) }
    }
}

/// A delivery that failed.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// No answer, or one that asks to come back later.
    #[error("the webhook cannot be reached: check that it runs and that this host may connect to it")]
    Unreachable {
        /// The client's error, without the address.
        #[source]
        source: reqwest::Error,
    },
    /// The receiver answered that it will not take it, now or at all.
    #[error("the webhook answered {status}: check its address, its secret, and its own log")]
    Refused {
        /// HTTP status.
        status: u16,
    },
    /// The address or the client's set-up is wrong.
    #[error("the webhook's address cannot be used: write `https://host/path`")]
    Unusable {
        /// The client's error, without the address.
        #[source]
        source: reqwest::Error,
    },
    /// The alert is no JSON.
    #[error("the alert cannot be written as JSON")]
    Unwritable {
        /// The writer's error.
        #[source]
        source: serde_json::Error,
    },
}

impl DeliveryError {
    /// Whether the same delivery may succeed by itself.
    fn may_pass(&self) -> bool {
        match self {
            DeliveryError::Unreachable { .. } => true,
            // Request timeout, too early, too many requests, and every failure of the receiver's own.
            DeliveryError::Refused { status } => matches!(status, 408 | 425 | 429 | 500..),
            DeliveryError::Unusable { .. } | DeliveryError::Unwritable { .. } => false,
        }
    }
}

/// One web address that alerts are posted to.
#[derive(Debug)]
pub struct Webhook {
    url: reqwest::Url,
    secret: Option<SecretString>,
    retry: Retry,
    client: reqwest::Client,
}

impl Webhook {
    /// A channel to `url`, signed if there is a secret. Redirects are not followed: what is signed goes where the user said.
    ///
    /// # Errors
    /// When the address is none.
    pub fn new(url: &SecretString, secret: Option<SecretString>, retry: Retry) -> Result<Webhook, DeliveryError> {
        let unusable = |source: reqwest::Error| DeliveryError::Unusable { source: source.without_url() };
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("afterimage/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(unusable)?;
        let url = client.get(url.expose_secret()).build().map_err(unusable)?.url().clone();
        Ok(Webhook { url, secret, retry, client })
    }

    /// Delivers news until `stop`, then once more all that is left.
    pub async fn run(self, alerts: Alerts, clock: Arc<dyn Clock>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let due = alerts.groups().poll(clock.now());
            if let Some(alert) = due {
                tokio::select! {
                    delivered = self.deliver(&alert, clock.as_ref()) => self.settle(alert, delivered, &alerts, clock.now()),
                    () = stop.cancelled() => alerts.groups().undelivered(alert, clock.now()),
                }
                continue;
            }
            let next = alerts.groups().poll_timeout();
            let wait = next.map_or(IDLE, |(at, _)| at.since(clock.now()));
            tokio::select! {
                // That the time is up is as good a reason to look again as news is.
                _ = tokio::time::timeout(wait, alerts.wake.notified()) => {}
                () = stop.cancelled() => {}
            }
        }
        // What is not told by then stays in the store, and in the counts that a restart begins with.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, self.flush(&alerts, clock.as_ref())).await;
    }

    /// Delivers one alert, trying again as far as its error may pass.
    ///
    /// # Errors
    /// What the last attempt failed with.
    pub async fn deliver(&self, alert: &Alert, clock: &dyn Clock) -> Result<(), DeliveryError> {
        let body = body(alert).map_err(|source| DeliveryError::Unwritable { source })?;
        let backoff = ExponentialBuilder::default()
            .with_min_delay(self.retry.first_wait)
            .with_max_times(self.retry.times)
            .with_factor(2.0);
        (|| self.post(&body, clock.wall())).retry(backoff).when(DeliveryError::may_pass).await
    }

    async fn flush(&self, alerts: &Alerts, clock: &dyn Clock) {
        loop {
            let left = alerts.groups().poll_all(clock.now());
            let Some(alert) = left else { return };
            let delivered = match body(&alert) {
                Ok(body) => self.post(&body, clock.wall()).await,
                Err(source) => Err(DeliveryError::Unwritable { source }),
            };
            report(&alert, &delivered);
        }
    }

    fn settle(&self, alert: Alert, delivered: Result<(), DeliveryError>, alerts: &Alerts, now: Tick) {
        report(&alert, &delivered);
        if delivered.is_err() {
            alerts.groups().undelivered(alert, now);
        }
    }

    async fn post(&self, body: &str, now: Wall) -> Result<(), DeliveryError> {
        let request = self.client.post(self.url.clone()).headers(self.headers(body, now)).body(body.to_owned());
        let unreachable = |source: reqwest::Error| DeliveryError::Unreachable { source: source.without_url() };
        let status = request.send().await.map_err(unreachable)?.status();
        if status.is_success() { Ok(()) } else { Err(DeliveryError::Refused { status: status.as_u16() }) }
    }

    fn headers(&self, body: &str, now: Wall) -> HeaderMap {
        let timestamp = now.0.div_euclid(1_000).to_string();
        let delivery = hex(&Sha256::digest(body.as_bytes())[..16]);
        let signature = self.secret.as_ref().map(|secret| format!("v1={}", signature(secret, &timestamp, body)));
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let named = [
            ("x-afterimage-timestamp", Some(timestamp)),
            ("x-afterimage-delivery", Some(delivery)),
            ("x-afterimage-signature", signature),
        ];
        for (name, value) in named {
            let value = value.and_then(|value| HeaderValue::from_str(&value).ok());
            headers.extend(value.map(|value| (reqwest::header::HeaderName::from_static(name), value)));
        }
        headers
    }
}

fn report(alert: &Alert, delivered: &Result<(), DeliveryError>) {
    let error = delivered.as_ref().err().map(|error| error as &dyn std::error::Error);
    let findings = usize::try_from(alert.opened + alert.closed).unwrap_or(usize::MAX);
    AlertSent { sink: SINK, findings, error }.emit();
}

/// The alert as JSON, with as many of its findings as fit.
fn body(alert: &Alert) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(alert)?;
    if text.len() <= BODY_LIMIT_BYTES {
        return Ok(text);
    }
    let mut shorter = alert.clone();
    shorter.findings.pop();
    if shorter.findings.len() == alert.findings.len() { Ok(text) } else { body(&shorter) }
}

fn signature(secret: &SecretString, timestamp: &str, body: &str) -> String {
    let key = secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
