//! Channels: an alert becomes a message in the form that its receiver documents, goes out once, and the answer is told.
//!
//! What a message looks like is a pure function of the alert in a module for each receiver. When it is sent, and that it is
//! sent again, is decided elsewhere. Addresses, keys and tokens are in no error and no log.

mod alertmanager;
mod answer;
mod kafka;
mod pagerduty;
mod slack;
mod webhook;

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};

use super::alert::{Alert, Status};
use super::pace::Blame;
use super::text::{printable, shortened};
use crate::config::alert::{Destination, Template};
use crate::model::Wall;

/// A receiver that has not answered by then is busy; receivers should answer before they act.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What is kept of an answer, in characters: enough for a sentence.
const ANSWER_LENGTH: usize = 200;

/// What is read of an answer, in bytes.
const ANSWER_BYTES: usize = 4 * 1024;

/// A message that was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// No answer.
    #[error("{receiver} cannot be reached: check that it runs and that this host may connect to it")]
    Unreachable {
        /// What was called.
        receiver: &'static str,
        /// The client's error, without the address.
        #[source]
        source: reqwest::Error,
    },
    /// An answer that is no yes.
    #[error("{receiver} answered {said}: {advice}")]
    Refused {
        /// What was called.
        receiver: &'static str,
        /// Status and the beginning of the body.
        said: String,
        /// What to do now.
        advice: &'static str,
        /// Whether it may pass by itself, and what waits meanwhile.
        verdict: Refusal,
    },
    /// The brokers did not take the record.
    #[error("the brokers did not take the record: {advice}")]
    NotProduced {
        /// What to do now.
        advice: &'static str,
        /// The client's error.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The address or the client's set-up is wrong.
    #[error("the channel's address cannot be used: write `https://host/path`")]
    Unusable {
        /// The client's error, without the address.
        #[source]
        source: reqwest::Error,
    },
    /// A broker's property is wrong.
    #[error("the channel's Kafka properties cannot be used: {what}")]
    UnusableProperties {
        /// What is wrong with which, without its value.
        what: String,
    },
    /// The alert is no JSON.
    #[error("the alert cannot be written as JSON")]
    Unwritable {
        /// The writer's error.
        #[source]
        source: serde_json::Error,
    },
}

/// What a refusal means for what is still to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It may pass; the receiver may have said when.
    Passing(Option<Duration>),
    /// Nothing will pass before somebody acts.
    Channel,
    /// This message will not pass; others may.
    Message,
}

impl DeliveryError {
    /// What waits because of it, and how long the receiver asked to wait.
    #[must_use]
    pub fn blame(&self) -> (Blame, Option<Duration>) {
        match self {
            DeliveryError::Refused { verdict: Refusal::Passing(after), .. } => (Blame::Channel, *after),
            DeliveryError::Refused { verdict: Refusal::Message, .. } | DeliveryError::Unwritable { .. } => {
                (Blame::Message, None)
            }
            DeliveryError::Refused { verdict: Refusal::Channel, .. }
            | DeliveryError::Unreachable { .. }
            | DeliveryError::NotProduced { .. }
            | DeliveryError::Unusable { .. }
            | DeliveryError::UnusableProperties { .. } => (Blame::Channel, None),
        }
    }
}

/// A message to a web address.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    /// Always `POST`.
    pub method: &'static str,
    /// What stands behind the configured address.
    pub path: &'static str,
    /// Name and value.
    pub headers: Vec<(&'static str, String)>,
    /// JSON.
    pub body: String,
}

impl Request {
    fn json(body: &impl serde::Serialize) -> Result<Request, serde_json::Error> {
        let headers = vec![("content-type", "application/json".to_owned())];
        Ok(Request { method: "POST", path: "", headers, body: serde_json::to_string(body)? })
    }
}

/// One channel, ready to send.
pub struct Channel {
    to: Destination,
    template: Option<Template>,
    client: reqwest::Client,
    producer: Option<kafka::Producer>,
}

impl Channel {
    /// A channel to where the configuration says. Redirects are not followed: what is signed goes where the user said.
    ///
    /// # Errors
    /// When the address or a property cannot be used.
    pub fn new(to: Destination, template: Option<Template>) -> Result<Channel, DeliveryError> {
        let unusable = |source: reqwest::Error| DeliveryError::Unusable { source: source.without_url() };
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("afterimage/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(unusable)?;
        let producer = match &to {
            Destination::Kafka { brokers, topic, properties } => {
                Some(kafka::Producer::new(brokers, topic, properties)?)
            }
            Destination::Webhook { url, .. }
            | Destination::Slack { url }
            | Destination::Pagerduty { url, .. }
            | Destination::Alertmanager { url, .. } => {
                client.get(url.expose_secret()).build().map_err(unusable)?;
                None
            }
        };
        Ok(Channel { to, template, client, producer })
    }

    /// How often what stands is to be said again, because the receiver forgets it.
    #[must_use]
    pub fn reminds(&self) -> Option<Duration> {
        match self.to {
            Destination::Alertmanager { .. } => Some(alertmanager::AGAIN),
            Destination::Webhook { .. }
            | Destination::Slack { .. }
            | Destination::Pagerduty { .. }
            | Destination::Kafka { .. } => None,
        }
    }

    /// Whether the receiver keeps what it was told until it hears that it is over.
    #[must_use]
    pub fn keeps(&self) -> bool {
        match self.to {
            Destination::Alertmanager { .. } | Destination::Pagerduty { .. } => true,
            Destination::Webhook { .. } | Destination::Slack { .. } | Destination::Kafka { .. } => false,
        }
    }

    /// Sends one alert, once. Returns what the receiver answered.
    ///
    /// # Errors
    /// When it did not take it.
    pub async fn deliver(&self, alert: Alert, now: Wall) -> Result<String, DeliveryError> {
        let alert = alert.worded(self.template.as_ref());
        let unwritable = |source| DeliveryError::Unwritable { source };
        let (url, request) = match &self.to {
            Destination::Webhook { url, secret } => (url, webhook::request(&alert, secret.as_ref(), now)),
            Destination::Slack { url } => (url, slack::request(&alert)),
            Destination::Pagerduty { url, routing_key } => (url, pagerduty::request(&alert, routing_key)),
            Destination::Alertmanager { url, token } => (url, alertmanager::request(&alert, token.as_ref(), url, now)),
            Destination::Kafka { .. } => {
                let record = kafka::record(&alert).map_err(unwritable)?;
                let Some(producer) = &self.producer else { unreachable!("a Kafka channel has a producer") };
                return producer.send(record).await;
            }
        };
        self.post(url, request.map_err(unwritable)?, now).await
    }

    async fn post(&self, url: &SecretString, request: Request, now: Wall) -> Result<String, DeliveryError> {
        let receiver = self.to.word();
        let unreachable =
            |source: reqwest::Error| DeliveryError::Unreachable { receiver, source: source.without_url() };
        let address = format!("{}{}", url.expose_secret().trim_end_matches('/'), request.path);
        let address = if request.path.is_empty() { url.expose_secret().to_owned() } else { address };
        let mut headers = HeaderMap::new();
        for (name, value) in request.headers {
            let value = HeaderValue::from_str(&value).ok();
            headers.extend(value.map(|value| (HeaderName::from_static(name), value)));
        }
        let answer = self.client.post(address).headers(headers).body(request.body).send().await.map_err(unreachable)?;
        let status = answer.status();
        let asked = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let asked = asked.and_then(|text| answer::retry_after(text, now));
        let said = self.said(status, answer).await;
        if status.is_success() {
            return Ok(said);
        }
        let (verdict, advice) = answer::understood(&self.to, status.as_u16(), asked, &said);
        Err(DeliveryError::Refused { receiver, said, advice, verdict })
    }

    /// Status and the beginning of the body, without anything that is secret.
    async fn said(&self, status: reqwest::StatusCode, mut answer: reqwest::Response) -> String {
        let mut body = Vec::new();
        while body.len() < ANSWER_BYTES {
            // The status has been said: what is missing of the body changes nothing.
            match answer.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) | Err(_) => break,
            }
        }
        let mut text = String::from_utf8_lossy(&body).into_owned();
        for secret in self.secrets() {
            text = text.replace(secret.expose_secret(), "***");
        }
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = printable(&shortened(&text, ANSWER_LENGTH)).into_owned();
        if text.is_empty() { status.as_u16().to_string() } else { format!("{} {text}", status.as_u16()) }
    }

    fn secrets(&self) -> Vec<&SecretString> {
        match &self.to {
            Destination::Webhook { url, secret } => [Some(url), secret.as_ref()].into_iter().flatten().collect(),
            Destination::Slack { url } => vec![url],
            Destination::Pagerduty { url, routing_key } => vec![url, routing_key],
            Destination::Alertmanager { url, token } => [Some(url), token.as_ref()].into_iter().flatten().collect(),
            Destination::Kafka { .. } => vec![],
        }
    }
}

/// One line about a finding of an alert.
fn brief(finding: &super::Document) -> String {
    let mut text = finding.id.chars().take(8).collect::<String>();
    if let Some(key) = finding.key.as_ref().and_then(|key| serde_json::to_string(key).ok()) {
        text.push_str(&format!(" key {key}"));
    }
    let position = finding.position();
    if !position.is_empty() {
        text.push_str(&format!(" at {position}"));
    }
    text.push_str(&format!(" ({}): {}", finding.cause.word(), finding.evidence));
    shortened(&printable(&text), BRIEF_LENGTH)
}

/// A finding's line in a chat or an incident: ten of them fit the smallest of their bounds, 3,000 characters.
const BRIEF_LENGTH: usize = 280;

/// What to type to see all of a finding.
fn command(alert: &Alert) -> String {
    match (alert.findings.first(), alert.status) {
        (Some(first), _) => format!("afterimage findings show {}", first.id.chars().take(8).collect::<String>()),
        (None, Status::Firing) => "afterimage findings list --state open".to_owned(),
        (None, Status::Resolved) => "afterimage findings list --state healed".to_owned(),
    }
}

#[cfg(test)]
mod tests;
