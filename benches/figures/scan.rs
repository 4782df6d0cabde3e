//! Reports straight from a state directory, held against `wc -l` and DuckDB on the same files.
//!
//! Each is the real program as a child, in turns. DuckDB is that of the Python in `OPENCLAW_USAGE_PYTHON`, else of `python3`, and
//! its own start and the import are not counted.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::Failure;
use crate::corpus::Corpus;
use crate::daemon::program;
use crate::database::{Gateway, ROWS};
use crate::measure::{Samples, monotonic};
use crate::table::{Table, number};

const FILES: usize = 100;
const LINES: usize = 1_830;
const ROUNDS: usize = 9;

/// The same sums by SQL: a run is counted once, its first record stands.
const QUERY: &str = r#"
import sys, time
try:
    import duckdb
except ImportError:
    sys.exit(3)
connection = duckdb.connect()
connection.execute("SET threads = 2")
sql = """
WITH record AS (
    SELECT jobId, runAtMs, any_value(status) AS status, any_value(durationMs) AS duration,
           any_value(usage.input_tokens) AS input, any_value(usage.output_tokens) AS output
    FROM read_ndjson('{}/*.jsonl', columns = {{
        ts: 'BIGINT', jobId: 'VARCHAR', action: 'VARCHAR', status: 'VARCHAR', runAtMs: 'BIGINT', durationMs: 'BIGINT',
        usage: 'STRUCT(input_tokens BIGINT, output_tokens BIGINT)'}})
    WHERE action = 'finished' GROUP BY jobId, runAtMs)
SELECT jobId, count(*), count(*) FILTER (WHERE status = 'error'), sum(input), sum(output),
       quantile_disc(duration, [0.5, 0.95]), max(runAtMs)
FROM record GROUP BY jobId
""".format(sys.argv[1])
start = time.perf_counter()
rows = connection.execute(sql).fetchall()
print((time.perf_counter() - start) * 1000, sum(row[1] for row in rows), sum(row[3] for row in rows))
"#;

/// Measures all of it.
pub fn measure(table: &mut Table) -> Result<(), Failure> {
    full(table)?;
    recent(table)?;
    rows(table)
}

/// What runs of one command took.
#[derive(Default)]
struct Taken {
    wall_ms: Samples,
    cpu_ms: f64,
    output: Vec<u8>,
}

impl Taken {
    /// Runs a command once more.
    fn again(&mut self, command: &mut Command) -> Result<(), Failure> {
        let (before, start) = (cpu_of_children()?, monotonic());
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        self.wall_ms.push(start.elapsed().as_secs_f64() * 1e3);
        self.cpu_ms += cpu_of_children()? - before;
        if !output.status.success() {
            return Err(format!("{command:?} ended with {}", output.status).into());
        }
        self.output = output.stdout;
        Ok(())
    }
}

/// Returns the CPU time of all children that have ended, in ms. Of several runs, since the system tells it in steps of
/// 10 ms. Source: `proc_pid_stat(5)`, fields 16 and 17.
fn cpu_of_children() -> Result<f64, Failure> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let behind = stat.rsplit_once(')').ok_or("no name in /proc/self/stat")?.1;
    let ticks = behind.split_whitespace().skip(13).take(2).map(str::parse::<f64>);
    Ok(ticks.sum::<Result<f64, _>>()? * 10.0)
}

fn wc(corpus: &Corpus) -> Command {
    let mut command = Command::new("wc");
    command.arg("-l").args(corpus.jobs.iter().map(|job| corpus.log(job)));
    command
}

fn report(state_dir: &Path, flags: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.env_clear().env("HOME", "/nonexistent").args(["report", "--json", "--state-dir"]);
    command.arg(state_dir).args(flags);
    command
}

fn full(table: &mut Table) -> Result<(), Failure> {
    let corpus = Corpus::write(FILES, LINES)?;
    let state_dir = corpus.state_dir();
    let (mut wc_taken, mut taken, mut duckdb) =
        (Taken::default(), Taken::default(), Some(Samples::default()));
    for _ in 0..ROUNDS {
        wc_taken.again(&mut wc(&corpus))?;
        taken.again(&mut report(&state_dir, &["--since", "0"]))?;
        duckdb = match duckdb {
            Some(mut samples) => by_duckdb(&state_dir, &corpus)?.map(|ms| {
                samples.push(ms);
                samples
            }),
            None => None,
        };
    }
    let told: serde_json::Value = serde_json::from_slice(&taken.output)?;
    let runs = told.pointer("/totals/runs/total").and_then(serde_json::Value::as_u64);
    if runs != Some(corpus.sums.runs) {
        return Err(format!("{runs:?} runs were told of {}", corpus.sums.runs).into());
    }
    let (cpu, wc_cpu) = (taken.cpu_ms / rounds(), wc_taken.cpu_ms / rounds());
    table.at_most("report from 190 MB of run logs : `wc -l`, CPU", 5.0, ": 1", cpu / wc_cpu);
    table.note(
        "the same, CPU and wall",
        &format!("{} and {} ms", number(cpu), number(taken.wall_ms.median())),
    );
    table.note("`wc -l`, CPU", &format!("{} ms", number(wc_cpu)));
    match duckdb {
        Some(samples) => {
            let ratio = taken.wall_ms.median() / samples.median();
            table.at_most("the same : DuckDB with 2 threads, wall", 0.4, ": 1", ratio);
            table.note("DuckDB, wall", &format!("{} ms", number(samples.median())));
        }
        None => table.note("the same : DuckDB", "not measured: there is no module duckdb"),
    }
    Ok(())
}

fn recent(table: &mut Table) -> Result<(), Failure> {
    let corpus = Corpus::write_hourly(FILES, LINES)?;
    let (mut wc_taken, mut taken) = (Taken::default(), Taken::default());
    let mut nothing = Taken::default();
    for _ in 0..ROUNDS {
        wc_taken.again(&mut wc(&corpus))?;
        taken.again(&mut report(&corpus.state_dir(), &[]))?;
        nothing.again(Command::new(program()).env_clear().arg("--version"))?;
    }
    let [wall, whole] = [&taken, &wc_taken].map(|taken| taken.wall_ms.median());
    table.at_most("its last 24 h of 76 days : `wc -l` of all, wall", 0.15, ": 1", wall / whole);
    let nothing = nothing.wall_ms.median();
    let each = format!("{} and {} ms; `--version` {} ms", number(wall), number(whole), number(nothing));
    table.note("the same, wall of each", &each);
    Ok(())
}

fn rows(table: &mut Table) -> Result<(), Failure> {
    let mut gateway = Gateway::new()?;
    gateway.add(ROWS)?;
    for (what, flags) in [("all", &["--since", "0"][..]), ("last 24 h", &[])] {
        let mut taken = Taken::default();
        for _ in 0..ROUNDS {
            taken.again(&mut report(&gateway.state_dir(), flags))?;
        }
        let figure = format!("report from 100,000 rows of task_runs, {what}, wall");
        table.at_most(&figure, 300.0, "ms", taken.wall_ms.median());
    }
    Ok(())
}

/// Returns how long DuckDB took in ms; `None`: there is none.
fn by_duckdb(state_dir: &Path, corpus: &Corpus) -> Result<Option<f64>, Failure> {
    let python = std::env::var_os("OPENCLAW_USAGE_PYTHON").unwrap_or_else(|| "python3".into());
    let runs_dir = state_dir.join("cron").join("runs");
    let asked = Command::new(python).args(["-c", QUERY]).arg(runs_dir).stderr(Stdio::inherit()).output();
    let Ok(output) = asked else { return Ok(None) };
    if output.status.code() == Some(3) {
        return Ok(None);
    }
    let text = String::from_utf8(output.stdout)?;
    let words: Vec<&str> = text.split_whitespace().collect();
    let [ms, runs, input] = words[..] else { return Err(format!("DuckDB said {text:?}").into()) };
    let sums = [runs.parse::<u64>()?, input.parse::<u64>()?];
    if sums != [corpus.sums.runs, corpus.sums.input] {
        return Err(format!("DuckDB counted {sums:?}").into());
    }
    Ok(Some(ms.parse()?))
}

fn rounds() -> f64 {
    f64::from(u32::try_from(ROUNDS).unwrap_or(1))
}
