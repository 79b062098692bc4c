//! Each command: its flags understood, the configuration loaded, the runtime asked, the exit code.

use std::future::Future;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::ops::ControlFlow;

use clap::CommandFactory;
use tokio_util::sync::CancellationToken;

use super::args::{self, Cli, Command, ConfigFormat, DecodeFormat};
use super::decode_output::Printer;
use super::{exit, signal, understand};
use crate::config::load::{Flags, Need};
use crate::config::problem::Problems;
use crate::config::show::{self, Origins};
use crate::config::{Chosen, Config, Evidence, Layers, Loaded, Pipeline, Surroundings, Tap, load, raw};
use crate::demo::{DemoArgs, View, demo};
use crate::runtime::entry::{
    self, AlertsArgs, AuditArgs, DecodeArgs, DoctorArgs, ExplainArgs, Failure, Filter, Outcome, OutputFormat,
    ProgressStyle, RunArgs, Unfinished,
};
use crate::telemetry::{self, Level, Metrics};

/// A command that failed: exit code 2.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Mistakes in flags or configuration.
    #[error(transparent)]
    Usage(#[from] Problems),
    /// What the runtime could not do.
    #[error(transparent)]
    Failed(Failure),
    /// Standard output or the machine itself failed.
    #[error("cannot {what}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

impl CliError {
    fn writing(source: io::Error) -> CliError {
        CliError::Io { what: "write to standard output", source }
    }

    /// Whether the reader of standard output has gone, which is its right.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            CliError::Io { source, .. } => source.kind() == io::ErrorKind::BrokenPipe,
            CliError::Usage(_) | CliError::Failed(_) => false,
        }
    }

    /// What to do now.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        match self {
            CliError::Failed(failure) => failure.hint.as_deref(),
            CliError::Usage(_) | CliError::Io { .. } => None,
        }
    }
}

/// Runs one command and returns its exit code.
///
/// # Errors
/// Mistakes of the user's, and what the machine or the runtime could not do.
pub fn run(cli: Cli) -> Result<u8, CliError> {
    telemetry::init_log(cli.log_format, level(&cli));
    match cli.command {
        Command::Demo(args) => run_demo(&args),
        Command::Run(args) => run_pipelines(args),
        Command::Audit(args) => audit(*args),
        Command::Decode(args) => decode(args),
        Command::Record(args) => super::archive::record(*args),
        Command::Replay(args) => super::archive::replay(*args),
        Command::Explain(args) => explain(*args),
        Command::Findings(args) => super::findings::findings(args),
        Command::Revalidate(args) => super::findings::revalidate(args),
        Command::Alerts(args) => alerts(args),
        Command::Config(args) => config(args),
        Command::Doctor(args) => doctor(args),
        Command::Completions { shell } => print(|out| {
            clap_complete::generate(shell, &mut Cli::command(), "afterimage", out);
            Ok(())
        }),
        Command::Man => print(|out| manual(&Cli::command(), "", out)),
    }
}

/// The manual page of a command, and behind it those of the commands inside it.
fn manual(command: &clap::Command, above: &str, out: &mut Vec<u8>) -> io::Result<()> {
    let name = format!("{above}{}", command.get_name());
    let spoken = name.replace('-', " ");
    clap_mangen::Man::new(command.clone().display_name(name.clone()).bin_name(spoken)).render(out)?;
    let inside = command.get_subcommands().filter(|inside| inside.get_name() != "help");
    inside.into_iter().try_for_each(|inside| manual(inside, &format!("{name}-"), out))
}

/// Commands that go on for long say what they do; the others only what is wrong.
fn level(cli: &Cli) -> Level {
    match (cli.verbose, &cli.command) {
        (0, Command::Run(_) | Command::Record(_) | Command::Replay(_)) => Level::Usual,
        (0, Command::Demo(_)) => Level::Errors,
        (0, _) => Level::Quiet,
        (1, _) => Level::Verbose,
        (2.., _) => Level::Everything,
    }
}

fn print(render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<u8, CliError> {
    let mut bytes = Vec::new();
    let rendered = render(&mut bytes);
    rendered.and_then(|()| io::stdout().write_all(&bytes)).map_err(CliError::writing)?;
    io::stdout().flush().map_err(CliError::writing)?;
    Ok(exit::CLEAN)
}

/// Runs async work on a runtime of its own until it is done or a signal ends it.
fn block_on<T>(
    stop: &CancellationToken,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<(Option<T>, Option<u8>), CliError> {
    let starting = |source| CliError::Io { what: "start", source };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(starting)?;
    let ended = runtime.block_on(signal::until_signalled(work, stop.clone())).map_err(starting)?;
    // Work that a second signal abandoned must not hold the process; there is nothing left to wait for.
    runtime.shutdown_background();
    match ended.result.transpose() {
        Ok(result) => Ok((result, ended.signalled)),
        Err(failure) => Err(CliError::Failed(failure)),
    }
}

/// Runs work that prints, and turns its outcome into an exit code.
pub(super) fn finish<F>(stop: &CancellationToken, work: impl FnOnce(BufWriter<Stdout>) -> F) -> Result<u8, CliError>
where
    F: Future<Output = Result<Outcome, Failure>>,
{
    let (outcome, signalled) = block_on(stop, work(BufWriter::new(io::stdout())))?;
    Ok(signalled.unwrap_or_else(|| outcome.map_or(exit::FAILED, exit::of)))
}

fn flags(source: &args::Source) -> Flags {
    Flags {
        tap: source.tap.clone(),
        target: source.target.clone(),
        applied: source.applied.clone(),
        registry: source.registry.clone(),
        pipeline: source.pipeline.clone(),
    }
}

/// Loads the configuration and notes what is wrong with it.
pub(super) fn loaded(source: &args::Source, need: Need, problems: &mut Problems) -> Option<Loaded> {
    let around = Surroundings::of_process();
    match load(&Layers { file: source.config.clone(), around: &around, flags: flags(source), need }) {
        Ok(loaded) => Some(loaded),
        Err(wrong) => {
            problems.extend(wrong);
            None
        }
    }
}

/// What both options give, or every mistake.
pub(super) fn settle<T>(value: Option<T>, problems: Problems) -> Result<T, CliError> {
    problems.into_result()?;
    // Whoever returns nothing has noted why; this is said only if that is ever forgotten.
    value.ok_or_else(|| CliError::Failed(Failure::new("the arguments were not understood")))
}

pub(super) fn on_terminal(terminal: OutputFormat, elsewhere: OutputFormat) -> OutputFormat {
    if io::stdout().is_terminal() { terminal } else { elsewhere }
}

pub(super) fn progress() -> ProgressStyle {
    if io::stderr().is_terminal() { ProgressStyle::Bar } else { ProgressStyle::Lines }
}

fn run_demo(args: &args::Demo) -> Result<u8, CliError> {
    let stop = CancellationToken::new();
    let args = DemoArgs {
        seed: args.seed,
        format: args.output.map_or(OutputFormat::Table, args::ShortFormat::widen),
        view: if io::stderr().is_terminal() { View::Live } else { View::Lines },
        metrics: metrics()?,
        stop: stop.clone(),
    };
    finish(&stop, |mut out| async move { demo(args, &mut out).await })
}

fn metrics() -> Result<Metrics, CliError> {
    Metrics::install().map_err(|error| {
        let failure = Failure::new("cannot set up the counters");
        CliError::Failed(Failure { source: Some(Box::new(error)), ..failure })
    })
}

fn run_pipelines(args: args::Run) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let loaded = loaded(&args.source, Need::Pipelines, &mut problems);
    let config = settle(loaded, problems)?.config;
    let stop = CancellationToken::new();
    let args = RunArgs { config, metrics: metrics()?, stop: stop.clone() };
    finish(&stop, |_| entry::run(args))
}

fn audit(args: args::Audit) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let stop = CancellationToken::new();
    let loaded = loaded(&args.source, Need::Pipelines, &mut problems);
    let range = understand::range(&args.range, &mut problems);
    let max_time = args.max_time.as_ref().map(|text| understand::duration("--max-time", text, &mut problems));
    let max_wait = understand::duration("--max-wait", &args.max_wait, &mut problems);
    let fail_on = understand::severity("--fail-on", &args.fail_on, &mut problems);
    let ops = understand::ops("--op", &args.op, &mut problems);
    let row_filter = args.row_filter.as_ref().and_then(|text| understand::condition("--where", text, &mut problems));
    let pipeline = loaded.as_ref().and_then(|loaded| audited(&loaded.config, &args.source, &mut problems));
    if let Some(path) = &args.report
        && OutputFormat::of_file(path).is_none()
    {
        problems.flag("--report", "the name says no format: expected .html, .json, .ndjson, .csv, .md, .xml or .txt");
    }
    let incarnation = incarnation(&args, &mut problems);
    let wanted = (|| {
        Some(AuditArgs {
            config: loaded?.config,
            pipeline: pipeline?,
            range: range?,
            filter: Filter { tables: args.table, keys: args.key, ops },
            row_filter,
            incarnation,
            unfinished: if args.fresh { Unfinished::Forget } else { Unfinished::GoOn },
            as_of: args.as_of,
            max_findings: args.max_findings,
            max_time: max_time.flatten(),
            max_wait: max_wait?,
            fail_on: fail_on?,
            format: args.output.unwrap_or_else(|| on_terminal(OutputFormat::Table, OutputFormat::Ndjson)),
            report: args.report,
            progress: progress(),
            stop: stop.clone(),
        })
    })();
    let args = settle(wanted, problems)?;
    finish(&stop, |mut out| async move { entry::audit(args, &mut out).await })
}

/// The number of a log.
fn incarnation(args: &args::Audit, problems: &mut Problems) -> Option<u64> {
    let number = args.incarnation.as_ref()?;
    let known = number.parse().ok().filter(|number| *number > 0);
    if known.is_none() {
        problems
            .flag("--incarnation", format!("`{number}` is no number of a log: 1 is the first that the range holds"));
    }
    known
}

/// The pipeline to audit. On a file or an archive nothing can move any more: unless something else is said, all of it was applied.
pub(super) fn audited(config: &Config, source: &args::Source, problems: &mut Problems) -> Option<Pipeline> {
    let mut pipeline = problems.take("--pipeline", config.pipeline(source.pipeline.as_deref()))?.clone();
    match (&pipeline.tap, pipeline.progress.chosen) {
        (Tap::File(_) | Tap::Archive(_), Chosen::ByDefault) => pipeline.progress.applied = vec![Evidence::Assumed],
        (Tap::File(_) | Tap::Archive(_), Chosen::Explicitly) | (Tap::Kafka(_), _) => {}
    }
    Some(pipeline)
}

fn decode(args: args::Decode) -> Result<u8, CliError> {
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
    let pipeline = loaded
        .as_ref()
        .and_then(|loaded| problems.take("--pipeline", loaded.config.pipeline(source.pipeline.as_deref())).cloned());
    let wanted = (|| {
        let Pipeline { tap, decode, tables, .. } = pipeline?;
        Some(DecodeArgs { tap, decode, tables, range: range?, records: args.records, stop: stop.clone() })
    })();
    let wanted = settle(wanted, problems)?;
    let usual = if io::stdout().is_terminal() { DecodeFormat::Table } else { DecodeFormat::Ndjson };
    let mut printer = Printer::new(BufWriter::new(io::stdout()), args.output.unwrap_or(usual));
    let mut written = Ok(());
    let mut each = |record: entry::DecodedRecord<'_>| match printer.record(&record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            written = Err(error);
            ControlFlow::Break(())
        }
    };
    let (end, signalled) = block_on(&stop, entry::decode(wanted, &mut each))?;
    written.map_err(CliError::writing)?;
    let Some(end) = end else { return Ok(signalled.unwrap_or(exit::FAILED)) };
    printer.finish(end.elapsed).map_err(CliError::writing)?;
    let outcome = if printer.rejects() > 0 { end.outcome.max(Outcome::Findings) } else { end.outcome };
    Ok(signalled.unwrap_or(exit::of(outcome)))
}

fn explain(args: args::Explain) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let stop = CancellationToken::new();
    let loaded = loaded(&args.source, Need::Pipelines, &mut problems);
    let range = understand::range(&args.range, &mut problems);
    let pipeline = loaded.as_ref().and_then(|loaded| audited(&loaded.config, &args.source, &mut problems));
    let elsewhere = on_terminal(OutputFormat::Table, OutputFormat::Json);
    let wanted = (|| {
        Some(ExplainArgs {
            store: loaded?.config.store,
            pipeline: pipeline?,
            range: range?,
            table: args.table,
            key: args.key,
            format: args.output.map_or(elsewhere, args::ShortFormat::widen),
            stop: stop.clone(),
        })
    })();
    let args = settle(wanted, problems)?;
    finish(&stop, |mut out| async move { entry::explain(args, &mut out).await })
}

fn alerts(args: args::Alerts) -> Result<u8, CliError> {
    let args::Alerts::Test { config, output } = args;
    let mut problems = Problems::default();
    let source = args::Source { config, ..args::Source::default() };
    let loaded = loaded(&source, Need::Store, &mut problems);
    let config = settle(loaded, problems)?.config;
    let format = output.map_or(on_terminal(OutputFormat::Table, OutputFormat::Json), args::ShortFormat::widen);
    let args = AlertsArgs { config, format };
    finish(&CancellationToken::new(), |mut out| async move { entry::alerts_test(args, &mut out).await })
}

fn config(args: args::Config) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    match args {
        args::Config::Schema => print(|out| {
            serde_json::to_writer_pretty(&mut *out, &raw::json_schema())?;
            writeln!(out)
        }),
        args::Config::Check(args) => {
            let loaded = loaded(&args.source, Need::Pipelines, &mut problems);
            let config = settle(loaded, problems)?.config;
            let names: Vec<&str> = config.pipelines.iter().map(|pipeline| pipeline.name.as_str()).collect();
            print(|out| writeln!(out, "the configuration is valid; pipelines: {}", names.join(", ")))
        }
        args::Config::Show { source, origin, output } => {
            let loaded = loaded(&source, Need::Store, &mut problems);
            let loaded = settle(loaded, problems)?;
            let origins = if origin { Origins::Show } else { Origins::Hide };
            print(|out| match output {
                ConfigFormat::Toml => out.write_all(show::toml(&loaded, origins).as_bytes()),
                ConfigFormat::Json => {
                    serde_json::to_writer_pretty(&mut *out, &show::json(&loaded, origins))?;
                    writeln!(out)
                }
            })
        }
    }
}

fn doctor(args: args::Doctor) -> Result<u8, CliError> {
    let mut problems = Problems::default();
    let loaded = loaded(&args.source, Need::Pipelines, &mut problems);
    let config = settle(loaded, problems)?.config;
    let stop = CancellationToken::new();
    let elsewhere = on_terminal(OutputFormat::Table, OutputFormat::Json);
    let format = args.output.map_or(elsewhere, args::ShortFormat::widen);
    let args = DoctorArgs { config, format, stop: stop.clone() };
    finish(&stop, |mut out| async move { entry::doctor(args, &mut out).await })
}
