package api

import (
	"net/http"

	"orderbridge/internal/store"
)

// explain says who hears an event, and why others do not.
func (a *API) explain(r *http.Request) (answer, error) {
	var q store.ExplainRequest
	if err := store.ReadRequest(bodyOf(r), &q); err != nil {
		return answer{}, err
	}
	done, err := a.listing(r.Context())
	if err != nil {
		return answer{}, err
	}
	defer done()
	out, err := a.o.Catalog.Explain(r.Context(), callerOf(r.Context()).scope, q)
	return answer{body: out}, err
}
