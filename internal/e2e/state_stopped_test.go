package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// stateMeddledWith is what somebody did to the state of a stopped bridge.
type stateMeddledWith struct {
	meddle  []meddling
	waits   bool // the start waits the lease out
	repeats bool // events come again
	loses   bool // what only the ledger told
	says    string
}

// R16: what somebody does to the bridge's own state while no bridge runs.
func TestStateMeddledWithWhileStopped(t *testing.T) {
	t.Parallel()
	lease := onLease(func(kv jetstream.KeyValue, t *testing.T) error { return kv.Delete(within(t, 10*time.Second), "leader") })
	for name, m := range map[string]stateMeddledWith{
		"lease deleted":              {[]meddling{lease}, true, false, false, "the lease is absent"},
		"lease bucket deleted":       {[]meddling{dropStream("KV_lease")}, true, false, false, "the lease is absent"},
		"lease and durables deleted": {[]meddling{lease, dropDurables}, true, true, false, "the lease is absent"},
		"durables deleted":           {[]meddling{dropDurables}, false, false, false, "leading"},
		"a lease of a far epoch": {[]meddling{onLease(func(kv jetstream.KeyValue, t *testing.T) error {
			_, err := kv.PutString(within(t, 10*time.Second), "leader", `{"epoch":4711,"holder":"nobody","floor":0,"length":"10s"}`)
			return err
		})}, true, false, false, "epoch=4712"},
		"a lease of an absurd epoch": {[]meddling{onLease(func(kv jetstream.KeyValue, t *testing.T) error {
			_, err := kv.PutString(within(t, 10*time.Second), "leader", `{"epoch":18446744073709551615,"holder":"nobody"}`)
			return err
		})}, true, false, false, "the lease cannot be read"},
		"owed deleted":                 {[]meddling{dropStream("KV_owed")}, false, false, true, `what only it told is lost.*\(s\)`},
		"owed purged":                  {[]meddling{purgeStream("KV_owed")}, false, false, true, `what only it told is lost.*\(s\)`},
		"owed and statuses deleted":    {[]meddling{dropStream("KV_owed"), dropStream("KV_subscription_status")}, false, false, true, `what only it told is lost.*more may have been`},
		"lease and statuses deleted":   {[]meddling{lease, dropStream("KV_subscription_status")}, true, true, false, "the lease is absent"},
		"all but the debts is deleted": {[]meddling{lease, dropDurables, dropStream("KV_subscription_status")}, true, true, false, "the lease is absent"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m.startsAgain(t)
		})
	}
}

// dropDurables deletes all consumers of the stream.
func dropDurables(t *testing.T, js jetstream.JetStream) {
	s, err := js.Stream(within(t, 10*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.ConsumerNames(within(t, 10*time.Second)).Name() {
		if err := s.DeleteConsumer(within(t, 10*time.Second), name); err != nil {
			t.Fatal(err)
		}
	}
}

// startsAgain starts the bridge on what is left.
func (m stateMeddledWith) startsAgain(t *testing.T) {
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	release := make(chan struct{})
	e := receive(t, held(release))
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, slowRetries))
	f := publishFlow(t, js, 100, 8)
	await(t, 30*time.Second, "orders are held", func() bool { return len(owedKeys(t, js)) >= 2 && e.Delivered() > 250 })
	verdict(t, js, "s", 0, protocol.StateRetrying)
	p.stop()
	first := p
	await(t, 20*time.Second, "events are published while nobody leads", func() bool { return last(t, js) > uint64(e.Count())+50 })
	for _, meddle := range m.meddle {
		meddle(t, js)
	}
	close(release)
	began := time.Now()
	p = launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	p.leads()
	if took := time.Since(began); m.waits && took < 9*time.Second {
		t.Errorf("it led after %s", took)
	} else if !m.waits {
		lab.Promise(t, "until it leads where it need not wait", took, 9*time.Second)
		p.neverWaited()
	}
	p.said(20*time.Second, m.says)
	if m.loses {
		at := e.Delivered()
		await(t, 20*time.Second, "the flow goes on", func() bool { return e.Delivered() > at+50 })
		return
	}
	f.arrives(t, e)
	repeats := f.check(t, e)
	if !m.repeats {
		notAgain(t, repeats, first, p)
	}
	t.Logf("%d deliveries came again", len(repeats))
	p.stop()
}

func last(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(within(t, 10*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	return s.CachedInfo().State.LastSeq
}

// What a bucket held that somebody deletes right before a stop is written again
// before the lease is free.
func TestOwedDeletedRightBeforeAStop(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	release := make(chan struct{})
	e := receive(t, held(release))
	p := serving(t, bus.URL())
	subscribe(t, js, "s", recordFor(e, slowRetries))
	f := publishFlow(t, js, 100, 8)
	await(t, 30*time.Second, "orders are held", func() bool { return len(owedKeys(t, js)) >= 2 && e.Delivered() > 250 })
	f.end()
	await(t, 20*time.Second, "all else is delivered", func() bool { return floor(t, js) == last(t, js) })
	dropStream("KV_owed")(t, js)
	p.stop()
	if strings.Contains(p.Output(), "handed over all the same") {
		t.Error("the stop was not confirmed")
	}
	close(release)
	next := serving(t, bus.URL())
	f.arrives(t, e)
	notAgain(t, f.check(t, e), p, next)
}
