//! Messages to services of people, and what becomes of them.

use super::UnixMs;

/// Why a message was given up: a closed list, so that it can be an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum DeadReason {
    /// The service refused it for good.
    Refused = 0,
    /// The service failed at it too often.
    Failed = 1,
    /// It could not be sent for too long.
    Expired = 2,
    /// Too many others wait for the relay.
    Overflow = 3,
}

impl DeadReason {
    /// All values in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Refused, Self::Failed, Self::Expired, Self::Overflow];

    /// Returns the value of the `openclaw.reason` attribute.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Expired => "expired",
            Self::Overflow => "overflow",
        }
    }

    /// Returns the value with this number, as it is stored.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// A message that waits for its relay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayMessage {
    /// Its number: the smallest of a relay is sent next.
    pub id: u64,
    /// When it was put into the queue.
    pub queued: UnixMs,
    /// How often the service failed at it.
    pub tries: u32,
    /// The event that it tells of, as one line of JSON.
    pub content: String,
    /// What the run said, if the relay passes that on.
    pub summary: Option<String>,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The service took it.
    Sent,
    /// The service failed at it; it stays where it is.
    Failed,
    /// It is given up. `status`: what the service answered, if it did.
    Dead {
        /// Why.
        reason: DeadReason,
        /// The HTTP status.
        status: Option<u16>,
    },
}

/// A message that was given up and can be put back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its number.
    pub id: u64,
    /// The relay's name.
    pub relay: String,
    /// When it was put into the queue.
    pub queued: UnixMs,
    /// When it was given up.
    pub died: UnixMs,
    /// Why.
    pub reason: DeadReason,
    /// What the service answered, as an HTTP status.
    pub status: Option<u16>,
    /// The event that it tells of, as one line of JSON.
    pub content: String,
}

/// How a relay stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayFacts {
    /// Its name.
    pub name: String,
    /// Messages that wait.
    pub waiting: u64,
    /// When the oldest of them was put into the queue.
    pub oldest: Option<UnixMs>,
    /// The number of the newest of them; 0: none.
    pub newest: u64,
    /// Messages that its service took, ever since it is in the configuration.
    pub sent: u64,
    /// Messages that were given up, likewise, in the order of [`DeadReason::ALL`].
    pub dead: [u64; 4],
    /// Those of them that can be put back.
    pub kept: u64,
}
