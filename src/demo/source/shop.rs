//! The shop's tables and their rows.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Change;
use crate::demo::applier::Fields;

/// The shop's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::demo) enum Table {
    Customers,
    Orders,
    OrderLines,
    Payments,
    Inventory,
}

/// The same tables on the target.
pub(in crate::demo) const SQLITE_SCHEMA: &str = "
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL, city TEXT,
    email_verified BOOLEAN NOT NULL, points INTEGER NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, status TEXT NOT NULL,
    total_cents INTEGER NOT NULL, currency TEXT NOT NULL, note TEXT, placed_at TEXT NOT NULL, updated_at TEXT NOT NULL);
CREATE TABLE order_lines (order_id INTEGER, line_no INTEGER, sku TEXT NOT NULL, quantity INTEGER NOT NULL,
    price_cents INTEGER NOT NULL, discount_cents INTEGER, PRIMARY KEY (order_id, line_no));
CREATE TABLE payments (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, method TEXT NOT NULL,
    amount_cents INTEGER NOT NULL, status TEXT NOT NULL, captured_at TEXT);
CREATE TABLE inventory (sku TEXT PRIMARY KEY, on_hand INTEGER NOT NULL, reserved INTEGER NOT NULL,
    warehouse TEXT NOT NULL, counted_at TEXT NOT NULL);
";

impl Table {
    pub(in crate::demo) const ALL: [Table; 5] =
        [Table::Customers, Table::Orders, Table::OrderLines, Table::Payments, Table::Inventory];

    pub(in crate::demo) fn name(self) -> &'static str {
        match self {
            Table::Customers => "customers",
            Table::Orders => "orders",
            Table::OrderLines => "order_lines",
            Table::Payments => "payments",
            Table::Inventory => "inventory",
        }
    }

    pub(in crate::demo) fn topic(self) -> &'static str {
        match self {
            Table::Customers => "shop.public.customers",
            Table::Orders => "shop.public.orders",
            Table::OrderLines => "shop.public.order_lines",
            Table::Payments => "shop.public.payments",
            Table::Inventory => "shop.public.inventory",
        }
    }

    pub(super) fn key_columns(self) -> &'static [&'static str] {
        match self {
            Table::Customers | Table::Orders | Table::Payments => &["id"],
            Table::OrderLines => &["order_id", "line_no"],
            Table::Inventory => &["sku"],
        }
    }
}

/// The rows, and the changes of the transaction that is open.
#[derive(Debug, Clone, Default)]
pub(super) struct Shop {
    rows: BTreeMap<(Table, String), Fields>,
    open: Vec<Change>,
}

/// Columns and values, from pairs.
pub(super) fn row<const N: usize>(pairs: [(&str, Value); N]) -> Fields {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Shop {
    pub(super) fn insert(&mut self, table: Table, row: Fields) {
        let key: Fields = table
            .key_columns()
            .iter()
            .filter_map(|column| Some(((*column).to_owned(), row.get(*column)?.clone())))
            .collect();
        if self.rows.insert((table, text(&key)), row.clone()).is_none() {
            self.open.push(Change { table, key, before: None, after: Some(row) });
        }
    }

    /// Sets columns of a row. Nothing happens where there is no row, or where nothing changes.
    pub(super) fn update(&mut self, table: Table, key: Fields, set: Fields) {
        let Some(row) = self.rows.get_mut(&(table, text(&key))) else { return };
        let before = row.clone();
        row.extend(set);
        if *row != before {
            self.open.push(Change { table, key, before: Some(before), after: Some(row.clone()) });
        }
    }

    /// Deletes a row and gives it back.
    pub(super) fn delete(&mut self, table: Table, key: Fields) -> Option<Fields> {
        let before = self.rows.remove(&(table, text(&key)))?;
        self.open.push(Change { table, key, before: Some(before.clone()), after: None });
        Some(before)
    }

    /// A whole number in a row; 0 where there is none.
    pub(super) fn number(&self, table: Table, key: &Fields, column: &str) -> i64 {
        self.rows.get(&(table, text(key))).and_then(|row| row.get(column)?.as_i64()).unwrap_or_default()
    }

    /// Ends the transaction.
    pub(super) fn commit(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.open)
    }

    #[cfg(test)]
    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }
}

fn text(key: &Fields) -> String {
    Value::from_iter(key.clone()).to_string()
}
