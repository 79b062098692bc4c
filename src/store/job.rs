//! Audits that were not judged to their end: what is known already, so that the same command goes on.

use super::Failure;
use super::error::{Doing, StoreError};
use super::{Backend, Store, bounded};
use crate::model::Wall;

/// An audit that was begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditJob {
    /// Which command it is.
    pub id: String,
    /// What it judged, so that a change of it is seen.
    pub input: String,
    /// When it was begun.
    pub started: Wall,
}

/// Input and start of a job, and what was kept of it.
pub(super) type Found = (Option<(String, i64)>, Vec<(Vec<u8>,)>);

pub(super) const BEGIN: &str =
    "INSERT INTO afterimage_audit (id, input, started) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
pub(super) const APPEND: &str = "INSERT INTO afterimage_audit_judged (audit, number, keys)
     SELECT $1, coalesce(max(number), 0) + 1, $2 FROM afterimage_audit_judged WHERE audit = $1";
pub(super) const FIND: &str = "SELECT input, started FROM afterimage_audit WHERE id = $1";
pub(super) const JUDGED: &str = "SELECT keys FROM afterimage_audit_judged WHERE audit = $1 ORDER BY number";
pub(super) const FORGET: [&str; 2] =
    ["DELETE FROM afterimage_audit_judged WHERE audit = $1", "DELETE FROM afterimage_audit WHERE id = $1"];

impl Store {
    /// Keeps that these keys of an audit have their verdicts, beside those kept before.
    ///
    /// # Errors
    /// When the store did not take them.
    pub async fn keep_audit(&self, job: &AuditJob, keys: &[u8]) -> Result<(), StoreError> {
        let kept: Result<(), Failure> = match &self.backend {
            Backend::Sqlite(backend) => bounded(backend.keep_audit(job, keys)).await,
            Backend::Postgres(backend) => bounded(backend.keep_audit(job, keys)).await,
        };
        kept.map_err(|failure| failure.at(Doing::Write, self.place()))
    }

    /// An audit that was begun and not ended, and what was kept of it, oldest first.
    ///
    /// # Errors
    /// When the store did not answer.
    pub async fn audit(&self, id: &str) -> Result<Option<(AuditJob, Vec<Vec<u8>>)>, StoreError> {
        let found: Result<_, Failure> = match &self.backend {
            Backend::Sqlite(backend) => bounded(backend.audit(id)).await,
            Backend::Postgres(backend) => bounded(backend.audit(id)).await,
        };
        let found: Found = found.map_err(|failure| failure.at(Doing::Read, self.place()))?;
        let keys = found.1.into_iter().map(|(keys,)| keys).collect();
        let job = found.0.map(|(input, started)| AuditJob { id: id.to_owned(), input, started: Wall(started) });
        Ok(job.map(|job| (job, keys)))
    }

    /// Forgets an audit: it was judged to its end, or is begun anew.
    ///
    /// # Errors
    /// When the store did not take it.
    pub async fn forget_audit(&self, id: &str) -> Result<(), StoreError> {
        let forgotten: Result<(), Failure> = match &self.backend {
            Backend::Sqlite(backend) => bounded(backend.forget_audit(id)).await,
            Backend::Postgres(backend) => bounded(backend.forget_audit(id)).await,
        };
        forgotten.map_err(|failure| failure.at(Doing::Write, self.place()))
    }
}
