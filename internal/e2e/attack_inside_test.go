package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// insidePorts are three ports of an internal network: closed, open and silent,
// open and speaking something else.
func insidePorts(t *testing.T) map[string]string {
	t.Helper()
	ports := map[string]string{}
	for _, kind := range []string{"closed", "silent", "talking"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ports[kind] = l.Addr().String()
		switch kind {
		case "closed":
			l.Close()
			continue
		case "talking":
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					_, _ = io.WriteString(conn, "SSH-2.0-OpenSSH_9.9\r\n") // it may be gone
					conn.Close()
				}
			}()
		}
		t.Cleanup(func() { l.Close() })
	}
	return ports
}

// What is another one for each delivery, whatever the host does: ids, times, and of a
// test send the request that was made.
var (
	ofOneDelivery = regexp.MustCompile(`"(deliveryId|deliveryID|durationMs|id|duration\w*|Webhook-Timestamp)":\s*("[^"]*"|\d+),?`)
	idOfATest     = regexp.MustCompile(`test-([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z2-7]{32})\b`)
)

// notes are what one learns of hosts, by what was asked.
type notes struct {
	mu   sync.Mutex
	seen map[string][]string // the answers without the host
	took map[string][]time.Duration
}

func (n *notes) note(what, text, host string, d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	text = ofOneDelivery.ReplaceAllString(strings.ReplaceAll(text, host, "HOST"), "")
	text = idOfATest.ReplaceAllString(text, "test-ID")
	n.seen[what] = append(n.seen[what], text)
	n.took[what] = append(n.took[what], d)
}

// tellNothingApart: the answers and their times are the same for all hosts.
func (n *notes) tellNothingApart(t *testing.T) {
	t.Helper()
	for what, answers := range n.seen {
		apart := time.Duration(0)
		for i := range answers {
			if answers[i] != answers[0] {
				t.Errorf("%s: tells ports apart:\n%s", what, strings.Join(answers, "\n"))
				break
			}
			for j := range answers {
				apart = max(apart, n.took[what][i]-n.took[what][j])
			}
		}
		t.Logf("%s after %v: %s", what, n.took[what], answers[0])
		lab.Promise(t, what+": by how much the times tell ports apart", apart, 2*time.Second)
	}
}

// A tenant uses registrations, test sends, statuses and dead letters as eyes
// into the operator's network: none of them tells an open port from a closed
// one, nor where a name leads. The operator's log tells.
func TestAttackEyesInside(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_ALLOW_HTTP=true")
	operators := bearer(t, p, operator)
	tenant := bearer(t, p, acmeToken)
	ports := insidePorts(t)
	gate := basic(t, p, acmeToken)

	// Side by side, since each of them takes its time.
	var wg sync.WaitGroup
	n := &notes{seen: map[string][]string{}, took: map[string][]time.Duration{}}
	for kind, host := range ports {
		put(t, js, kind, `{"targetURL":"https://`+host+`/x","tenant":"acme","timeout":"PT2S","retry":{"schedule":["PT1S"]}}`)
		wg.Go(func() {
			start := time.Now()
			r := gate.call("POST", "/api/v2/register", fmt.Sprintf(`{"http_client":"http://%s/x"}`, host), "Content-Type", "application/json")
			n.note("registration", r.body, host, time.Since(start))
		})
		active(t, js, kind)
		wg.Go(func() {
			start := time.Now()
			r := tenant.call(http.MethodPost, "/api/notifications/v1/webhooks/"+kind+"/test", "")
			n.note("test send", fmt.Sprint(r.status, " ", r.body), host, time.Since(start))
		})
	}
	publishOne(t, js, "o1", 1)
	for kind, host := range ports {
		n.lettersAndStatus(t, js, operators, kind, host)
	}
	wg.Wait()
	n.tellNothingApart(t)
	if log := p.Output(); !strings.Contains(log, "connection refused by "+ports["closed"]) {
		t.Error("the operator's log does not tell which port is closed")
	}
}

// lettersAndStatus notes what the dead letter and the status of a record tell.
func (n *notes) lettersAndStatus(t *testing.T, js jetstream.JetStream, operators caller, kind, host string) {
	t.Helper()
	var letters reply
	await(t, 60*time.Second, "a dead letter of "+kind, func() bool {
		letters = operators.call(http.MethodGet, "/api/v1/dead-letters?subscription="+kind, "")
		return strings.Contains(letters.body, `"reason"`)
	})
	reason := regexp.MustCompile(`"reason":"([^"]*)"`).FindStringSubmatch(letters.body)[1]
	n.note("dead letter", reason, host, 0)
	n.note("stored dead letter", strings.Join(regexp.MustCompile(`"reason":"[^"]*"`).FindAllString(letters.body, -1), " "), host, 0)
	var status protocol.Status
	await(t, 30*time.Second, "the status tells of it", func() bool {
		status, _ = verdict(t, js, kind, 0, protocol.StateActive, protocol.StateSuspended, protocol.StateRetrying)
		return strings.Contains(status.Reason, "dead letter")
	})
	n.note("status", status.Reason, host, 0)
}

// askedProxy is a proxy that refuses everything and notes what it was asked for.
type askedProxy struct {
	net.Listener
	mu    sync.Mutex
	hosts []string
}

func newAskedProxy(t *testing.T) *askedProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &askedProxy{Listener: l}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.refuse(conn)
		}
	}()
	return p
}

func (p *askedProxy) refuse(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(lab.Patience))
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	p.mu.Lock()
	p.hosts = append(p.hosts, r.Host)
	p.mu.Unlock()
	_, _ = io.WriteString(conn, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
}

func (p *askedProxy) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.hosts)
}

// Hosts that are numbers in disguise reach nobody, with a proxy that resolves
// names as without; what is registered so is refused when it is registered.
func TestAttackHostsInDisguise(t *testing.T) {
	attack(t)
	proxy := newAskedProxy(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	p := serving(t, bus.URL(), apiTokens, "ORDERBRIDGE_EGRESS_PROXY=http://"+proxy.Addr().String(), "ORDERBRIDGE_EGRESS_ALLOW=203.0.113.0/24")
	hosts := []string{"10.5", "167772165", "0xa000005", "012.0.0.5", "[::ffff:10.0.0.5]", "0", "localhost.", "①②⑦.⓪.⓪.①", "127.1", "[64:ff9b::a00:5]", "[2002:a00:5::1]", "10.0.0.5.", "[fe80::1%25eth0]", "x.localhost", "metadata.google.internal"}
	for i, host := range hosts {
		for what, record := range map[string]string{
			"endpoint": `{"targetURL":"https://` + host + `/x","retry":{"schedule":["PT1S"]}}`,
			"token":    `{"targetURL":"https://example.com/x","auth":{"type":"client_credential","clientID":"c","clientSecret":"a secret of it","tokenURL":"https://` + host + `/t"},"retry":{"schedule":["PT1S"]}}`,
		} {
			put(t, js, fmt.Sprintf("%s%d", what, i), record)
		}
		r := basic(t, p, operator).call("GET", "/api/v1/register?http_client=https://"+host+"/x", "")
		if r.status == http.StatusOK {
			t.Errorf("%s is registered: %s", host, r.body)
		}
	}
	put(t, js, "named", `{"targetURL":"https://example.com/named","retry":{"schedule":["PT1S"]}}`)
	active(t, js, "named")
	publishOne(t, js, "o1", 1)
	await(t, 30*time.Second, "the proxy is asked for the name", func() bool { return len(proxy.asked()) > 0 })
	await(t, 30*time.Second, "the local names are dead letters", func() bool {
		out, _ := command(t, bus.URL(), "", "dead-letters", "list", "-o", "json")
		return strings.Count(out, "not allowed by policy") >= 4
	})
	for _, host := range proxy.asked() {
		if host != "example.com:443" {
			t.Errorf("the proxy was asked for %s", host)
		}
	}
}

// Tarpits of one tenant use all file descriptors up: that is counted against
// nobody, is told, and the neighbour gets its event with the first attempt.
func TestAttackDescriptors(t *testing.T) {
	attack(t)
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	wrapper := filepath.Join(t.TempDir(), "few-files")
	if err := os.WriteFile(wrapper, []byte("#!/bin/sh\nulimit -n 60\nexec orderbridge \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := launchBinary(t, wrapper, "ORDERBRIDGE_NATS_URL="+bus.URL())
	p.leads()
	p.said(10*time.Second, `level=WARN msg="few files may be open`)
	tarpit := receive(t, func(h *lab.Hit) int {
		<-time.After(8 * time.Second) // a tarpit
		return http.StatusOK
	})
	for i := range 4 {
		subscribe(t, js, fmt.Sprintf("tarpit%d", i), recordFor(tarpit, `"ordering":"none"`, `"maxInFlight":50`))
	}
	for i := range 100 {
		publishOne(t, js, fmt.Sprintf("o%d", i), i)
	}
	p.said(30*time.Second, `level=WARN msg="deliveries wait for this machine.*may open no more files`)
	neighbour := receive(t, nil)
	subscribe(t, js, "neighbour", recordFor(neighbour))
	publishOne(t, js, "wanted", 1)
	var first lab.Hit
	await(t, 2*time.Minute, "the neighbour has its event", func() bool {
		for _, h := range neighbour.Journal() {
			if h.Order == "wanted" {
				first = h
				return true
			}
		}
		return false
	})
	if n := first.Header.Get("X-Attempt"); n != "1" {
		t.Errorf("it came with attempt %s", n)
	}
	await(t, 3*time.Minute, "all came", func() bool { return tarpit.Delivered() >= 400 })
	for _, h := range tarpit.Journal() {
		if n := h.Header.Get("X-Attempt"); n != "1" {
			t.Errorf("order %s came with attempt %s", h.Order, n)
		}
	}
	if out, _ := command(t, bus.URL(), "", "dead-letters", "list"); strings.Contains(out, "tarpit") || strings.Contains(out, "neighbour") {
		t.Errorf("dead letters:\n%s", out)
	}
	if log := p.Output(); strings.Contains(log, "suspended") {
		t.Error("an endpoint was suspended for what this machine lacks")
	} else if n := strings.Count(log, "outcome=not_attempted"); n > 20 {
		t.Errorf("%d lines tell of attempts that were not made", n)
	}
}
