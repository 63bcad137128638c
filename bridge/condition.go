package bridge

import (
	"fmt"
	"slices"
	"strings"

	"orderbridge/bridge/protocol"
)

// Condition says what the replica does and whether it is ready: of all its seats.
func (r *Replica) Condition() Condition {
	c := r.crew.Load()
	if c == nil {
		why := "the bus has not answered yet"
		if w := r.lacks.Load(); w != nil {
			why = *w
		}
		return Condition{Role: RoleStandby, Reasons: []string{why}}
	}
	all := Condition{Role: RoleStandby, Shards: len(c.seats)}
	alive, _ := r.peers.alive(r.o.Clock.Boot())
	all.Replicas, all.Alerts = len(alive)+1, r.alerts.now()
	var reasons, notes saidOf
	for k, s := range c.seats {
		x := s.condition()
		all.add(k, &x)
		reasons.add(k, x.Reasons)
		notes.add(k, x.Notes)
	}
	all.Reasons, all.Notes = reasons.lines(len(c.seats)), notes.lines(len(c.seats))
	r.mu.Lock()
	defer r.mu.Unlock()
	all.Figures = all.Figures.Plus(r.total)
	for _, past := range r.past {
		for _, s := range past.seats {
			all.Figures = sum(all.Figures, s.condition().Figures)
		}
	}
	return all
}

// add adds what a seat says.
func (c *Condition) add(shard int, x *Condition) {
	switch {
	case x.Role == RoleLeader, x.Role == RoleTakingOver && c.Role == RoleStandby:
		c.Role = x.Role
	}
	if x.Role != RoleStandby {
		c.Leads = append(c.Leads, ShardCondition{shard, x.Role, x.Epoch, x.Figures.Owed, x.taken})
	}
	if x.Oldest.Seq > 0 && (c.Oldest.Seq == 0 || x.Oldest.Seq < c.Oldest.Seq) {
		c.Oldest = x.Oldest
	}
	for state, n := range x.States {
		if c.States == nil {
			c.States = map[protocol.State]int{}
		}
		c.States[state] += n
	}
	c.Debtors = append(c.Debtors, x.Debtors...)
	c.Epoch = max(c.Epoch, x.Epoch)
	c.Changes = append(c.Changes, x.Changes...)
	c.Figures = sum(c.Figures, x.Figures)
	for _, u := range x.Usage {
		i := slices.IndexFunc(c.Usage, func(y protocol.Usage) bool { return y.Resource == u.Resource })
		if i < 0 {
			c.Usage = append(c.Usage, u)
			continue
		}
		y := &c.Usage[i]
		y.Used, y.Size, y.Waiting = y.Used+u.Used, y.Size+u.Size, y.Waiting+u.Waiting
		if u.Most > y.Most {
			y.Tenant, y.Most = u.Tenant, u.Most
		}
	}
}

// sum adds counts, and what is there at a moment.
func sum(a, b protocol.Figures) protocol.Figures {
	s := a.Plus(b)
	for _, x := range []struct {
		to   *int
		from int
	}{
		{&s.Unsettled, b.Unsettled}, {&s.Owed, b.Owed}, {&s.Kept, b.Kept}, {&s.Held, b.Held}, {&s.Reading, b.Reading}, {&s.Suspended, b.Suspended},
		{&s.Subscriptions, b.Subscriptions}, {&s.Running, b.Running},
	} {
		*x.to += x.from
	}
	return s
}

// counts is what stays of figures when a term is over.
func counts(f protocol.Figures) protocol.Figures { return protocol.Figures{}.Plus(f) }

// saidOf are texts, and which seats say them.
type saidOf struct {
	texts []string
	by    map[string][]string
}

func (s *saidOf) add(shard int, texts []string) {
	for _, text := range texts {
		if s.by == nil {
			s.by = map[string][]string{}
		}
		if s.by[text] == nil {
			s.texts = append(s.texts, text)
		}
		s.by[text] = append(s.by[text], fmt.Sprint(shard))
	}
}

// lines tells of which shards each is said, unless it is of all of them.
func (s *saidOf) lines(of int) []string {
	for i, text := range s.texts {
		switch by := s.by[text]; {
		case len(by) == of:
		case len(by) == 1:
			s.texts[i] = "shard " + by[0] + ": " + text
		default:
			s.texts[i] = "shards " + strings.Join(by, ", ") + ": " + text
		}
	}
	return s.texts
}
