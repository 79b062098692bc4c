//! Maxwell's JSON: one record for a row, and for a statement that changes tables where `output_ddl` is on.
//!
//! Values say their kind by how they are written: BLOBs as base64 text, sets as arrays, JSON columns as they are, dates and
//! times as text. A `timestamp` is text without its zone, and which one that is depends on where Maxwell runs.

use std::borrow::Cow;

use hashbrown::HashMap;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::debezium::{Unread, binlog_order};
use super::json::{self, Fields, Flaw, Scalar, Undeclared};
use super::keys::Keys;
use super::memo::{Shapes, Tables, recall};
use super::mysql::{Logged, Old, Seen};
use super::row::ReadCell;
use super::{Options, Understood};
use crate::model::change::{SourcePlace, TableName};
use crate::model::{Cell, Op, Record, Reject, Row, SourceTime, Typing};

/// What `type` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Row(Op),
    /// The word for what is no change of a row.
    Control(&'static str),
}

impl Kind {
    /// Of a word; `None` where Maxwell writes no such.
    pub(super) fn of(word: &str) -> Option<Kind> {
        Some(match word {
            "insert" => Kind::Row(Op::Insert),
            "update" => Kind::Row(Op::Update),
            "delete" => Kind::Row(Op::Delete),
            "bootstrap-insert" => Kind::Row(Op::Read),
            "bootstrap-start" | "bootstrap-complete" => Kind::Control("bootstrap"),
            "table-create" | "table-alter" | "table-drop" | "database-create" | "database-alter" | "database-drop" => {
                Kind::Control("schema-change")
            }
            _ => return None,
        })
    }
}

/// A record, as far as it is used.
#[derive(Debug, Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    database: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    table: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    ts: Option<i64>,
    #[serde(borrow)]
    position: Option<Cow<'a, str>>,
    #[serde(borrow)]
    gtid: Option<Cow<'a, str>>,
    primary_key_columns: Option<Vec<String>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    old: Option<&'a RawValue>,
}

/// Reads Maxwell's records.
#[derive(Debug, Default)]
pub(super) struct Maxwell {
    seen: HashMap<TableName, Seen>,
    names: Tables,
    shapes: Shapes,
    keys: Keys,
}

impl Maxwell {
    pub(super) fn new(options: &Options) -> Maxwell {
        Maxwell { keys: Keys::new(&options.keys), ..Maxwell::default() }
    }

    /// Understands one value.
    pub(super) fn decode<'a>(&mut self, record: &Record<'_>, text: &'a str) -> Result<Understood<'a>, Unread<'a>> {
        let other = |complaint| Unread::Other { payload: text, complaint };
        let written: Written<'a> = serde_json::from_str(text).map_err(|error| other(json::complaint(&error)))?;
        let kind = written.kind.as_deref().and_then(Kind::of);
        let (Some(kind), Some(database)) = (kind, written.database.as_deref()) else {
            return Err(other("it has no `database`, or no `type` that Maxwell writes".to_owned()));
        };
        let op = match kind {
            Kind::Control(word) => return Ok(Understood::Control(word)),
            Kind::Row(op) => op,
        };
        let Some(table) = written.table.as_deref().filter(|table| !table.is_empty()) else {
            return Err(broken("it names no table".to_owned(), None));
        };
        let table = self.names.named(database, table);
        self.row(record, op, &table, &written).map_err(|reason| broken(reason, Some(table)))
    }

    fn row<'a>(
        &mut self,
        record: &Record<'_>,
        op: Op,
        table: &TableName,
        written: &Written<'a>,
    ) -> Result<Understood<'a>, String> {
        let data = written.data.map_or("null", RawValue::get);
        let seen = recall(&mut self.seen, table);
        let values = (&Values, Typing::Bare);
        let row = seen.read(data, values, &mut self.shapes).map_err(|reason| format!("`data`: {reason}"))?;
        let old = written.old.filter(|_| op == Op::Update).map(RawValue::get).filter(|old| *old != "null");
        let old = old.map(|old| Seen::default().read(old, values, &mut self.shapes));
        let old = old.transpose().map_err(|reason| format!("`old`: {reason}"))?;
        let rule = self.keys.of(table);
        let own = match &written.primary_key_columns {
            _ if rule.is_some() => Cow::default(),
            Some(columns) => Cow::Borrowed(&columns[..]),
            None => Cow::Owned(record.key.map(|key| key_columns(key, &row)).unwrap_or_default()),
        };
        let position = written.position.as_deref();
        let place = position.or(written.gtid.as_deref()).filter(|place| !place.is_empty());
        let order = position.and_then(|position| position.rsplit_once(':'));
        let logged = Logged {
            table: TableName::clone(table),
            op,
            old: old.map(|old| (old, if row_has_null(&row) { Old::Whole } else { Old::Partial })),
            row,
            committed_at: written.ts.and_then(|ts| ts.checked_mul(1_000)).map(SourceTime),
            source: place.map(|place| SourcePlace::Text(place.into())),
            source_order: order
                .filter(|_| op != Op::Read)
                .and_then(|(file, offset)| binlog_order(file, offset.parse().ok()?)),
        };
        logged.understand((rule.as_deref(), &own), &mut self.shapes)
    }
}

/// Under `output_nulls=false` nulls are left out, of `old` too. A null that is there shows that they are not.
fn row_has_null(row: &Row<'_>) -> bool {
    row.cells.contains(&Cell::Null)
}

/// The columns of a record's key, in both forms: `{"database":…,"table":…,"pk.id":42}` and `["db","table",[{"id":42}]]`. The
/// first has them in lower case; tables without a key have `_uuid` there, which is no column.
fn key_columns(key: &[u8], row: &Row<'_>) -> Vec<String> {
    let names: Vec<Cow<'_, str>> = if key.trim_ascii_start().starts_with(b"[") {
        let listed = serde_json::from_slice::<(IgnoredAny, IgnoredAny, Vec<Fields<'_>>)>(key);
        listed
            .map(|(_, _, columns)| columns)
            .unwrap_or_default()
            .into_iter()
            .flat_map(|one| one.0)
            .map(|(name, _)| name)
            .collect()
    } else {
        let fields = serde_json::from_slice::<Fields<'_>>(key).map(|fields| fields.0).unwrap_or_default();
        fields.into_iter().filter_map(|(name, _)| Some(name.strip_prefix("pk.")?.to_owned().into())).collect()
    };
    let column = |name: &Cow<'_, str>| {
        let mut columns = row.columns.0.iter().map(|column| &**column);
        columns.find(|column| column.eq_ignore_ascii_case(name)).unwrap_or(name).to_owned()
    };
    names.iter().map(column).collect()
}

/// Maxwell's values.
struct Values;

impl ReadCell for Values {
    fn written<'a>(&self, at: Option<usize>, name: &str, raw: &'a str) -> Result<Cell<'a>, Flaw> {
        match raw.as_bytes().first() {
            Some(b'{' | b'[') => {
                json::check_depth(raw)?;
                Ok(Cell::Json(raw.into()))
            }
            Some(_) | None => Undeclared.written(at, name, raw),
        }
    }

    fn scalar<'a>(&self, at: usize, value: Scalar<'a>) -> Option<Result<Cell<'a>, Flaw>> {
        Undeclared.scalar(at, value)
    }
}

fn broken(reason: String, table: Option<TableName>) -> Unread<'static> {
    Unread::Broken(Reject { reason: format!("maxwell record: {reason}"), table })
}
