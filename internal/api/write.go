package api

import (
	"context"
	"errors"
	"net/http"

	"orderbridge/bridge/record"
	"orderbridge/internal/store"
)

// Written is a write of a record by the API that the bus has confirmed.
type Written struct {
	Operation string // operationId of openapi.json
	ID        string // of the record
	Token     string // name of the token
	Tenant    string // of the token, "" if it is confined to none
	Client    string // address of the caller
	RequestID string
	Before    []byte // nil: there was none
	After     []byte // nil: deleted
	Revision  uint64 // 0 if deleted
}

// change is a write that is to be made. value nil deletes the record.
type change struct {
	operation string
	id        string
	before    *store.Record // what it replaces; nil: there must be none
	value     []byte
}

// write is the one place where the API changes the bucket of the records:
// whatever holds for all of its writes stands here.
func (a *API) write(ctx context.Context, ch change) (store.Record, error) {
	c := callerOf(ctx)
	expect := uint64(0)
	if ch.before != nil {
		expect = ch.before.Revision
	}
	if ch.value != nil && a.o.Seal != nil {
		sealed, err := a.o.Seal(ctx, ch.id, ch.value)
		if err != nil {
			return store.Record{}, a.notSealed(ctx, err)
		}
		ch.value = sealed
	}
	done, err := a.admitWrite(ctx, ch)
	if err != nil {
		return store.Record{}, err
	}
	defer done()
	r := store.Record{ID: ch.id}
	if ch.value == nil {
		err = a.o.Catalog.Remove(ctx, c.scope, ch.id, expect)
	} else {
		r, err = a.o.Catalog.Put(ctx, c.scope, ch.id, ch.value, expect)
	}
	if err == nil && a.o.Wrote != nil {
		a.o.Wrote(ctx, written(ctx, c, ch, r))
	}
	return r, err
}

// notSealed answers for a record whose secrets could not be sealed: it is not
// stored. What is wrong with the key is the operator's to know.
func (a *API) notSealed(ctx context.Context, err error) error {
	var problems record.Problems
	if errors.As(err, &problems) {
		return badRecord(problems)
	}
	a.o.Log.Error("api: the secrets of a record cannot be sealed, and it is not stored", "error", err,
		"request_id", ctx.Value(requestKey{}))
	return say(http.StatusServiceUnavailable,
		"the secrets of the record cannot be sealed at the moment, and it is not stored; the log says why")
}

func written(ctx context.Context, c *caller, ch change, r store.Record) Written {
	w := Written{Operation: ch.operation, ID: ch.id, Token: c.name, Client: c.client.String(), After: ch.value,
		Revision: r.Revision}
	w.Tenant, _ = c.scope.Tenant()
	w.RequestID, _ = ctx.Value(requestKey{}).(string)
	if ch.before != nil {
		w.Before = ch.before.Value
	}
	return w
}
