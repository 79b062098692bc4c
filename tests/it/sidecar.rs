//! The sidecar as its users run it: the `afterimage` binary as a child process with a configuration file of its own.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::pipeline::Pipeline;
use crate::wait;

const BINARY: &str = env!("CARGO_BIN_EXE_afterimage");

/// How long a start or an orderly stop may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A sidecar with its own directory, store and port. Dropping it kills the process.
pub(crate) struct Sidecar {
    dir: TempDir,
    listen: String,
    http: Client,
    child: Option<Child>,
    starts: u32,
}

impl Sidecar {
    /// Writes the configuration, `[store]` and `[web]` before the given sections, and starts nothing.
    pub(crate) fn prepare(sections: &str) -> Self {
        let dir = TempDir::new().expect("a directory");
        let listen = free_address();
        let store = dir.path().join("afterimage.db");
        let config =
            format!("[store]\nurl = \"sqlite:{}\"\n\n[web]\nlisten = \"{listen}\"\n\n{sections}", store.display());
        fs::write(dir.path().join("afterimage.toml"), config).expect("the directory is writable");
        Self { dir, listen, http: Client::new(), child: None, starts: 0 }
    }

    /// `prepare`, then `start` and `wait_up`.
    pub(crate) async fn run(sections: &str) -> Self {
        let mut sidecar = Self::prepare(sections);
        sidecar.start();
        sidecar.wait_up().await;
        sidecar
    }

    pub(crate) fn config_path(&self) -> PathBuf {
        self.dir.path().join("afterimage.toml")
    }

    /// Starts the process with the configuration and store it had before.
    pub(crate) fn start(&mut self) {
        assert!(self.child.is_none(), "this sidecar runs already");
        self.starts += 1;
        let log = File::create(self.log_path()).expect("the directory is writable");
        let child = self.command(&["run", "-c"]).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.expect("the binary starts"));
    }

    /// Waits until it serves HTTP; panics with its log if it ends instead.
    pub(crate) async fn wait_up(&mut self) {
        let log = self.log_path();
        let (http, url) = (self.http.clone(), self.url("livez"));
        let child = self.child.as_mut().expect("a started sidecar");
        wait::until("the sidecar serves HTTP", PATIENCE, || {
            if let Some(status) = child.try_wait().expect("a child of ours") {
                panic!("the sidecar ended with {status}: {}", fs::read_to_string(&log).unwrap_or_default());
            }
            let answer = http.get(&url).send();
            async move { answer.await.ok() }
        })
        .await;
    }

    /// SIGKILL, as a crash or the kernel would end it.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("a started sidecar");
        child.kill().expect("it is still running");
        child.wait().expect("a child of ours");
    }

    /// SIGTERM, and waits for an orderly end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a started sidecar");
        let sent = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill runs");
        assert!(sent.success(), "the sidecar ended before it was asked to");
        wait::until("the sidecar ends", PATIENCE, || {
            let ended = child.try_wait().expect("a child of ours");
            async move { ended }
        })
        .await
    }

    pub(crate) async fn status(&self) -> Option<Value> {
        self.http.get(self.url("api/v1/status")).send().await.ok()?.json().await.ok()
    }

    pub(crate) async fn watermarks(&self) -> Option<Value> {
        self.http.get(self.url("api/v1/watermarks")).send().await.ok()?.json().await.ok()
    }

    /// The Prometheus text.
    pub(crate) async fn metrics(&self) -> Option<String> {
        self.http.get(self.url("metrics")).send().await.ok()?.text().await.ok()
    }

    /// The sum of all series of one metric whose labels contain `label` (`""` for all of them).
    pub(crate) async fn metric(&self, name: &str, label: &str) -> Option<f64> {
        let text = self.metrics().await?;
        let series = text.lines().filter(|line| {
            let rest = line.strip_prefix(name).unwrap_or("#");
            rest.starts_with(['{', ' ']) && rest.contains(label)
        });
        series.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok())).sum()
    }

    /// Waits until the status satisfies `wanted`; returns it.
    pub(crate) async fn wait_status(&self, what: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, limit, || async { self.status().await.filter(|status| wanted(status)) }).await
    }

    /// Every finding in the store, of any state, as `findings list -o json` prints them.
    pub(crate) fn findings(&self) -> Vec<Value> {
        self.listed(&[])
    }

    /// Every range of the tap that ended without a verdict, as the store has it.
    pub(crate) fn unverified(&self) -> Vec<Value> {
        self.listed(&["--unverified"])
    }

    fn listed(&self, more: &[&str]) -> Vec<Value> {
        let fixed = ["findings", "list", "-n", "1000000", "-o", "json"];
        let output = self.command(&[&fixed[..], more, &["-c"]].concat()).output().expect("the binary starts");
        let complaint = String::from_utf8_lossy(&output.stderr);
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("findings list: {error}: {complaint}"))
    }

    /// Waits until the findings satisfy `wanted`; returns them.
    pub(crate) async fn wait_findings(
        &self,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        wait::until(what, limit, || {
            let findings = self.findings();
            let done = wanted(&findings);
            async move { done.then_some(findings) }
        })
        .await
    }

    /// What it logged since its last start.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join(format!("run-{}.log", self.starts))
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.listen)
    }

    /// `afterimage ARGS… CONFIG`.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command.args(args).arg(self.config_path()).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(40).collect();
            eprintln!("the end of the sidecar's log:\n{}", tail.into_iter().rev().collect::<Vec<_>>().join("\n"));
        }
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; then there is nothing to kill, only to reap.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Runs `afterimage` to its end in `dir`.
pub(crate) fn afterimage(dir: &Path, args: &[&str]) -> Output {
    Command::new(BINARY).args(args).current_dir(dir).stdin(Stdio::null()).output().expect("the binary starts")
}

/// The sections of a sidecar beside `pipeline`: `lines` are keys of the pipeline itself (`applied = …`), and whole sections after
/// them where a test needs more.
pub(crate) fn beside(pipeline: &Pipeline, lines: &str) -> String {
    let (name, mut text) = (pipeline.name(), String::new());
    let topics: Vec<_> = pipeline.tapped_topics().iter().map(|topic| format!("{topic:?}")).collect();
    writeln!(text, "[pipelines.{name}]\n{lines}\n").expect("a string takes all");
    writeln!(text, "[pipelines.{name}.tap]\ntype = \"kafka\"\nbrokers = {:?}", pipeline.kafka.broker())
        .expect("a string takes all");
    writeln!(text, "topics = [{}]\ngroup = \"afterimage-{name}\"\nfrom = \"beginning\"\n", topics.join(", "))
        .expect("a string takes all");
    if let Some(registry) = pipeline.registry() {
        writeln!(text, "[pipelines.{name}.decode]\nregistry = {registry:?}\n").expect("a string takes all");
    }
    writeln!(text, "[pipelines.{name}.target]\ntype = {:?}\nurl = {:?}", pipeline.target.kind(), pipeline.target.url())
        .expect("a string takes all");
    text
}

/// An address of loopback that nobody listens on.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket has an address").to_string()
}
