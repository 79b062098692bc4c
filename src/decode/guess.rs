//! Rows that look like the row before: the columns in their order, in compact JSON. What is not exactly so is read by
//! [`super::row`].

use std::sync::Arc;

use super::json::{Scalar, text};
use super::row::{Draft, ReadCell, RowSeed, Taken};
use super::scan::{Number, Scan, Written, plain_until};
use crate::model::{Cell, Columns};

/// Where each column of the last row stood, from the mark before its name to the end of its value: scratch space that is
/// kept between records.
#[derive(Debug, Default)]
pub(super) struct Spans(Vec<(u32, u32)>);

/// What stands before each value of a row of known columns: `{"id":`, `,"name":`. None where a name would be escaped.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    columns: Option<Arc<Columns>>,
    tokens: Box<[Box<[u8]>]>,
}

impl Tokens {
    /// Those of a row.
    pub(super) fn of(columns: &Arc<Columns>) -> Tokens {
        let token = |(index, name): (usize, &str)| {
            let start = if index == 0 { '{' } else { ',' };
            (plain_until(name.as_bytes(), 0) == name.len()).then(|| format!("{start}\"{name}\":").into_bytes().into())
        };
        match columns.0.iter().map(|name| &**name).enumerate().map(token).collect() {
            Some(tokens) => Tokens { columns: Some(Arc::clone(columns)), tokens },
            None => Tokens::default(),
        }
    }

    /// Those of this row, if they are.
    fn of_row(&self, columns: &Columns) -> &[Box<[u8]>] {
        match &self.columns {
            Some(known) if std::ptr::eq(&**known, columns) => &self.tokens,
            Some(_) | None => &[],
        }
    }
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
    let tokens = rows.tokens.of_row(guess);
    if let Image::First(spans) = &mut image {
        spans.0.clear();
    }
    let mut index = 0;
    while index < count {
        if let Image::Second(spans, before) = image {
            index += repeat(scan, (spans, before), index, &mut draft)?;
            if index == count {
                break;
            }
        }
        let start = scan.place();
        column(scan, rows, (guess, tokens), index, &mut draft)?;
        if let Image::First(spans) = &mut image {
            spans.0.push((u32::try_from(start).ok()?, u32::try_from(scan.place()).ok()?));
        }
        index += 1;
    }
    scan.expect(b'}')?;
    (count > 0).then_some(draft)
}

/// One column: the name that is expected, the marks around it, and the value.
#[inline]
fn column<'a, R: ReadCell>(
    scan: &mut Scan<'a>,
    rows: RowSeed<'_, R>,
    (guess, tokens): (&Columns, &[Box<[u8]>]),
    index: usize,
    draft: &mut Draft<'a>,
) -> Option<()> {
    let name = &*guess.0[index];
    match tokens.get(index) {
        Some(token) => scan.meets(token).then_some(())?,
        None => {
            scan.expect(if index == 0 { b'{' } else { b',' })?;
            (scan.name()? == name).then_some(())?;
        }
    }
    take(scan, rows, (index, name), draft)
}

/// Adds the columns from `index` on that are written as they were in `before`; answers how many.
fn repeat<'a>(
    scan: &mut Scan<'_>,
    (spans, before): (&Spans, &Draft<'a>),
    index: usize,
    draft: &mut Draft<'a>,
) -> Option<usize> {
    let (spans, cells) = (spans.0.get(index..)?, before.cells.get(index..)?);
    let (start, here) = (spans.first()?.0 as usize, scan.place());
    let bytes = scan.bytes();
    let alike_to = start + common_prefix(bytes.get(start..)?, bytes.get(here..)?);
    let mut repeated = 0;
    // What follows a value, a comma or the row's end, must be the same as well.
    for ((_, end), cell) in spans.iter().zip(cells).take_while(|((_, end), _)| (*end as usize) < alike_to) {
        draft.repeat(index + repeated, cell);
        scan.go_to(here + (*end as usize - start));
        repeated += 1;
    }
    Some(repeated)
}

/// How many bytes two texts begin with alike.
fn common_prefix(one: &[u8], other: &[u8]) -> usize {
    const WORD: usize = size_of::<u64>();
    let mut same = 0;
    for (one, other) in one.as_chunks::<WORD>().0.iter().zip(other.as_chunks::<WORD>().0) {
        let differs = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if differs != 0 {
            return same + (differs.trailing_zeros() / 8) as usize;
        }
        same += WORD;
    }
    same + one[same..].iter().zip(&other[same..]).take_while(|(one, other)| one == other).count()
}

/// Adds the cell of the value that stands here.
fn take<'a, R: ReadCell>(
    scan: &mut Scan<'a>,
    rows: RowSeed<'_, R>,
    (index, name): (usize, &str),
    draft: &mut Draft<'a>,
) -> Option<()> {
    let start = scan.place();
    let taken = match scan.peek()? {
        b'"' => match scan.skip_text()? {
            Written::Plain => {
                let content = scan.between(start + 1, scan.place() - 1)?;
                rows.take_text(index, content.into(), draft)
            }
            Written::Escaped => rows.take_text(index, text(scan.since(start)?).ok()?.into(), draft),
        },
        b'-' | b'0'..=b'9' if let Some(value) = scan.short_integer() => rows.take(index, Scalar::Int(value), draft),
        b'-' | b'0'..=b'9' => match scan.skip_number()? {
            // A negative zero is no integer.
            Number::Whole if scan.since(start)? == "-0" => None,
            Number::Whole => {
                scan.since(start)?.parse().ok().and_then(|value| rows.take(index, Scalar::Int(value), draft))
            }
            Number::Fraction => rows.take(index, Scalar::Fraction(scan.since(start)?), draft),
            Number::Scientific => None,
        },
        b'n' => scan.skip_word("null").and_then(|()| rows.take(index, Scalar::Null, draft)),
        b't' => scan.skip_word("true").and_then(|()| rows.take(index, Scalar::Bool(true), draft)),
        b'f' => scan.skip_word("false").and_then(|()| rows.take(index, Scalar::Bool(false), draft)),
        _ => {
            let cell = match rows.take_written(Some(index), name, scan.value()?) {
                Taken::Cell(cell) => cell,
                Taken::NotSent => Cell::NotSent,
                Taken::Flaw(_) => return None,
            };
            draft.take(index, cell);
            return Some(());
        }
    };
    match taken {
        Some(taken) => taken.ok(),
        None => {
            let raw = scan.since(start).filter(|raw| !raw.is_empty())?;
            draft.take(index, rows.reader.written(Some(index), name, raw).ok()?);
            Some(())
        }
    }
}
