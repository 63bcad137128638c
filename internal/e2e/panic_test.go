package e2e

import (
	"bytes"
	"context"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	records "orderbridge/bridge/record"
	"orderbridge/internal/boottime"
	"orderbridge/internal/egress"
	"orderbridge/internal/lab"
	"orderbridge/internal/store"
	"orderbridge/publishers"
	"orderbridge/subscribers"
)

// A record that no parser of ours lets through makes the machine panic at its
// first attempt. The term ends, and not the process; nothing is settled by it,
// the lease passes as after a crash, and the machine panics again no sooner than
// that. The first trace names the step. Once the record is gone all comes.
func TestPanicEndsTheTerm(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	good := receive(t, nil)
	var log loggedText
	traces := t.TempDir()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	b := bridgeInside(t, js, bridge.Options{Logger: slog.New(slog.NewTextHandler(&log, nil)), TraceDir: traces,
		Parse: func(id string, data []byte) (*records.Subscription, records.Problems) {
			s, problems := records.Parse(id, data, records.Policy{})
			if s != nil && id == "broken" {
				s.More = &records.More{RateLimit: &records.RateLimit{Requests: 0, Per: time.Second}}
			}
			return s, problems
		}})
	go func() { ended <- b.Run(ctx) }()
	leads := func() bool { return b.Condition().Role == bridge.RoleLeader }
	await(t, 30*time.Second, "it leads", leads)
	subscribe(t, js, "good", recordFor(good))
	put(t, js, "broken", recordFor(good))
	verdict(t, js, "broken", 0, protocol.StateActive)
	publishOne(t, js, "a", 1)

	panics := func() []string {
		return regexp.MustCompile(`time=(\S+) level=ERROR msg="the machine panicked.*`).FindAllString(log.String(), -1)
	}
	await(t, 60*time.Second, "it panicked twice", func() bool { return len(panics()) >= 2 })
	var at [2]time.Time
	for i, line := range panics()[:2] {
		at[i], _ = time.Parse("time="+time.RFC3339Nano, strings.Fields(line)[0])
	}
	if pause := at[1].Sub(at[0]); pause < 9*time.Second {
		t.Errorf("it panicked again after %s", pause)
	}
	files, _ := filepath.Glob(filepath.Join(traces, "*"))
	if len(files) != 1 {
		t.Fatalf("%d traces: %v", len(files), files)
	}
	if !strings.Contains(log.String(), files[0]) {
		t.Error("the log does not name the trace")
	}
	out, _ := command(t, "", "", "debug", "trace", files[0])
	if tail := out[max(0, len(out)-4000):]; !strings.Contains(tail, "PANIC") || !strings.Contains(tail, "it ended here") {
		t.Errorf("the trace does not end with the panic:\n%s", tail)
	}

	kv, err := js.KeyValue(within(t, 10*time.Second), "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(within(t, 10*time.Second), "broken"); err != nil {
		t.Fatal(err)
	}
	publishOne(t, js, "a", 2)
	await(t, 60*time.Second, "what was published has come", func() bool {
		seen := map[int]bool{}
		for _, h := range good.Journal() {
			seen[h.N] = true
		}
		return seen[1] && seen[2]
	})
	await(t, 30*time.Second, "it leads again", leads)
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// bridgeInside wires a bridge in this process, as the program does.
func bridgeInside(t *testing.T, js jetstream.JetStream, o bridge.Options) *bridge.Replica {
	t.Helper()
	names, _, err := store.Ensure(within(t, 30*time.Second), js, store.Options{Stream: "ORDERS", Subjects: []string{"orders", "orders.>"}, Subscriptions: "subscriptions", Logger: o.Logger})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(lab.CA().PEM())
	loopback := egress.Policy{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	o.Publisher, err = publishers.NewWebhook(publishers.Options{TrustRoots: roots, DialControl: loopback.Control})
	if err != nil {
		t.Fatal(err)
	}
	o.DeadLetters, err = publishers.NewDeadLetters(publishers.DeadLettersOptions{JetStream: js, Stream: names.DeadLetters, Subject: names.DeadLetterSubject,
		MaxPayload: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	recent := &subscribers.Recent{}
	leases := store.NewLeases(js, names, nil, o.Logger)
	o.Layout, o.Shards = leases.Layout(), leases
	o.Seat = func(l protocol.Layout, number int) bridge.Parts {
		return bridge.Parts{
			Feed: func() (bridge.Feed, error) {
				return subscribers.NewFeed(subscribers.Options{JetStream: js, Stream: names.Stream,
					DurablePrefix: store.DurablePrefix(names, l.Shard(number)), Recent: recent, Logger: o.Logger})
			},
			Source: subscribers.NewSource(subscribers.SourceOptions{JetStream: js, Stream: names.Stream, Recent: recent, Logger: o.Logger}),
			Ledger: store.NewLedger(js, names, l, number, nil),
			Lease:  leases.Shard(l.Shard(number)),
			Traces: func(ctx context.Context) (protocol.Traces, error) { return store.Traces(ctx, js, names, l, number) },
		}
	}
	o.Statuses = store.NewStatuses(js, names, o.Logger)
	o.Records = store.NewRecords(js, names.Subscriptions, o.Logger)
	o.Clock, o.Decoder, o.Holder = boottime.Clock{}, &event.Decoder{Stream: names.Stream, Created: time.Now()}, "inside"
	b, err := bridge.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// loggedText is a log that can be read while it is written.
type loggedText struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *loggedText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *loggedText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
