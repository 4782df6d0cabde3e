package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// Stable uids: links, bookmarks and provisioning hang on them.
const (
	uidUsage       = "openclaw-usage-cost"
	uidApplication = "openclaw-application-metrics"
	uidJob         = "openclaw-cron-job"
	uidExporter    = "openclaw-usage-exporter"
	tag            = "openclaw"
)

// everything is what a variable stands for when all of its values are chosen; also series without the label, and values with
// a line break, which Prometheus 2 does not match with a plain dot.
const everything = "(?s:.*)"

// frame is what all dashboards share: the head, the way to the others, the data sources and whose series are shown.
func frame(uid, title, description, from string) *dashboard.DashboardBuilder {
	return dashboard.NewDashboardBuilder(title).Uid(uid).Description(description).Tags([]string{tag}).
		Readonly().Tooltip(dashboard.DashboardCursorSyncCrosshair).Time(from, "now").Refresh("1m").Timezone("browser").
		Link(dashboard.NewDashboardLinkBuilder("OpenClaw").Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{tag}).AsDropdown(true).IncludeVars(true).KeepTime(true)).
		WithVariable(dataSource(metricsSource)).
		WithVariable(labelValues("job", "Exporter", "openclaw_usage_build_info", "job").AllValue("").Current(chosen("openclaw-usage"))).
		WithVariable(labelValues("instance", "Gateway", `openclaw_usage_build_info{job=~"$job"}`, "instance"))
}

// withUsage adds the variables that choose among runs.
func withUsage(builder *dashboard.DashboardBuilder) *dashboard.DashboardBuilder {
	return builder.
		WithVariable(labelValues("agent", "Agent", "openclaw_tokens_total{"+ours+"}", "openclaw_agent")).
		WithVariable(labelValues("cron_job", "Job", "openclaw_tokens_total{"+ours+`, openclaw_agent=~"$agent"}`, "openclaw_job_name")).
		WithVariable(labelValues("model", "Model", "openclaw_tokens_total{"+ours+`, openclaw_agent=~"$agent"}`, "openclaw_model"))
}

func dataSource(of source) *dashboard.DatasourceVariableBuilder {
	return dashboard.NewDatasourceVariableBuilder(of.variable).Label(of.label).Type(of.plugin)
}

// labelValues is a variable with every value of a label; several may be chosen, and all are at first.
func labelValues(name, label, series, of string) *dashboard.QueryVariableBuilder {
	query := "label_values(" + series + ", " + of + ")"
	return dashboard.NewQueryVariableBuilder(name).Label(label).Datasource(metricsSource.ref()).
		Query(dashboard.StringOrMap{Map: map[string]any{"query": query, "refId": name}}).Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc).
		Multi(true).IncludeAll(true).AllValue(everything).Current(chosen("$__all"))
}

func chosen(value string) dashboard.VariableOption {
	text := value
	if value == "$__all" {
		text = "All"
	}
	return dashboard.VariableOption{
		Selected: cog.ToPtr(true),
		Text:     dashboard.StringOrArrayOfString{String: cog.ToPtr(text)},
		Value:    dashboard.StringOrArrayOfString{String: cog.ToPtr(value)},
	}
}

// choice is a variable of fixed values, given as text and value by turns; the first is chosen.
func choice(name, label string, pairs ...string) *dashboard.CustomVariableBuilder {
	query, options := "", []dashboard.VariableOption{}
	for at := 0; at+1 < len(pairs); at += 2 {
		if at > 0 {
			query += ","
		}
		query += pairs[at] + " : " + pairs[at+1]
		options = append(options, dashboard.VariableOption{
			Selected: cog.ToPtr(at == 0),
			Text:     dashboard.StringOrArrayOfString{String: cog.ToPtr(pairs[at])},
			Value:    dashboard.StringOrArrayOfString{String: cog.ToPtr(pairs[at+1])},
		})
	}
	return dashboard.NewCustomVariableBuilder(name).Label(label).
		Values(dashboard.StringOrMap{String: cog.ToPtr(query)}).Options(options).Current(options[0])
}

// mark is a line across all graphs at each moment at which an expression has a value.
func mark(name, colour, expression, text string) *dashboard.AnnotationQueryBuilder {
	reference := metricsSource.ref()
	return dashboard.NewAnnotationQueryBuilder().Name(name).Datasource(reference).Enable(true).IconColor(colour).
		Expr(expression).Target(prometheus.NewDataqueryBuilder().RefId(text).Expr(expression).Range().Datasource(reference))
}

// row is a heading.
func row(title string) *dashboard.RowBuilder { return dashboard.NewRowBuilder(title) }

// jobLink leads from a row of a job to its own dashboard, by the column with its id.
func jobLink(field string) []map[string]any {
	return []map[string]any{{
		"title": "Runs of this job",
		"url":   "/d/" + uidJob + "?var-cron_job=${__data.fields." + field + "}&${job:queryparam}&${instance:queryparam}&${__url_time_range}",
	}}
}
