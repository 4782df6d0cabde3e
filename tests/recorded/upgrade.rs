//! One state directory through three versions of OpenClaw: every run once, and no token twice.

use std::fs;

use tempfile::TempDir;

use super::records::{BilledRun, Cache, Shown, assert_clean, exported, shown, sum};
use super::*;
use crate::common::fixtures::Fixture;

const STAGES: [&str; 3] = ["stage1-5.28", "stage2-6.11", "stage3-9.6"];

/// How a directory goes from one stage to the next.
#[derive(Clone, Copy, Debug)]
struct Passage {
    /// The database stays the same file, as when the gateway itself changes it; else it is another one, as a VACUUM
    /// INTO or a restored copy is.
    same_file: bool,
    /// The program is restarted between the stages.
    restarts: bool,
    /// It does not run while 2026.6.11 does.
    skips: bool,
    /// The logs of 2026.5.28 were never read, so that all of its runs come from imports.
    late: bool,
}

/// Makes the directory what the gateway of that stage left.
fn enter(stage: &Fixture, state_dir: &Path, same_file: bool) {
    let cron = stage.state_dir().join("cron");
    for folder in ["", "runs"] {
        let into = state_dir.join("cron").join(folder);
        fs::create_dir_all(&into).expect("a directory of the gateway");
        for entry in fs::read_dir(cron.join(folder)).expect("a directory of the recording") {
            let entry = entry.expect("an entry");
            if !entry.path().is_file() {
                continue;
            }
            let target = into.join(entry.file_name());
            let before =
                entry.file_name().to_string_lossy().strip_suffix(".migrated").map(|name| into.join(name));
            // Taking over is a rename: the file stays the one that it was.
            if let Some(before) = before.filter(|before| before.exists()) {
                assert_eq!(
                    fs::read(&before).unwrap(),
                    fs::read(entry.path()).unwrap(),
                    "{}",
                    target.display()
                );
                fs::rename(before, target).expect("a rename");
            } else if !target.exists() {
                fs::copy(entry.path(), target).expect("a copy");
            }
        }
    }
    if !stage.database().exists() {
        return;
    }
    let database = state_dir.join("state/openclaw.sqlite");
    fs::create_dir_all(state_dir.join("state")).expect("the directory of the database");
    if same_file {
        fs::write(&database, fs::read(stage.database()).expect("a database")).expect("a database");
    } else {
        let aside = state_dir.join("state/restored");
        fs::copy(stage.database(), &aside).expect("a copy");
        fs::rename(aside, database).expect("a rename");
    }
}

fn cache(passage: Passage) -> impl Fn(&BilledRun) -> Cache {
    move |run| match run.stage.as_str() {
        "3-9.6" => Cache::Each,
        // Known from the store that told it; an import leaves it out.
        "2-6.11" if !passage.skips => Cache::Together,
        _ => Cache::Untold,
    }
}

#[test]
fn a_directory_through_three_versions_counts_every_run_once() {
    let fixtures = STAGES.map(Fixture::unpack);
    let runs: Vec<u64> = fixtures.iter().map(|stage| stage.records().len() as u64).collect();
    assert_eq!(runs, [44, 106, 164]);
    for choice in 0..16_u8 {
        let is = |bit: u8| choice & (1 << bit) != 0;
        let passage = Passage { same_file: is(0), restarts: is(1), skips: is(2), late: is(3) };
        let state = TempDir::new().expect("a temporary directory");
        let mut counting = Counting::of(state.path());
        let mut known = BTreeMap::new();
        for (at, stage) in fixtures.iter().enumerate() {
            enter(stage, state.path(), passage.same_file);
            if (at == 1 && passage.skips) || (at == 0 && passage.late) {
                continue;
            }
            if passage.restarts {
                counting.restart();
            }
            // Looked at more than once, as a running program does.
            counting.sweep();
            counting.sweep();
            let what = format!("{passage:?}, {}", STAGES[at]);
            let totals = counting.totals();
            assert_clean(&totals, runs[at], &what);
            let is = exported(&totals);
            assert_eq!(is, shown(stage, cache(passage)), "{what}");
            assert_grows(&known, &is, &what);
            known = is;
        }
        assert_eq!(sum(&known)[..3], [164, 148_874, 5_602], "{passage:?}");
    }
}

fn assert_grows(before: &BTreeMap<String, Shown>, after: &BTreeMap<String, Shown>, what: &str) {
    for (label, was) in before {
        let is = after.get(label).copied().unwrap_or_default();
        assert!(was.iter().zip(is).all(|(was, is)| *was <= is), "{what}: {label} was {was:?} and is {is:?}");
    }
}
