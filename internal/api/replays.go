package api

import (
	"net/http"

	"orderbridge/bridge"
	"orderbridge/internal/store"
)

// What is sent again: replays, rewinds, and many dead letters at once.

func (a *API) beginReplay(r *http.Request) (answer, error) {
	var q bridge.ReplayRequest
	if err := store.ReadRequest(bodyOf(r), &q); err != nil {
		return answer{}, err
	}
	out, err := a.o.Catalog.Replay(r.Context(), callerOf(r.Context()).scope, q)
	return answer{body: out}, err
}

func (a *API) listReplays(r *http.Request) (answer, error) {
	p := parameters{r: r}
	subscription := p.subscription()
	done, err := a.listingOf(&p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	items, err := a.o.Catalog.Replays(r.Context(), callerOf(r.Context()).scope, subscription)
	return answer{body: page[bridge.Replay]{Items: items}}, err
}

func (a *API) getReplay(r *http.Request) (answer, error) {
	out, err := a.o.Catalog.ReplayOf(r.Context(), callerOf(r.Context()).scope, r.PathValue("id"))
	return answer{body: out}, err
}

func (a *API) stopReplay(r *http.Request) (answer, error) {
	out, err := a.o.Catalog.StopReplay(r.Context(), callerOf(r.Context()).scope, r.PathValue("id"))
	return answer{body: out}, err
}

func (a *API) rewind(r *http.Request) (answer, error) {
	var q bridge.RewindRequest
	if err := store.ReadRequest(bodyOf(r), &q); err != nil {
		return answer{}, err
	}
	id := r.PathValue("id")
	if q.Subscription != "" && q.Subscription != id {
		return answer{}, say(http.StatusBadRequest, "validation failed; body.subscription: it is not that of the path")
	}
	q.Subscription = id
	out, err := a.o.Catalog.Rewind(r.Context(), callerOf(r.Context()).scope, q)
	return answer{body: out}, err
}

func (a *API) redriveMany(r *http.Request) (answer, error) {
	var q store.LettersRequest
	if err := store.ReadRequest(bodyOf(r), &q); err != nil {
		return answer{}, err
	}
	out, err := a.o.Catalog.RedriveLetters(r.Context(), callerOf(r.Context()).scope, q)
	return answer{body: out}, err
}

func (a *API) purgeMany(r *http.Request) (answer, error) {
	var q store.LettersRequest
	if err := store.ReadRequest(bodyOf(r), &q); err != nil {
		return answer{}, err
	}
	out, err := a.o.Catalog.RemoveSome(r.Context(), callerOf(r.Context()).scope, q)
	return answer{body: out}, err
}
