//! Waiting for a thread, with a word now and then for whoever waits too.

use std::time::Duration;

use tokio::sync::oneshot;

use super::CommandError;
use crate::serve::Signals;

/// After this long a reader of the terminal wants to know what goes on.
const FIRST_WORD: Duration = Duration::from_millis(500);
/// Between two further words.
const NEXT_WORD: Duration = Duration::from_secs(5);

/// Waits for what a thread sends; `say` is told how long it has taken so far.
///
/// # Errors
/// [`CommandError::Interrupted`] after Ctrl-C; the thread ends with the process.
pub async fn patiently<T>(
    mut done: oneshot::Receiver<T>,
    signals: &mut Signals,
    mut say: impl FnMut(Duration),
) -> Result<T, CommandError> {
    let (mut wait, mut waited) = (FIRST_WORD, Duration::ZERO);
    loop {
        tokio::select! {
            biased;
            sent = &mut done => return sent.map_err(|_| CommandError::Interrupted),
            _ = signals.next() => return Err(CommandError::Interrupted),
            () = tokio::time::sleep(wait) => {
                waited += wait;
                say(waited);
                wait = NEXT_WORD;
            }
        }
    }
}
