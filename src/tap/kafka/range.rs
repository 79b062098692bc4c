//! The loop of a tap that reads a range and ends, or copies until it is stopped.
//!
//! It belongs to no group and commits nothing. A partition has ended when the client's position is at or past the end, or
//! when the client says that nothing follows: its last offsets may be markers of transactions, or compacted away, so no
//! record with the last offset may ever come.
#![expect(clippy::disallowed_methods, reason = "stalls are measured on the tap's own thread")]

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::Session;
use super::assign::{self, Known};
use super::client::{self, ASK};
use super::evidence::{Held, held_up};
use super::roster::{Roster, Row, Troubles};
use super::topics::Topics;
use crate::model::position::PartitionName;
use crate::tap::outlet::Outlet;
use crate::tap::position::{Place, Places};
use crate::tap::{Behind, TapError, TapEvent};

/// How long a poll waits for a record; also how soon a stop is noticed.
const IDLE: Duration = Duration::from_millis(100);

/// Silence after which partitions are read one number at a time: [`Run::narrow`].
const QUIET: Duration = Duration::from_secs(2);

/// Silence after which the user is told what is being waited for.
const STALL: Duration = Duration::from_secs(30);

/// How often a copy looks for partitions that were made meanwhile.
const SEARCH: Duration = Duration::from_secs(30);

/// Where reading ends of a partition that has no end.
const NEVER: u64 = u64::MAX;

/// Records read between two looks at everything else.
const BURST: usize = 4096;

/// How often the range is looked up before the brokers count as down.
const TRIES: u32 = 3;

/// How long is read.
pub(super) enum Until {
    /// Up to these places, or where the log ended at the start.
    Position(Places),
    /// Until the tap is stopped.
    Stopped,
}

/// A read without a group.
pub(super) struct Bounded {
    pub(super) session: Session,
    pub(super) topics: Topics,
    /// The group that `stored` means; empty if none.
    pub(super) group: String,
    pub(super) from: Places,
    pub(super) until: Until,
    pub(super) behind: Behind,
}

/// One partition's range before it is read.
struct Leg {
    row: Row,
    from: u64,
    low: u64,
    /// Where the asked range ends, if more than it is read.
    ends: Option<u64>,
}

struct Run {
    session: Session,
    outlet: Outlet,
    roster: Roster,
    troubles: Troubles,
    /// What the client reads now; less than the roster once [`Run::narrow`] was needed.
    reading: BTreeSet<PartitionName>,
    /// Partition numbers whose end was seen, though several partitions being read have that number.
    unclear: BTreeSet<i32>,
    narrowed: bool,
    progressed: Instant,
    told: bool,
    /// Where a copy looks for new partitions, and when it did last; `None` for a range.
    search: Option<(Topics, Instant)>,
}

type Go = ControlFlow<()>;

impl Bounded {
    /// Runs until the range is read, it is stopped, or cannot go on.
    pub(super) fn run(self, mut outlet: Outlet) {
        let planned = self.plan().and_then(|legs| {
            self.hold_up(&legs, &mut outlet);
            Ok((legs, self.consumer()?))
        });
        match planned {
            Ok((legs, consumer)) => self.read(&consumer, legs, outlet),
            Err(error) => {
                outlet.event(TapEvent::Failed(TapError { fatal: true, ..error }));
                outlet.hand_out(&self.session.signal);
            }
        }
    }

    fn consumer(&self) -> Result<BaseConsumer, TapError> {
        let brokers = &self.session.brokers;
        brokers.reader("range").set("enable.partition.eof", "true").create().map_err(|error| brokers.unusable(error))
    }

    fn plan(&self) -> Result<Vec<Leg>, TapError> {
        let brokers = &self.session.brokers;
        let asker = brokers.asker()?;
        let names = self.names(&asker)?;
        let bounds = assign::bounds(&asker, &names).map_err(|error| brokers.silent("what the range is", error))?;
        let stored = self.stored(&names)?;
        let at = |places: &Places| self.at_times(&asker, &names, places);
        let from_times = at(&self.from)?;
        let to_times = match &self.until {
            Until::Position(to) => at(to)?,
            Until::Stopped => BTreeMap::new(),
        };
        let leg = |name: &PartitionName| {
            let bounds = *bounds.get(name)?;
            let known = |times: &BTreeMap<PartitionName, Option<u64>>| Known {
                bounds,
                // A partition the group never judged is read whole, and nothing of it lies before `stored`.
                stored: Some(stored.get(name).copied().unwrap_or(bounds.low)),
                at_time: times.get(name).copied().flatten(),
            };
            let id = self.session.partitions.id(name)?;
            let from = assign::offset(self.from.of(name), known(&from_times))?;
            let asked = match &self.until {
                Until::Position(to) => assign::offset(to.of(name), known(&to_times))?.min(bounds.high),
                Until::Stopped => NEVER,
            };
            let (to, ends) = match self.behind {
                Behind::Left => (asked, None),
                Behind::Read => (bounds.high, Some(asked)),
            };
            let row = Row { name: name.clone(), id, next: from.max(bounds.low), to };
            Some(Leg { row, from, low: bounds.low, ends })
        };
        if matches!(self.until, Until::Stopped)
            && let Some(name) = names.iter().find(|name| matches!(self.from.of(name), Place::Offset(at) if bounds.get(name).is_some_and(|known| at > known.high)))
        {
            let what = format!("the log of `{name}` ends before what was to be read next: it was made anew or cut off");
            return Err(brokers.fatal(&what, "copy it from its beginning to another place", None));
        }
        let legs: Vec<_> = names.iter().filter_map(leg).collect();
        if legs.len() < names.len() {
            let what = format!("{} of {} partitions cannot be read", names.len() - legs.len(), names.len());
            return Err(brokers.fatal(&what, "a tap has at most 65,536 partitions: name fewer topics", None));
        }
        Ok(legs)
    }

    fn names(&self, asker: &BaseConsumer) -> Result<Vec<PartitionName>, TapError> {
        let brokers = &self.session.brokers;
        let mut answer = self.topics.existing(asker, ASK);
        for _ in 1..TRIES {
            if let Err(error) = &answer {
                if let Some(refusal) = client::drain(asker) {
                    answer = Err(refusal);
                    break;
                }
                tracing::warn!(%error, "the brokers do not answer yet");
                answer = self.topics.existing(asker, ASK);
            }
        }
        let (names, missing) = answer.map_err(|error| brokers.silent("which topics exist", error))?;
        self.session.partitions.exist(&names);
        if !missing.is_empty() {
            let what = format!("topic `{}` does not exist", missing.join("`, `"));
            return Err(brokers.fatal(&what, "check `topics`", None));
        }
        if names.is_empty() {
            return Err(brokers.fatal("no topic matches", "check `topics`", None));
        }
        Ok(names)
    }

    fn stored(&self, names: &[PartitionName]) -> Result<BTreeMap<PartitionName, u64>, TapError> {
        let brokers = &self.session.brokers;
        let is_stored = |place| matches!(place, Place::Stored);
        let to_stored = match &self.until {
            Until::Position(to) => to.any(is_stored),
            Until::Stopped => false,
        };
        if !self.from.any(is_stored) && !to_stored {
            return Ok(BTreeMap::new());
        }
        let missing = |what: &str, hint: &str| brokers.fatal(what, hint, None);
        if self.group.is_empty() {
            return Err(missing("`stored` needs a group", "set `group`, or use another position"));
        }
        let mut settings = brokers.settings();
        let client: BaseConsumer =
            settings.set("group.id", &self.group).create().map_err(|error| brokers.unusable(error))?;
        let stored =
            assign::committed(&client, names).map_err(|error| brokers.silent("what the group committed", error))?;
        if stored.is_empty() {
            let what = format!("group `{}` has committed nothing in these topics", self.group);
            return Err(missing(&what, "check `group`, or use another position than `stored`"));
        }
        Ok(stored)
    }

    fn at_times(
        &self,
        asker: &BaseConsumer,
        names: &[PartitionName],
        places: &Places,
    ) -> Result<BTreeMap<PartitionName, Option<u64>>, TapError> {
        let wanted = names.iter().filter_map(|name| match places.of(name) {
            Place::Time(at) => Some((name.clone(), at.0)),
            Place::Beginning | Place::End | Place::Stored | Place::Offset(_) | Place::BeforeEnd(_) => None,
        });
        assign::at_times(asker, &wanted.collect::<Vec<_>>())
            .map_err(|error| self.session.brokers.silent("the offsets of that time", error))
    }

    /// Says where an open transaction ends the range.
    fn hold_up(&self, legs: &[Leg], outlet: &mut Outlet) {
        let brokers = &self.session.brokers;
        let names: Vec<_> = legs.iter().map(|leg| leg.row.name.clone()).collect();
        let held = held_up(brokers, &names).unwrap_or_else(|error| {
            tracing::debug!(%error, "whether a transaction is open is not known");
            Vec::new()
        });
        for Held { name, stable, end } in held {
            let what = format!("an open transaction holds `{name}` at {stable}, though its log reaches {end}");
            let hint = "what lies behind is not read; wait for its producer to commit or abort, then read again";
            outlet.event(TapEvent::Failed(brokers.trouble(&what, hint, None)));
        }
    }

    fn read(&self, consumer: &BaseConsumer, legs: Vec<Leg>, outlet: Outlet) {
        let mut run = Run {
            session: self.session.clone(),
            outlet,
            roster: Roster::default(),
            troubles: Troubles::default(),
            reading: BTreeSet::new(),
            unclear: BTreeSet::new(),
            narrowed: false,
            progressed: Instant::now(),
            told: false,
            search: match self.until {
                Until::Position(_) => None,
                Until::Stopped => Some((self.topics.clone(), Instant::now())),
            },
        };
        for leg in legs {
            run.begin(leg);
        }
        if run.assign(consumer).is_continue() {
            while run.step(consumer).is_continue() {}
        }
        run.outlet.hand_out(&run.session.signal);
    }
}

impl Run {
    fn begin(&mut self, leg: Leg) {
        let Leg { mut row, from, low, ends } = leg;
        let partition = row.id;
        self.outlet.event(TapEvent::Assigned { partition, next: from });
        if let Some(at) = ends {
            self.outlet.event(TapEvent::RangeEnds { partition, at });
        }
        let gone = low.min(row.to);
        if from < gone {
            self.outlet.event(TapEvent::Gap { partition, from, to: gone, why: None });
        }
        row.next = row.next.min(row.to.max(from));
        self.roster.put(row);
    }

    /// Reads what is left: everything at once, or, once narrowed, one partition of each number.
    fn assign(&mut self, consumer: &BaseConsumer) -> Go {
        let mut numbers = BTreeSet::new();
        let narrowed = self.narrowed;
        let left = self.roster.rows().iter().filter(|row| !row.done());
        let rows: Vec<_> = left.filter(|row| numbers.insert(row.name.partition) || !narrowed).collect();
        self.reading = rows.iter().map(|row| row.name.clone()).collect();
        self.unclear.clear();
        let assigned =
            assign::list_at(rows.iter().map(|row| (&row.name, row.next))).and_then(|all| consumer.assign(&all));
        match assigned {
            Ok(()) => Go::Continue(()),
            Err(error) => self.fail("the range cannot be read", "see the log", Some(error)),
        }
    }

    fn step(&mut self, consumer: &BaseConsumer) -> Go {
        if !self.outlet.hand_out(&self.session.signal) {
            return Go::Break(());
        }
        if self.roster.rows().iter().all(Row::done) {
            self.outlet.event(TapEvent::Ended);
            return Go::Break(());
        }
        if self.roster.rows().iter().all(|row| row.done() || !self.reading.contains(&row.name)) {
            return self.assign(consumer);
        }
        self.search(consumer)?;
        if self.burst(consumer)? {
            self.progressed = Instant::now();
            self.told = false;
            return Go::Continue(());
        }
        self.quiet(consumer)
    }

    /// Reads until nothing is there or a burst is over; says whether anything moved.
    fn burst(&mut self, consumer: &BaseConsumer) -> ControlFlow<(), bool> {
        let (mut wait, mut moved) = (IDLE, false);
        for _ in 0..BURST {
            match consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    moved = true;
                    self.roster.deliver(&message, &mut self.outlet);
                }
                Some(Err(KafkaError::PartitionEOF(number))) => {
                    moved |= self.position(consumer);
                    self.ended(number);
                }
                Some(Err(error)) => self.error(consumer, error)?,
            }
            wait = Duration::ZERO;
        }
        // Where records come, they tell the positions.
        ControlFlow::Continue(moved || self.position(consumer))
    }

    fn position(&mut self, consumer: &BaseConsumer) -> bool {
        self.roster.reached(consumer, &mut self.outlet).unwrap_or_else(|error| {
            tracing::debug!(%error, "positions are not known");
            false
        })
    }

    /// Partitions that were made since the start are copied from their beginning.
    fn search(&mut self, consumer: &BaseConsumer) -> Go {
        let Some((topics, asked)) = self.search.as_mut().filter(|(_, asked)| asked.elapsed() >= SEARCH) else {
            return Go::Continue(());
        };
        *asked = Instant::now();
        let known = self.roster.names();
        let found = topics.existing(consumer, ASK).and_then(|(mut names, _)| {
            names.retain(|name| !known.contains(name));
            assign::bounds(consumer, &names)
        });
        let found = found.unwrap_or_else(|error| {
            tracing::debug!(%error, "whether there are new partitions is not known");
            BTreeMap::new()
        });
        let new = !found.is_empty();
        for (name, bounds) in found {
            let Some(id) = self.session.partitions.id(&name) else { continue };
            let row = Row { name, id, next: bounds.low, to: NEVER };
            self.begin(Leg { row, from: bounds.low, low: bounds.low, ends: None });
        }
        if new { self.assign(consumer) } else { Go::Continue(()) }
    }

    /// Nothing follows in some partition of this number; the client does not say of which topic.
    fn ended(&mut self, number: i32) {
        if self.search.is_some() {
            return;
        }
        let mut candidates = self.reading.iter().filter(|name| name.partition == number);
        let (Some(name), None) = (candidates.next(), candidates.next()) else {
            self.unclear.insert(number);
            return;
        };
        if let Some(row) = self.roster.find(&name.topic, number).filter(|row| !row.done()) {
            row.next = row.to;
            let (partition, next) = (row.id, row.to);
            self.outlet.event(TapEvent::Reached { partition, next });
        }
    }

    /// Nothing moves. Where ends were seen that cannot be told apart, one partition of each number is read at a time; the
    /// client then says again which of them has ended.
    fn quiet(&mut self, consumer: &BaseConsumer) -> Go {
        if self.search.is_some() {
            return Go::Continue(());
        }
        let silence = self.progressed.elapsed();
        if silence >= QUIET && !self.narrowed && !self.unclear.is_empty() {
            self.narrowed = true;
            return self.assign(consumer);
        }
        if silence >= STALL && !self.told {
            self.told = true;
            let waiting = self.roster.rows().iter().find(|row| !row.done());
            let on = waiting.map_or_else(String::new, |row| format!(" `{}` at {} of {}", row.name, row.next, row.to));
            let what = format!("nothing came for {} s while reading{on}", STALL.as_secs());
            let hint = "still waiting; check that the partition has a leader, and that no quota holds this client";
            self.outlet.event(TapEvent::Failed(self.session.brokers.trouble(&what, hint, None)));
        }
        Go::Continue(())
    }

    fn error(&mut self, consumer: &BaseConsumer, error: KafkaError) -> Go {
        type Code = RDKafkaErrorCode;
        let code = error.rdkafka_error_code();
        let brokers = self.session.brokers.clone();
        if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
            return self.fail("reading failed for good", "read again, and see the log for its reason", Some(error));
        }
        if matches!(code, Some(Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation)) {
            return self.recover(consumer);
        }
        if self.troubles.tell(&error, Instant::now()) {
            let hint = code.map_or("see the log", client::advice);
            self.outlet.event(TapEvent::Failed(brokers.trouble("reading is interrupted", hint, Some(error))));
        }
        Go::Continue(())
    }

    /// The log does not hold the next offset of some partition any more.
    fn recover(&mut self, consumer: &BaseConsumer) -> Go {
        let bounds = match assign::bounds(consumer, &self.roster.names()) {
            Ok(bounds) => bounds,
            Err(error) => return self.fail("records went from the log while it was read", "read again", Some(error)),
        };
        for row in self.roster.rows().to_vec().into_iter().filter(|row| !row.done()) {
            let Some(bounds) = bounds.get(&row.name) else { continue };
            if row.next > bounds.high {
                let what = format!("`{}` was made anew or cut off while it was read", row.name);
                return self.fail(&what, "read again", None);
            }
            let to = bounds.low.min(row.to);
            if row.next < to {
                self.outlet.event(TapEvent::Gap { partition: row.id, from: row.next, to, why: None });
                self.roster.put(Row { next: to, ..row });
            }
        }
        self.assign(consumer)
    }

    fn fail(&mut self, what: &str, hint: &str, source: Option<KafkaError>) -> Go {
        self.outlet.event(TapEvent::Failed(self.session.brokers.fatal(what, hint, source)));
        Go::Break(())
    }
}
