package deploytest

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const (
	rulesFile     = "../prometheus/orderbridge.rules.yaml"
	dashboardFile = "../grafana/orderbridge.json"
)

// strictly holds a dashboard against Grafana's schema, panels and queries included.
func strictly(data []byte) (d dashboard.Dashboard, problem string) {
	plugins.RegisterDefaultPlugins()
	if err := d.UnmarshalJSONStrict(data); err != nil && err.Error() != "" { // it returns an empty list of errors as an error
		return d, err.Error()
	}
	if err := d.Validate(); err != nil && err.Error() != "" {
		return d, err.Error()
	}
	return d, ""
}

func TestDashboardFitsTheSchema(t *testing.T) {
	data := []byte(readFile(t, dashboardFile))
	d, problem := strictly(data)
	if problem != "" {
		t.Error(problem)
	}
	if d.Title == nil || *d.Title != "orderbridge" {
		t.Errorf("read was %+v", d.Title)
	}
	var raw struct{ Panels []json.RawMessage }
	if err := json.Unmarshal(data, &raw); err != nil || len(raw.Panels) < 20 {
		t.Fatalf("%d panels were read: %v", len(raw.Panels), err)
	}
	ids := map[int]bool{}
	for _, one := range raw.Panels {
		var p struct {
			ID      int
			Type    string
			Targets []struct{ Expr string }
		}
		if err := json.Unmarshal(one, &p); err != nil {
			t.Fatal(err)
		}
		if ids[p.ID] || p.Type != "row" && (len(p.Targets) == 0 || p.Targets[0].Expr == "") {
			t.Errorf("the id of a panel is not its own, or it asks for nothing: %s", one)
		}
		ids[p.ID] = true
	}
	for from, to := range map[string]string{`"cellHeight"`: `"cellHigh"`, `"graphTooltip"`: `"graphTooltop"`, `"lineWidth": 1`: `"lineWidth": "x"`} {
		broken := bytes.Replace(data, []byte(from), []byte(to), 1)
		if _, problem := strictly(broken); problem == "" || bytes.Equal(broken, data) {
			t.Errorf("%s instead of %s is not noticed", to, from)
		}
	}
}

// The chart has the rules and the dashboard of deploy/, off unless they are asked for.
func TestManifestsHoldRulesAndDashboard(t *testing.T) {
	for from, to := range map[string]string{rulesFile: chartDir + "/rules.yaml", dashboardFile: chartDir + "/dashboard.json"} {
		shipped := readFile(t, from)
		if *update {
			if err := os.WriteFile(to, []byte(shipped), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if readFile(t, to) != shipped {
			t.Errorf("%s is not %s; run `make manifests`", to, from)
		}
	}
	files := mustRender(t, everything)
	var rule monitoring.PrometheusRule
	if err := yaml.UnmarshalStrict([]byte(files["orderbridge/templates/prometheusrule.yaml"]), &rule); err != nil {
		t.Fatal(err)
	}
	var shipped monitoring.PrometheusRuleSpec
	if err := yaml.Unmarshal([]byte(readFile(t, rulesFile)), &shipped); err != nil {
		t.Fatal(err)
	}
	if len(rule.Spec.Groups) != 1 || len(rule.Spec.Groups[0].Rules) != len(shipped.Groups[0].Rules) {
		t.Fatalf("rendered are %+v", rule.Spec)
	}
	for i, r := range rule.Spec.Groups[0].Rules {
		want := shipped.Groups[0].Rules[i]
		if r.Expr != want.Expr || r.Annotations["description"] != want.Annotations["description"] {
			t.Errorf("rendered is %+v, want %+v", r, want)
		}
		if url := r.Annotations["runbook_url"]; url != "https://wiki.example.com/runbook#"+strings.ToLower(r.Alert) {
			t.Errorf("the runbook of %s is %s", r.Alert, url)
		}
	}
	var board core.ConfigMap
	if err := yaml.UnmarshalStrict([]byte(files["orderbridge/templates/dashboard.yaml"]), &board); err != nil {
		t.Fatal(err)
	}
	if text := board.Data["orderbridge.json"]; !json.Valid([]byte(text)) || board.Labels["grafana_dashboard"] != "1" {
		t.Errorf("the dashboard's ConfigMap is %v", board.Labels)
	}
}
