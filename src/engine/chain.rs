//! The versions of one key that have no verdict yet, oldest first.

use std::cell::Cell;

use crate::canon::{Mask, ObservedHashes};
use crate::model::change::KeyChange;
use crate::model::{Op, PartitionId, Position, SourceTime, Tick};

use super::event::Seen;
use super::limit::{HOLE_STRETCH, HOLE_STRETCHES, HOLE_WORDS};
use super::masks::Masks;

/// The order in which a key's versions arrived, counted from its first. Unlike offsets it compares over partitions, and
/// it tells a key from a later one that was given the same index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Arrival(pub(super) u32);

/// One change of one key: its place, what it did and the fingerprint of what it left. There is one for every change without a
/// verdict, so its 48 bytes count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    fingerprint: [u32; 3],
    /// Milliseconds in 48 bits: four thousand years to either side of 1970.
    committed_ms: [u16; 3],
    pub(super) offset: u64,
    pub(super) order: u64,
    pub(super) mask: MaskId,
    pub(super) arrival: Arrival,
    pub(super) partition: PartitionId,
    pub(super) op: Op,
    flags: u8,
}

/// A mask known to the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MaskId(pub(super) u32);

const KEY_CHANGE_OLD: u8 = 2;
const KEY_CHANGE_NEW: u8 = 4;
const LATE: u8 = 8;
const LEFT_OUT: u8 = 16;

/// What is not a position, an operation or a fingerprint.
pub(super) struct Marks {
    pub(super) committed_at: Option<SourceTime>,
    pub(super) key_change: KeyChange,
    /// It came to the tap later than the applier may have had it.
    pub(super) late: bool,
    /// The applier is not meant to carry the row any more.
    pub(super) left_out: bool,
}

impl Version {
    pub(super) fn new(at: Position, order: u64, op: Op, content: (u128, MaskId), marks: &Marks) -> Version {
        let key_change = match marks.key_change {
            KeyChange::No => 0,
            KeyChange::Old => KEY_CHANGE_OLD,
            KeyChange::New => KEY_CHANGE_NEW,
        };
        Version {
            fingerprint: words(content.0),
            committed_ms: packed_ms(marks.committed_at),
            offset: at.offset,
            order,
            mask: content.1,
            arrival: Arrival(0),
            partition: at.partition,
            op,
            flags: key_change | if marks.late { LATE } else { 0 } | if marks.left_out { LEFT_OUT } else { 0 },
        }
    }

    /// Its fingerprint, as far as it is kept: see [`kept`].
    pub(super) fn fingerprint(&self) -> u128 {
        self.fingerprint.iter().rev().fold(0, |sum, word| sum << 32 | u128::from(*word))
    }

    /// The same version, leaving other content.
    pub(super) fn holding(self, fingerprint: u128) -> Version {
        Version { fingerprint: words(fingerprint), ..self }
    }

    /// The same version, of another operation.
    pub(super) fn doing(self, op: Op) -> Version {
        Version { op, ..self }
    }

    /// The same version, told under another plan of its table.
    pub(super) fn told(self, fingerprint: u128, mask: MaskId) -> Version {
        Version { mask, ..self.holding(fingerprint) }
    }

    /// The same version, before every other of its order scope.
    pub(super) fn before_all(self) -> Version {
        Version { order: 0, ..self }
    }

    pub(super) fn at(&self) -> Position {
        Position { partition: self.partition, offset: self.offset }
    }

    pub(super) fn committed_at(&self) -> Option<SourceTime> {
        let packed = self.committed_ms.iter().rev().fold(0, |ms, word| ms << 16 | i64::from(*word));
        (packed != NO_TIME).then_some(SourceTime(packed << 16 >> 16))
    }

    pub(super) fn leaves_row(&self) -> bool {
        match self.op {
            Op::Insert | Op::Read | Op::Update => true,
            Op::Delete | Op::Truncate => false,
        }
    }

    /// Its place on the tap says nothing about when the applier had it.
    pub(super) fn is_late(&self) -> bool {
        self.flags & LATE != 0
    }

    /// The applier may have dropped it, or have taken the row away for it: it demands nothing.
    pub(super) fn is_left_out(&self) -> bool {
        self.flags & LEFT_OUT != 0
    }

    pub(super) fn in_key_change(&self) -> bool {
        self.flags & (KEY_CHANGE_OLD | KEY_CHANGE_NEW) != 0
    }
}

/// The part of a fingerprint that versions keep: the low 96 bits. Fingerprints are sums, so the low bits of a sum are the
/// sum of the low bits.
pub(super) fn kept(fingerprint: u128) -> u128 {
    fingerprint & (u128::MAX >> 32)
}

/// The words of a fingerprint that are kept, lowest first.
fn words(fingerprint: u128) -> [u32; 3] {
    [fingerprint as u32, (fingerprint >> 32) as u32, (fingerprint >> 64) as u32]
}

/// The pattern of a time that is not known: the lowest number of 48 bits.
const NO_TIME: i64 = 1 << 47;

fn packed_ms(at: Option<SourceTime>) -> [u16; 3] {
    let ms = at.map_or(NO_TIME, |at| at.0);
    let fits = (-NO_TIME + 1..NO_TIME).contains(&ms);
    let packed = if fits { ms } else { NO_TIME };
    [packed as u16, (packed >> 16) as u16, (packed >> 32) as u16]
}

/// One content, compared with many versions: its sum is taken once for each run of versions with the same mask.
pub(super) struct Probe<'a> {
    content: &'a Content,
    masks: &'a Masks,
    last: Cell<Option<(MaskId, u128)>>,
}

impl<'a> Probe<'a> {
    pub(super) fn new(content: &'a Content, masks: &'a Masks) -> Probe<'a> {
        Probe { content, masks, last: Cell::new(None) }
    }

    /// Whether the content is what this version left. A row that is not there fits a delete.
    pub(super) fn fits(&self, version: &Version) -> bool {
        match self.content {
            Content::Absent => !version.leaves_row(),
            Content::Row { .. } => version.leaves_row() && self.sums_to(version.mask, version.fingerprint()),
            Content::Several => false,
        }
    }

    /// The same over a mask that is no version's.
    pub(super) fn is_of(&self, mask: &Mask, fingerprint: u128) -> bool {
        matches!(self.content, Content::Row { hashes, .. } if kept(hashes.sum(mask)) == kept(fingerprint))
    }

    /// Whether the content is a row with this fingerprint.
    pub(super) fn sums_to(&self, mask: MaskId, fingerprint: u128) -> bool {
        let Content::Row { hashes, .. } = self.content else { return false };
        let sum = match self.last.get() {
            Some((known, sum)) if known == mask => sum,
            Some(_) | None => {
                let sum = hashes.sum(self.masks.get(mask));
                self.last.set(Some((mask, sum)));
                sum
            }
        };
        kept(sum) == kept(fingerprint)
    }
}

/// What a read saw, as far as judging needs it.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Content {
    Absent,
    Row { hashes: ObservedHashes, placeholder: bool },
    Several,
}

impl Content {
    /// `None` for a row that cannot be compared at present.
    pub(super) fn of(seen: &Seen) -> Option<Content> {
        match seen {
            Seen::Absent => Some(Content::Absent),
            Seen::Row { hashes, placeholder, .. } => {
                Some(Content::Row { hashes: hashes.clone(), placeholder: *placeholder })
            }
            Seen::Several { .. } => Some(Content::Several),
            Seen::Incomparable => None,
        }
    }

    pub(super) fn has_placeholder(&self) -> bool {
        matches!(self, Content::Row { placeholder: true, .. })
    }
}

/// What the row was before the oldest version of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Base {
    /// Not known: the tap began later.
    Unknown,
    /// There was no row.
    Absent,
    /// What the change says of it (nothing: there was no row), or a row of a log that its source has gone back on: what is seen
    /// may be that until this moment.
    Left(Tick, Option<(u128, MaskId)>),
    /// This version, judged before.
    Version(Version),
    /// Content known from a trusted before image; its position is not.
    Content(u128, MaskId),
}

impl Base {
    pub(super) fn version(self) -> Option<Version> {
        match self {
            Base::Version(version) => Some(version),
            Base::Unknown | Base::Absent | Base::Left(..) | Base::Content(..) => None,
        }
    }
}

/// A summary of versions that were coalesced: whether a content may be one of them, and the newest of them. Versions that
/// arrived together are summed up together, so that what a floor has passed is forgotten while the key goes on changing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hole {
    pub(super) newest: Arrival,
    /// The first and the last offset of each partition that they came from.
    spans: Vec<Span>,
    /// In the order of their arrivals.
    stretches: Vec<Stretch>,
    masks: Vec<MaskId>,
}

/// A partition, and the first and the last offset in it.
pub(super) type Span = (PartitionId, u64, u64);

/// Adds the place of a version to spans.
fn widen(spans: &mut Vec<Span>, version: &Version) {
    match spans.iter_mut().find(|(partition, ..)| *partition == version.partition) {
        Some((_, first, last)) => (*first, *last) = ((*first).min(version.offset), (*last).max(version.offset)),
        None => spans.push((version.partition, version.offset, version.offset)),
    }
}

/// Coalesced versions of one stretch of arrivals.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stretch {
    /// The last stretch that is in it; stretches are numbered by arrivals.
    number: u32,
    bloom: [u64; HOLE_WORDS],
    absent: bool,
}

impl Hole {
    fn new() -> Hole {
        Hole { newest: Arrival(0), spans: Vec::new(), stretches: Vec::new(), masks: Vec::new() }
    }

    /// The first and the last offset of each partition that its versions came from, those that are forgotten among them.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// Whether one of its versions may stand at a place.
    pub(super) fn may_be_at(&self, at: Position) -> bool {
        let spans =
            |(partition, first, last): &Span| *partition == at.partition && (*first..=*last).contains(&at.offset);
        self.spans.iter().any(spans)
    }

    /// The masks of the versions in it, each once.
    pub(super) fn masks(&self) -> &[MaskId] {
        &self.masks
    }

    fn bits(fingerprint: u128) -> impl Iterator<Item = (usize, u64)> {
        (0..3u32).map(move |part| {
            let bit = (fingerprint >> (part * 16)) as usize % (HOLE_WORDS * 64);
            (bit / 64, 1 << (bit % 64))
        })
    }

    fn add(&mut self, version: &Version) {
        self.newest = self.newest.max(version.arrival);
        widen(&mut self.spans, version);
        if version.leaves_row() && !self.masks.contains(&version.mask) {
            self.masks.push(version.mask);
        }
        let stretch = self.stretch(version.arrival);
        if version.leaves_row() {
            Hole::bits(version.fingerprint()).for_each(|(word, bit)| stretch.bloom[word] |= bit);
        } else {
            stretch.absent = true;
        }
    }

    /// The stretch of an arrival. Past the bound the two oldest become one.
    fn stretch(&mut self, arrival: Arrival) -> &mut Stretch {
        let number = arrival.0 / HOLE_STRETCH;
        let fresh = |number| Stretch { number, bloom: [0; HOLE_WORDS], absent: false };
        let at = self.stretches.partition_point(|stretch| stretch.number < number);
        // Merged ones reach from the oldest on.
        let is_there = self.stretches.get(at).is_some_and(|stretch| stretch.number == number || at == 0);
        if !is_there {
            self.stretches.insert(at, fresh(number));
        }
        if self.stretches.len() <= HOLE_STRETCHES {
            return &mut self.stretches[at];
        }
        let oldest = self.stretches.remove(0);
        let merged = &mut self.stretches[0];
        merged.absent |= oldest.absent;
        merged.bloom.iter_mut().zip(oldest.bloom).for_each(|(word, bits)| *word |= bits);
        &mut self.stretches[at.saturating_sub(1)]
    }

    /// Forgets the stretches that ended before `arrival`; gives back whether there were any.
    pub(super) fn pass(&mut self, arrival: Arrival) -> bool {
        let known = self.stretches.len();
        self.stretches.retain(|stretch| self.newest > arrival && stretch.number >= arrival.0 / HOLE_STRETCH);
        self.stretches.len() < known
    }

    /// Whether a content may be one of the versions that were coalesced, of those that arrived at about `since` or later.
    pub(super) fn may_hold(&self, content: &Content, masks: &Masks, since: Arrival) -> bool {
        let from = since.0 / HOLE_STRETCH;
        self.stretches.iter().filter(|stretch| stretch.number >= from).any(|stretch| stretch.may_hold(content, masks))
    }
}

impl Stretch {
    fn may_hold(&self, content: &Content, masks: &Masks) -> bool {
        let held = |sum: u128| Hole::bits(sum).all(|(word, bit)| self.bloom[word] & bit != 0);
        match content {
            Content::Absent => self.absent,
            Content::Row { hashes, .. } => masks.all().iter().any(|mask| held(hashes.sum(mask))),
            Content::Several => false,
        }
    }
}

/// The chain itself: one version inline, more on the heap.
#[derive(Debug, Clone)]
pub(super) enum Chain {
    One([Version; 1]),
    Many(Vec<Version>),
}

impl Chain {
    pub(super) fn of(version: Version) -> Chain {
        Chain::One([version])
    }

    pub(super) fn versions(&self) -> &[Version] {
        match self {
            Chain::One(one) => one,
            Chain::Many(many) => many,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.versions().len()
    }

    pub(super) fn newest(&self) -> &Version {
        let versions = self.versions();
        &versions[versions.len() - 1]
    }

    /// Where the version of this arrival stands, if it is still held.
    pub(super) fn find(&self, arrival: Arrival) -> Option<&Version> {
        let index = self.versions().binary_search_by_key(&arrival, |version| version.arrival).ok()?;
        Some(&self.versions()[index])
    }

    /// Where the newest version stands that arrived at or before `arrival`.
    pub(super) fn at_or_before(&self, arrival: Arrival) -> Option<usize> {
        self.versions().partition_point(|version| version.arrival <= arrival).checked_sub(1)
    }

    /// Where the newest version stands, of those up to an index, that the applier is meant to carry.
    pub(super) fn demanded(&self, index: usize) -> Option<usize> {
        self.versions()[..=index].iter().rposition(|version| !version.is_left_out())
    }

    /// Appends a version and gives back its arrival.
    pub(super) fn push(&mut self, mut version: Version) -> Arrival {
        version.arrival = Arrival(self.newest().arrival.0.wrapping_add(1));
        match self {
            Chain::One([first]) => *self = Chain::Many(vec![*first, version]),
            Chain::Many(many) => many.push(version),
        }
        version.arrival
    }

    /// How many truncates at the end stand after a version of another partition that only came after them.
    pub(super) fn truncates_after(&self, version: &Version) -> usize {
        let is_after = |known: &&Version| {
            known.op == Op::Truncate && known.partition != version.partition && known.order > version.order
        };
        self.versions().iter().rev().take_while(is_after).count()
    }

    /// Puts a version before the last `count`, which arrive anew; gives back all of them as they stand now.
    pub(super) fn push_before(&mut self, count: usize, version: Version) -> &[Version] {
        let mut versions = self.versions().to_vec();
        let (at, newest) = (versions.len().saturating_sub(count), self.newest().arrival.0);
        versions.insert(at, version);
        for (next, version) in (newest.wrapping_add(1)..).zip(&mut versions[at..]) {
            version.arrival = Arrival(next);
        }
        *self = Chain::Many(versions);
        &self.versions()[at..]
    }

    /// Puts another version in the place of the newest: one record told of the key twice, and the last word counts.
    pub(super) fn replace_newest(&mut self, mut version: Version) {
        let newest = match self {
            Chain::One([only]) => Some(only),
            Chain::Many(many) => many.last_mut(),
        };
        if let Some(newest) = newest {
            version.arrival = newest.arrival;
            *newest = version;
        }
    }

    /// Puts others in the place of all versions: as many, of the same arrivals.
    pub(super) fn replace_all(&mut self, versions: Vec<Version>) {
        assert_eq!(versions.len(), self.len(), "each version has its successor");
        *self = match versions[..] {
            [only] => Chain::One([only]),
            _ => Chain::Many(versions),
        };
    }

    /// Drops the first `count` versions and gives back how many bytes' worth that was; at least one version stays.
    pub(super) fn drop_first(&mut self, count: usize) -> usize {
        let count = count.min(self.len().saturating_sub(1));
        if let Chain::Many(many) = self {
            many.drain(..count);
            if let [only] = many[..] {
                *self = Chain::One([only]);
            }
        }
        count
    }

    /// Moves half of the versions into `hole`, keeping the oldest, the newest, and those between them that are spread evenly
    /// over their time, so that a floor always finds a version near it. Gives back how many went, and from where.
    pub(super) fn coalesce(&mut self, hole: &mut Option<Box<Hole>>) -> Option<(usize, Vec<Span>)> {
        let Chain::Many(many) = self else { return None };
        let (first, last) = (many[0].arrival.0, many[many.len() - 1].arrival.0);
        let step = ((last - first) / (many.len() as u32 / 2)).max(2);
        let mut kept = 0;
        let stays = |version: &Version| {
            let slot = (version.arrival.0 - first) / step;
            let stays = slot > kept || version.arrival.0 == first || version.arrival.0 == last;
            kept = kept.max(slot);
            stays
        };
        let (stay, gone): (Vec<Version>, Vec<Version>) = many.iter().copied().partition(stays);
        if gone.is_empty() {
            return None;
        }
        let hole = hole.get_or_insert_with(|| Box::new(Hole::new()));
        let mut spans = Vec::new();
        for version in &gone {
            hole.add(version);
            widen(&mut spans, version);
        }
        *many = stay;
        Some((gone.len(), spans))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_small_and_keeps_its_time() {
        assert_eq!(size_of::<Version>(), 48);
        let last = (1 << 47) - 1;
        for (ms, kept) in [
            (Some(0), Some(0)),
            (Some(-1), Some(-1)),
            (Some(1_795_312_813_127), Some(1_795_312_813_127)),
            (Some(last), Some(last)),
            (Some(-last), Some(-last)),
            (Some(last + 1), None),
            (Some(i64::MIN), None),
            (None, None),
        ] {
            let marks =
                Marks { committed_at: ms.map(SourceTime), key_change: KeyChange::No, late: false, left_out: false };
            let at = Position { partition: PartitionId(0), offset: 1 };
            let version = Version::new(at, 0, Op::Update, (u128::MAX, MaskId(0)), &marks);
            assert_eq!(version.committed_at(), kept.map(SourceTime));
            assert_eq!(version.fingerprint(), super::kept(u128::MAX));
        }
    }

    fn chain(versions: u64) -> Chain {
        let marks = Marks { committed_at: None, key_change: KeyChange::No, late: false, left_out: false };
        let version = |offset| {
            let at = Position { partition: PartitionId(0), offset };
            Version::new(at, offset, Op::Update, (u128::from(offset), MaskId(0)), &marks)
        };
        let mut chain = Chain::of(version(0));
        for offset in 1..versions {
            chain.push(version(offset));
        }
        chain
    }

    #[test]
    fn what_is_left_of_a_long_chain_is_spread_over_its_whole_time() {
        let mut hole = None;
        let mut grown = chain(1);
        for offset in 1..100_000 {
            let newest = *grown.newest();
            grown.push(Version { offset, ..newest });
            if grown.len() > 64 {
                assert!(grown.coalesce(&mut hole).is_some());
            }
        }
        let offsets: Vec<u64> = grown.versions().iter().map(|version| version.offset).collect();
        assert_eq!((offsets[0], offsets[offsets.len() - 1]), (0, 99_999));
        let widest = offsets.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert!(widest <= Some(100_000 / 10), "{offsets:?}");
        assert_eq!(hole.map(|hole| u64::from(hole.newest.0) < 99_999), Some(true));
    }

    #[test]
    fn what_a_floor_has_passed_is_no_doubt_any_more_while_the_key_goes_on_changing() {
        let mut hole = None;
        let mut masks = Masks::default();
        let mask = masks.id(&crate::canon::Mask::of(1, 0..1));
        let mut chain = chain(1);
        for offset in 1..50_000u64 {
            let (at, content) = (Position { partition: PartitionId(0), offset }, u128::from(offset) << 32 | 0x5eed);
            let content = xxhash_rust::xxh3::xxh3_128(&content.to_le_bytes());
            let marks = Marks { committed_at: None, key_change: KeyChange::No, late: false, left_out: false };
            chain.push(Version::new(at, offset, Op::Update, (content, mask), &marks));
            if chain.len() > 64 {
                assert!(chain.coalesce(&mut hole).is_some());
            }
            if offset % 500 == 0 {
                let floor = chain.versions()[chain.len() / 2].arrival;
                let passed = chain.at_or_before(floor).expect("a floor");
                chain.drop_first(passed);
                if let Some(hole) = &mut hole {
                    hole.pass(floor);
                }
            }
        }
        let hole = hole.expect("coalesced versions");
        let since = chain.versions()[0].arrival;
        let doubts = (0..1000u64).filter(|value| {
            let hash = xxhash_rust::xxh3::xxh3_128(&value.to_le_bytes());
            let row = Content::Row { hashes: ObservedHashes([hash].into()), placeholder: false };
            hole.may_hold(&row, &masks, since)
        });
        assert!(doubts.count() < 250);
    }

    #[test]
    fn coalescing_ends_with_the_oldest_and_the_newest() {
        let mut hole = None;
        let mut chain = chain(100);
        while chain.coalesce(&mut hole).is_some() {}
        let offsets: Vec<u64> = chain.versions().iter().map(|version| version.offset).collect();
        assert_eq!(offsets, [0, 99]);
    }
}
