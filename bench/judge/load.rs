//! The load: rows live through inserts, updates, deletes and new inserts at drawn distances; customers and counters are hot,
//! by Zipf's law. The same seed gives the same statements, in the same order.
//!
//! What the applier loses, it loses where two changes of a row lie less than a window or two apart. The distances are drawn
//! wide enough that few rows of each table are lost at a time: a batch that loses most of what it holds is another finding
//! (`mass_divergence`), and not the one that is measured here.

use std::collections::BTreeMap;

use afterimage::demo::dice::Dice;

use crate::dice::{chance, rank, shuffle};
use crate::tables::{COUNTERS, CUSTOMERS, Table};

/// Ticks of the load in a second.
pub(crate) const TICKS_PER_SECOND: u64 = 10;

/// Changes of one transaction at the source, at most.
const TRANSACTION: u64 = 12;

/// Per cent of the changes that go to hot rows.
const HOT: u64 = 35;

/// Most ticks between two changes of a row, so that a tenth of the pairs lie within a window of one second.
const APART: u64 = 80;

/// Changes of one transaction, as SQL.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub(crate) sql: String,
    pub(crate) changes: u64,
}

/// A row that the load does not touch any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    pub(crate) table: Table,
    pub(crate) id: u64,
    pub(crate) end: End,
    /// How many changes it had.
    pub(crate) changes: u32,
}

/// How it was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Changed at least once since it was inserted.
    Changed,
    Deleted,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    /// An order is paid: status and revision.
    Pay,
    /// An order gets a note, and nothing else of it changes.
    Note,
    /// The quantity of an item, or the payload of an event.
    Amend,
    Delete,
    /// A deleted event comes back with the same key.
    Again,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    table: Table,
    id: u64,
    act: Act,
    /// Where it is the last change of the row: how it leaves the row, after how many changes.
    end: Option<(End, u32)>,
}

/// The state of the load.
pub(crate) struct Load {
    dice: Dice,
    budget: u64,
    tick: u64,
    next: u64,
    calendar: BTreeMap<u64, Vec<Step>>,
}

impl Load {
    /// A load of so many changes a second.
    pub(crate) fn new(seed: u64, rate: u64) -> Load {
        let budget = (rate / TICKS_PER_SECOND).max(1);
        Load { dice: Dice::new(seed, 7), budget, tick: 0, next: 1, calendar: BTreeMap::new() }
    }

    /// The transactions of the next tick, and the rows that they touch for the last time.
    pub(crate) fn tick(&mut self) -> (Vec<Transaction>, Vec<Finished>) {
        self.tick += 1;
        let steps = self.calendar.remove(&self.tick).unwrap_or_default();
        let finished = steps.iter().filter_map(|step| {
            let Step { table, id, end, .. } = *step;
            end.map(|(end, changes)| Finished { table, id, end, changes })
        });
        let finished = finished.collect();
        let mut statements: Vec<String> = steps.iter().map(|step| step.sql(self.tick)).collect();
        let hot = self.budget * HOT / 100;
        (0..hot).for_each(|_| statements.push(self.hot()));
        while (statements.len() as u64) < self.budget {
            statements.push(self.birth());
        }
        shuffle(&mut self.dice, &mut statements);
        (self.transactions(&statements), finished)
    }

    /// A few changes that no other follows: they keep every table moving.
    pub(crate) fn trickle(&mut self) -> Vec<Transaction> {
        let mut statements = vec![self.hot(), self.hot(), self.hot()];
        for table in [Table::Orders, Table::Items, Table::Events] {
            statements.push(insert(table, self.next));
            self.next += 1;
        }
        self.transactions(&statements)
    }

    /// Whether rows are still to be changed.
    pub(crate) fn has_plans(&self) -> bool {
        !self.calendar.is_empty()
    }

    /// The changes that are planned for the next tick, and nothing new.
    pub(crate) fn wind_down(&mut self) -> (Vec<Transaction>, Vec<Finished>) {
        let budget = std::mem::replace(&mut self.budget, 0);
        let done = self.tick();
        self.budget = budget;
        done
    }

    fn hot(&mut self) -> String {
        if chance(&mut self.dice, 60) {
            let (id, by) = (rank(&mut self.dice, COUNTERS), self.dice.between(1, 9));
            return format!("UPDATE counters SET total = total + {by}, hits = hits + 1 WHERE id = {id};");
        }
        let (id, tick) = (rank(&mut self.dice, CUSTOMERS), self.tick);
        match self.dice.between(0, 99) {
            0..5 => format!("UPDATE customers SET active = NOT active WHERE id = {id};"),
            5..10 => format!("UPDATE customers SET city = 'city {}' WHERE id = {id};", tick % 97),
            _ => format!(
                "UPDATE customers SET visits = visits + 1, seen_at = to_timestamp({}) WHERE id = {id};",
                1_700_000_000 + tick
            ),
        }
    }

    /// A new row, and its life.
    fn birth(&mut self) -> String {
        let (id, distance) = (self.next, self.dice.between(1, APART));
        self.next += 1;
        let table = match self.dice.between(0, 2) {
            0 => Table::Orders,
            1 => Table::Items,
            _ => Table::Events,
        };
        match table {
            Table::Orders if chance(&mut self.dice, 16) => {
                let (first, apart) = (self.dice.between(APART / 2, APART), self.dice.between(1, 4));
                self.live(table, id, &[(first, Act::Pay), (apart, Act::Note)], End::Changed);
            }
            Table::Orders if chance(&mut self.dice, 25) => {
                let apart = self.dice.between(1, APART);
                self.live(table, id, &[(distance, Act::Pay), (apart, Act::Delete)], End::Deleted);
            }
            Table::Orders => self.live(table, id, &[(distance, Act::Pay)], End::Changed),
            Table::Items if chance(&mut self.dice, 50) => {
                self.live(table, id, &[(distance, Act::Delete)], End::Deleted)
            }
            Table::Items => self.live(table, id, &[(distance, Act::Amend)], End::Changed),
            Table::Events | Table::Customers | Table::Counters => {
                let mut life = vec![(distance, Act::Delete)];
                let again = chance(&mut self.dice, 60);
                if again {
                    life.push((self.dice.between(1, APART), Act::Again));
                }
                if again && chance(&mut self.dice, 50) {
                    life.push((self.dice.between(1, APART), Act::Amend));
                }
                self.live(table, id, &life, if again { End::Changed } else { End::Deleted });
            }
        }
        insert(table, id)
    }

    /// Plans the changes of a row, each so many ticks after the one before.
    fn live(&mut self, table: Table, id: u64, life: &[(u64, Act)], end: End) {
        let mut tick = self.tick;
        for (at, (distance, act)) in life.iter().enumerate() {
            tick += distance;
            let end = (at + 1 == life.len()).then_some((end, life.len() as u32 + 1));
            self.calendar.entry(tick).or_default().push(Step { table, id, act: *act, end });
        }
    }

    fn transactions(&mut self, statements: &[String]) -> Vec<Transaction> {
        let (mut rest, mut transactions) = (statements, Vec::new());
        while !rest.is_empty() {
            let size = (self.dice.between(1, TRANSACTION) as usize).min(rest.len());
            let (these, others) = rest.split_at(size);
            let sql = format!("BEGIN;{}COMMIT;", these.concat());
            transactions.push(Transaction { sql, changes: size as u64 });
            rest = others;
        }
        transactions
    }
}

impl Step {
    fn sql(&self, tick: u64) -> String {
        let (table, at) = (self.table.name(), at(self.table, self.id));
        match (self.act, self.table) {
            (Act::Pay, _) => format!("UPDATE orders SET status = 'paid', rev = rev + 1 WHERE {at};"),
            (Act::Note, _) => format!("UPDATE orders SET note = 'note {tick}' WHERE {at};"),
            (Act::Amend, Table::Items) => format!("UPDATE order_items SET quantity = quantity + 1 WHERE {at};"),
            (Act::Amend, _) => format!("UPDATE events SET payload = 'amended {tick}' WHERE {at};"),
            (Act::Delete, _) => format!("DELETE FROM {table} WHERE {at};"),
            (Act::Again, _) => {
                let id = self.id;
                format!("INSERT INTO events VALUES ({id}, 'again', 'again {tick}', to_timestamp({}));", happened(id))
            }
        }
    }
}

/// The condition that names a row.
pub(crate) fn at(table: Table, id: u64) -> String {
    match table {
        Table::Items => format!("order_id = {} AND line = {}", id / 3, id % 3),
        Table::Customers | Table::Orders | Table::Counters | Table::Events => format!("id = {id}"),
    }
}

/// The key of a row as JSON text, columns in alphabetical order.
pub(crate) fn key(table: Table, id: u64) -> String {
    match table {
        Table::Items => format!(r#"{{"line":{},"order_id":{}}}"#, id % 3, id / 3),
        Table::Customers | Table::Orders | Table::Counters | Table::Events => format!(r#"{{"id":{id}}}"#),
    }
}

/// The insert of a row, which depends on nothing but its number.
pub(crate) fn insert(table: Table, id: u64) -> String {
    let cents = id * 7919 % 1_000_000;
    match table {
        Table::Items => format!(
            "INSERT INTO order_items VALUES ({}, {}, 'sku {}', 1, {}.{:02});",
            id / 3,
            id % 3,
            id % 500,
            cents / 100 % 1000,
            cents % 100
        ),
        Table::Events => {
            format!("INSERT INTO events VALUES ({id}, 'first', 'payload of {id}', to_timestamp({}));", happened(id))
        }
        Table::Orders | Table::Customers | Table::Counters => format!(
            "INSERT INTO orders VALUES ({id}, {}, 'new', {}.{:02}, NULL, 0);",
            id % CUSTOMERS + 1,
            cents / 100,
            cents % 100
        ),
    }
}

fn happened(id: u64) -> u64 {
    1_700_000_000 + id
}
