//! Rows in the shape of recorded databases, and what they sum up to.

use super::*;
use rusqlite::types::Value as Cell;
use rusqlite::{Connection, OpenFlags};

type Row = BTreeMap<String, Cell>;

pub(super) const NEW: [Generation; 2] = [Generation::V2026_6_11, Generation::V2026_9_6];

pub(super) fn database(state_dir: &Path) -> Connection {
    let path = state_dir.join("state/openclaw.sqlite");
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

pub(super) fn select(state_dir: &Path, sql: &str) -> Vec<Row> {
    let connection = database(state_dir);
    let mut statement = connection.prepare(sql).unwrap();
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let row = |row: &rusqlite::Row<'_>| {
        let cell = |(at, name): (usize, &String)| Ok((name.clone(), row.get(at)?));
        names.iter().enumerate().map(cell).collect::<rusqlite::Result<Row>>()
    };
    let rows = statement.query_map([], row).unwrap();
    rows.collect::<rusqlite::Result<_>>().unwrap()
}

pub(super) fn number(state_dir: &Path, sql: &str) -> i64 {
    database(state_dir).query_row(sql, [], |row| row.get(0)).unwrap()
}

pub(super) fn text(row: &Row, column: &str) -> String {
    match &row[column] {
        Cell::Text(text) => text.clone(),
        other => panic!("{column} is {other:?}"),
    }
}

/// The records of either table as JSON, with their job.
pub(super) fn recorded(state_dir: &Path, generation: Generation) -> Vec<(String, Value)> {
    let sql = match generation {
        Generation::V2026_6_11 => {
            "SELECT job_id, entry_json AS record FROM cron_run_logs ORDER BY job_id, seq"
        }
        _ => {
            "SELECT source_id AS job_id, detail_json AS record FROM task_runs
             WHERE detail_json ->> '$.kind' = 'cron-run' ORDER BY source_id, ended_at, task_id"
        }
    };
    let rows = select(state_dir, sql);
    rows.iter().map(|r| (text(r, "job_id"), serde_json::from_str(&text(r, "record")).unwrap())).collect()
}

/// Names of the columns that are not NULL.
fn filled(row: &Row) -> String {
    let filled = row.iter().filter(|(_, cell)| **cell != Cell::Null);
    filled.map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(" ")
}

fn keys(json: &Value) -> String {
    json.as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>().join(" ")
}

fn sorted(words: &str) -> String {
    let mut words: Vec<&str> = words.split_whitespace().collect();
    words.sort_unstable();
    words.join(" ")
}

fn with(words: &str, more: &str) -> String {
    sorted(&format!("{words} {more}"))
}

// Columns and keys as they were recorded from a gateway 2026.9.6.
const TASK: &str = "agent_id created_at delivery_status detail_json label last_event_at notify_policy owner_key \
    progress_summary requester_session_key run_id runtime scope_kind source_id started_at status task task_id task_kind";
const ENDED: &str = "cleanup_after ended_at";
const DETAIL: &str =
    "kind status completionStatus error summary storeKey deliveryStatus runAtMs durationMs nextRunAtMs";

#[test]
fn rows_of_task_runs_have_the_recorded_shape() {
    let generation = Generation::V2026_9_6;
    let (dir, mut gateway) = gateway(Options { churn: false, ..options(generation) });
    gateway.step(UnixMs(START + 60_000)).unwrap();
    let ended = format!("{TASK} {ENDED}");
    let answered = with(&ended, "child_session_key terminal_summary");
    let failed = with(&ended, "child_session_key error");
    let reply = with(DETAIL, "delivered delivery sessionId model provider usage");
    let refused = with(DETAIL, "errorReason diagnostics sessionId model provider");
    let cases = [
        ("daily-ok", "succeeded", "ok succeeded not-requested", answered.clone(), reply.clone()),
        ("hook-ok", "succeeded", "ok succeeded delivered", answered.clone(), reply.clone()),
        ("hook-dead", "failed", "ok failed not-delivered", answered.clone(), with(&reply, "deliveryError")),
        ("silent-check", "succeeded", "ok succeeded not-requested", answered, reply),
        ("bad-key", "failed", "error failed not-requested", failed.clone(), refused.clone()),
        ("always-fails", "failed", "error failed not-requested", failed.clone(), refused.clone()),
        ("slow-timeout", "timed_out", "error failed not-requested", failed, refused),
        (
            "main-event",
            "succeeded",
            "ok succeeded not-requested",
            with(&ended, "terminal_summary"),
            sorted(DETAIL),
        ),
        ("heartbeat-main", "failed", "skipped failed not-requested", with(&ended, "error"), sorted(DETAIL)),
    ];
    for (label, status, words, columns, details) in cases {
        let sql = format!("SELECT * FROM task_runs WHERE label = '{label}' AND status = '{status}'");
        let rows = select(dir.path(), &sql);
        assert!(!rows.is_empty(), "{label}");
        for row in rows {
            let detail: Value = serde_json::from_str(&text(&row, "detail_json")).unwrap();
            let said = ["status", "completionStatus", "deliveryStatus"].map(|k| detail[k].as_str().unwrap());
            assert_eq!(said.join(" "), words, "{label}");
            assert_eq!(filled(&row), columns, "{label}");
            assert_eq!(keys(&detail), details, "{label}");
            let (started, ended) = (&row["started_at"], &row["ended_at"]);
            assert_eq!(*started, Cell::Integer(detail["runAtMs"].as_i64().unwrap()));
            let end = detail["runAtMs"].as_i64().unwrap() + detail["durationMs"].as_i64().unwrap();
            assert_eq!(*ended, Cell::Integer(end), "each run is recorded at its own end");
            assert_eq!(row["cleanup_after"], Cell::Integer(end + 7 * 86_400_000));
            let run = text(&row, "run_id");
            assert!(run.starts_with(&format!("cron:{}:{}:", text(&row, "source_id"), detail["runAtMs"])));
            assert_eq!(
                (text(&row, "task_id").len(), text(&row, "task_kind").as_str()),
                (36, "automation_run")
            );
        }
    }
    let running = select(dir.path(), "SELECT * FROM task_runs WHERE status = 'running'");
    assert!(!running.is_empty(), "a minute ends in the middle of some run");
    for row in running {
        assert_eq!(filled(&row), sorted(TASK));
        let detail: Value = serde_json::from_str(&text(&row, "detail_json")).unwrap();
        assert_eq!(keys(&detail), "storeKey");
        assert!(detail["storeKey"].as_str().unwrap().ends_with("/cron/jobs.json"));
    }
    let usage = |label: &str| {
        let sql =
            format!("SELECT detail_json FROM task_runs WHERE label = '{label}' AND status = 'succeeded'");
        let detail: Value = serde_json::from_str(&text(&select(dir.path(), &sql)[0], "detail_json")).unwrap();
        keys(&detail["usage"])
    };
    assert_eq!(usage("daily-ok"), "input_tokens output_tokens total_tokens", "cache of 0 is left out");
    assert_eq!(usage("cache-heavy"), "cache_read_tokens input_tokens output_tokens total_tokens");
    let both = "cache_read_tokens cache_write_tokens input_tokens output_tokens total_tokens";
    assert_eq!(usage("claude-writer"), both);
}

// Lines that a gateway 2026.6.11 wrote; only the names of model and provider are the simulation's.
const CACHE_611: &str = r#"{"ts":1795236970693,"jobId":"55912fef-5b1f-455d-9be9-91a08f64bf97","action":"finished","status":"ok","summary":"Cached mock report call-47.","deliveryStatus":"not-requested","delivery":{"intended":{"channel":"last","to":"http://127.0.0.1:1/hook/ok?token=s3cr3t","source":"last"},"resolved":{"ok":false,"to":null,"source":"last","error":"webhook delivery has no chat target"},"fallbackUsed":false,"delivered":false},"sessionId":"f5357b3c-2610-49bf-a021-ba3abb536267","sessionKey":"agent:main:cron:55912fef-5b1f-455d-9be9-91a08f64bf97:run:f5357b3c-2610-49bf-a021-ba3abb536267","runAtMs":1795236949692,"durationMs":19693,"nextRunAtMs":1795236979692,"model":"sim-cache","provider":"sim","usage":{"input_tokens":904,"output_tokens":60,"total_tokens":5060}}"#;
const SILENT_611: &str = r#"{"ts":1795236921077,"jobId":"65c35f18-8523-4d08-87bd-bdfa9f367f85","action":"finished","status":"ok","summary":"NO_REPLY","deliveryStatus":"not-requested","delivery":{"intended":{"channel":"last","to":null,"source":"last"},"fallbackUsed":false,"delivered":false},"sessionId":"c7cccd3a-1472-4749-bef2-3be3109da2f6","sessionKey":"agent:ops:cron:65c35f18-8523-4d08-87bd-bdfa9f367f85:run:c7cccd3a-1472-4749-bef2-3be3109da2f6","runAtMs":1795236908189,"durationMs":12426,"nextRunAtMs":1795236938189,"model":"sim-silent","provider":"sim","usage":{"input_tokens":900,"output_tokens":3,"total_tokens":903}}"#;

#[test]
fn entries_equal_recorded_ones_byte_for_byte() {
    let cached = Tokens { input: 904, output: 60, cache_read: 4096, cache_write: 0 };
    let plain = Tokens { input: 900, output: 3, ..Tokens::default() };
    let webhook = Some("http://127.0.0.1:1/hook/ok?token=s3cr3t");
    let reply = Ending::Reply("Cached mock report call-47.".to_owned());
    let cases = [
        (CACHE_611, "main", Profile::Cache, webhook, reply, cached),
        (SILENT_611, "ops", Profile::Silent, None, Ending::Silent, plain),
    ];
    let model: Job = catalogue::jobs(&mut Rng::with_seed(1), 1, START).remove(0);
    for (line, agent, profile, webhook, ending, call) in cases {
        let real: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| real[key].as_str().unwrap_or_default().to_owned();
        let webhook = webhook.map(str::to_owned);
        let job = Job { id: text("jobId"), agent: Some(agent), profile, webhook, ..model.clone() };
        let int = |key: &str| real[key].as_i64().unwrap();
        let outcome = Outcome { ending, calls: vec![call], duration_ms: int("durationMs") };
        let times = Times { ts: int("ts"), run_at: int("runAtMs"), next_run_at: Some(int("nextRunAtMs")) };
        let record = RunRecord::new(Generation::V2026_6_11, &job, &text("sessionId"), &outcome, times);
        assert_eq!(String::from_utf8(record.to_line().unwrap()).unwrap(), line);
        let read: RunRecord = serde_json::from_str(line).unwrap();
        assert_eq!(String::from_utf8(read.to_line().unwrap()).unwrap(), line, "a record survives being read");
    }
}

#[test]
fn rows_of_cron_run_logs_repeat_their_entry() {
    let (dir, mut gateway) = gateway(options(Generation::V2026_6_11));
    gateway.step(UnixMs(START + 60_000)).unwrap();
    let rows = select(dir.path(), "SELECT * FROM cron_run_logs ORDER BY job_id, seq");
    assert!(rows.len() > 100);
    let always =
        sorted("store_key job_id seq ts status delivery_status run_at_ms duration_ms entry_json created_at");
    let session = with(&always, "session_id session_key");
    let answered = with(&session, "summary model provider total_tokens");
    let shapes = [
        ("ok reply", with(&answered, "next_run_at_ms")),
        ("one-shot", answered),
        ("refused", with(&session, "error diagnostics_summary next_run_at_ms")),
        ("timeout", with(&always, "error diagnostics_summary next_run_at_ms")),
        ("event", with(&always, "summary session_key next_run_at_ms")),
        ("skipped event", with(&always, "error summary session_key next_run_at_ms")),
    ];
    let one_shot_failures =
        [with(&session, "error diagnostics_summary"), with(&always, "error diagnostics_summary")];
    for (what, shape) in &shapes {
        assert!(rows.iter().any(|row| filled(row) == *shape), "{what}");
    }
    let mut last = (String::new(), 0);
    for row in &rows {
        let shape = filled(row);
        let known = shapes.iter().any(|(_, s)| *s == shape) || one_shot_failures.contains(&shape);
        assert!(known, "{shape}");
        let entry: Value = serde_json::from_str(&text(row, "entry_json")).unwrap();
        for (column, key) in [("ts", "ts"), ("run_at_ms", "runAtMs"), ("next_run_at_ms", "nextRunAtMs")] {
            assert_eq!(row[column], entry[key].as_i64().map_or(Cell::Null, Cell::Integer));
        }
        let total = entry["usage"]["total_tokens"].as_i64().map_or(Cell::Null, Cell::Integer);
        assert_eq!(row["total_tokens"], total);
        let Cell::Integer(seq) = row["seq"] else { panic!("no number") };
        let job = text(row, "job_id");
        assert_eq!(seq, if job == last.0 { last.1 + 1 } else { 1 });
        last = (job, seq);
    }
    // The ledger of tasks beside it knows every run, but holds no record.
    let ledger = select(dir.path(), "SELECT * FROM task_runs");
    assert!(ledger.len() > rows.len(), "some run is under way");
    assert!(ledger.iter().all(|row| text(row, "task_id").len() == 36 && !row.contains_key("detail_json")));
    let odd = "SELECT count(*) FROM task_runs WHERE task_kind IS NOT NULL OR status NOT IN ('running', 'succeeded', 'failed')
               OR run_id <> 'cron:' || source_id || ':' || started_at";
    assert_eq!(number(dir.path(), odd), 0, "a timeout is `failed` there");
}

#[test]
fn what_is_in_the_database_equals_the_bill() {
    for generation in NEW {
        let (dir, mut gateway) = gateway(options(generation));
        let finished = gateway.step(UnixMs(START + 60_000)).unwrap();
        let records = recorded(dir.path(), generation);
        let (bill, total) = (gateway.bill(), gateway.bill().total());
        let sum = |key: &str| records.iter().filter_map(|(_, r)| r["usage"][key].as_u64()).sum::<u64>();
        assert_eq!(u64::try_from(records.len()).unwrap(), bill.runs());
        assert_eq!(finished.len(), records.len());
        assert_eq!(sum("input_tokens"), bill.tokens(TokenKind::Input));
        assert_eq!(sum("output_tokens"), bill.tokens(TokenKind::Output));
        let derived = sum("total_tokens") - sum("input_tokens") - sum("output_tokens");
        assert_eq!((derived, total.derivable_cache), (total.provider.cached(), total.provider.cached()));
        let named = (sum("cache_read_tokens"), sum("cache_write_tokens"));
        assert_eq!(named, (total.recorded.cache_read, total.recorded.cache_write));
        match generation.cache_shown() {
            CacheShown::Kinds => assert_eq!(total.recorded, total.provider),
            _ => assert_eq!((named, total.provider.cached() > 0), ((0, 0), true)),
        }
        for status in Status::ALL {
            let count = records.iter().filter(|(_, r)| r["status"] == status.as_str()).count();
            assert_eq!(u64::try_from(count).unwrap(), bill.runs_with(status), "{generation:?} {status:?}");
            let never = [Status::Unknown, Status::Unrecorded].contains(&status);
            assert!(count > 0 || never, "{generation:?} {status:?}");
        }
        let key = |(job, r): &(String, Value)| RunKey {
            job_id: job.clone(),
            at: RunAt::Started(UnixMs(r["runAtMs"].as_i64().unwrap())),
        };
        assert!(records.iter().all(|r| gateway.runs().contains_key(&key(r))));
        assert_eq!(gateway.runs().len(), records.len(), "run keys are unique");
        assert!(!dir.path().join("cron").exists(), "no files of older versions");
    }
}

#[test]
fn equal_seeds_give_equal_rows_at_any_step_width() {
    for generation in NEW {
        let run = |seed, width: i64| {
            let (dir, mut gateway) = gateway(Options { seed, ..options(generation) });
            let mut now = START;
            while now < START + 20_000 {
                now = (now + width).min(START + 20_000);
                gateway.step(UnixMs(now)).unwrap();
            }
            let tables = ["task_runs ORDER BY task_id", "cron_jobs ORDER BY job_id"];
            let rows = tables.map(|t| format!("{:?}", select(dir.path(), &format!("SELECT * FROM {t}"))));
            let rows = rows.map(|t| t.replace(dir.path().to_str().unwrap(), ""));
            (
                rows,
                format!("{:?}", recorded(dir.path(), generation)).replace(dir.path().to_str().unwrap(), ""),
            )
        };
        let whole = run(7, 20_000);
        assert!(whole == run(7, 137), "{generation:?}");
        assert!(whole.1 != run(8, 20_000).1);
    }
}

#[test]
fn the_database_looks_like_the_versions_own() {
    for (generation, version) in [(Generation::V2026_6_11, 1), (Generation::V2026_9_6, 18)] {
        let (dir, mut gateway) = gateway(options(generation));
        gateway.step(UnixMs(START + 5_000)).unwrap();
        assert_eq!(number(dir.path(), "PRAGMA user_version"), version);
        let mode: String =
            database(dir.path()).query_row("PRAGMA journal_mode", [], |row| row.get(0)).unwrap();
        assert_eq!(mode, "wal");
        let bits = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!(bits("state"), 0o700);
        for file in ["state/openclaw.sqlite", "state/openclaw.sqlite-wal", "state/openclaw.sqlite-shm"] {
            assert_eq!(bits(file), 0o600, "{file}");
        }
        let tables = "SELECT count(*) FROM sqlite_master WHERE name = 'cron_run_logs'";
        assert_eq!(number(dir.path(), tables) == 1, generation == Generation::V2026_6_11);
    }
}

#[test]
fn the_table_of_jobs_follows_the_list() {
    for generation in NEW {
        let (dir, mut gateway) = gateway(options(generation));
        gateway.step(UnixMs(START + 60_000)).unwrap();
        let rows = select(dir.path(), "SELECT * FROM cron_jobs ORDER BY sort_order");
        let listed: Vec<(&str, &str)> =
            gateway.jobs().iter().map(|j| (j.id.as_str(), j.name.as_str())).collect();
        let found: Vec<_> = rows.iter().map(|row| (text(row, "job_id"), text(row, "name"))).collect();
        assert_eq!(found.iter().map(|(id, name)| (id.as_str(), name.as_str())).collect::<Vec<_>>(), listed);
        for row in &rows {
            let job: Value = serde_json::from_str(&text(row, "job_json")).unwrap();
            let state: Value = serde_json::from_str(&text(row, "state_json")).unwrap();
            assert_eq!((&job["id"], &job["name"]), (&text(row, "job_id").into(), &text(row, "name").into()));
            assert_eq!(job["state"], serde_json::json!({}));
            assert_eq!(row["enabled"], Cell::Integer(i64::from(job["enabled"].as_bool().unwrap())));
            assert_eq!(text(row, "payload_kind"), job["payload"]["kind"].as_str().unwrap());
            let own = job["declarationKey"].is_string() || job["payload"]["kind"] != "agentTurn";
            assert_eq!(job["payload"]["model"].is_null(), own, "OpenClaw's own jobs name no model");
            if generation == Generation::V2026_6_11 {
                let next = state["nextRunAtMs"].as_i64().map_or(Cell::Null, Cell::Integer);
                assert_eq!(row["next_run_at_ms"], next);
            }
        }
        let system = gateway.jobs().iter().filter(|job| job.declaration.is_some());
        let names: Vec<&str> = system.map(|job| job.name.as_str()).collect();
        if generation == Generation::V2026_6_11 {
            assert!(names.is_empty());
            continue;
        }
        let declared = select(
            dir.path(),
            "SELECT declaration_key AS key FROM cron_jobs WHERE declaration_key IS NOT NULL ORDER BY sort_order",
        );
        let declared: Vec<String> = declared.iter().map(|row| text(row, "key")).collect();
        assert_eq!(names[..2], ["Memory Dreaming Promotion", "heartbeat-main"]);
        assert_eq!(names[2..], ["skill-collection-review-main", "skill-collection-review-ops"]);
        assert_eq!(declared[1..3], ["heartbeat:main", "skill-collection-review:main"]);
    }
}

#[test]
fn old_rows_are_pruned() {
    for generation in NEW {
        let small = Options { keep_lines: 6, churn: false, ..options(generation) };
        let (dir, mut gateway) = gateway(small);
        gateway.prefill_for_demo().unwrap();
        let finished = gateway.step(UnixMs(START + 130_000)).unwrap();
        assert!(finished.iter().any(|run| run.pruned));
        let bill = gateway.bill().runs();
        let left = recorded(dir.path(), generation).len();
        assert!(u64::try_from(left).unwrap() < bill, "{left} of {bill} are left");
        let most = match generation {
            Generation::V2026_6_11 => {
                "SELECT max(n) FROM (SELECT count(*) n FROM cron_run_logs GROUP BY job_id)"
            }
            _ => {
                "SELECT max(n) FROM (SELECT count(*) n FROM task_runs WHERE ended_at < 1771300919000 GROUP BY source_id)"
            }
        };
        assert!(number(dir.path(), most) <= 6, "{generation:?}");
    }
}

fn run(at: i64, ended: i64, input: u64) -> RunRecord {
    let usage = Tokens { input, output: 1, ..Tokens::default() };
    let times = (UnixMs(at), UnixMs(ended));
    RunRecord::plain(Generation::V2026_9_6, "job", times, Status::Ok, Some(usage))
}

#[test]
fn single_rows_of_task_runs_can_be_written_in_any_order() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = TaskRunsWriter::open(dir.path(), 1).unwrap();
    let starts = [10, 20, 30].map(|at| writer.start("job", "a job", "main", UnixMs(at)).unwrap());
    writer.finish(&starts[2], &run(30, 40, 3)).unwrap();
    writer.finish(&starts[0], &run(10, 35, 1)).unwrap();
    let ends = || select(dir.path(), "SELECT ended_at AS e FROM task_runs WHERE ended_at > 0 ORDER BY rowid");
    let end = |row: &Row| row["e"].clone();
    let integers = |ends: &[i64]| ends.iter().map(|e| Cell::Integer(*e)).collect::<Vec<_>>();
    assert_eq!(ends().iter().map(end).collect::<Vec<_>>(), integers(&[35, 40]));
    assert_eq!(number(dir.path(), "SELECT count(*) FROM task_runs WHERE status = 'running'"), 1);

    writer.begin().unwrap();
    let imported = writer.import(&run(1, 5, 9)).unwrap();
    assert_eq!(imported.0, "cron-runlog-import:job:5:1");
    assert_eq!(ends().len(), 2, "not seen before the commit");
    writer.commit().unwrap();
    assert_eq!(ends().len(), 3);
    writer.begin().unwrap();
    writer.finish(&starts[1], &run(20, 50, 2)).unwrap();
    writer.roll_back().unwrap();
    assert_eq!(ends().len(), 3);
    let undelivered = writer.import(&run(2, 6, 9).undelivered()).unwrap();
    let sql = format!(
        "SELECT count(*) FROM task_runs WHERE task_id = '{}' AND status = 'failed' AND error IS NULL
             AND detail_json ->> '$.status' = 'ok' AND detail_json ->> '$.deliveryError' LIKE '%HTTP 500'",
        undelivered.0
    );
    assert_eq!(number(dir.path(), &sql), 1);
    assert_eq!(writer.delete_before(UnixMs(40)).unwrap(), 3);
    assert_eq!(ends().iter().map(end).collect::<Vec<_>>(), integers(&[40]));
    let week = 7 * 86_400_000;
    assert_eq!(writer.sweep(UnixMs(39 + week)).unwrap(), 0);
    assert_eq!(writer.sweep(UnixMs(40 + week)).unwrap(), 1, "after seven days; what is running stays");
    assert_eq!(number(dir.path(), "SELECT count(*) FROM task_runs"), 1);
}

#[test]
fn single_rows_of_cron_run_logs_are_numbered_and_limited() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = CronRunLogsWriter::open(dir.path()).unwrap();
    writer.keep(3);
    for at in 1..=3 {
        assert!(!writer.append(&run(at, at + 10, 1)).unwrap());
    }
    assert!(writer.append(&run(4, 14, 1)).unwrap());
    writer.begin().unwrap();
    assert!(writer.append(&run(5, 6, 1)).unwrap());
    let numbers = || {
        let rows = select(dir.path(), "SELECT seq AS s FROM cron_run_logs ORDER BY seq");
        rows.iter().map(|row| row["s"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(numbers(), [2, 3, 4].map(Cell::Integer));
    writer.commit().unwrap();
    assert_eq!(numbers(), [3, 4, 5].map(Cell::Integer));
    assert_eq!(writer.delete_before(UnixMs(14)).unwrap(), 2);
    assert_eq!(numbers(), [4].map(Cell::Integer));
    assert!(TaskRunsWriter::open(dir.path(), 1).is_ok(), "the newer version takes the older one's database");
    let refused = CronRunLogsWriter::open(dir.path()).unwrap_err();
    assert!(matches!(refused, Error::NewerDatabase { found: 18, known: 1, .. }), "{refused}");
    assert_eq!(
        number(dir.path(), "SELECT count(*) FROM task_runs WHERE task_id LIKE 'cron-runlog-import:%'"),
        1
    );
}
