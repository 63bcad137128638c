package store

import (
	"testing"

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
