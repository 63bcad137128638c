// Package natstools finds NATS programs of other versions than the one that is
// compiled in, for tests: the oldest server that is good enough, the last one
// that is not, and the program nats. Each is pinned by a module of its own in a
// directory beside this file; `make nats-tools` builds them into bin/.
package natstools

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// Programs that there are.
const (
	TooOld = "nats-server-2.10" // the last minor version without the fence
	Oldest = "nats-server-2.11" // bus.OldestServer
	CLI    = "nats"             // of natscli
)

// Find returns the path of a program. Where it was not built the test is
// skipped, unless NATS_TOOLS=required is in the environment, as in CI.
func Find(t testing.TB, program string) string {
	t.Helper()
	_, self, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(self), "..", "..", "bin", program)
	_, err := os.Stat(path)
	switch {
	case err == nil:
		return path
	case os.Getenv("NATS_TOOLS") == "required":
		t.Fatalf("%s was not built: %v; run `make nats-tools`", program, err)
	default:
		t.Skipf("%s was not built; run `make nats-tools`", program)
	}
	return ""
}
