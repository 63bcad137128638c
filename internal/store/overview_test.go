package store

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// A shard is led as long as its leader renews the lease, whatever the clock of who asks
// says, and by what the bus has been told.
func TestLeaders(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	catalog := NewCatalog(js, n, nil)
	lease := NewLeases(js, n, NewMaker(js, Options{}), nil).Shard(protocol.Layout{Shards: 1}.Shard(0))
	ctx, rev := testContext(t), uint64(0)
	put := func(e protocol.LeaseEntry, id string) {
		t.Helper()
		var err error
		if rev, err = lease.Put(ctx, protocol.Encode(e), rev, id); err != nil {
			t.Fatal(err)
		}
	}
	leaders := func() Leaders {
		t.Helper()
		l, err := catalog.Leaders(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := leaders(); l != (Leaders{Shards: 1, Leaderless: 1}) {
		t.Errorf("before the first leader: %+v", l)
	}
	put(protocol.LeaseEntry{Epoch: 1, Holder: "a"}, "1")
	if l := leaders(); l.TakingOver+l.Leaderless != 1 { // on a slow machine it is silent by now
		t.Errorf("while one takes over: %+v", l)
	}
	put(protocol.LeaseEntry{Epoch: 1, Holder: "a", Leading: true}, "2")
	if l := leaders(); l.TakingOver != 0 || l.Leaderless != 0 && l.Time.Sub(l.Since) <= limits.LeaderSilent {
		t.Errorf("while one leads: %+v", l)
	}
	lab.Eventually(t, "the leader is silent", func() bool { return leaders().Leaderless == 1 })
	if l := leaders(); l.Time.Sub(l.Since) <= limits.LeaderSilent {
		t.Errorf("it is told as silent too early: %+v", l)
	}
	if o, err := catalog.Overview(ctx); err != nil || !o.Shards[0].Silent || o.Shards[0].Leader != "a" {
		t.Errorf("the overview: %+v %v", o, err)
	}
	put(protocol.LeaseEntry{Epoch: 1, Holder: "a", Free: true}, "3")
	if l := leaders(); l.Leaderless != 1 || l.Since.IsZero() {
		t.Errorf("once it is handed over: %+v", l)
	}
}

// While the number of shards changes those of before go on: nobody is told that the new ones
// have no leader, until the former are silent, too.
func TestLeadersOfAnotherLayout(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	leases := NewLeases(js, n, NewMaker(js, Options{}), nil)
	ctx, rev := testContext(t), uint64(0)
	next, _ := protocol.Layout{Shards: 1, Done: true}.Next(4)
	renew := func() {
		t.Helper()
		var err error
		if rev, err = leases.Shard(next.FormerShard(0)).Put(ctx, protocol.Encode(protocol.LeaseEntry{Epoch: 1, Holder: "a", Leading: true}), rev, fmt.Sprint(rev)); err != nil {
			t.Fatal(err)
		}
	}
	leaders := func() Leaders {
		t.Helper()
		l, err := NewCatalog(js, n, nil).Leaders(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	if _, err := leases.Layout().Put(ctx, protocol.Encode(next), 0, "1"); err != nil {
		t.Fatal(err)
	}
	lab.Eventually(t, "the former shard goes on", func() bool { // not at once where the machine is slow
		renew()
		l := leaders()
		return l.Shards == 4 && l.Leaderless == 0 && l.TakingOver == 4
	})
	lab.Eventually(t, "nobody leads any more", func() bool { return leaders().Leaderless == 4 })
}

// A bus that answers late makes no leader silent: here it tells the time when the lease
// that was read before is too old.
func TestLeadersOfASlowBus(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	n := ensure(t, js, Options{})
	shard := protocol.Layout{Shards: 1}.Shard(0)
	lease := NewLeases(js, n, NewMaker(js, Options{}), nil).Shard(shard)
	ctx, rev := testContext(t), uint64(0)
	renew := func() (err error) {
		rev, err = lease.Put(ctx, protocol.Encode(protocol.LeaseEntry{Epoch: 1, Holder: "a", Leading: true}), rev, fmt.Sprint(rev))
		return err
	}
	if err := renew(); err != nil {
		t.Fatal(err)
	}
	const api = "SLOW."
	read := false
	if _, err := js.Conn().Subscribe(api+">", func(m *nats.Msg) {
		to := strings.Replace(m.Subject, api, jetstream.DefaultAPIPrefix, 1)
		switch {
		case strings.Contains(string(m.Data), strconv.Quote(bucketSubject(n.Lease, leaseKeyOf(shard)))):
			if err := renew(); err != nil {
				t.Error(err)
			}
			read = true
		case read && strings.HasPrefix(m.Subject, api+"STREAM.INFO."):
			lab.Eventually(t, "the lease is old", func() bool {
				l, err := NewCatalog(js, n, nil).Leaders(ctx)
				return err == nil && l.Leaderless == 1
			})
		}
		if err := js.Conn().PublishMsg(&nats.Msg{Subject: to, Reply: m.Reply, Header: m.Header, Data: m.Data}); err != nil {
			t.Error(err)
		}
	}); err != nil {
		t.Fatal(err)
	}
	slow, err := jetstream.NewWithAPIPrefix(js.Conn(), strings.TrimSuffix(api, "."))
	if err != nil {
		t.Fatal(err)
	}
	if l, err := NewCatalog(slow, n, nil).Leaders(ctx); err != nil || l.Leaderless != 0 {
		t.Errorf("%+v %v", l, err)
	}
}
