//! `findings import` and `findings export`: flags understood, and the runtime asked.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::args;
use super::commands::{CliError, audited, finish, loaded, on_terminal, progress, settle};
use super::understand;
use crate::config::load::Need;
use crate::config::problem::Problems;
use crate::config::{Bound, Pipeline, Start, Surroundings, expand};
use crate::model::finding::Severity;
use crate::runtime::entry::{
    self, AsOf, AuditArgs, ExportArgs, ExportForm, ExportInto, FailureScope, Filter, ImportArgs, OutputFormat, Range,
    Unfinished,
};

const FLAG: &str = "--dms-failures";

pub(super) fn import(args: args::FindingsImport) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let stop = CancellationToken::new();
    let loaded = loaded(&args.source, Need::Pipelines, &mut problems);
    let since = args.since.as_deref().map(|text| understand::since("--since", text, &mut problems));
    let from = understand::bound("--from", &args.from, &mut problems);
    let max_wait = understand::duration("--max-wait", &args.max_wait, &mut problems);
    let pipeline = loaded.as_ref().and_then(|loaded| audited(&loaded.config, &args.source, &mut problems));
    let url = pipeline.as_ref().and_then(|pipeline| database(&args.dms_failures, pipeline, &mut problems));
    let elsewhere = on_terminal(OutputFormat::Table, OutputFormat::Json);
    let wanted = (|| {
        let audit = AuditArgs {
            config: loaded?.config,
            pipeline: pipeline?,
            range: Range { from: from?, to: Bound::from(Start::End) },
            filter: Filter::default(),
            row_filter: None,
            incarnation: None,
            unfinished: Unfinished::Forget,
            as_of: AsOf::Now,
            max_findings: None,
            max_time: None,
            max_wait: max_wait?,
            fail_on: Severity::Info,
            format: args.output.map_or(elsewhere, args::ShortFormat::widen),
            report: None,
            progress: progress(),
            stop: stop.clone(),
        };
        Some(ImportArgs {
            audit,
            url: url?,
            scope: FailureScope { schema: args.schema, since: since.flatten(), until: None },
        })
    })();
    let args = settle(wanted, problems)?;
    finish(&stop, |mut out| async move { entry::import(args, &mut out).await })
}

/// The database with the failures. DMS writes them into its target, which need not be written twice.
fn database(text: &str, pipeline: &Pipeline, problems: &mut Problems) -> Option<SecretString> {
    if text == "target" {
        return Some(pipeline.target.url.clone());
    }
    let url = problems.take(FLAG, expand(text, &Surroundings::of_process()))?;
    if !is_url(&url) {
        let message = "no database: expected postgres://…, mysql://…, sqlite:PATH, or `target` for the pipeline's own";
        problems.flag(FLAG, message);
    }
    Some(url.into())
}

fn is_url(text: &str) -> bool {
    ["postgres://", "postgresql://", "mysql://", "mariadb://", "sqlite:"].iter().any(|scheme| text.starts_with(scheme))
}

pub(super) fn export(args: args::FindingsExport) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let source = args::Source { config: args.config, ..args::Source::default() };
    let loaded = loaded(&source, Need::Store, &mut problems);
    let into = problems.take(FLAG, expand(&args.dms_failures, &Surroundings::of_process()));
    let into = into.and_then(|text| problems.take(FLAG, written_to(text)));
    let wanted =
        (|| Some(ExportArgs { store: loaded?.config.store, pipeline: args.pipeline, into: into?, table: args.table }))(
        );
    let args = settle(wanted, problems)?;
    finish(&CancellationToken::new(), |mut out| async move { entry::export(args, &mut out).await })
}

fn written_to(text: String) -> Result<ExportInto, String> {
    if is_url(&text) {
        return Ok(ExportInto::Database(text.into()));
    }
    let form = match Path::new(&text).extension().and_then(|extension| extension.to_str()) {
        Some("csv") => ExportForm::Csv,
        Some("sql") => ExportForm::Sql,
        _ => {
            return Err(
                "neither a database nor such a file: expected postgres://…, mysql://…, sqlite:PATH, or a file that \
                        ends in .csv or .sql"
                    .to_owned(),
            );
        }
    };
    Ok(ExportInto::File(PathBuf::from(text), form))
}
