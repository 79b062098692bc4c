//! The judge's branches, one script each.

mod bench;
mod causes;
mod coercion;
mod commits;
mod counted;
mod left_out;
mod life;
mod patrol;
mod recall;
mod replan;
mod rewind;
mod rows;
mod scan;
mod scopes;
mod shelf;
mod tally;

use bench::{Bench, check};

use crate::model::Op;
use crate::model::finding::{Finding, Subject};

/// State, kind, cause, proof and place of a finding.
fn said(finding: &Finding) -> String {
    let (state, kind) = (finding.state, finding.kind);
    match &finding.subject {
        Subject::Row { expected, .. } => {
            let proof = finding.proof.map(|proof| format!(" {proof}")).unwrap_or_default();
            format!("{state} {kind} {}{proof} @{}", finding.cause, expected.at.offset)
        }
        Subject::Record { at, .. } => format!("{state} {kind} @{}", at.offset),
        Subject::Table { op, .. } => format!("{state} {kind} {} {}", finding.cause, op.map_or("", Op::word)),
        Subject::Column { column, .. } => format!("{state} {kind} {} {column}", finding.cause),
        Subject::Scope { at, .. } => {
            let at = at.map(|at| format!(" @{}", at.offset)).unwrap_or_default();
            format!("{state} {kind}{at}")
        }
    }
}
