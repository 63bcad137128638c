package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/tidwall/gjson"

	"orderbridge/bridge/record"
)

// Pause holds back the deliveries of a subscription without losing any, by its
// record: only the member status is written. The record comes back as it is if it
// is paused already. A *RefusedError if it is deactivated; ErrChanged if somebody
// else was faster.
func (c *Catalog) Pause(ctx context.Context, scope Scope, id string) (Record, error) {
	return c.setStatus(ctx, scope, id, record.StatusPaused)
}

// Resume ends a pause. The record comes back as it is if it is active already. A
// *RefusedError if it is deactivated.
func (c *Catalog) Resume(ctx context.Context, scope Scope, id string) (Record, error) {
	return c.setStatus(ctx, scope, id, record.StatusActive)
}

// Activate lets a subscription go on that is deactivated, or that its receiver has
// suspended: only the member status is written, also where it stands so already.
// ErrChanged if somebody else was faster.
func (c *Catalog) Activate(ctx context.Context, scope Scope, id string) (Record, error) {
	return c.putStatus(ctx, scope, id, record.StatusActive)
}

// Deactivate ends the deliveries of a subscription and keeps its record, as Activate.
func (c *Catalog) Deactivate(ctx context.Context, scope Scope, id string) (Record, error) {
	return c.putStatus(ctx, scope, id, record.StatusDeactivated)
}

func (c *Catalog) putStatus(ctx context.Context, scope Scope, id, status string) (Record, error) {
	r, err := c.Record(ctx, scope, id)
	if err != nil {
		return r, err
	}
	value, err := WithStatus(r.Value, status)
	if err != nil {
		return r, &RefusedError{Reason: fmt.Sprintf("subscription %q: %v", id, err)}
	}
	return c.Put(ctx, scope, id, value, r.Revision)
}

func (c *Catalog) setStatus(ctx context.Context, scope Scope, id, status string) (Record, error) {
	r, err := c.Record(ctx, scope, id)
	if err != nil {
		return r, err
	}
	if err := MayPause(r.Value, status); err != nil {
		return r, err
	}
	value, err := WithStatus(r.Value, status)
	if err != nil {
		return r, &RefusedError{Reason: fmt.Sprintf("subscription %q: %v", id, err)}
	}
	if bytes.Equal(value, r.Value) {
		return r, nil
	}
	return c.Put(ctx, scope, id, value, r.Revision)
}

// MayPause is a *RefusedError that says why a record cannot be paused, or resumed
// (status active): a pause is no activation, and its end none either.
func MayPause(rec []byte, status string) error {
	if gjson.GetBytes(rec, "status").String() != record.StatusDeactivated {
		return nil
	}
	if status == record.StatusPaused {
		return &RefusedError{Reason: `it is deactivated: it hears nothing, so there is nothing to hold back; activate it first`}
	}
	return &RefusedError{Reason: "it is deactivated, not paused: activate it; what was published meanwhile was not kept"}
}

// WithStatus sets the member status of a record and leaves all other bytes
// alone.
func WithStatus(rec []byte, status string) ([]byte, error) {
	isDefault := status == record.StatusActive && !gjson.GetBytes(rec, "status").Exists()
	if isDefault && gjson.ValidBytes(rec) && gjson.ParseBytes(rec).IsObject() {
		return rec, nil
	}
	return withMember(rec, "status", `"`+status+`"`)
}

// withMember sets a member of a record to a value, which is JSON, and leaves all
// other bytes alone.
func withMember(rec []byte, name, value string) ([]byte, error) {
	open := bytes.IndexByte(rec, '{')
	doc := gjson.ParseBytes(rec)
	if !gjson.ValidBytes(rec) || !doc.IsObject() {
		return nil, errors.New("the record is not a JSON object; put a good one")
	}
	var found []gjson.Result
	members := 0
	doc.ForEach(func(n, member gjson.Result) bool {
		members++
		if n.String() == name {
			found = append(found, member)
		}
		return true
	})
	switch {
	case len(found) > 1:
		return nil, fmt.Errorf("the record holds the member %q twice; put it with one", name)
	case len(found) == 1:
		at := found[0].Index
		return splice(rec, at, at+len(found[0].Raw), value), nil
	case members == 0:
		return splice(rec, open+1, open+1, encoded(name)+":"+value), nil
	}
	return splice(rec, open+1, open+1, encoded(name)+":"+value+","), nil
}

func splice(b []byte, from, to int, text string) []byte {
	out := make([]byte, 0, len(b)+len(text))
	out = append(out, b[:from]...)
	out = append(out, text...)
	return append(out, b[to:]...)
}
