//! What `decode` prints: one object a record, one line a record, or one summary of all.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::args::DecodeFormat;
use crate::decode::Understood;
use crate::model::{Change, Op, Row};
use crate::report::Values;
use crate::report::document::Fields;
use crate::runtime::entry::DecodedRecord;

/// The value of `schema` in every object of a record.
pub(super) const SCHEMA: &str = "afterimage.decoded/1";

/// One record as it is printed.
#[derive(Debug, Serialize)]
struct Decoded<'a> {
    schema: &'static str,
    at: At<'a>,
    status: &'static str,
    format: &'static str,
    table: Option<&'a str>,
    op: Option<&'static str>,
    key: Option<Fields>,
    /// The key before, where one record changes the key of its row.
    #[serde(skip_serializing_if = "Option::is_none")]
    old_key: Option<Fields>,
    row: Option<Fields>,
    reason: Option<&'a str>,
    /// The other changes of a record that carries several, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<Also>,
}

/// A change beside the first one of its record.
#[derive(Debug, Serialize)]
struct Also {
    op: &'static str,
    key: Option<Fields>,
    row: Option<Fields>,
}

impl Also {
    fn of(change: &Change) -> Also {
        Also { op: change.op.word(), key: change.key.as_ref().map(fields), row: change.after.as_ref().map(fields) }
    }
}

#[derive(Debug, Serialize)]
struct At<'a> {
    tap: &'static str,
    topic: &'a str,
    partition: i32,
    offset: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    committed_at: Option<String>,
}

/// What is said of a change whose key neither the record nor the configuration names.
const NO_KEY: &str = "neither the record nor the configuration names its key: `run` and `audit` take the target's primary key; set \
    `key = [\"COLUMN\"]` in a [[pipelines.NAME.tables]] rule for this table where that is not right";

/// What was not sent, or was left out, is left out here too.
fn fields(row: &Row) -> Fields {
    Values::Full.row(row)
}

impl<'a> Decoded<'a> {
    fn of(record: &DecodedRecord<'a>) -> Decoded<'a> {
        let at = At {
            tap: record.tap,
            topic: &record.partition.topic,
            partition: record.partition.partition,
            offset: record.offset,
            source: None,
            committed_at: None,
        };
        let format = record.format.word().unwrap_or("unknown");
        let nothing = Decoded {
            schema: SCHEMA,
            at,
            status: "tombstone",
            format,
            table: None,
            op: None,
            key: None,
            old_key: None,
            row: None,
            reason: None,
            also: Vec::new(),
        };
        match record.understood {
            Understood::Change(change) => nothing.with(change),
            Understood::KeyChange(pair) => {
                let old_key = pair.0.key.as_ref().map(fields);
                Decoded { old_key, op: Some(Op::Update.word()), ..nothing.with(&pair.1) }
            }
            Understood::Changes(changes) => {
                let Some((first, others)) = changes.split_first() else { return nothing };
                Decoded { also: others.iter().map(Also::of).collect(), ..nothing.with(first) }
            }
            Understood::Tombstone => nothing,
            Understood::Control(word) => Decoded { status: "control", reason: Some(word), ..nothing },
            Understood::Reject(reject) => {
                Decoded { status: "reject", table: reject.table.as_deref(), reason: Some(&reject.reason), ..nothing }
            }
        }
    }

    fn with(self, change: &'a Change) -> Decoded<'a> {
        let at = At {
            source: change.source.as_ref().map(ToString::to_string),
            committed_at: change.committed_at.map(|at| at.rfc3339()),
            ..self.at
        };
        Decoded {
            at,
            status: "change",
            table: Some(&change.table),
            op: Some(change.op.word()),
            key: change.key.as_ref().map(fields),
            row: change.after.as_ref().map(fields),
            reason: change.key.is_none().then_some(NO_KEY),
            ..self
        }
    }

    /// One line for people: partition, offset, status, operation, table, key or reason.
    fn line(&self) -> String {
        let place = format!("{}/{}", self.at.topic, self.at.partition);
        let what = self.op.unwrap_or(self.status);
        let table = self.table.unwrap_or("-");
        let detail = self.key.as_ref().map(|key| serde_json::to_string(key).unwrap_or_default());
        let detail = detail.as_deref().or(self.reason).unwrap_or_default();
        let more = if self.also.is_empty() { String::new() } else { format!(" and {} more", self.also.len()) };
        let line = format!("{place:<28} {:>12}  {what:<9}  {table:<28}  {detail}{more}", self.at.offset);
        // Texts of the tap may hold anything; control characters would let a record write to the terminal.
        line.trim_end().replace(char::is_control, "\u{fffd}")
    }
}

/// How many changes of one table there were, by operation.
type Ops = BTreeMap<&'static str, u64>;

/// Prints records as they come and counts them.
pub(super) struct Printer<W> {
    out: W,
    format: DecodeFormat,
    records: u64,
    changes: u64,
    rejects: u64,
    tables: BTreeMap<String, Ops>,
}

/// Tables that are counted by name; those met later are counted under `(others)`, so that a tap cannot fill memory.
const MOST_TABLES: usize = 10_000;

#[derive(Debug, Serialize)]
struct Summary<'a> {
    records: u64,
    changes: u64,
    rejects: u64,
    seconds: f64,
    changes_per_s: f64,
    tables: &'a BTreeMap<String, Ops>,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, format: DecodeFormat) -> Printer<W> {
        Printer { out, format, records: 0, changes: 0, rejects: 0, tables: BTreeMap::new() }
    }

    /// Prints one record.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub(super) fn record(&mut self, record: &DecodedRecord<'_>) -> io::Result<()> {
        self.count(record.understood);
        let first = self.records == 1;
        match self.format {
            DecodeFormat::Summary => Ok(()),
            DecodeFormat::Ndjson => {
                serde_json::to_writer(&mut self.out, &Decoded::of(record))?;
                writeln!(self.out)
            }
            DecodeFormat::Table => {
                if first {
                    writeln!(
                        self.out,
                        "{:<28} {:>12}  {:<9}  {:<28}  KEY OR REASON",
                        "PARTITION", "OFFSET", "WHAT", "TABLE"
                    )?;
                }
                writeln!(self.out, "{}", Decoded::of(record).line())
            }
        }
    }

    fn count(&mut self, understood: &Understood) {
        self.records += 1;
        match understood {
            Understood::Change(change) => self.count_change(change),
            Understood::KeyChange(pair) => {
                self.count_change(&pair.0);
                self.count_change(&pair.1);
            }
            Understood::Changes(changes) => changes.iter().for_each(|change| self.count_change(change)),
            Understood::Tombstone | Understood::Control(_) => {}
            Understood::Reject(_) => self.rejects += 1,
        }
    }

    fn count_change(&mut self, change: &Change) {
        self.changes += 1;
        let known = self.tables.contains_key(&*change.table) || self.tables.len() < MOST_TABLES;
        let table = if known { &*change.table } else { "(others)" };
        let ops = match self.tables.get_mut(table) {
            Some(ops) => ops,
            None => self.tables.entry(table.to_owned()).or_default(),
        };
        *ops.entry(change.op.word()).or_default() += 1;
    }

    /// How many records were rejected so far.
    pub(super) fn rejects(&self) -> u64 {
        self.rejects
    }

    /// Ends the output; with the summary, if that is what was asked for.
    ///
    /// # Errors
    /// Standard output cannot be written to.
    pub(super) fn finish(&mut self, elapsed: Duration) -> io::Result<()> {
        let seconds = elapsed.as_secs_f64();
        let rate = if seconds > 0.0 { self.changes as f64 / seconds } else { 0.0 };
        let summary = Summary {
            records: self.records,
            changes: self.changes,
            rejects: self.rejects,
            seconds: (seconds * 1e6).round() / 1e6,
            changes_per_s: rate.round(),
            tables: &self.tables,
        };
        match self.format {
            DecodeFormat::Summary => {
                serde_json::to_writer(&mut self.out, &summary)?;
                writeln!(self.out)?;
            }
            DecodeFormat::Ndjson | DecodeFormat::Table => {}
        }
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::decode::Format;
    use crate::model::change::{KeyChange, SourcePlace};
    use crate::model::position::PartitionName;
    use crate::model::{Cell, Columns, Reject, SourceTime, Typing};

    fn row(cells: &[(&str, Cell<'static>)]) -> Row<'static> {
        let columns = Columns::new(cells.iter().map(|(name, _)| *name));
        Row::new(Arc::new(columns), cells.iter().map(|(_, cell)| cell.clone()).collect(), Typing::Declared)
    }

    fn change(op: Op, id: i64, after: Option<Row<'static>>) -> Change<'static> {
        Change {
            table: "public.orders".into(),
            op,
            key: Some(row(&[("id", Cell::Int(id))])),
            after,
            before: None,
            committed_at: Some(SourceTime(1_763_805_601_000)),
            source: Some(SourcePlace::Lsn(0x16B_3748)),
            source_order: None,
            waymark: None,
            placeholders: Box::default(),
            key_change: KeyChange::No,
            complete: true,
        }
    }

    fn all() -> Vec<Understood<'static>> {
        let after = row(&[("id", Cell::Int(1)), ("big", Cell::Int(i64::MAX)), ("toast", Cell::NotSent)]);
        vec![
            Understood::Change(change(Op::Insert, 1, Some(after.clone()))),
            Understood::KeyChange(Box::new((change(Op::Delete, 1, None), change(Op::Insert, 2, Some(after))))),
            Understood::Tombstone,
            Understood::Control("heartbeat"),
            Understood::Reject(Reject { reason: "no JSON:\u{1b}[31m expected an object".into(), table: None }),
        ]
    }

    fn print(format: DecodeFormat) -> (String, u64) {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, format);
        let partition = PartitionName { topic: "orders".into(), partition: 3 };
        for (offset, understood) in (990..).zip(&all()) {
            let record = DecodedRecord {
                tap: "kafka",
                partition: &partition,
                offset,
                timestamp_ms: None,
                format: Format::Debezium,
                understood,
            };
            printer.record(&record).unwrap();
        }
        printer.finish(Duration::from_millis(500)).unwrap();
        let rejects = printer.rejects();
        (String::from_utf8(out).unwrap(), rejects)
    }

    #[test]
    fn one_object_a_record() {
        insta::assert_snapshot!(print(DecodeFormat::Ndjson).0, @r#"
        {"schema":"afterimage.decoded/1","at":{"tap":"kafka","topic":"orders","partition":3,"offset":990,"source":"0/16B3748","committed_at":"2025-11-22T10:00:01.000Z"},"status":"change","format":"debezium","table":"public.orders","op":"insert","key":{"id":1},"row":{"id":1,"big":"9223372036854775807"},"reason":null}
        {"schema":"afterimage.decoded/1","at":{"tap":"kafka","topic":"orders","partition":3,"offset":991,"source":"0/16B3748","committed_at":"2025-11-22T10:00:01.000Z"},"status":"change","format":"debezium","table":"public.orders","op":"update","key":{"id":2},"old_key":{"id":1},"row":{"id":1,"big":"9223372036854775807"},"reason":null}
        {"schema":"afterimage.decoded/1","at":{"tap":"kafka","topic":"orders","partition":3,"offset":992},"status":"tombstone","format":"debezium","table":null,"op":null,"key":null,"row":null,"reason":null}
        {"schema":"afterimage.decoded/1","at":{"tap":"kafka","topic":"orders","partition":3,"offset":993},"status":"control","format":"debezium","table":null,"op":null,"key":null,"row":null,"reason":"heartbeat"}
        {"schema":"afterimage.decoded/1","at":{"tap":"kafka","topic":"orders","partition":3,"offset":994},"status":"reject","format":"debezium","table":null,"op":null,"key":null,"row":null,"reason":"no JSON:\u001b[31m expected an object"}
        "#);
    }

    #[test]
    fn one_line_a_record_without_control_characters() {
        insta::assert_snapshot!(print(DecodeFormat::Table).0, @r#"
        PARTITION                          OFFSET  WHAT       TABLE                         KEY OR REASON
        orders/3                              990  insert     public.orders                 {"id":1}
        orders/3                              991  update     public.orders                 {"id":2}
        orders/3                              992  tombstone  -
        orders/3                              993  control    -                             heartbeat
        orders/3                              994  reject     -                             no JSON:�[31m expected an object
        "#);
    }

    #[test]
    fn one_summary_of_all() {
        let (text, rejects) = print(DecodeFormat::Summary);
        insta::assert_snapshot!(text, @r#"{"records":5,"changes":3,"rejects":1,"seconds":0.5,"changes_per_s":6.0,"tables":{"public.orders":{"delete":1,"insert":2}}}"#);
        assert_eq!(rejects, 1);
    }
}
