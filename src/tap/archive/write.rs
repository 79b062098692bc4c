//! Recording: records become segments, segments are named by the index, and what is older than wanted goes.
//!
//! A segment is put in its place whole, then named; a process that is killed between the two leaves a segment that names itself. What
//! the open segment held is recorded again by the next run, which goes on behind the last segment there is.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::model::position::PartitionName;
use crate::model::{Record, Wall};
use crate::tap::TapError;

use super::catalog::Catalog;
use super::index::{Entry, Floor, ROOT, SEGMENTS, page, page_name, page_of, page_range, segment_name, segment_number};
use super::segment::Open;
use super::vault::Vault;
use super::{open_vault, trouble, unreachable};

/// What becomes of old segments. Nothing of the two: they are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Keep {
    /// A segment goes once its newest record is older than this, in milliseconds.
    pub for_ms: Option<i64>,
    /// The oldest segments go while all of them have more bytes than this.
    pub bytes: Option<u64>,
}

/// A segment that was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed {
    /// Its number.
    pub segment: u64,
    /// Its records.
    pub records: u64,
    /// Bytes of its file.
    pub bytes: u64,
    /// Segments that retention took in its wake.
    pub expired: u64,
}

/// An archive that is being recorded. One process records into an archive at a time: a second one is refused when it closes
/// its first segment.
pub struct ArchiveWriter {
    vault: Arc<dyn Vault>,
    place: String,
    catalog: Catalog,
    keep: Keep,
    open: Option<Open>,
    /// Where each partition goes on.
    next: BTreeMap<PartitionName, u64>,
}

impl ArchiveWriter {
    /// Opens an archive, or makes one, and puts right what a killed process left.
    ///
    /// # Errors
    /// The place cannot be read or written, or holds something else.
    pub fn open(location: &str, keep: Keep) -> Result<ArchiveWriter, TapError> {
        let vault = open_vault(location)?;
        let failed = |error| unreachable(location, error);
        vault.sweep().map_err(failed)?;
        let catalog = match Catalog::read(&*vault, location)? {
            Some(catalog) => catalog,
            None => {
                let catalog = Catalog::empty();
                let root = catalog.root.written().map_err(io::Error::other).map_err(failed)?;
                vault.replace(ROOT, &root).map_err(failed)?;
                catalog
            }
        };
        let next = catalog.nexts();
        let mut writer = ArchiveWriter { vault, place: location.to_owned(), catalog, keep, open: None, next };
        writer.put_right().map_err(failed)?;
        Ok(writer)
    }

    /// Names segments that are not named, and moves the remains of a last segment aside.
    fn put_right(&mut self) -> io::Result<()> {
        for (number, wrong) in self.catalog.unknown.clone().range(self.catalog.following()..) {
            let name = segment_name(*number);
            self.vault.replace(&format!("damaged/{number:012}.segment"), &self.vault.read(&name)?)?;
            self.vault.remove(&name)?;
            self.catalog.unknown.remove(number);
            let place = &self.place;
            tracing::warn!(archive = %place, segment = %name, wrong, "a segment that no index names was moved to `damaged`");
        }
        for mended in std::mem::take(&mut self.catalog.mended) {
            tracing::warn!(archive = %self.place, "{mended}");
        }
        // A process that was killed between giving segments up and removing them.
        let listed = self.vault.list(SEGMENTS)?;
        for number in listed.iter().filter_map(|name| segment_number(name)).filter(|n| *n < self.catalog.root.first) {
            self.vault.remove(&segment_name(number))?;
        }
        let mut firsts: Vec<u64> = self.catalog.entries.keys().map(|number| page_of(*number)).collect();
        firsts.dedup();
        for first in firsts {
            let written = self.page(first)?;
            if self.vault.read(&page_name(first)).ok().as_ref() != Some(&written) {
                self.vault.replace(&page_name(first), &written)?;
            }
        }
        Ok(())
    }

    fn page(&self, first: u64) -> io::Result<Vec<u8>> {
        let entries = self.catalog.entries.range(page_range(first)).map(|(_, entry)| entry);
        page(entries).map_err(io::Error::other)
    }

    /// Where each partition that was recorded goes on.
    #[must_use]
    pub fn next(&self) -> &BTreeMap<PartitionName, u64> {
        &self.next
    }

    /// Bytes of the open segment so far, unpacked; `None` where nothing was recorded since the last one.
    #[must_use]
    pub fn unpacked(&self) -> Option<u64> {
        self.open.as_ref().filter(|open| !open.is_empty()).map(Open::unpacked)
    }

    /// Recording of a partition begins here, if it did not before. It is kept though no record may follow: what is appended and
    /// gone before the next run is then missed.
    ///
    /// # Errors
    /// Memory alone can fail here.
    pub fn begins(&mut self, name: &PartitionName, at: u64) -> Result<(), TapError> {
        if !self.next.contains_key(name) {
            opened(&mut self.open, &self.place)?.reached((name, at), at);
            self.next.insert(name.clone(), at);
        }
        Ok(())
    }

    /// Records a record; false if it was recorded before.
    ///
    /// # Errors
    /// Memory alone can fail here.
    pub fn record(&mut self, name: &PartitionName, record: &Record<'_>) -> Result<bool, TapError> {
        let next = self.next.get(name).copied().unwrap_or(record.offset);
        if record.offset < next {
            return Ok(false);
        }
        let place = &self.place;
        let open = opened(&mut self.open, place)?;
        open.record((name, next), record).map_err(|error| unreachable(place, error))?;
        self.next.insert(name.clone(), record.offset.saturating_add(1));
        Ok(true)
    }

    /// Records that offsets were gone before they could be recorded; false if all of them were recorded before.
    ///
    /// # Errors
    /// Memory alone can fail here.
    pub fn gap(&mut self, name: &PartitionName, (from, to): (u64, u64)) -> Result<bool, TapError> {
        let next = self.next.get(name).copied().unwrap_or(from);
        let from = from.max(next);
        if from >= to {
            return Ok(false);
        }
        let place = &self.place;
        let open = opened(&mut self.open, place)?;
        open.gap((name, next), (from, to)).map_err(|error| unreachable(place, error))?;
        self.next.insert(name.clone(), to);
        Ok(true)
    }

    /// Records that nothing else lies before `next`: markers, aborted records, compaction.
    ///
    /// # Errors
    /// Memory alone can fail here.
    pub fn reached(&mut self, name: &PartitionName, next: u64) -> Result<(), TapError> {
        let Some(known) = self.next.get(name).copied().filter(|known| *known < next) else { return Ok(()) };
        opened(&mut self.open, &self.place)?.reached((name, known), next);
        self.next.insert(name.clone(), next);
        Ok(())
    }

    /// Closes the open segment, if there is anything in it, and drops what is older than wanted.
    ///
    /// # Errors
    /// The place cannot be written, or another process records here too. What the segment held is lost then.
    pub fn close(&mut self, now: Wall) -> Result<Option<Closed>, TapError> {
        let Some(open) = self.open.take().filter(|open| !open.is_empty()) else { return Ok(None) };
        let number = self.catalog.following();
        let closing = open.close(number, now).map_err(|error| unreachable(&self.place, error));
        let (head, bytes) = closing?;
        self.vault.create(&segment_name(number), &bytes).map_err(|error| {
            if error.kind() != io::ErrorKind::AlreadyExists {
                return unreachable(&self.place, error);
            }
            let what = format!("`{}` is there already", segment_name(number));
            let hint = "another `record` writes to this archive: let one of them do it, or give each its own";
            trouble(&what, &self.place, hint, Some(error))
        })?;
        let records = head.spans.iter().map(|span| span.records).sum();
        self.catalog.entries.insert(number, Entry::of(head, &bytes));
        let written =
            self.page(page_of(number)).and_then(|page| self.vault.replace(&page_name(page_of(number)), &page));
        written.map_err(|error| unreachable(&self.place, error))?;
        let expired = self.expire(now).map_err(|error| unreachable(&self.place, error))?;
        Ok(Some(Closed { segment: number, records, bytes: bytes.len() as u64, expired }))
    }

    /// Drops the oldest segments, never the newest: the root says first that they are given up.
    fn expire(&mut self, now: Wall) -> io::Result<u64> {
        let mut bytes: u64 = self.catalog.entries.values().map(|entry| entry.bytes).sum();
        let mut first = self.catalog.root.first;
        let newest = self.catalog.following().saturating_sub(1);
        for (number, entry) in &self.catalog.entries {
            let over = self.keep.bytes.is_some_and(|most| bytes > most);
            let old = self.keep.for_ms.is_some_and(|span| newest_ms(entry) < now.0.saturating_sub(span));
            if *number >= newest || !(over || old) {
                break;
            }
            bytes -= entry.bytes;
            first = number + 1;
        }
        if first == self.catalog.root.first {
            return Ok(0);
        }
        let live = self.catalog.entries.split_off(&first);
        let gone = std::mem::replace(&mut self.catalog.entries, live);
        let mut floors = Catalog { entries: gone.clone(), ..self.catalog.clone() }.nexts();
        let floors = std::mem::take(&mut floors).into_iter();
        let floor = |(name, next): (PartitionName, u64)| {
            let (topic, partition) = (name.topic.to_string(), name.partition);
            Floor { topic, partition, next }
        };
        self.catalog.root.floors = floors.map(floor).collect();
        self.catalog.root.first = first;
        self.catalog.unknown.retain(|number, _| *number >= first);
        let root = self.catalog.root.written().map_err(io::Error::other)?;
        self.vault.replace(ROOT, &root)?;
        for number in gone.keys() {
            self.vault.remove(&segment_name(*number))?;
            if *number == page_range(page_of(*number)).end - 1 {
                self.vault.remove(&page_name(page_of(*number)))?;
            }
        }
        Ok(gone.len() as u64)
    }
}

fn opened<'o>(open: &'o mut Option<Open>, place: &str) -> Result<&'o mut Open, TapError> {
    if open.is_none() {
        *open = Some(Open::new().map_err(|error| unreachable(place, error))?);
    }
    open.as_mut().ok_or_else(|| unreachable(place, io::Error::other("no segment is open")))
}

/// When the newest record of a segment was made; when it was closed, if no record says.
fn newest_ms(entry: &Entry) -> i64 {
    let times = entry.head.spans.iter().filter_map(|span| span.times.map(|(_, greatest)| greatest));
    times.max().unwrap_or(entry.head.closed_ms)
}
