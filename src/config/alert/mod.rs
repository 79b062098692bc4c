//! Where alerts go, when, and in which words: the checked form of `[[alerts]]`.

pub mod quiet;
pub mod rate;
pub mod raw;
pub mod template;

use std::collections::BTreeMap;

use secrecy::SecretString;

pub use self::quiet::{Except, QuietHours};
pub use self::rate::Rate;
pub use self::template::{Field, Part, Template};
use super::TableMatch;
use crate::model::finding::{Kind, Severity};

/// One channel for alerts.
#[derive(Debug, Clone)]
pub struct Alert {
    /// What it is called in the log, in metrics and in the store. No two channels have one name.
    pub name: String,
    /// Where messages go.
    pub to: Destination,
    /// The least severity.
    pub severity: Severity,
    /// Only these kinds; empty: all.
    pub kinds: Vec<Kind>,
    /// Only these tables; empty: all, and findings that concern no table.
    pub tables: Vec<TableMatch>,
    /// Only these pipelines; empty: all.
    pub pipelines: Vec<String>,
    /// At most so many messages; `None`: no bound.
    pub rate: Option<Rate>,
    /// When it is silent; `None`: never.
    pub quiet: Option<QuietHours>,
    /// The text of a message; `None`: the usual one.
    pub template: Option<Template>,
}

/// Where messages go. Addresses and keys are secrets: never logged.
#[derive(Debug, Clone)]
pub enum Destination {
    /// JSON, posted and signed.
    Webhook {
        /// Where to post.
        url: SecretString,
        /// The key of the signature; `None`: unsigned.
        secret: Option<SecretString>,
    },
    /// An incoming webhook of Slack, or of what understands the same.
    Slack {
        /// The whole address is a secret.
        url: SecretString,
    },
    /// `PagerDuty`'s Events API v2.
    Pagerduty {
        /// Where to post: the region's address.
        url: SecretString,
        /// The integration's key.
        routing_key: SecretString,
    },
    /// Prometheus Alertmanager's API v2.
    Alertmanager {
        /// Address of the server, or of its `/api/v2/alerts`.
        url: SecretString,
        /// A bearer token; `None`: none is shown.
        token: Option<SecretString>,
    },
    /// A topic.
    Kafka {
        /// The brokers to begin with.
        brokers: String,
        /// The topic.
        topic: String,
        /// Handed to librdkafka as they are.
        properties: BTreeMap<String, SecretString>,
    },
}

impl Destination {
    /// The word of the configuration.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Destination::Webhook { .. } => "webhook",
            Destination::Slack { .. } => "slack",
            Destination::Pagerduty { .. } => "pagerduty",
            Destination::Alertmanager { .. } => "alertmanager",
            Destination::Kafka { .. } => "kafka",
        }
    }
}
