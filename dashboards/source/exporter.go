package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// exporter shows whether the exporter itself works: is what it shows fresh, complete, and does it arrive?
func exporter() *dashboard.DashboardBuilder {
	builder := frame(uidExporter, "openclaw-usage exporter", "Whether the exporter itself works: is what it shows fresh and complete, and does it arrive?", "now-6h").
		Annotation(restarts()).Annotation(reloads())
	builder = standingOf(builder)
	builder = freshness(builder)
	builder = delivery(builder)
	builder = told(builder)
	return footprint(builder)
}

func of(metric string) string { return selector(metric, ours) }

func rate(metric, by string) string { return sum("rate("+of(metric)+"[$__rate_interval])", by) }

func standingOf(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	inForce := words(said{"1", "in force", good}, said{"0", "left out", bad})
	writable := words(said{"1", "writable", good}, said{"0", "not writable", bad})
	return builder.
		WithPanel(one("Version", "The running version.", "string", 4).TextMode(common.BigValueTextModeName).
			WithTarget(now("max by (openclaw_version) ("+of("openclaw_usage_build_info")+")", "{{openclaw_version}}"))).
		WithPanel(one("Running since", "When the process started.", ago, 4).
			WithTarget(now("1000 * min("+of("openclaw_usage_start_timestamp_seconds")+")", "started"))).
		WithPanel(one("Ledger", "Whether commits succeed.", count, 4).Decimals(0).Mappings(writable).Thresholds(steps(bad, 1.0, good)).
			WithTarget(now("min("+of("openclaw_usage_ledger_writable")+")", "writable"))).
		WithPanel(one("Configuration", "Whether the newest configuration is in force, or a bad one was left out.", count, 4).Decimals(0).Mappings(inForce).Thresholds(steps(bad, 1.0, good)).
			WithTarget(now("min("+of("openclaw_usage_config_last_reload_successful")+")", "in force"))).
		WithPanel(one("Since the last push", "How long ago the endpoint that waits longest took everything.", seconds, 4).NoValue("no endpoint").Decimals(0).Thresholds(steps(good, 120.0, fair, 600.0, bad)).
			WithTarget(now("time() - min("+of("openclaw_usage_export_last_success_timestamp_seconds")+")", "since"))).
		WithPanel(one("Jobs over the limit", "Jobs counted together under the id other, since there are more than max_jobs.", count, 4).Decimals(0).Thresholds(steps(good, 1.0, fair)).
			WithTarget(now("sum("+of("openclaw_usage_jobs_over_limit")+")", "jobs")))
}

func freshness(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	read := words(said{"1", "readable", good}, said{"0", "gone or refused", bad})
	return builder.WithRow(row("What is read")).
		WithPanel(timeline("Sources", "Green while a store of the gateway can be read, red when it is gone without another in its place, or refused.", 8).Height(7).Mappings(read).
			Thresholds(steps(bad, 1.0, good)).WithTarget(over("min by (instance, openclaw_source) ("+of("openclaw_usage_source_up")+")", "{{instance}} {{openclaw_source}}"))).
		WithPanel(graph("Age of the newest record", "How long ago OpenClaw wrote the newest record that was read, by store. Grows while nothing runs.", seconds, 8).Height(7).
			WithTarget(over("time() - max by (instance, openclaw_source) ("+of("openclaw_usage_source_last_record_timestamp_seconds")+")", "{{instance}} {{openclaw_source}}"))).
		WithPanel(graph("Ingest lag", "From the writing of the newest record to its commit.", seconds, 8).Height(7).
			WithTarget(over("max by (openclaw_source) ("+of("openclaw_usage_ingest_lag_seconds")+")", "{{openclaw_source}}"))).
		WithPanel(meant(bars("Records", "Run records read, by what became of them.", count, 8).Decimals(0), records).
			WithTarget(over(sum(inBar(of("openclaw_usage_records_total")), "openclaw_outcome")+" > 0", "{{openclaw_outcome}}"))).
		WithPanel(faults("Rejects", "Pieces of input that could not be counted, by reason.", 6).NoValue("none").
			WithTarget(over(sum(inBar(of("openclaw_usage_rejects_total")), "openclaw_reason")+" > 0", "{{openclaw_reason}}"))).
		WithPanel(faults("Gaps", "Stores whose newest records were gone: history may have been lost between two looks.", 5).NoValue("none").
			WithTarget(over(sum(inBar(of("openclaw_usage_source_gaps_total")), "openclaw_source")+" > 0", "{{openclaw_source}}"))).
		WithPanel(level("Overdue jobs", "Enabled jobs that should have run by now.", 5).
			WithTarget(over("max by (instance) ("+of("openclaw_usage_jobs_overdue")+")", "{{instance}}")))
}

func delivery(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return builder.WithRow(row("Export")).
		WithPanel(graph("Pushes", "Requests per second by endpoint.", "reqps", 8).Interval("5m").NoValue("no endpoint is configured").
			WithTarget(over(rate("openclaw_usage_export_attempts_total", "openclaw_endpoint"), "{{openclaw_endpoint}}"))).
		WithPanel(faults("Failed pushes", "Requests that an endpoint did not take, by reason.", 8).NoValue("none").
			WithTarget(over(sum(inBar(of("openclaw_usage_export_failures_total")), "openclaw_endpoint", "openclaw_reason")+" > 0", "{{openclaw_endpoint}} {{openclaw_reason}}"))).
		WithPanel(graph("Since the last complete push", "How long ago an endpoint took everything.", seconds, 8).NoValue("no endpoint is configured").
			WithTarget(over("time() - max by (openclaw_endpoint) ("+of("openclaw_usage_export_last_success_timestamp_seconds")+")", "{{openclaw_endpoint}}"))).
		WithPanel(graph("Series", "Series in the ledger, those idle for a week and no longer sent, and those that an endpoint refused.", count, 8).Decimals(0).
			WithTarget(over("sum("+of("openclaw_usage_series")+")", "held")).
			WithTarget(over("sum("+of("openclaw_usage_series_idle")+")", "idle")).
			WithTarget(over("sum("+of("openclaw_usage_export_dropped_series")+")", "refused"))).
		WithPanel(graph("Ledger", "Its size on disk.", size, 8).WithTarget(over("sum by (instance) ("+of("openclaw_usage_ledger_size_bytes")+")", "{{instance}}"))).
		WithPanel(timeline("How changes are noticed", "By file events, or by polling where those do not come.", 8).Thresholds(steps(plain)).
			WithTarget(over("max by (openclaw_source, openclaw_watch) ("+of("openclaw_usage_source_watch_info")+")", "{{openclaw_source}}: {{openclaw_watch}}")))
}

// told shows the way of events to their sinks.
func told(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	const without = "no sink is configured: serve --events"
	return builder.WithRow(row("Events")).
		WithPanel(bars("Delivered events", "Events that a sink took.", count, 8).Decimals(0).NoValue(without).
			WithTarget(over(sum(inBar(of("openclaw_usage_events_delivered_total")), "openclaw_sink")+" > 0", "{{openclaw_sink}}"))).
		WithPanel(level("Waiting events", "Events that at least one sink has not taken yet.", 8).
			WithTarget(over("sum by (instance) ("+of("openclaw_usage_events_kept")+")", "{{instance}}"))).
		WithPanel(graph("Age of the oldest waiting event", "How long the oldest event has waited that at least one sink has not taken yet.", seconds, 8).
			WithTarget(over("max by (instance) ("+of("openclaw_usage_events_oldest_age_seconds")+")", "{{instance}}"))).
		WithPanel(graph("Requests to sinks", "Requests or batches per second by sink.", "reqps", 8).Interval("5m").NoValue(without).
			WithTarget(over(rate("openclaw_usage_events_attempts_total", "openclaw_sink"), "{{openclaw_sink}}"))).
		WithPanel(faults("Failed requests to sinks", "Requests or batches that a sink did not take, by reason.", 8).NoValue("none").
			WithTarget(over(sum(inBar(of("openclaw_usage_events_failures_total")), "openclaw_sink", "openclaw_reason")+" > 0", "{{openclaw_sink}} {{openclaw_reason}}"))).
		WithPanel(graph("Since a sink last took events", "How long ago that was, by sink. Grows while nothing happens.", seconds, 8).NoValue(without).
			WithTarget(over("time() - max by (openclaw_sink) ("+of("openclaw_usage_events_last_success_timestamp_seconds")+")", "{{openclaw_sink}}")))
}

func footprint(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return builder.WithRow(row("Process")).
		WithPanel(graph("CPU", "Share of one core.", percent, 8).WithTarget(over("sum by (instance) (rate("+of("process_cpu_time_seconds_total")+"[$__rate_interval]))", "{{instance}}"))).
		WithPanel(graph("Memory", "Resident memory.", size, 8).WithTarget(over("sum by (instance) ("+of("process_memory_usage_bytes")+")", "{{instance}}"))).
		WithPanel(level("Steps of the clock", "How often pushes had to follow a system clock that was set, since the process started.", 8).
			WithTarget(over("sum by (instance) ("+of("openclaw_usage_clock_steps_total")+")", "{{instance}}")))
}
