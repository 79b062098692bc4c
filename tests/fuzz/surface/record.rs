//! Records of each format: the same bytes are the same changes, whatever the decoder read before where its format promises
//! that, and a record that is refused says why.
//!
//! The parts: settings, then key and value of each record in turn; a part that is `~` alone is null. One part alone is a
//! value under the usual settings, two are settings and a value. The settings' first line is letters (see [`Settings`]), each
//! line after it a header of all records, `NAME=VALUE`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use afterimage::decode::{self, Decoder, Format, KeyRule, KeyRules, Options, Schemas, Understood};
use afterimage::model::key::{decode as cell_of, encode};
use afterimage::model::schema::{Part, Wanted};
use afterimage::model::{Batch, Change, Columns, Definition, Op, PartitionId, Record, Row, SchemaId, Wall};

use super::{parts, split};

pub(crate) fn auto(bytes: &[u8]) {
    of(Format::Auto, bytes);
}

pub(crate) fn debezium(bytes: &[u8]) {
    of(Format::Debezium, bytes);
}

pub(crate) fn flattened(bytes: &[u8]) {
    of(Format::Flattened, bytes);
}

pub(crate) fn dms(bytes: &[u8]) {
    of(Format::Dms, bytes);
}

pub(crate) fn maxwell(bytes: &[u8]) {
    of(Format::Maxwell, bytes);
}

pub(crate) fn canal(bytes: &[u8]) {
    of(Format::Canal, bytes);
}

fn of(format: Format, bytes: &[u8]) {
    let parts = parts(bytes);
    let (settings, records) = match parts.split_first() {
        Some((settings, records)) if !records.is_empty() => (*settings, records),
        _ => (&[][..], &parts[..]),
    };
    let settings = Settings::read(settings);
    let options = Options { format, schemas: Schemas::Nowhere, ..settings.options() };
    check(&options, &settings.batch(records), &Schemata::default());
}

/// What a user declared, by letters, and the headers of the records.
pub(super) struct Settings<'a> {
    letters: &'a [u8],
    headers: Vec<(&'a [u8], Option<&'a [u8]>)>,
}

impl<'a> Settings<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Settings<'a> {
        let mut lines = split(bytes, b"\n").into_iter();
        let letters = lines.next().unwrap_or_default();
        let header = |line: &'a [u8]| match line.iter().position(|byte| *byte == b'=') {
            Some(at) => (&line[..at], Some(&line[at + 1..])),
            None => (line, None),
        };
        Settings { letters, headers: lines.map(header).collect() }
    }

    pub(super) fn says(&self, letter: u8) -> bool {
        self.letters.contains(&letter)
    }

    /// `k`: the user chose the key `id`; `p`: a marker `*` of unsent columns; `n`: nulls are sent; `b`: DMS's before image is
    /// `BI`; `x`: names of fields begin with nothing that tells of the change.
    pub(super) fn options(&self) -> Options {
        let by_id =
            |_: &str| Some(KeyRule { columns: Arc::new(Columns::new(["id"])), path: "tables[0].key".to_owned() });
        Options {
            before_image: if self.says(b'b') { "BI".to_owned() } else { String::new() },
            include_null_and_empty: self.says(b'n'),
            placeholder: self.says(b'p').then(|| "*".to_owned()),
            fields_prefix: self.says(b'x').then(String::new),
            keys: if self.says(b'k') { KeyRules::new(by_id) } else { KeyRules::NONE },
            ..Options::default()
        }
    }

    /// Keys and values in turn, with the headers of these settings.
    pub(super) fn batch(&self, records: &[&[u8]]) -> Batch {
        let mut batch = Batch::default();
        let known = |part: &&'_ [u8]| **part != b"~"[..];
        // A part without a partner is a value.
        let pairs = match records {
            [value] => vec![(None, Some(*value))],
            records => records.chunks(2).map(|pair| (pair.first().copied(), pair.get(1).copied())).collect(),
        };
        for (index, (key, value)) in pairs.into_iter().enumerate() {
            let (key, value) = (key.filter(|part| known(part)), value.filter(|part| known(part)));
            let place = (PartitionId(0), index as u64, Some(1_795_341_600_000));
            batch.push(place, key, value, self.headers.iter().copied());
        }
        batch
    }
}

/// What a registry answers of keys and of values.
#[derive(Default)]
pub(super) struct Schemata {
    pub(super) key: Option<Definition>,
    pub(super) value: Option<Definition>,
    /// Which of the two an id means: for whichever part it was asked for first, as an id means one schema only.
    pub(super) meant: RefCell<BTreeMap<SchemaId, Part>>,
}

impl Schemata {
    fn of(&self, wanted: Wanted) -> Option<&Definition> {
        match *self.meant.borrow_mut().entry(wanted.id).or_insert(wanted.part) {
            Part::Key => self.key.as_ref(),
            Part::Value => self.value.as_ref(),
        }
    }

    fn bytes(&self) -> usize {
        [&self.key, &self.value].into_iter().flatten().map(Definition::bytes).sum()
    }
}

/// Everything that holds of records.
pub(super) fn check(options: &Options, batch: &Batch, schemata: &Schemata) {
    let mut warm = decode::decoder(options);
    let read = |decoder: &mut dyn Decoder| -> Vec<_> {
        batch.records().map(|record| (understood(decoder, record, schemata), decoder.format())).collect()
    };
    let first = read(&mut *warm);
    let again = read(&mut *decode::decoder(options));
    for (record, ((one, format), (other, _))) in batch.records().zip(first.iter().zip(&again)) {
        assert!(alike(one, other), "one record, two meanings: {one:?}, {other:?}");
        let mut fresh = decode::decoder(options);
        let alone = understood(&mut *fresh, record, schemata);
        // A null value is a row's delete only behind rows.
        let ordered = format.depends_on_order() || fresh.format().depends_on_order() || record.value.is_none();
        assert!(ordered || alike(one, &alone), "what came before changed a record: {one:?}, {alone:?}");
        sound(one, batch.bytes() + schemata.bytes());
    }
}

/// What becomes of a record once its schemas are known; `None` where the registry lacks one.
fn understood<'a>(decoder: &mut dyn Decoder, record: Record<'a>, schemata: &Schemata) -> Option<Understood<'a>> {
    /// A key's, a value's, and each once more for a decoder that forgot.
    const MOST_ASKED: usize = 4;

    for _ in 0..=MOST_ASKED {
        match decoder.decode("s.t", record) {
            Ok(understood) => return Some(understood),
            Err(wanted) => decoder.learn(wanted.id, schemata.of(wanted)?),
        }
    }
    panic!("a schema is asked for again and again");
}

/// Not-a-number is not equal to itself, and is the same nevertheless.
fn alike(one: &Option<Understood>, other: &Option<Understood>) -> bool {
    one == other || format!("{one:?}") == format!("{other:?}")
}

fn sound(understood: &Option<Understood>, bytes: usize) {
    match understood {
        None | Some(Understood::Tombstone | Understood::Control(_)) => {}
        Some(Understood::Change(change)) => sound_changes([change], bytes),
        Some(Understood::KeyChange(pair)) => sound_changes([&pair.0, &pair.1], bytes),
        Some(Understood::Changes(changes)) => sound_changes(changes, bytes),
        Some(Understood::Reject(reject)) => readable(&reject.reason),
    }
}

/// A reason is one line that fits on a page.
fn readable(reason: &str) {
    assert!(!reason.trim().is_empty(), "a reject without a reason");
    assert!(reason.chars().count() <= 1_000, "a reason of {} characters: {reason}", reason.chars().count());
    assert!(!reason.contains(char::is_control), "a reason with control characters: {reason:?}");
}

fn sound_changes<'c>(changes: impl IntoIterator<Item = &'c Change<'c>>, bytes: usize) {
    /// A cell of one byte has a place of its own in a row, and a value is written out as text at most once.
    const EACH_BYTE: usize = 256;
    /// What few bytes may stand for: texts that schemas hold come again and again.
    const AT_LEAST: usize = 96 << 20;

    let mut weight = 0;
    for change in changes {
        assert!(
            change.after.is_none() || !matches!(change.op, Op::Delete | Op::Truncate),
            "rows behind {:?}",
            change.op
        );
        assert!(!change.table.is_empty(), "a change of no table");
        for row in [&change.key, &change.after, &change.before].into_iter().flatten() {
            weight += row.weight();
            kept(row);
        }
        if let Some(at) = change.committed_at {
            assert!(!at.rfc3339().is_empty());
            let _ = Wall(1_795_341_600_000).after(at);
        }
        if let Some(source) = &change.source {
            assert!(!source.to_string().is_empty(), "a place in the source without a name");
        }
    }
    assert!(weight <= bytes * EACH_BYTE + AT_LEAST, "{bytes} bytes became {weight}");
}

/// Cells come back from where they are kept as they were.
fn kept(row: &Row<'_>) {
    for (name, cell) in row.iter() {
        let mut bytes = Vec::new();
        encode(cell, &mut bytes);
        let back = cell_of(&bytes);
        let same =
            back.as_ref().is_some_and(|(back, rest)| rest.is_empty() && format!("{back:?}") == format!("{cell:?}"));
        assert!(same, "`{name}`: {cell:?} came back as {back:?}");
    }
}
