//! A picture of each dashboard, drawn by Grafana's own components from what real servers answer.

use std::error::Error;
use std::path::Path;
use std::process::Command;

use openclaw_usage::clock::Clock;

use crate::office::Office;

/// Lives through the office's weeks and draws.
pub fn draw(folder: &Path) -> Result<(), Box<dyn Error>> {
    let office = Office::new(Clock::System.now().0)?;
    let drawer = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboards/pictures");
    let status = Command::new("node")
        .current_dir(&drawer)
        .arg("draw.mjs")
        .arg(std::path::absolute(folder)?)
        .env("PROMETHEUS_URL", format!("http://{}", office.prometheus.address()))
        .env("LOKI_URL", office.loki.otlp_endpoint().replace("/otlp", ""))
        .env("NOW_MS", office.end.to_string())
        .status()?;
    if status.success() { Ok(()) } else { Err(format!("drawing ended with {status}").into()) }
}
