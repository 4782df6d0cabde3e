package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// cronJob shows one job: its runs, what they cost, and what went wrong.
func cronJob() *dashboard.DashboardBuilder {
	builder := frame(uidJob, "OpenClaw Cron Job", "One scheduled job: its runs, what they used and cost, and what went wrong.", "now-24h").
		WithVariable(dataSource(eventsSource)).
		WithVariable(labelValues("cron_job", "Job", "openclaw_tokens_total{"+ours+"}", "openclaw_job_name").
			Multi(false).IncludeAll(false).AllValue("")).
		Annotation(restarts())
	builder = standing(builder)
	return history(builder)
}

// ofJob chooses the one job by its exact name: Grafana does not escape a single value for a regular expression.
const ofJob = ours + `, openclaw_job_name="$cron_job"`

func standing(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	ran, fine := selector("openclaw_cron_runs_total", ofJob), selector("openclaw_cron_runs_total", ofJob, `openclaw_status="ok"`)
	spent := selector("openclaw_cost_usd_total", ofJob)
	when := func(metric string) string { return "1000 * max(" + selector(metric, ofJob) + ")" }
	return builder.
		WithPanel(one("Cost", "Exact cost of the range that is shown.", usd, 4).Decimals(2).WithTarget(now(orZero(sum(exactly(spent, wholeRange))), "dollars"))).
		WithPanel(one("Runs", "Finished runs in the range that is shown.", count, 4).Decimals(0).WithTarget(now(orZero(sum(exactly(ran, wholeRange))), "runs"))).
		WithPanel(one("Succeeded", "Share of them that succeeded.", percent, 4).Decimals(1).Thresholds(steps(bad, .9, fair, .99, good)).
			WithTarget(now(fmt.Sprintf("(%s or 0 * %s) / %s", sum(exactly(fine, wholeRange)), sum(exactly(ran, wholeRange)), sum(exactly(ran, wholeRange))), "share"))).
		WithPanel(one("Failed in a row", "Failed runs since the last successful one.", count, 4).Decimals(0).Thresholds(steps(good, 1.0, fair, 3.0, bad)).
			WithTarget(now("max("+selector("openclaw_cron_job_consecutive_errors", ofJob)+")", "runs"))).
		WithPanel(one("Last run", "When the newest run started.", ago, 4).WithTarget(now(when("openclaw_cron_job_last_run_timestamp_seconds"), "last"))).
		WithPanel(one("Next run", "When the scheduler means to run it next.", ago, 4).NoValue("not scheduled").
			WithTarget(now(when("openclaw_cron_job_next_run_timestamp_seconds"), "next")))
}

func history(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	perRun := func(metric string) string {
		number := sum(exactly(selector("openclaw_cron_runs_total", ofJob), perBar))
		return sum(exactly(selector(metric, ofJob), perBar)) + " / (" + number + " > 0)"
	}
	mean := sum(exactly(selector("openclaw_run_duration_ms_milliseconds_sum", ofJob), perBar)) + " / (" +
		sum(exactly(selector("openclaw_run_duration_ms_milliseconds_count", ofJob), perBar)) + " > 0)"
	by := func(metric, label string) string {
		return sum(exactly(selector(metric, ofJob), perBar), label) + " > 0"
	}
	return builder.WithRow(row("Runs")).
		WithPanel(timeline("Runs by status", "A band per status, coloured where runs ended in it.", 24).Height(6).Interval("5m").
			Thresholds(steps("transparent", 1.0, plain)).
			WithTarget(over(sum(exactly(selector("openclaw_cron_runs_total", ofJob), perBar), "openclaw_status"), "{{openclaw_status}}"))).
		WithPanel(graph("Duration", "Mean duration of the runs of each interval.", ms, 8).Interval("5m").WithTarget(over(mean, "mean"))).
		WithPanel(bars("Tokens per run", "Mean tokens of the runs of each interval.", count, 8).Interval("5m").Decimals(1).
			WithTarget(over(perRun("openclaw_tokens_total"), "tokens per run"))).
		WithPanel(bars("Cost per run", "Mean cost of the runs of each interval.", usd, 8).Interval("5m").Decimals(4).
			WithTarget(over(perRun("openclaw_cost_usd_total"), "dollars per run"))).
		WithRow(row("What went wrong")).
		WithPanel(graph("Failed in a row", "Failed runs since the last successful one, over time.", count, 8).Decimals(0).
			WithTarget(over("max("+selector("openclaw_cron_job_consecutive_errors", ofJob)+")", "failed runs"))).
		WithPanel(bars("Reasons", "Why runs did not end well, from a closed list.", count, 8).Decimals(0).NoValue("no failed run").
			WithTarget(over(sum(exactly(selector("openclaw_cron_runs_total", ofJob, `openclaw_status!="ok"`), perBar), "openclaw_reason")+" > 0", "{{openclaw_reason}}"))).
		WithPanel(bars("Webhook outcomes", "What became of this job's webhooks, as far as the gateway's version lets it be known.", count, 8).Decimals(0).NoValue("no delivery").
			WithTarget(over(by("openclaw_cron_webhook_deliveries_total", "openclaw_outcome"), "{{openclaw_outcome}}"))).
		WithPanel(lines("Events", "What this exporter tells of the job: a line per run and per warning of the scheduler.", 24).NoValue(needsEvents).
			WithTarget(events(stream+` | openclaw_job_name="$cron_job"`, "")))
}
