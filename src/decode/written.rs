//! Values of binary encodings written as Connect's `JsonConverter` writes them.

use std::fmt::Write as _;

use base64::Engine as _;

/// As it prints.
pub(super) fn show(out: &mut String, value: impl std::fmt::Display) {
    // Writing to a text cannot fail.
    let _ = write!(out, "{value}");
}

/// A float as JSON has it; the three values that JSON lacks as `JsonConverter` writes them.
pub(super) fn write_float<F: serde::Serialize>(out: &mut String, value: f64, finite: Option<F>) {
    match finite.and_then(|value| serde_json::to_string(&value).ok()) {
        Some(text) => out.push_str(&text),
        None if value.is_nan() => out.push_str(r#""NaN""#),
        None if value > 0.0 => out.push_str(r#""Infinity""#),
        None => out.push_str(r#""-Infinity""#),
    }
}

/// Bytes.
pub(super) fn write_base64(out: &mut String, bytes: &[u8]) {
    out.push('"');
    base64::engine::general_purpose::STANDARD.encode_string(bytes, out);
    out.push('"');
}

/// A text, with what must be escaped.
pub(super) fn write_text(out: &mut String, text: &str) {
    out.push_str(&serde_json::Value::from(text).to_string());
}
