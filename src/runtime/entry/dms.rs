//! What the commands beside DMS validation ask of the runtime.

use std::io::Write;
use std::path::PathBuf;

use super::{AuditArgs, Failure, Outcome};
pub use crate::dms::{Form as ExportForm, Scope as FailureScope};

/// The table that `findings export` writes where no other is named.
pub const EXPORT_TABLE: &str = crate::dms::DEFAULT_TABLE;

/// What `findings import` is asked.
pub struct ImportArgs {
    /// How the keys are judged: everything but the keys.
    pub audit: AuditArgs,
    /// The database with the failures.
    pub url: secrecy::SecretString,
    /// Which failures.
    pub scope: FailureScope,
}

/// What `findings export` is asked.
pub struct ExportArgs {
    /// Where findings are kept.
    pub store: crate::config::Store,
    /// Only of this pipeline.
    pub pipeline: Option<String>,
    /// Where to.
    pub into: ExportInto,
    /// The table that is written: `TABLE` or `SCHEMA.TABLE`.
    pub table: String,
}

/// Where `findings export` writes.
pub enum ExportInto {
    /// A table of this database.
    Database(secrecy::SecretString),
    /// A file.
    File(PathBuf, ExportForm),
}

/// Judges anew what DMS validation has logged; what came of each failure goes to `out`. [`Outcome::Incomplete`] if some cannot be
/// told, [`Outcome::Findings`] if some are true.
///
/// # Errors
/// What kept it from reading the failures, the tap or the target, or from keeping what it found.
pub async fn import(args: ImportArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    crate::runtime::import::import(args, out).await
}

/// Writes open findings about rows in the shape of DMS's table of failures.
///
/// # Errors
/// The store cannot be used, or the table or file cannot be written.
pub async fn export(args: ExportArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    crate::runtime::export::export(args, out).await
}
