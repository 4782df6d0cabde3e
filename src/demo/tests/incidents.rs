use super::*;

const HOUR: i64 = 3_600_000;
const AT: UnixMs = UnixMs(START + HOUR);

/// A gateway that was healthy for an hour.
fn healthy(generation: Generation) -> (TempDir, Gateway) {
    let dir = tempfile::tempdir().unwrap();
    let options = Options { generation, start: UnixMs(START), ..Options::healthy() };
    let mut gateway = Gateway::new(&dir.path().join("state"), options).unwrap();
    gateway.step(AT).unwrap();
    (dir, gateway)
}

/// The same after an incident at its end, and the runs of the hour after that.
fn after(generation: Generation, incident: Incident) -> (Gateway, Option<String>, Vec<Finished>, TempDir) {
    let (dir, mut gateway) = healthy(generation);
    let job = gateway.suffer(incident, AT).unwrap();
    let runs = gateway.step(AT.plus(HOUR)).unwrap();
    (gateway, job, runs, dir)
}

const LATE: [Generation; 3] = [Generation::V2026_5_28, Generation::V2026_6_11, Generation::V2026_9_6];

#[test]
fn nothing_is_wrong_with_a_healthy_gateway() {
    for generation in Generation::ALL {
        let (_dir, gateway) = healthy(generation);
        let bill = gateway.bill();
        let failed = bill.runs_with(Status::Error);
        assert!(bill.runs() > 100 && failed * 20 < bill.runs(), "{failed} of {}", bill.runs());
        assert!(gateway.jobs().iter().all(|job| job.state.consecutive_errors.unwrap_or(0) < 2));
        assert!(gateway.jobs().iter().all(|job| job.webhook.is_none() || job.webhook_works));
        let log = fs::read_to_string(gateway.log_file()).unwrap_or_default();
        assert!(!log.contains("webhook"), "{log}");
    }
}

#[test]
fn a_missed_job_stays_due_and_all_others_run() {
    for generation in LATE {
        let (gateway, job, runs, _dir) = after(generation, Incident::Missed);
        let job = gateway.jobs().iter().find(|j| Some(&j.id) == job.as_ref()).unwrap();
        assert_eq!(job.state.next_run_at_ms, Some(AT.0 - HOUR));
        assert!(runs.len() > 100 && runs.iter().all(|run| run.job_id != job.id));
    }
}

#[test]
fn runs_fail_one_after_another() {
    for generation in LATE {
        let (gateway, job, runs, _dir) = after(generation, Incident::Failing);
        let of_it: Vec<_> = runs.iter().filter(|run| Some(&run.job_id) == job.as_ref()).collect();
        assert!(of_it.len() > 25 && of_it.iter().all(|run| run.status == Status::Error), "{of_it:?}");
        let job = gateway.jobs().iter().find(|j| Some(&j.id) == job.as_ref()).unwrap();
        assert_eq!(job.state.consecutive_errors, Some(u32::try_from(of_it.len()).unwrap()));
        // Within five minutes there are three of them, so that an alert has something to see soon.
        assert!(of_it[2].ts.0 - AT.0 < 300_000);
    }
}

#[test]
fn a_job_burns_a_thousand_times_its_tokens() {
    for generation in LATE {
        let (gateway, job, runs, _dir) = after(generation, Incident::Burn);
        let (of_it, others): (Vec<_>, Vec<_>) =
            runs.iter().partition(|run| Some(&run.job_id) == job.as_ref());
        let most = others.iter().map(|run| run.billed.input).max().unwrap();
        let answered: Vec<_> = of_it.iter().filter(|run| run.status == Status::Ok).collect();
        assert!(answered.len() > 25 && answered.iter().all(|run| run.billed.input > 800 * most));
        assert!(gateway.bill().job(job.as_ref().unwrap()).is_some());
    }
}

#[test]
fn a_webhook_fails_in_the_log_and_in_records_that_tell_of_it() {
    for generation in Generation::ALL {
        let (gateway, job, runs, _dir) = after(generation, Incident::Webhook);
        let job = job.unwrap();
        let ended = runs.iter().filter(|run| run.job_id == job && run.status == Status::Ok).count();
        let log = fs::read_to_string(gateway.log_file()).unwrap();
        let failed = log.lines().filter(|line| line.contains("cron: webhook delivery")).count();
        assert!(ended > 7 && failed == ended, "{failed} of {ended}");
        assert!(log.lines().filter(|line| line.contains("webhook")).all(|line| line.contains(&job)));
        let state = &gateway.jobs().iter().find(|j| j.id == job).unwrap().state;
        let told = state.last_delivery_status.as_deref() == Some("not-delivered");
        assert_eq!(told, generation == Generation::V2026_9_6);
    }
}

#[test]
fn a_store_that_vanished_stays_away() {
    for generation in Generation::ALL {
        let (gateway, job, runs, dir) = after(generation, Incident::Vanished);
        assert_eq!((job, runs), (None, Vec::new()));
        assert!(!gateway.state_dir().exists() && dir.path().join("state.gone").exists());
        assert_eq!(gateway.next_due(), UnixMs(i64::MAX));
    }
}

#[test]
fn without_a_job_there_is_an_error_that_says_what_to_do() {
    let options = Options { jobs: 0, churn: false, ..options(Generation::V2026_5_28) };
    let (_dir, mut gateway) = gateway(options);
    let error = gateway.suffer(Incident::Burn, AT).unwrap_err().to_string();
    assert!(error.contains("cannot let burn happen") && error.contains("--jobs"), "{error}");
    gateway.suffer(Incident::Vanished, AT).unwrap();
}
