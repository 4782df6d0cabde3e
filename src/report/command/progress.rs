//! A bar on standard error for whoever waits longer than half a second.
//!
//! One line that is drawn over itself and taken away at the end. Its own, and no crate: that is less than a screen of
//! code, and the binary has no room for more. Deliberately absent: what is read, and whether anybody looks.

use std::future::Future;
use std::io::Write;
use std::pin::pin;
use std::time::Duration;

/// After this long whoever looks wants to know what goes on.
const FIRST: Duration = Duration::from_millis(500);
/// How often the bar is drawn from then on.
const NEXT: Duration = Duration::from_millis(100);
/// Columns of the bar itself.
const BAR: usize = 30;

/// Waits for an end. Asks for bytes that were done with and bytes in all, and shows them on `out`, if anybody looks.
pub async fn shown<T>(
    end: impl Future<Output = T>,
    out: Option<&mut (dyn Write + '_)>,
    mut bytes: impl FnMut() -> (u64, u64),
) -> T {
    let Some(out) = out else { return end.await };
    let (mut end, mut wait) = (pin!(end), FIRST);
    loop {
        tokio::select! {
            biased;
            ended = &mut end => {
                if wait != FIRST {
                    draw(out, "");
                }
                return ended;
            }
            () = tokio::time::sleep(wait) => {
                let (done, all) = bytes();
                draw(out, &line(done, all));
                wait = NEXT;
            }
        }
    }
}

/// A terminal that takes no more says nothing about the report.
fn draw(out: &mut dyn Write, line: &str) {
    _ = out.write_all(format!("\r{line}\u{1b}[K").as_bytes());
    _ = out.flush();
}

fn line(done: u64, all: u64) -> String {
    // What grew meanwhile is read too.
    let done = done.min(all);
    let of = |parts: usize| {
        let share = u128::from(done) * parts as u128 / u128::from(all.max(1));
        usize::try_from(share).unwrap_or(parts)
    };
    let megabytes = |bytes: u64| bytes.div_ceil(1_000_000);
    let (percent, filled) = (of(100), of(BAR));
    let bar = format!("{:-<BAR$}", "#".repeat(filled));
    format!("reading [{bar}] {percent:3} %, {} of {} MB", megabytes(done), megabytes(all))
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn the_line_says_how_far_it_got() {
        for (done, all, expected) in [
            (0, 190_000_000, "reading [------------------------------]   0 %, 0 of 190 MB"),
            (95_000_000, 190_000_000, "reading [###############---------------]  50 %, 95 of 190 MB"),
            (200_000_000, 190_000_000, "reading [##############################] 100 %, 190 of 190 MB"),
            (0, 0, "reading [------------------------------]   0 %, 0 of 0 MB"),
        ] {
            assert_eq!(line(done, all), expected);
        }
        assert!(line(999_999_999_999, 999_999_999_999).len() < 80);
    }

    /// Runs for so long, and returns what a terminal was sent.
    async fn sent(ms: u64, looks: bool) -> String {
        let (end, ended) = oneshot::channel();
        let mut terminal = Vec::new();
        let out: Option<&mut dyn Write> = if looks { Some(&mut terminal) } else { None };
        let ((), answer) = tokio::join!(
            async {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                _ = end.send(7);
            },
            shown(ended, out, || (1_000_000, 4_000_000)),
        );
        assert_eq!(answer, Ok(7));
        String::from_utf8(terminal).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_drawn_after_half_a_second_on_a_terminal_and_taken_away() {
        assert_eq!(sent(499, true).await, "");
        assert_eq!(sent(2_000, false).await, "", "nobody looks");
        let bar = "\rreading [#######-----------------------]  25 %, 1 of 4 MB\u{1b}[K";
        assert_eq!(sent(550, true).await, format!("{bar}\r\u{1b}[K"));
        assert_eq!(sent(650, true).await, format!("{bar}{bar}\r\u{1b}[K"));
    }
}
