//! Keys per second of one connection to a PostgreSQL target, whole rows, in batches of the engine's size.

use std::sync::Arc;
use std::time::{Duration, Instant};

use afterimage::engine::limit::KEYS_PER_LOOKUP;
use afterimage::model::{Cell, Columns, TableMeta};
use afterimage::target::{Answered, Ask, Options, Pooler, Target};
use sqlx::pool::PoolConnection;
use sqlx::{AssertSqlSafe, PgPool, Postgres};

const ROWS: i64 = 1_000_000;

/// Rounds of each of the two, in turn.
const ROUNDS: i64 = 8;

const ROUND: Duration = Duration::from_secs(2);

/// Makes a table of a million rows, reads it by key, drops it.
pub(crate) fn keys_per_second(url: &str) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime starts");
    runtime.block_on(async {
        let pool = PgPool::connect(url).await.expect("the database answers");
        let table = format!("afterimage_bench_{}", std::process::id());
        for sql in [
            format!("create table {table} (id bigint primary key, name text, qty integer, price numeric(10,2), made timestamptz, ok boolean)"),
            format!("insert into {table} select i, 'name-' || i, i % 100, i / 100.0, now(), true from generate_series(0, {}) i", ROWS - 1),
            // A table at rest: what the server still has to do for fresh rows is no cost of a lookup.
            format!("vacuum (analyze) {table}"),
            "checkpoint".to_owned(),
        ] {
            sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.expect("the table can be made");
        }
        let ours = Ours::connect(url, &table).await;
        let mut bare = Bare::connect(&pool, &table).await;
        let (mut bares, mut rates) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            bares.push(rate(round, async |keys| bare.lookup(keys).await).await);
            rates.push(rate(round, async |keys| ours.lookup(keys).await).await);
        }
        println!("{}", record(&ours, bares, rates));
        sqlx::raw_sql(AssertSqlSafe(format!("drop table {table}"))).execute(&pool).await.expect("it can be dropped");
    });
}

/// The two beside each other. A busy host changes its speed even within a round: the median share says most.
fn record(ours: &Ours, mut bares: Vec<f64>, mut rates: Vec<f64>) -> serde_json::Value {
    let mut shares: Vec<f64> = rates.iter().zip(&bares).map(|(rate, bare)| rate / bare).collect();
    let of = |sorted: &mut Vec<f64>, digits: f64| {
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| (sorted[index] * digits).round() / digits;
        serde_json::json!({"best": at(sorted.len() - 1), "median": at(sorted.len() / 2), "worst": at(0)})
    };
    serde_json::json!({
        "bench": "lookup", "batch": KEYS_PER_LOOKUP, "connections": 1, "columns": ours.meta.columns.len(), "rounds": ROUNDS,
        "keys_per_s": of(&mut rates, 1.0), "bare_keys_per_s": of(&mut bares, 1.0), "share": of(&mut shares, 1000.0),
    })
}

/// Keys per second of one round: each lookup is of keys all over the table, and gives back how many rows there were.
async fn rate(round: i64, mut lookup: impl AsyncFnMut(Vec<i64>) -> usize) -> f64 {
    let (mut asked, began) = (0, Instant::now());
    for number in 0.. {
        let first = round * 15_485_863 + number * 104_729;
        asked += lookup((0..KEYS_PER_LOOKUP as i64).map(|index| (first + index * 7919) % ROWS).collect()).await;
        if began.elapsed() >= ROUND {
            break;
        }
    }
    asked as f64 / began.elapsed().as_secs_f64()
}

/// The limit: the same rows through the same driver, none of them looked at.
struct Bare {
    connection: PoolConnection<Postgres>,
    sql: String,
}

impl Bare {
    async fn connect(pool: &PgPool, table: &str) -> Bare {
        let connection = pool.acquire().await.expect("the database answers");
        let sql = format!("select t.* from unnest($1::bigint[]) with ordinality as k(id, n) join {table} t using (id)");
        Bare { connection, sql }
    }

    async fn lookup(&mut self, keys: Vec<i64>) -> usize {
        let query = sqlx::query(AssertSqlSafe(self.sql.as_str())).bind(keys);
        query.fetch_all(&mut *self.connection).await.expect("it answers").len()
    }
}

/// The product's own way.
struct Ours {
    target: Target,
    meta: Arc<TableMeta>,
    columns: Vec<usize>,
    names: Arc<Columns>,
}

impl Ours {
    async fn connect(url: &str, table: &str) -> Ours {
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
        Ours { target, meta, columns, names }
    }

    async fn lookup(&self, keys: Vec<i64>) -> usize {
        let ask = Ask {
            table: Arc::clone(&self.meta),
            key_columns: vec![0],
            columns: self.columns.clone(),
            names: Arc::clone(&self.names),
            keys: keys.into_iter().map(|key| vec![Cell::Int(key)]).collect(),
            rows: Answered::Each,
            nulls: Vec::new(),
        };
        let answer = self.target.lookup(&ask).await.expect("it answers");
        assert!(answer.iter().all(|rows| rows.len() == 1), "every key has its row");
        answer.len()
    }
}
