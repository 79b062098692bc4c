//! Numbers by value: `1.10`, `1.1`, `11e-1` and the integer 1 at scale 0 of `1.10` are found equal here or nowhere.
//!
//! The canonical number is an integer where the value is one and fits 64 bits, else plain decimal text without leading
//! or trailing zeros. Text that is canonical already is borrowed.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::value::Canonical;

/// Exponents beyond this are refused: no column of a covered type holds such a number, and expanding it costs memory.
const MOST_EXPONENT: i64 = 2_000;

/// The canonical number of decimal text, rounded half away from zero to `scale` digits behind the point. `NaN` and the
/// infinities are numbers too, in PostgreSQL's spelling. `None` is text that is no number.
pub(super) fn decimal(text: &str, scale: Option<u32>) -> Option<Canonical<'_>> {
    let parts = match Parts::of(text) {
        Some(parts) => parts,
        None => return special(text).or_else(|| scientific(text, scale)),
    };
    let places = scale.map_or(usize::MAX, |scale| scale as usize);
    if parts.fraction.len() > places {
        return Some(rounded(&parts, places));
    }
    if parts.fraction.is_empty()
        && let Ok(value) = parts.signed_whole(text).parse::<i64>()
    {
        return Some(Canonical::Int(value));
    }
    Some(Canonical::Decimal(parts.canonical_text(text)))
}

/// The canonical number of decimal text without what stands behind so many digits behind the point. `None` is text that is
/// no plain number.
pub(super) fn cut(text: &str, places: usize) -> Option<Canonical<'static>> {
    let parts = Parts::of(text)?;
    let kept = parts.fraction.len().saturating_sub(places);
    let end = text.trim_end_matches('0').len();
    let whole = if parts.fraction.is_empty() { text } else { &text[..end - kept] };
    decimal(whole, None).map(Canonical::into_owned)
}

/// Which of two canonical numbers is greater, `NaN` the greatest of all. `None` is text that is no number.
pub(super) fn order(left: &str, right: &str) -> Option<Ordering> {
    let rank = |text: &str| match text {
        "-Infinity" => 0,
        "Infinity" => 2,
        "NaN" => 3,
        _ => 1,
    };
    if (rank(left), rank(right)) != (1, 1) {
        return Some(rank(left).cmp(&rank(right)));
    }
    let (left, right) = (Parts::of(left)?, Parts::of(right)?);
    let magnitude = |one: &Parts<'_>, other: &Parts<'_>| {
        let whole = one.whole.len().cmp(&other.whole.len()).then_with(|| one.whole.cmp(other.whole));
        whole.then_with(|| one.fraction.cmp(other.fraction))
    };
    Some(match (left.negative, right.negative) {
        (false, false) => magnitude(&left, &right),
        (true, true) => magnitude(&right, &left),
        (negative, _) => {
            if negative {
                Ordering::Less
            } else {
                Ordering::Greater
            }
        }
    })
}

/// The canonical number of a float, by its shortest decimal rendering.
pub(super) fn float(value: f64, scale: Option<u32>) -> Option<Canonical<'static>> {
    if value.is_nan() {
        return Some(Canonical::Decimal(Cow::Borrowed("NaN")));
    }
    if value.is_infinite() {
        return Some(Canonical::Decimal(Cow::Borrowed(if value < 0.0 { "-Infinity" } else { "Infinity" })));
    }
    decimal(&value.to_string(), scale).map(Canonical::into_owned)
}

/// Reads the big-endian two's complement of an unscaled number, as Kafka Connect's Decimal writes it, with the point
/// `scale` digits from the right. At most 64 bytes: no covered column is wider.
pub(super) fn unscaled(bytes: &[u8], scale: u32) -> Option<Canonical<'static>> {
    let text = unscaled_text(bytes, scale)?;
    decimal(&text, Some(scale)).map(Canonical::into_owned)
}

/// The plain decimal text of an unscaled number.
pub(super) fn unscaled_text(bytes: &[u8], scale: u32) -> Option<String> {
    if bytes.is_empty() || bytes.len() > 64 {
        return None;
    }
    let negative = bytes[0] & 0x80 != 0;
    let mut magnitude = bytes.to_vec();
    if negative {
        negate(&mut magnitude);
    }
    let digits = decimal_digits(&mut magnitude);
    let scale = scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let sign = if negative { "-" } else { "" };
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

fn negate(bytes: &mut [u8]) {
    let mut carry = true;
    for byte in bytes.iter_mut().rev() {
        let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
        *byte = sum;
        carry = overflow;
    }
}

/// Long division by 10^9 until nothing is left.
fn decimal_digits(magnitude: &mut [u8]) -> String {
    let mut groups = Vec::new();
    while magnitude.iter().any(|byte| *byte != 0) {
        let mut rest = 0u64;
        for byte in magnitude.iter_mut() {
            let value = rest << 8 | u64::from(*byte);
            *byte = (value / 1_000_000_000) as u8;
            rest = value % 1_000_000_000;
        }
        groups.push(rest);
    }
    let Some(first) = groups.pop() else { return String::from("0") };
    groups.iter().rev().fold(first.to_string(), |text, group| format!("{text}{group:09}"))
}

/// Plain decimal text, taken apart: leading zeros of the whole and trailing zeros of the fraction are gone.
struct Parts<'a> {
    negative: bool,
    whole: &'a str,
    fraction: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Parts<'a>> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !plain(whole) || !plain(fraction) {
            return None;
        }
        Some(Parts { negative, whole: whole.trim_start_matches('0'), fraction: fraction.trim_end_matches('0') })
    }

    /// Sign and whole part as one slice of the text where they touch.
    fn signed_whole(&self, text: &'a str) -> Cow<'a, str> {
        if self.whole.is_empty() {
            return Cow::Borrowed("0");
        }
        let start = self.whole.as_ptr() as usize - text.as_ptr() as usize;
        match (self.negative, start) {
            (false, _) => Cow::Borrowed(self.whole),
            (true, 1) => Cow::Borrowed(&text[..1 + self.whole.len()]),
            (true, _) => Cow::Owned(format!("-{}", self.whole)),
        }
    }

    fn canonical_text(&self, text: &'a str) -> Cow<'a, str> {
        if self.fraction.is_empty() {
            return self.signed_whole(text);
        }
        let length = usize::from(self.negative) + self.whole.len() + 1 + self.fraction.len();
        let trimmed = text.trim_end_matches('0');
        if !self.whole.is_empty() && trimmed.len() == length {
            return Cow::Borrowed(trimmed);
        }
        let whole = if self.whole.is_empty() { "0" } else { self.whole };
        Cow::Owned(format!("{}{whole}.{}", if self.negative { "-" } else { "" }, self.fraction))
    }
}

fn rounded(parts: &Parts<'_>, places: usize) -> Canonical<'static> {
    let up = parts.fraction.as_bytes()[places] >= b'5';
    let mut digits: Vec<u8> = parts.whole.bytes().chain(parts.fraction[..places].bytes()).collect();
    if up {
        increment(&mut digits);
    }
    let split = digits.len() - places.min(digits.len());
    let digits: String = digits.iter().map(|digit| char::from(*digit)).collect();
    let (whole, fraction) = digits.split_at(split);
    let sign = if parts.negative { "-" } else { "" };
    let text = format!("{sign}{}.{fraction:0>places$}", if whole.is_empty() { "0" } else { whole });
    decimal(&text, None).map_or(Canonical::Int(0), Canonical::into_owned)
}

fn increment(digits: &mut Vec<u8>) {
    for digit in digits.iter_mut().rev() {
        if *digit == b'9' {
            *digit = b'0';
        } else {
            *digit += 1;
            return;
        }
    }
    digits.insert(0, b'1');
}

/// PostgreSQL's words, and those of Debezium's string mode.
fn special(text: &str) -> Option<Canonical<'static>> {
    let word = match text {
        _ if text.eq_ignore_ascii_case("nan") => "NaN",
        _ if text.eq_ignore_ascii_case("infinity") || text == "POSITIVE_INFINITY" => "Infinity",
        _ if text.eq_ignore_ascii_case("-infinity") || text == "NEGATIVE_INFINITY" => "-Infinity",
        _ => return None,
    };
    Some(Canonical::Decimal(Cow::Borrowed(word)))
}

fn scientific(text: &str, scale: Option<u32>) -> Option<Canonical<'static>> {
    let (mantissa, exponent) = text.split_once(['e', 'E'])?;
    let exponent: i64 = exponent.parse().ok().filter(|exponent: &i64| exponent.abs() <= MOST_EXPONENT)?;
    let parts = Parts::of(mantissa)?;
    let digits = format!("{}{}", parts.whole, parts.fraction);
    let point = parts.whole.len() as i64 + exponent;
    let sign = if parts.negative { "-" } else { "" };
    let plain = match usize::try_from(point) {
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
        Ok(point) if point >= digits.len() => format!("{sign}0{digits}{}", "0".repeat(point - digits.len())),
        Ok(point) => format!("{sign}0{}.{}", &digits[..point], &digits[point..]),
    };
    decimal(&plain, scale).map(Canonical::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, scale: Option<u32>, expected: &str) {
        let found = decimal(text, scale).map(|value| value.into_cell().to_string());
        assert_eq!(found.as_deref().unwrap_or("no number"), expected, "{text} at {scale:?}");
    }

    #[test]
    fn numbers_are_canonical_by_value() {
        for (text, scale, expected) in [
            ("1.10", None, "1.1"),
            ("1.1", None, "1.1"),
            ("+0001.100", None, "1.1"),
            ("-0.00", None, "0"),
            (".5", None, "0.5"),
            ("-.5", None, "-0.5"),
            ("5.", None, "5"),
            ("007", None, "7"),
            ("-007", None, "-7"),
            ("-9223372036854775808", Some(0), "-9223372036854775808"),
            ("18446744073709551615", Some(0), "18446744073709551615"),
            ("1.005", Some(2), "1.01"),
            ("-1.005", Some(2), "-1.01"),
            ("1.0049", Some(2), "1"),
            ("9.995", Some(2), "10"),
            ("0.5", Some(0), "1"),
            ("-0.4", Some(0), "0"),
            ("0.004", Some(2), "0"),
            ("1.5e3", None, "1500"),
            ("-1.5E-3", None, "-0.0015"),
            ("1e-7", Some(6), "0"),
            ("12345e-2", None, "123.45"),
            ("NAN", None, "NaN"),
            ("POSITIVE_INFINITY", None, "Infinity"),
            ("1e99999999", None, "no number"),
            ("12a", None, "no number"),
            ("", None, "no number"),
            ("-", None, "no number"),
            (".", None, "no number"),
        ] {
            check(text, scale, expected);
        }
    }

    #[test]
    fn unscaled_bytes_read_as_connect_writes_them() {
        for (bytes, scale, expected) in [
            (&[0x30, 0x39][..], 2, "123.45"),
            (&[0xff][..], 2, "-0.01"),
            (&[0x00][..], 0, "0"),
            (&[0x80][..], 0, "-128"),
            (&[0, 255, 255, 255, 255, 255, 255, 255, 255][..], 0, "18446744073709551615"),
            (&[0xb6, 0x69, 0xfd, 0x2e][..], 2, "-12345678.90"),
            (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], 0, "340282366920938463463374607431768211456"),
        ] {
            assert_eq!(unscaled_text(bytes, scale).as_deref(), Some(expected));
        }
        assert_eq!(unscaled_text(&[], 2), None);
    }

    #[test]
    fn canonical_text_is_borrowed() {
        for text in ["12.5", "-12.5", "12.50", "18446744073709551616"] {
            let Some(Canonical::Decimal(Cow::Borrowed(_))) = decimal(text, Some(2)) else {
                panic!("{text} was copied")
            };
        }
    }
}
