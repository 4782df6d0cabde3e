//! What a run said, out of its record: read only if somebody passes it on.
//!
//! Deliberately absent from the reader of runs itself, which steps over it: nothing can leave that way by mistake.

use serde::Deserialize;

use super::lenient::Text;
use super::record::trim;

/// Longest text that is kept, in characters: more than any service of people shows.
pub const SUMMARY_MAX: usize = 8_000;
/// What agents say when they have nothing to say.
const NOTHING: &str = "NO_REPLY";

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow, default)]
    summary: Text<'a>,
}

/// Returns what the run said of which this is the record, cut to [`SUMMARY_MAX`]; nothing if it said nothing, or this is
/// no record.
#[must_use]
pub fn summary_of(record: &[u8]) -> Option<String> {
    let mut values = serde_json::Deserializer::from_slice(trim(record)).into_iter::<Said<'_>>();
    let said = values.next()?.ok()?;
    let text = said.summary.get()?.trim();
    (text != NOTHING).then(|| text.chars().take(SUMMARY_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_may_say_something() {
        for (record, said) in [
            (r#"{"ts":1,"jobId":"a","summary":" two\nlines ","status":"ok"}"#, Some("two\nlines")),
            (r#"{"summary":"caf\u00e9"}"#, Some("café")),
            (r#"{"summary":"NO_REPLY"}"#, None),
            (r#"{"summary":"  "}"#, None),
            (r#"{"summary":null}"#, None),
            (r#"{"summary":{"text":"x"}}"#, None),
            (r#"{"status":"ok"}"#, None),
            ("[]", None),
            ("no JSON", None),
            ("", None),
        ] {
            assert_eq!(summary_of(record.as_bytes()).as_deref(), said, "{record}");
        }
        let long = format!("{{\"summary\":\"{}\"}}", "é".repeat(9_000));
        assert_eq!(summary_of(long.as_bytes()).unwrap().chars().count(), SUMMARY_MAX);
    }
}
