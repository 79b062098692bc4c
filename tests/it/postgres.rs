//! Databases on the PostgreSQL servers.

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use crate::database::Login;

#[derive(Clone, Debug)]
pub(crate) struct Postgres {
    url: String,
    server: String,
    login: Login,
    pool: PgPool,
}

impl Postgres {
    /// Creates an empty database on `server`.
    pub(crate) async fn create(server: &str, name: &str) -> Self {
        let mut admin = PgConnection::connect(&format!("{server}/postgres")).await.expect("the server answers");
        let create = format!("CREATE DATABASE {name}");
        admin.execute(AssertSqlSafe(create)).await.expect("the database is new");
        let url = format!("{server}/{name}");
        let pool = PgPoolOptions::new().max_connections(4).connect_lazy(&url).expect("the URL is valid");
        Self { login: Login::parse(&url), server: server.to_owned(), url, pool }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    /// For queries of a test's own.
    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await;
        done.unwrap_or_else(|error| panic!("{error}: {}", excerpt(sql)));
    }

    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        let sql = format!("SELECT t::text FROM {table} t ORDER BY 1");
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&self.pool).await.expect("the table can be read")
    }

    /// Old rows in full in every change, unchanged TOAST values included.
    pub(crate) async fn identify_fully(&self, table: &str) {
        self.execute(&format!("ALTER TABLE {table} REPLICA IDENTITY FULL")).await;
    }

    /// Its replication slots go with it. A slot or a session still in use is ended first. No connection of the pool
    /// is used, which may belong to a runtime that is going away.
    pub(crate) async fn drop_database(&self) {
        let Ok(mut admin) = PgConnection::connect(&format!("{}/postgres", self.server)).await else { return };
        let name = &self.login.database;
        for sql in [
            format!(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = '{name}' AND active"
            ),
            format!("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = '{name}'"),
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
        ] {
            if let Err(error) = admin.execute(AssertSqlSafe(sql)).await {
                eprintln!("clearing up `{name}`: {error}");
            }
        }
    }
}

fn excerpt(sql: &str) -> String {
    sql.chars().take(500).collect()
}
