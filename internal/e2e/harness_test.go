package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// await polls until ok says yes, for as long as it may take on a busy machine.
func await(t testing.TB, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	ctx, cancel := context.WithTimeoutCause(context.Background(), within, fmt.Errorf("%s have passed", within))
	defer cancel()
	if err := lab.Until(ctx, what, ok); err != nil {
		t.Fatal(err)
	}
	return time.Since(start)
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
	t.Cleanup(func() {
		p.Signal(syscall.SIGCONT)
		p.End(syscall.SIGKILL, 10*time.Second)
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
	ctx, cancel := context.WithTimeout(context.Background(), within)
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
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
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
	return await(p.t, 40*time.Second, "leads", func() bool {
		r, status := p.readyz()
		return status == http.StatusOK && r.Role == lab.Leader
	})
}

// complains waits until /readyz answers 503 with a reason that holds the text.
func (p *program) complains(text string) {
	p.t.Helper()
	var last lab.Readiness
	start := time.Now()
	for time.Since(start) < 30*time.Second {
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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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

// ---- endpoints

// receiver is a real endpoint that keeps a journal.
type receiver struct{ *lab.Receiver }

// receive starts an endpoint that answers with reply; nil: always 200.
func receive(t testing.TB, reply lab.Reply) *receiver {
	t.Helper()
	return receiveTLS(t, nil, reply)
}

// receiveTLS is receive with TLS settings of its own.
func receiveTLS(t testing.TB, settings *tls.Config, reply lab.Reply) *receiver {
	t.Helper()
	return received(t)(lab.Receive(settings, reply))
}

// receivePlain is receive without TLS.
func receivePlain(t testing.TB, reply lab.Reply) *receiver {
	t.Helper()
	return received(t)(lab.ReceivePlain(reply))
}

// received closes a receiver when the test ends, and shows what came last if it
// failed.
func received(t testing.TB) func(*lab.Receiver, error) *receiver {
	return func(e *lab.Receiver, err error) *receiver {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			e.Close()
			if t.Failed() {
				for _, h := range e.Since(max(0, e.Count()-20)) {
					t.Logf("%s %s", e.URL, h)
				}
			}
		})
		return &receiver{e}
	}
}

// handle starts a TLS endpoint with a handler of its own and returns its URL.
func handle(t testing.TB, h http.Handler) string {
	t.Helper()
	e, err := lab.Handle(nil, h)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e.URL
}

// connections starts a TLS endpoint that does what it likes with each
// connection, and returns its URL; nil settings are the usual ones.
func connections(t testing.TB, settings *tls.Config, serve func(net.Conn)) string {
	t.Helper()
	l, err := lab.Listen(settings, serve)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.URL
}

// came waits for the nth request (from 1).
func (e *receiver) came(t testing.TB, n int) lab.Hit {
	t.Helper()
	await(t, 30*time.Second, fmt.Sprintf("request %d", n), func() bool { return e.Count() >= n })
	return e.Journal()[n-1]
}

// ---- the bus

func jetStream(t testing.TB, url string) jetstream.JetStream {
	t.Helper()
	return lab.JetStream(t, lab.Dial(t, url))
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// record is a subscription record; more are members, as JSON.
func recordFor(e *receiver, more ...string) string {
	return `{"targetURL":"` + e.URL + `/hook"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

const quickRetries = `"retry":{"schedule":["PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S"]}`

// subscribe puts a record as `nats kv put` does and waits for its verdict.
func subscribe(t testing.TB, js jetstream.JetStream, id, value string) uint64 {
	t.Helper()
	revision := put(t, js, id, value)
	verdict(t, js, id, revision, protocol.StateActive)
	return revision
}

func put(t testing.TB, js jetstream.JetStream, id, value string) uint64 {
	t.Helper()
	ctx := within(t, 10*time.Second)
	records, err := js.KeyValue(ctx, "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	revision, err := records.PutString(ctx, id, value)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// verdict waits until the status of a subscription speaks of the revision and
// says one of the states.
func verdict(t testing.TB, js jetstream.JetStream, id string, revision uint64, states ...protocol.State) (s protocol.Status, took time.Duration) {
	t.Helper()
	var got string
	start := time.Now()
	for time.Since(start) < 30*time.Second {
		var st protocol.Status
		if value := entry(t, js, "subscription_status", id); value != nil {
			if err := json.Unmarshal(value, &st); err != nil {
				t.Fatal(err)
			}
			got = string(value)
			if st.Revision >= revision && slices.Contains(states, st.State) {
				return st, time.Since(start)
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("status of %s is %s, want one of %v of revision %d", id, got, states, revision)
	return s, 0
}

// entry is a value of a bucket, nil if it is absent or the bus does not answer.
func entry(t testing.TB, js jetstream.JetStream, bucket, key string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return nil
	}
	e, err := kv.Get(ctx, key)
	if err != nil {
		return nil
	}
	return e.Value()
}

// owedKeys are the keys of the ledger, fences left out.
func owedKeys(t testing.TB, js jetstream.JetStream) []string {
	t.Helper()
	ctx := within(t, 10*time.Second)
	kv, err := js.KeyValue(ctx, "owed")
	if err != nil {
		t.Fatal(err)
	}
	keys, err := kv.Keys(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		t.Fatal(err)
	}
	return slices.DeleteFunc(keys, func(k string) bool { return strings.Contains(k, "fence.") })
}

// floor is what is acknowledged on the bus: the floor of the feed's durable.
func floor(t testing.TB, js jetstream.JetStream) uint64 {
	t.Helper()
	ctx := within(t, 10*time.Second)
	stream, err := js.Stream(ctx, "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	most := uint64(0)
	for c := range stream.ListConsumers(ctx).Info() {
		if strings.HasPrefix(c.Name, "orderbridge-") {
			most = max(most, c.AckFloor.Stream, max(c.Config.OptStartSeq, 1)-1)
		}
	}
	return most
}

// acknowledged waits until everything up to seq is acknowledged.
func acknowledged(t testing.TB, js jetstream.JetStream, seq uint64) {
	t.Helper()
	await(t, 30*time.Second, fmt.Sprintf("event %d is acknowledged", seq), func() bool { return floor(t, js) >= seq })
}

// nothingOwed waits until the ledger is empty.
func nothingOwed(t testing.TB, js jetstream.JetStream) {
	t.Helper()
	await(t, 30*time.Second, "nothing is owed", func() bool { return len(owedKeys(t, js)) == 0 })
}

// deadLetters is how many are stored.
func deadLetters(t testing.TB, js jetstream.JetStream) uint64 {
	t.Helper()
	letters, err := js.Stream(within(t, 10*time.Second), "DEAD_LETTERS")
	if err != nil {
		t.Fatal(err)
	}
	return letters.CachedInfo().State.Msgs
}

// change is the nth change of an order.
func change(order string, n int) *nats.Msg {
	return &nats.Msg{Subject: "orders.acme.OrderChanged." + order, Header: nats.Header{"Nats-Msg-Id": {fmt.Sprintf("e-%s-%d", order, n)}},
		Data: []byte(fmt.Sprintf(`{"orderId":%q,"eventType":"OrderChanged","n":%d}`, order, n))}
}

// publishOne publishes the nth change of an order and returns its sequence; it
// is tried until it is confirmed.
func publishOne(t testing.TB, js jetstream.JetStream, order string, n int) uint64 {
	t.Helper()
	return publishMsg(t, js, change(order, n))
}

func publishMsg(t testing.TB, js jetstream.JetStream, m *nats.Msg) uint64 {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		ack, err := js.PublishMsg(ctx, m)
		cancel()
		if err == nil {
			return ack.Sequence
		}
		if time.Now().After(deadline) {
			t.Fatalf("publish: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// flow publishes the changes of some orders, one after another, until it is ended.
type flow struct {
	orders []string
	count  map[string]int // changes published of each order
	stop   func()
	done   chan struct{}
}

// publishFlow publishes about perSecond events in all.
func publishFlow(t testing.TB, js jetstream.JetStream, perSecond, orders int) *flow {
	t.Helper()
	stop := make(chan struct{})
	f := &flow{count: map[string]int{}, stop: sync.OnceFunc(func() { close(stop) }), done: make(chan struct{})}
	for i := range orders {
		f.orders = append(f.orders, "o"+strconv.Itoa(i))
	}
	go func() {
		defer close(f.done)
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for i := 0; ; i++ {
			order := f.orders[i%orders]
			m := change(order, f.count[order]+1)
			for {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				_, err := js.PublishMsg(ctx, m)
				cancel()
				if err == nil {
					break
				}
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
			f.count[order]++
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() {
		f.end()
	})
	return f
}

// end stops publishing and returns how many events there are.
func (f *flow) end() int {
	f.stop()
	<-f.done
	n := 0
	for _, c := range f.count {
		n += c
	}
	return n
}

// arrives waits until every event of the flow has arrived.
func (f *flow) arrives(t testing.TB, e *receiver) {
	t.Helper()
	n := f.end()
	await(t, 60*time.Second, fmt.Sprintf("all of %d events arrived", n), func() bool { return e.Delivered() >= n })
}

// check holds the journal against the promises and returns the repeats.
func (f *flow) check(t testing.TB, e *receiver) []lab.Repeat {
	t.Helper()
	repeats, err := e.Journal().Check(f.count)
	if err != nil {
		t.Error(err)
	}
	return repeats
}

// recent holds repeats against promise 4: what is repeated had been sent within
// the second before the crash, or later.
func recent(t testing.TB, repeats []lab.Repeat, crash time.Time) {
	t.Helper()
	const slack = 500 * time.Millisecond // for a busy machine
	for _, r := range repeats {
		if r.First.Ended.Before(crash.Add(-time.Second - slack)) {
			t.Errorf("%s %d was delivered %s before the crash and came again", r.First.Order, r.First.N, crash.Sub(r.First.Ended))
		}
	}
}
