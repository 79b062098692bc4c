//! Postgres.

/// A Postgres target.
#[derive(Debug, Clone)]
pub struct Postgres;
