package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// The records as they are stored, under ids that their writers choose: what the
// commands ask for. Secrets are left out, references to them stay.

// rawRecord is a record, its members as they stand.
type rawRecord struct {
	ID       string          `json:"id"`
	Revision uint64          `json:"revision"`
	Time     time.Time       `json:"time"`             // of the revision
	Record   json.RawMessage `json:"record,omitempty"` // left out: it is not a JSON object
	Bytes    int             `json:"bytes"`            // as it is stored
}

func rawOf(r store.Record) rawRecord {
	open, err := record.RedactRecord(r.Value, record.Redaction{References: true})
	if err != nil { // put by others; its status says what is wrong
		open = nil
	}
	return rawRecord{ID: r.ID, Revision: r.Revision, Time: r.Time, Record: open, Bytes: len(r.Value)}
}

func (a *API) listRecords(r *http.Request) (answer, error) {
	p := parameters{r: r}
	after, limit := p.page()
	return listOf(a, &p, after, limit, store.Filter{Tenant: p.text("tenant", 64)}, rawOf)
}

func (a *API) getRecord(r *http.Request) (answer, error) {
	rec, err := a.o.Catalog.Record(r.Context(), callerOf(r.Context()).scope, r.PathValue("id"))
	if err != nil {
		return answer{}, err
	}
	return answer{etag: etag(rec), body: rawOf(rec)}, nil
}

// putRecord stores the body as it stands. What is "[redacted]" in it stays what it
// was, as long as it goes to the same place.
func (a *API) putRecord(r *http.Request) (answer, error) {
	body := bodyOf(r)
	rec, err := a.replace(r, "putRecord", func(old *store.Record) ([]byte, error) {
		if c := callerOf(r.Context()); old == nil && !a.mayName(c, r.PathValue("id")) {
			return nil, coded(http.StatusNotFound, CodeRefused, "there is no such record here, and "+ownNames(c))
		}
		return a.given(callerOf(r.Context()), r.PathValue("id"), body, old)
	})
	if err != nil {
		return answer{}, err
	}
	return answer{etag: etag(rec), body: rawOf(rec)}, nil
}

func (a *API) removeRecord(r *http.Request) (answer, error) {
	_, err := a.replace(r, "removeRecord", func(old *store.Record) ([]byte, error) {
		if old == nil {
			return nil, protocol.ErrNotFound
		}
		return nil, nil
	})
	return answer{}, err
}

// replace writes a record whether it is there or not, as If-Match and
// If-None-Match say, or whatever is there.
func (a *API) replace(r *http.Request, operation string, edit func(old *store.Record) ([]byte, error)) (store.Record,
	error) {
	ctx, id := r.Context(), r.PathValue("id")
	for try := 1; ; try++ {
		var old *store.Record
		found, err := a.o.Catalog.Record(ctx, callerOf(ctx).scope, id)
		switch {
		case err == nil:
			old = &found
		case !errors.Is(err, protocol.ErrNotFound):
			return found, err
		}
		match, none := r.Header.Get("If-Match"), r.Header.Get("If-None-Match")
		switch {
		case none != "" && old != nil:
			return found, coded(http.StatusConflict, CodeChanged, "there is a record "+id+" already: change that one, or choose another id")
		case match != "" && old == nil:
			return found, coded(http.StatusConflict, CodeChanged, "there is no record "+id+" any more: somebody has deleted it meanwhile")
		case match != "" && !matches(match, *old):
			return found, store.ErrChanged
		}
		value, err := edit(old)
		if err != nil {
			return found, err
		}
		stored, err := a.write(ctx, change{operation, id, old, value})
		if !errors.Is(err, store.ErrChanged) || match != "" || none != "" || try == limits.APIChangeRetries {
			return stored, err
		}
	}
}

// mayName reports whether a caller may make a record under an id. Ids are one name
// space, and that one is taken must not be told to who may not see by whom: a tenant's
// token has those that begin with the tenant's name, and not with the longer one of
// another that has tokens.
func (a *API) mayName(c *caller, id string) bool {
	tenant, confined := c.scope.Tenant()
	if !confined {
		return true
	}
	begins := func(name string) bool { return strings.HasPrefix(id, name+"-") }
	return begins(tenant) && !slices.ContainsFunc(a.access.tokens.Load().known, func(k knownToken) bool {
		other, confined := k.caller.scope.Tenant()
		return confined && len(other) > len(tenant) && begins(other)
	})
}

func ownNames(c *caller) string {
	tenant, _ := c.scope.Tenant()
	return "this token makes new ones under ids that begin with " + tenant + "-"
}

// given is a record as it is stored: the bytes that were given, unless something of
// the record before, or the tenant, is put into them.
func (a *API) given(c *caller, id string, body []byte, old *store.Record) ([]byte, error) {
	given, err := readObject(body)
	if err != nil {
		return nil, say(http.StatusBadRequest, "the body cannot be used: "+err.Error())
	}
	value := body
	if bytes.Contains(body, []byte("[redacted]")) {
		if err := restore(&given, old); err != nil {
			return nil, err
		}
		value = given.bytes()
	}
	if _, confined := c.scope.Tenant(); confined {
		if err := a.confine(c, &given); err != nil {
			return nil, err
		}
		value = given.bytes()
	}
	return value, a.admissible(c, id, value)
}

// restore puts what is "[redacted]" back.
func restore(given *object, old *store.Record) error {
	var before object
	if old != nil {
		before, _ = readObject(old.Value) // nothing can be kept of one that cannot be read
		if open, err := record.RedactRecord(old.Value, record.Redaction{References: true}); err == nil {
			shown, _ := readObject(open)
			for i, m := range *given { // a URL with user info
				was, ok := shown.get(m.name)
				if raw, _ := before.get(m.name); ok && was == m.raw && strings.HasPrefix(raw, `"`) && m.raw != redacted {
					(*given)[i].raw = raw
				}
			}
		}
	}
	if problems := restoreSecrets(given, before); problems.Err() != nil {
		return badRecord(problems)
	}
	for _, m := range *given {
		if strings.Contains(m.raw, "[redacted]") {
			return badMember(m.name, "holds [redacted], and there is nothing that it stands for: give the value itself")
		}
	}
	return nil
}

// judge says what the bridge makes of a record that is not stored.
func (a *API) judge(r *http.Request) (answer, error) {
	var q store.JudgeRequest
	if err := store.ReadRequest(bodyOf(r), &q); err != nil {
		return answer{}, err
	}
	var out store.JudgeAnswer
	err := a.complete(r.Context(), &q)
	value := q.Record
	if err == nil {
		value, err = a.confined(callerOf(r.Context()), q, &out)
	}
	s, problems := a.o.Parse(q.ID, value)
	if problems.Err() == nil && a.o.Seal != nil { // as it would be stored: what is sealed is not in plain text
		if sealed, err := a.o.Seal(r.Context(), q.ID, value); err == nil {
			s, problems = a.o.Parse(q.ID, sealed)
		}
	}
	out.Problems = problems
	if problems.Err() == nil && s != nil {
		out.Hears = s.Describe()
		if err == nil {
			err = a.withinTenant(callerOf(r.Context()), s)
		}
	}
	if c := callerOf(r.Context()); !a.mayName(c, q.ID) {
		if _, gone := a.o.Catalog.Record(r.Context(), c.scope, q.ID); errors.Is(gone, protocol.ErrNotFound) {
			out.Hears, out.Problems = "", append(out.Problems, record.Problem{Field: "id", Message: "there is no such record yet, and " + ownNames(c)})
		}
	}
	if bad := (*problem)(nil); errors.As(err, &bad) {
		out.Hears, out.Problems = "", append(out.Problems, bad.Errors...)
	} else if err != nil {
		return answer{}, err
	}
	return answer{body: out}, nil
}

// complete puts back what of the record is "[redacted]", as it is when it is stored.
func (a *API) complete(ctx context.Context, q *store.JudgeRequest) error {
	given, err := readObject(q.Record)
	if err != nil || !bytes.Contains(q.Record, []byte("[redacted]")) {
		return nil // the parser says why it cannot be read
	}
	var old *store.Record
	switch r, err := a.o.Catalog.Record(ctx, callerOf(ctx).scope, q.ID); {
	case err == nil:
		old = &r
	case !errors.Is(err, protocol.ErrNotFound):
		return err
	}
	if err := restore(&given, old); err != nil {
		return err
	}
	q.Record = given.bytes()
	return nil
}

// confined is a record as it would be stored for a caller that is confined to a
// tenant; what it gets of that is told.
func (a *API) confined(c *caller, q store.JudgeRequest, out *store.JudgeAnswer) ([]byte, error) {
	o, err := readObject(q.Record)
	if _, confined := c.scope.Tenant(); !confined || err != nil {
		return q.Record, nil // the parser says why it cannot be read
	}
	had := slices.Clone(o)
	if err := a.confine(c, &o); err != nil {
		return q.Record, err
	}
	for _, m := range o {
		if _, ok := had.get(m.name); !ok {
			if out.Given == nil {
				out.Given = map[string]json.RawMessage{}
			}
			out.Given[m.name] = json.RawMessage(m.raw)
		}
	}
	return o.bytes(), nil
}
