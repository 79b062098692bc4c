//! The topics of the load, as a consumer group reads them.

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

/// Who reads what.
pub(crate) struct Feed {
    pub(crate) broker: String,
    pub(crate) group: String,
    pub(crate) topics: Vec<String>,
}

/// Where a group begins that has committed nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begin {
    Earliest,
    Latest,
}

impl Feed {
    pub(crate) fn consumer(&self, begin: Begin) -> BaseConsumer {
        let reset = match begin {
            Begin::Earliest => "earliest",
            Begin::Latest => "latest",
        };
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.broker)
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", reset)
            .set("fetch.wait.max.ms", "100")
            .create()
            .expect("a consumer");
        consumer.subscribe(&self.topics.iter().map(String::as_str).collect::<Vec<_>>()).expect("topics");
        consumer
    }
}
