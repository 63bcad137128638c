package e2e

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/internal/lab"
)

// formerCommit is the build whose state this one must take over.
const formerCommit = "01204df"

// former is the program of formerCommit, built once for all tests that need it.
var former = sync.OnceValues(func() (path string, err error) {
	dir, err := os.MkdirTemp(programs, "former-")
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, "orderbridge")
	cmd := exec.CommandContext(context.Background(), "bash", "-c", `top=$(git rev-parse --show-toplevel) && mkdir "$0/src" && git -C "$top" archive "$1" | tar -x -C "$0/src" && cd "$0/src" && go build -o "$2" ./cmd/orderbridge && rm -rf "$0/src"`,
		dir, formerCommit, path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = &buildError{string(out), err}
	}
	return path, err
})

type buildError struct {
	out string
	err error
}

func (e *buildError) Error() string { return e.err.Error() + "\n" + e.out }

// formerBuild is the path of the former program. A copy of the repository
// without its history cannot build it.
func formerBuild(t testing.TB) string {
	t.Helper()
	if exec.CommandContext(t.Context(), "git", "cat-file", "-e", formerCommit).Run() != nil {
		t.Skip("the repository does not hold commit " + formerCommit)
	}
	path, err := former()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// Promise 4 over an upgrade: what a receiver has seen under an id of the former
// build comes again under that id, be it held, dead or in flight; what is
// published afterwards has the ids of this one.
func TestUpgradeKeepsTheIDsOfDeliveriesThatHaveBegun(t *testing.T) {
	t.Parallel()
	old := formerBuild(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	hung := make(chan struct{}, 8)
	e := receive(t, func(h *lab.Hit) int {
		switch h.Order {
		case "hung":
			hung <- struct{}{}
			return lab.Hang
		case "fine":
			return http.StatusOK
		}
		return http.StatusInternalServerError
	})
	was := launchBinary(t, old, "ORDERBRIDGE_NATS_URL="+bus.URL())
	was.leads()
	subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":["PT1S","PT1S","PT1S","PT1S"]}`, `"timeout":"PT20S"`))
	for _, order := range []string{"held", "fine"} {
		publishOne(t, js, order, 1)
	}
	// A name that its publisher has given dots is not used again.
	dotted := change("dotted", 1)
	dotted.Header.Set(nats.MsgIdHdr, `evil.1772366400.{"n":1}`)
	publishMsg(t, js, dotted)
	// One without an id of its publisher, under way when the bridge dies.
	silent := change("hung", 1)
	silent.Header = nil
	publishMsg(t, js, silent)
	<-hung
	await(t, 20*time.Second, "some have failed", func() bool { return len(owedKeys(t, js)) >= 2 })
	was.kill()
	before := map[string]string{}
	for _, h := range e.Journal() {
		before[h.Order] = h.Header.Get("Webhook-Id")
	}
	e.Reply(nil)
	serving(t, bus.URL())
	publishOne(t, js, "held", 2)
	await(t, 40*time.Second, "all are delivered", func() bool { return e.Delivered() >= 5 })
	for _, h := range e.Journal() {
		id := h.Header.Get("Webhook-Id")
		switch {
		case h.N == 2, h.Order == "dotted" && h.Status == http.StatusOK:
			if len(id) != 32 || strings.Contains(id, ".") {
				t.Errorf("%s %d came as %s", h.Order, h.N, id)
			}
		case id != before[h.Order]:
			t.Errorf("%s attempt %s came as %s, before as %s", h.Order, h.Header.Get("X-Attempt"), id, before[h.Order])
		}
	}
	if !strings.HasPrefix(before["held"], "e-held-1.s.") {
		t.Errorf("the former build names deliveries %v", before)
	}
}

// A dead letter that the former build wrote is redriven under the id that its
// receiver knows.
func TestUpgradeRedrivesLettersUnderTheirID(t *testing.T) {
	t.Parallel()
	old := formerBuild(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusUnprocessableEntity))
	was := launchBinary(t, old, "ORDERBRIDGE_NATS_URL="+bus.URL())
	was.leads()
	subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":["PT0.1S"]}`))
	publishOne(t, js, "o", 1)
	await(t, 20*time.Second, "a dead letter", func() bool {
		out, _ := command(t, bus.URL(), "", "dead-letters", "list", "-o", "json")
		return strings.Contains(out, `"sequence"`)
	})
	was.stop()
	e.Reply(nil)
	serving(t, bus.URL())
	n := e.Count()
	if out, code := command(t, bus.URL(), "", "dead-letters", "redrive", "1"); code != exitGood {
		t.Fatalf("redrive ends with %d: %s", code, out)
	}
	again := e.came(t, n+1)
	if first := e.Journal()[0]; again.Header.Get("Webhook-Id") != first.Header.Get("Webhook-Id") || again.Header.Get("X-Redrive") != "true" {
		t.Errorf("redriven as %s, first sent as %s", again.Header.Get("Webhook-Id"), first.Header.Get("Webhook-Id"))
	}
}
