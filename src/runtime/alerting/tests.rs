//! The loop of a channel between a store and a receiver.

use tokio::sync::mpsc;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

use super::*;
use crate::model::finding::{Severity, State as FindingState};
use crate::report::Alert;
use crate::report::alert::Status;
use crate::report::trial;

/// A receiver that answers with the given statuses, one after the other and the last one for ever, and hands on what it got.
async fn receiver(statuses: &'static [u16]) -> (MockServer, mpsc::UnboundedReceiver<Alert>) {
    let (sent, got) = mpsc::unbounded_channel();
    let count = Mutex::new(0);
    let answer = move |request: &Request| {
        let mut count = count.lock().unwrap();
        let status = statuses[std::cmp::min(*count, statuses.len() - 1)];
        *count += 1;
        sent.send(serde_json::from_slice(&request.body).unwrap()).unwrap();
        ResponseTemplate::new(status)
    };
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    (server, got)
}

fn channel(server: &MockServer) -> config::Alert {
    config::Alert {
        name: "hook".to_owned(),
        to: config::Destination::Webhook { url: server.uri().into(), secret: None },
        severity: Severity::Info,
        kinds: vec![],
        tables: vec![],
        pipelines: vec![],
        rate: None,
        quiet: None,
        template: None,
    }
}

fn finding(number: u32, table: &str, state: FindingState) -> Document {
    let sample = trial::alert(Status::Firing, Wall(1_795_341_600_000)).findings.remove(0);
    let healed_at = (state == FindingState::Healed).then_some(Wall(1_795_341_700_000));
    Document { id: format!("{number:032x}"), table: Some(table.to_owned()), state, healed_at, ..sample }
}

struct Setup {
    store: Store,
    routes: Vec<Route>,
    _kept: tempfile::TempDir,
}

impl Setup {
    async fn new(alert: &config::Alert) -> Setup {
        let kept = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", kept.path().join("a.db").display());
        let routes = vec![Route { channel: alert.name.clone(), filter: filter(alert) }];
        Setup { store: Store::open(&url).await.unwrap(), routes, _kept: kept }
    }

    async fn record(&self, findings: &[Document]) {
        self.store.record_for(findings, &self.routes).await.unwrap();
    }

    fn teller(&self, alert: &config::Alert) -> Teller {
        let ours = Arc::new(["sample".to_owned()]);
        Teller::new(alert, self.store.clone(), (Clock::start(), ours)).unwrap()
    }

    async fn left(&self) -> Vec<(u64, u64)> {
        let news = self.store.news(None, Wall(i64::MAX)).await.unwrap();
        news.iter().filter(|news| news.has_news()).map(|news| (news.opened, news.closed)).collect()
    }
}

fn told(alert: &Alert) -> (Status, u64, u64, u64) {
    (alert.status, alert.opened, alert.closed, alert.open)
}

#[tokio::test]
async fn what_was_recorded_is_told_and_then_is_no_news() {
    let (server, mut got) = receiver(&[200]).await;
    let alert = channel(&server);
    let setup = Setup::new(&alert).await;
    let findings = [finding(1, "a", FindingState::Open), finding(2, "a", FindingState::Open)];
    setup.record(&findings).await;
    let mut teller = setup.teller(&alert);
    assert_eq!(teller.turn(Mode::Usual).await, None);
    let message = got.recv().await.unwrap();
    assert_eq!((told(&message), message.number), ((Status::Firing, 2, 0, 2), 0));
    assert_eq!(
        message.findings.iter().map(|one| one.id.as_str()).collect::<Vec<_>>(),
        [&findings[0].id, &findings[1].id]
    );
    assert_eq!(teller.turn(Mode::Usual).await, Some(LOOK_AGAIN));
    assert!(setup.left().await.is_empty());

    setup.record(&[finding(1, "a", FindingState::Healed), finding(2, "a", FindingState::Healed)]).await;
    let Some(wait) = teller.turn(Mode::Usual).await else { panic!("the group is silent for a window") };
    assert!(wait > Duration::from_secs(50), "{wait:?}");
    assert_eq!(teller.turn(Mode::Last).await, None);
    let over = got.recv().await.unwrap();
    assert_eq!((told(&over), over.number, over.id), ((Status::Resolved, 0, 2, 0), 1, message.id));
}

#[tokio::test]
async fn what_is_not_taken_stays_counted_and_is_told_by_the_next_process() {
    let (server, mut got) = receiver(&[503, 200]).await;
    let alert = channel(&server);
    let setup = Setup::new(&alert).await;
    setup.record(&[finding(1, "a", FindingState::Open)]).await;
    let mut teller = setup.teller(&alert);
    assert_eq!(teller.turn(Mode::Usual).await, None);
    let first = got.recv().await.unwrap();
    setup.record(&[finding(2, "a", FindingState::Open)]).await;
    let Some(wait) = teller.turn(Mode::Usual).await else { panic!("it waits") };
    assert!(wait <= Duration::from_secs(1) && setup.left().await == [(2, 0)], "{wait:?}");
    let status = locked(&teller.state).status(teller.now());
    assert_eq!((status.queued_messages, status.queued_findings, status.delivered), (1, 2, 0));
    assert!(status.failing_since.is_some() && status.last_error.unwrap().contains("answered 503"));

    let mut next = setup.teller(&alert);
    assert_eq!(next.turn(Mode::Usual).await, None);
    let second = got.recv().await.unwrap();
    assert_eq!((told(&second), second.number, second.id), ((Status::Firing, 2, 0, 2), 0, first.id));
    let status = locked(&next.state).status(next.now());
    assert_eq!((status.queued_findings, status.delivered, status.failing_since), (0, 1, None));
}

#[tokio::test]
async fn a_refused_message_holds_back_no_other_group() {
    let (server, mut got) = receiver(&[400, 200]).await;
    let alert = channel(&server);
    let setup = Setup::new(&alert).await;
    setup.record(&[finding(1, "a", FindingState::Open), finding(2, "b", FindingState::Open)]).await;
    let mut teller = setup.teller(&alert);
    assert_eq!(teller.turn(Mode::Usual).await, None);
    assert_eq!(teller.turn(Mode::Usual).await, None);
    let tables = [got.recv().await.unwrap().table, got.recv().await.unwrap().table];
    assert_eq!(tables, [Some("a".to_owned()), Some("b".to_owned())]);
    assert_eq!(setup.left().await, [(1, 0)], "it stays counted");
}

#[tokio::test]
async fn an_error_is_told_loudly_once() {
    let (server, _got) = receiver(&[401]).await;
    let alert = channel(&server);
    let setup = Setup::new(&alert).await;
    let teller = setup.teller(&alert);
    let error = teller.channel.deliver(trial::alert(Status::Firing, Wall(0)), Wall(0)).await.unwrap_err();
    let mut state = locked(&teller.state);
    let loudness = [Err(&error), Err(&error), Ok(()), Err(&error)].map(|outcome| state.note(outcome, Wall(0)));
    assert_eq!(loudness, [Loudness::Loud, Loudness::Quiet, Loudness::Loud, Loudness::Loud]);
}

#[tokio::test]
async fn of_two_sidecars_one_tells() {
    let (server, mut got) = receiver(&[200]).await;
    let alert = channel(&server);
    let setup = Setup::new(&alert).await;
    setup.record(&[finding(1, "a", FindingState::Open)]).await;
    let (mut one, mut other) = (setup.teller(&alert), setup.teller(&alert));
    let listed = setup.store.news(None, one.now()).await.unwrap().remove(0);
    let (first, second) = tokio::join!(one.tell(&listed), other.tell(&listed));
    assert_eq!((first.unwrap(), second.unwrap()), (None, None));
    assert_eq!((one.turn(Mode::Last).await, other.turn(Mode::Last).await), (Some(LOOK_AGAIN), Some(LOOK_AGAIN)));
    got.recv().await.unwrap();
    assert!(got.try_recv().is_err(), "it was told once");
}

#[tokio::test]
async fn a_loop_tells_news_as_it_comes_and_the_rest_before_the_end() {
    let (server, mut got) = receiver(&[200]).await;
    let alert = channel(&server);
    let setup = Setup::new(&alert).await;
    let teller = setup.teller(&alert);
    let (wake, stop) = (Arc::clone(&teller.wake), CancellationToken::new());
    let story = async {
        setup.record(&[finding(1, "a", FindingState::Open)]).await;
        wake.notify_one();
        assert_eq!(told(&got.recv().await.unwrap()), (Status::Firing, 1, 0, 1));
        setup.record(&[finding(2, "a", FindingState::Open)]).await;
        stop.cancel();
    };
    tokio::join!(teller.run(stop.clone()), story);
    assert_eq!(told(&got.recv().await.unwrap()), (Status::Firing, 1, 0, 2));
}

#[tokio::test]
async fn another_processes_pipelines_are_left_to_it() {
    let (server, mut got) = receiver(&[200]).await;
    let alert = channel(&server);
    let setup = Setup::new(&alert).await;
    let elsewhere = Document { pipeline: "elsewhere".to_owned(), ..finding(1, "a", FindingState::Open) };
    setup.record(&[elsewhere]).await;
    assert_eq!(setup.teller(&alert).turn(Mode::Last).await, Some(LOOK_AGAIN));
    assert!(got.try_recv().is_err() && setup.left().await == [(1, 0)]);
}
