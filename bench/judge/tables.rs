//! The tables of the load, at the source and on the target.

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Table {
    Customers,
    Orders,
    Items,
    Counters,
    Events,
}

impl Table {
    pub(crate) const ALL: [Table; 5] = [Table::Customers, Table::Orders, Table::Items, Table::Counters, Table::Events];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Table::Customers => "customers",
            Table::Orders => "orders",
            Table::Items => "order_items",
            Table::Counters => "counters",
            Table::Events => "events",
        }
    }

    /// The name that the tap gives it.
    pub(crate) fn full_name(self) -> String {
        format!("public.{}", self.name())
    }

    pub(crate) fn named(full_name: &str) -> Option<Table> {
        Table::ALL.into_iter().find(|table| table.full_name() == full_name)
    }

    pub(crate) fn key(self) -> &'static [&'static str] {
        match self {
            Table::Items => &["order_id", "line"],
            Table::Customers | Table::Orders | Table::Counters | Table::Events => &["id"],
        }
    }

    /// The other columns.
    pub(crate) fn rest(self) -> &'static [&'static str] {
        match self {
            Table::Customers => &["name", "city", "active", "visits", "seen_at"],
            Table::Orders => &["customer", "status", "total", "note", "rev"],
            Table::Items => &["sku", "quantity", "price"],
            Table::Counters => &["total", "hits", "label"],
            Table::Events => &["kind", "payload", "happened_at"],
        }
    }
}

/// At the source. Old rows go in full into every change, so that the applier knows which columns a change changed.
pub(crate) const SOURCE: &str = "
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, city text, active boolean NOT NULL, visits int NOT NULL,
    seen_at timestamptz);
CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL, status text NOT NULL, total numeric(12,2) NOT NULL,
    note text, rev int NOT NULL);
CREATE TABLE order_items (order_id bigint, line int, sku text NOT NULL, quantity int NOT NULL, price numeric(10,2) NOT NULL,
    PRIMARY KEY (order_id, line));
CREATE TABLE counters (id bigint PRIMARY KEY, total bigint NOT NULL, hits int NOT NULL, label text NOT NULL);
CREATE TABLE events (id bigint PRIMARY KEY, kind text NOT NULL, payload text, happened_at timestamptz NOT NULL);
ALTER TABLE customers REPLICA IDENTITY FULL;
ALTER TABLE orders REPLICA IDENTITY FULL;
ALTER TABLE order_items REPLICA IDENTITY FULL;
ALTER TABLE counters REPLICA IDENTITY FULL;
ALTER TABLE events REPLICA IDENTITY FULL;
CREATE TABLE marker (id int PRIMARY KEY);
INSERT INTO marker VALUES (1);
";

/// On the target: `order_items` has lost its primary key there, as happens, so that a row can stand twice.
pub(crate) const TARGET: &str = "
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, city text, active boolean NOT NULL, visits int NOT NULL,
    seen_at timestamptz);
CREATE TABLE orders (id bigint PRIMARY KEY, customer bigint NOT NULL, status text NOT NULL, total numeric(12,2) NOT NULL,
    note text, rev int NOT NULL);
CREATE TABLE order_items (order_id bigint, line int, sku text NOT NULL, quantity int NOT NULL, price numeric(10,2) NOT NULL);
CREATE INDEX order_items_key ON order_items (order_id, line);
CREATE TABLE counters (id bigint PRIMARY KEY, total bigint NOT NULL, hits int NOT NULL, label text NOT NULL);
CREATE TABLE events (id bigint PRIMARY KEY, kind text NOT NULL, payload text, happened_at timestamptz NOT NULL);
";

/// Rows that exist from the beginning.
pub(crate) const CUSTOMERS: u64 = 10_000;
pub(crate) const COUNTERS: u64 = 2_000;

/// Makes them.
pub(crate) const FILL: &str = "
INSERT INTO customers SELECT id, 'customer ' || id, 'nowhere', true, 0, NULL FROM generate_series(1, 10000) id;
INSERT INTO counters SELECT id, 0, 0, 'counter ' || id FROM generate_series(1, 2000) id;
";
