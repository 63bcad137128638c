package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync"
	"time"

	"orderbridge/bridge"
	"orderbridge/internal/egress"
	"orderbridge/internal/limits"
)

// refusals are the records that cannot be used because a secret is not for
// them. What says so may change while the program runs (the file of hosts beside
// a secret), and nobody would put the record again for that.
type refusals struct {
	mu      sync.Mutex
	records map[string]*bridge.Subscription
}

// note remembers whether the record is refused, after each time that it is read.
func (r *refusals) note(s *bridge.Subscription, problems bridge.Problems) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if problems.Err() == nil {
		delete(r.records, s.ID)
		return
	}
	if r.records == nil {
		r.records = map[string]*bridge.Subscription{}
	}
	r.records[s.ID] = s
}

func (r *refusals) list() (list []*bridge.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.records {
		list = append(list, s)
	}
	return list
}

// forget is for records that have gone, or are others by now.
func (r *refusals) forget(s *bridge.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.records[s.ID] == s {
		delete(r.records, s.ID)
	}
}

// watchRefusals has a record read again once nothing is refused any more.
func (a *app) watchRefusals(ctx context.Context, b *bridge.Bridge) error {
	tick := time.NewTicker(limits.SecretRecheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, s := range a.refused.list() {
			if ctx.Err() != nil {
				return nil
			}
			if a.webhook.Check(s).Err() != nil {
				continue
			}
			call, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
			err := b.Reread(call, s.ID)
			cancel()
			if err == nil {
				a.refused.forget(s)
			} else if !errors.Is(err, context.Canceled) {
				a.log.Warn("a record whose secret may be used by now cannot be read again", "subscription_id", s.ID, "error", err)
			}
		}
	}
}

// sayUnbound tells of secrets of the environment that may go nowhere.
func (a *app) sayUnbound() {
	const most = 10
	remarks := a.secrets.Unbound(os.Environ())
	for _, r := range remarks[:min(len(remarks), most)] {
		a.log.Warn("secret: " + r)
	}
	if more := len(remarks) - most; more > 0 {
		a.log.Warn("secret: there are more that go nowhere", "count", more)
	}
}

// sayWide tells what an allowed network opens, or does not open though it holds it.
func (a *app) sayWide() {
	for _, prefix := range a.cfg.EgressAllow {
		if remark := egress.Wide(prefix); remark != "" {
			a.log.Warn(egress.Setting+": "+prefix.String()+" "+remark, "network", prefix.String())
		}
	}
}

// read parses a record for the bridge, and remembers it where a secret of it is
// refused.
func (a *app) read(parse func(string, []byte) (*bridge.Subscription, bridge.Problems)) func(string, []byte) (*bridge.Subscription, bridge.Problems) {
	return func(id string, data []byte) (*bridge.Subscription, bridge.Problems) {
		s, problems := parse(id, data)
		if s != nil {
			a.refused.note(s, problems)
		}
		return s, slices.Clip(problems)
	}
}
