//! The keys of a run record that are read, in a form in which they are found fast.
//!
//! Deliberately absent: what their values are (`raw`), and what those mean (`record`).

/// What a key of a record means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Key {
    Ts,
    JobId,
    Action,
    Status,
    Error,
    ErrorReason,
    DeliveryStatus,
    DeliveryError,
    Delivery,
    Kind,
    CompletionStatus,
    SessionId,
    Session,
    RunAtMs,
    DurationMs,
    NextRunAtMs,
    Model,
    Provider,
    Usage,
    Summary,
    RunId,
    Job,
    #[default]
    Unknown,
}

/// Keys of records, in the order in which they mostly come.
pub static KEYS: [Name<Key>; 23] = [
    Name::new("kind\":", Key::Kind),
    Name::new("ts\":", Key::Ts),
    Name::new("jobId\":", Key::JobId),
    Name::new("action\":", Key::Action),
    Name::new("status\":", Key::Status),
    Name::new("completionStatus\":", Key::CompletionStatus),
    Name::new("error\":", Key::Error),
    Name::new("errorReason\":", Key::ErrorReason),
    Name::new("summary\":", Key::Summary),
    Name::new("storeKey\":", Key::Unknown),
    Name::new("deliveryStatus\":", Key::DeliveryStatus),
    Name::new("deliveryError\":", Key::DeliveryError),
    Name::new("delivery\":", Key::Delivery),
    Name::new("sessionId\":", Key::SessionId),
    Name::new("sessionKey\":", Key::Session),
    Name::new("runAtMs\":", Key::RunAtMs),
    Name::new("durationMs\":", Key::DurationMs),
    Name::new("nextRunAtMs\":", Key::NextRunAtMs),
    Name::new("model\":", Key::Model),
    Name::new("provider\":", Key::Provider),
    Name::new("usage\":", Key::Usage),
    Name::new("runId\":", Key::RunId),
    Name::new("job\":", Key::Job),
];

/// What a key among token counts means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageKey {
    Input,
    Output,
    CacheRead,
    CacheWrite,
    Total,
    #[default]
    Unknown,
}

/// Keys of token counts, in the order in which they mostly come.
pub static USAGE_KEYS: [Name<UsageKey>; 5] = [
    Name::new("input_tokens\":", UsageKey::Input),
    Name::new("output_tokens\":", UsageKey::Output),
    Name::new("total_tokens\":", UsageKey::Total),
    Name::new("cache_read_tokens\":", UsageKey::CacheRead),
    Name::new("cache_write_tokens\":", UsageKey::CacheWrite),
];

/// A key with what it means.
pub struct Name<K> {
    /// With all that stands between it and its value.
    pub text: &'static [u8],
    /// How that begins.
    pub head: Head,
    pub key: K,
}

impl<K> Name<K> {
    pub const fn new(text: &'static str, key: K) -> Self {
        Self { text: text.as_bytes(), head: Head::of(text.as_bytes()), key }
    }
}

/// The first bytes of a text as one number, so that a short one is compared at once.
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: u128,
    /// Which of its bits are the text's.
    mask: u128,
}

impl Head {
    /// How many bytes of a text these are at most.
    pub const BYTES: usize = size_of::<u128>();

    /// Returns the head of a text.
    pub const fn of(text: &[u8]) -> Self {
        let (mut bytes, mut mask, mut at) = (0, 0, 0);
        while at < text.len() && at < Self::BYTES {
            bytes |= (text[at] as u128) << (8 * at);
            mask |= 0xff << (8 * at);
            at += 1;
        }
        Self { bytes, mask }
    }

    /// Returns the bytes that this compares, with zeros behind a text that has fewer.
    #[inline(always)]
    pub fn read(text: &[u8]) -> u128 {
        let head = text.first_chunk().copied().unwrap_or_else(|| {
            let mut short = [0; Self::BYTES];
            short.iter_mut().zip(text).for_each(|(to, from)| *to = *from);
            short
        });
        u128::from_le_bytes(head)
    }

    /// Returns whether bytes that were [read](Self::read) begin with the text, as far as this tells.
    #[inline(always)]
    pub const fn is_of(self, read: u128) -> bool {
        read & self.mask == self.bytes
    }

    /// The same, of bytes that were not.
    #[inline(always)]
    pub fn begins(self, text: &[u8]) -> bool {
        self.is_of(Self::read(text))
    }
}
