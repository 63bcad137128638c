package filter

import (
	"context"
	"errors"
	"sync"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// documents are those of the events that are evaluated at present. An event is
// read once for all filters that are asked about it; what all take together is
// bounded. One that nobody uses stays as long as its room is not needed: the
// next filter often asks about the same event.
type documents struct {
	mu     sync.Mutex
	room   int // bytes that are left
	idle   int // bytes of those that nobody uses
	byName map[event.Ref]*shared
	unused []*shared // the longest unused first

	waiting int           // for room
	wake    chan struct{} // closed when there may be some
}

// shared is the document of an event.
type shared struct {
	event *event.Event
	name  event.Ref // not known: it is not found again
	users int
	bytes int
	once  sync.Once
	doc   *document
	err   error
}

// acquire gives the event's document, and its way back. It waits for room.
func (d *documents) acquire(ctx context.Context, e *event.Event) (*document, func(), error) {
	for {
		s := d.join(e)
		s.once.Do(func() { s.err = d.read(ctx, s) })
		if s.err == nil {
			return s.doc, func() { d.leave(s, false) }, nil
		}
		d.leave(s, true)
		if ctx.Err() != nil || !errors.Is(s.err, context.Canceled) && !errors.Is(s.err, context.DeadlineExceeded) {
			return nil, nil, s.err
		}
	}
}

// join finds the document of an event, or a place for it.
func (d *documents) join(e *event.Event) *shared {
	name := e.Ref()
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.byName[name]; s != nil && sameData(s.event, e) {
		if s.users == 0 {
			d.use(s)
		}
		s.users++
		return s
	}
	s := &shared{event: e, users: 1}
	if d.byName[name] == nil && !e.Time.IsZero() {
		s.name = name
		d.byName[name] = s
	}
	return s
}

// use takes one out of those that nobody uses.
func (d *documents) use(s *shared) {
	for i, u := range d.unused {
		if u == s {
			d.unused = append(d.unused[:i], d.unused[i+1:]...)
			d.idle -= s.bytes
			return
		}
	}
}

// read makes the document. The context is that of the first who asked; the
// others try again when that ends.
func (d *documents) read(ctx context.Context, s *shared) error {
	r := read(s.event)
	if r.refuse != nil {
		return r.refuse
	}
	if err := d.reserve(ctx, s, r.need); err != nil {
		return err
	}
	s.doc = fill(r.text, r.count)
	return nil
}

// reserve waits until there is room. Whoever waits holds none.
func (d *documents) reserve(ctx context.Context, s *shared, need int) error {
	for {
		d.mu.Lock()
		for d.room < need && len(d.unused) > 0 {
			d.forget(d.unused[0])
		}
		if d.room >= need {
			d.room -= need
			s.bytes = need
			d.mu.Unlock()
			return nil
		}
		wake := d.wake
		d.waiting++
		d.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// forget drops the document of one that nobody uses.
func (d *documents) forget(s *shared) {
	d.use(s)
	d.drop(s)
}

func (d *documents) drop(s *shared) {
	d.room += s.bytes
	s.bytes = 0
	if d.byName[s.name] == s {
		delete(d.byName, s.name)
	}
}

// leave ends a use. What could not be read is not kept.
func (d *documents) leave(s *shared, failed bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s.users--
	switch {
	case failed && d.byName[s.name] == s:
		delete(d.byName, s.name)
	case failed || s.users > 0:
		return
	case s.name == (event.Ref{}):
		d.drop(s)
	default:
		d.unused = append(d.unused, s)
		d.idle += s.bytes
		for d.idle > limits.FilterIdleBytes {
			d.forget(d.unused[0])
		}
	}
	if d.waiting > 0 {
		d.waiting = 0
		close(d.wake)
		d.wake = make(chan struct{})
	}
}
