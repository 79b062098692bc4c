//! Alerts of the binary, against receivers in the test.
#![expect(clippy::disallowed_methods, reason = "a thread answers the binary while it runs")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;

use serde_json::{Value, json};

use super::shop::{change, row, shop};
use super::{afterimage, folder};

/// What a receiver does with a request.
#[derive(Clone, Copy)]
enum Answer {
    /// Answers at once, with this head and body.
    With(&'static str, &'static str),
    /// Takes it and says nothing.
    Never,
}

const OK: Answer = Answer::With("HTTP/1.1 200 OK\r\n", "ok");

/// One request: its first line and its body.
struct Request {
    line: String,
    headers: Vec<String>,
    body: Value,
}

/// A server that answers one request after another in these ways, the last one for ever, and hands on what it got.
struct Receiver {
    port: u16,
    got: mpsc::Receiver<Request>,
}

impl Receiver {
    fn new(answers: &'static [Answer]) -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (sent, got) = mpsc::channel();
        std::thread::spawn(move || {
            let mut silent = Vec::new();
            for (index, stream) in listener.incoming().enumerate() {
                let mut stream = stream.expect("a connection");
                let Some(request) = read(&mut stream) else { continue };
                match answers[index.min(answers.len() - 1)] {
                    Answer::With(head, body) => {
                        let length = body.len();
                        let _ = write!(stream, "{head}content-length: {length}\r\nconnection: close\r\n\r\n{body}");
                    }
                    Answer::Never => silent.push(stream),
                }
                if sent.send(request).is_err() {
                    return;
                }
            }
        });
        Receiver { port, got }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    fn next(&self) -> Request {
        self.got.recv_timeout(std::time::Duration::from_secs(60)).expect("a request")
    }
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        match header.trim_end() {
            "" => break,
            header => headers.push(header.to_ascii_lowercase()),
        }
    }
    let length = headers.iter().find_map(|header| header.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { line: line.trim_end().to_owned(), headers, body: serde_json::from_slice(&body).ok()? })
}

/// A delete of customer 42 that was not applied.
fn losing(alerts: &str) -> tempfile::TempDir {
    let null = Value::Null;
    let gone = json!({"id": 42, "name": null, "city": null});
    let lines = [change(0, "c", 42, &null, &row(42, "a")), change(1, "d", 42, &gone, &null)];
    let target = "create table customers (id integer primary key, name text, city text); \
                  insert into customers values (42, 'a', 'Delft')";
    let shop = shop(lines, target);
    let config = format!(
        "[web]\nlisten = \"\"\n[pipelines.orders]\napplied = \"assumed\"\nconfirm_after = \"1ms\"\npoll = \"10ms\"\n\
         tap = {{ type = \"file\", path = \"e.jsonl\" }}\ntarget = {{ url = \"sqlite:t.db\" }}\n{alerts}"
    );
    std::fs::write(shop.path().join("a.toml"), config).expect("a file");
    shop
}

fn run(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    command.args(["run", "-c", "a.toml"]).current_dir(folder).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs")
}

/// Ends it as `kill -9` does.
fn kill(mut process: Child) {
    process.kill().expect("it runs");
    process.wait().expect("it ends");
}

#[test]
fn what_was_on_its_way_when_the_process_was_killed_is_told_by_the_next() {
    let receiver = Receiver::new(&[Answer::Never, OK]);
    let url = receiver.url("/hook");
    let shop =
        losing(&format!("[[alerts]]\ntype = \"webhook\"\nurl = \"{url}\"\ntemplate = \"{{kind}} of {{key}}\"\n"));
    let process = run(shop.path());
    let before = receiver.next();
    kill(process);
    // The finding stands in the store, so the second process finds nothing that is new: only the outbox tells it.
    let process = run(shop.path());
    let after = receiver.next();
    kill(process);
    for name in ["id", "number", "status", "severity", "opened", "open", "text"] {
        assert_eq!(before.body[name], after.body[name], "{name}");
    }
    assert_eq!(after.body["text"], "unapplied_delete of {\"id\":42}");
    assert_eq!((&after.body["severity"], &after.body["opened"]), (&json!("critical"), &json!(1)));
    let delivery = |request: &Request| {
        request.headers.iter().find(|header| header.starts_with("x-afterimage-delivery: ")).cloned()
    };
    assert!(delivery(&before).is_some() && delivery(&before) == delivery(&after), "a receiver knows it again");
}

#[test]
fn a_receiver_that_is_busy_is_asked_again_when_it_says() {
    const BUSY: Answer = Answer::With("HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\n", "slow down");
    let receiver = Receiver::new(&[BUSY, BUSY, OK]);
    let url = receiver.url("/v2/enqueue");
    let shop = losing(&format!(
        "[[alerts]]\ntype = \"pagerduty\"\nurl = \"{url}\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n"
    ));
    let process = run(shop.path());
    let events = [receiver.next(), receiver.next(), receiver.next()];
    kill(process);
    assert!(events.iter().all(|event| event.body == events[0].body && event.line == "POST /v2/enqueue HTTP/1.1"));
    assert_eq!(events[0].body["event_action"], "trigger");
    assert_eq!(events[0].body["payload"]["severity"], "critical", "an unapplied delete is critical");
}

#[test]
fn a_sample_goes_through_every_channel() {
    let (good, bad) =
        (Receiver::new(&[OK]), Receiver::new(&[Answer::With("HTTP/1.1 404 Not Found\r\n", "no_service")]));
    let config = format!(
        "[[alerts]]\ntype = \"slack\"\nurl = \"{}\"\n\
         [[alerts]]\ntype = \"alertmanager\"\nurl = \"{}\"\n\
         [[alerts]]\ntype = \"pagerduty\"\nurl = \"{}\"\nsecret = \"0123456789abcdef0123456789abcdef\"\n\
         [[alerts]]\ntype = \"webhook\"\nurl = \"{}\"\nsecret = \"s3cret\"\n",
        good.url("/services/T0/B0/xyz"),
        good.url(""),
        good.url("/v2/enqueue"),
        good.url("/hook"),
    );
    let folder = folder(&config);
    let ended = afterimage(folder.path(), &["alerts", "test", "-c", "a.toml", "-o", "table"], &[]);
    assert_eq!((ended.code, ended.err.as_str()), (Some(0), ""));
    insta::assert_snapshot!(ended.out, @r#"
    slack         slack         took it  200 ok
    alertmanager  alertmanager  took it  200 ok; resolved: 200 ok
    pagerduty     pagerduty     took it  200 ok; resolved: 200 ok
    webhook       webhook       took it  200 ok
    "#);
    let places: Vec<String> = (0..6).map(|_| good.next().line).collect();
    let expected = ["/services/T0/B0/xyz", "/api/v2/alerts", "/api/v2/alerts", "/v2/enqueue", "/v2/enqueue", "/hook"];
    assert_eq!(places, expected.map(|place| format!("POST {place} HTTP/1.1")));

    let more =
        format!("{config}[[alerts]]\nname = \"old\"\ntype = \"slack\"\nurl = \"{}\"\n", bad.url("/services/gone"));
    std::fs::write(folder.path().join("a.toml"), more).expect("a file");
    let ended = afterimage(folder.path(), &["alerts", "test", "-c", "a.toml"], &[]);
    assert_eq!(ended.code, Some(2));
    let told: Value = serde_json::from_str(&ended.out).expect("JSON");
    assert_eq!((&told["channels"][0]["ok"], &told["channels"][4]["ok"]), (&json!(true), &json!(false)));
    let answer = told["channels"][4]["answer"].as_str().expect("a text");
    assert!(answer.starts_with("slack answered 404 no_service: the webhook was revoked"), "{answer}");
    assert!(!ended.out.contains("services") && !ended.err.contains("services"), "{} {}", ended.out, ended.err);
}

#[test]
fn without_channels_there_is_nothing_to_test() {
    let ended = afterimage(folder("").path(), &["alerts", "test", "-c", "a.toml"], &[]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(2), ""));
    assert!(ended.err.contains("no channel of alerts is configured"), "{}", ended.err);
}
