//! Where a record names its schema: before its bytes, in its headers, or beside its payload.

use std::fmt;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::model::schema::Part;
use crate::model::{Record, SchemaId};

/// Bytes whose schema is in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Framed<'a> {
    pub(in crate::decode) id: SchemaId,
    /// What the schema describes.
    pub(in crate::decode) body: &'a [u8],
    /// Which of the schema's messages it is, where headers say so.
    pub(in crate::decode) message: Message<'a>,
}

/// Which message of a schema with several is meant: Protobuf's are files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::decode) enum Message<'a> {
    /// The body says it.
    #[default]
    InBody,
    /// Its place, as Confluent writes it behind the id.
    At(&'a [u8]),
    /// Its name, as Apicurio writes it in a header of its own.
    Named(&'a [u8]),
}

/// The longest name that a schema may have, in bytes. A record of a few bytes may name a thing of its schema again and again;
/// databases stop at 64 characters for columns, and at 255 for the words of an enumeration.
pub(in crate::decode) const LONGEST_NAME: usize = 1_024;

/// What is said of a longer one.
pub(in crate::decode) const NAME_TOO_LONG: &str = "a name of more than 1024 bytes";

/// The longest text written of one value, and of all values of a record beyond what its bytes themselves could hold: names of
/// fields and symbols stand in the schema, and may come again and again; and a number of one digit may be declared to have many
/// thousands.
pub(in crate::decode) const MOST_WRITTEN: usize = 16 << 20;

/// What is said of values that are longer.
pub(in crate::decode) const TOO_LONG: &str = "values that take more than 16 MiB to write";

/// What the values of a record may still take.
#[derive(Debug, Clone, Copy)]
pub(in crate::decode) struct Room(usize);

impl Room {
    /// For a record of so many bytes.
    pub(in crate::decode) fn of(bytes: usize) -> Room {
        Room(bytes.saturating_mul(2).saturating_add(MOST_WRITTEN))
    }

    /// Whether there is room for so many bytes.
    #[inline]
    pub(in crate::decode) fn fits(self, length: usize) -> bool {
        length <= self.0
    }

    /// Takes so many bytes of it, if they fit.
    #[inline]
    pub(in crate::decode) fn spend(&mut self, length: usize) -> bool {
        let fits = self.fits(length);
        self.0 = self.0.saturating_sub(length);
        fits
    }
}

/// Why bytes are not what their schema says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Break {
    pub(in crate::decode) what: &'static str,
    /// Bytes before it.
    pub(in crate::decode) at: usize,
}

impl fmt::Display for Break {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, at byte {} behind the schema's id", self.what, self.at)
    }
}

impl std::error::Error for Break {}

/// Header names of one part of a record.
struct Names {
    confluent: &'static [u8],
    apicurio: &'static [u8],
    message: &'static [u8],
}

fn names(part: Part) -> Names {
    match part {
        Part::Key => {
            Names { confluent: b"__key_schema_id", apicurio: b"apicurio.key.", message: b"apicurio.protobuf.type.key" }
        }
        Part::Value => {
            Names { confluent: b"__value_schema_id", apicurio: b"apicurio.value.", message: b"apicurio.protobuf.type" }
        }
    }
}

/// The framing of a key or a value; `None` where there is none. An error says why the framing is not understood.
///
/// Headers come first, as Confluent's own readers have it.
pub(in crate::decode) fn framed<'a>(
    record: &Record<'a>,
    part: Part,
    bytes: &'a [u8],
) -> Option<Result<Framed<'a>, String>> {
    match named_in_headers(record, part) {
        Some(Ok((id, message))) => Some(Ok(Framed { id, body: bytes, message })),
        Some(Err(reason)) => Some(Err(reason)),
        None => prefixed(bytes).or_else(|| beside(bytes)).map(Ok),
    }
}

/// As Apicurio's JSON converter writes it unless it is told not to. Which of Apicurio's numbers it is depends on its version.
fn beside(bytes: &[u8]) -> Option<Framed<'_>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Beside<'a> {
        #[serde(rename = "schemaId")]
        id: u64,
        #[serde(borrow)]
        payload: &'a RawValue,
    }
    let text = bytes.starts_with(br#"{"schemaId":"#).then(|| simdutf8::basic::from_utf8(bytes).ok())??;
    let Beside { id, payload } = serde_json::from_str(text).ok()?;
    Some(Framed { id: SchemaId::Long(id), body: payload.get().as_bytes(), message: Message::InBody })
}

/// Numbers of 4 bytes begin at 1: where those are zero, 8 bytes are meant.
fn prefixed(bytes: &[u8]) -> Option<Framed<'_>> {
    match bytes {
        [0x00, 0, 0, 0, 0, rest @ ..] => {
            let (low, body) = rest.split_first_chunk::<4>()?;
            Some(Framed { id: SchemaId::Long(u32::from_be_bytes(*low).into()), body, message: Message::InBody })
        }
        [0x00, rest @ ..] => {
            let (id, body) = rest.split_first_chunk::<4>()?;
            Some(Framed { id: SchemaId::Short(u32::from_be_bytes(*id)), body, message: Message::InBody })
        }
        [0x01, rest @ ..] => {
            let (guid, body) = rest.split_first_chunk::<16>()?;
            Some(Framed { id: SchemaId::Guid(*guid), body, message: Message::InBody })
        }
        _ => None,
    }
}

fn named_in_headers<'a>(record: &Record<'a>, part: Part) -> Option<Result<(SchemaId, Message<'a>), String>> {
    let names = names(part);
    let (mut found, mut message) = (None, Message::InBody);
    for (name, value) in record.headers() {
        let told = match name.strip_prefix(names.apicurio) {
            Some(field) => apicurio(field, value),
            None if name == names.confluent => Some(confluent(value).map(|(id, rest)| {
                message = if rest.is_empty() { Message::InBody } else { Message::At(rest) };
                id
            })),
            None => {
                if let Some(value) = value.filter(|_| name == names.message) {
                    message = Message::Named(value);
                }
                None
            }
        };
        match told {
            Some(Err(reason)) => return Some(Err(reason)),
            // A content is the same under whatever other number it has.
            Some(Ok(id)) => found = Some(id),
            None => {}
        }
    }
    found.map(|id| Ok((id, message)))
}

/// The id, and what stands behind it: of Protobuf the place of the message.
fn confluent(value: Option<&[u8]>) -> Result<(SchemaId, &[u8]), String> {
    let read = match value {
        Some([0x00, rest @ ..]) => {
            rest.split_first_chunk::<4>().map(|(id, rest)| (SchemaId::Short(u32::from_be_bytes(*id)), rest))
        }
        Some([0x01, rest @ ..]) => rest.split_first_chunk::<16>().map(|(guid, rest)| (SchemaId::Guid(*guid), rest)),
        Some(_) | None => None,
    };
    read.ok_or_else(|| "its header of the schema's id is neither a number nor a GUID".to_owned())
}

/// What a header of Apicurio's serializers says; `None` where it says nothing of the schema.
fn apicurio(field: &[u8], value: Option<&[u8]>) -> Option<Result<SchemaId, String>> {
    let number = || {
        let bytes: Option<[u8; 8]> = value.and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes).ok_or_else(|| "its header of the schema's id is no number of 8 bytes".to_owned())
    };
    match field {
        b"globalId" => Some(number().map(SchemaId::Global)),
        b"contentId" => Some(number().map(SchemaId::Content)),
        b"encoding" if value != Some(b"BINARY") => {
            Some(Err("Avro that is written as JSON; not read by this version".to_owned()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Batch, PartitionId};

    type Headers<'h> = [(&'h str, &'h [u8])];

    fn told(headers: &Headers<'_>, value: &[u8]) -> String {
        let mut batch = Batch::default();
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), Some(*value)));
        batch.push((PartitionId(0), 0, None), None, Some(value), headers);
        let record = batch.records().next().expect("one record was pushed");
        match framed(&record, Part::Value, record.value.unwrap_or_default()) {
            Some(Ok(framed)) => format!("{} before {} bytes", framed.id, framed.body.len()),
            Some(Err(reason)) => reason,
            None => "none".to_owned(),
        }
    }

    #[test]
    fn framings() {
        let guid = [[1].as_slice(), &[0x89; 16], b"ab"].concat();
        let number = 7u64.to_be_bytes();
        let rows: &[(&Headers<'_>, &[u8], &str)] = &[
            (&[], b"\0\0\0\0\x07ab", "schema 7 before 2 bytes"),
            (&[], b"\0\0\0\0\0\0\0\0\x07ab", "schema 7 (an id of 8 bytes) before 2 bytes"),
            (&[], &guid, "schema 89898989-8989-8989-8989-898989898989 before 2 bytes"),
            (&[], b"\0\0\0\0\x07", "schema 7 before 0 bytes"),
            (&[], b"\0\0\0\x07", "none"),
            (&[], b"\0\0\0\0\0\0\0\x07", "none"),
            (&[], b"{}", "none"),
            (&[], b"", "none"),
            (&[("__value_schema_id", b"\0\0\0\0\x07")], b"ab", "schema 7 before 2 bytes"),
            (&[("__value_schema_id", &guid[..17])], b"", "schema 89898989-8989-8989-8989-898989898989 before 0 bytes"),
            (&[("__key_schema_id", b"\0\0\0\0\x07")], b"ab", "none"),
            (&[("apicurio.value.globalId", &number)], b"ab", "schema 7 (a global id) before 2 bytes"),
            (
                &[("apicurio.value.contentId", &number), ("apicurio.value.encoding", b"BINARY")],
                b"ab",
                "schema 7 (a content id) before 2 bytes",
            ),
            (
                &[("apicurio.value.globalId", &number), ("apicurio.value.encoding", b"JSON")],
                b"{}",
                "Avro that is written as JSON; not read by this version",
            ),
            (&[("apicurio.value.globalId", b"7")], b"", "its header of the schema's id is no number of 8 bytes"),
            (&[("__value_schema_id", b"\0")], b"", "its header of the schema's id is neither a number nor a GUID"),
        ];
        for (headers, value, expected) in rows {
            assert_eq!(told(headers, value), *expected, "{headers:?} {value:?}");
        }
    }
}
