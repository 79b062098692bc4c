//! `revalidate`: every open finding about a row is looked at once more, a window at a time.

use std::collections::BTreeMap;
use std::io::Write;

use crate::config::Pipeline;
use crate::model::Wall;
use crate::report::Document;
use crate::report::again::{Facts, Line, SCHEMA, tell};
use crate::report::group::Route;
use crate::store::{About, Store};
use crate::target::Target;

use super::alerting;
use super::clock::Clock;
use super::entry::{Failure, Outcome, OutputFormat, RevalidateArgs};
use super::findings::{open, store_failure, unknown, writing};
use super::revalidate::{Depth, Looked, Looker, Told, WINDOW};
use super::settings;

/// What is printed, and counted.
struct Sheet<'o> {
    out: &'o mut (dyn Write + Send),
    format: OutputFormat,
    counts: BTreeMap<&'static str, u64>,
    over: u64,
}

pub(super) async fn revalidate(args: RevalidateArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let store = open(&args.config.store).await?;
    let clock = Clock::start();
    let routes = alerting::routes(&args.config.alerts);
    store.run_out(clock.wall(clock.now()), &routes).await.map_err(store_failure)?;
    let named = named(&store, &args).await?;
    let mut sheet = Sheet { out, format: args.format, counts: BTreeMap::new(), over: 0 };
    sheet.begin()?;
    for pipeline in
        args.config.pipelines.iter().filter(|one| args.pipeline.as_ref().is_none_or(|name| *name == one.name))
    {
        let mut walk = Walk { store: &store, pipeline: &pipeline.name, since: args.since, after: Some(String::new()) };
        let mut looker = None;
        let mut of_pipeline = named.get(&pipeline.name).cloned().unwrap_or_default();
        loop {
            let window = match args.ids.is_empty() {
                true => walk.window().await?,
                false => std::mem::take(&mut of_pipeline),
            };
            if window.is_empty() || args.stop.is_cancelled() {
                break;
            }
            let looker = match &mut looker {
                Some(looker) => looker,
                none @ None => none.insert(connect(pipeline, &args).await?),
            };
            let told = looker.look(window, Depth::Tap).await?;
            record(&store, &told, &routes).await?;
            told.iter().try_for_each(|one| sheet.tell(one))?;
        }
    }
    let remain = sheet.end()?;
    Ok(match (args.stop.is_cancelled(), remain) {
        (true, _) => Outcome::Incomplete,
        (false, 0) => Outcome::Clean,
        (false, _) => Outcome::Findings,
    })
}

async fn connect<'p>(pipeline: &'p Pipeline, args: &RevalidateArgs) -> Result<Looker<'p>, Failure> {
    let target = Target::connect(settings::target(&pipeline.target))
        .await
        .map_err(|error| Failure { source: Some(Box::new(error)), ..Failure::new("the target cannot be used") })?;
    Ok(Looker::new(pipeline, target, args.stop.clone()))
}

/// Keeps what is new of findings.
pub(super) async fn record(store: &Store, told: &[Told], routes: &[Route]) -> Result<(), Failure> {
    let statements: Vec<Document> = told.iter().filter_map(|one| one.statement.clone()).collect();
    store.record_for(&statements, routes).await.map_err(store_failure)?;
    Ok(())
}

/// The findings that were named, by pipeline.
async fn named(store: &Store, args: &RevalidateArgs) -> Result<BTreeMap<String, Vec<Document>>, Failure> {
    let mut named: BTreeMap<String, Vec<Document>> = BTreeMap::new();
    for id in &args.ids {
        let document = store.get(id).await.map_err(store_failure)?.ok_or_else(|| unknown(id))?;
        if !document.may_heal() {
            let what = format!("finding `{}` is {}, of {}", document.id, document.state, document.kind);
            return Err(Failure {
                hint: Some("only open and acknowledged findings about rows are looked at again".into()),
                ..Failure::new(what)
            });
        }
        if args.config.pipelines.iter().all(|pipeline| pipeline.name != document.pipeline) {
            return Err(Failure::new(format!(
                "the configuration has no pipeline `{}`, of finding `{id}`",
                document.pipeline
            )));
        }
        named.entry(document.pipeline.clone()).or_default().push(document);
    }
    Ok(named)
}

/// What is open of a pipeline, page by page: no more than a window is in memory.
struct Walk<'s> {
    store: &'s Store,
    pipeline: &'s str,
    since: Option<Wall>,
    /// `None`: the end was reached.
    after: Option<String>,
}

impl Walk<'_> {
    async fn window(&mut self) -> Result<Vec<Document>, Failure> {
        let mut window = Vec::new();
        while let Some(after) = self.after.as_ref().filter(|_| window.len() < WINDOW) {
            let page = self.store.open_findings(self.pipeline, About::Rows, after).await.map_err(store_failure)?;
            self.after = page.last().map(|last| last.id.clone());
            let is_asked = |document: &Document| self.since.is_none_or(|since| document.last_seen >= since);
            window.extend(page.into_iter().filter(Document::may_heal).filter(is_asked));
        }
        Ok(window)
    }
}

fn word(looked: &Looked) -> (&'static str, Option<String>) {
    match looked {
        Looked::StillTrue { equals } => {
            ("still_true", equals.as_ref().map(|at| format!("the row is the version of {at}")))
        }
        Looked::Healed { by } => ("healed", Some(format!("the row is the expected one, of {by}"))),
        Looked::Superseded { by } => ("superseded", Some(format!("the row is what {by} left"))),
        Looked::GoneFromMapping { why } => ("gone_from_mapping", Some(why.clone())),
        Looked::Unclear { why } => ("unclear", Some(why.clone())),
    }
}

impl Sheet<'_> {
    fn is_json(&self) -> bool {
        self.format == OutputFormat::Json
    }

    fn begin(&mut self) -> Result<(), Failure> {
        match self.is_json() {
            true => write!(self.out, "{{\"schema\":\"{SCHEMA}\",\"outcomes\":[").map_err(writing),
            false => Ok(()),
        }
    }

    fn tell(&mut self, told: &Told) -> Result<(), Failure> {
        let (outcome, detail) = word(&told.looked);
        let facts = Facts {
            available_in_target: told.available_in_target,
            matching_with_source: told.beside.matching(),
            source: told.beside.words(),
        };
        let line = Line::of(&told.document, outcome, detail.as_deref(), facts);
        let first = self.counts.is_empty();
        *self.counts.entry(outcome).or_default() += 1;
        self.over += u64::from(told.looked.is_over());
        match self.is_json() {
            true => {
                self.out.write_all(if first { b"" } else { b"," }).map_err(writing)?;
                serde_json::to_writer(&mut *self.out, &line).map_err(|error| writing(error.into()))
            }
            false => tell(&told.document, &line, self.out).map_err(writing),
        }
    }

    /// Ends, and gives how many findings remain.
    fn end(&mut self) -> Result<u64, Failure> {
        let remain = self.counts.values().sum::<u64>() - self.over;
        match self.is_json() {
            true => {
                let counts = serde_json::to_string(&self.counts).map_err(|error| writing(error.into()))?;
                writeln!(self.out, "],\"counts\":{counts},\"remain\":{remain}}}").map_err(writing)?;
            }
            false => {
                let counts = self.counts.iter().map(|(word, count)| format!("{count} {}", word.replace('_', " ")));
                let counts: Vec<String> = counts.collect();
                let counts = if counts.is_empty() { "nothing is open".to_owned() } else { counts.join(", ") };
                writeln!(self.out, "{counts}; {remain} remain").map_err(writing)?;
            }
        }
        self.out.flush().map_err(writing)?;
        Ok(remain)
    }
}
