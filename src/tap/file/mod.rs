//! JSON Lines exactly as `kcat -C -J` prints them: one object a line with `topic`, `partition`, `offset`, `ts`, `headers` (a
//! flat list), `key` and `payload` (strings or null). Plain, gzip or zstd, told apart by their first bytes; `-` is standard input.
//!
//! A line that is no such object, or whose offset does not rise, never vanishes: [`TapEvent::Failed`] names it, and its bytes
//! are delivered as a record of partition -1 of a topic named like the file, with the line's number as its offset, for the
//! decoder to reject.
#![expect(clippy::disallowed_methods, reason = "it owns the thread that reads the file")]

mod again;
mod input;
mod write;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;

use input::{Input, each_line, unpacked};
pub use write::line;

use super::outlet::{Outlet, Signal};
use super::position::{Place, Places};
use super::{Behind, Control, DEPTH, Partitions, TapError, TapEvent};
use crate::model::position::PartitionName;
use crate::model::{Batch, PartitionId, Position, Wall};

/// Broken lines named one by one; the others are counted.
const NAMED: u64 = 20;

/// kcat's word for a timestamp that the broker gave.
const APPENDED: &str = "logappend";

/// A file tap as it is configured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOptions {
    /// Path, or `-` for standard input.
    pub path: String,
    /// Where to begin. `stored` means nothing here; `-N` and `end` read the file twice.
    pub from: Places,
    /// Where the range ends, before the record here.
    pub to: Places,
    /// Whether what lies behind it is delivered too.
    pub behind: Behind,
}

/// Starts reading.
///
/// # Errors
/// When the file cannot be opened or the positions mean nothing in a file.
pub fn start(options: FileOptions, partitions: Partitions) -> Result<(Receiver<TapEvent>, Arc<dyn Control>), TapError> {
    options.check()?;
    let input = options.open()?;
    let (sender, events) = sync_channel(DEPTH);
    let ends = Arc::new(Mutex::new(None));
    let signal = Signal::default();
    let (options_here, partitions_here) = (options.clone(), partitions.clone());
    let control =
        FileControl { options: options_here, partitions: partitions_here, ends: ends.clone(), signal: signal.clone() };
    let path = options.path.clone();
    let reading = std::thread::Builder::new().name("tap-file".into()).spawn(move || {
        let mut run = Run::new(options, partitions, Outlet::new(sender), signal);
        match run.all(input) {
            Ok(Extent::Whole) => {
                *ends.lock().unwrap_or_else(PoisonError::into_inner) = Some(run.ends());
                run.outlet.event(TapEvent::Ended);
            }
            Ok(Extent::InPart) => {}
            Err(error) => run.outlet.event(TapEvent::Failed(error)),
        }
        run.outlet.hand_out(&run.signal);
    });
    match reading {
        Ok(_) => Ok((events, Arc::new(control))),
        Err(error) => Err(trouble("no thread can be started", &path, "raise the limit of processes", Some(error))),
    }
}

impl FileOptions {
    fn check(&self) -> Result<(), TapError> {
        let any = |test: fn(Place) -> bool| self.from.any(test) || self.to.any(test);
        if any(|place| matches!(place, Place::Stored)) {
            let hint = "use `beginning`, an offset or a time";
            return Err(trouble("a file keeps no committed offsets", &self.path, hint, None));
        }
        if self.path == "-" && self.needs_ends() {
            let hint = "it can be read only once, so `end` and `-N` are not known; save it to a file first";
            return Err(trouble("standard input has no known end", &self.path, hint, None));
        }
        Ok(())
    }

    /// Whether the last offsets must be known before the first record is delivered.
    fn needs_ends(&self) -> bool {
        let back = |place| matches!(place, Place::BeforeEnd(_));
        self.from.any(back) || self.to.any(back) || self.from.any(|place| place == Place::End)
    }

    fn open(&self) -> Result<Input, TapError> {
        let raw: Box<dyn Read + Send> = if self.path == "-" {
            Box::new(io::stdin())
        } else {
            let file = std::fs::File::open(&self.path);
            let file = file.map_err(|error| {
                trouble("the file cannot be opened", &self.path, "check its path and permissions", Some(error))
            });
            Box::new(file?)
        };
        unpacked(raw)
            .map_err(|error| trouble("the file cannot be read", &self.path, "check that it is a file", Some(error)))
    }
}

/// One line. Fields that kcat adds with other options are passed over.
#[derive(Debug, Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: u64,
    #[serde(default)]
    ts: Option<i64>,
    #[serde(default, borrow)]
    tstype: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    headers: Vec<Option<Cow<'a, str>>>,
    #[serde(default, borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    payload: Option<Cow<'a, str>>,
}

/// How far one partition was read.
#[derive(Debug)]
struct Row {
    name: PartitionName,
    id: PartitionId,
    /// Behind the last offset met, delivered or not.
    end: u64,
    /// Next offset to be delivered, once anything was.
    next: Option<u64>,
    /// The end of the range was reached: the rest is only counted, or it is behind the range.
    done: bool,
}

/// How much of the file was read.
enum Extent {
    Whole,
    /// The tap was stopped, or nobody listens any more.
    InPart,
}

struct Run {
    options: FileOptions,
    partitions: Partitions,
    outlet: Outlet,
    signal: Signal,
    rows: Vec<Row>,
    /// The row found last: partitions come in runs.
    last: usize,
    /// Last offsets found by a first reading, where they are needed.
    known: BTreeMap<PartitionName, u64>,
    broken: u64,
}

impl Run {
    fn new(options: FileOptions, partitions: Partitions, outlet: Outlet, signal: Signal) -> Run {
        Run { options, partitions, outlet, signal, rows: Vec::new(), last: 0, known: BTreeMap::new(), broken: 0 }
    }

    fn all(&mut self, input: Input) -> Result<Extent, TapError> {
        if self.options.needs_ends() {
            let first = self.options.open()?;
            self.known = self.find_ends(first)?;
        }
        let path = self.options.path.clone();
        let mut stopped = false;
        each_line(&path, input, |number, line, dry| {
            self.line(number, line);
            // The next line may be a long time coming.
            if dry || self.outlet.waits() {
                stopped = !self.outlet.hand_out(&self.signal);
            }
            !stopped
        })?;
        if stopped {
            return Ok(Extent::InPart);
        }
        if self.broken > NAMED {
            let what = format!("{} more lines are no records of `kcat -J`", self.broken - NAMED);
            self.failed(&what, "each is delivered to be rejected");
        }
        for row in &self.rows {
            if let Some(next) = row.next {
                self.outlet.event(TapEvent::Reached { partition: row.id, next });
            }
        }
        Ok(Extent::Whole)
    }

    fn find_ends(&self, input: Input) -> Result<BTreeMap<PartitionName, u64>, TapError> {
        let mut ends = BTreeMap::new();
        each_line(&self.options.path, input, |_, line, _| {
            if let Ok(line) = serde_json::from_slice::<Line<'_>>(line) {
                let end = ends.entry((line.topic.into_owned(), line.partition)).or_insert(0);
                *end = line.offset.saturating_add(1).max(*end);
            }
            !self.signal.stopped()
        })?;
        let named =
            |((topic, partition), end): ((String, i32), u64)| (PartitionName { topic: topic.into(), partition }, end);
        Ok(ends.into_iter().map(named).collect())
    }

    fn ends(&self) -> Ends {
        self.rows.iter().map(|row| (row.id, row.end)).collect()
    }

    fn line(&mut self, number: u64, bytes: &[u8]) {
        if bytes.trim_ascii().is_empty() {
            return;
        }
        let reason = match serde_json::from_slice::<Line<'_>>(bytes) {
            Ok(line) => match self.record(&line) {
                Ok(()) => return,
                Err(reason) => reason,
            },
            // Columns are of no use in a line of this length, and its text may hold row values.
            Err(error) => format!("is no record of `kcat -J` ({} error)", category(&error)),
        };
        self.reject(number, bytes, &reason);
    }

    fn record(&mut self, line: &Line<'_>) -> Result<(), String> {
        let index = self.row(&line.topic, line.partition).ok_or("belongs to a partition past the 65,536th")?;
        let timestamp = line.ts.filter(|millis| *millis >= 0);
        let row = &self.rows[index];
        if line.offset < row.end {
            return Err(format!(
                "has offset {} of `{}`, which is not above the one before, {}",
                line.offset,
                row.name,
                row.end - 1
            ));
        }
        let begins = row.next.is_some() || self.past(self.options.from.of(&row.name), row, line.offset, timestamp)?;
        let to = self.options.to.of(&row.name);
        let ends = row.done || (to != Place::End && self.past(to, row, line.offset, timestamp)?);
        let goes_on = self.options.behind == Behind::Read;
        let row = &mut self.rows[index];
        let id = row.id;
        row.end = line.offset.saturating_add(1);
        if ends && !std::mem::replace(&mut row.done, ends) && goes_on {
            self.outlet.event(TapEvent::RangeEnds { partition: id, at: line.offset });
        }
        if !begins || (ends && !goes_on) {
            return Ok(());
        }
        let row = &mut self.rows[index];
        if row.next.replace(row.end).is_none() {
            self.outlet.event(TapEvent::Assigned { partition: id, next: line.offset });
        }
        line.append((id, line.offset), self.outlet.open());
        self.outlet.appended();
        Ok(())
    }

    /// Whether a record stands at or behind `place`.
    fn past(&self, place: Place, row: &Row, offset: u64, timestamp: Option<i64>) -> Result<bool, String> {
        let end = || self.known.get(&row.name).copied().unwrap_or(0);
        Ok(match place {
            Place::Beginning => true,
            Place::End => offset >= end(),
            Place::Offset(first) => offset >= first,
            Place::BeforeEnd(count) => offset >= end().saturating_sub(count),
            Place::Time(Wall(millis)) => {
                timestamp.ok_or("has no `ts`, so it cannot be told on which side of the time it lies")? >= millis
            }
            // `FileOptions::check` refuses it.
            Place::Stored => true,
        })
    }

    fn row(&mut self, topic: &str, partition: i32) -> Option<usize> {
        let is = |row: &Row| row.name.partition == partition && *row.name.topic == *topic;
        if self.rows.get(self.last).is_some_and(is) {
            return Some(self.last);
        }
        let found = self.rows.iter().position(is);
        self.last = match found {
            Some(index) => index,
            None => {
                let name = PartitionName { topic: topic.into(), partition };
                let id = self.partitions.id(&name)?;
                self.rows.push(Row { name, id, end: 0, next: None, done: false });
                self.rows.len() - 1
            }
        };
        Some(self.last)
    }

    fn reject(&mut self, number: u64, bytes: &[u8], reason: &str) {
        self.broken += 1;
        if self.broken <= NAMED {
            self.failed(
                &format!("line {number} {reason}"),
                "it is delivered to be rejected; write files with `kcat -C -J`",
            );
        }
        let path = self.options.path.clone();
        let Some(index) = self.row(&path, -1) else { return };
        let row = &mut self.rows[index];
        row.end = number + 1;
        let id = row.id;
        if row.next.replace(number + 1).is_none() {
            self.outlet.event(TapEvent::Assigned { partition: id, next: number });
        }
        self.outlet.open().push((id, number, None), None, Some(bytes), []);
        self.outlet.appended();
    }

    fn failed(&mut self, what: &str, hint: &str) {
        self.outlet.event(TapEvent::Failed(TapError { fatal: false, ..trouble(what, &self.options.path, hint, None) }));
    }
}

fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "reading",
        serde_json::error::Category::Syntax => "syntax",
        serde_json::error::Category::Data => "field",
        serde_json::error::Category::Eof => "cut-off",
    }
}

fn trouble(what: &str, path: &str, hint: &str, source: Option<io::Error>) -> TapError {
    let source = source.map(|error| Box::new(error) as Box<dyn std::error::Error + Send + Sync>);
    TapError { what: what.to_owned(), on: path.to_owned(), hint: hint.to_owned(), fatal: true, source }
}

/// Where the partitions end.
type Ends = Vec<(PartitionId, u64)>;

struct FileControl {
    options: FileOptions,
    partitions: Partitions,
    ends: Arc<Mutex<Option<Ends>>>,
    signal: Signal,
}

impl Control for FileControl {
    /// A file remembers nothing.
    fn commit(&self, _: PartitionId, _: u64) -> Result<(), TapError> {
        Ok(())
    }

    /// Known once the whole file was read, and final then.
    fn ends(&self, partitions: &[PartitionId]) -> Result<Vec<(PartitionId, u64)>, TapError> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ends) = ends.as_ref() else {
            let hint = "ask again after the tap has ended";
            return Err(TapError {
                fatal: false,
                ..trouble("the end is not known before the file was read", &self.options.path, hint, None)
            });
        };
        Ok(ends.iter().filter(|(id, _)| partitions.contains(id)).copied().collect())
    }

    fn read_again(&self, wanted: &[Position], each: &mut dyn FnMut(Batch)) -> Result<(), TapError> {
        self.scan(wanted, each)
    }

    fn stop(&self) {
        self.signal.stop();
    }
}

#[cfg(test)]
mod tests;
