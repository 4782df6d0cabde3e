//! The gateway's database: a large history, a commit until it is visible, and a minute without any change.
//!
//! The database is a recorded one of 2026.9.6, with its whole schema, to which runs are added as that version adds them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openclaw_usage::clock::Clock;
use openclaw_usage::config::{self, Environment, Overrides};
use openclaw_usage::serve;
use rusqlite::{Connection, params};
use tempfile::TempDir;

use crate::Failure;
use crate::daemon::Daemon;
use crate::measure::{Samples, float, monotonic, now_ms};
use crate::table::{Table, number};

/// Runs in a large history.
pub const ROWS: i64 = 100_000;
const JOBS: i64 = 50;
/// What the database is filled up to, in bytes.
const LARGE: i64 = 1_000_000_000;
const LATENCIES: u32 = 300;
const COMMITS: u32 = 2_000;
/// Holds exactly one safety sweep.
const MINUTE: Duration = Duration::from_secs(61);
/// Runs in the recording.
const RECORDED: u64 = 76;

/// A gateway's state directory and its connection to the database.
pub struct Gateway {
    folder: TempDir,
    connection: Connection,
    runs: u64,
}

impl Gateway {
    /// Unpacks the recording.
    pub fn new() -> Result<Self, Failure> {
        let folder = TempDir::new()?;
        let archive = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/2026.9.6.tar.zst");
        tar::Archive::new(zstd::Decoder::new(File::open(archive)?)?).unpack(folder.path())?;
        let connection = Connection::open(folder.path().join("state-dir/state/openclaw.sqlite"))?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Self { folder, connection, runs: RECORDED })
    }

    /// Its state directory.
    pub fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state-dir")
    }

    fn ledger(&self, name: &str) -> PathBuf {
        self.folder.path().join(format!("{name}.sqlite"))
    }

    /// Adds finished runs, five seconds apart, in one transaction.
    pub fn add(&mut self, count: i64) -> Result<(), Failure> {
        let transaction = self.connection.transaction()?;
        let mut insert = transaction.prepare_cached(
            "INSERT INTO task_runs (task_id, runtime, task_kind, source_id, requester_session_key, owner_key, scope_kind,
                child_session_key, agent_id, run_id, label, task, status, delivery_status, notify_policy, created_at,
                started_at, ended_at, last_event_at, cleanup_after, progress_summary, terminal_summary, detail_json)
             VALUES (?1, 'cron', 'automation_run', ?2, '', '', 'system', ?3, 'main', ?1, ?4, ?4, 'succeeded',
                'not_applicable', 'silent', ?5, ?5, ?6, ?6, ?6, 'Running automation.', ?7, ?8)",
        )?;
        let summary = "All quiet, three items were checked and none of them needs anybody. ".repeat(3);
        for n in 0..count {
            let serial = i64::try_from(self.runs)? + n;
            let (job, at) = (serial % JOBS, now_ms() - (count - n) * 5_000);
            let (job_id, name) = (format!("00000000-0000-4000-8000-{job:012}"), format!("job {job}"));
            let detail = format!(
                r#"{{"kind":"cron-run","status":"ok","completionStatus":"succeeded","error":null,"summary":"{summary}","storeKey":"/home/node/.openclaw/cron/jobs.json","deliveryStatus":"not-requested","sessionId":"{serial}","runAtMs":{at},"durationMs":4000,"nextRunAtMs":{},"model":"mock-tools","provider":"mock","usage":{{"input_tokens":2000,"output_tokens":65,"total_tokens":3865,"cache_read_tokens":1800}}}}"#,
                at + 60_000
            );
            insert.execute(params![
                format!("bench-{serial}"),
                job_id,
                format!("agent:main:cron:{job_id}:run:{serial}"),
                name,
                at,
                at + 4_000,
                summary,
                detail
            ])?;
        }
        drop(insert);
        transaction.commit()?;
        self.runs += u64::try_from(count)?;
        Ok(())
    }

    /// Fills the file up with what is none of ours.
    fn fill(&self) -> Result<(), Failure> {
        let page: i64 = self.connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let pages: i64 = self.connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        let megabytes = (LARGE - page * pages) / 1_000_000;
        self.connection.execute_batch(&format!(
            "CREATE TABLE filler (bytes BLOB);
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < {megabytes})
             INSERT INTO filler SELECT zeroblob(1000000) FROM n;
             PRAGMA wal_checkpoint(TRUNCATE);"
        ))?;
        Ok(())
    }
}

/// Measures all of it.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    let mut gateway = Gateway::new()?;
    gateway.add(ROWS)?;
    cold(&gateway, table)?;
    visible(&mut gateway, table)?;
    busy(&mut gateway, table)?;
    idle(&gateway, table)
}

fn cold(gateway: &Gateway, table: &mut Table) -> Result<(), Failure> {
    let start = monotonic();
    let daemon = Daemon::start(&gateway.state_dir(), &gateway.ledger("cold"), &[])?;
    daemon.wait_for_runs(gateway.runs, Duration::from_millis(5))?;
    table.at_most("100,000 rows of task_runs cold", 1.0, "s", start.elapsed().as_secs_f64());
    table.note("the same, CPU", &format!("{} s", number(float(daemon.cpu_ns()?) / 1e9)));
    table.note("the same, peak RSS", &format!("{} MiB", number(daemon.peak_mib()?)));
    daemon.stop()?;
    let start = monotonic();
    let daemon = Daemon::start(&gateway.state_dir(), &gateway.ledger("cold"), &[])?;
    daemon.wait_for_runs(gateway.runs, Duration::from_millis(5))?;
    table.note("started again on them", &format!("{} s", number(start.elapsed().as_secs_f64())));
    daemon.stop()
}

/// `serve` within this process, so that the moment of visibility is seen without asking for it.
fn visible(gateway: &mut Gateway, table: &mut Table) -> Result<(), Failure> {
    let flags = Overrides {
        state_dir: Some(gateway.state_dir().display().to_string()),
        ledger: Some(gateway.ledger("cold").display().to_string()),
        listen: Some("127.0.0.1:0".to_owned()),
        ..Overrides::default()
    };
    let config = config::load(&flags, &Environment::default())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut latency = Samples::default();
    let mut random = fastrand::Rng::with_seed(4);
    runtime.block_on(async {
        let mut running = serve::start(&config, &Clock::System).await?;
        running.revisions.changed().await?;
        for _ in 0..LATENCIES {
            tokio::time::sleep(Duration::from_millis(random.u64(0..400))).await;
            running.revisions.mark_unchanged();
            let start = monotonic();
            gateway.add(1)?;
            running.revisions.changed().await?;
            latency.push(start.elapsed().as_secs_f64() * 1e3);
        }
        running.stop().await;
        Ok::<_, Failure>(())
    })?;
    table.note("row in task_runs → visible, p50", &format!("{} ms", number(latency.median())));
    table.at_most("row in task_runs → visible, p99", 500.0, "ms", latency.quantile(0.99));
    Ok(())
}

/// A gateway that commits all the time.
fn busy(gateway: &mut Gateway, table: &mut Table) -> Result<(), Failure> {
    let daemon = Daemon::start(&gateway.state_dir(), &gateway.ledger("cold"), &[])?;
    daemon.wait_for_runs_held(gateway.runs)?;
    let before = daemon.cpu_ns()?;
    let start = monotonic();
    for n in 0..COMMITS {
        gateway.add(1)?;
        std::thread::sleep((Duration::from_millis(5) * n).saturating_sub(start.elapsed()));
    }
    let (spent, seconds) = (daemon.cpu_ns()? - before, start.elapsed().as_secs_f64());
    daemon.wait_for_runs_held(gateway.runs)?;
    let share = float(spent) / 1e9 / seconds * 100.0;
    table.note("200 commits a second, CPU of one core", &format!("{} %", number(share)));
    daemon.stop()
}

fn idle(gateway: &Gateway, table: &mut Table) -> Result<(), Failure> {
    gateway.fill()?;
    let daemon = Daemon::start(&gateway.state_dir(), &gateway.ledger("cold"), &[])?;
    daemon.wait_for_runs_held(gateway.runs)?;
    // The sweeps come closer together until an event has shown that events come.
    gateway.connection.execute_batch("DELETE FROM filler WHERE rowid = 1")?;
    std::thread::sleep(Duration::from_secs(3));
    let before = daemon.cpu_ns()?;
    std::thread::sleep(MINUTE);
    let spent = daemon.cpu_ns()? - before;
    table.at_most("unchanged database of 1 GB, CPU per minute", 1.0, "ms", float(spent) / 1e6);
    table.at_most("unchanged database of 1 GB, RSS", 16.0, "MiB", daemon.resident_mib()?);
    daemon.stop()
}
