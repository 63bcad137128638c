package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"orderbridge/internal/natstools"
)

// readmeLines are the lines of the README's code blocks that begin with the
// word, without their comments.
func readmeLines(t *testing.T, word string) []string {
	t.Helper()
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	inside := false
	for line := range strings.Lines(string(readme)) {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			inside = !inside
			continue
		}
		if line, _, _ := strings.Cut(line, "  #"); inside && strings.HasPrefix(line, word+" ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// Every line of the README that begins with nats does what it says, with the
// program nats itself.
func TestReadmeLinesOfTheProgramNats(t *testing.T) {
	t.Parallel()
	program := natstools.Find(t, natstools.CLI)
	lines := readmeLines(t, "nats")
	if len(lines) < 3 {
		t.Fatalf("the README has only these lines: %q", lines)
	}
	listen, home := freeAddress(t), t.TempDir()
	p := launch(t, "ORDERBRIDGE_NATS_LISTEN="+listen, "ORDERBRIDGE_DATA_DIR="+t.TempDir())
	p.leads()
	e := receive(t, nil)
	sh := func(line string) (string, error) {
		cmd := exec.CommandContext(within(t, 30*time.Second), "sh", "-c", strings.ReplaceAll(line, "https://erp.example.com", e.URL))
		cmd.Dir = home
		cmd.Env = append(environment(t), "PATH="+filepath.Dir(program)+":"+os.Getenv("PATH"), "HOME="+home, "XDG_CONFIG_HOME="+home, "NATS_URL=nats://"+listen)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, line := range lines {
		var out string
		await(t, 20*time.Second, line, func() bool { // a verdict takes a moment
			var err error
			if out, err = sh(line); err != nil && !strings.Contains(line, " kv get ") {
				t.Fatalf("%s: %v\n%s", line, err, out)
			}
			if err == nil && strings.HasPrefix(line, "nats kv get subscription_status") {
				var status struct{ State string }
				if err := json.Unmarshal([]byte(out), &status); err != nil {
					t.Fatalf("%s: %v, want the whole status:\n%s", line, err, out) // without --raw nats cuts it
				}
				return status.State == "active" // it reads for a moment what was published right before
			}
			return err == nil
		})
	}
	at := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "nats pub ") })
	if at < 0 {
		t.Fatalf("no line publishes: %q", lines)
	}
	if out, err := sh(lines[at]); err != nil {
		t.Fatalf("%s: %v\n%s", lines[at], err, out)
	}
	if h := e.came(t, 1); h.Order != "4711" || h.Method != "PUT" || h.URI != "/orders/4711" {
		t.Errorf("%s %s %s came", h.Method, h.URI, h.Body)
	}
}
