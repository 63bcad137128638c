package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Standing says how a subscription stands with an order.
type Standing struct {
	Subscription string         `json:"subscription"`
	State        protocol.State `json:"state,omitempty"` // of the subscription
	Fate         OrderFate      `json:"fate"`
	Sequence     uint64         `json:"sequence,omitempty"` // of the event that Fate speaks of
	Time         time.Time      `json:"time,omitzero"`      // when it came to that
	Status       int            `json:"status,omitempty"`   // HTTP status of the last attempt
	Attempts     int            `json:"attempts,omitempty"` // of the event
	Next         time.Time      `json:"next,omitzero"`      // of an owed one: not tried before
	DeadLetter   uint64         `json:"deadLetter,omitempty"`
	Says         string         `json:"says"`             // in words
	Remedy       string         `json:"remedy,omitempty"` // the command that mends it, or says more
}

// OrderFate is what became of an order's events for a subscription.
type OrderFate string

// The fates, those that ask for somebody first.
const (
	OrderDead      OrderFate = "dead"      // given up: a dead letter
	OrderOwed      OrderFate = "owed"      // it waits
	OrderUnknown   OrderFate = "unknown"   // heard, and nothing tells what became of it
	OrderNotHeard  OrderFate = "not heard" // by its record
	OrderNotSent   OrderFate = "not sent"  // filtered or superseded
	OrderDelivered OrderFate = "delivered"
)

var orderFates = []OrderFate{OrderDead, OrderOwed, OrderUnknown, OrderNotSent, OrderDelivered, OrderNotHeard}

// stand compiles the standings of all subscriptions that the story speaks of.
func (s *teller) stand(ctx context.Context) error {
	ids := s.concerned()
	if len(ids) > limits.OrderSubscriptions {
		ids = ids[:limits.OrderSubscriptions]
		s.remark("only %d subscriptions are shown", limits.OrderSubscriptions)
	}
	marks, err := s.reading(ctx, ids)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, id := range ids {
		v, err := s.status(ctx, id)
		if err != nil && !errors.Is(err, protocol.ErrNotFound) {
			return err
		}
		x := orderStanding{story: s.story, id: id, status: v.Status, mark: marks[id], now: now,
			unsettled: func(sequence uint64) bool { return s.unsettled(ctx, id, sequence) }}
		s.story.Standings = append(s.story.Standings, x.tell())
	}
	slices.SortStableFunc(s.story.Standings, func(a, b Standing) int {
		return cmp.Compare(slices.Index(orderFates, a.Fate), slices.Index(orderFates, b.Fate))
	})
	s.story.Says = s.story.summary()
	if id := s.q.Subscription; id != "" && len(ids) == 0 {
		if err := s.known(ctx, id); errors.Is(err, protocol.ErrNotFound) {
			s.remark("there is no such subscription")
		}
	}
	return nil
}

// status is what the bridge says of a subscription that lies in the scope.
func (s *teller) status(ctx context.Context, id string) (v Verdict, err error) {
	if !s.scope.all {
		return s.catalog.Status(ctx, s.scope, id)
	}
	v.Status, err = s.catalog.LastStatus(ctx, id) // the record is not asked for: not everybody may read it
	return v, err
}

// known is protocol.ErrNotFound for a subscription that is not in the scope, or of
// which the bridge says nothing where records may not be read.
func (s *teller) known(ctx context.Context, id string) error {
	err := without(ctx, bucketStream(s.catalog.names.Subscriptions), func(ctx context.Context) error {
		_, err := s.catalog.Record(ctx, s.scope, id)
		return err
	})
	if errors.Is(err, nats.ErrPermissionViolation) {
		_, err = s.catalog.LastStatus(ctx, id)
	}
	return err
}

// concerned are the subscriptions that the story speaks of.
func (s *teller) concerned() []string {
	var ids []string
	for _, a := range s.story.Attempts {
		if a.Kind != bridge.KindTest { // a test says nothing of what is owed
			ids = append(ids, a.Subscription)
		}
	}
	for _, d := range s.story.Owed {
		ids = append(ids, d.Subscription)
	}
	for _, l := range s.story.DeadLetters {
		ids = append(ids, l.Subscription)
	}
	for _, e := range s.story.Events {
		for _, h := range e.Hearing {
			ids = append(ids, h.Subscription)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// reading are the marks of those that read the stream for themselves.
func (s *teller) reading(ctx context.Context, ids []string) (map[string]*protocol.Mark, error) {
	marks := map[string]*protocol.Mark{}
	if len(ids) == 0 {
		return marks, nil
	}
	debts, _, err := s.catalog.owedUnder(ctx, s.scope, ids, "", len(ids))
	if errors.Is(err, protocol.ErrNotFound) {
		err = nil
	}
	for _, d := range debts {
		if d.Reads != nil {
			marks[d.Subscription] = d.Reads
		}
	}
	return marks, err
}

// summary is all of a story in one line.
func (s *OrderStory) summary() string {
	switch {
	case len(s.Standings) == 0 && len(s.Events) == 0:
		return "nothing was found of this order"
	case len(s.Standings) == 0:
		return count(len(s.Events), "event") + ", and no subscription hears them"
	}
	by := map[OrderFate][]string{}
	for _, x := range s.Standings {
		by[x.Fate] = append(by[x.Fate], x.Subscription)
	}
	words := map[OrderFate]string{OrderDead: "given up for", OrderOwed: "owed to", OrderUnknown: "not known of",
		OrderNotHeard: "not heard by", OrderNotSent: "not sent to", OrderDelivered: "delivered to"}
	var parts []string
	for _, fate := range orderFates {
		ids := by[fate]
		if len(ids) == 0 {
			continue
		}
		text := strings.Join(ids[:min(len(ids), 3)], ", ")
		if len(ids) > 3 {
			text += fmt.Sprintf(" and %d more", len(ids)-3)
		}
		parts = append(parts, words[fate]+" "+text)
	}
	return strings.Join(parts, "; ")
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// orderStanding compiles the standing of one subscription.
type orderStanding struct {
	story  *OrderStory
	id     string
	status protocol.Status
	mark   *protocol.Mark // nil: it does not read for itself
	now    time.Time
	// unsettled tells whether the bridge has an event of the feed still in hand.
	unsettled func(sequence uint64) bool
}

func (x orderStanding) tell() Standing {
	out := Standing{Subscription: x.id, State: x.status.State}
	switch {
	case x.owed(&out), x.dead(&out), x.last(&out):
	case x.unsettled != nil && x.unsettled(out.Sequence):
		out.Fate, out.Says = OrderOwed, "owed; "+firstAttempt
		out.Remedy = "orderbridge attempts --subscription " + x.id
	default:
		out.Fate = OrderUnknown
		out.Says = "heard, and nothing tells what became of it: it is just being delivered, or was before the delivery log begins"
		out.Remedy = "orderbridge attempts --subscription " + x.id
	}
	return out
}

// owed tells of what waits.
func (x orderStanding) owed(out *Standing) bool {
	at := slices.IndexFunc(x.story.Owed, func(d Debt) bool { return d.Subscription == x.id })
	if at < 0 {
		return x.toRead(out)
	}
	lane := x.story.Owed[at].Lane
	head := lane.Head
	out.Fate, out.Status, out.Attempts, out.Next, out.DeadLetter = OrderOwed, head.LastStatus, head.Attempts, head.Next,
		lane.Redrive
	if len(lane.Seqs) > 0 {
		out.Sequence = lane.Seqs[0]
	}
	out.Says = "owed"
	if len(lane.Seqs) > 1 {
		wait := "wait"
		if len(lane.Seqs) == 2 {
			wait = "waits"
		}
		out.Says += fmt.Sprintf(": %s %s behind sequence %d", count(len(lane.Seqs)-1, "later change"), wait, out.Sequence)
	}
	if lane.Redrive > 0 {
		out.Says += fmt.Sprintf(": dead letter %d was put back", lane.Redrive)
	}
	if head.Attempts > 0 {
		out.Says += fmt.Sprintf(": %s failed, the last with %s", count(head.Attempts, "attempt"),
			answered(head.LastStatus, head.LastError))
	}
	x.waits(out)
	switch x.status.State {
	case protocol.StateActive, protocol.StateRetrying, protocol.StateReading:
		if head.Attempts == 0 && head.Next.IsZero() { // an attempt that takes long is written down
			out.Says += "; " + firstAttempt
		}
	}
	if len(lane.Seqs) > 1 && lane.Redrive == 0 && refusesTheEvent(head.LastStatus) {
		out.Says += fmt.Sprintf("; if it can never be taken: `orderbridge skip %s %s --sequence %d`", x.id, quoteArg(x.story.Order), out.Sequence)
	}
	return true
}

// refusesTheEvent tells whether an answer of that status is about the event rather
// than the endpoint: more attempts will hardly change it.
func refusesTheEvent(status int) bool {
	switch status {
	case http.StatusBadRequest, http.StatusConflict, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType,
		http.StatusUnprocessableEntity:
		return true
	}
	return false
}

// toRead tells of an event that a subscription which reads for itself has not come to.
func (x orderStanding) toRead(out *Standing) bool {
	if x.mark == nil {
		return false
	}
	for _, e := range x.story.Events {
		heard := slices.ContainsFunc(e.Hearing, func(h Heard) bool { return h.Subscription == x.id && h.Hears })
		if !heard || e.Sequence < x.mark.From || x.mark.Until != nil && e.Sequence > *x.mark.Until ||
			slices.ContainsFunc(x.mark.Done, func(d [2]uint64) bool { return d[0] <= e.Sequence && e.Sequence <= d[1] }) {
			continue
		}
		out.Fate, out.Sequence = OrderOwed, e.Sequence
		out.Says = fmt.Sprintf("owed: it reads the stream at its own pace, from sequence %d: %s", x.mark.From, x.mark.Reason)
		x.waits(out)
		return true
	}
	return false
}

// waits says why it is not sent now, when it is, and what helps.
func (x orderStanding) waits(out *Standing) {
	reason := x.status.Reason
	if reason == "" && len(x.status.Errors) > 0 {
		reason = record.Problems(x.status.Errors).Error()
	}
	state := string(x.status.State)
	switch x.status.State {
	case protocol.StateSuspended:
		out.Remedy = "orderbridge retry-now " + x.id
		if x.status.Suspended {
			out.Remedy = "orderbridge subscriptions activate " + x.id
		}
	case protocol.StatePaused:
		out.Remedy = "orderbridge resume " + x.id
	case protocol.StateDeactivated:
		out.Remedy = "orderbridge subscriptions activate " + x.id
	case protocol.StateInvalid:
		out.Remedy = "orderbridge subscriptions put " + x.id + " FILE"
	case protocol.StateDeleted:
		out.Remedy = "orderbridge subscriptions put " + x.id + " FILE"
	default:
		state = ""
		out.Remedy = "orderbridge retry-now " + x.id + " --order " + quoteArg(x.story.Order)
	}
	switch {
	case state != "":
		out.Says += "; it waits: the subscription is " + state
		if reason != "" {
			out.Says += ": " + reason
		}
	case out.Next.IsZero():
	case !out.Next.After(x.now):
		out.Says += fmt.Sprintf("; attempt %d is due since %s: it is being sent, or waits for its turn", out.Attempts+1, stamp(out.Next))
	default:
		out.Says += fmt.Sprintf("; tried again in %s (%s)", out.Next.Sub(x.now).Round(time.Second), stamp(out.Next))
	}
}

// dead tells of what was given up.
func (x orderStanding) dead(out *Standing) bool {
	at := slices.IndexFunc(x.story.DeadLetters, func(l Letter) bool { return l.Subscription == x.id })
	if at < 0 {
		return false
	}
	l := x.story.DeadLetters[at]
	out.Fate, out.Sequence, out.Time, out.Status = OrderDead, l.DeadLetter.Sequence, l.Time, l.LastStatus
	out.Attempts, out.DeadLetter = l.Attempts, l.Sequence
	out.Says = fmt.Sprintf("given up %s after %s: %s (dead letter %d)", stamp(l.Time), count(l.Attempts, "attempt"), l.Reason,
		l.Sequence)
	if newer := x.newest(); newer != nil && newer.Sequence > out.Sequence && newer.Outcome == bridge.OutcomeDelivered {
		out.Says += fmt.Sprintf("; a later change, sequence %d, was delivered %s", newer.Sequence, stamp(newer.Time))
	}
	out.Remedy = fmt.Sprintf("orderbridge dead-letters redrive %d", l.Sequence)
	if why := x.unsendable(out.Sequence); why != "" { // once more would be once more a dead letter
		out.Says += "; no request can be made of it"
		if !strings.Contains(why, l.Reason) {
			out.Says += ": " + why
		}
		out.Remedy = fmt.Sprintf("orderbridge explain --seq %d --subscription %s", out.Sequence, x.id)
	}
	return true
}

func answered(status int, reason string) string {
	switch {
	case status == 0:
		return cmp.Or(reason, "no answer")
	case reason == "":
		return fmt.Sprint(status)
	}
	return fmt.Sprintf("%d: %s", status, reason)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// quoteArg is an argument as a shell takes it.
func quoteArg(s string) string {
	if safeID.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
