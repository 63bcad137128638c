package api

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

const webhooksPath = "/api/notifications/v1/webhooks"

// shownRecord is a record in an answer.
type shownRecord json.RawMessage

// MarshalJSON implements json.Marshaler.
func (r shownRecord) MarshalJSON() ([]byte, error) { return r, nil }

// answerRecord shows a record that was read or written, unless it could not be.
func answerRecord(r store.Record, err error) (answer, error) {
	if err != nil {
		return answer{}, err
	}
	return answer{etag: etag(r), body: shownRecord(shown(r))}, nil
}

func etag(r store.Record) string { return `"` + strconv.FormatUint(r.Revision, 10) + `"` }

func (a *API) createWebhook(r *http.Request) (answer, error) {
	given, err := givenRecord(r)
	if err != nil {
		return answer{}, err
	}
	id := uuid.NewString()
	value, err := a.record(callerOf(r.Context()), draft{id: id, given: given})
	if err != nil {
		return answer{}, err
	}
	return answerRecord(a.write(r.Context(), change{"registerWebhook", id, nil, value}))
}

// givenRecord is the body of a request as an object.
func givenRecord(r *http.Request) (object, error) {
	given, err := readObject(bodyOf(r))
	if err != nil {
		return nil, say(http.StatusBadRequest, "the body cannot be used: "+err.Error())
	}
	return given, nil
}

func (a *API) getWebhook(r *http.Request) (answer, error) {
	return answerRecord(a.o.Catalog.Record(r.Context(), callerOf(r.Context()).scope, r.PathValue("id")))
}

func (a *API) listWebhooks(r *http.Request) (answer, error) {
	p := parameters{r: r}
	after, limit := p.page()
	f := store.Filter{Status: p.word("status", "active", "paused", "deactivated"), Tenant: p.text("tenant", 64),
		Host: p.text("host", 260)}
	return listOf(a, &p, after, limit, f, func(r store.Record) shownRecord { return shownRecord(shown(r)) })
}

// listOf answers with a page of records, each as show has it.
func listOf[T any](a *API, p *parameters, after string, limit int, f store.Filter, show func(store.Record) T) (answer, error) {
	done, err := a.listingOf(p)
	if err != nil {
		return answer{}, err
	}
	defer done()
	ctx := p.r.Context()
	records, next, err := a.o.Catalog.Records(ctx, callerOf(ctx).scope, f, after, limit,
		func(r store.Record) bool { return listed(r, f) })
	out := page[T]{Items: make([]T, 0, len(records)), Next: next}
	for _, r := range records {
		out.Items = append(out.Items, show(r))
	}
	return answer{body: out}, err
}

// listed holds a record against a filter.
func listed(r store.Record, f store.Filter) bool {
	if f.Status == "" && f.Tenant == "" && f.Host == "" {
		return true
	}
	o, err := readObject(r.Value)
	if err != nil {
		return false
	}
	host := ""
	if u, err := url.Parse(o.text("targetURL")); err == nil {
		host = u.Hostname()
	}
	return store.HasStatus(f.Status, o.text("status")) && (f.Tenant == "" || f.Tenant == r.Tenant()) &&
		(f.Host == "" || strings.EqualFold(f.Host, host))
}

// listingOf is listing, for a list whose parameters are right.
func (a *API) listingOf(p *parameters) (done func(), err error) {
	if err := p.wrong(); err != nil {
		return nil, err
	}
	return a.listing(p.r.Context())
}

// listing takes a place among the lists, for which it may wait.
func (a *API) listing(ctx context.Context) (done func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, limits.APIListWait)
	defer cancel()
	done, ok := a.pools.lists.Wait(ctx, callerOf(ctx).share)
	if !ok {
		return nil, later(time.Second, "too many lists of this caller at once; try again in a second")
	}
	return done, nil
}

// change reads a record, makes a new value of it and stores that, unless
// somebody else was faster: then 412 if the caller meant a certain revision,
// else all over again.
func (a *API) change(req *http.Request, operation string, edit func(store.Record) ([]byte, error)) (store.Record, error) {
	ctx, id := req.Context(), req.PathValue("id")
	scope := callerOf(ctx).scope
	for try := 1; ; try++ {
		r, err := a.o.Catalog.Record(ctx, scope, id)
		if err != nil {
			return r, err
		}
		if !matches(req.Header.Get("If-Match"), r) {
			return r, say(http.StatusPreconditionFailed, "the record is at "+etag(r)+" by now; read it again")
		}
		value, err := edit(r)
		if err != nil {
			return r, err
		}
		r, err = a.write(ctx, change{operation, id, &r, value})
		if !errors.Is(err, store.ErrChanged) || try == limits.APIChangeRetries {
			return r, err
		}
	}
}

// matches is the comparison of If-Match: strong, any of a list.
func matches(header string, r store.Record) bool {
	if strings.TrimSpace(header) == "" {
		return true
	}
	for one := range strings.SplitSeq(header, ",") {
		if one = strings.TrimSpace(one); one == "*" || one == etag(r) {
			return true
		}
	}
	return false
}

func (a *API) updateWebhook(req *http.Request) (answer, error) {
	if req.ContentLength == 0 {
		return answer{}, say(http.StatusBadRequest, "request body is required")
	}
	given, err := givenRecord(req)
	if err != nil {
		return answer{}, err
	}
	return answerRecord(a.change(req, "updateWebhook", func(r store.Record) ([]byte, error) {
		return a.record(callerOf(req.Context()), draft{id: r.ID, given: given, now: &r})
	}))
}

func (a *API) deleteWebhook(req *http.Request) (answer, error) {
	_, err := a.change(req, "deleteWebhook", func(store.Record) ([]byte, error) { return nil, nil })
	return answer{}, err
}

func (a *API) activateWebhook(req *http.Request) (answer, error) {
	return answerRecord(a.change(req, "activateWebhook", a.withStatus("active")))
}

func (a *API) deactivateWebhook(req *http.Request) (answer, error) {
	return answerRecord(a.change(req, "deactivateWebhook", a.withStatus("deactivated")))
}

// withStatus changes one member, whatever else is in the record.
func (a *API) withStatus(status string) func(store.Record) ([]byte, error) {
	return func(r store.Record) ([]byte, error) {
		o, err := readStored(r)
		if err != nil {
			return nil, err
		}
		o.set("status", quoteJSON(status))
		o.set("updatedAt", stamp(a.o.Now()))
		return o.bytes(), nil
	}
}

// readStored reads a record that is about to be changed.
func readStored(r store.Record) (object, error) {
	o, err := readObject(r.Value)
	if err != nil {
		return nil, say(http.StatusConflict, "the record cannot be read: "+err.Error()+"; update or delete it")
	}
	return o, nil
}
