package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

// The operations for those who look after the bridge.

func (a *API) listStatuses(r *http.Request) (answer, error) {
	p := parameters{r: r}
	after, limit := p.page()
	q := store.StatusQuery{ID: p.text("id", 64), Tenant: p.text("tenant", 64), Label: p.text("label", 400),
		State: p.word("state", "active", "retrying", "reading", "suspended", "paused", "deactivated", "invalid", "deleted")}
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	items, next, err := a.o.Catalog.StatusesIn(r.Context(), callerOf(r.Context()).scope, q, after, limit)
	return answer{body: page[store.Verdict]{append([]store.Verdict{}, items...), next}}, err
}

func (a *API) getStatus(r *http.Request) (answer, error) {
	p := parameters{r: r}
	gone := p.word("gone", "true", "false") == "true"
	if err := p.wrong(); err != nil {
		return answer{}, err
	}
	scope, id := callerOf(r.Context()).scope, r.PathValue("id")
	v, err := a.o.Catalog.Status(r.Context(), scope, id)
	if _, confined := scope.Tenant(); errors.Is(err, protocol.ErrNotFound) && gone && !confined {
		v.ID = id
		v.Status, err = a.o.Catalog.LastStatus(r.Context(), id)
	}
	return answer{body: v}, err
}

func (a *API) listOwed(r *http.Request) (answer, error) {
	p := parameters{r: r}
	after, limit := p.page()
	subscription := p.subscription()
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	items, next, err := a.o.Catalog.Owed(r.Context(), callerOf(r.Context()).scope, subscription, after, limit)
	return answer{body: page[store.Debt]{append([]store.Debt{}, items...), next}}, err
}

func (a *API) listDeadLetters(r *http.Request) (answer, error) {
	p := parameters{r: r}
	f := store.LetterFilter{Subscription: p.subscription(), Since: p.time("since"), Until: p.time("until"),
		Reason: p.text("reason", 200), Order: p.text("order", 512)}
	before, limit := p.below("before"), p.limit()
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	items, next, err := a.o.Catalog.Letters(r.Context(), callerOf(r.Context()).scope, f, before, limit)
	out := page[store.Letter]{Items: append([]store.Letter{}, items...)}
	if next > 0 {
		out.Next = strconv.FormatUint(next, 10)
	}
	return answer{body: out}, err
}

// wholeLetter is a dead letter with its event.
type wholeLetter struct {
	store.Letter
	Event     json.RawMessage `json:"event,omitempty"`     // as it was published: data, or data_base64 if it is not text
	Encoding  string          `json:"encoding,omitempty"`  // bytes: each character of each text stands for a byte
	Truncated bool            `json:"truncated,omitempty"` // it was too large to be kept
}

func (a *API) getDeadLetter(r *http.Request) (answer, error) {
	p := parameters{r: r}
	sequence := p.sequence()
	if err := p.wrong(); err != nil {
		return answer{}, err
	}
	l, err := a.o.Catalog.Letter(r.Context(), callerOf(r.Context()).scope, sequence)
	if err != nil {
		return answer{}, err
	}
	out := wholeLetter{Letter: l}
	var envelope struct {
		Event     json.RawMessage `json:"event"`
		Encoding  string          `json:"encoding"`
		Truncated bool            `json:"truncated"`
	}
	if json.Unmarshal(l.Envelope, &envelope) == nil {
		out.Event, out.Encoding, out.Truncated = envelope.Event, envelope.Encoding, envelope.Truncated
	}
	out.Letter.Event = nil
	return answer{body: out}, nil
}

func (a *API) redrive(r *http.Request) (answer, error) {
	p := parameters{r: r}
	sequence := p.sequence()
	if err := p.wrong(); err != nil {
		return answer{}, err
	}
	l, err := a.o.Catalog.Redrive(r.Context(), callerOf(r.Context()).scope, sequence)
	return answer{body: l.DeadLetter}, err
}
