package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge"
	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// OrderQuery asks for the story of an order.
type OrderQuery struct {
	Order string
	// Subscription is the one that the story is about; "": all.
	Subscription string
	// Since leaves out what was published before. Zero: no limit.
	Since time.Time
	// Look is how many of the newest messages of the stream are looked through for
	// those whose subject does not tell their order. 0: limits.OrderLook.
	Look int
}

// OrderStory is what became of an order's events, over all subscriptions.
type OrderStory struct {
	Order string `json:"order"`
	// Says is all of it in one line.
	Says string `json:"says"`
	// Standings say for each subscription how it stands, those that wait first.
	Standings []Standing `json:"standings"`
	// Events of the order, newest first.
	Events []OrderEvent `json:"events"`
	// Attempts by the delivery log, newest first. Null: there is no delivery log.
	Attempts    []Attempt `json:"attempts"`
	Owed        []Debt    `json:"owed"`
	DeadLetters []Letter  `json:"deadLetters"`
	Looked      Looked    `json:"looked"`
	// Remarks are what could not be told, and why.
	Remarks []string `json:"remarks,omitempty"`
}

// OrderEvent is an event of the order in the source stream.
type OrderEvent struct {
	Sequence  uint64    `json:"sequence"`
	Published time.Time `json:"published"`
	Subject   string    `json:"subject"`
	EventType string    `json:"eventType,omitempty"`
	EventID   string    `json:"eventId"` // what its publisher calls it, else that of the bus
	Tenant    string    `json:"tenant,omitempty"`
	Gone      bool      `json:"gone,omitempty"` // it is not in the stream any more
	// Hearing are the subscriptions that hear it by their present records, or that
	// would if one clause held: those that the order's story is about.
	Hearing []Heard `json:"hearing,omitempty"`
}

// Heard is what an explanation says of an event and a subscription.
type Heard struct {
	Subscription string            `json:"subscription"`
	Hears        bool              `json:"hears"`             // a delivery is made of it, though there may be nothing to send
	Decided      bridge.ClauseName `json:"decided,omitempty"` // the clause that does not hold
	Why          string            `json:"why"`
}

// Looked says how far the source stream was looked through.
type Looked struct {
	Subjects []string `json:"subjects,omitempty"` // all that lies under these was looked at
	From     uint64   `json:"from,omitempty"`     // and all messages from here
	To       uint64   `json:"to,omitempty"`       // to here
	First    uint64   `json:"first,omitempty"`    // the first that there is
}

// WithEvents has the catalog tell what events say, as the bridge does.
func (c *Catalog) WithEvents(d *event.Decoder) *Catalog {
	c.events = d
	return c
}

// Order tells the story of an order: its events in the stream, who hears them,
// the attempts, what is owed and what was given up, as far as the scope holds it.
func (c *Catalog) Order(ctx context.Context, scope Scope, q OrderQuery) (*OrderStory, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.OrderTime)
	defer cancel()
	s := &teller{catalog: c, scope: scope, q: q,
		story: &OrderStory{Order: q.Order, Standings: []Standing{}, Events: []OrderEvent{}, Owed: []Debt{},
			DeadLetters: []Letter{}},
		tokens: map[string]struct{}{}, seqs: map[uint64]*OrderEvent{}}
	for _, step := range []func(context.Context) error{s.attempts, s.events, s.letters, s.owed, s.missing, s.explain,
		s.stand} {
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("order %q: %w", q.Order, err)
		}
	}
	return s.story, nil
}

// teller gathers the story of an order.
type teller struct {
	catalog *Catalog
	scope   Scope
	q       OrderQuery
	story   *OrderStory
	tokens  map[string]struct{} // of lanes in which the order's events may be
	seqs    map[uint64]*OrderEvent

	noStream bool      // there is no source stream at the moment
	overview *Overview // nil: not asked for yet
}

func (s *teller) remark(format string, args ...any) {
	s.story.Remarks = append(s.story.Remarks, fmt.Sprintf(format, args...))
}

func (s *teller) attempts(ctx context.Context) error {
	page, err := s.catalog.Attempts(ctx, s.scope, AttemptQuery{Order: s.q.Order, Subscription: s.q.Subscription, Since: s.q.Since}, 0,
		limits.OrderAttempts)
	if errors.Is(err, protocol.ErrNotFound) {
		s.remark("there is no delivery log: what was delivered cannot be told")
		return nil
	}
	if err != nil {
		return err
	}
	s.story.Attempts = page.Items
	if page.Next > 0 {
		s.remark("only the newest %d attempts are shown", limits.OrderAttempts)
	}
	return nil
}

// events looks for the order's events in the source stream: by their subjects, and
// among the newest messages.
func (s *teller) events(ctx context.Context) error {
	c := s.catalog
	info, err := msgget.Info(ctx, c.js, c.names.Stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		s.noStream = true
		s.remark("there is no stream %q at the moment: its events cannot be shown, nor who hears them", c.names.Stream)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read stream %q: %w", c.names.Stream, err)
	}
	s.lanesOf("")
	if tenant, confined := s.scope.Tenant(); confined {
		s.lanesOf(tenant)
	}
	first, last := max(info.State.FirstSeq, 1), info.State.LastSeq
	s.story.Looked = Looked{First: first}
	if info.State.Msgs == 0 {
		return nil
	}
	low := first
	if !s.q.Since.IsZero() {
		if low, err = reached(ctx, c.js, c.names.Stream, first, last+1, s.q.Since); err != nil {
			return err
		}
	}
	s.story.Looked.Subjects = c.events.OrderSubjects(s.q.Order)
	for _, filter := range s.story.Looked.Subjects {
		subjects, err := subjectsUnder(ctx, c.js, c.names.Stream, filter)
		if err != nil {
			return err
		}
		for _, subject := range subjects[:min(len(subjects), limits.OrderEvents)] {
			if err := s.look(ctx, subject, low, last); err != nil {
				return err
			}
		}
	}
	look := uint64(cmp.Or(s.q.Look, limits.OrderLook))
	if last-low >= look {
		low = last - look + 1
	}
	s.story.Looked.From, s.story.Looked.To = low, last
	return s.look(ctx, ">", low, last)
}

// look takes the order's events of [low, high] under a filter into the story.
func (s *teller) look(ctx context.Context, filter string, low, high uint64) error {
	found, err := scan(ctx, s.catalog.js, s.catalog.names.Stream, filter, low, high, limits.OrderEvents,
		func(m *event.Message) (*event.Event, bool, error) {
			e := s.catalog.events.Decode(m)
			return e, e.Not == "" && (e.OrderID == s.q.Order || e.LegacyOrderID == s.q.Order), nil
		})
	for _, e := range found {
		s.add(e)
	}
	return err
}

func (s *teller) add(e *event.Event) {
	if _, told := s.seqs[e.Seq]; told || !s.scope.holds(e.Tenant) {
		return
	}
	token, _ := e.Key(event.OrderingOrder)
	s.tokens[token] = struct{}{}
	s.seqs[e.Seq] = &OrderEvent{Sequence: e.Seq, Published: e.Time, Subject: e.Subject, EventType: e.Type,
		EventID: cmp.Or(e.PublisherID, e.ID), Tenant: e.Tenant}
}

// lanesOf notes the lanes that the order has in a tenant's subscriptions.
func (s *teller) lanesOf(tenant string) {
	for _, e := range []event.Event{{OrderID: s.q.Order, Tenant: tenant}, {LegacyOrderID: s.q.Order, Tenant: tenant}} {
		token, _ := e.Key(event.OrderingOrder)
		s.tokens[token] = struct{}{}
	}
}

// lanes are the tokens of all lanes that may hold an event of the order: its own,
// and where a subscription does not order by orders, those of each event and of all.
func (s *teller) lanes() []string {
	tokens := []string{event.LaneMark + "all"}
	for token := range s.tokens {
		tokens = append(tokens, token)
	}
	for seq := range s.seqs {
		tokens = append(tokens, event.LaneMark+"s"+strconv.FormatUint(seq, 10))
	}
	slices.Sort(tokens)
	return tokens
}

// owed looks for what is owed of the order, and for the subscriptions of its story
// that read for themselves.
func (s *teller) owed(ctx context.Context) error {
	var keys []string
	of := cmp.Or(s.q.Subscription, "*")
	for _, token := range s.lanes() {
		keys = append(keys, of+"."+token)
	}
	for _, l := range s.story.DeadLetters {
		keys = append(keys, l.Subscription+"."+protocol.RedriveToken(l.Sequence))
	}
	debts, next, err := s.catalog.owedUnder(ctx, s.scope, keys, "", limits.OrderDebts)
	if err != nil && !errors.Is(err, protocol.ErrNotFound) {
		return err
	}
	if next != "" {
		s.remark("only %d debts are shown", limits.OrderDebts)
	}
	for _, d := range debts {
		if d.Lane != nil && (d.Lane.Order == s.q.Order || slices.ContainsFunc(d.Lane.Seqs,
			func(seq uint64) bool { return s.seqs[seq] != nil })) {
			s.story.Owed = append(s.story.Owed, d)
		}
	}
	return nil
}

// missing reads the events that attempts, debts and dead letters speak of and that
// were not found yet, the newest ones.
func (s *teller) missing(ctx context.Context) error {
	var want []uint64
	for _, a := range s.story.Attempts {
		want = append(want, a.Sequence)
	}
	for _, l := range s.story.DeadLetters {
		want = append(want, l.DeadLetter.Sequence)
	}
	for _, d := range s.story.Owed {
		if d.Lane.Order == s.q.Order {
			want = append(want, d.Lane.Seqs...)
		}
	}
	slices.SortFunc(want, func(a, b uint64) int { return cmp.Compare(b, a) })
	for _, seq := range slices.Compact(want) {
		if s.seqs[seq] != nil || seq == 0 {
			continue
		}
		if len(s.seqs) >= limits.OrderEvents {
			break
		}
		if s.noStream {
			s.seqs[seq] = &OrderEvent{Sequence: seq, Gone: true}
			continue
		}
		m, err := msgget.BySeq(ctx, s.catalog.js, s.catalog.names.Stream, seq)
		switch {
		case errors.Is(err, protocol.ErrNotFound):
			s.seqs[seq] = &OrderEvent{Sequence: seq, Gone: true}
		case err != nil:
			return err
		default:
			// A stream that was made again has given the sequence to another event.
			if e := s.catalog.events.Decode(m); e.Not == "" && (e.OrderID == s.q.Order || e.LegacyOrderID == s.q.Order) {
				s.add(e)
			} else {
				s.seqs[seq] = &OrderEvent{Sequence: seq, Gone: true}
			}
		}
	}
	for _, e := range s.seqs {
		s.story.Events = append(s.story.Events, *e)
	}
	slices.SortFunc(s.story.Events, func(a, b OrderEvent) int { return cmp.Compare(b.Sequence, a.Sequence) })
	if len(s.story.Events) > limits.OrderEvents {
		s.story.Events = s.story.Events[:limits.OrderEvents]
		s.remark("only the newest %d events are shown", limits.OrderEvents)
	}
	return nil
}

// explain asks who hears the newest events, and why others do not.
func (s *teller) explain(ctx context.Context) error {
	for i := range s.story.Events[:min(len(s.story.Events), limits.OrderExplained)] {
		e := &s.story.Events[i]
		if e.Gone {
			continue
		}
		r := ExplainRequest{GivenEvent: GivenEvent{Sequence: e.Sequence}, Subscription: s.q.Subscription,
			Limit: limits.OrderHearing}
		if i == 0 && s.q.Subscription == "" {
			r.Others = limits.OrderOthers
		}
		answer, err := s.catalog.Explain(ctx, s.scope, r)
		switch {
		case errors.Is(err, protocol.ErrNotFound):
			continue
		case errors.Is(err, ErrNoJudge):
			s.remark("no bridge has answered who hears the events")
			return nil
		case err != nil:
			s.remark("who hears the events cannot be told: %v", err)
			return nil
		}
		for _, x := range slices.Concat(answer.Hearing, answer.Others) {
			e.Hearing = append(e.Hearing, Heard{x.Subscription, x.Hears || x.Outcome == bridge.FateDeadLetter, x.Decided, x.Why})
		}
		if answer.Next != "" {
			s.remark("sequence %d is heard by %d subscriptions; of those without an attempt only the first %d are shown",
				e.Sequence, answer.Count, len(answer.Hearing))
		}
	}
	return nil
}
