package manifests

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// program is the built openclaw-usage; OPENCLAW_USAGE names it.
func program(t *testing.T) string {
	t.Helper()
	path := os.Getenv("OPENCLAW_USAGE")
	if path == "" {
		t.Fatal("OPENCLAW_USAGE has to name the built program; `make manifests-check` does")
	}
	return path
}

// start runs what a container would: its arguments and variables, the files of its ConfigMaps and Secrets, paths of the image moved
// into a directory. `serve` becomes `check --json`, which resolves the same flags and files, and asks each endpoint.
func start(t *testing.T, objects []Object, change func(args []string) []string) (status int, said string, sent int) {
	t.Helper()
	root := t.TempDir()
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { sent++ }))
	defer receiver.Close()
	var pod Pod
	for _, candidate := range Pods(objects) {
		if candidate.Container("openclaw-usage") != nil {
			pod = candidate
		}
	}
	usage := pod.Container("openclaw-usage")
	places := []string{}
	for _, mount := range usage.List("volumeMounts") {
		path := mount.Text("mountPath")
		places = append(places, path+`"`, filepath.Join(root, path)+`"`, path+"/", filepath.Join(root, path)+"/")
		if err := os.MkdirAll(filepath.Join(root, path), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	places = append(places, "http://prometheus-operated.monitoring.svc:9090", receiver.URL, "http://loki-gateway.monitoring.svc:3100", receiver.URL)
	moved := strings.NewReplacer(places...)
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(moved.Replace(text)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, mount := range usage.List("volumeMounts") {
		folder := filepath.Join(root, mount.Text("mountPath"))
		for _, volume := range pod.Spec.List("volumes") {
			if volume.Text("name") != mount.Text("name") {
				continue
			}
			for name, text := range Named(objects, "ConfigMap", volume.Text("configMap", "name")).Child("data") {
				write(filepath.Join(folder, name), text.(string))
			}
			for name := range secretKeys(objects, volume.Text("secret", "secretName")) {
				text := "X-Scope-OrgID: tests\n"
				if name == "webhook-token" {
					text = "a-token-of-the-tests-0123456789\n"
				}
				write(filepath.Join(folder, name), text)
			}
		}
		if mount.Text("mountPath") == "/home/node/.openclaw" {
			write(filepath.Join(folder, "openclaw.json"), "{}")
		}
	}
	var args []string
	for _, arg := range usage.At("args").([]any) {
		args = append(args, moved.Replace(arg.(string)))
	}
	if args[0] != "serve" {
		t.Fatalf("starts %v", args)
	}
	command := exec.Command(program(t), append([]string{"check", "--json"}, change(args[1:])...)...)
	// What the image itself sets.
	command.Dir, command.Env = root, []string{"OPENCLAW_USAGE_CONTAINER=1", "OPENCLAW_STATE_DIR=" + filepath.Join(root, "home/node/.openclaw")}
	for _, variable := range usage.List("env") {
		command.Env = append(command.Env, variable.Text("name")+"="+moved.Replace(variable.Text("value")))
	}
	output, err := command.CombinedOutput()
	if command.ProcessState == nil {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(output), sent
}

func same(args []string) []string { return args }

func TestProgramTakesWhatItIsGiven(t *testing.T) {
	for name, objects := range all(t) {
		if name == "monitoring" {
			continue
		}
		status, said, sent := start(t, objects, same)
		if status != 0 {
			t.Errorf("%s: status %d: %s", name, status, said)
			continue
		}
		var answer struct {
			Configuration []struct{ Key, Value, Origin string }
		}
		if err := json.Unmarshal([]byte(said), &answer); err != nil {
			t.Fatalf("%s: %v: %s", name, err, said)
		}
		found := map[string]string{}
		for _, row := range answer.Configuration {
			found[row.Key] = row.Value
		}
		// What the probes, the Service and the volumes rely on.
		if found["listen"] != "0.0.0.0:9464" || !strings.HasSuffix(found["ledger.path"], "/var/lib/openclaw-usage/ledger.sqlite") || found["gateway"] != "openclaw" {
			t.Errorf("%s: %v", name, found)
		}
		if strings.Contains(name, "webhook") && found["webhook.listen"] != "0.0.0.0:9465" {
			t.Errorf("%s: %v", name, found)
		}
		if pushes := name == "overlays/push" || name == "reference" || name == "as the page tells"; pushes != (sent >= 2) {
			t.Errorf("%s: %d requests", name, sent)
		}
	}
}

func TestProgramRefusesAnotherFlagOrKey(t *testing.T) {
	objects := rendered(t, "overlays/push")
	if status, said, _ := start(t, objects, func(args []string) []string { return append(args, "--listn", "0.0.0.0:1") }); status != 64 {
		t.Errorf("status %d: %s", status, said)
	}
	data := Named(objects, "ConfigMap", "openclaw-usage").Child("data")
	data["openclaw-usage.toml"] = strings.Replace(data["openclaw-usage.toml"].(string), "headers_file", "header_file", 1)
	if status, said, _ := start(t, objects, same); status != 64 || !strings.Contains(said, "header_file") {
		t.Errorf("status %d: %s", status, said)
	}
}

// The image is of the version that is built here.
func TestImageIsThisVersion(t *testing.T) {
	output, err := exec.Command(program(t), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(output)), " ")
	for name, objects := range all(t) {
		for _, pod := range Pods(objects) {
			if usage := pod.Container("openclaw-usage"); usage != nil && !strings.HasSuffix(usage.Text("image"), ":"+version) {
				t.Errorf("%s: %s, and this is %s", name, usage.Text("image"), version)
			}
		}
	}
}

// What monitoring/ renders is what `bundle --kubernetes` writes, in the namespace monitoring.
func TestMonitoringIsTheBundle(t *testing.T) {
	out := t.TempDir()
	if said, err := exec.Command(program(t), "bundle", "--out", out, "--kubernetes").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	paths, _ := filepath.Glob(filepath.Join(out, "kubernetes/*.yaml"))
	wanted := map[string]string{}
	for _, path := range paths {
		if strings.HasSuffix(path, "configmap-openclaw-usage-alerts.yaml") {
			continue // For a Grafana whose Prometheus evaluates no rules: the same alerts once more.
		}
		for _, object := range file(t, path) {
			object.Child("metadata")["namespace"] = "monitoring"
			wanted[object.ID()] = object.JSON()
		}
	}
	if len(wanted) < 7 {
		t.Fatalf("only %d objects in a bundle", len(wanted))
	}
	objects := rendered(t, "monitoring")
	for _, object := range objects {
		if wanted[object.ID()] != object.JSON() {
			t.Errorf("%s is not what a bundle has: UPDATE_ALERTS=1 cargo test --lib bundle renews rules, dashboards/kustomization.yaml names dashboards", object.ID())
		}
		delete(wanted, object.ID())
	}
	if len(wanted) > 0 {
		t.Errorf("a bundle has also %d others: %v", len(wanted), wanted)
	}
}
