//! Each channel against a server that checks what it is sent.

use std::collections::BTreeMap;

use wiremock::matchers::{header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::report::trial;

const NOW: Wall = Wall(1_795_341_600_000);
const KEY: &str = "0123456789abcdef0123456789abcdef";

fn alert() -> Alert {
    trial::alert(Status::Firing, NOW)
}

fn all(server: &str) -> Vec<(Destination, &'static str)> {
    let url = |path: &str| SecretString::from(format!("{server}{path}"));
    vec![
        (Destination::Webhook { url: url("/hook?token=t0ken"), secret: Some("s3cret".into()) }, "/hook"),
        (Destination::Slack { url: url("/services/T0/B0/xyz") }, "/services/T0/B0/xyz"),
        (Destination::Pagerduty { url: url("/v2/enqueue"), routing_key: KEY.into() }, "/v2/enqueue"),
        (Destination::Alertmanager { url: url(""), token: Some("t0ken".into()) }, "/api/v2/alerts"),
    ]
}

#[tokio::test]
async fn a_message_goes_where_its_receiver_listens() {
    let server = MockServer::start().await;
    for (to, place) in all(&server.uri()) {
        let posted = Mock::given(method("POST")).and(path(place)).and(header("content-type", "application/json"));
        posted.respond_with(ResponseTemplate::new(202).set_body_string("ok")).expect(1).mount(&server).await;
        let said = Channel::new(to, None).unwrap().deliver(alert(), NOW).await.unwrap();
        assert_eq!(said, "202 ok");
    }
}

#[tokio::test]
async fn an_answer_says_what_waits_and_for_how_long() {
    for (status, asked, expected) in [
        (429, Some("30"), (Blame::Channel, Some(Duration::from_secs(30)))),
        (503, None, (Blame::Channel, None)),
        (404, None, (Blame::Channel, None)),
        (400, None, (Blame::Message, None)),
    ] {
        let server = MockServer::start().await;
        let answer = ResponseTemplate::new(status).set_body_string("invalid_payload");
        let answer = asked.into_iter().fold(answer, |answer, asked| answer.insert_header("retry-after", asked));
        Mock::given(method("POST")).respond_with(answer).mount(&server).await;
        for (to, _) in all(&server.uri()) {
            let error = Channel::new(to, None).unwrap().deliver(alert(), NOW).await.unwrap_err();
            assert_eq!(error.blame(), expected, "{error}");
            assert!(error.to_string().contains(&format!("answered {status} invalid_payload: ")), "{error}");
        }
    }
}

#[tokio::test]
async fn secrets_are_in_no_answer_and_no_error() {
    let server = MockServer::start().await;
    for (to, place) in all(&server.uri()) {
        let channel = Channel::new(to, None).unwrap();
        let echo: Vec<String> = channel.secrets().iter().map(|secret| secret.expose_secret().to_owned()).collect();
        let answer = ResponseTemplate::new(401).set_body_string(echo.join(" and "));
        Mock::given(path(place)).respond_with(answer).mount(&server).await;
        let error = channel.deliver(alert(), NOW).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(echo.iter().all(|secret| !told.contains(secret.as_str())) && told.contains("***"), "{told}");
    }
    for (to, _) in all("http://127.0.0.1:1") {
        let error = Channel::new(to, None).unwrap().deliver(alert(), NOW).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(told.contains("cannot be reached"), "{told}");
        assert!(["t0ken", "s3cret", "xyz", KEY].iter().all(|secret| !told.contains(secret)), "{told}");
    }
    let wrong = Channel::new(Destination::Slack { url: "t0ken is no address".into() }, None).err().unwrap();
    assert!(!format!("{wrong} {wrong:?}").contains("t0ken"), "{wrong:?}");
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = MockServer::start().await;
    let away = ResponseTemplate::new(307).insert_header("location", format!("{}/away", server.uri()));
    Mock::given(path("/hook")).respond_with(away).mount(&server).await;
    Mock::given(path("/away")).respond_with(ResponseTemplate::new(200)).expect(0).mount(&server).await;
    let (to, _) = all(&server.uri()).remove(0);
    let error = Channel::new(to, None).unwrap().deliver(alert(), NOW).await.unwrap_err();
    assert!(error.to_string().contains("redirects are not followed"), "{error}");
}

#[tokio::test]
async fn a_wrong_property_of_kafka_is_told_at_once() {
    let properties = BTreeMap::from([("sasl.pasword".to_owned(), SecretString::from("s3cret"))]);
    let to = Destination::Kafka { brokers: "127.0.0.1:1".to_owned(), topic: "alerts".to_owned(), properties };
    let error = Channel::new(to, None).err().unwrap();
    let told = format!("{error} {error:?}");
    assert!(told.contains("sasl.pasword") && !told.contains("s3cret"), "{told}");
}
