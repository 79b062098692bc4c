//! `alerts test`: a sample through every channel, and what each answered.

use std::io::Write;

use serde::Serialize;

use crate::config;
use crate::model::Wall;
use crate::report::alert::Status;
use crate::report::{Channel, DeliveryError, trial};

use super::clock::Clock;
use super::entry::{AlertsArgs, Failure, Outcome, OutputFormat};
use super::findings::writing;
use super::tell;

/// What became of a channel's sample.
#[derive(Debug, Serialize)]
struct Tried {
    channel: String,
    #[serde(rename = "type")]
    kind: &'static str,
    ok: bool,
    answer: String,
}

pub(super) async fn alerts_test(args: AlertsArgs, out: &mut (dyn Write + Send)) -> Result<Outcome, Failure> {
    if args.config.alerts.is_empty() {
        let hint = "add `[[alerts]]` with a `type` and a `url` to the configuration, and name it with `-c`";
        return Err(Failure { hint: Some(hint.into()), ..Failure::new("no channel of alerts is configured") });
    }
    let clock = Clock::start();
    let mut tried = Vec::new();
    for alert in &args.config.alerts {
        let answer = sample(alert, clock).await;
        let ok = answer.is_ok();
        let answer = answer.unwrap_or_else(|error| tell::chain(&error));
        tried.push(Tried { channel: alert.name.clone(), kind: alert.to.word(), ok, answer });
    }
    let all = tried.iter().all(|one| one.ok);
    print(&tried, args.format, out).and_then(|()| out.flush()).map_err(writing)?;
    Ok(if all { Outcome::Clean } else { Outcome::Incomplete })
}

/// A receiver that keeps what it is told hears that it is over, too.
async fn sample(alert: &config::Alert, clock: Clock) -> Result<String, DeliveryError> {
    let channel = Channel::new(alert.to.clone(), alert.template.clone())?;
    let now = || -> Wall { clock.wall(clock.now()) };
    let since = now();
    let answer = channel.deliver(trial::alert(Status::Firing, since), now()).await?;
    if !channel.keeps() {
        return Ok(answer);
    }
    let over = channel.deliver(trial::alert(Status::Resolved, since), now()).await?;
    Ok(format!("{answer}; resolved: {over}"))
}

fn print(tried: &[Tried], format: OutputFormat, out: &mut dyn Write) -> std::io::Result<()> {
    if format != OutputFormat::Table {
        serde_json::to_writer(
            &mut *out,
            &serde_json::json!({ "schema": "afterimage.alerts_test/1", "channels": tried }),
        )?;
        return writeln!(out);
    }
    let width = tried.iter().map(|one| one.channel.len()).max().unwrap_or_default();
    for Tried { channel, kind, ok, answer } in tried {
        let verdict = if *ok { "took it" } else { "failed" };
        writeln!(out, "{channel:<width$}  {kind:<12}  {verdict:<7}  {answer}")?;
    }
    Ok(())
}
