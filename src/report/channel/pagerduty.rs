//! `PagerDuty`'s Events API v2: `trigger` and `resolve`, one incident a group.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Request, brief, command};
use crate::model::finding::Severity;
use crate::report::alert::{Alert, Status};
use crate::report::text::shortened;

/// The bound of a summary, in characters.
const SUMMARY_LENGTH: usize = 1_024;

/// Names of pipelines and tables are bounded by nothing else, and an event may have 512 KiB.
const NAME_LENGTH: usize = 1_024;

pub(super) fn request(alert: &Alert, routing_key: &SecretString) -> Result<Request, serde_json::Error> {
    let action = match alert.status {
        Status::Firing => "trigger",
        Status::Resolved => "resolve",
    };
    let severity = match alert.severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    let name = |text: &str| shortened(text, NAME_LENGTH);
    let findings: Vec<String> = alert.findings.iter().map(brief).collect();
    let mut payload = json!({
        "summary": shortened(&alert.text, SUMMARY_LENGTH),
        "source": name(&alert.pipeline),
        "severity": severity,
        "timestamp": alert.since.rfc3339(),
        "group": name(&alert.pipeline),
        "custom_details": {
            "opened": alert.opened, "closed": alert.closed, "open": alert.open,
            "findings": findings, "command": command(alert),
        },
    });
    // What an event does not have is left out: a null is no text to the receiver.
    if let Some(table) = &alert.table {
        payload["component"] = name(table).into();
    }
    if let Some(kind) = alert.kind {
        payload["class"] = kind.word().into();
    }
    Request::json(&json!({
        "routing_key": routing_key.expose_secret(),
        "event_action": action,
        "dedup_key": format!("afterimage/{}", alert.id),
        "client": "afterimage",
        "payload": payload,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Wall;
    use crate::report::trial;
    use serde_json::Value;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn body(alert: &Alert) -> Value {
        serde_json::from_str(&request(alert, &KEY.into()).unwrap().body).unwrap()
    }

    #[test]
    fn an_event_triggers_and_resolves_one_incident() {
        let alert = trial::alert(Status::Firing, Wall(1_795_341_600_000)).worded(None);
        let trigger = body(&alert);
        insta::assert_snapshot!(serde_json::to_string_pretty(&trigger).unwrap(), @r#"
        {
          "client": "afterimage",
          "dedup_key": "afterimage/aa313c5f1a34cfe92be88a865b3594ad",
          "event_action": "trigger",
          "payload": {
            "class": "unapplied_delete",
            "component": "sample.customers",
            "custom_details": {
              "closed": 0,
              "command": "afterimage findings show 00000000",
              "findings": [
                "00000000 key {\"id\":42} at sample/0:991 (insert_delete_merge): a sample sent by `afterimage alerts test`: nothing is wrong"
              ],
              "open": 1,
              "opened": 1
            },
            "group": "sample",
            "severity": "info",
            "source": "sample",
            "summary": "[info] unapplied_delete in sample, sample.customers: 1 new, 0 over, 1 open",
            "timestamp": "2026-11-22T10:00:00.000Z"
          },
          "routing_key": "0123456789abcdef0123456789abcdef"
        }
        "#);
        let resolve = body(&trial::alert(Status::Resolved, Wall(0)).worded(None));
        assert_eq!((&resolve["event_action"], &resolve["dedup_key"]), (&json!("resolve"), &trigger["dedup_key"]));
    }

    #[test]
    fn each_severity_has_its_word_and_a_summary_its_bound() {
        let alert = trial::alert(Status::Firing, Wall(0));
        for (severity, word) in
            [(Severity::Info, "info"), (Severity::Warning, "warning"), (Severity::Critical, "critical")]
        {
            assert_eq!(body(&Alert { severity, ..alert.clone() })["payload"]["severity"], word);
        }
        let bare = body(&Alert { kind: None, table: None, ..alert.clone() });
        assert!(bare["payload"].get("class").is_none() && bare["payload"].get("component").is_none(), "{bare}");
        let long = body(&Alert { text: "é".repeat(2_000), ..alert });
        assert_eq!(long["payload"]["summary"].as_str().unwrap().chars().count(), SUMMARY_LENGTH);
    }
}
