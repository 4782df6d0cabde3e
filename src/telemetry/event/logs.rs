//! Lines of events as records of OTLP's logs.
//!
//! A record is made from the line that was kept, so that it is the same however often it is sent. Deliberately absent:
//! anything that the line does not hold, but the time at which it was written down.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use serde_json::{Map, Value};

use super::{MESSAGE, SEVERITY, TIMESTAMP, event_key};
use crate::model::{StoredEvent, UnixMs};
use crate::telemetry::Resource;
use crate::telemetry::otlp::{resource_attributes, scope};

/// Returns one request with these events. No event at all makes a request that is valid and empty.
#[must_use]
pub fn request<'a>(
    events: impl IntoIterator<Item = &'a StoredEvent>,
    resource: &Resource,
) -> ExportLogsServiceRequest {
    let log_records = events.into_iter().map(record).collect();
    ExportLogsServiceRequest {
        resource_logs: vec![ResourceLogs {
            resource: Some(resource_attributes(resource)),
            scope_logs: vec![ScopeLogs { scope: Some(scope()), log_records, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
}

fn record(event: &StoredEvent) -> LogRecord {
    // What was kept is what `line` made.
    let mut fields: Map<String, Value> = serde_json::from_str(&event.content).unwrap_or_default();
    let mut text = |key: &str| match fields.remove(key) {
        Some(Value::String(text)) => text,
        _ => String::new(),
    };
    let (timestamp, severity, message) = (text(TIMESTAMP), text(SEVERITY), text(MESSAGE));
    let at = timestamp.parse::<jiff::Timestamp>().map(|at| UnixMs(at.as_millisecond()));
    let name = fields.get(event_key::NAME).and_then(Value::as_str).unwrap_or_default().to_owned();
    LogRecord {
        time_unix_nano: at.unwrap_or(event.stored).as_unix_nano(),
        observed_time_unix_nano: event.stored.as_unix_nano(),
        severity_number: number(&severity).into(),
        severity_text: severity,
        body: Some(AnyValue { value: Some(any_value::Value::StringValue(message)) }),
        attributes: fields.into_iter().map(attribute).collect(),
        event_name: name,
        ..LogRecord::default()
    }
}

/// Source: the severity numbers of OpenTelemetry's log data model.
fn number(severity: &str) -> SeverityNumber {
    match severity {
        "ERROR" => SeverityNumber::Error,
        "WARN" => SeverityNumber::Warn,
        _ => SeverityNumber::Info,
    }
}

fn attribute((key, value): (String, Value)) -> KeyValue {
    let value = match value {
        Value::String(text) => any_value::Value::StringValue(text),
        Value::Number(number) => any_value::Value::IntValue(number.as_i64().unwrap_or(i64::MAX)),
        other => any_value::Value::StringValue(other.to_string()),
    };
    KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}
