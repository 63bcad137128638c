package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
	"orderbridge/internal/msgget"
)

// AlertEntry is a stored alert.
type AlertEntry struct {
	Sequence uint64 `json:"sequence"`
	protocol.Alert
}

// AlertPage is one page of the alerts.
type AlertPage struct {
	Items []AlertEntry `json:"items"`
	Next  uint64       `json:"next,omitempty"` // what to give as before for older ones; 0: there are no more
}

// Alerts returns the newest limit alerts below a sequence (0: all) that the scope
// holds, newest first. protocol.ErrNotFound if there is no such stream. A page may
// end earlier, bounded by what it reads.
func (c *Catalog) Alerts(ctx context.Context, scope Scope, before uint64, limit int) (AlertPage, error) {
	page := AlertPage{Items: []AlertEntry{}}
	o := owners{catalog: c, scope: scope}
	next, err := c.newest(ctx, c.names.Alerts, c.names.AlertSubject+".>", before, func(m *event.Message) (bool, error) {
		a, ok := alertOf(m)
		if !ok {
			return true, nil
		}
		own, err := o.hold(ctx, a.Subscription, a.Generation)
		if own {
			page.Items = append(page.Items, a)
		}
		return len(page.Items) < limit, err
	})
	page.Next = next
	return page, err
}

// alertOf reads a stored alert.
func alertOf(m *event.Message) (AlertEntry, bool) {
	var x struct {
		Data protocol.Alert `json:"data"`
	}
	err := json.Unmarshal(m.Data, &x)
	return AlertEntry{m.Seq, x.Data}, err == nil
}

// streamInfo is what the server says of a stream. protocol.ErrNotFound if it has never
// been made.
func (c *Catalog) streamInfo(ctx context.Context, stream string) (*jetstream.StreamInfo, error) {
	info, err := msgget.Info(ctx, c.js, stream)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = protocol.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %q: %w", stream, err)
	}
	return info, nil
}

// newest calls fn for the messages of a stream below a sequence (0: all), newest
// first, until it has enough, and tells where to go on: 0 if there are no more. It
// looks at limits.NewestLook of them at most.
func (c *Catalog) newest(ctx context.Context, stream, filter string, before uint64,
	fn func(*event.Message) (more bool, err error)) (next uint64, err error) {
	info, err := c.streamInfo(ctx, stream)
	if err != nil {
		return 0, err
	}
	low, high := max(info.State.FirstSeq, 1), info.State.LastSeq
	if before > 0 {
		high = min(high, before-1)
	}
	const window = 64
	for looked := 0; info.State.Msgs > 0 && high >= low; {
		if looked >= limits.NewestLook {
			return high + 1, nil
		}
		from := low
		if high-low >= window {
			from = high - window + 1
		}
		part, err := scan(ctx, c.js, stream, filter, from, high, window,
			func(m *event.Message) (*event.Message, bool, error) { return m, true, nil })
		if err != nil {
			return 0, err
		}
		looked += window
		for _, m := range slices.Backward(part) {
			if more, err := fn(m); err != nil || !more {
				if m.Seq <= low {
					return 0, err
				}
				return m.Seq, err
			}
		}
		high = from - 1
	}
	return 0, nil
}

// StreamEvent is an event of the source stream.
type StreamEvent struct {
	Sequence  uint64    `json:"sequence"`
	Published time.Time `json:"published"`
	Subject   string    `json:"subject"`
	Order     string    `json:"order,omitempty"`
	EventType string    `json:"eventType,omitempty"`
	EventID   string    `json:"eventId"` // what its publisher calls it, else that of the bus
	Tenant    string    `json:"tenant,omitempty"`
	Bytes     int       `json:"bytes"`
	Data      string    `json:"data,omitempty"` // its beginning, if it is text
}

// EventPage is one page of events.
type EventPage struct {
	Items []StreamEvent `json:"items"`
	Next  uint64        `json:"next,omitempty"` // what to give as before for older ones; 0: there are no more
}

// Events returns the newest limit events of the source stream below a sequence (0:
// all) that the scope holds, newest first. A page may end earlier, bounded by what
// it reads.
func (c *Catalog) Events(ctx context.Context, scope Scope, before uint64, limit int) (EventPage, error) {
	page := EventPage{Items: []StreamEvent{}}
	if c.events == nil {
		return page, protocol.ErrNotFound
	}
	next, err := c.newest(ctx, c.names.Stream, ">", before, func(m *event.Message) (bool, error) {
		e := c.events.Decode(m)
		if e.Not == "" && scope.holds(e.Tenant) {
			page.Items = append(page.Items, shownEvent(e))
		}
		return len(page.Items) < limit, nil
	})
	page.Next = next
	return page, err
}

func shownEvent(e *event.Event) StreamEvent {
	out := StreamEvent{Sequence: e.Seq, Published: e.Time.UTC(), Subject: e.Subject, Order: cmp.Or(e.OrderID, e.LegacyOrderID),
		EventType: e.Type, EventID: cmp.Or(e.PublisherID, e.ID), Tenant: e.Tenant, Bytes: len(e.Data)}
	if data := e.Data[:min(len(e.Data), limits.EventExcerpt)]; utf8.Valid(e.Data) {
		out.Data = strings.ToValidUTF8(string(data), "") // a letter may be cut
	}
	return out
}
