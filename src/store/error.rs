//! Why the store did not answer, and who must act.

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

/// A store that did not answer. Nothing was recorded of the batch at hand, so no offset above it may be committed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection, a lost one, a lock held too long, a full disk: the same call may succeed later.
    #[error("the findings store `{place}` is not there to {doing}: {hint}")]
    Unavailable {
        /// What was being done: `open`, `write`, `read`.
        doing: &'static str,
        /// The store, without credentials.
        place: String,
        /// What would be right, or what to do now.
        hint: &'static str,
        /// The driver's error.
        #[source]
        source: sqlx::Error,
    },
    /// The same call will fail again until somebody acts: permission, wrong URL, a damaged file.
    #[error("the findings store `{place}` refuses to {doing}: {hint}")]
    Refused {
        /// What was being done: `open`, `write`, `read`.
        doing: &'static str,
        /// The store, without credentials.
        place: String,
        /// What would be right, or what to do now.
        hint: &'static str,
        /// The driver's error, where one is involved.
        #[source]
        source: Option<sqlx::Error>,
    },
    /// The tables are not those of this version.
    #[error("the tables of the findings store `{place}` do not fit this version: {hint}")]
    Migration {
        /// The store, without credentials.
        place: String,
        /// What would be right, or what to do now.
        hint: &'static str,
        /// The driver's error.
        #[source]
        source: MigrateError,
    },
    /// A stored finding cannot be read back.
    #[error("finding `{id}` in the store `{place}` cannot be read: export what can be, and remove it")]
    Damaged {
        /// The store, without credentials.
        place: String,
        /// Its id.
        id: String,
        /// What the reader stumbled over.
        #[source]
        source: serde_json::Error,
    },
    /// The beginning of an id fits several findings.
    #[error("`{prefix}` is the beginning of more than one finding's id: give more of its digits")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
    },
}

/// Who must act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again later.
    Retry,
    /// Wait for the operator.
    Operator,
}

impl StoreError {
    /// Who must act.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            StoreError::Unavailable { .. } => Class::Retry,
            StoreError::Refused { .. }
            | StoreError::Migration { .. }
            | StoreError::Damaged { .. }
            | StoreError::Ambiguous { .. } => Class::Operator,
        }
    }
}

/// What was being done when a driver failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Open,
    Write,
    Read,
}

impl Doing {
    fn verb(self) -> &'static str {
        match self {
            Doing::Open => "open",
            Doing::Write => "write",
            Doing::Read => "read",
        }
    }
}

/// Sorts a driver's error into the class of who must act.
pub(super) fn classify(doing: Doing, place: &str, source: sqlx::Error) -> StoreError {
    let verdict = of_driver(&source);
    let (doing, place) = (doing.verb(), place.to_owned());
    match verdict {
        Ok(hint) => StoreError::Unavailable { doing, place, hint, source },
        Err(hint) => StoreError::Refused { doing, place, hint, source: Some(source) },
    }
}

/// `Ok` is a hint for an error that may pass, `Err` one for an error that will not.
fn of_driver(error: &sqlx::Error) -> Result<&'static str, &'static str> {
    use sqlx::Error::{ColumnDecode, ColumnNotFound, Configuration, Database, Decode, Tls, TypeNotFound};
    if let Database(error) = error {
        of_database(error.as_ref())
    } else if let Configuration(_) = error {
        Err("the URL is not understood: write `sqlite:PATH` or `postgres://user@host/database`")
    } else if let Tls(_) = error {
        Err("TLS failed: check `sslmode` and the certificates")
    } else if matches!(error, ColumnDecode { .. } | ColumnNotFound(_) | Decode(_) | TypeNotFound { .. }) {
        Err("its tables were changed by hand: restore a backup, or use another store")
    } else {
        Ok("check that it runs and can be reached from here")
    }
}

fn of_database(error: &dyn DatabaseError) -> Result<&'static str, &'static str> {
    let code = error.code().unwrap_or_default();
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        of_postgres(&code)
    } else {
        // The low byte of an extended result code is the primary one: https://www.sqlite.org/rescode.html
        of_sqlite(code.parse::<i64>().unwrap_or_default() & 0xff)
    }
}

/// By class of SQLSTATE: https://www.postgresql.org/docs/current/errcodes-appendix.html
fn of_postgres(state: &str) -> Result<&'static str, &'static str> {
    match (state.get(..2).unwrap_or_default(), state) {
        (_, "25006") => Ok("the server is read-only at present: give the address of the primary"),
        ("08" | "57", _) => Ok("the server is stopping, starting or cancelling: it is tried again"),
        ("40" | "55", _) => Ok("another session holds what is needed: it is tried again"),
        ("53", _) => Ok("the server is out of disk, memory or connections: free some"),
        ("28" | "3D", _) => Err("check user, password and database name in the URL"),
        ("42", _) => Err("the user needs the rights to create and write tables in the schema"),
        _ => Err("see the server's message"),
    }
}

fn of_sqlite(code: i64) -> Result<&'static str, &'static str> {
    match code {
        5 | 6 => Ok("another process holds the file: it is tried again"),
        10 => Ok("reading or writing the file failed: check the disk"),
        13 => Ok("the disk is full: free some space"),
        3 | 8 => Err("the file cannot be written: check its permissions and its directory's"),
        14 => Err("the file cannot be opened: its directory must exist and be writable"),
        11 | 26 => Err("the file is damaged or no SQLite database: restore it, or move it away to start anew"),
        _ => Err("see SQLite's message"),
    }
}

/// Sorts a migration's error.
pub(super) fn migration(place: &str, source: MigrateError) -> StoreError {
    if let MigrateError::Execute(source) = source {
        return classify(Doing::Open, place, source);
    }
    let newer = matches!(source, MigrateError::VersionMissing(_) | MigrateError::VersionTooNew(..));
    let hint = if newer {
        "a newer afterimage wrote it; use that version or another store"
    } else {
        "an upgrade was interrupted or changed by hand; restore a backup, or use another store"
    };
    StoreError::Migration { place: place.to_owned(), hint, source }
}
