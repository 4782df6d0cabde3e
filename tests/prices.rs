//! Prices of recorded gateways against what their provider billed, call by call.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use openclaw_usage::model::{
    Billing, Cost, CostProvenance, NanoUsd, PriceEntry, UnixMs, Usage, UsageProvenance,
};
use openclaw_usage::openclaw::{
    BillingDefaults, FoundPrices, agent_model_files, read_agent_prices, read_config_prices,
};
use openclaw_usage::price::{Extent, PriceBook};
use serde_json::Value;

use crate::common::fixtures::Fixture;

const NOW: UnixMs = UnixMs(1_795_236_731_295);
const ZERO: NanoUsd = NanoUsd::ZERO;

/// Everything in the recorded files that must never be seen elsewhere.
const SECRETS: [&str; 7] =
    ["sk-mock", "sk-bad", "sk-ant-mock", "test-token", "hook-secret-token", "http://", "127.0.0.1"];

struct Call {
    job: String,
    provider: String,
    model: String,
    usage: Usage,
}

struct Recording {
    name: String,
    state_dir: PathBuf,
    calls: Vec<Call>,
    /// Dollars of every job that billed or could have, by id.
    jobs: BTreeMap<String, NanoUsd>,
    all: NanoUsd,
}

/// The dollars of a truth: decimals that were computed exactly, as texts.
fn usd(value: &Value) -> NanoUsd {
    NanoUsd::parse(value.as_str().expect("dollars")).expect("a decimal number")
}

fn recording(folder: &Path) -> Recording {
    let text = |name: &str| fs::read_to_string(folder.join(name)).expect("a file of the recording");
    let call = |line: &str| {
        let call: Value = serde_json::from_str(line).expect("a call");
        let word = |key: &str| call[key].as_str().expect("a word").to_owned();
        let count = |key: &str| Some(call[key].as_u64().expect("a count"));
        let usage = Usage {
            input: count("input"),
            output: count("output"),
            cache_read: count("cacheRead"),
            cache_write: count("cacheWrite"),
        };
        Call { job: word("job"), provider: word("provider"), model: word("model"), usage }
    };
    let truth: Value = serde_json::from_str(&text("truth.json")).expect("a truth");
    let jobs = truth["jobs"].as_array().expect("jobs").iter();
    Recording {
        name: folder.file_name().expect("a name").to_string_lossy().into_owned(),
        state_dir: folder.join("state-dir"),
        calls: text("calls.jsonl").lines().map(call).collect(),
        jobs: jobs
            .map(|job| (job["jobId"].as_str().expect("an id").to_owned(), usd(&job["costUsd"])))
            .collect(),
        all: usd(&truth["everyCallUsd"]),
    }
}

fn recordings() -> (Fixture, Vec<Recording>) {
    let fixture = Fixture::unpack("prices/recorded");
    let mut folders: Vec<PathBuf> = fs::read_dir(fixture.path(""))
        .expect("recordings")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    folders.sort();
    let recordings = folders.iter().map(|folder| recording(folder)).collect();
    (fixture, recordings)
}

fn gateway(recording: &Recording) -> FoundPrices {
    let found = read_config_prices(&recording.state_dir.join("openclaw.json"));
    found.expect("prices can be read").expect("the file exists")
}

fn book(entries: impl IntoIterator<Item = PriceEntry>) -> PriceBook {
    PriceBook::new(entries, [], [])
}

fn sum(costs: impl Iterator<Item = Cost>) -> Cost {
    costs.reduce(|a, b| a.checked_add(b).expect("it fits")).unwrap_or_default()
}

/// Prices the calls of each job one by one.
fn by_job(recording: &Recording, book: &PriceBook) -> BTreeMap<String, Cost> {
    let mut lookups = book.lookups();
    let mut jobs: BTreeMap<String, Cost> = BTreeMap::new();
    for call in &recording.calls {
        let cost =
            lookups.cost(&call.provider, &call.model, NOW, &call.usage, Extent::Call).expect("it fits");
        jobs.entry(call.job.clone())
            .and_modify(|known| *known = known.checked_add(cost).expect("it fits"))
            .or_insert(cost);
    }
    jobs
}

#[test]
fn dollars_per_job_equal_the_provider_s_bill() {
    let (_fixture, recordings) = recordings();
    assert_eq!(recordings.len(), 8);
    let mut agents = 0;
    for recording in &recordings {
        let agent_files = agent_model_files(&recording.state_dir).expect("agents");
        let from_agents: Vec<FoundPrices> = agent_files
            .iter()
            .filter_map(|(agent, path)| read_agent_prices(path, agent).expect("prices can be read"))
            .collect();
        let gateway = gateway(recording);
        agents += from_agents.len();
        assert_eq!((gateway.entries.len(), gateway.left_out), (10, 0), "{}", recording.name);
        let mut books = vec![book(gateway.entries)];
        // What the gateway wrote for its agents prices the same without the configuration.
        books.extend(from_agents.into_iter().map(|found| book(found.entries)));
        for book in books {
            let costs = by_job(recording, &book);
            for (job, truth) in &recording.jobs {
                let cost = costs.get(job).copied();
                let (found, known) =
                    cost.map_or((ZERO, CostProvenance::Priced), |cost| (cost.usd, cost.provenance));
                assert_eq!((found, known), (*truth, CostProvenance::Priced), "{} {job}", recording.name);
            }
            let all = sum(costs.values().copied());
            assert_eq!(all.usd, recording.all, "{}", recording.name);
        }
    }
    assert_eq!(agents, 7, "recordings with a models.json");
}

#[test]
fn sums_of_calls_cost_what_the_calls_do_and_less_is_a_lower_bound() {
    let (_fixture, recordings) = recordings();
    for recording in &recordings {
        let book = book(gateway(recording).entries);
        let mut models: BTreeMap<(&str, &str, &str), Usage> = BTreeMap::new();
        for call in &recording.calls {
            let key = (call.job.as_str(), call.provider.as_str(), call.model.as_str());
            let none = Usage { input: Some(0), output: Some(0), cache_read: Some(0), cache_write: Some(0) };
            let usage = models.entry(key).or_insert(none);
            let add = |a: Option<u64>, b: Option<u64>| Some(a? + b?);
            usage.input = add(usage.input, call.usage.input);
            usage.output = add(usage.output, call.usage.output);
            usage.cache_read = add(usage.cache_read, call.usage.cache_read);
            usage.cache_write = add(usage.cache_write, call.usage.cache_write);
        }
        let mut lookups = book.lookups();
        let mut price = |hide_cache: bool| {
            sum(models.iter().map(|((_, provider, model), usage)| {
                let hidden = Usage { cache_read: None, cache_write: None, ..*usage };
                let usage = if hide_cache { &hidden } else { usage };
                lookups.cost(provider, model, NOW, usage, Extent::Sum).expect("it fits")
            }))
        };
        let whole = price(false);
        assert_eq!(
            (whole.usd, whole.provenance),
            (recording.all, CostProvenance::Priced),
            "{}",
            recording.name
        );
        let partial = price(true);
        assert_eq!(partial.provenance, CostProvenance::LowerBound);
        assert!(partial.usd < recording.all && partial.usd > ZERO, "{}: {partial:?}", recording.name);
    }
}

#[test]
fn tokens_without_a_price_are_named() {
    let (_fixture, recordings) = recordings();
    for recording in &recordings {
        let complete = gateway(recording).entries;
        let without: Vec<PriceEntry> =
            complete.iter().filter(|entry| entry.model != "mock-ok").cloned().collect();
        let mut costs = by_job(recording, &book(without));
        let before = costs.clone();
        for (job, cost) in &before {
            if cost.usd == ZERO {
                assert_eq!(cost.provenance, CostProvenance::Unpriced, "{} {job}", recording.name);
            }
        }
        let unpriced = before.values().filter(|cost| cost.provenance == CostProvenance::Unpriced).count();
        assert!(unpriced > 2, "{}: {before:?}", recording.name);
        // When the price turns up, the final figures are those of a price known from the beginning.
        for (job, cost) in by_job(recording, &book(complete)) {
            costs.insert(job, cost);
        }
        assert_eq!(sum(costs.into_values()).usd, recording.all);
    }
}

#[test]
fn nothing_secret_leaves_the_files() {
    let (_fixture, recordings) = recordings();
    for recording in &recordings {
        let path = recording.state_dir.join("openclaw.json");
        let text = fs::read_to_string(&path).expect("the configuration");
        assert!(SECRETS.iter().all(|secret| text.contains(secret)), "{}", recording.name);
        let found = gateway(recording);
        let billing = BillingDefaults::new([&found.providers]);
        for provider in ["mock", "mockbad", "mockant"] {
            assert_eq!(billing.of(provider), Billing::Metered, "{provider} has prices");
        }
        let mut emitted = format!("{found:?} {billing:?} {:?}", book(found.entries.clone()));
        // Half written at every length.
        for length in (0..text.len()).step_by(97) {
            fs::write(&path, &text[..length]).expect("half of the configuration");
            let error = read_config_prices(&path).expect_err("half a file");
            emitted.push_str(&format!("{error} {error:?}"));
        }
        fs::write(&path, text.replace("\"input\": 3,", "\"input\": \"sk-mock\",")).expect("a bad price");
        let bad = gateway(recording);
        assert!(bad.left_out > 5 && bad.entries.len() < found.entries.len());
        let notes: Vec<String> = bad.notes.iter().map(ToString::to_string).collect();
        emitted.push_str(&format!("{bad:?} {notes:?}"));
        for secret in SECRETS {
            assert!(!emitted.contains(secret), "{} in what {} emits", secret, recording.name);
        }
    }
}

#[test]
fn a_run_without_usage_has_no_cost_and_no_price_would_help() {
    let (_fixture, recordings) = recordings();
    let book = book(gateway(&recordings[0]).entries);
    let usage = Usage::default();
    assert_eq!(UsageProvenance::default(), UsageProvenance::None);
    for model in ["mock-ok", "no-such-model"] {
        let cost = book.lookups().cost("mock", model, NOW, &usage, Extent::Sum).expect("it fits");
        assert_eq!((cost.usd, cost.provenance), (ZERO, CostProvenance::None));
    }
}
