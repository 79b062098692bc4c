//! A simulated source: a small shop's database, and what a Debezium connector would make of its log.
//!
//! [`Source`] is pure: the caller says how much time went by, and gets the records that fell due. The same seed gives the
//! same records, however finely time is cut.

mod envelope;
mod shop;
mod trade;

use std::collections::BTreeMap;

use super::applier::Fields;
use super::dice::Dice;
use crate::model::Wall;

use envelope::Connector;
use shop::Shop;
pub(super) use shop::{SQLITE_SCHEMA, Table};
use trade::Task;

/// One record for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SourceRecord {
    /// Topic.
    pub(super) topic: &'static str,
    /// Key, JSON.
    pub(super) key: String,
    /// Value, JSON; `None` is the tombstone after a delete.
    pub(super) value: Option<String>,
}

/// One change of one row of the shop.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    table: Table,
    key: Fields,
    before: Option<Fields>,
    after: Option<Fields>,
}

/// The source.
#[derive(Debug, Clone)]
pub(super) struct Source {
    dice: Dice,
    shop: Shop,
    connector: Connector,
    due: BTreeMap<(u64, u64), Task>,
    tasks: u64,
    orders: i64,
    customers: i64,
    changes: u64,
}

impl Source {
    /// A source whose clock stands at `began` when no time went by.
    pub(super) fn new(seed: u64, began: Wall) -> Source {
        let mut source = Source {
            dice: Dice::new(seed, 0x7368_6F70),
            shop: Shop::default(),
            connector: Connector::new(began),
            due: BTreeMap::new(),
            tasks: 0,
            orders: 0,
            customers: 0,
            changes: 0,
        };
        source.plan_opening();
        source
    }

    /// Every record that falls due up to `elapsed_ms` after the beginning, in the order of the log.
    pub(super) fn advance(&mut self, elapsed_ms: u64) -> Vec<SourceRecord> {
        let mut records = Vec::new();
        while let Some(((at, _), task)) = self.due.first_key_value().map(|(at, task)| (*at, task.clone())) {
            if at > elapsed_ms {
                break;
            }
            self.due.pop_first();
            let snapshot = matches!(task, Task::Open);
            self.carry_out(task, at);
            let changes = self.shop.commit();
            self.changes += changes.len() as u64;
            self.connector.records(&changes, at, snapshot, &mut records);
        }
        records
    }

    /// Rows changed so far.
    pub(super) fn changes(&self) -> u64 {
        self.changes
    }

    fn plan(&mut self, at: u64, task: Task) {
        self.tasks += 1;
        self.due.insert((at, self.tasks), task);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::applier::{Act, Event, RowId, debezium};
    use super::*;

    fn events(source: &mut Source, until_ms: u64, step_ms: u64) -> (Vec<SourceRecord>, Vec<Event<usize>>) {
        let mut records = Vec::new();
        for elapsed in (0..=until_ms).step_by(step_ms as usize) {
            records.extend(source.advance(elapsed));
        }
        let read = |(at, record): (usize, &SourceRecord)| {
            let value = record.value.as_ref().map(String::as_bytes);
            let event = debezium::read(Some(record.key.as_bytes()), value, at).expect("a readable record");
            event.map(|(event, _)| event)
        };
        let events = records.iter().enumerate().filter_map(read).collect();
        (records, events)
    }

    #[test]
    fn the_same_seed_gives_the_same_records_however_time_is_cut() {
        let records = |seed, step| events(&mut Source::new(seed, Wall(1_800_000_000_000)), 20_000, step).0;
        assert_eq!(records(1, 20), records(1, 500));
        assert_ne!(records(1, 20), records(2, 20));
    }

    #[test]
    fn every_change_follows_from_the_row_before_it() {
        let mut source = Source::new(3, Wall(1_800_000_000_000));
        let (_, events) = events(&mut source, 60_000, 100);
        let mut rows: BTreeMap<RowId, Fields> = BTreeMap::new();
        for event in events {
            let id = RowId::new(&event.table, &event.key);
            match event.act {
                Act::Insert(row) => assert_eq!(rows.insert(id.clone(), row), None, "{id:?}"),
                Act::Update { row, before } => {
                    assert_ne!(before.as_ref(), Some(&row), "an update changes something: {id:?}");
                    assert_eq!(rows.insert(id.clone(), row), before, "{id:?}");
                }
                Act::Delete => assert!(rows.remove(&id).is_some(), "{id:?}"),
            }
        }
        assert_eq!(rows.len(), source.shop.rows());
    }

    #[test]
    fn ninety_seconds_stay_far_below_what_the_broker_keeps() {
        let mut source = Source::new(3, Wall(1_800_000_000_000));
        let (records, events) = events(&mut source, 90_000, 100);
        assert_eq!(events.len() as u64, source.changes());
        assert!((9_000..20_000).contains(&events.len()), "{} changes", events.len());
        let mut bytes: BTreeMap<&str, usize> = BTreeMap::new();
        for record in &records {
            *bytes.entry(record.topic).or_default() += record.key.len() + record.value.as_ref().map_or(0, String::len);
        }
        assert_eq!(bytes.len(), Table::ALL.len());
        let most = bytes.values().max().expect("some topic");
        assert!(*most < 6_000_000, "a topic of four partitions keeps 20 MB, and is to hold {most} bytes at most");
    }

    #[test]
    fn a_delete_is_followed_by_its_tombstone() {
        let (records, _) = events(&mut Source::new(3, Wall(0)), 30_000, 100);
        let deletes =
            records.windows(2).filter(|pair| pair[0].value.as_ref().is_some_and(|v| v.contains(r#""op":"d""#)));
        let mut count = 0;
        for pair in deletes {
            count += 1;
            assert_eq!((pair[1].topic, &pair[1].key, &pair[1].value), (pair[0].topic, &pair[0].key, &None));
        }
        assert!(count > 20, "{count} deletes");
    }

    #[test]
    fn a_record_looks_like_one_of_debezium() {
        let records = Source::new(3, Wall(1_800_000_000_000)).advance(0);
        let record = &records[0];
        assert_eq!(record.topic, "shop.public.customers");
        assert_eq!(record.key, r#"{"id":1}"#);
        let value: serde_json::Value = serde_json::from_str(record.value.as_ref().expect("a row")).expect("JSON");
        assert_eq!(value["op"], "r");
        assert_eq!(value["source"]["snapshot"], "first");
        assert_eq!(value["source"]["connector"], "postgresql");
        assert_eq!(value["source"]["ts_ms"], 1_800_000_000_000_i64);
        assert!(value["source"]["sequence"].as_str().is_some_and(|text| text.starts_with("[\"")));
    }
}
