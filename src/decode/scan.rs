//! A strict reader of compact JSON for texts that look as expected. It answers [`None`] for whatever it does not read,
//! valid or not: texts are then read by `serde_json`, which alone decides what is wrong with them.

use std::sync::Arc;

use super::json::{Scalar, text};
use super::row::{Draft, ReadCell, RowSeed, Taken};
use crate::model::cell::Text;
use crate::model::{Cell, Columns};

/// Nesting that is followed; what is deeper is left to `serde_json`.
const MAX_DEPTH: usize = 16;

/// Where each column of the last row stood, from the mark before its name to the end of its value: scratch space that is
/// kept between records.
#[derive(Debug, Default)]
pub(super) struct Spans(Vec<(u32, u32)>);

/// What stands before each value of a row of known columns: `{"id":`, `,"name":`. Empty where a name would be escaped.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    columns: Option<Arc<Columns>>,
    text: Box<[u8]>,
    ends: Box<[u32]>,
}

impl Tokens {
    /// Those of a row.
    pub(super) fn of(columns: &Arc<Columns>) -> Tokens {
        let (mut text, mut ends) = (Vec::new(), Vec::new());
        for name in &columns.0 {
            if plain_until(name.as_bytes(), 0) < name.len() {
                return Tokens::default();
            }
            text.extend_from_slice(if ends.is_empty() { b"{\"" } else { b",\"" });
            text.extend_from_slice(name.as_bytes());
            text.extend_from_slice(b"\":");
            let Ok(end) = u32::try_from(text.len()) else { return Tokens::default() };
            ends.push(end);
        }
        Tokens { columns: Some(Arc::clone(columns)), text: text.into(), ends: ends.into() }
    }

    fn are_of(&self, columns: &Columns) -> bool {
        self.columns.as_deref().is_some_and(|known| std::ptr::eq(known, columns))
    }

    fn get(&self, index: usize) -> Option<&[u8]> {
        let start = index.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.text.get(start as usize..*self.ends.get(index)? as usize)
    }
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

    /// The next byte.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// How many bytes lie behind.
    pub(super) fn place(&self) -> usize {
        self.at
    }

    /// Goes back to a place.
    pub(super) fn go_to(&mut self, place: usize) {
        self.at = place;
    }

    /// What stands between two places.
    pub(super) fn between(&self, start: usize, end: usize) -> Option<&'a str> {
        self.text.get(start..end)
    }

    /// What has been read from a place on.
    pub(super) fn since(&self, start: usize) -> Option<&'a str> {
        self.between(start, self.at)
    }

    /// Whether nothing follows.
    pub(super) fn is_at_end(&self) -> bool {
        self.at == self.text.len()
    }

    /// Steps over one byte that must be there.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    /// Behind a value: whether its object has another field.
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

    fn skip_word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    /// Steps over a text; whether something in it is escaped. `\u` is left to `serde_json`.
    fn skip_text(&mut self) -> Option<bool> {
        let bytes = self.text.as_bytes();
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            self.at = plain_until(bytes, self.at);
            match bytes.get(self.at)? {
                b'"' => {
                    self.at += 1;
                    return Some(escaped);
                }
                b'\\' if matches!(bytes.get(self.at + 1)?, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                    escaped = true;
                    self.at += 2;
                }
                _ => return None,
            }
        }
    }

    /// An integer of at most 18 digits, which cannot overflow; stays where it is if something else stands here.
    fn short_integer(&mut self) -> Option<i64> {
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

    /// Steps over a number; whether it is written as an integer.
    fn skip_number(&mut self) -> Option<bool> {
        if self.peek()? == b'-' {
            self.at += 1;
        }
        match self.peek()? {
            b'0' => self.at += 1,
            _ => self.skip_digits()?,
        }
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.skip_digits()?;
            whole = false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.skip_digits()?;
            whole = false;
        }
        Some(whole)
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
fn plain_until(bytes: &[u8], mut at: usize) -> usize {
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

/// What a row stands beside.
pub(super) enum Image<'s, 'a> {
    /// Nothing.
    Alone,
    /// A second row is to follow: where the columns stand is noted for it.
    First(&'s mut Spans),
    /// The first row: what stands there under the same column, written the same, is taken from it.
    Second(&'s Spans, &'s Draft<'a>),
}

/// A row with exactly the guessed columns.
pub(super) fn row<'a, R: ReadCell>(
    scan: &mut Scan<'a>,
    rows: RowSeed<'_, R>,
    guess: &Columns,
    mut image: Image<'_, 'a>,
) -> Option<Draft<'a>> {
    let count = guess.0.len();
    let mut draft = Draft::with_capacity(count);
    if let Image::First(spans) = &mut image {
        spans.0.clear();
    }
    let none = Tokens::default();
    let tokens = if rows.tokens.are_of(guess) { rows.tokens } else { &none };
    for (index, name) in guess.0.iter().enumerate() {
        let repeated = match &image {
            Image::Second(spans, before) => repeat(scan, spans, before, index),
            Image::Alone | Image::First(_) => None,
        };
        if let Some(cell) = repeated {
            draft.take(index, cell.clone());
            continue;
        }
        let start = scan.at;
        step_to_value(scan, tokens, index, name)?;
        draft.take(index, cell(scan, rows, index, name)?);
        if let Image::First(spans) = &mut image {
            spans.0.push((u32::try_from(start).ok()?, u32::try_from(scan.at).ok()?));
        }
    }
    scan.expect(b'}')?;
    (count > 0).then_some(draft)
}

/// Steps over the name that is expected, and the marks around it.
fn step_to_value(scan: &mut Scan<'_>, tokens: &Tokens, index: usize, name: &str) -> Option<()> {
    match tokens.get(index) {
        Some(token) => scan.meets(token).then_some(()),
        None => {
            scan.expect(if index == 0 { b'{' } else { b',' })?;
            (scan.name()? == name).then_some(())
        }
    }
}

/// The cell of a column that is written as it was in `before`.
fn repeat<'d, 'a>(scan: &mut Scan<'_>, spans: &Spans, before: &'d Draft<'a>, index: usize) -> Option<&'d Cell<'a>> {
    let bytes = scan.text.as_bytes();
    let (start, end) = *spans.0.get(index)?;
    let known = bytes.get(start as usize..end as usize)?;
    let rest = bytes.get(scan.at..)?;
    let same = rest.starts_with(known) && matches!(rest.get(known.len())?, b',' | b'}');
    same.then(|| scan.at += known.len())?;
    before.cells.get(index)
}

fn cell<'a, R: ReadCell>(scan: &mut Scan<'a>, rows: RowSeed<'_, R>, index: usize, name: &str) -> Option<Cell<'a>> {
    let start = scan.at;
    let raw = |scan: &Scan<'a>| scan.text.get(start..scan.at);
    let scalar = |value| rows.reader.scalar(index, value);
    let simple = match scan.peek()? {
        b'"' => {
            let escaped = scan.skip_text()?;
            let raw = raw(scan)?;
            let content: Text<'a> = if escaped { text(raw).ok()?.into() } else { raw[1..raw.len() - 1].into() };
            if rows.is_mark(&content) {
                return Some(Cell::NotSent);
            }
            scalar(Scalar::Text(content))
        }
        b'-' | b'0'..=b'9' if let Some(value) = scan.short_integer() => scalar(Scalar::Int(value)),
        b'-' | b'0'..=b'9' => match scan.skip_number()? {
            // A negative zero is no integer.
            true if raw(scan)? == "-0" => None,
            true => raw(scan)?.parse().ok().and_then(|value| scalar(Scalar::Int(value))),
            false => None,
        },
        b'n' => scan.skip_word("null").and_then(|()| scalar(Scalar::Null)),
        b't' => scan.skip_word("true").and_then(|()| scalar(Scalar::Bool(true))),
        b'f' => scan.skip_word("false").and_then(|()| scalar(Scalar::Bool(false))),
        _ => {
            let raw = scan.value()?;
            return match rows.take_written(Some(index), name, raw) {
                Taken::Cell(cell) => Some(cell),
                Taken::NotSent => Some(Cell::NotSent),
                Taken::Flaw(_) => None,
            };
        }
    };
    match simple {
        Some(read) => read.ok(),
        None => rows.reader.written(Some(index), name, raw(scan).filter(|raw| !raw.is_empty())?).ok(),
    }
}
