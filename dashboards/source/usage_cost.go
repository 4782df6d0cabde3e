package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// usageAndCost answers what the agents cost, and which job it is.
func usageAndCost() *dashboard.DashboardBuilder {
	builder := withUsage(frame(uidUsage, "OpenClaw Usage & Cost",
		"What scheduled runs cost, and which job it is. Every figure is exact to the token and the dollar's billionth, as `openclaw-usage report` gives it for the same window.",
		"now-7d")).
		WithVariable(dashboardGroups()).
		Annotation(restarts()).Annotation(reloads()).Annotation(priceChanges())
	builder = spending(builder)
	builder = whichJob(builder)
	builder = whatFor(builder)
	return howWellKnown(builder)
}

func dashboardGroups() *dashboard.CustomVariableBuilder {
	return choice("group_by", "Group by", "job", "openclaw_job_name", "model", "openclaw_model",
		"provider", "openclaw_provider", "agent", "openclaw_agent", "channel", "openclaw_channel")
}

// dollarsOf is a figure of dollars over a time of its own, whatever range is shown.
func dollarsOf(title, description, expression, from, shift string) cog.Builder[dashboard.Panel] {
	panel := one(title, description, usd, 4).Decimals(2).WithTarget(now(expression, "dollars")).HideTimeOverride(true)
	if from != "" {
		panel = panel.TimeFrom(from)
	}
	if shift != "" {
		panel = panel.TimeShift(shift)
	}
	return panel
}

func spending(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	total := sum(exactly(cost, wholeRange))
	const atLeast = " A part of it may be a lower bound: see the last row."
	return builder.
		WithPanel(dollarsOf("Today", "Cost since midnight in the dashboard's time zone."+atLeast, orZero(total), "now/d", "")).
		WithPanel(dollarsOf("Yesterday", "Cost from midnight to midnight in the dashboard's time zone."+atLeast, orZero(total), "now/d", "1d/d")).
		WithPanel(dollarsOf("Mean of 7 days", "Cost of the last seven days, divided by seven."+atLeast, orZero(total+" / 7"), "7d", "")).
		WithPanel(dollarsOf("30 days", "Cost of the last 30 days."+atLeast, orZero(total), "30d", "")).
		WithPanel(dollarsOf("Projected month", "Cost since the month began, carried on at the same pace to its end."+atLeast,
			orZero(total+" / $__range_s * 86400 * scalar(days_in_month())"), "now/M", "")).
		WithPanel(one("Without a price", "Share of all tokens in the ledger whose model has no price in any source: they are in no dollar figure. `openclaw-usage prices` names the models.", percent, 4).
			Decimals(1).Thresholds(steps(good, .001, fair, .05, bad)).
			WithTarget(now(fmt.Sprintf("(sum(%s) or 0 * sum(%s)) / sum(%s)",
				selector("openclaw_usage_unpriced_tokens", ofUsage), selector("openclaw_usage_build_info", ours), tokens), "share"))).
		WithPanel(bars("Cost over time", "Each bar is exactly what its interval cost.", usd, 16).Decimals(2).
			WithTarget(over(orNone(sum(inBar(cost), "$group_by"), "$group_by")+" > 0", "{{$group_by}}"))).
		WithPanel(gauges("Budgets", "How much of each budget is spent in its running period. Orange from 80 %, red from 100 %.", percent, 8).
			Decimals(0).Max(1).NoValue("no budget is configured: [[budget]]").
			Thresholds(steps(good, .8, fair, 1.0, bad)).
			WithTarget(now(fmt.Sprintf("%s / %s", selector("openclaw_usage_budget_spent_usd", ours), selector("openclaw_usage_budget_limit_usd", ours)),
				"{{openclaw_budget}} ({{openclaw_period}})")))
}

func whichJob(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	const name, id = "openclaw_job_name", "openclaw_job_id"
	perJob := func(series string) string { return sum(exactly(series, wholeRange), name, id) }
	table := sheet("Jobs by cost", "One row per job for the range that is shown. The dollars per successful run hold what failed runs cost as well. A click on a name shows its runs.", 24,
		column{field: "title", title: "Job", unit: "string", links: jobLink("Id")},
		column{field: id, title: "Id", unit: "string", hidden: true},
		column{field: "Value #cost", title: "Cost", unit: usd, decimals: 2, width: 260, cell: bar, limits: []any{plain}},
		column{field: "Value #change", title: "Against before", unit: usd, decimals: 2, width: 120, cell: coloured, limits: []any{good, .005, fair}},
		column{field: "Value #runs", title: "Runs", unit: count, width: 70},
		column{field: "Value #failed", title: "Failed", unit: percent, decimals: 1, width: 80, cell: coloured, limits: []any{"text", .05, fair, .2, bad}},
		column{field: "Value #per_run", title: "$/run", unit: usd, decimals: 4, width: 90},
		column{field: "Value #per_good", title: "$/successful run", unit: usd, decimals: 4, width: 140},
		column{field: "Value #tokens", title: "Tokens", unit: count, decimals: 1, width: 90},
		column{field: "Value #tokens_p50", title: "Tokens/run p50", unit: count, decimals: 1, width: 120},
		column{field: "Value #tokens_p95", title: "Tokens/run p95", unit: count, decimals: 1, width: 120},
		column{field: "Value #wasted", title: "Wasted", unit: usd, decimals: 2, width: 80},
	)
	tokensPerRun := func(quantile string) string {
		buckets := selector("openclaw_run_tokens_bucket", ofUsage)
		return fmt.Sprintf("histogram_quantile(%s, %s)", quantile, sum(grown(buckets), name, id, "le"))
	}
	return builder.WithRow(row("Which job")).WithPanel(table.Height(13).
		SortBy([]cog.Builder[common.TableSortByFieldState]{common.NewTableSortByFieldStateBuilder().DisplayName("Cost").Desc(true)}).
		WithTarget(rows("cost", perJob(cost))).
		WithTarget(rows("change", perJob(cost)+" - ("+before(perJob(cost))+" or 0 * "+sum("last_over_time("+cost+"[1d])", name, id)+")")).
		WithTarget(rows("runs", perJob(runs))).
		WithTarget(rows("failed", "1 - "+perJob(goodRuns)+" / "+perJob(runs))).
		WithTarget(rows("per_run", perJob(cost)+" / "+perJob(runs))).
		WithTarget(rows("per_good", perJob(cost)+" / "+perJob(goodRuns))).
		WithTarget(rows("tokens", perJob(tokens))).
		WithTarget(rows("tokens_p50", tokensPerRun("0.5"))).
		WithTarget(rows("tokens_p95", tokensPerRun("0.95"))).
		WithTarget(rows("wasted", perJob(wasted))))
}

func whatFor(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	kind := func(kind string) string {
		return sum(exactly(selector("openclaw_tokens_total", ofUsage, `openclaw_token="`+kind+`"`), wholeRange))
	}
	// What tokens read from the cache would have cost as input, less what they did cost.
	rate := func(kind string) string {
		return "max by (openclaw_provider, openclaw_model) (" + selector("openclaw_usage_price_usd_per_million", ours, `openclaw_token="`+kind+`"`) + ")"
	}
	read := sum(exactly(selector("openclaw_tokens_total", ofUsage, `openclaw_token="cache_read"`), wholeRange), "openclaw_provider", "openclaw_model")
	saved := fmt.Sprintf("sum(%s / 1e6 * (%s - %s))", read, rate("input"), rate("cache_read"))
	return builder.WithRow(row("What for")).
		WithPanel(meant(bars("Tokens by kind", "The four kinds are disjoint: input is what was not read from the cache.", count, 9).Decimals(1), kinds).
			WithTarget(over(sum(inBar(tokens), "openclaw_token")+" > 0", "{{openclaw_token}}"))).
		WithPanel(meant(bars("Metered and subscription dollars", "Metered dollars are on a bill. Subscription dollars are what the same tokens would cost by the price list: what the subscription is worth.", usd, 7).Decimals(2), billings).
			WithTarget(over(sum(inBar(cost), "openclaw_billing")+" > 0", "{{openclaw_billing}}"))).
		WithPanel(one("Read from the cache", "Share of prompt tokens that were read from the provider's cache.", percent, 4).Height(9).Decimals(1).
			WithTarget(now(fmt.Sprintf("%s / (%s + %s + %s)", kind("cache_read"), kind("cache_read"), kind("input"), kind("cache_write")), "share"))).
		WithPanel(one("Saved by the cache", "What tokens read from the cache would have cost as input at today's prices, less what they cost. Writing to the cache is not taken off.", usd, 4).Height(9).Decimals(2).
			WithTarget(now(orZero(saved), "dollars")))
}

func howWellKnown(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	known := selector("openclaw_usage_cost_usd", ours)
	return builder.WithRow(row("How well it is known")).
		WithPanel(gauges("Dollars by how they are known", "recorded: the gateway's own reckoning of each call. priced: the price book times complete usage. lower_bound: a part of the usage or of the price is not known. Of everything in the ledger.", usd, 8).
			Decimals(2).WithTarget(now(sum(known, "openclaw_provenance"), "{{openclaw_provenance}}"))).
		WithPanel(gauges("Tokens without a price", "Models whose tokens are in no dollar figure. A price that turns up prices them as well.", count, 8).
			Decimals(1).NoValue("every model has a price").Thresholds(steps(fair)).
			WithTarget(now(sum(selector("openclaw_usage_unpriced_tokens", ofUsage), "openclaw_provider", "openclaw_model")+" > 0", "{{openclaw_provider}}/{{openclaw_model}}"))).
		WithPanel(gauges("Runs by how their usage is known", "transcript: every model call of the run. record: the run's record has all four kinds. derived, partial: it does not. none: nothing is known.", count, 8).
			Decimals(0).WithTarget(now(sum(selector("openclaw_usage_runs", ours), "openclaw_provenance"), "{{openclaw_provenance}}")))
}
