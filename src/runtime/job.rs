//! An audit that was ended before all was judged: the same command goes on.
//!
//! What an audit spends its time on is the target. So what is kept is which keys have their verdict, and up to which change; the
//! range is read again, and only the changes behind these are judged. Keys with findings are judged again, and give the same
//! findings. What is kept counts only for the same command over the same input: the first record of each partition, and where
//! the tap is a file its length and time, must be what they were.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hashbrown::HashMap;
use secrecy::ExposeSecret;
use xxhash_rust::xxh3::xxh3_128;

use crate::config::{FilePath, Tap};
use crate::engine::event::{Carried, Tracked};
use crate::model::finding::{Kind, State};
use crate::model::position::PartitionName;
use crate::model::{Batch, PartitionId, Position, Wall};
use crate::report::document::Document;
use crate::report::group::Route;
use crate::report::summary::GoesOn;
use crate::store::{AuditJob, Store, StoreError};
use crate::tap::Partitions;

use super::clock::Clock;
use super::entry::{AuditArgs, Unfinished};
use super::findings;

/// Between two times that something is kept. A shorter audit keeps nothing: it is done again as fast.
const KEEP_EVERY: Duration = Duration::from_secs(2);

/// Hex digits of an audit's id that findings are marked with: enough to tell the audits of one store apart.
const SHOWN: usize = 12;

/// What was verified since it was last kept, and the first record of each partition. As large as the range has keys.
#[derive(Debug, Clone, Default)]
pub(super) struct Noted(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    keys: BTreeMap<u128, Option<Position>>,
    heads: BTreeMap<PartitionId, Head>,
    heads_kept: usize,
}

/// The first record of a partition that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Head {
    offset: u64,
    digest: u128,
}

/// What an earlier process judged.
#[derive(Debug, Default)]
pub(super) struct Judged {
    names: Vec<PartitionName>,
    keys: HashMap<u128, JudgedTo>,
    heads: Vec<(u32, Head)>,
    ids: BTreeMap<PartitionId, u32>,
    seen: u64,
    replaced: u64,
}

/// Up to which change a key is judged.
#[derive(Debug, Clone, Copy)]
struct JudgedTo {
    partition: u32,
    offset: u64,
    met: Met,
}

/// Whether a change of the key was met in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Met {
    Not,
    Once,
}

/// What the same command does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    BeginsAnew,
    GoesOn,
}

/// The record of an audit in the store.
pub(super) struct Job {
    job: AuditJob,
    url: String,
    store: Option<Store>,
    keeps: Keeps,
    goes_on: Option<GoesOn>,
    next: Duration,
}

/// Whether something can be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeps {
    Yes,
    /// The tap cannot be read twice, or the store does not take it.
    No,
}

impl Noted {
    pub(super) fn note(&self, key: u128, at: Option<Position>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.insert(key, at);
    }

    /// The newest change up to which the row of each key was read as it must be; `None` where it was not.
    pub(super) fn verified(&self) -> BTreeMap<u128, Option<Position>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).keys.clone()
    }

    /// Takes the first record of each partition, and holds it against what `judged` knows of it.
    pub(super) fn met(&self, batch: &Batch, judged: &mut Judged) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for record in batch.records() {
            notes.heads.entry(record.partition).or_insert_with(|| {
                let mut bytes = record.timestamp_ms.unwrap_or(-1).to_le_bytes().to_vec();
                for part in [record.key, record.value] {
                    bytes.extend(part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
                    bytes.extend(part.unwrap_or_default());
                }
                let head = Head { offset: record.offset, digest: xxh3_128(&bytes) };
                judged.check(record.partition, head);
                head
            });
        }
    }

    /// What is new, as it is kept: lines of names, heads, and keys.
    fn take(&self, partitions: &Partitions) -> Option<Vec<u8>> {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.keys.is_empty() {
            return None;
        }
        let keys = std::mem::take(&mut notes.keys);
        let heads = if notes.heads_kept < notes.heads.len() { notes.heads.clone() } else { BTreeMap::new() };
        notes.heads_kept = notes.heads.len();
        drop(notes);
        let mut used: Vec<PartitionId> =
            keys.values().flatten().map(|at| at.partition).chain(heads.keys().copied()).collect();
        used.sort_unstable();
        used.dedup();
        let mut bytes = Vec::with_capacity(keys.len() * 28 + 64);
        bytes.extend((used.len() as u32).to_le_bytes());
        for id in &used {
            let name = partitions.name(*id);
            bytes.extend((name.topic.len() as u32).to_le_bytes());
            bytes.extend(name.topic.as_bytes());
            bytes.extend(name.partition.to_le_bytes());
        }
        let index = |id: PartitionId| used.binary_search(&id).map_or(u32::MAX, |at| at as u32);
        bytes.extend((heads.len() as u32).to_le_bytes());
        for (id, head) in heads {
            bytes.extend(index(id).to_le_bytes());
            bytes.extend(head.offset.to_le_bytes());
            bytes.extend(head.digest.to_le_bytes());
        }
        for (key, at) in keys {
            bytes.extend(key.to_le_bytes());
            bytes.extend(at.map_or(u32::MAX, |at| index(at.partition)).to_le_bytes());
            bytes.extend(at.map_or(0, |at| at.offset).to_le_bytes());
        }
        Some(bytes)
    }
}

/// Takes so many bytes off the front.
fn cut<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*first)
}

impl Judged {
    /// Reads what [`Noted`] wrote, the oldest first; `None` if it is none of that.
    fn read(chunks: &[Vec<u8>]) -> Option<Judged> {
        let mut judged = Judged::default();
        for chunk in chunks {
            judged.add(chunk)?;
        }
        Some(judged)
    }

    fn add(&mut self, mut bytes: &[u8]) -> Option<()> {
        let bytes = &mut bytes;
        let mut places = Vec::new();
        for _ in 0..u32::from_le_bytes(cut(bytes)?) {
            let length = u32::from_le_bytes(cut(bytes)?) as usize;
            let (topic, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            let partition = i32::from_le_bytes(cut(bytes)?);
            let name = PartitionName { topic: std::str::from_utf8(topic).ok()?.into(), partition };
            let known = self.names.iter().position(|known| *known == name).unwrap_or(self.names.len());
            if known == self.names.len() {
                self.names.push(name);
            }
            places.push(known as u32);
        }
        for _ in 0..u32::from_le_bytes(cut(bytes)?) {
            let place = *places.get(u32::from_le_bytes(cut(bytes)?) as usize)?;
            let head = Head { offset: u64::from_le_bytes(cut(bytes)?), digest: u128::from_le_bytes(cut(bytes)?) };
            self.heads.push((place, head));
        }
        while !bytes.is_empty() {
            let key = u128::from_le_bytes(cut(bytes)?);
            let (place, offset) = (u32::from_le_bytes(cut(bytes)?), u64::from_le_bytes(cut(bytes)?));
            match places.get(place as usize) {
                Some(partition) => self.keys.insert(key, JudgedTo { partition: *partition, offset, met: Met::Not }),
                None => self.keys.remove(&key),
            };
        }
        Some(())
    }

    /// Learns the ids that partitions have in this process.
    pub(super) fn find(&mut self, partitions: &Partitions) {
        let ids = self.names.iter().zip(0u32..).filter_map(|(name, at)| Some((partitions.id(name)?, at)));
        self.ids = ids.collect();
    }

    /// A partition that does not begin as it did is judged anew.
    fn check(&mut self, partition: PartitionId, head: Head) {
        let Some(place) = self.ids.get(&partition).copied() else { return };
        if !self.heads.contains(&(place, head)) {
            self.ids.remove(&partition);
            let name = &self.names[place as usize];
            tracing::warn!(partition = %name, "starts over: the tap does not begin as it did when this audit was last run");
        }
    }

    /// Whether a change has its verdict already.
    pub(super) fn passes(&mut self, change: &Tracked) -> bool {
        let Some(place) = self.ids.get(&change.at.partition) else { return false };
        let Some(judged_to) = self.keys.get_mut(&change.key.hash128()) else { return false };
        if judged_to.partition != *place || judged_to.offset < change.at.offset {
            return false;
        }
        match (change.carried, std::mem::replace(&mut judged_to.met, Met::Once)) {
            (Carried::Leaves | Carried::Outside, _) => {}
            (Carried::Always | Carried::Within | Carried::Untold, Met::Not) => self.seen += 1,
            (Carried::Always | Carried::Within | Carried::Untold, Met::Once) => self.replaced += 1,
        }
        true
    }

    pub(super) fn passed(&self) -> (u64, u64) {
        (self.seen, self.replaced)
    }
}

impl Job {
    /// The job of a command, and what an earlier process judged of it.
    pub(super) async fn find(args: &AuditArgs, clock: Clock) -> (Job, Judged) {
        let url = args.config.store.url.expose_secret().to_owned();
        let input = input(args);
        let job =
            AuditJob { id: identity(args), input: input.clone().unwrap_or_default(), started: clock.wall(clock.now()) };
        let keeps = if input.is_some() { Keeps::Yes } else { Keeps::No };
        let mut found = Job { job, url, store: None, keeps, goes_on: None, next: KEEP_EVERY };
        let judged = match keeps {
            Keeps::Yes => found.go_on(args).await,
            Keeps::No => None,
        };
        (found, judged.unwrap_or_default())
    }

    /// One of which nothing is kept: the command is done again as a whole.
    pub(super) fn kept_nowhere(clock: Clock) -> Job {
        let job = AuditJob { id: String::new(), input: String::new(), started: clock.wall(clock.now()) };
        Job { job, url: String::new(), store: None, keeps: Keeps::No, goes_on: None, next: KEEP_EVERY }
    }

    async fn go_on(&mut self, args: &AuditArgs) -> Option<Judged> {
        // Looking for what is not there makes no store.
        let store = findings::open(&args.config.store).await.ok()?;
        self.store = Some(store.clone());
        let (known, chunks) = store.audit(&self.job.id).await.ok()??;
        let changed = changed(&known.input, &self.job.input);
        let judged = Judged::read(&chunks);
        match (args.unfinished, changed, judged) {
            (Unfinished::GoOn, None, Some(judged)) => {
                let (from, keys) = (known.started, judged.keys.len() as u64);
                tracing::warn!(
                    "goes on from the run of {}, which judged {keys} keys; --fresh begins anew",
                    from.rfc3339()
                );
                self.goes_on = Some(GoesOn { from, keys });
                self.job = known;
                Some(judged)
            }
            (unfinished, changed, _) => {
                if unfinished == Unfinished::GoOn {
                    let why = changed.unwrap_or_else(|| "what was kept cannot be read".to_owned());
                    tracing::warn!("starts over: {why} since the run of {}", known.started.rfc3339());
                }
                self.stated(store.forget_audit(&self.job.id).await);
                None
            }
        }
    }

    /// What times without a date count from.
    pub(super) fn started(&self) -> Wall {
        self.job.started
    }

    pub(super) fn goes_on(&self) -> Option<GoesOn> {
        self.goes_on.clone()
    }

    /// Keeps what is new, where it is time to.
    pub(super) async fn keep(&mut self, noted: &Noted, partitions: &Partitions, now: Duration) {
        if self.keeps == Keeps::No || now < self.next {
            return;
        }
        self.next = now + KEEP_EVERY;
        let Some(keys) = noted.take(partitions) else { return };
        let store = match self.store().await {
            Ok(store) => store,
            Err(error) => return self.stated(Err(error)),
        };
        let kept = store.keep_audit(&self.job, &keys).await;
        if kept.is_ok() {
            tracing::info!(bytes = keys.len(), "kept how far the audit is");
        }
        self.stated(kept);
    }

    async fn store(&mut self) -> Result<Store, StoreError> {
        Ok(match &self.store {
            Some(store) => store.clone(),
            None => self.store.insert(Store::open(&self.url).await?).clone(),
        })
    }

    /// Keeps findings, so that they have a life after the audit. Where nothing was found, no store is made. Those that healed
    /// meanwhile are of interest only where somebody knew them.
    pub(super) async fn keep_findings(&mut self, found: &[Document], healed: &[Document], routes: &[Route]) {
        if found.is_empty() && self.store.is_none() {
            return;
        }
        if let Err(error) = self.record(found, healed, routes).await {
            tracing::warn!("the findings are in no store, `findings list` will not show them: {error}");
        }
    }

    async fn record(&mut self, found: &[Document], healed: &[Document], routes: &[Route]) -> Result<(), StoreError> {
        let store = self.store().await?;
        let mark = format!("audit {}, begun {}", &self.job.id[..SHOWN], self.job.started.rfc3339());
        let stays = found.iter().filter(|finding| outlives(finding));
        let mut kept: Vec<Document> =
            stays.map(|finding| Document { audit: Some(mark.clone()), ..finding.clone() }).collect();
        for finding in healed {
            if store.get(&finding.id).await?.is_some() {
                kept.push(finding.clone());
            }
        }
        store.record_for(&kept, routes).await.map(drop)
    }

    /// Ends the record, unless the same command is to go on with it.
    pub(super) async fn end(self, next: Next) {
        let Some(store) = &self.store else { return };
        if next == Next::BeginsAnew
            && let Err(error) = store.forget_audit(&self.job.id).await
        {
            tracing::warn!("the audit was judged to its end, but the same command would go on with it: {error}");
        }
        store.close().await;
    }

    fn stated(&mut self, kept: Result<(), StoreError>) {
        if let Err(error) = kept {
            self.keeps = Keeps::No;
            tracing::warn!("an audit that is ended early cannot go on later: {error}");
        }
    }
}

/// Whether a finding is one for the store: those about how the audit itself went are over with it.
fn outlives(finding: &Document) -> bool {
    match finding.kind {
        Kind::UnappliedDelete
        | Kind::MissingRow
        | Kind::LostUpdate
        | Kind::TornRow
        | Kind::DivergedRow
        | Kind::ResurrectedRow
        | Kind::RegressedRow
        | Kind::VanishedRow
        | Kind::DuplicateRow
        | Kind::Undecodable
        | Kind::CoverageGap => finding.state != State::Suspected,
        Kind::Stalled | Kind::MassDivergence | Kind::EvidenceUnsound | Kind::JudgingSuspended => false,
    }
}

fn hex(text: &str) -> String {
    format!("{:032x}", xxh3_128(text.as_bytes()))
}

/// Which command it is: what it reads and judges, not how it prints.
fn identity(args: &AuditArgs) -> String {
    let AuditArgs { pipeline, range, filter, row_filter, as_of, .. } = args;
    hex(&format!("{} {range:?} {filter:?} {row_filter:?} {as_of:?}", pipeline.name))
}

/// What it judges by, one fact a line, each with its name; `None` where the tap cannot be read twice.
fn input(args: &AuditArgs) -> Option<String> {
    let pipeline = &args.pipeline;
    let config = hex(&format!("{pipeline:?} {}", pipeline.target.url.expose_secret()));
    let tap = match &pipeline.tap {
        Tap::File(file) => match &file.path {
            FilePath::Stdin => return None,
            FilePath::Path(path) => format!("`{}`\t{}", path.display(), stamp(path)?),
        },
        Tap::Archive(_) | Tap::Kafka(_) => "the tap\tas its records say".to_owned(),
    };
    Some(format!("the configuration\t{config}\n{tap}\nafterimage\t{}", env!("CARGO_PKG_VERSION")))
}

fn stamp(path: &Path) -> Option<String> {
    let known = std::fs::metadata(path).ok()?;
    Some(format!("{} {:?}", known.len(), known.modified().ok()?))
}

/// What is not as it was.
fn changed(before: &str, now: &str) -> Option<String> {
    let other = before.lines().zip(now.lines()).find(|(before, now)| before != now);
    let (name, _) = other?.1.split_once('\t')?;
    Some(format!("{name} changed"))
}
