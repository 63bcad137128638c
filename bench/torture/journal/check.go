package journal

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// What the contract allows.
const (
	overlap     = 2 * time.Second        // a record hears from so long before its put
	takesEffect = time.Second            // of a deactivation, after its status says so
	recorded    = time.Second            // what was sent so long before a crash may be repeated
	slack       = 700 * time.Millisecond // of the clocks
	slow        = 20 * time.Second       // by which a machine that is busy may be late, as long as its leases live
)

// The kinds of violations.
const (
	Lost        = "lost"        // an event never arrived
	Disorder    = "disorder"    // an event came before an earlier one of its order was done
	Identity    = "identity"    // attempts under two ids, or one id for two deliveries
	Spurious    = "spurious"    // a delivery that nobody asked for
	Deactivated = "deactivated" // a delivery to a record that does not want any
	Repeated    = "repeated"    // a repeat that no crash excuses
	Crowded     = "crowded"     // more requests at once than the record allows
	Bus         = "bus"         // the bus itself lost or reordered what it had confirmed
)

// Violation is a broken promise.
type Violation struct {
	Kind string
	At   time.Time
	Text string
}

// Report is what Check found.
type Report struct {
	Violations []Violation // by time

	Events, Requests, Deliveries, Failed int
	Owed                                 int // deliveries that had to arrive
	Repeats, Letters, Coalesced          int
	OldestRepeat                         time.Duration // how long before the crash a repeated success lay, at most
	Terms                                int
	Gap                                  time.Duration // longest time without a delivery
	GapFrom                              time.Time
	Faults                               map[string]int
}

// span is a time in which a record wanted events.
type span struct {
	generation int
	put        Operation
	end        *Operation // deactivate or delete; nil: to the end
}

// checker is the work of one Check.
type checker struct {
	j      *Journal
	r      *Report
	events map[string]*Event
	spans  map[string][]span
	quiet  map[string][]quiet
	last   map[string]int // newest generation
	wants  map[string]bool
	byKey  map[owner][]*Request
	letter map[owner][]*Letter
	late   time.Duration // how much later than promised something may be
}

// owner names one delivery: an event for a subscription of a generation.
type owner struct {
	sub   string
	gen   int
	event string
}

// quiet is a time in which nothing may come to a subscription.
type quiet struct {
	from, until time.Time // zero until: to the end
	generation  int
	kind        string
}

// Check holds a journal against the promises.
func Check(j *Journal) *Report {
	c := &checker{j: j, r: &Report{Faults: map[string]int{}}, events: map[string]*Event{}, spans: map[string][]span{},
		quiet: map[string][]quiet{}, last: map[string]int{}, wants: map[string]bool{}, byKey: map[owner][]*Request{},
		letter: map[owner][]*Letter{}, late: slow}
	if j.Exact {
		c.late = slack
	}
	c.index()
	c.checkBus()
	c.checkRequests()
	for i := range j.Subscriptions {
		c.checkSubscription(&j.Subscriptions[i])
	}
	c.figures()
	slices.SortStableFunc(c.r.Violations, func(a, b Violation) int { return a.At.Compare(b.At) })
	return c.r
}

func (c *checker) violate(kind string, at time.Time, format string, args ...any) {
	c.r.Violations = append(c.r.Violations, Violation{kind, at, fmt.Sprintf(format, args...)})
}

func (c *checker) index() {
	for i := range c.j.Events {
		c.events[c.j.Events[i].ID] = &c.j.Events[i]
	}
	slices.SortStableFunc(c.j.Requests, func(a, b Request) int { return a.At.Compare(b.At) })
	for i := range c.j.Requests {
		r := &c.j.Requests[i]
		o := owner{r.Subscription, r.Generation, r.Event}
		c.byKey[o] = append(c.byKey[o], r)
	}
	for i := range c.j.Letters {
		l := &c.j.Letters[i]
		o := owner{l.Subscription, l.Generation, l.Event}
		c.letter[o] = append(c.letter[o], l)
	}
	type state struct {
		open  bool
		quiet *quiet
	}
	states := map[string]*state{}
	for _, op := range c.j.Operations {
		s := states[op.Subscription]
		if s == nil {
			s = &state{}
			states[op.Subscription] = s
		}
		if s.quiet != nil && (op.Kind == Put || op.Kind == Update) {
			s.quiet.until = op.At
			c.quiet[op.Subscription] = append(c.quiet[op.Subscription], *s.quiet)
			s.quiet = nil
		}
		switch op.Kind {
		case Put, Update:
			if !s.open {
				c.spans[op.Subscription] = append(c.spans[op.Subscription], span{generation: op.Generation, put: op})
				s.open = true
			}
			c.last[op.Subscription] = max(c.last[op.Subscription], op.Generation)
			c.wants[op.Subscription] = true
		case Deactivate, Delete:
			if s.open {
				list := c.spans[op.Subscription]
				list[len(list)-1].end = &op
				s.open = false
			}
			c.wants[op.Subscription] = false
		case Invalid:
			c.wants[op.Subscription] = false
		}
		if op.Kind != Put && op.Kind != Update && s.quiet == nil && !op.Seen.IsZero() {
			s.quiet = &quiet{from: op.Seen.Add(takesEffect + c.late - slack), generation: op.Generation, kind: op.Kind}
		}
	}
	for sub, s := range states {
		if s.quiet != nil {
			c.quiet[sub] = append(c.quiet[sub], *s.quiet)
		}
	}
}

// checkBus holds the bus to what it confirmed: without that nothing can be
// asked of the bridge.
func (c *checker) checkBus() {
	newest := map[string]*Event{}
	for _, e := range sortedBy(c.j.Events, func(e *Event) (string, int) { return e.Order, e.N }) {
		if e.Stored != e.Sequence {
			c.violate(Bus, e.Confirmed, "event %s was confirmed as %d, the stream holds it as %d", e.ID, e.Sequence,
				e.Stored)
		}
		if before := newest[e.Order]; before != nil && before.Sequence >= e.Sequence {
			c.violate(Bus, e.Confirmed, "event %s has sequence %d, %s has %d", before.ID, before.Sequence, e.ID, e.Sequence)
		}
		newest[e.Order] = e
	}
}

func sortedBy(events []Event, key func(*Event) (string, int)) []*Event {
	list := make([]*Event, len(events))
	for i := range events {
		list[i] = &events[i]
	}
	slices.SortFunc(list, func(a, b *Event) int {
		x, n := key(a)
		y, m := key(b)
		return cmp.Or(cmp.Compare(x, y), cmp.Compare(n, m))
	})
	return list
}

// checkRequests holds every request and every letter alone against the
// contract: that it was asked for, and its id.
func (c *checker) checkRequests() {
	ids := map[string]owner{}
	idOf := map[owner]string{}
	identity := func(at time.Time, o owner, id string) {
		if id == "" {
			c.violate(Identity, at, "%s got %s without an id", o.sub, o.event)
			return
		}
		if other, ok := ids[id]; ok && other != o {
			c.violate(Identity, at, "id %s is that of %v and of %v", id, other, o)
		}
		ids[id] = o
		if other, ok := idOf[o]; ok && other != id {
			c.violate(Identity, at, "%v came as %s and as %s", o, other, id)
		}
		idOf[o] = id
	}
	subs := map[string]*Subscription{}
	for i := range c.j.Subscriptions {
		subs[c.j.Subscriptions[i].ID] = &c.j.Subscriptions[i]
	}
	for i := range c.j.Requests {
		r := &c.j.Requests[i]
		s, e := subs[r.Subscription], c.events[r.Event]
		if s == nil || e == nil {
			c.violate(Spurious, r.At, "a request for subscription %q, event %q: unknown", r.Subscription, r.Event)
			continue
		}
		if !s.hears(e) || !c.may(s.ID, r.Generation, e) {
			c.violate(Spurious, r.At, "%s (generation %d) got %s %s, published %s, which it does not hear", s.ID,
				r.Generation, e.ID, e.Subject, clock(e.Sent))
		}
		identity(r.At, owner{r.Subscription, r.Generation, r.Event}, r.ID)
		for _, q := range c.quiet[s.ID] {
			if q.from.Before(r.At) && (q.until.IsZero() || r.At.Before(q.until)) {
				c.violate(Deactivated, r.At, "%s got %s %s after its status had said %q for a second", s.ID, e.ID,
					r.At.Sub(q.from), q.kind)
			}
		}
	}
	for i := range c.j.Letters {
		l := &c.j.Letters[i]
		if l.ID == "" {
			continue // only a reference could be kept
		}
		identity(l.Time, owner{l.Subscription, l.Generation, l.Event}, l.ID)
	}
}

// hears is the contract's meaning of subjects and eventTypes.
func (s *Subscription) hears(e *Event) bool {
	subject := len(s.Subjects) == 0
	for _, f := range s.Subjects {
		subject = subject || matches(f, e.Subject)
	}
	return subject && (len(s.Types) == 0 || slices.Contains(s.Types, e.Type))
}

func matches(filter, subject string) bool {
	f, s := strings.Split(filter, "."), strings.Split(subject, ".")
	for i, t := range f {
		switch {
		case t == ">":
			return len(s) > i
		case i >= len(s) || t != "*" && t != s[i]:
			return false
		}
	}
	return len(f) == len(s)
}

// must: the event was published while the record certainly wanted it.
func (c *checker) must(sub string, gen int, e *Event) bool {
	for _, s := range c.spans[sub] {
		if s.generation == gen && !e.Sent.Before(s.put.Done) && (s.end == nil || !e.Confirmed.After(s.end.At)) {
			return true
		}
	}
	return false
}

// may: the event was published while the record possibly wanted it.
func (c *checker) may(sub string, gen int, e *Event) bool {
	for _, s := range c.spans[sub] {
		if s.generation == gen && !e.Confirmed.Before(s.put.At.Add(-overlap-slack)) &&
			(s.end == nil || s.end.Seen.IsZero() || !e.Sent.After(s.end.Seen.Add(slack))) {
			return true
		}
	}
	return false
}

// fate is what became of one event at one subscription.
type fate struct {
	e        *Event
	must     bool
	requests []*Request
	letters  []*Letter
	done     time.Time // first success or letter; zero: none
	known    time.Time // first success of which the bridge must know
}

func (c *checker) checkSubscription(s *Subscription) {
	c.checkCrowd(s)
	for gen := 1; gen <= c.last[s.ID]; gen++ {
		lanes := map[string][]*fate{}
		for _, e := range sortedBy(c.j.Events, func(e *Event) (string, int) { return "", int(e.Sequence) }) {
			if !s.hears(e) {
				continue
			}
			o := owner{s.ID, gen, e.ID}
			f := &fate{e: e, must: c.must(s.ID, gen, e), requests: c.byKey[o], letters: c.letter[o]}
			if !f.must && len(f.requests)+len(f.letters) == 0 {
				continue
			}
			f.judge()
			c.repeats(f)
			lanes[s.lane(e)] = append(lanes[s.lane(e)], f)
		}
		complete := gen == c.last[s.ID] && c.wants[s.ID]
		for _, key := range slices.Sorted(maps.Keys(lanes)) {
			if s.Coalesce {
				c.checkCoalesced(s, lanes[key], complete)
				continue
			}
			if complete {
				c.checkComplete(s, lanes[key])
			}
			c.checkOrder(s, lanes[key])
		}
	}
}

func (s *Subscription) lane(e *Event) string {
	switch s.Ordering {
	case "strict":
		return ""
	case "none":
		return e.ID
	}
	return e.Order
}

func (f *fate) judge() {
	for _, r := range f.requests {
		if r.success() && (f.done.IsZero() || r.Ended.Before(f.done)) {
			f.done = r.Ended
		}
		if r.sure() && (f.known.IsZero() || r.Ended.Before(f.known)) {
			f.known = r.Ended
		}
	}
	for _, l := range f.letters {
		if f.done.IsZero() || l.Time.Before(f.done) {
			f.done = l.Time
		}
	}
}

// settled: it arrived for certain, or lies in the dead letters.
func (f *fate) settled() bool { return !f.known.IsZero() || len(f.letters) > 0 }

func (c *checker) checkComplete(s *Subscription, lane []*fate) {
	for _, f := range lane {
		if !f.must {
			continue
		}
		c.r.Owed++
		if !f.settled() {
			c.violate(Lost, f.e.Confirmed, "%s never got %s (sequence %d, published %s), %d attempts", s.ID, f.e.ID,
				f.e.Sequence, clock(f.e.Confirmed), len(f.requests))
		}
	}
}

// checkOrder: no attempt begins before everything earlier of the lane is done.
func (c *checker) checkOrder(s *Subscription, lane []*fate) {
	var latest time.Time // when the last of the earlier ones was done
	var which *fate
	for _, f := range lane {
		for _, r := range f.requests {
			if which != nil && !r.Redrive && latest.After(r.At) {
				c.violate(Disorder, r.At, "%s got %s %s before %s was done", s.ID, f.e.ID, latest.Sub(r.At), which.e.ID)
				break
			}
		}
		done := f.done
		if done.IsZero() {
			done = c.j.Ended.Add(time.Hour)
		}
		if which == nil || done.After(latest) {
			latest, which = done, f
		}
	}
}

// checkCoalesced: of the events of an order that wait only the newest must
// arrive, and none may come after a newer one has arrived, but by a repeat.
func (c *checker) checkCoalesced(s *Subscription, lane []*fate, complete bool) {
	var newer *fate // the newest that arrived for certain
	arrived := false
	for _, f := range slices.Backward(lane) {
		arrived = arrived || f.settled()
		if f.must && complete {
			c.r.Owed++
			switch {
			case !arrived:
				c.violate(Lost, f.e.Confirmed,
					"%s never got %s (sequence %d, published %s) nor a newer one of its order", s.ID, f.e.ID,
					f.e.Sequence, clock(f.e.Confirmed))
			case !f.settled():
				c.r.Coalesced++
			}
		}
		for _, r := range f.requests {
			if newer != nil && newer.known.Before(r.At) && !c.excused(newer.known, r.At) {
				c.violate(Disorder, r.At, "%s got %s after the newer %s had arrived", s.ID, f.e.ID, newer.e.ID)
			}
		}
		if !f.known.IsZero() && (newer == nil || f.known.Before(newer.known)) {
			newer = f
		}
	}
}

// repeats counts what came again after it had arrived, and asks for the excuse.
func (c *checker) repeats(f *fate) {
	for _, r := range f.requests {
		if f.known.IsZero() || !r.At.After(f.known) || r.Redrive {
			continue
		}
		c.r.Repeats++
		if !c.excused(f.known, r.At) {
			c.violate(Repeated, r.At, "%s got %s again, %s after it had arrived at %s, and no crash excuses it",
				r.Subscription, f.e.ID, r.At.Sub(f.known), clock(f.known))
		}
	}
}

// excused tells whether something that arrived at the time known may be
// repeated at the time again, and notes how old it was.
func (c *checker) excused(known, again time.Time) bool {
	ok, oldest := false, time.Duration(0)
	for _, f := range c.j.Faults {
		if !f.Excuse || f.From.After(again) || known.Before(f.From.Add(-recorded-c.late)) ||
			known.After(f.Until.Add(c.late)) {
			continue
		}
		if age := f.From.Sub(known); !ok || age < oldest {
			oldest = age
		}
		ok = true
	}
	if ok {
		c.r.OldestRepeat = max(c.r.OldestRepeat, oldest)
	}
	return ok
}

// checkCrowd: maxInFlight holds for what was answered; of other requests
// nobody here knows when the bridge gave them up.
func (c *checker) checkCrowd(s *Subscription) {
	if s.MaxInFlight == 0 {
		return
	}
	type edge struct {
		at time.Time
		by int
	}
	var edges []edge
	for i := range c.j.Requests {
		r := &c.j.Requests[i]
		if r.Subscription == s.ID && r.sure() {
			edges = append(edges, edge{r.At, 1}, edge{r.Ended, -1})
		}
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.by, b.by)) })
	n := 0
	for _, e := range edges {
		if n += e.by; n > s.MaxInFlight {
			c.violate(Crowded, e.at, "%s got %d requests at once, it allows %d", s.ID, n, s.MaxInFlight)
			return
		}
	}
}

func (c *checker) figures() {
	r := c.r
	r.Events, r.Requests, r.Letters, r.Terms = len(c.j.Events), len(c.j.Requests), len(c.j.Letters), len(c.j.Terms)
	var arrived []time.Time
	for i := range c.j.Requests {
		if q := &c.j.Requests[i]; q.success() {
			arrived = append(arrived, q.Ended)
		} else {
			r.Failed++
		}
	}
	r.Deliveries = len(arrived) - min(r.Repeats, len(arrived))
	slices.SortFunc(arrived, time.Time.Compare)
	var end time.Time // the last event: what comes later is not a gap
	for i := range c.j.Events {
		if c.j.Events[i].Confirmed.After(end) {
			end = c.j.Events[i].Confirmed
		}
	}
	for i := 1; i < len(arrived) && arrived[i-1].Before(end); i++ {
		if gap := arrived[i].Sub(arrived[i-1]); gap > r.Gap {
			r.Gap, r.GapFrom = gap, arrived[i-1]
		}
	}
	for _, f := range c.j.Faults {
		r.Faults[f.Kind]++
	}
}

// Missing returns how many deliveries that must arrive have not arrived yet.
func Missing(j *Journal) int {
	n := 0
	for _, v := range Check(j).Violations {
		if v.Kind == Lost {
			n++
		}
	}
	return n
}

func clock(t time.Time) string { return t.Format("15:04:05.000") }
