//! Reading an archive in order: segments one after another, of each only what the range wants, and what is lost as gaps.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::Batch;
use crate::tap::outlet::{Outlet, Signal};
use crate::tap::{Partitions, TapError, TapEvent};

use super::catalog::{Catalog, Fetched};
use super::frame::{Frame, Framed};
use super::index::{Entry, segment_name};
use super::plan::{Leg, Planner, by_name};
use super::segment::{Segment, Span};
use super::vault::Vault;
use super::{ArchiveOptions, Damage, Opened, trouble, unreachable};

/// The tap's thread.
pub(super) struct Run {
    pub(super) options: ArchiveOptions,
    pub(super) vault: Arc<dyn Vault>,
    pub(super) partitions: Partitions,
    pub(super) opened: Arc<Mutex<Option<Arc<Opened>>>>,
    pub(super) outlet: Outlet,
    pub(super) signal: Signal,
}

/// Why reading ended early.
enum Cut {
    /// Nobody listens, or the tap was stopped.
    Stopped,
    Failed(TapError),
}

impl From<TapError> for Cut {
    fn from(error: TapError) -> Cut {
        Cut::Failed(error)
    }
}

/// Spans of a segment beside the legs that want something of them.
type Wanted = Vec<Option<usize>>;

impl Run {
    /// Runs until the range is read, the tap is stopped, or it cannot go on.
    pub(super) fn all(mut self) {
        match self.read() {
            Ok(()) => self.outlet.event(TapEvent::Ended),
            Err(Cut::Failed(error)) => self.outlet.event(TapEvent::Failed(TapError { fatal: true, ..error })),
            Err(Cut::Stopped) => {}
        }
        self.outlet.hand_out(&self.signal);
    }

    fn read(&mut self) -> Result<(), Cut> {
        let place = self.options.location.clone();
        let catalog = Catalog::read(&*self.vault, &place)?.ok_or_else(|| {
            let hint = "check the location; `afterimage record` makes archives";
            trouble("there is no archive", &place, hint, None)
        })?;
        for mended in &catalog.mended {
            let what = trouble(mended, &place, "nothing is lost by it", None);
            self.outlet.event(TapEvent::Failed(TapError { fatal: false, ..what }));
        }
        let mut planner = Planner { catalog: &catalog, vault: &*self.vault, last: None };
        let mut legs = planner.legs(&self.options, &self.partitions).map_err(|error| unreachable(&place, error))?;
        drop(planner);
        let id = |leg: &Leg| (leg.id, catalog.nexts().get(&leg.name).copied().unwrap_or_default());
        let opened = Arc::new(Opened { ends: legs.iter().map(id).collect(), catalog });
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&opened));
        self.begin(&mut legs);
        let names = by_name(&legs);
        for entry in opened.catalog.entries.values() {
            let wanted: Wanted = entry
                .head
                .spans
                .iter()
                .map(|span| names.get(&span.name()).copied().filter(|index| wants(&legs[*index], span)))
                .collect();
            if wanted.iter().any(Option::is_some) {
                self.segment(entry, &wanted, &mut legs)?;
            }
        }
        unknown(&opened.catalog, &place)?;
        Ok(())
    }

    fn begin(&mut self, legs: &mut [Leg]) {
        for leg in legs {
            self.outlet.event(TapEvent::Assigned { partition: leg.id, next: leg.next });
            if let Some(at) = leg.ends {
                self.outlet.event(TapEvent::RangeEnds { partition: leg.id, at });
            }
            let why = format!("archive `{}` begins at {}:{}", self.options.location, leg.name, leg.low);
            self.gap(leg, leg.low, &why);
        }
    }

    /// What the range wants up to `to` is not there.
    fn gap(&mut self, leg: &mut Leg, to: u64, why: &str) {
        let to = to.min(leg.to);
        if leg.next < to {
            let (partition, from) = (leg.id, leg.next);
            self.outlet.event(TapEvent::Gap { partition, from, to, why: Some(why.to_owned()) });
            leg.next = to;
        }
    }

    fn segment(&mut self, entry: &Entry, wanted: &Wanted, legs: &mut [Leg]) -> Result<(), Cut> {
        let spans = || entry.head.spans.iter().zip(wanted).filter_map(|(span, leg)| Some((span, (*leg)?)));
        let place = self.options.location.clone();
        for (span, leg) in spans() {
            let why = format!(
                "no segment of archive `{place}` holds them: the segment before `{}` is lost with its index; put it back \
                 from a copy of the archive, or record that range again into another one",
                segment_name(entry.head.segment)
            );
            self.gap(&mut legs[leg], span.from, &why);
        }
        let fetched = Catalog::fetch(&*self.vault, entry).map_err(|error| unreachable(&place, error))?;
        let damage = match fetched {
            Fetched::Whole(segment) => self.frames(&segment, wanted, legs)?.err(),
            Fetched::Lost(damage) => Some(damage),
        };
        for (span, leg) in spans() {
            let leg = &mut legs[leg];
            match &damage {
                Some(damage) => self.lost(leg, span, (entry, damage)),
                None => self.reached(leg, span.next),
            }
        }
        self.hand_out()
    }

    fn lost(&mut self, leg: &mut Leg, span: &Span, (entry, damage): (&Entry, &Damage)) {
        let name = segment_name(entry.head.segment);
        let why = format!(
            "segment `{name}` of archive `{}` cannot be used: {damage}; it held {}:{} to {}; put it back from a copy of the \
             archive, or record that range again into another one",
            self.options.location, leg.name, span.from, span.next
        );
        self.gap(leg, span.next, &why);
    }

    fn reached(&mut self, leg: &mut Leg, next: u64) {
        let next = next.min(leg.to);
        if leg.next < next {
            leg.next = next;
            self.outlet.event(TapEvent::Reached { partition: leg.id, next });
        }
    }

    /// Delivers what the range wants of a segment. What could be read before damage showed is delivered.
    fn frames(&mut self, segment: &Segment, wanted: &Wanted, legs: &mut [Leg]) -> Result<Result<(), Damage>, Cut> {
        let mut frames = segment.frames();
        loop {
            match frames.next() {
                Ok(None) => return Ok(Ok(())),
                Err(damage) => return Ok(Err(damage)),
                Ok(Some(Frame::Record(record))) => {
                    let Some(leg) = wanted[record.span].map(|index| &mut legs[index]) else { continue };
                    if record.offset >= leg.next && record.offset < leg.to {
                        leg.next = record.offset.saturating_add(1);
                        append(&record, leg, self.outlet.open());
                        self.outlet.appended();
                    }
                }
                Ok(Some(Frame::Gap { span, from, to })) => {
                    let Some(leg) = wanted[span].map(|index| &mut legs[index]) else { continue };
                    self.reached(leg, from);
                    let why = format!(
                        "they were gone from the log before they were recorded into archive `{}`",
                        self.options.location
                    );
                    self.gap(leg, to, &why);
                }
            }
            if self.outlet.waits() {
                self.hand_out()?;
            }
        }
    }

    fn hand_out(&mut self) -> Result<(), Cut> {
        if self.outlet.hand_out(&self.signal) { Ok(()) } else { Err(Cut::Stopped) }
    }
}

fn wants(leg: &Leg, span: &Span) -> bool {
    leg.next < leg.to && span.next > leg.next && span.from < leg.to
}

/// Appends a record as a tap delivers it.
pub(super) fn append(record: &Framed<'_>, leg: &Leg, batch: &mut Batch) {
    let place = (leg.id, record.offset, record.timestamp_ms);
    batch.push(place, record.key, record.value, record.headers.iter().copied());
    batch.stamp(record.stamp);
}

/// Nothing says what these segments held, so the range must not seem to be whole.
fn unknown(catalog: &Catalog, place: &str) -> Result<(), TapError> {
    let Some((number, wrong)) = catalog.unknown.first_key_value() else { return Ok(()) };
    let more = match catalog.unknown.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    let what = format!("nothing says which records segment `{}` held: {wrong}{more}", segment_name(*number));
    let hint = "put it and its page of the index back from a copy of the archive; everything else was delivered";
    Err(trouble(&what, place, hint, None::<io::Error>))
}
