package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// restarts marks when the exporter started.
func restarts() *dashboard.AnnotationQueryBuilder {
	return mark("Exporter started", "blue",
		"changes("+selector("openclaw_usage_start_timestamp_seconds", ours)+"[$__rate_interval]) > 0", "Started")
}

// reloads marks when the exporter's configuration was read anew.
func reloads() *dashboard.AnnotationQueryBuilder {
	return mark("Configuration read", "purple",
		"changes("+selector("openclaw_usage_config_last_reload_success_timestamp_seconds", ours)+"[$__rate_interval]) > 0", "Reloaded")
}

// priceChanges marks when a price changed.
func priceChanges() *dashboard.AnnotationQueryBuilder {
	return mark("Price changed", "orange",
		"sum by (openclaw_provider, openclaw_model) (changes("+selector("openclaw_usage_price_usd_per_million", ours)+"[$__rate_interval])) > 0", "Priced")
}
