package e2e

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// build builds the program as a release with that version.
func build(t testing.TB, version string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "orderbridge-"+version)
	if err := lab.Build(t.Context(), path, "-ldflags", "-s -w -X orderbridge/internal/telemetry.version="+version); err != nil {
		t.Fatal(err)
	}
	return path
}

// servedBy lists the versions that delivered, in the order of their turns.
func servedBy(e *receiver) []string {
	var agents []string
	for _, h := range e.Journal() {
		agents = append(agents, h.Header.Get("User-Agent"))
	}
	return slices.Compact(agents)
}

// docs/operations.md: an upgrade and a roll-back in mid-flow lose nothing, keep the
// order and repeat nothing, with replicas and with the embedded server.
func TestUpgradeAndRollBack(t *testing.T) {
	t.Parallel()
	was, is := build(t, "v0.1.0"), build(t, "v0.2.0")
	want := []string{"orderbridge/v0.1.0", "orderbridge/v0.2.0", "orderbridge/v0.1.0"}

	t.Run("replicas", func(t *testing.T) {
		t.Parallel()
		bus := lab.ListenBus(t)
		js := jetStream(t, bus.URL())
		e := receive(t, shaky)
		env := "ORDERBRIDGE_NATS_URL=" + bus.URL()
		present := launchBinary(t, was, env)
		all := []*program{present}
		present.leads()
		subscribe(t, js, "s", recordFor(e, quickRetries))
		f := publishFlow(t, js, 200, 8)
		e.came(t, 150)
		for _, binary := range []string{is, was} {
			next := launchBinary(t, binary, env)
			next.said(30*time.Second, "standing by")
			present.stop()
			next.leads()
			e.came(t, e.Count()+150)
			present = next
			all = append(all, present)
		}
		f.arrives(t, e)
		notAgain(t, f.check(t, e), all...)
		if got := servedBy(e); !slices.Equal(got, want) {
			t.Errorf("delivered by %v, want %v", got, want)
		}
	})
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		listen := freeAddress(t)
		env := []string{"ORDERBRIDGE_NATS_LISTEN=" + listen, "ORDERBRIDGE_DATA_DIR=" + t.TempDir()}
		e := receive(t, shaky)
		present := launchBinary(t, was, env...)
		all := []*program{present}
		present.leads()
		js := jetStream(t, "nats://"+listen)
		subscribe(t, js, "s", recordFor(e, quickRetries))
		f := publishFlow(t, js, 200, 8)
		e.came(t, 150)
		for _, binary := range []string{is, was} {
			present.stop()
			present = launchBinary(t, binary, env...)
			all = append(all, present)
			present.leads()
			e.came(t, e.Count()+150)
		}
		f.arrives(t, e)
		notAgain(t, f.check(t, e), all...)
		if got := servedBy(e); !slices.Equal(got, want) {
			t.Errorf("delivered by %v, want %v", got, want)
		}
	})
}
