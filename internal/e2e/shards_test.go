package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// customers are subscriptions of many shards, each with an endpoint of its own.
type customers []*receiver

func subscribeMany(t *testing.T, js jetstream.JetStream, n int) customers {
	t.Helper()
	var all customers
	for i := range n {
		e := receive(t, shaky)
		subscribe(t, js, fmt.Sprint("customer", i), recordFor(e, quickRetries))
		all = append(all, e)
	}
	return all
}

// arrive waits until every event of the flow has come to all, and returns the repeats.
func (c customers) arrive(t *testing.T, f *flow) (repeats []lab.Repeat) {
	t.Helper()
	for _, e := range c {
		f.arrives(t, e)
		repeats = append(repeats, f.check(t, e)...)
	}
	return repeats
}

// come waits until each has got n more deliveries.
func (c customers) come(t *testing.T, n int) {
	t.Helper()
	for _, e := range c {
		e.came(t, e.Count()+n)
	}
}

// overview is what `orderbridge status` says.
func overview(t *testing.T, bus string) store.Overview {
	t.Helper()
	out, code := command(t, bus, "", "status", "-o", "json")
	if code != exitGood {
		t.Fatalf("exit code %d: %s", code, out)
	}
	var o store.Overview
	if err := json.Unmarshal([]byte(out), &o); err != nil {
		t.Fatalf("%q: %v", out, err)
	}
	return o
}

// sharedBy waits until the replicas are ready and lead so many shards of n, in
// whatever order, all together.
func sharedBy(t *testing.T, n int, led []int, replicas ...*program) {
	t.Helper()
	await(t, 90*time.Second, fmt.Sprintf("%v of %d shards are led", led, n), func() bool {
		left := append([]int{}, led...)
		seen := map[int]bool{}
		for _, p := range replicas {
			r, status := p.readyz()
			if status != http.StatusOK || r.Shards.Of != n {
				return false
			}
			for _, k := range r.Shards.Leads {
				seen[k] = true
			}
			for i, want := range left {
				if want == len(r.Shards.Leads) {
					left = append(left[:i], left[i+1:]...)
					break
				}
			}
		}
		return len(left) == 0 && len(seen) == n
	})
}

func setShards(t *testing.T, bus string, n int) {
	t.Helper()
	if out, code := command(t, bus, "", "shards", "set", fmt.Sprint(n), "--wait"); code != exitGood || !strings.Contains(out, "done: ") {
		t.Fatalf("exit code %d: %s", code, out)
	}
}

// Replicas share the shards evenly when they come, when one is killed, and when
// one comes instead.
func TestReplicasShareShards(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	start := func() *program {
		return launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), "ORDERBRIDGE_SHARDS=4")
	}
	a := start()
	a.leads()
	sharedBy(t, 4, []int{4}, a)
	all := subscribeMany(t, js, 8)
	f := publishFlow(t, js, 50, 8)
	b := start()
	sharedBy(t, 4, []int{2, 2}, a, b)
	all.come(t, 20)
	c := start()
	sharedBy(t, 4, []int{2, 1, 1}, a, b, c)
	all.come(t, 20)

	crash := time.Now()
	a.kill()
	sharedBy(t, 4, []int{2, 2}, b, c)
	all.come(t, 20)
	d := start()
	sharedBy(t, 4, []int{2, 1, 1}, b, c, d)
	recent(t, all.arrive(t, f), crash)

	o := overview(t, bus.URL())
	if len(o.Shards) != 4 || len(o.Replicas) < 3 || o.Layout.Generation != 1 {
		t.Errorf("status: %+v", o)
	}
	for _, x := range o.Shards {
		if x.Leader == "" || x.Role != "leader" || x.Silent || x.Floor == 0 || x.Owed == nil {
			t.Errorf("status of a shard: %+v", x)
		}
	}
	b.stop()
	sharedBy(t, 4, []int{2, 2}, c, d)
}

// The number of shards changes while events flow: graceful hand-overs repeat
// nothing at all.
func TestReshardRepeatsNothing(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	a := serving(t, bus.URL())
	b := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	b.said(30*time.Second, "standing by")
	all := subscribeMany(t, js, 8)
	f := publishFlow(t, js, 50, 8)
	all.come(t, 20)
	for _, n := range []int{4, 2, 3, 1} {
		setShards(t, bus.URL(), n)
		all.come(t, 20)
	}
	notAgain(t, all.arrive(t, f), a, b)
	a.stop()
	b.stop()
}

// The same while replicas are killed: what repeats is what a crash allows.
func TestReshardWhileReplicasAreKilled(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	start := func() *program { return launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL()) }
	a := start()
	a.leads()
	b := start()
	b.said(30*time.Second, "standing by")
	all := subscribeMany(t, js, 8)
	f := publishFlow(t, js, 50, 8)
	all.come(t, 20)
	var first time.Time
	for i, n := range []int{4, 2, 1} {
		out, code := command(t, bus.URL(), "", "shards", "set", fmt.Sprint(n))
		if code != exitGood {
			t.Fatalf("exit code %d: %s", code, out)
		}
		if first.IsZero() {
			first = time.Now()
		}
		victim := []*program{a, b}[i%2]
		victim.kill()
		if victim == a {
			a = start()
		} else {
			b = start()
		}
		await(t, 90*time.Second, fmt.Sprintf("there are %d shards", n), func() bool {
			l := overview(t, bus.URL()).Layout
			return l.Shards == n && l.Done
		})
		all.come(t, 20)
	}
	recent(t, all.arrive(t, f), first)
}

// Somebody deletes the key that says how many shards there are, or overwrites it.
func TestLayoutIsMeddledWith(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	start := func() *program {
		return launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL(), "ORDERBRIDGE_SHARDS=3")
	}
	a := start()
	a.leads()
	sharedBy(t, 3, []int{3}, a)
	kv, err := js.KeyValue(within(t, 10*time.Second), "lease")
	if err != nil {
		t.Fatal(err)
	}
	again := func(what string) {
		t.Helper()
		await(t, 30*time.Second, what, func() bool {
			e, err := kv.Get(briefly(t, 10*time.Second), "layout")
			return err == nil && string(e.Value()) == `{"g":1,"n":3,"done":true}`
		})
	}
	again("the layout is done")
	for what, meddle := range map[string]func() error{
		"deleted": func() error { return kv.Delete(within(t, 10*time.Second), "layout") },
		"garbage": func() error { _, err := kv.PutString(within(t, 10*time.Second), "layout", "{{"); return err },
		"too many": func() error {
			_, err := kv.PutString(within(t, 10*time.Second), "layout", `{"g":1,"n":1000}`)
			return err
		},
		"earlier": func() error {
			_, err := kv.PutString(within(t, 10*time.Second), "layout", `{"g":0,"n":1,"done":true}`)
			return err
		},
		"not what the leases tell": func() error {
			_, err := kv.PutString(within(t, 10*time.Second), "layout", `{"g":1,"n":4,"done":true}`)
			return err
		},
		"done, and nobody has led": func() error {
			_, err := kv.PutString(within(t, 10*time.Second), "layout", `{"g":9,"n":2,"prev":3,"done":true}`)
			return err
		},
		"after another number": func() error {
			_, err := kv.PutString(within(t, 10*time.Second), "layout", `{"g":2,"n":2,"prev":1}`)
			return err
		},
	} {
		if err := meddle(); err != nil {
			t.Fatal(err)
		}
		again("the key is written again: " + what)
	}
	// Nobody is there who knows it: the leases tell it.
	a.stop()
	if err := kv.Delete(within(t, 10*time.Second), "layout"); err != nil {
		t.Fatal(err)
	}
	b := start()
	b.leads()
	again("the leases tell the layout")
	sharedBy(t, 3, []int{3}, b)
}
