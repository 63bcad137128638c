package secrets

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"orderbridge/bridge/record"
	"orderbridge/internal/limits"
)

// Refused are the records that cannot be used because a secret is not for
// them. What says so may change while the program runs (the file of hosts beside
// a secret), and nobody would put the record again for that. The zero value
// holds none. Safe for concurrent use.
type Refused struct {
	mu      sync.Mutex
	records map[string]*record.Subscription
}

// Note remembers whether the record is refused; it is called after each time
// that one is read.
func (r *Refused) Note(s *record.Subscription, problems record.Problems) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if problems.Err() == nil {
		delete(r.records, s.ID)
		return
	}
	if r.records == nil {
		r.records = map[string]*record.Subscription{}
	}
	r.records[s.ID] = s
}

// Watch has a record read again by reread as soon as check finds nothing wrong
// with it any more. It returns when ctx ends.
func (r *Refused) Watch(ctx context.Context, check func(*record.Subscription) record.Problems,
	reread func(context.Context, string) error, log *slog.Logger) error {
	tick := time.NewTicker(limits.SecretRecheck)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		for _, s := range r.list() {
			if ctx.Err() != nil {
				return nil
			}
			if check(s).Err() != nil {
				continue
			}
			call, cancel := context.WithTimeout(ctx, limits.CommandCallTime)
			err := reread(call, s.ID)
			cancel()
			if err == nil {
				r.forget(s)
			} else if !errors.Is(err, context.Canceled) {
				log.Warn("a record whose secret may be used by now cannot be read again", "subscription_id", s.ID,
					"error", err)
			}
		}
	}
}

func (r *Refused) list() (list []*record.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.records {
		list = append(list, s)
	}
	return list
}

// forget is for records that have gone, or are others by now.
func (r *Refused) forget(s *record.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.records[s.ID] == s {
		delete(r.records, s.ID)
	}
}
