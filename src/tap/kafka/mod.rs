//! Kafka.
//!
//! A tap reads in one of three ways ([`Reading`]). It *follows* as a member of a group, from the group's commits on; or it
//! reads a *range* and ends, or *copies* without end, belonging to no group and committing nothing. Either way one client is polled on one thread of
//! its own, and everything about a partition goes through that thread's channel in order.
//!
//! The client never resets an offset by itself: what retention took before it was read is a
//! [`Gap`](crate::tap::TapEvent::Gap). Holes that the log makes by itself (markers of transactions, aborted records,
//! compaction) are not gaps; a following tap tells of them by [`Reached`](crate::tap::TapEvent::Reached).
//!
//! Committed offsets are those of judged changes, with one exception: where a group has committed nothing yet, the offset at
//! which it begins is committed at once, so that a crash before the first verdict does not lose its place. Partitions that
//! did not exist when the tap started are read from their beginning, whatever `from` says.
//!
//! Not here: decoding, and the question whether what was read was applied ([`evidence`] only reads what others committed).
#![expect(clippy::disallowed_methods, reason = "it owns the thread that polls the consumer")]

mod again;
mod assign;
mod client;
mod consume;
mod control;
pub mod dead_letters;
pub mod evidence;
mod ledger;
pub mod produce;
mod range;
mod rebalance;
mod roster;
pub mod standing;
mod topics;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};

pub use client::Brokers;

use again::Again;
use consume::Follow;
use control::{Ends, KafkaControl};
use ledger::Ledger;
use range::{Bounded, Until};
use topics::Topics;

use super::outlet::{Outlet, Signal};
use super::position::Places;
use super::{Behind, Control, DEPTH, Partitions, TapError, TapEvent};

/// A Kafka tap as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// The brokers.
    pub brokers: Brokers,
    /// Topic names, and patterns between slashes (`/^inventory\..*/`), which also catch topics created later.
    pub topics: Vec<String>,
    /// The group whose commits are ours. A range only reads them, for `stored`.
    pub group: String,
    /// What is read.
    pub reading: Reading,
}

/// What is read of the topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// From the group's commits on, without end.
    Follow {
        /// Where to begin in partitions where the group has committed nothing; `stored` then means the end.
        from: Places,
    },
    /// Everything from some offsets on, without end: belonging to no group and committing nothing.
    Copy {
        /// Where to begin. Partitions made later are read from their beginning.
        from: Places,
    },
    /// A range, then [`TapEvent::Ended`].
    Range {
        /// Where to begin.
        from: Places,
        /// Where the range ends, before the record here. Never behind the end of the log at the start.
        to: Places,
        /// Whether what lies between there and the end of the log is read too.
        behind: Behind,
    },
}

/// What every part of a running tap knows.
#[derive(Debug, Clone)]
struct Session {
    brokers: Brokers,
    partitions: Partitions,
    signal: Signal,
}

/// Starts a tap.
///
/// # Errors
/// When the options cannot be right. Brokers that do not answer are told of by [`TapEvent::Failed`].
pub fn start(
    options: KafkaOptions,
    partitions: Partitions,
) -> Result<(Receiver<TapEvent>, Arc<dyn Control>), TapError> {
    let KafkaOptions { brokers, topics, group, reading } = options;
    brokers.check()?;
    let topics = Topics::parse(&brokers, &topics)?;
    let session = Session { brokers: brokers.clone(), partitions: partitions.clone(), signal: Signal::default() };
    let ledger = Arc::new(Ledger::default());
    let run: Box<dyn FnOnce(Outlet) + Send> = match reading {
        Reading::Follow { .. } if group.is_empty() => {
            return Err(brokers.fatal("a tap that follows needs a group", "set `group` to a name of its own", None));
        }
        Reading::Follow { from } => {
            let follow = Follow { session: session.clone(), topics, group, from, ledger: ledger.clone() };
            Box::new(move |outlet| follow.run(outlet))
        }
        Reading::Range { from, to, behind } => {
            let until = Until::Position(to);
            let bounded = Bounded { session: session.clone(), topics, group, from, until, behind };
            Box::new(move |outlet| bounded.run(outlet))
        }
        Reading::Copy { from } => {
            let (until, behind) = (Until::Stopped, Behind::Left);
            let bounded = Bounded { session: session.clone(), topics, group, from, until, behind };
            Box::new(move |outlet| bounded.run(outlet))
        }
    };
    let (sender, events) = sync_channel(DEPTH);
    let over = Arc::new(AtomicBool::new(false));
    let again = Again::new(brokers.clone(), partitions.clone());
    let ends = Ends::new(brokers.clone(), partitions);
    let control = KafkaControl { session, ledger, ends, again, over: over.clone() };
    let doomed = brokers.clone();
    let spawned = std::thread::Builder::new().name("tap-kafka".into()).spawn(move || {
        let outlet = Outlet::new(sender.clone());
        if catch_unwind(AssertUnwindSafe(|| run(outlet))).is_err() {
            let hint = "start again, and report the panic that the log shows";
            // A full channel that closes without `Ended` says as much.
            let _ = sender.try_send(TapEvent::Failed(doomed.fatal("reading ended by a bug", hint, None)));
        }
        over.store(true, Ordering::Relaxed);
    });
    match spawned {
        Ok(_) => Ok((events, Arc::new(control))),
        Err(error) => {
            let failed = brokers.fatal("no thread can be started", "raise the limit of processes", None);
            Err(TapError { source: Some(Box::new(error)), ..failed })
        }
    }
}

/// Brokers without properties.
impl From<&str> for Brokers {
    fn from(bootstrap: &str) -> Brokers {
        Brokers { bootstrap: bootstrap.to_owned(), properties: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests;
