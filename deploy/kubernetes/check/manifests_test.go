package manifests

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/yannh/kubeconform/pkg/validator"
	"sigs.k8s.io/yaml"
)

var (
	// everything that a cluster could be given.
	renderings = []string{"overlays/push", "overlays/scrape", "overlays/webhook-only", "monitoring", "reference"}
	// the parts of no overlay, as somebody would put them together.
	variants = map[string]struct{ base, components, more string }{
		"classic with a PodMonitor":    {"base", "sidecar-classic pod-monitor external-secret", ""},
		"native, ledger on the volume": {"base", "sidecar ledger-on-state-volume service-monitor", ""},
		"webhooks with relays":         {"overlays/webhook-only", "egress-443", ""},
		"as the page tells":            {"base", "sidecar push external-secret", fromPage},
	}
)

// fromPage are the changes that docs/install-kubernetes.md shows; the volume is renamed on both sides.
const fromPage = `
patches:
  - target: { kind: Deployment, name: openclaw }
    patch: |-
      - op: replace
        path: /spec/template/spec/initContainers/0/volumeMounts/0/name
        value: your-volume
  - target: { kind: Deployment, name: openclaw }
    patch: |-
      - { op: replace, path: /spec/template/spec/containers/0/volumeMounts/0/name, value: your-volume }
      - { op: add, path: /spec/template/spec/volumes/-, value: { name: your-volume, persistentVolumeClaim: { claimName: openclaw-home-pvc } } }
  - patch: |-
      $patch: delete
      apiVersion: networking.k8s.io/v1
      kind: NetworkPolicy
      metadata: { name: openclaw-usage-push }
configMapGenerator:
  - name: parameters
    literals: [ssm-path=/openclaw/prod]
    options: { disableNameSuffixHash: true, annotations: { config.kubernetes.io/local-config: "true" } }
replacements:
  - source: { kind: ConfigMap, name: parameters, fieldPath: data.ssm-path }
    targets:
      - select: { kind: ExternalSecret }
        fieldPaths: [spec.data.*.remoteRef.key]
        options: { delimiter: "/", index: 0 }
`

func rendered(t *testing.T, folder string) []Object {
	t.Helper()
	objects, err := Render(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) < 5 {
		t.Fatalf("%s: only %d objects", folder, len(objects))
	}
	return objects
}

// all returns each rendering and each variant by its name.
func all(t *testing.T) map[string][]Object {
	t.Helper()
	sets := map[string][]Object{}
	for _, folder := range renderings {
		sets[folder] = rendered(t, folder)
	}
	for name, variant := range variants {
		lines := []string{"namespace: openclaw", "resources: [../../../" + variant.base + "]", "components:"}
		for _, component := range strings.Fields(variant.components) {
			lines = append(lines, "  - ../../../components/"+component)
		}
		sets[name] = temporary(t, strings.Join(lines, "\n")+variant.more)
	}
	return sets
}

// temporary renders a kustomization of this test's own; kustomize wants relative paths, so it lies beside the others.
func temporary(t *testing.T, text string) []Object {
	t.Helper()
	folder, err := os.MkdirTemp("testdata", "made-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	if err := os.WriteFile(filepath.Join(folder, "kustomization.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return rendered(t, filepath.Join("check", folder))
}

func TestRenderingsHoldTogether(t *testing.T) {
	for name, objects := range all(t) {
		for _, wrong := range Judge(objects) {
			t.Errorf("%s: %s", name, wrong)
		}
		seen := map[string]bool{}
		for _, object := range objects {
			id := object.Text("metadata", "namespace") + "/" + object.ID()
			if seen[id] {
				t.Errorf("%s: %s stands twice", name, id)
			}
			seen[id] = true
			if strings.Contains(object.JSON(), "SSM_PATH") && (name == "reference" || name == "as the page tells") {
				t.Errorf("%s: %s has no path of its parameter", name, id)
			}
		}
	}
}

func TestSidecarIsWhatThePageSays(t *testing.T) {
	for name, objects := range all(t) {
		if name == "monitoring" {
			continue
		}
		var pod Pod
		for _, candidate := range Pods(objects) {
			if candidate.Container("openclaw-usage") != nil {
				pod = candidate
			}
		}
		usage := pod.Container("openclaw-usage")
		native := slices.ContainsFunc(pod.Spec.List("initContainers"), func(c Object) bool { return c.Text("name") == "openclaw-usage" })
		if native != (usage.Text("restartPolicy") == "Always") || native != (!strings.Contains(name, "webhook") && !strings.HasPrefix(name, "classic")) {
			t.Errorf("%s: native is %v", name, native)
		}
		want := `{"limits":{"cpu":"100m","memory":"128Mi"},"requests":{"cpu":"10m","memory":"32Mi"}}`
		if got := usage.Child("resources").JSON(); got != want {
			t.Errorf("%s: %s", name, got)
		}
		if usage.At("securityContext", "runAsUser") != 1000.0 || usage.At("securityContext", "runAsGroup") != 1000.0 || pod.Spec.At("securityContext", "fsGroup") != 1000.0 {
			t.Errorf("%s: another user than 1000", name)
		}
		mounts := map[string]Object{}
		for _, mount := range usage.List("volumeMounts") {
			mounts[mount.Text("mountPath")] = mount
		}
		state := mounts["/home/node/.openclaw"]
		if (state == nil) != strings.Contains(name, "webhook") || state != nil && state.At("readOnly") != true {
			t.Errorf("%s: the state is mounted as %v", name, state)
		}
		if ledger := mounts["/var/lib/openclaw-usage"]; ledger == nil || ledger.At("readOnly") == true || (ledger.Text("subPath") != "") != strings.Contains(name, "on the volume") {
			t.Errorf("%s: the ledger is mounted as %v", name, ledger)
		}
		for probe, there := range map[string]bool{"startupProbe": true, "livenessProbe": true, "readinessProbe": strings.HasPrefix(name, "overlays/") || strings.Contains(name, "webhook")} {
			if (usage.At(probe) != nil) != there {
				t.Errorf("%s: %s is %v", name, probe, usage.At(probe))
			}
		}
	}
}

// The provider's key is in a Secret that no container of the gateway's pod sees, nor is there a file of it anywhere.
func TestProviderKeyIsLiteLLMsAlone(t *testing.T) {
	objects := rendered(t, "reference")
	seen := 0
	for _, pod := range Pods(objects) {
		knows := strings.Contains(pod.Spec.JSON(), "anthropic-api-key") || strings.Contains(pod.Spec.JSON(), `"secretName":"litellm"`)
		if knows != (pod.Owner == "Deployment/litellm") {
			t.Errorf("%s knows: %v", pod.Owner, knows)
		}
		if knows {
			seen++
		}
	}
	if seen != 1 {
		t.Errorf("%d pods know the key", seen)
	}
}

// No Secret of the reference is left for somebody to make by hand.
func TestReferenceMakesItsSecrets(t *testing.T) {
	objects := rendered(t, "reference")
	for _, pod := range Pods(objects) {
		for _, container := range pod.Containers() {
			for _, variable := range container.List("env") {
				if name := variable.Text("valueFrom", "secretKeyRef", "name"); name != "" && secretKeys(objects, name) == nil {
					t.Errorf("%s: nothing makes %s", pod.Owner, name)
				}
			}
		}
		for _, volume := range pod.Spec.List("volumes") {
			if name := volume.Text("secret", "secretName"); name != "" && secretKeys(objects, name) == nil {
				t.Errorf("%s: nothing makes %s", pod.Owner, name)
			}
		}
	}
}

// Whatever a policy opens towards addresses, private and link-local ones are left out.
func TestNoPolicyOpensPrivateNetworks(t *testing.T) {
	blocks := 0
	for name, objects := range all(t) {
		for _, policy := range Of(objects, "NetworkPolicy") {
			for _, rule := range policy.List("spec", "egress") {
				if len(rule.List("to")) == 0 {
					t.Errorf("%s: %s is open to everybody", name, policy.ID())
				}
				for _, peer := range rule.List("to") {
					if block := peer.Child("ipBlock"); block != nil {
						blocks++
						want := `["10.0.0.0/8","172.16.0.0/12","192.168.0.0/16","169.254.0.0/16","100.64.0.0/10"]`
						if !strings.Contains(block.JSON(), want) {
							t.Errorf("%s: %s opens %s", name, policy.ID(), block.JSON())
						}
					}
				}
			}
		}
	}
	if blocks < 5 {
		t.Errorf("only %d blocks", blocks)
	}
	closed := Named(rendered(t, "reference"), "NetworkPolicy", "default-deny")
	if len(closed.Child("spec", "podSelector")) != 0 || len(closed.List("spec", "egress")) != 0 || closed == nil {
		t.Errorf("default-deny is %v", closed)
	}
}

func schemas(t *testing.T) validator.Validator {
	t.Helper()
	folder := t.TempDir()
	if err := WriteSchemas(folder); err != nil {
		t.Fatal(err)
	}
	location := folder + "/{{ .ResourceKind }}_{{ if .Group }}{{ .Group }}_{{ end }}{{ .ResourceAPIVersion }}.json"
	judge, err := validator.New([]string{location}, validator.Opts{Strict: true, KubernetesVersion: KubernetesVersion})
	if err != nil {
		t.Fatal(err)
	}
	return judge
}

// refusals returns what schemas have against objects.
func refusals(judge validator.Validator, objects []Object) []string {
	var said []string
	for _, object := range objects {
		text, _ := yaml.Marshal(object)
		for _, result := range judge.Validate("", io.NopCloser(bytes.NewReader(text))) {
			if result.Status != validator.Valid {
				said = append(said, object.ID()+": "+result.Err.Error())
			}
		}
	}
	return said
}

func TestSchemasTakeEverything(t *testing.T) {
	judge := schemas(t)
	sets := all(t)
	for _, name := range []string{"reference/application.yaml", "monitoring/prometheus/otlp-2.yaml", "monitoring/prometheus/otlp-3.yaml"} {
		sets[name] = file(t, filepath.Join(Root, name))
	}
	for name, objects := range sets {
		for _, said := range refusals(judge, objects) {
			t.Errorf("%s: %s", name, said)
		}
	}
}

func file(t *testing.T, path string) []Object {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := Parse(string(text))
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return objects
}

// Case is a manifest that somebody has to refuse. Its first line says who, and a part of what is said: `# schema: unknown field`.
type Case struct{ name, who, said string }

func cases(t *testing.T, who string) []Case {
	t.Helper()
	paths, _ := filepath.Glob("testdata/refused/*.yaml")
	var found []Case
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(string(text), "\n") {
			if judge, said, ok := strings.Cut(strings.TrimPrefix(line, "# "), ": "); ok && strings.HasPrefix(line, "# ") && judge == who {
				found = append(found, Case{path, judge, said})
			}
		}
	}
	if len(found) < 2 {
		t.Fatalf("%d cases for %s", len(found), who)
	}
	return found
}

func TestSchemasRefuseWhatIsWrong(t *testing.T) {
	judge := schemas(t)
	for _, bad := range cases(t, "schema") {
		if said := strings.Join(refusals(judge, file(t, bad.name)), "\n"); !strings.Contains(said, bad.said) {
			t.Errorf("%s: %q", bad.name, said)
		}
	}
}

func TestJudgeRefusesWhatIsWrong(t *testing.T) {
	for _, bad := range cases(t, "judge") {
		if said := strings.Join(Judge(file(t, bad.name)), "\n"); !strings.Contains(said, bad.said) {
			t.Errorf("%s: %q", bad.name, said)
		}
	}
}
