//! The proof itself.

use super::*;

/// A recording, and what is known to be different in it.
struct Recording {
    name: &'static str,
    /// Billed, and on no disk: the call was in flight when the gateway was stopped.
    in_flight: Option<(&'static str, Sums)>,
    /// The job that works in the main session is found there, up to these calls.
    main_session: MainSession,
}

enum MainSession {
    /// 2026.5.28 and 2026.6.11: under a key of its own.
    OwnKey,
    /// 2026.2.17 and 2026.9.6: in `agent:main:main`.
    Shared,
    /// The upgrade: the stage of 2026.9.6 shares, those before do not.
    SharedIn(&'static str),
}

const RECORDINGS: [Recording; 7] = [
    Recording { name: "2026.2.17", in_flight: None, main_session: MainSession::Shared },
    Recording { name: "2026.5.28", in_flight: None, main_session: MainSession::OwnKey },
    Recording {
        name: "2026.6.11",
        in_flight: Some(("cache-heavy", (1, [915, 60, 4096, 0], 4_873_800))),
        main_session: MainSession::OwnKey,
    },
    Recording { name: "2026.9.6", in_flight: None, main_session: MainSession::Shared },
    Recording { name: "stage1-5.28", in_flight: None, main_session: MainSession::OwnKey },
    Recording { name: "stage2-6.11", in_flight: None, main_session: MainSession::OwnKey },
    Recording { name: "stage3-9.6", in_flight: None, main_session: MainSession::SharedIn("3-9.6") },
];

fn truth(folder: &TempDir) -> Value {
    serde_json::from_str(&fs::read_to_string(folder.path().join("truth.json")).unwrap()).unwrap()
}

fn minus(a: Sums, b: Sums) -> Sums {
    (a.0 - b.0, std::array::from_fn(|kind| a.1[kind] - b.1[kind]), a.2 - b.2)
}

fn jobs(truth: &Value) -> &Vec<Value> {
    truth["jobs"].as_array().unwrap()
}

impl Recording {
    /// What the truth says of calls that belong to no job as far as the state directory tells.
    fn nobody_s(&self, truth: &Value) -> Sums {
        let chat = total(truth["notCron"].as_array().unwrap().iter().map(truth_of));
        let main = jobs(truth).iter().filter(|job| job["sessionTarget"] == "main").map(truth_of);
        match self.main_session {
            MainSession::OwnKey => chat,
            MainSession::Shared => total([chat].into_iter().chain(main)),
            MainSession::SharedIn(stage) => minus(
                truth_of(&truth["byStageEveryCall"][stage]),
                truth_of(&truth["byStageIsolatedCronRuns"][stage]),
            ),
        }
    }

    fn expected_of(&self, job: &Value, truth: &Value) -> Sums {
        let billed = truth_of(job);
        match (&self.main_session, job["sessionTarget"] == "main", self.in_flight) {
            (MainSession::Shared | MainSession::SharedIn(_), true, _) => {
                let chat = total(truth["notCron"].as_array().unwrap().iter().map(truth_of));
                minus(billed, minus(self.nobody_s(truth), chat))
            }
            (_, false, Some((name, missing))) if job["name"] == name => minus(billed, missing),
            _ => billed,
        }
    }
}

#[test]
fn transcripts_are_the_provider_s_bill() {
    for recording in RECORDINGS {
        let name = recording.name;
        let folder = unpack_fixture(name);
        let truth = truth(&folder);
        let read = read(&folder.path().join("state-dir"));
        assert_eq!(read.copies, 0, "{name}: no two places have the same call");

        let every = total(
            read.calls
                .values()
                .map(|(_, call)| (u64::from(call.is_billed()), call.tokens, call.cost.unwrap())),
        );
        let in_flight = recording.in_flight.map_or((0, [0; 4], 0), |(_, missing)| missing);
        assert_eq!(every, minus(truth_of(&truth["totals"]["everyCall"]), in_flight), "{name}: every call");

        let mut models = BTreeMap::new();
        for (_, call) in read.calls.values().filter(|(_, call)| call.is_billed()) {
            models.entry(call.model.clone().unwrap()).or_insert_with(Bill::default).add(call, false);
        }
        for (model, billed) in truth["byModelEveryCall"].as_object().unwrap() {
            let missing = if model == "mock-cache" { in_flight } else { (0, [0; 4], 0) };
            let bill = models.remove(model).unwrap_or_default();
            assert_eq!(sums(&bill), minus(truth_of(billed), missing), "{name}: {model}");
        }
        assert!(models.is_empty(), "{name}: {models:?}");

        let (runs, unrecorded, rest) = read.bills();
        assert_eq!(sums(&rest), recording.nobody_s(&truth), "{name}: nobody's");
        for job in jobs(&truth) {
            let id = job["jobId"].as_str().unwrap();
            let of_job = || {
                let recorded = runs.iter().filter(|(key, _)| key.job_id == id).map(|(_, bill)| bill);
                recorded.chain(unrecorded.get(id))
            };
            let expected = recording.expected_of(job, &truth);
            assert_eq!(total(of_job().map(sums)), expected, "{name}: {}", job["name"]);
            // In these recordings a job has one model; the one that works in the main session says none.
            let models: BTreeSet<_> = of_job().flat_map(|bill| bill.models.keys().cloned()).collect();
            let text = |key: &str| job[key].as_str().map(ToOwned::to_owned);
            if job["model"].is_string() && expected.0 > 0 {
                assert_eq!(models, [(text("provider"), text("model"))].into(), "{name}: {}", job["name"]);
            }
        }
        let known: BTreeSet<&str> = jobs(&truth).iter().filter_map(|job| job["jobId"].as_str()).collect();
        assert!(runs.keys().all(|key| known.contains(key.job_id.as_str())), "{name}");
    }
}

#[test]
fn each_run_has_its_own_bill() {
    for recording in RECORDINGS {
        let folder = unpack_fixture(recording.name);
        let truth = truth(&folder);
        let (bills, unrecorded, _) = read(&folder.path().join("state-dir")).bills();
        let mut compared = 0;
        for job in jobs(&truth).iter().filter(|job| job["sessionTarget"] != "main") {
            let job_id = job["jobId"].as_str().unwrap().to_owned();
            for run in job["runs"].as_array().unwrap() {
                let at = RunAt::Started(UnixMs(run["runAtMs"].as_i64().unwrap()));
                let bill = bills.get(&RunKey { job_id: job_id.clone(), at }).cloned().unwrap_or_default();
                assert_eq!(sums(&bill), truth_of(run), "{}: {} {at:?}", recording.name, job["name"]);
                compared += 1;
            }
        }
        assert_eq!(compared, truth["totals"]["expectedRunsIsolated"].as_u64().unwrap(), "{}", recording.name);
        // What was cut off by the gateway's end has no record, and in none of these recordings a bill.
        assert!(unrecorded.values().all(|bill| bill.models.is_empty()), "{}: {unrecorded:?}", recording.name);
    }
}

/// Takes the run records away and returns what is left to know.
fn read_without_records(folder: &TempDir, links: bool) -> Read {
    let state_dir = folder.path().join("state-dir");
    let removed = ["state", "cron"].map(|name| fs::remove_dir_all(state_dir.join(name)));
    assert!(removed.iter().any(Result::is_ok));
    read_with(&state_dir, links)
}

#[test]
fn a_bill_does_not_need_the_records() {
    // Records come late, and those of killed runs never. By job the bill is the same without any.
    for recording in RECORDINGS {
        let folder = unpack_fixture(recording.name);
        let truth = truth(&folder);
        let (runs, unrecorded, rest) = read_without_records(&folder, true).bills();
        assert!(runs.is_empty());
        assert_eq!(sums(&rest), recording.nobody_s(&truth), "{}", recording.name);
        for job in jobs(&truth) {
            let bill = unrecorded.get(job["jobId"].as_str().unwrap()).cloned().unwrap_or_default();
            let expected = recording.expected_of(job, &truth);
            assert_eq!(sums(&bill), expected, "{}: {}", recording.name, job["name"]);
        }
    }
}

#[test]
fn the_scheduler_s_message_alone_names_the_job() {
    // Neither records nor keys are left: archives of sessions that every index has forgotten.
    for recording in RECORDINGS {
        let folder = unpack_fixture(recording.name);
        let truth = truth(&folder);
        let (_, unrecorded, rest) = read_without_records(&folder, false).bills();
        assert_eq!(sums(&rest), truth_of(&truth["totals"]["mainSessionCronAndChat"]), "{}", recording.name);
        for job in jobs(&truth).iter().filter(|job| job["sessionTarget"] != "main") {
            let bill = unrecorded.get(job["jobId"].as_str().unwrap()).cloned().unwrap_or_default();
            let expected = recording.expected_of(job, &truth);
            assert_eq!(sums(&bill), expected, "{}: {}", recording.name, job["name"]);
        }
    }
}

#[test]
fn an_import_archive_holds_nothing_but_copies() {
    let folder = unpack_fixture("stage3-9.6");
    let mut read = read(&folder.path().join("state-dir"));
    let calls = read.calls.len();
    let mut billed = 0;
    for agent in entries(&folder.path().join("state-dir/agents")) {
        for file in entries(&agent.join("session-sqlite-import-archive")) {
            assert_eq!(classify(file.file_name().unwrap()), Name::Other, "{}", file.display());
            let name = file.file_name().and_then(OsStr::to_str).unwrap();
            if name.contains(".jsonl.imported-") && !name.contains(".trajectory.") {
                read_file(&mut read, &file, Name::Transcript);
                billed += 1;
            }
        }
    }
    assert!(billed > 10 && read.copies > 10, "{billed} files, {} copies", read.copies);
    assert_eq!(read.calls.len(), calls);
}

#[test]
fn a_run_that_is_recorded_as_ok_may_have_failed() {
    let folder = unpack_fixture("2026.2.17");
    let (bills, ..) = read(&folder.path().join("state-dir")).bills();
    let truth = truth(&folder);
    let mut failed = BTreeMap::new();
    for record in records(&folder.path().join("state-dir")) {
        let job = jobs(&truth).iter().find(|job| job["jobId"] == record["jobId"]).unwrap();
        let reason = bills.get(&known_run(&record).key).and_then(Bill::failure);
        if let (Some(reason), "ok") = (reason, record["status"].as_str().unwrap()) {
            *failed.entry((job["name"].as_str().unwrap(), reason)).or_insert(0) += 1;
        }
    }
    let expected = [
        (("always-fails", Reason::ServerError), 4),
        (("bad-key", Reason::Auth), 3),
        (("tool-500", Reason::ServerError), 4),
    ];
    assert_eq!(failed, expected.into());
}
