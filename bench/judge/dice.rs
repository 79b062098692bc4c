//! What the load draws, beside what the demo's dice know.

use afterimage::demo::dice::Dice;

/// True in so many of a hundred draws.
pub(crate) fn chance(dice: &mut Dice, per_cent: u64) -> bool {
    dice.between(0, 99) < per_cent
}

/// A rank from 1 to `most`, by Zipf's law: the first is drawn as often as the next two together, and so on.
pub(crate) fn rank(dice: &mut Dice, most: u64) -> u64 {
    let unit = (dice.next() >> 11) as f64 / (1_u64 << 53) as f64;
    ((unit * ((most + 1) as f64).ln()).exp() as u64).clamp(1, most)
}

/// Puts a list into any order.
pub(crate) fn shuffle<T>(dice: &mut Dice, list: &mut [T]) {
    for at in (1..list.len()).rev() {
        list.swap(at, dice.between(0, at as u64) as usize);
    }
}
