//! Records as lines of `kcat -C -J`.

use std::io;

use serde::Serialize;

use crate::model::position::PartitionName;
use crate::model::{Record, Stamp};

use super::APPENDED;

/// The fields in kcat's order. It prints the number of the broker too, which no tap tells.
#[derive(Serialize)]
struct Written<'a> {
    topic: &'a str,
    partition: i32,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tstype: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ts: Option<i64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Option<&'a str>>,
    key: Option<&'a str>,
    payload: Option<&'a str>,
}

/// One record as a line, its end included.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] where a key, value or header is no text: such a line would give back something else.
pub fn line(name: &PartitionName, record: &Record<'_>) -> io::Result<Vec<u8>> {
    let mut headers = Vec::new();
    for (name, value) in record.headers() {
        headers.push(Some(text(name)?));
        headers.push(value.map(text).transpose()?);
    }
    let written = Written {
        topic: &name.topic,
        partition: name.partition,
        offset: record.offset,
        tstype: record.timestamp_ms.map(|_| match record.stamp {
            Stamp::Created => "create",
            Stamp::Appended => APPENDED,
        }),
        ts: record.timestamp_ms,
        headers,
        key: record.key.map(text).transpose()?,
        payload: record.value.map(text).transpose()?,
    };
    let mut line = serde_json::to_vec(&written)?;
    line.push(b'\n');
    Ok(line)
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    simdutf8::basic::from_utf8(bytes)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it holds bytes that are no text"))
}
