//! Upgrades and rollbacks: every run once, in the store that the version reads.

use super::databases::{database, number, recorded, select, text};
use super::*;
use std::collections::BTreeSet;

const MINUTE: i64 = 60_000;

fn keys(gateway: &Gateway) -> BTreeSet<(String, i64)> {
    let start = |key: &RunKey| match key.at {
        RunAt::Started(at) => at.0,
        other => panic!("a run without its start: {other:?}"),
    };
    gateway.runs().keys().map(|key| (key.job_id.clone(), start(key))).collect()
}

fn found(records: &[(String, Value)]) -> Vec<(String, i64)> {
    records.iter().map(|(job, record)| (job.clone(), record["runAtMs"].as_i64().unwrap())).collect()
}

/// Asserts that the store holds every run of the bill exactly once, and what it used.
fn complete(dir: &Path, gateway: &Gateway) {
    let records = recorded(dir, gateway.generation());
    let found = found(&records);
    let set: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!(set.len(), found.len(), "a run is there twice");
    assert_eq!(set, keys(gateway));
    let sum = |key: &str| records.iter().filter_map(|(_, r)| r["usage"][key].as_u64()).sum::<u64>();
    let recorded = gateway.bill().total().recorded;
    assert_eq!((sum("input_tokens"), sum("output_tokens")), (recorded.input, recorded.output));
    let cache = (sum("cache_read_tokens"), sum("cache_write_tokens"));
    assert_eq!(cache, (recorded.cache_read, recorded.cache_write));
}

/// A time at which some run is under way.
fn busy(gateway: &mut Gateway, from: i64) -> i64 {
    let mut now = from;
    while gateway.jobs().iter().filter(|job| job.is_running()).count() < 2 {
        now += 10;
        gateway.step(UnixMs(now)).unwrap();
    }
    now
}

fn interrupted(records: &[(String, Value)]) -> usize {
    let is = |r: &Value| r["error"] == "cron: job interrupted by gateway restart";
    records.iter().filter(|(_, r)| is(r)).count()
}

#[test]
fn every_way_up_keeps_every_run_once() {
    use Generation::{V2026_2_17, V2026_5_28, V2026_6_11, V2026_9_6};
    let ways: [&[Generation]; 5] = [
        &[V2026_5_28, V2026_6_11, V2026_9_6],
        &[V2026_5_28, V2026_9_6],
        &[V2026_2_17, V2026_5_28, V2026_6_11],
        &[V2026_2_17, V2026_9_6],
        &[V2026_6_11, V2026_9_6],
    ];
    for way in ways {
        let (dir, mut gateway) = gateway(options(way[0]));
        let mut now = START;
        let mut stopped = 0;
        for to in &way[1..] {
            now = busy(&mut gateway, now + MINUTE);
            let running = gateway.jobs().iter().filter(|job| job.is_running()).count();
            let finished = gateway.upgrade(*to, UnixMs(now + 3_000)).unwrap();
            let cut = finished.iter().filter(|run| run.ts == UnixMs(now + 3_000)).count();
            assert!(running > 0, "{way:?}: the gateway was stopped at work");
            stopped += cut;
            if to.store() != Store::RunLogs {
                complete(dir.path(), &gateway);
            }
            now += 3_000;
        }
        let before = gateway.bill().runs();
        gateway.step(UnixMs(now + MINUTE)).unwrap();
        assert!(gateway.bill().runs() > before + 50, "{way:?}: the upgraded gateway works");
        complete(dir.path(), &gateway);
        let records = recorded(dir.path(), gateway.generation());
        assert!(stopped > 0 && interrupted(&records) > 0, "{way:?}");
    }
}

#[test]
fn an_upgrade_leaves_what_a_real_one_leaves() {
    let (dir, mut gateway) = gateway(Options { churn: false, ..options(Generation::V2026_5_28) });
    let now = busy(&mut gateway, START + MINUTE);
    let old = records(dir.path());
    let line = |(job, r): &(String, Value)| (job.clone(), r.clone());
    let lines: Vec<_> = old.iter().map(line).collect();
    gateway.upgrade(Generation::V2026_6_11, UnixMs(now)).unwrap();

    let left = |suffix: &str| {
        let runs = fs::read_dir(dir.path().join("cron/runs")).unwrap();
        runs.filter(|e| e.as_ref().unwrap().file_name().to_str().unwrap().ends_with(suffix)).count()
    };
    assert_eq!(left(".jsonl"), 0);
    assert!(left(".jsonl.migrated") > 10);
    for name in ["jobs.json", "jobs-state.json"] {
        assert!(!dir.path().join("cron").join(name).exists());
        assert!(dir.path().join("cron").join(format!("{name}.migrated")).exists());
    }
    let imported = recorded(dir.path(), Generation::V2026_6_11);
    assert!(lines.iter().all(|line| imported.contains(line)), "lines are imported verbatim");
    let cut = interrupted(&imported);
    assert_eq!(imported.len(), lines.len() + cut);
    let ledger = "SELECT count(*) FROM task_runs WHERE owner_key LIKE 'system:cron:%'";
    assert_eq!(number(dir.path(), ledger), i64::try_from(lines.len()).unwrap(), "its ledger moves in too");
    let running = "SELECT count(*) FROM task_runs WHERE status = 'running'";
    assert_eq!(number(dir.path(), running), i64::try_from(cut).unwrap(), "old tasks stay running");

    let now = busy(&mut gateway, now + MINUTE);
    let before = recorded(dir.path(), Generation::V2026_6_11).len();
    gateway.upgrade(Generation::V2026_9_6, UnixMs(now)).unwrap();
    let tables = database(dir.path());
    let gone = tables.prepare("SELECT * FROM cron_run_logs").is_err();
    assert!(gone, "the table is dropped");
    let imports = select(dir.path(), "SELECT * FROM task_runs WHERE task_id LIKE 'cron-runlog-import:%'");
    assert_eq!(imports.len(), before);
    for row in &imports {
        let detail: Value = serde_json::from_str(&text(row, "detail_json")).unwrap();
        let id = text(row, "task_id");
        let job = text(row, "source_id");
        assert!(id.starts_with(&format!("cron-runlog-import:{job}:")) && id == text(row, "run_id"));
        let nulls = ["task_kind", "label", "agent_id", "progress_summary"];
        assert!(nulls.iter().all(|column| row[*column] == rusqlite::types::Value::Null));
        assert_eq!((detail["kind"].as_str(), text(row, "task")), (Some("cron-run"), job));
    }
    let twice = "SELECT count(*) FROM task_runs a JOIN task_runs b
                 ON a.source_id = b.source_id AND a.started_at = b.started_at
                 WHERE a.task_id LIKE 'cron-runlog-import:%' AND b.detail_json IS NULL";
    assert_eq!(number(dir.path(), twice), i64::try_from(before).unwrap(), "every earlier run is there twice");
    let lost = "SELECT count(*) FROM task_runs WHERE status = 'lost' AND detail_json IS NULL";
    assert_eq!(number(dir.path(), lost), i64::try_from(cut).unwrap());
    assert_eq!(number(dir.path(), running), 0);
    let noted = "SELECT count(*) FROM migration_runs WHERE id = 'state:cron-run-logs-to-task-runs:v1'";
    assert_eq!(number(dir.path(), noted), 1);
    assert!(gateway.jobs().iter().any(|job| job.name == "heartbeat-main"));
    complete(dir.path(), &gateway);
}

#[test]
fn a_rollback_starts_on_the_old_versions_own_files() {
    let (dir, mut gateway) = gateway(Options { churn: false, ..options(Generation::V2026_5_28) });
    let names = |gateway: &Gateway| gateway.jobs().iter().map(|j| j.name.clone()).collect::<Vec<_>>();
    let mut now = START + MINUTE;
    gateway.step(UnixMs(now)).unwrap();
    let jobs = names(&gateway);
    gateway.upgrade(Generation::V2026_9_6, UnixMs(now)).unwrap();
    now += MINUTE;
    gateway.rollback(Generation::V2026_5_28, UnixMs(now)).unwrap();
    let runs = gateway.bill().runs();
    assert!(gateway.jobs().is_empty(), "its job list was renamed");
    assert!(gateway.step(UnixMs(now + MINUTE)).unwrap().is_empty());
    now += MINUTE;
    gateway.restore_jobs(UnixMs(now)).unwrap();
    assert_eq!(names(&gateway), jobs);
    assert!(dir.path().join("cron/jobs.json").exists());
    now += MINUTE;
    gateway.step(UnixMs(now)).unwrap();
    assert!(gateway.bill().runs() > runs + 50, "it writes run logs again");
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let logs = || fs::read_dir(dir.path().join("cron/runs")).unwrap().map(|e| e.unwrap().path());
    let live: usize =
        logs().filter(|p| p.extension().unwrap() == "jsonl").map(|p| text(&p).lines().count()).sum();
    assert_eq!(u64::try_from(live).unwrap(), gateway.bill().runs() - runs);

    // And up again: the newer version still has its own rows, imports the new lines, and keeps logs whose archive
    // is taken under their name.
    gateway.upgrade(Generation::V2026_9_6, UnixMs(now)).unwrap();
    complete_but_for_lost(dir.path(), &gateway);
    assert!(logs().any(|path| path.extension().unwrap() == "jsonl"));
    assert!(dir.path().join("cron/jobs-state.json.migrated").exists());
}

/// Every run of the bill is there once; what was under way at a rollback is not, for nobody recorded it.
fn complete_but_for_lost(dir: &Path, gateway: &Gateway) {
    complete(dir, gateway);
    let lost = "SELECT count(*) FROM task_runs WHERE status = 'running'";
    assert_eq!(number(dir, lost), 0);
}

#[test]
fn a_rollback_between_run_logs_keeps_the_list() {
    let (dir, mut gateway) = gateway(Options { churn: false, ..options(Generation::V2026_5_28) });
    gateway.step(UnixMs(START + MINUTE)).unwrap();
    gateway.rollback(Generation::V2026_2_17, UnixMs(START + MINUTE)).unwrap();
    assert_eq!(gateway.jobs().len(), 20);
    let runs = gateway.bill().runs();
    gateway.step(UnixMs(START + 2 * MINUTE)).unwrap();
    assert!(gateway.bill().runs() > runs + 50);
    assert_eq!(found(&records(dir.path())).len(), gateway.runs().len());
}

#[test]
fn a_rollback_to_cron_run_logs_needs_the_copy_of_the_database() {
    let (dir, mut gateway) = gateway(options(Generation::V2026_6_11));
    let mut now = START + MINUTE;
    gateway.step(UnixMs(now)).unwrap();
    gateway.upgrade(Generation::V2026_9_6, UnixMs(now)).unwrap();
    let at_upgrade: BTreeSet<_> = keys(&gateway);
    now += MINUTE;
    gateway.rollback(Generation::V2026_6_11, UnixMs(now)).unwrap();
    assert!(dir.path().join("state/openclaw.sqlite.newer").exists());
    assert!(gateway.jobs().len() >= 20, "its jobs are in the copy");
    assert!(gateway.jobs().iter().all(|job| job.declaration.is_none()));
    let runs = gateway.bill().runs();
    gateway.step(UnixMs(now + MINUTE)).unwrap();
    assert!(gateway.bill().runs() > runs + 50);
    let found: BTreeSet<_> = found(&recorded(dir.path(), Generation::V2026_6_11)).into_iter().collect();
    let cut = at_upgrade.difference(&found).count();
    assert!(cut < at_upgrade.len() / 10, "only what the newer version recorded as interrupted is missing");
    assert!(found.is_subset(&keys(&gateway)), "no run gets the start of an earlier one with another bill");

    let refused = gateway.rollback(Generation::V2026_9_6, UnixMs(now)).unwrap_err();
    assert!(matches!(refused, Error::WrongWay { action: "roll back", .. }), "{refused}");
    let refused = gateway.upgrade(Generation::V2026_6_11, UnixMs(now)).unwrap_err();
    assert!(matches!(refused, Error::WrongWay { action: "upgrade", .. }), "{refused}");
    let jobs = gateway.jobs().len();
    gateway.restore_jobs(UnixMs(now + 2 * MINUTE)).unwrap();
    assert!(gateway.jobs().len() >= 20 && jobs >= 20);
    let id = gateway.jobs()[0].id.clone();
    assert!(matches!(gateway.append_torn(&id, 4, UnixMs(now)), Err(Error::NoRunLogs { .. })));
}
