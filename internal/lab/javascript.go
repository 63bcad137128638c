package lab

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Missing skips a test for which a tool of the console is missing; it fails where
// CONSOLE_TOOLS=required is in the environment, as in CI.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CONSOLE_TOOLS") == "required" {
		t.Fatal(what)
	}
	t.Skip("NOT CHECKED: " + what)
}

// NodeWith is the path of node, where `npm ci` has put a package into a directory.
func NodeWith(t testing.TB, dir, pkg string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		Missing(t, "there is no node; .ci/run installs it")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", pkg)); err != nil {
		Missing(t, "run `npm ci` in "+dir+", as .ci/run does")
	}
	return node
}
