package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// check judges dashboards by their file names: the library's strict reader, which knows every field, and what only all of
// them together show. An error names the file.
func check(files map[string][]byte) error {
	uids := map[string]string{}
	for name, text := range files {
		var read dashboard.Dashboard
		if err := read.UnmarshalJSONStrict(text); err != nil {
			return fmt.Errorf("%s is not of the classic schema: %w", name, err)
		}
		if err := read.Validate(); err != nil {
			return fmt.Errorf("%s is no valid dashboard: %w", name, err)
		}
		if read.Uid == nil || *read.Uid+".json" != name {
			return fmt.Errorf("%s does not have its name as uid: links hang on it", name)
		}
		if other, taken := uids[*read.Uid]; taken {
			return fmt.Errorf("%s and %s have the same uid %s: Grafana would load one of them", name, other, *read.Uid)
		}
		uids[*read.Uid] = name
		var plain any
		if err := json.Unmarshal(text, &plain); err != nil {
			return fmt.Errorf("%s is no JSON: %w", name, err)
		}
		if fixed := fixedSource(plain); fixed != "" {
			return fmt.Errorf("%s asks the data source %q, which only one Grafana has", name, fixed)
		}
	}
	return nil
}

// fixedSource is the first data source that is named instead of chosen, or nothing.
func fixedSource(value any) string {
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			if fixed := fixedSource(item); fixed != "" {
				return fixed
			}
		}
	case map[string]any:
		if of, ok := value["datasource"].(map[string]any); ok {
			if uid, ok := of["uid"].(string); ok && !strings.HasPrefix(uid, "${") {
				return uid
			}
		}
		for _, item := range value {
			if fixed := fixedSource(item); fixed != "" {
				return fixed
			}
		}
	}
	return ""
}
