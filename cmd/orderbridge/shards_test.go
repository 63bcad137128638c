package main

import (
	"testing"

	"orderbridge/bridge"
	"orderbridge/bridge/protocol"
)

func TestShardsSuperseded(t *testing.T) {
	layout := func(g uint64, n int, done bool, want int) protocol.Layout {
		return protocol.Layout{Generation: g, Shards: n, Former: 1, Done: done, Want: want}
	}
	direct, waits := layout(4, 7, false, 0), layout(4, 5, false, 7) // answers to 7
	for _, c := range []struct {
		name       string
		asked, now protocol.Layout
		want       int
	}{
		{"under way", direct, layout(4, 7, false, 0), 0},
		{"under way, the next one waits", direct, layout(4, 7, false, 2), 0},
		{"over, and the next one was quick", direct, layout(5, 2, false, 0), 2},
		{"waits", waits, waits, 0},
		{"its turn", waits, layout(5, 7, false, 0), 0},
		{"another wish in its place", waits, layout(4, 5, false, 2), 2},
		{"the wish taken back", waits, layout(4, 5, false, 0), 5},
		{"another one's turn", waits, layout(5, 2, false, 0), 2},
	} {
		if got := superseded(7, c.asked, c.now); got != c.want {
			t.Errorf("%s: %d, not %d", c.name, got, c.want)
		}
	}
}

func TestLedText(t *testing.T) {
	led := func(layout uint64, reading bool, shards ...bridge.ShardBeat) bridge.Heartbeat {
		return bridge.Heartbeat{Layout: layout, Leads: shards, Reading: reading}
	}
	one, two := bridge.ShardBeat{Shard: 1, Role: bridge.RoleLeader}, bridge.ShardBeat{Shard: 2, Role: bridge.RoleTakingOver}
	for want, h := range map[string]bridge.Heartbeat{
		"stands by":                    led(3, false),
		"stands by, reads the records": led(3, true),
		"1, 2 (taking over)":           led(3, false, one, two),
		"1 of layout 2":                led(2, false, one),
	} {
		if got := ledText(h, 3); got != want {
			t.Errorf("%q, not %q", got, want)
		}
	}
}
