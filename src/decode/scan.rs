//! A strict reader of compact JSON for texts that look as expected. It answers [`None`] for whatever it does not read,
//! valid or not: texts are then read by `serde_json`, which alone decides what is wrong with them.

/// Nesting that is followed; what is deeper is left to `serde_json`.
const MAX_DEPTH: usize = 16;

/// How a text is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// As it is.
    Plain,
    /// With something in it escaped.
    Escaped,
}

/// How a number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    /// As an integer.
    Whole,
    /// With a point.
    Fraction,
    /// With an exponent.
    Scientific,
}

/// A place in a text.
pub(super) struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    /// The start of a text.
    pub(super) fn of(text: &'a str) -> Scan<'a> {
        Scan { text, at: 0 }
    }

    /// The whole text.
    #[inline]
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// The next byte.
    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// How many bytes lie behind.
    #[inline]
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Goes back to a place.
    #[inline]
    pub(super) fn go_to(&mut self, place: usize) {
        self.at = place;
    }

    /// What stands between two places.
    #[inline]
    pub(super) fn between(&self, start: usize, end: usize) -> Option<&'a str> {
        self.text.get(start..end)
    }

    /// What has been read from a place on.
    #[inline]
    pub(super) fn since(&self, start: usize) -> Option<&'a str> {
        self.between(start, self.at)
    }

    /// Whether nothing follows.
    #[inline]
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Steps over one byte that must be there.
    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Behind a value: whether its object has another field.
    #[inline]
    pub(super) fn goes_on(&mut self) -> Option<bool> {
        self.at += 1;
        match self.text.as_bytes().get(self.at - 1)? {
            b',' => Some(true),
            b'}' => Some(false),
            _ => None,
        }
    }

    /// Steps over bytes that are expected here; stays where it is if there are others.
    #[inline]
    pub(super) fn meets(&mut self, expected: &[u8]) -> bool {
        let met = self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(expected));
        if met {
            self.at += expected.len();
        }
        met
    }

    /// A field's name without escapes, and its colon.
    pub(super) fn name(&mut self) -> Option<&'a str> {
        self.expect(b'"')?;
        let start = self.at;
        self.at = plain_until(self.text.as_bytes(), start);
        let name = &self.text[start..self.at];
        self.expect(b'"')?;
        self.expect(b':')?;
        Some(name)
    }

    /// A value as written.
    pub(super) fn value(&mut self) -> Option<&'a str> {
        let start = self.at;
        self.skip(0)?;
        Some(&self.text[start..self.at])
    }

    fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'"' => self.skip_text().map(drop),
            b'-' | b'0'..=b'9' => self.skip_number().map(drop),
            b'n' => self.skip_word("null"),
            b't' => self.skip_word("true"),
            b'f' => self.skip_word("false"),
            b'{' if depth < MAX_DEPTH => self.skip_nested(depth, b'}'),
            b'[' if depth < MAX_DEPTH => self.skip_nested(depth, b']'),
            _ => None,
        }
    }

    fn skip_nested(&mut self, depth: usize, end: u8) -> Option<()> {
        self.at += 1;
        if self.peek()? == end {
            self.at += 1;
            return Some(());
        }
        loop {
            if end == b'}' {
                self.skip_text()?;
                self.expect(b':')?;
            }
            self.skip(depth + 1)?;
            self.at += 1;
            match self.text.as_bytes().get(self.at - 1)? {
                b',' => {}
                byte if *byte == end => return Some(()),
                _ => return None,
            }
        }
    }

    pub(super) fn skip_word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// Steps over a text. `\u` is left to `serde_json`.
    #[inline]
    pub(super) fn skip_text(&mut self) -> Option<Written> {
        let bytes = self.text.as_bytes();
        self.expect(b'"')?;
        let mut written = Written::Plain;
        loop {
            self.at = plain_until(bytes, self.at);
            match bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(written);
                }
                b'\\' if matches!(bytes.get(self.at + 1)?, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                    written = Written::Escaped;
                    self.at += 2;
                }
                _ => return None,
            }
        }
    }

    /// An integer of at most 18 digits, which cannot overflow; stays where it is if something else stands here.
    #[inline]
    pub(super) fn short_integer(&mut self) -> Option<i64> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let negative = rest.first() == Some(&b'-');
        let digits = &rest[usize::from(negative)..];
        let mut value = 0i64;
        let mut count = 0;
        while let Some(digit) = digits.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit < 10) {
            if count == 18 {
                return None;
            }
            value = value * 10 + i64::from(digit);
            count += 1;
        }
        // A leading zero is an error, a negative zero is no integer, and a number may go on.
        let plain = count > 0 && (digits[0] != b'0' || (count == 1 && !negative));
        (plain && matches!(digits.get(count)?, b',' | b'}')).then(|| {
            self.at += usize::from(negative) + count;
            if negative { -value } else { value }
        })
    }

    /// Steps over a number.
    pub(super) fn skip_number(&mut self) -> Option<Number> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.skip_digits()?,
        }
        let mut number = Number::Whole;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
            number = Number::Fraction;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.skip_digits()?;
            number = Number::Scientific;
        }
        Some(number)
    }

    fn skip_digits(&mut self) -> Option<()> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

/// The first byte from `at` on that ends a text, escapes, or may not stand in one; the end where there is none.
pub(super) fn plain_until(bytes: &[u8], mut at: usize) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGHS: u64 = ONES << 7;
    // A zero byte of `word` sets the highest bit of that byte; bytes above the first one found may be wrong.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let word = u64::from_le_bytes(*chunk);
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let found = zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\'))) | control;
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    while bytes.get(at).is_some_and(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20)) {
        at += 1;
    }
    at
}
