package main

import (
	"encoding/json"
	"testing"
)

func TestRatioIsTakenRoundByRound(t *testing.T) {
	t.Parallel()
	// The machine was twice as fast in the second round, and slow in the last.
	r := newRatio("x", []float64{90, 190, 9}, []float64{100, 200, 10}, 0.9, 0)
	if r.Value != 0.9 || r.Low != 0.9 || r.High != 0.95 || !r.Met {
		t.Errorf("got %+v", r)
	}
	if r := newRatio("x", []float64{2}, []float64{1}, 0, 1.5); r.Met || r.Aim != "<= 1.5" {
		t.Errorf("got %+v", r)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for want, values := range map[float64][]float64{0: nil, 3: {9, 3, 1}, 2.5: {4, 1, 2, 3}} {
		if got := median(values); got != want {
			t.Errorf("median(%v) = %v, want %v", values, got, want)
		}
	}
}

func TestBody(t *testing.T) {
	t.Parallel()
	for _, at := range []int64{0, 1_763_757_600_000_000_000} {
		b := newBody(orderOf(123_456), at)
		if len(b) != bodySize || !json.Valid(b) {
			t.Errorf("%d bytes: %s", len(b), b)
		}
	}
}
