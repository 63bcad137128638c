package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
)

// ErrNotRead says that this replica has not read all records yet.
var ErrNotRead = errors.New("the records are being read; try again in a moment")

// Asked is a question about one event and one subscription.
type Asked struct {
	Event *event.Event
	ID    string
	// Subscription is what its record says; nil: there is none, or it cannot be used.
	Subscription *record.Subscription
	// Problems are those of the record.
	Problems record.Problems
	// Stored is false for a record that is only tried.
	Stored bool
	// Revision is that of the record; 0: it was deleted, or is not stored.
	Revision uint64
	// Status is what the leader has said of the subscription; nil: nothing yet.
	Status *protocol.Status
	// Body is how many bytes of the request's body are shown.
	Body int
}

// Decode reads a message as the feed does.
func (r *Replica) Decode(m *event.Message) *event.Event { return r.o.Decoder.Decode(m) }

// SubjectFor makes a subject for an event that has none.
func (r *Replica) SubjectFor(m *event.Message, tenant string) (subject string, assumed []string) {
	return r.o.Decoder.SubjectFor(m, tenant)
}

// Hears returns the subscriptions in force that hear the event, by id, whichever
// replica leads them; ErrNotRead if not all are known here.
func (r *Replica) Hears(ev *event.Event) ([]*record.Subscription, error) {
	list, err := r.following.hears(ev)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b *record.Subscription) int { return strings.Compare(a.ID, b.ID) })
	return list, nil
}

// hears asks the index of each term, and what is known of the shards that are
// not led here.
func (f *following) hears(ev *event.Event) (list []*record.Subscription, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.standing) == 0 {
		return nil, ErrNotRead
	}
	for _, shard := range f.standing {
		known := f.waiting[shard]
		t := f.termOf(shard)
		switch {
		case t != nil:
			list, _ = t.core.Directory.Match(ev, list)
		case known != nil && f.read == [2]bool{true, true}:
			list = known.Match(ev, list)
		default:
			return nil, ErrNotRead
		}
	}
	return list, nil
}

// termOf is the term that leads the shard here and goes on with what was known of it.
func (f *following) termOf(shard protocol.Shard) *term {
	for t, x := range f.terms {
		if x.shard == shard && x.known == nil {
			return t
		}
	}
	return nil
}

// Explain says what becomes of the event for the subscription. What is asked, and
// by which functions, is what is asked of a delivery; nothing is sent.
func (r *Replica) Explain(ctx context.Context, q Asked) Explanation {
	x := explaining{o: &r.o, q: q, out: Explanation{Subscription: q.ID, Clauses: []Clause{}, Outcome: fateNothing}}
	if q.Subscription != nil {
		x.out.Tenant = q.Subscription.Tenant
	}
	if q.Status != nil {
		x.out.State = q.Status.State
	}
	x.out.Hears = x.heard() && x.sent(ctx)
	return x.out
}

// explaining is one explanation that is being made.
type explaining struct {
	o     *Options
	q     Asked
	out   Explanation
	waits string // why nothing is sent at once
}

// clause notes one. The first that does not hold decides.
func (x *explaining) clause(c Clause, fate Fate) bool {
	x.out.Clauses = append(x.out.Clauses, c)
	if !c.Holds && x.out.Decided == "" {
		x.out.Decided, x.out.Outcome, x.out.Why = c.Name, fate, c.Why
	}
	return c.Holds
}

// heard asks what the index of the records and the lanes ask: all of it, so that
// a person sees at once what else keeps the event away.
func (x *explaining) heard() bool {
	ev, s := x.q.Event, x.q.Subscription
	if ev.Not != "" {
		return x.clause(Clause{Name: clauseEvent, Saw: ev.Not,
			Why: "the message is no event but a " + ev.Not + ": nobody hears it"}, fateNothing)
	}
	x.clause(Clause{Name: clauseEvent, Holds: true}, fateNothing)
	x.status()
	if s == nil {
		return false
	}
	typ := ev.MatchedType()
	x.clause(Clause{Name: clauseSubject, Holds: s.HearsSubject(ev), Asks: asks(s.Subjects), Saw: event.Shown(ev.Subject),
		Why: unless(s.HearsSubject(ev), "no subject filter of the record matches "+event.Shown(ev.Subject))}, fateNothing)
	x.clause(Clause{Name: clauseType, Holds: s.HearsType(ev), Asks: asks(s.Types), Saw: typ,
		Why: unless(s.HearsType(ev), "no entry of eventTypes matches "+told(event.Shorten(typ), "an event that tells no type"))},
		fateNothing)
	x.clause(Clause{Name: clauseTenant, Holds: s.HearsTenant(ev), Asks: s.Tenant, Saw: ev.Tenant,
		Why: unless(s.HearsTenant(ev), x.otherTenant())}, fateNothing)
	x.anchor()
	return x.out.Decided == ""
}

// status is whether the record is in force.
func (x *explaining) status() {
	c := Clause{Name: clauseStatus, Holds: true, Saw: string(x.out.State)}
	fate, st := fateNothing, x.q.Status
	fail := func(format string, args ...any) { c.Holds, c.Why = false, fmt.Sprintf(format, args...) }
	switch {
	case x.q.Subscription == nil && x.q.Revision == 0 && x.q.Stored:
		fail("its record was deleted")
	case x.q.Subscription == nil:
		c.Saw = string(protocol.StateInvalid)
		fail("its record cannot be used: %s", x.q.Problems.Errors())
		if st != nil && st.Generation > 0 {
			fate = fateWaits
			c.Why += "; what it heard before is kept for it until the record is good again"
		}
	case x.q.Subscription.Alerts:
		fail("it hears the bridge's alerts, not events")
	case x.q.Subscription.Inactive:
		c.Saw = string(protocol.StateDeactivated)
		fail("its record says that it is deactivated: what is published meanwhile is not kept for it")
	case !x.q.Stored:
		c.Saw = "not stored"
	case st == nil || st.Revision < x.q.Revision:
		c.Saw = "revision " + fmt.Sprint(x.q.Revision) + " is not in force yet"
	case st.State == protocol.StateActive || st.State == protocol.StateRetrying || st.State == protocol.StateReading:
	case st.Active && st.Valid && st.DeletedAt == nil: // nothing is lost, and nothing is sent
		x.waits = string(st.State) + ": " + st.Reason
	case st.Valid:
		fail("it is %s", st.State)
	default:
		fail("it is %s: %s", st.State, st.Reason)
		fate = fateWaits
	}
	x.clause(c, fate)
}

// anchor is whether the event was published after the record began (R13).
func (x *explaining) anchor() {
	c := Clause{Name: clauseAnchor, Holds: true}
	st, ev := x.q.Status, x.q.Event
	if ev.Seq == 0 || st == nil || st.Anchor == 0 {
		c.Saw = "the event is taken for one that is published now"
		x.clause(c, fateNothing)
		return
	}
	c.Asks = fmt.Sprintf("sequence %d or later", st.Anchor)
	c.Saw = fmt.Sprintf("sequence %d", ev.Seq)
	if !st.AnchorTime.IsZero() {
		c.Asks += ", published since " + st.AnchorTime.UTC().Format(time.RFC3339)
	}
	switch {
	case !st.AnchorTime.IsZero() && ev.Time.Before(st.AnchorTime):
		c.Holds = false
		c.Why = "it was published " + ev.Time.UTC().Format(time.RFC3339) + ", before the record began to hear"
	case ev.Seq < st.Anchor:
		c.Saw += ": below it, what the subscription hears was read from the stream, and is settled or owed already"
	}
	x.clause(c, fateNothing)
}

// sent asks what is asked of a delivery before it is sent, until something keeps it back.
func (x *explaining) sent(ctx context.Context) bool {
	d := &protocol.Delivery{Subscription: x.q.Subscription, Event: x.q.Event, Attempt: 1}
	if x.q.Status != nil {
		d.Generation = x.q.Status.Generation
	}
	if err := refusal(d); err != nil {
		return x.clause(Clause{Name: clauseRefusal, Saw: err.Error(), Why: err.Error()}, x.fate(err))
	}
	if !x.filter(ctx, d) {
		return false
	}
	if err := x.o.fits(d.Event); err != nil {
		return x.clause(Clause{Name: clauseRequest, Saw: err.Error(), Why: err.Error()}, x.fate(err))
	}
	request, err := x.o.Preview(d, x.q.Body)
	if err != nil {
		return x.clause(Clause{Name: clauseRequest, Saw: err.Error(), Why: "the request cannot be made: " + err.Error()},
			x.fate(err))
	}
	x.clause(Clause{Name: clauseRequest, Holds: true}, fateSent)
	x.out.Request, x.out.Outcome, x.out.Why = request, fateSent, "every clause holds"
	if x.waits != "" {
		x.out.Outcome, x.out.Why = fateWaits, "every clause holds; it waits, as the subscription is "+x.waits
	}
	return true
}

func (x *explaining) filter(ctx context.Context, d *protocol.Delivery) bool {
	if !filtered(d) {
		return true
	}
	c := Clause{Name: clauseFilter, Asks: d.Subscription.More.Filter}
	wanted, err := x.o.wants(ctx, d)
	c.Values = x.o.Filter.Values(WithDelivery(ctx, d), c.Asks, d.Event)
	switch {
	case err != nil:
		c.Saw, c.Why = err.Error(), err.Error()
		return x.clause(c, x.fate(err))
	case !wanted:
		c.Saw, c.Why = "false", "the filter is false for the event"
		return x.clause(c, fateFiltered)
	}
	c.Holds, c.Saw = true, "true"
	return x.clause(c, fateSent)
}

// fate is what becomes of a delivery by such an error, as it is judged.
func (x *explaining) fate(err error) Fate {
	if Judge(err, false).Verdict == protocol.GiveUp {
		return FateDeadLetter
	}
	return fateWaits
}

func (x *explaining) otherTenant() string {
	why := "the record is of tenant " + x.q.Subscription.Tenant
	if x.q.Event.Tenant == "" {
		return why + ", the event of none: " + x.q.Event.Untold()
	}
	return why + ", the event of " + event.Shorten(x.q.Event.Tenant)
}

// asks is what a list of patterns asks for.
func asks(patterns []string) string { return strings.Join(patterns, ", ") }

func told(text, nothing string) string {
	if text == "" {
		return nothing
	}
	return text
}

func unless(holds bool, why string) string {
	if holds {
		return ""
	}
	return why
}

func noPreview(*protocol.Delivery, int) (*Request, error) {
	return nil, &AttemptError{Fault: FaultConfig, Reason: "this program shows no requests"}
}
