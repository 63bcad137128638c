package deploytest

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write deploy/kubernetes/orderbridge.yaml anew")

const (
	chartDir  = "../helm/orderbridge"
	plain     = "../kubernetes/orderbridge.yaml"
	namespace = "orderbridge"
)

// everything switches everything on.
const everything = `
nats: { url: "tls://nats-0:4222,tls://nats-1:4222", tlsSecret: nats, credsSecret: creds, nkeySecret: nkey }
image: { repository: registry.example.com/orderbridge, digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000" }
imagePullSecrets: [{ name: registry }]
settings: { EGRESS_ALLOW: "10.1.0.0/16", LOG_LEVEL: debug }
secretEnv: [{ name: ORDERBRIDGE_SECRET_ACME, secretName: acme, key: password }]
trustRoots: { configMap: roots }
api: { tokensSecret: tokens, hosts: [bridge.example.com] }
networkPolicy:
  metricsFrom: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: monitoring } } }]
  natsTo: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: nats } } }]
  endpointPorts: [443, 8443]
  extraEgress: [{ ports: [{ port: 443 }], to: [{ ipBlock: { cidr: 10.1.0.0/16 } }] }]
serviceMonitor: { enabled: true, labels: { release: prometheus } }
podAnnotations: { a: b }
podLabels: { c: d }
nodeSelector: { kubernetes.io/os: linux }
tolerations: [{ key: a, operator: Exists }]
affinity: { podAntiAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [] } }
priorityClassName: high
`

// render gives the chart's files by name, as `helm template orderbridge` does.
func render(values string) (map[string]string, error) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		return nil, err
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		return nil, err
	}
	all, err := chartutil.ToRenderValues(chart, given, chartutil.ReleaseOptions{Name: "orderbridge", Namespace: namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(files, func(name, text string) bool {
		return strings.HasSuffix(name, "NOTES.txt") || strings.TrimSpace(text) == ""
	})
	return files, nil
}

func mustRender(t *testing.T, values string) map[string]string {
	t.Helper()
	files, err := render(values)
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestChartLints(t *testing.T) {
	for name, values := range map[string]string{"plain": readFile(t, "../kubernetes/values.yaml"), "everything": everything} {
		given, err := chartutil.ReadValues([]byte(values))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range lint.All(chartDir, given, namespace, true).Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%s: %s", name, m)
			}
		}
	}
}

// The plain manifests are what the chart renders.
func TestManifestsAreInStep(t *testing.T) {
	files := mustRender(t, readFile(t, "../kubernetes/values.yaml"))
	var want bytes.Buffer
	want.WriteString("# Rendered from deploy/helm/orderbridge with values.yaml beside this file by `make manifests`.\n")
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(&want, "---\n%s\n", strings.TrimSpace(files[name]))
	}
	if *update {
		if err := os.WriteFile(plain, want.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got := readFile(t, plain); got != want.String() {
		t.Errorf("%s is not what the chart renders; run `make manifests`", plain)
	}
}

// objects are the chart's objects, decoded by the API's own types.
type objects struct {
	deployment *apps.Deployment
	service    *core.Service
	budget     *policy.PodDisruptionBudget
	network    *networking.NetworkPolicy
	monitor    *monitoring.ServiceMonitor
}

func decode(t *testing.T, files map[string]string) (o objects) {
	t.Helper()
	for name, text := range files {
		var head struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(text), &head); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		var into any
		switch head.APIVersion + " " + head.Kind {
		case "apps/v1 Deployment":
			o.deployment = new(apps.Deployment)
			into = o.deployment
		case "v1 Service":
			o.service = new(core.Service)
			into = o.service
		case "policy/v1 PodDisruptionBudget":
			o.budget = new(policy.PodDisruptionBudget)
			into = o.budget
		case "networking.k8s.io/v1 NetworkPolicy":
			o.network = new(networking.NetworkPolicy)
			into = o.network
		case "monitoring.coreos.com/v1 ServiceMonitor":
			o.monitor = new(monitoring.ServiceMonitor)
			into = o.monitor
		default:
			t.Fatalf("%s is a %s %s", name, head.APIVersion, head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	return o
}

func TestObjects(t *testing.T) {
	settings := regexp.MustCompile("(?m)^\\| `(ORDERBRIDGE_[A-Z0-9_]+)`").FindAllStringSubmatch(readFile(t, "../../README.md"), -1)
	for name, values := range map[string]string{"plain": readFile(t, "../kubernetes/values.yaml"), "everything": everything} {
		t.Run(name, func(t *testing.T) {
			o := decode(t, mustRender(t, values))
			if o.deployment == nil || o.service == nil || o.budget == nil || o.network == nil || (o.monitor == nil) != (name == "plain") {
				t.Fatalf("an object is missing: %+v", o)
			}
			pod := o.deployment.Spec.Template
			for what, selector := range map[string]map[string]string{
				"deployment": o.deployment.Spec.Selector.MatchLabels, "service": o.service.Spec.Selector,
				"budget": o.budget.Spec.Selector.MatchLabels, "network policy": o.network.Spec.PodSelector.MatchLabels,
				"spread": pod.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
			} {
				if len(selector) == 0 {
					t.Errorf("the %s selects everything", what)
				}
				for k, v := range selector {
					if pod.Labels[k] != v {
						t.Errorf("the %s selects %s=%s, the pods have %q", what, k, v, pod.Labels[k])
					}
				}
			}
			if o.monitor != nil && o.service.Labels["app.kubernetes.io/name"] != o.monitor.Spec.Selector.MatchLabels["app.kubernetes.io/name"] {
				t.Error("the monitor does not select the service")
			}

			c := pod.Spec.Containers[0]
			if s := c.SecurityContext; !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !slices.Equal(s.Capabilities.Drop, []core.Capability{"ALL"}) {
				t.Errorf("the container may do too much: %+v", s)
			}
			if s := pod.Spec.SecurityContext; !*s.RunAsNonRoot || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || *pod.Spec.AutomountServiceAccountToken {
				t.Errorf("the pod may do too much: %+v", s)
			}
			if c.LivenessProbe == nil || c.ReadinessProbe == nil || c.StartupProbe == nil || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				t.Error("probes or requests are missing")
			}
			mounted := map[string]bool{}
			for _, m := range c.VolumeMounts {
				mounted[m.Name] = m.ReadOnly
			}
			for _, v := range pod.Spec.Volumes {
				if !mounted[v.Name] {
					t.Errorf("volume %s is not mounted, or to be written", v.Name)
				}
			}
			for _, e := range c.Env {
				if strings.HasPrefix(e.Name, "ORDERBRIDGE_SECRET_") {
					if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
						t.Errorf("%s is no reference", e.Name)
					}
				} else if !slices.ContainsFunc(settings, func(s []string) bool { return s[1] == e.Name }) {
					t.Errorf("%s is no setting", e.Name)
				}
			}
		})
	}
}

func TestWrongValuesAreRefused(t *testing.T) {
	for values, want := range map[string]string{
		`{}`: "url", `nats: {}`: "url", `nats: { url: "" }`: "nats/url",
		`nats: { url: "nats://user:pass@host" }`:                                              "nats/url",
		`{ nats: { url: "nats://n" }, replicas: 3 }`:                                          "replicas",
		`{ nats: { url: "nats://n" }, settings: { NATS_PASSWORD: x } }`:                       "NATS_PASSWORD",
		`{ nats: { url: "nats://n" }, settings: { SECRET_ACME: x } }`:                         "SECRET_ACME",
		`{ nats: { url: "nats://n" }, settings: { WINDOW: 7 } }`:                              "WINDOW",
		`{ nats: { url: "nats://n" }, secretEnv: [{ name: X, secretName: a, key: b }] }`:      "name",
		`{ nats: { url: "nats://n" }, image: { repository: x, digest: "sha256:short" } }`:     "digest",
		`{ nats: { url: "nats://n" }, networkPolicy: { endpointPorts: ["443"] } }`:            "endpointPorts",
		`{ nats: { url: "nats://n" }, secretEnv: [{ name: ORDERBRIDGE_NATS_TOKEN, key: b }]}`: "secretName",
	} {
		if _, err := render(values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that names %s", values, err, want)
		}
	}
}
