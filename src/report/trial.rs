//! The message that tries a channel: recognisably a sample, with everything in it that a real one has.

use super::alert::{Alert, Status};
use super::document::Document;
use super::group::{GroupKey, News};
use crate::model::Wall;
use crate::model::finding::{Kind, Severity};

const FINDING: &str = r#"{
    "schema": "afterimage.finding/1", "id": "00000000000000000000000000000000", "pipeline": "sample",
    "table": "sample.customers", "key": { "id": 42 }, "kind": "unapplied_delete", "cause": "insert_delete_merge",
    "severity": "info", "state": "open",
    "expected": { "op": "delete", "row": null, "at": { "tap": "kafka", "topic": "sample", "partition": 0, "offset": 991,
        "source": null, "committed_at": null } },
    "observed": null, "columns": [], "versions_behind": 1, "proof": null,
    "evidence": "a sample sent by `afterimage alerts test`: nothing is wrong",
    "first_seen": "2026-01-01T00:00:00.000Z", "last_seen": "2026-01-01T00:00:00.000Z", "observations": 1,
    "healed_at": null, "note": null
}"#;

/// A message of one sample finding that opened, or is over.
///
/// # Panics
/// Never: the sample is a finding.
#[must_use]
pub fn alert(status: Status, now: Wall) -> Alert {
    let finding: Document = serde_json::from_str(FINDING).expect("the sample has the documented shape");
    let finding = Document { first_seen: now, last_seen: now, ..finding };
    let group = GroupKey {
        pipeline: finding.pipeline.clone(),
        table: finding.table.clone(),
        kind: Some(Kind::UnappliedDelete),
    };
    let (opened, closed, open) = match status {
        Status::Firing => (1, 0, 1),
        Status::Resolved => (0, 1, 0),
    };
    let news = News { opened, closed, worst: Some(Severity::Info), since: Some(now), ..News::none("", group) };
    news.alert(open, vec![finding])
}
