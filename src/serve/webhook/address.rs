//! Whether a webhook leads here.

use hyper::Uri;

use crate::model::WebhookUrl;

/// Returns whether a webhook is posted to the receiver that gateways call `own`: the same scheme, host and port, and the
/// path that it serves behind the path of `own`. Queries are not looked at: a token may stand there.
#[must_use]
pub fn is_ours(own: &str, webhook: &WebhookUrl) -> bool {
    let (Some(own), Some(theirs)) = (parts(own), parts(&webhook.0)) else { return false };
    let rest = theirs.path.strip_prefix(own.path.trim_end_matches('/'));
    let serves = rest.and_then(|rest| rest.strip_prefix("/webhook/cron"));
    (own.scheme, own.host, own.port) == (theirs.scheme, theirs.host, theirs.port)
        && serves.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

struct Parts {
    scheme: String,
    host: String,
    port: u16,
    path: String,
}

fn parts(url: &str) -> Option<Parts> {
    let uri: Uri = url.trim().parse().ok()?;
    let scheme = uri.scheme_str()?.to_ascii_lowercase();
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    Some(Parts { host: uri.host()?.to_ascii_lowercase(), path: uri.path().to_owned(), scheme, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_webhook_is_ours_by_scheme_host_port_and_path() {
        let own = "http://usage:9465";
        for (webhook, ours) in [
            ("http://usage:9465/webhook/cron", true),
            ("http://USAGE:9465/webhook/cron/", true),
            ("http://usage:9465/webhook/cron/office?token=x", true),
            ("http://usage:9465/webhook/cron?token=x", true),
            ("http://usage:9465/webhook/cronjob", false),
            ("http://usage:9465/other", false),
            ("http://usage/webhook/cron", false),
            ("https://usage:9465/webhook/cron", false),
            ("http://other:9465/webhook/cron", false),
            ("not a URL", false),
        ] {
            assert_eq!(is_ours(own, &WebhookUrl(webhook.into())), ours, "{webhook}");
        }
        let behind = WebhookUrl("https://example.net/usage/webhook/cron".into());
        assert!(is_ours("https://example.net:443/usage/", &behind));
        assert!(!is_ours("https://example.net/other", &behind));
    }
}
