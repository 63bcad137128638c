package bridge

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// What the leader of shard 0 does for all shards: it completes a new layout,
// removes what the former one has left, carries out what was wished meanwhile,
// and forgets replicas that are gone (R18).

// tend does it until ctx ends.
func (r *Replica) tend(ctx context.Context) {
	var cleaned *crew // what was left of its former layouts is removed
	for told := ""; ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(limits.LayoutLook):
		}
		c := r.crew.Load()
		if c == nil || c.left.Load() || !c.leads(0) {
			continue
		}
		if err := r.tendOnce(ctx, c, &cleaned); err != nil && ctx.Err() == nil {
			if err.Error() != told {
				r.o.Logger.Warn("the layout cannot be seen to", "error", err)
			}
			told = err.Error()
			continue
		}
		told = ""
	}
}

func (r *Replica) tendOnce(ctx context.Context, c *crew, cleaned **crew) error {
	ctx, cancel := context.WithTimeout(ctx, limits.TermCallTime)
	defer cancel()
	l := r.layout.present(c.layout)
	switch {
	case !l.Done:
		leases, err := r.leases(ctx)
		if err != nil {
			return err
		}
		var present []protocol.LeaseEntry
		for k := range l.Shards {
			if e, there := leases[protocol.Shard{Layout: l.Generation, Number: k}]; there {
				present = append(present, e)
			}
		}
		if !l.Complete(present) {
			return nil
		}
		return r.changeLayout(ctx, func(l protocol.Layout) (protocol.Layout, error) {
			if l.Same(c.layout) {
				l.Done = true
			}
			return l, nil
		})
	case *cleaned != c && l.Generation > 0:
		if err := r.o.Shards.Remove(ctx, l.Generation); err != nil {
			return fmt.Errorf("remove what the former shards have left: %w", err)
		}
		*cleaned = c
	case l.Want > 0:
		return r.changeLayout(ctx, func(l protocol.Layout) (protocol.Layout, error) {
			if l.Want > 0 {
				l, _ = l.Next(l.Want)
			}
			return l, nil
		})
	}
	_, dead := r.peers.alive(r.o.Clock.Boot())
	for _, holder := range dead {
		if err := r.o.Shards.EndBeat(ctx, holder); err != nil {
			return fmt.Errorf("forget a replica that is gone: %w", err)
		}
	}
	return nil
}

// changeLayout changes the layout by compare-and-set.
func (r *Replica) changeLayout(ctx context.Context, change func(protocol.Layout) (protocol.Layout, error)) error {
	r.layout.settling.Lock()
	defer r.layout.settling.Unlock()
	for {
		value, revision, err := r.o.Layout.Get(ctx)
		if err != nil {
			return fmt.Errorf("read the layout: %w", err)
		}
		l, err := protocol.ParseLayout(value)
		known := r.layout.get()
		var bad error
		if err == nil {
			if bad, err = r.contradicted(ctx, l, known); err != nil {
				return err
			}
		}
		if err != nil || bad != nil || known != nil && l.Before(*known) {
			return errors.New("the key layout cannot be used at present: it is being written again")
		}
		next, err := change(l)
		if err != nil {
			return err
		}
		if next != l {
			_, err = r.o.Layout.Put(ctx, protocol.Encode(next), revision, "layout:"+rand.Text())
			if errors.Is(err, protocol.ErrDeposed) {
				continue
			}
			if err != nil {
				return fmt.Errorf("write the layout: %w", err)
			}
			r.tellChange(l, next)
		}
		r.layout.set(next)
		return nil
	}
}

func (r *Replica) tellChange(from, to protocol.Layout) {
	switch {
	case to.Generation != from.Generation:
		r.o.Logger.Info("the number of shards changes", "layout", to.Generation, "from", to.Former, "to", to.Shards)
	case to.Done && !from.Done && to.Former > 0:
		r.o.Logger.Info("the number of shards has changed: all are past what the former ones have settled", "layout", to.Generation,
			"from", to.Former, "to", to.Shards)
	case to.Want != from.Want:
		r.o.Logger.Info("the number of shards changes once the change before is done", "to", to.Want)
	}
}

// SetShards changes the number of shards (R18). It returns the layout as it is
// after that, which tells by want that a change before is not done yet;
// ErrNotLeader if another replica must be asked, and an error that says why it
// cannot be done otherwise.
func (r *Replica) SetShards(ctx context.Context, shards int) (protocol.Layout, error) {
	var after protocol.Layout
	if c := r.crew.Load(); c == nil || !c.leads(0) {
		return after, ErrNotLeader
	}
	if err := protocol.ValidShards(shards); err != nil {
		return after, err
	}
	err := r.changeLayout(ctx, func(l protocol.Layout) (protocol.Layout, error) {
		if err := r.o.Shards.Fits(ctx, l, shards); err != nil && shards != l.Shards {
			return l, err
		}
		after, _ = l.Next(shards)
		return after, nil
	})
	return after, err
}
