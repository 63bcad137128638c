package api

import (
	"bytes"
	"net/http"

	"orderbridge/bridge/record"
	"orderbridge/internal/store"
)

// The operations that steer deliveries: what waits, goes now; what must not go,
// waits; what nobody can take, is skipped.

func (a *API) pauseWebhook(req *http.Request) (answer, error) {
	return answerRecord(a.change(req, "pauseWebhook", a.withPause(record.StatusPaused)))
}

func (a *API) resumeWebhook(req *http.Request) (answer, error) {
	return answerRecord(a.change(req, "resumeWebhook", a.withPause(record.StatusActive)))
}

// withPause is withStatus, unless the record is deactivated.
func (a *API) withPause(status string) func(store.Record) ([]byte, error) {
	set := a.withStatus(status)
	return func(r store.Record) ([]byte, error) {
		if err := store.MayPause(r.Value, status); err != nil {
			return nil, err
		}
		return set(r)
	}
}

// pauseGiven takes the member paused, which is the API's own, out of a record that
// an update brings, and tells it by the status. Who knows only active and
// deactivated neither pauses a record nor ends its pause.
func pauseGiven(given *object, old object) {
	paused, told := given.get("paused")
	given.remove("paused")
	status := given.text("status")
	switch {
	case status != "" && status != record.StatusActive:
	case told && paused == "true", !told && status != "" && old.text("status") == record.StatusPaused:
		given.set("status", quoteJSON(record.StatusPaused))
	case told && status == "":
		given.set("status", quoteJSON(record.StatusActive))
	}
}

// pauseShown tells of a record that is paused that it is active, and that it is
// paused: what is published is kept for it.
func pauseShown(rec *object) {
	if rec.text("status") == record.StatusPaused {
		rec.set("status", quoteJSON(record.StatusActive))
		rec.set("paused", "true")
	}
}

func (a *API) retryWebhookNow(req *http.Request) (answer, error) {
	var given struct {
		Order string `json:"order"`
	}
	if err := readGiven(req, &given); err != nil {
		return answer{}, err
	}
	done, err := a.o.Catalog.RetryNow(req.Context(), callerOf(req.Context()).scope,
		store.RetryNowRequest{Subscription: req.PathValue("id"), Order: given.Order})
	return answer{body: done}, err
}

func (a *API) retryNow(req *http.Request) (answer, error) {
	var given store.RetryNowRequest
	if err := readGiven(req, &given); err != nil {
		return answer{}, err
	}
	done, err := a.o.Catalog.RetryNow(req.Context(), callerOf(req.Context()).scope, given)
	return answer{body: done}, err
}

func (a *API) skipHead(req *http.Request) (answer, error) {
	given := store.SkipRequest{}
	if err := readGiven(req, &given); err != nil {
		return answer{}, err
	}
	id := req.PathValue("id")
	if given.Subscription != "" && given.Subscription != id {
		return answer{}, badMember("subscription", "is not the one in the path; make them equal or leave it out")
	}
	if given.Order == "" {
		return answer{}, badMember("order", "is missing: the id of the order whose head is to be skipped")
	}
	given.Subscription = id
	done, err := a.o.Catalog.Skip(req.Context(), callerOf(req.Context()).scope, given)
	return answer{body: done}, err
}

// readGiven reads the body of a request that may be empty.
func readGiven(req *http.Request, into any) error {
	body := bodyOf(req)
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	return store.ReadRequest(body, into)
}
