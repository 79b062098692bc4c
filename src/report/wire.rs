//! How the values of a document are written as JSON: fixed words, moments, and whole numbers that survive JavaScript.
//!
//! Domain values do not serialize themselves; a document's field names this module instead (`#[serde(with = "wire")]`).

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars::{Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::ser::Serializer;

use crate::model::finding::{Act, Cause, Kind, Proof, Severity, State};
use crate::model::{Op, Wall};

/// The largest whole number that every JSON reader keeps exactly: 2^53.
pub(super) const EXACT_MAX: u64 = 1 << 53;

/// A value with one JSON form of its own.
pub(super) trait Wire: Sized {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error>;
    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
    fn schema() -> Schema;
}

pub(super) fn serialize<T: Wire, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    value.put(serializer)
}

pub(super) fn deserialize<'de, T: Wire, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    T::take(deserializer)
}

pub(super) fn schema<T: Wire>(_: &mut SchemaGenerator) -> Schema {
    T::schema()
}

macro_rules! word {
    ($name:ty, $all:expr) => {
        impl Wire for $name {
            fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.word())
            }

            fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = Cow::<str>::deserialize(deserializer)?;
                let known = $all.iter().copied().find(|value| value.word() == word);
                known.ok_or_else(|| D::Error::custom(format!("`{word}` is none of {}", words($all.iter().map(|v| v.word())))))
            }

            fn schema() -> Schema {
                let words: Vec<&str> = $all.iter().map(|value| value.word()).collect();
                json_schema!({ "type": "string", "enum": words })
            }
        }
    };
}

word!(Kind, Kind::ALL);
word!(Cause, Cause::ALL);
word!(Severity, Severity::ALL);
word!(State, State::ALL);
word!(Proof, Proof::ALL);
word!(Act, Act::ALL);
word!(Op, [Op::Insert, Op::Read, Op::Update, Op::Delete, Op::Truncate]);

fn words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    words.collect::<Vec<_>>().join(", ")
}

impl Wire for Wall {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.rfc3339())
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let at = chrono::DateTime::parse_from_rfc3339(&text).map_err(|_| {
            D::Error::custom(format!("`{text}` is not an RFC 3339 time, such as 2026-11-22T10:00:01.000Z"))
        })?;
        Ok(Wall(at.timestamp_millis()))
    }

    fn schema() -> Schema {
        json_schema!({ "type": "string", "format": "date-time" })
    }
}

impl Wire for u64 {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if *self <= EXACT_MAX { serializer.serialize_u64(*self) } else { serializer.collect_str(self) }
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Whole)
    }

    fn schema() -> Schema {
        json_schema!({
            "description": "a whole number; a string of digits beyond 2^53",
            "type": ["integer", "string"], "minimum": 0, "pattern": "^[0-9]+$"
        })
    }
}

struct Whole;

impl Visitor<'_> for Whole {
    type Value = u64;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a whole number, or a string of digits")
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<u64, E> {
        Ok(value)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<u64, E> {
        text.parse().map_err(|_| E::invalid_value(serde::de::Unexpected::Str(text), &self))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Some(value) => value.put(serializer),
            None => serializer.serialize_none(),
        }
    }

    fn take<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_option(Maybe(PhantomData))
    }

    fn schema() -> Schema {
        let present = T::schema();
        json_schema!({ "anyOf": [present, { "type": "null" }] })
    }
}

struct Maybe<T>(PhantomData<T>);

impl<'de, T: Wire> Visitor<'de> for Maybe<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        T::take(deserializer).map(Some)
    }
}
