package record

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"orderbridge/bridge/event"
)

func TestEnvPrefix(t *testing.T) {
	t.Parallel()
	for tenant, want := range map[string]string{"": "ORDERBRIDGE_SECRET_", "acme": "ORDERBRIDGE_SECRET_ACME_", "acme-eu_2": "ORDERBRIDGE_SECRET_ACME__EU__2_"} {
		if got := EnvPrefix(tenant); got != want {
			t.Errorf("%q: %s, want %s", tenant, got, want)
		}
	}
	// No variable belongs to two tenants.
	tenants := []string{"a", "a-b", "a-", "a--", "-a", "-", "--", "a-b-", "b"}
	names := []string{"x"}
	for _, tenant := range tenants {
		for _, rest := range []string{"X", "X_Y", "A_X", "B_X", "B__X"} {
			names = append(names, EnvPrefix(tenant)+rest)
		}
	}
	for _, name := range names {
		var readers []string
		for _, tenant := range tenants {
			if CheckReference(tenant, RefEnv+name) == nil {
				readers = append(readers, tenant)
			}
		}
		if len(readers) > 1 {
			t.Errorf("%s may be read by %q", name, readers)
		}
	}
}

func TestOriginAndDescribe(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ record, origin, describe string }{
		{`{"targetURL":"https://ERP.example.com/a?b=hunter2"}`, "https://erp.example.com", "hears all events, POST erp.example.com"},
		{`{"targetURL":"https://erp.example.com:443/{orderId}","method":"GET","subjects":["orders.acme.>"],"eventTypes":["OrderAccepted"]}`,
			"https://erp.example.com", "hears orders.acme.> [OrderAccepted], GET erp.example.com"},
		{`{"targetURL":"https://h:8443","tenant":"acme","subjects":["a","b","c","d","e"]}`, "https://h:8443", "hears a, b, c, d, … of tenant acme, POST h:8443"},
		{`{"targetURL":"http://h:080"}`, "http://h", "hears all events, POST h"},
		{`{"targetURL":"https://[2001:DB8::1]/"}`, "https://[2001:db8::1]", "hears all events, POST [2001:db8::1]"},
		{`{"targetURL":"https://[::1]:8443/"}`, "https://[::1]:8443", "hears all events, POST [::1]:8443"},
	} {
		s, problems := Parse("erp", []byte(c.record), Policy{AllowHTTP: true})
		if s == nil {
			t.Errorf("%s: %v", c.record, problems)
			continue
		}
		if s.Origin() != c.origin || s.Describe() != c.describe {
			t.Errorf("%s: %q, %q", c.record, s.Origin(), s.Describe())
		}
	}
}

func TestSecretHost(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"https://ERP.example.com:443/{orderId}?x=<orderId>": "erp.example.com", "https://h:8443": "h:8443", "http://h:80/": "http://h", "https://[::1]:8443/": "[::1]:8443",
		"https://": "", "": "", "%": "",
	} {
		if got := SecretHost(url); got != want {
			t.Errorf("%s: %q, want %q", url, got, want)
		}
	}
}

func TestSubscriptionInLogs(t *testing.T) {
	t.Parallel()
	s, _ := Parse("erp", []byte(`{"targetURL":"https://h/?t=hunter2","headers":{"X-Token":"hunter2"}}`), Policy{})
	var b strings.Builder
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "subscription", s)
	if strings.Contains(b.String(), "hunter2") || !strings.Contains(b.String(), `"subscription":"erp"`) {
		t.Error(b.String())
	}
}

func TestMatchesEvent(t *testing.T) {
	t.Parallel()
	ev := &event.Event{Message: event.Message{Subject: "orders.acme.OrderAccepted.1"}, Type: "OrderAccepted", Tenant: "acme"}
	for record, want := range map[string]bool{
		``: true,
		`,"subjects":["orders.acme.>"],"eventTypes":["X","Order*"],"tenant":"acme"`: true,
		`,"subjects":["orders.b.>"]`:  false,
		`,"eventTypes":["OrderSent"]`: false,
		`,"tenant":"globex"`:          false,
	} {
		s, _ := Parse("erp", []byte(`{"targetURL":"https://h/"`+record+`}`), Policy{})
		if s.MatchesEvent(ev) != want {
			t.Errorf("%s: %v", record, !want)
		}
	}
	s, _ := Parse("erp", []byte(`{"targetURL":"https://h/","tenant":"acme"}`), Policy{})
	for _, tenant := range []string{"", "Acme", "acme ", "acm\u00e9", "acme\x00"} {
		if s.MatchesEvent(&event.Event{Tenant: tenant}) {
			t.Errorf("a record of tenant acme hears an event of tenant %q", tenant)
		}
	}
}

func TestCheckSubjects(t *testing.T) {
	t.Parallel()
	s := &Subscription{Subjects: []string{"orders.acme.>", "order.acme.>", "*.x"}}
	problems := s.CheckSubjects("ORDERS", []string{"orders", "orders.>"})
	if len(problems) != 1 || !strings.Contains(problems[0].Message, `"order.acme.>"`) || problems.Err() != nil {
		t.Errorf("%v", problems)
	}
	if problems := s.CheckSubjects("COPY", nil); problems != nil {
		t.Errorf("a stream that only sources: %v", problems)
	}
}

func TestCompiled(t *testing.T) {
	t.Parallel()
	s := &Subscription{ID: "erp"}
	broken := errors.New("no such file")
	if _, err := s.Compiled(func(*Subscription) (any, error) { return nil, broken }); err != broken {
		t.Fatalf("error %v", err)
	}
	var builds atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			v, err := s.Compiled(func(got *Subscription) (any, error) {
				builds.Add(1)
				return got.ID + " compiled", nil
			})
			if err != nil || v != "erp compiled" {
				t.Errorf("%v, %v", v, err)
			}
		})
	}
	wg.Wait()
	if builds.Load() != 1 {
		t.Errorf("built %d times", builds.Load())
	}
}

func TestCompiledAfterPanic(t *testing.T) {
	t.Parallel()
	s := &Subscription{}
	func() {
		defer func() { _ = recover() }()
		_, _ = s.Compiled(func(*Subscription) (any, error) { panic("x") })
	}()
	if v, err := s.Compiled(func(*Subscription) (any, error) { return 1, nil }); v != 1 || err != nil {
		t.Errorf("%v, %v", v, err)
	}
}
