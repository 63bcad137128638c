package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"orderbridge/bench/torture/journal"
	"orderbridge/internal/lab"
)

// endpoints are the receivers of all subscriptions: two servers, so that a
// record can be put again for another endpoint. Each keeps the one journal.
type endpoints struct {
	servers []*lab.Endpoint
	over    chan struct{} // closed at the end: nothing hangs any more

	mu       sync.Mutex
	rng      *rand.Rand
	healthy  bool
	requests []*journal.Request
	down     map[string]outage
	gone     map[string]bool // answered 410 and not changed since
}

// outage is a time in which an endpoint answers nothing but one kind of failure.
type outage struct {
	until time.Time
	how   reaction
}

// reaction is what an endpoint does with a request.
type reaction struct {
	status int // 0: none
	after  time.Duration
	hang   bool
	header [2]string
}

var good = reaction{status: http.StatusOK}

func newEndpoints(rng *rand.Rand) (*endpoints, error) {
	e := &endpoints{over: make(chan struct{}), rng: rng, down: map[string]outage{}, gone: map[string]bool{}}
	for _, protocols := range [][]string{{"http/1.1"}, {"h2", "http/1.1"}} {
		s, err := lab.Handle(lab.TLS(protocols...), http.HandlerFunc(e.serve))
		if err != nil {
			return nil, fmt.Errorf("start an endpoint: %w", err)
		}
		e.servers = append(e.servers, s)
	}
	return e, nil
}

func (e *endpoints) close() {
	close(e.over)
	for _, s := range e.servers {
		_ = s.Close() // the program ends
	}
}

// url of a subscription's endpoint; each generation lies on the other server.
func (e *endpoints) url(s *subscription) string {
	u := fmt.Sprintf("%s/%s/%d", e.servers[(s.index+s.generation)%2].URL, s.ID, s.generation)
	switch {
	case s.Method == http.MethodGet && s.index%2 == 0:
		return u + "/{orderId}"
	case s.Method == http.MethodGet:
		return u + "?orderId={orderId}"
	}
	return u
}

// heal makes all endpoints answer 200 from now on.
func (e *endpoints) heal() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.healthy = true
}

// changed forgets that an endpoint said 410: its record was put again.
func (e *endpoints) changed(id string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.gone, id)
}

// closed returns the subscriptions whose endpoints said 410.
func (e *endpoints) closed() map[string]bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := map[string]bool{}
	for id := range e.gone {
		out[id] = true
	}
	return out
}

// journal is a copy of what came so far and was answered.
func (e *endpoints) journal() []journal.Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]journal.Request, 0, len(e.requests))
	for _, r := range e.requests {
		c := *r
		if c.Ended.IsZero() {
			c.Status, c.Ended = 0, time.Now()
		}
		out = append(out, c)
	}
	return out
}

// react chooses what an endpoint does; now and then it fails for some seconds.
func (e *endpoints) react(id string, now time.Time) reaction {
	if e.healthy {
		return good
	}
	if o, ok := e.down[id]; ok {
		if now.Before(o.until) {
			return o.how
		}
		delete(e.down, id)
	}
	if e.rng.Float64() < 0.0008 {
		e.down[id] = outage{now.Add(time.Duration(1+e.rng.IntN(7)) * time.Second), e.failure()}
		return e.down[id].how
	}
	switch x := e.rng.Float64(); {
	case x < 0.03:
		return e.failure()
	case x < 0.05:
		return reaction{status: http.StatusOK, after: time.Duration(e.rng.IntN(700)) * time.Millisecond}
	case x < 0.0503:
		return reaction{status: http.StatusGone}
	}
	return reaction{status: []int{200, 201, 202, 204}[e.rng.IntN(4)],
		after: time.Duration(e.rng.IntN(4)) * time.Millisecond}
}

func (e *endpoints) failure() reaction {
	return []reaction{
		{status: 500}, {status: 500}, {status: 502}, {status: 400}, {status: 404},
		{status: 307, header: [2]string{"Location", "/elsewhere"}},
		{status: 503, header: [2]string{"Retry-After", "1"}},
		{status: 429, header: [2]string{"Retry-After", "1"}},
		{},
		{after: 200 * time.Millisecond},
		{hang: true},
	}[e.rng.IntN(11)]
}

// serve takes one request, writes it down, and answers as chance wants.
func (e *endpoints) serve(w http.ResponseWriter, q *http.Request) {
	r := &journal.Request{At: time.Now()}
	body, err := io.ReadAll(io.LimitReader(q.Body, 1<<20))
	if err != nil {
		panic(http.ErrAbortHandler) // cut while it came: never was a request
	}
	describe(r, q, body)
	e.mu.Lock()
	how := e.react(r.Subscription, r.At)
	e.requests = append(e.requests, r)
	if how.status == http.StatusGone {
		e.gone[r.Subscription] = true
	}
	e.mu.Unlock()

	var wait <-chan time.Time
	if !how.hang {
		wait = time.After(how.after)
	}
	select {
	case <-wait:
	case <-q.Context().Done():
	case <-e.over:
	}
	e.mu.Lock()
	r.Gone = q.Context().Err() != nil
	r.Ended, r.Status = time.Now(), how.status
	if how.hang {
		r.Status = 0
	}
	e.mu.Unlock()
	if r.Status == 0 || r.Gone {
		panic(http.ErrAbortHandler)
	}
	if how.header[0] != "" {
		w.Header().Set(how.header[0], how.header[1])
	}
	w.WriteHeader(how.status)
}

// describe reads a request as a receiver does.
func describe(r *journal.Request, q *http.Request, body []byte) {
	parts := strings.Split(strings.TrimPrefix(q.URL.Path, "/"), "/")
	r.Subscription = parts[0]
	if len(parts) > 1 {
		r.Generation, _ = strconv.Atoi(parts[1]) // 0 is not a generation: the checker rejects it
	}
	r.ID = q.Header.Get("Webhook-Id")
	r.Attempt, _ = strconv.Atoi(q.Header.Get("X-Attempt"))
	r.Redrive = q.Header.Get("X-Redrive") != ""
	// The publisher's id is all that a GET or a notification tells of its event;
	// former builds had it in the delivery id.
	if r.Event = q.Header.Get("X-Event-Id"); r.Event == "" {
		r.Event, _, _ = strings.Cut(r.ID, ".")
	}
	type change struct {
		OrderID string `json:"orderId"`
		N       int    `json:"n"`
	}
	var event struct {
		change
		Data change `json:"data"` // of a CloudEvent
	}
	order := q.URL.Query().Get("orderId")
	if len(parts) > 2 {
		order = parts[2]
	}
	if q.Method != http.MethodGet {
		if json.Unmarshal(body, &event) != nil {
			r.Event = "unreadable"
			return
		}
		if event.OrderID == "" {
			event.change = event.Data
		}
		order = event.OrderID
	}
	if event.N > 0 {
		r.Event = eventID(event.OrderID, event.N)
	} else if !strings.HasPrefix(r.Event, order+"-") {
		r.Event = "of another order"
	}
}

func eventID(order string, n int) string { return order + "-" + strconv.Itoa(n) }
