//! Charges: made once, never changed by another price, made up for when a price comes late.

use super::calls::call;
use super::*;
use crate::model::{BilledCall, Billing, NanoUsd, Priceable, TokenKind};

/// Rates in 10^-12 USD a token, in the order of [`TokenKind::ALL`].
type Rates = [Option<i64>; 4];

/// No multiple of a nano-USD, so that what is rounded together differs from what is rounded apart.
const RATES: Rates = [Some(2_700), Some(11_300), Some(333), Some(4_100)];

/// Charges like a price book: see `price::cost`.
fn prices(of: impl Fn(&str) -> Option<Rates> + Send + Sync + 'static) -> Pricing {
    Arc::new(move |asked: Priceable<'_>| {
        let cost = |provenance, pico: i64| {
            let usd = NanoUsd(pico / 1_000 + i64::from(pico % 1_000 >= 500));
            Charge { cost: Cost { usd, provenance }, ..Charge::default() }
        };
        if asked.usage == &Usage::default() {
            return cost(CostProvenance::None, 0);
        }
        let Some(rates) = of(asked.model) else { return cost(CostProvenance::Unpriced, 0) };
        let (mut pico, mut complete) = (0, true);
        for (kind, rate) in TokenKind::ALL.into_iter().zip(rates) {
            let tokens = asked.usage.get(kind);
            complete &= tokens == Some(0) || tokens.and(rate).is_some() || rate == Some(0);
            pico += i64::try_from(tokens.unwrap_or(0)).unwrap() * rate.unwrap_or(0);
        }
        cost(if complete { CostProvenance::Priced } else { CostProvenance::LowerBound }, pico)
    })
}

fn none() -> Pricing {
    prices(|_| None)
}

fn all(rates: Rates) -> Pricing {
    prices(move |_| Some(rates))
}

/// What a usage comes to at [`RATES`], rounded once.
fn at_rates(tokens: [u64; 4]) -> u64 {
    let rates = RATES.map(|rate| u64::try_from(rate.unwrap()).unwrap());
    let pico: u64 = tokens.iter().zip(rates).map(|(tokens, rate)| tokens * rate).sum();
    pico / 1_000 + u64::from(pico % 1_000 >= 500)
}

fn unpriced(key: u64, seconds: i64) -> BilledCall {
    BilledCall { recorded: None, ..call(key, "a", 0, seconds) }
}

/// What outlives this process, without what there is to tell of sources.
fn counted(totals: Totals) -> Totals {
    let mut totals = lasting(totals);
    totals.counters.sources.clear();
    totals
}

impl Bench {
    fn at(prices: Pricing) -> Self {
        let mut bench = Self::new();
        bench.price(prices);
        bench
    }

    /// Prices from now on like this, as after a change of the gateway's configuration.
    fn price(&mut self, prices: Pricing) {
        let now = self.now;
        self.ledger().set_pricing(prices);
        self.ledger().price_unpriced(now).unwrap();
    }

    /// True and exported dollars in nano-USD.
    fn cost(&self) -> (u64, u64) {
        self.sum(SeriesKind::Cost(Billing::Metered))
    }

    /// Nano-USD by provenance.
    fn known(&self, provenance: CostProvenance) -> u64 {
        self.totals().counters.cost.get(&provenance).copied().unwrap_or(0)
    }

    fn unpriced_tokens(&self) -> u64 {
        self.sum(SeriesKind::Unpriced).0
    }

    fn spent(&mut self) -> i64 {
        let spent = self.ledger().spent_between(T0.plus(-MINUTE_MS), T0.plus(60 * MINUTE_MS)).unwrap();
        spent.iter().map(|spent| spent.nano_usd).sum()
    }

    /// Sums of parts are the whole, in memory, in rows and after opening the ledger again.
    fn adds_up(&mut self) {
        let (cost, totals) = (self.cost().0, counted(self.totals()));
        let by_provenance: u64 = totals.counters.cost.values().sum();
        assert_eq!(by_provenance, cost, "by provenance");
        assert_eq!(self.spent(), i64::try_from(cost).unwrap(), "by rows");
        let wasted =
            [Status::Error, Status::Unrecorded].map(|status| self.sum(SeriesKind::WastedCost(status)).0);
        assert!(wasted.iter().sum::<u64>() <= cost, "{wasted:?} of {cost}");
        let prices = std::mem::replace(&mut self.ledger().pricing, none());
        self.reopen();
        self.ledger().set_pricing(prices);
        assert_eq!(counted(self.totals()), totals, "opened again");
    }
}

#[test]
fn a_record_is_charged_when_it_comes_and_anew_when_it_is_known_better() {
    let mut bench = Bench::at(all(RATES));
    bench.apply(vec![run("a", 0)]);
    let partial = at_rates([1_000, 20, 0, 0]);
    assert_eq!((bench.cost(), bench.known(CostProvenance::LowerBound)), ((partial, partial), partial));
    assert_eq!(bench.unpriced_tokens(), 0, "part of it has a price");
    // Another price changes nothing of it, nor does the same record.
    bench.price(all([Some(9_000); 4]));
    assert_eq!(bench.outcome(run("a", 0)), Outcome::Duplicate);
    assert_eq!(bench.cost(), (partial, partial));
    bench.price(all(RATES));
    let usage = Usage { cache_read: Some(300), cache_write: Some(7), ..run("a", 0).usage };
    let better = Run { usage, provenance: UsageProvenance::Record, ..run("a", 0) };
    assert_eq!(bench.outcome(better.clone()), Outcome::Updated);
    let whole = at_rates([1_000, 20, 300, 7]);
    assert_eq!((bench.cost().0, bench.known(CostProvenance::Priced)), (whole, whole));
    assert_eq!(bench.known(CostProvenance::LowerBound), 0);
    bench.adds_up();
    assert_eq!(bench.outcome(better), Outcome::Duplicate);
    assert_eq!(bench.cost().0, whole);
}

#[test]
fn what_the_gateway_recorded_wins_unless_it_lacked_a_rate() {
    let no_cache = [RATES[0], RATES[1], None, None];
    let bound = at_rates([500, 10, 0, 0]);
    for (prices, recorded, expected, provenance) in [
        (all(RATES), Some(1_234_567), 1_234_567, CostProvenance::Recorded),
        (none(), Some(1_234_567), 1_234_567, CostProvenance::Recorded),
        // What the gateway reckoned had no rate for the cache either, or it had: whichever is more.
        (all(no_cache), Some(1_234_567), 1_234_567, CostProvenance::LowerBound),
        (all(no_cache), Some(5), bound, CostProvenance::LowerBound),
        // 0 is what it writes for a model that is free, and for one that it knows no price of.
        (all([Some(0); 4]), Some(0), 0, CostProvenance::Priced),
        (all(RATES), Some(0), at_rates([500, 10, 300, 7]), CostProvenance::Priced),
        (all(RATES), None, at_rates([500, 10, 300, 7]), CostProvenance::Priced),
        (none(), Some(0), 0, CostProvenance::Unpriced),
        (none(), None, 0, CostProvenance::Unpriced),
    ] {
        let mut bench = Bench::at(prices);
        bench.calls(vec![BilledCall { recorded: recorded.map(NanoUsd), ..call(1, "a", 0, 1) }]);
        let name = format!("{recorded:?} {provenance:?}");
        assert_eq!(bench.cost().0, expected, "{name}");
        assert_eq!(bench.known(provenance), expected, "{name}");
        let without = if provenance == CostProvenance::Unpriced { 817 } else { 0 };
        assert_eq!(bench.unpriced_tokens(), without, "{name}");
        bench.adds_up();
    }
}

#[test]
fn a_price_that_turns_up_prices_what_had_none_and_only_that() {
    let mut bench = Bench::at(prices(|model| (model == "mock-1").then_some(RATES)));
    let other = |run: Run| Run { model: Some("other".into()), ..run };
    let asked = |key, seconds| BilledCall { model: Some("other".into()), ..unpriced(key, seconds) };
    bench.apply(vec![run("a", 0), run("b", 0), other(run("c", 0))]);
    // Under the run's own labels, and under others.
    bench.calls(vec![unpriced(1, 1), unpriced(2, 2), asked(3, 3), asked(4, 4)]);
    let calls = 2 * at_rates([500, 10, 300, 7]);
    let told = at_rates([1_000, 20, 0, 0]);
    assert_eq!((bench.cost().0, bench.unpriced_tokens()), (calls + told, 1_020 + 2 * 817));
    bench.adds_up();

    // The price of the others; the one that was there has doubled since.
    let doubled = RATES.map(|rate| rate.map(|rate| 2 * rate));
    let later = move |model: &str| Some(if model == "other" { RATES } else { doubled });
    bench.price(prices(later));
    let after = 2 * calls + 2 * told;
    assert_eq!((bench.cost(), bench.unpriced_tokens()), ((after, after), 0));
    bench.adds_up();
    // A third price, or none, finds nothing to do.
    bench.price(all([Some(1); 4]));
    bench.price(none());
    assert_eq!((bench.cost().0, bench.unpriced_tokens()), (after, 0));
    let fold_at = T0.plus(400 * 86_400_000);
    bench.ledger().fold(fold_at).unwrap();
    let folded = Connection::open(bench.path()).unwrap();
    let sum: i64 = folded.query_row("SELECT sum(cost) FROM daily", [], |row| row.get(0)).unwrap();
    assert_eq!((sum.cast_unsigned(), bench.cost().0), (after, after), "folding keeps what was spent");
    let left: i64 = folded.query_row("SELECT count(*) FROM unpriced_call", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[test]
fn calls_that_move_take_their_charge_along() {
    let to = |minute, call: BilledCall| BilledCall {
        run: RunKey { job_id: "a".into(), at: RunAt::Started(T0.plus(minute * MINUTE_MS)) },
        ..call
    };
    // Priced when they came, priced late, and not priced at all before they move.
    for (first, late) in [(all(RATES), None), (none(), Some(all(RATES))), (none(), None)] {
        let is_priced = at_rates([1; 4]) > 0 && (late.is_some() || first(probe()).cost.usd > NanoUsd::ZERO);
        let mut bench = Bench::at(first);
        bench.calls(vec![unpriced(1, 61), unpriced(2, 62)].into_iter().map(|call| to(1, call)).collect());
        late.into_iter().for_each(|late| bench.price(late));
        let cost = bench.cost().0;
        assert_eq!(cost, if is_priced { 2 * at_rates([500, 10, 300, 7]) } else { 0 });
        // Renamed meanwhile, and dearer: what was charged stays what it was.
        if is_priced {
            bench.price(all([Some(99_999); 4]));
        }
        bench.apply(vec![Run { job_name: Some("another name".into()), ..run("a", 0) }]);
        let of_record = bench.cost().0 - cost;
        bench.calls(vec![to(0, unpriced(1, 61))]);
        bench.adds_up();
        assert_eq!(bench.cost().0, cost / 2 + of_record, "one of them waits until both cover the record");
        bench.calls(vec![to(0, unpriced(2, 62))]);
        assert_eq!(bench.cost().0, cost, "in the place of the record");
        assert_eq!(bench.summary().runs, 1);
        bench.adds_up();
        if !is_priced {
            assert_eq!(bench.unpriced_tokens(), 2 * 817);
            bench.price(all(RATES));
            assert_eq!(bench.cost().0, 2 * at_rates([500, 10, 300, 7]), "where they are now");
            assert_eq!(bench.unpriced_tokens(), 0);
            bench.adds_up();
        }
    }
}

/// One token of each kind.
fn probe() -> Priceable<'static> {
    const USAGE: Usage = Usage { input: Some(1), output: Some(1), cache_read: Some(1), cache_write: Some(1) };
    Priceable { provider: "mock", model: "mock-1", at: T0, usage: &USAGE, one_call: true }
}

/// The price, records and calls of two runs in every order: the figures at the end are the same.
#[test]
fn the_order_of_arrival_does_not_matter() {
    let further = |key| BilledCall { model: Some("other".into()), ..unpriced(key, 3) };
    let arrivals = || -> Vec<(Vec<Run>, Vec<BilledCall>)> {
        let billed = [
            unpriced(1, 1),
            unpriced(2, 2),
            further(3),
            BilledCall { tokens: [7, 1, 0, 3], ..unpriced(4, 4) },
            call(5, "a", 0, 5),
            // The run that it seems to be at first is not its own: see below.
            BilledCall { run: run("b", 5).key, ..unpriced(6, 6) },
        ];
        let calls = billed.into_iter().map(|call| (Vec::new(), vec![call]));
        calls.chain([(vec![run("a", 0)], Vec::new()), (vec![failed("b", 5)], Vec::new())]).collect()
    };
    let mut expected = None;
    let mut random = fastrand::Rng::with_seed(6);
    for round in 0..60 {
        let mut bench = Bench::at(none());
        let mut arrivals = arrivals();
        random.shuffle(&mut arrivals);
        let (price_at, mut exported) = (random.usize(..=arrivals.len()), 0);
        for at in 0..=arrivals.len() {
            if at == price_at {
                bench.price(all(RATES));
            }
            let Some((runs, calls)) = arrivals.get(at).cloned() else { continue };
            bench.apply(runs);
            // Some are read twice.
            (0..=random.u8(..2)).for_each(|_| bench.calls(calls.clone()));
            assert!(bench.cost().1 >= exported, "what is exported fell in round {round}");
            exported = bench.cost().1;
        }
        bench.adds_up();
        let figures = (
            bench.cost().0,
            bench.unpriced_tokens(),
            [CostProvenance::Recorded, CostProvenance::Priced, CostProvenance::LowerBound]
                .map(|known| bench.known(known)),
            bench.tokens(),
        );
        let first = expected.get_or_insert(figures);
        assert_eq!(&figures, first, "round {round}: price at {price_at} of {arrivals:?}");
    }
    let usual = at_rates([500, 10, 300, 7]);
    let (cost, unpriced, ..) = expected.unwrap();
    assert_eq!((cost, unpriced), (4 * usual + at_rates([7, 1, 0, 3]) + 1_000, 0));
}

#[test]
fn what_is_exported_never_falls() {
    let mut bench = Bench::at(all([Some(1_000_000); 4]));
    bench.apply(vec![run("a", 0)]);
    let before = bench.cost();
    // The calls cover the record, and cost less by the gateway's own account.
    bench.calls(vec![call(1, "a", 0, 1), call(2, "a", 0, 2)]);
    assert_eq!(bench.cost(), (2_000, before.1));
    assert_eq!(bench.totals().excess_nano_usd(), before.1 - 2_000, "the correction shows");
    bench.adds_up();
    // Growth is absorbed until the truth has caught up.
    bench.calls(vec![BilledCall { recorded: Some(NanoUsd(9_000_000_000)), ..call(3, "a", 0, 3) }]);
    assert_eq!(bench.cost(), (9_000_002_000, 9_000_002_000));
    assert_eq!(bench.totals().excess_nano_usd(), 0, "and is gone");
}

#[test]
fn spending_follows_the_start_of_the_run() {
    let mut bench = Bench::at(all(RATES));
    bench.apply((0..6).map(|minute| run("a", minute)).chain([run("b", 3)]).collect());
    bench.calls(vec![BilledCall { model: Some("other".into()), ..call(1, "a", 2, 70) }]);
    bench.calls(vec![call(2, "a", 2, 1), call(3, "a", 2, 2)]);
    let one = i64::try_from(at_rates([1_000, 20, 0, 0])).unwrap();
    for (from, until, expected) in
        [(0, 6, 6 * one + 3_000), (2, 3, 3_000), (3, 4, 2 * one), (0, 2, 2 * one), (3, 3, 0), (6, 9, 0)]
    {
        let at = |minute: i64| T0.plus(minute * MINUTE_MS);
        let spent = bench.ledger().spent_between(at(from), at(until)).unwrap();
        let sum: i64 = spent.iter().map(|spent| spent.nano_usd).sum();
        assert_eq!(sum, expected, "minutes {from} to {until}");
    }
    // What is handed out as it is spent comes to the same.
    let (moves, overflowed) = bench.ledger().take_spent();
    assert!(!overflowed);
    assert_eq!(moves.iter().map(|spent| spent.nano_usd).sum::<i64>(), 6 * one + 3_000);
    assert_eq!(bench.ledger().take_spent().0, []);
}
