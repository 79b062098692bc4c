//! The `source` block as the last one of its topic was written. Most of it is the same in every record: that is compared as a
//! whole, and only the values that were seen to vary are read.

use std::ops::Range;

use super::source::{self, Source};
use crate::decode::scan::Scan;

/// How often a block of another form may be learnt: topics in which no two blocks are alike are not worth it.
const LESSONS: u32 = 256;

/// What the last block looked like.
#[derive(Debug, Default)]
pub(super) struct Block {
    text: String,
    fields: Vec<Field>,
    pieces: Vec<Piece>,
    lessons: u32,
}

/// A field of the last block.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Field {
    name: Range<usize>,
    value: Range<usize>,
    varies: bool,
}

/// A part of the block that is the same in every record, and the value behind it that is not.
#[derive(Debug)]
struct Piece {
    text: Box<[u8]>,
    /// Values that stand in this part and are used, by their place from the start of the part on.
    fixed: Vec<(source::Field, Range<usize>)>,
    /// What follows.
    then: Then,
}

/// What follows a part of the block that is the same in every record.
#[derive(Debug)]
enum Then {
    /// The value of a field that is used.
    Used(source::Field),
    /// A value that is not.
    Unused,
    /// Nothing.
    End,
}

impl Block {
    /// Reads a block; `None` where it is not compact JSON, or has a field twice.
    pub(super) fn read<'a>(&mut self, scan: &mut Scan<'a>) -> Option<Source<'a>> {
        let start = scan.place();
        if let Some(source) = self.repeated(scan) {
            return Some(source);
        }
        scan.go_to(start);
        let (source, fields) = read(scan)?;
        if self.lessons < LESSONS {
            self.lessons += 1;
            self.learn(scan.since(start)?, fields, start);
        }
        Some(source)
    }

    fn repeated<'a>(&self, scan: &mut Scan<'a>) -> Option<Source<'a>> {
        let mut source = Source::default();
        for piece in &self.pieces {
            let start = scan.place();
            scan.meets(&piece.text).then_some(())?;
            for (field, place) in &piece.fixed {
                source.set(*field, scan.between(start + place.start, start + place.end)?);
            }
            match piece.then {
                Then::Used(field) => source.set(field, scan.value()?),
                Then::Unused => drop(scan.value()?),
                Then::End => {}
            }
        }
        (!self.pieces.is_empty()).then_some(source)
    }

    fn learn(&mut self, text: &str, fields: Vec<Places>, start: usize) {
        let moved = |range: &Range<usize>| range.start - start..range.end - start;
        let mut fields: Vec<Field> = fields
            .iter()
            .map(|(name, value)| Field { name: moved(name), value: moved(value), varies: false })
            .collect();
        let alike = fields.len() == self.fields.len()
            && fields.iter().zip(&self.fields).all(|(new, old)| text[new.name.clone()] == self.text[old.name.clone()]);
        if alike {
            for (new, old) in fields.iter_mut().zip(&self.fields) {
                new.varies = old.varies || text[new.value.clone()] != self.text[old.value.clone()];
            }
        }
        text.clone_into(&mut self.text);
        self.fields = fields;
        self.pieces = self.pieces();
    }

    fn pieces(&self) -> Vec<Piece> {
        let (mut pieces, mut start, mut fixed) = (Vec::new(), 0, Vec::new());
        for field in &self.fields {
            let used = source::Field::named(&self.text[field.name.clone()]);
            if field.varies {
                let text = self.text.as_bytes()[start..field.value.start].into();
                let then = used.map_or(Then::Unused, Then::Used);
                pieces.push(Piece { text, fixed: std::mem::take(&mut fixed), then });
                start = field.value.end;
            } else if let Some(used) = used {
                fixed.push((used, field.value.start - start..field.value.end - start));
            }
        }
        pieces.push(Piece { text: self.text.as_bytes()[start..].into(), fixed, then: Then::End });
        pieces
    }
}

/// Where name and value of a field stand in the text.
type Places = (Range<usize>, Range<usize>);

/// A block in any order, and where its fields stand.
fn read<'a>(scan: &mut Scan<'a>) -> Option<(Source<'a>, Vec<Places>)> {
    let (mut source, mut fields) = (Source::default(), Vec::new());
    scan.expect(b'{')?;
    loop {
        let start = scan.place() + 1;
        let name = scan.name()?;
        let value_start = scan.place();
        let value = scan.value()?;
        fields.push((start..start + name.len(), value_start..scan.place()));
        if let Some(field) = source::Field::named(name) {
            if source.get(field).is_some() {
                return None;
            }
            source.set(field, value);
        }
        if !scan.goes_on()? {
            return Some((source, fields));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(source: &Source<'_>) -> String {
        format!("{source:?}")
    }

    /// Reads a block that a comma follows, as in an envelope.
    fn through(block: &mut Block, text: &str) -> Option<(String, usize)> {
        let text = format!("{text},");
        let mut scan = Scan::of(&text);
        let read = block.read(&mut scan).map(|source| told(&source));
        read.map(|told| (told, scan.place()))
    }

    #[test]
    fn a_block_like_the_last_one_says_what_it_says_alone() {
        let texts = [
            r#"{"connector":"postgresql","ts_ms":1,"schema":"s","table":"t","lsn":5,"xmin":null}"#,
            r#"{"connector":"postgresql","ts_ms":22,"schema":"s","table":"t","lsn":5,"xmin":null}"#,
            r#"{"connector":"postgresql","ts_ms":3,"schema":"s","table":"t","lsn":50,"xmin":null}"#,
            r#"{"connector":"postgresql","ts_ms":3,"schema":"s","table":"t2","lsn":51,"xmin":7}"#,
            r#"{"connector":"postgresql","ts_ms":3,"schema":"s","table":"t2","lsn":51,"xmin":{"a":[1]}}"#,
            r#"{"connector":"postgresql","ts_ms":3,"schema":"s","table":"t2","lsn":51}"#,
            r#"{"connector":"postgresql","ts_ms":3,"schema":"s","lsn":51,"table":"t2"}"#,
            r#"{"connector":"postgresql","ts_ms":3,"schema":"s","lsn":51,"table":"t2","table":"t3"}"#,
            r#"{"connector":"mysql","ts_ms":3,"db":"d","file":"b.1","pos":4}"#,
            r#"{"connector":"mysql","ts_ms":3,"db":"d","file":"b.1","pos":45}"#,
            r#"{"connector":"mysql","ts_ms":3,"db":"d","file":"b.1","pos":45,}"#,
            r#"{"connector":"mysql","ts_ms":3,"db":"d","file":"b.1","pos":}"#,
            r#"{}"#,
            r#"{"connector":"mysql","#,
        ];
        let mut block = Block::default();
        for text in texts.iter().cycle().take(5 * texts.len()).chain(texts.iter().flat_map(|text| [text, text])) {
            assert_eq!(through(&mut block, text), through(&mut Block::default(), text), "{text}");
        }
    }

    #[test]
    fn what_varies_is_learnt_and_only_so_often() {
        let mut block = Block::default();
        let text = |number: u32| format!(r#"{{"connector":"postgresql","table":"t","lsn":{number}}}"#);
        (0..10).for_each(|number| drop(through(&mut block, &text(number))));
        assert_eq!((block.lessons, block.pieces.len()), (2, 2));
        for number in 0..2 * LESSONS {
            let other = format!(r#"{{"f{number}":1}}"#);
            assert!(through(&mut block, &other).is_some());
        }
        assert_eq!(block.lessons, LESSONS);
    }
}
