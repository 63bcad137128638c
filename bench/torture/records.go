package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bench/torture/journal"
)

const (
	tenants = 4
	orders  = 200
)

var types = []string{"OrderCreated", "OrderAccepted", "OrderChanged", "OrderRejected"}

func tenant(order int) string { return fmt.Sprintf("t%d", order%tenants) }

// subscription is what the harness knows of a record.
type subscription struct {
	journal.Subscription
	index      int
	payload    string
	rateLimit  int // requests a second; 0: none
	schedule   []string
	generation int
	state      string // the last operation's kind
	changes    int
}

// subscriptions are of all methods, orderings and limits; those that hear
// little are the narrow ones.
func subscriptions() []*subscription {
	patient := []string{"PT0.2S", "PT0.3S", "PT0.5S", "PT1S", "PT1S", "PT2S", "PT2S", "PT5S", "PT5S", "PT5S", "PT5S",
		"PT5S", "PT5S", "PT5S"}
	hasty := []string{"PT0.2S", "PT0.4S"}
	hears := func(tenant, kind int) (subjects, kinds []string) {
		if tenant >= 0 {
			subjects = []string{fmt.Sprintf("orders.t%d.>", tenant)}
		}
		if kind >= 0 {
			kinds = []string{types[kind]}
		}
		return subjects, kinds
	}
	var list []*subscription
	add := func(method, ordering, payload string, tenant, kind, inFlight int, more func(*subscription)) {
		s := &subscription{index: len(list), payload: payload, schedule: patient}
		s.ID = fmt.Sprintf("s%02d-%s-%s", len(list), method, ordering)
		s.Method, s.Ordering, s.MaxInFlight = method, ordering, inFlight
		s.Subjects, s.Types = hears(tenant, kind)
		if more != nil {
			more(s)
		}
		list = append(list, s)
	}
	coalesce := func(s *subscription) { s.Coalesce = true }
	give := func(s *subscription) { s.schedule = hasty }
	limit := func(n int) func(*subscription) { return func(s *subscription) { s.rateLimit = n } }
	add("POST", "order", "event", -1, -1, 16, nil)
	add("PUT", "order", "event", -1, -1, 8, nil)
	add("GET", "order", "event", 0, -1, 8, nil)
	add("GET", "order", "event", 1, -1, 8, coalesce)
	add("POST", "order", "event", 2, -1, 4, give)
	add("PUT", "none", "event", 3, -1, 16, nil)
	add("POST", "order", "notification", 0, -1, 4, nil)
	add("GET", "none", "event", 2, -1, 8, give)
	add("POST", "order", "event", -1, 0, 2, nil)
	add("PUT", "order", "event", -1, 1, 1, nil)
	add("POST", "none", "cloudevent", -1, 2, 4, nil)
	add("GET", "order", "event", -1, 3, 4, coalesce)
	add("POST", "strict", "event", 0, 0, 4, nil)
	add("PUT", "strict", "event", 1, 1, 1, nil)
	add("GET", "strict", "event", 2, 2, 2, nil)
	add("POST", "order", "event", 3, 3, 1, limit(40))
	add("PUT", "order", "notification", 1, 0, 2, limit(20))
	add("POST", "order", "event", 1, 2, 1, nil)
	add("POST", "none", "event", 3, 1, 1, limit(30))
	add("PUT", "order", "event", 2, 3, 16, give)
	return list
}

// record is the value of the record as it is to be now.
func (s *subscription) record(url string, inactive bool) []byte {
	r := map[string]any{
		"targetURL": url, "method": s.Method, "ordering": s.Ordering, "maxInFlight": s.MaxInFlight,
		"timeout": "PT2S", "connectionTimeout": "PT1S", "retry": map[string]any{"schedule": s.schedule},
		"description": fmt.Sprintf("change %d", s.changes),
	}
	if s.Method != http.MethodGet {
		r["payload"] = s.payload
	}
	if s.Subjects != nil {
		r["subjects"] = s.Subjects
	}
	if s.Types != nil {
		r["eventTypes"] = s.Types
	}
	if s.Coalesce {
		r["coalesce"] = true
	}
	if s.rateLimit > 0 {
		r["rateLimit"] = map[string]any{"requests": s.rateLimit, "per": "PT1S"}
	}
	if inactive {
		r["status"] = "deactivated"
	}
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // maps of strings and numbers only
	}
	return b
}

// operator changes records as people do, and writes down what it did.
type operator struct {
	bus       *bus
	endpoints *endpoints
	subs      []*subscription
	rng       *rand.Rand
	watching  sync.WaitGroup

	mu  sync.Mutex
	ops []*journal.Operation
}

// journal is a copy of what was done so far.
func (o *operator) journal() []journal.Operation {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []journal.Operation
	for _, op := range o.ops {
		out = append(out, *op)
	}
	return out
}

// do makes one change of a record, confirmed, and has its status watched.
func (o *operator) do(ctx context.Context, s *subscription, kind string) error {
	s.changes++
	op := &journal.Operation{Subscription: s.ID, Kind: kind, At: time.Now()}
	m := &nats.Msg{Subject: "$KV.subscriptions." + s.ID,
		Header: nats.Header{"Nats-Msg-Id": {fmt.Sprintf("%s-%d", s.ID, s.changes)}}}
	if s.generation == 0 {
		s.generation = 1
	}
	switch kind {
	case journal.Put, journal.Update:
		m.Data = s.record(o.endpoints.url(s), false)
	case journal.Deactivate:
		m.Data = s.record(o.endpoints.url(s), true)
	case journal.Delete:
		m.Header.Set("KV-Operation", "DEL")
	case journal.Invalid:
		m.Data = []byte(`{"targetURL":"http://nowhere","maxInFlight":"many"}`)
	}
	op.Generation = s.generation
	seq, err := o.bus.publish(ctx, s.index, m)
	if err != nil {
		return fmt.Errorf("%s %s: %w", kind, s.ID, err)
	}
	op.Done, op.Revision = time.Now(), seq
	s.state = kind
	if kind == journal.Put || kind == journal.Update {
		o.endpoints.changed(s.ID)
	}
	o.mu.Lock()
	o.ops = append(o.ops, op)
	o.mu.Unlock()
	o.watching.Go(func() { o.watch(ctx, op) })
	return nil
}

// watch waits until the status speaks of the operation's revision or a later one.
func (o *operator) watch(ctx context.Context, op *journal.Operation) {
	for ctx.Err() == nil {
		m, err := o.bus.last(ctx, "KV_subscription_status", "$KV.subscription_status."+op.Subscription)
		var st struct {
			Revision uint64 `json:"revision"`
		}
		if err == nil && m != nil && json.Unmarshal(m.Data, &st) == nil && st.Revision >= op.Revision {
			o.mu.Lock()
			op.Seen = time.Now()
			o.mu.Unlock()
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// run changes a record every second or two until ctx ends.
func (o *operator) run(ctx context.Context, all context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Duration(500+o.rng.IntN(1500)) * time.Millisecond):
		}
		s := o.subs[o.rng.IntN(len(o.subs))]
		for id := range o.endpoints.closed() {
			if o.rng.IntN(3) == 0 { // somebody looks after it at last
				for _, t := range o.subs {
					if t.ID == id && t.state != journal.Deactivate && t.state != journal.Delete {
						s = t
					}
				}
				break
			}
		}
		if err := o.do(all, s, o.next(s)); err != nil {
			return err
		}
	}
}

// next chooses what may happen to a record.
func (o *operator) next(s *subscription) string {
	x := o.rng.Float64()
	switch s.state {
	case journal.Deactivate:
		if x < 0.2 {
			return journal.Delete
		}
		return journal.Put
	case journal.Delete:
		if x < 0.3 {
			s.generation++
		}
		return journal.Put
	case journal.Invalid:
		return journal.Put
	}
	switch {
	case x < 0.3:
		return journal.Deactivate
	case x < 0.45:
		return journal.Delete
	case x < 0.6:
		return journal.Invalid
	}
	return journal.Update
}

// restore puts every record for the last time, so that all that is owed is sent.
func (o *operator) restore(ctx context.Context) error {
	for _, s := range o.subs {
		kind := journal.Put
		if s.state == journal.Put || s.state == journal.Update {
			kind = journal.Update
		}
		if err := o.do(ctx, s, kind); err != nil {
			return err
		}
	}
	return nil
}

// publisher publishes numbered changes of its share of the orders, each until
// it is confirmed.
type publisher struct {
	bus    *bus
	first  int // of its orders; the others follow in steps
	step   int
	every  time.Duration
	events []journal.Event
}

func (p *publisher) run(ctx context.Context, all context.Context) error {
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	count := map[int]int{}
	for i := 0; ; i++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		order := (p.first + i*p.step) % orders
		count[order]++
		e := newEvent(order, count[order])
		m := &nats.Msg{Subject: e.Subject, Header: nats.Header{jetstream.MsgIDHeader: {e.ID}},
			Data: fmt.Appendf(nil, `{"orderId":%q,"eventType":%q,"n":%d}`, e.Order, e.Type, e.N)}
		e.Sent = time.Now()
		seq, err := p.bus.publish(all, i, m)
		if err != nil {
			return fmt.Errorf("publish %s: %w", e.ID, err)
		}
		e.Confirmed, e.Sequence = time.Now(), seq
		p.events = append(p.events, e)
	}
}

func newEvent(order, n int) journal.Event {
	e := journal.Event{Order: fmt.Sprintf("o%03d", order), N: n, Type: types[n%len(types)], Tenant: tenant(order)}
	e.ID = eventID(e.Order, n)
	e.Subject = "orders." + e.Tenant + "." + e.Type + "." + e.Order
	return e
}
