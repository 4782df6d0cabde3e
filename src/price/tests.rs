//! The book and the catalogue, and what holds of all costs.

use super::*;
use crate::model::{
    Cost, CostProvenance, NanoUsd, PerMillion, PriceAlias, PriceEntry, PriceSource, RateSet, Rates, Tier,
    TokenKind, UnixMs, Usage,
};

const NOW: UnixMs = UnixMs(1_800_000_000_000);

fn flat(input: &str) -> Rates {
    Rates::new(RateSet { input: PerMillion::parse(input).ok(), ..RateSet::default() }, []).unwrap()
}

fn entry(source: PriceSource, name: &str, input: &str) -> PriceEntry {
    let (provider, model) = name.split_once('/').unwrap();
    PriceEntry { provider: provider.into(), model: model.into(), rates: flat(input), from: None, source }
}

fn over(name: &str, input: &str) -> PriceEntry {
    entry(PriceSource::Override(1), name, input)
}

fn alias(name: &str, to: &str) -> PriceAlias {
    let split = |name: &str| name.split_once('/').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let ((provider, model), (to_provider, to_model)) = (split(name), split(to));
    PriceAlias { provider, model, to_provider, to_model: Some(to_model).filter(|model| model != "*") }
}

/// Returns the input rate in force, in dollars.
fn input_rate(book: &PriceBook, provider: &str, model: &str) -> Option<String> {
    let found = book.in_force(provider, model, NOW)?;
    let rate = found.entry.rates.tiers()[0].rates.input.map(|rate| rate.usd().to_string());
    assert_eq!(book.lookups().in_force(provider, model, NOW), Some(found));
    rate
}

#[test]
fn the_strongest_and_most_specific_price_applies() {
    use PriceSource::{Agent, Catalogue, Gateway};
    let mut entries = vec![
        entry(Catalogue, "anthropic/claude-x", "1"),
        entry(Catalogue, "openai/gpt", "2"),
        entry(Catalogue, "google/gemini", "3"),
        entry(Agent("zeta".into()), "openai/gpt", "5"),
        entry(Agent("main".into()), "openai/gpt", "4"),
        entry(Gateway, "Anthropic/claude-x", "6"),
        entry(Gateway, "mock/mock/inner", "7"),
        entry(Gateway, "mock/a/b:free", "0"),
        entry(Gateway, "mock/star*", "1"),
        over("anthropic/claude-*", "8"),
        over("anthropic/claude-opus-*", "9"),
        over("*/claude-opus-4-6", "10"),
        over("anthropic/claude-opus-4-6-exact", "11"),
        over("router/*", "12"),
    ];
    let expected = [
        ("anthropic", "claude-x", Some("8.00")),
        ("ANTHROPIC", "claude-sonnet", Some("8.00")),
        ("anthropic", "claude-opus-4-5", Some("9.00")),
        ("anthropic", "claude-opus-4-6", Some("9.00")),
        ("other", "claude-opus-4-6", Some("10.00")),
        ("anthropic", "claude-opus-4-6-exact", Some("11.00")),
        ("openai", "gpt", Some("4.00")),
        ("openai", "openai/gpt", Some("4.00")),
        ("google", "gemini", Some("3.00")),
        ("google", "Gemini", None),
        ("mock", "inner", Some("7.00")),
        ("mock", "a/b:free", Some("0.00")),
        ("mock", "star*", Some("1.00")),
        ("mock", "starling", None),
        ("router", "any/thing", Some("12.00")),
        ("", "gpt", None),
        ("openai", "", None),
    ];
    for _ in 0..20 {
        let book = PriceBook::new(entries.clone(), [], []);
        for (provider, model, rate) in expected {
            assert_eq!(input_rate(&book, provider, model).as_deref(), rate, "{provider}/{model}");
        }
        assert_eq!(book.conflicts().len(), 1, "two agents disagree: {:?}", book.conflicts());
        assert_eq!(book.conflicts()[0].kept, Agent("main".into()));
        fastrand::Rng::with_seed(7).shuffle(&mut entries);
    }
}

#[test]
fn the_rate_in_force_when_a_run_starts_counts() {
    let dated = |input: &str, from: Option<i64>| PriceEntry { from: from.map(UnixMs), ..over("p/m*", input) };
    let other = entry(PriceSource::Gateway, "p/m1", "9");
    let undated =
        PriceBook::new([dated("2", Some(200)), dated("1", Some(100)), dated("3", Some(300)), other], [], []);
    let rate = |book: &PriceBook, at: i64| {
        let found = book.in_force("p", "m1", UnixMs(at)).unwrap();
        (found.entry.rates.tiers()[0].rates.input.unwrap().usd().to_string(), found.entry.source.rank())
    };
    for (at, expected) in
        [(-5, ("9.00", 1)), (99, ("9.00", 1)), (100, ("1.00", 0)), (299, ("2.00", 0)), (300, ("3.00", 0))]
    {
        assert_eq!(rate(&undated, at), (expected.0.to_owned(), expected.1), "at {at}");
    }
    let since_ever = PriceBook::new([dated("2", Some(200)), dated("1", None)], [], []);
    assert_eq!((rate(&since_ever, 0).0, rate(&since_ever, 200).0), ("1.00".into(), "2.00".into()));
}

#[test]
fn aliases_lead_from_a_proxy_s_names_to_models_with_prices() {
    let entries = [
        over("litellm/own", "1"),
        entry(PriceSource::Gateway, "litellm/smart", "0"),
        entry(PriceSource::Gateway, "litellm/lost", "5"),
        entry(PriceSource::Catalogue, "anthropic/claude", "3"),
        entry(PriceSource::Catalogue, "openai/gpt-5", "2"),
    ];
    let aliases = [
        alias("litellm/smart", "anthropic/claude"),
        alias("litellm/own", "anthropic/claude"),
        alias("litellm/lost", "anthropic/nothing"),
        alias("openai-codex/*", "openai/*"),
        alias("litellm/circle", "litellm/circle"),
    ];
    let window = |name: &str, tokens| {
        let (provider, model) = name.split_once('/').unwrap();
        let source = PriceSource::Catalogue;
        crate::model::ContextWindow { provider: provider.into(), model: model.into(), tokens, source }
    };
    let book =
        PriceBook::new(entries, aliases, [window("anthropic/claude", 200_000), window("litellm/own", 7)]);
    for (provider, model, rate, context) in [
        ("litellm", "smart", Some("3.00"), Some(200_000)),
        ("litellm", "own", Some("1.00"), Some(7)),
        ("litellm", "lost", Some("5.00"), None),
        ("litellm", "circle", None, None),
        ("openai-codex", "gpt-5", Some("2.00"), None),
        ("openai-codex", "gpt-6", None, None),
    ] {
        assert_eq!(input_rate(&book, provider, model).as_deref(), rate, "{provider}/{model}");
        assert_eq!(book.context_window(provider, model), context, "{provider}/{model}");
    }
    let table = book.effective([("litellm", "smart"), ("litellm", "circle")], NOW);
    assert!(
        table[0].price.is_some_and(|price| price.aliased && price.entry.source == PriceSource::Catalogue)
    );
    assert_eq!((table[1].model.as_str(), table[1].price), ("circle", None));
}

#[test]
fn a_book_of_thousands_is_looked_up_by_name() {
    let exact = (0..3000).map(|n| entry(PriceSource::Catalogue, &format!("p{}/m{n}", n % 40), "1"));
    let globs = (0..300).map(|n| over(&format!("g{n}*/x*y{n}*"), "2"));
    let book = PriceBook::new(exact.chain(globs), [], []);
    let names: Vec<(String, String)> = (0..6000).map(|n| (format!("p{}", n % 40), format!("m{n}"))).collect();
    let mut lookups = book.lookups();
    let mut found = 0;
    // More names than are remembered, twice.
    for _ in 0..2 {
        for (provider, model) in &names {
            found += usize::from(lookups.in_force(provider, model, NOW).is_some());
        }
    }
    assert_eq!(found, 6000);
}

fn usage(rng: &mut fastrand::Rng) -> Usage {
    let mut count = |most: u64| Some(rng.u64(0..most));
    Usage {
        input: count(200_000),
        output: count(8_000),
        cache_read: count(400_000),
        cache_write: count(50_000),
    }
}

fn random_rates(rng: &mut fastrand::Rng, decimals: usize) -> Rates {
    let mut set = RateSet::default();
    for kind in TokenKind::ALL {
        let text = format!(
            "{}.{:0decimals$}",
            rng.u32(0..100),
            rng.u32(0..10_u32.pow(u32::try_from(decimals).unwrap()))
        );
        set.set(kind, Some(PerMillion::parse(&text).unwrap()));
    }
    Rates::new(set, []).unwrap()
}

fn add(a: Usage, b: Usage) -> Usage {
    let sum = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
    Usage {
        input: sum(a.input, b.input),
        output: sum(a.output, b.output),
        cache_read: sum(a.cache_read, b.cache_read),
        cache_write: sum(a.cache_write, b.cache_write),
    }
}

/// With at most three decimals a token costs whole nano-USD, so nothing is rounded; with more, each call is off by
/// half a nano-USD at most.
#[test]
fn the_sum_of_the_calls_is_the_cost_of_the_sum() {
    let mut rng = fastrand::Rng::with_seed(20_260_601);
    for round in 0..300 {
        let decimals = if round % 2 == 0 { 3 } else { 9 };
        let rates = random_rates(&mut rng, decimals);
        let calls: Vec<Usage> = (0..rng.usize(1..20)).map(|_| usage(&mut rng)).collect();
        let costs: Vec<Cost> =
            calls.iter().map(|call| cost(call, Some(&rates), Extent::Call).unwrap()).collect();
        let total = costs.iter().copied().reduce(|a, b| a.checked_add(b).unwrap()).unwrap();
        let whole = calls.iter().copied().reduce(add).unwrap();
        let whole = cost(&whole, Some(&rates), Extent::Sum).unwrap();
        assert_eq!((total.provenance, whole.provenance), (CostProvenance::Priced, CostProvenance::Priced));
        let off = total.usd.checked_sub(whole.usd).unwrap().0.abs();
        let most = if decimals == 3 { 0 } else { i64::try_from(calls.len()).unwrap().div_euclid(2) + 1 };
        assert!(off <= most, "round {round}: {off} nano-USD over {} calls", calls.len());
    }
}

#[test]
fn the_order_of_parts_does_not_matter() {
    let mut rng = fastrand::Rng::with_seed(42);
    let mut parts: Vec<Cost> = (0..60)
        .map(|n| {
            let provenance = CostProvenance::ALL[rng.usize(0..5)];
            Cost { usd: NanoUsd(if n % 7 == 0 { 0 } else { rng.i64(0..1_000_000_000) }), provenance }
        })
        .collect();
    let sum = |parts: &[Cost]| parts.iter().copied().reduce(|a, b| a.checked_add(b).unwrap());
    for count in [1, 2, 3, 7, 60] {
        let expected = sum(&parts[..count]);
        for _ in 0..50 {
            rng.shuffle(&mut parts[..count]);
            assert_eq!(sum(&parts[..count]), expected);
        }
    }
}

/// A lower bound never exceeds the cost that turns out when everything is known.
#[test]
fn a_lower_bound_is_one() {
    let mut rng = fastrand::Rng::with_seed(3);
    for _ in 0..500 {
        let (base, above) = (random_rates(&mut rng, 6), random_rates(&mut rng, 6));
        let tier = Tier { from_prompt: rng.u64(1..400_000), rates: above.tiers()[0].rates };
        let rates = Rates::new(base.tiers()[0].rates, [tier]).unwrap();
        let calls: Vec<Usage> = (0..rng.usize(1..6)).map(|_| usage(&mut rng)).collect();
        let costs = calls.iter().map(|call| cost(call, Some(&rates), Extent::Call).unwrap());
        let bill = costs.reduce(|a, b| a.checked_add(b).unwrap()).unwrap().usd;
        let whole = calls.iter().copied().reduce(add).unwrap();
        let hidden = Usage { cache_read: None, cache_write: None, ..whole };
        for known in [whole, hidden] {
            let bound = cost(&known, Some(&rates), Extent::Sum).unwrap();
            // Each call of the bill is rounded by itself.
            let slack = NanoUsd(6);
            assert!(bound.usd <= bill.checked_add(slack).unwrap(), "{known:?}: {bound:?} above {bill}");
            let equal = bound.usd.0.abs_diff(bill.0) <= 6;
            assert!(bound.provenance == CostProvenance::LowerBound || equal, "{bound:?} is not {bill}");
        }
    }
}
