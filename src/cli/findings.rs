//! `findings`: flags understood, and the runtime asked.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use super::args;
use super::commands::{CliError, finish, loaded, on_terminal, settle};
use super::understand;
use crate::config::load::Need;
use crate::config::problem::Problems;
use crate::model::finding::{Act, Severity};
use crate::runtime::entry::{self, FindingsArgs, FindingsQuery, OutputFormat, RangeFormat, RevalidateArgs, Said};

pub(super) fn findings(args: args::Findings) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let (config, wanted) = match args {
        args::Findings::Import(args) => return super::dms::import(*args),
        args::Findings::Export(args) => return super::dms::export(args),
        args::Findings::Show { id, config, output } => {
            let format = output.unwrap_or_else(|| on_terminal(OutputFormat::Table, OutputFormat::Json));
            (config, Some((FindingsQuery::Show { id }, format)))
        }
        args::Findings::List(list) => {
            let format = list.output.unwrap_or_else(|| on_terminal(OutputFormat::Table, OutputFormat::Ndjson));
            (list.config.clone(), listed(list, format, &mut problems).map(|query| (query, format)))
        }
        args::Findings::Ack(args) => acted(Act::Acknowledged, args),
        args::Findings::Reopen(args) => acted(Act::Reopened, args),
        args::Findings::Note(args) => acted(Act::Noted, args),
        args::Findings::Ignore(args) => {
            let format = args.saying.output.unwrap_or_else(usual);
            (args.saying.config.clone(), ignored(*args, &mut problems).map(|query| (query, format)))
        }
    };
    let source = args::Source { config, ..args::Source::default() };
    let loaded = loaded(&source, Need::Store, &mut problems);
    let wanted = (|| {
        let ((query, format), config) = (wanted?, loaded?.config);
        Some(FindingsArgs { store: config.store, alerts: config.alerts, query, format })
    })();
    let args = settle(wanted, problems)?;
    finish(&CancellationToken::new(), |mut out| async move { entry::findings(args, &mut out).await })
}

fn listed(args: args::FindingsList, format: OutputFormat, problems: &mut Problems) -> Option<FindingsQuery> {
    if args.unverified {
        let format = problems.take("--output", range_format(format))?;
        return Some(FindingsQuery::Unverified { pipeline: args.pipeline, limit: args.limit, format });
    }
    let kinds = understand::kinds("--kind", &args.kind, problems);
    let states = understand::states("--state", &args.state, problems);
    let severity: Option<Severity> = understand::severity("--severity", &args.severity, problems);
    Some(FindingsQuery::List {
        pipeline: args.pipeline,
        tables: args.table,
        kinds,
        states,
        severity: severity?,
        limit: args.limit,
    })
}

fn range_format(format: OutputFormat) -> Result<RangeFormat, String> {
    match format {
        OutputFormat::Table => Ok(RangeFormat::Lines),
        OutputFormat::Json => Ok(RangeFormat::Json),
        OutputFormat::Ndjson => Ok(RangeFormat::Ndjson),
        OutputFormat::Csv | OutputFormat::Markdown | OutputFormat::Junit | OutputFormat::Html => {
            Err("ranges are no findings: expected table, json or ndjson beside --unverified".to_owned())
        }
    }
}

fn usual() -> OutputFormat {
    on_terminal(OutputFormat::Table, OutputFormat::Ndjson)
}

fn acted(act: Act, args: args::FindingsAct) -> (Option<PathBuf>, Option<(FindingsQuery, OutputFormat)>) {
    let format = args.saying.output.unwrap_or_else(usual);
    let said = Said { by: who(args.saying.by), note: args.saying.note, until: None };
    (args.saying.config, Some((FindingsQuery::Act { ids: args.ids, act, said }, format)))
}

/// As whom somebody is logged in, unless they say another name.
fn who(by: Option<String>) -> String {
    let named = |name: &str| std::env::var(name).ok().filter(|who| !who.is_empty());
    by.or_else(|| named("USER")).or_else(|| named("LOGNAME")).unwrap_or_else(|| "unknown".to_owned())
}

fn ignored(args: args::FindingsIgnore, problems: &mut Problems) -> Option<FindingsQuery> {
    let until = args.until.as_deref().map(|text| understand::until("--until", text, problems));
    let said = Said { by: who(args.saying.by), note: args.saying.note, until: until.flatten() };
    if let Some(rule) = args.remove {
        return Some(FindingsQuery::Remove { rule, by: said.by });
    }
    if args.list {
        return Some(FindingsQuery::Rules { pipeline: args.pipeline });
    }
    if !args.ids.is_empty() {
        return Some(FindingsQuery::Act { ids: args.ids, act: Act::Ignored, said });
    }
    let kind = understand::kinds("--kind", args.kind.as_slice(), problems).pop();
    let asks = args.table.is_some() || args.key.is_some() || args.column.is_some() || args.kind.is_some();
    if !asks {
        problems.flag("ID", "nothing is named: expected ids, or at least one of --table, --key, --column and --kind");
    }
    let Some(pipeline) = args.pipeline else {
        problems.flag("--pipeline", "a rule is of one pipeline: expected its name");
        return None;
    };
    Some(FindingsQuery::Rule { pipeline, table: args.table, key: args.key, column: args.column, kind, said })
}

pub(super) fn revalidate(args: args::Revalidate) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let stop = CancellationToken::new();
    let loaded = loaded(&args.source, Need::Pipelines, &mut problems);
    let since = args.since.as_deref().map(|text| understand::since("--since", text, &mut problems));
    let elsewhere = on_terminal(OutputFormat::Table, OutputFormat::Json);
    let wanted = loaded.map(|loaded| RevalidateArgs {
        config: loaded.config,
        pipeline: args.source.pipeline,
        since: since.flatten(),
        ids: args.id,
        format: args.output.map_or(elsewhere, args::ShortFormat::widen),
        stop: stop.clone(),
    });
    let args = settle(wanted, problems)?;
    finish(&stop, |mut out| async move { entry::revalidate(args, &mut out).await })
}
