//! The receiver of webhooks: off unless asked for, never without a token, and no token is ever shown.

use super::*;

const FILE: &str = "[webhook]\nlisten = '127.0.0.1:9465'\ntoken_file = '/tokens'";

fn resolved(file: &str, tokens: &str) -> Result<Config, ConfigError> {
    let case = Case::file(file);
    resolve(&case.inputs(), &|path: &Path| {
        assert_eq!(path, Path::new("/tokens"));
        Ok(tokens.to_owned())
    })
}

#[test]
fn it_is_off_unless_it_is_given_an_address() {
    let case = Case::default();
    assert_eq!(case.resolve().unwrap().webhook, None);
    assert_eq!(case.shown("webhook.listen"), ("off".into(), "default".into()));
}

#[test]
fn several_tokens_are_valid_and_each_may_stand_for_a_gateway() {
    let config = resolved(FILE, "# old and new\none\n\n two \nnorth-1 three\n").unwrap();
    let webhook = config.webhook.clone().unwrap();
    let tokens: Vec<_> =
        webhook.tokens.iter().map(|token| (token.gateway.as_deref(), token.secret.as_str())).collect();
    assert_eq!(tokens, [(None, "one"), (None, "two"), (Some("north-1"), "three")]);
    assert_eq!(webhook.url.as_deref(), Some("http://127.0.0.1:9465"));
    let shown = format!("{config:?} {:?}", config.explain());
    assert!(["\"one\"", "\"two\"", "three"].iter().all(|secret| !shown.contains(secret)), "{shown}");
    for bad in ["", "# none\n", "Big one\n", "a b c\n", "tökén\n"] {
        let error = resolved(FILE, bad).unwrap_err().to_string();
        assert!(error.contains("/tokens") && !error.contains("tökén") && !error.contains('\n'), "{error}");
    }
}

#[test]
fn it_is_refused_without_a_token_or_with_half_a_certificate() {
    let bare = "[webhook]\nlisten = '127.0.0.1:9465'";
    let error = Case::file(bare).resolve().unwrap_err().to_string();
    assert!(error.contains("webhook.token_file") && error.contains("/etc/ocu.toml:2"), "{error}");
    let mut case = Case::env(&[("OPENCLAW_USAGE_WEBHOOK_TOKEN", "s3cret")]);
    case.flags = flag(|flags| flags.webhook_listen = Some("0.0.0.0:0".into()));
    let config = case.resolve().unwrap();
    assert_eq!(
        config.webhook.as_ref().map(|webhook| (webhook.tokens.len(), webhook.url.clone())),
        Some((1, None))
    );
    assert!(config.warnings.is_empty() && !format!("{:?}", config.explain()).contains("s3cret"));
    let half = format!("{FILE}\ncert_file = 'a.pem'");
    let error = resolved(&half, "t").unwrap_err().to_string();
    assert!(error.contains("webhook.key_file"), "{error}");
}

#[test]
fn without_a_state_directory_it_is_all_there_is() {
    let alone = format!("no_state_dir = true\n{FILE}");
    let config = resolved(&alone, "t").unwrap();
    assert!(!config.has_state_dir());
    assert!(Case::default().resolve().unwrap().has_state_dir());
    let error = Case::file("no_state_dir = true").resolve().unwrap_err().to_string();
    assert!(error.contains("webhook.listen"), "{error}");
}
