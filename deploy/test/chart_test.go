package deploytest

import (
	"bytes"
	"encoding/json"
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

var update = flag.Bool("update", false, "write deploy/kubernetes/orderbridge.yaml again")

const (
	chartDir  = "../helm/orderbridge"
	plain     = "../kubernetes/orderbridge.yaml"
	namespace = "orderbridge"
)

// everything switches everything on.
const everything = `
nats: { url: "tls://nats-0:4222,tls://nats-1:4222", tlsSecret: nats, credsSecret: creds, nkeySecret: nkey, apiPrefix: ORD.API, accounts: true }
image: { repository: registry.example.com/orderbridge, digest: "sha256:0000000000000000000000000000000000000000000000000000000000000000" }
imagePullSecrets: [{ name: registry }]
settings: { EGRESS_ALLOW: "10.1.0.0/16", LOG_LEVEL: debug }
secretEnv: [{ name: ORDERBRIDGE_SECRET_ACME, secretName: acme, key: password, hosts: [erp.example.com, "*.example.org"], tenants: ["-"] }]
trustRoots: { configMap: roots }
api: { tokensSecret: tokens, hosts: [bridge.example.com] }
secretFiles: [{ secretName: partner-files }, { secretName: acme-files, tenant: acme, keys: [client.pem, client-key.pem] }]
sealingKeySecret: sealing
automationFile: { secretName: automation }
extraVolumes: [{ name: contexts, secret: { secretName: contexts } }]
extraVolumeMounts: [{ name: contexts, mountPath: /run/contexts, readOnly: true }]
networkPolicy:
  apiFrom: [{ podSelector: { matchLabels: { role: callers } } }]
  metricsFrom: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: monitoring } } }]
  natsTo: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: nats } } }]
  endpointPorts: [443, 8443]
  dnsPorts: [53, 5353]
  extraEgress: [{ ports: [{ port: 443 }], to: [{ ipBlock: { cidr: 10.1.0.0/16 } }] }]
serviceMonitor: { enabled: true, labels: { release: prometheus }, tokenSecret: metrics }
prometheusRule: { enabled: true, runbook: "https://wiki.example.com/runbook" }
dashboard: { enabled: true }
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
	accounts   *core.ConfigMap
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
		case "monitoring.coreos.com/v1 PrometheusRule":
			into = new(monitoring.PrometheusRule)
		case "v1 ConfigMap":
			m := new(core.ConfigMap)
			into = m
			if strings.HasSuffix(name, "/accounts.yaml") {
				o.accounts = m
			}
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
				mounted[m.Name] = m.ReadOnly || m.Name == "tmp"
			}
			for _, v := range pod.Spec.Volumes {
				if !mounted[v.Name] {
					t.Errorf("volume %s is not mounted, or to be written", v.Name)
				}
				if v.Name == "tmp" && (v.EmptyDir == nil || v.EmptyDir.SizeLimit == nil) {
					t.Error("what may be written is not bounded")
				}
			}
			for _, e := range c.Env {
				if policy, ok := map[string]string{"ORDERBRIDGE_SECRET_ACME_HOSTS": "erp.example.com,*.example.org", "ORDERBRIDGE_SECRET_ACME_TENANTS": "-"}[e.Name]; ok {
					if e.Value != policy {
						t.Errorf("%s is %q, want %q", e.Name, e.Value, policy)
					}
				} else if strings.HasPrefix(e.Name, "ORDERBRIDGE_SECRET_") {
					if e.ValueFrom == nil || e.ValueFrom.SecretKeyRef == nil {
						t.Errorf("%s is not a reference", e.Name)
					}
				} else if !slices.ContainsFunc(settings, func(s []string) bool { return s[1] == e.Name }) {
					t.Errorf("%s is not a setting", e.Name)
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
		`{ nats: { url: "nats://n" }, secretFiles: [{ secretName: a, tenant: acme }] }`:       "keys",
		`{ nats: { url: "nats://n" }, automationFile: { secretName: a, configMap: b } }`:      "automationFile",
		`{ nats: { url: "nats://n" }, networkPolicy: { endpointPort: [443] } }`:               "endpointPort",
		`{ nats: { url: "nats://n" }, secretEnv: [{ name: ORDERBRIDGE_NATS_TOKEN, key: b }]}`: "secretName",
	} {
		if _, err := render(values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error that names %s", values, err, want)
		}
	}
}

// Nobody but the release's namespace, and whom the values name, may connect; the
// bus is asked where nats.url says that it is.
func TestNetworkPolicy(t *testing.T) {
	for _, tc := range []struct{ values, ingress, bus string }{
		{`{ nats: { url: "nats://nats:4222" } }`, `[{"podSelector":{}}]`, `[{"podSelector":{}}]`},
		{`{ nats: { url: "tls://nats.bus.svc:4222,tls://nats-1.nats.bus.svc.cluster.local" } }`, `[{"podSelector":{}}]`, `[{"namespaceSelector":{"matchLabels":{"kubernetes.io/metadata.name":"bus"}}}]`},
		{`{ nats: { url: "nats://10.1.2.3:4222,nats://[fd00::1]:4222" } }`, `[{"podSelector":{}}]`, `[{"ipBlock":{"cidr":"10.1.2.3/32"}},{"ipBlock":{"cidr":"fd00::1/128"}}]`},
		{`{ nats: { url: "tls://connect.ngs.global" } }`, `[{"podSelector":{}}]`, `null`},
		{`{ nats: { url: "nats://nats.bus.svc,nats://nats.example.com" } }`, `[{"podSelector":{}}]`, `null`},
		{`{ nats: { url: "nats://n" }, networkPolicy: { apiFrom: [{ podSelector: { matchLabels: { a: b } } }], metricsFrom: [{ namespaceSelector: { matchLabels: { c: d } } }], natsTo: [{ namespaceSelector: {} }] } }`,
			`[{"podSelector":{"matchLabels":{"a":"b"}}},{"namespaceSelector":{"matchLabels":{"c":"d"}}}]`, `[{"namespaceSelector":{}}]`},
	} {
		spec := decode(t, mustRender(t, tc.values)).network.Spec
		var from []networking.NetworkPolicyPeer
		for _, rule := range spec.Ingress {
			if len(rule.From) == 0 {
				t.Errorf("%s: a rule opens the port to everybody", tc.values)
			}
			from = append(from, rule.From...)
		}
		for what, pair := range map[string][2]any{"ingress": {from, tc.ingress}, "the bus": {spec.Egress[1].To, tc.bus}} {
			got, err := json.Marshal(pair[0])
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != pair[1] {
				t.Errorf("%s: %s is %s, want %s", tc.values, what, got, pair[1])
			}
		}
	}
}

// What the program is told to read is mounted where it looks.
func TestMountedFiles(t *testing.T) {
	pod := decode(t, mustRender(t, everything)).deployment.Spec.Template.Spec
	env := map[string]string{}
	for _, e := range pod.Containers[0].Env {
		env[e.Name] = e.Value
	}
	at := map[string]string{}
	for _, m := range pod.Containers[0].VolumeMounts {
		at[m.Name] = m.MountPath
	}
	for name, want := range map[string]string{
		"ORDERBRIDGE_SECRETS_DIR":      at["records"],
		"ORDERBRIDGE_SEALING_KEY_FILE": at["sealing"] + "/sealing.key",
		"ORDERBRIDGE_WEBHOOK_FILE":     at["automation"] + "/automation.json",
		"ORDERBRIDGE_API_TOKENS_FILE":  at["api"] + "/tokens",
		"ORDERBRIDGE_TRUST_ROOTS":      at["roots"] + "/ca.crt",
	} {
		if env[name] != want || !strings.HasPrefix(want, "/run/") {
			t.Errorf("%s is %q, mounted is %q", name, env[name], want)
		}
	}
	var paths []string
	for _, v := range pod.Volumes {
		if v.Name != "records" {
			continue
		}
		for _, s := range v.Projected.Sources {
			paths = append(paths, s.Secret.Name)
			for _, i := range s.Secret.Items {
				paths = append(paths, i.Key+" at "+i.Path)
			}
		}
	}
	if want := []string{"partner-files", "acme-files", "client.pem at acme/client.pem", "client-key.pem at acme/client-key.pem"}; !slices.Equal(paths, want) {
		t.Errorf("secret files are %q, want %q", paths, want)
	}
	for _, e := range decode(t, mustRender(t, readFile(t, "../kubernetes/values.yaml"))).deployment.Spec.Template.Spec.Containers[0].Env {
		if slices.Contains([]string{"ORDERBRIDGE_SECRETS_DIR", "ORDERBRIDGE_SEALING_KEY_FILE", "ORDERBRIDGE_WEBHOOK_FILE"}, e.Name) {
			t.Errorf("%s is set though nothing is mounted", e.Name)
		}
	}
}

// The accounts that the chart can hand to NATS are those of deploy/nats.
func TestManifestsHoldTheAccounts(t *testing.T) {
	shipped := readFile(t, "../nats/accounts.conf")
	if *update {
		if err := os.WriteFile(chartDir+"/accounts.conf", []byte(shipped), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if readFile(t, chartDir+"/accounts.conf") != shipped {
		t.Errorf("%s/accounts.conf is not deploy/nats/accounts.conf; run `make manifests`", chartDir)
	}
	if got := decode(t, mustRender(t, everything)).accounts; got == nil || strings.TrimSpace(got.Data["accounts.conf"]) != strings.TrimSpace(shipped) {
		t.Errorf("rendered are other accounts: %v", got)
	}
	if decode(t, mustRender(t, readFile(t, "../kubernetes/values.yaml"))).accounts != nil {
		t.Error("accounts are rendered though nobody asked for them")
	}
}

// The network policy lets the pods reach names, the bus and endpoints.
func TestNetworkPolicyOpensWhatIsNeeded(t *testing.T) {
	describe := func(values string) (rules []string) {
		for _, r := range decode(t, mustRender(t, values)).network.Spec.Egress {
			var ports, to []string
			for _, p := range r.Ports {
				text := "any"
				if p.Port != nil {
					text = p.Port.String()
				}
				if p.Protocol != nil {
					text += "/" + string(*p.Protocol)
				}
				ports = append(ports, text)
			}
			for _, peer := range r.To {
				if peer.IPBlock != nil {
					to = append(to, peer.IPBlock.CIDR)
				}
			}
			rules = append(rules, strings.Join(ports, " ")+" -> "+strings.Join(to, " "))
		}
		return rules
	}
	for values, want := range map[string][]string{
		`nats: { url: "nats://n" }`: {"53/UDP 53/TCP -> ", "4222 -> ", "any/TCP -> 0.0.0.0/0 2000::/3"},
		`{ nats: { url: "tls://a:4443,tls://b:4443, tls://c" }, settings: { EGRESS_ALLOW: "10.1.0.0/16, 10.2.3.4" } }`: {
			"53/UDP 53/TCP -> ", "4443 4222 -> ", "any/TCP -> 0.0.0.0/0 2000::/3 10.1.0.0/16 10.2.3.4/32"},
		`{ nats: { url: "nats://n" }, networkPolicy: { dnsPorts: [53, 5353], natsPorts: [4333], endpointPorts: [443, 8443], endpointTo: [203.0.113.0/24] } }`: {
			"53/UDP 53/TCP 5353/UDP 5353/TCP -> ", "4333 -> ", "443 8443 -> 203.0.113.0/24"},
	} {
		if got := describe(values); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", values, got, want)
		}
	}
}

// The notes are right for whoever installs with the least values, and read well.
func TestNotes(t *testing.T) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues([]byte(`{ nats: { url: "nats://n" }, settings: { EGRESS_PROXY: "http://proxy:3128" } }`))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(chart, given, chartutil.ReleaseOptions{Name: "orderbridge", Namespace: namespace, IsInstall: true}, nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := engine.Engine{Strict: true}.Render(chart, all)
	if err != nil {
		t.Fatal(err)
	}
	notes := files["orderbridge/templates/NOTES.txt"]
	for _, want := range []string{"subscription_status acme --raw", "make image VERSION=" + chart.Metadata.AppVersion, "api.tokensSecret", "networkPolicy.extraEgress"} {
		if !strings.Contains(notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, notes)
		}
	}
}
