//! One JSON value as written becomes one cell, or a flaw. Values are looked at as text, so that numbers stay exact.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::decimal;
use super::row::ReadCell;
use crate::model::Cell;
use crate::model::cell::Text;

/// Nesting beyond which a value is refused: the depth at which JSON readers, `serde_json` among them, give up.
const MAX_DEPTH: usize = 127;

/// White space as JSON has it.
pub(super) const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

/// Why a value is not what its column says. It never holds the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Flaw {
    /// The value is not of the declared type.
    #[error("the value is not {0}")]
    Not(&'static str),
    /// More digits than any database holds.
    #[error("the number has more digits than any database holds")]
    TooLong,
    /// The record has a column that its own schema lacks.
    #[error("the record's schema has no such column")]
    NotInSchema,
    /// Nested too deep.
    #[error("the value is nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
}

/// A value that need not be seen as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Scalar<'a> {
    /// null.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// A number with a point and without an exponent, as written.
    Fraction(&'a str),
    /// The content of a text.
    Text(Text<'a>),
}

/// Values whose types nobody declared: JSON's own kinds, numbers exact.
///
/// One object has a meaning of its own even so: `{"scale": n, "value": base64}` is Connect's form of a number of any scale.
pub(super) struct Undeclared;

impl ReadCell for Undeclared {
    fn written<'a>(&self, _: Option<usize>, _: &str, raw: &'a str) -> Result<Cell<'a>, Flaw> {
        match raw.as_bytes().first() {
            Some(b'"') => Ok(Cell::Text(text(raw)?.into())),
            Some(b'n') => Ok(Cell::Null),
            Some(b't') => Ok(Cell::Bool(true)),
            Some(b'f') => Ok(Cell::Bool(false)),
            Some(b'{') => match variable_scale(raw) {
                Some(Ok(number)) => Ok(Cell::Decimal(number)),
                Some(Err(_)) | None => opaque("object", raw),
            },
            Some(b'[') => opaque("array", raw),
            Some(_) | None => number(raw),
        }
    }

    #[inline]
    fn scalar<'a>(&self, _: usize, value: Scalar<'a>) -> Option<Result<Cell<'a>, Flaw>> {
        Some(Ok(match value {
            Scalar::Null => Cell::Null,
            Scalar::Bool(value) => Cell::Bool(value),
            Scalar::Int(value) => Cell::Int(value),
            Scalar::Fraction(number) => Cell::Decimal(number.into()),
            Scalar::Text(text) => Cell::Text(text),
        }))
    }
}

/// A number: an integer if it is written as one and fits, else exact decimal text. One in scientific notation is a
/// decimal even where its value is whole, since its writer may have rounded it.
fn number(raw: &str) -> Result<Cell<'_>, Flaw> {
    match raw.parse::<i64>() {
        Ok(value) => Ok(Cell::Int(value)),
        Err(_) => Ok(Cell::Decimal(decimal::plain(raw)?)),
    }
}

/// A value that is carried and not compared.
pub(super) fn opaque(kind: &str, raw: &str) -> Result<Cell<'static>, Flaw> {
    check_depth(raw)?;
    Ok(Cell::Opaque(Box::new((kind.to_owned(), raw.to_owned()))))
}

/// The content of a JSON string, borrowed where nothing in it is escaped.
pub(super) fn text(raw: &str) -> Result<Cow<'_, str>, Flaw> {
    let inner = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).ok_or(Flaw::Not("a text"))?;
    if inner.contains('\\') {
        serde_json::from_str(raw).map(Cow::Owned).map_err(|_| Flaw::Not("a text of valid Unicode"))
    } else {
        Ok(Cow::Borrowed(inner))
    }
}

/// Bytes of a base64 text (standard alphabet, padded), as Connect's `JsonConverter` writes them.
pub(super) fn base64(text: &str) -> Result<Vec<u8>, Flaw> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| Flaw::Not("base64"))
}

/// The number in `{"scale": n, "value": base64}`; `None` if the object is another.
pub(super) fn variable_scale(raw: &str) -> Option<Result<Text<'static>, Flaw>> {
    let fields = serde_json::from_str::<Fields<'_>>(raw).ok()?;
    let [_, _] = &fields.0[..] else { return None };
    let scale = fields.get("scale")?.parse::<i32>().ok()?;
    let value = base64(&fields.text("value")?).ok()?;
    Some(decimal::from_twos_complement(&value, scale))
}

pub(super) fn check_depth(raw: &str) -> Result<(), Flaw> {
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for byte in raw.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => depth += 1,
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Flaw::TooDeep);
        }
    }
    Ok(())
}

/// A name of an object's field.
pub(super) struct Name<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }
            fn visit_borrowed_str<E: de::Error>(self, name: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(name)))
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}

/// The fields of an object in their order, values as written. A name that comes twice is an error.
#[derive(Debug)]
pub(super) struct Fields<'a>(pub(super) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Fields<'a> {
    /// The value of a field, as written.
    pub(super) fn get(&self, name: &str) -> Option<&'a str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.get())
    }

    /// The value of a field that is a text.
    pub(super) fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        self.get(name).and_then(|raw| text(raw).ok())
    }

    /// Whether a field is there and is an object.
    pub(super) fn is_object(&self, name: &str) -> bool {
        self.get(name).is_some_and(|raw| raw.starts_with('{'))
    }
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut fields = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, &'de RawValue>()? {
                    fields.push((name, value));
                }
                match repeated(fields.iter().map(|(name, _)| &**name)) {
                    true => Err(de::Error::custom(REPEATED)),
                    false => Ok(Fields(fields)),
                }
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// The reason given where one object has a field twice.
pub(super) const REPEATED: &str = "a field comes twice in one object";

/// Whether a name comes twice. A few names are compared with each other, many are sorted.
pub(super) fn repeated<'n>(names: impl Iterator<Item = &'n str> + Clone) -> bool {
    const FEW: usize = 16;
    if names.clone().nth(FEW).is_none() {
        return names.clone().enumerate().any(|(index, name)| names.clone().take(index).any(|before| before == name));
    }
    let mut sorted: Vec<&str> = names.collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

/// What is wrong with a JSON text, without the values that `serde_json` would quote.
pub(super) fn complaint(error: &serde_json::Error) -> String {
    let (line, column) = (error.line(), error.column());
    match error.classify() {
        serde_json::error::Category::Eof => format!("JSON ends early, at line {line} column {column}"),
        serde_json::error::Category::Data if error.to_string().starts_with(REPEATED) => {
            format!("{REPEATED}, at line {line} column {column}")
        }
        serde_json::error::Category::Data => format!("unexpected kind of JSON value at line {line} column {column}"),
        // Syntax errors are fixed words and a place; they quote nothing.
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => format!("not JSON: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn undeclared(raw: &str) -> Result<Cell<'_>, Flaw> {
        Undeclared.written(None, "v", raw)
    }

    #[test]
    fn kinds_of_json() {
        let rows: [(&str, Cell); 12] = [
            ("null", Cell::Null),
            ("true", Cell::Bool(true)),
            ("-9223372036854775808", Cell::Int(i64::MIN)),
            ("9223372036854775808", Cell::Decimal("9223372036854775808".into())),
            ("1.10", Cell::Decimal("1.10".into())),
            ("1.2e17", Cell::Decimal("120000000000000000".into())),
            (r#""a""#, Cell::text("a")),
            (r#""a\n\u00e9\"""#, Cell::text("a\né\"")),
            (r#"{"scale":1,"value":"Dw=="}"#, Cell::Decimal("1.5".into())),
            (
                r#"{"scale":"1","value":"2"}"#,
                Cell::Opaque(Box::new(("object".into(), r#"{"scale":"1","value":"2"}"#.into()))),
            ),
            ("[1,2]", Cell::Opaque(Box::new(("array".into(), "[1,2]".into())))),
            ("{}", Cell::Opaque(Box::new(("object".into(), "{}".into())))),
        ];
        for (raw, expected) in rows {
            assert_eq!(undeclared(raw), Ok(expected), "{raw}");
        }
    }

    #[test]
    fn refused_values() {
        assert_eq!(undeclared(r#""\ud800""#), Err(Flaw::Not("a text of valid Unicode")));
        assert_eq!(undeclared(&"[".repeat(128)), Err(Flaw::TooDeep));
        assert!(undeclared(&format!("[\"{}\"]", "[".repeat(200))).is_ok());
        assert_eq!(undeclared("1e999999"), Err(Flaw::TooLong));
    }

    #[test]
    fn complaints_quote_no_values() {
        let error = serde_json::from_str::<Fields<'_>>(r#""secret""#).expect_err("a text is no object");
        assert_eq!(complaint(&error), "unexpected kind of JSON value at line 1 column 8");
        let error = serde_json::from_str::<Fields<'_>>(r#"{"a":1,"a":2}"#).expect_err("twice");
        assert_eq!(complaint(&error), "a field comes twice in one object, at line 1 column 13");
        let error = serde_json::from_str::<Fields<'_>>(r#"{"a":NaN}"#).expect_err("NaN is no JSON");
        assert_eq!(complaint(&error), "not JSON: expected value at line 1 column 6");
    }
}
