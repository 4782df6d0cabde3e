// Package manifests holds the YAML of deploy/kubernetes to what it promises: each kustomization is rendered, its objects are held
// against Kubernetes's own schemas and those of the operators, against each other, and against the program that they start.
// Deliberately absent: a cluster. The build tag `apiserver` adds a real API server, which judges and stores nothing.
package manifests

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// Root is deploy/kubernetes, seen from here.
const Root = ".."

// Object is one object as JSON has it.
type Object map[string]any

// Render builds a kustomization below Root as `kustomize build` and `kubectl kustomize` do.
func Render(folder string) ([]Object, error) {
	path, err := filepath.Abs(filepath.Join(Root, folder))
	if err != nil {
		return nil, err
	}
	made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		return nil, fmt.Errorf("render %s: %w", folder, err)
	}
	text, err := made.AsYaml()
	if err != nil {
		return nil, err
	}
	return Parse(string(text))
}

// Parse reads the objects of a YAML stream.
func Parse(text string) ([]Object, error) {
	var objects []Object
	for _, part := range strings.Split("\n"+text, "\n---\n") {
		object := Object{}
		if err := yaml.UnmarshalStrict([]byte(part), &object); err != nil {
			return nil, err
		}
		if len(object) > 0 {
			objects = append(objects, object)
		}
	}
	return objects, nil
}

// At returns what stands below keys, or nil.
func (object Object) At(keys ...string) any {
	var value any = map[string]any(object)
	for _, key := range keys {
		below, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = below[key]
	}
	return value
}

// Text returns the string below keys, or "".
func (object Object) Text(keys ...string) string {
	text, _ := object.At(keys...).(string)
	return text
}

// List returns the objects of the list below keys.
func (object Object) List(keys ...string) []Object {
	values, _ := object.At(keys...).([]any)
	var list []Object
	for _, value := range values {
		if below, ok := value.(map[string]any); ok {
			list = append(list, below)
		}
	}
	return list
}

// Child returns the object below keys; empty if there is none.
func (object Object) Child(keys ...string) Object {
	below, _ := object.At(keys...).(map[string]any)
	return below
}

// ID is what a message calls an object.
func (object Object) ID() string {
	return object.Text("kind") + "/" + object.Text("metadata", "name")
}

// JSON is the object with its keys in order, for comparing and for sending.
func (object Object) JSON() string {
	text, err := json.Marshal(object)
	if err != nil {
		panic(err) // It came from JSON.
	}
	return string(text)
}

// Of returns the objects of a kind.
func Of(objects []Object, kind string) []Object {
	var found []Object
	for _, object := range objects {
		if object.Text("kind") == kind {
			found = append(found, object)
		}
	}
	return found
}

// Named returns the object of a kind and a name; empty if there is none.
func Named(objects []Object, kind, name string) Object {
	for _, object := range Of(objects, kind) {
		if object.Text("metadata", "name") == name {
			return object
		}
	}
	return nil
}

// Pod is a pod template and where it stands.
type Pod struct {
	Owner  string
	Labels map[string]any
	Spec   Object
}

// Pods returns the pod templates of Deployments.
func Pods(objects []Object) []Pod {
	var pods []Pod
	for _, object := range Of(objects, "Deployment") {
		template := object.Child("spec", "template")
		pods = append(pods, Pod{object.ID(), template.Child("metadata", "labels"), template.Child("spec")})
	}
	return pods
}

// Containers returns all containers of a pod, the initial ones first.
func (pod Pod) Containers() []Object {
	return append(pod.Spec.List("initContainers"), pod.Spec.List("containers")...)
}

// Container returns the container of a name; empty if there is none.
func (pod Pod) Container(name string) Object {
	for _, container := range pod.Containers() {
		if container.Text("name") == name {
			return container
		}
	}
	return nil
}

// Selected tells whether labels have all that matchLabels asks for.
func Selected(matchLabels Object, labels map[string]any) bool {
	for name, value := range matchLabels {
		if labels[name] != value {
			return false
		}
	}
	return true
}
