package bridge

import (
	"log/slog"
	"maps"
	"testing"
	"time"

	"orderbridge/bridge/protocol"
)

// A replica that has not read the records yet gets no shard: it would stand still there.
func TestWhoStillReadsGetsNoShard(t *testing.T) {
	t.Parallel()
	now := time.Minute
	o := Options{Holder: "own", Clock: clockFunc(func() time.Duration { return now }), Logger: slog.New(slog.DiscardHandler),
		Seat: func(protocol.Layout, int) Parts { return Parts{} }}
	r := &Replica{o: o, following: newFollowing(&o)}
	r.peers.seen = map[string]sighting{
		"ready":   {1, now - time.Second, false},
		"reading": {1, now - time.Second, true},
		"dead":    {1, now - time.Hour, false},
	}
	l := protocol.Layout{Generation: 1, Shards: 4}
	c := &crew{r: r, layout: l}
	for k := range l.Shards {
		s := newSeat(&r.o, c, k)
		s.leader.Store(&leader{holder: "own", leads: true})
		c.seats = append(c.seats, s)
	}
	s := c.sharing()
	if want := (map[string]int{"own": 4, "ready": 0}); !maps.Equal(s.Leads, want) {
		t.Errorf("leads %v, want %v", s.Leads, want)
	}
	if !s.Reading || !r.heartbeat().Reading {
		t.Error("it has read nothing itself, and does not say so")
	}
	r.following.stand(l)
	r.following.caughtUp(0)
	r.following.caughtUp(1)
	if c.sharing().Reading || r.heartbeat().Reading {
		t.Error("it has read all, and says it still reads")
	}
	delete(r.peers.seen, "ready")
	if c.sharing().HandOver() {
		t.Error("hands over to one that still reads")
	}
}
