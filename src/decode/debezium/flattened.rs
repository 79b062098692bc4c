//! Rows without an envelope, as `ExtractNewRecordState` leaves them, and as connectors write them that know of no envelope.
//!
//! What is not in a row is not known: the row before, often the operation and the place in the source. A row without an
//! operation is an [`Op::Update`], of which nothing is assumed but that it stands. A null value is the delete of its key. What
//! tells of the change beside the columns (`__op`, `__deleted`, `__source_ts_ms`) stays in the row: a target that has such columns
//! was given them by the applier.

use std::borrow::Cow;
use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

use super::key::{self, RecordKey};
use super::schema::{Declared, RowPlan};
use super::source::{Field, Provenance, Said, Source};
use super::wrapping::{Unwrapped, unwrap};
use super::{Debezium, Facts, Images, Letter, Meaning, Topic, Unread, broken, reject};
use crate::decode::json;
use crate::decode::memo::{Tables, recall};
use crate::decode::{Options, Understood};
use crate::model::change::TableName;
use crate::model::{Cell, Columns, Op, Record, Reject, Row, SourceTime, Typing};

/// What the transform puts before the names of its fields and headers, unless it is told otherwise.
const PREFIX: &str = "__";

/// The field by which a rewritten delete is told, whatever the prefix.
const DELETED: &str = "__deleted";

/// Whether a text is known to be a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::decode) enum Likeness {
    /// It is one, or what it would else be has been ruled out.
    Certain,
    /// It is one if its columns are those of no other format.
    Likely,
}

/// What is known of topics of rows.
#[derive(Debug)]
pub(super) struct Topics {
    prefix: Box<str>,
    known: HashMap<u64, FlatTopic>,
}

#[derive(Debug, Default)]
struct FlatTopic {
    last: Topic,
    /// The columns of the last row, and which of them tell of the change; `None` where no row was met.
    told: Option<(Arc<Columns>, Arc<Told>)>,
}

/// Which columns of a row tell of the change.
#[derive(Debug, Default)]
struct Told {
    op: Option<usize>,
    deleted: Option<usize>,
    source: Vec<(Field, usize)>,
}

/// What a field or header of this name tells, without its prefix.
enum Word {
    Op,
    Source(Field),
}

impl Word {
    fn of(name: &str) -> Option<Word> {
        match name {
            "op" => Some(Word::Op),
            // The connector's own clock, unless it is the source's.
            "ts_ms" => None,
            _ => Field::named(name.strip_prefix("source_").or_else(|| name.strip_prefix("source.")).unwrap_or(name))
                .map(Word::Source),
        }
    }
}

impl Topics {
    pub(super) fn new(options: &Options) -> Topics {
        Topics { prefix: options.fields_prefix.as_deref().unwrap_or(PREFIX).into(), known: HashMap::new() }
    }
}

impl Told {
    fn of(columns: &Columns, prefix: &str) -> Told {
        let mut told = Told::default();
        for (index, name) in columns.0.iter().enumerate() {
            if **name == *DELETED {
                told.deleted = Some(index);
            }
            match name.strip_prefix(prefix).and_then(Word::of) {
                Some(Word::Op) => told.op = Some(index),
                Some(Word::Source(field)) => told.source.push((field, index)),
                None => {}
            }
        }
        told
    }
}

/// Whether rows of these columns must be looked at to tell them from records of the formats that are sniffed.
fn is_of_another_format(columns: &Columns) -> bool {
    let all = |names: &[&str]| names.iter().all(|name| columns.index_of(name).is_some());
    let sets: [&[&str]; 10] = [
        &["op", "source"],
        &["before"],
        &["after"],
        &["metadata"],
        &["eventName", "dynamodb"],
        &["database", "table", "type"],
        &["isDdl", "es"],
        &["databaseName"],
        &["id", "status", "ts_ms"],
        &["specversion", "data"],
    ];
    sets.into_iter().any(all) || columns.0.iter().all(|name| name.starts_with("ts_"))
}

/// What headers tell of the change.
fn of_headers<'a>(record: &Record<'a>, prefix: &str) -> Vec<(Word, Cell<'a>)> {
    let told = |(name, value): (&'a [u8], Option<&'a [u8]>)| {
        let name = std::str::from_utf8(name).ok()?;
        let word = Word::of(name.strip_prefix(prefix).or_else(|| name.strip_prefix(PREFIX))?)?;
        Some((word, Cell::Text(header_text(std::str::from_utf8(value?).ok()?).into())))
    };
    record.headers().filter_map(told).collect()
}

/// A simple value, as plain text or as JSON, with or without a schema.
fn header_text(text: &str) -> Cow<'_, str> {
    let text = text.trim_ascii();
    let payload = |text| serde_json::from_str::<json::Fields<'_>>(text).ok()?.get("payload");
    let text = if text.starts_with('{') { payload(text).unwrap_or(text) } else { text };
    json::text(text).unwrap_or(Cow::Borrowed(text))
}

/// A row as read, in whichever encoding.
pub(super) struct FlatRow<'p, 'a> {
    pub(super) row: Row<'a>,
    /// Columns that carry the marker of "not sent".
    pub(super) marked: Vec<u16>,
    pub(super) declared: Option<Declared<'p>>,
}

impl Debezium {
    /// Understands one value as a row.
    pub(in crate::decode) fn decode_row<'a>(
        &mut self,
        letter: &Letter<'_, 'a>,
        text: &'a str,
        likeness: Likeness,
    ) -> Result<Understood<'a>, Unread<'a>> {
        let known = recall(&mut self.flat.known, &xxh3_64(letter.topic.as_bytes()));
        let last = &mut known.last;
        let Unwrapped { schema, payload, guessed } =
            unwrap(&mut self.memory.schemas, &mut last.value_schema, (text, letter.schema.as_ref()))
                .map_err(|reason| broken(reason, None))?;
        let other = |complaint| Unread::Other { payload, complaint };
        let plan = schema.as_deref().filter(|schema| !schema.envelope).map(|schema| &schema.plan);
        if schema.is_some() && plan.is_none() {
            return Err(other("its schema is that of an envelope".to_owned()));
        }
        let guess = plan.map(|plan| Arc::clone(&plan.columns)).or_else(|| last.row.clone());
        let looks = last.looks(plan, guess.as_ref(), &self.marks);
        let (mut draft, surprised) = match looks.read(payload, plan) {
            Ok((Some(draft), surprised)) => (draft, surprised),
            Ok((None, _)) => return Err(other(String::new())),
            // What is wrong stands at a place of the whole text, which a guessed schema leaves out of account.
            Err(_) if guessed => {
                last.value_schema = None;
                return self.decode_row(letter, text, likeness);
            }
            Err(error) => return Err(other(json::complaint(&error))),
        };
        let marked = std::mem::take(&mut draft.marked);
        let columns = draft.columns(guess.as_ref(), &mut self.memory.shapes);
        let is_certain = likeness == Likeness::Certain;
        if !is_certain && columns.as_ref().map_or(true, |columns| is_of_another_format(columns)) {
            return Err(other(String::new()));
        }
        let columns = columns.map_err(|reason| broken(reason, None))?;
        let typing = if plan.is_some() { Typing::Declared } else { Typing::Bare };
        let row = Row::new(columns, draft.cells, typing);
        last.learn(&row, plan, surprised);
        if row.cells.is_empty() {
            let table = table_of(&Source::default(), letter.topic, &mut self.memory.tables);
            return Err(broken("it has no fields".to_owned(), Some(table)));
        }
        let record_key = match &letter.key {
            Some(framed) => framed.clone(),
            None => key::read(letter.record.key, last, &mut self.memory.schemas, &mut self.memory.shapes)
                .map_err(|reason| broken(reason, None))?,
        };
        let row = FlatRow { row, marked, declared: plan.map(RowPlan::declared) };
        self.row((letter.topic, letter.record), row, record_key).map_err(Unread::Broken)
    }

    /// What a row does.
    pub(super) fn row<'a>(
        &mut self,
        (topic, record): (&str, &Record<'a>),
        flat: FlatRow<'_, 'a>,
        record_key: RecordKey<'a>,
    ) -> Result<Understood<'a>, Reject> {
        let FlatRow { row, marked, declared } = flat;
        let known = recall(&mut self.flat.known, &xxh3_64(topic.as_bytes()));
        let told = match &known.told {
            Some((columns, told)) if Arc::ptr_eq(columns, &row.columns) => Arc::clone(told),
            Some(_) | None => {
                let told = Arc::new(Told::of(&row.columns, &self.flat.prefix));
                known.told = Some((Arc::clone(&row.columns), Arc::clone(&told)));
                told
            }
        };
        let Tidings { op, table, source } =
            told.tidings(&row, (topic, record), (&self.flat.prefix, &mut self.memory.tables))?;
        let images = match op {
            Op::Delete => Images { before: Some(row), after: None, placeholders: Box::default() },
            Op::Insert | Op::Read | Op::Update | Op::Truncate => {
                Images { before: None, after: Some(row), placeholders: marked.into() }
            }
        };
        let rule = self.keys.of(&table);
        let name = Arc::clone(&table);
        let facts = Facts { op, table, source, record_key, images, declared };
        facts.understand(rule.as_deref(), record).map_err(|reason| reject(reason, Some(name)))
    }

    /// What a null value does in a topic of rows: it is the delete of its key.
    pub(in crate::decode) fn decode_absent<'a>(&mut self, letter: &Letter<'_, 'a>) -> Understood<'a> {
        self.absent(letter).unwrap_or_else(Understood::Reject)
    }

    /// Whether rows were met in a topic.
    pub(in crate::decode) fn has_rows(&self, topic: &str) -> bool {
        !self.flat.known.is_empty()
            && self.flat.known.get(&xxh3_64(topic.as_bytes())).is_some_and(|known| known.told.is_some())
    }

    fn absent<'a>(&mut self, letter: &Letter<'_, 'a>) -> Result<Understood<'a>, Reject> {
        let Letter { topic, record, key, .. } = letter;
        let last = &mut recall(&mut self.flat.known, &xxh3_64(topic.as_bytes())).last;
        let record_key = match key {
            Some(framed) => Ok(framed.clone()),
            None => key::read(record.key, last, &mut self.memory.schemas, &mut self.memory.shapes),
        };
        let nothing = Row::default();
        let tidings =
            Told::default().tidings(&nothing, (topic, record), (&self.flat.prefix, &mut self.memory.tables))?;
        let Tidings { table, source, .. } = tidings;
        let rule = self.keys.of(&table);
        let fault = |reason: String| reject(reason, Some(Arc::clone(&table)));
        let record_key = match record_key.map_err(&fault)? {
            RecordKey::Missing => return Ok(Understood::Tombstone),
            RecordKey::Unnamed(text) => match rule.as_deref().map(|rule| &rule.columns) {
                Some(columns) if columns.0.len() == 1 => RecordKey::Columns(one_cell(columns, text)),
                Some(_) | None => return Err(fault(NAMELESS.to_owned())),
            },
            named @ RecordKey::Columns(_) => named,
        };
        let images = Images { before: None, after: None, placeholders: Box::default() };
        let table = Arc::clone(&table);
        let facts = Facts { op: Op::Delete, table, source, record_key, images, declared: None };
        facts.understand(rule.as_deref(), record).map_err(fault)
    }
}

const NAMELESS: &str = "a null value, which deletes the row of its key, behind a key that names no columns: expected a JSON \
                        object; set `key` in a [[tables]] rule to the one column that it holds";

/// A key of one column, from a bare value in JSON or as plain text.
fn one_cell<'a>(columns: &Arc<Columns>, text: Cow<'a, str>) -> Row<'a> {
    let content = match text {
        Cow::Borrowed(text) => json::text(text).unwrap_or(Cow::Borrowed(text)),
        Cow::Owned(text) => Cow::Owned(json::text(&text).map(Cow::into_owned).unwrap_or(text)),
    };
    Row::new(Arc::clone(columns), vec![Cell::Text(content.into())], Typing::Bare)
}

/// What is told of a change beside its row.
struct Tidings {
    op: Op,
    table: TableName,
    source: Provenance,
}

impl Told {
    fn tidings(
        &self,
        row: &Row<'_>,
        (topic, record): (&str, &Record<'_>),
        (prefix, tables): (&str, &mut Tables),
    ) -> Result<Tidings, Reject> {
        let headers = of_headers(record, prefix);
        let (postgres, mysql) = (Cell::text("postgresql"), Cell::text("mysql"));
        let mut source: Source<'_, &Cell<'_>> = Source::default();
        let mut op = self.op.map(|index| &row.cells[index]);
        for (word, cell) in &headers {
            match word {
                Word::Op => op = op.or(Some(cell)),
                Word::Source(field) => source.set(*field, cell),
            }
        }
        for (field, index) in &self.source {
            source.set(*field, &row.cells[*index]);
        }
        let has = |field| source.get(field).is_some();
        let telling = [Field::Connector, Field::CommitScn, Field::Scn, Field::CommitLsn];
        if !telling.into_iter().any(has) {
            // Connectors that do not say who they are are taken for the one of which the least is believed.
            source.set(Field::Connector, if has(Field::File) { &mysql } else { &postgres });
        }
        let table = table_of(&source, topic, tables);
        let op = self.op(row, op).map_err(|reason| reject(reason, Some(Arc::clone(&table))))?;
        let op = op.unwrap_or(if source.is_snapshot() { Op::Read } else { Op::Update });
        let mut provenance = source.provenance();
        provenance.order = provenance.order.filter(|_| op != Op::Read);
        provenance.committed_at = provenance.committed_at.or(record.timestamp_ms.map(SourceTime));
        Ok(Tidings { op, table, source: provenance })
    }

    /// The operation, where it is told.
    fn op(&self, row: &Row<'_>, told: Option<&Cell<'_>>) -> Result<Option<Op>, String> {
        let is_deleted = |cell: &Cell<'_>| *cell == Cell::Bool(true) || cell.inside() == Some("true");
        if self.deleted.is_some_and(|index| is_deleted(&row.cells[index])) {
            return Ok(Some(Op::Delete));
        }
        match told {
            None | Some(Cell::Null | Cell::Absent) => Ok(None),
            Some(cell) => match cell.inside().and_then(Meaning::of) {
                Some(Meaning::Row(op @ (Op::Insert | Op::Read | Op::Update | Op::Delete))) => Ok(Some(op)),
                Some(Meaning::Row(Op::Truncate) | Meaning::Message) | None => {
                    Err("the field or header that tells the operation holds another word than c, u, r or d".to_owned())
                }
            },
        }
    }
}

/// The table: as told, else by the topic's name, as Debezium composes it: `prefix.schema.table`.
fn table_of(source: &Source<'_, &Cell<'_>>, topic: &str, tables: &mut Tables) -> TableName {
    let mut parts = topic.rsplit('.');
    let (last, before) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let told = source.get(Field::Table).and_then(Said::inside).filter(|table| !table.is_empty());
    let schema = [Field::Schema, Field::Db].into_iter().find_map(|field| source.get(field)?.inside());
    match (told, schema) {
        (Some(table), Some(schema)) => tables.named(schema, table),
        (Some(table), None) if table != last => tables.named("", table),
        (Some(_) | None, None | Some(_)) => tables.named(before, last),
    }
}
