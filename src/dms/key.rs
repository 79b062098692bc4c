//! The `KEY` of a failure: `{"key":  ["3451491"]}`, the values of the primary key as texts, in its order.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a `KEY` names no row.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// DMS cuts what is too long for the column.
    #[error("its KEY is no JSON, it may have been cut at the width of the column: expected {{\"key\": [\"…\"]}}")]
    NoJson,
    /// JSON of another shape.
    #[error("its KEY has no list `key`: expected {{\"key\": [\"…\"]}}")]
    NoList,
    /// Nothing in it.
    #[error("its KEY is an empty list: expected a value for each column of the primary key")]
    Empty,
    /// A value that no key holds.
    #[error("value {0} of its KEY is {1}: expected a text or a number")]
    Value(usize, &'static str),
}

/// The values of a `KEY`, as texts.
///
/// # Errors
/// What is wrong with it.
pub fn key_values(text: &str) -> Result<Vec<String>, NoKey> {
    let Ok(fields) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
        return Err(serde_json::from_str::<IgnoredAny>(text).map_or(NoKey::NoJson, |_| NoKey::NoList));
    };
    let list = fields.get("key").and_then(|list| serde_json::from_str::<Vec<&RawValue>>(list.get()).ok());
    let list = list.ok_or(NoKey::NoList)?;
    if list.is_empty() {
        return Err(NoKey::Empty);
    }
    list.iter().enumerate().map(|(index, raw)| value(raw.get()).map_err(|what| NoKey::Value(index + 1, what))).collect()
}

fn value(raw: &str) -> Result<String, &'static str> {
    match serde_json::from_str::<Value>(raw) {
        Ok(Value::String(text)) => Ok(text),
        // As it is written: a large number keeps all its digits.
        Ok(Value::Number(_) | Value::Bool(_)) => Ok(raw.to_owned()),
        Ok(Value::Null) => Err("null"),
        Ok(Value::Array(_)) => Err("a list"),
        Ok(Value::Object(_)) => Err("an object"),
        Err(_) => Err("no JSON"),
    }
}

/// Values as DMS writes them.
#[must_use]
pub fn key_text(values: &[String]) -> String {
    let list: Vec<String> = values.iter().map(|value| Value::from(value.as_str()).to_string()).collect();
    format!("{{\"key\":  [{}]}}", list.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[&str], NoKey>) {
        let values = key_values(text);
        assert_eq!(values, expected.map(|values| values.iter().map(|&value| value.to_owned()).collect()), "{text}");
    }

    #[test]
    fn keys_are_read_as_dms_writes_them() {
        check(r#"{"key":  ["3451491"]}"#, Ok(&["3451491"]));
        check(r#"{"key":  ["7", "Delft \"x\" ü"]}"#, Ok(&["7", "Delft \"x\" ü"]));
        check(r#"{"key":[42, true, -1.50]}"#, Ok(&["42", "true", "-1.50"]));
        check(r#"{"key":[184467440737095516159]}"#, Ok(&["184467440737095516159"]));
    }

    #[test]
    fn what_is_no_key_says_why() {
        check("", Err(NoKey::NoJson));
        check(r#"{"key":  ["345149"#, Err(NoKey::NoJson));
        check("{'key': ['1']}", Err(NoKey::NoJson));
        check(r#"["1"]"#, Err(NoKey::NoList));
        check(r#"{"key": "1"}"#, Err(NoKey::NoList));
        check(r#"{"key": []}"#, Err(NoKey::Empty));
        check(r#"{"key": ["1", null]}"#, Err(NoKey::Value(2, "null")));
        check(r#"{"key": [["1"]]}"#, Err(NoKey::Value(1, "a list")));
    }

    #[test]
    fn keys_are_written_as_they_are_read() {
        for values in [vec!["42".to_owned()], vec!["a\"b".to_owned(), "ü\n".to_owned()]] {
            assert_eq!(key_values(&key_text(&values)), Ok(values));
        }
        assert_eq!(key_text(&["3451491".to_owned()]), r#"{"key":  ["3451491"]}"#);
    }
}
