package bridge

import (
	"context"
	"errors"
	"fmt"

	"orderbridge/bridge/protocol"
)

// What the program and operators ask of a replica, and which seat it concerns.

// ErrNotLeader says that another replica leads: only the leader takes commands.
var ErrNotLeader = errors.New("this replica does not lead")

// seatOf is the seat of the subscription's shard; nil: no layout is known yet.
func (r *Replica) seatOf(subscription string) *seat {
	if c := r.crew.Load(); c != nil {
		return c.seats[protocol.ShardOf(subscription, len(c.seats))]
	}
	return nil
}

// seatAt is the seat of the shard of that number; nil: there is none.
func (r *Replica) seatAt(number int) *seat {
	if c := r.crew.Load(); c != nil && number >= 0 && number < len(c.seats) {
		return c.seats[number]
	}
	return nil
}

// terms are those that run, of all seats.
func (r *Replica) terms() (all []*term) {
	if c := r.crew.Load(); c != nil {
		for _, s := range c.seats {
			if t := s.term.Load(); t != nil {
				all = append(all, t)
			}
		}
	}
	return all
}

// LeadsFirst says that this replica leads shard 0: it does what is done once,
// however many shards there are.
func (r *Replica) LeadsFirst() bool {
	c := r.crew.Load()
	return c != nil && c.leads(0)
}

// Reread parses the newest revision of a record again, because what Parse warns
// of has changed though the record has not; its status follows. Only the
// leader does: another replica parses all records when it takes over. A record
// that could not be used, and can be now, comes into force.
func (r *Replica) Reread(ctx context.Context, subscription string) error {
	s := r.seatOf(subscription)
	if s == nil {
		return nil
	}
	t := s.term.Load()
	if t == nil {
		return nil
	}
	rev, err := r.o.Records.Latest(ctx, subscription)
	if errors.Is(err, protocol.ErrNotFound) || err == nil && rev.Deleted {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read subscription %q again: %w", subscription, err)
	}
	rec, problems := r.o.Parse(rev.Key, rev.Value)
	if problems.Err() != nil {
		rec = nil
	}
	t.post(&protocol.RecordReread{Revision: rev, Record: rec, Problems: problems})
	return nil
}

// Losing tells the leaders why the source stream deletes what is owed; "": it
// does not (any more).
func (r *Replica) Losing(why string) {
	for _, t := range r.terms() {
		t.post(protocol.StreamLoses{Why: why})
	}
}

// Alert tells the operators something about the bus; only the leader of shard 0 does.
func (r *Replica) Alert(kind, what, text string) {
	if s := r.seatAt(0); s != nil {
		if t := s.term.Load(); t != nil {
			t.post(protocol.BusAlert{Kind: kind, What: what, Text: text})
		}
	}
}

// WriteTrace writes what the flight recorders of the present terms have kept to
// files in TraceDir, one for each shard that this replica leads, and returns their
// paths; ErrNotLeader if it leads none.
func (r *Replica) WriteTrace(ctx context.Context) (paths []string, err error) {
	terms := r.terms()
	if len(terms) == 0 {
		return nil, ErrNotLeader
	}
	for _, t := range terms {
		path, err := t.writeTrace(ctx)
		if err != nil {
			return paths, err
		}
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths, nil
}

// Stream reports on the source stream as the leader of that shard knows it;
// ErrNotLeader if another replica must be asked.
func (r *Replica) Stream(ctx context.Context, shard int) (protocol.StreamReport, error) {
	s := r.seatAt(shard)
	if s == nil {
		return protocol.StreamReport{}, ErrNotLeader
	}
	return s.stream(ctx)
}

// Adopt carries a decision about the source stream out, for one shard. It returns
// when that is confirmed.
func (r *Replica) Adopt(ctx context.Context, shard int, begin Begin) (protocol.Adoption, error) {
	s := r.seatAt(shard)
	if s == nil {
		return protocol.Adoption{}, ErrNotLeader
	}
	return s.adopt(ctx, begin)
}

// Redrive puts a dead letter back as owed by its subscription. It returns when
// that is confirmed; ErrNotLeader if another replica must be asked, and an
// error that says why it cannot be done otherwise.
func (r *Replica) Redrive(ctx context.Context, subscription string, generation, sequence uint64) error {
	s := r.seatOf(subscription)
	if s == nil || s.term.Load() == nil {
		return ErrNotLeader
	}
	return s.redrive(ctx, subscription, generation, sequence)
}
