//! The envelope as the last one was written: compact JSON, the columns in the known order. One pass, no tree, and what
//! `after` repeats of `before` is compared, not read again.
//!
//! Whatever is not exactly so ends the attempt ([`None`]); the text is then read by [`super::envelope`], which says the
//! same of every text that is read here, and alone says what is wrong with the others.

use super::block::Block;
use super::envelope::Envelope;
use crate::decode::row::{Draft, ReadCell, RowSeed};
use crate::decode::scan;
use crate::decode::scan::{Image, Scan, Spans};
use crate::model::Columns;

/// Reads a whole envelope, if it looks like the last one.
pub(super) fn read<'a, R: ReadCell>(
    text: &'a str,
    rows: RowSeed<'_, R>,
    block: &mut Block,
    spans: &mut Spans,
) -> Option<Envelope<'a>> {
    let guess = rows.guess?;
    let mut envelope = Envelope::default();
    let (mut before_met, mut after_met) = (false, false);
    let mut scan = Scan::of(text);
    scan.expect(b'{')?;
    loop {
        let name = scan.name()?;
        match name {
            "before" if !before_met && !after_met => {
                before_met = true;
                envelope.before = image(&mut scan, rows, guess, Image::First(spans))?;
            }
            "after" if !after_met => {
                after_met = true;
                let beside = envelope.before.as_ref().map_or(Image::Alone, |before| Image::Second(spans, before));
                envelope.after = image(&mut scan, rows, guess, beside)?;
            }
            "source" if envelope.source.is_none() => envelope.source = Some(block.read(&mut scan)?),
            "op" if envelope.op.is_none() && scan.peek()? == b'"' => envelope.op = Some(scan.value()?),
            "before" | "after" | "source" | "op" => return None,
            _ => drop(scan.value()?),
        }
        if !scan.goes_on()? {
            break;
        }
    }
    let whole = envelope.op.is_some() && envelope.source.is_some() && scan.is_at_end();
    whole.then_some(envelope)
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
    scan::row(scan, rows, guess, image).map(Some)
}
