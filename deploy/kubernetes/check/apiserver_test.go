//go:build apiserver

package manifests

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// TestAPIServer starts etcd and kube-apiserver on loopback, gives them the operators' definitions and a namespace at Pod Security's
// level `restricted`, and lets them judge everything by a dry run. APISERVER names the folder of the programs.
func TestAPIServer(t *testing.T) {
	cluster := startCluster(t)
	_, definitions, err := CRDs()
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range definitions {
		if said, err := cluster.kubectl("", "apply", "--server-side", "-f", path); err != nil {
			t.Fatalf("%s: %s", path, said)
		}
	}
	if said, err := cluster.kubectl("", "wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"); err != nil {
		t.Fatal(said)
	}
	for _, name := range []string{"monitoring", "argocd"} {
		if said, err := cluster.kubectl("", "create", "namespace", name); err != nil {
			t.Fatal(said)
		}
	}
	namespace := file(t, filepath.Join(Root, "base/namespace.yaml"))
	if namespace[0].Text("metadata", "labels", "pod-security.kubernetes.io/enforce") != "restricted" {
		t.Fatalf("the namespace does not enforce the level restricted: %v", namespace)
	}
	if said, err := cluster.kubectl(stream(namespace), "apply", "-f", "-"); err != nil {
		t.Fatal(said)
	}

	sets := all(t)
	sets["application.yaml"] = file(t, filepath.Join(Root, "reference/application.yaml"))
	sets["otlp-2.yaml"] = file(t, filepath.Join(Root, "monitoring/prometheus/otlp-2.yaml"))
	sets["otlp-3.yaml"] = file(t, filepath.Join(Root, "monitoring/prometheus/otlp-3.yaml"))
	for name, objects := range sets {
		if said, err := cluster.dryRun(objects); err != nil {
			t.Errorf("%s: %s", name, said)
		} else if got := strings.Count(said, "server dry run"); got < len(objects) {
			t.Errorf("%s: only %d answers for %d objects: %s", name, got, len(objects), said)
		}
	}
	for _, bad := range cases(t, "apiserver") {
		if said, err := cluster.dryRun(file(t, bad.name)); err == nil || !strings.Contains(said, bad.said) {
			t.Errorf("%s: %s", bad.name, said)
		}
	}
}

// dryRun asks for each object, and for each pod template as a Pod, since Pod Security refuses Pods only.
func (cluster cluster) dryRun(objects []Object) (string, error) {
	asked := append([]Object{}, objects...)
	for index, pod := range Pods(objects) {
		asked = append(asked, Object{
			"apiVersion": "v1", "kind": "Pod", "spec": map[string]any(pod.Spec),
			"metadata": map[string]any{"name": fmt.Sprint("pod-", index), "namespace": "openclaw", "labels": pod.Labels},
		})
	}
	for _, object := range asked {
		if metadata := object.Child("metadata"); object.Text("kind") != "Namespace" && metadata.Text("namespace") == "" {
			metadata["namespace"] = "openclaw"
		}
	}
	return cluster.kubectl(stream(asked), "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict", "-f", "-")
}

func stream(objects []Object) string {
	var parts []string
	for _, object := range objects {
		text, _ := yaml.Marshal(object)
		parts = append(parts, string(text))
	}
	return strings.Join(parts, "---\n")
}

type cluster struct{ folder, programs string }

func (cluster cluster) kubectl(input string, args ...string) (string, error) {
	command := exec.Command(filepath.Join(cluster.programs, "kubectl"), args...)
	command.Env = []string{"KUBECONFIG=" + filepath.Join(cluster.folder, "kubeconfig"), "HOME=" + cluster.folder}
	command.Stdin = strings.NewReader(input)
	said, err := command.CombinedOutput()
	return string(said), err
}

const token = "a-token-of-the-tests"

func startCluster(t *testing.T) cluster {
	t.Helper()
	programs := os.Getenv("APISERVER")
	if programs == "" {
		t.Fatal("APISERVER has to name the folder of kube-apiserver; `make manifests-check` builds it")
	}
	started := cluster{t.TempDir(), programs}
	path := func(name string) string { return filepath.Join(started.folder, name) }
	write := func(name, text string) {
		if err := os.WriteFile(path(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	client, peer, port := freePort(t), freePort(t), freePort(t)
	etcd := "http://127.0.0.1:" + client
	run(t, path("etcd.log"), filepath.Join(programs, "server"), "--data-dir", path("etcd"), "--unsafe-no-fsync",
		"--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", "http://127.0.0.1:"+peer, "--initial-advertise-peer-urls", "http://127.0.0.1:"+peer,
		"--initial-cluster", "default=http://127.0.0.1:"+peer)
	key := path("service-account.key")
	signer, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	write("service-account.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(signer)})))
	write("tokens.csv", token+",admin,admin,system:masters\n")
	run(t, path("apiserver.log"), filepath.Join(programs, "kube-apiserver"), "--etcd-servers", etcd, "--bind-address", "127.0.0.1",
		"--secure-port", port, "--cert-dir", path("certificates"), "--token-auth-file", path("tokens.csv"), "--authorization-mode", "RBAC",
		"--service-account-issuer", "https://kubernetes.default.svc", "--service-account-key-file", key,
		"--service-account-signing-key-file", key, "--service-cluster-ip-range", "10.0.0.0/24",
		// Nothing makes the account `default` here.
		"--disable-admission-plugins", "ServiceAccount")
	write("kubeconfig", fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "tests",
		"contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "tests"}}],
		"users": [{"name": "tests", "user": {"token": %q}}],
		"clusters": [{"name": "tests", "cluster": {"server": "https://127.0.0.1:%s", "certificate-authority": %q, "tls-server-name": "kubernetes"}}]}`,
		token, port, path("certificates/apiserver.crt")))
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		said, err := started.kubectl("", "get", "--raw", "/readyz")
		if err == nil && said == "ok" {
			return started
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(path("apiserver.log"))
			t.Fatalf("the API server is not ready: %s\n%s", said, log[max(0, len(log)-3000):])
		}
	}
}

// run starts a program that ends with the test.
func run(t *testing.T, log, program string, args ...string) {
	t.Helper()
	output, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.Command(program, args...)
	command.Stdout, command.Stderr = output, output
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		command.Process.Kill()
		command.Wait()
		output.Close()
	})
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	return port
}
