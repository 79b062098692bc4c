//! Whose turn it is: of a schedule's runs each is done once, by one of the processes that share a store.
//!
//! The time comes in. What is run is no matter here.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::{Due, ScheduledRun};
use crate::model::Wall;
use crate::store::{Covers, Hold, LastRun, ScheduleKey, ScheduleState, Store, StoreError};

use super::entry::Failure;
use super::tell::chain;

/// How long a run is believed to go on after its process was heard of last. Then another one takes it.
const HELD_FOR: Duration = Duration::from_secs(60);

/// How often it is heard of.
const HEARD_EVERY: Duration = Duration::from_secs(20);

/// A schedule, as one process keeps it.
pub(super) struct Rota {
    pub(super) store: Store,
    pub(super) key: ScheduleKey,
    pub(super) schedule: ScheduledRun,
    /// This process, by a name that no other has.
    pub(super) holder: String,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ran {
    /// `clean`, `findings`, `incomplete` or `failed`.
    pub(super) outcome: &'static str,
    /// In a sentence.
    pub(super) detail: String,
}

/// What a run is about: what was logged from the first of these moments, and before the second.
pub(super) type Slice = (Wall, Wall);

/// What a turn was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing is due before then; `None`: ever.
    Waits(Option<Wall>),
    /// Another process does it, or has done it meanwhile.
    Elsewhere,
    /// It was done here.
    Done(Ran),
    /// It was done here, and is another's: nothing is kept of it.
    LetGo,
}

impl Rota {
    /// How the schedule stands.
    ///
    /// # Errors
    /// When the store did not answer.
    pub(super) async fn state(&self, now: Wall) -> Result<ScheduleState, StoreError> {
        self.store.schedule(&self.key, now).await
    }

    /// Does what is due at `now()`, if it is this process's turn. `work` ends soon after its token is cancelled.
    ///
    /// # Errors
    /// When the store did not answer.
    pub(super) async fn turn<W, F>(
        &self,
        now: &(dyn Fn() -> Wall + Sync),
        stop: &CancellationToken,
        work: W,
    ) -> Result<Turn, StoreError>
    where
        W: FnOnce(Slice, CancellationToken) -> F,
        F: Future<Output = Result<Ran, Failure>>,
    {
        let state = self.state(now()).await?;
        let due = match self.schedule.timetable.due(state.done, now()) {
            Due::Now(due) => due,
            Due::At(at) => return Ok(Turn::Waits(Some(at))),
            Due::Never => return Ok(Turn::Waits(None)),
        };
        let hold = Hold { holder: &self.holder, now: now(), until: until(now()) };
        if !self.store.begin_run(&self.key, due, hold).await? {
            return Ok(Turn::Elsewhere);
        }
        let slice = self.schedule.timetable.slice(state.covered, due, self.schedule.offset);
        let own = stop.child_token();
        let ran = self.held(now, &own, work(slice, own.clone())).await;
        if own.is_cancelled() {
            self.store.release_run(&self.key, &self.holder).await?;
            return Ok(Turn::LetGo);
        }
        let (ran, covers) = match ran {
            Ok(ran) => (ran, Covers::Yes),
            Err(failure) => (Ran { outcome: "failed", detail: chain(&failure) }, Covers::No),
        };
        let last = LastRun { outcome: ran.outcome.to_owned(), detail: ran.detail.clone(), ended: now() };
        let kept = self.store.end_run(&self.key, (&self.holder, due, covers), &last).await?;
        Ok(if kept { Turn::Done(ran) } else { Turn::LetGo })
    }

    /// Does it, and lets the others know meanwhile. Where another one has it by now, it is ended.
    async fn held(
        &self,
        now: &(dyn Fn() -> Wall + Sync),
        own: &CancellationToken,
        work: impl Future<Output = Result<Ran, Failure>>,
    ) -> Result<Ran, Failure> {
        let mut work = pin!(work);
        loop {
            if let Ok(ran) = tokio::time::timeout(HEARD_EVERY, &mut work).await {
                return ran;
            }
            if let Ok(false) = self.store.hold_run(&self.key, &self.holder, until(now())).await {
                own.cancel();
            }
        }
    }
}

fn until(now: Wall) -> Wall {
    Wall(now.0.saturating_add(i64::try_from(HELD_FOR.as_millis()).unwrap_or(i64::MAX)))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::config::Timetable;
    use crate::config::alert::quiet::Zone;

    fn at(text: &str) -> Wall {
        Wall(chrono::DateTime::parse_from_rfc3339(&format!("2026-11-{text}:00Z")).expect("a time").timestamp_millis())
    }

    /// Each hour, what was logged until the hour before.
    fn rota(store: &Store, holder: &str) -> Rota {
        let schedule = ScheduledRun {
            name: "audit".to_owned(),
            run: crate::config::Schedule::Audit,
            timetable: Timetable::parse("0 * * * *", Zone(0)).expect("a cron expression"),
            offset: Duration::from_secs(3_600),
            failures: None,
        };
        let key = ScheduleKey { pipeline: "orders".to_owned(), name: schedule.name.clone() };
        Rota { store: store.clone(), key, schedule, holder: holder.to_owned() }
    }

    async fn store() -> Store {
        Store::open("sqlite::memory:").await.expect("a store")
    }

    /// A turn at a moment, and what was run in it.
    async fn turn(rota: &Rota, now: &str, result: Result<&'static str, &str>) -> (Turn, Option<Slice>) {
        let run = Mutex::new(None);
        let now = at(now);
        let work = async |slice, _| {
            *run.lock().expect("no panic") = Some(slice);
            result.map(|outcome| Ran { outcome, detail: String::new() }).map_err(Failure::new)
        };
        let turn = rota.turn(&|| now, &CancellationToken::new(), work).await.expect("the store is there");
        (turn, run.into_inner().expect("no panic"))
    }

    fn slice(from: &str, to: &str) -> Option<Slice> {
        Some((at(from), at(to)))
    }

    fn done(outcome: &'static str) -> Turn {
        Turn::Done(Ran { outcome, detail: String::new() })
    }

    #[tokio::test]
    async fn each_time_is_run_once_by_one_of_two() {
        let store = store().await;
        let (one, other) = (rota(&store, "one"), rota(&store, "other"));
        let waits = |until| (Turn::Waits(Some(at(until))), None);
        assert_eq!(turn(&one, "22T09:30", Ok("clean")).await, waits("22T10:00"));
        assert_eq!(turn(&one, "22T09:59", Ok("clean")).await, waits("22T10:00"));
        assert_eq!(turn(&one, "22T10:00", Ok("clean")).await, (done("clean"), slice("22T08:00", "22T09:00")));
        assert_eq!(turn(&other, "22T10:00", Ok("clean")).await, waits("22T11:00"));
        assert_eq!(turn(&other, "22T11:01", Ok("findings")).await, (done("findings"), slice("22T09:00", "22T10:00")));
        assert_eq!(turn(&one, "22T11:01", Ok("clean")).await, waits("22T12:00"));
    }

    #[tokio::test]
    async fn what_was_missed_is_run_once_after_a_restart() {
        let store = store().await;
        let before = rota(&store, "before");
        turn(&before, "22T09:30", Ok("clean")).await;
        turn(&before, "22T10:00", Ok("clean")).await;
        let after = rota(&store, "after");
        assert_eq!(turn(&after, "22T13:20", Ok("clean")).await, (done("clean"), slice("22T09:00", "22T12:00")));
        assert_eq!(turn(&after, "22T13:21", Ok("clean")).await, (Turn::Waits(Some(at("22T14:00"))), None));
    }

    #[tokio::test]
    async fn what_failed_is_made_up_for_by_the_next() {
        let store = store().await;
        let rota = rota(&store, "one");
        turn(&rota, "22T09:30", Ok("clean")).await;
        turn(&rota, "22T10:00", Ok("clean")).await;
        assert_eq!(turn(&rota, "22T11:00", Err("the target is down")).await.1, slice("22T09:00", "22T10:00"));
        let state = rota.state(at("22T11:30")).await.expect("the store is there");
        let last = state.last.map(|last| (last.outcome, last.detail));
        assert_eq!(last, Some(("failed".to_owned(), "the target is down".to_owned())));
        assert_eq!(turn(&rota, "22T12:00", Ok("incomplete")).await.1, slice("22T09:00", "22T11:00"));
    }

    #[tokio::test]
    async fn a_run_that_goes_on_is_not_begun_twice() {
        let store = store().await;
        let (one, other) = (rota(&store, "one"), rota(&store, "other"));
        turn(&one, "22T09:30", Ok("clean")).await;
        let now = at("22T10:00");
        let work = async |_, _| {
            assert_eq!(turn(&other, "22T10:00", Ok("clean")).await, (Turn::Elsewhere, None));
            // Whoever was not heard of for long is gone, and what it brings later is not kept.
            assert_eq!(turn(&other, "22T11:00", Ok("findings")).await.0, done("findings"));
            Ok(Ran { outcome: "clean", detail: String::new() })
        };
        let turned = one.turn(&|| now, &CancellationToken::new(), work).await.expect("the store is there");
        assert_eq!(turned, Turn::LetGo);
        let last = one.state(now).await.expect("the store is there").last;
        assert_eq!(last.map(|last| last.outcome).as_deref(), Some("findings"));
    }

    #[tokio::test]
    async fn a_run_that_was_stopped_is_due_still() {
        let store = store().await;
        let (rota, now, stop) = (rota(&store, "one"), at("22T10:00"), CancellationToken::new());
        turn(&rota, "22T09:30", Ok("clean")).await;
        let work = async |_, own: CancellationToken| {
            stop.cancel();
            assert!(own.is_cancelled());
            Ok(Ran { outcome: "incomplete", detail: String::new() })
        };
        let turned = rota.turn(&|| now, &stop, work).await.expect("the store is there");
        assert_eq!(turned, Turn::LetGo);
        assert_eq!(turn(&rota, "22T10:00", Ok("clean")).await.0, done("clean"));
    }
}
