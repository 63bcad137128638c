package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/google/uuid"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// testWebhook sends a sample, or the event that is given, to a subscription's endpoint.
func (a *API) testWebhook(r *http.Request) (answer, error) {
	q, err := testOf(r)
	if err != nil {
		return answer{}, err
	}
	q.Subscription, q.Record = r.PathValue("id"), nil
	return a.test(r.Context(), q)
}

// testRecord does so for a record that is not stored, within what the caller may put.
func (a *API) testRecord(r *http.Request) (answer, error) {
	ctx := r.Context()
	q, err := testOf(r)
	if err != nil {
		return answer{}, err
	}
	given, err := readObject(q.Record)
	if err != nil {
		return answer{}, badMember("record", err.Error())
	}
	d := draft{id: q.Subscription, given: given}
	if d.id == "" {
		d.id = uuid.NewString()
	} else if now, err := a.o.Catalog.Record(ctx, store.Everything(), d.id); err == nil {
		if now, err = a.o.Catalog.Record(ctx, callerOf(ctx).scope, d.id); err != nil {
			return answer{}, err
		}
		d.now = &now // whose secrets it keeps
	} else if !errors.Is(err, protocol.ErrNotFound) {
		return answer{}, err
	}
	if q.Record, err = a.record(callerOf(ctx), d); err != nil {
		return answer{}, err
	}
	q.Subscription = d.id
	return a.test(ctx, q)
}

func testOf(r *http.Request) (q store.TestRequest, err error) {
	return q, readGiven(r, &q)
}

func (a *API) test(ctx context.Context, q store.TestRequest) (answer, error) {
	c := callerOf(ctx)
	done, ok := a.outgo(ctx, c)
	if !ok {
		return answer{}, later(limits.APIOutgoWait, "too many requests to endpoints at once; try again in some seconds")
	}
	defer done()
	out, err := a.o.Tester.Test(ctx, c.scope, q)
	return answer{body: out}, err
}

// outgo waits for the caller's turn to have us make a request: what is slow
// enough is not a scanner of ports. False if the caller asks for too much.
func (a *API) outgo(ctx context.Context, c *caller) (done func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, limits.APIOutgoWait)
	defer cancel()
	if c.outgo.Wait(ctx) != nil {
		return nil, false
	}
	return a.pools.probes.Wait(ctx, c.share)
}
