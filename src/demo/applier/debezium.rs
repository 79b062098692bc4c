//! Reads Debezium's JSON records the way a sink does: with or without schemas, PostgreSQL's and MySQL's envelopes.
//!
//! Written apart from the sidecar's own decoder on purpose: what judges the sidecar must not share its mistakes.

use serde_json::Value;

use super::change::{Act, Event, Fields};
use crate::model::SourceTime;

/// A record that an applier cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Not JSON.
    #[error("the {part} is not JSON")]
    NotJson {
        /// `key` or `value`.
        part: &'static str,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
    /// Something an envelope has is missing.
    #[error("the record has no {what}, which an envelope of Debezium has")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
}

/// A change, and when the source committed it, where the record tells.
pub type Dated<P> = (Event<P>, Option<SourceTime>);

/// One change and when the source committed it. `None` for records that change no row: tombstones, heartbeats,
/// messages, transaction metadata, truncates.
///
/// # Errors
/// When a record is none of these.
pub fn read<P>(key: Option<&[u8]>, value: Option<&[u8]>, at: P) -> Result<Option<Dated<P>>, Unreadable> {
    let Some(value) = value else { return Ok(None) };
    let envelope = payload("value", value)?;
    let Some(op) = envelope.get("op").and_then(Value::as_str) else { return Ok(None) };
    let row = |part: &'static str| fields(envelope.get(part)).ok_or(Unreadable::Missing { what: part });
    let act = match op {
        "c" | "r" => Act::Insert(row("after")?),
        "u" => Act::Update { row: row("after")?, before: fields(envelope.get("before")) },
        "d" => Act::Delete,
        _ => return Ok(None),
    };
    let key = key.ok_or(Unreadable::Missing { what: "key" })?;
    let key = fields(Some(&payload("key", key)?)).ok_or(Unreadable::Missing { what: "key" })?;
    let source = envelope.get("source").ok_or(Unreadable::Missing { what: "source" })?;
    let name = |part: &str| source.get(part).and_then(Value::as_str);
    let schema = name("schema").or_else(|| name("db")).ok_or(Unreadable::Missing { what: "source.schema" })?;
    let table = name("table").ok_or(Unreadable::Missing { what: "source.table" })?;
    let committed_at = source.get("ts_ms").and_then(Value::as_i64).map(SourceTime);
    Ok(Some((Event { table: format!("{schema}.{table}").into(), key, act, at }, committed_at)))
}

/// The payload, with or without a schema around it.
fn payload(part: &'static str, bytes: &[u8]) -> Result<Value, Unreadable> {
    let mut value: Value = serde_json::from_slice(bytes).map_err(|source| Unreadable::NotJson { part, source })?;
    let wrapped = value.get("schema").is_some() && value.get("payload").is_some();
    Ok(if wrapped { value["payload"].take() } else { value })
}

fn fields(value: Option<&Value>) -> Option<Fields> {
    Some(value?.as_object()?.iter().map(|(name, value)| (name.clone(), value.clone())).collect())
}

#[cfg(test)]
mod tests {
    use super::super::sample::fields;
    use super::*;

    #[test]
    fn every_operation_is_read() {
        let source = r#""source":{"connector":"postgresql","db":"app","schema":"public","table":"t","ts_ms":7}"#;
        let before = Some(fields(&[("id", 1), ("v", 1)]));
        let rows = [
            (format!(r#"{{"before":null,"after":{{"id":1,"v":1}},{source},"op":"c"}}"#), "insert"),
            (format!(r#"{{"before":null,"after":{{"id":1,"v":1}},{source},"op":"r"}}"#), "insert"),
            (format!(r#"{{"before":{{"id":1,"v":1}},"after":{{"id":1,"v":2}},{source},"op":"u"}}"#), "update"),
            (format!(r#"{{"before":{{"id":1,"v":1}},"after":null,{source},"op":"d"}}"#), "delete"),
            (format!(r#"{{"schema":{{}},"payload":{{"after":{{"id":1,"v":1}},{source},"op":"c"}}}}"#), "insert"),
            (format!(r#"{{"before":null,"after":null,{source},"op":"t"}}"#), "none"),
            (r#"{"ts_ms":1}"#.to_owned(), "none"),
        ];
        for (value, expected) in rows {
            let event = read(Some(br#"{"id":1}"#), Some(value.as_bytes()), 5).expect("readable");
            let word = match event.as_ref().map(|(event, _)| &event.act) {
                Some(Act::Insert(row)) if row["v"] == 1 => "insert",
                Some(Act::Update { row, before: known }) if row["v"] == 2 && *known == before => "update",
                Some(Act::Delete) => "delete",
                Some(Act::Insert(_) | Act::Update { .. }) => "wrong row",
                None => "none",
            };
            assert_eq!(word, expected, "{value}");
            if let Some((event, committed_at)) = event {
                assert_eq!((&*event.table, event.at, committed_at), ("public.t", 5, Some(SourceTime(7))));
                assert_eq!(event.key, fields(&[("id", 1)]));
            }
        }
        assert!(read(Some(b"{}"), None, 0).expect("a tombstone").is_none());
    }

    #[test]
    fn what_is_no_envelope_is_said_so() {
        let rows: [(&[u8], &str); 3] = [
            (b"{", "the value is not JSON"),
            (br#"{"op":"c","after":null}"#, "the record has no after, which an envelope of Debezium has"),
            (br#"{"op":"d","before":null}"#, "the record has no source, which an envelope of Debezium has"),
        ];
        for (value, expected) in rows {
            let error = read(Some(br#"{"id":1}"#), Some(value), 0).expect_err("unreadable");
            assert_eq!(error.to_string(), expected);
        }
    }
}
