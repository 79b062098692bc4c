//! An empty database of each engine, and targets that read it.

use std::time::Duration;

use afterimage::target::{Options, Pooler, Target};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, MySqlConnection, PgConnection};
use tempfile::TempDir;

use crate::mariadb::MariaDb;
use crate::postgres::Postgres;
use crate::services::{Services, Stay};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Engine {
    Postgres,
    MariaDb,
    Sqlite,
}

enum Database {
    Postgres(Postgres),
    MariaDb(MariaDb),
    Sqlite(SqlitePool, TempDir),
}

pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) services: Services,
    pub(super) stay: Stay,
    database: Database,
}

impl Bench {
    /// An empty database; other tests use the server too.
    pub(super) async fn shared(engine: Engine, name: &str) -> Bench {
        Bench::new(engine, name, Stay::shared().await).await
    }

    /// An empty database on a server that this test may disturb.
    pub(super) async fn alone(engine: Engine, name: &str) -> Bench {
        Bench::new(engine, name, Stay::alone().await).await
    }

    async fn new(engine: Engine, name: &str, stay: Stay) -> Bench {
        let services = Services::from_env();
        // The servers' names are bounded; what a promise begins with tells it.
        let name = format!("tc_{}", &name[..name.len().min(50)]);
        let database = match engine {
            Engine::Postgres => {
                let mut admin = PgConnection::connect(&format!("{}/postgres", services.pg_target))
                    .await
                    .expect("the server answers");
                let leftover = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
                admin.execute(AssertSqlSafe(leftover)).await.expect("an earlier run's database goes");
                Database::Postgres(Postgres::create(&services.pg_target, &name).await)
            }
            Engine::MariaDb => {
                let mut admin = MySqlConnection::connect(&services.mysql).await.expect("the server answers");
                let leftover = format!("DROP DATABASE IF EXISTS {name}");
                admin.execute(AssertSqlSafe(leftover)).await.expect("an earlier run's database goes");
                Database::MariaDb(MariaDb::create(&services.mysql, &name).await)
            }
            Engine::Sqlite => {
                let dir = tempfile::tempdir().expect("a directory");
                let options = SqliteConnectOptions::new().filename(dir.path().join("t.db")).create_if_missing(true);
                Database::Sqlite(SqlitePool::connect_with(options).await.expect("a file"), dir)
            }
        };
        Bench { engine, services, stay, database }
    }

    pub(super) async fn execute(&self, sql: &str) {
        match &self.database {
            Database::Postgres(database) => database.execute(sql).await,
            Database::MariaDb(database) => database.execute(sql).await,
            Database::Sqlite(pool, _) => {
                let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await;
                done.unwrap_or_else(|error| panic!("{error}: {sql}"));
            }
        }
    }

    pub(super) fn url(&self) -> String {
        match &self.database {
            Database::Postgres(database) => database.url().to_owned(),
            Database::MariaDb(database) => database.url().to_owned(),
            Database::Sqlite(_, dir) => format!("sqlite:{}", dir.path().join("t.db").display()),
        }
    }

    /// The same database through the transaction-mode pooler.
    pub(super) fn pooled_url(&self) -> String {
        self.url().replace(&self.services.pg_target, &self.services.pgbouncer)
    }

    pub(super) fn options(&self, url: &str) -> Options {
        Options {
            url: url.into(),
            pooler: Pooler::None,
            max_connections: 4,
            reads_per_second: 0,
            statement_timeout: Duration::from_secs(5),
            dead_rows: String::new(),
        }
    }

    pub(super) async fn target(&self) -> Target {
        self.target_with(|_| {}).await
    }

    pub(super) async fn target_with(&self, change: impl FnOnce(&mut Options)) -> Target {
        let mut options = self.options(&self.url());
        change(&mut options);
        Target::connect(options).await.expect("the target can be reached")
    }

    /// A SQLite database's own writer.
    pub(super) fn sqlite(&self) -> &SqlitePool {
        match &self.database {
            Database::Sqlite(pool, _) => pool,
            Database::Postgres(_) | Database::MariaDb(_) => panic!("this is no SQLite bench"),
        }
    }
}
