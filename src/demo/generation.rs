//! Which OpenClaw is simulated, and what sets the versions apart.

/// Which OpenClaw is simulated, older before newer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Generation {
    /// 2026.2.17, the first with usage in its records: job state inside `jobs.json`, files 0644, a failed
    /// provider call is recorded as `ok`.
    V2026_2_17,
    /// 2026.5.28, the last that writes run logs: `jobs-state.json`, files 0600 and a chmod with every
    /// append, delivery traces, diagnostics.
    V2026_5_28,
    /// 2026.6.11: jobs and records in `state/openclaw.sqlite`, tables `cron_jobs` and `cron_run_logs`, and a
    /// ledger of tasks beside them whose rows hold no record.
    V2026_6_11,
    /// 2026.9.6: a record is a row of `task_runs`, inserted when the run starts and updated when it ends;
    /// cache tokens in the records, webhook failures, system jobs.
    #[default]
    V2026_9_6,
}

/// Where a generation keeps its records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// One file of lines per job, `cron/runs/<job>.jsonl`.
    RunLogs,
    /// The table `cron_run_logs`.
    CronRunLogs,
    /// The table `task_runs`.
    TaskRuns,
}

/// What a generation's records tell of tokens that came from or went to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CacheShown {
    /// Nothing: `total_tokens` is the prompt of the last call alone.
    Nothing,
    /// The sum of both kinds: `total_tokens - input_tokens - output_tokens`.
    Sum,
    /// Each kind, in a field of its own that is absent when 0.
    Kinds,
}

impl Generation {
    /// Every generation, older before newer.
    pub const ALL: [Self; 4] = [Self::V2026_2_17, Self::V2026_5_28, Self::V2026_6_11, Self::V2026_9_6];

    /// Returns the version as OpenClaw prints it.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::V2026_2_17 => "2026.2.17",
            Self::V2026_5_28 => "2026.5.28",
            Self::V2026_6_11 => "2026.6.11",
            Self::V2026_9_6 => "2026.9.6",
        }
    }

    /// Returns where it keeps its records.
    #[must_use]
    pub const fn store(self) -> Store {
        match self {
            Self::V2026_2_17 | Self::V2026_5_28 => Store::RunLogs,
            Self::V2026_6_11 => Store::CronRunLogs,
            Self::V2026_9_6 => Store::TaskRuns,
        }
    }

    /// Returns what its records tell of cached tokens.
    #[must_use]
    pub const fn cache_shown(self) -> CacheShown {
        match self.store() {
            Store::RunLogs => CacheShown::Nothing,
            Store::CronRunLogs => CacheShown::Sum,
            Store::TaskRuns => CacheShown::Kinds,
        }
    }

    /// Returns whether it keeps its files to itself (0600, 0700) and writes delivery states and diagnostics.
    pub(super) const fn is_late(self) -> bool {
        !matches!(self, Self::V2026_2_17)
    }

    /// Returns the `user_version` of its `state/openclaw.sqlite`; 0 if it has none.
    pub(super) const fn schema_version(self) -> i64 {
        match self.store() {
            Store::RunLogs => 0,
            Store::CronRunLogs => 1,
            Store::TaskRuns => 18,
        }
    }
}
