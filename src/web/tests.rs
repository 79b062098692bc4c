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
    health: watch::Sender<Health>,
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
