//! Flags of `demo`.

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use crate::config::parse_duration_ms;

pub(super) const EXAMPLES: &str = "\
Examples:
  openclaw-usage demo
  openclaw-usage demo --duration 60s --otlp-endpoint http://127.0.0.1:9090/api/v1/otlp
  openclaw-usage demo --generation upgrade --duration 30s
  openclaw-usage demo --incident webhook --otlp-endpoint http://127.0.0.1:9090/api/v1/otlp
      the alert OpenClawWebhookFailing fires, if that Prometheus has the rules of `bundle`
  openclaw-usage demo --seed 7 --jobs 100 --speed 10 --keep-dir

Every two seconds a line compares what the simulated provider billed with what was counted. With --incident \
the gateway is healthy, and something goes wrong after a third of --duration, else after 10 s. Exit status: \
0 equal at the end, 1 not equal, 64 bad usage.";

/// Which OpenClaw `demo` simulates, by where it keeps its history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DemoGeneration {
    /// Files cron/runs/*.jsonl, as 2026.5.28 and earlier
    RunLog,
    /// Table cron_run_logs in state/openclaw.sqlite, as 2026.6.11
    CronRunLogs,
    /// Table task_runs in state/openclaw.sqlite, as 2026.9.6
    #[default]
    TaskRuns,
    /// From 2026.5.28 over 2026.6.11 to 2026.9.6 while it is counted
    Upgrade,
}

/// What goes wrong at the simulated gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoIncident {
    /// Nothing: no alert fires
    None,
    /// A job has been due for an hour and is not run: OpenClawJobMissedSchedule
    Missed,
    /// The runs of a job fail, one after another: OpenClawJobFailing
    Failing,
    /// Each run of a job uses a thousand times its tokens: OpenClawCostBurnFast
    Burn,
    /// A job's webhook is not delivered any more: OpenClawWebhookFailing
    Webhook,
    /// The state directory is gone: OpenClawUsageSourceGone
    Vanished,
}

/// Flags of `demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Seed of all chance; the same seed gives the same runs
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Number of scheduled jobs, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub jobs: u16,
    /// Which OpenClaw is simulated; `upgrade` changes after one and two thirds of --duration, else after 10 s and 20 s
    #[arg(long, value_name = "STORE", value_enum, default_value_t)]
    pub generation: DemoGeneration,
    /// What goes wrong at a gateway that is healthy otherwise, and runs its jobs every 2 to 30 min
    #[arg(long, value_name = "WHAT", value_enum)]
    pub incident: Option<DemoIncident>,
    /// How many times faster than its normal pace the gateway runs
    #[arg(long, value_name = "F", default_value_t = 1.0, value_parser = speed)]
    pub speed: f64,
    /// How long to run, such as 250ms, 60s, 5m, 1h [default: until Ctrl-C]
    #[arg(long = "duration", value_name = "TIME", value_parser = duration)]
    pub duration_ms: Option<u64>,
    /// Keep the temporary directory and print its path
    #[arg(long)]
    pub keep_dir: bool,
    /// Push metrics by OTLP to this URL; may be repeated
    #[arg(long = "otlp-endpoint", value_name = "URL")]
    pub otlp_endpoints: Vec<String>,
    /// Send events by OTLP to this URL, or write them to `stdout`; may be repeated
    #[arg(long, value_name = "SINK")]
    pub events: Vec<String>,
    /// Where /metrics is served; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

fn duration(text: &str) -> Result<u64, String> {
    parse_duration_ms(text)
        .and_then(|ms| if ms > 0 { Ok(ms) } else { Err("expected more than 0".to_owned()) })
}

fn speed(text: &str) -> Result<f64, String> {
    let speed: Option<f64> = text.parse().ok().filter(|speed| (0.01..=1000.0).contains(speed));
    speed.ok_or_else(|| "expected a number from 0.01 to 1000".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::parse_line;
    use super::*;

    #[test]
    fn demo_has_defaults() {
        let Command::Demo(demo) = parse_line("demo").unwrap().command else { panic!("not demo") };
        assert_eq!((demo.seed, demo.jobs, demo.duration_ms, demo.keep_dir), (1, 20, None, false));
        assert!((demo.speed - 1.0).abs() < f64::EPSILON);
        assert_eq!(demo.listen, "127.0.0.1:0".parse().unwrap());
        assert_eq!(demo.generation, DemoGeneration::TaskRuns);
        for (word, generation) in [
            ("run-log", DemoGeneration::RunLog),
            ("cron-run-logs", DemoGeneration::CronRunLogs),
            ("task-runs", DemoGeneration::TaskRuns),
            ("upgrade", DemoGeneration::Upgrade),
        ] {
            let line = format!("demo --generation {word}");
            let Command::Demo(demo) = parse_line(&line).unwrap().command else { panic!("not demo") };
            assert_eq!(demo.generation, generation);
        }
        let Command::Demo(demo) = parse_line("demo --duration 5m --keep-dir").unwrap().command else {
            panic!("not demo")
        };
        assert_eq!((demo.duration_ms, demo.keep_dir), (Some(300_000), true));
    }

    #[test]
    fn an_incident_is_asked_for_by_its_word() {
        let Command::Demo(demo) = parse_line("demo --incident burn").unwrap().command else {
            panic!("not demo")
        };
        assert_eq!(demo.incident, Some(DemoIncident::Burn));
    }
}
