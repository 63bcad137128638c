package process

import "testing"

func TestPercent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		floor, room, live uint64
		want              int
	}{
		{64 << 20, 300 << 20, 0, 6300},
		{64 << 20, 300 << 20, 8 << 20, 700},
		{64 << 20, 300 << 20, 32 << 20, 100},
		{64 << 20, 300 << 20, 64 << 20, 100},
		{64 << 20, 300 << 20, 65 << 20, 50},
		{64 << 20, 300 << 20, 300 << 20, 50},
		{64 << 20, 300 << 20, 600 << 20, 50},
		{64 << 20, 300 << 20, 3 << 30, 25},
	} {
		if got := percent(test.floor, test.room, test.live); got != test.want {
			t.Errorf("percent(%d, %d, %d) = %d, want %d", test.floor, test.room, test.live, got, test.want)
		}
	}
}
