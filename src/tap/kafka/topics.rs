//! Which topics a tap reads: names, and `/regex/` patterns that also catch topics created later.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use regex::Regex;

use super::super::TapError;
use super::client::Brokers;
use crate::model::position::PartitionName;

/// The topics of a tap, checked.
#[derive(Debug, Clone)]
pub(super) struct Topics(Vec<Topic>);

#[derive(Debug, Clone)]
enum Topic {
    Named(String),
    Matching { pattern: String, regex: Regex },
}

/// What librdkafka's POSIX expressions lack; a pattern must mean the same to it and to us.
const NOT_POSIX: [(&str, &str); 4] =
    [("\\d", "[0-9]"), ("\\D", "[^0-9]"), ("(?", "a plain group"), ("*?", "a greedy repetition")];

impl Topics {
    pub(super) fn parse(brokers: &Brokers, topics: &[String]) -> Result<Topics, TapError> {
        let bad = |what: &str, hint: &str| TapError { on: "topics".into(), ..brokers.fatal(what, hint, None) };
        if topics.is_empty() {
            return Err(bad("no topic is given", "name at least one, or a pattern: `/^inventory\\..*/`"));
        }
        let parsed = topics.iter().map(|text| match pattern(text) {
            Some(pattern) => {
                if let Some((found, instead)) = NOT_POSIX.iter().find(|(found, _)| pattern.contains(found)) {
                    return Err(bad(
                        &format!("`{found}` in `{text}` is not understood by Kafka's client"),
                        &format!("use {instead}"),
                    ));
                }
                let regex = Regex::new(pattern)
                    .map_err(|error| bad(&format!("`{text}` is no regular expression"), &error.to_string()))?;
                Ok(Topic::Matching { pattern: pattern.to_owned(), regex })
            }
            None if text.is_empty() || text.starts_with('^') || text.contains(['/', ',', ' ']) => {
                Err(bad(&format!("`{text}` is no topic name"), "write patterns between slashes: `/^orders.*/`"))
            }
            None => Ok(Topic::Named(text.clone())),
        });
        parsed.collect::<Result<_, _>>().map(Topics)
    }

    /// As librdkafka subscribes to them: what begins with `^` is a pattern to it.
    pub(super) fn subscription(&self) -> Vec<String> {
        let one = |topic: &Topic| match topic {
            Topic::Named(name) => name.clone(),
            Topic::Matching { pattern, .. } => format!("^.*({pattern})"),
        };
        self.0.iter().map(one).collect()
    }

    fn take(&self, name: &str) -> bool {
        self.0.iter().any(|topic| match topic {
            Topic::Named(known) => known == name,
            Topic::Matching { regex, .. } => !name.starts_with("__consumer_offsets") && regex.is_match(name),
        })
    }

    /// The partitions that exist now, in order. Named topics that do not exist come back by name.
    pub(super) fn existing<C: ConsumerContext>(
        &self,
        client: &BaseConsumer<C>,
        wait: Duration,
    ) -> Result<(Vec<PartitionName>, Vec<String>), KafkaError> {
        let metadata = client.fetch_metadata(None, wait)?;
        let mut found: Vec<PartitionName> = Vec::new();
        for topic in metadata.topics().iter().filter(|topic| topic.error().is_none() && self.take(topic.name())) {
            let name: std::sync::Arc<str> = topic.name().into();
            let partitions = topic.partitions().iter();
            found.extend(partitions.map(|partition| PartitionName { topic: name.clone(), partition: partition.id() }));
        }
        found.sort();
        let missing = self.0.iter().filter_map(|topic| match topic {
            Topic::Named(name) => found.iter().all(|known| *known.topic != **name).then(|| name.clone()),
            Topic::Matching { .. } => None,
        });
        let missing = missing.collect();
        Ok((found, missing))
    }
}

fn pattern(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/').filter(|pattern| !pattern.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(topics: &[&str]) -> Result<Topics, TapError> {
        Topics::parse(&Brokers::default(), &topics.iter().map(|&topic| topic.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn patterns_are_found_anywhere_unless_anchored() {
        let topics = parse(&["orders", "/^inventory\\..*/", "/_cdc$/"]).unwrap();
        assert_eq!(topics.subscription(), ["orders", "^.*(^inventory\\..*)", "^.*(_cdc$)"]);
        let taken = |name| topics.take(name);
        assert!(taken("orders") && taken("inventory.public.items") && taken("x_cdc"));
        assert!(!taken("orders2") && !taken("my.inventory.items") && !taken("x_cdc2"));
    }

    #[test]
    fn mistakes_are_named() {
        let rows = [
            (vec![], "no topic is given"),
            (vec!["^orders"], "write patterns between slashes"),
            (vec!["a,b"], "`a,b` is no topic name"),
            (vec!["/orders-\\d+/"], "use [0-9]"),
            (vec!["/orders(/"], "is no regular expression"),
            (vec!["//"], "is no topic name"),
        ];
        for (topics, expected) in rows {
            let error = parse(&topics).unwrap_err().to_string();
            assert!(error.contains(expected), "{topics:?}: {error}");
        }
    }
}
