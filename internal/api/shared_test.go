package api

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"orderbridge/internal/lab"
)

// Whoever asks the same meanwhile shares one answer; whoever goes away takes it from
// nobody.
func TestSharedAnswers(t *testing.T) {
	t.Parallel()
	s := shared[string, int]{fresh: time.Hour, most: 2}
	var finds atomic.Int64
	release := make(chan struct{})
	find := func(ctx context.Context) (int, error) {
		n := finds.Add(1)
		select {
		case <-release:
		case <-ctx.Done():
		}
		return int(n), ctx.Err()
	}
	leaving, leave := context.WithCancel(t.Context())
	var all sync.WaitGroup
	ask := func(ctx context.Context) {
		all.Go(func() {
			if n, err := s.get(ctx, "a", anyAnswer, find); n != 1 || err != nil {
				t.Errorf("got %d, %v", n, err)
			}
		})
	}
	ask(leaving) // it finds for the others too, whether it is still there or not
	patience, cancel := context.WithTimeout(t.Context(), lab.Patience)
	defer cancel()
	if err := lab.Until(patience, "the first looks", func() bool { return finds.Load() == 1 }); err != nil {
		t.Fatal(err)
	}
	gone, goes := context.WithCancel(t.Context())
	goes()
	if _, err := s.get(gone, "a", anyAnswer, find); !errors.Is(err, context.Canceled) {
		t.Errorf("who had gone away waits: %v", err)
	}
	for range 5 {
		ask(t.Context())
	}
	leave()
	close(release)
	all.Wait()
	if n, err := s.get(t.Context(), "a", anyAnswer, find); n != 1 || err != nil || finds.Load() != 1 {
		t.Errorf("kept: %d, %v after %d looks", n, err, finds.Load())
	}
	if n, err := s.get(t.Context(), "a", func(n int) bool { return n > 1 }, find); n != 2 || err != nil {
		t.Errorf("what does not fit was told: %d, %v", n, err)
	}
}

// Errors are kept for nobody, old answers neither, and there are only so many.
func TestSharedAnswersEnd(t *testing.T) {
	t.Parallel()
	s := shared[int, int]{fresh: time.Hour, most: 2}
	bad := errors.New("bad")
	if _, err := s.get(t.Context(), 1, anyAnswer, func(context.Context) (int, error) { return 0, bad }); !errors.Is(err, bad) {
		t.Error(err)
	}
	func() {
		defer func() { _ = recover() }()
		_, _ = s.get(t.Context(), 1, anyAnswer, func(context.Context) (int, error) { panic("of a test") })
	}()
	for i := range 10 {
		n, err := s.get(t.Context(), i, anyAnswer, func(context.Context) (int, error) { return i, nil })
		if n != i || err != nil || len(s.kept) > 2 {
			t.Errorf("%d: %d, %v, %d kept", i, n, err, len(s.kept))
		}
	}
	s.fresh = 0
	if n, _ := s.get(t.Context(), 9, anyAnswer, func(context.Context) (int, error) { return 10, nil }); n != 10 {
		t.Errorf("an old answer was told: %d", n)
	}
}

// A stream tells what came above where it is, once, whoever looked.
func TestSharedLook(t *testing.T) {
	t.Parallel()
	f := liveFound{above: 10, last: 14, items: []liveItem{{11, "a"}, {13, "b"}}}
	for above, want := range map[uint64]string{10: "ab", 11: "b", 12: "b", 13: "", 14: ""} {
		if got := f.text(above); got != want {
			t.Errorf("above %d: %q, want %q", above, got, want)
		}
	}
	f.leftOut = true
	if got := f.text(11); got != "event: gap\ndata: {}\n\nb" {
		t.Errorf("%q", got)
	}
	if got := f.text(14); got != "" {
		t.Errorf("%q was told twice", got)
	}
}
