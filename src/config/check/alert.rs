//! `[[alerts]]`.

use std::collections::BTreeSet;

use secrecy::{ExposeSecret, SecretString};

use super::tap::is_topic;
use super::{Checker, Presence};
use crate::config::alert::raw::{RawAlert, RawQuietHours};
use crate::config::alert::{Alert, Destination, QuietHours, Template};
use crate::config::raw::RawConfig;
use crate::config::tree::Path;
use crate::config::unit::not_among;
use crate::config::word::AlertType;

/// `PagerDuty`'s address, but for customers in the European region.
const PAGERDUTY: &str = "https://events.pagerduty.com/v2/enqueue";

/// The length of a routing key of `PagerDuty`'s.
const ROUTING_KEY: usize = 32;

/// A name stands in metrics and in the log.
const LONGEST_NAME: usize = 40;

/// Properties of librdkafka that the channel itself must decide, and what decides them instead.
const OWNED_PROPERTIES: &[(&str, &str)] = &[
    ("bootstrap.servers", "set `brokers`"),
    ("metadata.broker.list", "set `brokers`"),
    ("acks", "an alert counts as delivered once all in-sync replicas have it"),
    ("request.required.acks", "an alert counts as delivered once all in-sync replicas have it"),
];

impl Checker<'_> {
    pub(super) fn alerts(&mut self, raw: &RawConfig) -> Vec<Alert> {
        let mut alerts = Vec::new();
        let mut taken = BTreeSet::new();
        let pipelines: Vec<&str> = raw.pipelines.keys().map(String::as_str).collect();
        for (index, alert) in raw.alerts.iter().enumerate() {
            let path = Path::of(["alerts"]).index(index);
            let name = self.channel_name(&path, alert, &mut taken);
            for (index, pipeline) in alert.filter.pipelines.iter().enumerate() {
                if !pipelines.contains(&pipeline.as_str()) {
                    let place = path.key("for").key("pipelines").index(index);
                    self.wrong(&place, not_among(pipeline, &pipelines));
                }
            }
            alerts.extend(self.alert(&path, alert, name));
        }
        alerts
    }

    /// Its name, or its type with a number behind it from the second one on.
    fn channel_name(&mut self, path: &Path, raw: &RawAlert, taken: &mut BTreeSet<String>) -> String {
        let kind = raw.kind.map_or("channel", AlertType::word);
        let Some(name) = &raw.name else {
            let numbered = (2..).map(|number| format!("{kind}-{number}"));
            let mut names = std::iter::once(kind.to_owned()).chain(numbered);
            let name = names.find(|name| !taken.contains(name)).unwrap_or_default();
            taken.insert(name.clone());
            return name;
        };
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(is_plain) {
            let message = format!("`{name}` is no name: expected at most {LONGEST_NAME} letters, digits, `_` and `-`");
            self.wrong(&path.key("name"), message);
        }
        if !taken.insert(name.clone()) {
            self.wrong(&path.key("name"), format!("`{name}` is the name of a channel above: each has its own"));
        }
        name.clone()
    }

    fn alert(&mut self, path: &Path, raw: &RawAlert, name: String) -> Option<Alert> {
        let template = raw.template.as_deref().map(Template::parse).transpose();
        if let Err(message) = &template {
            self.wrong(&path.key("template"), message.clone());
        }
        let quiet = raw.quiet_hours.as_ref().and_then(|quiet| self.quiet_hours(&path.key("quiet_hours"), quiet));
        let filter = &raw.filter;
        let tables = path.key("for").key("tables");
        let named = filter.tables.iter().enumerate();
        let tables = named.filter_map(|(index, table)| self.table_match(&tables.index(index), table)).collect();
        Some(Alert {
            name,
            to: self.destination(path, raw)?,
            severity: filter.severity.0,
            kinds: filter.kinds.iter().map(|kind| kind.0).collect(),
            tables,
            pipelines: filter.pipelines.clone(),
            rate: raw.rate.0,
            quiet,
            template: template.ok().flatten(),
        })
    }

    fn quiet_hours(&mut self, path: &Path, raw: &RawQuietHours) -> Option<QuietHours> {
        if raw.from == raw.to {
            self.wrong(&path.key("to"), "the hours end where they begin: expected another time than `from`");
            return None;
        }
        Some(QuietHours { from: raw.from, to: raw.to, zone: raw.zone, except: raw.except })
    }

    fn destination(&mut self, path: &Path, raw: &RawAlert) -> Option<Destination> {
        let Some(kind) = raw.kind else {
            let message = "missing: expected one of `slack`, `pagerduty`, `alertmanager`, `kafka`, `webhook`";
            self.wrong(&path.key("type"), message);
            return None;
        };
        self.foreign_to_channel(path, raw, kind);
        let url = path.key("url");
        match kind {
            AlertType::Kafka => self.kafka_channel(path, raw),
            AlertType::Webhook => {
                let url = self.http(&url, &raw.url.0, Presence::Required)?;
                Some(Destination::Webhook { url, secret: raw.secret.non_empty() })
            }
            AlertType::Slack => Some(Destination::Slack { url: self.http(&url, &raw.url.0, Presence::Required)? }),
            AlertType::Alertmanager => {
                let url = self.http(&url, &raw.url.0, Presence::Required)?;
                Some(Destination::Alertmanager { url, token: raw.secret.non_empty() })
            }
            AlertType::Pagerduty => {
                let region = self.http(&url, &raw.url.0, Presence::Optional);
                let routing_key = self.routing_key(&path.key("secret"), raw.secret.non_empty())?;
                Some(Destination::Pagerduty { url: region.unwrap_or_else(|| PAGERDUTY.into()), routing_key })
            }
        }
    }

    /// Keys that say nothing to this kind of channel.
    fn foreign_to_channel(&mut self, path: &Path, raw: &RawAlert, kind: AlertType) {
        use AlertType::{Kafka, Slack};
        let posting = "`slack`, `pagerduty`, `alertmanager` and `webhook`";
        let keys = [
            ("url", !raw.url.0.expose_secret().is_empty(), kind == Kafka, posting),
            (
                "secret",
                raw.secret.non_empty().is_some(),
                matches!(kind, Kafka | Slack),
                "`webhook`, `pagerduty` and `alertmanager`",
            ),
            ("brokers", raw.brokers.is_some(), kind != Kafka, "`kafka`"),
            ("topic", raw.topic.is_some(), kind != Kafka, "`kafka`"),
            ("properties", !raw.properties.is_empty(), kind != Kafka, "`kafka`"),
        ];
        for (key, is_given, is_foreign, whose) in keys {
            if is_given && is_foreign {
                self.wrong(&path.key(key), format!("belongs to channels of type {whose}: leave it out"));
            }
        }
    }

    fn routing_key(&mut self, path: &Path, key: Option<SecretString>) -> Option<SecretString> {
        let expected = format!("the integration's routing key, {ROUTING_KEY} letters and digits");
        let Some(key) = key else {
            self.wrong(path, format!("missing: expected {expected}"));
            return None;
        };
        let text = key.expose_secret();
        if text.len() != ROUTING_KEY || !text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            self.wrong(path, format!("no routing key: expected {expected}"));
            return None;
        }
        Some(key)
    }

    fn kafka_channel(&mut self, path: &Path, raw: &RawAlert) -> Option<Destination> {
        let brokers = raw.brokers.clone().unwrap_or_default();
        self.brokers(&path.key("brokers"), &brokers);
        let topic = raw.topic.clone().unwrap_or_default();
        if !is_topic(&topic) {
            let message = match topic.as_str() {
                "" => "missing: expected the name of a topic".to_owned(),
                topic => format!("`{topic}` is no topic: expected letters, digits, `.`, `_` and `-`"),
            };
            self.wrong(&path.key("topic"), message);
        }
        for (name, instead) in OWNED_PROPERTIES {
            if raw.properties.contains_key(*name) {
                self.wrong(&path.key("properties").key(name), format!("is not to be set here: {instead}"));
            }
        }
        let properties = raw.properties.iter().map(|(name, value)| (name.clone(), value.0.clone().into())).collect();
        Some(Destination::Kafka { brokers, topic, properties })
    }
}
