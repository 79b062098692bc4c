//! Seeded draws: the same seed gives the same draws on every machine.

/// A stream of draws (SplitMix64, whose whole state is one counter).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Streams of different `stream`s under one seed are independent of one another.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Dice {
        let mut dice = Dice(seed ^ stream.wrapping_mul(0xA24B_AED4_963E_E407));
        dice.next();
        dice
    }

    /// Any number, each as often as every other.
    #[expect(clippy::should_implement_trait, reason = "a stream of draws has no end to tell of")]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// From `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high.saturating_sub(low) + 1)
    }

    /// True in `per_mille` of a thousand draws.
    pub fn chance(&mut self, per_mille: u32) -> bool {
        self.next() % 1000 < u64::from(per_mille)
    }

    /// One of a non-empty list.
    pub fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[(self.next() % list.len() as u64) as usize]
    }
}

/// Spreads the bits of a number evenly: the finaliser of SplitMix64.
#[must_use]
pub fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
