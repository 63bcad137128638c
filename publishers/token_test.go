package publishers

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/egress"
	"orderbridge/internal/lab"
)

func (a *authority) delivery() *protocol.Delivery {
	d := delivery(a.endpoint.URL)
	d.Subscription.More = &record.More{Auth: &record.Auth{Type: "client_credential", ClientID: "bridge:1", ClientSecret: "s3cret&/ü", TokenURL: a.server.URL + "/token?x=hunter2"}}
	return d
}

func (a *authority) expect(t *testing.T, asked, attempts int32) {
	t.Helper()
	if got := a.asked.Load(); got != asked {
		t.Errorf("asked for a token %d times, want %d", got, asked)
	}
	if got := a.attempts.Load(); got != attempts {
		t.Errorf("%d requests, want %d", got, attempts)
	}
}

func TestContractC12TokenIsCached(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, authorityOptions{})
	w, d := newWebhook(t), a.delivery()
	for range 5 {
		if err := publish(shortly(t), w, d); err != nil {
			t.Fatal(err)
		}
	}
	a.expect(t, 1, 5)
}

func TestContractC12CredentialsInTheBody(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, authorityOptions{inBody: true, expires: time.Second, scope: "orders:read x"})
	w, d := newWebhook(t), a.delivery()
	d.Subscription.More.Auth.Scopes = []string{"orders:read", "x"}
	if err := publish(shortly(t), w, d); err != nil {
		t.Fatal(err)
	}
	a.expect(t, 2, 1) // once by the header, refused; then by the body
	waitFor(t, func() bool {
		if err := publish(shortly(t), w, d); err != nil {
			t.Fatal(err)
		}
		return a.asked.Load() == 3 // what was learned is kept
	})
}

func TestContractC12TokenExpires(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, authorityOptions{expires: 2 * time.Second})
	w, d := newWebhook(t), a.delivery()
	start := time.Now()
	waitFor(t, func() bool {
		if err := publish(shortly(t), w, d); err != nil {
			t.Fatal(err)
		}
		return a.asked.Load() == 2
	})
	took := time.Since(start)
	if took < time.Second {
		t.Errorf("a token of 2 s was used for %s only", took)
	}
	if n := a.attempts.Load(); n < 2 || n < 3 && took < 2*time.Second { // a slow machine may use each token once
		t.Errorf("%d requests", n)
	}
}

func TestContractC12OneFetchForAll(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, authorityOptions{})
	w, d := newWebhook(t), a.delivery()
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if err := publish(shortly(t), w, d); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	a.expect(t, 1, 50)
}

func TestContractC12FetchedAnewOnceAfter401(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, authorityOptions{})
	w, d := newWebhook(t), a.delivery()
	if err := publish(shortly(t), w, d); err != nil {
		t.Fatal(err)
	}
	// The server forgets its tokens: the next attempt gets a new one by itself.
	a.forget()
	if err := publish(shortly(t), w, d); err != nil {
		t.Fatal(err)
	}
	a.expect(t, 2, 3)
	// Refused for ever: one request more, then the attempt has failed.
	a.refuse.Store(1000)
	failure := attemptError(t, publish(shortly(t), w, d))
	a.expect(t, 3, 5)
	if failure.Fault != bridge.FaultStatus || failure.Status != 401 || !strings.Contains(failure.Reason, "refused Bearer [redacted]") {
		t.Errorf("%+v", failure)
	}
}

func TestContractC12OneFetchForAllAfter401(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, authorityOptions{})
	w, d := newWebhook(t), a.delivery()
	if err := publish(shortly(t), w, d); err != nil {
		t.Fatal(err)
	}
	a.forget()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if err := publish(shortly(t), w, d); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if got := a.asked.Load(); got != 2 {
		t.Errorf("asked for a token %d times, want 2", got)
	}
}

func TestContractC12FailingTokenServer(t *testing.T) {
	t.Parallel()
	private := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"access_token":"t","token_type":"bearer"}`)
	})
	for name, c := range map[string]struct {
		change func(*authority, *protocol.Delivery)
		fault  bridge.Fault
		reason string
		answer http.HandlerFunc // of the token server, if not its own
	}{
		"wrong secret": {change: func(_ *authority, d *protocol.Delivery) { d.Subscription.More.Auth.ClientSecret = "hunter2!" }, reason: "401 Unauthorized: invalid_client"},
		"down":         {change: func(a *authority, _ *protocol.Delivery) { a.server.Close() }, reason: "connection refused"},
		"slow": {change: func(_ *authority, d *protocol.Delivery) { d.Subscription.More.Timeout = 2 * time.Second }, reason: "timeout",
			answer: func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body) // only then the end of the connection is seen
				<-r.Context().Done()
			}},
		"503":       {reason: "503 Service Unavailable: later", answer: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "later", http.StatusServiceUnavailable) }},
		"redirect":  {reason: "302 Found", answer: func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, private.URL, http.StatusFound) }},
		"no token":  {reason: "missing access_token", answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }},
		"no JSON":   {reason: "cannot parse json", answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `<html>`) }},
		"bad token": {reason: "cannot stand in a header", answer: func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"access_token":"hunter2\r\nX: y"}`) }},
		"endless": {reason: "cannot parse json", answer: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, `{"access_token":"t","x":"%s"}`, strings.Repeat("x", 1<<20))
		}},
		"echo": {reason: "400 Bad Request: s= [redacted] [redacted]", answer: func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "s= "+r.FormValue("client_secret")+" "+url.QueryEscape("s3cret&/ü"), http.StatusBadRequest)
		}},
		"unknown cert": {change: func(_ *authority, d *protocol.Delivery) { d.Subscription.More.Auth.TokenURL = selfSigned(t).URL }, reason: "unknown authority"},
		"private place": {change: func(_ *authority, d *protocol.Delivery) {
			d.Subscription.More.Auth.TokenURL = "https://127.0.0.2:1/token"
		}, reason: "not allowed by policy: address 127.0.0.2", fault: bridge.FaultConfig},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAuthority(t, authorityOptions{})
			d := a.delivery()
			if c.answer != nil {
				d.Subscription.More.Auth.TokenURL = receiver(t, asJSON(c.answer)).URL + "/?x=hunter2"
			}
			if c.change != nil {
				c.change(a, d)
			}
			if c.fault == 0 {
				c.fault = bridge.FaultTransport
			}
			w := newWebhook(t, func(o *Options) {
				o.DialControl = egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}}.Control
			})
			failure := attemptError(t, publish(shortly(t), w, d))
			if failure.Fault != c.fault || !strings.HasPrefix(failure.Reason, "token server 127.0.0.") || !strings.Contains(failure.Reason, c.reason) {
				t.Errorf("%d %s, want %s", failure.Fault, failure.Reason, c.reason)
			}
			for _, secret := range []string{"hunter2", "s3cret"} {
				if strings.Contains(fmt.Sprint(failure.Reason, failure.Err), secret) {
					t.Errorf("shows %s: %s, %v", secret, failure.Reason, failure.Err)
				}
			}
			if o := bridge.Judge(failure, false); o.Verdict != protocol.Retry || !o.EndpointFault {
				t.Errorf("judged %+v, want a retry that counts for the breaker", o)
			}
			if a.attempts.Load() != 0 {
				t.Error("the endpoint was asked without a token")
			}
		})
	}
}

// A caller that is cut off while it fetches fails alone.
func TestTokenFetchCutOff(t *testing.T) {
	t.Parallel()
	arrived, answer := make(chan struct{}, 8), make(chan struct{})
	tokens := receiver(t, asJSON(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		arrived <- struct{}{}
		select {
		case <-answer:
			fmt.Fprint(w, `{"access_token":"t","token_type":"bearer","expires_in":3600}`)
		case <-r.Context().Done():
		}
	}))
	endpoint := receiver(t, func(http.ResponseWriter, *http.Request) {})
	d := delivery(endpoint.URL)
	d.Subscription.More = &record.More{Auth: &record.Auth{Type: "client_credential", ClientID: "c", ClientSecret: "s3cret", TokenURL: tokens.URL}}
	w := newWebhook(t)
	ctx, cut := context.WithCancelCause(shortly(t))
	first, second := make(chan error, 1), make(chan error, 1)
	go func() { first <- publish(ctx, w, d) }()
	<-arrived
	go func() { second <- publish(shortly(t), w, d) }()
	cut(bridge.ErrCut)
	if err := <-first; !errors.Is(err, bridge.ErrCut) {
		t.Errorf("the one who was cut off: %v", err)
	}
	<-arrived
	close(answer)
	if err := <-second; err != nil {
		t.Errorf("the other: %v", err)
	}
}

func TestBearer(t *testing.T) {
	t.Parallel()
	server := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer abc/+=" {
			http.Error(w, "got "+r.Header.Get("Authorization"), http.StatusUnauthorized)
		}
	})
	d := delivery(server.URL)
	d.Subscription.More = &record.More{Auth: &record.Auth{Type: "bearer", Token: "abc/+="}}
	if err := publish(shortly(t), newWebhook(t), d); err != nil {
		t.Error(err)
	}
	d = delivery(server.URL)
	d.Subscription.More = &record.More{Auth: &record.Auth{Type: "bearer", Token: "hunter2"}}
	if failure := attemptError(t, publish(shortly(t), newWebhook(t), d)); failure.Reason != "401 Unauthorized: got Bearer [redacted]" {
		t.Error(failure.Reason)
	}
}

func asJSON(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		h(w, r)
	}
}

func selfSigned(t *testing.T) *httptest.Server {
	t.Helper()
	return receiver(t, func(http.ResponseWriter, *http.Request) {}, func(s *httptest.Server) {
		s.TLS.Certificates = []tls.Certificate{issued(t, lab.SelfSigned)}
	})
}

// waitFor polls until something holds, with a deadline.
func waitFor(t *testing.T, holds func() bool) {
	t.Helper()
	ctx := shortly(t)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			t.Fatal("it did not come about")
		case <-tick.C:
		}
	}
}
