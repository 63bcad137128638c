package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"orderbridge/internal/audit"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// What concerns the bridge as a whole, and so tokens without tenant only.

var errOperators = &problem{Type: "about:blank", Title: http.StatusText(http.StatusForbidden), Status: http.StatusForbidden,
	Detail: "this concerns all tenants; use a token without tenant"}

// operatorsOnly refuses a caller that is confined to a tenant.
func operatorsOnly(ctx context.Context) error {
	if _, confined := callerOf(ctx).scope.Tenant(); confined {
		return errOperators
	}
	return nil
}

func (a *API) getOverview(r *http.Request) (answer, error) {
	if err := operatorsOnly(r.Context()); err != nil {
		return answer{}, err
	}
	o, err := a.o.Catalog.Overview(r.Context())
	return answer{body: o}, err
}

// getLeaders tells everybody whether anything is delivered at all.
func (a *API) getLeaders(r *http.Request) (answer, error) {
	l, err := a.leaders.get(r.Context(), struct{}{}, anyAnswer, a.o.Catalog.Leaders)
	return answer{body: l}, err
}

func (a *API) setShards(r *http.Request) (answer, error) {
	if err := operatorsOnly(r.Context()); err != nil {
		return answer{}, err
	}
	var q store.ShardsRequest
	if err := store.ReadRequest(bodyOf(r), &q); err != nil {
		return answer{}, err
	}
	l, err := a.o.Catalog.SetShards(r.Context(), q.Set)
	return answer{body: l}, err
}

// askStream asks the leader of a shard what it knows of the stream, or has it adopt
// a change.
func (a *API) askStream(r *http.Request) (answer, error) {
	if err := operatorsOnly(r.Context()); err != nil {
		return answer{}, err
	}
	var q store.StreamRequest
	if err := store.ReadRequest(bodyOf(r), &q); err != nil {
		return answer{}, err
	}
	out, err := a.o.Catalog.AskStream(r.Context(), q)
	return answer{body: out}, err
}

func (a *API) listAudit(r *http.Request) (answer, error) {
	if err := operatorsOnly(r.Context()); err != nil {
		return answer{}, err
	}
	p := parameters{r: r}
	q := audit.Query{Subscription: p.subscription(), Action: p.text("action", 64), Who: p.text("who", 200),
		Since: p.time("since"), From: p.below("from"), Limit: p.limit()}
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	found, err := a.o.Audit(r.Context(), q)
	found.Entries = append([]audit.Entry{}, found.Entries...)
	return answer{body: found}, err
}

// getEnvelope is a dead letter as it lies in its stream.
func (a *API) getEnvelope(r *http.Request) (answer, error) {
	p := parameters{r: r}
	sequence := p.sequence()
	if err := p.wrong(); err != nil {
		return answer{}, err
	}
	l, err := a.o.Catalog.Letter(r.Context(), callerOf(r.Context()).scope, sequence)
	if err == nil && !json.Valid(l.Envelope) {
		err = say(http.StatusConflict, "the dead letter cannot be read: it is not JSON")
	}
	return answer{body: l.Envelope}, err
}

func (a *API) removeLetter(r *http.Request) (answer, error) {
	p := parameters{r: r}
	sequence := p.sequence()
	if err := p.wrong(); err != nil {
		return answer{}, err
	}
	l, err := a.o.Catalog.Letter(r.Context(), callerOf(r.Context()).scope, sequence)
	if err == nil {
		err = a.o.Catalog.RemoveLetter(r.Context(), sequence)
	}
	if err == nil {
		a.tellRemoved(r.Context(), l.Subscription, 1)
	}
	return answer{}, err
}

// removed says how many there were.
type removed struct {
	Removed int `json:"removed"`
}

func (a *API) removeLetters(r *http.Request) (answer, error) {
	if err := operatorsOnly(r.Context()); err != nil {
		return answer{}, err
	}
	p := parameters{r: r}
	subscription := p.subscription()
	if err := p.wrong(); err != nil {
		return answer{}, err
	}
	n, err := a.o.Catalog.RemoveLetters(r.Context(), subscription)
	if n > 0 {
		a.tellRemoved(r.Context(), subscription, n)
	}
	return answer{body: removed{n}}, err
}

// tellRemoved has the leader note what was removed; what was done is done, whether
// it can or not.
func (a *API) tellRemoved(ctx context.Context, subscription string, n int) {
	ctx, cancel := context.WithTimeout(ctx, limits.JetStreamTime)
	defer cancel()
	err := a.o.Catalog.TellRemoved(ctx,
		store.RemovedRequest{Action: store.ActionPurgeLetters, Subscription: subscription, Count: n})
	if err != nil && !errors.Is(err, context.Canceled) {
		a.o.Log.Warn("api: what was removed is not in the audit", "error", err, "request_id", ctx.Value(requestKey{}))
	}
}
