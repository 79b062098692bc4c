//! Sqlite.

/// A Sqlite target.
#[derive(Debug, Clone)]
pub struct Sqlite;
