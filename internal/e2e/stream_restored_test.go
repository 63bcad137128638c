package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"orderbridge/internal/lab"
	"orderbridge/internal/natstools"
)

// A server that comes back with an older store: the stream has lost its tail,
// and other events have its sequences now.
func TestStreamRolledBack(t *testing.T) {
	t.Parallel()
	for _, away := range []bool{false, true} {
		t.Run(map[bool]string{false: "in flow", true: "while away"}[away], func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, nil)
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e))
			publishSome(t, js, someOrders, 1, 20)
			gets(t, e, someOrders, 1, 20)
			acknowledged(t, js, 60)
			backup := t.TempDir()
			bus.RestartAfter(func(dir string) { copyStream(t, dir, backup, "ORDERS") })
			publishSome(t, js, someOrders, 21, 40)
			gets(t, e, someOrders, 21, 40)
			acknowledged(t, js, 120)
			<-time.After(1500 * time.Millisecond)
			if away {
				p.stop()
			}
			bus.RestartAfter(func(dir string) { restoreStream(t, backup, dir, "ORDERS") })
			publishSome(t, js, someOrders, 101, 150) // past the former end
			if away {
				p = serving(t, bus.URL())
			}
			gets(t, e, someOrders, 101, 150)
			toldChange(t, p, js, "the source stream has changed")
			inOrder(t, e)
			repeats := 0
			for name, n := range got(e) {
				if n > 1 {
					repeats++
					if n > 2 {
						t.Errorf("%s came %d times", name, n)
					}
				}
			}
			t.Logf("%d repeats", repeats)
			for i, h := range e.Journal() {
				for _, o := range e.Journal()[:i] {
					same := o.Order == h.Order && o.N == h.N
					if id := h.Header.Get("Webhook-Id"); same != (o.Header.Get("Webhook-Id") == id) {
						t.Fatalf("%s %d and %s %d: ids %s, %s", o.Order, o.N, h.Order, h.N, o.Header.Get("Webhook-Id"), id)
					}
				}
			}
		})
	}
}

const streamStore = "jetstream/$G/streams/"

func copyStream(t testing.TB, store, to, stream string) {
	t.Helper()
	if err := os.CopyFS(filepath.Join(to, stream), os.DirFS(filepath.Join(store, streamStore, stream))); err != nil {
		t.Error(err)
	}
}

func restoreStream(t testing.TB, backup, store, stream string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(store, streamStore, stream)); err != nil {
		t.Error(err)
	}
	if err := os.CopyFS(filepath.Join(store, streamStore, stream), os.DirFS(filepath.Join(backup, stream))); err != nil {
		t.Error(err)
	}
}

// A backup that is restored keeps sequences and times: nothing that was
// settled comes again, what was owed goes on.
func TestStreamRestoredFromABackup(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, func(h *lab.Hit) int {
		if h.Order == "a" && h.N == 5 {
			return http.StatusBadRequest
		}
		return http.StatusOK
	})
	serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":["PT10S"]}`))
	publishSome(t, js, someOrders, 1, 20)
	gets(t, e, []string{"b", "c"}, 1, 20)
	acknowledged(t, js, 60)
	<-time.After(1500 * time.Millisecond)
	dir := filepath.Join(t.TempDir(), "backup")
	natsProgram(t, bus.URL(), "stream", "backup", "ORDERS", dir, "--no-progress")
	if err := js.DeleteStream(within(t, 10*time.Second), "ORDERS"); err != nil {
		t.Fatal(err)
	}
	natsProgram(t, bus.URL(), "stream", "restore", dir, "--no-progress")
	e.Reply(nil)
	publishSome(t, js, someOrders, 21, 40)
	gets(t, e, someOrders, 1, 40)
	once(t, e)
	if list := letters(t, js); len(list) > 0 {
		t.Errorf("dead letters: %+v", list)
	}
}

// natsProgram runs the nats program.
func natsProgram(t testing.TB, url string, args ...string) string {
	t.Helper()
	ctx := within(t, 60*time.Second)
	out, err := exec.CommandContext(ctx, natstools.Find(t, natstools.CLI), append([]string{"--server", url}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("nats %v: %v\n%s", args, err, out)
	}
	return string(out)
}
