package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// What the gateway's own plugin sends and this exporter cannot know; shown in place of an empty graph.
const (
	needsPlugin = "not sent: enable diagnostics.otel in openclaw.json (plugin diagnostics-otel) and let it push to this Prometheus"
	needsEvents = "no events: start serve with --events, or let it push logs to Loki"
	// One of the two sends a family at a time, by the variable: both count the same runs.
	ofSource = `job=~"$source", instance=~"$instance"`
)

// applicationMetrics is what operators of OpenClaw plan to see of their gateway.
func applicationMetrics() *dashboard.DashboardBuilder {
	builder := frame(uidApplication, "OpenClaw Application Metrics",
		"Tokens, runs, jobs, messages and sessions of OpenClaw gateways. Where the gateway's own plugin and this exporter both send a family, the variable Source says whose is shown; they are never added up.",
		"now-24h").
		WithVariable(dataSource(eventsSource)).
		WithVariable(labelValues("source", "Source", "openclaw_tokens_total", "job").Multi(false).IncludeAll(false).
			AllValue("").Current(chosen("openclaw-usage"))).
		Annotation(restarts())
	builder = tokenUsage(builder)
	builder = agentRuns(builder)
	builder = cronJobs(builder)
	builder = messages(builder)
	return sessions(builder)
}

func tokenUsage(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	used := selector("openclaw_tokens_total", ofSource, `openclaw_token=~"input|output|cache_read|cache_write"`)
	in := selector("openclaw_tokens_total", ofSource, `openclaw_token=~"input|output"`)
	spent := selector("openclaw_cost_usd_total", ofSource)
	return builder.WithRow(row("Token Usage")).
		WithPanel(bars("Total tokens over time", "Tokens of all four kinds, by model. Each bar is exactly what its interval used.", count, 8).Decimals(1).
			WithTarget(over(orNone(sum(inBar(used), "openclaw_model"), "openclaw_model")+" > 0", "{{openclaw_model}}"))).
		WithPanel(meant(bars("Input vs output", "Tokens sent to models without those read from the cache, against tokens that they answered.", count, 8).Decimals(1), kinds).
			WithTarget(over(sum(inBar(in), "openclaw_token")+" > 0", "{{openclaw_token}}"))).
		WithPanel(bars("Estimated cost (USD)", "Dollars by model, as far as prices are known; the dashboard Usage & Cost says how well.", usd, 8).Decimals(2).
			WithTarget(over(orNone(sum(inBar(spent), "openclaw_model"), "openclaw_model")+" > 0", "{{openclaw_model}}")))
}

func agentRuns(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	durations := selector("openclaw_run_duration_ms_milliseconds_bucket", ofSource)
	quantile := func(q string) string {
		return fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(%s[$__rate_interval])))", q, durations)
	}
	// Both families count runs: the exporter's counter, and where only the plugin is, its histogram.
	counted := selector("openclaw_run_duration_ms_milliseconds_count", ofSource)
	context := func(kind string) string {
		sums := selector("openclaw_context_tokens_sum", ofSource, `openclaw_context="`+kind+`"`)
		return sum("rate("+sums+"[$__rate_interval])", "openclaw_model")
	}
	return builder.WithRow(row("Agent Runs")).
		WithPanel(meant(graph("Run duration p50, p95, p99", "How long runs took, by the buckets of a histogram: a quantile lies within its bucket.", ms, 8).Interval("5m").MaxDataPoints(300), quantiles).
			WithTarget(over(quantile("0.5"), "p50")).WithTarget(over(quantile("0.95"), "p95")).WithTarget(over(quantile("0.99"), "p99"))).
		WithPanel(bars("Run count by model", "Finished runs by the model that ran them.", count, 8).Decimals(0).
			WithTarget(over(orNone(sum(inBar(counted), "openclaw_model"), "openclaw_model")+" > 0", "{{openclaw_model}}"))).
		WithPanel(means("Context window utilisation", "Mean share of the model's context that the newest call of a run filled.", percent, 8).Max(1).
			WithTarget(over(context("used")+" / "+context("limit"), "{{openclaw_model}}")))
}

func cronJobs(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	finished := selector("openclaw_cron_runs_total", ours)
	delivered := selector("openclaw_cron_webhook_deliveries_total", ours)
	duration := sum(inBar(selector("openclaw_run_duration_ms_milliseconds_sum", ours)), "openclaw_job_name")
	number := sum(inBar(selector("openclaw_run_duration_ms_milliseconds_count", ours)), "openclaw_job_name")
	return builder.WithRow(row("Cron Jobs")).
		WithPanel(meant(counts("Cron execution status (events)", "Finished runs by status, counted from events in Loki.", count, needsEvents), statuses).
			WithTarget(events(perStatus(stream+` | event_name="openclaw.cron.run"`, "openclaw_status"), "{{openclaw_status}}"))).
		WithPanel(meant(counts("Webhook delivery status (events)", "Webhooks that failed, were blocked or are tried again, counted from events in Loki.", count, "no failed delivery"), attempts).
			WithTarget(events(perStatus(stream+` | event_name=~"openclaw.cron.webhook.*"`, "event_name"), "{{event_name}}"))).
		WithPanel(counts("Run duration per job (events)", "Longest run of each job per interval, from events in Loki.", ms, needsEvents).Legend(names()).
			DrawStyle(common.GraphDrawStylePoints).PointSize(4).Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNone)).
			WithTarget(events("max by (openclaw_job_name) (max_over_time("+stream+` | event_name="openclaw.cron.run" | unwrap openclaw_run_duration_ms [$__auto]))`, "{{openclaw_job_name}}"))).
		WithPanel(meant(bars("Cron execution status", "The same from Prometheus, for clusters without Loki.", count, 8).Decimals(0), statuses).
			WithTarget(over(sum(inBar(finished), "openclaw_status")+" > 0", "{{openclaw_status}}"))).
		WithPanel(meant(bars("Webhook delivery status", "What became of webhooks, as far as the gateway's version lets it be known. Before 2026.8.1 an answer of 500 is a success to it.", count, 8).Decimals(0).
			NoValue("no delivery"), outcomes).
			WithTarget(over(sum(inBar(delivered), "openclaw_outcome")+" > 0", "{{openclaw_outcome}}"))).
		WithPanel(means("Run duration per job", "Mean duration of each job's runs per interval, from Prometheus.", ms, 8).Interval("1h").MaxDataPoints(30).
			Legend(names()).
			WithTarget(over(orNone(duration+" / ("+number+" > 0)", "openclaw_job_name"), "{{openclaw_job_name}}")))
}

// counts is a graph of counts of events.
func counts(title, description, unit, without string) *timeseries.PanelBuilder {
	return graph(title, description, unit, 8).Datasource(eventsSource.ref()).NoValue(without).
		DrawStyle(common.GraphDrawStyleBars).BarAlignment(common.BarAlignmentBefore).MaxDataPoints(100).FillOpacity(80).LineWidth(0).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal))
}

func messages(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	rate := func(metric, by string) string {
		return sum("rate("+selector(metric, plugin)+"[$__rate_interval])", by)
	}
	quantile := fmt.Sprintf("histogram_quantile(0.95, sum by (le) (rate(%s[$__rate_interval])))", selector("openclaw_message_duration_ms_milliseconds_bucket", plugin))
	depth := fmt.Sprintf("sum(rate(%s[$__rate_interval])) / sum(rate(%s[$__rate_interval]))",
		selector("openclaw_queue_depth_sum", plugin), selector("openclaw_queue_depth_count", plugin))
	return builder.WithRow(row("Messages")).WithPanel(meant(ofPlugin("Message throughput", "Messages that the gateway processed per minute, by outcome; from its own plugin.", "cpm", 8), messaged).
		WithTarget(over("60 * "+rate("openclaw_message_processed_total", "openclaw_outcome"), "{{openclaw_outcome}}"))).
		WithPanel(ofPlugin("Queue depth", "Mean number of waiting tasks when one was queued; from the gateway's own plugin.", count, 8).AxisSoftMax(1).
			WithTarget(over(depth, "mean depth"))).
		WithPanel(ofPlugin("Processing latency", "95th percentile of how long a message took; from the gateway's own plugin.", ms, 8).
			WithTarget(over(quantile, "p95")))
}

func sessions(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	states := selector("openclaw_session_state_total", plugin)
	return builder.WithRow(row("Sessions")).
		WithPanel(ofPlugin("Active sessions", "Sessions that began to work, per minute; from the gateway's own plugin.", "cpm", 12).
			WithTarget(over("60 * sum(rate("+selector("openclaw_session_state_total", plugin, `openclaw_state="processing"`)+"[$__rate_interval]))", "became active"))).
		WithPanel(ofPlugin("Session states", "Changes of state per minute; from the gateway's own plugin.", "cpm", 12).
			WithTarget(over("60 * "+sum("rate("+states+"[$__rate_interval])", "openclaw_state"), "{{openclaw_state}}")))
}

// plugin is whoever sends families that this exporter does not know: OpenClaw's own plugin, whose series carry no instance.
const plugin = `job=~".+"`

func ofPlugin(title, description, unit string, width uint32) *timeseries.PanelBuilder {
	return graph(title, description, unit, width).Interval("5m").NoValue(needsPlugin)
}
