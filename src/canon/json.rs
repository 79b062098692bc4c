//! JSON by structure: keys sorted, the last of duplicates wins, numbers by decimal value, strings unescaped.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::number;

/// Deeper documents are not compared: the canonical form is built by recursion. serde_json's own limit is the same.
const MOST_DEPTH: usize = 128;

/// The canonical text of a document; `None` if it is no JSON or nests too deep.
pub(super) fn canonical(text: &str) -> Option<String> {
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let mut out = String::with_capacity(text.len());
    write_value(raw.get(), MOST_DEPTH, &mut out)?;
    Some(out)
}

fn write_value(text: &str, depth: usize, out: &mut String) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match text.as_bytes().first()? {
        b'{' => write_object(text, depth, out),
        b'[' => write_array(text, depth, out),
        b'"' => write_string(&serde_json::from_str::<String>(text).ok()?, out),
        b't' | b'f' | b'n' => {
            out.push_str(text);
            Some(())
        }
        _ => write_number(text, out),
    }
}

fn write_object(text: &str, depth: usize, out: &mut String) -> Option<()> {
    let members: Members<'_> = serde_json::from_str(text).ok()?;
    out.push('{');
    for (index, (name, value)) in members.0.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_string(name, out)?;
        out.push(':');
        write_value(value.get(), depth, out)?;
    }
    out.push('}');
    Some(())
}

fn write_array(text: &str, depth: usize, out: &mut String) -> Option<()> {
    let items: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write_value(item.get(), depth, out)?;
    }
    out.push(']');
    Some(())
}

fn write_string(text: &str, out: &mut String) -> Option<()> {
    out.push_str(&serde_json::to_string(text).ok()?);
    Some(())
}

fn write_number(text: &str, out: &mut String) -> Option<()> {
    let value = number::decimal(text, None)?;
    write!(out, "{}", value.into_cell()).ok()
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Members<'a>(#[serde(borrow)] BTreeMap<String, &'a RawValue>);

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn documents_of_one_structure_are_one_text() {
        for (one, other) in [
            (r#"{"b": 1,  "a":[1,2.50,null]}"#, r#"{"a":[1.0,2.5,null],"b":1e0}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#""\u00fc""#, r#""ü""#),
            ("1000", "1e3"),
            ("12345678901234567890.10", "12345678901234567890.1"),
            (" [ ] ", "[]"),
            ("true", " true "),
        ] {
            assert_eq!(canonical(one), canonical(other), "{one}");
            assert!(canonical(one).is_some(), "{one}");
        }
    }

    #[test]
    fn documents_that_differ_stay_different() {
        for (one, other) in [
            ("[1,2]", "[2,1]"),
            (r#"{"a":null}"#, "{}"),
            (r#""1""#, "1"),
            ("9007199254740993", "9007199254740992"),
            (r#"{"a":"b"}"#, r#"{"a":"B"}"#),
        ] {
            assert_ne!(canonical(one), canonical(other), "{one}");
        }
    }

    #[test]
    fn what_is_no_document_has_no_canonical_text() {
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        for text in ["", "{", "nul", "{'a':1}", "1 2", "__debezium_unavailable_value", deep.as_str()] {
            assert_eq!(canonical(text), None, "{text}");
        }
    }
}
