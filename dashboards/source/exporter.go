package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// exporter shows whether the exporter itself works: is what it shows fresh, complete, and does it arrive?
func exporter() *dashboard.DashboardBuilder {
	builder := frame(uidExporter, "openclaw-usage exporter", "Whether the exporter itself works: is what it shows fresh and complete, and does it arrive?", "now-6h").
		Annotation(restarts()).Annotation(reloads())
	builder = freshness(builder)
	builder = delivery(builder)
	builder = told(builder)
	return footprint(builder)
}

func of(metric string) string { return selector(metric, ours) }

func rate(metric, by string) string { return sum("rate("+of(metric)+"[$__rate_interval])", by) }

func freshness(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return builder.
		WithPanel(timeline("Sources", "Green while a store of the gateway can be read, red when it is gone without another in its place, or refused.", 12).Height(6).
			Thresholds(steps(bad, 1.0, good)).WithTarget(over("min by (instance, openclaw_source) ("+of("openclaw_usage_source_up")+")", "{{instance}} {{openclaw_source}}"))).
		WithPanel(graph("Age of the newest record", "How long ago OpenClaw wrote the newest record that was read, by store. Grows while nothing runs.", seconds, 6).Height(6).
			WithTarget(over("time() - max by (instance, openclaw_source) ("+of("openclaw_usage_source_last_record_timestamp_seconds")+")", "{{instance}} {{openclaw_source}}"))).
		WithPanel(graph("Ingest lag", "From the writing of the newest record to its commit.", seconds, 6).Height(6).
			WithTarget(over("max by (openclaw_source) ("+of("openclaw_usage_ingest_lag_seconds")+")", "{{openclaw_source}}"))).
		WithPanel(graph("Records", "Run records read per second, by what became of them.", "ops", 8).
			WithTarget(over(rate("openclaw_usage_records_total", "openclaw_outcome"), "{{openclaw_outcome}}"))).
		WithPanel(bars("Rejects", "Pieces of input that could not be counted, by reason.", count, 8).Decimals(0).NoValue("none").
			WithTarget(over(sum(exactly(of("openclaw_usage_rejects_total"), perBar), "openclaw_reason")+" > 0", "{{openclaw_reason}}"))).
		WithPanel(bars("Gaps", "Stores whose newest records were gone: history may have been lost between two looks.", count, 4).Decimals(0).NoValue("none").
			WithTarget(over(sum(exactly(of("openclaw_usage_source_gaps_total"), perBar), "openclaw_source")+" > 0", "{{openclaw_source}}"))).
		WithPanel(graph("Overdue jobs", "Enabled jobs that should have run by now.", count, 4).Decimals(0).
			WithTarget(over("max by (instance) ("+of("openclaw_usage_jobs_overdue")+")", "{{instance}}")))
}

func delivery(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return builder.WithRow(row("Export")).
		WithPanel(graph("Pushes", "Requests per second by endpoint.", "ops", 8).NoValue("no endpoint is configured").
			WithTarget(over(rate("openclaw_usage_export_attempts_total", "openclaw_endpoint"), "{{openclaw_endpoint}}"))).
		WithPanel(bars("Failed pushes", "Requests that an endpoint did not take, by reason.", count, 8).Decimals(0).NoValue("none").
			WithTarget(over(sum(exactly(of("openclaw_usage_export_failures_total"), perBar), "openclaw_endpoint", "openclaw_reason")+" > 0", "{{openclaw_endpoint}} {{openclaw_reason}}"))).
		WithPanel(graph("Since the last complete push", "How long ago an endpoint took everything.", seconds, 8).NoValue("no endpoint is configured").
			WithTarget(over("time() - max by (openclaw_endpoint) ("+of("openclaw_usage_export_last_success_timestamp_seconds")+")", "{{openclaw_endpoint}}"))).
		WithPanel(graph("Series", "Series in the ledger, those idle for a week and no longer sent, and those that an endpoint refused.", count, 8).Decimals(0).
			WithTarget(over("sum("+of("openclaw_usage_series")+")", "held")).
			WithTarget(over("sum("+of("openclaw_usage_series_idle")+")", "idle")).
			WithTarget(over("sum("+of("openclaw_usage_export_dropped_series")+")", "refused"))).
		WithPanel(graph("Ledger", "Its size on disk.", size, 8).WithTarget(over("sum by (instance) ("+of("openclaw_usage_ledger_size_bytes")+")", "{{instance}}"))).
		WithPanel(timeline("Ledger writable", "Green while commits succeed.", 8).Thresholds(steps(bad, 1.0, good)).
			WithTarget(over("min by (instance) ("+of("openclaw_usage_ledger_writable")+")", "{{instance}}")))
}

// told shows the way of events to their sinks.
func told(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	const without = "no sink is configured: serve --events"
	return builder.WithRow(row("Events")).
		WithPanel(bars("Delivered events", "Events that a sink took.", count, 8).Decimals(0).NoValue(without).
			WithTarget(over(sum(exactly(of("openclaw_usage_events_delivered_total"), perBar), "openclaw_sink")+" > 0", "{{openclaw_sink}}"))).
		WithPanel(graph("Waiting events", "Events that at least one sink has not taken yet.", count, 8).Decimals(0).
			WithTarget(over("sum by (instance) ("+of("openclaw_usage_events_kept")+")", "{{instance}}"))).
		WithPanel(graph("Age of the oldest waiting event", "How long the oldest event has waited that at least one sink has not taken yet.", seconds, 8).
			WithTarget(over("max by (instance) ("+of("openclaw_usage_events_oldest_age_seconds")+")", "{{instance}}")))
}

func footprint(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return builder.WithRow(row("Process")).
		WithPanel(graph("CPU", "Share of one core.", percent, 8).WithTarget(over("sum by (instance) (rate("+of("process_cpu_time_seconds_total")+"[$__rate_interval]))", "{{instance}}"))).
		WithPanel(graph("Memory", "Resident memory.", size, 8).WithTarget(over("sum by (instance) ("+of("process_memory_usage_bytes")+")", "{{instance}}"))).
		WithPanel(one("Version", "The running version.", "string", 4).WithTarget(now("max by (openclaw_version) ("+of("openclaw_usage_build_info")+")", "{{openclaw_version}}"))).
		WithPanel(one("Configuration", "Whether the newest configuration is in force: 1, or 0 while a bad one was left out.", count, 4).Decimals(0).Thresholds(steps(bad, 1.0, good)).
			WithTarget(now("min("+of("openclaw_usage_config_last_reload_successful")+")", "in force")))
}
