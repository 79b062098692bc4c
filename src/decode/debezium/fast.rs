//! The envelope as the last one was written: compact JSON, the fields and the columns in the known order. One pass, no tree, and
//! what `after` repeats of `before` is compared, not read again.
//!
//! Whatever is not exactly so ends the attempt ([`None`]); the text is then read by [`super::envelope`], which says the
//! same of every text that is read here, and alone says what is wrong with the others.

use super::block::Block;
use super::envelope::Envelope;
use crate::decode::guess::{self, Image, Spans};
use crate::decode::row::{Draft, ReadCell, RowSeed};
use crate::decode::scan::Scan;
use crate::model::Columns;

/// Fields of an envelope that are expected; Debezium writes eight.
const MOST_FIELDS: usize = 16;

/// The fields of the last envelope: what stands before each value, and what the value is.
#[derive(Debug, Default)]
pub(super) struct Layout(Vec<(Box<[u8]>, Field)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Before,
    After,
    Source,
    Op,
    Other,
}

/// What is learnt from one record for the next ones of its topic.
pub(super) struct Learnt<'r> {
    pub(super) layout: &'r mut Layout,
    pub(super) block: &'r mut Block,
    pub(super) spans: &'r mut Spans,
}

/// Reads a whole envelope, if it looks like the last one; if not, some of it may have been filled in.
pub(super) fn read<'a, R: ReadCell>(
    text: &'a str,
    rows: RowSeed<'_, R>,
    learnt: &mut Learnt<'_>,
    envelope: &mut Envelope<'a>,
) -> Option<()> {
    let guess = rows.guess?;
    if !learnt.layout.0.is_empty() {
        let layout = std::mem::take(learnt.layout);
        let read = as_laid_out(&layout, &mut Scan::of(text), (rows, guess), learnt, envelope);
        *learnt.layout = layout;
        match read {
            Some(Laid::Out) => return whole(envelope),
            Some(Laid::Otherwise) => *envelope = Envelope::default(),
            None => return None,
        }
    }
    any_layout(&mut Scan::of(text), (rows, guess), learnt, envelope)?;
    whole(envelope)
}

fn whole(envelope: &Envelope<'_>) -> Option<()> {
    (envelope.op.is_some() && envelope.source.is_some()).then_some(())
}

/// Whether an envelope has the fields of the last one.
enum Laid {
    Out,
    Otherwise,
}

fn as_laid_out<'a, R: ReadCell>(
    layout: &Layout,
    scan: &mut Scan<'a>,
    (rows, guess): (RowSeed<'_, R>, &Columns),
    learnt: &mut Learnt<'_>,
    envelope: &mut Envelope<'a>,
) -> Option<Laid> {
    for (token, field) in &layout.0 {
        if !scan.meets(token) {
            return Some(Laid::Otherwise);
        }
        value(scan, *field, (rows, guess), learnt, envelope)?;
    }
    if !scan.meets(b"}") {
        return Some(Laid::Otherwise);
    }
    scan.is_at_end().then_some(Laid::Out)
}

/// Reads the fields in any order, and learns it.
fn any_layout<'a, R: ReadCell>(
    scan: &mut Scan<'a>,
    (rows, guess): (RowSeed<'_, R>, &Columns),
    learnt: &mut Learnt<'_>,
    envelope: &mut Envelope<'a>,
) -> Option<()> {
    let mut layout = Layout::default();
    loop {
        let start = scan.place();
        scan.expect(if start == 0 { b'{' } else { b',' })?;
        let field = match scan.name()? {
            "before" => Field::Before,
            "after" => Field::After,
            "source" => Field::Source,
            "op" => Field::Op,
            _ => Field::Other,
        };
        let met = |known: Field| layout.0.iter().any(|(_, field)| *field == known);
        // What comes twice is an error, and what `after` repeats is only known behind `before`.
        if field != Field::Other && met(field) || field == Field::Before && met(Field::After) {
            return None;
        }
        let token = scan.since(start)?.as_bytes().into();
        value(scan, field, (rows, guess), learnt, envelope)?;
        layout.0.push((token, field));
        if scan.meets(b"}") {
            break;
        }
    }
    scan.is_at_end().then_some(())?;
    if layout.0.len() <= MOST_FIELDS {
        *learnt.layout = layout;
    }
    Some(())
}

fn value<'a, R: ReadCell>(
    scan: &mut Scan<'a>,
    field: Field,
    (rows, guess): (RowSeed<'_, R>, &Columns),
    learnt: &mut Learnt<'_>,
    envelope: &mut Envelope<'a>,
) -> Option<()> {
    match field {
        Field::Before => envelope.before = image(scan, rows, guess, Image::First(learnt.spans))?,
        Field::After => {
            let beside = match &envelope.before {
                Some(before) => Image::Second(learnt.spans, before),
                None => Image::Alone,
            };
            envelope.after = image(scan, rows, guess, beside)?;
        }
        Field::Source => envelope.source = Some(learnt.block.read(scan)?),
        Field::Op => {
            let op = scan.value()?;
            envelope.op = op.starts_with('"').then_some(op);
            envelope.op?;
        }
        Field::Other => drop(scan.value()?),
    }
    Some(())
}

fn image<'a, R: ReadCell>(
    scan: &mut Scan<'a>,
    rows: RowSeed<'_, R>,
    guess: &Columns,
    image: Image<'_, 'a>,
) -> Option<Option<Draft<'a>>> {
    if scan.peek()? == b'n' {
        return (scan.value()? == "null").then_some(None);
    }
    guess::row(scan, rows, guess, image).map(Some)
}
