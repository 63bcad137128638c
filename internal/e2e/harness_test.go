package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// await polls until ok says yes, for lab.Patience at least, and tells how long it
// took. What ok asks may go unanswered: it asks briefly.
func await(t testing.TB, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	ctx, cancel := patiently(within)
	defer cancel()
	if err := lab.Until(ctx, what, ok); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
}

// patiently is a context for what should happen, sooner or later.
func patiently(within time.Duration) (context.Context, context.CancelFunc) {
	within = max(within, lab.Patience)
	return context.WithTimeoutCause(context.Background(), within, fmt.Errorf("%s have passed", within))
}

// turns are those of tests that run a cluster: three servers that write everything
// three times take most of a small machine.
var turns = make(chan struct{}, 2)

// turn waits until the test may run a cluster; its turn ends with it.
func turn(t testing.TB) {
	t.Helper()
	turns <- struct{}{}
	t.Cleanup(func() { <-turns })
}

// ---- the program

// program is the built orderbridge as a process of its own.
type program struct {
	t testing.TB
	*lab.Program
}

// environment is that of a program that trusts the endpoints of these tests.
func environment(t testing.TB, more ...string) []string {
	t.Helper()
	env, err := lab.Environment(filepath.Join(t.TempDir(), "roots.pem"), more...)
	if err != nil {
		t.Fatal(err)
	}
	return env
}

// launches are the programs that each test has started.
var launches = struct {
	sync.Mutex
	of map[string][]*program
}{of: map[string][]*program{}}

// leasesLost tells how often programs of the test lost a lease that they could not
// renew in time: what was under way then may come again.
func leasesLost(t testing.TB) (n int) {
	launches.Lock()
	defer launches.Unlock()
	for _, p := range launches.of[t.Name()] {
		n += len(p.losses())
	}
	return n
}

// launch starts `orderbridge serve`; it is killed when the test ends.
func launch(t testing.TB, env ...string) *program {
	t.Helper()
	return launchBinary(t, "orderbridge", env...)
}

func launchBinary(t testing.TB, binary string, env ...string) *program {
	t.Helper()
	served, err := lab.Serve(lab.Command{Path: binary, Env: environment(t, env...), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	p := &program{t, served}
	launches.Lock()
	launches.of[t.Name()] = append(launches.of[t.Name()], p)
	launches.Unlock()
	t.Cleanup(func() {
		p.Signal(syscall.SIGCONT)
		p.End(syscall.SIGKILL, lab.Patience)
		if t.Failed() {
			text := regexp.MustCompile(`(?m)^.* msg=attempt .*\n`).ReplaceAllString(p.Output(), "")
			t.Logf("log of process %d:\n%s", p.Pid(), text[max(0, len(text)-16<<10):])
		}
	})
	return p
}

// serving is launch on a bus, and waits until it leads.
func serving(t testing.TB, bus string, env ...string) *program {
	t.Helper()
	p := launch(t, append([]string{"ORDERBRIDGE_NATS_URL=" + bus}, env...)...)
	p.leads()
	return p
}

// exit waits for the end and returns the exit code, -1 if a signal ended it.
func (p *program) exit(within time.Duration) int {
	p.t.Helper()
	within = max(within, lab.Patience)
	select {
	case <-p.Ended():
	case <-time.After(within):
		p.t.Fatalf("still runs after %s", within)
	}
	return p.ExitCode()
}

// stop is a graceful stop, which must succeed.
func (p *program) stop() {
	p.t.Helper()
	p.Signal(syscall.SIGTERM)
	if code := p.exit(30 * time.Second); code != exitGood {
		p.t.Fatalf("exit code %d after SIGTERM", code)
	}
}

// kill is kill -9.
func (p *program) kill() {
	p.t.Helper()
	p.Signal(syscall.SIGKILL)
	p.exit(10 * time.Second)
}

// said waits until the log matches and returns the last group.
func (p *program) said(within time.Duration, pattern string) string {
	p.t.Helper()
	ctx, cancel := patiently(within)
	defer cancel()
	found, err := p.Said(ctx, pattern)
	if err != nil {
		p.t.Fatal(err)
	}
	return found
}

func (p *program) http() string { return p.said(30*time.Second, `http=(\S+)`) }

// readyz is the readiness and its HTTP status, 0 if there was no answer.
func (p *program) readyz() (lab.Readiness, int) {
	p.t.Helper()
	p.http()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	r, status, err := p.Readyz(ctx)
	if err != nil && status != 0 {
		p.t.Fatal(err)
	}
	return r, status
}

// leads waits until the program leads and is ready, and tells how long it took.
func (p *program) leads() time.Duration {
	p.t.Helper()
	return await(p.t, 90*time.Second, "leads", func() bool {
		r, status := p.readyz()
		return status == http.StatusOK && r.Role == lab.Leader
	})
}

// overdue is what the log says of a lease that was lost because it could not be
// renewed: by an outage, or by a machine that is slow.
var overdue = regexp.MustCompile(`(?m)^time=(\S+) .*msg="leadership lost.*` + protocol.ErrLeaseOver.Error())

// losses are the times at which the program lost a lease in that way.
func (p *program) losses() (at []time.Time) {
	for _, m := range overdue.FindAllStringSubmatch(p.Output(), -1) {
		if x, err := time.Parse(time.RFC3339Nano, m[1]); err == nil {
			at = append(at, x)
		}
	}
	return at
}

// deposed tells whether a lease was lost in any other way.
func deposed(output string) bool {
	return strings.Contains(overdue.ReplaceAllString(output, ""), "leadership lost")
}

// neverWaited fails if the program stood by before it won its first lease, though the
// lease was free or its own. A bus that does not answer in time excuses it.
func (p *program) neverWaited() {
	p.t.Helper()
	before, _, _ := strings.Cut(p.Output(), `"lease won"`)
	if strings.Contains(before, "lease not won") || strings.Contains(before, "the lease cannot be read yet") {
		return
	}
	if strings.Contains(before, "standing by") || strings.Contains(before, "the lease is absent") {
		p.t.Errorf("it waited for a lease that it could have taken:\n%s", before)
	}
}

// complains waits until /readyz answers 503 with a reason that holds the text.
func (p *program) complains(text string) {
	p.t.Helper()
	var last lab.Readiness
	start := time.Now()
	for time.Since(start) < lab.Patience {
		r, status := p.readyz()
		if status == http.StatusServiceUnavailable && strings.Contains(strings.Join(r.Reasons, "\n"), text) {
			return
		}
		last = r
		<-time.After(50 * time.Millisecond)
	}
	p.t.Fatalf("/readyz never gave a reason with %q; the last answer was %+v", text, last)
}

// command runs another command of the program and returns what it printed and
// its exit code.
func command(t testing.TB, bus string, stdin string, args ...string) (string, int) {
	t.Helper()
	return commandWith(t, []string{"ORDERBRIDGE_NATS_URL=" + bus}, stdin, args...)
}

// commandWith is command with settings of its own.
func commandWith(t testing.TB, env []string, stdin string, args ...string) (string, int) {
	t.Helper()
	ctx, cancel := patiently(0)
	defer cancel()
	cmd := exec.CommandContext(ctx, "orderbridge", args...)
	cmd.Env = environment(t, env...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// ---- time

// within is a context for what must succeed, until the test ends.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := patiently(d)
	t.Cleanup(cancel)
	return ctx
}

// briefly is a context for what may have no answer: it is tried again, or none is wanted.
func briefly(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}
