//! Records of about 1 KB as Debezium's PostgreSQL connector writes them without schemas, and the table they are for.

use std::sync::Arc;

use afterimage::canon::{Binding, Plan, Rules};
use afterimage::engine::event::{Carried, ColumnVerdict, Image, Images, PlanEpoch, Role, Tracked, Verified};
use afterimage::model::{
    Batch, Change, ColumnMeta, Columns, Dialect, Key, Op, PartitionId, Position, Row, TableId, TableMeta,
};

/// The columns of the table and their types on the target.
const COLUMNS: &[(&str, &str)] = &[
    ("id", "bigint"),
    ("customer", "character varying(64)"),
    ("email", "text"),
    ("street", "text"),
    ("city", "text"),
    ("country", "character(2)"),
    ("status", "text"),
    ("quantity", "integer"),
    ("total", "double precision"),
    ("paid", "boolean"),
    ("note", "text"),
    ("version", "bigint"),
];

/// The table.
pub(crate) fn table() -> Arc<TableMeta> {
    let column = |(name, declared): &(&str, &str)| ColumnMeta {
        name: (*name).into(),
        declared: (*declared).into(),
        nullable: *name != "id",
        collation: None,
        number: 0,
    };
    Arc::new(TableMeta {
        dialect: Dialect::Postgres,
        schema: "public".into(),
        name: "orders".into(),
        columns: COLUMNS.iter().map(column).collect(),
        primary_key: vec![0],
        unique: Vec::new(),
    })
}

/// A table, and the column that no other has.
#[derive(Clone, Copy)]
pub(crate) struct Of {
    table: &'static str,
    flag: &'static str,
}

const ORDERS: Of = Of { table: "orders", flag: "paid" };

/// Tables that may share a topic.
pub(crate) const SHARED: [Of; 3] = [ORDERS, Of { table: "lines", flag: "here" }, Of { table: "parcels", flag: "sent" }];

fn row(Of { flag, .. }: Of, id: u64, version: u64) -> String {
    format!(
        r#"{{"id":{id},"customer":"customer-{id:08}","email":"someone.{id:08}@example.org","street":"{} Long Street, back entrance","city":"Somewhere","country":"NL","status":"open","quantity":{},"total":{}.25,"{flag}":true,"note":"leave at the door, ring twice, mind the dog","version":{version}}}"#,
        id % 977,
        id % 13,
        id % 9973
    )
}

/// Key and value of an update.
pub(crate) fn update(id: u64, version: u64) -> (String, String) {
    update_of(ORDERS, id, version)
}

fn update_of(of: Of, id: u64, version: u64) -> (String, String) {
    let (before, after, table) = (row(of, id, version), row(of, id, version + 1), of.table);
    let lsn = 24_000_000 + version * 8;
    let value = format!(
        r#"{{"before":{before},"after":{after},"source":{{"version":"3.5.0.Final","connector":"postgresql","name":"shop","ts_ms":1795312813127,"snapshot":"false","db":"shop","sequence":"[\"{lsn}\",\"{lsn}\"]","ts_us":1795312813127123,"ts_ns":1795312813127123000,"schema":"public","table":"{table}","txId":700,"lsn":{lsn},"xmin":null}},"transaction":null,"op":"u","ts_ms":1795312813200}}"#
    );
    (format!(r#"{{"id":{id}}}"#), value)
}

/// A batch of updates of distinct keys.
pub(crate) fn batch(first: u64, count: u64) -> Batch {
    batch_of(&[ORDERS], first, count)
}

/// The same of several tables in turn.
pub(crate) fn batch_of(tables: &[Of], first: u64, count: u64) -> Batch {
    let mut batch = Batch::default();
    for (offset, of) in (first..first + count).zip(tables.iter().cycle()) {
        let (key, value) = update_of(*of, offset, offset);
        let no_headers = std::iter::empty::<(&[u8], Option<&[u8]>)>();
        batch.push((PartitionId(0), offset, Some(0)), Some(key.as_bytes()), Some(value.as_bytes()), no_headers);
    }
    batch
}

/// Brings changes into the form that the engine takes, as the runtime does.
pub(crate) struct Tracker {
    plan: Plan,
    binding: Option<(Arc<Columns>, Binding)>,
}

impl Tracker {
    /// For the table above.
    pub(crate) fn new() -> Tracker {
        let plan = Plan::new(TableId(0), table(), &Rules::default(), None).expect("the table has a key");
        Tracker { plan, binding: None }
    }

    /// One change, tracked.
    pub(crate) fn track(&mut self, at: Position, change: Change) -> Tracked {
        let key = self.plan.key(change.key.as_ref().expect("records have keys")).expect("the key is whole");
        let after = change.after.expect("updates have a row");
        self.bind(&after);
        let (_, binding) = self.binding.as_ref().expect("it was just made");
        let expected = self.plan.expect(binding, &after);
        let before = change.before.map(|before| {
            assert!(Arc::ptr_eq(&before.columns, &after.columns), "both rows of an update have one shape");
            self.plan.expect_before(binding, &before, (&after, &expected)).fingerprint
        });
        Tracked {
            key,
            at,
            order: at.offset,
            waymark: change.waymark,
            op: Op::Update,
            fingerprint: expected.fingerprint,
            mask: expected.mask,
            before,
            committed_at: change.committed_at,
            appended_at: None,
            key_change: change.key_change,
            carried: Carried::Always,
            role: Role::Rows,
            plan: PlanEpoch::default(),
        }
    }

    fn bind(&mut self, row: &Row) {
        let known = self.binding.as_ref().is_some_and(|(columns, _)| Arc::ptr_eq(columns, &row.columns));
        if !known {
            self.binding = Some((Arc::clone(&row.columns), self.plan.bind(&row.columns, row.typing)));
        }
    }
}

/// A table-version cache that keeps nothing.
pub(crate) struct NoImages;

impl Images for NoImages {
    fn image(&self, _: Position, _: &Key) -> Option<Image> {
        None
    }

    fn compare(&self, _: &Key, _: &Row, _: &Row) -> Vec<ColumnVerdict> {
        Vec::new()
    }

    fn remember(&mut self, _: &Key, _: Verified) {}

    fn recall(&self, _: &Key) -> Option<Verified> {
        None
    }

    fn partition_name(&self, partition: PartitionId) -> String {
        partition.0.to_string()
    }

    fn table_name(&self, _: TableId) -> Arc<str> {
        "public.orders".into()
    }
}
