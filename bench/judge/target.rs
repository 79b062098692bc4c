//! The applier's hand: the statements of one batch, in one transaction, many rows in each statement.

use std::collections::{BTreeMap, BTreeSet};

use afterimage::demo::applier::{Effect, Fields, RowId, Statement, Write};
use serde_json::Value;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, Connection as _, Postgres, Row as _, Transaction};

use crate::tables::Table;

/// Rows of one statement, at most.
const ROWS: usize = 2000;

/// A connection to the target.
pub(crate) struct Target {
    connection: PgConnection,
}

/// What one statement of many rows does: the columns are those that an update sets.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Sort {
    Insert,
    Update(Vec<String>),
    Delete,
}

impl Target {
    /// Connects under a name of its own, by which the server's processes are told apart.
    pub(crate) async fn connect(url: &str, name: &str) -> Target {
        Target { connection: connect(url, name).await }
    }

    /// Carries out a batch; what each statement did comes back in their order.
    pub(crate) async fn write(&mut self, statements: &[Statement]) -> Vec<Effect> {
        let mut groups: BTreeMap<(Table, Sort), Vec<usize>> = BTreeMap::new();
        for (at, statement) in statements.iter().enumerate() {
            let table = Table::named(&statement.id.table).expect("a table of the load");
            groups.entry((table, sort(&statement.write))).or_default().push(at);
        }
        let mut done = vec![Effect::Skipped; statements.len()];
        let mut transaction = self.connection.begin().await.expect("the target answers");
        for ((table, sort), members) in groups {
            for these in members.chunks(ROWS) {
                let rows: Vec<&Statement> = these.iter().map(|at| &statements[*at]).collect();
                let written = write(&mut transaction, table, &sort, &rows).await;
                for at in these.iter().filter(|at| written.contains(&statements[**at].id)) {
                    done[*at] = Effect::Done;
                }
            }
        }
        transaction.commit().await.expect("the target answers");
        done
    }
}

/// A connection under a name of its own.
pub(crate) async fn connect(url: &str, name: &str) -> PgConnection {
    let options: PgConnectOptions = url.parse().expect("the address of a database");
    PgConnection::connect_with(&options.application_name(name)).await.expect("the target answers")
}

fn sort(write: &Write) -> Sort {
    match write {
        Write::Insert(_) => Sort::Insert,
        Write::Update(set) => Sort::Update(set.keys().cloned().collect()),
        Write::Delete => Sort::Delete,
    }
}

/// One statement for all of the rows; returns those that it changed. A row that is there is not inserted, one that is not is
/// not updated: nobody is told.
async fn write(
    transaction: &mut Transaction<'_, Postgres>,
    table: Table,
    sort: &Sort,
    rows: &[&Statement],
) -> BTreeSet<RowId> {
    let (name, key) = (table.name(), table.key());
    let same: Vec<String> = key.iter().map(|column| format!("t.{column} = n.{column}")).collect();
    let same = same.join(" AND ");
    let pairs: Vec<String> = key.iter().map(|column| format!("'{column}', t.{column}")).collect();
    let told = format!("RETURNING jsonb_build_object({})::text", pairs.join(", "));
    let new = format!("jsonb_populate_recordset(NULL::{name}, $1::text::jsonb) n");
    let sql = match sort {
        Sort::Insert => format!(
            "INSERT INTO {name} AS t SELECT n.* FROM {new} WHERE NOT EXISTS (SELECT 1 FROM {name} t WHERE {same}) {told}"
        ),
        Sort::Update(columns) => {
            // An update of nothing still says whether the row is there.
            let columns = if columns.is_empty() { vec![key[0].to_owned()] } else { columns.clone() };
            let set: Vec<String> = columns.iter().map(|column| format!("{column} = n.{column}")).collect();
            format!("UPDATE {name} t SET {} FROM {new} WHERE {same} {told}", set.join(", "))
        }
        Sort::Delete => format!("DELETE FROM {name} t USING {new} WHERE {same} {told}"),
    };
    let values: Vec<Value> = rows.iter().map(|statement| Value::from_iter(content(statement))).collect();
    let query = sqlx::query(AssertSqlSafe(sql)).bind(Value::from(values).to_string());
    let changed = query.fetch_all(&mut **transaction).await.expect("the target takes it");
    changed.iter().map(|row| row_id(table, &row.get::<String, _>(0))).collect()
}

fn content(statement: &Statement) -> Fields {
    let mut fields = statement.key.clone();
    match &statement.write {
        Write::Insert(set) | Write::Update(set) => fields.extend(set.clone()),
        Write::Delete => {}
    }
    fields
}

/// The row that has this key, columns in any order.
pub(crate) fn row_id(table: Table, key: &str) -> RowId {
    let key: Fields = serde_json::from_str(key).expect("a key as JSON");
    RowId::new(&table.full_name(), &key)
}
