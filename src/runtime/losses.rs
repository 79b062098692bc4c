//! What a tap says of records that were gone, for the findings that the engine makes of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Position;
use crate::model::finding::{Finding, Kind, Subject};

/// Gaps whose reason is kept: each is a sentence of some hundred bytes. Findings past that say what the engine knows.
const KEPT: usize = 10_000;

/// Reasons by the first missing offset.
#[derive(Debug, Clone, Default)]
pub(super) struct Losses(Arc<Mutex<BTreeMap<Position, String>>>);

impl Losses {
    /// Keeps what the tap said.
    pub(super) fn keep(&self, at: Position, why: Option<&str>) {
        let Some(why) = why else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() < KEPT {
            known.insert(at, why.to_owned());
        }
    }

    /// Adds to a `coverage_gap` finding what the tap said.
    pub(super) fn explain(&self, finding: &mut Finding) {
        if finding.kind != Kind::CoverageGap {
            return;
        }
        let Subject::Scope { at: Some(at), detail } = &mut finding.subject else { return };
        if let Some(why) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(at) {
            detail.push_str(": ");
            detail.push_str(why);
        }
    }
}
