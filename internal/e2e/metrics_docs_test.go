package e2e

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"go.yaml.in/yaml/v3"
)

var rewriteMetrics = flag.Bool("rewrite-metrics", false, "write the table of docs/metrics.md again")

// ours are the metrics of the program itself.
func ours(all map[string]*dto.MetricFamily) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool { return !strings.HasPrefix(name, "orderbridge_") })
}

// labelsOf are the labels of a metric, with their values.
func labelsOf(f *dto.MetricFamily) map[string][]string {
	labels := map[string][]string{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = append(labels[l.GetName()], l.GetValue())
		}
	}
	return labels
}

// holdDocs holds the table of docs/metrics.md against what the program tells.
func holdDocs(t *testing.T, all map[string]*dto.MetricFamily) {
	t.Helper()
	const file = "../../docs/metrics.md"
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, name := range ours(all) {
		f := all[name]
		labels := slices.Sorted(maps.Keys(labelsOf(f)))
		for i := range labels {
			labels[i] = "`" + labels[i] + "`"
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", name, strings.ToLower(f.GetType().String()), strings.Join(labels, ", "), f.GetHelp())
		if f.GetHelp() == "" || !strings.HasSuffix(f.GetHelp(), ".") && !strings.HasSuffix(f.GetHelp(), "always 1") {
			t.Errorf("the help of %s is %q", name, f.GetHelp())
		}
		if counter := f.GetType() == dto.MetricType_COUNTER; counter != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is a %s", name, f.GetType())
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begins := strings.Cut(string(text), "-rewrite-metrics` -->\n")
	shown, tail, ends := strings.Cut(rest, "<!-- end of metrics -->")
	switch {
	case !begins || !ends:
		t.Fatalf("%s has no markers around its table", file)
	case *rewriteMetrics:
		if err := os.WriteFile(file, []byte(head+"-rewrite-metrics` -->\n"+table.String()+"<!-- end of metrics -->"+tail), 0o644); err != nil {
			t.Fatal(err)
		}
	case shown != table.String():
		t.Errorf("docs/metrics.md is not what the program tells; run `go test ./internal/e2e -run TestMetrics -args -rewrite-metrics`, and look at the difference. Told is\n%s", table.String())
	}
}

// query is what rules and the dashboard ask for.
type query struct{ where, expr string }

func queries(t *testing.T) (all []query) {
	t.Helper()
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	data, err := os.ReadFile("../../deploy/prometheus/orderbridge.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		t.Fatal(err)
	}
	for _, r := range rules.Groups[0].Rules {
		all = append(all, query{r.Alert, r.Expr})
		if r.Annotations["runbook_url"] != "docs/operations.md#"+strings.ToLower(r.Alert) {
			t.Errorf("the runbook of %s is %s", r.Alert, r.Annotations["runbook_url"])
		}
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Query any }
		}
	}
	if data, err = os.ReadFile("../../deploy/grafana/orderbridge.json"); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &board); err != nil {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		for _, x := range p.Targets {
			all = append(all, query{"panel " + p.Title, strings.ReplaceAll(x.Expr, "$__rate_interval", "5m")})
		}
	}
	return all
}

var (
	selector = regexp.MustCompile(`\b((?:orderbridge|process)_\w+)(?:\{([^}]*)\})?`)
	matcher  = regexp.MustCompile(`(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"`)
	grouping = regexp.MustCompile(`\b(?:by|on|without|ignoring)\s*\(([^)]*)\)`)
)

// holdRules holds each metric, label and value that rules and dashboard name against
// what the program tells, and their syntax by promtool.
func holdRules(t *testing.T, all map[string]*dto.MetricFamily) {
	t.Helper()
	var recorded strings.Builder
	recorded.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for i, q := range queries(t) {
		known := map[string]bool{"job": true, "instance": true}
		for _, s := range selector.FindAllStringSubmatch(q.expr, -1) {
			name := s[1]
			f := all[name]
			for _, part := range []string{"_bucket", "_count", "_sum"} {
				if whole, is := strings.CutSuffix(name, part); is && f == nil && all[whole].GetType() == dto.MetricType_HISTOGRAM {
					f, known["le"] = all[whole], true
				}
			}
			if f == nil {
				t.Errorf("%s: the program tells no %s", q.where, name)
				continue
			}
			labels := labelsOf(f)
			for label := range labels {
				known[label] = true
			}
			for _, m := range matcher.FindAllStringSubmatch(s[2], -1) {
				switch values, is := labels[m[1]]; {
				case m[1] == "job" || m[1] == "instance":
				case !is:
					t.Errorf("%s: %s has no label %s", q.where, name, m[1])
				case (m[2] == "=" || m[2] == "!=") && !slices.Contains(values, m[3]):
					t.Errorf("%s: %s of %s is never %q, but one of %q", q.where, m[1], name, m[3], values)
				}
			}
		}
		for _, g := range grouping.FindAllStringSubmatch(q.expr, -1) {
			for label := range strings.SplitSeq(g[1], ",") {
				if label = strings.TrimSpace(label); label != "" && !known[label] {
					t.Errorf("%s: nothing in it has the label %s", q.where, label)
				}
			}
		}
		expr, err := json.Marshal(q.expr)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&recorded, "      - { record: \"q:%d\", expr: %s }\n", i, expr)
	}
	promtool(t, recorded.String())
}

// promtool checks the rules, runs their tests, and checks the dashboard's queries as
// recording rules.
func promtool(t *testing.T, recorded string) {
	t.Helper()
	tool, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("NATS_TOOLS") == "required" { // as in CI
			t.Fatalf("%v: install the Debian package prometheus", err)
		}
		t.Logf("the rules are not checked: %v (Debian package prometheus)", err)
		return
	}
	file := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(file, []byte(recorded), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "rules", "../../deploy/prometheus/orderbridge.rules.yaml", file},
		{"test", "rules", "../../deploy/prometheus/orderbridge.rules.test.yaml"},
	} {
		ctx, cancel := withinMinutes()
		out, err := exec.CommandContext(ctx, tool, args...).CombinedOutput()
		cancel()
		if err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
