package natscontext

import (
	"os/user"
	"path/filepath"
	"testing"
)

// The program nats asks the system for the home directory: with another HOME
// (sudo, a service) the context would lie where nats does not look.
func TestContextsLieWhereNatsLooks(t *testing.T) {
	u, err := user.Current()
	if err != nil || u.HomeDir == "" {
		t.Skip("the system tells no home directory")
	}
	t.Setenv("XDG_CONFIG_HOME", "")
	t.Setenv("HOME", t.TempDir())
	path, err := find("orderbridge")
	if want := filepath.Join(u.HomeDir, ".config", "nats", "context", "orderbridge.json"); err != nil || path != want {
		t.Errorf("it is %q, %v; nats looks at %q", path, err, want)
	}
	t.Setenv("XDG_CONFIG_HOME", "/somewhere")
	if path, err = find("orderbridge"); err != nil || path != "/somewhere/nats/context/orderbridge.json" {
		t.Errorf("it is %q, %v", path, err)
	}
}
