//! Webhooks of jobs: which of them lead to our receiver, and which the gateway will refuse to post to.
//!
//! Source: OpenClaw 2026.2.17 posts anywhere; from 2026.2.19 on it refuses private addresses, and from 2026.8.1 on its
//! configuration can allow some (`cron.webhookSsrfPolicy`), which versions between do not start with.

use std::net::{IpAddr, Ipv4Addr};

use hyper::Uri;

use super::page::many;
use super::report::{Finding, Section};
use crate::config::{Config, WebhookConfig};
use crate::model::JobDefinition;
use crate::openclaw::{Layout, cron_run_logs, state_file, task_runs};
use crate::serve::is_our_webhook;

/// Hosts that are named.
const NAMED: usize = 3;

/// What is known of the gateway's version, by what it keeps its runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Era {
    /// 2026.8.1 or later: private addresses are refused unless they are allowed.
    Allowing,
    /// 2026.2.22 to 7.x: they are refused.
    Refusing,
    /// Up to 2026.5.28, of which only the first refuse none.
    Early,
}

/// Judges the webhooks of a gateway's jobs. `stores` are the tables that its database has.
pub fn judge(jobs: &[JobDefinition], layout: &Layout, stores: &[&str]) -> Option<Finding> {
    let mut hosts: Vec<String> = jobs
        .iter()
        .filter_map(|job| host(&job.webhook.as_ref()?.0))
        .filter(|host| is_private(host))
        .collect();
    hosts.sort();
    hosts.dedup();
    let era = if stores.contains(&task_runs::SOURCE) {
        Era::Allowing
    } else if stores.contains(&cron_run_logs::SOURCE) || state_file(&layout.jobs_file).exists() {
        Era::Refusing
    } else {
        Era::Early
    };
    if era == Era::Allowing {
        hosts.retain(|host| !layout.webhook_policy.allows(host));
    }
    let first = hosts.first()?.clone();
    let more = hosts.len().saturating_sub(NAMED);
    hosts.truncate(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let shown = format!("{}{more}", hosts.join(", "));
    let (text, remedy) = match era {
        Era::Allowing => (
            format!("jobs post to private addresses, which this gateway refuses: {shown}"),
            format!(
                "allow them in openclaw.json: \"cron\": {{ \"webhookSsrfPolicy\": {{ \"allowedHostnames\": [{}] }} }}",
                serde_json::to_string(&first).unwrap_or_default()
            ),
        ),
        Era::Refusing => (
            format!("jobs post to private addresses, which this gateway refuses without exception: {shown}"),
            "upgrade it to 2026.8.1 or later, which can allow them (cron.webhookSsrfPolicy; earlier versions do not \
             start with that key), or give the receiver a public name"
                .to_owned(),
        ),
        Era::Early => (
            format!("jobs post to private addresses, which OpenClaw from 2026.2.19 on refuses: {shown}"),
            "nothing if the gateway is 2026.2.17; else upgrade it to 2026.8.1 or later, which can allow them \
             (cron.webhookSsrfPolicy), or give the receiver a public name"
                .to_owned(),
        ),
    };
    Some(Finding::note(Section::StateDirectory, text).with(remedy))
}

/// Says where notices are taken, and whether any job posts them there.
pub fn receiver(config: &Config, jobs: &[JobDefinition]) -> Option<Finding> {
    const HERE: Section = Section::Configuration;
    let WebhookConfig { listen, url, tokens, .. } = config.webhook.as_ref()?;
    let valid = many(tokens.len() as u64, "valid token");
    if !config.has_state_dir() {
        let text = format!("runs come by webhook alone: http(s)://{listen}/webhook/cron, {valid}");
        return Some(Finding::ok(HERE, text));
    }
    let Some(url) = url else {
        let text =
            format!("notices of runs are taken on {listen}, and those that never come are not noticed");
        return Some(Finding::note(HERE, text).with("say in [webhook] url what gateways call this receiver"));
    };
    let here =
        jobs.iter().filter_map(|job| job.webhook.as_ref()).filter(|webhook| is_our_webhook(url, webhook));
    let text = match here.count() as u64 {
        0 => {
            let text = format!("notices of runs are taken at {url}/webhook/cron, and no job posts there");
            let remedy = "give jobs this delivery in OpenClaw: mode \"webhook\", to the address above; or mend \
                          [webhook] url";
            return Some(Finding::note(HERE, text).with(remedy));
        }
        n => format!(
            "notices of runs are taken at {url}/webhook/cron, where {} posts; {valid}",
            many(n, "job")
        ),
    };
    Some(Finding::ok(HERE, text))
}

fn host(url: &str) -> Option<String> {
    let uri: Uri = url.parse().ok()?;
    uri.host().map(|host| host.trim_matches(['[', ']']).to_ascii_lowercase())
}

/// Returns whether a host is one that OpenClaw's guard takes for private: an address of a private, local or special
/// network, or a name that only such a network knows. A name is not looked up: one that leads to a private address all the
/// same is not found out.
fn is_private(host: &str) -> bool {
    if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
        return match address.to_canonical() {
            IpAddr::V4(address) => is_private_v4(address),
            IpAddr::V6(address) => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_unique_local()
                    || address.is_unicast_link_local()
                    || address.is_multicast()
            }
        };
    }
    let name = host.trim_end_matches('.');
    !name.contains('.') || [".localhost", ".local", ".internal"].iter().any(|end| name.ends_with(end))
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || first == 0
        || first >= 240
        || (first == 100 && second & 0xc0 == 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ScheduleKind, WebhookUrl};

    fn posting(url: &str) -> JobDefinition {
        JobDefinition {
            job_id: url.into(),
            name: String::new(),
            agent: None,
            schedule: ScheduleKind::Unknown,
            enabled: true,
            next_run_at: None,
            running: false,
            system: false,
            webhook: Some(WebhookUrl(url.into())),
        }
    }

    #[test]
    fn private_hosts_are_known_by_address_and_by_name() {
        for (host, private) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("172.32.0.1", false),
            ("192.168.0.9", true),
            ("169.254.169.254", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("0.0.0.0", true),
            ("8.8.8.8", false),
            ("::1", true),
            ("[fd00::1]", true),
            ("fe80::1", true),
            ("::ffff:10.0.0.1", true),
            ("2606:4700::1111", false),
            ("localhost", true),
            ("openclaw-usage", true),
            ("usage.monitoring.svc.cluster.local", true),
            ("metadata.google.internal", true),
            ("hooks.example.com", false),
            ("example.com.", false),
        ] {
            assert_eq!(is_private(host), private, "{host}");
        }
    }

    #[test]
    fn each_version_has_its_remedy_and_no_secret_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let jobs = [posting("http://usage:9465/webhook/cron?token=s3cret"), posting("https://example.com/x")];
        let judged = |stores: &[&str], config: &str| {
            std::fs::write(dir.path().join("openclaw.json"), config).unwrap();
            let (layout, _) = Layout::read(dir.path(), None);
            judge(&jobs, &layout, stores).map(|finding| {
                let shown = format!("{} {}", finding.text, finding.remedy.unwrap_or_default());
                assert!(!shown.contains("s3cret") && !shown.contains("example.com"), "{shown}");
                shown
            })
        };
        let allowed = r#"{ cron: { webhookSsrfPolicy: { allowedHostnames: ["usage"] } } }"#;
        let open = "{ cron: { webhookSsrfPolicy: { dangerouslyAllowPrivateNetwork: true } } }";
        let shown = judged(&[task_runs::SOURCE], "{}").unwrap();
        assert!(shown.contains(r#""allowedHostnames": ["usage"]"#), "{shown}");
        assert_eq!(judged(&[task_runs::SOURCE], allowed), None);
        assert_eq!(judged(&[cron_run_logs::SOURCE, task_runs::SOURCE], open), None);
        let refused = judged(&[cron_run_logs::SOURCE], allowed).unwrap();
        assert!(refused.contains("without exception") && refused.contains("2026.8.1"), "{refused}");
        assert!(judged(&[], "{}").unwrap().contains("nothing if the gateway is 2026.2.17"));
        std::fs::create_dir(dir.path().join("cron")).unwrap();
        std::fs::write(dir.path().join("cron/jobs-state.json"), "{}").unwrap();
        assert!(judged(&[], "{}").unwrap().contains("without exception"));
        let (layout, _) = Layout::read(dir.path(), None);
        assert_eq!(judge(&[posting("https://example.com/x")], &layout, &[task_runs::SOURCE]), None);
    }
}
