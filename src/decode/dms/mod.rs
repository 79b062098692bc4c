//! AWS DMS messages: one JSON object for a row, alike on Kafka and on Kinesis.
//!
//! By default DMS leaves out columns that are null or empty, so one record does not show a table's columns. What
//! earlier records of the table showed, and what a control record declared, tells which are missing.

mod position;
mod table;

use hashbrown::HashMap;
use std::borrow::Cow;

use self::table::{Declaration, Known};
use super::debezium::Unread;
use super::guess::Tokens;
use super::json::{self, Fields, Undeclared};
use super::keys::{KeyRule, Keys, key_changed};
use super::memo::{Shapes, Tables, recall, remember};
use super::row::{self, AsWritten, Marks, RowSeed};
use super::{Options, Understood, calendar};
use crate::model::change::{KeyChange, SourcePlace, TableName};
use crate::model::{Cell, Change, Op, Record, Reject, Row, SourceTime, Typing};

/// Reads DMS messages.
#[derive(Debug, Default)]
pub(super) struct Dms {
    known: HashMap<TableName, Known>,
    names: Tables,
    shapes: Shapes,
    keys: Keys,
}

/// The parts of a message that every data record has.
struct Message<'m, 'a> {
    table: &'m TableName,
    fields: &'m Fields<'a>,
    metadata: &'m Fields<'a>,
}

impl Dms {
    pub(super) fn new(options: &Options) -> Dms {
        Dms { keys: Keys::new(&options.keys), ..Dms::default() }
    }

    /// Understands one value.
    pub(super) fn decode<'a>(
        &mut self,
        options: &Options,
        record: &Record<'_>,
        text: &'a str,
    ) -> Result<Understood<'a>, Unread<'a>> {
        let other = |complaint| Unread::Other { payload: text, complaint };
        let fields: Fields<'a> = serde_json::from_str(text).map_err(|error| other(json::complaint(&error)))?;
        let metadata = fields.get("metadata").and_then(|raw| serde_json::from_str::<Fields<'a>>(raw).ok());
        let Some((metadata, record_type)) = metadata.and_then(|all| all.text("record-type").map(|kind| (all, kind)))
        else {
            return Err(other("it has no `metadata` with a `record-type`".to_owned()));
        };
        let name = |field| metadata.text(field).unwrap_or_default();
        let table = name("table-name");
        if table.is_empty() && record_type == "data" {
            let reason = "dms record: `metadata` has no `table-name`".to_owned();
            return Err(Unread::Broken(Reject { reason, table: None }));
        }
        let table = self.names.named(&name("schema-name"), &table);
        let message = Message { table: &table, fields: &fields, metadata: &metadata };
        match &*record_type {
            "data" => self.data(options, record, &message),
            "control" => self.control(&message),
            _ => Err("unknown `record-type` (expected data or control)".to_owned()),
        }
        .map_err(|reason| {
            Unread::Broken(Reject { reason: format!("dms record: {reason}"), table: Some(table.clone()) })
        })
    }

    fn control(&mut self, message: &Message<'_, '_>) -> Result<Understood<'static>, String> {
        let control = message.fields.get("control").and_then(|raw| serde_json::from_str::<Fields<'_>>(raw).ok());
        let declaration = control.as_ref().and_then(|control| control.get("table-def")).and_then(Declaration::read);
        let operation = message.metadata.text("operation").unwrap_or_default();
        match declaration {
            Some(declaration) => {
                let known = Known::declared(declaration, &mut self.shapes)?;
                remember(&mut self.known, message.table.clone(), known);
            }
            None if table::changes_columns(&operation) => {
                self.known.remove(message.table);
            }
            None => {}
        }
        Ok(Understood::Control(table::control_word(&operation)))
    }

    fn data<'a>(
        &mut self,
        options: &Options,
        record: &Record<'_>,
        message: &Message<'_, 'a>,
    ) -> Result<Understood<'a>, String> {
        let op = match message.metadata.text("operation").as_deref() {
            Some("load") => Op::Read,
            Some("insert") => Op::Insert,
            Some("update") => Op::Update,
            Some("delete") => Op::Delete,
            Some(_) | None => return Err("unknown `operation` (expected load, insert, update or delete)".to_owned()),
        };
        let before = self.before_image(options, message)?;
        let sent = self.read_row(message.fields.get("data").unwrap_or_default(), Some(message.table), "data")?;
        let known = recall(&mut self.known, message.table);
        let row = known.completed(sent, (op, options.include_null_and_empty), &mut self.shapes)?;
        let key = match self.keys.of(message.table) {
            Some(rule) => Some(keyed(&rule, op, &row, (before.as_ref(), known))?),
            None => {
                let columns = if known.key.is_empty() {
                    record_key_columns(record).map(Cow::from)
                } else {
                    Some((&known.key).into())
                };
                columns.and_then(|columns| self.shapes.key_of(&row, &columns))
            }
        };
        let whole = options.include_null_and_empty || known.is_declared();
        let change = assemble(op, key, row, message, whole);
        Ok(match before {
            Some(before) if op == Op::Update => against(change, before),
            Some(_) | None => Understood::Change(change),
        })
    }

    fn read_row<'a>(&mut self, raw: &'a str, table: Option<&TableName>, field: &str) -> Result<Row<'a>, String> {
        let raw = document(raw).unwrap_or(raw);
        let known = table.and_then(|table| self.known.get(table));
        let guess = known.map(|known| known.columns().clone());
        let as_written = known.map_or(&[][..], |known| &known.as_written);
        let rows = RowSeed {
            reader: &Undeclared,
            guess: guess.as_deref(),
            as_written: AsWritten::Marked(as_written),
            marks: &Marks::default(),
            tokens: &Tokens::default(),
        };
        let Some((Some(mut draft), _)) = row::read(raw, rows).ok() else {
            return Err(format!("`{field}` is no object"));
        };
        let columns = draft.columns(guess.as_ref(), &mut self.shapes)?;
        Ok(Row::new(columns, draft.cells, Typing::Dms))
    }

    /// The before image, under the declared name or, where none is declared, under any name of its own.
    fn before_image<'a>(&mut self, options: &Options, message: &Message<'_, 'a>) -> Result<Option<Row<'a>>, String> {
        let is_image = |name: &str| match options.before_image.as_str() {
            "" => !matches!(name, "data" | "metadata" | "control"),
            declared => name == declared,
        };
        let object = |(_, raw): &&(_, &serde_json::value::RawValue)| raw.get().starts_with('{');
        let image = message.fields.0.iter().filter(|(name, _)| is_image(name)).find(object);
        let image = image.map(|(_, raw)| self.read_row(raw.get(), None, "the before image")).transpose()?;
        Ok(image.filter(|row| !row.cells.is_empty()))
    }
}

/// Under `map-record-to-document` the columns sit in a document of their own.
fn document(raw: &str) -> Option<&str> {
    if !raw.contains("\"_doc\"") {
        return None;
    }
    let fields = serde_json::from_str::<Fields<'_>>(raw).ok()?;
    fields.get("_doc").filter(|document| document.starts_with('{'))
}

/// The columns of a record key that is a JSON object.
fn record_key_columns(record: &Record<'_>) -> Option<Vec<String>> {
    let fields: Fields<'_> = serde_json::from_slice(record.key?).ok()?;
    Some(fields.0.into_iter().map(|(name, _)| name.into_owned()).collect()).filter(|names: &Vec<_>| !names.is_empty())
}

/// The key under the user's rule. Without a control record its columns are taken to be the table's key, and a change of them to
/// be told by the before image that the task then sends.
fn keyed<'a>(
    rule: &KeyRule,
    op: Op,
    row: &Row<'a>,
    (before, known): (Option<&Row<'a>>, &Known),
) -> Result<Row<'a>, String> {
    let key = rule.key_in(row).map_err(|column| {
        format!(
            "key column `{column}` is not in `data`: expected it there, for `{}` names it; name columns that every record of \
             the table carries",
            rule.path
        )
    })?;
    let is_sure = |name: &str| {
        known.key.is_empty()
            || known.key.iter().any(|own| own == name)
            || before.is_some_and(|before| before.get(name).is_some())
    };
    match rule.columns.0.iter().find(|name| op == Op::Update && !is_sure(name)) {
        None => Ok(key),
        Some(column) => Err(format!(
            "whether key column `{column}` changed cannot be told: `{}` names it, it is not of the table's primary key, and no \
             before image has it; set `EnableBeforeImage` with `ColumnFilter` `all` in the task's `BeforeImageSettings`",
            rule.path
        )),
    }
}

fn assemble<'a>(op: Op, key: Option<Row<'a>>, row: Row<'a>, message: &Message<'_, '_>, whole: bool) -> Change<'a> {
    let position = message.metadata.text("stream-position").filter(|text| !text.is_empty());
    let committed_at = message.metadata.text("commit-timestamp").and_then(|text| calendar::millis(&text));
    let after = Some(row).filter(|_| op != Op::Delete);
    Change {
        table: message.table.clone(),
        op,
        key,
        complete: whole && after.as_ref().is_some_and(|row| !row.cells.iter().any(Cell::is_unknown)),
        after,
        before: None,
        committed_at: committed_at.map(SourceTime),
        source_order: position.as_deref().and_then(position::order),
        waymark: None,
        source: position.map(|position| SourcePlace::Text(position.into())),
        placeholders: Box::default(),
        key_change: KeyChange::No,
    }
}

/// An update with its before image: two changes if the image holds another key, else one, which carries the image
/// where it is whole.
fn against<'a>(mut change: Change<'a>, before: Row<'a>) -> Understood<'a> {
    let (Some(after), Some(key)) = (&change.after, &change.key) else { return Understood::Change(change) };
    let differs = |name: &str| before.get(name).is_some_and(|old| after.get(name) != Some(old));
    if !key.iter().any(|(name, _)| differs(name)) {
        let sent = |cell: &Cell| !matches!(cell, Cell::Absent | Cell::NotSent);
        let whole = after.iter().all(|(name, cell)| !sent(cell) || before.get(name).is_some());
        change.before = Some(before).filter(|_| whole);
        return Understood::Change(change);
    }
    let old_cell = |(name, new): (&str, &Cell<'a>)| before.get(name).unwrap_or(new).clone();
    let old_key = Row::new(key.columns.clone(), key.iter().map(old_cell).collect(), Typing::Dms);
    key_changed(change, old_key, None)
}
