package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/testbus"
)

// meddling is what somebody does to the bridge's own state.
type meddling func(t *testing.T, js jetstream.JetStream)

func onLease(do func(kv jetstream.KeyValue, t *testing.T) error) meddling {
	return func(t *testing.T, js jetstream.JetStream) {
		t.Helper()
		kv, err := js.KeyValue(within(t, 10*time.Second), "lease")
		if err != nil {
			t.Fatal(err)
		}
		if err := do(kv, t); err != nil {
			t.Fatal(err)
		}
	}
}

func dropStream(names ...string) meddling {
	return func(t *testing.T, js jetstream.JetStream) {
		t.Helper()
		for _, name := range names {
			if err := js.DeleteStream(within(t, 10*time.Second), name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func purgeStream(names ...string) meddling {
	return func(t *testing.T, js jetstream.JetStream) {
		t.Helper()
		for _, name := range names {
			s, err := js.Stream(within(t, 10*time.Second), name)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Purge(within(t, 10*time.Second)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func anew(bucket string) meddling {
	return func(t *testing.T, js jetstream.JetStream) {
		t.Helper()
		dropStream("KV_"+bucket)(t, js)
		if _, err := js.CreateKeyValue(within(t, 10*time.Second), jetstream.KeyValueConfig{Bucket: bucket}); err != nil {
			t.Logf("bucket %s: the bridge was faster: %v", bucket, err)
		}
	}
}

// R16: whatever somebody does to the lease entry under a leader, it goes on
// leading, loses nothing and repeats nothing; killed right after it, it repeats
// only what promise 4 allows.
func TestLeaseMeddledWithInMidFlow(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]meddling{
		"deleted": onLease(func(kv jetstream.KeyValue, t *testing.T) error { return kv.Delete(within(t, 10*time.Second), "leader") }),
		"purged":  onLease(func(kv jetstream.KeyValue, t *testing.T) error { return kv.Purge(within(t, 10*time.Second), "leader") }),
		"garbage": onLease(func(kv jetstream.KeyValue, t *testing.T) error {
			_, err := kv.PutString(within(t, 10*time.Second), "leader", "x")
			return err
		}),
		"an older epoch": onLease(func(kv jetstream.KeyValue, t *testing.T) error {
			_, err := kv.PutString(within(t, 10*time.Second), "leader", `{"epoch":1,"holder":"x","floor":0,"length":"10s"}`)
			return err
		}),
		"bucket purged":  purgeStream("KV_lease"),
		"bucket deleted": dropStream("KV_lease"),
		"bucket anew":    anew("lease"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := testbus.Listen(t)
			js := jetStream(t, bus.URL())
			e := receive(t, shaky)
			p := serving(t, bus.URL())
			subscribe(t, js, "s", record(e, quickRetries))
			f := publishFlow(t, js, 100, 8)
			e.came(t, 100)
			for range 3 {
				said := strings.Count(p.log.String(), "the lease entry was")
				meddle(t, js)
				await(t, 20*time.Second, "it is said", func() bool { return strings.Count(p.log.String(), "the lease entry was") > said })
				at := e.delivered()
				await(t, 20*time.Second, "the flow goes on", func() bool { return e.delivered() > at+50 })
				if r, status := p.readyz(); status != http.StatusOK || r.Role != "leader" {
					t.Fatalf("/readyz: %d %+v", status, r)
				}
			}
			if strings.Contains(p.log.String(), "leadership lost") {
				t.Error("leadership was lost")
			}
			meddle(t, js)
			crash := time.Now()
			p.kill()
			p = launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
			p.leads()
			f.arrives(t, e)
			recent(t, f.check(t, e), crash)
			p.stop()
		})
	}
}
