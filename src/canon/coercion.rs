//! What is left of a canonical value under a [`Coercion`], and which coercions explain a difference.

use std::borrow::Cow;

use super::number;
use super::temporal::{ZONE_STEP_SECS, as_nanos, may_be_zone};
use super::value::Canonical;
use crate::model::calendar::{DAY_SECONDS, NANOS};
use crate::model::coercion::{Coercion, MOST_DIGITS, MOST_FRACTION_DIGITS, PLAIN};

/// Coercions that are kept of those that explain one difference.
const AT_ONCE: usize = 8;

/// Patterns of the coercions of one family, and of the values that are no numbers, so that every match stays exhaustive and
/// short.
macro_rules! texts {
    () => {
        Coercion::LineFeeds
            | Coercion::TrimmedEnd
            | Coercion::Trimmed
            | Coercion::Bmp
            | Coercion::Latin1
            | Coercion::Ascii
            | Coercion::Cut(_)
            | Coercion::Lower
            | Coercion::Upper
    };
}
macro_rules! numbers {
    () => {
        Coercion::Single | Coercion::Rounded(_) | Coercion::Digits(_)
    };
}
macro_rules! times {
    () => {
        Coercion::FractionRounded(_) | Coercion::Fraction(_) | Coercion::Midnight | Coercion::Shifted
    };
}
macro_rules! nothing_numeric {
    () => {
        Canonical::Null
            | Canonical::Bool(_)
            | Canonical::Text(_)
            | Canonical::Bytes(_)
            | Canonical::Date(_)
            | Canonical::Time(_)
            | Canonical::Local(..)
            | Canonical::Instant(..)
            | Canonical::Infinity(_)
            | Canonical::Uuid(_)
            | Canonical::Json(_)
    };
}

impl Coercion {
    /// What it leaves of a value of a column whose zero is `zero`.
    pub(super) fn leaves<'a>(self, value: Canonical<'a>, zero: &Canonical<'static>) -> Canonical<'a> {
        match self {
            Coercion::Nulled | Coercion::Any => Canonical::Null,
            Coercion::EmptyNull if value == Canonical::Text(Cow::Borrowed("")) => Canonical::Null,
            Coercion::NullZero if value == Canonical::Null => zero.clone(),
            Coercion::EmptyNull | Coercion::NullZero => value,
            texts!() => {
                let Canonical::Text(text) = value else { return value };
                Canonical::Text(self.text(text))
            }
            numbers!() => self.number(&value).unwrap_or(value),
            times!() => self.time(&value).unwrap_or(value),
        }
    }

    fn text(self, text: Cow<'_, str>) -> Cow<'_, str> {
        let beyond = |last: char| -> String { text.chars().map(|c| if c > last { '?' } else { c }).collect() };
        let left = match self {
            Coercion::LineFeeds => text.replace("\r\n", "\n"),
            Coercion::TrimmedEnd => text.trim_end().to_owned(),
            Coercion::Trimmed => text.trim().to_owned(),
            Coercion::Bmp => beyond('\u{ffff}'),
            Coercion::Latin1 => beyond('\u{ff}'),
            Coercion::Ascii => beyond('\u{7f}'),
            Coercion::Cut(length) => text.chars().take(length as usize).collect(),
            Coercion::Lower => text.to_lowercase(),
            Coercion::Upper => text.to_uppercase(),
            numbers!() | times!() | Coercion::EmptyNull | Coercion::NullZero | Coercion::Nulled | Coercion::Any => {
                return text;
            }
        };
        Cow::Owned(left)
    }

    fn number(self, value: &Canonical<'_>) -> Option<Canonical<'static>> {
        let text = match value {
            Canonical::Decimal(text) => text.to_string(),
            Canonical::Int(int) => int.to_string(),
            Canonical::Float(bits) => f64::from_bits(*bits).to_string(),
            nothing_numeric!() => return None,
        };
        let single = || text.parse::<f32>().ok().filter(|single| single.is_finite()).map(|single| single.to_string());
        let left = match self {
            Coercion::Rounded(digits) => number::decimal(&text, Some(u32::from(digits)))?.into_owned(),
            Coercion::Digits(digits) => number::cut(&text, usize::from(digits))?,
            Coercion::Single => number::decimal(&single()?, None)?.into_owned(),
            texts!() | times!() | Coercion::EmptyNull | Coercion::NullZero | Coercion::Nulled | Coercion::Any => {
                return None;
            }
        };
        if !matches!(value, Canonical::Float(_)) {
            return Some(left);
        }
        let float = left.into_cell().to_string().parse::<f64>().ok()?;
        Some(Canonical::Float((float + 0.0).to_bits()))
    }

    fn time(self, value: &Canonical<'_>) -> Option<Canonical<'static>> {
        if let Canonical::Date(_) = value {
            // Hours that a zone shifts a day by leave nothing of it.
            return (self == Coercion::Shifted).then_some(Canonical::Date(0));
        }
        let left = self.nanos(as_nanos(value)?)?;
        if let Canonical::Time(_) = value {
            return i64::try_from(left).ok().map(Canonical::Time);
        }
        let secs = i64::try_from(left.div_euclid(i128::from(NANOS))).ok()?;
        let nanos = u32::try_from(left.rem_euclid(i128::from(NANOS))).ok()?;
        let is_local = matches!(value, Canonical::Local(..));
        Some(if is_local { Canonical::Local(secs, nanos) } else { Canonical::Instant(secs, nanos) })
    }

    /// What it leaves of nanoseconds since 1970, or since midnight.
    fn nanos(self, nanos: i128) -> Option<i128> {
        let step = |digits: u8| 10i128.pow(9 - u32::from(digits.min(9)));
        Some(match self {
            Coercion::Fraction(digits) => nanos - nanos.rem_euclid(step(digits)),
            Coercion::FractionRounded(digits) => {
                let half = nanos + step(digits) / 2;
                half - half.rem_euclid(step(digits))
            }
            Coercion::Midnight => nanos - nanos.rem_euclid(i128::from(DAY_SECONDS) * i128::from(NANOS)),
            Coercion::Shifted => nanos.rem_euclid(i128::from(ZONE_STEP_SECS) * i128::from(NANOS)),
            texts!() | numbers!() | Coercion::EmptyNull | Coercion::NullZero | Coercion::Nulled | Coercion::Any => {
                return None;
            }
        })
    }

    /// Whether `seen` is what it makes of `wanted`, which is something else.
    pub(super) fn explains(self, wanted: &Canonical<'_>, seen: &Canonical<'_>, zero: &Canonical<'static>) -> bool {
        if wanted == seen {
            return false;
        }
        let left = self.leaves(wanted.clone(), zero);
        if self == Coercion::Shifted {
            return is_zone_apart(wanted, seen) && left == self.leaves(seen.clone(), zero);
        }
        left == *seen
    }

    /// Whether a value would not be itself any more.
    pub(super) fn shows_on(self, wanted: &Canonical<'_>, zero: &Canonical<'static>) -> bool {
        let has_zone =
            matches!(wanted, Canonical::Local(..) | Canonical::Instant(..) | Canonical::Time(_) | Canonical::Date(_));
        if self == Coercion::Shifted { has_zone } else { self.leaves(wanted.clone(), zero) != *wanted }
    }

    /// Every coercion that makes `seen` of `wanted`, those that erase less first.
    pub(super) fn all_that_explain(
        wanted: &Canonical<'_>,
        seen: &Canonical<'_>,
        zero: &Canonical<'static>,
    ) -> Vec<Coercion> {
        let length = if let Canonical::Text(text) = seen { text.chars().count() } else { 0 };
        let cut = u32::try_from(length).ok().filter(|length| *length > 0);
        let digits = (0..=MOST_DIGITS).rev().flat_map(|digits| [Coercion::Rounded(digits), Coercion::Digits(digits)]);
        let fractions = (0..=MOST_FRACTION_DIGITS).rev();
        let fractions = fractions.flat_map(|digits| [Coercion::FractionRounded(digits), Coercion::Fraction(digits)]);
        let plain = PLAIN.into_iter().filter(|plain| *plain != Coercion::Any);
        let all = plain.chain(cut.map(Coercion::Cut)).chain(digits).chain(fractions);
        let mut found: Vec<Coercion> = all.filter(|coercion| coercion.explains(wanted, seen, zero)).collect();
        found.truncate(AT_ONCE);
        found
    }
}

/// Whether two times lie apart as the same one does in two zones.
fn is_zone_apart(wanted: &Canonical<'_>, seen: &Canonical<'_>) -> bool {
    match (wanted, seen) {
        (Canonical::Local(wanted, _), Canonical::Local(seen, _))
        | (Canonical::Instant(wanted, _), Canonical::Instant(seen, _)) => may_be_zone(seen.saturating_sub(*wanted)),
        (Canonical::Time(_), Canonical::Time(_)) => true,
        (Canonical::Date(wanted), Canonical::Date(seen)) => wanted.abs_diff(*seen) == 1,
        (_, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_ZERO: Canonical<'static> = Canonical::Null;

    fn text(text: &str) -> Canonical<'_> {
        Canonical::Text(Cow::Borrowed(text))
    }

    fn number(text: &str) -> Canonical<'_> {
        number::decimal(text, None).expect("it is a number")
    }

    fn first(wanted: &Canonical<'_>, seen: &Canonical<'_>, zero: &Canonical<'static>) -> String {
        Coercion::all_that_explain(wanted, seen, zero).first().map_or("none".to_owned(), ToString::to_string)
    }

    #[test]
    fn each_difference_is_explained_by_what_erases_least() {
        for (wanted, seen, expected) in [
            ("Ann ", "Ann", "trimmed_end"),
            (" Ann ", "Ann", "trimmed"),
            ("a\r\nb", "a\nb", "line_feeds"),
            ("Annabel", "Anna", "cut:4"),
            ("Ann", "ann", "lower"),
            ("Ann", "ANN", "upper"),
            ("\u{1f600}é", "?é", "bmp"),
            ("ł é", "? é", "latin1"),
            ("é", "?", "ascii"),
            ("Ann", "Bob", "none"),
            ("Ann", "Ann ", "none"),
            ("Ann", "", "none"),
        ] {
            assert_eq!(first(&text(wanted), &text(seen), &NO_ZERO), expected, "{wanted:?} {seen:?}");
        }
        for (wanted, seen, expected) in [
            ("1.239", "1.24", "rounded:2"),
            ("1.239", "1.23", "digits:2"),
            ("-1.239", "-1.23", "digits:2"),
            ("1.5", "2", "rounded:0"),
            ("16777217", "16777216", "single"),
            ("1.239", "1.25", "none"),
        ] {
            assert_eq!(first(&number(wanted), &number(seen), &NO_ZERO), expected, "{wanted} {seen}");
        }
        let at = |secs: i64, micros: u32| Canonical::Local(secs, micros * 1000);
        for (wanted, seen, expected) in [
            (at(100, 123_556), at(100, 123_000), "fraction:3"),
            (at(100, 999_900), at(101, 0), "fraction_rounded:3"),
            (at(90_061, 5), at(86_400, 0), "midnight"),
            (at(7_261, 5), at(3_661, 5), "shifted"),
            (at(7_261, 5), at(3_662, 5), "none"),
            (at(7_261, 5), at(7_261 + 15 * 3600, 5), "none"),
        ] {
            assert_eq!(first(&wanted, &seen, &NO_ZERO), expected, "{wanted:?} {seen:?}");
        }
        assert_eq!(first(&Canonical::Date(10), &Canonical::Date(9), &NO_ZERO), "shifted");
        assert_eq!(first(&Canonical::Date(10), &Canonical::Date(8), &NO_ZERO), "none");
        assert_eq!(first(&text(""), &Canonical::Null, &NO_ZERO), "empty_null");
        assert_eq!(first(&text("x"), &Canonical::Null, &NO_ZERO), "nulled");
        assert_eq!(first(&Canonical::Null, &Canonical::Int(0), &Canonical::Int(0)), "null_zero");
        assert_eq!(first(&Canonical::Null, &Canonical::Int(1), &Canonical::Int(0)), "none");
    }

    #[test]
    fn what_is_left_has_nothing_more_to_lose() {
        let values = [
            text(" Ann\r\nł\u{1f600} "),
            number("-12.3456789"),
            Canonical::Float(12.3456789f64.to_bits()),
            Canonical::Local(90_061, 123_456_789),
            Canonical::Instant(-90_061, 999_999_999),
            Canonical::Time(3_661_123_456_789),
            Canonical::Date(10),
            Canonical::Null,
        ];
        let counted = (0..=8).flat_map(|digits| {
            let of = [Coercion::Rounded, Coercion::Digits, Coercion::FractionRounded, Coercion::Fraction];
            of.map(|of| of(digits))
        });
        for coercion in PLAIN.into_iter().chain(counted).chain([Coercion::Cut(3)]) {
            for value in &values {
                let left = coercion.leaves(value.clone(), &Canonical::Int(0));
                assert_eq!(coercion.leaves(left.clone(), &Canonical::Int(0)), left, "{coercion} of {value:?}");
            }
        }
    }
}
