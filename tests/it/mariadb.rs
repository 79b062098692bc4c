//! Databases on the MariaDB server.

use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection};

use crate::database::Login;

#[derive(Clone, Debug)]
pub(crate) struct MariaDb {
    url: String,
    server: String,
    login: Login,
    pool: MySqlPool,
}

impl MariaDb {
    /// Creates an empty database on `server`.
    pub(crate) async fn create(server: &str, name: &str) -> Self {
        let mut admin = MySqlConnection::connect(server).await.expect("the server answers");
        let create = format!("CREATE DATABASE {name}");
        admin.execute(AssertSqlSafe(create)).await.expect("the database is new");
        let url = format!("{server}/{name}");
        let pool = MySqlPoolOptions::new().max_connections(4).connect_lazy(&url).expect("the URL is valid");
        Self { login: Login::parse(&url), server: server.to_owned(), url, pool }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    pub(crate) fn login(&self) -> &Login {
        &self.login
    }

    /// For queries of a test's own.
    pub(crate) fn pool(&self) -> &MySqlPool {
        &self.pool
    }

    pub(crate) async fn execute(&self, sql: &str) {
        let done = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&self.pool).await;
        done.unwrap_or_else(|error| panic!("{error}: {}", sql.chars().take(500).collect::<String>()));
    }

    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        let columns: Vec<String> = sqlx::query_scalar(
            "SELECT CAST(column_name AS CHAR) FROM information_schema.columns WHERE table_schema = database() AND table_name = ? \
             ORDER BY ordinal_position",
        )
        .bind(table)
        .fetch_all(&self.pool)
        .await
        .expect("the table is known");
        let quoted: Vec<_> = columns.iter().map(|column| format!("quote(`{column}`)")).collect();
        let sql = format!(
            "SELECT CONVERT(concat_ws(',', {}) USING utf8mb4) AS line FROM {table} ORDER BY line",
            quoted.join(",")
        );
        sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&self.pool).await.expect("the table can be read")
    }

    /// Uses no connection of the pool, which may belong to a runtime that is going away.
    pub(crate) async fn drop_database(&self) {
        let Ok(mut admin) = MySqlConnection::connect(&self.server).await else { return };
        let name = &self.login.database;
        if let Err(error) = admin.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name}"))).await {
            eprintln!("clearing up `{name}`: {error}");
        }
    }
}
