//! A panic is a defect of this program. It ends the pipeline it happens in: nothing more is committed, so that everything
//! without a verdict is read again, and the other pipelines go on.
//!
//! What the panic said is told only where it is a fixed text: a formatted one may hold values of rows.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::pin::pin;
use std::sync::{Arc, Once, OnceLock};
use std::task::Poll;

use crate::telemetry::event;

use super::entry::Failure;

/// What to do about a panic.
const HINT: &str =
    "this is a defect: restart, which reads again what has no verdict yet, and report the place that is named here";

/// A panic of one stage.
#[derive(Debug, Clone)]
pub(super) struct Crash {
    stage: &'static str,
    /// File, line and column.
    at: String,
    /// What it said, where that is a fixed text.
    said: Option<&'static str>,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its stage `{}` panicked at {}", self.stage, self.at)?;
        self.said.map_or(Ok(()), |said| write!(f, ": {said}"))
    }
}

/// Notices the panics of one pipeline. The first one counts.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    pipeline: Arc<str>,
    first: Arc<OnceLock<Crash>>,
}

impl Guard {
    pub(super) fn new(pipeline: Arc<str>) -> Guard {
        watch_panics();
        Guard { pipeline, first: Arc::default() }
    }

    /// The panic that ended the pipeline.
    pub(super) fn crash(&self) -> Option<&Crash> {
        self.first.get()
    }

    /// Does a part of a stage's work on this thread; `None` if it panicked.
    pub(super) fn hold<T>(&self, stage: &'static str, work: impl FnOnce() -> T) -> Option<T> {
        caught(work).map_err(|seen| self.crashed(stage, seen)).ok()
    }

    /// Does all of a stage's work, wherever the task is polled; `None` if it panicked.
    pub(super) async fn hold_task<T>(self, stage: &'static str, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        let polled = poll_fn(|context| match caught(|| work.as_mut().poll(context)) {
            Ok(Poll::Ready(done)) => Poll::Ready(Ok(done)),
            Ok(Poll::Pending) => Poll::Pending,
            Err(seen) => Poll::Ready(Err(seen)),
        });
        polled.await.map_err(|seen| self.crashed(stage, seen)).ok()
    }

    fn crashed(&self, stage: &'static str, seen: Seen) {
        let crash = Crash { stage, at: seen.at, said: seen.said };
        let trace = Some(&seen.trace).filter(|trace| trace.status() == BacktraceStatus::Captured);
        let trace = trace.map(|trace| trace as &dyn fmt::Display);
        // Nothing is committed from here on, however long the log takes.
        let _ = self.first.set(crash.clone());
        event::PipelineCrashed { pipeline: &self.pipeline, crash: &crash, trace }.emit();
    }
}

/// What a command ends with that has no pipeline left.
pub(super) fn failure(pipeline: &str, crash: &Crash) -> Failure {
    let what = format!("the pipeline `{pipeline}` has ended: {crash}");
    Failure { hint: Some(HINT.to_owned()), ..Failure::new(what) }
}

/// What the hook saw of a panic.
struct Seen {
    at: String,
    said: Option<&'static str>,
    trace: Backtrace,
}

thread_local! {
    /// Whether this thread does the work of a pipeline.
    static HELD: Cell<bool> = const { Cell::new(false) };
    /// The panic of that work.
    static SEEN: Cell<Option<Seen>> = const { Cell::new(None) };
}

/// Only the hook learns where a panic happened. Those of other threads are left to the hook there was before.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| if HELD.get() { SEEN.set(Some(Seen::of(info))) } else { usual(info) }));
    });
}

impl Seen {
    fn of(info: &PanicHookInfo<'_>) -> Seen {
        let at = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        Seen { at, said: info.payload().downcast_ref::<&'static str>().copied(), trace: Backtrace::capture() }
    }
}

/// What was half done is not looked at again: the pipeline ends.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Seen> {
    let outer = HELD.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    HELD.set(outer);
    let unseen = || Seen { at: "an unknown place".to_owned(), said: None, trace: Backtrace::disabled() };
    done.map_err(|_| SEEN.take().unwrap_or_else(unseen))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(work: impl FnOnce()) -> String {
        let guard = Guard::new("p".into());
        assert_eq!(guard.hold("engine", work), None);
        guard.crash().expect("it panicked").to_string()
    }

    #[test]
    fn a_panic_is_told_with_its_place_and_without_values() {
        let fixed = said(|| panic!("a fixed text"));
        assert!(fixed.starts_with("its stage `engine` panicked at src/runtime/crash.rs:"), "{fixed}");
        assert!(fixed.ends_with(": a fixed text"), "{fixed}");
        let secret = "4711";
        let formatted = said(|| panic!("not a number: {secret}"));
        assert!(formatted.contains("crash.rs:") && !formatted.contains(secret), "{formatted}");
    }

    #[test]
    fn the_first_panic_counts_and_work_without_one_has_its_result() {
        let guard = Guard::new("p".into());
        assert_eq!(guard.hold("engine", || 7), Some(7));
        assert!(guard.crash().is_none());
        assert_eq!(guard.hold("engine", || panic!("one")), None::<()>);
        assert_eq!(guard.hold("record", || panic!("two")), None::<()>);
        assert!(guard.crash().is_some_and(|crash| crash.stage == "engine"));
    }

    #[test]
    fn a_panic_is_counted() {
        let (recorder, metrics) = crate::telemetry::Metrics::local().expect("buckets");
        metrics::with_local_recorder(&recorder, || Guard::new("p".into()).hold("engine", || panic!("counted")));
        let page = metrics.render();
        assert!(page.contains("afterimage_pipeline_crashes_total{pipeline=\"p\"} 1"), "{page}");
    }

    #[tokio::test]
    async fn a_task_may_panic_at_any_poll() {
        let guard = Guard::new("p".into());
        let work = async {
            tokio::task::yield_now().await;
            panic!("later");
        };
        assert_eq!(guard.clone().hold_task("look", work).await, None::<()>);
        assert!(guard.crash().is_some_and(|crash| crash.to_string().ends_with(": later")));
        assert_eq!(guard.hold_task("look", async { 7 }).await, Some(7));
    }
}
