//! The jobs of the demonstration: about twenty, on a schedule that ends several runs a second.

use super::jobs::{Declaration, Job, JobState, Schedule};
use super::provider::Profile;
use super::{Options, Scene, uuid};
use fastrand::Rng;

/// One row: name, agent, profile, interval in milliseconds, path of a webhook.
type Row = (&'static str, Option<&'static str>, Profile, i64, Option<&'static str>);

/// The default set. `weekly-digest` has lines of about 2.4 kB, so that its log of 2,000 lines stays above
/// the size limit and is renamed over at every append; two names are hostile.
const ROWS: [Row; 20] = [
    ("daily-ok", Some("main"), Profile::Plain, 2_000, None),
    ("weekly-digest", Some("main"), Profile::Long(1_900), 5_000, None),
    ("cache-heavy", Some("ops"), Profile::Cache, 3_000, None),
    ("tool-user", Some("main"), Profile::Tools, 4_000, None),
    ("silent-check", Some("ops"), Profile::Silent, 3_000, None),
    ("always-fails", Some("main"), Profile::Fail, 11_000, None),
    ("claude-writer", Some("ops"), Profile::Claude, 7_000, None),
    ("slow-timeout", Some("main"), Profile::Slow, 17_000, None),
    ("quote \" back\\slash {x=\"y\"}", Some("main"), Profile::Plain, 8_000, None),
    ("main-event", None, Profile::Event, 10_000, None),
    ("hook-ok", Some("main"), Profile::Cache, 6_000, Some("http://127.0.0.1:1/hook/ok?token=s3cr3t")),
    ("bad-key", Some("ops"), Profile::BadKey, 13_000, None),
    (
        "line\nbreak \u{1b}[31mred\u{1b}[0m \u{202e}reversed\u{202c} \u{1f99e}",
        Some("ops"),
        Profile::Tools,
        12_000,
        None,
    ),
    ("news-brief", Some("main"), Profile::Long(700), 9_000, None),
    ("inbox-triage", Some("ops"), Profile::Cache, 5_000, None),
    ("hook-dead", Some("main"), Profile::Plain, 9_000, Some("http://127.0.0.1:1/hook/dead?token=s3cr3t")),
    ("price-watch", Some("main"), Profile::Plain, 4_000, None),
    ("log-review", Some("ops"), Profile::Tools, 15_000, None),
    ("standup-notes", Some("main"), Profile::Claude, 20_000, None),
    ("backup-audit", Some("ops"), Profile::Plain, 30_000, None),
];

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// The jobs of an office. Two have a lasting trouble: the provider refuses the key of `invoice-check`, and the receiver
/// of `sales-report` does not answer.
const OFFICE: [Row; OFFICE_JOBS] = [
    ("market-research", Some("research"), Profile::Research, 4 * HOUR_MS, None),
    ("code-review", Some("dev"), Profile::Claude, 30 * MINUTE_MS, None),
    ("inbox-triage", Some("office"), Profile::Cache, 15 * MINUTE_MS, Some("http://127.0.0.1:1/hook/ok")),
    ("ticket-sync", Some("office"), Profile::Cache, 20 * MINUTE_MS, None),
    ("price-watch", Some("research"), Profile::Plain, 30 * MINUTE_MS, None),
    ("news-brief", Some("research"), Profile::Long(700), HOUR_MS, None),
    ("log-review", Some("dev"), Profile::Tools, 30 * MINUTE_MS, None),
    ("release-notes", Some("dev"), Profile::Claude, 4 * HOUR_MS, None),
    ("standup-notes", Some("dev"), Profile::Claude, 8 * HOUR_MS, None),
    ("weekly-digest", Some("office"), Profile::Long(1_900), 24 * HOUR_MS, None),
    ("backup-audit", Some("dev"), Profile::Tools, 6 * HOUR_MS, None),
    ("quiet-check", Some("dev"), Profile::Silent, 30 * MINUTE_MS, None),
    ("sales-report", Some("office"), Profile::Plain, 2 * HOUR_MS, Some("http://127.0.0.1:1/hook/dead")),
    ("invoice-check", Some("office"), Profile::BadKey, 6 * HOUR_MS, None),
    ("feed-import", Some("research"), Profile::Slow, 3 * HOUR_MS, None),
    ("reminders", None, Profile::Event, HOUR_MS, None),
];

/// How many jobs the office has.
pub(super) const OFFICE_JOBS: usize = 16;

/// How many times rarer than the rows say the jobs of a healthy gateway run: every 2 to 30 min, which costs about two
/// dollars an hour.
pub(super) const HEALTHY_PACE: i64 = 60;

/// Returns the jobs of the start; beyond those of the scene the rows repeat with a number behind the name.
pub(super) fn first(rng: &mut Rng, options: &Options) -> Vec<Job> {
    let (count, start) = (options.jobs, options.start.0);
    match options.scene {
        Scene::Busy => jobs(rng, count, start),
        Scene::Healthy => healthy(rng, count, start),
        Scene::Office => of(rng, &OFFICE, count, start),
    }
}

/// Returns the first `count` jobs of the busy scene.
pub(super) fn jobs(rng: &mut Rng, count: usize, start: i64) -> Vec<Job> {
    of(rng, &ROWS, count, start)
}

/// Returns `count` jobs that nothing is wrong with, at the pace of a healthy gateway.
fn healthy(rng: &mut Rng, count: usize, start: i64) -> Vec<Job> {
    let succeeds = |profile| !matches!(profile, Profile::Fail | Profile::BadKey | Profile::Slow);
    let rows = ROWS.into_iter().filter(|(_, _, profile, _, webhook)| {
        succeeds(*profile) && webhook.is_none_or(|url| url.contains("/ok"))
    });
    let slower =
        |(name, agent, profile, every_ms, webhook)| (name, agent, profile, every_ms * HEALTHY_PACE, webhook);
    of(rng, &rows.map(slower).collect::<Vec<_>>(), count, start)
}

fn of(rng: &mut Rng, rows: &[Row], count: usize, start: i64) -> Vec<Job> {
    (0..count)
        .map(|i| {
            let (name, agent, profile, every_ms, webhook) = rows[i % rows.len()];
            let round = i / rows.len();
            let name = if round == 0 { name.to_owned() } else { format!("{name}-{}", round + 1) };
            // An expression of seconds cannot say more than a minute.
            let expressible = profile == Profile::Cache && webhook.is_none() && every_ms < 60_000;
            let schedule = if expressible {
                let expr = format!("*/{} * * * * *", every_ms / 1000);
                Schedule::Cron { expr, tz: Some("UTC"), stagger_ms: Some(0), step_ms: every_ms, phase_ms: 0 }
            } else {
                Schedule::Every { every_ms, anchor_ms: start + rng.i64(0..every_ms) }
            };
            let mut job = new(rng, name, profile, schedule, start);
            job.agent = agent;
            job.webhook = webhook.map(str::to_owned);
            job.webhook_works = webhook.is_some_and(|url| url.contains("/ok"));
            job
        })
        .collect()
}

/// Returns a job that came after the start: a recurring one, or a one-shot due soon. With a pace of 2, half as often.
pub(super) fn passing(rng: &mut Rng, number: u32, now: i64, pace: i64) -> Job {
    let profile = *rng.choice(&[Profile::Plain, Profile::Cache, Profile::Tools]).unwrap_or(&Profile::Plain);
    let mut job = if rng.bool() {
        let schedule = Schedule::at(now + rng.i64(500..3_000));
        new(rng, format!("one-shot-{number}"), profile, schedule, now)
    } else {
        let schedule = Schedule::Every { every_ms: rng.i64(2..10) * 1_000 * pace, anchor_ms: now };
        new(rng, format!("added-{number}"), profile, schedule, now)
    };
    job.passing = true;
    job
}

/// Time between two heartbeats, in ms: OpenClaw's own in an office, else shortened so that a short demonstration sees
/// skipped runs.
const fn heartbeat_ms(scene: Scene) -> i64 {
    match scene {
        Scene::Busy | Scene::Healthy => 10_000,
        Scene::Office => 30 * MINUTE_MS,
    }
}

const DAY_MS: i64 = 24 * HOUR_MS;

/// Returns the jobs that 2026.9.6 makes for itself at its first start.
pub(super) fn system(rng: &mut Rng, scene: Scene, now: i64) -> Vec<Job> {
    let dreaming = Schedule::Cron {
        expr: "0 3 * * *".to_owned(),
        tz: None,
        stagger_ms: None,
        step_ms: DAY_MS,
        phase_ms: 3 * HOUR_MS,
    };
    let mut jobs = vec![new(rng, "Memory Dreaming Promotion".to_owned(), Profile::Plain, dreaming, now)];
    jobs[0].declaration = Some(Declaration {
        key: "memory-core:memory-dreaming-promotion".to_owned(),
        display_name: None,
        description: Some("[managed-by=memory-core.short-term-promotion] Promotes short-term recalls."),
    });
    let every = |rng: &mut Rng, every_ms| Schedule::Every { every_ms, anchor_ms: rng.i64(0..every_ms) };
    let mut declare = |rng: &mut Rng, what: &str, title: &str, agent, profile, schedule| {
        let mut job = new(rng, format!("{what}-{agent}"), profile, schedule, now);
        job.agent = Some(agent);
        let (key, display_name) = (format!("{what}:{agent}"), Some(format!("{title} ({agent})")));
        job.declaration = Some(Declaration { key, display_name, description: None });
        jobs.push(job);
    };
    let schedule = every(rng, heartbeat_ms(scene));
    declare(rng, "heartbeat", "Heartbeat", "main", Profile::Heartbeat, schedule);
    for agent in ["main", "ops"] {
        let schedule = every(rng, 7 * DAY_MS);
        declare(rng, "skill-collection-review", "Skill collection review", agent, Profile::Plain, schedule);
    }
    jobs
}

fn new(rng: &mut Rng, name: String, profile: Profile, schedule: Schedule, now: i64) -> Job {
    Job {
        id: uuid(rng),
        name,
        agent: Some("main"),
        profile,
        state: JobState { next_run_at_ms: schedule.first_after(now), ..JobState::default() },
        schedule,
        enabled: true,
        created_at: now,
        updated_at: now,
        webhook: None,
        webhook_works: false,
        declaration: None,
        session_id: uuid(rng),
        calls: 0,
        last_run_at: i64::MIN,
        first_run_at: now,
        passing: false,
        held: false,
        dirty: true,
    }
}
