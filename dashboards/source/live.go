package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// A grafana that is asked about the dashboards that it was given.
type grafana struct{ address, token string }

func (g grafana) ask(method, path string, body, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("cannot encode a request: %w", err)
	}
	request, err := http.NewRequest(method, strings.TrimRight(g.address, "/")+path, bytes.NewReader(text))
	if err != nil {
		return fmt.Errorf("cannot ask %s: %w; give GRAFANA_URL as http://HOST:3000", g.address, err)
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

// checkLive asks a running Grafana for each dashboard, and each query of their panels, variables and annotations through its data sources of those types.
// Variables are filled in here, since only a browser does that: with everything. What has no answer is told; it may be right.
func checkLive(address string, out io.Writer) error {
	g := grafana{address, os.Getenv("GRAFANA_TOKEN")}
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

// What is asked of a dashboard, as far as it is read here.
type asked struct {
	Panels []struct {
		Title   string
		Targets []map[string]any
	}
	Templating struct {
		List []variable
	}
	Annotations struct {
		List []struct {
			Name   string
			Target map[string]any
		}
	}
}

type variable struct {
	Name, Type string
	Query      any
	Options    []struct{ Value string }
	Datasource struct{ Type string }
}

func (g grafana) checkQueries(uid string, out io.Writer) error {
	var got struct{ Dashboard asked }
	if err := g.ask("GET", "/api/dashboards/uid/"+uid, nil, &got); err != nil {
		return err
	}
	sources, err := g.sources()
	if err != nil {
		return err
	}
	var wrong []error
	told := func(place string, number int, err error) {
		if err != nil {
			wrong = append(wrong, fmt.Errorf("%s / %s: %w", uid, place, err))
			return
		}
		fmt.Fprintf(out, "%s / %s: %d\n", uid, place, number)
	}
	variables := got.Dashboard.Templating.List
	for _, one := range variables {
		if one.Type == "query" {
			number, err := g.values(one, variables, sources)
			told("variable "+one.Name, number, err)
		}
	}
	queries := func(place string, target map[string]any) {
		expression, _ := target["expr"].(string)
		for choice, filled := range fill(expression, variables) {
			number, err := g.query(target, filled, sources)
			told(place+choice, number, err)
		}
	}
	for _, panel := range got.Dashboard.Panels {
		for _, target := range panel.Targets {
			queries(fmt.Sprintf("%s / %v", panel.Title, target["refId"]), target)
		}
	}
	for _, note := range got.Dashboard.Annotations.List {
		// Grafana adds one of its own, which asks no data source.
		if note.Target["expr"] != nil {
			queries("annotation "+note.Name, note.Target)
		}
	}
	return errors.Join(wrong...)
}

// fill is an expression with everything chosen, by the choice where a variable has fixed values: each of them is one.
func fill(expression string, variables []variable) map[string]string {
	filled := map[string]string{"": expression}
	for _, one := range variables {
		next := map[string]string{}
		for choice, text := range filled {
			text = strings.ReplaceAll(text, `=~"$`+one.Name+`"`, `=~"`+everything+`"`)
			// Of one job at a time: any of them.
			text = strings.ReplaceAll(text, `="$`+one.Name+`"`, `=~".+"`)
			if one.Type != "custom" || !strings.Contains(text, "$"+one.Name) {
				next[choice] = text
				continue
			}
			for _, option := range one.Options {
				next[choice+" by "+option.Value] = strings.ReplaceAll(text, "$"+one.Name, option.Value)
			}
		}
		filled = next
	}
	return filled
}

// values returns how many values a variable has in the last six hours, asked as Grafana's Prometheus data source does.
func (g grafana) values(one variable, variables []variable, sources map[string]string) (int, error) {
	uid, ok := sources[one.Datasource.Type]
	if !ok {
		return 0, fmt.Errorf("there is no data source of type %s", one.Datasource.Type)
	}
	fields, _ := one.Query.(map[string]any)
	text, _ := fields["query"].(string)
	text = strings.ReplaceAll(fill(text, variables)[""], "$__range", "6h")
	kind, inside, _ := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	end := time.Now()
	path, asked := "/api/v1/query", url.Values{"query": {inside}, "time": {fmt.Sprint(end.Unix())}}
	if at := strings.LastIndex(inside, ", "); kind == "label_values" && at > 0 {
		path = "/api/v1/label/" + inside[at+2:] + "/values"
		asked = url.Values{"match[]": {inside[:at]}, "start": {fmt.Sprint(end.Add(-6 * time.Hour).Unix())}, "end": {fmt.Sprint(end.Unix())}}
	}
	var answer struct {
		Status, Error string
		Data          json.RawMessage
	}
	if err := g.ask("GET", "/api/datasources/uid/"+uid+"/resources"+path+"?"+asked.Encode(), nil, &answer); err != nil {
		return 0, err
	}
	if answer.Status != "success" {
		return 0, fmt.Errorf("%s", answer.Error)
	}
	var labels []string
	if json.Unmarshal(answer.Data, &labels) == nil {
		return len(labels), nil
	}
	var vector struct{ Result []any }
	if err := json.Unmarshal(answer.Data, &vector); err != nil {
		return 0, fmt.Errorf("the answer to %s is neither labels nor series: %w", text, err)
	}
	return len(vector.Result), nil
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

// query returns how many frames with rows an expression gives for the last six hours, asked as the target is.
func (g grafana) query(target map[string]any, expression string, sources map[string]string) (int, error) {
	of, _ := target["datasource"].(map[string]any)
	kind, _ := of["type"].(string)
	uid, ok := sources[kind]
	if !ok {
		return 0, fmt.Errorf("there is no data source of type %s", kind)
	}
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
