use super::*;
use crate::model::UnixMs;
use crate::price::PriceBook;

fn parse(text: &str) -> Catalogue {
    parse_catalogue(text.as_bytes()).unwrap()
}

#[test]
fn entries_of_every_shape() {
    let catalogue = parse(
        r#"{
        "sample_spec": {"input_cost_per_token": "what a prompt token costs", "litellm_provider": "one of"},
        "claude-a": {"litellm_provider": "anthropic", "input_cost_per_token": 3e-06,
            "output_cost_per_token": 1.5e-05, "cache_read_input_token_cost": 3e-07,
            "cache_creation_input_token_cost": 3.75e-06, "cache_creation_input_token_cost_above_1hr": 6e-06,
            "input_cost_per_token_above_200k_tokens": 6e-06, "output_cost_per_token_above_200k_tokens": 2.25e-05,
            "max_input_tokens": 1000000, "max_tokens": 64000, "mode": "chat"},
        "gemini/gem": {"litellm_provider": "gemini", "input_cost_per_token": "1.25e-6",
            "output_cost_per_token": null, "input_cost_per_token_above_128k_tokens": 2e-6,
            "input_cost_per_token_above_1000k_tokens": 4e-6, "cache_read_input_token_cost": 1e-6,
            "cache_read_input_token_cost_above_128k_tokens": 3e-6, "max_tokens": "8192"},
        "openrouter/x/y:free": {"litellm_provider": "openrouter", "input_cost_per_token": 0,
            "output_cost_per_token": 0.0},
        "vertex_ai/gem": {"litellm_provider": "vertex_ai-language-models", "input_cost_per_token": 1e-7},
        "no-provider/m": {"input_cost_per_token": 1e-7},
        "dashscope/q": {"litellm_provider": "dashscope", "tiered_pricing": [
            {"range": [0, 32000.0], "input_cost_per_token": 1e-6, "output_cost_per_token": 5e-6},
            {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-6, "output_cost_per_token": 7e-6}]},
        "dall": {"litellm_provider": "openai", "input_cost_per_pixel": 1e-8},
        "float-noise": {"litellm_provider": "openai", "input_cost_per_token": 4.9999999999999998e-08}
    }"#,
    );
    assert_eq!((catalogue.without_price, catalogue.bad, &catalogue.bad_names), (1, 0, &vec![]));
    let book = PriceBook::new(catalogue.entries, [], catalogue.windows);
    for (provider, model, price, context) in [
        (
            "anthropic",
            "claude-a",
            "input 3.00, output 15.00, cache_read 0.30, cache_write 3.75; from 200001 prompt tokens: \
             input 6.00, output 22.50, cache_read 0.30, cache_write 3.75",
            Some(1_000_000),
        ),
        (
            "google",
            "gem",
            "input 1.25, cache_read 1.00; from 128001 prompt tokens: input 2.00, cache_read 3.00; from 1000001 \
             prompt tokens: input 4.00, cache_read 1.00",
            Some(8192),
        ),
        ("openrouter", "x/y:free", "input 0.00, output 0.00", None),
        ("google-vertex", "gem", "input 0.10", None),
        ("no-provider", "m", "input 0.10", None),
        ("qwen", "q", "input 1.00, output 5.00; from 32001 prompt tokens: input 2.00, output 7.00", None),
        ("openai", "float-noise", "input 0.05", None),
    ] {
        let found = book.in_force(provider, model, UnixMs(0)).unwrap_or_else(|| panic!("{provider}/{model}"));
        assert_eq!(found.entry.rates.to_string(), price, "{provider}/{model}");
        assert_eq!(book.context_window(provider, model), context, "{provider}/{model}");
    }
    assert_eq!(book.in_force("openai", "dall", UnixMs(0)), None);
}

#[test]
fn a_bad_entry_is_named_and_costs_no_other() {
    let mut text = String::from(r#"{"first": {"litellm_provider": "p", "input_cost_per_token": 1e-6}"#);
    for (n, bad) in [
        "17",
        "null",
        r#"{"input_cost_per_token": 1e-6}"#,
        r#"{"litellm_provider": "p", "input_cost_per_token": -1e-6}"#,
        r#"{"litellm_provider": "p", "input_cost_per_token": 0.5}"#,
        r#"{"litellm_provider": "p", "input_cost_per_token": "cheap"}"#,
        r#"{"litellm_provider": "p", "input_cost_per_token": 1e-6, "output_cost_per_token": [1]}"#,
        r#"{"litellm_provider": "p", "tiered_pricing": [{"input_cost_per_token": 1e-6}]}"#,
    ]
    .into_iter()
    .enumerate()
    {
        text.push_str(&format!(",\n\"bad{n}\": {bad}"));
    }
    for n in 0..3000 {
        text.push_str(&format!(
            ",\n\"p{}/m{n}\": {{\"litellm_provider\": \"p{}\", \"input_cost_per_token\": 1e-6, \
             \"output_cost_per_token\": null, \"max_input_tokens\": null, \"mode\": null}}",
            n % 50,
            n % 50
        ));
    }
    text.push('}');
    let catalogue = parse(&text);
    assert_eq!((catalogue.entries.len(), catalogue.bad), (3001, 8));
    let named: Vec<String> =
        catalogue.bad_names.iter().map(|(name, problem)| format!("{name} {problem}")).collect();
    assert_eq!(
        named,
        [
            "bad0 is not an object",
            "bad1 is not an object",
            "bad2 has no litellm_provider",
            "bad3 input_cost_per_token is negative",
            "bad4 input_cost_per_token is above $10000 per million tokens",
            "bad5 input_cost_per_token is not a decimal number",
            "bad6 output_cost_per_token is no number",
            "bad7 tiered_pricing has no range",
        ]
    );
    let many: Vec<String> = (0..150).map(|n| format!("\"b{n}\": 1")).collect();
    let catalogue = parse(&format!("{{{}}}", many.join(",")));
    assert_eq!((catalogue.bad, catalogue.bad_names.len()), (150, MAX_NAMED));
}

#[test]
fn what_is_no_catalogue_is_refused_without_its_content() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("prices.json");
    let error = |text: &str| {
        std::fs::write(&path, text).unwrap();
        read_catalogue(&path).unwrap_err()
    };
    for text in ["", "[]", "{\n\"sk-secret\": {", "{\"a\": 1} sk-secret", &"[".repeat(100_000)] {
        let error = error(text);
        assert!(matches!(error, CatalogueError::Invalid { .. }), "{error:?}");
        assert!(!format!("{error} {error:?}").contains("sk-secret"));
    }
    assert!(error("{\n\"a\": {").to_string().contains("line 2"));
    assert!(matches!(error(&" ".repeat((16 << 20) + 1)), CatalogueError::TooLarge(_)));
    assert!(matches!(read_catalogue(dir.path()), Err(CatalogueError::Unreadable(..))));
    assert!(matches!(read_catalogue(&dir.path().join("none")), Err(CatalogueError::Unreadable(..))));
}
