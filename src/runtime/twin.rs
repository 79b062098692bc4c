//! The rows of the source, beside those of the target: what a finding's key holds at both now.
//!
//! The source is read before and after the target. What is told of a key is told only where both reads of the source agree and the
//! tap tells of no change of it meanwhile. It is a fact beside the finding: what becomes of that the tap alone decides. A source
//! that does not answer is told in words.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use crate::canon::{Meets, Rules};
use crate::config;
use crate::engine::event::{Role, Seen};
use crate::model::{Columns, Key, Row, TableId, Typing};
use crate::report::document::Column;
use crate::target::{Target, TargetError};

use super::entry::Failure;
use super::heard::Versions;
use super::look;
use super::revalidate::{Case, Depth, Looker};
use super::settings;
use super::tables::{Carries, Table};
use super::tell::chain;

/// Times that both are read for keys that change meanwhile.
const TRIES: usize = 3;

/// Keys of one statement.
const KEYS: usize = 100;

/// What is told of the source's row of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beside {
    /// Nobody asked: no source is configured, or the target was not read.
    Unasked,
    /// Nothing, and why.
    Untold(String),
    /// Whether the target has the same, and how that is.
    Told { matching: bool, words: String },
}

/// The tables of a source, found for some cases.
pub(super) struct Source {
    target: Target,
    tables: BTreeMap<TableId, Result<Arc<Table>, String>>,
}

/// What the source holds at a key.
type Theirs = Result<Seen, String>;

impl Beside {
    /// Whether the target has what the source has; `None` where that is not told.
    pub(super) fn matching(&self) -> Option<bool> {
        match self {
            Beside::Told { matching, .. } => Some(*matching),
            Beside::Unasked | Beside::Untold(_) => None,
        }
    }

    /// What is told, in words; `None` where nobody asked.
    pub(super) fn words(&self) -> Option<&str> {
        match self {
            Beside::Told { words, .. } | Beside::Untold(words) => Some(words),
            Beside::Unasked => None,
        }
    }

    /// What it means for a finding that is still true by the tap.
    pub(super) fn story(&self) -> Option<String> {
        match self {
            Beside::Told { matching: true, words } => {
                Some(format!("{words}: a newer change has not been seen on the tap"))
            }
            Beside::Told { matching: false, words } => Some(words.clone()),
            Beside::Unasked | Beside::Untold(_) => None,
        }
    }

    /// A note, and what the source says.
    pub(super) fn added_to(&self, note: String) -> String {
        match self {
            Beside::Told { words, .. } => format!("{note}; {words}"),
            Beside::Unasked | Beside::Untold(_) => note,
        }
    }

    fn told(matching: bool, words: impl Into<String>) -> Beside {
        Beside::Told { matching, words: words.into() }
    }

    fn untold(words: impl Into<String>) -> Beside {
        Beside::Untold(words.into())
    }
}

/// Connects to the source.
///
/// # Errors
/// It does not answer, or refuses.
pub(super) async fn connect(source: &config::Target) -> Result<Target, TargetError> {
    Target::connect(settings::target(source)).await
}

/// The source's own table of a tap table, by the name that the tap gives it. The inner error says why its rows say nothing.
///
/// # Errors
/// When the source does not answer.
pub(super) async fn table(source: &Target, ours: &Table) -> Result<Result<Arc<Table>, String>, TargetError> {
    let name = &ours.tap_name;
    let (schema, bare) = name.rsplit_once('.').map_or((None, &**name), |(schema, bare)| (Some(schema), bare));
    let schema = schema.map(|schema| schema.rsplit_once('.').map_or(schema, |(_, schema)| schema));
    let Some(meta) = source.describe(schema, bare).await? else {
        return Ok(Err(format!("the source shows no table `{name}`: grant SELECT on it, if it is there")));
    };
    let key: Vec<String> = ours.plan.key_names().map(str::to_owned).collect();
    let (rules, names) = (Rules { key, ..Rules::default() }, (ours.id, name, Role::Rows));
    let made = Table::plan(names, Arc::new(meta), &rules, Carries::default(), None);
    Ok(made.map(Arc::new).map_err(|error| format!("at the source, {error}")))
}

impl Looker<'_> {
    /// The rows of the cases, in their order, each with what the source says. `versions` learns what the tap tells meanwhile.
    pub(super) async fn sides(
        &self,
        cases: &[Case],
        depth: Depth,
        versions: &mut Versions,
    ) -> Result<Vec<(Seen, Beside)>, Failure> {
        let all: Vec<&Case> = cases.iter().collect();
        if all.is_empty() || self.pipeline.source.is_none() || depth == Depth::Rows {
            let seen = self.read(&all).await?;
            return Ok(seen.into_iter().map(|seen| (seen, Beside::Unasked)).collect());
        }
        let source = self.find_source(&all).await;
        let ends = tokio::task::block_in_place(|| self.hear_end(versions, &all));
        let source = match (source, ends) {
            (Ok(source), Ok(())) => source,
            (Err(why), _) => return self.without(&all, why).await,
            (Ok(_), Err(failure)) => return self.without(&all, chain(&failure)).await,
        };
        let unsteady = Beside::untold("it was not compared with the source: the key changes all the time");
        let mut sides = vec![(Seen::Incomparable, unsteady); cases.len()];
        let mut left: Vec<usize> = (0..cases.len()).collect();
        for _ in 0..TRIES {
            let some: Vec<&Case> = left.iter().map(|index| all[*index]).collect();
            let told = self.compare(&source, &some, versions).await?;
            for (index, (seen, beside)) in left.iter().zip(&told) {
                sides[*index].0 = seen.clone();
                if let Some(beside) = beside {
                    sides[*index].1 = beside.clone();
                }
            }
            left = left.iter().zip(&told).filter(|(_, told)| told.1.is_none()).map(|(index, _)| *index).collect();
            if left.is_empty() {
                break;
            }
        }
        Ok(sides)
    }

    /// The rows alone, because of this.
    async fn without(&self, cases: &[&Case], why: String) -> Result<Vec<(Seen, Beside)>, Failure> {
        tracing::warn!(pipeline = self.pipeline.name, "findings are not compared with the source: {why}");
        let seen = self.read(cases).await?;
        Ok(seen.into_iter().map(|seen| (seen, Beside::Untold(why.clone()))).collect())
    }

    /// Reads the source, the target, and the source again. Of keys that changed meanwhile nothing is told.
    async fn compare(
        &self,
        source: &Source,
        cases: &[&Case],
        versions: &mut Versions,
    ) -> Result<Vec<(Seen, Option<Beside>)>, Failure> {
        let before = source.read(cases).await;
        let seen = self.read(cases).await?;
        let after = source.read(cases).await;
        let (before, after) = match (before, after) {
            (Ok(before), Ok(after)) => (before, after),
            (Err(error), _) | (_, Err(error)) => {
                let why = format!("the source cannot be read: {}", chain(&error));
                tracing::warn!(pipeline = self.pipeline.name, "findings are not compared with it: {why}");
                return Ok(seen.into_iter().map(|seen| (seen, Some(Beside::Untold(why.clone())))).collect());
            }
        };
        let moved = tokio::task::block_in_place(|| self.hear_on(versions, cases));
        let moved = match moved {
            Ok(Some(moved)) => moved,
            Ok(None) | Err(_) => {
                let why = "it was not compared with the source: whether the key changed meanwhile the tap did not tell";
                return Ok(seen.into_iter().map(|seen| (seen, Some(Beside::untold(why)))).collect());
            }
        };
        let told = cases.iter().zip(before.into_iter().zip(after)).zip(seen);
        let told = told.map(|((case, (before, after)), seen)| {
            let beside = match (before, after) {
                (Err(why), _) | (_, Err(why)) => Some(Beside::Untold(why)),
                (Ok(before), Ok(after)) if moved.contains(&case.key) || !is_same(&before, &after) => None,
                (Ok(_), Ok(after)) => Some(source.beside(case, &after, &seen)),
            };
            (seen, beside)
        });
        Ok(told.collect())
    }

    /// The source, with the tables of the cases.
    async fn find_source(&self, cases: &[&Case]) -> Result<Source, String> {
        let Some(options) = &self.pipeline.source else { return Err("no source is configured".to_owned()) };
        let connected = self.source.get_or_try_init(|| connect(options)).await;
        let target = connected.map_err(|error| format!("the source cannot be used: {}", chain(&error)))?.clone();
        let mut tables = BTreeMap::new();
        for case in cases {
            if let Entry::Vacant(new) = tables.entry(case.table.id) {
                let found = table(&target, &case.table).await;
                let found = found.map_err(|error| format!("the source cannot be read: {}", chain(&error)))?;
                new.insert(found);
            }
        }
        Ok(Source { target, tables })
    }
}

impl Source {
    /// What it holds at the keys of the cases, in their order.
    async fn read(&self, cases: &[&Case]) -> Result<Vec<Theirs>, TargetError> {
        let mut found: Vec<Theirs> = vec![Ok(Seen::Absent); cases.len()];
        let mut asked: BTreeMap<TableId, Vec<(usize, Key)>> = BTreeMap::new();
        for (index, case) in cases.iter().enumerate() {
            match self.key(case) {
                Ok(key) => asked.entry(case.table.id).or_default().push((index, key)),
                Err(why) => found[index] = Err(why),
            }
        }
        for (id, wanted) in asked {
            let Some(Ok(table)) = self.tables.get(&id) else { continue };
            for chunk in wanted.chunks(KEYS) {
                let keys: Vec<Key> = chunk.iter().map(|(_, key)| key.clone()).collect();
                let rows = self.target.lookup(&look::ask(table, &keys)).await?;
                for ((index, key), rows) in chunk.iter().zip(rows) {
                    found[*index] = Ok(look::seen(table, key, rows));
                }
            }
        }
        Ok(found)
    }

    /// The key as the source has it.
    fn key(&self, case: &Case) -> Result<Key, String> {
        let missing = || Err("its table was not looked for at the source".to_owned());
        let theirs = self.tables.get(&case.table.id).cloned().unwrap_or_else(missing)?;
        let names = Columns::new(case.table.plan.key_names());
        let row = Row::new(Arc::new(names), case.key.cells(), Typing::Declared);
        theirs.plan.key(&row).map_err(|error| format!("the key cannot be looked for at the source: {error}"))
    }

    fn beside(&self, case: &Case, theirs: &Seen, ours: &Seen) -> Beside {
        let filter = case.table.filter.as_deref();
        let carried = |row: &Row| filter.map_or(Meets::Yes, |filter| filter.met_by(row, None));
        match (theirs, ours) {
            (Seen::Incomparable, _) | (_, Seen::Incomparable) => Beside::untold("the row found there has another key"),
            (Seen::Several { count, .. }, _) => Beside::untold(format!("the source has {count} rows of the key")),
            (_, Seen::Several { count, .. }) => Beside::told(false, format!("the target has {count} rows of the key")),
            (Seen::Absent, Seen::Absent) => Beside::told(true, "the source has no such row either now"),
            (Seen::Absent, Seen::Row { .. }) => Beside::told(false, "the source has no such row now"),
            (Seen::Row { row: theirs, .. }, ours) => match (carried(theirs), ours) {
                (Meets::Yes, Seen::Row { row, .. }) => self.rows(case, theirs, row),
                (Meets::Yes, _) => Beside::told(false, "the source has a row now"),
                (Meets::No, Seen::Row { .. }) | (Meets::Unknown, _) => {
                    Beside::untold("the source's row is not surely one that the applier carries (`where`)")
                }
                (Meets::No, _) => {
                    Beside::told(true, "the source's row is one that the applier does not carry (`where`)")
                }
            },
        }
    }

    fn rows(&self, case: &Case, theirs: &Row, ours: &Row) -> Beside {
        let Some(Ok(table)) = self.tables.get(&case.table.id) else {
            return Beside::untold("its table was not looked for at the source");
        };
        let found = case.table.plan.beside(&table.plan, theirs, ours);
        let differed = |column: &&Column| found.left_out.iter().any(|name| **name == *column.name);
        let open: Vec<&str> = case.document.columns.iter().filter(differed).map(|column| &*column.name).collect();
        let left_out = match found.left_out.join(", ") {
            none if none.is_empty() => none,
            some => format!(" (not comparable with the source's: {some})"),
        };
        match (found.differ.is_empty(), open.is_empty()) {
            (false, _) => {
                Beside::told(false, format!("the source's row now differs in {}{left_out}", found.differ.join(", ")))
            }
            (true, true) => Beside::told(true, format!("the source has the same row now{left_out}")),
            (true, false) => Beside::untold(format!(
                "the columns that differ cannot be held against the source's: {}",
                open.join(", ")
            )),
        }
    }
}

/// Whether two reads of the source agree.
fn is_same(before: &Seen, after: &Seen) -> bool {
    match (before, after) {
        (Seen::Row { hashes: before, .. }, Seen::Row { hashes: after, .. }) => before == after,
        (before, after) => before == after,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::path::Path;
    use std::time::Duration;

    use sqlx::ConnectOptions;
    use sqlx::sqlite::SqliteConnectOptions;
    use tokio_util::sync::CancellationToken;

    use super::super::entry::{self, AsOf, AuditArgs, Filter, Outcome, OutputFormat, ProgressStyle, Range, Unfinished};
    use super::super::revalidate::{Depth, Looked};
    use super::*;
    use crate::config::load::{Flags, Need};
    use crate::config::{Config, Layers, Start, Surroundings, load};
    use crate::model::finding::Severity;
    use crate::report::Document;
    use crate::store::{About, Store};

    fn line(offset: u64, id: u64, name: &str) -> String {
        let source = r#"{"connector":"postgresql","schema":"public","table":"orders"}"#;
        let value = format!(r#"{{"before":null,"after":{{"id":{id},"name":"{name}"}},"source":{source},"op":"u"}}"#);
        let (value, key) = (value.replace('"', "\\\""), format!(r#"{{\"id\":{id}}}"#));
        format!(r#"{{"topic":"t","partition":0,"offset":{offset},"key":"{key}","payload":"{value}"}}"#) + "\n"
    }

    async fn execute(database: &Path, statements: &'static str) {
        let options = SqliteConnectOptions::new().filename(database).create_if_missing(true);
        let mut database = options.connect().await.expect("a database");
        sqlx::raw_sql(statements).execute(&mut database).await.expect("statements");
    }

    fn config(dir: &Path) -> Config {
        let path = dir.display();
        let text = format!(
            "[store]\nurl = \"sqlite:{path}/a.db\"\n[web]\nlisten = \"\"\n[pipelines.orders]\napplied = \"assumed\"\n\
             poll = \"50ms\"\nconfirm_after = \"50ms\"\ntap = {{ type = \"file\", path = \"{path}/e.jsonl\" }}\n\
             target = {{ url = \"sqlite:{path}/t.db\" }}\nsource = {{ url = \"sqlite:{path}/s.db\" }}\n"
        );
        let file = dir.join("a.toml");
        fs::write(&file, text).expect("a file");
        let around = Surroundings::of_process();
        let layers = Layers { file: Some(file), around: &around, flags: Flags::default(), need: Need::Pipelines };
        load(&layers).expect("a configuration").config
    }

    /// What an audit of all of the tap finds.
    async fn found(config: &Config) -> Vec<Document> {
        let args = AuditArgs {
            config: config.clone(),
            pipeline: config.pipelines[0].clone(),
            range: Range { from: Start::Beginning.into(), to: Start::End.into() },
            filter: Filter::default(),
            row_filter: None,
            incarnation: None,
            unfinished: Unfinished::Forget,
            as_of: AsOf::Now,
            max_findings: None,
            max_time: None,
            max_wait: Duration::from_secs(60),
            fail_on: Severity::Info,
            format: OutputFormat::Json,
            report: None,
            progress: ProgressStyle::Lines,
            stop: CancellationToken::new(),
        };
        let outcome = entry::audit(args, &mut Vec::new()).await.expect("it ends");
        assert_eq!(outcome, Outcome::Findings);
        let store = Store::open(secrecy::ExposeSecret::expose_secret(&config.store.url)).await.expect("a store");
        store.open_findings("orders", About::Rows, "").await.expect("the store answers")
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nothing_is_told_of_a_key_that_the_tap_tells_of_meanwhile() {
        let dir = tempfile::tempdir().expect("a directory");
        let tap = dir.path().join("e.jsonl");
        fs::write(&tap, (0..2).map(|id| line(id, id, "b")).collect::<String>()).expect("a file");
        for name in ["t.db", "s.db"] {
            let rows =
                "create table orders (id integer primary key, name text); insert into orders values (0, 'a'), (1, 'a')";
            execute(&dir.path().join(name), rows).await;
        }
        let config = config(dir.path());
        let documents = found(&config).await;
        let pipeline = &config.pipelines[0];
        let target = connect(&pipeline.target).await.expect("it is there");
        let looker = Looker::new(pipeline, target, CancellationToken::new());
        let told = looker.look(documents.clone(), Depth::Beside).await.expect("it looks");
        for one in &told {
            assert_eq!(one.looked, Looked::StillTrue { equals: None });
            assert_eq!(one.beside, Beside::told(true, "the source has the same row now"));
        }
        let told = looker.look(documents.clone(), Depth::Rows).await.expect("it looks");
        assert!(told.len() == 2 && told.iter().all(|one| one.beside == Beside::Unasked));

        let cases: Vec<Case> =
            documents.iter().map(|document| looker.case(document).unwrap_or_else(|why| panic!("{why:?}"))).collect();
        let all: Vec<&Case> = cases.iter().collect();
        let source = looker.find_source(&all).await.expect("it is there");
        let mut versions = Versions::of(all.iter().map(|case| &case.key));
        tokio::task::block_in_place(|| looker.hear_end(&mut versions, &all)).expect("it is read");
        let mut more = fs::OpenOptions::new().append(true).open(&tap).expect("the tap");
        more.write_all(line(2, 1, "c").as_bytes()).expect("a line");
        let told = looker.compare(&source, &all, &mut versions).await.expect("it looks");
        for (case, (_, beside)) in all.iter().zip(told) {
            let moved = case.document.key.as_ref().is_some_and(|key| key["id"] == serde_json::json!(1));
            assert_eq!(beside.is_none(), moved, "{beside:?}");
        }
        // Nothing more comes: at the second try it is told.
        let told = looker.compare(&source, &all, &mut versions).await.expect("it looks");
        assert!(told.iter().all(|(_, beside)| beside.as_ref().is_some_and(|beside| beside.matching() == Some(true))));
    }
}
