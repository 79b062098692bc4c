//! The envelope, read in one pass: images into rows, the source block into borrowed fields, the rest skipped.

use std::fmt;

use serde::de::{Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::source::Source;
use crate::decode::json::{Name, REPEATED};
use crate::decode::row::{Draft, ReadCell, RowSeed};

/// What an envelope says. `op` and `source` make it one; a JSON object without them is something else.
#[derive(Debug, Default)]
pub(super) struct Envelope<'a> {
    pub(super) before: Option<Draft<'a>>,
    pub(super) after: Option<Draft<'a>>,
    pub(super) source: Option<Source<'a>>,
    /// As written, quotes included.
    pub(super) op: Option<&'a str>,
}

struct EnvelopeSeed<'r, R>(RowSeed<'r, R>);

/// Reads a whole JSON text as an envelope.
pub(super) fn read<'a, R: ReadCell>(text: &'a str, rows: RowSeed<'_, R>) -> serde_json::Result<Envelope<'a>> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let envelope = deserializer.deserialize_map(EnvelopeSeed(rows))?;
    deserializer.end()?;
    Ok(envelope)
}

/// Which fields of an envelope have been met.
#[derive(Default)]
struct Met {
    before: bool,
    after: bool,
    source: bool,
    op: bool,
}

impl<'de, R: ReadCell> Visitor<'de> for EnvelopeSeed<'_, R> {
    type Value = Envelope<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a Debezium envelope")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        let mut met = Met::default();
        while let Some(Name(name)) = map.next_key()? {
            let again = match &*name {
                "before" => {
                    envelope.before = map.next_value_seed(self.0)?;
                    std::mem::replace(&mut met.before, true)
                }
                "after" => {
                    envelope.after = map.next_value_seed(self.0)?;
                    std::mem::replace(&mut met.after, true)
                }
                "source" => {
                    envelope.source = map.next_value()?;
                    std::mem::replace(&mut met.source, true)
                }
                "op" => {
                    envelope.op = map.next_value::<Option<&'de RawValue>>()?.map(RawValue::get);
                    std::mem::replace(&mut met.op, true)
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    false
                }
            };
            if again {
                return Err(A::Error::custom(REPEATED));
            }
        }
        Ok(envelope)
    }
}
