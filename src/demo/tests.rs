use super::catalogue;
use super::jobs::Job;
use super::provider::{Ending, Outcome, Profile};
use super::record::{RunRecord, Times};
use super::*;
use crate::model::{RunAt, RunKey, Status, TokenKind, UnixMs};
use fastrand::Rng;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use tempfile::TempDir;

mod databases;
mod incidents;
mod upgrades;

const START: i64 = 1_771_300_800_000;
const BOTH: [Generation; 2] = [Generation::V2026_2_17, Generation::V2026_5_28];

fn gateway(options: Options) -> (TempDir, Gateway) {
    let dir = tempfile::tempdir().unwrap();
    let gateway = Gateway::new(dir.path(), options).unwrap();
    (dir, gateway)
}

fn options(generation: Generation) -> Options {
    Options { generation, remember_runs: true, ..Options::default() }
}

/// Every whole line of every run log, parsed, keyed by file stem.
fn records(state_dir: &Path) -> Vec<(String, Value)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(state_dir.join("cron/runs")).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().unwrap(), "jsonl", "left behind: {path:?}");
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.ends_with('\n'));
        all.extend(text.lines().map(|l| (stem.clone(), serde_json::from_str(l).unwrap())));
    }
    all
}

fn all_bytes(state_dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    for dir in [state_dir.to_path_buf(), state_dir.join("cron"), state_dir.join("cron/runs")] {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                all.insert(
                    path.strip_prefix(state_dir).unwrap().display().to_string(),
                    fs::read(&path).unwrap(),
                );
            }
        }
    }
    all
}

// Lines that real gateways wrote; only the names of model and provider are the simulation's.
const CACHE_217: &str = r#"{"ts":1795237025268,"jobId":"1913494d-93ab-4c3e-a301-3e2745c95762","action":"finished","status":"ok","summary":"Cached mock report call-37.","sessionId":"0f64383d-b80c-4e9a-a755-bad2d84c7074","sessionKey":"agent:main:cron:1913494d-93ab-4c3e-a301-3e2745c95762:run:0f64383d-b80c-4e9a-a755-bad2d84c7074","runAtMs":1795237025006,"durationMs":251,"nextRunAtMs":1795237055000,"model":"sim-cache","provider":"sim","usage":{"input_tokens":904,"output_tokens":60,"total_tokens":5000}}"#;
const REFUSED_217: &str = r#"{"ts":1795237100188,"jobId":"24b07ba4-fc7e-4747-b4ab-456892c7116e","action":"finished","status":"ok","summary":"401 Incorrect API key provided","sessionId":"129169e0-8d44-4519-a4af-241e317c6b76","sessionKey":"agent:ops:cron:24b07ba4-fc7e-4747-b4ab-456892c7116e:run:129169e0-8d44-4519-a4af-241e317c6b76","runAtMs":1795237067653,"durationMs":309,"nextRunAtMs":1795237075000,"model":"sim-badkey","provider":"simbad"}"#;
const TIMEOUT_217: &str = r#"{"ts":1795237100189,"jobId":"7b6027fe-1c06-4791-8e53-f93a354256ca","action":"finished","status":"error","error":"Error: cron: job execution timed out","runAtMs":1795237079964,"durationMs":20003,"nextRunAtMs":1795237129967}"#;
const SILENT_217: &str = r#"{"ts":1795237023283,"jobId":"ff92e5cc-bfd8-4fce-a971-a972f596b505","action":"finished","status":"ok","sessionId":"94eaac72-4c12-4097-a2e9-43b2dfafb7c3","sessionKey":"agent:ops:cron:ff92e5cc-bfd8-4fce-a971-a972f596b505:run:94eaac72-4c12-4097-a2e9-43b2dfafb7c3","runAtMs":1795237023012,"durationMs":264,"nextRunAtMs":1795237053000,"model":"sim-silent","provider":"sim","usage":{"input_tokens":900,"output_tokens":3,"total_tokens":900}}"#;
const HOOK_528: &str = r#"{"ts":1795234098780,"jobId":"075ea1ef-2008-4dc2-b86f-376e20f8b42f","action":"finished","status":"ok","summary":"Mock report call-27: all quiet, 3 items checked.","deliveryStatus":"not-requested","delivery":{"intended":{"channel":"last","to":"http://127.0.0.1:1/hook/dead?token=s3cr3t","source":"last"},"resolved":{"ok":false,"to":null,"source":"last","error":"webhook delivery has no chat target"},"fallbackUsed":false,"delivered":false},"sessionId":"ce820291-98a8-4583-952f-fe4d68edeac3","sessionKey":"agent:main:cron:075ea1ef-2008-4dc2-b86f-376e20f8b42f:run:ce820291-98a8-4583-952f-fe4d68edeac3","runAtMs":1795234089199,"durationMs":9564,"nextRunAtMs":1795234149199,"model":"sim-ok","provider":"sim","usage":{"input_tokens":1200,"output_tokens":34,"total_tokens":1200}}"#;
const TOOLS_528: &str = r#"{"ts":1795234087079,"jobId":"64db93eb-bc5e-4da7-826c-0da27571f113","action":"finished","status":"ok","summary":"Tool mock report call-20: done after 1 tool call(s).","deliveryStatus":"not-requested","delivery":{"intended":{"channel":"last","to":null,"source":"last"},"fallbackUsed":false,"delivered":false},"sessionId":"8fc2609a-9e8a-4564-bd5a-6bb4180bd7d1","sessionKey":"agent:main:cron:64db93eb-bc5e-4da7-826c-0da27571f113:run:8fc2609a-9e8a-4564-bd5a-6bb4180bd7d1","runAtMs":1795234084437,"durationMs":2635,"nextRunAtMs":1795234114437,"model":"sim-tools","provider":"sim","usage":{"input_tokens":2001,"output_tokens":65,"total_tokens":2001}}"#;
const REFUSED_528: &str = r#"{"ts":1795234110711,"jobId":"ea6e5346-0f39-464b-8121-4af1a0f55559","action":"finished","status":"error","error":"FailoverError: 401 Incorrect API key provided","diagnostics":{"summary":"401 Incorrect API key provided","entries":[{"ts":1795234105520,"source":"agent-run","severity":"error","message":"401 Incorrect API key provided"}]},"deliveryStatus":"not-requested","sessionId":"6e2a99f8-10d6-422c-b4c2-64a719adbb6e","sessionKey":"agent:ops:cron:ea6e5346-0f39-464b-8121-4af1a0f55559:run:6e2a99f8-10d6-422c-b4c2-64a719adbb6e","runAtMs":1795234100804,"durationMs":4716,"nextRunAtMs":1795234135520}"#;
const TIMEOUT_528: &str = r#"{"ts":1795234110713,"jobId":"a5c6e427-402d-45e5-ba18-1d439531abfc","action":"finished","status":"error","error":"cron: job execution timed out (last phase: model-call-started)","diagnostics":{"summary":"cron: job execution timed out (last phase: model-call-started)","entries":[{"ts":1795234107337,"source":"cron-setup","severity":"error","message":"cron: job execution timed out (last phase: model-call-started)"}]},"deliveryStatus":"not-requested","runAtMs":1795234100805,"durationMs":6532,"nextRunAtMs":1795234137337}"#;
const EVENT_528: &str = r#"{"ts":1795234110716,"jobId":"fa9fc03c-ba2f-4ff3-b9b0-bca2ee221e95","action":"finished","status":"ok","summary":"Reminder: check things","deliveryStatus":"not-requested","sessionKey":"agent:main:cron:fa9fc03c-ba2f-4ff3-b9b0-bca2ee221e95:run:1795234100806","runAtMs":1795234100806,"durationMs":11,"nextRunAtMs":1795234160806}"#;

#[test]
fn records_equal_recorded_lines_byte_for_byte() {
    let call = |input, output, cache_read| Tokens { input, output, cache_read, cache_write: 0 };
    let reply = |text: &str| Ending::Reply(text.to_owned());
    let [old, new] = BOTH;
    let bad_key = Ending::Refused("401 Incorrect API key provided");
    let dead = Some("http://127.0.0.1:1/hook/dead?token=s3cr3t");
    let tools = vec![call(1500, 25, 300), call(501, 40, 1500)];
    let cases = [
        (
            CACHE_217,
            old,
            "main",
            Profile::Cache,
            None,
            reply("Cached mock report call-37."),
            vec![call(904, 60, 4096)],
        ),
        (REFUSED_217, old, "ops", Profile::BadKey, None, bad_key.clone(), vec![]),
        (TIMEOUT_217, old, "ops", Profile::Slow, None, Ending::TimedOut, vec![]),
        (SILENT_217, old, "ops", Profile::Silent, None, Ending::Silent, vec![call(900, 3, 0)]),
        (
            HOOK_528,
            new,
            "main",
            Profile::Plain,
            dead,
            reply("Mock report call-27: all quiet, 3 items checked."),
            vec![call(1200, 34, 0)],
        ),
        (
            TOOLS_528,
            new,
            "main",
            Profile::Tools,
            None,
            reply("Tool mock report call-20: done after 1 tool call(s)."),
            tools,
        ),
        (REFUSED_528, new, "ops", Profile::BadKey, None, bad_key, vec![]),
        (TIMEOUT_528, new, "main", Profile::Slow, None, Ending::TimedOut, vec![]),
        (EVENT_528, new, "main", Profile::Event, None, Ending::Event, vec![]),
    ];
    let model: Job = catalogue::jobs(&mut Rng::with_seed(1), 1, START).remove(0);
    for (line, generation, agent, profile, webhook, ending, calls) in cases {
        let real: Value = serde_json::from_str(line).unwrap();
        let text = |key: &str| real[key].as_str().unwrap_or_default().to_owned();
        let job = Job {
            id: text("jobId"),
            agent: Some(agent),
            profile,
            webhook: webhook.map(str::to_owned),
            ..model.clone()
        };
        let outcome = Outcome { ending, calls, duration_ms: real["durationMs"].as_i64().unwrap() };
        let times = Times {
            ts: real["ts"].as_i64().unwrap(),
            run_at: real["runAtMs"].as_i64().unwrap(),
            next_run_at: real["nextRunAtMs"].as_i64(),
        };
        let record = RunRecord::new(generation, &job, &text("sessionId"), &outcome, times);
        assert_eq!(String::from_utf8(record.to_line().unwrap()).unwrap(), line);
    }
}

#[test]
fn what_is_on_disk_equals_the_bill() {
    for generation in BOTH {
        let (dir, mut gateway) = gateway(options(generation));
        let finished = gateway.step(UnixMs(START + 60_000)).unwrap();
        let records = records(dir.path());
        let bill = gateway.bill();
        let sum = |key: &str| records.iter().filter_map(|(_, r)| r["usage"][key].as_u64()).sum::<u64>();
        assert_eq!(u64::try_from(records.len()).unwrap(), bill.runs());
        assert_eq!(finished.len(), records.len());
        assert_eq!(sum("input_tokens"), bill.tokens(TokenKind::Input));
        assert_eq!(sum("output_tokens"), bill.tokens(TokenKind::Output));
        assert!(bill.tokens(TokenKind::CacheRead) > 0 && bill.tokens(TokenKind::CacheWrite) > 0);
        for status in Status::ALL {
            let on_disk = records.iter().filter(|(_, r)| r["status"] == status.as_str()).count();
            assert_eq!(u64::try_from(on_disk).unwrap(), bill.runs_with(status), "{generation:?} {status:?}");
        }
        for (job, one) in bill.jobs() {
            let mine = || records.iter().filter(|(stem, r)| stem == job && r["jobId"] == job);
            assert_eq!(u64::try_from(mine().count()).unwrap(), one.runs());
            let input: u64 = mine().filter_map(|(_, r)| r["usage"]["input_tokens"].as_u64()).sum();
            assert_eq!((input, one.recorded.input), (one.provider.input, one.provider.input));
        }
        let key = |(stem, r): &(String, Value)| RunKey {
            job_id: stem.clone(),
            at: RunAt::Started(UnixMs(r["runAtMs"].as_i64().unwrap())),
        };
        assert!(records.iter().all(|r| gateway.runs().contains_key(&key(r))));
        assert_eq!(gateway.runs().len(), records.len(), "run keys are unique");
    }
}

#[test]
fn a_minute_shows_every_kind_of_run() {
    for (generation, errors) in
        [(Generation::V2026_2_17, "Error: cron:"), (Generation::V2026_5_28, "FailoverError: 500")]
    {
        let (dir, mut gateway) = gateway(options(generation));
        let finished = gateway.step(UnixMs(START + 120_000)).unwrap();
        assert!(finished.len() > 240, "{} runs in two minutes", finished.len());
        let records = records(dir.path());
        let some = |wanted: &dyn Fn(&Value) -> bool| records.iter().any(|(_, r)| wanted(r));
        assert!(some(&|r| r["status"] == "ok" && r["summary"].is_null()), "NO_REPLY");
        assert!(some(&|r| r["error"].as_str().is_some_and(|e| e.starts_with(errors))));
        assert!(some(&|r| r["status"] == "skipped"));
        assert!(some(&|r| r["nextRunAtMs"].is_null() && r["status"] == "ok"), "one-shot");
        assert!(some(&|r| r["summary"].as_str().is_some_and(|s| s.len() == 1_900)));
        let batched = finished.windows(2).any(|w| w[0].ts == w[1].ts && w[0].job_id != w[1].job_id);
        assert!(batched, "due jobs are recorded together");
        let removed =
            gateway.bill().jobs().filter(|(id, _)| gateway.jobs().iter().all(|j| j.id != *id)).count();
        assert!(removed > 0, "some job is gone while its log stays");
        assert!(gateway.jobs().iter().any(|j| j.name.contains("(renamed")));
    }
}

#[test]
fn equal_seeds_give_equal_bytes_at_any_step_width() {
    for generation in BOTH {
        let run = |seed, width: i64| {
            let (dir, mut gateway) = gateway(Options { seed, ..options(generation) });
            let mut now = START;
            while now < START + 30_000 {
                now = (now + width).min(START + 30_000);
                gateway.step(UnixMs(now)).unwrap();
            }
            assert!(gateway.next_due() > UnixMs(now));
            (all_bytes(dir.path()), gateway.bill().clone())
        };
        let whole = run(7, 30_000);
        assert!(whole == run(7, 137));
        assert!(whole.1 != run(8, 30_000).1);
    }
}

#[test]
fn job_lists_have_the_shape_of_their_version() {
    for generation in BOTH {
        let (dir, mut gateway) = gateway(Options { churn: false, ..options(generation) });
        let list = dir.path().join("cron/jobs.json");
        let before = fs::read(&list).unwrap();
        gateway.step(UnixMs(START + 5_000)).unwrap();
        let text = fs::read_to_string(&list).unwrap();
        assert!(text.starts_with("{\n  \"version\": 1,\n  \"jobs\": [\n    {\n      \"id\": \""), "{text}");
        assert!(text.ends_with("}\n  ]\n}"));
        let jobs: Value = serde_json::from_str(&text).unwrap();
        let job = &jobs["jobs"][0];
        assert_eq!((job["name"].as_str(), job["agentId"].as_str()), (Some("daily-ok"), Some("main")));
        assert_eq!(job["schedule"]["kind"], "every");
        assert_eq!(jobs["jobs"][2]["schedule"]["expr"], "*/3 * * * * *");
        let id = job["id"].as_str().unwrap();
        let state_file = dir.path().join("cron/jobs-state.json");
        let state = match generation {
            Generation::V2026_2_17 => {
                assert!(!state_file.exists());
                assert_ne!(before, text.as_bytes());
                job["state"].clone()
            }
            _ => {
                assert_eq!(before, text.as_bytes(), "runs do not touch jobs.json");
                assert_eq!(job["state"], serde_json::json!({}));
                let states: Value = serde_json::from_slice(&fs::read(state_file).unwrap()).unwrap();
                let identity = states["jobs"][id]["scheduleIdentity"].as_str().unwrap();
                assert!(identity.starts_with(
                    r#"{"version":1,"enabled":true,"schedule":{"kind":"every","everyMs":2000,"anchorMs":"#
                ));
                states["jobs"][id]["state"].clone()
            }
        };
        assert_eq!(state["lastStatus"], "ok");
        assert!(state["nextRunAtMs"].as_i64().unwrap() > START);
        let names: Vec<_> =
            jobs["jobs"].as_array().unwrap().iter().map(|j| j["name"].as_str().unwrap()).collect();
        assert!(names.iter().any(|n| n.contains('\u{202e}') && n.contains('\n') && n.contains('\u{1b}')));
    }
}

#[test]
fn a_prune_keeps_the_last_lines_in_a_new_file() {
    for (generation, mode) in [(Generation::V2026_2_17, 0o644), (Generation::V2026_5_28, 0o600)] {
        let (_dir, mut gateway) = gateway(Options { failure_percent: 0, ..options(generation) });
        gateway.prefill_for_demo().unwrap();
        let (short, long) = (gateway.jobs()[0].id.clone(), gateway.jobs()[1].id.clone());
        let lines = |gateway: &mut Gateway, id: &str| {
            let text = fs::read_to_string(gateway.writer().path(id)).unwrap();
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let meta = |gateway: &mut Gateway, id: &str| fs::metadata(gateway.writer().path(id)).unwrap();

        // Short lines: appends up to the limit, then half the file goes, then appends again.
        let before = lines(&mut gateway, &short);
        assert!(before.len() > 3_000);
        let inode = meta(&mut gateway, &short).ino();
        let mut appended = 0;
        while !gateway.run_now(&short, UnixMs(START)).unwrap().pruned {
            assert_eq!(meta(&mut gateway, &short).ino(), inode);
            appended += 1;
            assert!(appended < 6, "the log was not near its limit");
        }
        let after = lines(&mut gateway, &short);
        assert_eq!(after.len(), 2_000);
        assert_eq!(after[0], before[before.len() + appended + 1 - 2_000]);
        assert_ne!(meta(&mut gateway, &short).ino(), inode);
        let bits = meta(&mut gateway, &short).permissions().mode() & 0o777;
        assert_eq!((bits & !mode, bits & 0o600), (0, 0o600), "the process's umask may take bits away");
        assert!(!gateway.run_now(&short, UnixMs(START)).unwrap().pruned);

        // Long lines: every append renames, and from the 2,001st line on the content moves by one.
        for appended in 1..=12 {
            let (before, inode) = (lines(&mut gateway, &long), meta(&mut gateway, &long).ino());
            assert!(gateway.run_now(&long, UnixMs(START)).unwrap().pruned);
            let after = lines(&mut gateway, &long);
            assert_ne!(meta(&mut gateway, &long).ino(), inode);
            let lost = usize::from(appended > 10);
            assert_eq!(after[..after.len() - 1], before[lost..]);
        }
        let mut left = fs::read_dir(gateway.writer().runs_dir()).unwrap();
        assert!(left.all(|e| e.unwrap().path().extension().unwrap() == "jsonl"));
    }
}

#[test]
fn modes_are_those_of_the_version() {
    for (generation, dir_mode) in [(Generation::V2026_2_17, 0o755), (Generation::V2026_5_28, 0o700)] {
        let (_dir, mut gateway) = gateway(options(generation));
        let id = gateway.jobs()[0].id.clone();
        gateway.run_now(&id, UnixMs(START)).unwrap();
        let runs = fs::metadata(gateway.writer().runs_dir()).unwrap();
        let bits = runs.permissions().mode() & 0o777;
        assert_eq!((bits & !dir_mode, bits & 0o700), (0, 0o700), "the process's umask may take bits away");
    }
}

#[test]
fn faults_do_what_they_say() {
    let (dir, mut gateway) = gateway(Options { failure_percent: 0, ..options(Generation::V2026_5_28) });
    let id = gateway.jobs()[0].id.clone();
    let path = gateway.writer().path(&id);
    let content = || fs::read(&path).unwrap();
    let now = UnixMs(START);

    let torn = gateway.append_torn(&id, 40, now).unwrap();
    assert_eq!((content().len(), gateway.bill().runs()), (40, 0));
    let rest = torn.rest().to_vec();
    assert_eq!(gateway.complete_torn(torn).unwrap().run_at, now);
    assert!(content().ends_with(&rest) && content().len() == 40 + rest.len());
    assert_eq!(gateway.bill().runs(), 1);

    let open = gateway.append_without_newline(&id, now).unwrap();
    assert_eq!((open.rest(), gateway.bill().runs()), (b"\n".as_slice(), 2));
    assert!(content().ends_with(b"}"));
    gateway.complete_torn(open).unwrap();
    assert_eq!((records(dir.path()).len(), gateway.bill().runs()), (2, 2));
    assert_eq!(gateway.runs().len(), 2, "a second run at the same time gets its own start");

    let whole = content();
    gateway.writer().swap_runs_dir().unwrap();
    assert_eq!(content(), whole);
    gateway.writer().truncate(&id).unwrap();
    assert_eq!(content(), b"");
    gateway.writer().append_raw(&id, b"\0garbage\n\n").unwrap();
    gateway.writer().prune(&id).unwrap();
    assert_eq!(content(), b"\0garbage\n", "blank lines go");
    gateway.writer().recreate(&id, b"other\n").unwrap();
    assert_eq!(content(), b"other\n");
    gateway.writer().rename_migrated(&id).unwrap();
    assert!(!path.exists() && path.with_extension("jsonl.migrated").exists());
    let error = gateway.writer().delete(&id).unwrap_err().to_string();
    assert!(error.contains("cannot delete") && error.contains(&id), "{error}");
    assert!(matches!(gateway.run_now("nobody", now), Err(Error::UnknownJob { .. })));
}

#[test]
fn a_corpus_holds_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let spec = corpus::Spec {
        files: 7,
        lines_per_file: 50,
        line_bytes: 1_040,
        seed: 3,
        first_run_at: UnixMs(START),
        interval_ms: 60_000,
    };
    let sums = corpus::write(dir.path(), spec).unwrap();
    let records = records(dir.path());
    let sum = |key: &str| records.iter().map(|(_, r)| r["usage"][key].as_u64().unwrap()).sum::<u64>();
    assert_eq!((records.len(), sums.runs, sums.bytes), (350, 350, 350 * 1_040));
    assert_eq!((sum("input_tokens"), sum("output_tokens")), (sums.input, sums.output));
    let short = corpus::Spec { line_bytes: 100, ..spec };
    assert!(matches!(corpus::write(dir.path(), short), Err(Error::LineTooShort { .. })));
}
