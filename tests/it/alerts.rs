//! Alerts as records of a real topic.

use std::collections::BTreeMap;

use afterimage::config::Destination;
use afterimage::model::Wall;
use afterimage::report::alert::Status;
use afterimage::report::pace::Blame;
use afterimage::report::{Alert, Channel, trial};

use crate::kafka::Kafka;
use crate::services::{Services, Stay};

const TOPIC: &str = "alerts-of-groups";

fn channel(services: &Services, topic: &str) -> Channel {
    let properties = BTreeMap::from([("allow.auto.create.topics".to_owned(), "false".to_owned().into())]);
    let to = Destination::Kafka { brokers: services.broker.clone(), topic: topic.to_owned(), properties };
    Channel::new(to, None).expect("properties that librdkafka knows")
}

#[tokio::test]
async fn each_message_of_a_group_is_a_record_under_the_groups_key() {
    let _stay = Stay::shared().await;
    let services = Services::from_env();
    let kafka = Kafka::new(&services.broker);
    kafka.delete_topics(&[TOPIC]).await;
    kafka.create_topic(TOPIC, 3).await;
    let channel = channel(&services, TOPIC);
    let now = Wall(1_795_341_600_000);
    for status in [Status::Firing, Status::Resolved] {
        let said = channel.deliver(trial::alert(status, now), now).await.expect("the broker takes it");
        assert!(said.starts_with("partition "), "{said}");
    }
    let records = kafka.read_all(TOPIC);
    let alerts: Vec<Alert> = records
        .iter()
        .map(|record| serde_json::from_slice(record.value.as_deref().expect("a value")).expect("an alert"))
        .collect();
    assert_eq!(alerts.iter().map(|alert| alert.status).collect::<Vec<_>>(), [Status::Firing, Status::Resolved]);
    let keys: Vec<&[u8]> = records.iter().map(|record| record.key.as_deref().expect("a key")).collect();
    assert_eq!(keys, [alerts[0].id.as_bytes(); 2], "and so they are in one partition, in order");
}

#[tokio::test]
async fn a_topic_that_is_not_there_is_told() {
    let _stay = Stay::shared().await;
    let channel = channel(&Services::from_env(), "alerts-nowhere");
    let now = Wall(1_795_341_600_000);
    let error = channel.deliver(trial::alert(Status::Firing, now), now).await.expect_err("there is no such topic");
    assert_eq!(error.blame(), (Blame::Channel, None));
}
