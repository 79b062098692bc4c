//! Where a record names its schema: before its bytes, or in its headers.

use crate::model::schema::Part;
use crate::model::{Record, SchemaId};

/// Bytes whose schema is in a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) struct Framed<'a> {
    pub(in crate::decode) id: SchemaId,
    /// What the schema describes.
    pub(in crate::decode) body: &'a [u8],
}

/// Header names of one part of a record.
struct Names {
    confluent: &'static [u8],
    apicurio: &'static [u8],
}

fn names(part: Part) -> Names {
    match part {
        Part::Key => Names { confluent: b"__key_schema_id", apicurio: b"apicurio.key." },
        Part::Value => Names { confluent: b"__value_schema_id", apicurio: b"apicurio.value." },
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
        Some(Ok(id)) => Some(Ok(Framed { id, body: bytes })),
        Some(Err(reason)) => Some(Err(reason)),
        None => prefixed(bytes).map(Ok),
    }
}

/// Numbers of 4 bytes begin at 1: where those are zero, 8 bytes are meant.
fn prefixed(bytes: &[u8]) -> Option<Framed<'_>> {
    match bytes {
        [0x00, 0, 0, 0, 0, rest @ ..] => {
            let (low, body) = rest.split_first_chunk::<4>()?;
            Some(Framed { id: SchemaId::Long(u32::from_be_bytes(*low).into()), body })
        }
        [0x00, rest @ ..] => {
            let (id, body) = rest.split_first_chunk::<4>()?;
            Some(Framed { id: SchemaId::Short(u32::from_be_bytes(*id)), body })
        }
        [0x01, rest @ ..] => {
            let (guid, body) = rest.split_first_chunk::<16>()?;
            Some(Framed { id: SchemaId::Guid(*guid), body })
        }
        _ => None,
    }
}

fn named_in_headers(record: &Record<'_>, part: Part) -> Option<Result<SchemaId, String>> {
    let names = names(part);
    let mut found = None;
    for (name, value) in record.headers() {
        let told = match name.strip_prefix(names.apicurio) {
            Some(field) => apicurio(field, value),
            None if name == names.confluent => Some(confluent(value)),
            None => None,
        };
        match told {
            Some(Err(reason)) => return Some(Err(reason)),
            // A content is the same under whatever other number it has.
            Some(Ok(id)) => found = Some(id),
            None => {}
        }
    }
    found.map(Ok)
}

fn confluent(value: Option<&[u8]>) -> Result<SchemaId, String> {
    match value {
        Some([0x00, id @ ..]) => id.try_into().ok().map(|id| SchemaId::Short(u32::from_be_bytes(id))),
        Some([0x01, guid @ ..]) => guid.try_into().ok().map(SchemaId::Guid),
        Some(_) | None => None,
    }
    .ok_or_else(|| "its header of the schema's id is neither a number nor a GUID".to_owned())
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
