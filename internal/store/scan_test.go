package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/bridge/event"
	"orderbridge/internal/lab"
)

func TestSpans(t *testing.T) {
	t.Parallel()
	for _, s := range []span{{1, 1}, {1, 5}, {1, 16}, {1, 17}, {7, 1000}, {math.MaxUint64 - 3, math.MaxUint64}, {1, math.MaxUint64}} {
		parts := spans(s.low, s.high, 16)
		if len(parts) > 16 || parts[0].low != s.low || parts[len(parts)-1].high != s.high {
			t.Errorf("%v: %v", s, parts)
		}
		for i, p := range parts {
			if p.low > p.high || i > 0 && p.low != parts[i-1].high+1 {
				t.Errorf("%v: part %d is %v", s, i, p)
			}
		}
	}
	if parts := spans(2, 1, 16); parts != nil {
		t.Errorf("of nothing: %v", parts)
	}
}

// A scan finds what matches, in order, over gaps, without a consumer.
func TestScan(t *testing.T) {
	t.Parallel()
	js := lab.StartBus(t).JetStream()
	s, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}, MaxConsumers: 1})
	if err != nil {
		t.Fatal(err)
	}
	var want []uint64
	for n := uint64(1); n <= 300; n++ {
		if _, err := js.Publish(t.Context(), fmt.Sprintf("s.%d", n%3), nil); err != nil {
			t.Fatal(err)
		}
		switch {
		case n%7 == 0 || n > 100 && n < 200:
			if err := s.DeleteMsg(t.Context(), n); err != nil {
				t.Fatal(err)
			}
		case n%3 == 1 && n >= 20 && n <= 290:
			want = append(want, n)
		}
	}
	number := func(m *event.Message) (uint64, bool, error) { return m.Seq, true, nil }
	got, err := scan(t.Context(), js, "S", "s.1", 20, 290, 1000, number)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	newest, err := scan(t.Context(), js, "S", "s.1", 20, 290, 2, number)
	if err != nil || len(newest) > 16*5 || newest[len(newest)-1] != want[len(want)-1] {
		t.Errorf("the newest: %v, %v", newest, err)
	}
	broken := errors.New("broken")
	if _, err := scan(t.Context(), js, "S", "s.1", 20, 290, 2, func(m *event.Message) (int, bool, error) {
		if m.Seq > 250 {
			return 0, false, broken
		}
		return 0, true, nil
	}); !errors.Is(err, broken) {
		t.Errorf("an error of one part: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := scan(ctx, js, "S", "s.1", 20, 290, 2, number); err == nil {
		t.Error("no error after its end")
	}
}
