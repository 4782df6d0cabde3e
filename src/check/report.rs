//! The finding of a check as plain values: what `--json` prints and what the text is made from.
//!
//! Stable: under the schema [`SCHEMA`] fields are only added. Times are milliseconds since the epoch in UTC,
//! sizes are bytes. Deliberately absent: header values, tokens, passwords, and anything that a run said.

use std::collections::BTreeMap;

use serde::Serialize;

/// Name and version of the document.
pub const SCHEMA: &str = "openclaw-usage/check/1";

/// Everything that a check found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// Version of this program.
    pub version: String,
    /// When it was made.
    pub checked_at_ms: i64,
    /// Whether there is no problem: then the exit status is 0.
    pub ok: bool,
    /// What is well, worth a note, or wrong, in the order of the sections.
    pub findings: Vec<Finding>,
    /// What the program was asked to do.
    pub configuration: Vec<Setting>,
    /// What the gateway's state directory holds.
    pub state_directory: StateDirectory,
    /// What the ledger holds.
    pub ledger: LedgerState,
    /// How the endpoints answered.
    pub endpoints: Vec<EndpointState>,
    /// Under which names Prometheus will store the metrics.
    pub names: Names,
    /// How changes will be noticed.
    pub watching: Watching,
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Finding {
    /// What it is about.
    pub section: Section,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub text: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Finding {
    /// All is well.
    pub(super) fn ok(section: Section, text: impl Into<String>) -> Self {
        Self { section, level: Level::Ok, text: text.into(), remedy: None }
    }

    /// Nothing is wrong, and yet one should know.
    pub(super) fn note(section: Section, text: impl Into<String>) -> Self {
        Self { section, level: Level::Note, text: text.into(), remedy: None }
    }

    /// Something is wrong.
    pub(super) fn problem(section: Section, text: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { section, level: Level::Problem, text: text.into(), remedy: Some(remedy.into()) }
    }

    /// Adds what to do about it.
    pub(super) fn with(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// All is well.
    Ok,
    /// Nothing is wrong, and yet one should know.
    Note,
    /// Something is wrong: the exit status is 1.
    Problem,
}

/// What a finding is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// Flags, variables and the file.
    Configuration,
    /// The gateway's state directory.
    StateDirectory,
    /// How changes in it will be noticed.
    Watching,
    /// Our own count.
    Ledger,
    /// What models cost, and budgets.
    Prices,
    /// Where metrics are pushed.
    Endpoints,
    /// Under which names they will be found.
    Names,
}

/// One resolved value of the configuration; secrets are `***`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Setting {
    /// Key as in the configuration file.
    pub key: String,
    /// The value as text.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

/// What the gateway's state directory holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct StateDirectory {
    /// Where it is.
    pub path: String,
    /// Whether it is a directory that can be looked into.
    pub readable: bool,
    /// The run logs; absent if there are none or they cannot be listed.
    pub run_logs: Option<RunLogs>,
    /// Whether `state/openclaw.sqlite` is there, where OpenClaw 2026.6.1 and later keep their runs.
    pub openclaw_sqlite: bool,
    /// That database; absent if there is none.
    pub database: Option<DatabaseState>,
    /// The runs of all stores together; absent if there is no store that can be read.
    pub all_runs: Option<RunSums>,
    /// The scheduler's list of jobs; absent if there is none or it cannot be read.
    pub job_list: Option<JobList>,
}

/// What the run logs hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct RunLogs {
    /// Their directory.
    pub path: String,
    /// Logs in use.
    pub files: u64,
    /// Logs that an upgrade of OpenClaw has imported and renamed `*.jsonl.migrated`.
    pub migrated_files: u64,
    /// Their runs.
    #[serde(flatten)]
    pub sums: RunSums,
}

/// What the gateway's database holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct DatabaseState {
    /// Where it is.
    pub path: String,
    /// Whether it could be read to its end.
    pub readable: bool,
    /// Reason for which it is refused: a value of `openclaw.reason` of the rejects.
    pub refused: Option<String>,
    /// OpenClaw's number for its schema (`user_version`), as far as it could be read.
    pub schema_version: Option<i64>,
    /// The tables that hold runs.
    pub tables: Vec<TableState>,
}

/// What a table of runs holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct TableState {
    /// Its name.
    pub table: String,
    /// Its value of `openclaw.source`.
    pub source: String,
    /// Rows, whatever they are.
    pub rows: u64,
    /// Rows that have neither a record nor ended; no more than a thousand are counted.
    pub unfinished_rows: u64,
    /// Its runs.
    #[serde(flatten)]
    pub sums: RunSums,
}

/// Runs, summed up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct RunSums {
    /// Jobs with runs.
    pub jobs: u64,
    /// Runs, each once.
    pub runs: u64,
    /// Of those, runs that more than one store holds.
    pub in_several_stores: u64,
    /// Records of runs that another record here had told of.
    pub duplicates: u64,
    /// Tokens by kind; of a run with several records, as its first one says.
    pub tokens: BTreeMap<String, u64>,
    /// Runs by how they ended.
    pub runs_by_status: BTreeMap<String, u64>,
    /// Runs by how their usage is known.
    pub runs_by_provenance: BTreeMap<String, u64>,
    /// What cannot be counted.
    pub rejects: Vec<RejectCount>,
    /// When OpenClaw wrote the newest record.
    pub newest_record_ms: Option<i64>,
    /// The jobs with the most tokens, most first; at most ten.
    pub top_jobs: Vec<JobSum>,
}

/// What cannot be counted, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct RejectCount {
    /// Why.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// Where one of them is.
    pub sample: String,
}

/// What one job consumed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct JobSum {
    /// OpenClaw's id.
    pub id: String,
    /// Its name, verbatim; absent if the list of jobs does not have it.
    pub name: Option<String>,
    /// Runs.
    pub runs: u64,
    /// Tokens of all kinds.
    pub tokens: u64,
}

/// The scheduler's list of jobs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct JobList {
    /// Where it is: the path of a file, or `cron_jobs` for that table of the database.
    pub place: String,
    /// Jobs in it.
    pub defined: u64,
    /// Of those, OpenClaw's own: heartbeats and the like.
    pub system: u64,
    /// Of those, without a name.
    pub unnamed: u64,
    /// Of those, switched off.
    pub disabled: u64,
    /// Of those, to run once.
    pub one_shot: u64,
    /// Of users' jobs, those whose next run passed by more than their period without a run.
    pub overdue: u64,
    /// Jobs that have runs and are not in the list: deleted, so that their names are not known here.
    pub gone: u64,
}

/// What became of opening the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
#[serde(rename_all = "snake_case")]
pub enum LedgerStatus {
    /// It can be used.
    Ok,
    /// There is none yet.
    #[default]
    Missing,
    /// It cannot be read.
    Unreadable,
    /// A newer version wrote it.
    Newer,
    /// The file is something else.
    Foreign,
    /// It is damaged.
    Corrupt,
    /// It belongs to another gateway than the one named.
    OtherGateway,
}

/// What the ledger holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct LedgerState {
    /// Where it is.
    pub path: String,
    /// What became of opening it.
    pub status: LedgerStatus,
    /// Whether a running `serve` was seen to hold it, and its process id as seen from here (0: not known).
    pub in_use_by: Option<i32>,
    /// Its content; absent unless it could be read.
    pub content: Option<LedgerContent>,
}

/// What a ledger holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct LedgerContent {
    /// The gateway that it belongs to.
    pub gateway: String,
    /// Version of its schema.
    pub schema: i64,
    /// Jobs.
    pub jobs: u64,
    /// Runs.
    pub runs: u64,
    /// Tokens by kind.
    pub tokens: BTreeMap<String, u64>,
    /// What could not be counted.
    pub rejects: Vec<RejectCount>,
    /// Kinds of stores that runs came from, with the time of the newest record of each.
    pub sources: BTreeMap<String, i64>,
    /// Start of the newest run.
    pub last_run_ms: Option<i64>,
    /// What it takes up on disk.
    pub size_bytes: u64,
    /// Runs of the state directory that are not in it yet.
    pub not_counted_yet: u64,
    /// Runs in it that the state directory no longer has.
    pub no_longer_in_state_directory: u64,
}

/// How an endpoint answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct EndpointState {
    /// Its name.
    pub name: String,
    /// Where it is; a query is masked.
    pub url: String,
    /// `http/protobuf` or `grpc`.
    pub protocol: String,
    /// Whether it takes metrics.
    pub ok: bool,
    /// HTTP status, or 0 for gRPC's OK, if it does.
    pub status: Option<u16>,
    /// Kind of problem if it does not: a value of `openclaw.reason` of the export failures.
    pub failure: Option<String>,
    /// What happened, with the server's words.
    pub answer: Option<String>,
}

/// Under which names Prometheus will store the metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Names {
    /// The label `job` of what is pushed.
    pub job: String,
    /// The label `instance` of what is pushed: the gateway's name.
    pub instance: String,
    /// All families.
    pub families: Vec<Family>,
}

/// A metric family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Family {
    /// OpenTelemetry name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: String,
    /// Names of the series that Prometheus stores.
    pub series: Vec<String>,
}

/// How changes will be noticed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(serde::Deserialize))]
pub struct Watching {
    /// `events` or `poll`: what `serve` will begin with.
    pub method: String,
    /// Whether the state directory is on a file system whose changes by others cause no events here.
    pub remote: bool,
}
