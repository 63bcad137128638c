package store

import (
	"context"
	"encoding/json"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"orderbridge/bridge/record"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// answers has commands and questions answered on a bus of its own until the test ends.
func answers(t *testing.T, c Commands) (jetstream.JetStream, Names) {
	t.Helper()
	js := lab.StartBus(t).JetStream()
	names, _, err := Ensure(t.Context(), js, Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err)
	}
	c.Conn, c.Names, c.Log, c.Explainer = js.Conn(), names, slog.New(slog.DiscardHandler), &Explainer{}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return js, names
}

// Every command and question is an endpoint with a description and the shapes of
// request and answer, of the types that are sent.
func TestServiceIsDescribed(t *testing.T) {
	t.Parallel()
	c := Commands{}
	for _, e := range c.endpoints() {
		if !strings.HasSuffix(e.about, ".") || len(e.about) > 250 {
			t.Errorf("%s: described as %q", e.name, e.about)
		}
		for _, v := range []any{e.request, e.answer} {
			var s struct {
				Type       string
				Properties map[string]any
			}
			if err := json.Unmarshal([]byte(shape(v)), &s); err != nil || s.Type != "object" || len(s.Properties) == 0 && reflect.TypeOf(v).NumField() > 0 {
				t.Errorf("%s: %T has the shape %s, %v", e.name, v, shape(v), err)
			}
			encoded, err := json.Marshal(v)
			var members map[string]any
			if err == nil {
				err = json.Unmarshal(encoded, &members)
			}
			if err != nil {
				t.Fatal(err)
			}
			for name := range members {
				if s.Properties[name] == nil {
					t.Errorf("%s: %T has a member %q, its shape has not", e.name, v, name)
				}
			}
		}
	}
}

// A request that makes the program panic, one without a reply, one whose reply
// comes back as a request, and one that is no JSON harm nobody; the statistics
// tell no text of any of them.
func TestServiceBearsAnything(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	names, _, err := Ensure(t.Context(), js, Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err)
	}
	nc := js.Conn()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Commands{Conn: nc, Names: names, Log: slog.New(slog.DiscardHandler), Explainer: &Explainer{},
			Parse: func(id string, data []byte) (*record.Subscription, record.Problems) {
				if id == "panics" {
					panic("hunter2")
				}
				return record.Parse(id, data, record.Policy{})
			}}.Run(ctx)
	}()
	ask := func(subject, body string) (m *nats.Msg) {
		t.Helper()
		for end := time.Now().Add(lab.Patience); ; {
			m, err := nc.Request(subject, []byte(body), lab.Patience)
			if err == nil {
				return m
			}
			select {
			case err := <-done:
				t.Fatal(err)
			default:
			}
			if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	judge, explain := names.Commands+".judge", names.Commands+".explain"
	if m := ask(judge, `{"id":"panics","record":"e30="}`); m.Header.Get(micro.ErrorCodeHeader) != "500" || strings.Contains(string(m.Data), "hunter2") {
		t.Errorf("got %v %s", m.Header, m.Data)
	}
	if m := ask(explain, "no JSON of the tenant secretive"); m.Header.Get(micro.ErrorCodeHeader) != "400" {
		t.Errorf("got %v %s", m.Header, m.Data)
	}
	if m := ask(formerSubject(judge), `{"id":"a","record":"e30="}`); m.Header.Get(micro.ErrorCodeHeader) != "" || !strings.Contains(string(m.Data), "targetURL") {
		t.Errorf("a command of the build before got %v %s", m.Header, m.Data)
	}
	for _, m := range []*nats.Msg{{Subject: judge, Data: []byte("{}")}, {Subject: judge, Reply: judge, Data: []byte("{}")}, {Subject: explain, Reply: judge}, {Subject: judge, Reply: explain}} {
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	var stats struct {
		Endpoints []struct {
			Name     string
			Requests int `json:"num_requests"`
		}
	}
	m := ask("$SRV.STATS.orderbridge", "")
	for end := time.Now().Add(lab.Patience); len(stats.Endpoints) < len((Commands{}).endpoints()) && time.Now().Before(end); {
		m = ask("$SRV.STATS.orderbridge", "") // the last ones are being added
		if err := json.Unmarshal(m.Data, &stats); err != nil {
			t.Fatal(err)
		}
	}
	if err := json.Unmarshal(m.Data, &stats); err != nil || len(stats.Endpoints) != len((Commands{}).endpoints()) {
		t.Errorf("the statistics are %s: %v", m.Data, err)
	}
	if strings.Contains(string(m.Data), "secretive") || strings.Contains(string(m.Data), "hunter2") {
		t.Errorf("the statistics tell of requests: %s", m.Data)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The statistics count answers that are made beside their handler: how long each took,
// and which were refusals.
func TestStatisticsCountAnswers(t *testing.T) {
	t.Parallel()
	const takes = 20 * time.Millisecond
	js, names := answers(t, Commands{Parse: func(id string, data []byte) (*record.Subscription, record.Problems) {
		<-time.After(takes)
		return record.Parse(id, data, record.Policy{})
	}})
	asked := 0
	for end := time.Now().Add(lab.Patience); asked < 3 && time.Now().Before(end); {
		if _, err := js.Conn().Request(names.Commands+".judge", []byte(`{"id":"a","record":"e30="}`), lab.Patience); err == nil {
			asked++
		}
	}
	if m, err := js.Conn().Request(names.Commands+".judge", []byte("no JSON"), lab.Patience); err != nil || m.Header.Get(micro.ErrorCodeHeader) != "400" {
		t.Fatalf("got %v, %v", m, err)
	}
	var judge micro.EndpointStats
	for end := time.Now().Add(lab.Patience); judge.NumRequests < 4 && time.Now().Before(end); {
		var stats micro.Stats
		m, err := js.Conn().Request("$SRV.STATS.orderbridge", nil, lab.Patience)
		if err == nil {
			err = json.Unmarshal(m.Data, &stats)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range stats.Endpoints {
			if e.Name == "judge" {
				judge = *e
			}
		}
	}
	if judge.NumRequests != 4 || judge.NumErrors != 1 || judge.LastError != "400:Bad Request" || judge.ProcessingTime < 3*takes || judge.AverageProcessingTime != judge.ProcessingTime/4 {
		t.Errorf("counted is %+v", judge)
	}
}

func TestSemantic(t *testing.T) {
	t.Parallel()
	for version, want := range map[string]string{"v1.2.3": "1.2.3", "1.2.3-rc.1": "1.2.3-rc.1", "devel": "0.0.0-devel", "": "0.0.0-devel", "v0.0.0-2026+dirty": "0.0.0-2026+dirty"} {
		if got := semantic(version); got != want {
			t.Errorf("%s: %s, want %s", version, got, want)
		}
	}
}

// Who has asked before a bridge stops is answered.
func TestServiceEndsWithItsAnswers(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	names, _, err := Ensure(t.Context(), js, Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	begun, goOn := make(chan struct{}, limits.ServiceBurst), make(chan struct{})
	commands := Commands{Conn: js.Conn(), Names: names, Log: slog.New(slog.DiscardHandler), Bridge: leading{}, Explainer: &Explainer{},
		Parse: func(string, []byte) (*record.Subscription, record.Problems) {
			begun <- struct{}{}
			<-goOn
			return nil, record.Problems{{Field: "targetURL", Message: "is missing"}}
		}}
	done := make(chan error, 1)
	go func() { done <- commands.Run(ctx) }()
	answers, err := js.Conn().SubscribeSync(nats.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	ask := func() {
		t.Helper()
		if err := js.Conn().PublishRequest(names.Commands+".judge", answers.Subject, []byte(`{"id":"a","record":""}`)); err != nil {
			t.Fatal(err)
		}
	}
	const asked = 200
	lab.Eventually(t, "it listens", func() bool {
		n, err := js.Conn().Request(names.Commands+".judge", []byte(`[]`), lab.Patience)
		return err == nil && n.Header.Get(micro.ErrorCodeHeader) != ""
	})
	for range asked {
		ask()
	}
	<-begun
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	stop()
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if took := time.Since(stopped); took >= limits.ServiceEndTime { // on a slow machine
		t.Skipf("it took %s", took)
	}
	if err := js.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	if n, _, err := answers.Pending(); err != nil || n != asked {
		t.Errorf("%d of %d are answered, %v", n, asked, err)
	}
}
