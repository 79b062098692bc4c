//! Envelopes in events of CloudEvents, as Debezium's `CloudEventsConverter` writes them: `before` and `after` are the event's
//! `data`, what the envelope says besides is in attributes (`iodebeziumop`, `iodebeziumtable`, …).

use super::envelope::Envelope;
use super::source::{Field, Source};
use super::{Debezium, Letter, Unread, broken};
use crate::decode::Understood;
use crate::decode::json::{self, Fields};

const PREFIX: &str = "iodebezium";

impl Debezium {
    /// Understands one value.
    pub(in crate::decode) fn decode_cloud<'a>(
        &mut self,
        letter: &Letter<'_, 'a>,
        text: &'a str,
    ) -> Result<Understood<'a>, Unread<'a>> {
        let fault = |reason: &str| broken(format!("a CloudEvents event: {reason}"), None);
        let fields: Fields<'a> = serde_json::from_str(text).map_err(|error| fault(&json::complaint(&error)))?;
        let data = fields.get("data").filter(|data| data.starts_with('{'));
        let Some(data) = data else {
            return Err(fault("its `data` is no JSON object: set `data.serializer.type` of the converter to `json`"));
        };
        self.decode_with(letter, (data, None), |envelope| complete(envelope, &fields)).map_err(|unread| match unread {
            Unread::Broken(reject) => Unread::Broken(reject),
            Unread::Other { complaint, .. } => fault(&complaint),
        })
    }
}

/// Adds what the attributes say, where `data` does not say it.
fn complete<'a>(envelope: &mut Envelope<'a>, fields: &Fields<'a>) {
    let attributes = || fields.0.iter().filter_map(|(name, value)| Some((name.strip_prefix(PREFIX)?, value.get())));
    if envelope.op.is_none() {
        envelope.op = attributes().find(|(name, _)| *name == "op").map(|(_, value)| value);
    }
    if envelope.source.is_none() {
        let mut source = Source::default();
        for (name, value) in attributes() {
            if let Some(field) = Field::adjusted(name) {
                source.set(field, value);
            }
        }
        envelope.source = Some(source);
    }
}
