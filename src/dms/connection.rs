//! One connection to the database that holds such tables: texts in, texts out.

use std::str::FromStr as _;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlRow};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, SqlSafeStr as _};

/// Longest wait for one statement: a page sorts a table of millions once.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(300);

/// What kept us from reading or writing such a table.
#[derive(Debug, thiserror::Error)]
pub enum DmsError {
    /// The URL is of no database that DMS writes validation failures to.
    #[error(
        "the URL of the failures is of no kind known here: it must begin with `postgres://`, `mysql://` or `sqlite:`"
    )]
    Url,
    /// No such table.
    #[error("`{place}` has no table awsdms_validation_failures_v1 or _v2 that this user may see: {hint}")]
    NoTable {
        /// The database, without credentials.
        place: String,
        /// What to do.
        hint: &'static str,
    },
    /// Several schemas have one.
    #[error("several schemas hold `{table}`: {}; name one with --schema", .schemas.join(", "))]
    Ambiguous {
        /// The table.
        table: &'static str,
        /// The schemas.
        schemas: Vec<String>,
    },
    /// The table lacks a column.
    #[error("`{table}` has no column {column}: it is not as DMS makes it")]
    NoColumn {
        /// The table.
        table: String,
        /// The column.
        column: &'static str,
    },
    /// A name that cannot be a table's.
    #[error("`{0}` names no table: expected TABLE or SCHEMA.TABLE")]
    Name(String),
    /// The database did not answer in time.
    #[error("`{place}` did not answer within {} s", STATEMENT_TIMEOUT.as_secs())]
    TimedOut {
        /// The database, without credentials.
        place: String,
    },
    /// The database refused, or could not be reached.
    #[error("`{place}` cannot be used for the failures of DMS")]
    Database {
        /// The database, without credentials.
        place: String,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
}

/// Which SQL is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
}

impl Dialect {
    pub(super) fn quoted(self, name: &str) -> String {
        match self {
            Dialect::Postgres | Dialect::Sqlite => format!("\"{}\"", name.replace('"', "\"\"")),
            Dialect::Mysql => format!("`{}`", name.replace('`', "``")),
        }
    }

    /// A column as text, compared byte by byte: two keys that a collation takes for one stay two.
    pub(super) fn text(self, column: &str) -> String {
        let column = self.quoted(column);
        match self {
            Dialect::Postgres => format!("coalesce({column}::text, '') COLLATE \"C\""),
            Dialect::Mysql => format!("coalesce(CAST({column} AS CHAR CHARACTER SET utf8mb4), '') COLLATE utf8mb4_bin"),
            Dialect::Sqlite => format!("coalesce(CAST({column} AS TEXT), '')"),
        }
    }

    /// An expression as text.
    pub(super) fn cast(self, expression: &str) -> String {
        match self {
            Dialect::Postgres => format!("({expression})::text"),
            Dialect::Mysql => format!("CAST({expression} AS CHAR CHARACTER SET utf8mb4)"),
            Dialect::Sqlite => format!("CAST({expression} AS TEXT)"),
        }
    }

    /// The place of the value with this number, from 1.
    pub(super) fn place(self, number: usize) -> String {
        match self {
            Dialect::Postgres => format!("${number}"),
            Dialect::Sqlite => format!("?{number}"),
            Dialect::Mysql => "?".to_owned(),
        }
    }
}

enum Link {
    Postgres(PgConnection),
    Mysql(MySqlConnection),
    Sqlite(SqliteConnection),
}

/// The connection.
pub(super) struct Connection {
    link: Box<Link>,
    pub(super) place: String,
}

/// A row as texts.
pub(super) type Texts = Vec<Option<String>>;

impl Connection {
    pub(super) async fn open(url: &SecretString) -> Result<Connection, DmsError> {
        let text = url.expose_secret();
        let place = place(text);
        let failed = |source| DmsError::Database { place: place.clone(), source };
        let connect = async {
            Ok(match text.split_once(':').map(|(scheme, _)| scheme) {
                Some("postgres" | "postgresql") => {
                    let options = PgConnectOptions::from_str(text).map_err(failed)?.application_name("afterimage");
                    Link::Postgres(options.connect().await.map_err(failed)?)
                }
                Some("mysql" | "mariadb") => {
                    let text = text.replacen("mariadb:", "mysql:", 1);
                    let options = MySqlConnectOptions::from_str(&text).map_err(failed)?.charset("utf8mb4");
                    Link::Mysql(options.connect().await.map_err(failed)?)
                }
                Some("sqlite") => {
                    let options = SqliteConnectOptions::from_str(text).map_err(failed)?;
                    Link::Sqlite(options.connect().await.map_err(failed)?)
                }
                Some(_) | None => return Err(DmsError::Url),
            })
        };
        let link = tokio::time::timeout(STATEMENT_TIMEOUT, connect).await;
        let link = link.map_err(|_| DmsError::TimedOut { place: place.clone() })??;
        Ok(Connection { link: Box::new(link), place })
    }

    pub(super) fn dialect(&self) -> Dialect {
        match &*self.link {
            Link::Postgres(_) => Dialect::Postgres,
            Link::Mysql(_) => Dialect::Mysql,
            Link::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// Rows of texts. Statements are put together by this module's own files, of fixed text and quoted names; values are bound.
    pub(super) async fn read(&mut self, sql: &str, values: &[Option<String>]) -> Result<Vec<Texts>, DmsError> {
        let read = async {
            macro_rules! fetch {
                ($link:expr, $of:ident) => {{
                    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()).into_sql_str());
                    for value in values {
                        query = query.bind(value.clone());
                    }
                    query.persistent(false).fetch_all($link).await?.iter().map($of).collect()
                }};
            }
            let rows: Result<Vec<Texts>, sqlx::Error> = match &mut *self.link {
                Link::Postgres(link) => fetch!(link, of_postgres),
                Link::Mysql(link) => fetch!(link, of_mysql),
                Link::Sqlite(link) => fetch!(link, of_sqlite),
            };
            rows
        };
        match tokio::time::timeout(STATEMENT_TIMEOUT, read).await {
            Ok(rows) => rows.map_err(|source| DmsError::Database { place: self.place.clone(), source }),
            Err(_) => Err(DmsError::TimedOut { place: self.place.clone() }),
        }
    }

    /// Statements in one transaction: all of them or none.
    pub(super) async fn write(&mut self, statements: &[(String, Vec<Option<String>>)]) -> Result<(), DmsError> {
        let write = async {
            macro_rules! run {
                ($link:expr) => {{
                    let mut transaction = $link.begin().await?;
                    for (sql, values) in statements {
                        let mut query = sqlx::query(AssertSqlSafe(sql.clone()).into_sql_str());
                        for value in values {
                            query = query.bind(value.clone());
                        }
                        query.persistent(false).execute(&mut *transaction).await?;
                    }
                    transaction.commit().await
                }};
            }
            match &mut *self.link {
                Link::Postgres(link) => run!(link),
                Link::Mysql(link) => run!(link),
                Link::Sqlite(link) => run!(link),
            }
        };
        match tokio::time::timeout(STATEMENT_TIMEOUT, write).await {
            Ok(done) => done.map_err(|source| DmsError::Database { place: self.place.clone(), source }),
            Err(_) => Err(DmsError::TimedOut { place: self.place.clone() }),
        }
    }
}

fn of_postgres(row: &PgRow) -> Result<Texts, sqlx::Error> {
    (0..row.len()).map(|index| row.try_get::<Option<String>, _>(index)).collect()
}

/// A text under a binary collation comes as bytes.
fn of_mysql(row: &MySqlRow) -> Result<Texts, sqlx::Error> {
    let text = |index| {
        let bytes = row.try_get_unchecked::<Option<Vec<u8>>, _>(index)?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    };
    (0..row.len()).map(text).collect()
}

fn of_sqlite(row: &SqliteRow) -> Result<Texts, sqlx::Error> {
    (0..row.len()).map(|index| row.try_get::<Option<String>, _>(index)).collect()
}

/// The URL without user, password and parameters.
fn place(url: &str) -> String {
    let url = url.split_once('?').map_or(url, |(place, _)| place);
    match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.rsplit_once('@').map_or(rest, |(_, place)| place)),
        None => url.to_owned(),
    }
}
