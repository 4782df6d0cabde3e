//! An office's gateway over two months, counted by the daemon itself and scraped all the way into a Prometheus; the events
//! of its last day go to a Loki.
//!
//! What the gateway's own plugin would have sent is made of the same runs: it is not part of the simulation.

use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use openclaw_usage::config::{self, Environment, Overrides};
use openclaw_usage::demo::{Finished, Gateway, Generation, Options, Said};
use openclaw_usage::model::{Status, UnixMs};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::blocks::{Blocks, scraped};
use crate::common::servers::{Loki, Prometheus, Version};
use crate::lapse::Lapse;
use crate::say;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The past, the steps in which it passes, and how often it is scraped: from then until so long before the end.
const PACE: [(i64, i64, i64); 4] = [
    (8 * DAY, 2 * HOUR, 4 * MINUTE),
    (26 * HOUR, 30 * MINUTE, 4 * MINUTE),
    (7 * HOUR, 5 * MINUTE, 15 * SECOND),
    (0, MINUTE, 15 * SECOND),
];
const PAST: i64 = 62 * DAY;
/// Since when its events are told.
const TOLD: i64 = 26 * HOUR;

/// A step of the clock is no answer that failed to come.
const PATIENT: &str = "timeout = \"10m\"\n";

/// Servers that know the office.
pub struct Office {
    pub prometheus: Prometheus,
    pub loki: Loki,
    /// Up to when.
    pub end: i64,
}

impl Office {
    /// Lives through it.
    pub fn new(end: i64) -> Result<Self, Box<dyn Error>> {
        let loki = Loki::start();
        let pushed = Prometheus::start(Version::V3, &[]);
        let mut result = Ok(0);
        let prometheus = Prometheus::start_with_blocks(
            Version::V3,
            &["--storage.tsdb.retention.time=1y"],
            |data| {
                let receivers = format!(
                    "[[otlp]]\nname = \"prometheus\"\n{PATIENT}endpoint = \"{}\"\n[[events.otlp]]\nname = \"loki\"\n{PATIENT}endpoint = \"{}\"\n",
                    pushed.otlp_endpoint(),
                    loki.otlp_endpoint()
                );
                result = Film::new(end, PAST, &receivers).and_then(|film| film.shoot(data));
            },
        );
        say(&format!("{} samples of {} days", result?, PAST / DAY));
        Ok(Self { prometheus, loki, end })
    }
}

/// What a scrape shows of the office after so many days.
pub fn page_after(end: i64, days: i64) -> Result<String, Box<dyn Error>> {
    let mut film = Film::new(end, days * DAY, "")?;
    let mut at = end - days * DAY;
    film.start("alone.toml", at)?;
    while at < end {
        film.happen(at, at + HOUR)?;
        film.counted(at + HOUR)?;
        at += HOUR;
    }
    let page = film.counted(end)?;
    film.stop();
    Ok(page)
}

/// The gateway, its daemon, and the way from one scrape to the next.
struct Film {
    folder: TempDir,
    gateway: Gateway,
    lapse: Option<Lapse>,
    plugin: Plugin,
    end: i64,
    /// Runs that were written beside the simulation.
    told: u64,
}

impl Film {
    /// From so long before the end; what it pushes to is a part of its configuration.
    fn new(end: i64, past: i64, receivers: &str) -> Result<Self, Box<dyn Error>> {
        let folder = TempDir::new()?;
        let start = UnixMs(end - past);
        let options = Options { seed: 9, start, generation: Generation::V2026_9_6, ..Options::office() };
        let gateway = Gateway::new(&folder.path().join("state"), options)?;
        let log = gateway.log_file();
        fs::create_dir_all(log.parent().ok_or("a log without a folder")?)?;
        let budgets = "[log]\nlevel = \"error\"\n\
                       [[budget]]\nname = \"all jobs\"\nusd = 12\nperiod = \"day\"\ntimezone = \"UTC\"\n\
                       [[budget]]\nname = \"team\"\nusd = 300\nperiod = \"month\"\ntimezone = \"UTC\"\n";
        let standby = "[[otlp]]\nname = \"standby\"\nendpoint = \"http://127.0.0.1:1\"\n\
                       [[events.otlp]]\nname = \"archive\"\nendpoint = \"http://127.0.0.1:1\"\n";
        fs::write(folder.path().join("alone.toml"), budgets)?;
        fs::write(folder.path().join("pushing.toml"), format!("{budgets}{receivers}"))?;
        fs::write(folder.path().join("standby.toml"), format!("{budgets}{receivers}{standby}"))?;
        let film = Self { folder, gateway, lapse: None, plugin: Plugin::default(), end, told: 0 };
        film.edit_models(|model| {
            if model["id"] == "sim-silent" {
                model.as_object_mut().map(|model| model.remove("cost"));
            }
        })?;
        Ok(film)
    }

    /// Lets it all happen, and returns how many samples were scraped.
    fn shoot(mut self, data: &Path) -> Result<u64, Box<dyn Error>> {
        let mut blocks = Blocks::new(data)?;
        let mut at = self.end - PAST;
        self.start("alone.toml", at)?;
        let mut lines = Vec::new();
        for (until, step, scrape) in PACE {
            say(&format!("{} days before the end", (self.end - at) / DAY));
            while at < self.end - until {
                let next = (at + step).min(self.end - until);
                if step <= MINUTE {
                    self.watch(next)?;
                }
                self.happen(at, next)?;
                let page = self.counted(next)?;
                // Until then a scrape showed what the one before did.
                blocks.add(&lines, (at..next).step_by(usize::try_from(scrape)?))?;
                lines = scraped(&page, "openclaw-usage", "office");
                lines.extend(self.plugin.lines());
                at = next;
            }
        }
        blocks.add(&lines, std::iter::once(self.end))?;
        self.stop();
        Ok(blocks.finish()?)
    }

    /// Counts each run at its own time until then: what is late is late by the daemon's own doing.
    fn watch(&mut self, until: i64) -> Result<(), Box<dyn Error>> {
        while self.gateway.next_due().0 < until {
            let due = self.gateway.next_due();
            let finished = self.gateway.step(due)?;
            self.plugin.saw(&finished);
            if !finished.is_empty() {
                self.counted(due.0)?;
            }
        }
        Ok(())
    }

    /// What happens after one moment and up to another.
    fn happen(&mut self, from: i64, to: i64) -> Result<(), Box<dyn Error>> {
        let finished = self.gateway.step(UnixMs(to))?;
        self.plugin.saw(&finished);
        let end = self.end;
        let passes = |before: i64| (from + 1..=to).contains(&(end - before));
        if passes(TOLD) || passes(4 * HOUR - 20 * MINUTE) {
            self.start("pushing.toml", to)?;
        } else if passes(4 * HOUR) {
            self.start("standby.toml", to)?;
        }
        if passes(3 * DAY) {
            self.edit_models(|model| {
                if model["id"] == "sim-long" {
                    model["cost"]["output"] = json!(18.0);
                }
            })?;
        }
        if passes(5 * HOUR) || passes(2 * HOUR) {
            self.append("torn", "{\"action\":\"finished\",\"ts\":nonsense}\n")?;
        }
        if passes(6 * HOUR) || passes(HOUR) {
            let records = self.folder.path().join("state/cron/runs/moved.jsonl");
            fs::create_dir_all(records.parent().ok_or("a log without a folder")?)?;
            fs::write(records, format!("{}\n", record("moved", "moved", to - 2_000, to - 1_000)))?;
            self.told += 1;
        }
        let due = |every: i64| to - from < every && to.div_euclid(every) != from.div_euclid(every);
        if self.end - to < TOLD && due(HOUR) {
            self.tell_a_session(to - 5 * SECOND)?;
        }
        if self.end - to < TOLD && due(7 * HOUR) {
            let dead = self.gateway.jobs().iter().find(|job| job.name == "sales-report");
            let id = dead.ok_or("no job whose webhook is dead")?.id.clone();
            self.gateway.log(Said::WebhookFailed, &id, UnixMs(to))?;
        }
        Ok(())
    }

    /// The page that counts everything up to that moment.
    fn counted(&self, at: i64) -> Result<String, Box<dyn Error>> {
        let lapse = self.lapse.as_ref().ok_or("no daemon")?;
        let wanted = self.gateway.bill().runs() + self.told;
        for nudge in 0..2_000 {
            // The daemon waits a little between two looks, by the clock that is set here.
            lapse.go_to(at + (100 * nudge).min(2 * SECOND));
            let page = lapse.page();
            let runs = page.lines().filter(|line| line.starts_with("openclaw_cron_runs_total{"));
            let runs: u64 = runs.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum();
            if runs >= wanted {
                return Ok(page);
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        Err(format!("{wanted} runs were not counted").into())
    }

    fn start(&mut self, file: &str, at: i64) -> Result<(), Box<dyn Error>> {
        self.stop();
        let text = |path: PathBuf| Some(path.to_string_lossy().into_owned());
        let flags = Overrides {
            config: text(self.folder.path().join(file)),
            state_dir: text(self.folder.path().join("state")),
            ledger: text(self.folder.path().join("ledger.sqlite")),
            gateway: Some("office".into()),
            listen: Some("127.0.0.1:0".into()),
            ..Overrides::default()
        };
        let log = self.gateway.log_file();
        let own = [("OPENCLAW_USAGE_GATEWAY_LOG", log.to_string_lossy())];
        let own: Environment = own.iter().map(|(name, value)| (*name, value.as_ref())).collect();
        self.lapse = Some(Lapse::start(config::load(&flags, &own)?, at));
        Ok(())
    }

    fn stop(&mut self) {
        if let Some(lapse) = self.lapse.take() {
            lapse.stop();
        }
    }

    /// A run of the costliest job whose session tells how much of its model's context it filled.
    fn tell_a_session(&mut self, at: i64) -> Result<(), Box<dyn Error>> {
        let job = self.gateway.jobs().iter().find(|job| job.name == "market-research");
        let (job, session) = (job.ok_or("no costly job")?.id.clone(), format!("told-{}", self.told));
        let sessions = self.folder.path().join("state/agents/research/sessions");
        fs::create_dir_all(&sessions)?;
        let input = 30_000 + 7_000 * (self.told % 9);
        let usage = json!({ "input": input, "output": 900 });
        let said = json!({ "role": "assistant", "timestamp": at + 2, "content": "x", "provider": "simant", "model": "sim-claude", "usage": usage });
        let asked = json!({ "role": "user", "timestamp": at + 1, "content": format!("[cron:{job} market-research] x") });
        let lines = [
            json!({ "type": "session", "id": session }),
            json!({ "type": "message", "message": asked }),
            json!({ "type": "message", "message": said }),
        ];
        let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
        fs::write(sessions.join(format!("{session}.jsonl")), text)?;
        self.append(&job, &format!("{}\n", record(&job, &session, at, at + 900)))?;
        self.told += 1;
        Ok(())
    }

    fn append(&self, job: &str, text: &str) -> Result<(), Box<dyn Error>> {
        let runs = self.folder.path().join("state/cron/runs");
        fs::create_dir_all(&runs)?;
        let mut log = OpenOptions::new().create(true).append(true).open(runs.join(format!("{job}.jsonl")))?;
        Ok(log.write_all(text.as_bytes())?)
    }

    fn edit_models(&self, edit: impl Fn(&mut Value)) -> Result<(), Box<dyn Error>> {
        let file = self.folder.path().join("state/openclaw.json");
        let mut config: Value = serde_json::from_slice(&fs::read(&file)?)?;
        for provider in ["sim", "simant"] {
            let models = config["models"]["providers"][provider]["models"].as_array_mut();
            models.into_iter().flatten().for_each(&edit);
        }
        Ok(fs::write(file, config.to_string())?)
    }
}

/// A line of a run log.
fn record(job: &str, session: &str, at: i64, ts: i64) -> Value {
    json!({
        "ts": ts, "jobId": job, "action": "finished", "status": "ok", "runAtMs": at, "durationMs": ts - at,
        "sessionId": session, "sessionKey": format!("agent:research:cron:{job}:run:{session}"),
        "provider": "simant", "model": "sim-claude",
    })
}

/// What OpenClaw's own plugin counts of the same runs.
#[derive(Default)]
struct Plugin {
    completed: u64,
    failed: u64,
    buckets: [u64; 4],
    took_ms: i64,
    waiting: u64,
    running: Vec<i64>,
}

/// Upper bounds of its histogram of durations, in milliseconds.
const BOUNDS: [&str; 4] = ["250", "1000", "5000", "+Inf"];

impl Plugin {
    fn saw(&mut self, finished: &[Finished]) {
        for run in finished.iter().filter(|run| run.status != Status::Skipped) {
            let took = run.ts.since(run.run_at);
            *(if run.status == Status::Ok { &mut self.completed } else { &mut self.failed }) += 1;
            for (bucket, bound) in self.buckets.iter_mut().zip([250, 1_000, 5_000, i64::MAX]) {
                *bucket += u64::from(took <= bound);
            }
            self.took_ms += took;
            self.running.retain(|ends| *ends > run.run_at.0);
            self.waiting += u64::try_from(self.running.len()).unwrap_or(0);
            self.running.push(run.ts.0);
        }
    }

    fn lines(&self) -> Vec<String> {
        let own = r#"job="openclaw""#;
        let all = self.completed + self.failed;
        let mut lines = vec![
            format!(
                r#"openclaw_message_processed_total{{{own},openclaw_outcome="completed",openclaw_channel="cron"}} {}"#,
                self.completed
            ),
            format!(
                r#"openclaw_message_processed_total{{{own},openclaw_outcome="error",openclaw_channel="cron"}} {}"#,
                self.failed
            ),
            format!("openclaw_message_duration_ms_milliseconds_sum{{{own}}} {}", self.took_ms),
            format!("openclaw_message_duration_ms_milliseconds_count{{{own}}} {all}"),
            format!(r#"openclaw_queue_depth_sum{{{own},openclaw_lane="cron"}} {}"#, self.waiting),
            format!(r#"openclaw_queue_depth_count{{{own},openclaw_lane="cron"}} {all}"#),
        ];
        lines.extend(BOUNDS.iter().zip(self.buckets).map(|(bound, number)| {
            format!(r#"openclaw_message_duration_ms_milliseconds_bucket{{{own},le="{bound}"}} {number}"#)
        }));
        lines.extend(
            ["processing", "idle"].map(|state| {
                format!(r#"openclaw_session_state_total{{{own},openclaw_state="{state}"}} {all}"#)
            }),
        );
        lines
    }
}
