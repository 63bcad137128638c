package e2e

import (
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// `demo --keep` begins with the console's address, and goes on: an order that crm
// refuses twice waits, is delivered, and tells so.
func TestDemoStays(t *testing.T) {
	t.Parallel()
	p, err := lab.Start(lab.Command{Path: filepath.Join(programs, "orderbridge"), Args: []string{"demo", "--keep"}, Env: environment(t), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.End(syscall.SIGKILL, lab.Patience) })
	ctx, cancel := patiently(0)
	defer cancel()
	address, err := p.Said(ctx, `^Watch it at (\S+)\n`)
	if err != nil {
		t.Fatal(err)
	}
	base, token, found := strings.Cut(address, "/#token=")
	if token, err = url.QueryUnescape(token); err != nil || !found {
		t.Fatalf("the address is %q", address)
	}
	c := caller{t, base, "Bearer " + token}
	if r := c.call("GET", "/", ""); r.status != 200 || !strings.Contains(r.body, "<title>") {
		t.Errorf("the console answers %d %.200s", r.status, r.body)
	}
	var story string
	await(t, time.Minute, "crm has the tenth order", func() bool {
		story = c.call("GET", "/api/v1/attempts?subscription=crm&order=flow-10", "").is(t, 200).body
		return strings.Contains(story, `"outcome":"delivered"`)
	})
	if strings.Count(story, `"status":503`) != 2 {
		t.Errorf("crm did not refuse it twice: %s", story)
	}
	p.Signal(syscall.SIGTERM)
	select {
	case <-p.Ended():
	case <-time.After(lab.Patience):
		t.Fatal("it goes on after SIGTERM")
	}
	if p.ExitCode() != 0 {
		t.Errorf("it ends with %d: %s", p.ExitCode(), p.Output())
	}
}
