//! What every findings store keeps, whatever database it is in. Written against the names that its parent module has
//! in scope, so that the library's own tests (SQLite) and the tests with real services (PostgreSQL) run the same.

use super::{
    About, Act, AlertFilter, AlertStatus, Class, Count, Covers, Cursor, Deed, Document, Filter, GROUPS, GroupKey, Hold,
    IgnoreRule, Kind, LastRun, News, Outcome, Refusal, Route, ScheduleKey, Severity, State, Store, StoreError,
    UnverifiedRange, Wall, Watermark,
};

/// The moment `seconds` into the tests' day.
pub(super) fn wall(seconds: i64) -> Wall {
    Wall(1_795_341_600_000 + seconds * 1_000)
}

/// A lost update of key `number`, in `state`, seen at `seconds` for the first and last time.
pub(super) fn finding(number: u32, state: State, seconds: i64) -> Document {
    let at = wall(seconds).rfc3339();
    let healed_at = (state == State::Healed).then(|| at.clone());
    let text = serde_json::json!({
        "schema": "afterimage.finding/1", "id": format!("{number:08x}{:024x}", 0), "pipeline": "orders",
        "table": "public.customers", "key": { "id": number }, "kind": "lost_update", "cause": "update_merge",
        "severity": "warning", "state": state.word(),
        "expected": {
            "op": "update", "row": { "id": number, "name": "b\u{0}" },
            "at": {
                "tap": "kafka", "topic": "orders", "partition": 3, "offset": 991, "source": "0/16B3748",
                "committed_at": "2026-11-22T10:00:01.000Z"
            },
            "latest": { "topic": "orders", "partition": 3, "offset": 995 }
        },
        "observed": {
            "row": { "id": number, "name": "a" }, "at": "2026-11-22T10:00:00.000Z",
            "matches": { "op": "insert", "offset": 990, "partition": 3, "topic": "orders" }
        },
        "columns": [{ "name": "name", "expected": "b", "observed": "a" }],
        "versions_behind": 2, "proof": "early", "evidence": "applied watermark 3/1400 is past 3/991",
        "first_seen": at, "last_seen": at, "observations": seconds, "healed_at": healed_at, "note": null
    });
    serde_json::from_value(text).expect("the sample has the documented shape")
}

/// A range of partition `partition` that ended without a verdict at `seconds`.
pub(super) fn unverified(partition: i32, (from, to): (u64, u64), reason: &str, seconds: i64) -> UnverifiedRange {
    let at = wall(seconds).rfc3339();
    let text = serde_json::json!({
        "pipeline": "orders", "topic": "orders", "partition": partition, "from": from, "to": to, "reason": reason,
        "first_seen": at, "last_seen": at
    });
    serde_json::from_value(text).expect("the sample has the shape that is published")
}

/// Declares every test of the suite; `$open` takes a name and gives an empty store with what must outlive it.
macro_rules! store_contract {
    ($open:path) => {
        store_contract!($open: recording_is_idempotent, a_life_is_kept, lists_page_without_loss, filters_hold,
            ids_may_be_shortened, rows_that_may_heal_come_back_with_their_bytes, counts_are_by_sort,
            watermarks_never_go_back_in_time,
            news_is_kept_until_it_is_told, news_past_the_bound_is_counted_together,
            ranges_without_a_verdict_are_kept_once, ranges_without_a_verdict_are_bounded, large_batches_are_taken, sidecars_write_at_once,
            people_are_heard, what_is_ignored_stays_so_for_its_time, rules_set_aside_what_opens, a_run_by_the_clock_is_done_by_one);
    };
    ($open:path: $($test:ident),+) => {
        $(#[tokio::test]
        async fn $test() {
            let (store, _kept) = $open(stringify!($test)).await;
            suite::$test(&store).await;
        })+
    };
}

async fn outcomes(store: &Store, findings: &[Document]) -> Vec<Outcome> {
    store.record(findings).await.expect("the store is there").into_iter().map(|one| one.outcome).collect()
}

async fn all(store: &Store, filter: &Filter) -> Vec<Document> {
    store.list(filter).await.expect("the store is there")
}

pub(super) async fn recording_is_idempotent(store: &Store) {
    let findings = [finding(1, State::Open, 10), finding(2, State::Suspected, 11)];
    let new = [Outcome::New { state: State::Open }, Outcome::New { state: State::Suspected }];
    assert_eq!(outcomes(store, &findings).await, new);
    assert_eq!(outcomes(store, &findings).await, [Outcome::Unchanged, Outcome::Unchanged]);
    let [open, suspected] = findings;
    assert_eq!(all(store, &Filter::default()).await, [suspected, open]);
    assert_eq!(outcomes(store, &[]).await, []);
}

pub(super) async fn a_life_is_kept(store: &Store) {
    let (open, healed) = (finding(1, State::Open, 20), finding(1, State::Healed, 30));
    outcomes(store, &[finding(1, State::Suspected, 10)]).await;
    assert_eq!(outcomes(store, std::slice::from_ref(&open)).await, [changed(State::Suspected, State::Open)]);
    assert_eq!(outcomes(store, &[healed]).await, [changed(State::Open, State::Healed)]);
    let kept = store.get(&open.id).await.expect("the store is there").expect("it was recorded");
    assert_eq!((kept.first_seen, kept.last_seen, kept.healed_at), (wall(10), wall(30), Some(wall(30))));
    assert_eq!(outcomes(store, &[open]).await, [Outcome::Unchanged]);
    assert_eq!(outcomes(store, &[finding(1, State::Open, 40)]).await, [changed(State::Healed, State::Open)]);
}

fn changed(from: State, to: State) -> Outcome {
    Outcome::StateChanged { from, to }
}

pub(super) async fn lists_page_without_loss(store: &Store) {
    let findings: Vec<Document> = (0..25).map(|number| finding(number, State::Open, i64::from(number / 5))).collect();
    outcomes(store, &findings).await;
    let mut filter = Filter { limit: 4, ..Filter::default() };
    let mut seen = Vec::new();
    loop {
        let page = all(store, &filter).await;
        let Some(last) = page.last() else { break };
        filter.after = Some(Cursor::behind(last));
        // Stating a finding again while somebody pages must not move it.
        outcomes(store, &[finding(7, State::Open, 100)]).await;
        seen.extend(page.into_iter().map(|finding| (finding.first_seen, finding.id)));
    }
    let mut expected: Vec<_> = findings.into_iter().map(|finding| (finding.first_seen, finding.id)).collect();
    expected.sort();
    expected.reverse();
    assert_eq!(seen, expected);
}

pub(super) async fn filters_hold(store: &Store) {
    let elsewhere = Document { pipeline: "billing".to_owned(), ..finding(1, State::Open, 10) };
    let no_table = Document { table: None, key: None, kind: Kind::Stalled, ..finding(2, State::Open, 10) };
    let critical = Document {
        severity: Severity::Critical,
        kind: Kind::UnappliedDelete,
        table: Some("a'b\u{0}\"c".to_owned()),
        ..finding(3, State::Acknowledged, 20)
    };
    outcomes(store, &[elsewhere.clone(), no_table.clone(), critical.clone()]).await;
    let default = Filter::default;
    let rows = [
        (Filter { pipeline: Some("billing".to_owned()), ..default() }, vec![&elsewhere]),
        (Filter { table: critical.table.clone(), ..default() }, vec![&critical]),
        (Filter { kinds: vec![Kind::Stalled, Kind::UnappliedDelete], ..default() }, vec![&critical, &no_table]),
        (Filter { states: vec![State::Open], ..default() }, vec![&no_table, &elsewhere]),
        (Filter { severity: Severity::Critical, ..default() }, vec![&critical]),
        (Filter { since: Some(wall(11)), ..default() }, vec![&critical]),
        (Filter { limit: 1, ..default() }, vec![&critical]),
        (Filter { pipeline: Some("none".to_owned()), ..default() }, vec![]),
    ];
    for (filter, expected) in rows {
        assert_eq!(all(store, &filter).await.iter().collect::<Vec<_>>(), expected, "{filter:?}");
    }
}

pub(super) async fn ids_may_be_shortened(store: &Store) {
    let findings = [finding(0x10, State::Open, 10), finding(0x1f, State::Open, 10)];
    outcomes(store, &findings).await;
    let get = async |prefix: &str| store.get(prefix).await;
    assert_eq!(get("00000010").await.expect("one"), Some(findings[0].clone()));
    assert_eq!(get("0000001F").await.expect("one"), Some(findings[1].clone()));
    assert_eq!(get(&findings[1].id).await.expect("one"), Some(findings[1].clone()));
    for unknown in ["", "2", "%", "_0000010", "' OR 1=1 --"] {
        assert_eq!(get(unknown).await.expect("none"), None, "{unknown}");
    }
    let error = get("0").await.expect_err("two begin so");
    assert!(matches!(&error, StoreError::Ambiguous { .. }) && error.class() == Class::Operator, "{error}");
}

pub(super) async fn rows_that_may_heal_come_back_with_their_bytes(store: &Store) {
    let states = [State::Suspected, State::Open, State::Acknowledged, State::Ignored, State::Healed, State::Retracted];
    let row = |(number, state): (u32, &State)| Document {
        extra: vec![0, 255, u8::try_from(number).expect("few")],
        ..finding(number, *state, 10)
    };
    let mut findings: Vec<Document> = (0..).zip(&states).map(row).collect();
    findings.push(Document { key: None, kind: Kind::Stalled, ..finding(9, State::Open, 10) });
    findings.push(Document { pipeline: "billing".to_owned(), ..finding(10, State::Open, 10) });
    outcomes(store, &findings).await;
    let open = store.open_findings("orders", About::Rows, "").await.expect("the store is there");
    assert_eq!(open, findings[..3]);
    let rest = store.open_findings("orders", About::Rows, &open[0].id).await.expect("the store is there");
    assert_eq!(rest, findings[1..3]);
    let more = store.open_findings("orders", About::More, "").await.expect("the store is there");
    assert_eq!(more, findings[6..7]);
}

pub(super) async fn counts_are_by_sort(store: &Store) {
    let stalled = Document { table: None, kind: Kind::Stalled, ..finding(4, State::Open, 10) };
    let elsewhere = Document { pipeline: "billing".to_owned(), ..finding(5, State::Open, 10) };
    outcomes(store, &[finding(1, State::Open, 1), finding(2, State::Open, 1), finding(3, State::Healed, 1)]).await;
    outcomes(store, &[stalled, elsewhere]).await;
    let count = |table: Option<&str>, kind, state, count, since| Count {
        pipeline: "orders".to_owned(),
        table: table.map(str::to_owned),
        kind,
        severity: Severity::Warning,
        state,
        count,
        since: wall(since),
    };
    let mut counts = store.counts(Some("orders")).await.expect("the store is there");
    counts.sort_by_key(|count| (count.kind, count.state));
    let table = Some("public.customers");
    let expected = [
        count(table, Kind::LostUpdate, State::Open, 2, 1),
        count(table, Kind::LostUpdate, State::Healed, 1, 1),
        count(None, Kind::Stalled, State::Open, 1, 10),
    ];
    assert_eq!(counts, expected);
    assert_eq!(store.counts(None).await.expect("the store is there").len(), 4);
}

pub(super) async fn watermarks_never_go_back_in_time(store: &Store) {
    let mark = |partition, verified, seconds| Watermark {
        topic: "orders".to_owned(),
        partition,
        verified,
        applied: (partition == 1).then_some(verified + 5),
        at: wall(seconds),
    };
    store.save_watermarks("orders", &[mark(0, 10, 1), mark(1, 20, 1)]).await.expect("the store is there");
    store.save_watermarks("orders", &[mark(0, 5, 0), mark(1, 15, 2)]).await.expect("the store is there");
    let kept = store.load_watermarks("orders").await.expect("the store is there");
    assert_eq!(kept, [mark(0, 10, 1), mark(1, 15, 2)]);
    assert_eq!(store.load_watermarks("billing").await.expect("the store is there"), []);
}

pub(super) async fn ranges_without_a_verdict_are_kept_once(store: &Store) {
    let record = async |ranges: &[UnverifiedRange]| store.record_unverified(ranges).await.expect("the store is there");
    let (gone, late) = ("gone from the log", "columns changed");
    record(&[unverified(0, (10, 20), gone, 1), unverified(0, (12, 14), late, 1), unverified(1, (10, 20), gone, 1)])
        .await;
    // A restart states some of it again, and goes on behind it.
    record(&[unverified(0, (15, 20), gone, 5)]).await;
    record(&[unverified(0, (20, 25), gone, 6), unverified(0, (40, 41), gone, 6)]).await;
    let elsewhere = UnverifiedRange { pipeline: "billing".to_owned(), ..unverified(0, (0, 9), gone, 2) };
    record(std::slice::from_ref(&elsewhere)).await;
    record(&[]).await;
    let whole = UnverifiedRange { first_seen: wall(1), ..unverified(0, (10, 25), gone, 6) };
    let kept = store.unverified(Some("orders")).await.expect("the store is there");
    let expected =
        [whole, unverified(0, (12, 14), late, 1), unverified(0, (40, 41), gone, 6), unverified(1, (10, 20), gone, 1)];
    assert_eq!(kept, expected);
    let all = store.unverified(None).await.expect("the store is there");
    assert_eq!(all, [&[elsewhere][..], &expected].concat());
}

pub(super) async fn ranges_without_a_verdict_are_bounded(store: &Store) {
    for batch in 0..4u64 {
        let apart = (0..100).map(|number| (batch * 100 + number) * 7);
        let ranges: Vec<_> = apart.map(|from| unverified(0, (from, from + 1), "gone from the log", 1)).collect();
        store.record_unverified(&ranges).await.expect("the store is there");
    }
    let kept = store.unverified(None).await.expect("the store is there");
    assert_eq!(kept.len(), super::RANGES);
    let covered = |place: u64| kept.iter().any(|one| one.range.from <= place && place < one.range.to);
    assert!((0..400).all(|number| covered(number * 7)), "nothing is lost");
}

pub(super) async fn large_batches_are_taken(store: &Store) {
    let findings: Vec<Document> = (0..1_201).map(|number| finding(number, State::Open, 10)).collect();
    assert_eq!(outcomes(store, &findings).await.len(), findings.len());
    let counts = store.counts(None).await.expect("the store is there");
    assert_eq!(counts.iter().map(|count| count.count).sum::<u64>(), 1_201);
}

/// Several writers state overlapping facts at once: nothing is lost, and every fact is new to exactly one of them.
pub(super) async fn sidecars_write_at_once(store: &Store) {
    let batch = |shift: u32| (0..50).map(|n| finding((n + shift) % 50, State::Open, 10)).collect::<Vec<_>>();
    let batches: Vec<Vec<Document>> = (0..4).map(|writer| batch(writer * 13)).collect();
    let (one, two, three, four) = tokio::join!(
        outcomes(store, &batches[0]),
        outcomes(store, &batches[1]),
        outcomes(store, &batches[2]),
        outcomes(store, &batches[3]),
    );
    let new = [one, two, three, four].concat().into_iter().filter(|outcome| outcome.opened()).count();
    assert_eq!(new, 50);
    assert_eq!(all(store, &Filter::default()).await.len(), 50);
}

fn routes() -> [Route; 2] {
    let filter = AlertFilter { severity: Severity::Info, kinds: vec![], tables: vec![], pipelines: vec![] };
    let critical = AlertFilter { severity: Severity::Critical, ..filter.clone() };
    [("all", filter), ("critical", critical)].map(|(channel, filter)| Route { channel: channel.to_owned(), filter })
}

async fn news(store: &Store, now: i64) -> Vec<News> {
    store.news(Some("all"), wall(now)).await.expect("the store is there")
}

pub(super) async fn news_is_kept_until_it_is_told(store: &Store) {
    let odd = "a\u{0}'b";
    let of = |number, state, at| Document { table: Some(odd.to_owned()), ..finding(number, state, at) };
    let opened = [of(1, State::Open, 10), of(2, State::Suspected, 10), of(1, State::Open, 11)];
    let (_, merged) = store.record_for(&opened, &routes()).await.expect("the store is there");
    store.record_for(&opened, &routes()).await.expect("what is stated again is no news");
    let listed = news(store, 20).await;
    assert_eq!((merged, listed.len()), (0, 1));
    assert_eq!((listed[0].opened, listed[0].closed, listed[0].worst), (1, 0, Some(Severity::Warning)));
    assert_eq!(listed[0].samples, [opened[0].id.clone()]);

    let leased = store.lease(&listed[0], wall(20), wall(50)).await.expect("it is there").expect("nobody has it");
    assert_eq!(store.lease(&listed[0], wall(21), wall(51)).await.expect("it is there"), None);
    assert!(news(store, 49).await.is_empty() && news(store, 50).await == listed, "a lease ends by itself");
    assert_eq!(store.standing(&leased.group, Severity::Info).await.expect("it is there"), 1);
    assert_eq!(store.standing(&leased.group, Severity::Critical).await.expect("it is there"), 0);

    store.record_for(&[of(1, State::Healed, 30)], &routes()).await.expect("the store is there");
    store.told(&leased, AlertStatus::Firing, wall(31)).await.expect("the store is there");
    store.told(&leased, AlertStatus::Firing, wall(32)).await.expect("the same once more changes nothing");
    let rest = news(store, 33).await;
    assert_eq!((rest[0].opened, rest[0].closed, rest[0].told, rest[0].firing), (0, 1, 1, true));
    store.told(&rest[0], AlertStatus::Resolved, wall(34)).await.expect("the store is there");
    assert!(news(store, 35).await.is_empty() && store.news(None, wall(35)).await.expect("it is there").is_empty());
}

pub(super) async fn news_past_the_bound_is_counted_together(store: &Store) {
    let table = |number: u32| Some(format!("t{number:05}"));
    let more = u32::try_from(GROUPS).expect("a small number") + 7;
    let many: Vec<Document> =
        (0..more).map(|number| Document { table: table(number), ..finding(number, State::Open, 10) }).collect();
    let (_, merged) = store.record_for(&many, &routes()).await.expect("the store is there");
    let news = news(store, 20).await;
    assert_eq!((merged, news.len()), (7, GROUPS + 1));
    assert_eq!(news.iter().map(|one| one.opened).sum::<u64>(), u64::from(more), "nothing is dropped");
    let common = GroupKey { pipeline: "orders".to_owned(), table: None, kind: None };
    let common = news.iter().find(|one| one.group == common).expect("the pipeline's common group");
    assert_eq!(common.opened, 7);
    assert_eq!(store.standing(&common.group, Severity::Info).await.expect("it is there"), u64::from(more));
}

fn deed(act: Act, seconds: i64, until: Option<i64>) -> Deed {
    Deed::of(act, "ada", wall(seconds), (Some("ours".to_owned()), until.map(wall))).expect("it makes sense")
}

async fn act(store: &Store, id: &str, deed: &Deed) -> Result<Document, Refusal> {
    store.act(id, deed, &routes()).await.expect("the store is there")
}

fn acts(finding: &Document) -> Vec<(Act, &str)> {
    finding.history.iter().map(|event| (event.act, event.by.as_str())).collect()
}

pub(super) async fn people_are_heard(store: &Store) {
    let open = finding(1, State::Open, 10);
    store.record_for(&[open.clone(), finding(2, State::Suspected, 10)], &routes()).await.expect("the store is there");
    let known = act(store, "00000001", &deed(Act::Acknowledged, 20, None)).await.expect("an open one");
    assert_eq!((known.state, known.note.as_deref()), (State::Acknowledged, Some("ours")));
    act(store, &open.id, &deed(Act::Noted, 21, None)).await.expect("always");
    let group = GroupKey::of(&open);
    let counts = (store.standing(&group, Severity::Info).await, store.unseen(&group, Severity::Info).await);
    assert_eq!((counts.0.expect("it is there"), counts.1.expect("it is there")), (1, 0), "nobody is reminded");
    assert_eq!((news(store, 30).await[0].opened, news(store, 30).await[0].closed), (1, 0), "nothing is over");
    outcomes(store, &[finding(1, State::Healed, 40)]).await;
    let healed = store.get(&open.id).await.expect("it is there").expect("it was recorded");
    let told = [(Act::Acknowledged, "ada"), (Act::Noted, "ada"), (Act::Healed, "afterimage")];
    assert_eq!((acts(&healed), healed.state), (told.to_vec(), State::Healed));
    assert_eq!(all(store, &Filter { states: vec![State::Healed], ..Filter::default() }).await, [healed]);
    for (id, done) in [(1, Act::Acknowledged), (1, Act::Ignored), (1, Act::Reopened), (2, Act::Ignored)] {
        let refused = act(store, &finding(id, State::Open, 0).id, &deed(done, 50, None)).await;
        assert!(matches!(refused, Err(Refusal::State { .. })), "{id} {done}");
    }
    assert_eq!(act(store, "77", &deed(Act::Acknowledged, 50, None)).await, Err(Refusal::Unknown));
}

pub(super) async fn what_is_ignored_stays_so_for_its_time(store: &Store) {
    let open = finding(1, State::Open, 10);
    store.record_for(std::slice::from_ref(&open), &routes()).await.expect("the store is there");
    act(store, &open.id, &deed(Act::Ignored, 20, Some(100))).await.expect("an open one");
    assert_eq!((news(store, 30).await[0].opened, news(store, 30).await[0].closed), (1, 1), "it is over for people");
    outcomes(store, &[finding(1, State::Open, 30)]).await;
    let state = async || store.get(&open.id).await.expect("it is there").expect("it was recorded").state;
    assert_eq!(state().await, State::Ignored, "the same position never opens by itself");
    // The same key at another position.
    let other = Document { id: "f".repeat(32), ..finding(1, State::Open, 40) };
    outcomes(store, std::slice::from_ref(&other)).await;
    let told = store.get(&other.id).await.expect("it is there").expect("it was recorded");
    let note = told.history[0].note.as_deref().expect("a note");
    assert!(told.state == State::Open && note.contains(&open.id) && note.contains(&wall(100).rfc3339()), "{note}");

    assert_eq!(store.run_out(wall(99), &[]).await.expect("it is there"), 0);
    assert_eq!(store.run_out(wall(100), &routes()).await.expect("it is there"), 1);
    assert_eq!((state().await, store.run_out(wall(101), &[]).await.expect("it is there")), (State::Open, 0), "once");
    let again = store.get(&open.id).await.expect("it is there").expect("it was recorded");
    assert_eq!(acts(&again), [(Act::Ignored, "ada"), (Act::RanOut, "afterimage")]);
    // What healed meanwhile does not come back.
    act(store, &open.id, &deed(Act::Ignored, 110, Some(120))).await.expect("an open one");
    outcomes(store, &[finding(1, State::Healed, 115)]).await;
    store.run_out(wall(120), &[]).await.expect("it is there");
    assert_eq!(state().await, State::Healed);
}

pub(super) async fn rules_set_aside_what_opens(store: &Store) {
    let rule = IgnoreRule {
        id: "abc".to_owned(),
        pipeline: "orders".to_owned(),
        table: None,
        key: Some("id=1".to_owned()),
        column: Some("name".to_owned()),
        kind: Some(Kind::LostUpdate),
        until: Some(wall(100)),
        by: "ada".to_owned(),
        at: wall(20),
        note: None,
    };
    outcomes(store, &[finding(1, State::Open, 10), finding(2, State::Open, 10)]).await;
    let set = store.add_rule(&rule, &[]).await.expect("the store is there").expect("there are few");
    assert_eq!((set, store.rules(Some("orders")).await.expect("it is there")), (1, vec![rule.clone()]));
    let new = Document { id: "f".repeat(32), ..finding(1, State::Open, 30) };
    let (recorded, _) = store.record_for(std::slice::from_ref(&new), &routes()).await.expect("the store is there");
    assert_eq!(recorded[0].outcome, Outcome::New { state: State::Ignored });
    assert!(news(store, 31).await.is_empty(), "nobody hears of it");
    let kept = store.get(&new.id).await.expect("it is there").expect("it was recorded");
    assert_eq!((kept.history[0].act, kept.history[0].rule.as_deref()), (Act::Ignored, Some("abc")));
    assert_eq!(outcomes(store, &[finding(3, State::Open, 30)]).await, [Outcome::New { state: State::Open }]);
    assert_eq!(store.remove_rule("abc", ("bob", wall(40)), &[]).await.expect("it is there"), Some(2));
    assert_eq!(store.remove_rule("abc", ("bob", wall(41)), &[]).await.expect("it is there"), None);
    assert_eq!(store.get(&new.id).await.expect("it is there").expect("it was recorded").state, State::Open);
}

pub(super) async fn a_run_by_the_clock_is_done_by_one(store: &Store) {
    let key = ScheduleKey { pipeline: "orders".to_owned(), name: "audit".to_owned() };
    let key = &key;
    let state = async |at| store.schedule(key, wall(at)).await.expect("the store is there");
    let begin = async |due, holder, now| {
        let hold = Hold { holder, now: wall(now), until: wall(now + 60) };
        store.begin_run(key, wall(due), hold).await.expect("the store is there")
    };
    let end = async |due, holder, covers, outcome: &str| {
        let ended = LastRun { outcome: outcome.to_owned(), detail: "all of it".to_owned(), ended: wall(due + 9) };
        store.end_run(key, (holder, wall(due), covers), &ended).await.expect("the store is there")
    };
    assert_eq!((state(100).await.done, state(200).await.done), (wall(100), wall(100)), "it was met once");
    assert!(!begin(100, "a", 100).await, "what was met first has nothing to make up for");

    let (one, other) = tokio::join!(begin(160, "a", 160), begin(160, "b", 160));
    assert!(one != other, "exactly one of them does it");
    let holder = if one { "a" } else { "b" };
    assert!(!begin(160, "c", 219).await, "it still goes on");
    assert!(store.hold_run(key, holder, wall(300)).await.expect("the store is there"));
    assert!(!begin(160, "c", 221).await, "its end was moved on");
    assert!(!store.hold_run(key, "c", wall(900)).await.expect("the store is there"));

    assert!(begin(160, "c", 300).await, "whoever held it is gone");
    assert!(!end(160, holder, Covers::Yes, "clean").await, "its run is somebody else's");
    assert!(end(160, "c", Covers::Yes, "clean").await);
    let now = state(400).await;
    assert_eq!((now.done, now.covered), (wall(160), wall(160)));
    assert_eq!(now.last.map(|last| (last.outcome, last.ended)), Some(("clean".to_owned(), wall(169))));
    assert!(!begin(160, "a", 400).await, "it is done");

    assert!(begin(220, "a", 400).await);
    store.release_run(key, "a").await.expect("the store is there");
    assert!(begin(220, "b", 401).await, "a run that was let go of is due still");
    assert!(end(220, "b", Covers::No, "failed").await);
    let now = state(402).await;
    assert_eq!((now.done, now.covered), (wall(220), wall(160)), "a run that failed covers nothing");
}
