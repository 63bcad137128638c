package bridge

import (
	"context"
	crand "crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// crew are the seats of one layout.
type crew struct {
	r      *Replica
	layout protocol.Layout // as it was when they began: only done and want of it change
	seats  []*seat         // by number of the shard
	former []Parts         // of the shards of the layout before, by number, where they are to be regarded
	cancel context.CancelFunc
	left   atomic.Bool // the layout is another one: they hand over
	over   chan struct{}
	// formers are the closed leases of the former shards, by number, once all are
	// closed and fenced; nil until then.
	formers  atomic.Pointer[[]protocol.LeaseEntry]
	reopened chan struct{} // one of them is not closed any more
	told     atomic.Bool   // that a build that knows of no shards has taken one
	taking   sync.Mutex    // while it is decided who takes what
}

// begin lets a seat for each shard of the layout stand by.
func (r *Replica) begin(ctx context.Context, g *errgroup.Group, l protocol.Layout) *crew {
	ctx, cancel := context.WithCancel(ctx)
	c := &crew{r: r, layout: l, cancel: cancel, over: make(chan struct{}), reopened: make(chan struct{}, 1)}
	for k := range l.Shards {
		c.seats = append(c.seats, newSeat(&r.o, c, k))
	}
	if !l.Done {
		for k := range l.Former {
			c.former = append(c.former, r.o.Seat(l.FormerLayout(), k))
		}
	}
	r.following.stand(l)
	var running sync.WaitGroup
	for _, s := range c.seats {
		running.Add(1)
		g.Go(func() error {
			defer running.Done()
			err := s.run(ctx)
			if err != nil && c.left.Load() {
				s.logger.Warn("the shard was not handed over in good order: its lease has to run out", "reason", err)
				return nil
			}
			return err
		})
	}
	if len(c.former) > 0 {
		running.Add(1)
		g.Go(func() error {
			defer running.Done()
			for c.closeFormers(ctx) {
			}
			return nil
		})
	}
	go func() {
		running.Wait()
		close(c.over)
	}()
	return c
}

// leave lets the seats hand over: there is another layout.
func (c *crew) leave() {
	c.left.Store(true)
	c.cancel()
}

// leads says whether the seat of the shard leads.
func (c *crew) leads(number int) bool {
	return number < len(c.seats) && c.seats[number].condition().Role == RoleLeader
}

// took notes that the seat leads, or takes over, and how it is made to hand over.
func (c *crew) took(s *seat, release func()) {
	c.taking.Lock()
	defer c.taking.Unlock()
	s.release = release
}

// formersFor are the closed leases that a shard with that entry has to regard;
// wait: they are not closed yet.
func (c *crew) formersFor(own protocol.LeaseEntry) (formers []protocol.LeaseEntry, wait bool) {
	if !c.r.layout.present(c.layout).Regards(own) {
		return nil, false
	}
	if f := c.formers.Load(); f != nil {
		return *f, false
	}
	return nil, true
}

// readFormers reads the closed leases again, as each take-over does (R18):
// somebody may have deleted them since, and then a former shard may have gone on.
func (c *crew) readFormers(ctx context.Context, known []protocol.LeaseEntry) ([]protocol.LeaseEntry, error) {
	if len(known) == 0 {
		return nil, nil
	}
	entries := make([]protocol.LeaseEntry, len(known))
	var reading errgroup.Group
	for k := range entries {
		reading.Go(func() error {
			sight, err := readLease(ctx, c.former[k].Lease)
			if err != nil {
				return err
			}
			closed := false
			if entries[k], closed, err = c.closed(ctx, k, sight.Entry); err == nil && !closed {
				err = errReopened
			}
			return err
		})
	}
	err := reading.Wait()
	if errors.Is(err, errReopened) {
		c.formers.Store(nil)
		select {
		case c.reopened <- struct{}{}:
		default:
		}
	}
	return entries, err
}

// closed is the entry of a former shard as it was closed, if it was: one that a
// build that knows of no shards has taken since, which can do nothing with it,
// counts as closed. Such a build takes it again as soon as it is closed again.
func (c *crew) closed(ctx context.Context, number int, e protocol.LeaseEntry) (protocol.LeaseEntry, bool, error) {
	if e.Closed || e.Absent() {
		return e, e.Closed, nil
	}
	shard := c.layout.FormerShard(number)
	fenced, err := c.r.o.Shards.Fenced(ctx, shard)
	if err != nil || !fenced {
		return e, false, err
	}
	if !c.told.Swap(true) {
		c.r.o.Logger.Warn("a build that knows of no shards takes the lease of a former shard again and again; it is kept out and delivers nothing: stop it",
			"layout", shard.Layout, "shard", shard.Number, "holder", e.Holder)
	}
	return protocol.Closed(e), true, nil
}

var errReopened = errors.New("a former shard is not closed any more: somebody has deleted its lease")

// closeFormers closes the leases of all former shards for good, and then
// overwrites their fences (R18). It goes on until it is done, or not needed any
// more. Other replicas do the same: whoever comes second finds it done. True: it
// has to be done again.
func (c *crew) closeFormers(ctx context.Context) (again bool) {
	entries := make([]protocol.LeaseEntry, c.layout.Former)
	var closing errgroup.Group
	for k := range entries {
		closing.Go(func() (err error) {
			entries[k], err = c.closeFormer(ctx, k)
			return err
		})
	}
	if closing.Wait() != nil {
		return false // ended, or not needed any more
	}
	// Only then: a leader may go on until its lease is closed.
	for k := range entries {
		for c.shut(ctx, k) != nil {
			if c.pause(ctx) != nil {
				return false
			}
			var err error
			if entries[k], err = c.closeFormer(ctx, k); err != nil { // one of a former build may have taken it
				return false
			}
		}
	}
	c.formers.Store(&entries)
	c.r.o.Logger.Info("the former shards are closed", "layout", c.layout.Generation, "shards", c.layout.Former)
	select {
	case <-ctx.Done():
		return false
	case <-c.reopened:
		return true
	}
}

// pause waits before something is tried again; an error: it is not needed any more.
func (c *crew) pause(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(limits.FormerLook):
	}
	if c.r.layout.present(c.layout).Done {
		return errDone
	}
	return nil
}

var errDone = errors.New("the layout is done")

// closeFormer closes the lease of a former shard as soon as that may be.
func (c *crew) closeFormer(ctx context.Context, number int) (protocol.LeaseEntry, error) {
	watch := protocol.Closing{Patience: c.seats[0].patience()}
	log := c.r.o.Logger.With("layout", c.layout.Generation-1, "shard", number)
	for told := ""; ; {
		entry, err := c.tryClosing(ctx, number, &watch)
		if err == nil && entry.Closed {
			return entry, nil
		}
		if err != nil && ctx.Err() == nil && err.Error() != told {
			told = err.Error()
			log.Warn("a former shard cannot be closed yet", "error", err)
		}
		if err := c.pause(ctx); err != nil {
			return entry, err
		}
	}
}

// tryClosing closes the lease if it may be; an entry that is not closed: not yet.
func (c *crew) tryClosing(ctx context.Context, number int, watch *protocol.Closing) (e protocol.LeaseEntry, err error) {
	parts := &c.former[number]
	ctx, cancel := context.WithTimeout(ctx, limits.TermCallTime)
	defer cancel()
	sight, err := readLease(ctx, parts.Lease)
	if err != nil {
		return e, err
	}
	watch.Observe(sight, c.r.o.Clock.Boot())
	if watch.Closed() {
		e, _ := watch.Seen()
		return e, nil
	}
	if e, closed, err := c.closed(ctx, number, sight.Entry); err != nil || closed {
		return e, err
	}
	if sight.Entry.Absent() {
		traces, err := parts.Traces(ctx)
		if err != nil {
			return e, err
		}
		watch.Fresh = !traces.Any
	}
	if watch.Wait(c.r.o.Clock.Boot()) > 0 {
		return e, nil
	}
	seen, revision := watch.Seen()
	if seen.Absent() {
		// One that is gone may be gone because the layout is done.
		if l, err := c.r.settleLayout(ctx, false); err != nil || l.Done || !l.Same(c.layout) {
			return e, err
		}
		if seen.Floor, err = lastFloor(ctx, parts); err != nil {
			return e, err
		}
	}
	e = protocol.Closed(seen)
	e.Layout = &c.layout // that has closed it: it can be made again
	_, err = parts.Lease.Put(ctx, protocol.Encode(e), revision, "close:"+crand.Text())
	if errors.Is(err, protocol.ErrDeposed) {
		return protocol.LeaseEntry{}, nil // somebody was faster: look again
	}
	if err != nil {
		return protocol.LeaseEntry{}, err
	}
	return e, nil
}

// lastFloor is what the newest durable of a shard has confirmed; 0: there is none.
func lastFloor(ctx context.Context, parts *Parts) (uint64, error) {
	feed, err := parts.Feed()
	if err != nil {
		return 0, err
	}
	floor, _, err := feed.Floor(ctx, newestEpoch)
	return floor, errors.Join(err, feed.Close())
}

// newestEpoch is above all that there are.
const newestEpoch = 1 << 53

// shut overwrites the fences of a former shard.
func (c *crew) shut(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(ctx, limits.TermCallTime)
	defer cancel()
	err := c.r.o.Shards.CloseFences(ctx, c.layout.FormerShard(number))
	if errors.Is(err, ErrNotClosed) {
		if fenced, _ := c.r.o.Shards.Fenced(ctx, c.layout.FormerShard(number)); fenced {
			return nil
		}
	}
	if err != nil && ctx.Err() == nil {
		c.r.o.Logger.Warn("the fences of a former shard cannot be overwritten yet", "layout", c.layout.Generation-1, "shard", number,
			"error", err)
	}
	return err
}
