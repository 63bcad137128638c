package main

import (
	"testing"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/store"
)

func TestOwesNothing(t *testing.T) {
	until := func(n uint64) *uint64 { return &n }
	for _, tt := range []struct {
		name string
		debt store.Debt
		want bool
	}{
		{"an order that waits", store.Debt{Lane: &protocol.LaneEntry{}}, false},
		{"all that comes", store.Debt{Reads: &protocol.Mark{From: 8}}, false},
		{"up to a deletion", store.Debt{Reads: &protocol.Mark{From: 8, Until: until(8)}}, false},
		{"deleted when nothing was owed", store.Debt{Reads: &protocol.Mark{From: 8, Until: until(7)}}, true},
	} {
		if got := owesNothing(tt.debt); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
