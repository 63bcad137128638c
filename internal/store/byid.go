package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// Listed is a record with what the bridge says of it.
type Listed struct {
	Record
	Status protocol.Status
	Told   bool // there is a status
}

// ListQuery says which records are listed.
type ListQuery struct {
	After    string   // only those whose ids come after this one
	Only     []string // only these ids, sorted; nil: all
	Tenant   string   // only those of this tenant, as far as it is known beforehand; "": all
	Verdicts bool     // with what the bridge says of each
}

// ErrEnough ends a list whose caller wants no more of it.
var ErrEnough = errors.New("enough")

// EachByID calls fn for each record by id, until it returns ErrEnough. The ids are
// asked for page by page from a bridge, which knows them; where none does yet, or
// none answers, they are read from the bucket, a part at a time. No more than a page
// of records is in memory.
// It needs no consumer, and is for those whose scope is everything;
// protocol.ErrNotFound if there is no such bucket.
func (c *Catalog) EachByID(ctx context.Context, q ListQuery, fn func(Listed) error) error {
	more := q.Only == nil
	ids := q.Only
	stored := c.storedIDs()
	for after := q.After; ; {
		if more {
			page, err := c.nextIDs(ctx, IDsRequest{After: after, Tenant: q.Tenant, Limit: limits.IDsPage}, stored)
			if err != nil {
				return err
			}
			ids, more = page.IDs, page.More
		}
		at, found := slices.BinarySearch(ids, after)
		if found {
			at++
		}
		for part := range slices.Chunk(ids[at:], limits.ListAtOnce) {
			list, err := c.readListed(ctx, part, q.Verdicts)
			if err != nil {
				return err
			}
			for _, l := range list {
				if err := fn(l); errors.Is(err, ErrEnough) {
					return nil
				} else if err != nil {
					return err
				}
			}
		}
		if !more || len(ids) == 0 {
			return nil
		}
		after = ids[len(ids)-1]
	}
}

// NextIDs asks a bridge for ids of records, in order. Where none answers, or none
// has read the records yet, they are read from the bucket: more of them than were asked for,
// of whatever tenant, and those of deleted records, too.
func (c *Catalog) NextIDs(ctx context.Context, r IDsRequest) (IDsAnswer, error) {
	stored := c.storedIDs()
	answer, err := c.nextIDs(ctx, r, stored)
	if err == nil && answer.More && len(answer.IDs) > 0 {
		stored.ended(answer.IDs[len(answer.IDs)-1])
	}
	return answer, err
}

func (c *Catalog) nextIDs(ctx context.Context, r IDsRequest, stored *keyPages) (IDsAnswer, error) {
	answer, asked := c.askIDs(ctx, r)
	if asked == nil {
		return answer, nil
	}
	ctx, cancel := context.WithTimeout(ctx, limits.IDsTime)
	defer cancel()
	ids, more, err := stored.next(ctx, r.After)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w; try again in a moment (%s)", err, asked.Error())
	}
	return IDsAnswer{IDs: ids, More: more}, err
}

func (c *Catalog) storedIDs() *keyPages {
	return &keyPages{js: c.js, bucket: c.names.Subscriptions, under: ">", places: c.places}
}

// IDsRequest and IDsAnswer are what a command and a bridge exchange on
// <Names.Commands>.ids, as JSON: the ids of the records, page by page. Any replica
// answers that has read the records.
type IDsRequest struct {
	After  string `json:"after,omitempty"`
	Tenant string `json:"tenant,omitempty"` // only records of this tenant; "-": of none
	Limit  int    `json:"limit"`            // 1 to limits.IDsPage
}

// IDsAnswer is the bridge's answer.
type IDsAnswer struct {
	IDs    []string `json:"ids"`
	More   bool     `json:"more,omitempty"`
	Reason string   `json:"reason,omitempty"` // why there is no answer
}

// idsSubject is where bridges answer for the ids of records.
func idsSubject(n Names) string { return n.Commands + ".ids" }

func (c *Catalog) askIDs(ctx context.Context, r IDsRequest) (answer IDsAnswer, err error) {
	if c.singly {
		return answer, ErrNoJudge
	}
	body, err := json.Marshal(r)
	if err != nil {
		return answer, err
	}
	asked, cancel := context.WithTimeout(ctx, limits.JudgeTime)
	defer cancel()
	msg, err := c.js.Conn().RequestWithContext(asked, idsSubject(c.names), body)
	if err == nil {
		err = json.Unmarshal(msg.Data, &answer)
	}
	if err == nil && answer.Reason != "" {
		err = errors.New(answer.Reason)
	}
	if err != nil {
		return IDsAnswer{}, fmt.Errorf("ask a bridge for the ids: %w", err)
	}
	return answer, nil
}

// ids answers for the ids of records.
func (c Commands) ids(ctx context.Context, _ *nats.Msg, r IDsRequest) any {
	if r.Limit < 1 || r.Limit > limits.IDsPage {
		return refusedAnswer{fmt.Sprintf("limit: must be from 1 to %d, is %d", limits.IDsPage, r.Limit), http.StatusBadRequest}
	}
	catalog := c.Explainer.Catalog
	ctx, cancel := context.WithTimeout(ctx, limits.JudgeTime/2)
	defer cancel()
	if err := catalog.await(ctx); err != nil {
		return IDsAnswer{Reason: err.Error()}
	}
	f := Filter{Tenant: r.Tenant}
	if r.Tenant == noTenant {
		f = Filter{Alone: true}
	}
	answer := IDsAnswer{IDs: []string{}}
	for _, p := range catalog.index.page(Everything(), f, r.After, r.Limit+1) {
		if answer.More = len(answer.IDs) == r.Limit; !answer.More {
			answer.IDs = append(answer.IDs, p.id)
		}
	}
	return answer
}

const noTenant = "-"

// readListed reads some records at the same time; those that are gone are left out.
func (c *Catalog) readListed(ctx context.Context, ids []string, verdicts bool) ([]Listed, error) {
	list, errs := make([]Listed, len(ids)), make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids {
		wg.Go(func() { list[i], errs[i] = c.listed(ctx, id, verdicts) })
	}
	wg.Wait()
	out := list[:0]
	for i, err := range errs {
		switch {
		case err == nil:
			out = append(out, list[i])
		case !errors.Is(err, protocol.ErrNotFound):
			return nil, fmt.Errorf("list the subscriptions: %w", err)
		}
	}
	return out, nil
}

func (c *Catalog) listed(ctx context.Context, id string, verdicts bool) (l Listed, err error) {
	e, err := readEntry(ctx, c.js, c.names.Subscriptions, id)
	l.Record = Record{id, e.Value, e.Revision, e.Time}
	if err != nil || !verdicts {
		return l, err
	}
	e, err = readEntry(ctx, c.js, c.names.Status, id)
	switch {
	case errors.Is(err, protocol.ErrNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
		return l, nil
	case err != nil:
		return l, err
	}
	l.Told = json.Unmarshal(e.Value, &l.Status) == nil
	return l, nil
}
