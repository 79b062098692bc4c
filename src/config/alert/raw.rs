//! `[[alerts]]` as it is written. The doc comments here are the descriptions of the JSON schema.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::quiet::{Except, Minute, Zone};
use super::rate::RateWord;
use crate::config::raw::{KindWord, RawProperty, SeverityWord};
use crate::config::secret::{Hook, Secret};
use crate::config::word::AlertType;
use crate::model::finding::Severity;

/// One channel for alerts.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawAlert {
    /// Which channel.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<AlertType>,
    /// What it is called in the log, in metrics and in the store; left out: its type, and a number where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where to post. slack: the incoming webhook. alertmanager: the server. pagerduty: left out, or the address of another
    /// region such as `https://events.eu.pagerduty.com/v2/enqueue`. kafka: left out.
    pub url: Hook,
    /// webhook: the key of the signature. pagerduty: the integration's routing key. alertmanager: a bearer token.
    pub secret: Secret,
    /// Which findings.
    #[serde(rename = "for")]
    pub filter: RawAlertFilter,
    /// At most so many messages in a time, or `off`. What waits is counted, and told with the next message of its group.
    pub rate: RateWord,
    /// Hours of the day in which news waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quiet_hours: Option<RawQuietHours>,
    /// The text of a message, with fields in braces: `{status}`, `{severity}`, `{kind}`, `{pipeline}`, `{table}`, `{opened}`,
    /// `{closed}`, `{open}`, `{text}`, `{since}`, and of the first finding `{finding}`, `{key}`, `{cause}`, `{position}`,
    /// `{evidence}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// kafka: the brokers to begin with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brokers: Option<String>,
    /// kafka: the topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// kafka: handed to librdkafka as they are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, RawProperty>,
}

/// Which findings a channel is for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RawAlertFilter {
    /// The least severity.
    pub severity: SeverityWord,
    /// Only these kinds; empty: all.
    pub kinds: Vec<KindWord>,
    /// Only these tables of the tap, or patterns between slashes; empty: all, and findings that concern no table.
    pub tables: Vec<String>,
    /// Only these pipelines; empty: all.
    pub pipelines: Vec<String>,
}

impl Default for RawAlertFilter {
    fn default() -> Self {
        RawAlertFilter {
            severity: SeverityWord(Severity::Warning),
            kinds: Vec::new(),
            tables: Vec::new(),
            pipelines: Vec::new(),
        }
    }
}

/// Hours of the day in which a channel is silent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawQuietHours {
    /// The first silent minute: `22:00`.
    pub from: Minute,
    /// The first minute that is not silent any more; before `from`: of the next day.
    pub to: Minute,
    /// Whose day: `UTC`, or an offset from it such as `+02:00`.
    #[serde(default)]
    pub zone: Zone,
    /// What is told all the same.
    #[serde(default = "critical")]
    pub except: Except,
}

fn critical() -> Except {
    Except::Critical
}
