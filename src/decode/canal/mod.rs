//! Canal's JSON (`flatMessage`): one record for all rows of one event of the binary log, every value a text or null.
//!
//! What a text stands for is told by `mysqlType`. Records have no position in the log.

mod kinds;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use self::kinds::Types;
use super::debezium::Unread;
use super::json;
use super::keys::Keys;
use super::memo::{Shapes, Tables, recall, remember};
use super::mysql::{Logged, Old, Seen};
use super::row;
use super::{Options, Understood};
use crate::model::change::{KeyChange, SourcePlace, TableName};
use crate::model::{Change, Op, Reject, Row, SourceTime, Typing};

/// A record, as far as it is used.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    #[serde(borrow)]
    database: Option<Cow<'a, str>>,
    #[serde(borrow)]
    table: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    is_ddl: Option<bool>,
    es: Option<i64>,
    #[serde(borrow)]
    gtid: Option<Cow<'a, str>>,
    pk_names: Option<Vec<String>>,
    #[serde(borrow)]
    mysql_type: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    old: Option<&'a RawValue>,
}

/// Reads Canal's records.
#[derive(Debug, Default)]
pub(super) struct Canal {
    /// By the text of `mysqlType`.
    types: HashMap<u64, Arc<Types>>,
    seen: HashMap<TableName, Seen>,
    names: Tables,
    shapes: Shapes,
    keys: Keys,
}

impl Canal {
    pub(super) fn new(options: &Options) -> Canal {
        Canal { keys: Keys::new(&options.keys), ..Canal::default() }
    }

    /// Understands one value.
    pub(super) fn decode<'a>(&mut self, text: &'a str) -> Result<Understood<'a>, Unread<'a>> {
        let other = |complaint| Unread::Other { payload: text, complaint };
        let written: Written<'a> = serde_json::from_str(text).map_err(|error| other(json::complaint(&error)))?;
        let (Some(is_ddl), Some(kind)) = (written.is_ddl, written.kind.as_deref()) else {
            return Err(other("it has no `isDdl` and `type`".to_owned()));
        };
        let database = written.database.as_deref().unwrap_or_default();
        let table = written.table.as_deref().filter(|table| !table.is_empty());
        let table = table.map(|table| self.names.named(database, table));
        let op = match kind {
            "INSERT" => Op::Insert,
            "UPDATE" => Op::Update,
            "DELETE" => Op::Delete,
            "TRUNCATE" => Op::Truncate,
            _ if is_ddl => return Ok(Understood::Control("schema-change")),
            _ => return Ok(Understood::Control("statement")),
        };
        let Some(table) = table else { return Err(broken("it names no table".to_owned(), None)) };
        let changes = match op {
            Op::Truncate => Ok(vec![truncate(&table, &written)]),
            Op::Insert | Op::Read | Op::Update | Op::Delete => self.rows(op, &table, &written),
        };
        let mut changes = changes.map_err(|reason| broken(reason, Some(table)))?;
        Ok(match changes.len() {
            0 => Understood::Control("statement"),
            1 => Understood::Change(changes.swap_remove(0)),
            _ => Understood::Changes(changes),
        })
    }

    fn rows<'a>(&mut self, op: Op, table: &TableName, written: &Written<'a>) -> Result<Vec<Change<'a>>, String> {
        let types = self.types(written.mysql_type.map_or("null", RawValue::get))?;
        let rows = objects(written.data).map_err(|reason| format!("`data`: {reason}"))?;
        let olds = match op {
            Op::Update => objects(written.old).map_err(|reason| format!("`old`: {reason}"))?,
            Op::Insert | Op::Read | Op::Delete | Op::Truncate => Vec::new(),
        };
        let rule = self.keys.of(table);
        let own = written.pk_names.as_deref().unwrap_or_default();
        let mut changes = Vec::with_capacity(rows.len());
        let mut long = 0;
        for (index, raw) in rows.iter().enumerate() {
            let seen = recall(&mut self.seen, table);
            let values = (&*types, Typing::Declared);
            let row = seen.read(raw.get(), values, &mut self.shapes);
            let row = row.map_err(|reason| format!("row {index} of `data`: {reason}"))?;
            let old = olds.get(index).map(|old| old.get()).filter(|old| *old != "null");
            let old = old.map(|old| Seen::default().read(old, values, &mut self.shapes));
            let old = old.transpose().map_err(|reason| format!("row {index} of `old`: {reason}"))?;
            long += [Some(&row), old.as_ref()].into_iter().flatten().map(row::long_numbers).sum::<usize>();
            if long > row::MAX_LONG_NUMBERS {
                return Err(row::NUMBERS_TOO_LONG.to_owned());
            }
            let logged = Logged {
                table: TableName::clone(table),
                op,
                row,
                old: old.map(|old| (old, Old::Whole)),
                committed_at: written.es.map(SourceTime),
                source: place(written),
                source_order: None,
            };
            match logged.understand((rule.as_deref(), own), &mut self.shapes)? {
                Understood::Change(change) => changes.push(change),
                Understood::KeyChange(pair) => changes.extend([pair.0, pair.1]),
                Understood::Changes(_) | Understood::Tombstone | Understood::Control(_) | Understood::Reject(_) => {}
            }
        }
        Ok(one_of_each_key(changes))
    }

    fn types(&mut self, text: &str) -> Result<Arc<Types>, String> {
        let hash = xxh3_64(text.as_bytes());
        if let Some(known) = self.types.get(&hash)
            && known.is_of(text)
        {
            return Ok(Arc::clone(known));
        }
        let types = Arc::new(Types::read(text).map_err(|reason| format!("`mysqlType`: {reason}"))?);
        remember(&mut self.types, hash, Arc::clone(&types));
        Ok(types)
    }
}

/// The elements of a list of rows; none where it is null.
fn objects(list: Option<&RawValue>) -> Result<Vec<&RawValue>, String> {
    let Some(list) = list else { return Ok(Vec::new()) };
    serde_json::from_str(list.get()).map_err(|error| json::complaint(&error))
}

fn place(written: &Written<'_>) -> Option<SourcePlace> {
    let gtid = written.gtid.as_deref().filter(|gtid| !gtid.is_empty())?;
    Some(SourcePlace::Text(gtid.into()))
}

fn truncate(table: &TableName, written: &Written<'_>) -> Change<'static> {
    Change {
        table: TableName::clone(table),
        op: Op::Truncate,
        key: Some(Row::default()),
        after: None,
        before: None,
        committed_at: written.es.map(SourceTime),
        source: place(written),
        source_order: None,
        waymark: None,
        placeholders: Box::default(),
        key_change: KeyChange::No,
        complete: false,
    }
}

/// One event of the log may change a key more than once (`INSERT … ON DUPLICATE KEY UPDATE`, or a key that moves where another
/// one was). They have one position, so they are one change: what the last one leaves, of what was there before the first one.
fn one_of_each_key(changes: Vec<Change<'_>>) -> Vec<Change<'_>> {
    if changes.len() < 2 {
        return changes;
    }
    let mut last: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept: Vec<Option<Change<'_>>> = Vec::with_capacity(changes.len());
    for mut change in changes {
        let before = change.key.as_ref().and_then(|key| last.insert(format!("{:?}", key.cells), kept.len()));
        if let Some(earlier) = before.and_then(|index| kept[index].take()) {
            follow(&mut change, earlier);
        }
        kept.push(Some(change));
    }
    kept.into_iter().flatten().collect()
}

fn follow<'a>(change: &mut Change<'a>, earlier: Change<'a>) {
    change.op = match (earlier.op, change.op) {
        (_, Op::Delete) => Op::Delete,
        (Op::Insert, _) => Op::Insert,
        (Op::Read | Op::Update | Op::Delete | Op::Truncate, _) => Op::Update,
    };
    change.before = earlier.before;
    if earlier.op != change.op {
        change.key_change = KeyChange::No;
    }
}

fn broken(reason: String, table: Option<TableName>) -> Unread<'static> {
    Unread::Broken(Reject { reason: format!("canal record: {reason}"), table })
}
