//! Slack's incoming webhooks: `text` for notifications and `blocks` for the channel.
//!
//! Slack refuses a message with a block past its bounds (`invalid_blocks`), so each is cut: 3,000 characters of a section,
//! 2,000 of a field. `&`, `<` and `>` are escaped, so that no value becomes a mention or a link.

use serde_json::{Value, json};

use super::{Request, brief, command};
use crate::report::alert::{Alert, Status};
use crate::report::text::shortened;

/// The bound of a section's text, in characters.
const SECTION_LENGTH: usize = 3_000;

/// The bound of a section's field.
const FIELD_LENGTH: usize = 2_000;

pub(super) fn request(alert: &Alert) -> Result<Request, serde_json::Error> {
    let sign = match alert.status {
        Status::Firing => ":rotating_light:",
        Status::Resolved => ":white_check_mark:",
    };
    let mut blocks = vec![section(&format!("{sign} {}", cut(&alert.text, SECTION_LENGTH - sign.len() - 1)))];
    let field = |name: &str, value: &str| {
        let value = cut(value, FIELD_LENGTH - name.len() - 3);
        json!({ "type": "mrkdwn", "text": format!("*{name}*\n{value}") })
    };
    let mut fields = vec![field("Pipeline", &alert.pipeline)];
    fields.extend(alert.table.as_ref().map(|table| field("Table", table)));
    fields.extend(alert.kind.map(|kind| field("Kind", kind.word())));
    fields.push(field("Severity", &alert.severity.to_string()));
    fields.push(field("Open now", &alert.open.to_string()));
    fields.push(field("Since", &alert.since.rfc3339()));
    blocks.push(json!({ "type": "section", "fields": fields }));
    if !alert.findings.is_empty() {
        let lines: Vec<String> = alert.findings.iter().map(|finding| format!("• {}", brief(finding))).collect();
        blocks.push(section(&cut(&lines.join("\n"), SECTION_LENGTH)));
    }
    let hint = json!({ "type": "mrkdwn", "text": format!("`{}`", command(alert)) });
    blocks.push(json!({ "type": "context", "elements": [hint] }));
    Request::json(&json!({ "text": cut(&alert.text, SECTION_LENGTH), "blocks": blocks }))
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}

/// Escaped as Slack asks for, and at most so many characters after that.
fn cut(text: &str, limit: usize) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let whole = escaped(text);
    if whole.chars().count() <= limit {
        return whole;
    }
    // An escape is five characters at most.
    let fits = |length: usize| escaped(&shortened(text, length)).chars().count() <= limit;
    let length = (limit / 5..=limit).rev().find(|length| fits(*length)).unwrap_or(limit / 5);
    escaped(&shortened(text, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Wall;
    use crate::report::document::Document;
    use crate::report::trial;

    fn body(alert: &Alert) -> Value {
        serde_json::from_str(&request(alert).unwrap().body).unwrap()
    }

    #[test]
    fn a_message_has_a_text_and_blocks() {
        let alert = trial::alert(Status::Firing, Wall(1_795_341_600_000)).worded(None);
        let request = request(&alert).unwrap();
        assert_eq!((request.method, request.path), ("POST", ""));
        assert_eq!(request.headers, [("content-type", "application/json".to_owned())]);
        insta::assert_snapshot!(serde_json::to_string_pretty(&body(&alert)).unwrap(), @r#"
        {
          "blocks": [
            {
              "text": {
                "text": ":rotating_light: [info] unapplied_delete in sample, sample.customers: 1 new, 0 over, 1 open",
                "type": "mrkdwn"
              },
              "type": "section"
            },
            {
              "fields": [
                {
                  "text": "*Pipeline*\nsample",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Table*\nsample.customers",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Kind*\nunapplied_delete",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Severity*\ninfo",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Open now*\n1",
                  "type": "mrkdwn"
                },
                {
                  "text": "*Since*\n2026-11-22T10:00:00.000Z",
                  "type": "mrkdwn"
                }
              ],
              "type": "section"
            },
            {
              "text": {
                "text": "• 00000000 key {\"id\":42} at sample/0:991 (insert_delete_merge): a sample sent by `afterimage alerts test`: nothing is wrong",
                "type": "mrkdwn"
              },
              "type": "section"
            },
            {
              "elements": [
                {
                  "text": "`afterimage findings show 00000000`",
                  "type": "mrkdwn"
                }
              ],
              "type": "context"
            }
          ],
          "text": "[info] unapplied_delete in sample, sample.customers: 1 new, 0 over, 1 open"
        }
        "#);
        let over = body(&trial::alert(Status::Resolved, Wall(0)).worded(None));
        assert!(over["blocks"][0]["text"]["text"].as_str().unwrap().starts_with(":white_check_mark: [info]"), "{over}");
    }

    #[test]
    fn no_value_becomes_a_mention_and_none_grows_past_the_bounds() {
        let mut alert = trial::alert(Status::Firing, Wall(0));
        let finding = Document { evidence: "<!channel> & ".repeat(900), ..alert.findings[0].clone() };
        alert.findings = vec![finding; 10];
        alert.table = Some("<".repeat(5_000));
        alert.text = "&".repeat(9_000);
        let body = body(&alert);
        assert!(!body.to_string().contains("<!"), "{body}");
        let lengths = |value: &Value| value.as_str().unwrap().chars().count();
        assert!(lengths(&body["text"]) <= SECTION_LENGTH);
        for block in body["blocks"].as_array().unwrap() {
            let fields = block["fields"].as_array().into_iter().flatten();
            assert!(fields.clone().count() <= 10 && fields.clone().all(|one| lengths(&one["text"]) <= FIELD_LENGTH));
            assert!(block["text"].is_null() || lengths(&block["text"]["text"]) <= SECTION_LENGTH);
        }
    }
}
