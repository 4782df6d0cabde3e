//! What a change of each key means, key by key.

use super::*;
use crate::config::{Environment, FileText, Inputs, resolve};

fn config(text: &str) -> Config {
    let env: Environment = [("HOME", "/home/node")].into_iter().collect();
    let file = Some(FileText { path: "/etc/usage.toml".into(), text: text.to_owned() });
    resolve(&Inputs { env, file, ..Inputs::default() }, &|path| {
        Ok(if path.ends_with("url") { "https://example.net/hook" } else { "token" }.to_owned())
    })
    .expect(text)
}

const RELAY: &str = "[[relay]]\nname = \"team\"\nkind = \"slack\"\nurl_file = \"url\"";

#[test]
fn a_change_reaches_the_parts_that_it_concerns_and_no_others() {
    use Part::*;
    let base = "listen = \"127.0.0.1:9464\"\n";
    for (line, parts, restart) in [
        ("", &[][..], &[][..]),
        ("gateway = \"other\"", &[], &[]),
        ("state_dir = \"/gateway\"", &[StateDir], &[]),
        ("profile = \"work\"", &[StateDir], &[]),
        ("watch = \"poll\"", &[Watch], &[]),
        ("poll_interval = \"2s\"", &[Watch], &[]),
        ("max_jobs = 7", &[Ledger], &[]),
        ("gateway_log = \"off\"", &[GatewayLog], &[]),
        ("catalogue = \"prices.json\"", &[Prices], &[]),
        ("[ledger]\npath = \"/var/lib/other.sqlite\"", &[], &["ledger.path"]),
        ("[ledger]\nsynchronous = \"full\"", &[Ledger], &[]),
        ("[ledger]\nkeep = \"400d\"", &[Ledger], &[]),
        ("[log]\nlevel = \"debug\"", &[Log], &[]),
        ("[log]\nformat = \"json\"", &[Log], &[]),
        ("[resource]\nservice_name = \"other\"", &[Endpoints, Events], &[]),
        ("[resource]\nservice_namespace = \"other\"", &[Endpoints, Events], &[]),
        ("[events]\nstdout = true", &[Events], &[]),
        ("[events]\nmax_events = 5", &[Events], &[]),
        ("[events]\nmax_age = \"2h\"", &[Events], &[]),
        ("[[events.otlp]]\nendpoint = \"http://loki:3100/otlp\"", &[Events], &[]),
        ("[[otlp]]\nendpoint = \"http://prometheus:9090/api/v1/otlp\"", &[Endpoints], &[]),
        ("[[price]]\nprovider = \"p\"\nmodel = \"m\"\ninput = 1\noutput = 2", &[Prices], &[]),
        ("[[alias]]\nprovider = \"p\"\nmodel = \"m\"\nto = \"q/n\"", &[Prices], &[]),
        ("[billing]\np = \"subscription\"", &[Prices], &[]),
        ("[[budget]]\nname = \"b\"\nusd = 5\nperiod = \"day\"", &[Budgets], &[]),
        (RELAY, &[Relays], &[]),
        ("[webhook]\nlisten = \"127.0.0.1:9465\"\ntoken_file = \"t\"", &[], &["webhook"]),
    ] {
        let (old, new) = (config(base), config(&format!("{base}{line}\n")));
        let expected = Changes { parts: parts.iter().copied().collect(), restart: restart.to_vec() };
        assert_eq!(compare(&old, &new), expected, "{line}");
        assert_eq!(compare(&new, &old), expected, "{line}, taken away");
        assert_eq!(compare(&new, &new), Changes::default(), "{line}, twice");
    }
    let receiver =
        |more: &str| config(&format!("[webhook]\nlisten = \"127.0.0.1:9465\"\ntoken_file = \"t\"\n{more}\n"));
    let open = compare(&receiver(""), &receiver("query_token = true"));
    assert_eq!(open, Changes { parts: [Webhook].into(), restart: vec![] });
    let known = compare(&receiver(""), &receiver("url = \"http://usage:9465\""));
    assert_eq!(known, Changes { parts: BTreeSet::new(), restart: vec!["webhook"] });
    let digest = |more: &str| {
        let digest = "[[digest]]\nname = \"d\"\nrelay = \"team\"\nevery = \"day\"\nat = \"08:00\"";
        config(&format!("{RELAY}\n{digest}\n{more}"))
    };
    let budget = "[[budget]]\nname = \"b\"\nusd = 5\nperiod = \"day\"\n";
    assert_eq!(
        compare(&digest(""), &digest(budget)).parts,
        [Budgets, Relays].into(),
        "digests tell of budgets"
    );
    let listen = compare(&config(base), &config("listen = \"127.0.0.1:9465\"\n"));
    assert_eq!((listen.parts.len(), listen.restart), (0, vec!["listen"]));
}

/// The value in force is what the next change is compared with.
#[test]
fn what_needs_a_restart_stays_as_it_was() {
    let old = config("listen = \"127.0.0.1:9464\"\n[ledger]\npath = \"/a\"\n");
    let new = config("listen = \"127.0.0.1:1\"\nmax_jobs = 3\n[ledger]\npath = \"/b\"\nkeep = \"9d\"\n");
    let settled = settled(&old, new.clone());
    assert_eq!((settled.listen, &settled.ledger.path), (old.listen, &old.ledger.path));
    assert_eq!((settled.max_jobs, settled.ledger.keep_days), (3, Some(9)));
    assert_eq!(compare(&settled, &new).restart, ["listen", "ledger.path"], "and is told of again");
}
