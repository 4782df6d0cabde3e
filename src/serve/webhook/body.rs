//! The body of a request: in time, and no longer than is allowed.

use std::sync::Arc;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::telemetry::WebhookError;

/// Largest body in bytes.
pub(super) const MAX_BODY: usize = 2 << 20;
/// How long it may take: less than a gateway waits for the answer (10 s).
const TIMEOUT: Duration = Duration::from_secs(8);

/// Reads a body to its end. `room` is what all bodies may hold together.
pub(super) async fn read(body: Incoming, room: &Arc<Semaphore>) -> Result<Vec<u8>, WebhookError> {
    tokio::time::timeout(TIMEOUT, read_all(body, room)).await.unwrap_or(Err(WebhookError::Timeout))
}

async fn read_all(mut body: Incoming, room: &Arc<Semaphore>) -> Result<Vec<u8>, WebhookError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > MAX_BODY {
        return Err(WebhookError::TooLarge);
    }
    let mut held = Held { room, permit: None };
    held.grow(announced)?;
    let mut bytes = Vec::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| WebhookError::Broken)?.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > MAX_BODY {
            return Err(WebhookError::TooLarge);
        }
        held.grow(length)?;
        bytes.extend_from_slice(&data);
    }
    Ok(bytes)
}

/// The room that a body takes up while it is read. Nobody waits for room: two that hold some and want more would for ever.
struct Held<'a> {
    room: &'a Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Held<'_> {
    fn grow(&mut self, length: usize) -> Result<(), WebhookError> {
        let has = self.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = u32::try_from(length.saturating_sub(has)).unwrap_or(u32::MAX);
        let more = Arc::clone(self.room).try_acquire_many_owned(more).map_err(|_| WebhookError::TooMany)?;
        match &mut self.permit {
            Some(permit) => permit.merge(more),
            None => self.permit = Some(more),
        }
        Ok(())
    }
}
