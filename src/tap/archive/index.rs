//! What an archive says of its segments: the root `archive.json`, and pages of the index.
//!
//! Both are lines of JSON with a last line `xxh3-128 <hex>` over all bytes before it. A page holds one line for each of up to
//! 128 segments; it is written anew with every segment until it is full. The root says at which segment the archive begins since
//! retention took the ones before, and at which offset each partition begins there.

use serde::{Deserialize, Serialize};

use super::Damage;
use super::segment::{Head, sum};

/// The root.
pub(super) const ROOT: &str = "archive.json";

/// The folder of the index, and that of the segments.
pub(super) const PAGES: &str = "index";
pub(super) const SEGMENTS: &str = "segments";

/// The only version of the format.
const FORMAT: &str = "afterimage.archive/1";

/// Segments of a page: it is written whole with each of them.
const PAGE: u64 = 128;

const SEAL: &str = "xxh3-128 ";

/// One segment, as the index names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) head: Head,
    /// Size of its file.
    pub(super) bytes: u64,
    /// Checksum of its file.
    pub(super) sum: String,
}

impl Entry {
    pub(super) fn of(head: Head, bytes: &[u8]) -> Entry {
        Entry { head, bytes: bytes.len() as u64, sum: sum(bytes) }
    }
}

/// Where a partition begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Floor {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) next: u64,
}

/// The root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Root {
    pub(super) format: String,
    /// The first segment; those before it were given up by retention.
    pub(super) first: u64,
    /// Where partitions begin of which retention took something.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) floors: Vec<Floor>,
}

impl Root {
    pub(super) fn new() -> Root {
        Root { format: FORMAT.to_owned(), first: 0, floors: Vec::new() }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Root, Damage> {
        let lines = unsealed(bytes)?;
        let root: Option<Root> = lines.first().and_then(|line| serde_json::from_str(line).ok());
        root.filter(|root| root.format == FORMAT).ok_or_else(|| {
            Damage::new(format!("it is not of the format {FORMAT}, the only one that this version knows"))
        })
    }

    pub(super) fn written(&self) -> Result<Vec<u8>, serde_json::Error> {
        Ok(sealed(&[serde_json::to_string(self)?]))
    }
}

/// The name of a segment's file.
pub(super) fn segment_name(number: u64) -> String {
    format!("{SEGMENTS}/{number:012}.segment")
}

/// The number in a segment's name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    name.strip_suffix(".segment")?.parse().ok()
}

/// The page that a segment is named on, by its first segment.
pub(super) fn page_of(number: u64) -> u64 {
    number - number % PAGE
}

/// The segments of a page.
pub(super) fn page_range(first: u64) -> std::ops::Range<u64> {
    first..first.saturating_add(PAGE)
}

pub(super) fn page_name(first: u64) -> String {
    format!("{PAGES}/{first:012}.jsonl")
}

/// The first segment of a page, by the page's name.
pub(super) fn page_number(name: &str) -> Option<u64> {
    name.strip_suffix(".jsonl")?.parse().ok()
}

pub(super) fn page<'e>(entries: impl Iterator<Item = &'e Entry>) -> Result<Vec<u8>, serde_json::Error> {
    let lines: Vec<String> = entries.map(serde_json::to_string).collect::<Result<_, _>>()?;
    Ok(sealed(&lines))
}

pub(super) fn read_page(bytes: &[u8]) -> Result<Vec<Entry>, Damage> {
    let lines = unsealed(bytes)?;
    let entries = lines.into_iter().map(serde_json::from_str).collect::<Result<_, _>>();
    entries.map_err(|_| Damage::new("a line of it is none of an index"))
}

fn sealed(lines: &[String]) -> Vec<u8> {
    let mut text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    let seal = sum(text.as_bytes());
    text.push_str(SEAL);
    text.push_str(&seal);
    text.push('\n');
    text.into_bytes()
}

fn unsealed(bytes: &[u8]) -> Result<Vec<&str>, Damage> {
    let wrong = || Damage::new("its checksum does not fit: it was damaged or cut off after it was written");
    let text = std::str::from_utf8(bytes).map_err(|_| wrong())?;
    let line = text.strip_suffix('\n').ok_or_else(wrong)?;
    let body = &text[..line.rfind('\n').map_or(0, |end| end + 1)];
    let seal = line[body.len()..].strip_prefix(SEAL).ok_or_else(wrong)?;
    if seal != sum(body.as_bytes()) {
        return Err(wrong());
    }
    Ok(body.lines().collect())
}
