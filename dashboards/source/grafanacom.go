package main

import (
	"encoding/json"
	"fmt"
	"slices"
)

// grafanaVersion is the oldest Grafana that the dashboards are made for.
const grafanaVersion = "11.0.0"

// forGrafanaCom adds what grafana.com asks of a shared dashboard: which data sources somebody who imports it has to name,
// and which plugins it draws with. The data sources take the place of the variables that choose among provisioned ones.
func forGrafanaCom(plain []byte) ([]byte, error) {
	var shared map[string]any
	if err := json.Unmarshal(plain, &shared); err != nil {
		return nil, fmt.Errorf("cannot read a dashboard back: %w", err)
	}
	kinds := map[string]bool{}
	panelKinds(shared["panels"], kinds)
	requires := []map[string]any{{"type": "grafana", "id": "grafana", "name": "Grafana", "version": grafanaVersion}}
	names := make([]string, 0, len(kinds))
	for kind := range kinds {
		names = append(names, kind)
	}
	slices.Sort(names)
	for _, kind := range names {
		requires = append(requires, map[string]any{"type": "panel", "id": kind, "name": kind, "version": ""})
	}
	inputs := []map[string]any{}
	for _, source := range sources {
		requires = append(requires, map[string]any{"type": "datasource", "id": source.plugin, "name": source.label, "version": "1.0.0"})
		inputs = append(inputs, map[string]any{
			"name": "DS_" + source.input, "label": source.label, "type": "datasource",
			"pluginId": source.plugin, "pluginName": source.label, "description": "",
		})
	}
	shared["__inputs"], shared["__requires"], shared["id"] = inputs, requires, nil
	templating, ok := shared["templating"].(map[string]any)
	if !ok {
		return nil, fmt.Errorf("a dashboard has no variables")
	}
	list, _ := templating["list"].([]any)
	for _, source := range sources {
		for _, variable := range list {
			if fields, ok := variable.(map[string]any); ok && fields["name"] == source.variable {
				fields["current"] = map[string]any{"text": source.label, "value": "${DS_" + source.input + "}"}
			}
		}
	}
	text, err := json.MarshalIndent(shared, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("cannot encode a dashboard: %w", err)
	}
	return append(text, '\n'), nil
}

func panelKinds(panels any, kinds map[string]bool) {
	list, _ := panels.([]any)
	for _, panel := range list {
		fields, _ := panel.(map[string]any)
		if kind, _ := fields["type"].(string); kind != "" && kind != "row" {
			kinds[kind] = true
		}
		panelKinds(fields["panels"], kinds)
	}
}
