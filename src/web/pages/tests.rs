use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::json;

use super::super::tests::{Rules, Visit, document, visit};
use super::super::view::{Check, CheckState, Health, HotKey, PartitionStatus, PipelineStatus, Status, TableStatus};
use super::*;
use crate::report::Document;

async fn page(site: &Visit, path: &str) -> (StatusCode, HeaderMap, String) {
    let answer = reqwest::get(format!("http://{}{path}", site.address)).await.unwrap();
    let (code, headers) = (answer.status(), answer.headers().clone());
    (code, headers, answer.text().await.unwrap())
}

pub(in crate::web) fn pipeline() -> PipelineStatus {
    PipelineStatus {
        name: "orders".to_owned(),
        guarantee: "what is lost is found".to_owned(),
        detects_within_s: Some(90.0),
        applied: vec!["inferred".to_owned()],
        would_settle: None,
        changes: 100,
        rejects: 0,
        matched: 90,
        superseded: 5,
        left_out: 0,
        transient: 0,
        unverifiable: 0,
        images_recalled: 0,
        images_gone: 0,
        keys: 3,
        pending: 5,
        suspects: 0,
        overdue_unproven: 0,
        differing: vec![],
        open_findings: 0,
        verified_age_s: Some(41.0),
        lag_s: 2.5,
        memory_bytes: 0,
        patrolled_keys: 0,
        oldest_look_s: 0.0,
        not_compared: vec![],
        held: vec![],
        reads: super::super::view::ReadStatus::default(),
        tables: vec![],
        partitions: vec![PartitionStatus {
            topic: "orders".to_owned(),
            partition: 3,
            end: Some(1_400),
            consumed: 1_390,
            committed: None,
            applied: 1_300,
            settled: 1_200,
            verified: 1_234,
            pending: 5,
            overdue_unproven: 0,
            frozen: false,
        }],
        schedules: vec![],
    }
}

fn publish(site: &Visit, pipelines: Vec<PipelineStatus>) {
    let starting = Status::starting("2026-11-22T10:00:00.000Z".to_owned());
    site.status.send_replace(Arc::new(Status { pipelines, ..starting }));
}

/// One with hostile text wherever a source or a target may write it.
fn hostile() -> Document {
    let evil = "\"><img src=x onerror=alert(1)><script>alert(1)</script>";
    let mut one = serde_json::to_value(document("e")).unwrap();
    one["table"] = json!(evil);
    one["key"] = json!({ "id": evil });
    one["evidence"] = json!(evil);
    one["note"] = json!(evil);
    one["columns"] = json!([{ "name": evil, "expected": evil, "observed": evil }]);
    let at = json!({"tap": "kafka", "topic": evil, "partition": 0, "offset": 7, "source": evil, "committed_at": null});
    one["expected"] = json!({ "op": "update", "row": { "id": evil }, "at": at });
    one["observed"] = json!({ "row": { "id": evil }, "at": "2026-11-22T10:00:00.000Z", "matches": null });
    serde_json::from_value(one).unwrap()
}

#[tokio::test]
async fn the_front_page_says_in_a_sentence_how_each_pipeline_stands() {
    visit(Rules::Loopback, async |site: &Visit| {
        assert!(page(site, "/").await.2.contains("No pipeline has reported yet."));
        publish(site, vec![pipeline()]);
        let sound = page(site, "/").await.2;
        assert!(sound.contains("verified to 09:59:19, 41 s behind; no row is known to be lost."), "{sound}");
        assert!(sound.contains("as it should be") && sound.contains("1234") && sound.contains("2.5 s"), "{sound}");
        site.store.record(&["a", "b"].map(document)).await.unwrap();
        let lost = page(site, "/").await.2;
        assert!(lost.contains("41 s behind; 2 rows lost or wrong since 10:00."), "{lost}");
        let link = "/findings?pipeline=orders&#38;kind=missing%5Frow&#38;state=suspected%2Copen%2Cacknowledged";
        assert!(lost.contains("something is wrong") && lost.contains(link), "{lost}");
        let unsure = PipelineStatus {
            verified_age_s: None,
            overdue_unproven: 1,
            would_settle: Some("a heartbeat row settles it".to_owned()),
            held: vec!["the target refuses".to_owned()],
            ..pipeline()
        };
        publish(site, vec![PipelineStatus { name: "other".to_owned(), ..unsure }]);
        let unsure = page(site, "/").await.2;
        for part in [
            "10 records not read yet, 5 without a verdict; no row is known to be lost; 1 change overdue, unproven; judging is held.",
            "not all is proven",
            "<li>the target refuses</li>",
            "<li>1 change overdue, unproven: a heartbeat row settles it</li>",
        ] {
            assert!(unsure.contains(part), "{part}: {unsure}");
        }
    })
    .await;
}

#[tokio::test]
async fn pages_fetch_nothing_from_elsewhere_and_run_nothing_inline() {
    visit(Rules::Loopback, async |site: &Visit| {
        site.store.record(&[document("a")]).await.unwrap();
        let finding = format!("/findings/{}", "a".repeat(32));
        for path in [
            "/",
            "/findings",
            "/tables",
            "/pipelines",
            "/pipelines/no",
            &finding,
            "/findings/00",
            "/findings?kind=lost",
        ] {
            let (code, headers, body) = page(site, path).await;
            assert_eq!(headers["content-security-policy"], POLICY, "{path}");
            assert_eq!((&headers["cache-control"], &headers["x-content-type-options"]).0, "no-store", "{path}");
            assert!(headers["content-type"].to_str().unwrap().starts_with("text/html"), "{path} {code}");
            for banned in ["<style", " style=", "<script>", "onclick", "http://", "https://"] {
                assert!(!body.contains(banned), "{path}: {banned}");
            }
        }
        for (path, media) in [("/assets/style.css", "text/css"), ("/assets/page.js", "text/javascript")] {
            let (code, headers, body) = page(site, path).await;
            assert!(code == StatusCode::OK && headers["content-type"].to_str().unwrap().starts_with(media), "{path}");
            assert!(!body.contains("://") && !body.is_empty(), "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn what_rows_hold_is_shown_and_never_obeyed() {
    visit(Rules::Loopback, async |site: &Visit| {
        site.store.record(&[hostile()]).await.unwrap();
        let differing = vec!["t (<script>alert(1)</script>)".to_owned()];
        publish(site, vec![PipelineStatus { differing, ..pipeline() }]);
        for path in ["/", "/findings", "/findings/ee", "/findings?key=%22%3E%3Cscript%3Ealert(1)"] {
            let (code, _, body) = page(site, path).await;
            assert_eq!(code, StatusCode::OK, "{path}");
            assert!(!body.contains("<script>") && !body.contains("<img"), "{path}: {body}");
            assert!(body.contains("&#60;script&#62;alert(1)"), "{path}: {body}");
        }
    })
    .await;
}

#[tokio::test]
async fn lists_are_filtered_searched_sorted_and_paged() {
    visit(Rules::Loopback, async |site: &Visit| {
        let keyed = |digit: &str, id: i32| {
            let mut one = serde_json::to_value(document(digit)).unwrap();
            one["key"] = json!({ "id": id, "region": "EU_1" });
            serde_json::from_value::<Document>(one).unwrap()
        };
        site.store.record(&[keyed("a", 41), keyed("b", 42), keyed("c", 43)]).await.unwrap();
        let found = async |path: &str| {
            let (code, _, body) = page(site, path).await;
            assert_eq!(code, StatusCode::OK, "{path}: {body}");
            let links = body.split("<a href=\"/findings/").skip(1).map(|rest| rest[..1].to_owned());
            (links.collect::<String>(), body)
        };
        for (path, digits) in [
            ("/findings", "cba"),
            ("/findings?kind=&state=&severity=&pipeline=&table=&key=&sort=", "cba"),
            ("/findings?sort=oldest", "abc"),
            ("/findings?key=42", "b"),
            ("/findings?key=id%3D43", "c"),
            ("/findings?key=id%3D43,region%3Deu_1", "c"),
            ("/findings?key=eu%251", ""),
            ("/findings?kind=lost_update", ""),
            ("/findings?kind=lost_update,missing_row&state=open", "cba"),
            ("/findings?table=public.orders&pipeline=orders&severity=critical", "cba"),
            ("/findings?pipeline=other", ""),
        ] {
            assert_eq!(found(path).await.0, digits, "{path}");
        }
        let (first, body) = found("/findings?limit=2&sort=oldest").await;
        let next = body.split("rel=\"next\" href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
        assert_eq!((first.as_str(), found(&next).await.0.as_str()), ("ab", "c"), "{next}");
        assert!(!found(&next).await.1.contains("rel=\"next\""), "the last page has no next one");
        for path in ["/findings?kind=lost", "/findings?sort=up", "/findings?after=00", "/findings?colour=red"] {
            assert_eq!(page(site, path).await.0, StatusCode::BAD_REQUEST, "{path}");
        }
    })
    .await;
}

#[tokio::test]
async fn a_finding_tells_its_story_or_that_there_is_none() {
    visit(Rules::Loopback, async |site: &Visit| {
        let mut one = serde_json::to_value(document("a")).unwrap();
        one["cause"] = json!("update_merge");
        one["kind"] = json!("lost_update");
        one["evidence"] = json!("applied watermark 3/1400 is past 3/991");
        one["columns"] = json!([{ "name": "name", "expected": "b", "observed": "a" }]);
        let at = json!({"tap": "kafka", "topic": "orders", "partition": 3, "offset": 991, "source": null, "committed_at": null});
        one["expected"] = json!({ "op": "update", "row": { "id": 42, "name": "b" }, "at": at });
        let matches = json!({"op": "insert", "offset": 990, "partition": 3, "topic": "orders"});
        one["observed"] =
            json!({ "row": { "id": 42, "name": "a" }, "at": "2026-11-22T10:00:00.000Z", "matches": matches });
        let mut hidden = one.clone();
        hidden["id"] = json!("b".repeat(32));
        hidden["columns"] = json!([{ "name": "name", "expected": null, "observed": null }]);
        (hidden["expected"]["row"], hidden["observed"]["row"]) = (json!({}), json!({}));
        let documents = [one, hidden].map(|one| serde_json::from_value::<Document>(one).unwrap());
        site.store.record(&documents).await.unwrap();
        let (code, _, body) = page(site, "/findings/aaaa").await;
        assert_eq!(code, StatusCode::OK);
        for part in [
            "lost_update of public.orders id=42 at orders/3:991",
            "<tr class=\"differs\"><th scope=\"row\">name<small>differs</small></th><td>b</td><td>a</td></tr>",
            "<tr><th scope=\"row\">id</th><td>42</td><td>42</td></tr>",
            "the version that the target still holds",
            "applied watermark 3/1400 is past 3/991",
            "The applier merged several updates of this key",
            "data-acts=\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        let hidden = page(site, "/findings/bbbb").await.2;
        assert!(hidden.contains("withholds what it held") && hidden.contains("(not known)"), "{hidden}");
        let (code, _, body) = page(site, "/findings/00").await;
        assert_eq!(code, StatusCode::NOT_FOUND);
        assert!(body.contains("There is no such finding"), "{body}");
    })
    .await;
}

#[tokio::test]
async fn elsewhere_a_browser_shows_the_token_as_a_password() {
    visit(Rules::Anywhere, async |site: &Visit| {
        site.store.record(&[document("a")]).await.unwrap();
        let (code, headers, _) = page(site, "/").await;
        let asked = headers["www-authenticate"].to_str().unwrap();
        assert!(code == StatusCode::UNAUTHORIZED && asked.starts_with("Basic realm="), "{asked}");
        let (right, wrong) = (("authorization", "Basic YWRhOnQwa2Vu"), ("authorization", "Basic YWRhOndyb25n"));
        assert_eq!(site.get("/", &[right]).await.0, StatusCode::OK);
        for shown in [wrong, ("authorization", "Basic t0ken"), ("authorization", "Basic !")] {
            assert_eq!(site.get("/assets/page.js", &[shown]).await.0, StatusCode::UNAUTHORIZED, "{shown:?}");
        }
        let (ack, ada) = (format!("/api/v1/findings/{}/ack", "a".repeat(32)), json!({"by": "ada"}));
        let elsewhere = [right, ("origin", "http://evil.example.com")];
        assert_eq!(site.post(&ack, &elsewhere, &ada).await.0, StatusCode::FORBIDDEN);
        assert_eq!(site.post(&ack, &[wrong], &ada).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!(site.post(&ack, &[right], &ada).await.0, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn the_page_of_a_pipeline_says_what_fails_and_what_to_do() {
    visit(Rules::Loopback, async |site: &Visit| {
        publish(site, vec![pipeline(), PipelineStatus { name: "a b".to_owned(), ..pipeline() }]);
        let check = |name: &str, state| Check { name: name.to_owned(), state, detail: format!("{name} said so") };
        site.health.send_replace(Health {
            live: vec![check("orders: engine", CheckState::Ok)],
            ready: vec![check("orders: target", CheckState::Failing), check("a b: tap", CheckState::Ok)],
            started: vec![],
        });
        let all = page(site, "/pipelines").await.2;
        assert!(all.contains("<a href=\"/pipelines/a%20b\">a b</a>"), "{all}");
        let (code, _, one) = page(site, "/pipelines/orders").await;
        assert_eq!(code, StatusCode::OK);
        for part in [
            "<span class=\"badge\">failing</span> <b>target</b>: orders: target said so<small>Verdicts wait, and none is lost",
            "<b>engine</b>: orders: engine said so",
            "no limit, over 0 connections",
            "<th scope=\"row\">orders/3</th><td>1400</td><td>1390</td><td>10</td><td>not known</td><td>1300</td>",
        ] {
            assert!(one.contains(part), "{part}: {one}");
        }
        assert!(!one.contains("a b: tap"), "{one}");
        assert_eq!(page(site, "/pipelines/other").await.0, StatusCode::NOT_FOUND);
    })
    .await;
}

#[tokio::test]
async fn the_page_of_tables_begins_with_what_needs_a_look() {
    visit(Rules::Loopback, async |site: &Visit| {
        let sound = TableStatus {
            table: "public.a".to_owned(),
            target: Some("app.a".to_owned()),
            role: Some("rows"),
            compared: 3,
            not_compared: vec!["blob (<b>ignored</b>)".to_owned()],
            keys: 2,
            pending: 7,
            hot_keys: vec![HotKey { key: "42".to_owned(), versions: 6 }],
            verdict_p50_s: Some(5.0),
            verdict_p99_s: Some(41.0),
            ..TableStatus::default()
        };
        let lost = TableStatus { table: "public.b".to_owned(), open_findings: 2, pending: 0, ..sound.clone() };
        let not = TableStatus {
            table: "public.c".to_owned(),
            not_judged: Some("no such table on the target".to_owned()),
            ..TableStatus::default()
        };
        publish(site, vec![PipelineStatus { tables: vec![sound, lost, not], ..pipeline() }]);
        let (code, _, body) = page(site, "/tables?pipeline=orders").await;
        assert_eq!(code, StatusCode::OK);
        for part in [
            "2 of 3 tables are judged, 0 of them in every column.",
            "not judged: no such table on the target",
            "3 compared<details><summary>1 not compared</summary><ul><li>blob (&#60;b&#62;ignored&#60;/b&#62;)</li></ul>",
            "/findings?pipeline=orders&#38;table=public%2Eb&#38;state=suspected%2Copen%2Cacknowledged\">2</a>",
            "7 versions of 2 keys",
            "half within 5.0 s, 99 in 100 within 41 s",
            "<small>42: 6 versions</small>",
        ] {
            assert!(body.contains(part), "{part}: {body}");
        }
        let place = |name: &str| body.find(&format!("data-label=\"table\">{name}<")).unwrap();
        assert!(place("public.c") < place("public.b") && place("public.b") < place("public.a"), "{body}");
        assert!(page(site, "/tables?pipeline=none").await.2.contains("none has this name"));
    })
    .await;
}
