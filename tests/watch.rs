//! `report --watch` as a command: the page is drawn again, with what was recorded meanwhile, until Ctrl-C.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::daemon::{PROGRAM, Sandbox};

/// What begins a page, and what ends it: the cursor's place, and nothing left below.
const HOME: &str = "\u{1b}[H";
const REST: u8 = b'J';

fn record(minute: i64) -> String {
    let at = 1_795_234_000_000 + minute * 60_000;
    format!(
        "{{\"ts\":{},\"jobId\":\"nightly\",\"action\":\"finished\",\"status\":\"ok\",\"runAtMs\":{at},\"durationMs\":500,\
         \"model\":\"m\",\"provider\":\"p\",\"usage\":{{\"input_tokens\":1000,\"output_tokens\":1}}}}\n",
        at + 500
    )
}

#[test]
fn the_page_is_drawn_again_with_what_is_new_until_ctrl_c() {
    let sandbox = Sandbox::new();
    let log = sandbox.state_dir().join("cron/runs/nightly.jsonl");
    fs::create_dir_all(log.parent().expect("a directory")).expect("a directory of run logs");
    fs::write(&log, record(0)).expect("a run log");
    let mut child = Command::new(PROGRAM)
        .env_clear()
        .env("HOME", sandbox.path("."))
        .args(["report", "--watch", "--since", "0", "--tz", "UTC", "--state-dir"])
        .arg(sandbox.state_dir())
        .stdout(Stdio::piped())
        .spawn()
        .expect("run the binary");
    let mut pages = BufReader::new(child.stdout.take().expect("its output"));
    let mut page = || {
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\x1b[J") {
            assert!(pages.read_until(REST, &mut bytes).expect("a page") > 0, "it ended");
        }
        let page = String::from_utf8(bytes).expect("UTF-8");
        assert!(page.starts_with(HOME) && page.contains("nightly"), "{page:?}");
        page
    };
    let first = page();
    assert!(first.contains("1/0/0") && first.contains("1000"), "{first:?}");
    let mut file = OpenOptions::new().append(true).open(&log).expect("the run log");
    file.write_all((record(1) + &record(2)).as_bytes()).expect("two more runs");
    let second = page();
    assert!(second.contains("3/0/0") && second.contains("3000"), "{second:?}");
    let id = Pid::from_raw(i32::try_from(child.id()).expect("a process id")).expect("a process id");
    kill_process(id, Signal::INT).expect("Ctrl-C");
    assert_eq!(child.wait().expect("its end").code(), Some(0));
}
