package bridge

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// layouts is what a replica knows of the layout (R17).
type layouts struct {
	settling sync.Mutex // while the bus is asked

	mu      sync.Mutex
	known   *protocol.Layout // nil: not yet
	changed chan struct{}    // it is another one
	told    string           // what was said last of a key that cannot be used
}

// present is the layout as it is known now if it is the same generation as l,
// else l: only done and want of one layout change.
func (k *layouts) present(l protocol.Layout) protocol.Layout {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known != nil && k.known.Same(l) {
		return *k.known
	}
	return l
}

func (k *layouts) get() *protocol.Layout {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.known
}

func (k *layouts) set(l protocol.Layout) {
	k.mu.Lock()
	defer k.mu.Unlock()
	other := k.known == nil || !k.known.Same(l)
	k.known = &l
	if other {
		select {
		case k.changed <- struct{}{}:
		default:
		}
	}
}

// settleLayout reads the layout from the leader of its stream. Where the key is of
// an earlier time than what is known here, it is written again; where it is gone
// or cannot be read it is if write says so, as it is known, or else as what is on
// the bus tells it.
func (r *Replica) settleLayout(ctx context.Context, write bool) (protocol.Layout, error) {
	r.layout.settling.Lock()
	defer r.layout.settling.Unlock()
	for {
		value, revision, err := r.o.Layout.Get(ctx)
		if err != nil {
			return protocol.Layout{}, fmt.Errorf("read the layout: %w", err)
		}
		known := r.layout.get()
		var read protocol.Layout
		var bad error
		if len(value) > 0 {
			read, bad = protocol.ParseLayout(value)
		}
		if len(value) > 0 && bad == nil {
			if bad, err = r.contradicted(ctx, read, known); err != nil {
				return protocol.Layout{}, err
			}
		}
		switch {
		case len(value) > 0 && bad == nil && (known == nil || !read.Before(*known)):
			r.layout.set(read)
			return read, nil
		case known != nil && !write && (len(value) == 0 || bad != nil):
			r.tellLayout(value, bad)
			return *known, nil
		}
		l, err := r.layoutAgain(ctx, known, bad)
		if err != nil {
			return protocol.Layout{}, err
		}
		if known != nil {
			r.tellLayout(value, bad)
		}
		_, err = r.o.Layout.Put(ctx, protocol.Encode(l), revision, "layout:"+crand.Text())
		switch {
		case errors.Is(err, protocol.ErrDeposed): // somebody was faster
			continue
		case err != nil:
			return protocol.Layout{}, fmt.Errorf("write the layout: %w", err)
		}
		r.layout.set(l)
		return l, nil
	}
}

// contradicted says why what was read cannot be the layout, though the leases tell
// what is known: it does not follow from that, or others would have led since.
func (r *Replica) contradicted(ctx context.Context, read protocol.Layout, known *protocol.Layout) (bad, err error) {
	if known == nil || read.Same(*known) || read.Follows(*known) {
		return nil, nil
	}
	leases, err := r.leases(ctx)
	if err != nil {
		return nil, err
	}
	if told, ok := protocol.LayoutOf(leases); ok && told.Same(*known) {
		return fmt.Errorf("it tells %d shards after %d in layout %d, the leases %d after %d in layout %d", read.Shards, read.Former,
			read.Generation, known.Shards, known.Former, known.Generation), nil
	}
	return nil, nil
}

// layoutAgain is what the layout should be where its key does not tell.
func (r *Replica) layoutAgain(ctx context.Context, known *protocol.Layout, bad error) (protocol.Layout, error) {
	if known != nil {
		return *known, nil
	}
	leases, err := r.leases(ctx)
	if err != nil {
		return protocol.Layout{}, err
	}
	if l, ok := protocol.LayoutOf(leases); ok {
		return l, nil
	}
	seen, found, err := r.o.Shards.Seen(ctx)
	switch {
	case err != nil:
		return protocol.Layout{}, fmt.Errorf("look for shards: %w", err)
	case found:
		return seen, nil
	case bad != nil:
		return protocol.Layout{}, fmt.Errorf("the key layout in the bucket of the lease cannot be read, and no lease tells it: delete the key, it is made again: %w", bad)
	}
	n := max(r.o.ShardCount, 1)
	if n > 1 {
		if err := r.o.Shards.Fits(ctx, protocol.FirstLayout(1, false), n); err != nil {
			r.o.Logger.Warn("there cannot be so many shards: there is one", "shards", n, "reason", err)
			n = 1
		}
	}
	return protocol.FirstLayout(n, false), nil
}

// leases are those of all shards that there are.
func (r *Replica) leases(ctx context.Context) (map[protocol.Shard]protocol.LeaseEntry, error) {
	found, err := r.o.Shards.Leases(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the leases: %w", err)
	}
	leases := map[protocol.Shard]protocol.LeaseEntry{}
	for shard, e := range found {
		leases[shard] = protocol.Sight(e.Value, e.Revision).Entry
	}
	return leases, nil
}

// closedThough looks for a newer layout than the key tells, where a shard of that
// one is closed: whoever closed it knew it, and its key was lost.
func (r *Replica) closedThough(ctx context.Context, l protocol.Layout) error {
	ctx, cancel := context.WithTimeout(ctx, limits.TermCallTime)
	defer cancel()
	if now, err := r.settleLayout(ctx, false); err != nil || !now.Same(l) {
		return err
	}
	leases, err := r.leases(ctx)
	if err != nil {
		return err
	}
	newer, ok := protocol.LayoutOf(leases)
	if !ok || !l.Before(newer) {
		return nil
	}
	return r.changeLayout(ctx, func(now protocol.Layout) (protocol.Layout, error) {
		if now.Same(l) {
			return newer, nil
		}
		return now, nil
	})
}

// tellLayout says once that somebody has spoilt the key.
func (r *Replica) tellLayout(value []byte, bad error) {
	text := "the key layout was deleted by somebody"
	switch {
	case bad != nil:
		text = "the key layout was overwritten by somebody: " + bad.Error()
	case len(value) > 0:
		text = "the key layout is of an earlier time: somebody has restored it"
	}
	r.layout.mu.Lock()
	again := r.layout.told == text
	r.layout.told = text
	r.layout.mu.Unlock()
	if !again {
		r.o.Logger.Warn(text + "; who leads writes it again")
	}
}

// firstLayout finds out the layout, however long the bus does not tell.
func (r *Replica) firstLayout(ctx context.Context) (protocol.Layout, error) {
	for told := ""; ; {
		l, err := r.tryLayout(ctx, true)
		if err == nil {
			return l, nil
		}
		if ctx.Err() != nil {
			return l, ctx.Err()
		}
		why := "the lease cannot be read: " + err.Error()
		r.lacks.Store(&why)
		if why != told {
			r.o.Logger.Warn("the layout cannot be read yet", "error", err)
		}
		told = why
		select {
		case <-ctx.Done():
			return l, ctx.Err()
		case <-time.After(limits.LayoutLook):
		}
	}
}

func (r *Replica) tryLayout(ctx context.Context, write bool) (protocol.Layout, error) {
	ctx, cancel := context.WithTimeout(ctx, limits.TermCallTime)
	defer cancel()
	return r.settleLayout(ctx, write)
}

// followLayout sees changes of the layout, and writes the key again where this
// replica leads.
func (r *Replica) followLayout(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(limits.LayoutLook):
		}
		if _, err := r.tryLayout(ctx, r.Condition().Role == RoleLeader); err != nil && ctx.Err() == nil {
			r.o.Logger.Debug("the layout cannot be read", "error", err)
		}
	}
}
