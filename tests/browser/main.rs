//! The pages in a real browser, served by the real binary beside a tap and a target that differ.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sqlx::ConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use tempfile::TempDir;

#[path = "../cli/shop.rs"]
mod shop;

#[path = "../it/wait.rs"]
#[expect(dead_code, reason = "the pipeline tests wait in more ways")]
mod wait;

const KEYS: i64 = 40;

/// How long findings may take to open on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An empty folder, for [`shop::shop`].
fn folder(_: &str) -> TempDir {
    TempDir::new().expect("a folder")
}

/// A process that ends with the test.
struct Ours(Child);

impl Drop for Ours {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Every key is inserted and updated; six of them lost the update or all.
fn damaged_shop() -> TempDir {
    let null = Value::Null;
    let inserted = (0..KEYS).map(|id| shop::change(id as u64, "c", id, &null, &shop::row(id, "a")));
    let updated = (0..KEYS).map(|id| shop::change((KEYS + id) as u64, "u", id, &null, &shop::row(id, "b")));
    let present = (0..KEYS).filter(|id| id % 20 != 3);
    let rows = present.map(|id| format!("({id}, '{}', 'Delft')", if id % 10 == 1 { "a" } else { "b" }));
    let rows: Vec<String> = rows.collect();
    let table = "create table customers (id integer primary key, name text, city text)";
    shop::shop(inserted.chain(updated), &format!("{table}; insert into customers values {}", rows.join(", ")))
}

/// A row that was right is gone: what the patrol is there for.
fn damage(shop: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut target = SqliteConnectOptions::new().filename(shop.join("t.db")).connect().await.expect("a database");
        sqlx::raw_sql("delete from customers where id = 8").execute(&mut target).await.expect("it is written");
    });
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("an address").to_string()
}

fn sidecar(shop: &Path, listen: &str) -> Ours {
    let config = format!(
        "[store]\nurl = \"sqlite:a.db\"\n[web]\nlisten = \"{listen}\"\ntoken = \"t0ken\"\n[pipelines.orders]\n\
         applied = \"assumed\"\npoll = \"50ms\"\nconfirm_after = \"50ms\"\nlimits = {{ reread = \"100ms\" }}\n\
         tap = {{ type = \"file\", path = \"e.jsonl\" }}\ntarget = {{ url = \"sqlite:t.db\" }}\n"
    );
    fs::write(shop.join("a.toml"), config).expect("a file");
    let log = fs::File::create(shop.join("run.log")).expect("a file");
    let mut run = Command::new(env!("CARGO_BIN_EXE_afterimage"));
    run.args(["run", "-c", "a.toml"]).current_dir(shop).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
    Ours(run.spawn().expect("the binary runs"))
}

/// Waits until the sidecar has found so many losses.
fn await_findings(site: &str, shop: &Path, wanted: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let what = format!("{wanted} findings; the log is {}", shop.join("run.log").display());
    wait::until_now(&what, PATIENCE, || {
        let found = runtime.block_on(async {
            let answer = reqwest::get(format!("{site}/api/v1/findings?state=open")).await.ok()?;
            Some(answer.json::<Value>().await.ok()?["findings"].as_array()?.len())
        });
        (found == Some(wanted)).then_some(())
    });
}

/// Where the installer of the services put what the browser needs.
fn installed() -> PathBuf {
    let home = std::env::var_os("AFTERIMAGE_SERVICES").map(PathBuf::from);
    let home = home.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/services"));
    let modules = home.join("browser/node_modules");
    assert!(modules.is_dir(), "{} is not there: tests/services/install brings it", modules.display());
    modules
}

fn browser(site: &str) -> Ours {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shots = here.join("target/browser");
    fs::create_dir_all(&shots).expect("a folder for screenshots");
    let mut node = Command::new("node");
    node.arg(here.join("tests/browser/pages.mjs")).stdin(Stdio::piped()).stdout(Stdio::piped());
    node.env("SITE", site).env("TOKEN", "t0ken").env("MODULES", installed()).env("SHOTS", shots);
    node.env("CHROMIUM", "/usr/bin/chromium");
    Ours(node.spawn().expect("node runs"))
}

fn answer(to: &mut ChildStdin, what: &str) {
    writeln!(to, "{what} done").expect("the browser listens");
}

#[test]
fn somebody_on_call_finds_their_way() {
    let shop = damaged_shop();
    let listen = free_address();
    let site = format!("http://{listen}");
    let mut run = Some(sidecar(shop.path(), &listen));
    await_findings(&site, shop.path(), 6);
    let mut browser = browser(&site);
    let mut to = browser.0.stdin.take().expect("a pipe");
    let asked = BufReader::new(browser.0.stdout.take().expect("a pipe"));
    for line in asked.lines().map_while(Result::ok) {
        match line.as_str() {
            "damage" => damage(shop.path()),
            "stop" => run = None,
            other => panic!("the browser asked for {other}"),
        }
        answer(&mut to, &line);
    }
    let ended = browser.0.wait().expect("it ends");
    let log = fs::read_to_string(shop.path().join("run.log")).unwrap_or_default();
    assert!(ended.success(), "a story failed, see above; the sidecar said: {log}");
    assert!(run.is_none(), "the last story stops the sidecar");
}
