package api

import (
	"cmp"
	"net/http"
	"strconv"
	"time"

	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// attemptList is a page of the delivery log.
type attemptList struct {
	Items  []store.Attempt `json:"items"`
	Next   string          `json:"next,omitempty"` // what to give as after for older ones
	Last   uint64          `json:"last"`           // what to give as above for what comes
	Looked int             `json:"looked"`
}

func (a *API) listAttempts(r *http.Request) (answer, error) {
	p := parameters{r: r}
	q := store.AttemptQuery{Subscription: p.text("subscription", 64), Order: p.text("order", limits.ValueBytes),
		Event: p.text("event", limits.ValueBytes), Outcome: p.text("outcome", 64), Status: p.text("status", 3),
		Since: p.time("since"), Until: p.time("until")}
	before, above, limit := p.below("after"), p.below("above"), p.limit()
	follows := r.URL.Query().Has("above")
	if member, err := q.Check(); err != nil {
		p.say("query", member, "%v", err)
	}
	if before > 0 && follows {
		p.say("query", "above", "goes with no after")
	}
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	scope := callerOf(r.Context()).scope
	var found store.AttemptPage
	if follows {
		found, err = a.o.Catalog.AttemptsAbove(r.Context(), scope, q, above, limit)
	} else {
		found, err = a.o.Catalog.Attempts(r.Context(), scope, q, before, limit)
	}
	out := attemptList{Items: append([]store.Attempt{}, found.Items...), Last: found.Last, Looked: found.Looked}
	if found.Next > 0 {
		out.Next = strconv.FormatUint(found.Next, 10)
	}
	return answer{body: out}, err
}

func (a *API) getOrder(r *http.Request) (answer, error) {
	p := parameters{r: r}
	order := r.PathValue("order")
	if order == "" { // /api/v1/orders?order=: a path cannot hold every id
		order = r.URL.Query().Get("order")
	}
	q := store.OrderQuery{Order: order, Subscription: p.subscription(), Since: p.time("since"),
		Look: int(min(p.below("look"), limits.OrderLookMost+1))}
	if q.Order == "" {
		p.say("query", "order", "is required: the id of the order")
	}
	if len(q.Order) > limits.ValueBytes {
		p.say("path", "order", "expected length <= %d", limits.ValueBytes)
	}
	if q.Look > limits.OrderLookMost {
		p.say("query", "look", "expected number <= %d", limits.OrderLookMost)
	}
	if err := p.wrong(); err != nil {
		return answer{}, err
	}
	q.Look = cmp.Or(q.Look, limits.OrderLook)
	done, err := a.listing(r.Context())
	if err != nil {
		return answer{}, err
	}
	defer done()
	story, err := a.o.Catalog.Order(r.Context(), callerOf(r.Context()).scope, q)
	return answer{body: story}, err
}

// time is a parameter that is a time; zero if it is absent.
func (p *parameters) time(name string) time.Time {
	text := p.r.URL.Query().Get(name)
	if text == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.say("query", name, "expected a time like 2026-01-31T12:00:00Z")
	}
	return t
}
