//! What an error of a driver means for the one who asked.
//!
//! The class decides: unreachable is tried again, changed means that metadata must be read again, refused is for the
//! operator. Messages of a database may quote values, so they are kept only where the class rules that out.

use super::TargetError;

/// What a database's own error code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Try again.
    Unreachable(&'static str),
    /// Read the metadata again.
    Changed(&'static str),
    /// For the operator.
    Refused(&'static str),
}

/// Reads the error of a driver. `table` is what was asked for, `by_code` knows the engine's codes.
pub(super) fn classify(
    table: &str,
    by_code: fn(&dyn sqlx::error::DatabaseError) -> Class,
    error: sqlx::Error,
) -> TargetError {
    let class = match &error {
        sqlx::Error::Database(database) => by_code(database.as_ref()),
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
            Class::Unreachable("the connection was lost; it is opened again")
        }
        sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => {
            Class::Unreachable("no connection came up in time; check that the server runs and accepts connections")
        }
        sqlx::Error::BeginFailed => Class::Unreachable("the server ended the transaction; it is begun again"),
        sqlx::Error::Tls(_) => {
            Class::Refused("TLS could not be agreed on; check `sslmode` and the certificates in the URL")
        }
        sqlx::Error::Configuration(_) | sqlx::Error::InvalidArgument(_) => Class::Refused("the URL is not right"),
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::TypeNotFound { .. } => {
            Class::Changed("a column is not of the type it was")
        }
        sqlx::Error::RowNotFound
        | sqlx::Error::ColumnIndexOutOfBounds { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Encode(_)
        | sqlx::Error::AnyDriverError(_)
        | sqlx::Error::Migrate(_)
        | sqlx::Error::InvalidSavePointStatement
        | _ => Class::Refused("the driver could not read the answer"),
    };
    told(class, table, error)
}

/// No index keeps the order in which a table's keys would be read.
pub(super) fn unordered(table: &str) -> TargetError {
    refused(format!(
        "the rows of `{table}` cannot be read in pages: no index keeps its key's order as values are compared"
    ))
}

fn told(class: Class, table: &str, error: sqlx::Error) -> TargetError {
    match class {
        Class::Unreachable(hint) => TargetError::Unreachable { hint: hint.to_owned(), source: Some(error) },
        Class::Changed(hint) => {
            TargetError::Changed { table: table.to_owned(), hint: with_code(hint, &error), source: None }
        }
        Class::Refused(hint) => TargetError::Refused { hint: hint.to_owned(), source: Some(error) },
    }
}

fn with_code(hint: &str, error: &sqlx::Error) -> String {
    match error.as_database_error().and_then(sqlx::error::DatabaseError::code) {
        Some(code) => format!("{hint} (error code {code})"),
        None => hint.to_owned(),
    }
}

/// The answer did not come within the statement timeout and its margin.
pub(super) fn timed_out() -> TargetError {
    TargetError::Unreachable { hint: "the server did not answer in time".to_owned(), source: None }
}

/// Another server answers than the one that was read so far.
pub(super) fn moved() -> TargetError {
    let hint = "another server answers there than before: it is looked at before anything is read from it".to_owned();
    TargetError::Unreachable { hint, source: None }
}

/// The metadata that the question was built on does not fit the answer.
pub(super) fn changed(table: &str, hint: &str) -> TargetError {
    TargetError::Changed { table: table.to_owned(), hint: hint.to_owned(), source: None }
}

/// For the operator.
pub(super) fn refused(hint: impl Into<String>) -> TargetError {
    TargetError::Refused { hint: hint.into(), source: None }
}

/// Whether the server knows what was asked for and does not let this user see it: 42501 of PostgreSQL, and the errors of MySQL
/// about a table or a column.
pub(super) fn is_denied(error: &TargetError) -> bool {
    let TargetError::Refused { source: Some(sqlx::Error::Database(error)), .. } = error else { return false };
    match error.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>() {
        Some(error) => matches!(error.number(), 1142 | 1143),
        None => error.code().as_deref() == Some("42501"),
    }
}

/// Whether a fresh connection may help at once: the old one was lost. Waiting for a pool or a statement that timed out is
/// not repeated here, since it has waited already.
pub(super) fn lost_connection(error: &TargetError) -> bool {
    match error {
        TargetError::Unreachable { source: Some(sqlx::Error::Io(_) | sqlx::Error::Protocol(_)), .. } => true,
        TargetError::Unreachable { source: Some(sqlx::Error::Database(error)), .. } => {
            error.code().is_some_and(|code| code.starts_with("08") || code.starts_with("57P"))
        }
        TargetError::Unreachable { .. } | TargetError::Changed { .. } | TargetError::Refused { .. } => false,
    }
}

/// Whether the connection may have lost its bearings and must not be used again.
pub(super) fn spoils_connection(error: &TargetError) -> bool {
    match error {
        TargetError::Unreachable { .. } | TargetError::Changed { .. } => true,
        TargetError::Refused { .. } => false,
    }
}
