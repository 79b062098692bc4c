//! `record` and `replay`: their flags understood.

use tokio_util::sync::CancellationToken;

use super::commands::{CliError, finish, loaded, settle};
use super::{args, understand};
use crate::config::load::Need;
use crate::config::problem::Problems;
use crate::runtime::entry::{self, Filter, RecordArgs, ReplayArgs};

pub(super) fn record(args: args::Record) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let stop = CancellationToken::new();
    let source =
        args::Source { config: args.config, tap: args.tap, pipeline: args.pipeline, ..args::Source::default() };
    let loaded = loaded(&source, Need::Taps, &mut problems);
    let archive = understand::archive("--archive", &args.archive, &mut problems);
    let from = understand::bound("--from", &args.from, &mut problems);
    let to = Some(&args.to).filter(|to| !to.is_empty());
    let to = to.map(|to| understand::bound("--to", to, &mut problems));
    let segment_bytes = understand::size("--segment-bytes", &args.segment_bytes, &mut problems);
    let segment_time = understand::duration("--segment-time", &args.segment_time, &mut problems);
    let keep_for = args.keep_for.as_ref().map(|text| understand::duration("--keep-for", text, &mut problems));
    let keep_bytes = args.keep_bytes.as_ref().map(|text| understand::size("--keep-bytes", text, &mut problems));
    let pipeline = loaded
        .as_ref()
        .and_then(|loaded| problems.take("--pipeline", loaded.config.pipeline(source.pipeline.as_deref())).cloned());
    let wanted = (|| {
        Some(RecordArgs {
            tap: pipeline?.tap,
            archive: archive?,
            from: from?,
            to: to.flatten(),
            segment_bytes: segment_bytes?,
            segment_time: segment_time?,
            keep_for: keep_for.flatten(),
            keep_bytes: keep_bytes.flatten(),
            stop: stop.clone(),
        })
    })();
    let args = settle(wanted, problems)?;
    finish(&stop, |mut out| async move { entry::record(args, &mut out).await })
}

pub(super) fn replay(args: args::Replay) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let stop = CancellationToken::new();
    let source = args::Source {
        config: args.config,
        tap: args.tap,
        registry: args.registry,
        pipeline: args.pipeline,
        ..args::Source::default()
    };
    let loaded = loaded(&source, Need::Taps, &mut problems);
    let range = understand::range(&args.range, &mut problems);
    let into = understand::into("--into", &args.into, &mut problems);
    let speed = understand::speed("--speed", &args.speed, &mut problems);
    let pipeline = loaded
        .as_ref()
        .and_then(|loaded| problems.take("--pipeline", loaded.config.pipeline(source.pipeline.as_deref())).cloned());
    let wanted = (|| {
        let pipeline = pipeline?;
        Some(ReplayArgs {
            tap: pipeline.tap,
            decode: pipeline.decode,
            tables: pipeline.tables,
            range: range?,
            filter: Filter { tables: args.table, keys: args.key, ops: Vec::new() },
            speed: speed?,
            into: into?,
            stop: stop.clone(),
        })
    })();
    let args = settle(wanted, problems)?;
    finish(&stop, |mut out| async move { entry::replay(args, &mut out).await })
}
