//! Clients of the brokers: their settings, and their errors in our words.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::super::TapError;

/// How long one question to the brokers may take.
pub(super) const ASK: Duration = Duration::from_secs(10);

/// How long a client that nobody polls is served. Without any time a poll ends behind the first log line, whatever follows it.
const SERVE: Duration = Duration::from_millis(10);

/// The brokers of a tap and how to speak to them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Brokers {
    /// `host:port`, separated by commas.
    pub bootstrap: String,
    /// librdkafka properties, handed on as they are; the place for SASL and TLS.
    pub properties: BTreeMap<String, String>,
}

/// Properties on which the correctness of the tap rests, and what to use in their stead.
const OURS: [(&str, &str); 8] = [
    ("bootstrap.servers", "set `brokers`"),
    ("metadata.broker.list", "set `brokers`"),
    ("group.id", "set `group`"),
    ("enable.auto.commit", "only offsets of judged changes are committed"),
    ("enable.auto.offset.store", "only offsets of judged changes are committed"),
    ("auto.offset.reset", "set `from`"),
    ("enable.partition.eof", "the end of a partition is always reported"),
    ("statistics.interval.ms", "metrics are on the web port"),
];

impl Brokers {
    /// Refuses properties that would break what the tap promises, and values that librdkafka does not take.
    ///
    /// # Errors
    /// A fatal [`TapError`] naming the property.
    pub fn check(&self) -> Result<(), TapError> {
        for (name, instead) in OURS {
            if self.properties.contains_key(name) {
                let what = format!("the property `{name}` is not the user's to set");
                return Err(self.fatal(&what, &format!("remove it: {instead}"), None));
            }
        }
        self.settings().create_native_config().map(drop).map_err(|error| self.unusable(error))
    }

    /// The settings every client shares. Fetch sizes stay librdkafka's: larger ones made reading dearer in CPU.
    pub(super) fn settings(&self) -> ClientConfig {
        let mut settings = ClientConfig::new();
        settings
            .set("client.id", "afterimage")
            .set("socket.keepalive.enable", "true")
            .set("isolation.level", "read_committed")
            // Its default of 1 s leaves holes of that length once the queue was full.
            .set("fetch.queue.backoff.ms", "50")
            .set("topic.metadata.refresh.interval.ms", "5000")
            .set("topic.blacklist", "^__consumer_offsets$,^__transaction_state$");
        for (name, value) in &self.properties {
            settings.set(name, value);
        }
        settings
            .set("bootstrap.servers", &self.bootstrap)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error");
        settings
    }

    /// A client that only asks: metadata, offsets, groups. It belongs to no group.
    pub(super) fn asker(&self) -> Result<BaseConsumer, TapError> {
        self.settings().create().map_err(|error| self.unusable(error))
    }

    /// The settings of a client that reads without being a member of any group: it wants a name for the queue it reads from,
    /// and never joins or commits by it.
    pub(super) fn reader(&self, purpose: &str) -> ClientConfig {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!("afterimage-{purpose}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut settings = self.settings();
        settings.set("group.id", name);
        settings
    }

    /// A client that sees the ends of logs beyond open transactions; `None` where every client does.
    pub(super) fn unbound(&self) -> Result<Option<BaseConsumer>, TapError> {
        let mut settings = self.settings();
        if settings.get("isolation.level") != Some("read_committed") {
            return Ok(None);
        }
        let client = settings.set("isolation.level", "read_uncommitted").create();
        client.map(Some).map_err(|error| self.unusable(error))
    }

    /// A setting as the client will see it.
    pub(super) fn setting(&self, name: &str, default: u64) -> u64 {
        self.properties.get(name).and_then(|value| value.trim().parse().ok()).unwrap_or(default)
    }

    /// An error after which the tap goes on.
    pub(super) fn trouble(&self, what: &str, hint: &str, source: Option<KafkaError>) -> TapError {
        let source = source.map(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>);
        TapError { what: what.to_owned(), on: self.bootstrap.clone(), hint: hint.to_owned(), fatal: false, source }
    }

    /// An error that ends the tap.
    pub(super) fn fatal(&self, what: &str, hint: &str, source: Option<KafkaError>) -> TapError {
        TapError { fatal: true, ..self.trouble(what, hint, source) }
    }

    /// The brokers did not answer a question.
    pub(super) fn silent(&self, question: &str, error: KafkaError) -> TapError {
        let hint = error.rdkafka_error_code().map_or(GENERAL, advice);
        self.trouble(&format!("the brokers did not say {question}"), hint, Some(error))
    }

    /// The same, asked by this client: where the brokers refuse it, that is why.
    pub(super) fn silent_to(&self, asker: &BaseConsumer, question: &str, error: KafkaError) -> TapError {
        self.silent(question, drain(asker).unwrap_or(error))
    }

    /// A client that cannot be made. The client's own error repeats the value, which may be a password.
    pub(super) fn unusable(&self, error: KafkaError) -> TapError {
        if let KafkaError::ClientConfig(_, reason, name, _) = error {
            let what = format!("the property `{name}` is refused ({reason})");
            return self.fatal(&what, "see librdkafka's CONFIGURATION.md for its name and its values", None);
        }
        self.fatal("a client cannot be made", "check `brokers` and `properties`", Some(error))
    }
}

const GENERAL: &str = "check that `brokers` is right and reachable from here";

/// What the user can do about an error of the brokers.
pub(super) fn advice(code: RDKafkaErrorCode) -> &'static str {
    type Code = RDKafkaErrorCode;
    let denied = [Code::TopicAuthorizationFailed, Code::GroupAuthorizationFailed, Code::ClusterAuthorizationFailed];
    if matches!(code, Code::Authentication | Code::SaslAuthenticationFailed) {
        "they refuse the credentials: check sasl.mechanism, sasl.username and sasl.password in `properties`"
    } else if code == Code::SSL {
        "no secure connection can be made: check in `properties` that ssl.ca.location names the authority that signed the \
         brokers' certificate, and that security.protocol is that of this listener; and that `brokers` has the name in the \
         certificate"
    } else if denied.contains(&code) {
        "allow this user to READ and DESCRIBE the topics and to READ the group"
    } else if matches!(code, Code::UnknownTopicOrPartition | Code::UnknownTopic | Code::UnknownPartition) {
        "check `topics`; a topic created later is picked up by itself"
    } else {
        GENERAL
    }
}

/// Serves what has queued up in a client that nobody polls: errors and log lines, which would pile up otherwise. Answers why
/// the brokers refuse it, if they do: to a question they are only silent.
pub(super) fn drain<C: ConsumerContext>(client: &BaseConsumer<C>) -> Option<KafkaError> {
    type Code = RDKafkaErrorCode;
    let mut refusal = None;
    // Far more than piles up between two questions; a bound, so that a client in trouble cannot hold its caller.
    for _ in 0..1000 {
        match client.poll(SERVE) {
            None => break,
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                let code = error.rdkafka_error_code();
                if matches!(code, Some(Code::Authentication | Code::SaslAuthenticationFailed | Code::SSL)) {
                    refusal = Some(error);
                }
            }
        }
    }
    refusal
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, value: &str) -> String {
        let properties = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        let brokers = Brokers { bootstrap: "127.0.0.1:1".into(), properties };
        brokers.check().unwrap_err().to_string()
    }

    #[test]
    fn properties_that_break_the_promise_are_refused() {
        assert!(check("enable.auto.commit", "true").contains("only offsets of judged changes"));
        assert!(check("group.id", "x").contains("set `group`"));
        let error = check("fetch.wait.maxx.ms", "5");
        assert!(error.contains("`fetch.wait.maxx.ms` is refused (No such configuration property"), "{error}");
    }

    #[test]
    fn a_refused_value_is_never_repeated() {
        let error = check("sasl.mechanism.hunter2", "hunter3");
        assert!(!error.contains("hunter3"), "{error}");
        let error = check("socket.timeout.ms", "hunter2");
        assert!(error.contains("`socket.timeout.ms` is refused"), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}
