package api

import (
	"context"
	"errors"
	"sync"
	"time"

	"orderbridge/internal/limits"
)

// shared lets those who ask the same at about the same time share one answer: a
// hundred pages that are open then cost the bus about as much as one does.
type shared[K comparable, V any] struct {
	fresh time.Duration // that an answer is good for
	most  int           // questions whose answers are kept

	mu   sync.Mutex
	kept map[K]*sharedAnswer[V]
}

// sharedAnswer can be read once it is done.
type sharedAnswer[V any] struct {
	done  chan struct{}
	at    time.Time
	value V
	err   error
}

func (a *sharedAnswer[V]) isDone() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

var errNoAnswer = errors.New("what was asked ended without an answer")

// get returns an answer that fits: one that is kept, one that somebody waits for
// already, or what find says. find does not end with its caller, who may share it; an
// error is shared by those who wait for it, and kept for nobody else.
func (s *shared[K, V]) get(ctx context.Context, key K, fits func(V) bool, find func(context.Context) (V, error)) (V, error) {
	for {
		a, own := s.take(key, fits)
		if own {
			alone, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.APIRequestTime)
			defer cancel()
			s.answer(alone, key, a, find)
			return a.value, a.err
		}
		select {
		case <-a.done:
		case <-ctx.Done():
			var none V
			return none, context.Cause(ctx)
		}
		if a.err != nil || fits(a.value) {
			return a.value, a.err
		}
	}
}

// take returns an answer to wait for, or (own) one that the caller has to find.
func (s *shared[K, V]) take(key K, fits func(V) bool) (a *sharedAnswer[V], own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, old := range s.kept {
		if old.isDone() && time.Since(old.at) >= s.fresh {
			delete(s.kept, k)
		}
	}
	if a = s.kept[key]; a != nil && (!a.isDone() || fits(a.value)) {
		return a, false
	}
	if s.kept == nil {
		s.kept = map[K]*sharedAnswer[V]{}
	}
	for k := range s.kept { // whoever waits for it has it
		if len(s.kept) < s.most {
			break
		}
		delete(s.kept, k)
	}
	a = &sharedAnswer[V]{done: make(chan struct{}), err: errNoAnswer}
	s.kept[key] = a
	return a, true
}

// answer finds what the callers wait for.
func (s *shared[K, V]) answer(ctx context.Context, key K, a *sharedAnswer[V], find func(context.Context) (V, error)) {
	defer func() { // even where find panics
		close(a.done)
		if s.mu.Lock(); a.err != nil && s.kept[key] == a {
			delete(s.kept, key)
		}
		s.mu.Unlock()
	}()
	v, err := find(ctx)
	a.value, a.err, a.at = v, err, time.Now()
}
