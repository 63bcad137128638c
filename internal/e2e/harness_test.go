package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
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

	"orderbridge/bridge"
	"orderbridge/internal/health"
	"orderbridge/internal/lab"
)

// await polls until ok says yes, for as long as it may take on a busy machine.
func await(t testing.TB, within time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > within {
			t.Fatalf("not within %s: %s", within, what)
		}
		<-time.After(5 * time.Millisecond)
	}
	return time.Since(start)
}

// ---- the program

// program is the built orderbridge as a process of its own.
type program struct {
	t    testing.TB
	cmd  *exec.Cmd
	log  lines
	done chan struct{} // closed when it has ended
}

// lines collects what a program prints.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

var authority = sync.OnceValues(lab.NewCA)

// environment is that of a program that trusts the endpoints of these tests.
func environment(t testing.TB, more ...string) []string {
	t.Helper()
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	roots := filepath.Join(t.TempDir(), "roots.pem")
	if err := os.WriteFile(roots, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "ORDERBRIDGE_") })
	return append(append(env, "ORDERBRIDGE_HTTP_LISTEN=127.0.0.1:0", "ORDERBRIDGE_TRUST_ROOTS="+roots, "ORDERBRIDGE_EGRESS_ALLOW=127.0.0.0/8"), more...)
}

// launch starts `orderbridge serve`; it is killed when the test ends.
func launch(t testing.TB, env ...string) *program {
	t.Helper()
	return launchBinary(t, "orderbridge", env...)
}

func launchBinary(t testing.TB, binary string, env ...string) *program {
	t.Helper()
	p := &program{t: t, cmd: exec.Command(binary, "serve"), done: make(chan struct{})}
	p.cmd.Env = environment(t, env...)
	p.cmd.Dir = t.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code says it
		close(p.done)
	}()
	t.Cleanup(func() {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGKILL)
		<-p.done
		if t.Failed() {
			text := regexp.MustCompile(`(?m)^.* msg=attempt .*\n`).ReplaceAllString(p.log.String(), "")
			t.Logf("log of process %d:\n%s", p.cmd.Process.Pid, text[max(0, len(text)-16<<10):])
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

func (p *program) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) } // it may have ended

// exit waits for the end and returns the exit code, -1 if a signal ended it.
func (p *program) exit(within time.Duration) int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(within):
		p.t.Fatalf("still runs after %s", within)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop is a graceful stop, which must succeed.
func (p *program) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exit(30 * time.Second); code != exitGood {
		p.t.Fatalf("exit code %d after SIGTERM", code)
	}
}

// kill is kill -9.
func (p *program) kill() {
	p.t.Helper()
	p.signal(syscall.SIGKILL)
	p.exit(10 * time.Second)
}

// said waits until the log matches and returns the first group.
func (p *program) said(within time.Duration, pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	found := ""
	await(p.t, within, "log matches "+pattern, func() bool {
		select {
		case <-p.done:
			if !re.MatchString(p.log.String()) {
				p.t.Fatalf("ended with code %d before its log matched %s", p.cmd.ProcessState.ExitCode(), pattern)
			}
		default:
		}
		if m := re.FindStringSubmatch(p.log.String()); m != nil {
			found = m[len(m)-1]
			return true
		}
		return false
	})
	return found
}

func (p *program) http() string { return p.said(30*time.Second, `http=(\S+)`) }

// readyz is the readiness and its HTTP status, 0 if there was no answer.
func (p *program) readyz() (r health.Readiness, status int) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.http()+"/readyz", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, 0
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
		p.t.Fatal(err)
	}
	return r, resp.StatusCode
}

// leads waits until the program leads and is ready, and tells how long it took.
func (p *program) leads() time.Duration {
	p.t.Helper()
	return await(p.t, 40*time.Second, "leads", func() bool {
		r, status := p.readyz()
		return status == http.StatusOK && r.Role == health.RoleLeader
	})
}

// complains waits until /readyz answers 503 with a reason that holds the text.
func (p *program) complains(text string) {
	p.t.Helper()
	var last health.Readiness
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

// What an endpoint does instead of answering with a status.
const (
	hang  = -1 // until the client gives up or the test ends
	reset = -2
)

// receiver is a real TLS endpoint that keeps a journal.
type receiver struct {
	*httptest.Server
	over  chan struct{} // closed when the test ends
	mu    sync.Mutex
	hits  []*hit
	reply func(h *hit) int // a status, hang or reset; may block
	after string           // Retry-After of each answer that is not a success
}

// hit is one request as it came; status and ended are set when it is answered.
type hit struct {
	at, ended time.Time
	remote    string // the connection's other end
	method    string
	uri       string
	header    http.Header
	body      []byte
	status    int
	gone      <-chan struct{} // the client has given up
	clients   int             // certificates that the client has shown

	order string // of the body, if it is an event of these tests
	n     int
}

// receive starts an endpoint that answers with reply; nil: always 200.
func receive(t testing.TB, reply func(h *hit) int) *receiver {
	t.Helper()
	ca, err := authority()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("127.0.0.1", "localhost")
	if err != nil {
		t.Fatal(err)
	}
	return receiveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}}, reply)
}

// receiveTLS is receive with TLS settings of its own.
func receiveTLS(t testing.TB, settings *tls.Config, reply func(h *hit) int) *receiver {
	t.Helper()
	e := &receiver{over: make(chan struct{})}
	e.answer(reply)
	e.Server = httptest.NewUnstartedServer(http.HandlerFunc(e.serve))
	e.Config.ErrorLog = log.New(io.Discard, "", 0)
	e.TLS = settings
	e.StartTLS()
	t.Cleanup(func() {
		close(e.over)
		e.CloseClientConnections()
		e.Close()
		if t.Failed() {
			e.mu.Lock()
			defer e.mu.Unlock()
			for _, h := range e.hits[max(0, len(e.hits)-20):] {
				t.Logf("%s hit %s %s order %q n %d attempt %s id %s -> %d %s", e.URL, h.at.Format("05.000"), h.method, h.order, h.n, h.header.Get("X-Attempt"), h.header.Get("Webhook-Id"), h.status, h.ended.Format("05.000"))
			}
		}
	})
	return e
}

// answer changes what the endpoint does from now on; nil: always 200.
func (e *receiver) answer(reply func(h *hit) int) {
	if reply == nil {
		reply = func(*hit) int { return http.StatusOK }
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reply = reply
}

func always(status int) func(*hit) int { return func(*hit) int { return status } }

func (e *receiver) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
	if err != nil {
		return
	}
	h := &hit{at: time.Now(), remote: r.RemoteAddr, method: r.Method, uri: r.RequestURI, header: r.Header, body: body, gone: r.Context().Done(), clients: len(r.TLS.PeerCertificates)}
	var ev struct {
		OrderID string `json:"orderId"`
		N       int    `json:"n"`
	}
	if json.Unmarshal(body, &ev) == nil {
		h.order, h.n = ev.OrderID, ev.N
	}
	e.mu.Lock()
	e.hits = append(e.hits, h)
	reply := e.reply
	e.mu.Unlock()
	status := reply(h)
	if status == hang {
		select {
		case <-h.gone:
		case <-e.over:
		}
	}
	e.mu.Lock()
	h.status, h.ended = status, time.Now()
	if e.after != "" && status >= 300 {
		w.Header().Set("Retry-After", e.after)
	}
	e.mu.Unlock()
	if status < 0 {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
}

// journal is a copy of what came so far.
func (e *receiver) journal() []hit {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]hit, len(e.hits))
	for i, h := range e.hits {
		out[i] = *h
	}
	return out
}

func (e *receiver) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.hits)
}

// delivered counts the different deliveries that got a 2xx.
func (e *receiver) delivered() int {
	ids := map[string]bool{}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, h := range e.hits {
		if h.status/100 == 2 {
			ids[h.header.Get("Webhook-Id")] = true
		}
	}
	return len(ids)
}

// came waits for the nth request (from 1).
func (e *receiver) came(t testing.TB, n int) hit {
	t.Helper()
	await(t, 20*time.Second, fmt.Sprintf("request %d", n), func() bool { return e.count() >= n })
	return e.journal()[n-1]
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
func record(e *receiver, more ...string) string {
	return `{"targetURL":"` + e.URL + `/hook"` + strings.Join(append([]string{""}, more...), ",") + `}`
}

const quickRetries = `"retry":{"schedule":["PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S","PT0.2S"]}`

// subscribe puts a record as `nats kv put` does and waits for its verdict.
func subscribe(t testing.TB, js jetstream.JetStream, id, value string) uint64 {
	t.Helper()
	revision := put(t, js, id, value)
	verdict(t, js, id, revision, bridge.StateActive)
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
func verdict(t testing.TB, js jetstream.JetStream, id string, revision uint64, states ...bridge.State) (s bridge.Status, took time.Duration) {
	t.Helper()
	var got string
	start := time.Now()
	for time.Since(start) < 20*time.Second {
		var st bridge.Status
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
	await(t, 20*time.Second, fmt.Sprintf("event %d is acknowledged", seq), func() bool { return floor(t, js) >= seq })
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
	await(t, 60*time.Second, fmt.Sprintf("all of %d events arrived", n), func() bool { return e.delivered() >= n })
}

// repeat is a request for a delivery that had succeeded already.
type repeat struct {
	first, again hit
}

// check holds the journal against the promises: every event arrived (1), in
// order for each order (3), all attempts of an event under one id and no other
// event's (4). It returns the repeats.
func (f *flow) check(t testing.TB, e *receiver) (repeats []repeat) {
	t.Helper()
	type state struct {
		id       string
		ok       *hit
		attempts int
	}
	seen := map[string][]state{}
	ids := map[string]string{}
	for _, h := range e.journal() {
		if f.count[h.order] == 0 || h.n < 1 || h.n > f.count[h.order] {
			t.Fatalf("a delivery of nothing that was published: %s %d", h.order, h.n)
		}
		if seen[h.order] == nil {
			seen[h.order] = make([]state, f.count[h.order]+1)
		}
		s := &seen[h.order][h.n]
		name := fmt.Sprintf("%s %d", h.order, h.n)
		id := h.header.Get("Webhook-Id")
		if s.id == "" {
			s.id = id
		}
		if s.id != id || ids[id] != "" && ids[id] != name {
			t.Errorf("%s came under id %s and %s; %s is also that of %q", name, s.id, id, id, ids[id])
		}
		ids[id] = name
		for i := 1; i < h.n; i++ {
			if before := seen[h.order][i]; before.ok == nil || before.ok.ended.After(h.at) {
				t.Errorf("%s came before %s %d had succeeded", name, h.order, i)
			}
		}
		s.attempts++
		if h.status/100 == 2 && s.ok == nil {
			s.ok = &h
		} else if s.ok != nil {
			repeats = append(repeats, repeat{*s.ok, h})
		}
	}
	for order, n := range f.count {
		for i := 1; i <= n; i++ {
			if seen[order] == nil || seen[order][i].ok == nil {
				t.Errorf("%s %d never arrived", order, i)
			}
		}
	}
	return repeats
}

// recent holds repeats against promise 4: what is repeated had been sent within
// the second before the crash, or later.
func recent(t testing.TB, repeats []repeat, crash time.Time) {
	t.Helper()
	const slack = 500 * time.Millisecond // for a busy machine
	for _, r := range repeats {
		if r.first.ended.Before(crash.Add(-time.Second - slack)) {
			t.Errorf("%s %d was delivered %s before the crash and came again", r.first.order, r.first.n, crash.Sub(r.first.ended))
		}
	}
}
