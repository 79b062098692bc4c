//! Exact numbers as plain decimal text, never through a float.

use super::json::Flaw;
use crate::model::cell::Text;

/// The most digits an exponent may add: PostgreSQL's `numeric` holds 131,072 before the point and 16,383 after it.
const MAX_DIGITS: i64 = 131_072 + 16_383;

/// The longest unscaled value read, in bytes: as many digits as [`MAX_DIGITS`] needs. Reading is quadratic in it.
const MAX_UNSCALED_BYTES: usize = 61_440;

/// A JSON number without its exponent: `-1.5e3` is `-1500`, `1.10` stays `1.10`.
pub(super) fn plain(number: &str) -> Result<Text<'_>, Flaw> {
    let Some((mantissa, exponent)) = number.split_once(['e', 'E']) else {
        return Ok(number.into());
    };
    let exponent = exponent.parse::<i64>().map_err(|_| Flaw::TooLong)?;
    if exponent.abs() > MAX_DIGITS {
        return Err(Flaw::TooLong);
    }
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |rest| ("-", rest));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    let point = whole.len() as i64 + exponent;
    Ok(point_at(sign, digits, point))
}

/// The value of a big-endian two's-complement integer times ten to the minus `scale`, with `scale` decimals.
pub(super) fn from_twos_complement(unscaled: &[u8], scale: i32) -> Result<Text<'static>, Flaw> {
    if unscaled.len() > MAX_UNSCALED_BYTES || i64::from(scale).abs() > MAX_DIGITS {
        return Err(Flaw::TooLong);
    }
    let negative = unscaled.first().is_some_and(|byte| byte & 0x80 != 0);
    let digits = match narrow(unscaled, negative) {
        Some(value) => value.unsigned_abs().to_string(),
        None => wide_digits(unscaled, negative),
    };
    let point = digits.len() as i64 - i64::from(scale);
    Ok(point_at(if negative { "-" } else { "" }, digits, point))
}

fn narrow(unscaled: &[u8], negative: bool) -> Option<i128> {
    let mut bytes = [if negative { 0xff } else { 0 }; 16];
    let start = bytes.len().checked_sub(unscaled.len())?;
    bytes[start..].copy_from_slice(unscaled);
    Some(i128::from_be_bytes(bytes))
}

/// Digits of the absolute value of an integer wider than 128 bits: division of 32-bit limbs by 10^9.
fn wide_digits(unscaled: &[u8], negative: bool) -> String {
    let mut limbs = magnitude(unscaled, negative);
    let mut groups = Vec::new();
    let mut first = 0;
    while first < limbs.len() {
        let mut remainder = 0u64;
        for limb in &mut limbs[first..] {
            let dividend = (remainder << 32) | u64::from(*limb);
            *limb = (dividend / 1_000_000_000) as u32;
            remainder = dividend % 1_000_000_000;
        }
        groups.push(remainder);
        while limbs.get(first) == Some(&0) {
            first += 1;
        }
    }
    let mut digits = groups.pop().unwrap_or(0).to_string();
    for group in groups.iter().rev() {
        digits.push_str(&format!("{group:09}"));
    }
    digits
}

/// Big-endian 32-bit limbs of the absolute value.
fn magnitude(unscaled: &[u8], negative: bool) -> Vec<u32> {
    let mut bytes = vec![if negative { 0xff } else { 0 }; unscaled.len().next_multiple_of(4) - unscaled.len()];
    bytes.extend_from_slice(unscaled);
    if negative {
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    bytes.chunks_exact(4).map(|limb| u32::from_be_bytes([limb[0], limb[1], limb[2], limb[3]])).collect()
}

/// Sets a decimal point behind the first `point` digits, with zeros where there are too few of them.
fn point_at(sign: &str, digits: String, point: i64) -> Text<'static> {
    let count = digits.len() as i64;
    let text = if point <= 0 {
        format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize))
    } else if point < count {
        let (whole, fraction) = digits.split_at(point as usize);
        format!("{sign}{whole}.{fraction}")
    } else {
        let zeros = "0".repeat((point - count) as usize);
        let whole = [digits, zeros].concat();
        let trimmed = whole.trim_start_matches('0');
        format!("{sign}{}", if trimmed.is_empty() { "0" } else { trimmed })
    };
    strip_leading_zeros(&text).into()
}

/// `007.5` is `7.5`; the zero before a point stays.
fn strip_leading_zeros(text: &str) -> String {
    let (sign, rest) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let whole = rest.find('.').unwrap_or(rest.len());
    let zeros = rest.bytes().take_while(|byte| *byte == b'0').count().min(whole.saturating_sub(1));
    format!("{sign}{}", &rest[zeros..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_become_digits() {
        for (number, expected) in [
            ("1.10", "1.10"),
            ("1.2e17", "120000000000000000"),
            ("1.2345678901234567e+17", "123456789012345670"),
            ("-1.5E-3", "-0.0015"),
            ("1e0", "1"),
            ("0e5", "0"),
            ("0.000e-2", "0.00000"),
            ("12.34e1", "123.4"),
            ("0.5e1", "5"),
            ("0.05e1", "0.5"),
        ] {
            assert_eq!(plain(number).as_deref(), Ok(expected), "{number}");
        }
        assert_eq!(plain("1e147456"), Err(Flaw::TooLong));
        assert_eq!(plain("1e-99999999999999999999"), Err(Flaw::TooLong));
    }

    #[test]
    fn unscaled_bytes_become_digits() {
        let powers = [[0x7f].as_slice(), &[0xff; 15]].concat();
        let lowest = [[0x80].as_slice(), &[0; 15]].concat();
        let wider = [[0x01].as_slice(), &[0; 16]].concat();
        let wider_negative = [[0xff].as_slice(), &[0; 16]].concat();
        for (bytes, scale, expected) in [
            (&[0x30, 0x39][..], 2, "123.45"),
            (&[0xff], 2, "-0.01"),
            (&[0x00], 2, "0.00"),
            (&[], 0, "0"),
            (&[0x80], 0, "-128"),
            (&[0x05], -3, "5000"),
            (&[0x00], -3, "0"),
            (&[0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 0, "18446744073709551615"),
            (&powers, 0, "170141183460469231731687303715884105727"),
            (&lowest, 0, "-170141183460469231731687303715884105728"),
            (&wider, 0, "340282366920938463463374607431768211456"),
            (&wider_negative, 0, "-340282366920938463463374607431768211456"),
            (&wider, 40, "0.0340282366920938463463374607431768211456"),
            (&wider, 39, "0.340282366920938463463374607431768211456"),
            (&wider, 38, "3.40282366920938463463374607431768211456"),
        ] {
            assert_eq!(from_twos_complement(bytes, scale).as_deref(), Ok(expected), "{bytes:?} scale {scale}");
        }
        assert_eq!(from_twos_complement(&[1; MAX_UNSCALED_BYTES + 1], 0), Err(Flaw::TooLong));
        assert_eq!(from_twos_complement(&[1], i32::MIN), Err(Flaw::TooLong));
    }

    #[test]
    fn wide_and_narrow_agree() {
        for value in [1i128, -1, 999_999_999, 1_000_000_000, -1_000_000_001, i128::MAX, i128::MIN, i128::MIN + 1] {
            let bytes = value.to_be_bytes();
            assert_eq!(wide_digits(&bytes, value < 0), value.unsigned_abs().to_string());
        }
    }
}
