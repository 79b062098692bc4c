//! The sidecar of the demo: `run` itself, on a configuration like anybody's, watched from outside through its store.

use std::collections::BTreeMap;
use std::path::Path;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::applier::Place;
use super::source::Table;
use crate::config::load::{Flags, Need};
use crate::config::{Layers, Surroundings, load};
use crate::report::Document;
use crate::runtime::entry::{self, Failure, Outcome, RunArgs};
use crate::store::{Cursor, Filter, PAGE, Store};
use crate::telemetry::Metrics;

/// Name of the pipeline.
const PIPELINE: &str = "demo";

/// What the sidecar is to watch.
pub(super) struct Setup<'a> {
    /// Where the configuration and the store go.
    pub(super) dir: &'a Path,
    /// `host:port` of the broker.
    pub(super) brokers: &'a str,
    /// The applier's consumer group.
    pub(super) applier: &'a str,
    /// The applier's target.
    pub(super) target: &'a Path,
}

/// A running sidecar.
pub(super) struct Sidecar {
    store: Store,
    stop: CancellationToken,
    running: JoinSet<Result<Outcome, Failure>>,
}

/// What the sidecar says at one moment.
#[derive(Debug, Default)]
pub(super) struct Picture {
    /// Every finding, suspected ones included.
    pub(super) findings: Vec<Document>,
    /// Positions below which everything has its verdict, added up over the partitions.
    pub(super) verified: u64,
}

impl Sidecar {
    /// Starts it.
    ///
    /// # Errors
    /// When the configuration is refused or the store cannot be opened.
    pub(super) async fn start(setup: &Setup<'_>, metrics: Metrics) -> Result<Sidecar, Failure> {
        let store_url = format!("sqlite:{}", setup.dir.join("findings.db").display());
        let file = setup.dir.join("afterimage.toml");
        std::fs::write(&file, configuration(setup, &store_url))
            .map_err(|error| failed("the demo's configuration cannot be written", error))?;
        let nothing = Surroundings { variables: BTreeMap::new(), read_file: |path| std::fs::read_to_string(path) };
        let layers = Layers { file: Some(file), around: &nothing, flags: Flags::default(), need: Need::Pipelines };
        let config = load(&layers).map_err(|problems| failed("the demo's configuration is refused", problems))?.config;
        let store = Store::open(&store_url)
            .await
            .map_err(|error| failed("the demo's findings store cannot be opened", error))?;
        let stop = CancellationToken::new();
        let mut running = JoinSet::new();
        running.spawn(entry::run(RunArgs { config, metrics, stop: stop.clone() }));
        Ok(Sidecar { store, stop, running })
    }

    /// What it says now.
    ///
    /// # Errors
    /// When it has ended, or its store does not answer.
    pub(super) async fn look(&mut self) -> Result<Picture, Failure> {
        if let Some(ended) = self.running.try_join_next() {
            ended.map_err(|error| failed("the sidecar panicked", error))??;
            return Err(Failure::new("the sidecar ended by itself"));
        }
        let unreadable = |error| failed("the demo's findings store cannot be read", error);
        let marks = self.store.load_watermarks(PIPELINE).await.map_err(unreadable)?;
        let mut picture = Picture { findings: Vec::new(), verified: marks.iter().map(|mark| mark.verified).sum() };
        let mut filter = Filter::default();
        loop {
            let page = self.store.list(&filter).await.map_err(unreadable)?;
            let full = page.len() >= PAGE as usize;
            filter.after = page.last().map(Cursor::behind);
            picture.findings.extend(page);
            if !full {
                return Ok(picture);
            }
        }
    }

    /// Ends it as a signal would.
    ///
    /// # Errors
    /// What it ended with.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        self.stop.cancel();
        while let Some(ended) = self.running.join_next().await {
            ended.map_err(|error| failed("the sidecar panicked", error))??;
        }
        self.store.close().await;
        Ok(())
    }
}

/// The place that a finding says was lost.
pub(super) fn place(document: &Document) -> Option<Place> {
    let at = &document.expected.as_ref()?.at;
    Some(Place { topic: at.topic.as_str().into(), partition: at.partition, offset: at.offset })
}

fn failed(what: &str, source: impl std::error::Error + Send + Sync + 'static) -> Failure {
    Failure { source: Some(Box::new(source)), ..Failure::new(what) }
}

/// The configuration, as a user would write it.
fn configuration(setup: &Setup<'_>, store_url: &str) -> String {
    let topics: Vec<String> = Table::ALL.iter().map(|table| table.topic().to_owned()).collect();
    let text = |value: &str| toml::Value::String(value.to_owned()).to_string();
    format!(
        "[store]\nurl = {store}\n\n[web]\nlisten = \"\"\n\n[pipelines.{PIPELINE}]\napplied = {applied}\n\
         commits = \"after_write\"\n\n[pipelines.{PIPELINE}.tap]\ntype = \"kafka\"\nbrokers = {brokers}\n\
         topics = {topics:?}\ngroup = \"afterimage-{PIPELINE}\"\nfrom = \"beginning\"\n\n\
         [pipelines.{PIPELINE}.target]\ntype = \"sqlite\"\nurl = {target}\n",
        store = text(store_url),
        applied = text(&format!("kafka-group:{}", setup.applier)),
        brokers = text(setup.brokers),
        target = text(&format!("sqlite:{}", setup.target.display())),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_one_that_run_takes() {
        let dir = tempfile::tempdir().expect("a directory");
        let (brokers, applier, target) = ("127.0.0.1:9092", "dms", dir.path().join("shop.db"));
        let setup = Setup { dir: dir.path(), brokers, applier, target: &target };
        let file = dir.path().join("afterimage.toml");
        std::fs::write(&file, configuration(&setup, "sqlite:x.db")).expect("written");
        let nothing = Surroundings { variables: BTreeMap::new(), read_file: |path| std::fs::read_to_string(path) };
        let layers = Layers { file: Some(file), around: &nothing, flags: Flags::default(), need: Need::Pipelines };
        let config = load(&layers).expect("a configuration without mistakes").config;
        assert_eq!(config.pipelines.len(), 1);
        assert!(config.web.is_none());
    }
}
