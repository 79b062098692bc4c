//! What an archive holds, put together from its index, and where the index fails, from the segments themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use crate::model::position::PartitionName;

use super::index::{
    self, Entry, PAGES, ROOT, Root, SEGMENTS, page_name, page_number, page_range, segment_name, segment_number,
};
use super::segment::{Segment, Span};
use super::vault::Vault;
use super::{Damage, broken, unreachable};
use crate::tap::TapError;

/// Every segment of an archive, and what is known to be wrong with it.
#[derive(Debug, Clone)]
pub(super) struct Catalog {
    pub(super) root: Root,
    pub(super) entries: BTreeMap<u64, Entry>,
    /// Segments of which nothing says what they held, each with what is wrong.
    pub(super) unknown: BTreeMap<u64, String>,
    /// Damage that cost nothing, in words.
    pub(super) mended: Vec<String>,
}

/// What came of a segment's file.
pub(super) enum Fetched {
    Whole(Segment),
    Lost(Damage),
}

impl Catalog {
    /// An archive without a segment.
    pub(super) fn empty() -> Catalog {
        Catalog { root: Root::new(), entries: BTreeMap::new(), unknown: BTreeMap::new(), mended: Vec::new() }
    }

    /// Reads it; `None` where there is no archive.
    ///
    /// # Errors
    /// A place that cannot be read, and a root that is damaged.
    pub(super) fn read(vault: &dyn Vault, place: &str) -> Result<Option<Catalog>, TapError> {
        let root = match vault.read(ROOT) {
            Ok(bytes) => Root::read(&bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let listed = vault.list(SEGMENTS).map_err(|error| unreachable(place, error))?;
                if listed.is_empty() {
                    return Ok(None);
                }
                Err(Damage::new("it is missing, though there are segments"))
            }
            Err(error) => return Err(unreachable(place, error)),
        };
        let root = root.map_err(|damage| broken(place, ROOT, &damage))?;
        let mut catalog = Catalog { root, ..Catalog::empty() };
        // The index first: a segment that is written meanwhile is then read by itself, and none is missed.
        catalog.pages(vault).map_err(|error| unreachable(place, error))?;
        catalog.unnamed(vault).map_err(|error| unreachable(place, error))?;
        Ok(Some(catalog))
    }

    fn pages(&mut self, vault: &dyn Vault) -> io::Result<()> {
        for name in vault.list(PAGES)? {
            let Some(first) = page_number(&name) else { continue };
            let path = page_name(first);
            match index::read_page(&vault.read(&path)?) {
                Ok(entries) => {
                    let live = entries.into_iter().filter(|entry| entry.head.segment >= self.root.first);
                    let named = live.filter(|entry| page_range(first).contains(&entry.head.segment));
                    self.entries.extend(named.map(|entry| (entry.head.segment, entry)));
                }
                Err(damage) => self.mended.push(format!(
                    "the index page `{path}` is damaged ({damage}): its segments were read by themselves; the next \
                     `record` into this archive writes it anew"
                )),
            }
        }
        Ok(())
    }

    /// Segments that no page names: the last one, if its recorder was killed before it named it, and those of damaged pages.
    fn unnamed(&mut self, vault: &dyn Vault) -> io::Result<()> {
        let listed = vault.list(SEGMENTS)?;
        let listed: BTreeSet<u64> = listed.iter().filter_map(|name| segment_number(name)).collect();
        let live = listed.iter().filter(|number| **number >= self.root.first);
        for number in live.copied().filter(|number| !self.entries.contains_key(number)).collect::<Vec<_>>() {
            let bytes = match vault.read(&segment_name(number)) {
                Ok(bytes) => bytes,
                // Retention was quicker.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            match Segment::read(&bytes) {
                Ok(segment) if segment.head.segment == number => {
                    self.entries.insert(number, Entry::of(segment.head, &bytes));
                }
                Ok(_) => drop(self.unknown.insert(number, "it says that it is another one".to_owned())),
                Err(damage) => drop(self.unknown.insert(number, damage.to_string())),
            }
        }
        let last = self.entries.keys().next_back().copied().unwrap_or(self.root.first);
        for number in self.root.first..last {
            if !self.entries.contains_key(&number) && !self.unknown.contains_key(&number) {
                self.unknown.insert(number, "it is missing, and no index names it".to_owned());
            }
        }
        Ok(())
    }

    /// The number that the next segment gets.
    pub(super) fn following(&self) -> u64 {
        self.entries.keys().next_back().map_or(self.root.first, |last| last + 1)
    }

    /// Where each partition begins: at its first segment, or where retention says.
    pub(super) fn lows(&self) -> BTreeMap<PartitionName, u64> {
        let mut lows = self.floors();
        for span in self.spans() {
            lows.entry(span.name()).or_insert(span.from);
        }
        lows
    }

    /// Where each partition goes on: behind its last segment.
    pub(super) fn nexts(&self) -> BTreeMap<PartitionName, u64> {
        let mut nexts = self.floors();
        for span in self.spans() {
            let next = nexts.entry(span.name()).or_insert(span.next);
            *next = span.next.max(*next);
        }
        nexts
    }

    fn floors(&self) -> BTreeMap<PartitionName, u64> {
        let name = |topic: &str, partition| PartitionName { topic: topic.into(), partition };
        self.root.floors.iter().map(|floor| (name(&floor.topic, floor.partition), floor.next)).collect()
    }

    fn spans(&self) -> impl Iterator<Item = &Span> {
        self.entries.values().flat_map(|entry| &entry.head.spans)
    }

    /// Reads a segment that the index names, and holds it against the index.
    ///
    /// # Errors
    /// The place cannot be read now. A segment that is not there is damage.
    pub(super) fn fetch(vault: &dyn Vault, entry: &Entry) -> io::Result<Fetched> {
        let bytes = match vault.read(&segment_name(entry.head.segment)) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Fetched::Lost(Damage::new("it is missing")));
            }
            Err(error) => return Err(error),
        };
        Ok(match Segment::read(&bytes) {
            Ok(segment) if segment.head == entry.head && index_agrees(entry, &bytes) => Fetched::Whole(segment),
            Ok(_) => Fetched::Lost(Damage::new("it is not the one that the index names")),
            Err(damage) => Fetched::Lost(damage),
        })
    }
}

fn index_agrees(entry: &Entry, bytes: &[u8]) -> bool {
    entry.bytes == bytes.len() as u64 && entry.sum == super::segment::sum(bytes)
}
