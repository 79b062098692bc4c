//! Archives: what was recorded of other taps, to be read again as often as is wanted.
//!
//! ```text
//! archive.json                    the root: format, first segment, where partitions begin since retention took the rest
//! index/000000000000.jsonl        pages of the index: which segment holds which offsets and times, size, checksum
//! segments/000000000042.segment   the records: [`segment`], [`frame`]
//! damaged/…                       what a recorder found without an index and could not read
//! ```
//! Everything is written aside and appears whole, the segment first, then the page that names it. Every file has a checksum; a
//! segment has two, its own and the one in the index. A segment that no page names (its recorder was killed) names itself.
//!
//! **Nothing vanishes.** The spans of a partition follow one another without a hole: each answers for its offsets up to the next
//! one, with gaps that were there at recording named in it. So a segment that is missing or damaged, and a page that is lost,
//! show as a [`TapEvent::Gap`] that says which segment, what is wrong and what to do. Where nothing says what a lost segment held,
//! the tap ends with a failure instead of [`TapEvent::Ended`].
#![expect(clippy::disallowed_methods, reason = "it owns the thread that reads the archive")]

mod again;
mod catalog;
mod frame;
mod index;
mod plan;
mod read;
mod segment;
mod vault;
mod write;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

pub use write::{ArchiveWriter, Closed, Keep};

use catalog::Catalog;
use read::Run;
use vault::{Folder, Vault};

use super::outlet::{Outlet, Signal};
use super::position::{Place, Places};
use super::{Behind, Control, DEPTH, Partitions, TapError, TapEvent};
use crate::model::{Batch, PartitionId, Position};

/// An archive as a tap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// A folder.
    pub location: String,
    /// Where to begin. `stored` means nothing here.
    pub from: Places,
    /// Where the range ends, before the record here.
    pub to: Places,
    /// Whether what lies behind it is delivered too.
    pub behind: Behind,
}

/// What is wrong with a file of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Damage(String);

impl Damage {
    fn new(what: impl Into<String>) -> Damage {
        Damage(what.into())
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Starts reading.
///
/// # Errors
/// When the positions mean nothing in an archive, or the location is none. What is wrong inside is told by events.
pub fn start(
    options: ArchiveOptions,
    partitions: Partitions,
) -> Result<(Receiver<TapEvent>, Arc<dyn Control>), TapError> {
    let stored = |place| matches!(place, Place::Stored);
    if options.from.any(stored) || options.to.any(stored) {
        let hint = "use `beginning`, an offset or a time";
        return Err(trouble("an archive keeps no committed offsets", &options.location, hint, None));
    }
    let vault = open_vault(&options.location)?;
    let (sender, events) = sync_channel(DEPTH);
    let opened = Arc::new(Mutex::new(None));
    let signal = Signal::default();
    let control = ArchiveControl {
        location: options.location.clone(),
        vault: Arc::clone(&vault),
        partitions: partitions.clone(),
        opened: Arc::clone(&opened),
        signal: signal.clone(),
    };
    let location = options.location.clone();
    let reading = std::thread::Builder::new().name("tap-archive".into()).spawn(move || {
        Run { options, vault, partitions, opened, outlet: Outlet::new(sender), signal }.all();
    });
    match reading {
        Ok(_) => Ok((events, Arc::new(control))),
        Err(error) => Err(trouble("no thread can be started", &location, "raise the limit of processes", Some(error))),
    }
}

/// The place that a location names.
fn open_vault(location: &str) -> Result<Arc<dyn Vault>, TapError> {
    match location.split_once("://") {
        None => Ok(Arc::new(Folder(PathBuf::from(location)))),
        Some((scheme, _)) => {
            let what = format!("`{scheme}:` is no place for an archive");
            Err(trouble(&what, location, "use a folder", None))
        }
    }
}

fn trouble(what: &str, place: &str, hint: &str, source: Option<io::Error>) -> TapError {
    let source = source.map(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>);
    TapError { what: what.to_owned(), on: place.to_owned(), hint: hint.to_owned(), fatal: true, source }
}

/// The place itself failed.
fn unreachable(place: &str, error: io::Error) -> TapError {
    let hint = "check that it can be reached and written, then go on with the same command";
    trouble("the archive cannot be read or written now", place, hint, Some(error))
}

/// Something without which nothing can be read is damaged.
fn broken(place: &str, name: &str, damage: &Damage) -> TapError {
    let hint = "put it back from a copy of the archive; without it nothing says what the archive holds";
    trouble(&format!("`{name}` of the archive cannot be used: {damage}"), place, hint, None)
}

/// What is known once the archive was opened.
struct Opened {
    catalog: Catalog,
    ends: Vec<(PartitionId, u64)>,
}

struct ArchiveControl {
    location: String,
    vault: Arc<dyn Vault>,
    partitions: Partitions,
    opened: Arc<Mutex<Option<Arc<Opened>>>>,
    signal: Signal,
}

impl ArchiveControl {
    fn opened(&self) -> Result<Arc<Opened>, TapError> {
        let opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.clone().ok_or_else(|| {
            let what = "the end is not known before the index was read";
            TapError { fatal: false, ..trouble(what, &self.location, "ask again", None) }
        })
    }
}

impl Control for ArchiveControl {
    /// An archive remembers nothing.
    fn commit(&self, _: PartitionId, _: u64) -> Result<(), TapError> {
        Ok(())
    }

    /// Where the archive ended when it was opened.
    fn ends(&self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, TapError> {
        let opened = self.opened()?;
        Ok(opened.ends.iter().filter(|(id, _)| partitions.contains(id)).copied().collect())
    }

    fn read_again(&self, wanted: &[Position], each: &mut dyn FnMut(Batch)) -> Result<(), TapError> {
        self.find(wanted, each)
    }

    fn stop(&self) {
        self.signal.stop();
    }
}

#[cfg(test)]
mod tests;
