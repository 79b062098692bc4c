//! The tracked versions of one partition in the order of their offsets: 12 bytes each, in pieces, so that growing copies
//! nothing and leaves no hole behind.

use std::collections::VecDeque;

use super::chain::Arrival;
use super::keys::KeyIx;

/// Versions of one piece: 12 KiB.
const PIECE: usize = 1024;

/// One version that has no verdict yet, as its partition knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tracked {
    pub(super) offset: u64,
    pub(super) key: KeyIx,
    pub(super) arrival: Arrival,
}

/// The versions. Each has a place, counted from the first that was ever tracked, which stays what it is while older ones go.
#[derive(Debug, Default)]
pub(super) struct Track {
    pieces: VecDeque<Piece>,
    /// The place of the oldest; of the next one where there is none.
    first: u64,
    len: usize,
}

#[derive(Debug)]
struct Piece {
    /// The place of its first item.
    place: u64,
    /// The lowest offset it can hold.
    base: u64,
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    /// From the base of its piece on.
    offset: u32,
    key: KeyIx,
    arrival: Arrival,
}

impl Piece {
    fn at(&self, index: usize) -> Option<Tracked> {
        let Item { offset, key, arrival } = *self.items.get(index)?;
        Some(Tracked { offset: self.base + u64::from(offset), key, arrival })
    }

    fn item(&self, version: Tracked) -> Option<Item> {
        let offset = u32::try_from(version.offset.checked_sub(self.base)?).ok()?;
        Some(Item { offset, key: version.key, arrival: version.arrival })
    }

    /// The place of the first item with this offset or a higher one.
    fn place_of(&self, offset: u64) -> u64 {
        self.place + self.items.partition_point(|item| self.base + u64::from(item.offset) < offset) as u64
    }

    fn end(&self) -> u64 {
        self.place + self.items.len() as u64
    }
}

impl Track {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The place of the oldest; of the next one where there is none.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// Adds a version behind all others.
    pub(super) fn push(&mut self, version: Tracked) {
        let last = self.pieces.back_mut().filter(|piece| piece.items.len() < PIECE);
        match last.and_then(|piece| piece.item(version).map(|item| piece.items.push(item))) {
            Some(()) => {}
            None => {
                // A partition that has little to wait for takes little.
                let items = Vec::with_capacity(if self.len < PIECE { 0 } else { PIECE });
                let mut piece = Piece { place: self.first + self.len as u64, base: version.offset, items };
                piece.items.extend(piece.item(version));
                self.pieces.push_back(piece);
            }
        }
        self.len += 1;
    }

    /// Adds a version before the first with its offset or a higher one; gives back its place, which those behind it make room
    /// for.
    pub(super) fn insert(&mut self, version: Tracked) -> u64 {
        let place = self.place_of(version.offset);
        let rest: Vec<Tracked> = (place..self.first + self.len as u64).filter_map(|place| self.at(place)).collect();
        self.truncate(place);
        self.push(version);
        rest.into_iter().for_each(|version| self.push(version));
        place
    }

    fn truncate(&mut self, place: u64) {
        // Those that went may have had higher offsets than what comes in their place.
        if place == self.first {
            self.pieces.clear();
        }
        while self.pieces.back().is_some_and(|piece| piece.place >= place) {
            self.pieces.pop_back();
        }
        if let Some(last) = self.pieces.back_mut() {
            last.items.truncate((place - last.place) as usize);
        }
        self.len = (place - self.first) as usize;
    }

    /// The version at a place; `None` where it went, or is not there yet.
    pub(super) fn at(&self, place: u64) -> Option<Tracked> {
        if place < self.first {
            return None;
        }
        let piece = self.pieces.partition_point(|piece| piece.end() <= place);
        let piece = self.pieces.get(piece)?;
        piece.at((place - piece.place) as usize)
    }

    /// The place of the first version with this offset or a higher one.
    pub(super) fn place_of(&self, offset: u64) -> u64 {
        let piece = self
            .pieces
            .partition_point(|piece| piece.at(piece.items.len() - 1).is_some_and(|last| last.offset < offset));
        let place = self.pieces.get(piece).map(|piece| piece.place_of(offset));
        place.unwrap_or(self.first + self.len as u64).max(self.first)
    }

    /// Drops the oldest.
    pub(super) fn pop(&mut self) {
        if self.len == 0 {
            return;
        }
        (self.first, self.len) = (self.first + 1, self.len - 1);
        if self.pieces.front().is_some_and(|piece| piece.end() <= self.first) {
            self.pieces.pop_front();
        }
    }

    /// Drops all.
    pub(super) fn clear(&mut self) {
        self.first += self.len as u64;
        self.len = 0;
        self.pieces.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    fn version(offset: u64) -> Tracked {
        Tracked { offset, key: KeyIx(offset as u32), arrival: Arrival(offset as u32 ^ 7) }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u64, usize),
        Insert(u64),
        Pop(usize),
        Clear,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let gap = prop_oneof![0..3u64, Just(u64::from(u32::MAX)), Just(1 << 40)];
        let step = prop_oneof![
            6 => (gap, 1..700usize).prop_map(|(gap, count)| Step::Push(gap, count)),
            2 => any::<u64>().prop_map(Step::Insert),
            4 => (1..900usize).prop_map(Step::Pop),
            1 => Just(Step::Clear),
        ];
        proptest::collection::vec(step, 1..24)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_queue_with_places(steps in steps()) {
            let (mut track, mut model, mut gone) = (Track::default(), VecDeque::new(), 0u64);
            let mut next = 5;
            for step in steps {
                match step {
                    Step::Push(gap, count) => for _ in 0..count {
                        track.push(version(next));
                        model.push_back(version(next));
                        next += gap + 1;
                    },
                    Step::Insert(seed) => {
                        let offset = seed % next;
                        let index = model.partition_point(|known: &Tracked| known.offset < offset);
                        model.insert(index, version(offset));
                        prop_assert_eq!(track.insert(version(offset)), gone + index as u64);
                    }
                    Step::Pop(count) => for _ in 0..count {
                        gone += u64::from(model.pop_front().is_some());
                        track.pop();
                    },
                    Step::Clear => {
                        gone += model.len() as u64;
                        model.clear();
                        track.clear();
                    }
                }
                prop_assert_eq!((track.len(), track.first()), (model.len(), gone));
                for index in [0, 1, model.len() / 2, model.len().saturating_sub(1), model.len()] {
                    prop_assert_eq!(track.at(gone + index as u64), model.get(index).copied());
                    let offset = model.get(index).map_or(next, |known| known.offset);
                    for offset in [offset, offset + 1] {
                        let expected = model.partition_point(|known| known.offset < offset);
                        prop_assert_eq!(track.place_of(offset), gone + expected as u64);
                    }
                }
            }
        }
    }

    #[test]
    fn a_version_may_come_before_those_that_went() {
        let mut track = Track::default();
        (10..20).for_each(|offset| track.push(version(offset)));
        (0..6).for_each(|_| track.pop());
        assert_eq!(track.insert(version(12)), 6);
        assert_eq!((track.place_of(12), track.place_of(13), track.place_of(16)), (6, 7, 7));
        assert_eq!(track.at(7), Some(version(16)));
    }

    #[test]
    fn a_version_takes_twelve_bytes() {
        assert_eq!(size_of::<Item>(), 12);
    }
}
