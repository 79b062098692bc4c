//! Alertmanager's API v2: `POST /api/v2/alerts`, one alert a group.
//!
//! Alertmanager keeps nothing over a restart of its own, and calls resolved what it does not hear of again: without `endsAt`
//! after its `resolve_timeout`, else at `endsAt`. So what stands is said again every minute, and holds for an hour, so that
//! neither its restart nor an upgrade of ours resolves what is still wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{Request, brief, command};
use crate::model::Wall;
use crate::model::finding::Kind;
use crate::report::alert::{Alert, Status};
use crate::report::group::after;

/// How often what stands is said again: clients are asked to, every 30 seconds to 3 minutes.
pub(super) const AGAIN: Duration = Duration::from_secs(60);

/// How long what was said holds.
const HOLDS: Duration = Duration::from_secs(3_600);

const PATH: &str = "/api/v2/alerts";

/// Labels tell alerts apart, so they must not change while one stands: counts are annotations.
pub(super) fn request(
    alert: &Alert,
    token: Option<&SecretString>,
    url: &SecretString,
    now: Wall,
) -> Result<Request, serde_json::Error> {
    let kind = alert.kind.map_or("findings", Kind::word);
    let severity = alert.severity.to_string();
    let mut labels = BTreeMap::from([
        ("alertname", format!("afterimage_{kind}")),
        ("pipeline", alert.pipeline.clone()),
        ("severity", severity),
    ]);
    labels.extend(alert.table.clone().map(|table| ("table", table)));
    labels.extend(alert.kind.map(|kind| ("kind", kind.word().to_owned())));
    // An empty label is none to Alertmanager.
    labels.retain(|_, value| !value.is_empty());
    let findings: Vec<String> = alert.findings.iter().map(brief).collect();
    let counts = format!("{} new, {} over, {} open", alert.opened, alert.closed, alert.open);
    let mut annotations =
        BTreeMap::from([("summary", alert.text.clone()), ("counts", counts), ("command", command(alert))]);
    if !findings.is_empty() {
        annotations.insert("description", findings.join("\n"));
    }
    let ends_at = match alert.status {
        Status::Firing => after(now, HOLDS),
        Status::Resolved => now,
    };
    let starts_at = Wall(alert.since.0.min(now.0));
    let one = json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": starts_at.rfc3339(),
        "endsAt": ends_at.rfc3339(),
    });
    let path = if url.expose_secret().trim_end_matches('/').ends_with(PATH) { "" } else { PATH };
    let mut request = Request { path, ..Request::json(&[one])? };
    request.headers.extend(token.map(|token| ("authorization", format!("Bearer {}", token.expose_secret()))));
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::trial;
    use serde_json::Value;

    const NOW: Wall = Wall(1_795_341_600_000);

    fn sent(alert: &Alert, now: Wall) -> Request {
        request(alert, Some(&"t0ken".into()), &"http://am:9093/".into(), now).unwrap()
    }

    fn body(alert: &Alert, now: Wall) -> Value {
        serde_json::from_str(&sent(alert, now).body).unwrap()
    }

    #[test]
    fn an_alert_stands_until_it_is_resolved() {
        let alert = trial::alert(Status::Firing, NOW).worded(None);
        let request = sent(&alert, NOW);
        assert_eq!((request.method, request.path), ("POST", "/api/v2/alerts"));
        let json = ("content-type", "application/json".to_owned());
        assert_eq!(request.headers, [json, ("authorization", "Bearer t0ken".to_owned())]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&body(&alert, NOW)).unwrap(), @r#"
        [
          {
            "annotations": {
              "command": "afterimage findings show 00000000",
              "counts": "1 new, 0 over, 1 open",
              "description": "00000000 key {\"id\":42} at sample/0:991 (insert_delete_merge): a sample sent by `afterimage alerts test`: nothing is wrong",
              "summary": "[info] unapplied_delete in sample, sample.customers: 1 new, 0 over, 1 open"
            },
            "endsAt": "2026-11-22T11:00:00.000Z",
            "labels": {
              "alertname": "afterimage_unapplied_delete",
              "kind": "unapplied_delete",
              "pipeline": "sample",
              "severity": "info",
              "table": "sample.customers"
            },
            "startsAt": "2026-11-22T10:00:00.000Z"
          }
        ]
        "#);
    }

    #[test]
    fn what_is_said_again_is_the_same_alert() {
        let firing = trial::alert(Status::Firing, NOW).worded(None);
        let later = Wall(NOW.0 + 60_000);
        let again = Alert { opened: 0, open: 7, findings: vec![], ..firing.clone() };
        let (first, again) = (body(&firing, NOW), body(&again, later));
        assert_eq!((&first[0]["labels"], &first[0]["startsAt"]), (&again[0]["labels"], &again[0]["startsAt"]));
        assert_eq!(again[0]["endsAt"], "2026-11-22T11:01:00.000Z");
        let over = body(&Alert { status: Status::Resolved, ..firing }, later);
        assert_eq!((&over[0]["labels"], &over[0]["endsAt"]), (&first[0]["labels"], &json!("2026-11-22T10:01:00.000Z")));
    }

    #[test]
    fn an_address_may_hold_the_path_already() {
        let alert = trial::alert(Status::Firing, NOW);
        let request = request(&alert, None, &"http://am/prefix/api/v2/alerts".into(), NOW).unwrap();
        assert_eq!((request.path, request.headers.len()), ("", 1));
    }
}
