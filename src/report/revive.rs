//! From a stored document back to the engine's finding, so that it can heal after a restart.
//!
//! JSON cannot carry typed cells. [`Document::extra`] does: a version byte, the key's canonical cells and, unless values are
//! withheld, the rows expected and observed as cells, which the next process fingerprints under its own plan.

use std::sync::Arc;

use super::document::{At, Document, Matched, Observed as Seen, Place};
use super::value::Values;
use crate::model::change::SourcePlace;
use crate::model::finding::{Cause, ColumnDifference, Finding, NamedVersion, Observed, Subject};
use crate::model::key::{decode, encode};
use crate::model::position::PartitionName;
use crate::model::{Cell, Columns, Key, PartitionId, Position, Row, SourceTime, TableId, Tick, Typing, Wall};

/// The form of the bytes below. Bytes of another form revive nothing.
const FORM: u8 = 2;

/// What this process calls the things that a document names.
pub trait Directory {
    /// The table of a name on the tap, once it is known.
    fn table(&self, name: &str) -> Option<TableId>;

    /// The partition of a name.
    fn partition(&self, name: &PartitionName) -> Option<PartitionId>;

    /// The tick of a moment; the first one for moments before this process began.
    fn tick(&self, at: Wall) -> Tick;
}

impl Document {
    /// The finding about a row that this document was made of, in terms of this process. Rows are there unless values were
    /// withheld. `None` for findings that are not about a row, for tables or partitions that are not known yet, and for bytes
    /// of another version.
    #[must_use]
    pub fn revive(&self, directory: &dyn Directory) -> Option<Finding> {
        let (key, [row, seen]) = unpack(directory.table(self.table.as_deref()?)?, &self.extra)?;
        let expected = self.expected.as_ref()?;
        let place = |topic: &str, partition, offset| {
            let name = PartitionName { topic: topic.into(), partition };
            directory.partition(&name).map(|partition| Position { partition, offset })
        };
        let At { topic, partition, offset, source, committed_at, .. } = &expected.at;
        let latest = expected.latest.as_ref();
        let latest = latest.and_then(|Place { topic, partition, offset }| place(topic, *partition, *offset));
        let version = NamedVersion {
            at: place(topic, *partition, *offset)?,
            op: expected.op?,
            committed_at: committed_at.as_deref().and_then(moment),
            source: source.as_deref().map(|text| SourcePlace::Text(text.into())),
            row,
        };
        let matched = |Matched { op, offset, partition, topic }: &Matched| {
            let at = place(topic, *partition, *offset)?;
            Some(NamedVersion { at, op: *op, committed_at: None, source: None, row: None })
        };
        let Seen { at, matches, .. } = self.observed.as_ref()?;
        let observed = Observed { row: seen, at: directory.tick(*at), matches: matches.as_ref().and_then(matched) };
        let columns = self.columns.iter().filter_map(difference).collect();
        let versions_behind = self.versions_behind;
        let subject = Subject::Row { key, expected: version, latest, observed, columns, versions_behind };
        Some(self.about(subject, directory))
    }
}

impl Document {
    /// Whether it is about a column of a table.
    #[must_use]
    pub fn is_about_column(&self) -> bool {
        self.cause == Cause::ColumnCoercion && self.key.is_none()
    }

    /// The finding about a column that this document was made of, without its samples of keys. `None` for any other.
    #[must_use]
    pub fn revive_column(&self, directory: &dyn Directory) -> Option<Finding> {
        let columns: Vec<ColumnDifference> = self.columns.iter().filter_map(difference).collect();
        let subject = Subject::Column {
            table: self.table.as_deref()?.into(),
            column: self.columns.first().filter(|_| self.is_about_column())?.name.as_str().into(),
            detail: self.detail.clone()?,
            count: self.count?,
            samples: Vec::new(),
            columns,
        };
        Some(self.about(subject, directory))
    }

    fn about(&self, subject: Subject, directory: &dyn Directory) -> Finding {
        Finding {
            kind: self.kind,
            cause: self.cause,
            state: self.state,
            proof: self.proof,
            subject,
            evidence: self.evidence.clone(),
            first_seen: directory.tick(self.first_seen),
            last_seen: directory.tick(self.last_seen),
            observations: self.observations,
        }
    }
}

fn moment(text: &str) -> Option<SourceTime> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|at| SourceTime(at.timestamp_millis()))
}

fn difference(column: &super::document::Column) -> Option<ColumnDifference> {
    let observed = column.observed.clone()?;
    Some(ColumnDifference { name: column.name.as_str().into(), expected: column.expected.clone(), observed })
}

/// The bytes of a finding about a row; none for any other.
pub(super) fn pack(finding: &Finding, values: Values) -> Vec<u8> {
    let Subject::Row { key, expected, observed, .. } = &finding.subject else {
        return Vec::new();
    };
    let mut bytes = vec![FORM];
    encode(&Cell::Bytes(key.cell_bytes().into()), &mut bytes);
    for row in [&expected.row, &observed.row] {
        let packed = match (row, values) {
            (Some(row), Values::Full) => pack_row(row),
            (Some(_), Values::Hashed | Values::None) | (None, _) => Vec::new(),
        };
        encode(&Cell::Bytes(packed.into()), &mut bytes);
    }
    bytes
}

fn pack_row(row: &Row) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(&Cell::Int(typing_number(row.typing)), &mut bytes);
    for (name, cell) in row.iter() {
        encode(&Cell::text(name), &mut bytes);
        encode(cell, &mut bytes);
    }
    bytes
}

/// The canonical bytes of the key, which identities are made of.
pub(super) fn key_bytes(bytes: &[u8]) -> Option<Box<[u8]>> {
    let (form, rest) = bytes.split_first()?;
    (*form == FORM).then(|| unpack_bytes(rest)).flatten().map(|(key, _)| key)
}

type Rows = [Option<Arc<Row<'static>>>; 2];

/// The key, and the rows expected and observed.
fn unpack(table: TableId, bytes: &[u8]) -> Option<(Key, Rows)> {
    let (form, rest) = bytes.split_first()?;
    if *form != FORM {
        return None;
    }
    let (key, rest) = unpack_bytes(rest)?;
    let (expected, rest) = unpack_bytes(rest)?;
    let (observed, rest) = unpack_bytes(rest)?;
    let row = |bytes: &[u8]| if bytes.is_empty() { Some(None) } else { unpack_row(bytes).map(Arc::new).map(Some) };
    let rows = [row(&expected)?, row(&observed)?];
    rest.is_empty().then_some((Key::from_cell_bytes(table, &key)?, rows))
}

fn unpack_bytes(bytes: &[u8]) -> Option<(Box<[u8]>, &[u8])> {
    let (Cell::Bytes(cell), rest) = decode(bytes)? else {
        return None;
    };
    Some((cell, rest))
}

fn unpack_row(bytes: &[u8]) -> Option<Row<'static>> {
    let (Cell::Int(typing), mut rest) = decode(bytes)? else {
        return None;
    };
    let (mut names, mut cells) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let (Cell::Text(name), after) = decode(rest)? else {
            return None;
        };
        let (cell, after) = decode(after)?;
        names.push(Box::from(&*name));
        cells.push(cell);
        rest = after;
    }
    Some(Row::new(Arc::new(Columns(names.into())), cells, typing_of(typing)?))
}

const TYPINGS: [Typing; 3] = [Typing::Declared, Typing::Bare, Typing::Dms];

fn typing_number(typing: Typing) -> i64 {
    match typing {
        Typing::Declared => 0,
        Typing::Bare => 1,
        Typing::Dms => 2,
    }
}

fn typing_of(number: i64) -> Option<Typing> {
    TYPINGS.into_iter().find(|typing| typing_number(*typing) == number)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{self, Orders};
    use super::*;

    /// A process that met another table first.
    struct Restarted;

    impl Directory for Restarted {
        fn table(&self, name: &str) -> Option<TableId> {
            (name == "public.customers").then_some(TableId(7))
        }

        fn partition(&self, name: &PartitionName) -> Option<PartitionId> {
            u16::try_from(name.partition).ok().map(PartitionId)
        }

        fn tick(&self, at: Wall) -> Tick {
            Tick(u64::try_from(at.0 - sample::START).unwrap_or_default())
        }
    }

    #[test]
    fn a_revived_column_is_the_same_fact() {
        let before = Orders::default();
        let document = Document::of(&sample::coerced_column(&before), &before);
        let again = Document::of(&document.revive_column(&Restarted).unwrap(), &before);
        assert_eq!((again.id, again.columns, again.detail), (document.id, document.columns, document.detail));
        let row = Document::of(&sample::unapplied_delete(&before), &before);
        assert!(row.revive_column(&Restarted).is_none() && document.key.is_none());
    }

    #[test]
    fn a_revived_finding_is_the_same_fact_with_the_same_rows() {
        let (before, after) = (Orders::default(), Orders { first_table: 7, ..Orders::default() });
        for finding in [sample::unapplied_delete(&before), sample::lost_update(&before, 43, 1_200)] {
            let document = Document::of(&finding, &before);
            let revived = document.revive(&Restarted).unwrap();
            let again = Document::of(&revived, &after);
            assert_eq!((again.id, again.extra), (document.id, document.extra));
            assert_eq!((again.expected, again.columns), (document.expected, document.columns));
            assert_eq!(again.observed, document.observed);
            assert_eq!((again.first_seen, again.proof), (document.first_seen, document.proof));
        }
    }

    #[test]
    fn withheld_values_are_not_kept_in_the_bytes_either() {
        let context = Orders { values: Values::Hashed, ..Orders::default() };
        let document = Document::of(&sample::lost_update(&context, 43, 1_200), &context);
        assert!(!String::from_utf8_lossy(&document.extra).contains("31m"));
        let revived = document.revive(&Restarted).unwrap();
        assert!(matches!(revived.subject, Subject::Row { expected: NamedVersion { row: None, .. }, .. }));
    }

    #[test]
    fn what_cannot_be_understood_revives_nothing() {
        let context = Orders::default();
        let document = Document::of(&sample::lost_update(&context, 43, 1_200), &context);
        for extra in [vec![], vec![9], vec![FORM], document.extra[..document.extra.len() - 1].to_vec()] {
            assert_eq!(Document { extra, ..document.clone() }.revive(&Restarted), None);
        }
        assert_eq!(Document { table: Some("other".to_owned()), ..document }.revive(&Restarted), None);
        for finding in [sample::undecodable(), sample::stalled(), sample::mass_divergence(&context)] {
            assert_eq!(Document::of(&finding, &context).revive(&Restarted), None);
        }
    }
}
