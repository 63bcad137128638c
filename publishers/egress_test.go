package publishers

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/egress"
)

// nameServer answers each question for an IPv4 address with the next of its
// answers, the last one for ever.
type nameServer struct {
	conn    net.PacketConn
	mu      sync.Mutex
	answers [][]string
	asked   int
}

func newNameServer(t *testing.T, answers ...[]string) *nameServer {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	ok(t, err)
	s := &nameServer{conn: conn, answers: answers}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buffer := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if answer, err := s.answer(buffer[:n]); err == nil {
				_, _ = conn.WriteTo(answer, from)
			}
		}
	}()
	t.Cleanup(func() { conn.Close(); <-done })
	return s
}

func (s *nameServer) answer(question []byte) ([]byte, error) {
	var m dnsmessage.Message
	if err := m.Unpack(question); err != nil {
		return nil, err
	}
	m.Response, m.Additionals = true, nil
	if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, address := range s.answers[min(s.asked, len(s.answers)-1)] {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: netip.MustParseAddr(address).As4()},
			})
		}
		s.asked++
	}
	return m.Pack()
}

func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.conn.LocalAddr().String())
	}}
}

// TestRebinding: a name that is public when one looks and private when one
// dials gains nothing, because the address that is checked is the one that is
// dialed.
func TestRebinding(t *testing.T) {
	t.Parallel()
	const public = "93.184.215.14"
	server := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("the private server was reached") })
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	ok(t, err)
	errNoNetwork := errors.New("this test dials nothing public")
	for name, change := range map[string]func(d *protocol.Delivery, url string){
		"endpoint": func(d *protocol.Delivery, url string) { d.Subscription.TargetURL = url },
		"token server": func(d *protocol.Delivery, url string) {
			d.Subscription.More = &record.More{Auth: &record.Auth{Type: "client_credential", ClientID: "c", ClientSecret: "s3cret", TokenURL: url}}
		},
	} {
		for answers, names := range map[string]*nameServer{
			"public, then private": newNameServer(t, []string{public}, []string{"127.0.0.1"}),
			"both at once":         newNameServer(t, []string{public, "127.0.0.1"}),
			"private, then public": newNameServer(t, []string{"127.0.0.1"}, []string{public}, []string{"127.0.0.1"}),
		} {
			var mu sync.Mutex
			allowed, refused := map[string]int{}, map[string]int{}
			w := newWebhook(t, func(o *Options) {
				o.Resolver = names.resolver()
				o.DialControl = func(network, address string, c syscall.RawConn) error {
					err := egress.Policy{}.Control(network, address, c)
					mu.Lock()
					defer mu.Unlock()
					if err != nil {
						refused[address]++
						return err
					}
					allowed[address]++
					return errNoNetwork
				}
			})
			d := delivery("https://erp.example.com/")
			d.Subscription.More = &record.More{ConnectionTimeout: 5 * time.Second}
			change(d, "https://rebind.example.com:"+port+"/")
			for range 3 {
				if a := attemptError(t, publish(shortly(t), w, d)); a.Fault != bridge.FaultConfig {
					t.Errorf("%s, %s: %+v", name, answers, a)
				}
			}
			if len(allowed) != 1 || allowed[public+":"+port] == 0 || len(refused) != 1 || refused["127.0.0.1:"+port] == 0 {
				t.Errorf("%s, %s: dialed %v, refused %v", name, answers, allowed, refused)
			}
		}
	}
}

// TestGuardOnEveryForm: the ways to write a private address in a URL.
func TestGuardOnEveryForm(t *testing.T) {
	t.Parallel()
	server := receiver(t, func(http.ResponseWriter, *http.Request) { t.Error("the private server was reached") })
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	ok(t, err)
	w := newWebhook(t, func(o *Options) { o.DialControl = egress.Policy{}.Control })
	for _, host := range []string{"127.0.0.1", "[::ffff:127.0.0.1]", "localhost", "[::1]", "[64:ff9b::7f00:1]", "169.254.169.254", "[::ffff:a9fe:a9fe]"} {
		a := attemptError(t, publish(shortly(t), w, delivery("https://"+host+":"+port+"/")))
		if a.Fault != bridge.FaultConfig || !strings.Contains(a.Reason, "ORDERBRIDGE_EGRESS_ALLOW") {
			t.Errorf("%s: %+v", host, a)
		}
	}
}
