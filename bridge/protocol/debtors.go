package protocol

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"orderbridge/bridge/event"
)

// What single subscriptions owe, for the metrics that name them.

// Debtor is a subscription as it stands.
type Debtor struct {
	Subscription, Tenant string

	State  State
	Since  time.Time     // of the state; zero: nothing was told of it yet
	Owed   int           // deliveries, at most
	Held   int           // orders that wait in the ledger
	Oldest event.Ref     // of the events that are owed; Seq 0: none is. Its time may be that of an event next to it; 0: not known
	Rate   float64       // attempts a second, at most; 0: as fast as it goes
	Pause  time.Duration // until the endpoint is asked again
}

// Wanted says which debtors are told: so many of those that owe most, failing
// ones first, and these beside them; all there are, if so many are no more.
type Wanted struct {
	Most   int
	Beside []string
}

// owedBy counts what is owed of the subscription, other than what is in the
// window only: the ledger's share, what of it was redriven, the reader's share, and
// the oldest event of each.
type owedBy struct {
	ledger, redriven, reader int
	lanes, from              event.Ref // the oldest of the ledger's, and where the reader is; Seq noLimit: none
	window                   int       // in lanes, and the feed's
	first                    event.Ref // of these
}

func (s *sub) debts(position uint64) owedBy {
	none := event.Ref{Seq: noLimit}
	o := owedBy{lanes: none, from: none, first: none}
	older := func(r *event.Ref, it *item) {
		if it.seq < r.Seq {
			*r = it.ref()
		}
	}
	for _, ln := range s.lanes {
		in := len(ln.q)
		for ; in > 0 && !ln.q[in-1].inLedger; in-- {
			if it := ln.q[in-1]; it.win != nil {
				o.window++
				older(&o.first, it)
			}
		}
		switch {
		case in == 0:
			continue
		case ln.redrive > 0:
			o.redriven += in
		default:
			older(&o.lanes, ln.q[0])
		}
		o.ledger += in
	}
	if r := s.reader; r != nil {
		if o.reader = max(r.outstanding, 0) + r.unread(position); o.reader > 0 {
			o.from = r.oldest()
			for _, ln := range s.lanes {
				if len(ln.q) > 0 && ln.redrive == 0 && ln.q[0].seq == o.from.Seq {
					o.from = ln.q[0].ref()
					break
				}
			}
		}
	}
	return o
}

// oldest is the first that the reader has still to read, or may have to.
func (r *reader) oldest() event.Ref {
	ref := event.Ref{Seq: max(r.from, 1), Time: r.before.Time}
	if r.done.has(ref.Seq) {
		end := r.done.end(ref.Seq)
		ref = event.Ref{Seq: end + 1, Time: r.done.atEnd(end).Time}
	}
	if again := r.reread.spans; ref.Time == 0 && len(again) > 0 {
		ref.Time = again[0].At
	}
	return ref
}

// oldest is the oldest of several; Seq noLimit: there is none. One whose time is not
// known has that of the next that is: it is at least as old.
func oldest(refs ...event.Ref) event.Ref {
	bySeq := func(a, b event.Ref) int { return cmp.Compare(a.Seq, b.Seq) }
	first := slices.MinFunc(refs, bySeq)
	if first.Time == 0 {
		next := event.Ref{Seq: noLimit}
		for _, ref := range refs {
			if ref.Known() && ref.Seq < next.Seq {
				next = ref
			}
		}
		first.Time = next.Time
	}
	return first
}

// debtor is the subscription with what it owes.
func (s *sub) debtor(o owedBy) Debtor {
	now := s.core.now.Boot
	d := Debtor{Subscription: s.id, Tenant: s.rec.Tenant, State: s.told.state, Since: s.told.since}
	if !s.deletedAt.IsZero() { // what is kept is not owed
		return d
	}
	d.Owed, d.Held = o.ledger+o.reader+o.window, s.held
	if ref := oldest(o.lanes, o.from, o.first); ref.Seq != noLimit {
		d.Oldest = ref
	}
	if p := s.pace; p != nil {
		if p.limit != nil && p.limit.Per > 0 {
			d.Rate = float64(p.limit.Requests) / p.limit.Per.Seconds()
		}
		if rate := p.ramp.present(now); p.ramp.on && (d.Rate == 0 || rate < d.Rate) {
			d.Rate = rate
		}
	}
	d.Pause = max(s.notBefore-now, 0)
	if s.failing() && s.probeAt != noTime {
		d.Pause = max(d.Pause, s.probeAt-now)
	}
	return d
}

// failing tells whether somebody has to look at it.
func (d *Debtor) failing() bool {
	return d.State == StateSuspended || d.State == StateInvalid
}

// compare orders debtors: those that fail and owe come first, then those that owe
// most; the rest by name.
func (d *Debtor) compare(x *Debtor) int {
	trouble := func(d *Debtor) int {
		if d.failing() && d.Owed > 0 {
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(trouble(x), trouble(d)), cmp.Compare(x.Owed, d.Owed), cmp.Compare(d.Subscription, x.Subscription))
}

// ranking keeps the first of many debtors, as a list that is cut when it is twice
// as long as wanted.
type ranking struct {
	most int
	list []Debtor
}

func (r *ranking) add(d Debtor) {
	if r.most == 0 {
		return
	}
	r.list = append(r.list, d)
	if len(r.list) >= 2*r.most+16 {
		r.cut()
	}
}

func (r *ranking) cut() []Debtor {
	slices.SortFunc(r.list, func(a, b Debtor) int { return a.compare(&b) })
	r.list = r.list[:min(len(r.list), r.most)]
	return r.list
}

// asked are those that are told whatever they owe: all, if no more than are wanted can
// be there in all shards, else those that were asked for by name.
func (c *Machine) asked(w Wanted) (ids []string) {
	if (len(c.subs)+len(c.resting))*max(c.layout.Shards, 1) > w.Most {
		return w.Beside
	}
	for id, s := range c.subs {
		if s.told.state != "" {
			ids = append(ids, id)
		}
	}
	return slices.AppendSeq(ids, maps.Keys(c.resting))
}

// beside adds those that are asked for by name.
func (c *Machine) beside(list []Debtor, ids []string) []Debtor {
	if len(ids) == 0 {
		return list
	}
	there := make(map[string]bool, len(list))
	for i := range list {
		there[list[i].Subscription] = true
	}
	position := c.position()
	for _, id := range ids {
		switch s, x := c.subs[id], c.resting[id]; {
		case there[id]:
		case s != nil:
			list = append(list, s.debtor(s.debts(position)))
		case x != nil:
			list = append(list, Debtor{Subscription: id, Tenant: x.rec.Tenant, State: StateActive, Since: moment(x.since)})
		}
	}
	return list
}

// tell takes note of what the status of the subscription says.
func (s *sub) tell(a announced) {
	s.told = a
	s.count(a.state)
	s.outOf(a.state)
}

// count keeps count of how many subscriptions, those at rest left out, are told to
// be in each state; "": it is none of them any more.
func (s *sub) count(now State) {
	c := s.core
	if s.counted == now {
		return
	}
	if c.states == nil {
		c.states = map[State]int{}
	}
	if s.counted != "" {
		c.states[s.counted]--
	}
	if s.counted = now; now != "" {
		c.states[now]++
	}
}

// inState tells how many subscriptions are in each state.
func (c *Machine) inState() map[State]int {
	all := map[State]int{StateActive: len(c.resting)}
	for state, n := range c.states {
		all[state] += n
	}
	return all
}
