use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::view::{Check, CheckState};
use super::*;
use crate::report::Document;

/// A finding whose id is made of one digit.
pub(super) fn document(digit: &str) -> Document {
    serde_json::from_value(json!({
        "schema": "afterimage.finding/1", "id": digit.repeat(32), "pipeline": "orders", "table": "public.orders",
        "key": {"id": 42}, "kind": "missing_row", "cause": "unknown", "severity": "critical", "state": "open",
        "expected": null, "observed": null, "columns": [], "versions_behind": 1, "proof": "settled", "evidence": "",
        "first_seen": "2026-11-22T10:00:00.000Z", "last_seen": "2026-11-22T10:00:00.000Z", "observations": 2,
        "healed_at": null, "note": null
    }))
    .unwrap()
}

/// The address whose rules hold, whatever the test really listens on.
#[derive(Clone, Copy)]
pub(super) enum Rules {
    Loopback,
    Anywhere,
}

pub(super) struct Visit {
    pub(super) address: SocketAddr,
    pub(super) health: watch::Sender<Health>,
    pub(super) status: watch::Sender<Arc<Status>>,
    pub(super) store: Store,
}

impl Visit {
    pub(super) async fn get(&self, path: &str, headers: &[(&'static str, &str)]) -> (StatusCode, Value) {
        let mut request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.unwrap();
        let (status, body) = (response.status(), response.text().await.unwrap());
        (status, serde_json::from_str(&body).unwrap_or(Value::String(body)))
    }
}

impl Visit {
    pub(super) async fn post(&self, path: &str, headers: &[(&'static str, &str)], body: &Value) -> (StatusCode, Value) {
        let request = reqwest::Client::new().post(format!("http://{}{path}", self.address)).json(body);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let response = request.send().await.unwrap();
        (response.status(), response.json().await.unwrap())
    }
}

pub(super) async fn visit(rules: Rules, test: impl AsyncFnOnce(&Visit)) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let listen = match rules {
        Rules::Loopback => address,
        Rules::Anywhere => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), address.port()),
    };
    let (health, health_seen) = watch::channel(Health::starting());
    let (status, status_seen) = watch::channel(Arc::new(Status::starting("2026-11-22T10:00:00.000Z".into())));
    let store = Store::open("sqlite::memory:").await.unwrap();
    let (revalidate, asked) = mpsc::channel(1);
    let site = Site {
        web: config::Web { listen, token: Some("t0ken".to_owned().into()) },
        health: health_seen,
        status: status_seen,
        store: store.clone(),
        desk: Desk::new(store.clone(), vec![]),
        revalidate,
        now: Arc::new(|| Wall(1_795_341_600_000)),
        metrics: Metrics::local().unwrap().1,
    };
    let stop = CancellationToken::new();
    let guest = async {
        test(&Visit { address, health, status, store }).await;
        stop.cancel();
    };
    let _asked = asked;
    let (served, ()) = tokio::join!(serve(listener, site, stop.clone()), guest);
    served.unwrap();
}

#[tokio::test]
async fn probes_tell_their_checks() {
    visit(Rules::Loopback, async |site: &Visit| {
        assert_eq!(site.get("/livez", &[]).await, (StatusCode::OK, json!({"status": "ok", "checks": []})));
        let (code, body) = site.get("/readyz", &[]).await;
        assert_eq!((code, &body["checks"][0]["detail"]), (StatusCode::SERVICE_UNAVAILABLE, &json!("still starting")));
        let check = |name: &str, state| Check { name: name.into(), state, detail: String::new() };
        let down = check("orders: target", CheckState::Failing);
        site.health.send_replace(Health {
            live: vec![check("orders: loop", CheckState::Ok)],
            ready: vec![down],
            started: vec![],
        });
        assert_eq!(site.get("/livez", &[]).await.0, StatusCode::OK, "a target outage is no liveness failure");
        assert_eq!(site.get("/readyz", &[]).await.0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(site.get("/startupz", &[]).await.0, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_foreign_host_is_turned_away_on_loopback() {
    visit(Rules::Loopback, async |site: &Visit| {
        for (host, code) in [
            ("evil.example.com", StatusCode::MISDIRECTED_REQUEST),
            ("127.0.0.1.example.com:8470", StatusCode::MISDIRECTED_REQUEST),
            ("localhost:8470", StatusCode::OK),
            ("[::1]:8470", StatusCode::OK),
        ] {
            assert_eq!(site.get("/api/v1/status", &[("host", host)]).await.0, code, "{host}");
        }
    })
    .await;
}

#[tokio::test]
async fn elsewhere_all_but_the_probes_demand_the_token() {
    visit(Rules::Anywhere, async |site: &Visit| {
        for path in ["/metrics", "/api/v1/status", "/api/v1/findings", "/no/such"] {
            assert_eq!(site.get(path, &[]).await.0, StatusCode::UNAUTHORIZED, "{path}");
            assert_eq!(
                site.get(path, &[("authorization", "Bearer wrong")]).await.0,
                StatusCode::UNAUTHORIZED,
                "{path}"
            );
        }
        let shown = site.get("/metrics", &[("authorization", "Bearer t0ken")]).await;
        assert!(shown.1.as_str().unwrap().contains("afterimage_build_info{"), "{shown:?}");
        assert_eq!(site.get("/livez", &[]).await.0, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn findings_are_read_and_mistakes_explained() {
    visit(Rules::Loopback, async |site: &Visit| {
        let documents: Vec<Document> = ["a", "b", "c"].map(document).into();
        site.store.record(&documents).await.unwrap();
        let (code, all) = site.get("/api/v1/findings", &[]).await;
        assert_eq!((code, all["findings"].as_array().unwrap().len()), (StatusCode::OK, documents.len()));
        let (_, page) = site.get("/api/v1/findings?limit=2", &[]).await;
        let after = format!("/api/v1/findings?after={}", page["next"].as_str().unwrap());
        assert_eq!(site.get(&after, &[]).await.1["findings"].as_array().unwrap().len(), documents.len() - 2);
        let id = &documents[0].id;
        let (_, one) = site.get(&format!("/api/v1/findings/{}", &id[..8]), &[]).await;
        assert_eq!(one["id"], json!(id));
        for (path, code, error) in [
            ("/api/v1/findings/00", StatusCode::NOT_FOUND, "no such finding"),
            ("/api/v1/findings?kind=lost", StatusCode::BAD_REQUEST, "`lost` is no kind"),
            ("/api/v1/findings?after=00", StatusCode::BAD_REQUEST, "`after` names no finding"),
            ("/nothing", StatusCode::NOT_FOUND, "no such path"),
        ] {
            assert_eq!(site.get(path, &[]).await, (code, json!({"error": error})), "{path}");
        }
        assert_eq!(site.get("/api/v1/findings?colour=red", &[]).await.0, StatusCode::BAD_REQUEST);
    })
    .await;
}

#[tokio::test]
async fn people_change_findings_with_the_token_alone() {
    visit(Rules::Loopback, async |site: &Visit| {
        site.store.record(&[document("a")]).await.unwrap();
        let path = |act: &str| format!("/api/v1/findings/{}/{act}", "a".repeat(32));
        let (token, ada) = (("authorization", "Bearer t0ken"), json!({"by": "ada", "note": "ours"}));
        assert_eq!(site.post(&path("ack"), &[], &ada).await.0, StatusCode::UNAUTHORIZED);
        let elsewhere = [token, ("origin", "http://evil.example.com")];
        assert_eq!(site.post(&path("ack"), &elsewhere, &ada).await.0, StatusCode::FORBIDDEN);
        let (code, finding) = site.post(&path("ack"), &[token], &ada).await;
        assert_eq!((code, &finding["state"]), (StatusCode::OK, &json!("acknowledged")));
        let event = json!({"at": "2026-11-22T10:00:00.000Z", "by": "ada", "act": "acknowledged", "note": "ours"});
        assert_eq!(finding["history"], json!([event]));
        let until = json!({"by": "ada", "until": "2026-11-23T10:00:00.000Z"});
        let rows = [
            (path("ack"), &ada, StatusCode::CONFLICT),
            (path("frob"), &ada, StatusCode::NOT_FOUND),
            ("/api/v1/findings/bb/ack".to_owned(), &ada, StatusCode::NOT_FOUND),
            (path("reopen"), &json!({}), StatusCode::UNPROCESSABLE_ENTITY),
            (path("reopen"), &json!({"by": "ada", "who": 1}), StatusCode::UNPROCESSABLE_ENTITY),
            (path("note"), &json!({"by": "ada"}), StatusCode::UNPROCESSABLE_ENTITY),
            (path("reopen"), &until, StatusCode::UNPROCESSABLE_ENTITY),
            (path("ignore"), &json!({"by": "ada", "until": "yesterday"}), StatusCode::UNPROCESSABLE_ENTITY),
            (path("revalidate"), &ada, StatusCode::ACCEPTED),
            (path("ignore"), &until, StatusCode::OK),
            (path("revalidate"), &ada, StatusCode::CONFLICT),
        ];
        for (path, body, expected) in rows {
            let (code, answer) = site.post(&path, &[token], body).await;
            assert_eq!(code, expected, "{path} {answer}");
            assert!(code.is_success() || answer["error"].is_string(), "{answer}");
        }
    })
    .await;
}

/// The next event of a stream: its name and what it tells. Comments that keep the connection are passed over.
async fn heard(stream: &mut reqwest::Response, rest: &mut String) -> (String, Value) {
    loop {
        if let Some((event, more)) = rest.split_once("\n\n") {
            let field =
                |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned());
            let found = field("event:").zip(field("data:"));
            *rest = more.to_owned();
            let Some((name, data)) = found else { continue };
            return (name, serde_json::from_str(&data).unwrap());
        }
        rest.push_str(std::str::from_utf8(&stream.chunk().await.unwrap().expect("the stream goes on")).unwrap());
    }
}

#[tokio::test]
async fn whoever_listens_hears_of_each_turn_of_a_finding_as_it_happens() {
    visit(Rules::Loopback, async |site: &Visit| {
        let url = format!("http://{}/api/v1/events", site.address);
        let mut stream = reqwest::get(&url).await.unwrap();
        assert_eq!(stream.headers()["content-type"], "text/event-stream");
        let mut rest = String::new();
        let (name, first) = heard(&mut stream, &mut rest).await;
        assert_eq!((name.as_str(), &first["pipelines"]), ("status", &json!([])));
        site.store.record(&[document("a")]).await.unwrap();
        let (name, opened) = heard(&mut stream, &mut rest).await;
        assert_eq!(
            (name.as_str(), &opened["id"], &opened["state"]),
            ("finding", &json!("a".repeat(32)), &json!("open"))
        );
        // What says nothing new is not told.
        site.store.record(&[document("a")]).await.unwrap();
        let ack = format!("/api/v1/findings/{}/ack", "a".repeat(32));
        assert_eq!(
            site.post(&ack, &[("authorization", "Bearer t0ken")], &json!({"by": "ada"})).await.0,
            StatusCode::OK
        );
        let (name, acknowledged) = heard(&mut stream, &mut rest).await;
        assert_eq!((name.as_str(), &acknowledged["state"]), ("finding", &json!("acknowledged")));
        site.status.send_replace(Arc::new(Status::starting("2026-11-22T10:00:01.000Z".into())));
        let (name, beat) = heard(&mut stream, &mut rest).await;
        assert_eq!((name.as_str(), &beat["at"]), ("status", &json!("2026-11-22T10:00:01.000Z")));
    })
    .await;
}

#[tokio::test]
async fn listeners_are_counted_and_make_room_when_they_go() {
    visit(Rules::Loopback, async |site: &Visit| {
        let url = format!("http://{}/api/v1/events", site.address);
        let mut seats = Vec::new();
        for _ in 0..32 {
            let seat = reqwest::get(&url).await.unwrap();
            assert_eq!(seat.status(), StatusCode::OK);
            seats.push(seat);
        }
        let (code, told) = site.get("/api/v1/events", &[]).await;
        assert!(code == StatusCode::SERVICE_UNAVAILABLE && told["error"].is_string(), "{told}");
        drop(seats);
        // The server sees that they are gone when it next has something to tell.
        loop {
            site.status.send_replace(Arc::new(Status::starting("2026-11-22T10:00:01.000Z".into())));
            if reqwest::get(&url).await.unwrap().status() == StatusCode::OK {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn watermarks_are_ours_as_they_are_and_those_of_others_as_they_were_kept() {
    visit(Rules::Loopback, async |site: &Visit| {
        let kept = |partition, verified| crate::store::Watermark {
            topic: "orders".to_owned(),
            partition,
            verified,
            applied: None,
            at: Wall(1_795_341_500_000),
        };
        site.store.save_watermarks("orders", &[kept(3, 1_000), kept(4, 77)]).await.unwrap();
        let starting = Status::starting("2026-11-22T10:00:00.000Z".to_owned());
        let status = Status { pipelines: vec![pages::tests::pipeline()], ..starting };
        site.status.send_replace(Arc::new(status));
        let (_, all) = site.get("/api/v1/watermarks?pipeline=orders", &[]).await;
        let seen: Vec<_> = all["watermarks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|mark| {
                (mark["partition"].clone(), mark["verified"].clone(), mark["here"].clone(), mark["end"].clone())
            })
            .collect();
        let expected =
            [(json!(3), json!(1_234), json!(true), json!(1_400)), (json!(4), json!(77), json!(false), json!(null))];
        assert_eq!(seen, expected);
        assert_eq!(site.get("/api/v1/watermarks?pipeline=other", &[]).await.1, json!({"watermarks": []}));
        assert_eq!(site.get("/api/v1/watermarks?colour=red", &[]).await.0, StatusCode::BAD_REQUEST);
        let (_, pipelines) = site.get("/api/v1/pipelines", &[]).await;
        assert_eq!(pipelines["pipelines"][0]["name"], json!("orders"));
        assert_eq!(site.get("/api/v1/pipelines/orders", &[]).await.1["reads"]["failed"], json!(0));
        assert_eq!(site.get("/api/v1/pipelines/other", &[]).await.0, StatusCode::NOT_FOUND);
    })
    .await;
}
