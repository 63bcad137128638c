package e2e

import (
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
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

func recreated(bucket string) meddling {
	return func(t *testing.T, js jetstream.JetStream) {
		t.Helper()
		dropStream("KV_"+bucket)(t, js)
		if _, err := js.CreateKeyValue(within(t, 10*time.Second), jetstream.KeyValueConfig{Bucket: bucket}); err != nil {
			t.Logf("bucket %s: the bridge was faster: %v", bucket, err)
		}
	}
}

// purgeKey purges an entry of a bucket as an earlier version made it: today's
// take no message that removes others.
func purgeKey(t *testing.T, js jetstream.JetStream, bucket, key string) {
	t.Helper()
	s, err := js.Stream(within(t, 10*time.Second), "KV_"+bucket)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.AllowRollup = true
	if _, err := js.UpdateStream(within(t, 10*time.Second), c); err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(within(t, 10*time.Second), bucket)
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Purge(within(t, 10*time.Second), key); err != nil {
		t.Fatal(err)
	}
}

// R16: whatever somebody does to the lease entry under a leader, it goes on
// leading, loses nothing and repeats nothing; killed right after it, it repeats
// only what promise 4 allows.
func TestLeaseMeddledWithInMidFlow(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]meddling{
		"deleted": onLease(func(kv jetstream.KeyValue, t *testing.T) error { return kv.Delete(within(t, 10*time.Second), "leader") }),
		"purged":  func(t *testing.T, js jetstream.JetStream) { purgeKey(t, js, "lease", "leader") },
		"garbage": onLease(func(kv jetstream.KeyValue, t *testing.T) error {
			_, err := kv.PutString(within(t, 10*time.Second), "leader", "x")
			return err
		}),
		"an older epoch": onLease(func(kv jetstream.KeyValue, t *testing.T) error {
			_, err := kv.PutString(within(t, 10*time.Second), "leader", `{"epoch":1,"holder":"x","floor":0,"length":"10s"}`)
			return err
		}),
		"bucket purged":    purgeStream("KV_lease"),
		"bucket deleted":   dropStream("KV_lease"),
		"bucket recreated": recreated("lease"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, shaky)
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e, quickRetries))
			f := publishFlow(t, js, 100, 8)
			e.came(t, 100)
			for range 3 {
				said := strings.Count(p.Output(), "the lease entry was")
				meddle(t, js)
				await(t, 20*time.Second, "it is said", func() bool { return strings.Count(p.Output(), "the lease entry was") > said })
				at := e.Delivered()
				await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+50 })
				p.leads()
			}
			if deposed(p.Output()) {
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

// held answers 503 for one order in four until it is released.
func held(release <-chan struct{}) func(h *lab.Hit) int {
	return func(h *lab.Hit) int {
		if strings.Contains("o0 o4", h.Order) {
			select {
			case <-release:
			default:
				if h.N == 20 {
					return http.StatusServiceUnavailable
				}
			}
		}
		return http.StatusOK
	}
}

// slowRetries are 40 attempts, each half a second (or the given time) after the last,
// and some for a slow machine.
var slowRetries, slowerRetries = retries("PT0.5S"), retries("PT3S")

func retries(wait string) string {
	return `"retry":{"schedule":["` + strings.Join(slices.Repeat([]string{wait}, 40), `","`) + strings.Repeat(`","PT10S`, 20) + `"]}`
}

// R16: a state bucket that somebody deletes, recreates or purges in mid-flow is
// filled again within seconds: what it told of held orders and of a subscription
// that reads is not lost when the process is killed after that.
func TestStateBucketMeddledWithInMidFlow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		meddle meddling
		lost   []string // buckets
	}{
		"owed deleted":   {dropStream("KV_owed"), []string{"owed"}},
		"owed recreated": {recreated("owed"), []string{"owed"}},
		"owed purged":    {purgeStream("KV_owed"), []string{"owed"}},
		"status deleted": {dropStream("KV_subscription_status"), []string{"subscription_status"}},
		"status purged":  {purgeStream("KV_subscription_status"), []string{"subscription_status"}},
		"all deleted":    {dropStream("KV_owed", "KV_subscription_status", "KV_lease"), []string{"owed", "subscription_status"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			release := make(chan struct{})
			e, down := receive(t, held(release)), receive(t, lab.Always(http.StatusServiceUnavailable))
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e, slowRetries))
			subscribe(t, js, "down", recordFor(down, slowerRetries))
			f := publishFlow(t, js, 100, 8)
			await(t, 30*time.Second, "orders are held", func() bool {
				return len(owedKeys(t, js)) >= 3 && e.Delivered() > 250
			})
			tt.meddle(t, js)
			began := time.Now()
			for _, bucket := range tt.lost { // each by itself: a crash before both are full is another matter
				p.said(20*time.Second, "the bucket "+bucket+" was deleted")
				p.said(20*time.Second, `the bucket holds everything again" bucket=`+bucket+"\n")
			}
			lab.Promise(t, "until the buckets hold everything again", time.Since(began), 8*time.Second)
			p.leads()
			at := e.Delivered()
			await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+50 })
			crash := time.Now()
			p.kill()
			close(release)
			p = launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
			p.leads()
			f.arrives(t, e)
			recent(t, f.check(t, e), crash)
			down.Reply(nil)
			n := f.end()
			// The breaker survives the restart, and with it the time of the next probe.
			await(t, 3*time.Minute, "the one that was down has all", func() bool { return down.Delivered() >= n })
			f.check(t, down)
			p.stop()
		})
	}
}

// R16: what a status loses while no bridge runs is taken from the records'
// history: nothing is sent again, nothing that is owed is lost.
func TestStatusLostWhileStopped(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]meddling{
		"deleted": dropStream("KV_subscription_status"),
		"purged":  purgeStream("KV_subscription_status"),
		"one removed": func(t *testing.T, js jetstream.JetStream) {
			purgeKey(t, js, "subscription_status", "s")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			release := make(chan struct{})
			e, off := receive(t, held(release)), receive(t, nil)
			p := serving(t, bus.URL())
			subscribe(t, js, "s", recordFor(e, slowRetries))
			subscribe(t, js, "off", recordFor(off))
			put(t, js, "bad", `{"targetURL":"nowhere"}`)
			f := publishFlow(t, js, 100, 8)
			await(t, 30*time.Second, "orders are held", func() bool { return len(owedKeys(t, js)) >= 2 && e.Delivered() > 250 })
			verdict(t, js, "off", put(t, js, "off", recordFor(off, `"status":"deactivated"`)), protocol.StateDeactivated)
			quiet := off.Count()
			p.stop()
			first := p
			came := e.Delivered()
			meddle(t, js)
			close(release)
			p = launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
			p.leads()
			p.said(20*time.Second, "had no status")
			await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > came+50 })
			f.arrives(t, e)
			notAgain(t, f.check(t, e), first, p)
			if off.Count() != quiet {
				t.Errorf("the deactivated one got %d more", off.Count()-quiet)
			}
			verdict(t, js, "s", 0, protocol.StateActive)
			if name != "one removed" {
				verdict(t, js, "off", 0, protocol.StateDeactivated)
				verdict(t, js, "bad", 0, protocol.StateInvalid)
			}
			p.stop()
		})
	}
}

// A stand-by is ready as long as somebody leads. That nobody does it says within
// seconds, until it leads itself.
func TestStandByOfNobody(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	p := serving(t, bus.URL())
	second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	for said := false; !said; { // it is, from some seconds on until it leads itself: a slow machine may miss it
		second.said(20*time.Second, "standing by")
		await(t, 0, "a stand-by beside a leader is ready and says nothing", func() bool {
			r, status := second.readyz()
			return status == http.StatusOK && r.Role == "standby" && len(r.Reasons) == 0
		})
		p.Signal(syscall.SIGSTOP)
		await(t, 0, "it is said that nobody leads, or it leads", func() bool {
			r, status := second.readyz()
			said = said || status == http.StatusOK && r.Role == "standby" && strings.Contains(strings.Join(r.Reasons, "\n"), "nobody leads since 20")
			return said || r.Role == lab.Leader
		})
		second.leads()
		p.Signal(syscall.SIGCONT)
		if r, _ := second.readyz(); r.Role == lab.Leader && len(r.Reasons) > 0 {
			t.Errorf("/readyz of the new leader: %+v", r)
		}
		p, second = second, p
	}
}
