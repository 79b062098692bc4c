//! Seeded draws: the same seed gives the same load on every machine.

/// A stream of draws (SplitMix64, whose whole state is one counter).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, stream: u64) -> Dice {
        let mut dice = Dice(seed ^ stream.wrapping_mul(0xA24B_AED4_963E_E407));
        dice.next();
        dice
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// From `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high.saturating_sub(low) + 1)
    }

    pub(crate) fn chance(&mut self, per_cent: u64) -> bool {
        self.next() % 100 < per_cent
    }

    /// A rank from 1 to `most`, by Zipf's law: the first is drawn as often as the next two together, and so on.
    pub(crate) fn rank(&mut self, most: u64) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        ((unit * ((most + 1) as f64).ln()).exp() as u64).clamp(1, most)
    }

    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.between(0, at as u64) as usize);
        }
    }
}

/// Spreads the bits of a number evenly.
pub(crate) fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
