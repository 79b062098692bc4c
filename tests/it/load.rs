//! A mixed load over five tables, the same for the same seed: composite keys, key changes, deletes, re-inserts, long values and
//! hot keys. It keeps account of what it wrote, so that a test knows what the newest event of each key is.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::database::{Database, Dialect};
use crate::ledger::{Spot, spot};

/// The tables of the load, in the order of their creation.
pub(crate) const TABLES: [&str; 5] = ["customers", "order_lines", "accounts", "documents", "counters"];

/// Long enough to be stored out of line, and of random digits, so that compression does not bring it back.
const BODY_BYTES: usize = 4_000;

/// Statements sent to the server at once.
const BATCH: usize = 200;

const POSTGRES_TABLES: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name varchar(100) NOT NULL, email varchar(100), balance numeric(12,2) NOT NULL,
    active boolean NOT NULL, joined date, seen timestamptz);
CREATE TABLE order_lines (order_id int, line int, sku varchar(40) NOT NULL, quantity int NOT NULL, price numeric(10,2) NOT NULL,
    PRIMARY KEY (order_id, line));
CREATE TABLE accounts (code varchar(40) PRIMARY KEY, owner varchar(100) NOT NULL, version bigint NOT NULL);
CREATE TABLE documents (id int PRIMARY KEY, title varchar(100) NOT NULL, body text);
CREATE TABLE counters (id int PRIMARY KEY, total bigint NOT NULL, note varchar(100));
";

const MARIADB_TABLES: &str = "
CREATE TABLE customers (id int PRIMARY KEY, name varchar(100) NOT NULL, email varchar(100), balance decimal(12,2) NOT NULL,
    active boolean NOT NULL, joined date, seen datetime(6));
CREATE TABLE order_lines (order_id int, line int, sku varchar(40) NOT NULL, quantity int NOT NULL, price decimal(10,2) NOT NULL,
    PRIMARY KEY (order_id, line));
CREATE TABLE accounts (code varchar(40) PRIMARY KEY, owner varchar(100) NOT NULL, version bigint NOT NULL);
CREATE TABLE documents (id int PRIMARY KEY, title varchar(100) NOT NULL, body mediumtext);
CREATE TABLE counters (id int PRIMARY KEY, total bigint NOT NULL, note varchar(100));
";

/// Creates the five tables, empty.
pub(crate) async fn create_tables(database: &Database) {
    database
        .execute(match database.dialect() {
            Dialect::Postgres => POSTGRES_TABLES,
            Dialect::MariaDb => MARIADB_TABLES,
        })
        .await;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Insert,
    Update,
    Delete,
    /// An update of the key itself.
    Rekey,
}

/// One statement at the source.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) table: &'static str,
    /// The key before the change, or of the new row.
    pub(crate) key: Value,
    pub(crate) act: Act,
    pub(crate) sql: String,
}

impl Change {
    /// How many records the connector writes for it: a delete has its tombstone, a new key is a delete and an insert.
    pub(crate) fn records(&self) -> i64 {
        match self.act {
            Act::Insert | Act::Update => 1,
            Act::Delete => 2,
            Act::Rekey => 3,
        }
    }

    /// How many of its records are events of a key: all but tombstones.
    pub(crate) fn events(&self) -> u64 {
        match self.act {
            Act::Insert | Act::Update | Act::Delete => 1,
            Act::Rekey => 2,
        }
    }
}

/// What the newest event of a key says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Alive,
    Deleted,
}

/// The generator. Every change gives its row a content that it never had before.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    dice: Dice,
    fates: BTreeMap<Spot, Fate>,
    unsent: BTreeSet<Spot>,
    written: u64,
}

impl Load {
    pub(crate) fn new(seed: u64) -> Self {
        Self { dice: Dice(seed), fates: BTreeMap::new(), unsent: BTreeSet::new(), written: 0 }
    }

    /// The next `count` changes.
    pub(crate) fn take(&mut self, count: usize) -> Vec<Change> {
        (0..count).map(|_| self.next()).collect()
    }

    /// One update of each of up to `count` living rows of every table, spread over the keys.
    pub(crate) fn trickle(&mut self, count: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        for table in TABLES {
            let alive = self.alive(table);
            let step = (alive.len() / count.max(1)).max(1);
            for key in alive.into_iter().step_by(step).take(count) {
                changes.push(self.update(table, key));
            }
        }
        changes
    }

    /// Keys of `table` that have a row now.
    pub(crate) fn alive(&self, table: &str) -> Vec<Value> {
        self.keys(table, Fate::Alive)
    }

    /// Keys of `table` whose newest event is a delete; old keys of key changes are among them.
    pub(crate) fn deleted(&self, table: &str) -> Vec<Value> {
        self.keys(table, Fate::Deleted)
    }

    /// Keys of `documents` whose newest event came from a statement that left the body alone: under the default replica identity
    /// that event carries no body.
    pub(crate) fn unsent_bodies(&self) -> Vec<Value> {
        self.unsent.iter().map(|(_, key)| serde_json::from_str(key).expect("keys are kept as JSON")).collect()
    }

    fn keys(&self, table: &str, wanted: Fate) -> Vec<Value> {
        let of_table = self.fates.iter().filter(|((name, _), fate)| name == table && **fate == wanted);
        of_table.map(|((_, key), _)| serde_json::from_str(key).expect("keys are kept as JSON")).collect()
    }

    fn next(&mut self) -> Change {
        match self.dice.below(100) {
            0..25 => {
                let key = json!({"id": self.dice.below(2_000)});
                self.touch("customers", key, 30)
            }
            25..50 => {
                let key = json!({"line": self.dice.below(4), "order_id": self.dice.below(500)});
                self.touch("order_lines", key, 30)
            }
            50..65 => self.touch_account(),
            65..75 => {
                let key = json!({"id": self.dice.below(200)});
                self.touch("documents", key, 5)
            }
            _ => {
                let key = json!({"id": self.dice.below(8)});
                self.touch("counters", key, 0)
            }
        }
    }

    /// Inserts a row that is not there; deletes one that is, with the given probability in percent, or updates it.
    fn touch(&mut self, table: &'static str, key: Value, delete_percent: u64) -> Change {
        if self.fate(table, &key) != Some(Fate::Alive) {
            self.insert(table, key)
        } else if self.dice.below(100) < delete_percent {
            self.delete(table, key)
        } else {
            self.update(table, key)
        }
    }

    fn touch_account(&mut self) -> Change {
        let key = json!({"code": format!("A-{:04}", self.dice.below(800))});
        let free = json!({"code": format!("A-{:04}", self.dice.below(800))});
        let can_move =
            self.fate("accounts", &key) == Some(Fate::Alive) && self.fate("accounts", &free) != Some(Fate::Alive);
        if can_move && self.dice.below(100) < 30 { self.rekey(key, &free) } else { self.touch("accounts", key, 25) }
    }

    fn insert(&mut self, table: &'static str, key: Value) -> Change {
        let (names, values): (Vec<_>, Vec<_>) = key_cells(&key).into_iter().chain(self.content(table)).unzip();
        let sql = format!("INSERT INTO {table} ({}) VALUES ({})", names.join(", "), values.join(", "));
        self.note(table, key, Act::Insert, Fate::Alive, sql)
    }

    fn update(&mut self, table: &'static str, key: Value) -> Change {
        let mut cells = self.content(table);
        // The long value mostly stays as it is: that is what a source leaves out of its log.
        let spares_body = table == "documents" && self.dice.below(10) != 0;
        if spares_body {
            cells.retain(|(name, _)| name != "body");
        }
        let sql = format!("UPDATE {table} SET {} WHERE {}", assignments(&cells, ", "), condition(&key));
        let change = self.note(table, key, Act::Update, Fate::Alive, sql);
        if spares_body {
            self.unsent.insert(spot(table, &change.key));
        }
        change
    }

    fn delete(&mut self, table: &'static str, key: Value) -> Change {
        let sql = format!("DELETE FROM {table} WHERE {}", condition(&key));
        self.note(table, key, Act::Delete, Fate::Deleted, sql)
    }

    fn rekey(&mut self, key: Value, to: &Value) -> Change {
        let cells = [key_cells(to), self.content("accounts")].concat();
        let sql = format!("UPDATE accounts SET {} WHERE {}", assignments(&cells, ", "), condition(&key));
        self.fates.insert(spot("accounts", to), Fate::Alive);
        self.note("accounts", key, Act::Rekey, Fate::Deleted, sql)
    }

    fn note(&mut self, table: &'static str, key: Value, act: Act, fate: Fate, sql: String) -> Change {
        let spot = spot(table, &key);
        self.unsent.remove(&spot);
        self.fates.insert(spot, fate);
        Change { table, key, act, sql }
    }

    fn fate(&self, table: &'static str, key: &Value) -> Option<Fate> {
        self.fates.get(&spot(table, key)).copied()
    }

    /// New values for all columns but the key, as SQL literals.
    fn content(&mut self, table: &'static str) -> Vec<(String, String)> {
        self.written += 1;
        let n = self.written;
        let cells = match table {
            "customers" => vec![
                ("name", format!("'Zoë {n}'")),
                ("email", if self.dice.below(5) == 0 { "NULL".to_owned() } else { format!("'c{n}@example.org'") }),
                ("balance", money(self.dice.below(1_000_000))),
                ("active", ["false", "true"][usize::from(self.dice.below(2) == 1)].to_owned()),
                ("joined", format!("'2026-{:02}-{:02}'", 1 + self.dice.below(12), 1 + self.dice.below(28))),
                ("seen", format!("'2026-03-01 12:{:02}:{:02}.{:06}'", n / 60 % 60, n % 60, self.dice.below(1_000_000))),
            ],
            "order_lines" => vec![
                ("sku", format!("'SKU-{n}'")),
                ("quantity", self.dice.below(100).to_string()),
                ("price", money(self.dice.below(100_000))),
            ],
            "accounts" => vec![("owner", format!("'owner {n}'")), ("version", n.to_string())],
            "documents" => {
                vec![("title", format!("'title {n}'")), ("body", format!("'{}'", self.dice.digits(BODY_BYTES)))]
            }
            "counters" => vec![("total", n.to_string()), ("note", format!("'step {n}'"))],
            other => panic!("the load has no table `{other}`"),
        };
        cells.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// Runs changes at the source in transactions of a few statements each.
pub(crate) async fn apply(database: &Database, changes: &[Change]) {
    let mut dice = Dice(changes.len() as u64);
    for batch in changes.chunks(BATCH) {
        let mut script = String::new();
        let mut rest = batch;
        while !rest.is_empty() {
            let size = usize::try_from(1 + dice.below(8)).expect("a small number").min(rest.len());
            let (transaction, later) = rest.split_at(size);
            script.push_str("BEGIN;");
            for change in transaction {
                script.push_str(&change.sql);
                script.push(';');
            }
            script.push_str("COMMIT;");
            rest = later;
        }
        database.execute(&script).await;
    }
}

fn key_cells(key: &Value) -> Vec<(String, String)> {
    let columns = key.as_object().expect("a key is an object");
    columns.iter().map(|(name, value)| (name.clone(), value.to_string().replace('"', "'"))).collect()
}

fn condition(key: &Value) -> String {
    assignments(&key_cells(key), " AND ")
}

fn assignments(cells: &[(String, String)], between: &str) -> String {
    cells.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(between)
}

fn money(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// SplitMix64: enough chance for a load, and the same on every machine.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }

    fn digits(&mut self, length: usize) -> String {
        let mut text = String::with_capacity(length + 16);
        while text.len() < length {
            text.push_str(&format!("{:016x}", self.roll()));
        }
        text.truncate(length);
        text
    }
}
