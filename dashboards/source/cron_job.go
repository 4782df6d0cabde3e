package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
)

// cronJob shows one job: its runs, what they cost, and what went wrong.
func cronJob() *dashboard.DashboardBuilder {
	builder := frame(uidJob, "OpenClaw Cron Job", "One scheduled job: its runs, what they used and cost, and what went wrong.", "now-24h").
		WithVariable(dataSource(eventsSource)).
		WithVariable(oneJob()).
		Annotation(restarts())
	builder = standing(builder)
	return history(builder)
}

// ofJob chooses the one job by its id, which needs no escapes, whatever its name is.
const ofJob = ours + `, openclaw_job_id="$cron_job"`

// oneJob is a variable of every job that has runs in the range, by name; its value is the job's id.
func oneJob() *dashboard.QueryVariableBuilder {
	named := "max by (openclaw_job_id, title) (" + titled("last_over_time("+selector("openclaw_cron_runs_total", ours)+"[$__range])") + ")"
	return labelValues("cron_job", "Job", "", "").Multi(false).IncludeAll(false).AllValue("").
		Query(dashboard.StringOrMap{Map: map[string]any{"query": "query_result(" + named + ")", "refId": "cron_job"}}).
		Definition("query_result(" + named + ")").
		Regex(`/openclaw_job_id="(?<value>[^"]+)",title="(?<text>[\s\S]*)"}/`)
}

func standing(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	lost := selector("openclaw_cron_wasted_tokens_total", ofJob)
	ran, fine := selector("openclaw_cron_runs_total", ofJob), selector("openclaw_cron_runs_total", ofJob, `openclaw_status="ok"`)
	spent := selector("openclaw_cost_usd_total", ofJob)
	when := func(metric string) string { return "1000 * max(" + selector(metric, ofJob) + ")" }
	return builder.
		WithPanel(one("Cost", "Exact cost of the range that is shown.", usd, 3).Decimals(2).WithTarget(now(orZero(sum(exactly(spent, wholeRange))), "dollars"))).
		WithPanel(one("Runs", "Finished runs in the range that is shown.", count, 3).Decimals(0).WithTarget(now(orZero(sum(exactly(ran, wholeRange))), "runs"))).
		WithPanel(one("Succeeded", "Share of them that succeeded.", percent, 3).Decimals(1).Thresholds(steps(bad, .9, fair, .99, good)).
			WithTarget(now(fmt.Sprintf("(%s or 0 * %s) / %s", sum(exactly(fine, wholeRange)), sum(exactly(ran, wholeRange)), sum(exactly(ran, wholeRange))), "share"))).
		WithPanel(one("Failed in a row", "Failed runs since the last successful one.", count, 3).Decimals(0).Thresholds(steps(good, 1.0, fair, 3.0, bad)).
			WithTarget(now("max("+selector("openclaw_cron_job_consecutive_errors", ofJob)+")", "runs"))).
		WithPanel(one("Wasted", "Tokens of runs that ended in an error or were never recorded, in the range that is shown.", count, 3).Thresholds(steps(good, 1.0, fair)).
			WithTarget(now(orZero(sum(exactly(lost, wholeRange))), "tokens"))).
		WithPanel(one("Last run", "When the newest run started.", ago, 3).WithTarget(now(when("openclaw_cron_job_last_run_timestamp_seconds"), "last"))).
		WithPanel(one("Last success", "When the newest successful run started.", ago, 3).NoValue("never").WithTarget(now(when("openclaw_cron_job_last_success_timestamp_seconds"), "last success"))).
		WithPanel(one("Next run", "When the scheduler means to run it next.", ago, 3).NoValue("not scheduled").
			WithTarget(now(when("openclaw_cron_job_next_run_timestamp_seconds"), "next")))
}

// bands has a band per status, in the colour of it where runs ended so.
func bands() *statetimeline.PanelBuilder {
	panel := timeline("Runs by status", "A band per status, coloured where runs ended in it.", 24).Height(6).Interval("5m").
		Legend(common.NewVizLegendOptionsBuilder().ShowLegend(false).DisplayMode(common.LegendDisplayModeHidden).Placement(common.LegendPlacementBottom))
	for _, status := range statuses {
		limits, _ := steps("transparent", 1.0, status.colour).Build()
		panel = panel.OverrideByName(status.name, []dashboard.DynamicConfigValue{{Id: "thresholds", Value: limits}})
	}
	return panel
}

func history(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	perRun := func(metric string) string {
		number := sum(inBar(selector("openclaw_cron_runs_total", ofJob)))
		return sum(inBar(selector(metric, ofJob))) + " / (" + number + " > 0)"
	}
	mean := sum(inBar(selector("openclaw_run_duration_ms_milliseconds_sum", ofJob))) + " / (" +
		sum(inBar(selector("openclaw_run_duration_ms_milliseconds_count", ofJob))) + " > 0)"
	by := func(metric, label string) string {
		return sum(inBar(selector(metric, ofJob)), label) + " > 0"
	}
	return builder.WithRow(row("Runs")).
		WithPanel(bands().
			WithTarget(over(sum(inBar(selector("openclaw_cron_runs_total", ofJob)), "openclaw_status"), "{{openclaw_status}}"))).
		WithPanel(means("Duration", "Mean duration of the runs of each interval.", ms, 8).WithTarget(over(mean, "mean"))).
		WithPanel(means("Tokens per run", "Mean tokens of the runs of each interval.", count, 8).Decimals(1).
			WithTarget(over(perRun("openclaw_tokens_total"), "tokens per run"))).
		WithPanel(means("Cost per run", "Mean cost of the runs of each interval.", usd, 8).Decimals(4).
			WithTarget(over(perRun("openclaw_cost_usd_total"), "dollars per run"))).
		WithRow(row("What went wrong")).
		WithPanel(level("Failed in a row", "Failed runs since the last successful one, over time.", 8).
			WithTarget(over("max("+selector("openclaw_cron_job_consecutive_errors", ofJob)+")", "failed runs"))).
		WithPanel(faults("Reasons", "Why runs did not end well, from a closed list.", 8).NoValue("no failed run").
			WithTarget(over(sum(inBar(selector("openclaw_cron_runs_total", ofJob, `openclaw_status!="ok"`)), "openclaw_reason")+" > 0", "{{openclaw_reason}}"))).
		WithPanel(meant(bars("Webhook outcomes", "What became of this job's webhooks, as far as the gateway's version lets it be known.", count, 8).Decimals(0).NoValue("no delivery"), outcomes).
			WithTarget(over(by("openclaw_cron_webhook_deliveries_total", "openclaw_outcome"), "{{openclaw_outcome}}"))).
		WithPanel(lines("Events", "What this exporter tells of the job: a line per run and per warning of the scheduler.", 24).NoValue(needsEvents).
			WithTarget(events(stream+` | openclaw_job_id="$cron_job"`, "")))
}
