package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"orderbridge/internal/limits"
	"orderbridge/internal/store"
)

// livePath answers server-sent events: what comes to the delivery log, or with the
// parameter of to another stream, as it comes.
//
//	attempt  an entry, its id that of the entry: Last-Event-ID, or the parameter above,
//	         goes on behind it
//	event    of=events: an event of the source stream; likewise
//	alert    of=alerts: an alert; likewise
//	status   of=statuses: what the bridge says of a subscription, when that changes; likewise
//	gap      some were left out, since too many came at once
//	end      the stream ends and is to be opened again (the program stops, or the
//	         caller is known no longer); data says why
const livePath = "/api/v1/live"

// EndStreams ends all that is live; for the program's stop.
func (a *API) EndStreams() { a.endStreams() }

func (a *API) live(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r.Context())
	p := parameters{r: r}
	q := store.AttemptQuery{Subscription: p.text("subscription", 64), Outcome: p.text("outcome", 64)}
	of := p.word("of", "attempts", "events", "alerts", "statuses")
	above, err := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		above = p.below("above")
	}
	if member, err := q.Check(); err != nil {
		p.say("query", member, "%v", err)
	}
	if err := p.wrong(); err != nil {
		a.respond(w, r, answer{}, err)
		return
	}
	give, ok := a.pools.live.Take(c.share)
	if !ok {
		a.tooMany(w, r, "too many streams of this caller at once")
		return
	}
	defer give()
	defer a.o.Busy(r.Context())()
	look := a.lookAt(c, q, of)
	now, err := look(r.Context(), math.MaxUint64)
	if err != nil {
		a.respond(w, r, answer{}, err)
		return
	}
	if above == 0 || above > now.last {
		above = now.last
	}
	s := &liveStream{w: w, out: http.NewResponseController(w)}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy that buffers would keep it all
	// Whoever asks by HEAD asks for nothing more, and keeps the connection.
	if r.Method != http.MethodHead && s.say("retry: 2000\n\n") == nil {
		s.follow(a, r, c, a.sharedLook(liveKey{c.scope, q, of}, look), above)
	}
}

// liveLook tells what has come above a sequence.
type liveLook func(ctx context.Context, above uint64) (liveFound, error)

// liveFound is what came between two sequences.
type liveFound struct {
	above, last uint64
	leftOut     bool
	items       []liveItem
}

// liveItem is what a stream tells of one.
type liveItem struct {
	id   uint64
	text string
}

// text is what came above a sequence, as server-sent events.
func (f liveFound) text(above uint64) string {
	var b strings.Builder
	if f.leftOut && above < f.last {
		b.WriteString("event: gap\ndata: {}\n\n")
	}
	for _, x := range f.items {
		if above < x.id {
			b.WriteString(x.text)
		}
	}
	return b.String()
}

// liveKey is what a stream is about.
type liveKey struct {
	scope store.Scope
	q     store.AttemptQuery
	of    string
}

// sharedLook shares a look with the other streams that are about the same.
func (a *API) sharedLook(key liveKey, look liveLook) liveLook {
	return func(ctx context.Context, above uint64) (liveFound, error) {
		fits := func(f liveFound) bool { return f.above <= above && above <= f.last }
		return a.looks.get(ctx, key, fits, func(ctx context.Context) (liveFound, error) { return look(ctx, above) })
	}
}

// lookAt is how to look at what was asked for.
func (a *API) lookAt(c *caller, q store.AttemptQuery, of string) liveLook {
	switch of {
	case "events":
		return lookNow("event", c, a.o.Catalog.EventsNow, func(x store.StreamEvent) uint64 { return x.Sequence })
	case "alerts":
		return lookNow("alert", c, a.o.Catalog.AlertsNow, func(x store.AlertEntry) uint64 { return x.Sequence })
	case "statuses":
		return lookNow("status", c, a.o.Catalog.StatusesNow, func(x store.StatusNow) uint64 { return x.Entry })
	}
	return lookNow("attempt", c, func(ctx context.Context, scope store.Scope, above uint64) (store.Now[store.Attempt], error) {
		if above == math.MaxUint64 {
			page, err := a.o.Catalog.Attempts(ctx, scope, store.AttemptQuery{}, 0, 1)
			return store.Now[store.Attempt]{Last: page.Last}, err
		}
		return a.o.Catalog.AttemptsNow(ctx, scope, q, above)
	}, func(x store.Attempt) uint64 { return x.Entry })
}

// lookNow is a look by a function of the catalog; id is that of an item.
func lookNow[T any](name string, c *caller, read func(context.Context, store.Scope, uint64) (store.Now[T], error),
	id func(T) uint64) liveLook {
	return func(ctx context.Context, above uint64) (liveFound, error) {
		came, err := read(ctx, c.scope, above)
		return liveFound{above: above, last: came.Last, leftOut: came.LeftOut, items: itemsOf(name, came, id)}, err
	}
}

// liveStream writes one stream.
type liveStream struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	said time.Time
}

// say sends what was written, or ends the stream.
func (s *liveStream) say(text string) error {
	now := time.Now()
	if err := s.out.SetWriteDeadline(now.Add(limits.LiveWriteTime)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	s.said = now
	return s.out.Flush()
}

// follow writes what comes, until the caller goes away, is known no longer, or the
// program stops.
func (s *liveStream) follow(a *API, r *http.Request, c *caller, look liveLook, above uint64) {
	// The listener stops reading after a time; a stream lasts longer.
	_ = s.out.SetReadDeadline(time.Time{}) // else it ends earlier, and is opened again
	tick := time.NewTicker(limits.LiveLook)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-a.streamsEnd:
			_ = s.say("event: end\ndata: the program stops\n\n")
			return
		case <-tick.C:
		}
		if !a.stillKnown(r, c) {
			_ = s.say("event: end\ndata: log in again\n\n")
			return
		}
		found, err := look(r.Context(), above)
		if err != nil {
			a.o.Log.Debug("api: a stream could not be read; it is read again", "error", err)
			continue
		}
		text := found.text(above)
		above = found.last
		if text == "" && time.Since(s.said) >= limits.LiveBeat {
			text = ": it lives\n\n"
		}
		if text != "" && s.say(text) != nil {
			return
		}
	}
}

func itemsOf[T any](name string, came store.Now[T], id func(T) uint64) []liveItem {
	items := make([]liveItem, len(came.Items))
	for i, x := range came.Items {
		items[i] = liveItem{id(x), fmt.Sprintf("id: %d\nevent: %s\ndata: %s\n\n", id(x), name, bytes.TrimSpace(encode(x)))}
	}
	return items
}
