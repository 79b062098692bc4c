//! Checks the bench itself: source against target, row by row, when everything is at rest. Exactly the rows that are known to be
//! wrong may differ.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::demo::applier::RowId;
use sqlx::AssertSqlSafe;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use crate::pipeline::Pipeline;
use crate::tables::Table;
use crate::target::{connect, row_id};
use crate::truth::Truth;

/// How the real difference compares with what is known.
pub(crate) struct Check {
    pub(crate) differing: usize,
    /// Rows that differ and are not known to, and the other way round.
    pub(crate) unknown: Vec<RowId>,
    pub(crate) unreal: Vec<RowId>,
}

/// Reads both databases whole.
pub(crate) async fn check(pipeline: &Pipeline, truth: &Truth) -> Check {
    let mut source = connect(pipeline.source_url(), "check").await;
    let mut target = connect(pipeline.target_url(), "check").await;
    let mut differing = BTreeSet::new();
    for table in Table::ALL {
        let (expected, observed) = (rows(&mut source, table).await, rows(&mut target, table).await);
        let keys: BTreeSet<&String> = expected.keys().chain(observed.keys()).collect();
        let differ = keys.into_iter().filter(|key| expected.get(*key) != observed.get(*key));
        differing.extend(differ.map(|key| row_id(table, key)));
    }
    let known = truth.standing();
    let unknown = differing.iter().filter(|row| !known.contains(row)).cloned().collect();
    let unreal = known.into_iter().filter(|row| !differing.contains(*row)).cloned().collect();
    Check { differing: differing.len(), unknown, unreal }
}

/// Every row as text, by its key; a row that stands twice has two texts.
async fn rows(database: &mut PgConnection, table: Table) -> BTreeMap<String, Vec<String>> {
    let key: Vec<String> = table.key().iter().map(|column| format!("'{column}', t.{column}")).collect();
    let sql = format!("SELECT jsonb_build_object({})::text, t::text FROM {} t", key.join(", "), table.name());
    let all: Vec<PgRow> = sqlx::query(AssertSqlSafe(sql)).fetch_all(database).await.expect("a table");
    let mut rows: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in all {
        rows.entry(row.get(0)).or_default().push(row.get(1));
    }
    rows
}
