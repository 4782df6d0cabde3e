//! How long to wait after a failure.
//!
//! Full jitter: a wait anywhere between nothing and a ceiling that doubles, so that many senders whose server
//! comes back do not return together. Deliberately absent: randomness itself, which the caller draws.

/// Ceiling after the first failure, in milliseconds.
pub const FIRST_MS: u64 = 1_000;
/// Ceiling after many failures, in milliseconds.
pub const LONGEST_MS: u64 = 60_000;

/// Returns the wait in milliseconds before the attempt after `failures` failures in a row (from 1), given a
/// uniformly random `random`. Between 0 and the ceiling, both included.
#[must_use]
pub fn wait_ms(failures: u32, random: u64) -> u64 {
    let doublings = failures.saturating_sub(1).min(16);
    let ceiling = (FIRST_MS << doublings).min(LONGEST_MS);
    random % (ceiling + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_a_minute() {
        for (failures, ceiling) in [
            (0, 1_000),
            (1, 1_000),
            (2, 2_000),
            (3, 4_000),
            (6, 32_000),
            (7, 60_000),
            (8, 60_000),
            (u32::MAX, 60_000),
        ] {
            assert_eq!(wait_ms(failures, ceiling), ceiling, "after {failures} failures");
            assert_eq!(wait_ms(failures, ceiling + 1), 0, "after {failures} failures");
            assert!(wait_ms(failures, u64::MAX) <= ceiling, "after {failures} failures");
        }
    }
}
