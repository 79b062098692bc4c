//! What the answers of receivers mean, by their own documents.

use std::time::Duration;

use chrono::DateTime;

use super::Refusal;
use crate::config::alert::Destination;
use crate::model::Wall;

/// What a status that is no success means, and what to do about it.
pub(super) fn understood(
    to: &Destination,
    status: u16,
    asked: Option<Duration>,
    said: &str,
) -> (Refusal, &'static str) {
    // Request timeout, too early, too many requests, and every failure of the receiver's own.
    if matches!(status, 408 | 425 | 429 | 500..) {
        return (Refusal::Passing(asked), "it is tried again");
    }
    let has = |word: &str| said.contains(word);
    match (to, status) {
        (Destination::Slack { .. }, 400) if has("user_not_found") || has("no_team") => {
            (Refusal::Channel, "make a new incoming webhook, and set its `url`")
        }
        (Destination::Slack { .. }, 403 | 404 | 410) => {
            (Refusal::Channel, "the webhook was revoked or its channel is gone: make a new one, and set its `url`")
        }
        (Destination::Pagerduty { .. }, 400) if has("routing_key") => {
            (Refusal::Channel, "check the routing key: it is that of an Events API v2 integration")
        }
        (Destination::Alertmanager { .. }, 404 | 405) => {
            (Refusal::Channel, "check its `url`: the server's address, with its path prefix where it has one")
        }
        (_, 400 | 413 | 422) => (Refusal::Message, "this message is not understood; others are sent"),
        (_, 401 | 403 | 407) => (Refusal::Channel, "check its address and its `secret`"),
        (_, 300..400) => (Refusal::Channel, "redirects are not followed: set `url` to where it leads"),
        (_, _) => (Refusal::Channel, "check its address, its secret, and its own log"),
    }
}

/// How long a receiver asks to wait: seconds, or a moment as HTTP writes it.
pub(super) fn retry_after(text: &str, now: Wall) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = DateTime::parse_from_rfc2822(text).ok()?.timestamp_millis();
    Some(Duration::from_millis(u64::try_from(until.saturating_sub(now.0)).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_waits_for_somebody() {
        let url = || "https://h".into();
        let slack = Destination::Slack { url: url() };
        let pager = Destination::Pagerduty { url: url(), routing_key: "k".into() };
        let webhook = Destination::Webhook { url: url(), secret: None };
        let manager = Destination::Alertmanager { url: url(), token: None };
        let rows = [
            (&slack, 400, "invalid_payload", Refusal::Message),
            (&slack, 403, "invalid_token", Refusal::Channel),
            (&slack, 404, "no_service", Refusal::Channel),
            (&slack, 410, "channel_is_archived", Refusal::Channel),
            (&slack, 500, "rollup_error", Refusal::Passing(None)),
            (&pager, 400, "Length of 'routing_key' is incorrect", Refusal::Channel),
            (&pager, 400, "'payload.severity' is invalid", Refusal::Message),
            (&pager, 503, "", Refusal::Passing(None)),
            (&manager, 400, "bad label", Refusal::Message),
            (&manager, 404, "", Refusal::Channel),
            (&webhook, 301, "", Refusal::Channel),
            (&webhook, 401, "", Refusal::Channel),
            (&webhook, 413, "", Refusal::Message),
            (&webhook, 408, "", Refusal::Passing(None)),
        ];
        for (to, status, said, expected) in rows {
            assert_eq!(understood(to, status, None, said).0, expected, "{} {status} {said}", to.word());
        }
        let asked = Some(Duration::from_secs(30));
        assert_eq!(understood(&slack, 429, asked, "").0, Refusal::Passing(asked));
    }

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_as_a_moment() {
        let now = Wall(1_445_412_470_000);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:27:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
