//! Alerts as records of a topic: the group's id is the key, so that a compacted topic keeps how each group stands.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use secrecy::{ExposeSecret, SecretString};

use super::{DeliveryError, webhook};
use crate::report::alert::Alert;

/// A record that no broker has taken by then is tried again later.
const PRODUCE_TIMEOUT: Duration = Duration::from_secs(10);

/// A record of the topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) headers: Vec<(&'static str, String)>,
}

pub(super) fn record(alert: &Alert) -> Result<Record, serde_json::Error> {
    let headers = vec![
        ("content-type", "application/json".to_owned()),
        ("schema", alert.schema.clone()),
        ("afterimage-delivery", webhook::delivery(alert)),
    ];
    Ok(Record { key: alert.id.clone(), value: webhook::body(alert)?, headers })
}

/// The client of one topic.
pub(super) struct Producer {
    client: FutureProducer,
    topic: String,
}

impl Producer {
    pub(super) fn new(
        brokers: &str,
        topic: &str,
        properties: &BTreeMap<String, SecretString>,
    ) -> Result<Producer, DeliveryError> {
        let mut settings = ClientConfig::new();
        settings.set("bootstrap.servers", brokers).set("client.id", "afterimage").set("acks", "all");
        settings.set("message.timeout.ms", PRODUCE_TIMEOUT.as_millis().to_string());
        for (name, value) in properties {
            settings.set(name, value.expose_secret());
        }
        let client = settings.create().map_err(|error| unusable(&error))?;
        Ok(Producer { client, topic: topic.to_owned() })
    }

    pub(super) async fn send(&self, record: Record) -> Result<String, DeliveryError> {
        let Record { key, value, headers } = record;
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value.as_str()) })
        });
        let record = FutureRecord::to(&self.topic).key(&key).payload(&value).headers(headers);
        match self.client.send(record, Timeout::After(PRODUCE_TIMEOUT)).await {
            Ok(taken) => Ok(format!("partition {} at offset {}", taken.partition, taken.offset)),
            Err((source, _)) => Err(DeliveryError::NotProduced { advice: advice(&source), source }),
        }
    }
}

/// The client's own words about a property repeat its value, which may be a password.
fn unusable(error: &KafkaError) -> DeliveryError {
    let what = if let KafkaError::ClientConfig(_, _, name, _) = error {
        format!("`{name}` is no property of librdkafka, or does not take this value")
    } else {
        "no client can be made of them".to_owned()
    };
    DeliveryError::UnusableProperties { what }
}

fn advice(error: &KafkaError) -> &'static str {
    use RDKafkaErrorCode as Code;
    let code = error.rdkafka_error_code();
    if matches!(code, Some(Code::UnknownTopic | Code::UnknownTopicOrPartition)) {
        "make the topic, or correct its name"
    } else if matches!(code, Some(Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed)) {
        "give its user the right to write the topic"
    } else if matches!(code, Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)) {
        "check the credentials and certificates in its `properties`"
    } else if matches!(code, Some(Code::MessageSizeTooLarge)) {
        "raise the topic's max.message.bytes: an alert may have 512 KiB"
    } else {
        "check that they run and that this host may connect to them"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Wall;
    use crate::report::alert::Status;
    use crate::report::trial;

    #[test]
    fn a_record_is_keyed_by_its_group() {
        let alert = trial::alert(Status::Firing, Wall(0)).worded(None);
        let over = record(&trial::alert(Status::Resolved, Wall(9)).worded(None)).unwrap();
        let firing = record(&alert).unwrap();
        assert_eq!((&firing.key, &firing.key), (&alert.id, &over.key));
        assert_eq!(serde_json::from_str::<Alert>(&firing.value).unwrap(), alert);
        let names: Vec<&str> = firing.headers.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["content-type", "schema", "afterimage-delivery"]);
        assert_eq!(firing.headers[1].1, "afterimage.alert/1");
    }
}
