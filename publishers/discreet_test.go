package publishers

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/egress"
	"orderbridge/internal/lab"
)

func internalOnly(o *Options) {
	o.Internal = func(a netip.Addr) bool { return egress.Class(a) != egress.Public }
}

// insides are the ways in which an address of an internal network fails.
func insides(t *testing.T) map[string]string {
	t.Helper()
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	closed.Close()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { silent.Close() })
	plain := receiver(t, func(http.ResponseWriter, *http.Request) {})
	talking, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	t.Cleanup(func() { talking.Close() })
	go func() {
		for {
			conn, err := talking.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("SSH-2.0-OpenSSH_9.9\r\n"))
			conn.Close()
		}
	}()
	hanging, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{issued(t, testCA(t).Issue)}})
	ok(t, err)
	acceptAll(t, hanging, func(conn *tls.Conn) {
		buffer := make([]byte, 4096)
		for {
			if _, err := conn.Read(buffer); err != nil {
				return
			}
		}
	})
	return map[string]string{
		"closed":     "https://" + closed.Addr().String() + "/x",
		"silent":     "https://" + silent.Addr().String() + "/x",
		"other TLS":  "https://" + strings.Replace(strings.TrimPrefix(plain.URL, "https://"), "127.0.0.1", "127.0.0.2", 1) + "/x",
		"other name": "https://" + talking.Addr().String() + "/x",
		"no answer":  "https://" + hanging.Addr().String() + "/x",
	}
}

// A tenant is told of an internal network nothing but that there was no answer;
// the operator's log is told what it was.
func TestTenantsDoNotLookInside(t *testing.T) {
	t.Parallel()
	for name, target := range insides(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook(t, internalOnly)
			host := strings.TrimSuffix(strings.TrimPrefix(target, "https://"), "/x")
			for what, change := range map[string]func(s *record.Subscription){
				"endpoint": func(s *record.Subscription) { s.TargetURL = target },
				"token server": func(s *record.Subscription) {
					s.TargetURL = "https://never.example.com/"
					s.More.Auth = &record.Auth{Type: "client_credential", ClientID: "c", ClientSecret: "s3cret", TokenURL: target}
				},
			} {
				d := delivery("")
				d.Subscription.Tenant = "acme"
				d.Subscription.More = &record.More{Timeout: 500 * time.Millisecond}
				change(d.Subscription)
				want := "no answer from " + host + ", which lies in an internal network: the operator's log tells why"
				if what == "token server" {
					want = "token server " + host + ": " + want
				}
				a := attemptError(t, publish(shortly(t), w, d))
				if a.Reason != want || a.Detail == "" || strings.Contains(a.Detail, "internal network") || a.Fault != bridge.FaultTransport {
					t.Errorf("%s: %+v\nwant %s", what, a, want)
				}
				d.Subscription = &record.Subscription{ID: d.Subscription.ID, More: &record.More{Timeout: 500 * time.Millisecond}}
				change(d.Subscription)
				if a := attemptError(t, publish(shortly(t), w, d)); strings.Contains(a.Reason, "internal network") || a.Detail != "" {
					t.Errorf("%s, the operator's own: %+v", what, a)
				}
			}
		})
	}
}

// A name that leads where nothing may be sent does not tell where it leads.
func TestPolicyDoesNotTellWhereNamesLead(t *testing.T) {
	t.Parallel()
	names := newNameServer(t, []string{"10.1.2.3"})
	w := newWebhook(t, internalOnly, func(o *Options) {
		o.Resolver = names.resolver()
		o.DialControl = egress.Policy{}.Control
	})
	d := delivery("https://db.example.com/")
	d.Subscription.Tenant = "acme"
	a := attemptError(t, publish(shortly(t), w, d))
	if a.Fault != bridge.FaultConfig || strings.Contains(a.Reason, "10.1.2.3") || strings.Contains(a.Reason, "private") || !strings.Contains(a.Reason, "ORDERBRIDGE_EGRESS_ALLOW") || !strings.Contains(a.Detail, "10.1.2.3") {
		t.Errorf("%+v", a)
	}
}

// What a probe of an internal network took tells as little as its text.
func TestProbesInsideTakeTheirTime(t *testing.T) {
	t.Parallel()
	for name, target := range insides(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWebhook(t, internalOnly)
			ctx, cancel := context.WithTimeout(t.Context(), lab.Patience)
			defer cancel()
			start := time.Now()
			a := attemptError(t, w.Probe(ctx, "acme", target))
			if took := time.Since(start); took < 4900*time.Millisecond || !strings.Contains(a.Reason, "internal network") {
				t.Errorf("after %s: %+v", took, a)
			}
		})
	}
}

// Behind a proxy that resolves names, hosts that mean an address are judged as it.
func TestNumbersDoNotPassTheProxy(t *testing.T) {
	t.Parallel()
	var tunnels, asked atomic.Int32
	proxy := connectProxy(t, &asked, http.StatusBadGateway)
	counting := connectProxy(t, &tunnels, http.StatusOK)
	for _, host := range []string{
		"10.5", "167772165", "0xa000005", "012.0.0.5", "0xA.0.5", "10.0.0.5.", "0", "127.1", "2130706433", "0177.0.0.1", "localhost", "LOCALHOST.", "x.localhost", "ip6-localhost",
		"[::ffff:10.0.0.5]", "[::ffff:a00:5]", "[64:ff9b::a00:5]", "[2002:a00:5::1]", "[2001:0:a00:5::1]", "[::10.0.0.5]", "[fe80::1%25eth0]", "[::1]", "[::]", "[fd00:ec2::254]",
		"①②⑦.⓪.⓪.①", "１０.0.0.5", "10。0。0。5", "metadata.google.internal", "169.254.169.254", "0xa9fea9fe", "1.2.3.4.5", "256.1.1.1", "a.1",
	} {
		for _, p := range []string{proxy, counting} {
			w := newWebhook(t, func(o *Options) { o.Proxy, o.DialControl = p, egress.Policy{}.Control })
			a := attemptError(t, publish(shortly(t), w, delivery("https://"+host+":8443/")))
			if a.Fault != bridge.FaultConfig {
				t.Errorf("%s: %+v", host, a)
			}
		}
	}
	if tunnels.Load() != 0 {
		t.Errorf("%d tunnels", tunnels.Load())
	}
	// Public ones, and names, are for the proxy to reach.
	for _, host := range []string{"93.184.215.14", "[2606:4700::1111]", "example.com", "1.example.com"} {
		w := newWebhook(t, func(o *Options) { o.Proxy, o.DialControl = proxy, egress.Policy{}.Control })
		if a := attemptError(t, publish(shortly(t), w, delivery("https://"+host+"/"))); a.Fault != bridge.FaultTransport || !strings.Contains(a.Reason, "502") {
			t.Errorf("%s: %+v", host, a)
		}
	}
	// An address that is allowed has one way to be written.
	w := newWebhook(t, func(o *Options) {
		o.Proxy, o.DialControl = proxy, egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}.Control
	})
	if a := attemptError(t, publish(shortly(t), w, delivery("https://10.5/"))); a.Fault != bridge.FaultConfig || !strings.Contains(a.Reason, "10.0.0.5") {
		t.Errorf("%+v", a)
	}
}

// What this machine lacks is not a fault of an endpoint.
func TestFaultsOfThisMachine(t *testing.T) {
	t.Parallel()
	dial := func(errno syscall.Errno) error {
		return &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(1, 2, 3, 4), Port: 443}, Err: errno}
	}
	six := &net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.ParseIP("2606:4700::1"), Port: 443}, Err: syscall.EADDRNOTAVAIL}
	dns := &net.DNSError{Name: "h", Err: fmt.Sprintf("dial udp 10.0.0.1:53: socket: %s", syscall.EMFILE)}
	for _, tc := range []struct {
		err     error
		proxied bool
		local   bool
	}{
		{dial(syscall.EMFILE), false, true}, {dial(syscall.ENFILE), false, true}, {dial(syscall.ENOBUFS), false, true}, {dial(syscall.ENOMEM), false, true},
		{dial(syscall.EADDRNOTAVAIL), false, true}, {six, false, false}, {dns, false, true}, {dial(syscall.ECONNREFUSED), false, false}, {dial(syscall.ECONNREFUSED), true, true},
		{dial(syscall.ENETUNREACH), false, false}, {dial(syscall.ETIMEDOUT), false, false}, {&net.DNSError{Name: "h", Err: "server misbehaving"}, false, false},
		{&net.DNSError{Name: "proxy", Err: "no such host", IsNotFound: true}, true, true},
	} {
		a := transportFailure(&connectError{stepDial, localFault(tc.err, tc.proxied), false}, "h", time.Second, time.Second)
		if (a.Fault == bridge.FaultLocal) != tc.local {
			t.Errorf("%v: %+v", tc.err, a)
		}
		if o := bridge.Judge(a, false); (o.Verdict == protocol.NotAttempted) != tc.local || tc.local && o.EndpointFault {
			t.Errorf("%v: judged %+v", tc.err, o)
		}
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	ok(t, err)
	closed.Close()
	w := newWebhook(t, func(o *Options) { o.Proxy = closed.Addr().String() })
	if a := attemptError(t, publish(shortly(t), w, delivery("https://example.com/"))); a.Fault != bridge.FaultLocal || !strings.Contains(w.LocalProblem(), "ORDERBRIDGE_EGRESS_PROXY") {
		t.Errorf("%+v, %q", a, w.LocalProblem())
	}
}
