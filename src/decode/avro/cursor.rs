//! Avro's binary encoding, read value by value. No length is believed that the bytes at hand do not bear out.

use crate::decode::frame::{Break, Room, TOO_LONG};

/// Values that are walked over beyond what the bytes themselves could hold: types of no bytes are no work for ever.
const SPARE_STEPS: usize = 65_536;

/// A place in a datum.
#[derive(Debug)]
pub(in crate::decode) struct Cursor<'a> {
    rest: &'a [u8],
    length: usize,
    steps: usize,
    room: Room,
}

impl<'a> Cursor<'a> {
    pub(in crate::decode) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        let length = bytes.len();
        Cursor { rest: bytes, length, steps: length.saturating_add(SPARE_STEPS), room: Room::of(length) }
    }

    /// What is wrong here.
    #[cold]
    pub(in crate::decode) fn broken(&self, what: &'static str) -> Break {
        Break { what, at: self.length - self.rest.len() }
    }

    /// Counts a value that is walked over.
    pub(in crate::decode) fn step(&mut self) -> Result<(), Break> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| self.broken("more values than the bytes could hold"))?;
        Ok(())
    }

    /// Whether a text of this length may be written.
    #[inline]
    pub(in crate::decode) fn fits(&self, length: usize) -> Result<(), Break> {
        if self.room.fits(length) { Ok(()) } else { Err(self.broken(TOO_LONG)) }
    }

    /// Counts what was written, or otherwise became more than its bytes.
    #[inline]
    pub(in crate::decode) fn spend(&mut self, length: usize) -> Result<(), Break> {
        if self.room.spend(length) { Ok(()) } else { Err(self.broken(TOO_LONG)) }
    }

    /// The end: nothing may follow.
    pub(in crate::decode) fn end(&self) -> Result<(), Break> {
        if self.rest.is_empty() { Ok(()) } else { Err(self.broken("bytes follow that the schema does not tell of")) }
    }

    #[inline]
    fn take(&mut self, length: usize, what: &'static str) -> Result<&'a [u8], Break> {
        let Some((taken, rest)) = self.rest.split_at_checked(length) else { return Err(self.broken(what)) };
        self.rest = rest;
        Ok(taken)
    }

    fn chunk<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Break> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else { return Err(self.broken(what)) };
        self.rest = rest;
        Ok(*taken)
    }

    pub(in crate::decode) fn boolean(&mut self) -> Result<bool, Break> {
        match self.rest {
            [byte @ (0 | 1), rest @ ..] => {
                self.rest = rest;
                Ok(*byte == 1)
            }
            [_, ..] => Err(self.broken("a boolean that is neither 0 nor 1")),
            [] => Err(self.broken("the bytes end before a boolean")),
        }
    }

    /// An integer of 64 bits: seven to a byte, the lowest first, its sign in the lowest.
    #[inline]
    pub(in crate::decode) fn long(&mut self) -> Result<i64, Break> {
        // One byte is by far the most usual: small numbers, lengths, branches.
        if let [byte @ 0..=0x7f, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(i64::from(byte >> 1) ^ -i64::from(byte & 1));
        }
        self.wide_long()
    }

    fn wide_long(&mut self) -> Result<i64, Break> {
        /// As many as 64 bits need.
        const MOST_BYTES: usize = 10;
        let mut value = 0u64;
        for (index, byte) in self.rest.iter().take(MOST_BYTES).enumerate() {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if index + 1 == MOST_BYTES && *byte > 1 {
                return Err(self.broken("an integer of more than 64 bits"));
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.rest = &self.rest[index + 1..];
                return Ok((value >> 1) as i64 ^ -((value & 1) as i64));
            }
        }
        Err(self.broken("the bytes end inside an integer"))
    }

    /// An integer of 32 bits.
    pub(in crate::decode) fn int(&mut self) -> Result<i32, Break> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| self.broken("an integer of more than 32 bits"))
    }

    pub(in crate::decode) fn float(&mut self) -> Result<f32, Break> {
        self.chunk("the bytes end inside a float").map(f32::from_le_bytes)
    }

    pub(in crate::decode) fn double(&mut self) -> Result<f64, Break> {
        self.chunk("the bytes end inside a double").map(f64::from_le_bytes)
    }

    #[inline]
    fn length(&mut self) -> Result<usize, Break> {
        let length = self.long()?;
        usize::try_from(length).map_err(|_| self.broken("a length below zero"))
    }

    pub(in crate::decode) fn fixed(&mut self, size: usize) -> Result<&'a [u8], Break> {
        self.take(size, "the bytes end inside a value of fixed length")
    }

    #[inline]
    pub(in crate::decode) fn bytes(&mut self) -> Result<&'a [u8], Break> {
        let length = self.length()?;
        self.take(length, "the bytes end inside a text or bytes")
    }

    #[inline]
    pub(in crate::decode) fn text(&mut self) -> Result<&'a str, Break> {
        let bytes = self.bytes()?;
        simdutf8::basic::from_utf8(bytes).map_err(|_| self.broken("a text that is not UTF-8"))
    }

    /// Which of so many branches or symbols follows.
    #[inline]
    pub(in crate::decode) fn choice(&mut self, count: usize, what: &'static str) -> Result<usize, Break> {
        let chosen = self.long()?;
        usize::try_from(chosen).ok().filter(|chosen| *chosen < count).ok_or_else(|| self.broken(what))
    }

    /// How many items the next block of an array or map has; 0 ends it.
    pub(in crate::decode) fn block(&mut self) -> Result<u64, Break> {
        let count = self.long()?;
        if count < 0 {
            // Its length in bytes, for readers that pass over it.
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_at_their_ends() {
        for (bytes, expected) in [
            (&[0u8][..], Ok(0)),
            (&[1], Ok(-1)),
            (&[0x7f], Ok(-64)),
            (&[0x80, 0x01], Ok(64)),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Ok(i64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], Ok(i64::MIN)),
            (&[0xff; 10], Err("an integer of more than 64 bits, at byte 0 behind the schema's id")),
            (&[0xff, 0xff], Err("the bytes end inside an integer, at byte 0 behind the schema's id")),
            (&[], Err("the bytes end inside an integer, at byte 0 behind the schema's id")),
        ] {
            let read = Cursor::new(bytes).long().map_err(|broken| broken.to_string());
            assert_eq!(read, expected.map_err(str::to_owned), "{bytes:?}");
        }
        assert!(Cursor::new(&[0x80, 0x80, 0x80, 0x80, 0x10]).int().is_err());
        assert_eq!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).int(), Ok(i32::MIN));
    }

    #[test]
    fn lengths_that_lie() {
        assert!(Cursor::new(&[0x01]).bytes().is_err());
        assert!(Cursor::new(&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).bytes().is_err());
        assert!(Cursor::new(&[0x04, b'a']).text().is_err());
        assert!(Cursor::new(&[0x02, 0xff]).text().is_err());
        assert_eq!(Cursor::new(&[0x02, b'a']).text(), Ok("a"));
    }
}
