//! Alerts posted to a web address as JSON (`schemas/alert.json`), signed.
//!
//! `X-Afterimage-Timestamp` is the second of the attempt since the Unix epoch. With a secret, `X-Afterimage-Signature` is
//! `v1=` and the hex HMAC-SHA256, under that secret, of the timestamp, a dot and the body. A receiver checks the signature,
//! refuses timestamps that are minutes off, and forgets repetitions of `X-Afterimage-Delivery`, which stays the same when a
//! message is tried again.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Request;
use crate::model::Wall;
use crate::report::alert::Alert;

/// Larger bodies lose findings from their end; the counts still tell of them. Common receivers take 1 MiB.
const BODY_LIMIT_BYTES: usize = 512 * 1024;

pub(super) fn request(alert: &Alert, secret: Option<&SecretString>, now: Wall) -> Result<Request, serde_json::Error> {
    let mut request = Request { body: body(alert)?, ..Request::json(&())? };
    let timestamp = now.0.div_euclid(1_000).to_string();
    let signature = secret.map(|secret| format!("v1={}", signature(secret, &timestamp, &request.body)));
    request.headers.push(("x-afterimage-timestamp", timestamp));
    request.headers.push(("x-afterimage-delivery", delivery(alert)));
    request.headers.extend(signature.map(|signature| ("x-afterimage-signature", signature)));
    Ok(request)
}

/// The alert as JSON, with as many of its findings as fit.
pub(super) fn body(alert: &Alert) -> Result<String, serde_json::Error> {
    let text = serde_json::to_string(alert)?;
    if text.len() <= BODY_LIMIT_BYTES {
        return Ok(text);
    }
    let mut shorter = alert.clone();
    shorter.findings.pop();
    if shorter.findings.len() == alert.findings.len() { Ok(text) } else { body(&shorter) }
}

/// The same for the same message, whenever and by whomever it is sent.
pub(super) fn delivery(alert: &Alert) -> String {
    let Alert { id, number, opened, closed, .. } = alert;
    let hash = Sha256::digest(format!("{id}/{number}/{opened}/{closed}/{}", alert.status.word()));
    hex(&hash[..16])
}

fn signature(secret: &SecretString, timestamp: &str, body: &str) -> String {
    let key = secret.expose_secret().as_bytes();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body.as_bytes());
    hex(&mac.finalize().into_bytes())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::alert::Status;
    use crate::report::document::Document;
    use crate::report::trial;

    const NOW: Wall = Wall(1_795_341_600_000);

    #[test]
    fn the_signature_is_what_openssl_computes() {
        // printf '1795341600.{"a":1}' | openssl dgst -sha256 -hmac s3cret
        let expected = "280c7718ad9a0e914dc8b2c1f46015a0bc487f65ae5514d2e39d40180857b0d9";
        assert_eq!(signature(&"s3cret".into(), "1795341600", r#"{"a":1}"#), expected);
    }

    #[test]
    fn a_receiver_can_check_whom_it_listens_to() {
        let alert = trial::alert(Status::Firing, NOW).worded(None);
        let request = request(&alert, Some(&"s3cret".into()), NOW).unwrap();
        let header = |name: &str| request.headers.iter().find(|(of, _)| *of == name).map(|(_, value)| value.as_str());
        assert_eq!(header("content-type"), Some("application/json"));
        assert_eq!(header("x-afterimage-timestamp"), Some("1795341600"));
        let signed = format!("v1={}", signature(&"s3cret".into(), "1795341600", &request.body));
        assert_eq!(header("x-afterimage-signature"), Some(signed.as_str()));
        assert_eq!(serde_json::from_str::<Alert>(&request.body).unwrap(), alert);
        let unsigned = super::request(&alert, None, NOW).unwrap();
        assert!(unsigned.headers.iter().all(|(name, _)| *name != "x-afterimage-signature"));
    }

    #[test]
    fn a_message_that_is_tried_again_has_the_same_name_and_no_other_has_it() {
        let alert = trial::alert(Status::Firing, NOW);
        let later = trial::alert(Status::Firing, Wall(NOW.0 + 5_000));
        assert_eq!(delivery(&alert), delivery(&later));
        let others = [
            Alert { number: 1, ..alert.clone() },
            Alert { opened: 2, ..alert.clone() },
            Alert { id: "0".repeat(32), ..alert.clone() },
        ];
        assert!(others.iter().all(|other| delivery(other) != delivery(&alert)));
    }

    #[test]
    fn a_body_loses_findings_before_it_grows_too_large() {
        let mut alert = trial::alert(Status::Firing, NOW);
        let large = Document { note: Some("x".repeat(BODY_LIMIT_BYTES / 3)), ..alert.findings[0].clone() };
        alert.findings = vec![large; 5];
        let back: Alert = serde_json::from_str(&body(&alert).unwrap()).unwrap();
        assert_eq!((back.findings.len(), back.opened), (2, alert.opened));
    }
}
