//! `findings`: what the store holds.

use std::io::Write;

use secrecy::ExposeSecret;

use crate::report::{self, Document};
use crate::store::{Cursor, Filter, Store, StoreError};

use super::acts;
use super::alerting;
use super::clock::Clock;
use super::entry::{Failure, FindingsArgs, FindingsQuery, Outcome, OutputFormat};

pub(super) fn store_failure(error: StoreError) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new("the store cannot be used") }
}

pub(super) fn writing(error: std::io::Error) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new("the result cannot be written") }
}

/// Opens a store that must exist already: reading findings makes none.
pub(super) async fn open(store: &crate::config::Store) -> Result<Store, Failure> {
    let url = store.url.expose_secret();
    if let Some(path) = url.strip_prefix("sqlite:")
        && !path.starts_with(":memory:")
        && !std::path::Path::new(path.trim_start_matches("//").split('?').next().unwrap_or(path)).exists()
    {
        let hint = "name the configuration with `-c`, or run `afterimage run` first";
        return Err(Failure { hint: Some(hint.into()), ..Failure::new(format!("there is no store at `{path}`")) });
    }
    Store::open(url).await.map_err(store_failure)
}

pub(super) async fn findings(args: FindingsArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    let store = open(&args.store).await?;
    let clock = Clock::start();
    let now = clock.wall(clock.now());
    let routes = alerting::routes(&args.alerts);
    store.run_out(now, &routes).await.map_err(store_failure)?;
    match args.query {
        FindingsQuery::Show { id } => show(&store, &id, args.format, out).await?,
        FindingsQuery::Unverified { pipeline, limit, format } => {
            let mut ranges = store.unverified(pipeline.as_deref()).await.map_err(store_failure)?;
            ranges.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
            report::unverified::print(format, &ranges, out).map_err(writing)?;
        }
        FindingsQuery::List { pipeline, tables, kinds, states, severity, limit } => {
            let filter = Filter { pipeline, kinds, states, severity, ..Filter::default() };
            let of_tables = |document: &Document| {
                tables.is_empty() || document.table.as_ref().is_some_and(|table| tables.contains(table))
            };
            let documents = listed(&store, filter, of_tables, limit).await?;
            report::print(args.format.into(), &documents, None, out).map_err(writing)?;
        }
        FindingsQuery::Act { ids, act, said } => {
            let documents = acts::act(&store, (&ids, act, &said), (now, &routes)).await?;
            report::print(args.format.into(), &documents, None, out).map_err(writing)?;
        }
        query @ (FindingsQuery::Rule { .. } | FindingsQuery::Rules { .. } | FindingsQuery::Remove { .. }) => {
            acts::rule(&store, query, (now, &routes), out).await?;
        }
    }
    out.flush().map_err(writing)?;
    Ok(Outcome::Clean)
}

/// A finding that somebody named and nobody knows.
pub(super) fn unknown(id: &str) -> Failure {
    let hint = "`afterimage findings list` shows the ids there are";
    Failure { hint: Some(hint.into()), ..Failure::new(format!("no finding's id begins with `{id}`")) }
}

async fn show(store: &Store, id: &str, format: OutputFormat, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let document = store.get(id).await.map_err(store_failure)?.ok_or_else(|| unknown(id))?;
    match format {
        OutputFormat::Table => report::show(&document, out).map_err(writing),
        OutputFormat::Json
        | OutputFormat::Ndjson
        | OutputFormat::Csv
        | OutputFormat::Markdown
        | OutputFormat::Junit
        | OutputFormat::Html => report::print(format.into(), &[document], None, out).map_err(writing),
    }
}

/// Those that fit: pages until there are `limit` of them, or there are no more.
pub(super) async fn listed(
    store: &Store,
    mut filter: Filter,
    fits: impl Fn(&Document) -> bool,
    limit: u64,
) -> Result<Vec<Document>, Failure> {
    let mut found = Vec::new();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    loop {
        let page = store.list(&filter).await.map_err(store_failure)?;
        let Some(last) = page.last() else { break };
        filter.after = Some(Cursor::behind(last));
        found.extend(page.into_iter().filter(&fits));
        if found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}
