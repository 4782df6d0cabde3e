package main

import (
	"bytes"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func committed(t *testing.T) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob("../*.json")
	if err != nil || len(paths) != len(all()) {
		t.Fatalf("%d dashboards are committed: %v", len(paths), err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if files[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

func TestCommittedFilesAreWhatThisWrites(t *testing.T) {
	folder := t.TempDir()
	if err := write(folder, ""); err != nil {
		t.Fatal(err)
	}
	for name, text := range committed(t) {
		made, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !bytes.Equal(made, text) {
			t.Errorf("%s is out of date (%v); renew it with: go run . --out ..", name, err)
		}
	}
}

func TestCommittedFilesAreValid(t *testing.T) {
	if err := check(committed(t)); err != nil {
		t.Fatal(err)
	}
}

func TestWhatIsWrongIsRefused(t *testing.T) {
	good := committed(t)
	for what, broken := range map[string]struct{ name, from, to, says string }{
		"a misspelt field":          {"openclaw-cron-job.json", `"description":`, `"descripton":`, "descripton"},
		"a wrong type":              {"openclaw-cron-job.json", `"editable": false`, `"editable": "no"`, "editable"},
		"an impossible place":       {"openclaw-cron-job.json", `"w": 24`, `"w": 25`, "valid"},
		"a uid that is not its own": {"openclaw-cron-job.json", `"uid": "openclaw-cron-job"`, `"uid": "openclaw-usage-cost"`, "uid"},
		"a fixed data source":       {"openclaw-cron-job.json", "${loki_datasource}", "P8E80F9AEF21F6940", "P8E80F9AEF21F6940"},
	} {
		files := maps.Clone(good)
		files[broken.name] = bytes.ReplaceAll(good[broken.name], []byte(broken.from), []byte(broken.to))
		if bytes.Equal(files[broken.name], good[broken.name]) {
			t.Errorf("%s: nothing was changed", what)
		}
		if err := check(files); err == nil || !strings.Contains(err.Error(), broken.says) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestTheFormForGrafanaComAsksForItsSources(t *testing.T) {
	folder := t.TempDir()
	if err := write("", folder); err != nil {
		t.Fatal(err)
	}
	for name := range committed(t) {
		text, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !bytes.Contains(text, []byte(`"__inputs"`)) || !bytes.Contains(text, []byte(`"__requires"`)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A Grafana that answers as its API is described: with the committed dashboards, and with a row for each query that has nothing
// left to fill in but what Grafana itself does.
func TestARunningGrafanaIsAsked(t *testing.T) {
	files, asked := committed(t), 0
	api := http.NewServeMux()
	api.HandleFunc("GET /api/search", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`[{"uid":"openclaw-usage-cost"},{"uid":"openclaw-application-metrics"},{"uid":"openclaw-cron-job"}]`))
	})
	api.HandleFunc("GET /api/dashboards/uid/{uid}", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(`{"dashboard":` + string(files[r.PathValue("uid")+".json"]) + `}`))
	})
	api.HandleFunc("GET /api/datasources", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(`[{"uid":"p","type":"prometheus"},{"uid":"l","type":"loki"}]`))
	})
	left := func(text string) {
		for _, variable := range []string{"$job", "$instance", "$agent", "$model", "$cron_job", "$source", "$group_by", "_datasource}"} {
			if strings.Contains(strings.ReplaceAll(text, "{{$group_by}}", ""), variable) {
				t.Errorf("%s is left over in %s", variable, text)
			}
		}
		asked++
	}
	api.HandleFunc("POST /api/ds/query", func(w http.ResponseWriter, r *http.Request) {
		var body bytes.Buffer
		body.ReadFrom(r.Body)
		left(body.String())
		w.Write([]byte(`{"results":{"A":{"frames":[{"data":{"values":[[1],[2]]}}]}}}`))
	})
	api.HandleFunc("GET /api/datasources/uid/p/resources/api/v1/label/{label}/values", func(w http.ResponseWriter, r *http.Request) {
		left(r.FormValue("match[]"))
		if r.PathValue("label") == "openclaw_agent" {
			w.Write([]byte(`{"status":"error","error":"no such label"}`))
			return
		}
		w.Write([]byte(`{"status":"success","data":["one"]}`))
	})
	api.HandleFunc("GET /api/datasources/uid/p/resources/api/v1/query", func(w http.ResponseWriter, r *http.Request) {
		left(r.FormValue("query"))
		w.Write([]byte(`{"status":"success","data":{"resultType":"vector","result":[{}]}}`))
	})
	server := httptest.NewServer(api)
	defer server.Close()
	var said bytes.Buffer
	err := checkLive(server.URL, &said)
	for _, wrong := range []string{"openclaw-usage-exporter is not there", "variable agent: no such label"} {
		if err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	// One answer is an error.
	if lines := strings.Count(said.String(), ": 1\n"); lines != asked-1 || asked < 60 {
		t.Errorf("%d of %d queries: %s", lines, asked, said.String())
	}
	for _, place := range []string{"variable cron_job", "annotation Price changed", "Cost over time / A by openclaw_channel"} {
		if !strings.Contains(said.String(), place) {
			t.Errorf("%s was not asked: %s", place, said.String())
		}
	}
}
