//! The connector's marker of an unchanged column that the source did not send, in every guise it takes.

use base64::Engine as _;

/// `unavailable.value.placeholder` as it is by default.
const DEFAULT_MARKER: &str = "__debezium_unavailable_value";

/// The default marker as an element of `uuid[]`: Java's `UUID.nameUUIDFromBytes` of its bytes.
const DEFAULT_UUID: &str = "b68a35a7-17ad-35b3-af2a-ae46edb4545a";

/// The JSON texts that stand for a value that was not sent: as text, as bytes, and as the one element of an array of
/// texts, bytes, characters' codes or UUIDs, or of an hstore.
///
/// The codes of a marker that the user chose are covered, its UUID is not: arrays are not compared in any case.
pub(super) fn marks(declared: Option<&str>) -> Vec<Box<str>> {
    let declared = declared.filter(|marker| !marker.is_empty()).unwrap_or(DEFAULT_MARKER);
    let bytes = declared.strip_prefix("hex:").and_then(from_hex).unwrap_or_else(|| declared.as_bytes().to_vec());
    let base64 = base64::engine::general_purpose::STANDARD.encode(&bytes);
    let mut marks = vec![format!("\"{base64}\""), format!("[\"{base64}\"]")];
    let codes: Vec<String> = bytes.iter().map(u8::to_string).collect();
    marks.push(format!("[{}]", codes.join(",")));
    if let Ok(text) = std::str::from_utf8(&bytes) {
        let quoted = serde_json::Value::from(text).to_string();
        let hstore = format!("{{{quoted}:{quoted}}}");
        marks.push(serde_json::Value::from(hstore.as_str()).to_string());
        marks.extend([format!("[{quoted}]"), quoted, hstore]);
    }
    if declared == DEFAULT_MARKER {
        marks.push(format!("[\"{DEFAULT_UUID}\"]"));
    }
    marks.into_iter().map(Into::into).collect()
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let pairs = hex.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(|pair| (pair.len() == 2).then(|| byte(pair)).flatten()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guise() {
        let marks = marks(None);
        for text in [
            r#""__debezium_unavailable_value""#,
            r#""X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==""#,
            r#"["__debezium_unavailable_value"]"#,
            r#"["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="]"#,
            "[95,95,100,101,98,101,122,105,117,109,95,117,110,97,118,97,105,108,97,98,108,101,95,118,97,108,117,101]",
            r#"["b68a35a7-17ad-35b3-af2a-ae46edb4545a"]"#,
            r#"{"__debezium_unavailable_value":"__debezium_unavailable_value"}"#,
            r#""{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}""#,
        ] {
            assert!(marks.iter().any(|mark| **mark == *text), "{text}");
        }
    }

    #[test]
    fn a_marker_of_the_users_own() {
        assert!(marks(Some("gone")).iter().any(|mark| &**mark == "\"gone\""));
        assert!(marks(Some("hex:ff00")).iter().any(|mark| &**mark == "\"/wA=\""));
        assert!(marks(Some("hex:xyz")).iter().any(|mark| &**mark == "\"hex:xyz\""));
        assert!(marks(Some("")).iter().any(|mark| &**mark == "\"__debezium_unavailable_value\""));
    }
}
