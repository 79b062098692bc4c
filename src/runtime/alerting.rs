//! Alerts on their way out: one loop a channel, from the store's outbox to the receiver, at least once.
//!
//! What is told is read from the store and leased there, and counts as told once the receiver took it. So whatever ends this
//! process loses nothing, a restart goes on where it ended, and of several sidecars on one store one tells each message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{self, Config};
use crate::model::Wall;
use crate::report::group::{Filter, News, Route};
use crate::report::pace::{Blame, Mode, Next, Pace};
use crate::report::{Channel, DeliveryError, Document};
use crate::store::{Store, StoreError};
use crate::telemetry::event::{AlertSent, AlertsQueued, Loudness, StoreFailed};
use crate::web::view::ChannelStatus;

use super::clock::Clock;
use super::entry::Failure;
use super::findings::store_failure;
use super::tell;

/// How often the outbox is read where nothing is due: what another process left there, or had to give up, is found.
const LOOK_AGAIN: Duration = Duration::from_secs(15);

/// How long a group is leased: thrice the longest that one message may take.
const LEASE: Duration = Duration::from_secs(30);

/// How long the end of the process may wait for what is still to be told. The rest stays in the outbox.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);

/// Who hears of what, and how they learn that there is news. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Alerts {
    routes: Arc<Vec<Route>>,
    wakes: Arc<Vec<Arc<Notify>>>,
}

impl Alerts {
    /// What each channel hears of.
    pub(super) fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// Findings were recorded that somebody hears of.
    pub(super) fn wake(&self) {
        self.wakes.iter().for_each(|wake| wake.notify_one());
    }
}

/// How the channels are doing, for whoever shows it.
#[derive(Debug, Clone, Default)]
pub(super) struct Tellers(Vec<Arc<Mutex<State>>>);

impl Tellers {
    /// As it is published.
    pub(super) fn statuses(&self, now: Wall) -> Vec<ChannelStatus> {
        self.0.iter().map(|state| locked(state).status(now)).collect()
    }
}

/// How one channel is doing.
#[derive(Debug)]
struct State {
    name: String,
    kind: &'static str,
    messages: u64,
    findings: u64,
    delivered: u64,
    failing_since: Option<Wall>,
    last_error: Option<(Wall, String)>,
}

impl State {
    fn status(&self, now: Wall) -> ChannelStatus {
        let failing = self.failing_since.map_or(Duration::ZERO, |since| elapsed(since, now));
        AlertsQueued { sink: &self.name, findings: self.findings, failing }.emit();
        ChannelStatus {
            name: self.name.clone(),
            kind: self.kind,
            queued_messages: self.messages,
            queued_findings: self.findings,
            delivered: self.delivered,
            failing_since: self.failing_since.map(Wall::rfc3339),
            last_error: self.last_error.as_ref().map(|(_, error)| error.clone()),
            last_error_at: self.last_error.as_ref().map(|(at, _)| at.rfc3339()),
        }
    }

    /// Notes how a message ended. An error that is known is not told loudly again.
    fn note(&mut self, delivered: Result<(), &DeliveryError>, now: Wall) -> Loudness {
        match delivered {
            Ok(()) => {
                self.delivered += 1;
                self.failing_since = None;
                Loudness::Loud
            }
            Err(error) => {
                let text = tell::chain(error);
                let known =
                    self.failing_since.is_some() && self.last_error.as_ref().is_some_and(|(_, last)| *last == text);
                self.failing_since = self.failing_since.or(Some(now));
                self.last_error = Some((now, text));
                if known { Loudness::Quiet } else { Loudness::Loud }
            }
        }
    }
}

/// Starts a loop for each channel of the configuration.
///
/// # Errors
/// An address that cannot be used, a store that does not answer.
pub(super) async fn start(
    config: &Config,
    store: &Store,
    over: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> Result<(Alerts, Tellers), Failure> {
    if config.alerts.is_empty() {
        return Ok((Alerts::default(), Tellers::default()));
    }
    store.release_all().await.map_err(store_failure)?;
    let clock = Clock::start();
    let ours: Arc<[String]> = config.pipelines.iter().map(|pipeline| pipeline.name.clone()).collect();
    orphans(config, store, clock.wall(clock.now())).await?;
    let (mut wakes, mut tellers) = (Vec::new(), Tellers::default());
    for alert in &config.alerts {
        let teller = Teller::new(alert, store.clone(), (clock, Arc::clone(&ours)))?;
        wakes.push(Arc::clone(&teller.wake));
        tellers.0.push(Arc::clone(&teller.state));
        tasks.spawn(teller.run(over.clone()));
    }
    Ok((Alerts { routes: Arc::new(routes(&config.alerts)), wakes: Arc::new(wakes) }, tellers))
}

/// What each channel of a configuration hears of.
pub(super) fn routes(alerts: &[config::Alert]) -> Vec<Route> {
    alerts.iter().map(|alert| Route { channel: alert.name.clone(), filter: filter(alert) }).collect()
}

fn filter(alert: &config::Alert) -> Filter {
    Filter {
        severity: alert.severity,
        kinds: alert.kinds.clone(),
        tables: alert.tables.clone(),
        pipelines: alert.pipelines.clone(),
    }
}

/// Says what nobody will tell, because its channel is not configured any more.
async fn orphans(config: &Config, store: &Store, now: Wall) -> Result<(), Failure> {
    let mut left = store.news(None, now).await.map_err(store_failure)?;
    left.retain(|news| {
        config.pipelines.iter().any(|pipeline| pipeline.name == news.group.pipeline)
            && config.alerts.iter().all(|alert| alert.name != news.channel)
    });
    left.dedup_by(|one, other| one.channel == other.channel);
    for news in left {
        tracing::warn!(
            sink = news.channel,
            "the store holds alerts of a channel that is not configured: name one `{}` to send them, else they stay",
            news.channel
        );
    }
    Ok(())
}

/// A channel that takes no message as it is configured.
pub(super) fn unusable(name: &str, error: DeliveryError) -> Failure {
    Failure { source: Some(Box::new(error)), ..Failure::new(format!("the alert channel `{name}` cannot be used")) }
}

/// The loop of one channel.
struct Teller {
    route: Route,
    channel: Channel,
    /// Pipelines of this process: another's are told by it, in its own words.
    ours: Arc<[String]>,
    store: Store,
    pace: Pace,
    wake: Arc<Notify>,
    state: Arc<Mutex<State>>,
    clock: Clock,
}

impl Teller {
    fn new(alert: &config::Alert, store: Store, (clock, ours): (Clock, Arc<[String]>)) -> Result<Teller, Failure> {
        let channel = Channel::new(alert.to.clone(), alert.template.clone());
        let channel = channel.map_err(|error| unusable(&alert.name, error))?;
        let state = State {
            name: alert.name.clone(),
            kind: alert.to.word(),
            messages: 0,
            findings: 0,
            delivered: 0,
            failing_since: None,
            last_error: None,
        };
        Ok(Teller {
            route: Route { channel: alert.name.clone(), filter: filter(alert) },
            ours,
            store,
            pace: Pace::new(alert.rate, alert.quiet, channel.reminds()),
            channel,
            wake: Arc::default(),
            state: Arc::new(Mutex::new(state)),
            clock,
        })
    }

    /// Tells what is due until `stop`, then once all that may be told.
    async fn run(mut self, stop: CancellationToken) {
        let wake = Arc::clone(&self.wake);
        while !stop.is_cancelled() {
            let mut turn = std::pin::pin!(self.turn(Mode::Usual));
            let wait = tokio::select! {
                wait = &mut turn => wait,
                () = stop.cancelled() => {
                    // What is under way has this long to end.
                    let _ = tokio::time::timeout(FLUSH_TIMEOUT, turn).await;
                    break;
                }
            };
            if let Some(wait) = wait {
                tokio::select! {
                    // That the time is up is as good a reason to look again as news is.
                    _ = tokio::time::timeout(wait.min(LOOK_AGAIN), wake.notified()) => {}
                    () = stop.cancelled() => {}
                }
            }
        }
        let flush = async { while self.turn(Mode::Last).await.is_none() {} };
        // What is not told by then stays in the outbox.
        let _ = tokio::time::timeout(FLUSH_TIMEOUT, flush).await;
    }

    /// Tells one message, if one is due. Returns how long nothing is; `None`: look again at once.
    async fn turn(&mut self, mode: Mode) -> Option<Duration> {
        let now = self.now();
        let mut news = match self.store.news(Some(&self.route.channel), now).await {
            Ok(news) => news,
            Err(error) => return store_failed(&error),
        };
        news.retain(|one| self.ours.contains(&one.group.pipeline));
        self.count(&news);
        match self.pace.next(&news, now, mode) {
            Next::Idle => Some(LOOK_AGAIN),
            Next::Wait(at) => Some(elapsed(now, at)),
            Next::Tell(index) => match self.tell(&news[index]).await {
                Ok(wait) => wait,
                Err(error) => store_failed(&error),
            },
            Next::Remind(index) => match self.remind(&news[index]).await {
                Ok(wait) => wait,
                Err(error) => store_failed(&error),
            },
        }
    }

    /// Says again how it stands with a group, unless somebody has acknowledged all that is open of it.
    async fn remind(&mut self, listed: &News) -> Result<Option<Duration>, StoreError> {
        let severity = self.route.filter.severity;
        let (unseen, open) =
            (self.store.unseen(&listed.group, severity).await?, self.store.standing(&listed.group, severity).await?);
        if unseen == 0 && open > 0 {
            self.pace.seen(&listed.group, self.now());
            return Ok(None);
        }
        self.tell(listed).await
    }

    async fn tell(&mut self, listed: &News) -> Result<Option<Duration>, StoreError> {
        let now = self.now();
        let until = Wall(now.0.saturating_add(i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX)));
        let Some(news) = self.store.lease(listed, now, until).await? else {
            // Another sidecar tells it: if it fails, its lease ends.
            return Ok(None);
        };
        if news.told != listed.told {
            // Another sidecar has just told it.
            self.store.release(&news).await?;
            return Ok(None);
        }
        let open = self.store.standing(&news.group, self.route.filter.severity).await?;
        let alert = news.alert(open, self.findings(&news).await?);
        let (status, told_of) = (alert.status, news.opened + news.closed);
        let delivered = self.channel.deliver(alert, now).await;
        self.report(&delivered, told_of);
        match delivered {
            Ok(_) => {
                self.pace.taken(&news.group, self.now());
                self.store.told(&news, status, self.now()).await?;
                self.counted(told_of);
                Ok(None)
            }
            Err(error) => {
                self.pace.failed(&news.group, error.blame(), self.now());
                self.store.release(&news).await?;
                Ok(None)
            }
        }
    }

    async fn findings(&self, news: &News) -> Result<Vec<Document>, StoreError> {
        let mut findings = Vec::with_capacity(news.samples.len());
        for id in &news.samples {
            findings.extend(self.store.get(id).await?);
        }
        Ok(findings)
    }

    fn report(&self, delivered: &Result<String, DeliveryError>, told_of: u64) {
        let outcome = delivered.as_ref().map(|_| ());
        let loudness = locked(&self.state).note(outcome, self.now());
        let error = delivered.as_ref().err().map(|error| error as &dyn std::error::Error);
        let findings = usize::try_from(told_of).unwrap_or(usize::MAX);
        AlertSent { sink: &self.route.channel, findings, error, loudness }.emit();
        if let Some(Blame::Message) = delivered.as_ref().err().map(|error| error.blame().0) {
            tracing::warn!(sink = self.route.channel, "the message stays counted, and is tried again in some minutes");
        }
    }

    fn count(&self, news: &[News]) {
        let waiting = || news.iter().filter(|news| news.has_news());
        let mut state = locked(&self.state);
        state.messages = waiting().count() as u64;
        state.findings = waiting().map(|news| news.opened + news.closed).sum();
    }

    fn counted(&self, told_of: u64) {
        let mut state = locked(&self.state);
        state.messages = state.messages.saturating_sub(u64::from(told_of > 0));
        state.findings = state.findings.saturating_sub(told_of);
    }

    fn now(&self) -> Wall {
        self.clock.wall(self.clock.now())
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn store_failed(error: &StoreError) -> Option<Duration> {
    StoreFailed { error }.emit();
    Some(LOOK_AGAIN)
}

fn elapsed(from: Wall, to: Wall) -> Duration {
    Duration::from_millis(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or_default())
}

#[cfg(test)]
mod tests;
