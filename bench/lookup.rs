//! Keys per second of one connection to a PostgreSQL target, whole rows, in batches of the engine's size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use afterimage::engine::limit::KEYS_PER_LOOKUP;
use afterimage::model::{Cell, Columns};
use afterimage::target::{Ask, Options, Pooler, Target};

const ROWS: i64 = 1_000_000;

/// Makes a table of a million rows, reads it by key, drops it.
pub(crate) fn keys_per_second(url: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let pool = sqlx::PgPool::connect(url).await.expect("the database answers");
        let table = format!("afterimage_bench_{}", std::process::id());
        for sql in [
            format!("create table {table} (id bigint primary key, name text, qty integer, price numeric(10,2), made timestamptz, ok boolean)"),
            format!("insert into {table} select i, 'name-' || i, i % 100, i / 100.0, now(), true from generate_series(0, {}) i", ROWS - 1),
            format!("analyze {table}"),
        ] {
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&pool).await.expect("the table can be made");
        }
        let bare = bare(&pool, &table).await;
        measure(url, &table, bare).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop table {table}"))).execute(&pool).await.expect("it can be dropped");
    });
}

/// The limit: the same rows through the same driver, none of them looked at.
async fn bare(pool: &sqlx::PgPool, table: &str) -> f64 {
    let sql = format!("select t.* from unnest($1::bigint[]) with ordinality as k(id, n) join {table} t using (id)");
    let mut connection = pool.acquire().await.expect("the database answers");
    let (mut asked, mut next, began) = (0usize, 0i64, Instant::now());
    while began.elapsed() < Duration::from_secs(5) {
        let keys: Vec<i64> = (0..KEYS_PER_LOOKUP as i64).map(|index| (next + index * 7919) % ROWS).collect();
        next = (next + 104_729) % ROWS;
        let query = sqlx::query(sqlx::AssertSqlSafe(sql.as_str())).bind(keys);
        asked += query.fetch_all(&mut *connection).await.expect("it answers").len();
    }
    asked as f64 / began.elapsed().as_secs_f64()
}

async fn measure(url: &str, table: &str, bare: f64) {
    let options = Options {
        url: url.to_owned().into(),
        pooler: Pooler::None,
        max_connections: 1,
        reads_per_second: 0,
        statement_timeout: Duration::from_secs(30),
        dead_rows: String::new(),
    };
    let target = Target::connect(options).await.expect("the target answers");
    let meta = Arc::new(target.describe(None, table).await.expect("it answers").expect("the table exists"));
    let columns: Vec<usize> = (0..meta.columns.len()).collect();
    let names = Arc::new(Columns::new(meta.columns.iter().map(|column| &*column.name)));
    let (mut asked, mut next, began) = (0u64, 0i64, Instant::now());
    while began.elapsed() < Duration::from_secs(5) {
        let keys = (0..KEYS_PER_LOOKUP as i64).map(|index| vec![Cell::Int((next + index * 7919) % ROWS)]).collect();
        next = (next + 104_729) % ROWS;
        let ask = Ask {
            table: Arc::clone(&meta),
            key_columns: vec![0],
            columns: columns.clone(),
            names: Arc::clone(&names),
            keys,
        };
        let answer = target.lookup(&ask).await.expect("it answers");
        assert!(answer.iter().all(|rows| rows.len() == 1), "every key has its row");
        asked += answer.len() as u64;
    }
    let rate = asked as f64 / began.elapsed().as_secs_f64();
    let line = serde_json::json!({
        "bench": "lookup", "batch": KEYS_PER_LOOKUP, "connections": 1, "columns": columns.len(),
        "keys_per_s": rate.round(), "bare_keys_per_s": bare.round(), "share": (rate / bare * 1000.0).round() / 1000.0,
    });
    println!("{line}");
}
