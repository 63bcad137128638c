package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/store"
)

// What somebody does to the state of a bridge with shards: each goes on, nothing is
// lost, overtakes its predecessor or comes again.

const fourShards = "ORDERBRIDGE_SHARDS=4"

// ofEachShard are subscriptions of which each shard of n has one, by number.
func ofEachShard(n int) []string {
	ids := make([]string, n)
	for i, left := 0, n; left > 0; i++ {
		id := fmt.Sprintf("s%d", i)
		if k := protocol.ShardOf(id, n); ids[k] == "" {
			ids[k] = id
			left--
		}
	}
	return ids
}

// sharded is a bridge with four shards in two replicas, and an endpoint for a
// subscription of each shard.
type sharded struct {
	bus       *lab.Bus
	js        jetstream.JetStream
	replicas  []*program
	endpoints []*receiver // by shard
}

func launchSharded(t *testing.T, reply lab.Reply) *sharded {
	t.Helper()
	s := &sharded{bus: lab.ListenBus(t)}
	s.js = jetStream(t, s.bus.URL())
	s.start(t)
	s.led(t)
	for _, id := range ofEachShard(4) {
		e := receive(t, reply)
		subscribe(t, s.js, id, recordFor(e, quickRetries))
		s.endpoints = append(s.endpoints, e)
	}
	return s
}

func (s *sharded) start(t *testing.T) {
	t.Helper()
	s.replicas = nil
	for range 2 {
		s.replicas = append(s.replicas, launch(t, "ORDERBRIDGE_NATS_URL="+s.bus.URL(), fourShards))
	}
}

// layout is what the key on the bus says.
func (s *sharded) layout(t *testing.T) (l protocol.Layout, ok bool) {
	t.Helper()
	value, _, err := s.leases().Layout().Get(briefly(t, 10*time.Second))
	if err != nil {
		return l, false
	}
	l, err = protocol.ParseLayout(value)
	return l, err == nil
}

func (s *sharded) leases() *store.Leases {
	return store.NewLeases(s.js, store.Options{}.Names(), nil, nil)
}

// led waits until each shard of the layout is led, the replicas share them evenly,
// and the layout is done.
func (s *sharded) led(t *testing.T) protocol.Layout {
	t.Helper()
	var l protocol.Layout
	await(t, 3*time.Minute, "all shards are led", func() bool {
		var ok bool
		if l, ok = s.layout(t); !ok || !l.Done {
			return false
		}
		found, err := s.leases().Leases(briefly(t, 10*time.Second))
		if err != nil {
			return false
		}
		holders := map[string]int{}
		for k := range l.Shards {
			x := found[protocol.Shard{Layout: l.Generation, Number: k}]
			e := protocol.Sight(x.Value, x.Revision).Entry
			if !e.Leading || e.Free {
				return false
			}
			holders[e.Holder]++
		}
		for _, n := range holders {
			if n > (l.Shards+len(s.replicas)-1)/len(s.replicas) {
				return false
			}
		}
		return true
	})
	return l
}

// reshard changes the number of shards and waits until it is done. While shards
// change hands, or a stream has no leader, it is asked for again.
func (s *sharded) reshard(t *testing.T, url string, n int) {
	t.Helper()
	await(t, 3*time.Minute, fmt.Sprintf("%d shards are accepted", n), func() bool {
		_, status := command(t, url, "", "shards", "set", strconv.Itoa(n))
		return status == exitGood
	})
	await(t, 3*time.Minute, fmt.Sprintf("there are %d shards", n), func() bool {
		l, ok := s.layout(t)
		return ok && l.Done && l.Shards == n
	})
}

func (s *sharded) output() string {
	var all []string
	for _, p := range s.replicas {
		all = append(all, p.Output())
	}
	return strings.Join(all, "\n")
}

// goesOn waits until each endpoint gets more.
func (s *sharded) goesOn(t *testing.T) {
	t.Helper()
	at := make([]int, len(s.endpoints))
	for k, e := range s.endpoints {
		at[k] = e.Delivered()
	}
	await(t, 3*time.Minute, "the flow goes on in each shard", func() bool {
		for k, e := range s.endpoints {
			if e.Delivered() <= at[k]+30 {
				return false
			}
		}
		return true
	})
}

// shardDurable is the present durable of a shard.
func shardDurable(t *testing.T, js jetstream.JetStream, s protocol.Shard) string {
	t.Helper()
	stream, err := js.Stream(within(t, 10*time.Second), "ORDERS")
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for name := range stream.ConsumerNames(within(t, 10*time.Second)).Name() {
		if strings.HasPrefix(name, store.DurablePrefix(store.Options{}.Names(), s)) && !strings.Contains(name, "keep") {
			newest = name
		}
	}
	if newest == "" {
		t.Fatalf("no durable of %+v", s)
	}
	return newest
}

// Of what belongs to shards, anything may vanish under their leaders.
func TestShardsMeddledWithInMidFlow(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		meddle meddling
		said   string
	}{
		"lease of one shard deleted": {onLease(func(kv jetstream.KeyValue, t *testing.T) error {
			return kv.Delete(within(t, 10*time.Second), "leader.1.2")
		}), "the lease entry was deleted"},
		"lease bucket deleted": {dropStream("KV_lease"), "the lease entry was deleted"},
		"owed deleted":         {dropStream("KV_owed"), "the bucket owed was deleted"},
		"status purged":        {purgeStream("KV_subscription_status"), "the bucket subscription_status was deleted"},
		"durable of one shard deleted": {func(t *testing.T, js jetstream.JetStream) {
			name := shardDurable(t, js, protocol.Shard{Layout: 1, Number: 3})
			if err := js.DeleteConsumer(within(t, 10*time.Second), "ORDERS", name); err != nil {
				t.Fatal(err)
			}
		}, "feed reopened"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := launchSharded(t, shaky)
			f := publishFlow(t, s.js, 60, 8)
			s.goesOn(t)
			said := strings.Count(s.output(), tt.said)
			tt.meddle(t, s.js)
			await(t, 30*time.Second, "it is said: "+tt.said, func() bool { return strings.Count(s.output(), tt.said) > said })
			s.goesOn(t)
			if l := s.led(t); l.Generation != 1 || l.Shards != 4 {
				t.Errorf("layout %+v", l)
			}
			for _, e := range s.endpoints {
				f.arrives(t, e)
				notAgain(t, f.check(t, e), s.replicas...)
			}
			if deposed(s.output()) {
				t.Error("leadership was lost")
			}
		})
	}
}

// What vanishes while no bridge runs: the layout is the same when it starts again.
func TestShardsMeddledWithWhileStopped(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]meddling{
		"layout and a lease deleted": onLease(func(kv jetstream.KeyValue, t *testing.T) error {
			if err := kv.Delete(within(t, 10*time.Second), "leader.1.0"); err != nil {
				return err
			}
			return kv.Delete(within(t, 10*time.Second), "layout")
		}),
		"lease bucket deleted": dropStream("KV_lease"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := launchSharded(t, nil)
			f := publishFlow(t, s.js, 60, 8)
			s.goesOn(t)
			for _, p := range s.replicas {
				p.stop()
			}
			stopped := time.Now()
			meddle(t, s.js)
			s.start(t)
			if l := s.led(t); l.Generation != 1 || l.Shards != 4 {
				t.Errorf("layout %+v", l)
			}
			s.goesOn(t)
			for _, e := range s.endpoints {
				f.arrives(t, e)
				recent(t, f.check(t, e), stopped)
			}
		})
	}
}

// The stream recreated under four shards: each notices, none passes over anything of
// the new one, and one decision of an operator is for all.
func TestStreamRecreatedUnderShards(t *testing.T) {
	t.Parallel()
	s := launchSharded(t, nil)
	orders := []string{"o0", "o1", "o2"}
	publishSome(t, s.js, orders, 1, 10)
	for _, e := range s.endpoints {
		gets(t, e, orders, 1, 10)
	}
	remake(t, s.js)
	publishSome(t, s.js, orders, 11, 14)
	for _, e := range s.endpoints {
		gets(t, e, orders, 11, 14)
	}
	s.led(t)
	publishSome(t, s.js, orders, 15, 16)
	for _, e := range s.endpoints {
		gets(t, e, orders, 15, 16)
		once(t, e)
	}
	changed := func() int {
		found, err := s.leases().Leases(within(t, 10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, x := range found {
			n += len(protocol.Sight(x.Value, x.Revision).Entry.Changes)
		}
		return n
	}
	await(t, 30*time.Second, "each shard tells the change", func() bool { return changed() == 4 })
	out, status := command(t, s.bus.URL(), "", "stream", "adopt", "--yes")
	if status != 0 {
		t.Fatalf("adopt: %s", out)
	}
	await(t, 30*time.Second, "all shards have adopted it", func() bool { return changed() == 0 })
}

// Each shard judges its own records, and a list shows the statuses of all.
func TestStatusesOfShards(t *testing.T) {
	t.Parallel()
	s := launchSharded(t, nil)
	ids := ofEachShard(4)
	for k, id := range ids {
		subscribeState(t, s.js, id, recordFor(s.endpoints[k], `"status":"deactivated"`), protocol.StateDeactivated)
	}
	out, status := command(t, s.bus.URL(), "", "subscriptions", "list", "-o", "json")
	var list []struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(out), &list); status != 0 || err != nil {
		t.Fatalf("list: %v, %s", err, out)
	}
	var listed []string
	for _, x := range list {
		listed = append(listed, x.ID)
	}
	slices.Sort(listed)
	slices.Sort(ids)
	if !slices.Equal(listed, ids) {
		t.Errorf("listed %q, want %q", listed, ids)
	}
}

// A replica that stands still while the number of shards changes holds nothing when
// it wakes: what it still has in hand is neither sent nor settled, and it joins.
func TestReshardPastAReplicaThatStandsStill(t *testing.T) {
	t.Parallel()
	s := launchSharded(t, shaky)
	f := publishFlow(t, s.js, 60, 8)
	s.goesOn(t)
	stopped := s.replicas[0]
	if r, _ := stopped.readyz(); slices.Contains(r.Shards.Leads, 0) { // the other one is asked
		stopped = s.replicas[1]
	}
	crash := time.Now()
	stopped.Signal(syscall.SIGSTOP)
	s.reshard(t, s.bus.URL(), 2)
	stopped.Signal(syscall.SIGCONT)
	await(t, 3*time.Minute, "it has joined", func() bool {
		r, status := stopped.readyz()
		return status == http.StatusOK && r.Shards.Of == 2 && len(r.Shards.Leads) == 1
	})
	if l := s.led(t); l.Generation != 2 || l.Shards != 2 {
		t.Errorf("layout %+v", l)
	}
	s.goesOn(t)
	for _, e := range s.endpoints {
		f.arrives(t, e)
		recent(t, f.check(t, e), crash)
	}
}

// On a cluster of three, where each consumer and each fence is replicated, the
// number of shards changes as it does on one server, also when the lease bucket has
// just got another leader.
func TestReshardOnACluster(t *testing.T) {
	t.Parallel()
	c := clustered(t)
	s := &sharded{js: jetStream(t, c.URL(0))} // servers 1 and 2 fail
	env := []string{"ORDERBRIDGE_NATS_URL=" + c.URLs()}
	s.replicas = []*program{launch(t, env...), launch(t, env...)}
	leading(t, s.replicas...)
	for _, id := range ofEachShard(4) {
		e := receive(t, shaky)
		subscribe(t, s.js, id, recordFor(e, quickRetries))
		s.endpoints = append(s.endpoints, e)
	}
	f := publishFlow(t, s.js, 40, 8)
	s.goesOn(t)
	s.reshard(t, c.URL(0), 4)
	s.goesOn(t)
	stepDown(t, s.js, "KV_lease")
	s.reshard(t, c.URL(0), 2)
	s.goesOn(t)
	for _, e := range s.endpoints {
		f.arrives(t, e)
		notAgain(t, f.check(t, e), s.replicas...)
	}
}
