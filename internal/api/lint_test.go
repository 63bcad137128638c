package api

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"orderbridge/internal/lab"
)

// What /openapi.json answers has no error and no warning by the linters that its
// readers use, with all of their own rules.
func TestLinted(t *testing.T) {
	t.Parallel()
	node := lab.NodeWith(t, "lint", "@redocly")
	a, _ := start(t, nil)
	file := filepath.Join(t.TempDir(), "openapi.json")
	if err := os.WriteFile(file, a.spec, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"node_modules/@redocly/cli/bin/cli.js", "lint", "--config", "redocly.yaml", file},
		{"node_modules/@stoplight/spectral-cli/dist/index.js", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "hint", file},
	} {
		c := exec.CommandContext(t.Context(), node, args...)
		c.Dir = "lint"
		c.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", args[0], err, out)
		}
	}
}
