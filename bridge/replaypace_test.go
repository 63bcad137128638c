package bridge

import (
	"testing"
	"time"

	"orderbridge/internal/limits"
)

// A replay keeps to its rate, and comes up to it, however far its looks are apart.
func TestReplaysPace(t *testing.T) {
	for _, c := range []struct {
		rate string
		want int // in a hundred looks
	}{
		{"1000/s", 100 * int(limits.CoreTick/time.Millisecond)},
		{"200/s", 20 * int(limits.CoreTick/time.Millisecond)},
		{"10/s", int(limits.CoreTick / time.Millisecond)},
		{"30/m", 5},
		{"1/h", 1},
	} {
		t.Run(c.rate, func(t *testing.T) {
			pause, err := replayPause(c.rate)
			if err != nil {
				t.Fatal(err)
			}
			run := &replayRun{pause: pause}
			now, got := time.Unix(1_800_000_000, 0), 0
			for range 100 {
				for run.pace(now) {
					got++
				}
				now = now.Add(limits.CoreTick)
			}
			if most := c.want + int(limits.CoreTick/pause) + 1; got < c.want || got > most {
				t.Fatalf("%d attempts, want %d to %d", got, c.want, most)
			}
		})
	}
	run := &replayRun{}
	now := time.Unix(1_800_000_000, 0)
	for range 2 {
		if !run.pace(now) {
			t.Fatal("without a rate there is nothing to wait for")
		}
	}
}
