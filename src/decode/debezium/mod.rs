//! Debezium envelopes as Connect's `JsonConverter` writes them, with and without schemas, and under schemas of a registry.
//!
//! Also the same without an envelope ([`flattened`]) and in one of CloudEvents ([`cloud`]). Not here: how the bytes of binary
//! encodings lie.

mod avro;
mod avro_rows;
mod block;
mod cells;
mod cloud;
mod configured;
mod envelope;
mod facts;
mod fast;
mod flattened;
mod framed;
mod json_schema;
mod key;
#[cfg(test)]
mod oracle;
mod placeholder;
mod protobuf;
mod protobuf_rows;
mod schema;
mod source;
mod told;
mod wrapping;

use std::sync::Arc;

use hashbrown::HashMap;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use self::block::Block;
use self::envelope::Envelope;
use self::facts::{Facts, Images};
use self::fast::{Layout, Learnt};
pub(super) use self::flattened::Likeness;
pub(super) use self::framed::Opened as Unframed;
use self::key::RecordKey;
pub(super) use self::schema::Schema;
use self::schema::{RowPlan, Schemas};
use self::source::Said as _;
pub(super) use self::source::binlog_order;
use self::told::Told;
use self::wrapping::{Unwrapped, unwrap};
use super::guess::{Spans, Tokens};
use super::json::Undeclared;
use super::keys::Keys;
use super::memo::{Shapes, Tables, recall};
use super::row::{self, AsWritten, Draft, Marks, ReadCell, RowSeed};
use super::{Options, Understood, json};
use crate::model::change::TableName;
use crate::model::{Columns, Op, Record, Reject, Row, Typing};

/// Reads Debezium envelopes.
#[derive(Debug)]
pub(super) struct Debezium {
    marks: Marks,
    topics: HashMap<u64, Topic>,
    flat: flattened::Topics,
    keys: Keys,
    memory: Memory,
    told: Told,
}

/// What records of all topics share.
#[derive(Debug, Default)]
struct Memory {
    schemas: Schemas,
    shapes: Shapes,
    tables: Tables,
    spans: Spans,
}

/// What the last record of a topic looked like: the next one is guessed to look the same. In a topic that carries several
/// tables, the last record of a table.
#[derive(Debug, Default)]
struct Topic {
    table: Option<TableName>,
    /// Records of more than one table were met: each table has a memory of its own.
    carries_tables: bool,
    value_schema: Option<Arc<Schema>>,
    key_schema: Option<Arc<Schema>>,
    row: Option<Arc<Columns>>,
    /// Which columns of `row` are read as written.
    as_written: Box<[bool]>,
    row_tokens: Tokens,
    key: Option<Arc<Columns>>,
    key_tokens: Tokens,
    layout: Layout,
    source: Block,
}

impl Topic {
    /// Which columns of a row that is guessed are read as written.
    fn as_written<'r>(&'r self, plan: Option<&'r RowPlan>, guess: Option<&Arc<Columns>>) -> &'r [bool] {
        let met_before = guess.zip(self.row.as_ref()).is_some_and(|(guess, row)| Arc::ptr_eq(guess, row));
        plan.filter(|_| !met_before).map_or(&self.as_written, |plan| &plan.as_written)
    }

    /// What a row is expected to look like.
    fn looks<'r>(&'r self, plan: Option<&'r RowPlan>, guess: Option<&'r Arc<Columns>>, marks: &'r Marks) -> Looks<'r> {
        let as_written = self.as_written(plan, guess);
        Looks { guess: guess.map(|guess| &**guess), tokens: &self.row_tokens, as_written, marks }
    }

    /// Remembers what a row looked like, unless the one before looked the same.
    fn learn(&mut self, row: &Row, plan: Option<&RowPlan>, surprised: bool) {
        let known = self.row.as_ref().is_some_and(|known| Arc::ptr_eq(known, &row.columns));
        if known && !surprised {
            return;
        }
        let seen: Box<[bool]> = row.cells.iter().map(row::is_seen_as_written).collect();
        self.as_written = match plan {
            _ if known => seen.iter().zip(&self.as_written).map(|(seen, before)| *seen || *before).collect(),
            Some(plan) if !surprised && Arc::ptr_eq(&plan.columns, &row.columns) => plan.as_written.clone(),
            Some(_) | None => seen,
        };
        if !known {
            self.row_tokens = Tokens::of(&row.columns);
            self.row = Some(Arc::clone(&row.columns));
        }
    }
}

/// A record, and what was read of it before its value.
pub(super) struct Letter<'r, 'a> {
    pub(super) topic: &'r str,
    pub(super) record: &'r Record<'a>,
    /// A key whose schema is in a registry.
    pub(super) key: Option<RecordKey<'a>>,
    /// The schema of its value, where a registry has that.
    pub(super) schema: Option<Arc<Schema>>,
}

/// Why a text is not a change of this format.
#[derive(Debug)]
pub(super) enum Unread<'a> {
    /// It has not the shape of this format: what it is must be told from this text.
    Other { payload: &'a str, complaint: String },
    /// It is an envelope that cannot be understood.
    Broken(Reject),
}

/// What an envelope was read with.
struct Opened<'a> {
    schema: Option<Arc<Schema>>,
    guess: Option<Arc<Columns>>,
    payload: &'a str,
    /// Whether a column held another kind of value than in the record before.
    surprised: bool,
}

impl Debezium {
    pub(super) fn new(options: &Options) -> Debezium {
        Debezium {
            marks: placeholder::marks(options.placeholder.as_deref()),
            topics: HashMap::new(),
            flat: flattened::Topics::new(options),
            keys: Keys::new(&options.keys),
            memory: Memory::default(),
            told: Told::default(),
        }
    }

    /// Understands one value. Records of one topic look alike, so what the last one looked like is tried first.
    pub(super) fn decode<'a>(&mut self, letter: &Letter<'_, 'a>, text: &'a str) -> Result<Understood<'a>, Unread<'a>> {
        self.decode_with(letter, (text, letter.schema.as_ref()), |_| ())
    }

    /// The same; `complete` adds what the value does not say itself.
    fn decode_with<'a>(
        &mut self,
        letter: &Letter<'_, 'a>,
        (text, told): (&'a str, Option<&Arc<Schema>>),
        complete: impl FnOnce(&mut Envelope<'a>),
    ) -> Result<Understood<'a>, Unread<'a>> {
        let mut place = xxh3_64(letter.topic.as_bytes());
        if recall(&mut self.topics, &place).carries_tables {
            place = xxh3_64_with_seed(likely_table(text).as_bytes(), place);
        }
        let last = recall(&mut self.topics, &place);
        let mut envelope = Envelope::default();
        let opened = self.memory.open(last, &self.marks, (text, told), &mut envelope)?;
        complete(&mut envelope);
        self.memory.interpret(last, opened, &mut envelope, (&mut self.keys, letter))
    }
}

impl Memory {
    /// Reads the envelope out of its wrapping.
    fn open<'a>(
        &mut self,
        last: &mut Topic,
        marks: &Marks,
        (text, told): (&'a str, Option<&Arc<Schema>>),
        envelope: &mut Envelope<'a>,
    ) -> Result<Opened<'a>, Unread<'a>> {
        let Unwrapped { schema, payload, guessed } =
            unwrap(&mut self.schemas, &mut last.value_schema, (text, told)).map_err(|reason| broken(reason, None))?;
        let plan = schema.as_deref().filter(|schema| schema.envelope).map(|schema| &schema.plan);
        let guess = plan.map(|plan| Arc::clone(&plan.columns)).or_else(|| last.row.clone());
        let mut layout = std::mem::take(&mut last.layout);
        let mut block = std::mem::take(&mut last.source);
        let looks = last.looks(plan, guess.as_ref(), marks);
        let learnt = Learnt { layout: &mut layout, block: &mut block, spans: &mut self.spans };
        let read = match plan {
            Some(plan) => read_envelope(payload, plan, looks, learnt, envelope),
            None => read_envelope(payload, &Undeclared, looks, learnt, envelope),
        };
        (last.layout, last.source) = (layout, block);
        match read {
            Ok(surprised) => Ok(Opened { schema, guess, payload, surprised }),
            // What is wrong stands at a place of the whole text, which a guessed schema leaves out of account.
            Err(_) if guessed => {
                last.value_schema = None;
                *envelope = Envelope::default();
                self.open(last, marks, (text, told), envelope)
            }
            Err(error) => Err(Unread::Other { payload, complaint: json::complaint(&error) }),
        }
    }

    fn interpret<'a>(
        &mut self,
        last: &mut Topic,
        opened: Opened<'a>,
        envelope: &mut Envelope<'a>,
        (keys, letter): (&mut Keys, &Letter<'_, 'a>),
    ) -> Result<Understood<'a>, Unread<'a>> {
        let Opened { schema, guess, payload, surprised } = opened;
        let Envelope { op: Some(op), source: Some(source), before, after } = envelope else {
            return Err(Unread::Other { payload, complaint: "it has no `op` and `source`".to_owned() });
        };
        let table = source.table(&mut self.tables);
        let fault = |reason: String| broken(reason, table.clone());
        let op = match op.inside().and_then(Meaning::of) {
            Some(Meaning::Row(op)) => op,
            Some(Meaning::Message) => return Ok(Understood::Control("message")),
            None => return Err(fault(UNKNOWN_OP.to_owned())),
        };
        let Some(name) = table.clone() else {
            return Err(fault(NO_TABLE.to_owned()));
        };
        let plan = schema.as_deref().filter(|schema| schema.envelope).map(|schema| &schema.plan);
        let images = self.images((before.take(), after.take()), guess.as_ref(), plan).map_err(&fault)?;
        if let Some(row) = images.after.as_ref().or(images.before.as_ref()) {
            last.learn(row, plan, surprised);
        }
        if last.table.as_ref() != Some(&name) {
            last.carries_tables |= last.table.replace(Arc::clone(&name)).is_some();
        }
        let record_key = match op {
            Op::Truncate => RecordKey::Missing,
            Op::Insert | Op::Read | Op::Update | Op::Delete => match &letter.key {
                Some(framed) => framed.clone(),
                None => self.record_key(last, letter.record).map_err(&fault)?,
            },
        };
        let rule = keys.of(&name);
        let (source, declared) = (source.provenance(), plan.map(RowPlan::declared));
        let facts = Facts { op, table: name, source, record_key, images, declared };
        facts.understand(rule.as_deref(), letter.record).map_err(&fault)
    }

    fn images<'a>(
        &mut self,
        (before, mut after): (Option<Draft<'a>>, Option<Draft<'a>>),
        guess: Option<&Arc<Columns>>,
        plan: Option<&RowPlan>,
    ) -> Result<Images<'a>, String> {
        let typing = if plan.is_some() { Typing::Declared } else { Typing::Bare };
        let placeholders = after.as_mut().map(|draft| std::mem::take(&mut draft.marked)).unwrap_or_default();
        let mut row = |draft: Option<Draft<'a>>| match draft {
            Some(mut draft) => {
                let columns = draft.columns(guess, &mut self.shapes)?;
                Ok::<_, String>(Some(Row::new(columns, draft.cells, typing)))
            }
            None => Ok(None),
        };
        let before = row(before)?;
        let after = row(after)?;
        Ok(Images { before, after, placeholders: placeholders.into() })
    }

    fn record_key<'a>(&mut self, last: &mut Topic, record: &Record<'a>) -> Result<RecordKey<'a>, String> {
        key::read(record.key, last, &mut self.schemas, &mut self.shapes)
    }
}

/// What rows are expected to look like.
#[derive(Clone, Copy)]
struct Looks<'r> {
    guess: Option<&'r Columns>,
    tokens: &'r Tokens,
    as_written: &'r [bool],
    marks: &'r Marks,
}

impl Looks<'_> {
    /// Reads a row that is a whole text; the second answer is whether a column surprised.
    fn read<'a>(&self, text: &'a str, plan: Option<&RowPlan>) -> serde_json::Result<(Option<Draft<'a>>, bool)> {
        match plan {
            Some(plan) => row::read(text, self.seed(plan)),
            None => row::read(text, self.seed(&Undeclared)),
        }
    }

    fn seed<'r, R>(&'r self, reader: &'r R) -> RowSeed<'r, R> {
        let Looks { guess, tokens, as_written, marks } = *self;
        RowSeed { reader, guess, as_written: AsWritten::Marked(as_written), marks, tokens }
    }
}

/// Reads an envelope as the last one was written, else in any form; answers whether a column surprised. The envelope is
/// filled where it stands: it is large, and moving it costs.
fn read_envelope<'a, R: ReadCell>(
    payload: &'a str,
    reader: &R,
    looks: Looks<'_>,
    mut learnt: Learnt<'_>,
    envelope: &mut Envelope<'a>,
) -> serde_json::Result<bool> {
    let as_written = looks.as_written;
    let rows = RowSeed { as_written: AsWritten::All, ..looks.seed(reader) };
    if fast::read(payload, rows, &mut learnt, envelope).is_some() {
        return Ok(false);
    }
    let attempt = |as_written: AsWritten<'_>| envelope::read(payload, RowSeed { as_written, ..rows });
    let (read, surprised) = row::attempts(as_written, attempt);
    *envelope = read?;
    Ok(surprised)
}

/// What is most likely the table's name in an envelope: `source` stands behind the rows. A wrong guess costs time only.
fn likely_table(text: &str) -> &str {
    const FIELD: &str = r#""table":""#;
    let name = text.rfind(FIELD).and_then(|at| text.get(at + FIELD.len()..)).unwrap_or_default();
    name.split_once('"').map_or("", |(name, _)| name)
}

const UNKNOWN_OP: &str = "unknown `op` (expected one of c, u, d, r, t, m)";

const NO_TABLE: &str = "the `source` names no table";

fn reject(reason: String, table: Option<TableName>) -> Reject {
    Reject { reason: format!("debezium record: {reason}"), table }
}

fn broken(reason: String, table: Option<TableName>) -> Unread<'static> {
    Unread::Broken(reject(reason, table))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Row(Op),
    Message,
}

impl Meaning {
    /// Debezium reads its own codes without regard to case.
    fn of(op: &str) -> Option<Meaning> {
        Some(match op {
            "c" | "C" => Meaning::Row(Op::Insert),
            "u" | "U" => Meaning::Row(Op::Update),
            "d" | "D" => Meaning::Row(Op::Delete),
            "r" | "R" => Meaning::Row(Op::Read),
            "t" | "T" => Meaning::Row(Op::Truncate),
            "m" | "M" => Meaning::Message,
            _ => return None,
        })
    }
}
