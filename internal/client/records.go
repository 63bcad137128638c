package client

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

// shownRecord is a record as the API gives it: its secrets are "[redacted]", and
// what stands so in a record that is put stays what it was.
type shownRecord struct {
	ID       string          `json:"id"`
	Revision uint64          `json:"revision"`
	Time     time.Time       `json:"time"`
	Record   json.RawMessage `json:"record"`
}

func (r shownRecord) record() store.Record {
	return store.Record{ID: r.ID, Value: r.Record, Revision: r.Revision, Time: r.Time}
}

func recordPath(id string) string { return "/api/v1/records/" + url.PathEscape(id) }

// Record reads a record, without its secrets.
func (c *Client) Record(ctx context.Context, _ store.Scope, id string) (store.Record, error) {
	var r shownRecord
	err := c.get(ctx, recordPath(id), nil, &r)
	return r.record(), err
}

// Put stores a record.
func (c *Client) Put(ctx context.Context, _ store.Scope, id string, value []byte, expect uint64) (store.Record, error) {
	var r shownRecord
	err := c.do(ctx, request{method: http.MethodPut, path: recordPath(id), header: expected(expect), body: value}, &r)
	return r.record(), err
}

// Remove deletes a record.
func (c *Client) Remove(ctx context.Context, _ store.Scope, id string, expect uint64) error {
	return c.do(ctx, request{method: http.MethodDelete, path: recordPath(id), header: expected(expect)}, nil)
}

func expected(revision uint64) map[string]string {
	switch revision {
	case store.AnyRevision:
		return nil
	case 0:
		return map[string]string{"If-None-Match": "*"}
	}
	return map[string]string{"If-Match": `"` + strconv.FormatUint(revision, 10) + `"`}
}

// EachRecord calls fn for each record that the token sees, by id.
func (c *Client) EachRecord(ctx context.Context, fn func(store.Record) error) error {
	return pages(ctx, c, "/api/v1/records", func(r shownRecord) error { return fn(r.record()) })
}

// IDs are those of all records that the token sees.
func (c *Client) IDs(ctx context.Context) (ids []string, err error) {
	err = c.EachRecord(ctx, func(r store.Record) error {
		ids = append(ids, r.ID)
		return nil
	})
	return ids, err
}

// EachStatus calls fn for each verdict that the token sees, by id.
func (c *Client) EachStatus(ctx context.Context, fn func(store.Verdict) error) error {
	return pages(ctx, c, "/api/v1/statuses", fn)
}

// LastStatus reads what the bridge has said of a subscription, also of one whose
// record is gone.
func (c *Client) LastStatus(ctx context.Context, id string) (protocol.Status, error) {
	var v store.Verdict
	err := c.get(ctx, "/api/v1/statuses/"+url.PathEscape(id), url.Values{"gone": {"true"}}, &v)
	return v.Status, err
}

// Judge says what the bridge makes of a record that is not stored.
func (c *Client) Judge(ctx context.Context, id string, record []byte) (out store.JudgeAnswer, err error) {
	err = c.post(ctx, "/api/v1/judge", store.JudgeRequest{ID: id, Record: record}, &out)
	return out, err
}

// Explain says who hears an event.
func (c *Client) Explain(ctx context.Context, _ store.Scope, r store.ExplainRequest) (out store.ExplainAnswer, err error) {
	err = c.post(ctx, "/api/v1/explain", r, &out)
	return out, c.whole(out.Event != nil, err)
}

// EachByID calls fn for each record by id, until it returns store.ErrEnough.
func (c *Client) EachByID(ctx context.Context, q store.ListQuery, fn func(store.Listed) error) error {
	err := c.eachByID(ctx, q, fn)
	if errors.Is(err, store.ErrEnough) {
		return nil
	}
	return err
}

func (c *Client) eachByID(ctx context.Context, q store.ListQuery, fn func(store.Listed) error) error {
	if q.Only != nil {
		return c.eachOf(ctx, q, fn)
	}
	after := q.After
	s := statusReader{client: c, at: after}
	for {
		var p page[shownRecord]
		err := c.get(ctx, "/api/v1/records", values("after", after, "tenant", q.Tenant, "limit", limited(mostItems)), &p)
		if err != nil {
			return err
		}
		for _, r := range p.Items {
			l := store.Listed{Record: r.record()}
			if q.Verdicts {
				if l.Status, l.Told, err = s.of(ctx, r.ID); err != nil {
					return err
				}
			}
			if err := fn(l); err != nil {
				return err
			}
		}
		if p.Next == "" || p.Next == after {
			return nil
		}
		after = p.Next
	}
}

// eachOf reads records one by one.
func (c *Client) eachOf(ctx context.Context, q store.ListQuery, fn func(store.Listed) error) error {
	for _, id := range q.Only {
		if id <= q.After {
			continue
		}
		r, err := c.Record(ctx, store.Everything(), id)
		if errors.Is(err, protocol.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		l := store.Listed{Record: r}
		if q.Verdicts {
			l.Status, err = c.LastStatus(ctx, id)
			l.Told = err == nil
			if err != nil && !errors.Is(err, protocol.ErrNotFound) {
				return err
			}
		}
		if err := fn(l); err != nil {
			return err
		}
	}
	return nil
}

// statusReader goes through the statuses beside the records, both by id.
type statusReader struct {
	client *Client
	at     string // those up to here have been read
	read   []store.Verdict
	end    bool
}

func (s *statusReader) of(ctx context.Context, id string) (status protocol.Status, told bool, err error) {
	for {
		for len(s.read) > 0 && s.read[0].ID < id {
			s.read = s.read[1:]
		}
		if len(s.read) > 0 {
			return s.read[0].Status, s.read[0].ID == id, nil
		}
		if s.end {
			return status, false, nil
		}
		var p page[store.Verdict]
		err := s.client.get(ctx, "/api/v1/statuses", values("after", s.at, "limit", limited(mostItems)), &p)
		if err != nil {
			return status, false, err
		}
		s.end = p.Next == "" || p.Next == s.at
		s.read, s.at = p.Items, p.Next
	}
}
