package manifests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigs.k8s.io/yaml"
)

// KubernetesVersion is whose schemas are asked.
const KubernetesVersion = "1.36.3"

// sources are the Go modules whose files say what objects may hold; sums as go.sum has them.
var sources = []struct{ module, sum string }{
	{"k8s.io/kubernetes@v" + KubernetesVersion, "h1:qDQdoMiluAE2Eab6Fa52YV+WjiGz9mZFFoagEA6cI+o="},
	{"github.com/prometheus-operator/prometheus-operator@v0.85.0", "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="},
	{"github.com/external-secrets/external-secrets@v1.3.2", "h1:u2J8RjlHIeF0oZCqtl92adI/uZWUwOesJIDkfql6LqQ="},
	{"github.com/argoproj/argo-cd/v3@v3.1.0", "h1:2+gPskQKCyPC9DzRSWQ1AvmS3WiIlRR7bKz/FO3DozI="},
}

// crds are the files with definitions of operators, below the modules of the same index.
var crds = [][]string{1: {
	"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
	"example/prometheus-operator-crd/monitoring.coreos.com_prometheuses.yaml",
	"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	"example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
}, 2: {
	"config/crds/bases/external-secrets.io_externalsecrets.yaml",
}, 3: {
	"manifests/crds/application-crd.yaml",
}}

// kinds are those of Kubernetes itself that the manifests use.
var kinds = map[string]string{
	"ConfigMap": "v1", "Namespace": "v1", "PersistentVolumeClaim": "v1", "Secret": "v1", "Service": "v1",
	"Deployment": "apps/v1", "NetworkPolicy": "networking.k8s.io/v1",
}

// CRDs downloads the modules, once per machine, and returns the files of the operators' definitions.
func CRDs() (swagger string, definitions []string, err error) {
	for index, source := range sources {
		var said bytes.Buffer
		command := exec.Command("go", "mod", "download", "-json", source.module)
		command.Dir, command.Stdout, command.Env = os.TempDir(), &said, append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
		if err := command.Run(); err != nil {
			return "", nil, fmt.Errorf("go mod download %s: %w: %s", source.module, err, said.String())
		}
		var module struct{ Dir, Sum string }
		if err := json.Unmarshal(said.Bytes(), &module); err != nil {
			return "", nil, err
		}
		if module.Sum != source.sum {
			return "", nil, fmt.Errorf("%s has the sum %s and not %s", source.module, module.Sum, source.sum)
		}
		if index == 0 {
			swagger = filepath.Join(module.Dir, "api/openapi-spec/swagger.json")
			continue
		}
		for _, name := range crds[index] {
			definitions = append(definitions, filepath.Join(module.Dir, name))
		}
	}
	return swagger, definitions, nil
}

// WriteSchemas makes of them the files that kubeconform reads, with unknown keys refused.
func WriteSchemas(folder string) error {
	swagger, definitions, err := CRDs()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(swagger)
	if err != nil {
		return err
	}
	var api struct{ Definitions map[string]Object }
	if err := json.Unmarshal(text, &api); err != nil {
		return err
	}
	for name, definition := range api.Definitions {
		for _, gvk := range definition.List("x-kubernetes-group-version-kind") {
			version := strings.TrimPrefix(gvk.Text("group")+"/"+gvk.Text("version"), "/")
			if kind := gvk.Text("kind"); kinds[kind] == version {
				used := map[string]any{}
				collect(name, api.Definitions, used)
				schema := map[string]any{"$ref": "#/definitions/" + name, "definitions": used}
				if err := writeSchema(folder, kind, version, schema); err != nil {
					return err
				}
			}
		}
	}
	for _, path := range definitions {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		crd := Object{}
		if err := yaml.Unmarshal(text, &crd); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, version := range crd.List("spec", "versions") {
			schema := map[string]any(version.Child("schema", "openAPIV3Schema"))
			strict(schema)
			// What every object has, and the schema of a CRD does not name.
			schema["properties"].(map[string]any)["metadata"] = map[string]any{"type": "object"}
			group := crd.Text("spec", "group") + "/" + version.Text("name")
			if err := writeSchema(folder, crd.Text("spec", "names", "kind"), group, schema); err != nil {
				return err
			}
		}
	}
	return nil
}

func writeSchema(folder, kind, version string, schema map[string]any) error {
	text, err := json.Marshal(schema)
	if err != nil {
		return err
	}
	if !strings.Contains(version, "/") {
		version = version + "/" + version // kubeconform's group of what is in no group.
	}
	name := strings.ToLower(kind + "_" + strings.ReplaceAll(version, "/", "_") + ".json")
	return os.WriteFile(filepath.Join(folder, name), text, 0o644)
}

// collect copies a definition and all that it refers to.
func collect(name string, from map[string]Object, to map[string]any) {
	if _, done := to[name]; done {
		return
	}
	definition := map[string]any(from[name])
	to[name] = definition
	strict(definition)
	if strings.HasSuffix(name, "resource.Quantity") || strings.HasSuffix(name, "intstr.IntOrString") {
		definition["type"] = []any{"string", "number"}
	}
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			if reference, ok := value["$ref"].(string); ok {
				collect(strings.TrimPrefix(reference, "#/definitions/"), from, to)
			}
			for _, below := range value {
				walk(below)
			}
		case []any:
			for _, below := range value {
				walk(below)
			}
		}
	}
	walk(definition)
}

// strict refuses keys that a schema does not name, and drops what is no JSON schema.
func strict(value any) {
	switch value := value.(type) {
	case map[string]any:
		if _, isSchema := value["type"].(string); isSchema || value["properties"] != nil {
			properties, _ := value["properties"].(map[string]any)
			open := value["x-kubernetes-preserve-unknown-fields"] == true || value["x-kubernetes-embedded-resource"] == true
			if len(properties) > 0 && value["additionalProperties"] == nil && !open {
				value["additionalProperties"] = false
			}
			if value["x-kubernetes-int-or-string"] == true {
				delete(value, "type")
			}
			delete(value, "format")
		}
		for _, below := range value {
			strict(below)
		}
	case []any:
		for _, below := range value {
			strict(below)
		}
	}
}
