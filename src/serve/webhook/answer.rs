//! One request, and what it is answered.

use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ALLOW, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::http::request;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::oneshot;

use super::{Delivery, Receiver, body};
use crate::clock::Stopwatch;
use crate::model::{Receipt, RejectReason, is_gateway_name};
use crate::openclaw::{read_notice, summary_of};
use crate::serve::core::Wake;
use crate::telemetry::WebhookError;

/// The one path that is served; behind it may stand the name of a gateway.
const PATH: &str = "/webhook/cron";
/// How long a notice may take to be committed: less than a gateway waits for the answer (10 s), which then knows that it
/// was not taken.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(8);

impl Receiver {
    /// Answers a request.
    pub(super) async fn respond(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let clock = Stopwatch::start();
        let (head, body) = request.into_parts();
        let gateway = match self.admit(&head) {
            Ok(gateway) => gateway,
            Err(error) => {
                self.count(|stats| stats.refused(error));
                return refusal(error);
            }
        };
        let taken = self.take(&head, body, gateway).await;
        self.count(|stats| {
            stats.took(clock.micros());
            match taken {
                Ok(Receipt::New) => stats.new += 1,
                Ok(Receipt::Repeated) => stats.repeated += 1,
                Ok(Receipt::TooManyGateways) => stats.refused(WebhookError::Forbidden),
                Err(error) => stats.refused(error),
            }
        });
        match taken {
            Ok(Receipt::New) => plain(StatusCode::ACCEPTED, "counted\n"),
            Ok(Receipt::Repeated) => plain(StatusCode::OK, "known\n"),
            Ok(Receipt::TooManyGateways) => refusal(WebhookError::Forbidden),
            Err(error) => refusal(error),
        }
    }

    /// Returns the gateway that a request comes from; empty for the ledger's own. What is not there is told apart from
    /// what is not allowed only to those who are let in.
    fn admit(&self, head: &request::Parts) -> Result<String, WebhookError> {
        let access = self.access.borrow();
        let authorization = head.headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let token = access.admit(authorization, head.uri.query()).ok_or(WebhookError::Unauthorized)?;
        let rest = head.uri.path().strip_prefix(PATH).ok_or(WebhookError::NotFound)?;
        let named = match rest.trim_end_matches('/').strip_prefix('/') {
            Some(name) if is_gateway_name(name) => Some(name),
            Some(_) => return Err(WebhookError::NotFound),
            None if rest.is_empty() || rest == "/" => None,
            None => return Err(WebhookError::NotFound),
        };
        let gateway = match (token.gateway.as_deref(), named) {
            (Some(of), Some(named)) if of != named => return Err(WebhookError::Forbidden),
            (of, named) => of.or(named).unwrap_or_default(),
        };
        Ok(if gateway == self.own_gateway { String::new() } else { gateway.to_owned() })
    }

    async fn take(
        &self,
        head: &request::Parts,
        body: Incoming,
        gateway: String,
    ) -> Result<Receipt, WebhookError> {
        if head.method != Method::POST {
            return Err(WebhookError::Method);
        }
        if !is_plain_json(head) {
            return Err(WebhookError::MediaType);
        }
        let body = body::read(body, &self.bodies).await?;
        let notice = read_notice(&body, self.clock.now()).map_err(|reason| match reason {
            RejectReason::InvalidJson => WebhookError::InvalidJson,
            RejectReason::ImpossibleCount | RejectReason::ImpossibleTime => WebhookError::Impossible,
            _ => WebhookError::NotARun,
        })?;
        // Stepped over unless a relay passes it on.
        let summary = self.summaries.load(Ordering::Relaxed).then(|| summary_of(&body)).flatten();
        drop(body);
        let _waiting = self.waiting.try_acquire().map_err(|_| WebhookError::Unavailable)?;
        let (done, receipt) = oneshot::channel();
        let notice = crate::model::Notice { gateway, summary, ..notice };
        let wake = Wake::Notice(Box::new(Delivery { notice, done }));
        self.wakes.send(wake).map_err(|_| WebhookError::Unavailable)?;
        match tokio::time::timeout(COMMIT_TIMEOUT, receipt).await {
            Ok(Ok(Some(receipt))) => Ok(receipt),
            _ => Err(WebhookError::Unavailable),
        }
    }
}

/// A body that is compressed is refused: the gateway never does that, and what it unpacks to could be anything.
fn is_plain_json(head: &request::Parts) -> bool {
    let text = |name| head.headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let is_json = text(CONTENT_TYPE).is_some_and(|value| {
        let media_type = value.split(';').next().unwrap_or_default().trim();
        media_type.eq_ignore_ascii_case("application/json")
    });
    is_json && text(CONTENT_ENCODING).is_none_or(|encoding| encoding.eq_ignore_ascii_case("identity"))
}

fn refusal(error: WebhookError) -> Response<Full<Bytes>> {
    let (status, text) = match error {
        WebhookError::Unauthorized => (StatusCode::UNAUTHORIZED, "a valid token is needed\n"),
        WebhookError::Forbidden => (StatusCode::FORBIDDEN, "the token does not stand for this gateway\n"),
        WebhookError::NotFound => (StatusCode::NOT_FOUND, "there is /webhook/cron\n"),
        WebhookError::Method => (StatusCode::METHOD_NOT_ALLOWED, "only POST\n"),
        WebhookError::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "only plain application/json\n"),
        WebhookError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "at most 2 MiB\n"),
        WebhookError::Timeout => (StatusCode::REQUEST_TIMEOUT, "the body did not come in time\n"),
        WebhookError::Broken => (StatusCode::BAD_REQUEST, "the body broke off\n"),
        WebhookError::InvalidJson => (StatusCode::BAD_REQUEST, "not JSON\n"),
        WebhookError::NotARun => (StatusCode::BAD_REQUEST, "no notice of a finished run\n"),
        WebhookError::Impossible => (StatusCode::BAD_REQUEST, "a count or time in it is impossible\n"),
        WebhookError::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too many at once\n"),
        WebhookError::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, "not counted, try again\n"),
    };
    let mut response = plain(status, text);
    let headers = response.headers_mut();
    match error {
        WebhookError::Unauthorized => {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        WebhookError::Method => _ = headers.insert(ALLOW, HeaderValue::from_static("POST")),
        WebhookError::TooMany | WebhookError::Unavailable => {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        _ => {}
    }
    // What is left of the body is not read.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
