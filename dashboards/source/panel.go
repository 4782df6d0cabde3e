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
	good, fair, bad, plain = "green", "orange", "red", "blue"
)

// now is a query for one value per series at the end of the range.
func now(expression, legend string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().Expr(expression).LegendFormat(legend).Instant().
		Format(prometheus.PromQueryFormatTimeSeries).Datasource(metricsSource.ref())
}

// rows is a query for a table: one row per series at the end of the range.
func rows(id, expression string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().RefId(id).Expr(expression).Instant().
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

// bars is a graph of amounts, each bar what its interval holds, stacked.
func bars(title, description, unit string, width uint32) *timeseries.PanelBuilder {
	return graph(title, description, unit, width).Interval("1h").
		DrawStyle(common.GraphDrawStyleBars).FillOpacity(80).LineWidth(0).
		Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeTable).
			Placement(common.LegendPlacementRight).ShowLegend(true).Calcs([]string{"sum"}).SortBy("Total").SortDesc(true))
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

// gauges is a bar per series.
func gauges(title, description, unit string, width uint32) *bargauge.PanelBuilder {
	return bargauge.NewPanelBuilder().Title(title).Description(description).Unit(unit).Span(width).Height(9).
		Datasource(metricsSource.ref()).ReduceOptions(lastValue()).Orientation(common.VizOrientationHorizontal).
		DisplayMode(common.BarGaugeDisplayModeGradient).ShowUnfilled(true).Min(0).NoValue("no data")
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

// A column of a table: what Grafana calls the field, what people read, its unit and how many decimals.
type column struct {
	field, title, unit string
	decimals           int
	width              int
	links              []map[string]any
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
