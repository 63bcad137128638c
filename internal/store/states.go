package store

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// States knows which subscriptions are in which state, but for those that are
// active: so a list of what is suspended reads no others. It follows the bucket of
// the statuses from the first question on, and as long as it is asked. Safe for
// concurrent use.
type States struct {
	statuses *Statuses
	wanted   chan struct{} // somebody asks

	mu     sync.Mutex
	asked  time.Time
	states map[string]protocol.State
	told   bool          // all that the bucket held was heard
	change chan struct{} // closed when told changes
}

// NewStates follows nothing until Run is called and something is asked.
func NewStates(s *Statuses) *States {
	return &States{statuses: s, wanted: make(chan struct{}, 1), states: map[string]protocol.State{},
		change: make(chan struct{})}
}

// Run follows while there are questions, until ctx ends.
func (s *States) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.wanted:
		}
		following, enough := context.WithCancel(ctx)
		go s.untilIdle(following, enough)
		_ = s.statuses.Watch(following, s.reset, s.hear, func() { s.tell(true) }) // it ends with ctx, or is begun again
		enough()
		s.reset()
	}
}

// untilIdle ends what is followed when nobody has asked for a time.
func (s *States) untilIdle(ctx context.Context, enough context.CancelFunc) {
	tick := time.NewTicker(limits.StatesIdle / 4)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		idle := time.Since(s.asked) > limits.StatesIdle
		s.mu.Unlock()
		if idle {
			enough()
		}
	}
}

func (s *States) reset() {
	s.mu.Lock()
	clear(s.states)
	s.mu.Unlock()
	s.tell(false)
}

func (s *States) tell(told bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.told = told; told {
		close(s.change)
		s.change = make(chan struct{})
	}
}

func (s *States) hear(id string, value []byte) {
	state := protocol.State(gjson.GetBytes(value, "state").Str)
	s.mu.Lock()
	defer s.mu.Unlock()
	if state == "" || state == protocol.StateActive {
		delete(s.states, id)
		return
	}
	s.states[id] = state
}

// in are the ids of those in a state behind an id, in order; ErrBehind if the bucket
// cannot be read through in time.
func (s *States) in(ctx context.Context, state protocol.State, after string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.IndexWait)
	defer cancel()
	for {
		s.mu.Lock()
		s.asked = time.Now()
		select {
		case s.wanted <- struct{}{}:
		default:
		}
		told, change := s.told, s.change
		if told {
			ids := []string{}
			for id, is := range s.states {
				if is == state && id > after {
					ids = append(ids, id)
				}
			}
			s.mu.Unlock()
			slices.Sort(ids)
			return ids, nil
		}
		s.mu.Unlock()
		select {
		case <-change:
		case <-ctx.Done():
			return nil, ErrBehind
		}
	}
}

// WithStates has the catalog list by state without reading all statuses.
func (c *Catalog) WithStates(s *States) *Catalog {
	c.states = s
	return c
}

// StatusQuery says of which subscriptions the statuses are listed; "": any.
type StatusQuery struct {
	State  string
	ID     string // is part of their ids
	Tenant string // of the record
	Label  string // a name, or name=value, of the record's labels
}

// StatusesIn is Statuses of some. It needs an index for a tenant and a label.
func (c *Catalog) StatusesIn(ctx context.Context, scope Scope, q StatusQuery, after string, limit int) ([]Verdict, string, error) {
	in := func(v Verdict) bool {
		return (q.State == "" || string(v.State) == q.State) && strings.Contains(v.ID, q.ID)
	}
	f := Filter{Tenant: q.Tenant, Label: q.Label}
	if q.ID != "" {
		f.ID = func(id string) bool { return strings.Contains(id, q.ID) }
	}
	state, byRecord := protocol.State(q.State), q.Tenant != "" || q.Label != ""
	switch {
	case state == protocol.StateDeleted && byRecord:
		return []Verdict{}, "", nil // their records are gone
	case c.index == nil, state == protocol.StateDeleted, q.ID == "" && !byRecord && (state == "" || state == protocol.StateActive):
		return c.Statuses(ctx, scope, after, limit, in)
	}
	if err := c.await(ctx); err != nil {
		return nil, "", err
	}
	w := c.readStatuses(scope, after, limit, nil, in)
	w.filter = f
	if c.states != nil && state != "" && state != protocol.StateActive {
		ids, err := c.states.in(ctx, state, after)
		if err != nil {
			return nil, "", err
		}
		w.ids = c.index.within(scope, f, ids)
	}
	return walk(ctx, c, w)
}

// within returns those ids whose records lie in the scope and which the filter holds.
func (x *Index) within(scope Scope, f Filter, ids []string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.DeleteFunc(ids, func(id string) bool {
		i := x.items[id]
		return i == nil || !f.holds(i) || !scope.all && (i.tenant == nil || !scope.holds(i.tenant.tenant))
	})
}
