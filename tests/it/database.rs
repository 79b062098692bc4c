//! A database of one test's own, in either dialect.

use reqwest::Url;

use crate::mariadb::MariaDb;
use crate::postgres::Postgres;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Postgres,
    MariaDb,
}

/// A fresh database on one of the servers.
#[derive(Clone, Debug)]
pub(crate) enum Database {
    Postgres(Postgres),
    MariaDb(MariaDb),
}

/// The parts of a database URL.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
}

impl Login {
    pub(crate) fn parse(url: &str) -> Self {
        let url = Url::parse(url).expect("a service address is a URL");
        Self {
            host: url.host_str().expect("a host").to_owned(),
            port: url.port().expect("a port"),
            user: url.username().to_owned(),
            password: url.password().unwrap_or_default().to_owned(),
            database: url.path().trim_start_matches('/').to_owned(),
        }
    }
}

impl Database {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Postgres(_) => Dialect::Postgres,
            Self::MariaDb(_) => Dialect::MariaDb,
        }
    }

    /// The `type` of a target section.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::MariaDb(_) => "mysql",
        }
    }

    /// The URL with the database in it, as a target section of the sidecar's configuration wants it.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::Postgres(database) => database.url(),
            Self::MariaDb(database) => database.url(),
        }
    }

    pub(crate) fn login(&self) -> &Login {
        match self {
            Self::Postgres(database) => database.login(),
            Self::MariaDb(database) => database.login(),
        }
    }

    /// The name that records of `table` carry between the topic prefix and the table.
    pub(crate) fn schema(&self) -> &str {
        match self {
            Self::Postgres(_) => "public",
            Self::MariaDb(database) => &database.login().database,
        }
    }

    /// Runs statements, several with `;` between them.
    pub(crate) async fn execute(&self, sql: &str) {
        match self {
            Self::Postgres(database) => database.execute(sql).await,
            Self::MariaDb(database) => database.execute(sql).await,
        }
    }

    /// Every row of a table as text, in a canonical order.
    pub(crate) async fn rows(&self, table: &str) -> Vec<String> {
        match self {
            Self::Postgres(database) => database.rows(table).await,
            Self::MariaDb(database) => database.rows(table).await,
        }
    }

    /// Gives up the database and what holds it on the server.
    pub(crate) async fn drop_database(&self) {
        match self {
            Self::Postgres(database) => database.drop_database().await,
            Self::MariaDb(database) => database.drop_database().await,
        }
    }
}
