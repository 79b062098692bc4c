//! Values written as text: durations, sizes, counts, words. Each type knows its own grammar and can say what would have
//! been right, so that every mistake is explained the same way wherever it was made: file, environment or flag.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

use super::problem::closest;

/// A value with a text form. Numbers and booleans are read from text too, since that is all that an environment variable
/// or `"${VAR}"` can give.
pub trait Scalar: Sized {
    /// What would be right, to follow "expected": `a duration such as "60s"`.
    fn expected() -> String;

    /// Reads the text form.
    ///
    /// # Errors
    /// What is wrong, as a fragment.
    fn parse(text: &str) -> Result<Self, String>;

    /// The value as a person would write it.
    fn written(&self) -> serde_json::Value;

    /// The JSON schema of what may be written.
    fn schema() -> Schema {
        json_schema!({ "type": "string" })
    }
}

/// Says that `text` is not what was expected.
pub(super) fn not_a<T: Scalar>(text: &str) -> String {
    format!("`{text}` is not valid: expected {}", T::expected())
}

struct ScalarVisitor<T>(PhantomData<T>);

impl<T: Scalar> Visitor<'_> for ScalarVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&T::expected())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<T, E> {
        self.visit_str(if flag { "true" } else { "false" })
    }
}

pub(super) fn read<'de, T: Scalar, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_any(ScalarVisitor(PhantomData))
}

/// Gives a [`Scalar`] the traits that a field of the raw configuration needs.
macro_rules! field {
    ($($name:ty),+) => { $(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                crate::config::unit::read(from)
            }
        }
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                crate::config::unit::Scalar::written(self).serialize(to)
            }
        }
        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                <$name as crate::config::unit::Scalar>::schema()
            }
        }
    )+ };
}
pub(super) use field;

/// Declares an enum of fixed words that is a [`Scalar`].
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)+ }

        impl $name {
            /// The words, in order.
            pub const WORDS: &'static [&'static str] = &[$($word,)+];

            /// The fixed word.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl crate::config::unit::Scalar for $name {
            fn expected() -> String {
                crate::config::unit::one_of($name::WORDS)
            }
            fn parse(text: &str) -> Result<Self, String> {
                $(if text == $word { return Ok($name::$variant); })+
                Err(crate::config::unit::not_among(text, $name::WORDS))
            }
            fn written(&self) -> serde_json::Value {
                self.word().into()
            }
            fn schema() -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($word,)+] })
            }
        }
        crate::config::unit::field!($name);
    };
}
pub(super) use words;

/// What would be right: one of these words.
pub fn one_of(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    format!("one of {}", words.join(", "))
}

/// What is wrong with a word that is none of these, and what would be right.
pub fn not_among(text: &str, words: &[&str]) -> String {
    match closest(text, words.iter().copied()) {
        Some(near) => format!("`{text}` is not valid: did you mean `{near}`? Expected {}", one_of(words)),
        None => format!("`{text}` is not valid: expected {}", one_of(words)),
    }
}

/// A duration, written with its unit: `60s`, `1ms`, `2h 30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl Scalar for Span {
    fn expected() -> String {
        "a duration with its unit, such as \"60s\", \"500ms\" or \"2h\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        humantime::parse_duration(text).map(Span).map_err(|_| not_a::<Span>(text))
    }

    fn written(&self) -> serde_json::Value {
        humantime::format_duration(self.0).to_string().into()
    }
}

/// A number of bytes, written `1GiB`, `256MiB`, `10MB` or plainly as bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

const SIZE_UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Scalar for Size {
    fn expected() -> String {
        "a size such as \"1GiB\", \"256MiB\" or \"64KiB\"".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        let unit = SIZE_UNITS.iter().find(|(unit, _)| text.ends_with(unit));
        let (number, scale) = unit.map_or((text, 1), |(unit, scale)| (&text[..text.len() - unit.len()], *scale));
        let bytes = number.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
        bytes.map(Size).ok_or_else(|| not_a::<Size>(text))
    }

    fn written(&self) -> serde_json::Value {
        let whole = SIZE_UNITS[..3].iter().find(|(_, scale)| self.0 >= *scale && self.0.is_multiple_of(*scale));
        whole.map_or_else(|| self.0.to_string(), |(unit, scale)| format!("{}{unit}", self.0 / scale)).into()
    }

    fn schema() -> Schema {
        json_schema!({ "type": ["string", "integer"] })
    }
}

/// A whole number that is not negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(pub u32);

impl Scalar for Count {
    fn expected() -> String {
        format!("a whole number from 0 to {}", u32::MAX)
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map(Count).map_err(|_| not_a::<Count>(text))
    }

    fn written(&self) -> serde_json::Value {
        self.0.into()
    }

    fn schema() -> Schema {
        json_schema!({ "type": "integer", "minimum": 0, "maximum": u32::MAX })
    }
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag(pub bool);

impl Scalar for Flag {
    fn expected() -> String {
        "true or false".into()
    }

    fn parse(text: &str) -> Result<Self, String> {
        text.trim().parse().map(Flag).map_err(|_| not_a::<Flag>(text))
    }

    fn written(&self) -> serde_json::Value {
        self.0.into()
    }

    fn schema() -> Schema {
        json_schema!({ "type": "boolean" })
    }
}

/// A value that is measured or derived while running unless it is fixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Auto<T> {
    /// Left to the judge.
    Auto,
    /// Fixed by the user.
    Fixed(T),
}

impl<T> Auto<T> {
    /// The same choice over another type.
    pub fn map<U>(self, into: impl FnOnce(T) -> U) -> Auto<U> {
        match self {
            Auto::Auto => Auto::Auto,
            Auto::Fixed(value) => Auto::Fixed(into(value)),
        }
    }

    /// The fixed value, if there is one.
    pub fn fixed(self) -> Option<T> {
        match self {
            Auto::Auto => None,
            Auto::Fixed(value) => Some(value),
        }
    }
}

impl<T: Scalar> Scalar for Auto<T> {
    fn expected() -> String {
        format!("\"auto\" or {}", T::expected())
    }

    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Auto::Auto),
            text => T::parse(text).map(Auto::Fixed).map_err(|_| not_a::<Self>(text)),
        }
    }

    fn written(&self) -> serde_json::Value {
        match self {
            Auto::Auto => "auto".into(),
            Auto::Fixed(value) => value.written(),
        }
    }

    fn schema() -> Schema {
        json_schema!({ "anyOf": [{ "const": "auto" }, T::schema()] })
    }
}

field!(Span, Size, Count, Flag, Auto<Span>, Auto<Count>);

/// One value, or a list of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> Self {
        OneOrMany(Vec::new())
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Scalar + Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of such", T::expected())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::parse(text).map(|value| OneOrMany(vec![value])).map_err(E::custom)
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(OneOrMany(values))
    }
}

impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

impl<T: Scalar> Serialize for OneOrMany<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => one.written().serialize(to),
            many => to.collect_seq(many.iter().map(Scalar::written)),
        }
    }
}

impl<T: Scalar> JsonSchema for OneOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [T::schema(), { "type": "array", "items": T::schema() }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check<T: Scalar>(text: &str, written: impl Into<serde_json::Value>) {
        assert_eq!(T::parse(text).unwrap().written(), written.into(), "{text}");
    }

    #[test]
    fn values_are_read_and_written_back_in_one_form() {
        check::<Span>("60s", "1m");
        check::<Span>("2h 30m", "2h 30m");
        check::<Span>("1ms", "1ms");
        check::<Size>("1GiB", "1GiB");
        check::<Size>("1024", "1KiB");
        check::<Size>("10MB", "10000000");
        check::<Size>("0", "0");
        check::<Count>("7", 7);
        check::<Flag>("true", true);
        check::<Auto<Span>>("auto", "auto");
        check::<Auto<Count>>("3", 3);
    }

    #[test]
    fn a_mistake_says_what_would_be_right() {
        let message = |result: Result<String, String>| result.unwrap_err();
        assert_eq!(
            message(Span::parse("60").map(|_| String::new())),
            "`60` is not valid: expected a duration with its unit, such as \"60s\", \"500ms\" or \"2h\""
        );
        assert_eq!(
            message(Auto::<Count>::parse("-1").map(|_| String::new())),
            "`-1` is not valid: expected \"auto\" or a whole number from 0 to 4294967295"
        );
        assert!(Size::parse("99999999999GiB").is_err(), "sizes past 64 bits are refused, not wrapped");
        assert!(Size::parse("1.5GiB").is_err());
    }
}
