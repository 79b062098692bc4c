//! The connector's marker of an unchanged column that the source did not send, in every guise it takes.

use base64::Engine as _;
use md5::{Digest as _, Md5};

use crate::decode::row::Marks;
use crate::model::Cell;

/// `unavailable.value.placeholder` as it is by default.
const DEFAULT_MARKER: &str = "__debezium_unavailable_value";

/// The values that stand for one that was not sent: the marker as text and as bytes, and as the one element of an
/// array of texts, bytes, characters' codes or UUIDs, or of an hstore (an object, or the text of one).
pub(super) fn marks(declared: Option<&str>) -> Marks {
    let declared = declared.filter(|marker| !marker.is_empty()).unwrap_or(DEFAULT_MARKER);
    let bytes = declared.strip_prefix("hex:").and_then(from_hex).unwrap_or_else(|| declared.as_bytes().to_vec());
    let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let codes: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let uuid = name_uuid(&bytes);
    let mut written = vec![format!("[{}]", codes.join(",")), format!("[\"{base64}\"]"), format!("[\"{uuid}\"]")];
    let mut texts = vec![base64];
    if let Ok(text) = std::str::from_utf8(&bytes) {
        let quoted = serde_json::Value::from(text).to_string();
        let hstore = format!("{{{quoted}:{quoted}}}");
        written.extend([format!("[{quoted}]"), hstore.clone()]);
        texts.extend([text.to_owned(), hstore]);
    }
    let boxed = |all: Vec<String>| all.into_iter().map(Into::into).collect();
    Marks { texts: boxed(texts), written: boxed(written), bytes: bytes.into() }
}

/// Java's `UUID.nameUUIDFromBytes`: a UUID of version 3 without a namespace.
fn name_uuid(bytes: &[u8]) -> Cell<'static> {
    let mut digest: [u8; 16] = Md5::digest(bytes).into();
    digest[6] = digest[6] & 0x0f | 0x30;
    digest[8] = digest[8] & 0x3f | 0x80;
    Cell::Uuid(digest)
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(|pair| (pair.len() == 2).then(|| byte(pair)).flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(declared: Option<&str>, text: &str) {
        let marks = marks(declared);
        assert!(marks.texts.iter().chain(&marks.written).any(|mark| **mark == *text), "{text}");
    }

    #[test]
    fn every_guise() {
        for text in [
            "__debezium_unavailable_value",
            "X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==",
            r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#,
            r#"["__debezium_unavailable_value"]"#,
            r#"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#,
            "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
            r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#,
        ] {
            check(None, text);
        }
    }

    #[test]
    fn a_marker_of_the_users_own() {
        check(Some("gone"), "gone");
        check(Some("hex:ff00"), "/wA=");
        check(Some("hex:xyz"), "hex:xyz");
        check(Some(""), "__debezium_unavailable_value");
    }
}
