package protocol

import (
	"errors"
	"testing"
	"time"

	"orderbridge/bridge/event"
)

// subsOf are names of subscriptions that belong to the shards of n, by number.
func subsOf(n int) []string {
	names := make([]string, n)
	for c, found := 'a', 0; found < n; c++ {
		if k := ShardOf(string(c), n); names[k] == "" {
			names[k] = string(c)
			found++
		}
	}
	return names
}

func TestFormers(t *testing.T) {
	subs := subsOf(2)
	f := asFormers([]LeaseEntry{
		{Floor: 10, Settled: [][2]uint64{{12, 13}, {20, 20}}, Cursor: &Cursor{Seq: 15, ID: subs[0] + "x"}},
		{Floor: 30, Cursor: &Cursor{Seq: 31, ID: ""}},
	})
	for _, x := range []struct {
		shard   int
		settled []uint64
		owed    []uint64
		highest uint64
	}{
		{0, []uint64{1, 10, 12, 13, 15, 20}, []uint64{11, 14, 16, 19, 21, 30}, 20},
		{1, []uint64{1, 12, 30}, []uint64{31, 32}, 31},
	} {
		id := subs[x.shard]
		for _, seq := range x.settled {
			if !f.settled(id, seq) {
				t.Errorf("shard %d: %d is not settled", x.shard, seq)
			}
		}
		for _, seq := range x.owed {
			if f.settled(id, seq) {
				t.Errorf("shard %d: %d is settled", x.shard, seq)
			}
		}
		if got := f.position(id); got != x.highest {
			t.Errorf("shard %d: position %d, not %d", x.shard, got, x.highest)
		}
		done := seqSet{}
		f.addTo(&done, id, 5)
		for seq := uint64(5); seq < 40; seq++ {
			if done.has(seq) != f.settled(id, seq) {
				t.Errorf("shard %d: %d is settled %v, done %v", x.shard, seq, f.settled(id, seq), done.has(seq))
			}
		}
	}
	if f.highest() != 31 {
		t.Errorf("highest %d", f.highest())
	}
	if got := f.owed(1, 40); got != 40-10-2-1 { // 15 is not settled for all of shard 0
		t.Errorf("of 40 sequences %d are owed to somebody", got)
	}
	if got := f.owedTo(subs[1], 21, 40); got != 10 {
		t.Errorf("%d of 21 to 40 are owed to one of shard 1", got)
	}
	var none formers
	if none.settled("a", 1) || none.position("a") != 0 || none.highest() != 0 || none.owed(3, 5) != 3 {
		t.Error("former shards that are not there count")
	}
}

func TestInherit(t *testing.T) {
	at := time.Unix(1000, 0).UTC()
	ref := func(seq uint64) event.Ref { return event.Ref{Seq: seq, Time: int64(seq)} }
	nine := uint64(9)
	a := LeaseEntry{Epoch: 4, Holder: "a", Free: true, Closed: true, Own: true, Floor: 30, Settled: [][2]uint64{{33, 34}}, Cursor: &Cursor{35, "x"}, Top: ref(40), Known: []event.Ref{ref(30), ref(34)},
		Stream: &StreamName{"ORDERS", at}, Buckets: &Buckets{Status: 1, Owed: 2}, FormerIDs: new(uint64), Applied: &Applied{Bucket: 7, Revision: 50},
		Checkpoints: []Checkpoint{{ref(29), at}}, Changes: []StreamChange{{Time: at, Reason: "x"}}}
	b := LeaseEntry{Epoch: 6, Holder: "b", Free: true, Closed: true, Own: true, Floor: 20, Top: ref(38), Known: []event.Ref{ref(20)},
		Stream: &StreamName{"ORDERS", at}, Buckets: &Buckets{Status: 1, Owed: 3}, FormerIDs: &nine, Applied: &Applied{Bucket: 7, Revision: 60, But: map[string]uint64{"late": 45, "later": 55}},
		Checkpoints: []Checkpoint{{ref(19), at}}, Changes: []StreamChange{{Time: at, Reason: "x"}}}
	e := Inherit([]LeaseEntry{a, b})
	switch {
	case e.Absent() || !e.Free || !e.Inherited || e.Closed || e.Own || e.Holder != "":
		t.Errorf("it is %+v", e)
	case e.Floor != 20 || e.FloorRef() != ref(20) || e.Top != ref(40) || e.Epoch != 6:
		t.Errorf("floor %d %v, top %v, epoch %d", e.Floor, e.FloorRef(), e.Top, e.Epoch)
	case len(e.Settled) > 0 || e.Cursor != nil:
		t.Errorf("intervals %v and cursor %v are of one former shard only", e.Settled, e.Cursor)
	case e.Stream == nil || *e.Buckets != Buckets{Status: 1, Owed: 0} || *e.FormerIDs != 9 || len(e.Changes) != 1:
		t.Errorf("stream %v, buckets %v, former ids %v, changes %v", e.Stream, e.Buckets, e.FormerIDs, e.Changes)
	case e.Applied.Revision != 50 || e.Applied.But["late"] != 45 || len(e.Applied.But) != 1:
		t.Errorf("applied %+v", e.Applied)
	case len(e.Checkpoints) != 1 || e.Checkpoints[0].Ref != ref(19):
		t.Errorf("checkpoints %v", e.Checkpoints)
	}
	b.FormerIDs, b.Buckets, b.Stream, b.Applied, b.Adopt, a.Adopt = nil, nil, nil, nil, &Adoption{After: 50}, &Adoption{After: 49}
	if e = Inherit([]LeaseEntry{a, b}); e.FormerIDs != nil || *e.Buckets != (Buckets{Status: 1, Owed: 2}) || e.Stream != nil || e.Applied != nil || e.Adopt.After != 49 {
		t.Errorf("what one of them does not tell: %+v", e)
	}
	b.Adopt = nil
	if e = Inherit([]LeaseEntry{a, b}); e.Adopt != nil {
		t.Error("an adoption that only one was told of counts")
	}
	if e = Inherit([]LeaseEntry{Closed(LeaseEntry{Floor: 12}), a}).Succession("c", "term", time.Second); e.none || e.Floor != 12 || e.Free || !e.Inherited {
		t.Errorf("an absent one: %+v", e)
	}
	if e = Inherit(nil); !e.Absent() {
		t.Errorf("of none: %+v", e)
	}
}

func TestClosing(t *testing.T) {
	const patience = 12 * time.Second
	c := Closing{Patience: patience}
	held := LeaseEntry{Epoch: 3, Holder: "a", Term: "x", Leading: true}
	if c.Wait(0) == 0 || c.Closed() {
		t.Error("what was not looked at can be closed")
	}
	c.Observe(LeaseSight{Entry: held, Revision: 5}, time.Second)
	held.Beat++
	c.Observe(LeaseSight{Entry: held, Revision: 6}, 4*time.Second)
	if got := c.Wait(5 * time.Second); got != patience-time.Second {
		t.Errorf("one that is held: %v", got)
	}
	if got := c.Wait(4*time.Second + patience); got != 0 {
		t.Errorf("one that nobody renews: %v", got)
	}
	held.Free = true
	c.Observe(LeaseSight{Entry: held, Revision: 7}, 5*time.Second)
	if got := c.Wait(5 * time.Second); got != 0 {
		t.Errorf("a free one: %v", got)
	}
	e, revision := c.Seen()
	if e = Closed(e); !e.Closed || e.Epoch != 3 || e.Term != "x" || revision != 7 {
		t.Errorf("closed at %d: %+v", revision, e)
	}
	c.Observe(LeaseSight{Entry: e, Revision: 8}, 6*time.Second)
	if !c.Closed() || c.Wait(6*time.Second) != 0 {
		t.Error("a closed one is not known as closed")
	}
	s := Standby{Patience: patience}
	s.Observe(e, 8, 0)
	if s.Wait(100*patience) == 0 {
		t.Error("somebody may win a closed lease")
	}
	if sight := Sight(Encode(e), 8); sight.Unreadable != nil || !sight.deposes(99) {
		t.Errorf("a closed lease deposes whoever writes it again: %+v", sight)
	}

	absent := Closing{Patience: patience}
	absent.Observe(LeaseSight{}, 0)
	if absent.Wait(time.Second) == 0 {
		t.Error("somebody may have deleted it under a leader that goes on")
	}
	absent.Fresh = true
	if absent.Wait(time.Second) != 0 {
		t.Error("nothing of it is there")
	}
	if e := Closed(LeaseEntry{Floor: 7, Epoch: 2}); Sight(Encode(e), 1).Unreadable != nil || !e.Closed || e.Floor != 7 || e.Epoch != 2 {
		t.Errorf("an absent one is closed as %+v", e)
	}
}

func TestMachineWantsFormers(t *testing.T) {
	l := Layout{Generation: 2, Shards: 1, Former: 2}
	for _, x := range []struct {
		won Won
		bad bool
	}{
		{Won{Layout: l}, true},
		{Won{Layout: l, Formers: make([]LeaseEntry, 1)}, true},
		{Won{Layout: l, Formers: make([]LeaseEntry, 2)}, false},
		{Won{Layout: l, Entry: LeaseEntry{Own: true}}, false},
		{Won{Layout: Layout{Generation: 2, Shards: 1, Former: 2, Done: true}}, false},
		{Won{}, false},
		{Won{Layout: l, Formers: make([]LeaseEntry, 2), Entry: LeaseEntry{Layout: &l}}, false},
	} {
		if err := x.won.unfit(); (err != nil) != x.bad || err != nil && !errors.Is(err, errFormers) {
			t.Errorf("%+v: %v", x.won, err)
		}
	}
	other := Layout{Generation: 2, Shards: 4, Former: 2}
	if err := (&Won{Layout: other, Formers: make([]LeaseEntry, 2), Entry: LeaseEntry{Layout: &l}}).unfit(); !errors.Is(err, errOtherLayout) {
		t.Errorf("a lease of another layout: %v", err)
	}
	m := New(DefaultBounds(), nil, Won{Layout: l, Entry: LeaseEntry{Epoch: 1, Holder: "a"}})
	if out := m.Step(Now{}, Start{}); len(out) != 1 || !errors.Is(out[0].(EndTerm).Cause, errFormers) {
		t.Errorf("it begins without the former shards: %v", out)
	}
}

func TestBoundsForShards(t *testing.T) {
	b := DefaultBounds()
	if b.For(1) != b || b.For(0) != b {
		t.Error("the bounds of the only shard are others")
	}
	if four := b.For(4); four.MaxRunning != b.MaxRunning/4 || four.Lane != b.Lane || four.ReadTotal != b.ReadTotal/4 || four.Lease != b.Lease {
		t.Errorf("of one of four shards: %+v", four)
	}
}
