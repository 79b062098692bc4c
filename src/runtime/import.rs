//! `findings import`: what another validation accuses, judged anew.
//!
//! A failure of DMS is a suspicion and nothing more: it was true of one look, at a moment when the applier may have been behind.
//! The keys that it names go through the same judge as everything else, by all that the tap says of them by now: what is not proven
//! here is no finding. Failures come in pages, each judged by one reading of the range, so that memory is bounded by a page.

use std::collections::BTreeMap;
use std::io::Write;

use tokio_util::sync::CancellationToken;

use crate::config::Pipeline;
use crate::dms::{Book, DmsError, Failure as Accusation, key_values};
use crate::engine::limit::Commits;
use crate::model::finding::State;
use crate::model::position::PartitionName;
use crate::model::{Op, Position};
use crate::report::Document;
use crate::report::document::Place;
use crate::report::group::Route;
use crate::report::import::{Line, SCHEMA, Word, tell};
use crate::store::Store;
use crate::telemetry::event;

use super::accused::{Accused, Docket, Meant, Met, Others};
use super::alerting;
use super::audit::{self, Ended};
use super::clock::Clock;
use super::entry::{AsOf, AuditArgs, Failure, Filter, ImportArgs, Outcome, OutputFormat, Unfinished};
use super::findings::{store_failure, writing};
use super::job::{Job, Judged, Noted};
use super::settings;
use super::window::{Asked, Window};

/// Failures judged together: one reading of the range serves all of them, and what is known of each fits a kilobyte.
const PAGE: usize = 50_000;

/// How many failures had which outcome.
pub(super) type Counts = BTreeMap<Word, u64>;

/// What is judged, and by what.
pub(super) struct Import<'a> {
    pub(super) args: &'a AuditArgs,
    pub(super) store: &'a Store,
    pub(super) routes: &'a [Route],
}

pub(super) fn dms_failure(error: DmsError) -> Failure {
    Failure {
        source: Some(Box::new(error)),
        ..Failure::new("the failures of DMS validation cannot be read or written")
    }
}

pub(super) async fn import(args: ImportArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    use secrecy::ExposeSecret as _;
    let book = Book::open(&args.url, args.scope).await.map_err(dms_failure)?;
    let store = Store::open(args.audit.config.store.url.expose_secret()).await.map_err(store_failure)?;
    let routes = alerting::routes(&args.audit.config.alerts);
    let import = Import { args: &args.audit, store: &store, routes: &routes };
    let mut sheet = Sheet { out, format: args.audit.format, counts: Counts::new() };
    sheet.begin()?;
    import.all(book, &mut |line| sheet.tell(&line)).await?;
    sheet.end()?;
    let counts = sheet.counts;
    store.close().await;
    Ok(if args.audit.stop.is_cancelled() { Outcome::Incomplete } else { outcome(&counts) })
}

/// How an import with these outcomes ended.
pub(super) fn outcome(counts: &Counts) -> Outcome {
    let some = |words: &[Word]| words.iter().any(|word| counts.contains_key(word));
    match some(&[Word::Unclear, Word::Rejected]) {
        true => Outcome::Incomplete,
        false if some(&[Word::Finding]) => Outcome::Findings,
        false => Outcome::Clean,
    }
}

/// What an import asks of the judge.
pub(super) fn judging(pipeline: &Pipeline, config: &crate::config::Config, stop: CancellationToken) -> AuditArgs {
    use crate::config::{Bound, Start};
    AuditArgs {
        config: config.clone(),
        pipeline: pipeline.clone(),
        range: super::entry::Range { from: Bound::from(Start::Beginning), to: Bound::from(Start::End) },
        filter: Filter::default(),
        row_filter: None,
        incarnation: None,
        unfinished: Unfinished::Forget,
        as_of: AsOf::Now,
        max_findings: None,
        max_time: None,
        max_wait: std::time::Duration::from_secs(300),
        fail_on: crate::model::finding::Severity::Info,
        format: OutputFormat::Json,
        report: None,
        progress: super::entry::ProgressStyle::Lines,
        stop,
    }
}

impl Import<'_> {
    /// Judges all failures of a book, and hands on what came of each.
    ///
    /// # Errors
    /// What kept it from reading, judging or keeping.
    pub(super) async fn all(
        &self,
        mut book: Book,
        each: &mut (dyn FnMut(Line) -> Result<(), Failure> + Send),
    ) -> Result<(), Failure> {
        loop {
            let page = book.page(PAGE).await.map_err(dms_failure)?;
            if page.is_empty() || self.args.stop.is_cancelled() {
                return Ok(());
            }
            for line in self.page(page).await? {
                event::FailureImported { pipeline: &self.args.pipeline.name, outcome: line.outcome.spoken() }.emit();
                each(line)?;
            }
        }
    }

    async fn page(&self, page: Vec<Accusation>) -> Result<Vec<Line>, Failure> {
        let (mut lines, mut named, mut accused) = (Vec::with_capacity(page.len()), Vec::new(), Vec::new());
        for one in page {
            match read(&one) {
                Ok(key) => {
                    accused.push(Accused { table: (one.owner.clone(), one.table.clone()), key });
                    named.push(one);
                }
                Err(why) => lines.push(line(&one, (Word::Rejected, why, None))),
            }
        }
        if named.is_empty() {
            return Ok(lines);
        }
        let docket = Docket::new(accused, others(&self.args.pipeline));
        let noted = Noted::default();
        let clock = Clock::start();
        let asked = Asked { docket: Some(docket.clone()), ..Asked::default() };
        let window = Window::new(asked, Judged::default(), noted.clone());
        let ended = audit::judge(self.args, window, (&mut Job::kept_nowhere(clock), &noted), clock).await?;
        let case = Case::of(&ended, &noted);
        let mut found: BTreeMap<String, Document> = BTreeMap::new();
        for (one, meant) in named.iter().zip(docket.meant()) {
            let (word, detail, document) = case.verdict(one, &meant);
            let id = document.map(|document| document.id.clone());
            if let Some(document) = document {
                let kept = found.entry(document.id.clone()).or_insert_with(|| document.clone());
                kept.evidence = format!("{}; {}", kept.evidence, one.provenance());
            }
            lines.push(line(one, (word, detail, id)));
        }
        let found: Vec<Document> = found.into_values().collect();
        self.store.record_for(&found, self.routes).await.map_err(store_failure)?;
        Ok(lines)
    }
}

/// The key that a failure names.
fn read(one: &Accusation) -> Result<Vec<String>, String> {
    if !one.is_about_row() {
        return Err(format!("its KEY_TYPE is `{}`: expected `Row`, it names no single row", one.key_type));
    }
    if one.failure_type.eq_ignore_ascii_case("TABLE_WARNING") {
        return Err("it is a warning about its table, not about a row".to_owned());
    }
    key_values(&one.key).map_err(|error| error.to_string())
}

fn line(one: &Accusation, (outcome, detail, id): (Word, String, Option<String>)) -> Line {
    Line {
        at: one.place(),
        task: one.task.clone(),
        table: format!("{}.{}", one.owner, one.table),
        key: one.key.clone(),
        failure: one.failure_type.clone(),
        rows: one.rows,
        outcome,
        detail,
        id,
    }
}

/// What DMS accuses is no fair sample: where rows prove the applier's progress, and a share of them a mass loss, all are judged.
fn others(pipeline: &Pipeline) -> Others {
    let options = settings::engine(pipeline);
    let told = options.evidence.committed && options.commits == Commits::AfterWrite;
    if options.evidence.assumed || told { Others::LeftOut } else { Others::Judged }
}

/// What the judge said.
struct Case<'e> {
    ended: &'e Ended,
    verified: BTreeMap<u128, Option<Position>>,
    findings: BTreeMap<u128, Vec<&'e Document>>,
}

type Told<'e> = (Word, String, Option<&'e Document>);

impl<'e> Case<'e> {
    fn of(ended: &'e Ended, noted: &Noted) -> Case<'e> {
        let mut findings: BTreeMap<u128, Vec<&Document>> = BTreeMap::new();
        for (id, document) in &ended.gathered.findings {
            if let Some(key) = ended.gathered.keys.get(id) {
                findings.entry(*key).or_default().push(document);
            }
        }
        Case { ended, verified: noted.verified(), findings }
    }

    fn verdict(&self, one: &Accusation, meant: &Meant) -> Told<'e> {
        match meant {
            Meant::NoKey(why) => (Word::Rejected, why.clone(), None),
            Meant::Nothing(why) => (Word::Unclear, why.clone(), None),
            Meant::Key(_, None) => {
                let why =
                    "the tap has no change of this key in the range that was read: nothing says what its row must be";
                (Word::Unclear, why.to_owned(), None)
            }
            Meant::Key(key, Some(met)) => self.of_key(one, key.hash128(), *met),
        }
    }

    fn of_key(&self, one: &Accusation, key: u128, met: Met) -> Told<'e> {
        let findings = self.findings.get(&key).map_or(&[][..], Vec::as_slice);
        let is_found =
            |document: &&&Document| matches!(document.state, State::Open | State::Acknowledged | State::Ignored);
        if let Some(found) = findings.iter().rev().find(is_found) {
            let detail =
                format!("the row is not what {} left: {}", self.place(met.at), found.kind.word().replace('_', " "));
            return (Word::Finding, detail, Some(found));
        }
        let newest = self.verified.get(&key).copied().flatten();
        if newest.is_some_and(|at| at.partition == met.at.partition && at.offset >= met.at.offset) {
            let (word, detail) = self.holds(one, met);
            return (word, detail, None);
        }
        let suspected = findings.iter().find(|document| document.state == State::Suspected);
        let why = match suspected {
            Some(suspected) => format!(
                "the row differs from what {} left, and nothing has proven yet that it had to be there: {}",
                self.place(met.at),
                suspected.evidence
            ),
            None => self.without_verdict(met.at),
        };
        (Word::Unclear, why, None)
    }

    /// What a row that is right says of the failure.
    fn holds(&self, one: &Accusation, met: Met) -> (Word, String) {
        let place = self.place(met.at);
        let what = match met.op {
            Op::Delete | Op::Truncate => format!("the row is gone, as {place} left it"),
            Op::Insert | Op::Read | Op::Update => format!("the row is what {place} left"),
        };
        let resynced = one.resync.as_ref().and_then(|resync| resync.result.as_deref());
        if resynced.is_some_and(|result| result.eq_ignore_ascii_case("success")) {
            return (Word::Resynced, format!("{what}; DMS says that it wrote it"));
        }
        match (met.logged, one.times) {
            (Some(logged), Some((_, failed))) if logged > failed.0 => {
                (Word::Superseded, format!("{what}, logged since the failure"))
            }
            (Some(_), Some(_)) => (Word::FalseAlarm, format!("{what}, logged before the failure")),
            (None, _) | (_, None) => (Word::FalseAlarm, what),
        }
    }

    fn without_verdict(&self, at: Position) -> String {
        let PartitionName { topic, partition } = self.ended.partitions.name(at.partition);
        let given_up = self.ended.gathered.unverifiable.iter().map(|one| &one.range).find(|range| {
            (range.topic.as_str(), range.partition) == (&*topic, partition)
                && (range.from..range.to).contains(&at.offset)
        });
        let why = given_up.map(|range| range.reason.as_str()).or(self.ended.end.why());
        format!("{}: {}", self.place(at), why.unwrap_or("it has no verdict"))
    }

    fn place(&self, at: Position) -> String {
        let PartitionName { topic, partition } = self.ended.partitions.name(at.partition);
        Place { topic: topic.to_string(), partition, offset: at.offset }.to_string()
    }
}

/// What is printed, and counted.
struct Sheet<'o> {
    out: &'o mut (dyn Write + Send),
    format: OutputFormat,
    counts: Counts,
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

    fn tell(&mut self, line: &Line) -> Result<(), Failure> {
        let first = self.counts.is_empty();
        *self.counts.entry(line.outcome).or_default() += 1;
        match self.is_json() {
            true => {
                self.out.write_all(if first { b"" } else { b"," }).map_err(writing)?;
                serde_json::to_writer(&mut *self.out, line).map_err(|error| writing(error.into()))
            }
            false => tell(line, self.out).map_err(writing),
        }
    }

    fn end(&mut self) -> Result<(), Failure> {
        match self.is_json() {
            true => {
                let counts = serde_json::to_string(&self.counts).map_err(|error| writing(error.into()))?;
                writeln!(self.out, "],\"counts\":{counts}}}").map_err(writing)?;
            }
            false => {
                let said = summed(&self.counts);
                writeln!(self.out, "{said}").map_err(writing)?;
            }
        }
        self.out.flush().map_err(writing)
    }
}

/// The counts as people read them.
pub(super) fn summed(counts: &Counts) -> String {
    match counts.is_empty() {
        true => "DMS has logged no failure".to_owned(),
        false => {
            let counts = counts.iter().map(|(word, count)| format!("{count} {}", word.spoken()));
            counts.collect::<Vec<_>>().join(", ")
        }
    }
}
