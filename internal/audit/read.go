package audit

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
	"orderbridge/internal/store"
)

// Query says which entries are wanted; what is empty is any.
type Query struct {
	Subscription string
	Action       string
	Who          string // part of what tells who it was
	Since        time.Time
	From         uint64 // only what stands at this sequence of the stream or after it; 0: all
	Limit        int    // of the newest; more than limits.AuditPage is not given
}

func (q Query) filter(n store.Names) string {
	subscription, action := "*", "*"
	if q.Subscription != "" {
		subscription = token(q.Subscription)
	}
	if q.Action != "" {
		action = token(q.Action)
	}
	return n.AuditSubject + ".*." + subscription + "." + action
}

func (q Query) wants(e *Entry) bool {
	if q.Who == "" {
		return true
	}
	w := e.Data.Who
	for _, s := range []string{w.String(), w.Via, w.Tenant, w.Address, w.Request, w.Client} {
		if strings.Contains(strings.ToLower(s), strings.ToLower(q.Who)) {
			return true
		}
	}
	return false
}

// Found is what Read gives.
type Found struct {
	Entries []Entry `json:"entries"`           // the newest last
	Next    uint64  `json:"next"`              // sequence after the last one in the stream
	Stopped bool    `json:"stopped,omitempty"` // there may be older ones: so many were looked through
}

// Read gives the newest entries that a query wants. It needs the permissions to
// read the state of the stream and single messages, and no consumer.
func Read(ctx context.Context, js jetstream.JetStream, n store.Names, q Query) (Found, error) {
	info, err := msgget.Info(ctx, js, n.Audit)
	if err != nil {
		return Found{}, err
	}
	limit := min(max(q.Limit, 1), limits.AuditPage)
	r := reader{js: js, names: n, q: q, most: limit}
	high, first := info.State.LastSeq, max(info.State.FirstSeq, q.From)
	for window := uint64(256); info.State.Msgs > 0 && high >= first && len(r.found) < limit && !r.old; window *= 2 {
		low := first
		if high-first >= window {
			low = high - window + 1
		}
		if r.scanned >= limits.AuditScan {
			return Found{r.found, info.State.LastSeq + 1, true}, nil
		}
		if err := r.window(ctx, low, high); err != nil {
			return Found{}, err
		}
		high = low - 1
	}
	return Found{r.found, info.State.LastSeq + 1, false}, nil
}

type reader struct {
	js      jetstream.JetStream
	names   store.Names
	q       Query
	most    int
	found   []Entry
	scanned int
	old     bool // what lies before is older than wanted
}

// window puts what is wanted of [low, high] before what was found.
func (r *reader) window(ctx context.Context, low, high uint64) error {
	if first, err := msgget.Next(ctx, r.js, r.names.Audit, low, r.names.AuditSubject+".>"); err == nil &&
		first.Time.Before(r.q.Since) {
		r.old = true
	}
	var part []Entry
	for next := low; next <= high; {
		m, err := msgget.Next(ctx, r.js, r.names.Audit, next, r.q.filter(r.names))
		if errors.Is(err, protocol.ErrNotFound) || err == nil && m.Seq > high {
			break
		}
		if err != nil {
			return err
		}
		next = m.Seq + 1
		r.scanned++
		if e, ok := r.q.read(m); ok {
			part = append(part, e)
		}
	}
	part = append(part, r.found...)
	r.found = slices.Clone(part[max(0, len(part)-r.most):])
	return nil
}

// read is false for what the query does not want, and what is not an entry.
func (q Query) read(m *event.Message) (e Entry, ok bool) {
	if m.Time.Before(q.Since) || json.Unmarshal(m.Data, &e) != nil {
		return e, false
	}
	return e, q.wants(&e)
}

// Follow gives what comes from a sequence on, until ctx ends, and where to go on after
// an error.
func Follow(ctx context.Context, js jetstream.JetStream, n store.Names, q Query, next uint64, fn func(Entry) error) (uint64, error) {
	for {
		m, err := msgget.Next(ctx, js, n.Audit, next, q.filter(n))
		switch {
		case ctx.Err() != nil:
			return next, nil
		case errors.Is(err, protocol.ErrNotFound):
			if !sleep(ctx, limits.AuditCheck) {
				return next, nil
			}
			continue
		case err != nil:
			return next, err
		}
		next = m.Seq + 1
		if e, ok := q.read(m); ok {
			if err := fn(e); err != nil {
				return next, err
			}
		}
	}
}
