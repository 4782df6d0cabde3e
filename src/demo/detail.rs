//! The record of a run as 2026.9.6 keeps it in a row of `task_runs`.

use super::Error;
use super::record::RunRecord;
use serde_json::{Map, Value};

/// Keys of a record that a `detail_json` does not repeat: columns hold them.
const COLUMNS: [&str; 4] = ["ts", "jobId", "action", "sessionKey"];

/// Returns the `detail_json` of a finished run. Two keys are null where a line would leave them out.
pub(super) fn finished(record: &RunRecord, store_key: &str) -> Result<String, Error> {
    let value = serde_json::to_value(record).map_err(Error::json("a run record"))?;
    let Value::Object(mut detail) = value else { return Ok(running(store_key)) };
    detail.retain(|key, _| !COLUMNS.contains(&key.as_str()));
    detail.insert("kind".into(), "cron-run".into());
    detail.insert("completionStatus".into(), record.completion().into());
    detail.insert("storeKey".into(), store_key.into());
    for key in ["error", "summary"] {
        detail.entry(key).or_insert(Value::Null);
    }
    Ok(Value::Object(detail).to_string())
}

/// Returns the `detail_json` of a run under way.
pub(super) fn running(store_key: &str) -> String {
    Value::Object(Map::from_iter([("storeKey".to_owned(), store_key.into())])).to_string()
}
