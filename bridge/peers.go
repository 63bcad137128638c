package bridge

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// Heartbeat is what a replica says of itself to the others, every few seconds, in
// the bucket of the leases. Whether it is alive is told by its coming, not by
// what it says: no two clocks are compared.
type Heartbeat struct {
	Holder string      `json:"holder"`
	Time   time.Time   `json:"time"`
	Since  time.Time   `json:"since"` // when it started
	Layout uint64      `json:"layout"`
	Leads  []ShardBeat `json:"leads"`
	// Reading says that it has not read all records and statuses yet: a shard that
	// it took would stand still until then.
	Reading bool `json:"reading,omitempty"`
}

// ShardBeat is what it says of a shard that it leads or takes over.
type ShardBeat struct {
	Shard     int       `json:"shard"`
	Role      Role      `json:"role"`
	Epoch     uint64    `json:"epoch"`
	Since     time.Time `json:"since"` // of the term
	Owed      int       `json:"owed"`  // deliveries
	Unsettled int       `json:"unsettled"`
	Oldest    time.Time `json:"oldest,omitzero"` // when the oldest event that is owed was published, if it is known
}

// peers are the replicas that are alive, as far as this one sees.
type peers struct {
	began time.Time

	mu   sync.Mutex
	seen map[string]sighting // by holder, the own one left out
	rest time.Duration       // boot time before which nothing is handed over
	wait time.Duration       // the next such pause
}

type sighting struct {
	revision uint64
	at       time.Duration // boot time at which that revision was first seen
	reading  bool
}

// beat tells the others of this replica, and looks who they are.
func (r *Replica) beat(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, limits.TermCallTime)
	defer cancel()
	value, err := json.Marshal(r.heartbeat())
	if err != nil {
		return err
	}
	if err := r.o.Shards.Beat(ctx, r.o.Holder, value); err != nil {
		return err
	}
	beats, err := r.o.Shards.Beats(ctx)
	if err != nil {
		return err
	}
	now := r.o.Clock.Boot()
	r.peers.mu.Lock()
	defer r.peers.mu.Unlock()
	seen := map[string]sighting{}
	for _, b := range beats {
		if b.Holder == r.o.Holder {
			continue
		}
		s, known := r.peers.seen[b.Holder]
		if !known || s.revision != b.Revision {
			var h Heartbeat
			_ = json.Unmarshal(b.Value, &h) // one of another build may tell less
			s = sighting{b.Revision, now, h.Reading}
		}
		seen[b.Holder] = s
	}
	r.peers.seen = seen
	return nil
}

// endBeat tells the others that this replica is gone.
func (r *Replica) endBeat() {
	ctx, cancel := context.WithTimeout(context.Background(), limits.BeatTime)
	defer cancel()
	if err := r.o.Shards.EndBeat(ctx, r.o.Holder); err != nil {
		r.o.Logger.Debug("the heartbeat cannot be removed: it runs out", "error", err)
	}
}

func (r *Replica) heartbeat() Heartbeat {
	h := Heartbeat{Holder: r.o.Holder, Time: r.o.Clock.Now().UTC(), Since: r.peers.began, Leads: []ShardBeat{}, Reading: !r.following.ready()}
	c := r.crew.Load()
	if c == nil {
		return h
	}
	h.Layout = c.layout.Generation
	for _, s := range c.seats {
		if t := s.term.Load(); t != nil {
			x := t.condition.Load()
			h.Leads = append(h.Leads, ShardBeat{s.shard.Number, x.Role, x.Epoch, t.began, x.Figures.Owed, x.Figures.Unsettled, x.Oldest.Published()})
		}
	}
	return h
}

// alive are the other replicas whose heartbeat comes, and those whose has not for
// a while.
func (p *peers) alive(now time.Duration) (alive, dead []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for holder, s := range p.seen {
		if now-s.at < limits.BeatPatience {
			alive = append(alive, holder)
		} else {
			dead = append(dead, holder)
		}
	}
	return alive, dead
}

// follow beats until ctx ends, and hands a shard over where this replica leads too many.
func (r *Replica) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(limits.BeatTime):
		}
		if err := r.beat(ctx); err != nil {
			if ctx.Err() == nil {
				r.o.Logger.Debug("the heartbeat failed", "error", err)
			}
			continue
		}
		if c := r.crew.Load(); c != nil {
			c.balance()
		}
	}
}

// reading tells whether the other replica has not read the records yet.
func (p *peers) reading(holder string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen[holder].reading
}

// sharing is who leads how many shards of the crew's layout.
func (c *crew) sharing() protocol.Sharing {
	s := protocol.Sharing{Shards: len(c.seats), Own: c.r.o.Holder, Leads: map[string]int{}, Reading: !c.r.following.ready(),
		Patience: limits.ShardPatience}
	alive, _ := c.r.peers.alive(c.r.o.Clock.Boot())
	alive = slices.DeleteFunc(alive, c.r.peers.reading)
	for _, holder := range append(alive, s.Own) {
		s.Leads[holder] = 0
	}
	for _, x := range c.seats {
		holder := x.leader.Load().holder
		if x.term.Load() != nil || x.claiming {
			holder = s.Own
		}
		if _, known := s.Leads[holder]; known {
			s.Leads[holder]++
		}
	}
	return s
}

// claim lets the seat take its shard's lease, which has been free for that long,
// or says how long to leave it to others. After it, unclaim.
func (c *crew) claim(s *seat, free time.Duration) (wait time.Duration) {
	c.taking.Lock()
	defer c.taking.Unlock()
	if wait = c.sharing().Wait() - free; wait > 0 {
		return wait
	}
	s.claiming = true
	return 0
}

func (c *crew) unclaim(s *seat) {
	c.taking.Lock()
	defer c.taking.Unlock()
	s.claiming = false
}

// balance hands one shard over if this replica leads too many and all are led.
// One that nobody has taken, so that it came back, lets the next wait longer.
func (c *crew) balance() {
	c.taking.Lock()
	defer c.taking.Unlock()
	p, now := &c.r.peers, c.r.o.Clock.Boot()
	if now < p.rest || !c.sharing().HandOver() {
		return
	}
	var last *seat
	for _, s := range c.seats {
		t := s.term.Load()
		switch {
		case t == nil && !s.leader.Load().leads, t != nil && t.condition.Load().Role != RoleLeader:
			return
		case t != nil:
			last = s
		}
	}
	if last == nil {
		return
	}
	if last.handed { // it came back
		p.wait = min(max(2*p.wait, limits.BeatPatience), limits.HandOverRest)
	} else {
		p.wait = 0
	}
	p.rest, last.handed = now+max(p.wait, limits.BeatTime), true
	last.logger.Info("handing the shard over: another replica leads fewer", "shards", len(c.seats))
	last.release()
}
