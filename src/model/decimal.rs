//! Decimal numbers as they are written, exactly: no floating point between the text and the integer.

/// Longest number that is looked at, in bytes; an honest price has ten.
const MAX_LEN: usize = 400;

/// Why a text is not a number that we can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// It is no decimal number: words, NaN, infinity, hexadecimal.
    #[error("not a decimal number")]
    NotANumber,
    /// It does not fit into 64 bits at this precision.
    #[error("too large")]
    TooLarge,
}

/// Returns `text` × 10^`scale` as an integer, rounded half to even.
///
/// Takes what JSON and TOML call a decimal number, with sign, exponent and TOML's `_` between digits.
///
/// # Errors
/// See [`DecimalError`].
pub fn parse_scaled(text: &str, scale: u8) -> Result<i64, DecimalError> {
    let text = text.trim();
    if text.len() > MAX_LEN {
        return Err(DecimalError::NotANumber);
    }
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let mut digits = digits_of(whole)?;
    // `5.` and `.5` are numbers in JSON5, `.` alone is none.
    let point = i64::try_from(digits.len()).unwrap_or(i64::MAX);
    digits.extend(digits_of(fraction)?);
    if digits.is_empty() {
        return Err(DecimalError::NotANumber);
    }
    let magnitude = rounded(&digits, point.saturating_add(exponent).saturating_add(i64::from(scale)))?;
    let signed = if negative { -magnitude } else { magnitude };
    i64::try_from(signed).map_err(|_| DecimalError::TooLarge)
}

/// Returns the digits' values; an underscore must stand between two digits.
fn digits_of(text: &str) -> Result<Vec<u8>, DecimalError> {
    if text.starts_with('_') || text.ends_with('_') || text.contains("__") {
        return Err(DecimalError::NotANumber);
    }
    let bytes = text.bytes().filter(|byte| *byte != b'_');
    bytes.map(|byte| byte.is_ascii_digit().then(|| byte - b'0').ok_or(DecimalError::NotANumber)).collect()
}

fn parse_exponent(text: &str) -> Result<i64, DecimalError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(DecimalError::NotANumber);
    }
    // Beyond 64 bits only the direction matters.
    let magnitude = digits.parse::<i64>().unwrap_or(i64::MAX / 4).min(i64::MAX / 4);
    Ok(if text.starts_with('-') { -magnitude } else { magnitude })
}

/// Returns the number whose first `kept` digits stand before the point.
fn rounded(digits: &[u8], kept: i64) -> Result<i128, DecimalError> {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let kept = kept.saturating_sub(i64::try_from(zeros).unwrap_or(i64::MAX));
    let digits = digits.get(zeros..).unwrap_or_default();
    if digits.is_empty() || kept < 0 {
        return Ok(0);
    }
    // 2^63 has 19 digits.
    let kept = usize::try_from(kept).ok().filter(|kept| *kept <= 19).ok_or(DecimalError::TooLarge)?;
    let digit = |at: usize| digits.get(at).copied().unwrap_or(0);
    let value = (0..kept).fold(0_i128, |value, at| value * 10 + i128::from(digit(at)));
    let beyond = digits.get(kept + 1..).is_some_and(|rest| rest.iter().any(|digit| *digit > 0));
    let up = match digit(kept) {
        0..=4 => false,
        5 => beyond || value % 2 == 1,
        _ => true,
    };
    Ok(value + i128::from(up))
}

/// Returns `numerator` / `denominator` rounded half to even; the denominator is positive.
#[must_use]
pub(crate) fn div_half_even(numerator: i128, denominator: i128) -> i128 {
    let quotient = numerator.div_euclid(denominator);
    let twice = numerator.rem_euclid(denominator).saturating_mul(2);
    let up = twice > denominator || (twice == denominator && quotient.rem_euclid(2) == 1);
    quotient + i128::from(up)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_json_and_toml_write_them() {
        for (text, scale, expected) in [
            ("0", 9, Ok(0)),
            ("-0.0", 9, Ok(0)),
            ("3", 9, Ok(3_000_000_000)),
            ("0.3", 9, Ok(300_000_000)),
            ("+3.75", 2, Ok(375)),
            (".5", 1, Ok(5)),
            ("5.", 0, Ok(5)),
            ("1_000.5", 1, Ok(10_005)),
            ("1.5e-07", 15, Ok(150_000_000)),
            ("3E-6", 15, Ok(3_000_000_000)),
            ("1e3", 0, Ok(1000)),
            ("4.9999999999999998e-08", 15, Ok(50_000_000)),
            // Half to even, and what lies just beside the half.
            ("0.5", 0, Ok(0)),
            ("1.5", 0, Ok(2)),
            ("2.5", 0, Ok(2)),
            ("2.50000000000000000000000001", 0, Ok(3)),
            ("-1.5", 0, Ok(-2)),
            ("-2.5", 0, Ok(-2)),
            ("0.05", 0, Ok(0)),
            ("0.51", 0, Ok(1)),
            ("1e-400", 9, Ok(0)),
            ("0e99999999999999999999", 9, Ok(0)),
            ("9223372036854775807", 0, Ok(i64::MAX)),
            ("-9223372036854775808", 0, Ok(i64::MIN)),
            ("9223372036854775808", 0, Err(DecimalError::TooLarge)),
            ("9223372036.854775808", 9, Err(DecimalError::TooLarge)),
            ("1e30", 0, Err(DecimalError::TooLarge)),
            ("1e99999999999999999999", 0, Err(DecimalError::TooLarge)),
        ] {
            assert_eq!(parse_scaled(text, scale), expected, "{text:?} at {scale}");
        }
        for text in [
            "", ".", "-", "e5", "1e", "1e+", "1e1.5", "NaN", "inf", "-inf", "0x10", "1,5", "1 5", "$3",
            "1__0", "_1", "1_", "--1", "٣",
        ] {
            assert_eq!(parse_scaled(text, 9), Err(DecimalError::NotANumber), "{text:?}");
        }
        assert_eq!(parse_scaled(&"1".repeat(401), 0), Err(DecimalError::NotANumber));
    }

    #[test]
    fn division_rounds_half_to_even_on_both_sides_of_zero() {
        for (numerator, expected) in
            [(0, 0), (5, 0), (6, 1), (14, 1), (15, 2), (25, 2), (-5, 0), (-15, -2), (-25, -2), (-26, -3)]
        {
            assert_eq!(div_half_even(numerator, 10), expected, "{numerator}");
        }
    }
}
