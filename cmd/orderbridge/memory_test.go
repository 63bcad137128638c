package main

import "testing"

func TestMemoryBoundGivesWayToWhatIsInUse(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, tt := range []struct {
		name    string
		limit   int64
		live    int64
		share   float64
		seconds int
		want    int64
	}{
		{"small", memoryFloor, 40 * mib, 0, 60, memoryFloor},
		{"a burst", memoryFloor, 140 * mib, 0.3, memoryTries - 1, memoryFloor},
		{"hard work for long", memoryFloor, 140 * mib, 0.3, memoryTries, memoryFloor * 5 / 4},
		{"a million records", memoryFloor, 1600 * mib, 0.5, 1, 2400 * mib},
		{"and they stay", 2400 * mib, 1600 * mib, 0.01, 60, 2400 * mib},
		{"it was a burst", 1000 * mib, 40 * mib, 0.01, 60, memoryFloor},
		{"moderate work keeps it", 200 * mib, 40 * mib, 0.1, 60, 200 * mib},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := memoryBound{limit: tt.limit}
			for range tt.seconds {
				m.adapt(tt.live, tt.share)
			}
			if m.limit != tt.want {
				t.Errorf("limit %d MiB, want %d", m.limit/mib, tt.want/mib)
			}
		})
	}
}
