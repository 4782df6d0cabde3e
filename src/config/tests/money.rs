//! Prices, aliases, billing and budgets.

use super::*;
use crate::model::{Billing, NanoUsd, Period, PriceSource, UnixMs};

#[test]
fn prices_are_taken_as_they_are_written() {
    let config = Case::file(
        "[[price]]\nmodel = 'm'\ninput = 0.3\noutput = '15'\n\n[[price]]\nprovider = 'P'\nmodel = 'x*'\n\
         from = 2026-07-01T02:00:00+02:00\ncache_read = 1_0.000_000_001\n\
         tiers = [{ above = 500, input = 9 }, { above = 200, input = 1e-3, output = 2 }]\n\
         [[price]]\nprovider = 'P'\nmodel = 'x*'\nfrom = '2026-08-01'\ninput = 0\n",
    )
    .resolve()
    .unwrap();
    let shown: Vec<String> = config
        .prices
        .iter()
        .map(|entry| format!("{}/{}: {}", entry.provider, entry.model, entry.rates))
        .collect();
    assert_eq!(
        shown,
        [
            "*/m: input 0.30, output 15.00",
            "P/x*: cache_read 10.000000001; from 201 prompt tokens: input 0.001, output 2.00, cache_read \
             10.000000001; from 501 prompt tokens: input 9.00, output 2.00, cache_read 10.000000001",
            "P/x*: input 0.00",
        ]
    );
    let from: Vec<Option<UnixMs>> = config.prices.iter().map(|entry| entry.from).collect();
    assert_eq!(from, [None, Some(UnixMs(1_782_864_000_000)), Some(UnixMs(1_785_542_400_000))]);
    assert_eq!(config.prices[1].source, PriceSource::Override(6));
}

#[test]
fn aliases_billing_and_budgets() {
    let config = Case::file(
        "[[alias]]\nprovider = 'litellm'\nmodel = 'a/*'\nto = 'openrouter/x/y:free'\n\
         [[alias]]\nprovider = 'codex'\nmodel = '*'\nto = 'openai/*'\n\
         [billing]\nz = 'Local'\n'a*' = 'metered'\n\
         [[budget]]\nname = 'all'\nusd = 12.50\nperiod = 'week'\n\
         [[budget]]\nname = 'ops'\nusd = 1\nperiod = 'day'\ntimezone = 'Europe/Berlin'\nmatch.agent = 'ops'\n",
    )
    .resolve()
    .unwrap();
    let aliases: Vec<(&str, Option<&str>)> =
        config.aliases.iter().map(|alias| (alias.to_provider.as_str(), alias.to_model.as_deref())).collect();
    assert_eq!(aliases, [("openrouter", Some("x/y:free")), ("openai", None)]);
    let mut billing = config.billing;
    billing.sort();
    assert_eq!(billing, [("a*".to_owned(), Billing::Metered), ("z".to_owned(), Billing::Local)]);
    let budgets = config.budgets;
    assert_eq!((budgets[0].limit, budgets[0].period), (NanoUsd(12_500_000_000), Period::Week));
    assert_eq!((budgets[0].timezone.as_str(), &budgets[0].matches), ("UTC", &Default::default()));
    assert_eq!(
        (budgets[1].timezone.as_str(), budgets[1].matches.agent.as_deref()),
        ("Europe/Berlin", Some("ops"))
    );
}

#[test]
fn bad_tables_name_the_entry_and_the_remedy() {
    let rates = "; give dollars per million tokens, from 0 to 10000";
    for (text, message) in [
        (
            "[[price]]\ninput = 1",
            "price.model (/etc/ocu.toml:1): a price needs its model; add model = \"claude-opus-*\"".to_owned(),
        ),
        (
            "[[price]]\nprovider = 'p'\nmodel = 'm'\ninput = -3",
            format!("price of p/m: input = \"-3\" (/etc/ocu.toml:4): is negative{rates}"),
        ),
        (
            "[[price]]\nmodel = 'm'\noutput = nan",
            format!("price of */m: output = \"nan\" (/etc/ocu.toml:3): is not a decimal number{rates}"),
        ),
        (
            "[[price]]\nmodel = 'm'\noutput = inf",
            format!("price of */m: output = \"inf\" (/etc/ocu.toml:3): is not a decimal number{rates}"),
        ),
        (
            "[[price]]\nmodel = 'm'\ncache_write = 10_001",
            format!(
                "price of */m: cache_write = \"10001\" (/etc/ocu.toml:3): is above $10000 per million tokens{rates}"
            ),
        ),
        (
            "[[price]]\nmodel = 'm'\ntiers = [{ above = 5, input = 1e400 }]",
            format!(
                "price of */m: input = \"1e400\" (/etc/ocu.toml:3): is above $10000 per million tokens{rates}"
            ),
        ),
        (
            "[[price]]\nmodel = 'm'",
            "price of */m (/etc/ocu.toml:1): has no rate; give at least one of input, output, cache_read, cache_write"
                .to_owned(),
        ),
        (
            "[[price]]\nmodel = 'm'\ninput = 1\n[[price]]\nmodel = 'm'\ninput = 2",
            "price of */m (/etc/ocu.toml:4): given twice; remove one of them or give it another `from`".to_owned(),
        ),
        (
            "[[price]]\nmodel = 'm'\ninput = 1\nfrom = 2026-07-01T00:00:00",
            "price of */m: from = \"2026-07-01T00:00:00\" (/etc/ocu.toml:4): expected a day, which begins at midnight UTC, or a time with its offset: 2026-07-01 or 2026-07-01T12:00:00Z".to_owned(),
        ),
        (
            "[[price]]\nmodel = 'm'\ntiers = [{ input = 1 }]",
            "price of */m: tiers (/etc/ocu.toml:3): a tier needs the size of the prompts above which it applies; add above = 200000".to_owned(),
        ),
        (
            "[[price]]\nmodel = 'm'\ninputs = 1",
            "/etc/ocu.toml:3: unknown key `price.inputs`; did you mean `price.input`?".to_owned(),
        ),
        (
            "[[price]]\nmodel = 'm'\ntiers = [{ over = 1 }]",
            "/etc/ocu.toml:3: unknown key `price.tiers.over`; known here: above, input, output, cache_read, cache_write".to_owned(),
        ),
        (
            "[price]\nmodel = 'm'",
            "price = \"table\" (/etc/ocu.toml:1): expected one [[price]] table for each price, with two brackets"
                .to_owned(),
        ),
        (
            "[[prices]]\nmodel = 'm'",
            "/etc/ocu.toml:1: unknown key `prices`; did you mean `price`?".to_owned(),
        ),
        (
            "[[price]]\nmodel = true",
            "price.model = \"boolean\" (/etc/ocu.toml:2): expected a string in quotes, a decimal number or a date"
                .to_owned(),
        ),
        (
            "[[alias]]\nprovider = 'a'\nmodel = 'b'\nto = 'c'",
            "alias.a/b: to = \"c\" (/etc/ocu.toml:1): expected PROVIDER/MODEL, or PROVIDER/* for the model of the same name".to_owned(),
        ),
        (
            "[billing]\nopenai = 'free'",
            "billing.openai = \"free\" (/etc/ocu.toml:2): expected one of metered, subscription, local".to_owned(),
        ),
        (
            "[[budget]]\nname = 'a'\nusd = 0\nperiod = 'day'",
            "budget a: usd = \"0\" (/etc/ocu.toml:3): expected dollars, more than 0 and less than 9 billion, such as 50 or 12.50".to_owned(),
        ),
        (
            "[[budget]]\nname = 'a'\nusd = 1\nperiod = 'year'",
            "budget a: period = \"year\" (/etc/ocu.toml:4): expected one of day, week, month".to_owned(),
        ),
        (
            "[[budget]]\nname = 'a'\nusd = 1\nperiod = 'day'\ntimezone = 'Berlin'",
            "budget a: timezone = \"Berlin\" (/etc/ocu.toml:5): the time zone \"Berlin\" is not known; give an IANA name such as Europe/Berlin, and install the system's time zone data (tzdata) if there is none".to_owned(),
        ),
        (
            "[[budget]]\nname = 'a'\nusd = 1\nperiod = 'day'\n[[budget]]\nname = 'a'\nusd = 1\nperiod = 'day'",
            "budget.a (/etc/ocu.toml:5): two budgets have this name; give each its own".to_owned(),
        ),
        (
            "[[budget]]\nname = 'a'\nusd = 1",
            "budget.period (/etc/ocu.toml:1): a budget needs its period; add period = \"month\"".to_owned(),
        ),
        (
            "[[budget]]\nname = 'a'\nmatch = { jobs = 'x' }",
            "/etc/ocu.toml:3: unknown key `budget.match.jobs`; did you mean `budget.match.job`?".to_owned(),
        ),
    ] {
        assert_eq!(Case::file(text).error(), message, "{text}");
    }
}
