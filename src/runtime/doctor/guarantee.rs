//! Which guarantee a setup has, in plain words.

use crate::config::{Evidence, Order, Pipeline, QueryTrust};
use crate::engine::limit::Commits;

use super::super::settings;

/// What this setup can promise, in plain words.
pub(in crate::runtime) fn guarantee(pipeline: &Pipeline) -> Vec<String> {
    let options = settings::engine(pipeline);
    let mut words = Vec::new();
    for evidence in settings::applied(pipeline) {
        words.push(match evidence {
            Evidence::KafkaGroup(group) if options.commits == Commits::AfterWrite => {
                format!("the committed offsets of `{group}` convict, a few seconds after a commit where the rows below others were right at first sight: this assumes that it commits after it writes")
            }
            Evidence::KafkaGroup(group) => {
                format!("the committed offsets of `{group}` only let us forget: nothing convicts by them (set `commits = \"after_write\"` if it commits after it writes)")
            }
            Evidence::KclLease(table) => format!("the checkpoints in `{table}`, likewise"),
            Evidence::Query(_) if pipeline.progress.query == QueryTrust::Durable => {
                "exact: the positions of your query are, as you declared, durable and complete: a row below them that is wrong at two reads is lost".to_owned()
            }
            Evidence::Query(_) => "the positions of your query only let us forget: nothing convicts by them (set `query_durable = true` if each is written with the rows below it)".to_owned(),
            Evidence::DmsStatus { schema, task } => {
                let of = task.map_or_else(|| "the task that is furthest behind".to_owned(), |task| format!("task `{task}`"));
                format!("`source_timestamp_applied` in `{schema}.awsdms_status`, of {of}, only lets us forget what the source committed before it, read as UTC: it convicts nothing, so name `inferred` or a heartbeat beside it; where a change of the tap has no commit time (DMS without `IncludeTransactionDetails`, loads) it says nothing from there on; positions in that table are where the task reads, and are not used")
            }
            Evidence::Heartbeat { table, .. } => {
                format!("heartbeat rows of `{table}` prove progress: detection is bounded by their spacing; a partition without one proves nothing")
            }
            Evidence::Inferred => {
                "progress is inferred from rows seen on the target: this assumes that nobody else writes them, and needs 3 changing keys a partition".to_owned()
            }
            Evidence::Assumed => "you state that all of the tap was applied".to_owned(),
        });
    }
    words.push(match pipeline.progress.order {
        Order::Partition => "the applier is assumed to keep order inside a partition".to_owned(),
        Order::Key if options.commits == Commits::AfterWrite => {
            "nothing but a single key is assumed to be in order: nothing but committed offsets convicts".to_owned()
        }
        Order::Key => {
            "nothing but a single key is assumed to be in order: only content that never was can convict".to_owned()
        }
        Order::Table => {
            "you declare that the applier keeps order inside a table; if that is wrong, findings are wrong".to_owned()
        }
        Order::Pipeline => {
            "you declare that the applier keeps order over the whole pipeline; if that is wrong, findings are wrong"
                .to_owned()
        }
    });
    words.push(format!(
        "what was called applied may still be repaired for {} s (`settle`)",
        options.settle.at_first().as_secs()
    ));
    words
}
