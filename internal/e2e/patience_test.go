package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"orderbridge/internal/lab"
)

// running is a command of the program that is read while it runs.
type running struct {
	*exec.Cmd
	mu       sync.Mutex
	out, err []string // lines
	read     sync.WaitGroup
}

// begin starts a command.
func begin(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	r := &running{Cmd: exec.CommandContext(within(t, 0), "orderbridge", args...)}
	r.Env = environment(t, env...)
	for _, part := range []struct {
		pipe  func() (io.ReadCloser, error)
		lines *[]string
	}{{r.StdoutPipe, &r.out}, {r.StderrPipe, &r.err}} {
		from, err := part.pipe()
		if err != nil {
			t.Fatal(err)
		}
		r.read.Go(func() {
			for s := bufio.NewScanner(from); s.Scan(); {
				r.mu.Lock()
				*part.lines = append(*part.lines, s.Text())
				r.mu.Unlock()
			}
		})
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	return r
}

// said are the lines that it has written by now.
func (r *running) said() (out, err []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.out), slices.Clone(r.err)
}

func (r *running) complained(text string) bool {
	_, said := r.said()
	return strings.Contains(strings.Join(said, "\n"), text)
}

// ended waits for its end.
func (r *running) ended() error {
	r.read.Wait()
	return r.Wait()
}

// balancer stands before the management API of replicas, and leads to one of them.
type balancer struct {
	*httptest.Server
	to atomic.Pointer[url.URL]
}

func balance(t *testing.T, p *program) *balancer {
	t.Helper()
	b := &balancer{}
	b.lead(p)
	b.Server = httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(b.to.Load()) },
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	})
	t.Cleanup(b.Close)
	return b
}

func (b *balancer) lead(p *program) { b.to.Store(&url.URL{Scheme: "http", Host: p.http()}) }

// asking is the environment of a command that asks the API there.
func (b *balancer) asking(t *testing.T) []string {
	t.Helper()
	file := t.TempDir() + "/token"
	write(t, file, []byte(operator))
	return []string{"ORDERBRIDGE_SERVER=" + b.URL, "ORDERBRIDGE_TOKEN_FILE=" + file}
}

// Many dead letters are put back while the leader is killed: the command waits for the
// next one, and counts what was done.
func TestRedriveGoesOnWithTheNextLeader(t *testing.T) {
	t.Parallel()
	for _, over := range []string{"bus", "API"} {
		t.Run(over, func(t *testing.T) {
			t.Parallel()
			const letters = 600
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, lab.Always(http.StatusBadRequest))
			first := serving(t, bus.URL(), apiTokens)
			second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), apiTokens)
			second.said(0, "standing by")
			subscribe(t, js, "s", recordFor(e, `"retry":{"schedule":[]}`))
			for i := range letters {
				publishOne(t, js, fmt.Sprint("o", i), 1)
			}
			await(t, 0, "all are dead letters", func() bool { return deadLetters(t, js) == letters })
			e.Reply(nil)

			env := []string{"ORDERBRIDGE_NATS_URL=" + bus.URL()}
			if over == "API" {
				env = balance(t, second).asking(t)
			}
			c := begin(t, env, "dead-letters", "redrive", "--subscription", "s")
			await(t, 0, "the first are put back", func() bool { return c.complained(" done, ") })
			first.Signal(syscall.SIGKILL)
			if err := c.ended(); err != nil {
				t.Error(err)
			}
			out, said := c.said()
			slices.Sort(out)
			again, done, already := len(slices.Compact(out)), 0, 0
			if m := regexp.MustCompile(`^(\d+) done, 0 refused(?:, (\d+) were done already)?; `).FindStringSubmatch(said[len(said)-1]); m != nil {
				fmt.Sscan(m[1], &done)
				fmt.Sscan(m[2], &already)
			}
			if again != len(out) || again != done || done+already != letters {
				t.Errorf("%d of %d lines say that a letter is owed again; it counts %d done, %d done already, of %d:\n%s", again, len(out), done, already, letters, strings.Join(said, "\n"))
			}
			await(t, 0, "all are delivered", func() bool { return e.Delivered() >= letters && len(owedKeys(t, js)) == 0 })
		})
	}
}

// Whoever follows the delivery log by the API goes on when the replica that answered is
// killed: no entry is left out, none is told twice.
func TestFollowGoesOnWithAnotherReplica(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	first := serving(t, bus.URL(), apiTokens)
	second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), apiTokens)
	second.said(0, "standing by")
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	b := balance(t, first)
	c := begin(t, b.asking(t), "attempts", "--follow", "-o", "json")
	watched := begin(t, b.asking(t), "status", "--watch")
	audited := begin(t, b.asking(t), "audit", "--follow")
	lines := func(r *running) int {
		out, _ := r.said()
		return len(out)
	}
	await(t, 0, "the first is followed", func() bool { return lines(c) >= 1 && lines(watched) >= 2 && lines(audited) >= 1 })
	first.kill()
	for n := range 5 {
		publishOne(t, js, "a", n+2)
	}
	e.came(t, 6) // by the second one
	for _, r := range []*running{c, watched, audited} {
		await(t, 0, "it is told that nobody answers", func() bool { return r.complained("asks again") })
	}
	b.lead(second)
	subscribe(t, js, "t", recordFor(e))
	await(t, 0, "all are followed", func() bool { return lines(c) >= 6 })
	await(t, 0, "the others go on", func() bool {
		out, _ := audited.said()
		return strings.Contains(strings.Join(out, "\n"), " t") && watched.complained("goes on")
	})
	for _, r := range []*running{c, watched, audited} {
		if err := r.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := r.ended(); err != nil {
			t.Errorf("%v: %v", r.Args, err)
		}
	}
	type entry struct {
		Sequence uint64
		Attempt  int
		Time     string
	}
	var log, followed []entry
	stored, _ := command(t, bus.URL(), "", "attempts", "-o", "json", "--limit", "1000")
	if err := json.Unmarshal([]byte(stored), &log); err != nil {
		t.Fatalf("%v: %s", err, stored)
	}
	slices.Reverse(log)
	out, _ := c.said()
	for d := json.NewDecoder(strings.NewReader(strings.Join(out, "\n"))); d.More(); {
		var x entry
		if err := d.Decode(&x); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		followed = append(followed, x)
	}
	if len(log) < 6 || !slices.Equal(log, followed) {
		t.Errorf("the log is\n%+v, followed was\n%+v", log, followed)
	}
}

// A leader that gives no answer may have done what it was asked for: the command says how
// that is seen.
func TestNoAnswerSaysHowToSee(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, lab.Always(http.StatusInternalServerError))
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	p.Signal(syscall.SIGSTOP)
	var asking sync.WaitGroup
	for args, see := range map[string]string{
		"replay s --from-seq 1": "`orderbridge replays list s` shows whether it was done",
		"skip s a":              "`orderbridge owed list s` shows whether it was done",
		"retry-now s":           "`orderbridge owed list s` shows whether it was done",
		"retry-now --order a":   "`orderbridge owed list` shows whether it was done",
	} {
		asking.Go(func() {
			out, code := command(t, bus.URL(), "", strings.Fields(args)...)
			if code != 1 || !strings.Contains(out, see) {
				t.Errorf("%s: %d %s", args, code, out)
			}
		})
	}
	asking.Wait()
}
