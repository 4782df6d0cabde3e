package manifests

import (
	"fmt"
	"strings"
)

// stateUsers may write the gateway's state; everybody else who mounts it must not.
var stateUsers = map[string]bool{"gateway": true, "config-manager": true, "config": true}

// Judge returns what is wrong with the pods of a rendering and with what points at them, one sentence each.
func Judge(objects []Object) []string {
	var wrong []string
	for _, pod := range Pods(objects) {
		wrong = append(wrong, hardened(pod)...)
		wrong = append(wrong, references(pod, objects)...)
	}
	return append(wrong, selectors(objects)...)
}

// hardened holds a pod against Pod Security's level `restricted`, and a little more.
func hardened(pod Pod) []string {
	var wrong []string
	say := func(format string, values ...any) {
		wrong = append(wrong, pod.Owner+": "+fmt.Sprintf(format, values...))
	}
	if pod.Spec.At("automountServiceAccountToken") != false {
		say("mounts a service account's token")
	}
	for _, key := range []string{"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} {
		if pod.Spec.At(key) != nil {
			say("has %s", key)
		}
	}
	for _, volume := range pod.Spec.List("volumes") {
		if volume.At("hostPath") != nil {
			say("mounts a path of its node")
		}
	}
	either := func(container Object, keys ...string) any {
		keys = append([]string{"securityContext"}, keys...)
		if value := container.At(keys...); value != nil {
			return value
		}
		return pod.Spec.At(keys...)
	}
	for _, container := range pod.Containers() {
		name := container.Text("name")
		context := container.Child("securityContext")
		if either(container, "runAsNonRoot") != true {
			say("%s may be root", name)
		}
		if user, _ := either(container, "runAsUser").(float64); user == 0 {
			say("%s has no user", name)
		}
		if either(container, "seccompProfile", "type") != "RuntimeDefault" {
			say("%s has no seccomp profile", name)
		}
		if context.At("allowPrivilegeEscalation") != false {
			say("%s may escalate", name)
		}
		if context.At("readOnlyRootFilesystem") != true {
			say("%s may write its root", name)
		}
		if drop, _ := context.At("capabilities", "drop").([]any); len(drop) != 1 || drop[0] != "ALL" || context.At("capabilities", "add") != nil {
			say("%s keeps capabilities", name)
		}
		for _, key := range []string{"requests", "limits"} {
			if container.Text("resources", key, "cpu") == "" || container.Text("resources", key, "memory") == "" {
				say("%s has no %s", name, key)
			}
		}
		if _, tag, _ := strings.Cut(container.Text("image"), ":"); tag == "" || tag == "latest" {
			say("%s is not pinned to a version", name)
		}
		for _, mount := range container.List("volumeMounts") {
			if mount.Text("mountPath") == "/home/node/.openclaw" && !stateUsers[name] && mount.At("readOnly") != true {
				say("%s may write the gateway's state", name)
			}
		}
	}
	return wrong
}

// references finds what a pod names and nobody has: volumes, claims, ConfigMaps, Secrets, keys, ports.
func references(pod Pod, objects []Object) []string {
	var wrong []string
	say := func(format string, values ...any) {
		wrong = append(wrong, pod.Owner+": "+fmt.Sprintf(format, values...))
	}
	volumes := map[string]bool{}
	for _, volume := range pod.Spec.List("volumes") {
		volumes[volume.Text("name")] = true
		if claim := volume.Text("persistentVolumeClaim", "claimName"); claim != "" && Named(objects, "PersistentVolumeClaim", claim) == nil {
			say("there is no claim %s", claim)
		}
		if name := volume.Text("configMap", "name"); name != "" && Named(objects, "ConfigMap", name) == nil {
			say("there is no ConfigMap %s", name)
		}
		if name := volume.Text("secret", "secretName"); name != "" && volume.At("secret", "optional") != true && secretKeys(objects, name) == nil {
			say("there is no Secret %s", name)
		}
	}
	for _, container := range pod.Containers() {
		name := container.Text("name")
		ports := map[string]bool{}
		for _, port := range container.List("ports") {
			ports[port.Text("name")] = true
			if len(port.Text("name")) > 15 {
				say("%s has a port with too long a name", name)
			}
		}
		for _, mount := range container.List("volumeMounts") {
			if !volumes[mount.Text("name")] {
				say("%s mounts %s, which is no volume", name, mount.Text("name"))
			}
		}
		for _, probe := range []string{"startupProbe", "livenessProbe", "readinessProbe"} {
			if port := container.Text(probe, "httpGet", "port"); container.At(probe) != nil && !ports[port] {
				say("%s has no port %q for its %s", name, port, probe)
			}
		}
		for _, variable := range container.List("env") {
			secret, key := variable.Text("valueFrom", "secretKeyRef", "name"), variable.Text("valueFrom", "secretKeyRef", "key")
			if keys := secretKeys(objects, secret); keys != nil && !keys[key] {
				say("%s: the Secret %s has no %s", name, secret, key)
			}
		}
	}
	return wrong
}

// secretKeys returns the keys that a Secret has, or that an ExternalSecret makes; nil if there is none of the name.
func secretKeys(objects []Object, name string) map[string]bool {
	var keys map[string]bool
	if secret := Named(objects, "Secret", name); secret != nil {
		keys = map[string]bool{}
		for key := range secret.Child("stringData") {
			keys[key] = true
		}
	}
	for _, external := range Of(objects, "ExternalSecret") {
		if external.Text("spec", "target", "name") == name {
			keys = map[string]bool{}
			for _, data := range external.List("spec", "data") {
				keys[data.Text("secretKey")] = true
			}
		}
	}
	return keys
}

// selectors finds Services, policies and monitors that select nothing, or ports that nobody has.
func selectors(objects []Object) []string {
	var wrong []string
	say := func(object Object, what string) { wrong = append(wrong, object.ID()+": "+what) }
	pods := Pods(objects)
	match := func(selector Object) (named map[string]bool, numbers map[float64]bool, found bool) {
		named, numbers = map[string]bool{}, map[float64]bool{}
		for _, pod := range pods {
			if !Selected(selector, pod.Labels) {
				continue
			}
			found = true
			for _, container := range pod.Containers() {
				for _, port := range container.List("ports") {
					number, _ := port.At("containerPort").(float64)
					named[port.Text("name")], numbers[number] = true, true
				}
			}
		}
		return named, numbers, found
	}
	for _, service := range Of(objects, "Service") {
		ports, _, _ := match(service.Child("spec", "selector"))
		for _, port := range service.List("spec", "ports") {
			if !ports[port.Text("targetPort")] {
				say(service, "no pod has the port "+port.Text("targetPort"))
			}
		}
	}
	for _, monitor := range Of(objects, "ServiceMonitor") {
		ports := map[string]bool{}
		for _, service := range Of(objects, "Service") {
			if Selected(monitor.Child("spec", "selector", "matchLabels"), service.Child("metadata", "labels")) {
				for _, port := range service.List("spec", "ports") {
					ports[port.Text("name")] = true
				}
			}
		}
		for _, endpoint := range monitor.List("spec", "endpoints") {
			if !ports[endpoint.Text("port")] {
				say(monitor, "no Service has the port "+endpoint.Text("port"))
			}
		}
	}
	for _, monitor := range Of(objects, "PodMonitor") {
		ports, _, _ := match(monitor.Child("spec", "selector", "matchLabels"))
		for _, endpoint := range monitor.List("spec", "podMetricsEndpoints") {
			if !ports[endpoint.Text("port")] {
				say(monitor, "no pod has the port "+endpoint.Text("port"))
			}
		}
	}
	for _, policy := range Of(objects, "NetworkPolicy") {
		_, own, found := match(policy.Child("spec", "podSelector", "matchLabels"))
		if !found {
			say(policy, "selects no pod")
		}
		for _, rule := range policy.List("spec", "ingress") {
			for _, port := range rule.List("ports") {
				if number, _ := port.At("port").(float64); !own[number] {
					say(policy, fmt.Sprintf("nothing listens on %v", port.At("port")))
				}
			}
		}
		for _, rule := range policy.List("spec", "egress") {
			for _, peer := range rule.List("to") {
				if peer.At("podSelector") == nil || peer.At("namespaceSelector") != nil {
					continue
				}
				_, theirs, _ := match(peer.Child("podSelector", "matchLabels"))
				for _, port := range rule.List("ports") {
					if number, _ := port.At("port").(float64); !theirs[number] {
						say(policy, fmt.Sprintf("nobody there listens on %v", port.At("port")))
					}
				}
			}
		}
	}
	return wrong
}
