//! The sidecar as its users run it: the `afterimage` binary as a process of its own, with a configuration file, and what it
//! found, from its store and its log.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use afterimage::demo::applier::{Fields, Place, RowId};
use afterimage::model::Wall;
use afterimage::model::finding::State;
use afterimage::report::document::Document;
use reqwest::Client;
use serde_json::Value;
use tempfile::TempDir;

use crate::pipeline::Pipeline;
use crate::{process, wait};

/// How long a start may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often evidence is polled; the default of the configuration, stated because times are measured in it.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// A running sidecar. Dropping it kills the process.
pub(crate) struct Sidecar {
    dir: TempDir,
    binary: PathBuf,
    listen: String,
    http: Client,
    child: Child,
}

/// A finding, and when it was told.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) document: Document,
    /// When it was opened, by the log; `None` where it never was.
    pub(crate) at: Option<Wall>,
}

impl Told {
    /// The row it is about.
    pub(crate) fn row(&self) -> Option<RowId> {
        let key: Fields =
            self.document.key.as_ref()?.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        Some(RowId::new(self.document.table.as_deref()?, &key))
    }

    /// Where the change lies that it names.
    pub(crate) fn place(&self) -> Option<Place> {
        let at = &self.document.expected.as_ref()?.at;
        Some(Place { topic: at.topic.as_str().into(), partition: at.partition, offset: at.offset })
    }

    /// Whether anybody was told of it.
    pub(crate) fn is_opened(&self) -> bool {
        self.at.is_some() || !matches!(self.document.state, State::Suspected)
    }
}

impl Sidecar {
    /// Starts one beside the pipeline, by the offsets that the applier commits, everything else as it is by default; returns when
    /// it serves HTTP.
    pub(crate) async fn start(pipeline: &Pipeline, binary: &Path) -> Sidecar {
        let dir = TempDir::new().expect("a directory");
        let listen = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let listen = listen.to_string();
        fs::write(dir.path().join("afterimage.toml"), config(pipeline, dir.path(), &listen)).expect("a file");
        let log = File::create(dir.path().join("run.log")).expect("a file");
        let mut command = Command::new(binary);
        command.args(["run", "--log-format", "json", "-c"]).arg(dir.path().join("afterimage.toml"));
        command.current_dir(dir.path()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = command.spawn().expect("the binary starts");
        let sidecar = Sidecar { dir, binary: binary.to_owned(), listen, http: Client::new(), child };
        wait::until("the sidecar serves HTTP", PATIENCE, || async { sidecar.text("livez").await }).await;
        sidecar
    }

    async fn text(&self, path: &str) -> Option<String> {
        self.http.get(format!("http://{}/{path}", self.listen)).send().await.ok()?.text().await.ok()
    }

    /// The sum of all series of one metric.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = self.text("metrics").await?;
        let series =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        let mut values = series.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()));
        values.try_fold(0.0, |sum, value| Some(sum + value?))
    }

    /// Processor seconds and resident bytes so far.
    pub(crate) fn cost(&self) -> (f64, usize) {
        (process::cpu(self.child.id()), process::resident(self.child.id()))
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Everything it ever found.
    pub(crate) fn told(&self) -> Vec<Told> {
        let mut command = Command::new(&self.binary);
        command.args(["findings", "list", "-n", "1000000", "-o", "json", "-c"]);
        command.arg(self.dir.path().join("afterimage.toml")).current_dir(self.dir.path());
        let output = command.stdin(Stdio::null()).output().expect("the binary starts");
        let documents: Vec<Document> = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        let opened = self.opened();
        let told = |document: Document| Told { at: opened.get(&document.id).copied(), document };
        documents.into_iter().map(told).collect()
    }

    /// When each finding was opened first.
    fn opened(&self) -> BTreeMap<String, Wall> {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let mut opened = BTreeMap::new();
        for line in log.lines().filter(|line| line.contains(r#""finding""#)) {
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            let at = line["timestamp"].as_str().and_then(|at| chrono::DateTime::parse_from_rfc3339(at).ok());
            if let (Some(id), Some(at), Some("finding")) = (line["id"].as_str(), at, line["message"].as_str()) {
                opened.entry(id.to_owned()).or_insert(Wall(at.timestamp_millis()));
            }
        }
        opened
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.dir.path().join("run.log")
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill, only to reap.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config(pipeline: &Pipeline, dir: &Path, listen: &str) -> String {
    let (name, store) = (pipeline.name(), dir.join("afterimage.db"));
    format!(
        "[store]\nurl = \"sqlite:{}\"\n\n[web]\nlisten = \"{listen}\"\n\n\
         [pipelines.{name}]\napplied = \"kafka-group:{}\"\ncommits = \"after_write\"\n\n\
         [pipelines.{name}.tap]\ntype = \"kafka\"\nbrokers = {:?}\ntopics = {:?}\ngroup = \"afterimage-{name}\"\n\
         from = \"beginning\"\n\n[pipelines.{name}.target]\ntype = \"postgres\"\nurl = {:?}\n",
        store.display(),
        pipeline.group(),
        pipeline.broker(),
        pipeline.topics(),
        pipeline.target_url(),
    )
}
