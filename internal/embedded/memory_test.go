package embedded

import (
	"testing"

	"orderbridge/internal/limits"
)

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
		{"small", limits.MemoryFloor, 40 * mib, 0, 60, limits.MemoryFloor},
		{"a burst", limits.MemoryFloor, 140 * mib, 0.3, limits.MemoryTries - 1, limits.MemoryFloor},
		{"hard work for long", limits.MemoryFloor, 140 * mib, 0.3, limits.MemoryTries, limits.MemoryFloor * 5 / 4},
		{"a million records", limits.MemoryFloor, 1600 * mib, 0.5, 1, 2400 * mib},
		{"and they stay", 2400 * mib, 1600 * mib, 0.01, 60, 2400 * mib},
		{"it was a burst", 1000 * mib, 40 * mib, 0.01, 60, limits.MemoryFloor},
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
