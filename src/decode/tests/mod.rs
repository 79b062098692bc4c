//! Recorded records and what is understood of them.

mod avro;
mod canal;
mod converter;
mod debezium;
mod dms;
mod flattened;
mod hostile;
mod json_schema;
mod maxwell;
mod protobuf;
mod registry;

use std::sync::Arc;

use serde::Deserialize;

use super::*;
use crate::model::change::KeyChange;
use crate::model::{Batch, Cell, Columns, PartitionId, Row};

/// A record as `kcat -J` prints it.
#[derive(Debug, Deserialize)]
struct Recorded {
    topic: String,
    #[serde(default)]
    headers: Vec<Option<String>>,
    key: Option<String>,
    payload: Option<String>,
}

impl Recorded {
    /// Names and values, as a batch owns them.
    fn headers(&self) -> Vec<(String, Option<Vec<u8>>)> {
        let pairs = self.headers.chunks_exact(2);
        pairs.map(|pair| (pair[0].clone().unwrap_or_default(), pair[1].clone().map(String::into_bytes))).collect()
    }

    fn decode(&self, decoder: &mut dyn Decoder) -> Understood<'static> {
        let headers = self.headers.chunks_exact(2).map(|pair| (pair[0].as_deref(), pair[1].as_deref()));
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.unwrap_or_default().as_bytes(), value.map(str::as_bytes))).collect();
        decode(decoder, &self.topic, (self.key.as_deref(), self.payload.as_deref().map(str::as_bytes)), &headers)
    }
}

fn decode(
    decoder: &mut dyn Decoder,
    topic: &str,
    (key, value): (Option<&str>, Option<&[u8]>),
    headers: &[(&[u8], Option<&[u8]>)],
) -> Understood<'static> {
    let mut batch = Batch::default();
    batch.push((PartitionId(0), 0, None), key.map(str::as_bytes), value, headers.iter().copied());
    let record = batch.records().next().expect("one record was pushed");
    decoder.decode(topic, record).expect("no schema is wanted").into_owned()
}

fn told(understood: &Understood) -> String {
    match understood {
        Understood::Change(change) => told_change(change),
        Understood::KeyChange(pair) => format!("{} + {}", told_change(&pair.0), told_change(&pair.1)),
        Understood::Changes(changes) => changes.iter().map(told_change).collect::<Vec<_>>().join(" + "),
        Understood::Tombstone => "tombstone".to_owned(),
        Understood::Control(word) => format!("control {word}"),
        Understood::Reject(reject) => {
            let table = reject.table.as_deref().map(|table| format!(" ({table})")).unwrap_or_default();
            format!("reject: {}{table}", reject.reason)
        }
    }
}

fn told_change(change: &Change) -> String {
    let mut text = format!("{} {}", change.op.word(), change.table);
    for (label, row) in [("key", &change.key), ("after", &change.after), ("before", &change.before)] {
        if let Some(row) = row {
            let cells: Vec<String> = row.iter().map(|(name, cell)| format!("{name}={cell:?}")).collect();
            text.push_str(&format!(" {label}{{{}}}", cells.join(" ")));
        }
    }
    if let Some(row) = change.after.as_ref().or(change.key.as_ref()) {
        text.push_str(&format!(" {:?}", row.typing));
    }
    let at = change.committed_at.map(|at| format!(" at={}", at.0));
    let source = change.source.as_ref().map(|source| format!(" source={source}"));
    let order = change.source_order.map(|order| format!(" order={order}"));
    let marked = (!change.placeholders.is_empty()).then(|| format!(" placeholders={:?}", change.placeholders));
    let half = (change.key_change != KeyChange::No).then(|| format!(" {:?}", change.key_change));
    let complete = change.complete.then(|| " complete".to_owned());
    text.extend([at, source, order, marked, half, complete].into_iter().flatten());
    text
}

/// Options under which the key of one table is chosen by the user.
fn keyed(table: &'static str, columns: &'static [&'static str]) -> Options {
    let find = move |name: &str| {
        let columns = Arc::new(Columns::new(columns.iter().copied()));
        (name == table).then(|| KeyRule { columns, path: "tables[0].key".to_owned() })
    };
    Options { keys: KeyRules::new(find), ..Options::default() }
}

/// Decodes one value without key and headers.
fn told_value(decoder: &mut dyn Decoder, value: &str) -> String {
    told(&decode(decoder, "topic", (None, Some(value.as_bytes())), &[]))
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.is_empty())
}

#[test]
fn recorded_debezium_events() {
    let mut decoder = decoder(&Options::default());
    let events = include_str!("../../../tests/data/debezium/events.jsonl");
    let expected = include_str!("../../../tests/data/debezium/events.told");
    assert_eq!(lines(events).count(), lines(expected).count());
    for (line, expected) in lines(events).zip(lines(expected)) {
        let recorded: Recorded = serde_json::from_str(line).expect("recorded lines are JSON");
        assert_eq!(told(&recorded.decode(&mut *decoder)), expected, "{line}");
    }
}
