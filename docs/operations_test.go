package docs_test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRunbooks wants a section of operations.md for each alert rule, where the rule links to, and no other.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	var alerts, sections []string
	rules := read(t, filepath.Join(root, "deploy", "prometheus", "orderbridge.rules.yaml"))
	linked := regexp.MustCompile(`(?s)- alert: (\w+)\n.*?runbook_url: (\S+)`)
	for _, m := range linked.FindAllStringSubmatch(rules, -1) {
		alerts = append(alerts, m[1])
		if want := "docs/operations.md#" + strings.ToLower(m[1]); m[2] != want {
			t.Errorf("%s links to %s, want %s", m[1], m[2], want)
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^### (Orderbridge\w+)$`).FindAllStringSubmatch(read(t, "operations.md"), -1) {
		sections = append(sections, m[1])
	}
	if len(alerts) != strings.Count(rules, "- alert:") || !slices.Equal(alerts, sections) {
		t.Errorf("the rules are %q, the sections of operations.md %q", alerts, sections)
	}
}

// TestMetricsAreThere wants every metric that operations.md names to be in metrics.md.
func TestMetricsAreThere(t *testing.T) {
	t.Parallel()
	there := numbers(t, "metrics.md", "(?m)^\\| `(orderbridge_\\w+)`")
	for _, name := range regexp.MustCompile(`\borderbridge_[a-z_]+\w`).FindAllString(read(t, "operations.md"), -1) {
		if !there[name] {
			t.Errorf("operations.md names %s, which metrics.md does not hold", name)
		}
	}
}
