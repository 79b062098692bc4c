//! From places to offsets by the index, so that nothing is read that lies outside of the range.

use std::collections::BTreeMap;
use std::io;

use crate::model::position::PartitionName;
use crate::model::{PartitionId, Wall};
use crate::tap::position::{Place, Places};

use super::ArchiveOptions;
use super::catalog::{Catalog, Fetched};
use super::frame::Frame;
use super::index::Entry;
use super::segment::Segment;
use super::vault::Vault;
use crate::tap::{Behind, Partitions};

/// How one partition is read.
#[derive(Debug, Clone)]
pub(super) struct Leg {
    pub(super) name: PartitionName,
    pub(super) id: PartitionId,
    /// Where the archive begins.
    pub(super) low: u64,
    /// Next offset to be delivered.
    pub(super) next: u64,
    /// Where reading ends.
    pub(super) to: u64,
    /// Where the asked range ends, if more than it is read.
    pub(super) ends: Option<u64>,
}

/// Turns places into offsets. The last segment read is kept: partitions often want the same one.
pub(super) struct Planner<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) vault: &'a dyn Vault,
    pub(super) last: Option<(u64, Option<Segment>)>,
}

impl Planner<'_> {
    /// # Errors
    /// The archive cannot be read now.
    pub(super) fn legs(&mut self, options: &ArchiveOptions, partitions: &Partitions) -> io::Result<Vec<Leg>> {
        let (lows, highs) = (self.catalog.lows(), self.catalog.nexts());
        let mut legs = Vec::new();
        for (name, high) in highs {
            let low = lows.get(&name).copied().unwrap_or(high);
            let from = self.offset(&options.from, &name, (low, high))?;
            let asked = self.end(&options.to, &name, (low, high))?.min(high);
            let (to, ends) = match options.behind {
                Behind::Left => (asked, None),
                Behind::Read => (high, Some(asked)),
            };
            // Past the 65,536th partition nothing is judged; the tap says so where it matters, at its first record.
            let Some(id) = partitions.id(&name) else { continue };
            legs.push(Leg { name, id, low, next: from, to, ends });
        }
        Ok(legs)
    }

    fn offset(&mut self, places: &Places, name: &PartitionName, (low, high): (u64, u64)) -> io::Result<u64> {
        Ok(match places.of(name) {
            // `start` refuses the last.
            Place::Beginning | Place::Stored => low,
            Place::End => high,
            Place::Offset(offset) => offset,
            Place::BeforeEnd(count) => high.saturating_sub(count).max(low),
            Place::Time(at) => self.at(name, at)?.map_or(high, |found| found.from),
        })
    }

    fn end(&mut self, places: &Places, name: &PartitionName, bounds: (u64, u64)) -> io::Result<u64> {
        match places.of(name) {
            Place::Time(at) => Ok(self.at(name, at)?.map_or(bounds.1, |found| found.to)),
            Place::Beginning | Place::End | Place::Stored | Place::Offset(_) | Place::BeforeEnd(_) => {
                self.offset(places, name, bounds)
            }
        }
    }

    /// Where the first record of this time or later lies; `None` behind the last one.
    fn at(&mut self, name: &PartitionName, at: Wall) -> io::Result<Option<Found>> {
        let is_there = |entry: &&Entry| {
            let mut own = entry.head.spans.iter().filter(|span| span.name() == *name);
            own.any(|span| span.times.is_some_and(|(_, greatest)| greatest >= at.0))
        };
        let catalog = self.catalog;
        let Some(entry) = catalog.entries.values().find(is_there) else { return Ok(None) };
        let spans = &entry.head.spans;
        let Some(index) = spans.iter().position(|span| span.name() == *name) else { return Ok(None) };
        let found = self.segment(entry)?.and_then(|segment| first_at(segment, index, at));
        // Where the segment cannot be read, its whole span belongs to the range, so that the range tells of it.
        Ok(Some(found.map_or(Found { from: spans[index].from, to: spans[index].next }, |offset| Found {
            from: offset,
            to: offset,
        })))
    }

    fn segment(&mut self, entry: &Entry) -> io::Result<Option<&Segment>> {
        let number = entry.head.segment;
        if self.last.as_ref().is_none_or(|(last, _)| *last != number) {
            let segment = match Catalog::fetch(self.vault, entry)? {
                Fetched::Whole(segment) => Some(segment),
                Fetched::Lost(_) => None,
            };
            self.last = Some((number, segment));
        }
        Ok(self.last.as_ref().and_then(|(_, segment)| segment.as_ref()))
    }
}

/// The offset of a time, as the beginning and as the end of a range.
struct Found {
    from: u64,
    to: u64,
}

fn first_at(segment: &Segment, index: usize, at: Wall) -> Option<u64> {
    let mut frames = segment.frames();
    while let Ok(Some(frame)) = frames.next() {
        if let Frame::Record(record) = frame
            && record.span == index
            && record.timestamp_ms.is_some_and(|millis| millis >= at.0)
        {
            return Some(record.offset);
        }
    }
    None
}

/// Legs by partition, as a segment's spans find them.
pub(super) fn by_name(legs: &[Leg]) -> BTreeMap<PartitionName, usize> {
    legs.iter().enumerate().map(|(index, leg)| (leg.name.clone(), index)).collect()
}
