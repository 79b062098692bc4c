//! `findings export`: open findings about rows, in the shape of DMS's table of failures.

use std::fs::File;
use std::io::{BufWriter, Write};

use serde_json::Value;

use crate::dms::{Entry, Ledger, Paper, key_text};
use crate::model::Op;
use crate::model::finding::State;
use crate::report::Document;
use crate::report::life::OURSELVES;
use crate::store::{Cursor, Filter, Store};

use super::entry::{ExportArgs, ExportInto, Failure, Outcome};
use super::findings::{open, store_failure, writing};
use super::import::dms_failure;

/// Where rows go.
enum Into {
    Table(Box<Ledger>),
    File(Paper<BufWriter<File>>),
}

pub(super) async fn export(args: ExportArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let store = open(&args.store).await?;
    let mut into = match &args.into {
        ExportInto::Database(url) => Into::Table(Box::new(Ledger::open(url, &args.table).await.map_err(dms_failure)?)),
        ExportInto::File(path, form) => {
            let file = File::create(path).map_err(writing)?;
            Into::File(Paper::begin(*form, &args.table, BufWriter::new(file)).map_err(writing)?)
        }
    };
    let written = all(&store, &args, &mut into).await?;
    if let Into::File(paper) = into {
        let file = paper.end().map_err(writing)?.into_inner().map_err(|error| writing(error.into_error()))?;
        file.sync_all().map_err(writing)?;
    }
    store.close().await;
    writeln!(out, "{written} findings written").map_err(writing)?;
    out.flush().map_err(writing)?;
    Ok(Outcome::Clean)
}

/// Every finding about a row, a page at a time: those that are open are written, and the rows of the others go.
async fn all(store: &Store, args: &ExportArgs, into: &mut Into) -> Result<u64, Failure> {
    let (mut written, mut filter) = (0, Filter { pipeline: args.pipeline.clone(), ..Filter::default() });
    loop {
        let page = store.list(&filter).await.map_err(store_failure)?;
        let Some(last) = page.last() else { return Ok(written) };
        filter.after = Some(Cursor::behind(last));
        let (standing, over): (Vec<&Document>, Vec<&Document>) = page
            .iter()
            .filter(|document| document.is_about_row())
            .partition(|document| matches!(document.state, State::Open | State::Acknowledged));
        let entries: Vec<Entry> = standing.into_iter().map(entry).collect();
        written += entries.len() as u64;
        match into {
            Into::Table(ledger) => {
                ledger.put(&entries).await.map_err(dms_failure)?;
                let over: Vec<String> = over.iter().map(|document| document.id.clone()).collect();
                ledger.remove(&over).await.map_err(dms_failure)?;
            }
            Into::File(paper) => paper.put(&entries).map_err(writing)?,
        }
    }
}

/// A finding as DMS would have logged it.
pub(super) fn entry(document: &Document) -> Entry {
    let name = document.table.as_deref().unwrap_or_default();
    let (owner, table) = name.rsplit_once('.').unwrap_or(("", name));
    let last = document.history.last();
    let told = |fact: fn(&crate::report::life::Event) -> Option<bool>| document.history.iter().rev().find_map(fact);
    let is_there = document.observed.as_ref().is_some_and(|observed| observed.row.is_some());
    let updated = last.map_or(document.last_seen, |event| event.at.max(document.last_seen));
    Entry {
        task: format!("{OURSELVES}:{}", document.pipeline),
        owner: owner.to_owned(),
        table: table.to_owned(),
        at: document.first_seen,
        key: key_text(&document.key.iter().flat_map(|key| key.values()).map(text).collect::<Vec<_>>()),
        failure_type: failure_type(document, is_there),
        details: details(document),
        available_in_target: Some(told(|event| event.available_in_target).unwrap_or(is_there)),
        matching_with_source: told(|event| event.matching_with_source),
        updated,
        updated_by: last
            .filter(|event| event.at >= document.last_seen)
            .map_or_else(|| OURSELVES.to_owned(), |event| event.by.clone()),
        finding: document.id.clone(),
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn failure_type(document: &Document, is_there: bool) -> &'static str {
    let op = document.expected.as_ref().and_then(|expected| expected.op);
    match (op, is_there) {
        (Some(Op::Delete | Op::Truncate), _) => "MISSING_SOURCE",
        (Some(Op::Insert | Op::Read | Op::Update) | None, false) => "MISSING_TARGET",
        (Some(Op::Insert | Op::Read | Op::Update) | None, true) => "RECORD_DIFF",
    }
}

/// The columns that differ, as DMS writes them: what the source says, then what the target holds.
fn details(document: &Document) -> String {
    let side = |of: fn(&crate::report::document::Column) -> Option<&String>| {
        let columns = document.columns.iter().filter_map(|column| Some((&column.name, of(column)?)));
        let columns = columns.map(|(name, value)| format!("'{}': '{}'", escaped(name), escaped(value)));
        columns.collect::<Vec<_>>().join(", ")
    };
    let (expected, observed) = (side(|column| column.expected.as_ref()), side(|column| column.observed.as_ref()));
    format!("[[{{{expected}}}, {{{observed}}}],]")
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\'', "\\'")
}
