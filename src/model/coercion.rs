//! What an applier does to every value of a column on its way: it trims texts, cuts fractions, shifts zones.
//!
//! Each coercion erases something, and doing it twice changes nothing more. So two values are one under a coercion if what
//! it leaves of both is the same, and a column that is known to be coerced can still be compared by what is left.
//!
//! | written as | what it leaves of a value |
//! |---|---|
//! | `line_feeds` | text whose lines end by a line feed alone |
//! | `trimmed_end`, `trimmed` | text without white space at its end; at both ends |
//! | `cut:N` | the first N characters of a text |
//! | `lower`, `upper` | text in one case |
//! | `bmp`, `latin1`, `ascii` | text with `?` for each character beyond U+FFFF, U+00FF, U+007F |
//! | `empty_null` | NULL for the empty text |
//! | `null_zero` | zero, false or the empty text for NULL |
//! | `rounded:K`, `digits:K` | a number rounded (half away from zero), or cut, to K digits behind the point |
//! | `single` | a number at the precision of a 32-bit float |
//! | `fraction_rounded:K`, `fraction:K` | a time rounded, or cut, to K digits behind the second |
//! | `midnight` | the day of a moment |
//! | `shifted` | a time less its quarters of an hour: zones differ by whole ones |
//! | `nulled` | nothing: NULL is written whatever the value |
//! | `any` | nothing: the column is not compared |

use std::fmt;
use std::str::FromStr;

/// Digits behind the point that can be told.
pub const MOST_DIGITS: u8 = 12;

/// Digits behind the second that can be told.
pub const MOST_FRACTION_DIGITS: u8 = 8;

/// One coercion; see the table above. Those that erase less come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Coercion {
    /// CR LF to LF.
    LineFeeds,
    /// White space at the end.
    TrimmedEnd,
    /// White space at both ends.
    Trimmed,
    /// Characters beyond the basic multilingual plane.
    Bmp,
    /// Characters beyond Latin-1.
    Latin1,
    /// Characters beyond ASCII.
    Ascii,
    /// What stands behind so many characters.
    Cut(u32),
    /// Upper case.
    Lower,
    /// Lower case.
    Upper,
    /// The empty text.
    EmptyNull,
    /// NULL.
    NullZero,
    /// What a 32-bit float does not hold of a number.
    Single,
    /// Digits behind the point, from this one on, by rounding.
    Rounded(u8),
    /// The same, by cutting.
    Digits(u8),
    /// Digits behind the second, from this one on, by rounding.
    FractionRounded(u8),
    /// The same, by cutting.
    Fraction(u8),
    /// The time of day.
    Midnight,
    /// Quarters of an hour.
    Shifted,
    /// All of it, for NULL.
    Nulled,
    /// All of it.
    Any,
}

/// A word that names no coercion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no coercion: write one of {WORDS}")]
pub struct NoCoercion(pub String);

/// Every way to write one.
pub const WORDS: &str = "line_feeds, trimmed_end, trimmed, cut:N, lower, upper, bmp, latin1, ascii, empty_null, \
     null_zero, rounded:K, digits:K, single, fraction_rounded:K, fraction:K (K up to 12; behind the second up to 8), midnight, \
     shifted, nulled, any";

impl fmt::Display for Coercion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Coercion::LineFeeds => f.write_str("line_feeds"),
            Coercion::TrimmedEnd => f.write_str("trimmed_end"),
            Coercion::Trimmed => f.write_str("trimmed"),
            Coercion::Bmp => f.write_str("bmp"),
            Coercion::Latin1 => f.write_str("latin1"),
            Coercion::Ascii => f.write_str("ascii"),
            Coercion::Cut(length) => write!(f, "cut:{length}"),
            Coercion::Lower => f.write_str("lower"),
            Coercion::Upper => f.write_str("upper"),
            Coercion::EmptyNull => f.write_str("empty_null"),
            Coercion::NullZero => f.write_str("null_zero"),
            Coercion::Single => f.write_str("single"),
            Coercion::Rounded(digits) => write!(f, "rounded:{digits}"),
            Coercion::Digits(digits) => write!(f, "digits:{digits}"),
            Coercion::FractionRounded(digits) => write!(f, "fraction_rounded:{digits}"),
            Coercion::Fraction(digits) => write!(f, "fraction:{digits}"),
            Coercion::Midnight => f.write_str("midnight"),
            Coercion::Shifted => f.write_str("shifted"),
            Coercion::Nulled => f.write_str("nulled"),
            Coercion::Any => f.write_str("any"),
        }
    }
}

impl FromStr for Coercion {
    type Err = NoCoercion;

    fn from_str(text: &str) -> Result<Coercion, NoCoercion> {
        let (word, count) = text.split_once(':').map_or((text, None), |(word, count)| (word, Some(count)));
        let unknown = || NoCoercion(text.to_owned());
        let digits = |most: u8| count.and_then(|count| count.parse().ok()).filter(|digits| *digits <= most);
        let number = || digits(MOST_DIGITS).ok_or_else(unknown);
        let fraction = || digits(MOST_FRACTION_DIGITS).ok_or_else(unknown);
        Ok(match (word, count) {
            ("cut", Some(count)) => Coercion::Cut(count.parse().map_err(|_| unknown())?),
            ("rounded", Some(_)) => Coercion::Rounded(number()?),
            ("digits", Some(_)) => Coercion::Digits(number()?),
            ("fraction_rounded", Some(_)) => Coercion::FractionRounded(fraction()?),
            ("fraction", Some(_)) => Coercion::Fraction(fraction()?),
            (_, Some(_)) => return Err(unknown()),
            (_, None) => PLAIN.into_iter().find(|plain| plain.to_string() == word).ok_or_else(unknown)?,
        })
    }
}

/// Those without a number.
pub const PLAIN: [Coercion; 15] = [
    Coercion::LineFeeds,
    Coercion::TrimmedEnd,
    Coercion::Trimmed,
    Coercion::Bmp,
    Coercion::Latin1,
    Coercion::Ascii,
    Coercion::Lower,
    Coercion::Upper,
    Coercion::EmptyNull,
    Coercion::NullZero,
    Coercion::Single,
    Coercion::Midnight,
    Coercion::Shifted,
    Coercion::Nulled,
    Coercion::Any,
];

impl Coercion {
    /// What becomes of a value, for people: a fragment behind "values of the column are".
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Coercion::LineFeeds => "written with bare line feeds".to_owned(),
            Coercion::TrimmedEnd => "written without the white space at their end".to_owned(),
            Coercion::Trimmed => "written without the white space around them".to_owned(),
            Coercion::Bmp => "written with `?` for every character beyond U+FFFF".to_owned(),
            Coercion::Latin1 => "written with `?` for every character beyond Latin-1".to_owned(),
            Coercion::Ascii => "written with `?` for every character beyond ASCII".to_owned(),
            Coercion::Cut(length) => format!("cut to {length} characters"),
            Coercion::Lower => "written in lower case".to_owned(),
            Coercion::Upper => "written in upper case".to_owned(),
            Coercion::EmptyNull => "written as NULL where they are empty".to_owned(),
            Coercion::NullZero => "written as zero, false or empty where they are NULL".to_owned(),
            Coercion::Single => "written at the precision of a 32-bit float".to_owned(),
            Coercion::Rounded(digits) => format!("rounded to {digits} digits behind the point"),
            Coercion::Digits(digits) => format!("cut to {digits} digits behind the point"),
            Coercion::FractionRounded(digits) => format!("rounded to {digits} digits behind the second"),
            Coercion::Fraction(digits) => format!("cut to {digits} digits behind the second"),
            Coercion::Midnight => "written without their time of day".to_owned(),
            Coercion::Shifted => "shifted by the offset of a time zone".to_owned(),
            Coercion::Nulled => "written as NULL, whatever they are".to_owned(),
            Coercion::Any => "changed in several ways".to_owned(),
        }
    }

    /// Whether values that an earlier change left could look so by chance: few values do, so that only a key whose past is
    /// known proves anything.
    #[must_use]
    pub fn is_weak(self) -> bool {
        matches!(self, Coercion::EmptyNull | Coercion::NullZero | Coercion::Nulled)
    }

    /// Different expected values that must show it: of some coercions there is but one.
    #[must_use]
    pub fn values_wanted(self) -> usize {
        if matches!(self, Coercion::EmptyNull | Coercion::NullZero) { 1 } else { 3 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_back() {
        for word in ["trimmed_end", "cut:20", "rounded:2", "fraction:0", "shifted", "any", "digits:12"] {
            assert_eq!(word.parse::<Coercion>().map(|coercion| coercion.to_string()).as_deref(), Ok(word));
        }
        for word in ["", "trim", "cut", "cut:", "cut:x", "rounded:13", "fraction:9", "any:1", "trimmed:2"] {
            assert!(word.parse::<Coercion>().is_err(), "{word}");
        }
    }
}
