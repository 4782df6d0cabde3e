//! A cost in dollars as JSON writes it, to an integer.

/// Digits that a nano-dollar has behind the point of a dollar.
const NANO: i32 = 9;
/// Largest cost of one call that is believed: a million dollars, in nano-USD.
const MOST: u64 = 1_000_000_000_000_000;

/// Returns the number in this text of a JSON number of dollars in nano-USD, rounded to the nearest, halves to even.
///
/// The decimal text itself is rounded, not a double made of it. `None`: not a number, negative (some price lists say
/// -1 for "varies"), or more than a million dollars.
pub(super) fn nano_usd(text: &str) -> Option<u64> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if whole.is_empty() || !digits().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Digits up to here belong to the result, the one behind decides how it is rounded.
    let kept = i64::from(exponent) + i64::try_from(whole.len()).ok()? + i64::from(NANO);
    let mut nanos: u64 = 0;
    let (mut first, mut rest) = (0, false);
    let count = i64::try_from(whole.len() + fraction.len()).ok()?;
    for (at, digit) in (0i64..).zip(digits().map(|byte| byte - b'0')) {
        if at < kept {
            nanos = nanos.checked_mul(10)?.checked_add(u64::from(digit))?;
        } else if at == kept {
            first = digit;
        } else {
            rest |= digit != 0;
        }
    }
    // Zeros that the text leaves out before the point; more than these make any digit too large.
    for _ in count..kept.min(count + 32) {
        nanos = nanos.checked_mul(10)?;
    }
    let up = first > 5 || first == 5 && (rest || nanos % 2 == 1);
    nanos = nanos.checked_add(u64::from(up))?;
    (nanos <= MOST).then_some(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_text_is_rounded_half_even() {
        for (text, expected) in [
            ("0", Some(0)),
            ("0.00411", Some(4_110_000)),
            ("0.0036030000000000003", Some(3_603_000)),
            ("0.004840799999999999", Some(4_840_800)),
            ("3e-7", Some(300)),
            ("1.5E-3", Some(1_500_000)),
            ("12", Some(12_000_000_000)),
            ("1e3", Some(1_000_000_000_000)),
            ("0.0000000005", Some(0)),
            ("0.0000000015", Some(2)),
            ("0.0000000025", Some(2)),
            ("0.00000000250000000000000000000001", Some(3)),
            ("5e-10", Some(0)),
            ("6e-10", Some(1)),
            ("9e-11", Some(0)),
            ("0.0000000004999999999999999999999", Some(0)),
            ("0e99", Some(0)),
            ("1e6", Some(MOST)),
            ("1e7", None),
            ("1e2147483647", None),
            ("1e99999999999", None),
            ("1e-2147483648", Some(0)),
            ("-1", None),
            ("\"1\"", None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(nano_usd(text), expected, "{text}");
        }
    }
}
