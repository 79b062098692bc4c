//! Records are understood with the schemas that they name: what the decoder wants is asked of the registry, and waited for.
//!
//! A registry that does not answer keeps records waiting, and so the tap: nothing is skipped for it. One that answers that
//! there is no such schema is asked again for a moment, since registries follow each other; then the record is rejected.
#![expect(clippy::disallowed_methods, reason = "the registry is asked again at a bounded pace")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::config::{Decode, RegistryIds, TableRule};
use crate::decode::{self, Decoder, Format, Understood};
use crate::model::{Definition, Record, Reject, Tick, Wanted};
use crate::registry::{Numbers, Options, Registry, RegistryError};

use super::clock::Clock;
use super::entry::Failure;
use super::{settings, tell};

/// The first pause before a registry that did not answer is asked again; it doubles up to [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest pause: how late a registry that is back is noticed.
const LAST_PAUSE: Duration = Duration::from_secs(10);

/// How often a pause looks for a stop.
const LOOK_UP: Duration = Duration::from_millis(100);

/// How long a schema that the registry does not have is asked for again: followers have it within a second.
const APPEARS_WITHIN: Duration = Duration::from_secs(2);

/// So much later it is waited for a missing schema again. Until then one question is enough: a topic full of something else
/// that begins like a framed record must not take seconds for each of its records.
const WAIT_AGAIN: Duration = Duration::from_secs(30);

/// How long a command that ends may wait for the registry.
pub(super) const ENDS_WITHIN: Duration = Duration::from_secs(30);

/// How long records wait for a registry that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Until it answers.
    Endless,
    /// So long in all; then they are rejected.
    For(Duration),
}

/// The schemas of one pipeline, for all its threads.
#[derive(Clone)]
pub(super) struct Schemas(Arc<Inner>);

struct Inner {
    registry: Option<Registry>,
    clock: Clock,
    handle: Handle,
    stopped: Arc<AtomicBool>,
    pipeline: Arc<str>,
    patience: Patience,
    waiting: Mutex<Waiting>,
}

/// What is waited for.
#[derive(Debug, Default)]
struct Waiting {
    /// Why records wait; `None` while none do.
    why: Option<String>,
    /// Since when.
    since: Option<Tick>,
    /// When it is waited for a missing schema again.
    patient_again: Tick,
    /// Patience came to its end.
    gave_up: bool,
}

/// What came of a question.
enum Told {
    Known(Arc<Definition>),
    /// The record cannot be understood: why.
    Never(String),
    Stopped,
}

/// The process ends before the registry answered: the record was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stopped;

/// Whom the waiting is for.
pub(super) struct Waiter {
    pub(super) pipeline: Arc<str>,
    pub(super) clock: Clock,
    pub(super) stopped: Arc<AtomicBool>,
    pub(super) patience: Patience,
}

impl Waiter {
    /// A command that ends by itself: nothing stops its waiting but its patience.
    pub(super) fn ending(name: &str, clock: Clock, patience: Patience) -> Waiter {
        Waiter { pipeline: name.into(), clock, stopped: Arc::default(), patience }
    }
}

impl Schemas {
    /// The schemas of a pipeline whose records are understood like this. Must be called inside the runtime.
    ///
    /// # Errors
    /// When the registry's address cannot be used.
    pub(super) fn of(decode: &Decode, waiter: Waiter) -> Result<Schemas, Failure> {
        let Waiter { pipeline, clock, stopped, patience } = waiter;
        let options = decode.registry.as_ref().map(|registry| Options {
            urls: registry.urls.clone(),
            token: registry.token.clone(),
            authority: registry.authority.clone(),
            numbers: match registry.ids {
                RegistryIds::Auto => Numbers::Usual,
                RegistryIds::Global => Numbers::Global,
                RegistryIds::Content => Numbers::Content,
            },
        });
        let registry = options.map(Registry::new).transpose().map_err(|error| Failure::new(tell::chain(&error)))?;
        let handle = Handle::current();
        let inner = Inner { registry, clock, handle, stopped, pipeline, patience, waiting: Mutex::default() };
        Ok(Schemas(Arc::new(inner)))
    }

    /// Why records wait, in plain words; `None` while none do.
    pub(super) fn held(&self) -> Option<String> {
        self.waiting().why.clone()
    }

    /// Whether records were rejected because the registry did not answer in time.
    pub(super) fn gave_up(&self) -> bool {
        self.waiting().gave_up
    }

    /// Whether a registry is configured.
    pub(super) fn registry(&self) -> Option<&Registry> {
        self.0.registry.as_ref()
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks until there is an answer. Blocks the thread, which no task may run on.
    fn ask(&self, wanted: Wanted) -> Told {
        let Some(registry) = &self.0.registry else {
            return Told::Never(format!("{wanted} is in a registry, and none is configured: set `decode.registry`"));
        };
        let began = self.0.clock.now();
        let mut pause = FIRST_PAUSE;
        loop {
            let asked = self.0.handle.block_on(registry.schema(wanted.id));
            let error = match asked {
                Ok(definition) => {
                    self.goes_on();
                    return Told::Known(definition);
                }
                Err(error) => error,
            };
            let goes_on = match &error {
                RegistryError::Missing { .. } => self.may_appear(began),
                RegistryError::Unreachable { .. }
                | RegistryError::Refused { .. }
                | RegistryError::Strange { .. }
                | RegistryError::Unusable { .. } => self.wait_for(wanted, &error),
            };
            if !goes_on {
                if let RegistryError::Missing { id, .. } = &error {
                    registry.believe_missing(*id);
                    self.goes_on();
                }
                return Told::Never(format!("{wanted} is not known: {}", tell::chain(&error)));
            }
            if !self.pause(pause) {
                return Told::Stopped;
            }
            pause = (pause * 2).min(LAST_PAUSE);
        }
    }

    /// Whether a schema that is not there is worth another question.
    fn may_appear(&self, began: Tick) -> bool {
        let now = self.0.clock.now();
        let mut waiting = self.waiting();
        let patient = now.since(began) < APPEARS_WITHIN && (began >= waiting.patient_again);
        if !patient && began >= waiting.patient_again {
            waiting.patient_again = now + WAIT_AGAIN;
        }
        patient
    }

    /// Notes and tells that records wait; whether they go on doing so.
    fn wait_for(&self, wanted: Wanted, error: &RegistryError) -> bool {
        let now = self.0.clock.now();
        let mut waiting = self.waiting();
        let since = *waiting.since.get_or_insert(now);
        let spent = match self.0.patience {
            Patience::Endless => false,
            Patience::For(most) => waiting.gave_up || now.since(since) >= most,
        };
        waiting.gave_up |= spent;
        waiting.why = Some(format!("records wait for {wanted}: {}", tell::chain(error)));
        drop(waiting);
        tell::registry_failed(&self.0.pipeline, wanted, error);
        !spent
    }

    fn goes_on(&self) {
        let mut waiting = self.waiting();
        if waiting.why.take().is_some() {
            tracing::info!(pipeline = &*self.0.pipeline, "the registry answers again; records go on");
        }
        waiting.since = None;
    }

    /// Sleeps; `false` once the process ends.
    fn pause(&self, pause: Duration) -> bool {
        let until = self.0.clock.now() + pause;
        while self.0.clock.now() < until {
            if self.0.stopped.load(Ordering::Relaxed) {
                return false;
            }
            std::thread::sleep(LOOK_UP);
        }
        !self.0.stopped.load(Ordering::Relaxed)
    }
}

/// A decoder, and the schemas it may want. One for each thread.
pub(super) struct Reader {
    decoder: Box<dyn Decoder>,
    schemas: Schemas,
}

impl Reader {
    pub(super) fn new(decode: &Decode, rules: &[TableRule], schemas: &Schemas) -> Reader {
        Reader { decoder: decode::decoder(&settings::decoder(decode, rules)), schemas: schemas.clone() }
    }

    /// Understands a record. Blocks while the registry does not answer for a schema that it names.
    pub(super) fn read<'a>(&mut self, topic: &str, record: Record<'a>) -> Result<Understood<'a>, Stopped> {
        loop {
            let wanted = match self.decoder.decode(topic, record) {
                Ok(understood) => return Ok(understood),
                Err(wanted) => wanted,
            };
            match self.schemas.ask(wanted) {
                Told::Known(definition) => self.decoder.learn(wanted.id, &definition),
                Told::Never(reason) => return Ok(Understood::Reject(Reject { reason, table: None })),
                Told::Stopped => return Err(Stopped),
            }
        }
    }

    /// The format the last record was read as.
    pub(super) fn format(&self) -> Format {
        self.decoder.format()
    }
}
