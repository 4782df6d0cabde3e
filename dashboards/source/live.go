package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// A grafana that is asked about the dashboards that it was given.
type grafana struct{ url, token string }

func (g grafana) ask(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("cannot encode a request: %w", err)
	}
	request, err := http.NewRequest(method, strings.TrimRight(g.url, "/")+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w; give GRAFANA_URL as http://HOST:3000", g.url, err)
	}
	request.Header.Set("Content-Type", "application/json")
	if g.token != "" {
		request.Header.Set("Authorization", "Bearer "+g.token)
	}
	response, err := (&http.Client{Timeout: 30 * time.Second}).Do(request)
	if err != nil {
		return fmt.Errorf("cannot ask Grafana: %w; check GRAFANA_URL", err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("cannot read the answer of %s: %w", path, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s answers %s: %.300s; a token goes into GRAFANA_TOKEN", method, path, response.Status, said)
	}
	if err := json.Unmarshal(said, answer); err != nil {
		return fmt.Errorf("the answer of %s is no JSON: %w", path, err)
	}
	return nil
}

// checkLive asks a running Grafana for each dashboard, and each of their queries through its data sources of those types.
// Variables are filled in here, since only a browser does that: with everything. What has no answer is told; it may be right.
func checkLive(url string, out io.Writer) error {
	g := grafana{url, os.Getenv("GRAFANA_TOKEN")}
	var found []struct{ UID string }
	if err := g.ask("GET", "/api/search?tag="+tag, nil, &found); err != nil {
		return err
	}
	there := map[string]bool{}
	for _, one := range found {
		there[one.UID] = true
	}
	var wrong []error
	for _, uid := range []string{uidUsage, uidApplication, uidJob, uidExporter} {
		if !there[uid] {
			wrong = append(wrong, fmt.Errorf("%s is not there: was deploy/grafana/provisioning copied?", uid))
			continue
		}
		if err := g.checkQueries(uid, out); err != nil {
			wrong = append(wrong, err)
		}
	}
	return errors.Join(wrong...)
}

func (g grafana) checkQueries(uid string, out io.Writer) error {
	var got struct {
		Dashboard struct {
			Panels []struct {
				Title   string
				Targets []map[string]any
			}
		}
	}
	if err := g.ask("GET", "/api/dashboards/uid/"+uid, nil, &got); err != nil {
		return err
	}
	sources, err := g.sources()
	if err != nil {
		return err
	}
	var wrong []error
	for _, panel := range got.Dashboard.Panels {
		for _, target := range panel.Targets {
			frames, err := g.query(target, sources)
			if err != nil {
				wrong = append(wrong, fmt.Errorf("%s / %s: %w", uid, panel.Title, err))
				continue
			}
			fmt.Fprintf(out, "%s / %s / %v: %d\n", uid, panel.Title, target["refId"], frames)
		}
	}
	return errors.Join(wrong...)
}

// sources are the uids of data sources by type; of several the default one, or else the first.
func (g grafana) sources() (map[string]string, error) {
	var list []struct {
		UID, Type string
		IsDefault bool
	}
	if err := g.ask("GET", "/api/datasources", nil, &list); err != nil {
		return nil, err
	}
	uids := map[string]string{}
	for _, one := range list {
		if _, known := uids[one.Type]; !known || one.IsDefault {
			uids[one.Type] = one.UID
		}
	}
	return uids, nil
}

// query returns how many frames with rows a query gives for the last six hours.
func (g grafana) query(target map[string]any, sources map[string]string) (int, error) {
	of, _ := target["datasource"].(map[string]any)
	kind, _ := of["type"].(string)
	uid, ok := sources[kind]
	if !ok {
		return 0, fmt.Errorf("there is no data source of type %s", kind)
	}
	expression, _ := target["expr"].(string)
	for _, name := range []string{"job", "instance", "agent", "model"} {
		expression = strings.ReplaceAll(expression, `=~"$`+name+`"`, `=~"`+everything+`"`)
	}
	expression = strings.NewReplacer(`="$cron_job"`, `=~".+"`, `=~"$cron_job"`, `=~".*"`, `=~"$source"`, `=~".*openclaw-usage.*"`,
		"$group_by", "openclaw_job_name").Replace(expression)
	query := map[string]any{}
	for key, value := range target {
		query[key] = value
	}
	query["expr"], query["datasource"] = expression, map[string]any{"type": kind, "uid": uid}
	query["intervalMs"], query["maxDataPoints"] = 20_000, 1_000
	var answer struct {
		Results map[string]struct {
			Error  string
			Frames []struct {
				Data struct{ Values [][]any }
			}
		}
	}
	body := map[string]any{"from": "now-6h", "to": "now", "queries": []any{query}}
	if err := g.ask("POST", "/api/ds/query", body, &answer); err != nil {
		return 0, err
	}
	filled := 0
	for _, result := range answer.Results {
		if result.Error != "" {
			return 0, fmt.Errorf("%s", result.Error)
		}
		for _, frame := range result.Frames {
			if len(frame.Data.Values) > 0 && len(frame.Data.Values[0]) > 0 {
				filled++
			}
		}
	}
	return filled, nil
}
