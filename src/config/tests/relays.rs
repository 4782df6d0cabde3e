//! Relays and digests: what is taken, what is refused, and that no secret is shown.

use super::*;
use crate::model::{NanoUsd, Period, Status};

const URL: &str = "https://hooks.example.com/T0PSECRET?key=HUNTER2";

fn case(text: &str) -> Case {
    Case::file(text).with_secret("/etc/url", URL).with_secret("/etc/token", "t0ken\n")
}

/// The smallest relay, and more.
fn relay(more: &str) -> Case {
    case(&format!("[[relay]]\nname = 'team'\nkind = 'slack'\nurl_file = 'url'\n{more}"))
}

#[test]
fn a_relay_has_defaults_and_secrets_from_files_or_the_environment() {
    let config = relay("").resolve().unwrap();
    let [team] = config.relays.as_slice() else { panic!("one relay") };
    assert_eq!((team.name.as_str(), team.kind, team.url.reveal()), ("team", RelayKind::Slack, URL));
    assert_eq!((team.token.as_ref(), team.quiet, team.include_summary), (None, None, false));
    assert_eq!((team.timeout_ms, team.give_up_ms, team.timezone.as_str()), (10_000, 86_400_000, "UTC"));
    assert_eq!((team.events.as_slice(), team.matches.len()), (&["run".to_owned()][..], 0));
    assert_eq!(relay("").shown("relay.team.url"), ("***".into(), "/etc/ocu.toml:4".into()));
    let env = relay("").with_env(&[("OPENCLAW_USAGE_RELAY_TEAM_URL", "http://10.0.0.1/x")]);
    assert_eq!(
        env.resolve().unwrap().relays[0].url.reveal(),
        "http://10.0.0.1/x",
        "the environment is stronger"
    );
    assert_eq!(env.shown("relay.team.url").1, "environment variable OPENCLAW_USAGE_RELAY_TEAM_URL");
    let named = Case::file("[[relay]]\nname = 'my team!'\nkind = 'http'").with_env(&[
        ("OPENCLAW_USAGE_RELAY_MY_TEAM__URL", URL),
        ("OPENCLAW_USAGE_RELAY_MY_TEAM__HMAC_KEY", "k"),
    ]);
    assert_eq!(named.resolve().unwrap().relays[0].hmac_key.as_ref().unwrap().reveal(), "k");
    let lost = relay("").with_env(&[("OPENCLAW_USAGE_RELAY_TAEM_URL", URL)]).resolve().unwrap();
    let [warning] = lost.warnings.as_slice() else { panic!("one warning: {:?}", lost.warnings) };
    assert!(
        warning.starts_with("environment variable OPENCLAW_USAGE_RELAY_TAEM_URL belongs to no [[relay]]")
    );
}

#[test]
fn what_a_relay_passes_on() {
    let text = "include_summary = true\nquiet_hours = '22:00 - 07:30'\ntimezone = 'Europe/Berlin'\n\
                token_file = 'token'\nevents = 'webhook_*'\ngive_up_after = '2h'\n\
                match = [{ status = ['error', 'unrecorded'] }, { job = 'daily *', cost_above_usd = 0.5, duration_above = '10m' }]";
    let team = relay(text).resolve().unwrap().relays.remove(0);
    assert_eq!(team.quiet, Some(QuietHours { from: 22 * 60, until: 7 * 60 + 30 }));
    assert_eq!(
        (team.token.unwrap().reveal(), team.events.as_slice()),
        ("t0ken", &["webhook_*".to_owned()][..])
    );
    let [failed, dear] = team.matches.as_slice() else { panic!("two tables") };
    assert_eq!(failed.status, [Status::Error, Status::Unrecorded]);
    assert_eq!((dear.cost_above, dear.duration_above_ms), (Some(NanoUsd(500_000_000)), Some(600_000)));
    let shown = "status error or unrecorded; or job daily *, cost above $0.50, duration above 10m";
    assert_eq!(relay(text).shown("relay.team.match").0, shown);
    let one = relay("match = { status = 'error' }").resolve().unwrap();
    assert_eq!(one.relays[0].matches.len(), 1);
    assert!(relay("events = []").resolve().unwrap().relays[0].events.is_empty());
}

#[test]
fn a_digest_belongs_to_a_relay() {
    let text = "[[digest]]\nrelay = 'team'\nevery = 'day'\n[[digest]]\nrelay = 'team'\nevery = 'week'\nat = '17:05'\ntimezone = 'Asia/Tokyo'\nname = 'w'";
    let config = relay(text).resolve().unwrap();
    let [day, week] = config.digests.as_slice() else { panic!("two digests") };
    assert_eq!(
        (day.name.as_str(), day.every, day.at, day.timezone.as_str()),
        ("team day", Period::Day, 480, "UTC")
    );
    assert_eq!((week.every, week.at), (Period::Week, 17 * 60 + 5));
    assert_eq!(relay(text).shown("digest.w").0, "every week at 17:05 (Asia/Tokyo) to team");
}

#[test]
fn what_is_refused_shows_no_secret() {
    for (text, message) in [
        ("kind = 'slack'", "relay.name (/etc/ocu.toml:1): a relay needs its name; add name = \"team\""),
        ("name = 'a'", "relay.kind (/etc/ocu.toml:1): a relay needs its kind; add kind = \"slack\""),
        (
            "name = 'a'\nkind = 'irc'",
            "relay.kind = \"irc\" (/etc/ocu.toml:3): expected one of discord, slack, telegram, teams, ntfy, mattermost, http",
        ),
        (
            "name = 'a'\nkind = 'slack'",
            "relay a: url_file (/etc/ocu.toml:1): a relay needs its URL, which is a secret: add url_file = \"secrets/a\", or set OPENCLAW_USAGE_RELAY_A_URL",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl = 'https://x'",
            "/etc/ocu.toml:4: unknown key `relay.url`; known here: name, kind, url_file, token_file, hmac_key_file, ca_file, chat, template, include_summary, timeout, quiet_hours, timezone, give_up_after, events, match",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\nchat = '1'",
            "relay a: chat (/etc/ocu.toml:5): only the kind telegram has it; leave it out",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\nhmac_key_file = 'token'",
            "relay a: hmac_key (/etc/ocu.toml:1): only the kind http signs bodies; leave it out",
        ),
        (
            "name = 'a'\nkind = 'telegram'\nurl_file = 'url'",
            "relay a: chat (/etc/ocu.toml:1): Telegram needs the chat that messages go to; add chat = \"-1001234567890\"",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\nquiet_hours = '22-7'",
            "relay.quiet_hours = \"22-7\" (/etc/ocu.toml:5): expected two local times, such as 22:00-07:00",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\nmatch = { status = 'bad' }",
            "relay.match.status = \"bad\" (/etc/ocu.toml:5): expected one of unknown, ok, error, skipped, unrecorded",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\nmatch = { }",
            "relay.match (/etc/ocu.toml:5): it asks for nothing; give job, status, cost_above_usd or duration_above, or leave it out",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\nevents = [1]",
            "relay.events = \"integer\" (/etc/ocu.toml:5): expected a list of strings in quotes, such as [\"a\", \"b\"]",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\ninclude_summary = 'maybe'",
            "relay.include_summary = \"maybe\" (/etc/ocu.toml:5): expected true or false",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'user'",
            "relay a: url_file (/etc/ocu.toml:1): the URL must not hold user and password; use token_file; correct it",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'ftp'",
            "relay a: url_file (/etc/ocu.toml:1): the URL must begin with http:// or https:// and name a host; correct it",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'lines'",
            "relay.url_file = \"/etc/lines\" (/etc/ocu.toml:4): expected one line with the URL in the file",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\n[[digest]]\nrelay = 'b'",
            "digest.relay = \"b\" (/etc/ocu.toml:6): no [[relay]] has this name; give the name of one",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\n[[digest]]\nrelay = 'a'\nevery = 'month'",
            "digest.every = \"month\" (/etc/ocu.toml:7): expected day or week",
        ),
        (
            "name = 'a'\nkind = 'slack'\nurl_file = 'url'\n[[digest]]\nrelay = 'a'\nevery = 'day'\nat = '8:00'",
            "digest.at = \"8:00\" (/etc/ocu.toml:8): expected a local time of two digits each, such as 08:00",
        ),
    ] {
        let case = case(&format!("[[relay]]\n{text}"))
            .with_secret("/etc/user", "https://u:HUNTER2@x/T0PSECRET")
            .with_secret("/etc/ftp", "ftp://x/T0PSECRET")
            .with_secret("/etc/lines", "https://x/T0PSECRET\nHUNTER2");
        assert_eq!(case.error(), message, "{text}");
    }
    let config = relay("token_file = 'token'").resolve().unwrap();
    let shown = format!("{config:?} {:?}", config.explain());
    assert!(!["T0PSECRET", "HUNTER2", "t0ken"].iter().any(|secret| shown.contains(secret)), "{shown}");
}

#[test]
fn the_document_s_examples_work() {
    let text = include_str!("../../../docs/relay.md");
    let blocks = text.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("```"));
    let all: String = blocks.map(|(block, _)| block).collect();
    let mut case = Case::file(&all);
    for name in ["slack", "discord", "telegram", "teams", "ntfy", "mattermost", "own"] {
        case.secrets
            .insert(Box::leak(format!("/etc/secrets/{name}-url").into_boxed_str()), "https://example.com/x");
    }
    case = case.with_secret("/etc/secrets/ntfy-token", "t").with_secret("/etc/secrets/own-key", "k");
    let config = case.resolve().unwrap();
    let mut kinds: Vec<&str> = config.relays.iter().map(|relay| relay.kind.as_str()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!((config.relays.len(), kinds.len(), config.digests.len()), (8, RelayKind::WORDS.len(), 1));
}
