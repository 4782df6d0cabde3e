// Package v2 stands in for Grafana's own of the same path, which no public registry has. The linter needs it to read
// dashboards of schema v2 only; ours are of the classic one. These are the names that the linter compiles against, without
// any meaning: a dashboard of schema v2 has no panels here.
package v2

type (
	DashboardSpec struct {
		Title       string
		Editable    *bool
		Elements    map[string]DashboardElement
		Variables   []DashboardVariableKind
		Annotations []DashboardAnnotationQueryKind
	}
	DashboardElement   struct{ PanelKind *struct{ Spec DashboardPanelSpec } }
	DashboardPanelSpec struct {
		Id                 float64
		Title, Description string
		Data               struct {
			Spec struct{ Queries []DashboardPanelQueryKind }
		}
		VizConfig struct {
			Group string
			Spec  struct{ FieldConfig, Options any }
		}
	}
	DashboardPanelQueryKind struct {
		Spec struct {
			RefId  string
			Hidden bool
			Query  DashboardDataQueryKind
		}
	}
	DashboardDataQueryKind struct {
		Group      string
		Datasource *struct{ Name *string }
		Spec       map[string]any
	}
	DashboardAnnotationQueryKind struct {
		Spec struct {
			Name  string
			Query DashboardDataQueryKind
		}
	}
	DashboardVariableRefresh string
	DashboardVariableKind    struct {
		QueryVariableKind *struct {
			Spec struct {
				Name            string
				Label, AllValue *string
				Multi           bool
				Refresh         DashboardVariableRefresh
				Query           DashboardDataQueryKind
			}
		}
		DatasourceVariableKind, CustomVariableKind, IntervalVariableKind, ConstantVariableKind *variable
		TextVariableKind, AdhocVariableKind, GroupByVariableKind, SwitchVariableKind           *variable
	}
	variable struct {
		Spec struct {
			Name, PluginId, Query string
			Label, AllValue       *string
			Multi                 bool
			Refresh               DashboardVariableRefresh
		}
	}
)

const (
	DashboardVariableRefreshOnDashboardLoad    DashboardVariableRefresh = "onDashboardLoad"
	DashboardVariableRefreshOnTimeRangeChanged DashboardVariableRefresh = "onTimeRangeChanged"
)
