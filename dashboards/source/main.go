// Command dashboards writes the Grafana dashboards of openclaw-usage as JSON of the classic schema.
//
//	go run . --out ..                writes ../*.json, which is what is provisioned
//	go run . --grafana-com FOLDER    writes the form that grafana.com takes, with __inputs and __requires
//	go run . --grafana URL           asks a running Grafana for the dashboards, and each of their queries
//
// Each dashboard is one file here: its panels in the order in which they are read. How a panel looks by default is in
// panel.go, what it asks in query.go. A test holds the committed JSON against what this writes.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/loki"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// all is every dashboard in the order of their links.
func all() []*dashboard.DashboardBuilder {
	return []*dashboard.DashboardBuilder{usageAndCost(), applicationMetrics(), cronJob(), exporter()}
}

func main() {
	out := flag.String("out", "", "folder for the dashboards that are provisioned")
	shared := flag.String("grafana-com", "", "folder for the form that grafana.com takes")
	live := flag.String("grafana", "", "URL of a Grafana whose dashboards and queries are asked for")
	flag.Parse()
	if *live != "" {
		if err := checkLive(*live, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "dashboards:", err)
			os.Exit(1)
		}
		return
	}
	if *out == "" && *shared == "" {
		flag.Usage()
		os.Exit(64)
	}
	if err := write(*out, *shared); err != nil {
		fmt.Fprintln(os.Stderr, "dashboards:", err)
		os.Exit(1)
	}
}

func write(out, shared string) error {
	plugins.RegisterDefaultPlugins()
	for _, builder := range all() {
		built, err := builder.Build()
		if err != nil {
			return fmt.Errorf("cannot build a dashboard: %w", err)
		}
		number(built.Panels)
		plain, err := render(built)
		if err != nil {
			return err
		}
		for folder, text := range map[string]func() ([]byte, error){
			out:    func() ([]byte, error) { return plain, nil },
			shared: func() ([]byte, error) { return forGrafanaCom(plain) },
		} {
			if folder == "" {
				continue
			}
			content, err := text()
			if err != nil {
				return err
			}
			path := filepath.Join(folder, *built.Uid+".json")
			if err := os.WriteFile(path, content, 0o644); err != nil {
				return fmt.Errorf("cannot write a dashboard: %w", err)
			}
		}
	}
	return nil
}

// number gives panels their ids, and each query that has no name of its own a letter, as Grafana's editor does.
func number(panels []dashboard.PanelOrRowPanel) {
	for at := range panels {
		id := uint32(at + 1)
		if panels[at].RowPanel != nil {
			panels[at].RowPanel.Id = id
			continue
		}
		panels[at].Panel.Id = &id
		targets := panels[at].Panel.Targets
		for at := range targets {
			letter := string(rune('A' + at))
			switch query := targets[at].(type) {
			case prometheus.Dataquery:
				if query.RefId == nil {
					query.RefId = &letter
				}
				targets[at] = query
			case loki.Dataquery:
				if query.RefId == nil {
					query.RefId = &letter
				}
				targets[at] = query
			}
		}
	}
}

// render is the JSON that is committed: indented, so that a change can be read.
func render(built dashboard.Dashboard) ([]byte, error) {
	text, err := json.MarshalIndent(built, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot encode the dashboard %s: %w", *built.Uid, err)
	}
	return append(text, '\n'), nil
}
