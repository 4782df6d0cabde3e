use super::*;

const JOB: &str = "j";
const MAIN: &str = "agent:main:main";

fn known(start: i64, duration: Option<u64>, session: Option<&str>) -> KnownRun {
    KnownRun {
        key: RunKey { job_id: JOB.to_owned(), at: RunAt::Started(UnixMs(start)) },
        duration_ms: duration,
        session_id: session.map(ToOwned::to_owned),
        session_key: None,
    }
}

fn run(start: i64) -> Owner {
    Owner::Run { key: known(start, None, None).key, sub_agent: false }
}

fn unrecorded(at: i64) -> Owner {
    Owner::Unrecorded { job_id: JOB.to_owned(), started_at: UnixMs(at), sub_agent: false }
}

impl Attributor {
    fn link(&mut self, session: &str, key: &str, spawned_by: Option<&str>) {
        let link = SessionLink {
            session_id: (!session.is_empty()).then(|| session.to_owned()),
            key: key.to_owned(),
            spawned_by: spawned_by.map(ToOwned::to_owned),
        };
        self.add_link(link, UnixMs(0));
    }

    fn open(&mut self, session: &str, at: i64, job: Option<&str>) {
        self.add_opening(session, Opening { at: UnixMs(at), job_id: job.map(ToOwned::to_owned) });
    }

    fn of(&self, session: &str, at: i64) -> Owner {
        self.owner(session, UnixMs(at))
    }
}

#[test]
fn a_session_that_serves_many_runs_is_cut_by_its_openings() {
    let mut all = Attributor::default();
    all.link("s", "agent:main:cron:j", None);
    for (start, duration) in [(10_000, 5_000), (70_000, 3_000), (130_000, 5_000)] {
        all.add_run(known(start, Some(duration), Some("s")));
    }
    for at in [10_050, 71_000, 100_000, 131_000] {
        all.open("s", at, Some(JOB));
    }
    for (at, expected) in [
        (10_051, run(10_000)),
        (14_000, run(10_000)),
        // An announce turn, long after the run's end.
        (69_000, run(10_000)),
        (71_000, run(70_000)),
        // Opened 27 s after the run's end: killed, no record.
        (100_500, unrecorded(100_000)),
        (131_001, run(130_000)),
        (999_999, run(130_000)),
    ] {
        assert_eq!(all.of("s", at), expected, "{at}");
    }
}

#[test]
fn a_record_without_a_session_is_found_by_time() {
    let mut all = Attributor::default();
    all.add_run(known(10_000, Some(5_000), None));
    all.add_run(known(60_000, Some(5_000), Some("other")));
    all.add_run(known(100_000, None, None));
    for (session, at) in [("a", 12_000), ("late", 15_051), ("killed", 20_001), ("b", 62_000), ("c", 100_001)]
    {
        all.open(session, at, Some(JOB));
    }
    assert_eq!(all.of("a", 13_000), run(10_000));
    assert_eq!(all.of("late", 15_100), run(10_000));
    assert_eq!(all.of("killed", 20_100), unrecorded(20_001));
    // That run has a session, and it is another one; the run before it had ended.
    assert_eq!(all.of("b", 63_000), unrecorded(62_000));
    assert_eq!(all.of("other", 61_000), run(60_000));
    // Nothing says how long it took.
    assert_eq!(all.of("c", 500_000), run(100_000));
}

#[test]
fn the_record_comes_before_the_key_and_the_key_before_the_message() {
    let mut all = Attributor::default();
    all.add_run(known(10_000, Some(5_000), None));
    all.link("s", "agent:main:cron:other", None);
    all.open("s", 10_001, Some(JOB));
    let other =
        Owner::Unrecorded { job_id: "other".to_owned(), started_at: UnixMs(10_001), sub_agent: false };
    assert_eq!(all.of("s", 10_002), other);
    all.add_run(known(10_000, Some(5_000), Some("s")));
    assert_eq!(all.of("s", 10_002), run(10_000));
    // The longer key is as good as a record's session.
    let mut run_record = known(30_000, Some(5_000), None);
    run_record.session_key = Some("agent:main:cron:j:run:t".to_owned());
    all.add_run(run_record);
    assert_eq!(all.of("t", 30_002), run(30_000));
}

#[test]
fn a_key_may_hold_the_start_of_the_run() {
    let mut all = Attributor::default();
    all.link("s", "agent:main:cron:j:run:10000", None);
    all.open("s", 20_000, None);
    assert_eq!(all.of("s", 20_001), unrecorded(10_000));
    all.add_run(known(10_000, Some(1), None));
    assert_eq!(all.of("s", 20_001), run(10_000));
    for (token, expected) in
        [("9000", run(10_000)), ("8999", unrecorded(8_999)), ("10001", unrecorded(10_001))]
    {
        all.link(token, &format!("agent:main:cron:j:run:{token}"), None);
        assert_eq!(all.of(token, 20_001), expected);
    }
    // The record says the same key and another start: a job that was made up for after a restart.
    let mut late = known(90_000, Some(1), None);
    late.session_key = Some("agent:main:cron:j:run:60000".to_owned());
    all.link("t", "agent:main:cron:j:run:60000", None);
    assert_eq!(all.of("t", 95_000), unrecorded(60_000));
    all.add_run(late);
    assert_eq!(all.of("t", 95_000), run(90_000));
    all.link("u", "agent:main:cron:j:run:89500", None);
    assert_eq!(all.of("u", 95_000), unrecorded(89_500));
}

#[test]
fn a_session_that_people_use_too_is_a_run_s_only_while_that_lasts() {
    let mut all = Attributor::default();
    all.link("chat", MAIN, None);
    all.add_run(known(10_000, Some(5_000), Some("chat")));
    all.add_run(known(30_000, None, Some("chat")));
    all.open("chat", 5_000, None);
    for (at, expected) in [
        (9_999, Owner::None),
        (10_000, run(10_000)),
        (15_000, run(10_000)),
        (15_001, Owner::None),
        (31_000, Owner::None),
    ] {
        assert_eq!(all.of("chat", at), expected, "{at}");
    }
}

#[test]
fn a_compaction_in_the_middle_of_a_run_changes_nothing_but_the_session() {
    // The record names the first session or the last.
    for named in ["s", "t"] {
        let mut all = Attributor::default();
        all.add_run(known(10_000, Some(9_000), Some(named)));
        all.add_run(known(60_000, Some(9_000), Some("other")));
        all.open("s", 10_050, Some(JOB));
        let header = |id: &str, parent: &str| SessionHeader {
            id: id.to_owned(),
            parent: Some(parent.to_owned()),
            created_at: Some(UnixMs(12_000)),
        };
        all.add_header(&header("t", "s"), UnixMs(0));
        all.link("t", "agent:main:cron:j", None);
        // What the scheduler said may have been summed up, or is here as a copy.
        assert_eq!((all.of("s", 11_000), all.of("t", 13_000)), (run(10_000), run(10_000)));
        all.open("t", 10_050, Some(JOB));
        assert_eq!((all.of("s", 11_000), all.of("t", 13_000)), (run(10_000), run(10_000)));
        // Copies open nothing: a sub-agent is still told from the session that was opened.
        assert_eq!(all.openings[JOB].len(), 1);
    }
}

#[test]
fn what_comes_later_changes_the_answer() {
    let mut all = Attributor::default();
    assert_eq!(all.of("s", 10_100), Owner::None);
    all.open("s", 10_050, Some(JOB));
    assert_eq!(all.of("s", 10_100), unrecorded(10_050));
    // Written 53 s after the run, with the whole batch.
    all.add_run(known(10_000, Some(5_000), Some("s")));
    assert_eq!(all.of("s", 10_100), run(10_000));
    all.forget_before(UnixMs(10_000));
    assert_eq!(all.of("s", 10_100), run(10_000));
    all.forget_before(UnixMs(10_051));
    assert_eq!(all.of("s", 10_100), Owner::None);
    assert!(all.sessions.is_empty() && all.openings.is_empty() && all.jobs_of_records.is_empty());
}

#[test]
fn a_start_a_moment_after_the_opening_is_within_the_tolerance() {
    let mut all = Attributor::default();
    all.add_run(known(10_000, Some(5_000), None));
    all.open("s", 9_000, Some(JOB));
    all.open("t", 8_999, Some(JOB));
    assert_eq!((all.of("s", 11_000), all.of("t", 11_000)), (run(10_000), unrecorded(8_999)));
}

#[test]
fn chats_and_main_sessions_are_nobody_s() {
    let mut all = Attributor::default();
    all.add_run(known(10_000, Some(50_000), None));
    all.link("chat", MAIN, None);
    all.open("chat", 10_001, None);
    all.open("unknown", 10_001, None);
    assert_eq!((all.of("chat", 10_002), all.of("unknown", 10_002)), (Owner::None, Owner::None));
    // A job that works in a session of a person's choice opens its turns itself, and those alone are its own.
    all.open("chat", 20_000, Some(JOB));
    all.open("chat", 30_000, None);
    assert_eq!((all.of("chat", 20_001), all.of("chat", 30_001)), (run(10_000), Owner::None));
    // Where the key is not known the first message decides.
    all.open("cron", 10_001, Some(JOB));
    all.open("cron", 70_000, None);
    assert_eq!(all.of("cron", 70_001), run(10_000));
}

#[test]
fn a_sub_agent_spends_for_the_run_that_spawned_it() {
    for (spawner, record_session) in [
        // 2026.4.15 names the job alone, from 2026.7.1 the run's session.
        ("agent:main:cron:j", Some("c1")),
        ("agent:main:cron:j", None),
        ("agent:main:cron:j:run:c1", Some("c1")),
        ("agent:main:cron:j:run:c1", None),
    ] {
        let mut all = Attributor::default();
        all.link("a", "agent:main:subagent:1", Some(spawner));
        all.link("b", "agent:main:subagent:2", None);
        // A row of `subagent_runs`: keys alone.
        all.link("", "agent:main:subagent:2", Some("agent:main:subagent:1"));
        all.open("c1", 10_050, Some(JOB));
        all.open("a", 12_000, None);
        all.open("b", 13_000, None);
        let waiting =
            Owner::Unrecorded { job_id: JOB.to_owned(), started_at: UnixMs(10_050), sub_agent: true };
        assert_eq!(all.of("a", 12_001), waiting, "{spawner}");
        all.add_run(known(10_000, Some(9_000), record_session));
        all.open("c2", 30_050, Some(JOB));
        all.add_run(known(30_000, Some(9_000), Some("c2")));
        let owner = Owner::Run { key: known(10_000, None, None).key, sub_agent: true };
        // The second call comes after the next run has started.
        for (session, at) in [("a", 12_001), ("a", 31_000), ("b", 13_001)] {
            assert_eq!(all.of(session, at), owner, "{spawner} {session} {at}");
        }
    }
}

#[test]
fn chains_of_sub_agents_and_forks_end() {
    let mut all = Attributor::default();
    all.link("a", "agent:main:subagent:1", Some("agent:main:subagent:2"));
    all.link("b", "agent:main:subagent:2", Some("agent:main:subagent:1"));
    assert_eq!(all.of("a", 1), Owner::None);
    let header = |id: &str, parent: &str| SessionHeader {
        id: id.to_owned(),
        parent: Some(parent.to_owned()),
        created_at: Some(UnixMs(20_000)),
    };
    all.add_header(&header("x", "y"), UnixMs(0));
    all.add_header(&header("y", "x"), UnixMs(0));
    assert_eq!(all.of("x", 1), Owner::None);
    // A fork without a key goes on for the session it was copied from.
    all.add_run(known(10_000, Some(5_000), Some("s")));
    all.open("s", 10_050, Some(JOB));
    all.add_header(&header("f", "s"), UnixMs(0));
    assert_eq!(all.of("f", 20_001), run(10_000));
    // A sub-agent that begins with a copy of its parent's messages was opened when it was made.
    all.add_header(&header("g", "s"), UnixMs(0));
    all.link("g", "agent:main:subagent:3", Some("agent:main:cron:j"));
    all.open("g", 10_050, None);
    all.open("g", 20_500, Some("none"));
    all.add_run(known(20_400, Some(5_000), Some("s2")));
    all.open("s2", 20_450, Some(JOB));
    let second = Owner::Run { key: known(20_400, None, None).key, sub_agent: true };
    assert_eq!(all.of("g", 20_501), second);
}

#[test]
fn long_chats_are_held_as_one_opening() {
    let mut all = Attributor::default();
    for at in [50, 40, 60, 10, 55] {
        all.open("chat", at, None);
    }
    let openings: Vec<i64> = all.sessions["chat"].openings.keys().map(|at| at.0).collect();
    assert_eq!(openings, [10]);
    all.open("chat", 30, Some(JOB));
    all.open("chat", 45, None);
    all.open("chat", 35, None);
    let openings: Vec<i64> = all.sessions["chat"].openings.keys().map(|at| at.0).collect();
    assert_eq!(openings, [10, 30, 35]);
}
