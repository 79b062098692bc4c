//! Values made of values: PostgreSQL's arrays, ranges and hstores, which a change stream writes as JSON or as the database
//! prints them.
//!
//! Each part is read under the form of its own type, so that `{1.50}` and `[1.5]` are one array of numbers. A part that
//! cannot be compared, an array within an array among them, makes the whole so: Debezium sends those as nulls.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::form::Form;
use super::json;
use super::value::{Canonical, Reading, numeric, temporal};
use crate::model::{Cell, Typing};

/// The elements of an array as they were written.
pub(super) fn elements(cell: &Cell<'_>) -> Option<Vec<Cell<'static>>> {
    match cell {
        Cell::Opaque(pair) if pair.0 == "array" => json_elements(&pair.1),
        Cell::Opaque(pair) => literal_elements(&pair.1),
        Cell::Text(text) => literal_elements(text),
        Cell::Json(text) => json_elements(text),
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => None,
        numeric!() | temporal!() | Cell::Bytes(_) | Cell::Uuid(_) => None,
    }
}

/// An array as the canonical values of its elements.
pub(super) fn array(element: &Form, cell: &Cell<'_>, typing: Typing) -> Option<Canonical<'static>> {
    let elements = elements(cell)?;
    let texts: Option<Vec<String>> = elements.iter().map(|cell| part(element, cell, typing)).collect();
    Some(Canonical::Text(Cow::Owned(format!("[{}]", texts?.join(",")))))
}

/// A part in its canonical form, quoted so that no two sequences of parts read alike.
fn part(form: &Form, cell: &Cell<'_>, typing: Typing) -> Option<String> {
    let bytes = as_bytes(form, cell);
    match form.read(bytes.as_ref().unwrap_or(cell), typing) {
        Reading::Value(Canonical::Null) => Some("null".to_owned()),
        Reading::Value(value) => serde_json::to_string(&value.into_cell().to_string()).ok(),
        Reading::Unknown | Reading::Incomparable => None,
    }
}

/// Bytes within an array are written as PostgreSQL prints them.
fn as_bytes(form: &Form, cell: &Cell<'_>) -> Option<Cell<'static>> {
    let (Form::Bytes(_), Cell::Text(text)) = (form, cell) else { return None };
    let digits = text.strip_prefix("\\x")?;
    super::read::hex(digits).map(|bytes| Cell::Bytes(bytes.into()))
}

fn json_elements(text: &str) -> Option<Vec<Cell<'static>>> {
    let raw: Vec<&RawValue> = serde_json::from_str(text).ok()?;
    raw.into_iter().map(|element| json_element(element.get())).collect()
}

fn json_element(raw: &str) -> Option<Cell<'static>> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str::<String>(raw).ok().map(|text| Cell::Text(text.into())),
        b'n' => Some(Cell::Null),
        b't' => Some(Cell::Bool(true)),
        b'f' => Some(Cell::Bool(false)),
        b'[' | b'{' => None,
        _ => Some(raw.parse().map_or_else(|_| Cell::Decimal(raw.to_owned().into()), Cell::Int)),
    }
}

/// The elements of `{a,"b c",NULL}`, also with bounds before it: `[2:3]={1,2}`.
fn literal_elements(text: &str) -> Option<Vec<Cell<'static>>> {
    let text = match text.strip_prefix('[') {
        Some(bounded) => bounded.split_once("]=")?.1,
        None => text,
    };
    let mut rest = text.strip_prefix('{')?;
    if rest == "}" {
        return Some(Vec::new());
    }
    let mut cells = Vec::new();
    loop {
        let (cell, after) = literal_element(rest)?;
        cells.push(cell);
        match after.as_bytes() {
            [b'}'] => return Some(cells),
            [b',', ..] => rest = &after[1..],
            _ => return None,
        }
    }
}

fn literal_element(text: &str) -> Option<(Cell<'static>, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (content, rest) = unquoted(quoted)?;
        return Some((Cell::Text(content.into()), rest));
    }
    let end = text.find([',', '}'])?;
    let (plain, rest) = text.split_at(end);
    if plain.is_empty() || plain.contains('{') {
        return None;
    }
    let cell = if plain == "NULL" { Cell::Null } else { Cell::Text(plain.to_owned().into()) };
    Some((cell, rest))
}

/// The content up to the closing quotation mark, and what follows it. A backslash takes the next character as it is; a
/// doubled mark, as ranges have it, is one.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut characters = text.char_indices().peekable();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => content.push(characters.next()?.1),
            '"' if characters.next_if(|(_, next)| *next == '"').is_some() => content.push('"'),
            '"' => return Some((content, &text[at + 1..])),
            _ => content.push(character),
        }
    }
    None
}

/// A range as PostgreSQL prints it, each bound in its canonical form: `[1.50,2)`, `empty`, `["2024-01-01 00:00:00+01",)`.
pub(super) fn range(bound: &Form, cell: &Cell<'_>) -> Option<Canonical<'static>> {
    let Cell::Text(text) = cell else { return None };
    if &**text == "empty" {
        return Some(Canonical::Text(Cow::Borrowed("empty")));
    }
    let (open, inside) = text.split_at_checked(1).filter(|(open, _)| matches!(*open, "[" | "("))?;
    let (lower, rest) = range_bound(bound, inside)?;
    let (upper, close) = range_bound(bound, rest.strip_prefix(',')?)?;
    matches!(close, "]" | ")").then(|| Canonical::Text(Cow::Owned(format!("{open}{lower},{upper}{close}"))))
}

/// A bound and what follows it; without a limit it is empty.
fn range_bound<'t>(form: &Form, text: &'t str) -> Option<(String, &'t str)> {
    let (written, rest) = match text.strip_prefix('"') {
        Some(quoted) => unquoted(quoted)?,
        None => {
            let (plain, rest) = text.split_at(text.find([',', ')', ']'])?);
            (plain.to_owned(), rest)
        }
    };
    let value = if written.is_empty() { String::new() } else { part(form, &Cell::text(&written), Typing::Declared)? };
    Some((value, rest))
}

/// An hstore as the JSON of its pairs, which is one of the two ways Debezium writes it.
pub(super) fn hstore(cell: &Cell<'_>) -> Option<Canonical<'static>> {
    let document = match cell {
        Cell::Json(text) => json::canonical(text)?,
        Cell::Text(text) => match json::canonical(text) {
            Some(document) if document.starts_with('{') => document,
            Some(_) | None => json::canonical(&pairs(text)?)?,
        },
        Cell::Opaque(pair) => json::canonical(&pair.1)?,
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => return None,
        numeric!() | temporal!() | Cell::Bytes(_) | Cell::Uuid(_) => return None,
    };
    Some(Canonical::Json(document))
}

/// The JSON of `"a"=>"1", "b"=>NULL`.
fn pairs(text: &str) -> Option<String> {
    let mut members = serde_json::Map::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (key, after) = unquoted(rest.strip_prefix('"')?)?;
        let after = after.strip_prefix("=>")?;
        let (value, after) = match after.strip_prefix("NULL") {
            Some(after) => (serde_json::Value::Null, after),
            None => {
                let (value, after) = unquoted(after.strip_prefix('"')?)?;
                (value.into(), after)
            }
        };
        members.insert(key, value);
        rest = after.strip_prefix(", ").unwrap_or(after);
    }
    Some(serde_json::Value::Object(members).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(text: &str) -> Option<Vec<String>> {
        literal_elements(text).map(|cells| cells.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn array_literals_are_taken_apart() {
        for (text, expected) in [
            ("{}", Some(&[][..])),
            ("{1,2}", Some(&["1", "2"])),
            (r#"{a,"b c","q\"","x,y","{","\\"}"#, Some(&["a", "b c", "q\"", "x,y", "{", "\\"])),
            ("[2:3]={1,2}", Some(&["1", "2"])),
            (r#"{"",NULL,"NULL"}"#, Some(&["", "null", "NULL"])),
            ("{{1,2},{3,4}}", None),
            ("{1,2", None),
            ("{1,,2}", None),
            ("", None),
            ("1", None),
        ] {
            let found = literal(text);
            assert_eq!(
                found.as_ref().map(|found| found.iter().map(String::as_str).collect()),
                expected.map(Vec::from),
                "{text}"
            );
        }
    }

    #[test]
    fn hstores_are_taken_apart() {
        for (text, expected) in [
            ("", Some("{}")),
            (r#""a"=>"1", "b"=>NULL"#, Some(r#"{"a":"1","b":null}"#)),
            (r#""q\"=>"=>"NULL", "\\"=>"""#, Some(r#"{"\\":"","q\"=>":"NULL"}"#)),
            ("a=>1", None),
            (r#""a"=>"#, None),
        ] {
            assert_eq!(pairs(text).as_deref(), expected, "{text}");
        }
    }
}
