use super::super::BillingDefaults;
use super::*;
use crate::model::Billing;

struct Dir(tempfile::TempDir);

impl Dir {
    fn with(files: &[(&str, &str)]) -> Self {
        let dir = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            let path = dir.path(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self) -> Result<FoundPrices, PricesError> {
        read_config_prices(&self.path("openclaw.json")).map(|found| found.expect("the file exists"))
    }
}

fn shown(found: &FoundPrices) -> Vec<String> {
    found.entries.iter().map(|e| format!("{}/{}: {}", e.provider, e.model, e.rates)).collect()
}

fn read(config: &str) -> FoundPrices {
    Dir::with(&[("openclaw.json", config)]).read().unwrap()
}

#[test]
fn prices_and_contexts_of_every_shape() {
    let found = read(
        r#"{
        // by hand
        gateway: { auth: { token: 'tok-secret' } },
        models: { providers: {
            a: { baseUrl: '${A_URL}', apiKey: '${A_KEY}', contextWindow: 32000, models: [
                { id: 'm1', cost: { input: 3, output: 15, cacheRead: .3, cacheWrite: 3.75 }, contextWindow: 128000 },
                { id: 'm2', cost: { input: 3, output: 1_5 }, },
            ], },
        } },
    }"#
        .replace("1_5", "+1.5e1")
        .as_str(),
    );
    assert_eq!(
        shown(&found),
        [
            "a/m1: input 3.00, output 15.00, cache_read 0.30, cache_write 3.75",
            "a/m2: input 3.00, output 15.00"
        ]
    );
    let windows: Vec<(&str, u64)> = found.windows.iter().map(|w| (w.model.as_str(), w.tokens)).collect();
    assert_eq!((windows, found.left_out), (vec![("m1", 128_000), ("m2", 32_000)], 0));

    let found = read(
        r#"{"models": {"providers": {"p": {"models": [
        {"id": "free", "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}, "contextTokens": 5, "contextWindow": 9},
        {"id": "none", "contextWindow": -1}, {"id": "empty", "cost": {}}, {"id": "null", "cost": null},
        {"id": "twice", "cost": {"input": 1}}, {"id": "twice", "cost": {"input": 2}},
        {"id": "a/b:c", "cost": {"output": 1e-3}},
        {"id": "tiers", "cost": {"input": 9, "tieredPricing": [
            {"range": [200000], "input": 6, "output": 30, "cacheRead": 1, "cacheWrite": 2},
            {"range": [100, 200000], "input": 3, "output": 15, "cacheRead": 0.5, "cacheWrite": 1}]}}
    ]}, "q": {"models": {}}, "r": 7}}}"#,
    );
    assert_eq!(
        shown(&found),
        [
            "p/free: input 0.00, output 0.00, cache_read 0.00, cache_write 0.00",
            "p/twice: input 2.00",
            "p/a/b:c: output 0.001",
            "p/tiers: input 3.00, output 15.00, cache_read 0.50, cache_write 1.00; from 100 prompt tokens: input 3.00, \
             output 15.00, cache_read 0.50, cache_write 1.00; from 200000 prompt tokens: input 6.00, output 30.00, \
             cache_read 1.00, cache_write 2.00",
        ]
    );
    assert_eq!((found.windows.len(), found.windows[0].tokens, found.left_out), (1, 5, 0));
    assert_eq!(
        found.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        [
            "p/free is free according to openclaw.json, where the gateway's set-up also writes 0 for a price that it \
             does not know; if it is not free, give its price as [[price]]"
        ]
    );
    let own = "{ models: { providers: { p: { baseUrl: 'http://localhost', models: [{ id: 'm', cost: { input: 0 } }] } } } }";
    assert_eq!((read(own).entries.len(), read(own).notes), (1, vec![]), "free on an own machine");
    for nothing in ["{}", "{models: 7}", "{models: {providers: []}}"] {
        assert_eq!(read(nothing).entries, [], "{nothing}");
    }
}

#[test]
fn a_bad_price_is_named_and_costs_no_other() {
    let found = read(
        r#"{ models: { providers: { p: { models: [
            { id: 'good', cost: { input: 1 } },
            { id: 'negative', cost: { input: -1 } },
            { id: 'absurd', cost: { output: 10001 } },
            { id: 'nan', cost: { cacheRead: NaN } },
            { id: 'infinite', cost: { cacheRead: -Infinity } },
            { id: 'text', cost: { cacheWrite: '${SECRET_PRICE}' } },
            { id: 'list', cost: [1] },
            { id: 'range', cost: { tieredPricing: [{ input: 1 }] } },
            { id: 'same', cost: { tieredPricing: [{ input: 1, range: [5] }, { input: 2, range: [5] }] } },
            { id: '${SECRET_MODEL}', cost: { input: 1 } }, { cost: { input: 1 } }, 7,
        ] }, 'x: https://user:pass@secret/': { models: [] } } } }"#,
    );
    assert_eq!(shown(&found), ["p/good: input 1.00"]);
    let notes: Vec<String> = found.notes.iter().map(ToString::to_string).collect();
    let price = |model: &str, problem: &str| {
        format!("the price of p/{model} in openclaw.json is not used: {problem}; correct it there")
    };
    assert_eq!(
        notes[..8],
        [
            price("negative", "input is negative"),
            price("absurd", "output is above $10000 per million tokens"),
            price("nan", "cacheRead is no number"),
            price("infinite", "cacheRead is no number"),
            price("text", "cacheWrite is not a decimal number"),
            price("list", "cost is no object"),
            price("range", "tieredPricing: an entry has no range"),
            price("same", "has two tiers from 5 tokens"),
        ]
    );
    assert_eq!((notes.len(), found.left_out), (12, 12));
    assert!(notes[8..].iter().all(|note| note.contains("has no usable name")), "{notes:?}");
    assert!(!format!("{found:?} {notes:?}").to_lowercase().contains("secret"));
}

#[test]
fn an_agent_s_zero_is_a_price_only_on_an_own_server() {
    let dir = Dir::with(&[
        (
            "agents/main/agent/models.json",
            r#"{"providers": {
            "p": {"baseUrl": "http://127.0.0.1:1", "models": [
                {"id": "filled-in", "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}},
                {"id": "no-cache", "cost": {"input": 1, "output": 2, "cacheRead": 0, "cacheWrite": 0}}]},
            "ollama": {"baseUrl": "http://127.0.0.1:11434", "models": [
                {"id": "own", "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}]},
            "vllm": {"baseUrl": "https://gpu.example.com", "models": [
                {"id": "rented", "cost": {"input": 0, "output": 0, "cacheRead": 0, "cacheWrite": 0}}]}}}"#,
        ),
        ("agents/note.txt", "no agent"),
    ]);
    let files = agent_model_files(dir.0.path()).unwrap();
    let found: Vec<FoundPrices> =
        files.iter().filter_map(|(agent, path)| read_agent_prices(path, agent).unwrap_or_default()).collect();
    assert_eq!((files.len(), found.len()), (2, 1));
    assert_eq!(
        shown(&found[0]),
        [
            "ollama/own: input 0.00, output 0.00, cache_read 0.00, cache_write 0.00",
            "p/no-cache: input 1.00, output 2.00"
        ]
    );
    assert_eq!(found[0].entries[0].source, PriceSource::Agent("main".into()));
    let billing = BillingDefaults::new(found.iter().map(|found| &found.providers));
    let of = |provider| billing.of(provider);
    assert_eq!((of("ollama"), of("p"), of("vllm")), (Billing::Local, Billing::Metered, Billing::Metered));
    assert_eq!(agent_model_files(&dir.path("nowhere")).unwrap(), []);
}

#[test]
fn includes_within_the_directory_are_followed_as_the_gateway_does() {
    let dir = Dir::with(&[
        (
            "openclaw.json",
            r#"{ $include: './base.json5', models: { providers: {
                p: { $include: ['parts/p1.json5', './parts/p2.json5'], models: [{ id: 'beside', cost: { input: 4 } }] },
            } } }"#,
        ),
        (
            "base.json5",
            "{ auth: { profiles: { x: { provider: 'p', mode: 'oauth', note: 's3cret' } } }, other: 's3cret' }",
        ),
        ("parts/p1.json5", "{ auth: 'api-key', models: [{ id: 'one', cost: { input: 1 } }] }"),
        ("parts/p2.json5", "{ auth: 'oauth', models: { $include: '../parts/list.json' } }"),
        ("parts/list.json", r#"[{"id": "two", "cost": {"input": 2}}]"#),
    ]);
    let found = dir.read().unwrap();
    assert_eq!(shown(&found), ["p/one: input 1.00", "p/two: input 2.00", "p/beside: input 4.00"]);
    assert_eq!(found.providers["p"].login, Some(Login::OAuth));
    assert_eq!((found.files.len(), found.left_out), (5, 0));
    assert!(!format!("{found:?}").contains("s3cret"));
}

#[test]
fn what_is_wrong_elsewhere_in_the_configuration_does_not_matter() {
    let found = read(
        r#"{ channels: { $include: './gone.json5' }, $schema: { $include: 7 },
            models: { providers: { p: { models: [{ id: 'm', cost: { input: 1 } }] } } } }"#,
    );
    assert_eq!((shown(&found), found.left_out), (vec!["p/m: input 1.00".to_owned()], 0));
}

#[test]
fn includes_that_lead_out_are_named_and_not_followed() {
    let outside = Dir::with(&[(
        "prices.json",
        r#"{"providers": {"p": {"models": [{"id": "m", "cost": {"input": 1}}]}}}"#,
    )]);
    let absolute = outside.path("prices.json").display().to_string();
    let config = format!(
        "{{ models: {{ $include: ['./own.json', '../../prices.json', '{absolute}', './link.json'] }} }}"
    );
    let dir = Dir::with(&[
        ("openclaw.json", &config),
        ("own.json", r#"{"providers": {"own": {"models": [{"id": "m", "cost": {"input": 5}}]}}}"#),
    ]);
    std::os::unix::fs::symlink(outside.path("prices.json"), dir.path("link.json")).unwrap();
    let found = dir.read().unwrap();
    assert_eq!(shown(&found), ["own/m: input 5.00"]);
    assert_eq!(found.notes, vec![PriceNote::Outside(dir.path("openclaw.json")); 3]);
}

#[test]
fn what_cannot_be_read_is_an_error_without_its_content() {
    let half = r#"{"models":{"providers":{"p":{"apiKey":"sk-secret","models":[{"id":"#;
    let deep = format!("{{ models: {} }} // sk-secret", "[".repeat(200_000));
    let wide = format!("{{\"models\": \"{}\"}}", " ".repeat(17 << 20));
    let big_include = format!("\"{}\"", " ".repeat((2 << 20) + 1));
    let circle = "{ models: { $include: './openclaw.json' } }";
    for (files, expected) in [
        (vec![("openclaw.json", half)], "is not valid JSON5"),
        (vec![("openclaw.json", "")], "is not valid JSON5"),
        (vec![("openclaw.json", "[]")], "is not valid JSON5"),
        (vec![("openclaw.json", "\u{0}sk-secret")], "is not valid JSON5"),
        (vec![("openclaw.json", &deep)], "is not valid JSON5"),
        (vec![("openclaw.json", &wide)], "is larger than 16 MiB"),
        (vec![("openclaw.json", circle)], "leads in a circle"),
        (
            vec![("openclaw.json", "{ models: { $include: './gone.json' } }")],
            "names a file that does not exist",
        ),
        (vec![("openclaw.json", "{ models: { $include: 'sk-secret\\u0000' } }")], "is no path"),
        (vec![("openclaw.json", "{ $include: { key: 'sk-secret' } }")], "is no path"),
        (vec![("openclaw.json", "{ models: { $include: './x', a: 1 } }"), ("x", "[1]")], "is no object"),
        (vec![("openclaw.json", "{ models: { $include: './x' } }"), ("x", half)], "is not valid JSON5"),
        (
            vec![("openclaw.json", "{ models: { $include: './x' } }"), ("x", &big_include)],
            "is larger than 2 MiB",
        ),
    ] {
        let error = Dir::with(&files).read().expect_err(expected);
        let text = format!("{error} {error:?}");
        assert!(text.contains(expected), "{expected}: {error}");
        assert!(text.contains("stay in force") && !text.contains("sk-secret"), "{error}");
    }
    let many: Vec<String> = (0..300).map(|_| "'./x'".to_owned()).collect();
    let config = format!("{{ models: {{ $include: [{}] }} }}", many.join(","));
    let error = Dir::with(&[("openclaw.json", &config), ("x", "{}")]).read().unwrap_err();
    assert!(error.to_string().contains("is one of too many"), "{error}");
    let names: Vec<String> = (0..12).map(|n| format!("n{n}")).collect();
    let nested: Vec<(String, String)> =
        (0..12).map(|n| (names[n].clone(), format!("{{ $include: './n{}' }}", n + 1))).collect();
    let mut files = vec![("openclaw.json", "{ models: { $include: './n0' } }")];
    files.extend(nested.iter().map(|(name, text)| (name.as_str(), text.as_str())));
    assert!(Dir::with(&files).read().unwrap_err().to_string().contains("is one of too many"));
    let empty = Dir::with(&[]);
    assert_eq!(read_config_prices(&empty.path("openclaw.json")).unwrap(), None);
    assert_eq!(read_agent_prices(&empty.path("models.json"), "a").unwrap(), None);
}

/// Whatever stands in the file: an answer or an error, soon, and nothing of the key.
#[test]
fn mangled_files_do_no_harm() {
    let text = r#"{ /* a */ models: { mode: 'merge', providers: { p: { baseUrl: "http://127.0.0.1/", apiKey: 's3cret',
        auth: 'oauth', contextWindow: 1e5, models: [ { id: 'm', cost: { input: .5, output: +15, cacheRead: 3e-1,
        tieredPricing: [{ range: [0, 5], input: 1, output: 2, cacheRead: 3, cacheWrite: 4 }] } }, ], },
        q: { $include: ['./q.json5'], }, } }, auth: { profiles: { 'p:x': { provider: 'p', mode: 'oauth' } } }, } // b"#;
    const INTERESTING: &[u8] = b"{}[]()\"'\\/*:,.+-0e9xNI$\n\0\xe2\x80\xa8\xff u";
    let dir = Dir::with(&[("q.json5", "{ models: [{ id: 'included', cost: { input: 1 } }] }")]);
    let path = dir.path("openclaw.json");
    let mut rng = fastrand::Rng::with_seed(11);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..600 {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..rng.usize(1..4) {
            let at = rng.usize(0..bytes.len());
            match rng.u8(0..3) {
                0 => bytes[at] = INTERESTING[rng.usize(0..INTERESTING.len())],
                1 => bytes.insert(at, INTERESTING[rng.usize(0..INTERESTING.len())]),
                _ => drop(bytes.drain(at..(at + rng.usize(1..9)).min(bytes.len()))),
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let (said, count) = match read_config_prices(&path) {
            Ok(found) => (format!("{found:?}"), &mut read),
            Err(error) => (format!("{error} {error:?}"), &mut refused),
        };
        *count += 1;
        assert!(!said.contains("s3cret"), "{said}");
    }
    assert!(read > 50 && refused > 300, "{read} read, {refused} refused");
}
