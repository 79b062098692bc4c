//! Alerts posted to a web address as JSON: signed, retried, at least once.
//!
//! `X-Afterimage-Timestamp` is the second of the attempt since the Unix epoch. With a secret, `X-Afterimage-Signature` is
//! `v1=` and the hex HMAC-SHA256, under that secret, of the timestamp, a dot and the body. A receiver checks the signature,
//! refuses timestamps that are minutes off, and forgets repetitions of `X-Afterimage-Delivery`, which stays the same when a
//! delivery is tried again.

use std::sync::Arc;
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use super::alert::Alert;
pub use super::channel::{Alerts, Filter};

use super::channel::SINK;
use crate::model::{Tick, Wall};
use crate::telemetry::event::AlertSent;

/// A receiver that has not answered by then is busy; receivers should answer before they act.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the end of the process may wait for what is still to be told.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Larger bodies lose findings from their end; the counts still tell of them. Common receivers take 1 MiB.
const BODY_LIMIT_BYTES: usize = 512 * 1024;

/// The longest wait between two looks at the groups, where nothing is due: any bound will do.
const IDLE: Duration = Duration::from_secs(3_600);

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
    /// The process ended first.
    #[error("the process ended before the webhook took the alert: it stays in the store")]
    Interrupted,
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
            DeliveryError::Unusable { .. } | DeliveryError::Interrupted | DeliveryError::Unwritable { .. } => false,
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
                let delivered = self.deliver_or_stop(&alert, clock.as_ref(), &stop).await;
                report(&alert, &delivered);
                if delivered.is_err() {
                    alerts.groups().undelivered(alert, clock.now());
                }
                continue;
            }
            let next = alerts.groups().poll_timeout();
            let wait = next.map_or(IDLE, |(at, _)| at.since(clock.now()));
            tokio::select! {
                // That the time is up is as good a reason to look again as news is.
                _ = tokio::time::timeout(wait, alerts.news()) => {}
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

    /// As [`Webhook::deliver`]; once `stop` is given, what is under way has [`FLUSH_TIMEOUT`] to end.
    async fn deliver_or_stop(
        &self,
        alert: &Alert,
        clock: &dyn Clock,
        stop: &CancellationToken,
    ) -> Result<(), DeliveryError> {
        let mut delivery = std::pin::pin!(self.deliver(alert, clock));
        tokio::select! {
            delivered = &mut delivery => delivered,
            () = stop.cancelled() => {
                let delivered = tokio::time::timeout(FLUSH_TIMEOUT, delivery).await;
                delivered.unwrap_or(Err(DeliveryError::Interrupted))
            }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use tokio::sync::mpsc;
    use wiremock::matchers::method;
    use wiremock::{Mock, MockServer, Request, ResponseTemplate};

    use super::super::alert::Status;
    use super::super::channel::EVERYTHING;
    use super::super::document::Document;
    use super::super::group::{Groups, Limits};
    use super::super::sample;
    use super::*;

    const QUICK: Retry = Retry { times: 2, first_wait: Duration::from_millis(1) };

    struct Hands(AtomicU64);

    impl Clock for Hands {
        fn now(&self) -> Tick {
            Tick(self.0.load(Ordering::Relaxed))
        }

        fn wall(&self) -> Wall {
            Wall(sample::START)
        }
    }

    /// A receiver that answers with the given statuses, one after the other and the last one for ever, and hands on what
    /// it got.
    async fn receiver(statuses: &'static [u16]) -> (MockServer, mpsc::UnboundedReceiver<Request>) {
        let (sent, got) = mpsc::unbounded_channel();
        let count = AtomicU64::new(0);
        let answer = move |request: &Request| {
            let index = usize::try_from(count.fetch_add(1, Ordering::Relaxed)).unwrap();
            sent.send(request.clone()).unwrap();
            ResponseTemplate::new(statuses[index.min(statuses.len() - 1)])
        };
        let server = MockServer::start().await;
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        (server, got)
    }

    fn webhook(server: &MockServer) -> Webhook {
        let url = SecretString::from(format!("{}/hook?token=t0ken", server.uri()));
        Webhook::new(&url, Some("s3cret".into()), QUICK).unwrap()
    }

    fn an_alert() -> Alert {
        let mut groups = Groups::new(Limits::default());
        groups.opened(&sample::documents()[0]);
        groups.poll(Tick(0)).unwrap()
    }

    fn told(request: &Request) -> (Status, u64, u64) {
        let alert: Alert = serde_json::from_slice(&request.body).unwrap();
        (alert.status, alert.opened, alert.closed)
    }

    #[test]
    fn the_signature_is_what_openssl_computes() {
        // printf '1795341600.{"a":1}' | openssl dgst -sha256 -hmac s3cret
        let expected = "280c7718ad9a0e914dc8b2c1f46015a0bc487f65ae5514d2e39d40180857b0d9";
        assert_eq!(signature(&"s3cret".into(), "1795341600", r#"{"a":1}"#), expected);
    }

    #[tokio::test]
    async fn a_receiver_can_check_whom_it_listens_to() {
        let (server, mut got) = receiver(&[204]).await;
        webhook(&server).deliver(&an_alert(), &Hands(AtomicU64::new(0))).await.unwrap();
        let request = got.recv().await.unwrap();
        let header = |name: &str| request.headers[name].to_str().unwrap().to_owned();
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert_eq!(header("x-afterimage-timestamp"), "1795341600");
        assert_eq!(header("content-type"), "application/json");
        let expected = format!("v1={}", signature(&"s3cret".into(), "1795341600", &body));
        assert_eq!(header("x-afterimage-signature"), expected);
    }

    #[tokio::test]
    async fn what_may_pass_is_tried_again_under_the_same_delivery() {
        let (server, mut got) = receiver(&[503, 429, 200]).await;
        webhook(&server).deliver(&an_alert(), &Hands(AtomicU64::new(0))).await.unwrap();
        let mut deliveries = Vec::new();
        for _ in 0..3 {
            deliveries.push(got.recv().await.unwrap().headers["x-afterimage-delivery"].clone());
        }
        deliveries.dedup();
        assert_eq!((deliveries.len(), got.try_recv().is_err()), (1, true));
    }

    #[tokio::test]
    async fn what_will_not_pass_is_not_tried_again_and_retries_end() {
        for (statuses, attempts) in [(&[401][..], 1), (&[302], 1), (&[500], 3)] {
            let (server, mut got) = receiver(statuses).await;
            let error = webhook(&server).deliver(&an_alert(), &Hands(AtomicU64::new(0))).await.unwrap_err();
            assert!(error.to_string().contains(&statuses[0].to_string()), "{error}");
            let made = std::iter::from_fn(|| got.try_recv().ok()).count();
            assert_eq!(made, attempts, "{statuses:?}");
        }
    }

    #[tokio::test]
    async fn an_error_never_shows_the_address() {
        let url = SecretString::from("http://127.0.0.1:1/hook?token=t0ken");
        let webhook = Webhook::new(&url, None, QUICK).unwrap();
        let error = webhook.deliver(&an_alert(), &Hands(AtomicU64::new(0))).await.unwrap_err();
        let wrong = Webhook::new(&"t0ken is no address".into(), None, QUICK).unwrap_err();
        let shown = format!("{error} {error:?} {wrong} {wrong:?}");
        assert!(!shown.contains("t0ken") && shown.contains("cannot be reached"), "{shown}");
    }

    #[tokio::test]
    async fn the_first_finding_is_told_at_once_and_the_rest_before_the_end() {
        let (server, mut got) = receiver(&[200]).await;
        let alerts = Alerts::new(EVERYTHING, Limits::default());
        let stop = CancellationToken::new();
        let running = webhook(&server).run(alerts.clone(), Arc::new(Hands(AtomicU64::new(0))), stop.clone());
        let finding = &sample::documents()[0];
        let story = async {
            alerts.opened(finding);
            assert_eq!(told(&got.recv().await.unwrap()), (Status::Firing, 1, 0));
            alerts.opened(finding);
            alerts.closed(finding);
            alerts.closed(finding);
            stop.cancel();
        };
        tokio::join!(running, story);
        assert_eq!(told(&got.recv().await.unwrap()), (Status::Resolved, 1, 2));
        assert!(got.try_recv().is_err());
    }

    #[tokio::test]
    async fn what_a_window_gathered_is_told_when_it_ends() {
        let (server, mut got) = receiver(&[200]).await;
        let alerts = Alerts::new(EVERYTHING, Limits::default());
        let (clock, stop) = (Arc::new(Hands(AtomicU64::new(0))), CancellationToken::new());
        let running = webhook(&server).run(alerts.clone(), clock.clone(), stop.clone());
        let (one, other) = (&sample::documents()[0], &sample::documents()[1]);
        let story = async {
            alerts.opened(one);
            assert_eq!(told(&got.recv().await.unwrap()), (Status::Firing, 1, 0));
            alerts.closed(one);
            clock.0.store(60_000, Ordering::Relaxed);
            // News of another group makes the loop look at the clock again.
            alerts.opened(other);
            assert_eq!(told(&got.recv().await.unwrap()), (Status::Resolved, 0, 1));
            assert_eq!(told(&got.recv().await.unwrap()), (Status::Firing, 1, 0));
            stop.cancel();
        };
        tokio::join!(running, story);
    }

    #[tokio::test]
    async fn what_was_refused_is_told_again() {
        let (server, mut got) = receiver(&[401, 200]).await;
        let alerts = Alerts::new(EVERYTHING, Limits::default());
        let stop = CancellationToken::new();
        let running = webhook(&server).run(alerts.clone(), Arc::new(Hands(AtomicU64::new(0))), stop.clone());
        let story = async {
            alerts.opened(&sample::documents()[0]);
            got.recv().await.unwrap();
            stop.cancel();
        };
        tokio::join!(running, story);
        assert_eq!(told(&got.recv().await.unwrap()), (Status::Firing, 1, 0));
    }

    #[test]
    fn a_body_loses_findings_before_it_grows_too_large() {
        let mut alert = an_alert();
        let large = Document { note: Some("x".repeat(BODY_LIMIT_BYTES / 3)), ..alert.findings[0].clone() };
        alert.findings = vec![large; 5];
        let back: Alert = serde_json::from_str(&body(&alert).unwrap()).unwrap();
        assert_eq!((back.findings.len(), back.opened), (2, alert.opened));
    }
}
