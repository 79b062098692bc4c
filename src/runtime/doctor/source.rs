//! The source: who answers, and what of each table findings are compared with.

use std::sync::Arc;

use crate::config::Pipeline;
use crate::target::{Privileges, Reads, Target, TargetError};

use super::super::look;
use super::super::tables::Table;
use super::super::tell::chain;
use super::super::twin;
use super::report::{Report, SourceReport};
use super::target::Examined;

/// Looks at the source, where one is configured. What is wrong with it is a problem, and keeps nothing from being judged.
pub(super) async fn examine(pipeline: &Pipeline, examined: Option<&Examined>, report: &mut Report) {
    let Some(options) = &pipeline.source else { return };
    match look(options, examined).await {
        Ok((told, problems)) => {
            report.source = Some(told);
            report.problems.extend(problems);
        }
        Err(error) => report.problems.push(format!("the source: {}", chain(&error))),
    }
}

async fn look(
    options: &crate::config::Target,
    examined: Option<&Examined>,
) -> Result<(SourceReport, Vec<String>), TargetError> {
    let source = twin::connect(options).await?;
    let probe = source.probe().await?;
    let mut told = SourceReport { version: probe.version, tables: Vec::new(), notes: probe.warnings };
    let mut problems = Vec::new();
    for ours in examined.into_iter().flat_map(Examined::tables) {
        match twin::table(&source, ours).await? {
            Ok(theirs) => match unreadable(&source, &theirs).await? {
                Some(why) => problems.push(format!("the source's `{}`: {why}", theirs.target_name())),
                None => told.tables.push(compared(ours, &theirs)),
            },
            Err(why) => problems.push(why),
        }
    }
    Ok((told, problems))
}

async fn unreadable(source: &Target, theirs: &Arc<Table>) -> Result<Option<String>, TargetError> {
    let Privileges { reads, .. } = source.privileges(&look::ask(theirs, &[])).await?;
    Ok(match reads {
        Reads::All => None,
        Reads::Nothing => Some("it may not be read: grant SELECT on it".to_owned()),
        Reads::Lacks(columns) => {
            Some(format!("the columns {} may not be read: grant SELECT on them", columns.join(", ")))
        }
    })
}

fn compared(ours: &Table, theirs: &Table) -> String {
    let missing = theirs.plan.names().0.iter().filter(|name| ours.plan.lacks(name)).map(|name| &**name);
    let open = theirs.plan.not_compared().iter().map(|column| &*column.column);
    let left_out: Vec<&str> = missing.chain(open).collect();
    let named = format!("{} beside {}", theirs.target_name(), ours.target_name());
    if left_out.is_empty() { named } else { format!("{named}; not compared: {}", left_out.join(", ")) }
}
