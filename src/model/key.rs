//! Keys: one canonical, length-prefixed byte form for each key of each table.

use std::cmp::Ordering;
use std::fmt;

use super::cell::{Cell, Text};

/// A table of this pipeline: a dense index given out in the order in which tables were met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

/// A key: the table and the canonical cells of its key columns.
///
/// Every cell is a tag, a 32-bit length and that many bytes, so ("a\t", "b") and ("a", "\tb") differ. The cells can be
/// read back with [`Key::cells`]. Equality of bytes is equality of keys, and their order is that of the bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Key(Bytes);

/// Most keys are short; theirs need no allocation. What fits is always short, and zeros follow it.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Bytes {
    Short { length: u8, bytes: [u8; SHORT_BYTES] },
    Long(Box<[u8]>),
}

/// As much as fits into the size of a pointer, a length and a word of marks.
const SHORT_BYTES: usize = 22;

impl From<&[u8]> for Bytes {
    fn from(all: &[u8]) -> Bytes {
        let mut bytes = [0; SHORT_BYTES];
        match bytes.get_mut(..all.len()) {
            Some(part) => {
                part.copy_from_slice(all);
                Bytes::Short { length: all.len() as u8, bytes }
            }
            None => Bytes::Long(all.into()),
        }
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Key) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Key) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

const TABLE_BYTES: usize = 4;
impl Key {
    /// Encodes the canonical cells of a key. Floats are stored by bits.
    #[must_use]
    pub fn new(table: TableId, cells: &[Cell<'_>]) -> Key {
        let sure = |cell| Ok::<_, std::convert::Infallible>(cell);
        let Ok(key) = Key::of(table, cells.iter().cloned().map(sure));
        key
    }

    /// The same of cells that are still to be made; the first error ends it.
    pub fn of<'a, E>(table: TableId, cells: impl Iterator<Item = Result<Cell<'a>, E>>) -> Result<Key, E> {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&table.0.to_be_bytes());
        for cell in cells {
            encode(&cell?, &mut bytes);
        }
        Ok(Key(Bytes::from(&bytes[..])))
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> TableId {
        let mut id = [0; TABLE_BYTES];
        id.copy_from_slice(&self.bytes()[..TABLE_BYTES]);
        TableId(u32::from_be_bytes(id))
    }

    /// The canonical cells, in key-column order.
    #[must_use]
    pub fn cells(&self) -> Vec<Cell<'static>> {
        let mut rest = self.cell_bytes();
        let mut cells = Vec::new();
        while let Some((cell, after)) = decode(rest) {
            cells.push(cell);
            rest = after;
        }
        cells
    }

    /// The canonical bytes, table first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short { length, bytes } => &bytes[..usize::from(*length)],
            Bytes::Long(bytes) => bytes,
        }
    }

    /// The canonical bytes of the cells alone: the part that is the same in every process.
    #[must_use]
    pub fn cell_bytes(&self) -> &[u8] {
        &self.bytes()[TABLE_BYTES..]
    }

    /// The key of `table` whose [`Key::cell_bytes`] were kept; `None` where the bytes are no such thing.
    #[must_use]
    pub fn from_cell_bytes(table: TableId, bytes: &[u8]) -> Option<Key> {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = decode(rest)?.1;
        }
        Some(Key(Bytes::from(&[&table.0.to_be_bytes(), bytes].concat()[..])))
    }

    /// A 128-bit hash (xxh3) of the canonical bytes: stable over processes.
    #[must_use]
    pub fn hash128(&self) -> u128 {
        xxhash_rust::xxh3::xxh3_128(self.bytes())
    }
}

/// Logs must not carry row values: the debug form is the table and a hash.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}#{:016x})", self.table().0, self.hash128() as u64)
    }
}

/// Appends tag, length and payload of one cell: the canonical encoding also used for row fingerprints.
pub fn encode(cell: &Cell, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&[tag(cell), 0, 0, 0, 0]);
    match cell {
        Cell::Null | Cell::Absent | Cell::NotSent | Cell::Redacted => {}
        Cell::Bool(value) => out.push(u8::from(*value)),
        Cell::Int(value) | Cell::Date(value) | Cell::Time(value) => out.extend_from_slice(&value.to_be_bytes()),
        Cell::Decimal(text) | Cell::Text(text) | Cell::Json(text) => out.extend_from_slice(text.as_bytes()),
        Cell::Float32(value) => out.extend_from_slice(&value.to_bits().to_be_bytes()),
        Cell::Float64(value) => out.extend_from_slice(&value.to_bits().to_be_bytes()),
        Cell::Bytes(bytes) => out.extend_from_slice(bytes),
        Cell::Local(secs, nanos) | Cell::Instant(secs, nanos) => {
            out.extend_from_slice(&secs.to_be_bytes());
            out.extend_from_slice(&nanos.to_be_bytes());
        }
        Cell::Infinity(sign) => out.extend_from_slice(&sign.to_be_bytes()),
        Cell::Uuid(bytes) => out.extend_from_slice(bytes),
        Cell::Opaque(pair) => {
            out.extend_from_slice(pair.0.as_bytes());
            out.push(0);
            out.extend_from_slice(pair.1.as_bytes());
        }
    }
    let length = u32::try_from(out.len() - start - 5).unwrap_or(u32::MAX);
    out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
}

fn tag(cell: &Cell) -> u8 {
    match cell {
        Cell::Null => 0,
        Cell::Absent => 1,
        Cell::NotSent => 2,
        Cell::Redacted => 3,
        Cell::Bool(_) => 4,
        Cell::Int(_) => 5,
        Cell::Decimal(_) => 6,
        Cell::Float32(_) => 7,
        Cell::Float64(_) => 8,
        Cell::Text(_) => 9,
        Cell::Bytes(_) => 10,
        Cell::Date(_) => 11,
        Cell::Time(_) => 12,
        Cell::Local(..) => 13,
        Cell::Instant(..) => 14,
        Cell::Infinity(_) => 15,
        Cell::Uuid(_) => 16,
        Cell::Json(_) => 17,
        Cell::Opaque(_) => 18,
    }
}

/// Reads one cell that [`encode`] wrote, and what follows it; `None` where the bytes begin with no such cell.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<(Cell<'static>, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (payload, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((payload_cell(tag, payload)?, rest))
}

fn payload_cell(tag: u8, payload: &[u8]) -> Option<Cell<'static>> {
    let text = || std::str::from_utf8(payload).ok().map(|text| Text::from(text).into_owned());
    let int = || payload.first_chunk::<8>().map(|bytes| i64::from_be_bytes(*bytes));
    let nanos = || payload.get(8..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes));
    Some(match tag {
        0 => Cell::Null,
        1 => Cell::Absent,
        2 => Cell::NotSent,
        3 => Cell::Redacted,
        4 => Cell::Bool(payload.first()? != &0),
        5 => Cell::Int(int()?),
        6 => Cell::Decimal(text()?),
        7 => Cell::Float32(f32::from_bits(u32::from_be_bytes(*payload.first_chunk::<4>()?))),
        8 => Cell::Float64(f64::from_bits(u64::from_be_bytes(*payload.first_chunk::<8>()?))),
        9 => Cell::Text(text()?),
        10 => Cell::Bytes(payload.into()),
        11 => Cell::Date(int()?),
        12 => Cell::Time(int()?),
        13 => Cell::Local(int()?, nanos()?),
        14 => Cell::Instant(int()?, nanos()?),
        15 => Cell::Infinity(i8::from_be_bytes(*payload.first_chunk::<1>()?)),
        16 => Cell::Uuid(*payload.first_chunk::<16>()?),
        17 => Cell::Json(text()?),
        18 => {
            let split = payload.iter().position(|byte| *byte == 0)?;
            let name = std::str::from_utf8(&payload[..split]).ok()?;
            let text = std::str::from_utf8(&payload[split + 1..]).ok()?;
            Cell::Opaque(Box::new((name.to_owned(), text.to_owned())))
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_that_concatenate_alike_stay_different_keys() {
        let left = Key::new(TableId(1), &[Cell::text("a\t"), Cell::text("b")]);
        let right = Key::new(TableId(1), &[Cell::text("a"), Cell::text("\tb")]);
        assert_ne!(left, right);
        assert_ne!(Key::new(TableId(1), &[Cell::Int(1)]), Key::new(TableId(2), &[Cell::Int(1)]));
    }

    #[test]
    fn cells_come_back_as_they_went_in() {
        let cells = vec![
            Cell::Null,
            Cell::Bool(true),
            Cell::Int(-5),
            Cell::Decimal("12.50".into()),
            Cell::text("x\0y"),
            Cell::Bytes(vec![0, 255].into()),
            Cell::Date(-1),
            Cell::Time(1),
            Cell::Local(-1, 999),
            Cell::Instant(5, 7),
            Cell::Infinity(-1),
            Cell::Uuid([7; 16]),
            Cell::Float64(-0.0),
            Cell::Json("{}".into()),
        ];
        let key = Key::new(TableId(9), &cells);
        assert_eq!(key.cells(), cells);
        assert_eq!(key.table(), TableId(9));
        assert_eq!(Key::from_cell_bytes(TableId(9), key.cell_bytes()), Some(key.clone()));
        assert_eq!(Key::from_cell_bytes(TableId(9), &key.cell_bytes()[1..]), None);
    }
}
