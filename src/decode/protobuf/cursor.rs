//! Protobuf's wire format, read field by field. No length is believed that the bytes at hand do not bear out.

use super::schema::{Integer, Scalar};
use crate::decode::frame::Break;

/// A place in a message.
#[derive(Debug)]
pub(in crate::decode) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// How the bytes of a field lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Wire {
    Varint,
    Fixed64,
    Length,
    Group,
    Fixed32,
}

impl Wire {
    /// As values of a type lie.
    pub(in crate::decode) fn of(scalar: Scalar) -> Wire {
        match scalar {
            Scalar::Double | Scalar::Integer(Integer::Fixed64 | Integer::Sfixed64) => Wire::Fixed64,
            Scalar::Float | Scalar::Integer(Integer::Fixed32 | Integer::Sfixed32) => Wire::Fixed32,
            Scalar::Text | Scalar::Bytes => Wire::Length,
            Scalar::Integer(
                Integer::Int32 | Integer::Int64 | Integer::Uint32 | Integer::Uint64 | Integer::Sint32 | Integer::Sint64,
            )
            | Scalar::Bool => Wire::Varint,
        }
    }
}

/// Groups in groups beyond which a message is refused.
const MAX_GROUPS: usize = 100;

impl<'a> Cursor<'a> {
    pub(in crate::decode) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// What is wrong here.
    #[cold]
    pub(in crate::decode) fn broken(&self, what: &'static str) -> Break {
        Break { what, at: self.at }
    }

    /// Whether nothing follows.
    #[inline]
    pub(in crate::decode) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// The same place again, to try what follows as something else.
    pub(in crate::decode) fn again(&self) -> Cursor<'a> {
        Cursor { ..*self }
    }

    /// The bytes that follow.
    pub(in crate::decode) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], Break> {
        let Some(taken) = self.rest().get(..length) else { return Err(self.broken(what)) };
        self.at += length;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Break> {
        let Some((taken, _)) = self.rest().split_first_chunk::<N>() else {
            return Err(self.broken("the bytes end inside a number of fixed length"));
        };
        self.at += N;
        Ok(*taken)
    }

    /// An integer of 64 bits: seven to a byte, the lowest first.
    #[inline]
    pub(in crate::decode) fn varint(&mut self) -> Result<u64, Break> {
        match self.bytes.get(self.at) {
            Some(byte @ 0..=0x7f) => {
                self.at += 1;
                Ok(u64::from(*byte))
            }
            Some(_) | None => self.wide_varint(),
        }
    }

    fn wide_varint(&mut self) -> Result<u64, Break> {
        /// As many as 64 bits need.
        const MOST_BYTES: usize = 10;
        let mut value = 0u64;
        for (index, byte) in self.rest().iter().take(MOST_BYTES).enumerate() {
            // The tenth byte has room for one bit.
            if index + 1 == MOST_BYTES && *byte > 1 {
                return Err(self.broken("an integer of more than 64 bits"));
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                self.at += index + 1;
                return Ok(value);
            }
        }
        Err(self.broken("the bytes end inside an integer"))
    }

    /// An integer whose sign is in its lowest bit.
    pub(in crate::decode) fn zigzag(&mut self) -> Result<i64, Break> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The number of the field that follows, and how its bytes lie.
    #[inline]
    pub(in crate::decode) fn tag(&mut self) -> Result<(u32, Wire), Break> {
        let begins = self.again();
        let tag = self.varint()?;
        let wire = match tag & 7 {
            0 => Wire::Varint,
            1 => Wire::Fixed64,
            2 => Wire::Length,
            3 => Wire::Group,
            5 => Wire::Fixed32,
            _ => return Err(begins.broken("a field of a wire type that there is not")),
        };
        match u32::try_from(tag >> 3) {
            Ok(number @ 1..0x2000_0000) => Ok((number, wire)),
            Ok(_) | Err(_) => Err(begins.broken("a field of a number that no field may have")),
        }
    }

    #[inline]
    pub(in crate::decode) fn bytes(&mut self) -> Result<&'a [u8], Break> {
        let begins = self.again();
        let length = usize::try_from(self.varint()?).unwrap_or(usize::MAX);
        self.take(length, "the bytes end inside a text, bytes or a message")
            .map_err(|broken| begins.broken(broken.what))
    }

    #[inline]
    pub(in crate::decode) fn text(&mut self) -> Result<&'a str, Break> {
        let begins = self.again();
        let bytes = self.bytes()?;
        simdutf8::basic::from_utf8(bytes).map_err(|_| begins.broken("a text that is not UTF-8"))
    }

    /// A message, or a list of numbers: a cursor that ends with it.
    #[inline]
    pub(in crate::decode) fn inner(&mut self) -> Result<Cursor<'a>, Break> {
        let length = self.bytes()?.len();
        Ok(Cursor { bytes: &self.bytes[..self.at], at: self.at - length })
    }

    pub(in crate::decode) fn float(&mut self) -> Result<f32, Break> {
        self.chunk().map(f32::from_le_bytes)
    }

    pub(in crate::decode) fn double(&mut self) -> Result<f64, Break> {
        self.chunk().map(f64::from_le_bytes)
    }

    pub(in crate::decode) fn fixed32(&mut self) -> Result<u32, Break> {
        self.chunk().map(u32::from_le_bytes)
    }

    pub(in crate::decode) fn fixed64(&mut self) -> Result<u64, Break> {
        self.chunk().map(u64::from_le_bytes)
    }

    /// Passes over a field.
    pub(in crate::decode) fn skip(&mut self, number: u32, wire: Wire) -> Result<(), Break> {
        let mut open = Vec::new();
        let (mut number, mut wire) = (number, wire);
        loop {
            match wire {
                Wire::Varint => drop(self.varint()?),
                Wire::Fixed64 => drop(self.fixed64()?),
                Wire::Length => drop(self.bytes()?),
                Wire::Fixed32 => drop(self.fixed32()?),
                Wire::Group if open.len() == MAX_GROUPS => {
                    return Err(self.broken("groups nested deeper than 100 levels"));
                }
                Wire::Group => open.push(number),
            }
            while open.last().is_some_and(|number| self.took_end(*number)) {
                open.pop();
            }
            if open.is_empty() {
                return Ok(());
            }
            (number, wire) = self.tag()?;
        }
    }

    /// Takes the end of a group, if that follows.
    fn took_end(&mut self, number: u32) -> bool {
        let mut ahead = self.again();
        let is_end = ahead.varint().is_ok_and(|tag| tag == u64::from(number) << 3 | 4);
        if is_end {
            *self = ahead;
        }
        is_end
    }
}
