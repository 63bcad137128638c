package e2e

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/bus"
	"orderbridge/internal/lab"
	"orderbridge/internal/natstools"
)

const tooOld = "Upgrade every server of the cluster to NATS " + bus.OldestServer + " or later"

// A server that ignores the fence is refused, with its version and the remedy;
// nothing is made on it, and when it is replaced the bridge goes on by itself.
func TestServerThatIsTooOld(t *testing.T) {
	t.Parallel()
	old, oldest := natstools.Find(t, natstools.TooOld), natstools.Find(t, natstools.Oldest)
	s := runServer(t, old, freeAddress(t), alone)
	p := launch(t, "ORDERBRIDGE_NATS_URL="+s.url())
	p.complains("NATS server 2.10.29, which is too old")
	p.complains(tooOld)
	p.said(20*time.Second, "level=ERROR.*"+tooOld)
	names := lab.JetStream(t, s.conn()).StreamNames(within(t, 10*time.Second))
	for name := range names.Name() {
		t.Errorf("stream %s was made", name)
	}
	s.stop()
	s.start(oldest)
	p.leads()

	// And back, while it leads.
	js := jetStream(t, s.url())
	e := receive(t, nil)
	subscribe(t, js, "s", recordFor(e))
	publishOne(t, js, "a", 1)
	e.came(t, 1)
	s.stop()
	s.start(old)
	p.complains(tooOld)
	p.said(30*time.Second, "leadership lost")
	publishOne(t, js, "a", 2)
	s.stop()
	s.start(oldest)
	p.leads()
	e.came(t, 2)
	if got := e.Count(); got != 2 {
		t.Errorf("%d requests, want 2", got)
	}
	p.stop()
}

// The oldest server that is taken is good enough: what was in trouble survives
// a kill, nothing is lost or out of order, and a deposed replica is fenced off.
func TestOldestServer(t *testing.T) {
	t.Parallel()
	oldest := natstools.Find(t, natstools.Oldest)
	servers := runCluster(t, oldest, oldest, oldest)
	env := "ORDERBRIDGE_NATS_URL=" + urls(servers)
	first := launch(t, env)
	first.leads()
	second := launch(t, env)
	second.said(30*time.Second, "standing by")
	js := jetStream(t, urls(servers))
	e := receive(t, shaky)
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 100, 8)
	e.came(t, 150)
	crash := time.Now()
	first.kill()
	second.leads()
	at := e.Delivered()
	await(t, 30*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+100 })
	f.arrives(t, e)
	recent(t, f.check(t, e), crash)

	// What the fence is: a write that expects another sequence of another
	// subject, in whatever order its headers come.
	for range 100 {
		_, err := js.Publish(within(t, 10*time.Second), "$KV.owed.probe", nil, jetstream.WithExpectLastSequenceForSubject(1<<40, "$KV.owed.=fence.0"))
		if err == nil || !strings.Contains(err.Error(), "wrong last sequence") {
			t.Fatalf("a write behind a foreign fence: %v", err)
		}
	}
	second.stop()
}

// In a cluster of several versions it counts who leads the buckets; to whom one
// is connected does not.
func TestClusterWithAServerThatIsTooOld(t *testing.T) {
	t.Parallel()
	old, oldest := natstools.Find(t, natstools.TooOld), natstools.Find(t, natstools.Oldest)
	servers := runCluster(t, oldest, oldest, oldest)
	p := launch(t, "ORDERBRIDGE_NATS_URL="+servers[0].url())
	p.leads()
	// A rolling downgrade: the first stays, so that the bridge stays connected.
	for _, s := range servers[1:] {
		s.stop()
		s.start(old)
	}
	js := jetStream(t, servers[0].url())
	// Who leads may change back at any time, and with it what the bridge says.
	stream, version := false, false
	await(t, 0, "the bridge complains of the old servers and leads no more", func() bool {
		leadsNot(js, "n0", "KV_owed", "KV_lease")
		if r, status := p.readyz(); status == http.StatusServiceUnavailable {
			reasons := strings.Join(r.Reasons, "\n")
			stream = stream || strings.Contains(reasons, "stream KV_") // whichever bucket is asked first
			version = version || strings.Contains(reasons, tooOld)
		}
		return stream && version && strings.Contains(p.Output(), "leadership lost")
	})
}

// leadsNot asks for another leader of the streams that the server leads.
func leadsNot(js jetstream.JetStream, server string, streams ...string) {
	for _, name := range streams {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		if s, err := js.Stream(ctx, name); err == nil && s.CachedInfo().Cluster != nil && s.CachedInfo().Cluster.Leader == server {
			_, _ = js.Conn().RequestWithContext(ctx, "$JS.API.STREAM.LEADER.STEPDOWN."+name, nil) // else the next time
		}
		cancel()
	}
}

// Behind a leaf without JetStream it is the hub that counts, not the leaf.
func TestServerThatIsTooOldBehindALeaf(t *testing.T) {
	t.Parallel()
	old, oldest := natstools.Find(t, natstools.TooOld), natstools.Find(t, natstools.Oldest)
	for name, tt := range map[string]struct {
		hub, leaf string
		refused   bool
	}{"old leaf": {oldest, old, false}, "old hub": {old, oldest, true}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			door := freeAddress(t)
			hub := runServer(t, tt.hub, freeAddress(t), `jetstream { store_dir: "{dir}", domain: hub }
leafnodes { listen: "`+door+`" }`)
			leaf := runServer(t, tt.leaf, freeAddress(t), `leafnodes { remotes: [{ url: "nats-leaf://`+door+`" }] }`)
			p := launch(t, "ORDERBRIDGE_NATS_URL="+leaf.url(), "ORDERBRIDGE_JETSTREAM_DOMAIN=hub")
			if tt.refused {
				p.complains("JetStream is served by a NATS server of a version before 2.11")
				p.complains(tooOld)
				return
			}
			p.leads()
			e := receive(t, nil)
			subscribe(t, jetStream(t, hub.url()), "s", recordFor(e))
			publishOne(t, jetStream(t, hub.url()), "a", 1)
			e.came(t, 1)
		})
	}
}

// A server that is drained for its replacement (lame duck) takes nobody along.
func TestLameDuckServer(t *testing.T) {
	t.Parallel()
	oldest := natstools.Find(t, natstools.Oldest)
	servers := runCluster(t, oldest, oldest, oldest)
	p := launch(t, "ORDERBRIDGE_NATS_URL="+servers[0].url()) // the others it learns of
	p.leads()
	js := jetStream(t, servers[1].url()+","+servers[2].url())
	e := receive(t, shaky)
	subscribe(t, js, "s", recordFor(e, quickRetries))
	f := publishFlow(t, js, 50, 8)
	e.came(t, 100)
	servers[0].Signal(syscall.SIGUSR2)
	p.said(60*time.Second, "bus reconnected")
	p.leads()
	at := e.Delivered()
	await(t, 30*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+100 })
	f.arrives(t, e)
	f.check(t, e)
	p.stop()
}
