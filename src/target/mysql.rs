//! Mysql.

/// A Mysql target.
#[derive(Debug, Clone)]
pub struct Mysql;
