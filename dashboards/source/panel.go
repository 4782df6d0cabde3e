package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/logs"
	"github.com/grafana/grafana-foundation-sdk/go/loki"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// A data source that is chosen at the top of a dashboard.
type source struct{ variable, plugin, label, input string }

var (
	metricsSource = source{"prometheus_datasource", "prometheus", "Prometheus data source", "PROMETHEUS"}
	eventsSource  = source{"loki_datasource", "loki", "Loki data source", "LOKI"}
	sources       = []source{metricsSource, eventsSource}
)

func (s source) ref() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr(s.plugin), Uid: cog.ToPtr("${" + s.variable + "}")}
}

// Units of Grafana's.
const (
	usd     = "currencyUSD"
	count   = "short"
	percent = "percentunit"
	ms      = "ms"
	seconds = "s"
	size    = "bytes"
	ago     = "dateTimeFromNow"
)

// Colours with a meaning; everything else takes Grafana's palette.
const (
	good, fair, bad, plain, quiet = "green", "orange", "red", "blue", "#8e8e8e"
)

// What stands for one thing of a closed list, wherever it is shown: its colour and, if its name is long, what people read.
type meaning struct{ name, colour, title string }

var (
	statuses = []meaning{{"ok", good, ""}, {"error", bad, ""}, {"skipped", quiet, ""}}
	outcomes = []meaning{{"delivered", good, ""}, {"failed", bad, ""}, {"blocked", "purple", ""}, {"skipped", quiet, ""}}
	attempts = []meaning{{"openclaw.cron.webhook_delivery_failed", bad, "failed"}, {"openclaw.cron.webhook_delivery_retried", fair, "tried again"},
		{"openclaw.cron.webhook_delivery_blocked", "purple", "blocked"}, {"openclaw.cron.webhook_delivery_skipped", quiet, "skipped"}}
	kinds     = []meaning{{"input", plain, ""}, {"output", "orange", ""}, {"cache_read", "green", ""}, {"cache_write", "yellow", ""}}
	billings  = []meaning{{"metered", plain, ""}, {"subscription", "purple", ""}, {"local", quiet, ""}}
	messaged  = []meaning{{"completed", good, ""}, {"error", bad, ""}, {"skipped", quiet, ""}}
	records   = []meaning{{"inserted", good, ""}, {"updated", plain, ""}, {"duplicate", quiet, ""}, {"conflict", fair, ""}, {"expired", "purple", ""}}
	quantiles = []meaning{{"p50", "blue", ""}, {"p95", "orange", ""}, {"p99", "red", ""}}
)

// meant gives series of a closed list their colours.
func meant(panel *timeseries.PanelBuilder, meanings []meaning) *timeseries.PanelBuilder {
	for _, one := range meanings {
		properties := []dashboard.DynamicConfigValue{{Id: "color", Value: map[string]any{"mode": "fixed", "fixedColor": one.colour}}}
		if one.title != "" {
			properties = append(properties, dashboard.DynamicConfigValue{Id: "displayName", Value: one.title})
		}
		panel = panel.OverrideByName(one.name, properties)
	}
	return panel
}

// said is what people read in place of numbers.
type said struct{ number, text, colour string }

func words(list ...said) []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for at, one := range list {
		options[one.number] = dashboard.ValueMappingResult{Text: cog.ToPtr(one.text), Color: cog.ToPtr(one.colour), Index: cog.ToPtr(int32(at))}
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}

// now is a query for one value per series at the end of the range.
func now(expression, legend string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Expr(expression).LegendFormat(legend).Instant().
		Format(prometheus.PromQueryFormatTimeSeries).Datasource(metricsSource.ref())
}

// rows is a query for a table of jobs: one row per job at the end of the range.
func rows(id, expression string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().RefId(id).Expr(titled(expression)).Instant().
		Format(prometheus.PromQueryFormatTable).Datasource(metricsSource.ref())
}

// over is a query for values over time.
func over(expression, legend string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Expr(expression).LegendFormat(legend).Range().
		Format(prometheus.PromQueryFormatTimeSeries).Datasource(metricsSource.ref())
}

// events is a query for lines, or for counts of lines over time.
func events(expression, legend string) *loki.DataqueryBuilder {
	return loki.NewDataqueryBuilder().Expr(expression).LegendFormat(legend).QueryType("range").Datasource(eventsSource.ref())
}

func steps(base string, above ...any) *dashboard.ThresholdsConfigBuilder {
	list := []dashboard.Threshold{{Color: base}}
	for at := 0; at+1 < len(above); at += 2 {
		list = append(list, dashboard.Threshold{Value: cog.ToPtr(above[at].(float64)), Color: above[at+1].(string)})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(list)
}

func lastValue() *common.ReduceDataOptionsBuilder {
	return common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"})
}

// one is a single figure.
func one(title, description, unit string, width uint32) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(description).Unit(unit).Span(width).Height(4).
		Datasource(metricsSource.ref()).ReduceOptions(lastValue()).NoValue("no data").
		GraphMode(common.BigValueGraphModeNone).ColorMode(common.BigValueColorModeValue).
		Thresholds(steps(plain))
}

// bars is a graph of amounts, each bar what its interval holds, stacked. About thirty of them: hours of a day, quarters of the
// days of a week, days of a month.
func bars(title, description, unit string, width uint32) *timeseries.PanelBuilder {
	// A table beside the bars leaves a narrow panel no room for them.
	legend := common.NewVizLegendOptionsBuilder().ShowLegend(true).Calcs([]string{"sum"}).
		DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom)
	if width > 8 {
		legend = legend.DisplayMode(common.LegendDisplayModeTable).Placement(common.LegendPlacementRight).SortBy("Total").SortDesc(true)
	}
	return graph(title, description, unit, width).Interval("1h").MaxDataPoints(30).
		DrawStyle(common.GraphDrawStyleBars).BarAlignment(common.BarAlignmentAfter).BarWidthFactor(.9).FillOpacity(80).LineWidth(0).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).Legend(legend)
}

// graph is lines over time.
func graph(title, description, unit string, width uint32) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Title(title).Description(description).Unit(unit).Span(width).Height(9).
		Datasource(metricsSource.ref()).Min(0).NoValue("no data").FillOpacity(10).LineWidth(1).
		ShowPoints(common.VisibilityModeAuto).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).
			Placement(common.LegendPlacementBottom).ShowLegend(true))
}

// faults is a graph of things that should not be.
func faults(title, description string, width uint32) *timeseries.PanelBuilder {
	return bars(title, description, count, width).Decimals(0).
		ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdShades).FixedColor(bad))
}

// names is a legend of many, beside the graph.
func names() *common.VizLegendOptionsBuilder {
	return common.NewVizLegendOptionsBuilder().ShowLegend(true).DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementRight)
}

// level is a graph of a small whole number that is mostly 0, which is then at the bottom and not in a void up to 100.
func level(title, description string, width uint32) *timeseries.PanelBuilder {
	return graph(title, description, count, width).Decimals(0).AxisSoftMax(3)
}

// means is a graph of the mean of each interval, of which many are empty.
func means(title, description, unit string, width uint32) *timeseries.PanelBuilder {
	return graph(title, description, unit, width).Interval("5m").DrawStyle(common.GraphDrawStyleLine).
		SpanNulls(common.BoolOrFloat64{Bool: cog.ToPtr(true)}).ShowPoints(common.VisibilityModeAlways).PointSize(4)
}

// gauges is a bar per series.
func gauges(title, description, unit string, width uint32) *bargauge.PanelBuilder {
	return bargauge.NewPanelBuilder().Title(title).Description(description).Unit(unit).Span(width).Height(9).
		Datasource(metricsSource.ref()).ReduceOptions(lastValue()).Orientation(common.VizOrientationHorizontal).
		DisplayMode(common.BarGaugeDisplayModeBasic).ShowUnfilled(true).Min(0).
		Sizing(common.BarGaugeSizingManual).MinVizHeight(16).MaxVizHeight(52).NamePlacement(common.BarGaugeNamePlacementTop).NoValue("no data").
		Thresholds(steps(plain))
}

// timeline is a band per series that changes its colour with its value.
func timeline(title, description string, width uint32) *statetimeline.PanelBuilder {
	return statetimeline.NewPanelBuilder().Title(title).Description(description).Unit(count).Span(width).Height(9).
		Datasource(metricsSource.ref()).ShowValue(common.VisibilityModeNever).NoValue("no data").RowHeight(.8)
}

// lines is what was logged.
func lines(title, description string, width uint32) *logs.PanelBuilder {
	return logs.NewPanelBuilder().Title(title).Description(description).Span(width).Height(9).
		Datasource(eventsSource.ref()).ShowTime(true).WrapLogMessage(true).EnableLogDetails(true).
		SortOrder(common.LogsSortOrderDescending).DedupStrategy(common.LogsDedupStrategyNone)
}

// Cells of a table: a bar as long as the value, and a text in the colour of its threshold.
var (
	bar      = map[string]any{"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}
	coloured = map[string]any{"type": "color-text"}
)

// A column of a table: what Grafana calls the field, what people read, its unit and how many decimals.
type column struct {
	field, title, unit string
	decimals           int
	width              int
	links              []map[string]any
	// How its cells are drawn: as Grafana's options say, and with the colours of thresholds if there are any.
	cell   map[string]any
	limits []any
	// Not shown, but there for links.
	hidden bool
}

// sheet is a table of one row per series, with its columns in this order.
func sheet(title, description string, width uint32, columns ...column) *table.PanelBuilder {
	order, names := map[string]any{}, map[string]any{}
	panel := table.NewPanelBuilder().Title(title).Description(description).Unit(count).Span(width).Height(10).
		Datasource(metricsSource.ref()).NoValue("–").CellHeight(common.TableCellHeightSm).
		Footer(common.NewTableFooterOptionsBuilder().Show(false).Reducer([]string{"sum"}))
	kept := []string{}
	for at, column := range columns {
		order[column.field], names[column.field] = at, column.title
		kept = append(kept, column.field)
		properties := []dashboard.DynamicConfigValue{{Id: "unit", Value: column.unit}}
		if column.unit != "string" {
			properties = append(properties, dashboard.DynamicConfigValue{Id: "decimals", Value: column.decimals})
		}
		if column.width > 0 {
			properties = append(properties, dashboard.DynamicConfigValue{Id: "custom.width", Value: column.width})
		}
		if column.cell != nil {
			properties = append(properties, dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: column.cell})
		}
		if column.limits != nil {
			limits, _ := steps(column.limits[0].(string), column.limits[1:]...).Build()
			properties = append(properties, dashboard.DynamicConfigValue{Id: "thresholds", Value: limits})
		}
		if column.hidden {
			// The name of this option until Grafana 12, and since.
			properties = append(properties, dashboard.DynamicConfigValue{Id: "custom.hidden", Value: true},
				dashboard.DynamicConfigValue{Id: "custom.hideFrom", Value: map[string]any{"viz": true, "legend": false, "tooltip": false}})
		}
		if len(column.links) > 0 {
			properties = append(properties, dashboard.DynamicConfigValue{Id: "links", Value: column.links})
		}
		panel = panel.OverrideByName(column.title, properties)
	}
	return panel.Transformations([]dashboard.DataTransformerConfig{
		{Id: "merge", Options: map[string]any{}},
		{Id: "filterFieldsByName", Options: map[string]any{"include": map[string]any{"names": kept}}},
		{Id: "organize", Options: map[string]any{"indexByName": order, "renameByName": names}},
	})
}
