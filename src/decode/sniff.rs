//! Which format a record is in. Formats that are recognised and not read are named, so that the reason helps.

use super::json::{self, Fields};
use super::maxwell;

/// The first bytes of records that the Kinesis Producer Library packed together.
const KPL_MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

/// Why a value that is neither framed nor plain JSON text is not read: the name of its framing.
pub(super) fn framing(value: &[u8]) -> Option<&'static str> {
    match value {
        [] => Some("an empty value (neither null nor JSON)"),
        _ if value.starts_with(&KPL_MAGIC) => Some("an aggregate of the Kinesis Producer Library"),
        _ => None,
    }
}

/// The first field name of a JSON object, as written.
pub(super) fn first_field(text: &str) -> Option<&str> {
    let after_quote = match text.strip_prefix("{\"") {
        Some(compact) => compact,
        None => text.trim_ascii_start().strip_prefix('{')?.trim_ascii_start().strip_prefix('"')?,
    };
    // Names are short: looking at each byte is faster than a search is set up.
    let end = after_quote.bytes().position(|byte| byte == b'"')?;
    after_quote.get(..end)
}

/// What a JSON value looks like from its top-level fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A Debezium envelope.
    Debezium,
    /// A Debezium envelope in one of CloudEvents.
    Cloud,
    /// An AWS DMS message.
    Dms,
    /// A Maxwell record.
    Maxwell,
    /// A Canal record.
    Canal,
    /// An object that is nothing else: a row.
    Flattened,
    /// JSON null.
    Null,
    /// A record that carries no change: the word says which.
    Control(&'static str),
    /// A format that this version does not read.
    Unread(&'static str),
}

/// Looks at the top-level fields of a JSON text, in the order in which the formats shadow each other.
pub(super) fn shape(text: &str) -> Result<Shape, String> {
    if text.trim_matches(json::SPACE) == "null" {
        return Ok(Shape::Null);
    }
    let fields = serde_json::from_str::<Fields<'_>>(text).map_err(|error| json::complaint(&error))?;
    let has = |name: &str| fields.get(name).is_some();
    let one_letter = |name: &str| fields.text(name).is_some_and(|op| op.len() == 1);
    let holds_rows = has("before") || has("after");
    Ok(if (one_letter("op") && fields.is_object("source")) || (holds_rows && (has("op") || has("source"))) {
        Shape::Debezium
    } else if fields.is_object("metadata") && names_record_type(&fields) {
        Shape::Dms
    } else if has("eventName") && fields.is_object("dynamodb") {
        Shape::Unread("a DynamoDB stream record")
    } else if has("database") && fields.text("type").is_some_and(|word| maxwell::Kind::of(&word).is_some()) {
        Shape::Maxwell
    } else if has("isDdl") && has("es") {
        Shape::Canal
    } else if has("databaseName") && (has("ddl") || has("tableChanges")) {
        Shape::Control("schema-change")
    } else if has("id") && matches!(fields.text("status").as_deref(), Some("BEGIN" | "END")) && has("ts_ms") {
        Shape::Control("transaction")
    } else if has("specversion") && has("data") {
        Shape::Cloud
    } else if !fields.0.is_empty() && fields.0.iter().all(|(name, _)| matches!(&**name, "ts_ms" | "ts_us" | "ts_ns")) {
        Shape::Control("heartbeat")
    } else {
        Shape::Flattened
    })
}

fn names_record_type(fields: &Fields<'_>) -> bool {
    let metadata = fields.get("metadata").unwrap_or_default();
    serde_json::from_str::<Fields<'_>>(metadata).is_ok_and(|metadata| metadata.get("record-type").is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let plain = Shape::Flattened;
        for (text, expected) in [
            (r#"{"op":"c","source":{}}"#, Shape::Debezium),
            (r#"{"op":"create","source":{}}"#, plain),
            (r#"{"after":{},"source":{}}"#, Shape::Debezium),
            (r#"{"after":{},"before":{}}"#, plain),
            (r#"{"metadata":{"record-type":"data"},"data":{}}"#, Shape::Dms),
            (r#"{"metadata":{"kind":"data"},"data":{}}"#, plain),
            (r#"{"eventName":"INSERT","dynamodb":{}}"#, Shape::Unread("a DynamoDB stream record")),
            (r#"{"database":"d","table":"t","type":"insert","data":{}}"#, Shape::Maxwell),
            (r#"{"data":[{}],"database":"d","es":1,"isDdl":false,"table":"t","type":"INSERT"}"#, Shape::Canal),
            (r#"{"databaseName":"d","ddl":"ALTER"}"#, Shape::Control("schema-change")),
            (r#"{"status":"END","id":"1:2","ts_ms":1}"#, Shape::Control("transaction")),
            (r#"{"ts_ms":1}"#, Shape::Control("heartbeat")),
            (r#"{"specversion":"1.0","data":{}}"#, Shape::Cloud),
            (r#"{"type":"database-drop","database":"d","ts":1,"sql":"drop database d"}"#, Shape::Maxwell),
            (r#"{"id":1,"__op":"u"}"#, plain),
            (r"{}", plain),
            (" null ", Shape::Null),
        ] {
            assert_eq!(shape(text), Ok(expected), "{text}");
        }
        assert!(shape("[1]").is_err());
        assert!(shape("nul").is_err());
    }

    #[test]
    fn first_fields() {
        assert_eq!(first_field("\n { \"data\" : {}"), Some("data"));
        assert_eq!(first_field("{}"), None);
        assert_eq!(first_field("[\"data\"]"), None);
    }
}
