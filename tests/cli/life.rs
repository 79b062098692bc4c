//! What people do to findings from the command line.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Ended, afterimage};

/// A store with one open finding.
fn kept() -> TempDir {
    let shop = super::folder("[store]\nurl = \"sqlite:a.db\"\n");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let finding: afterimage::report::Document = serde_json::from_value(json!({
        "schema": "afterimage.finding/1", "id": "a".repeat(32), "pipeline": "orders", "table": "public.orders",
        "key": {"id": 42}, "kind": "missing_row", "cause": "unknown", "severity": "critical", "state": "open",
        "expected": null, "observed": null, "columns": [], "versions_behind": 1, "proof": "settled", "evidence": "",
        "first_seen": "2026-11-22T10:00:00.000Z", "last_seen": "2026-11-22T10:00:00.000Z", "observations": 2,
        "healed_at": null, "note": null
    }))
    .expect("a finding");
    runtime.block_on(async {
        let url = format!("sqlite:{}", shop.path().join("a.db").display());
        let store = afterimage::store::Store::open(&url).await.expect("a store");
        store.record(&[finding]).await.expect("it takes it");
        store.close().await;
    });
    shop
}

fn findings(shop: &TempDir, arguments: &[&str]) -> Ended {
    let fixed = ["findings", arguments[0], "-c", "a.toml"];
    afterimage(shop.path(), &[&fixed[..], &arguments[1..]].concat(), &[("USER", "ada")])
}

fn shown(shop: &TempDir) -> Value {
    let ended = findings(shop, &["show", "aaaa", "-o", "json"]);
    let told: Value = serde_json::from_str(&ended.out).unwrap_or_else(|_| panic!("{}{}", ended.out, ended.err));
    told.get(0).or_else(|| told["findings"].get(0)).cloned().unwrap_or(told)
}

#[test]
fn a_finding_is_acknowledged_ignored_for_a_while_and_reopened() {
    let shop = kept();
    for arguments in [
        &["ack", "aaaa", "--note", "known"][..],
        &["ignore", "aaaa", "--until", "7d", "--by", "bob"],
        &["reopen", "aa"],
        &["note", "a", "--note", "still there"],
    ] {
        let ended = findings(&shop, arguments);
        assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""), "{arguments:?}");
    }
    let finding = shown(&shop);
    let told: Vec<(&str, &str)> = finding["history"]
        .as_array()
        .expect("a history")
        .iter()
        .map(|event| (event["act"].as_str().unwrap_or(""), event["by"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(told, [("acknowledged", "ada"), ("ignored", "bob"), ("reopened", "ada"), ("noted", "ada")]);
    assert_eq!((&finding["state"], &finding["note"]), (&json!("open"), &json!("still there")));
    let text = findings(&shop, &["show", "a", "-o", "table"]).out;
    let (_, history) = text.split_once("\nHistory\n").expect("a section");
    assert!(history.contains("ignored by bob until 20") && history.contains("noted by ada: still there"), "{text}");
}

#[test]
fn what_cannot_be_done_is_refused_with_a_sentence() {
    let shop = kept();
    for (arguments, part) in [
        (&["reopen", "aaaa"][..], "is open: there is nothing to reopen"),
        (&["ack", "bbbb"], "no finding's id begins with `bbbb`"),
        (&["note", "aaaa"], "there is no note"),
        (&["ignore", "aaaa", "--until", "2020-01-01T00:00:00Z"], "`until` is in the past"),
        (&["ignore", "aaaa", "--until", "soon"], "`soon` is no moment to come"),
        (&["ignore"], "nothing is named"),
        (&["ignore", "--kind", "missing_row"], "a rule is of one pipeline"),
        (&["ignore", "--remove", "77"], "there is no ignore rule `77`"),
    ] {
        let ended = findings(&shop, arguments);
        assert!(ended.code == Some(2) && ended.err.contains(part), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn a_rule_is_made_listed_and_removed() {
    let shop = kept();
    let made = findings(&shop, &["ignore", "--pipeline", "orders", "--table", "public.orders", "--key", "42"]);
    assert!(made.code == Some(0) && made.out.ends_with("it set 1 open findings aside\n"), "{}{}", made.out, made.err);
    assert_eq!(shown(&shop)["state"], json!("ignored"));
    let listed = findings(&shop, &["ignore", "--list"]).out;
    assert!(listed.contains("orders, table public.orders, key 42  until it is removed, by ada"), "{listed}");
    let rule = listed.split(' ').next().expect("an id");
    assert_eq!(findings(&shop, &["ignore", "--remove", rule]).code, Some(0));
    assert_eq!(
        (shown(&shop)["state"].clone(), findings(&shop, &["ignore", "--list"]).out),
        (json!("open"), String::new())
    );
}
