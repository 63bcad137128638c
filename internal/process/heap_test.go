package process

import "testing"

func TestPercent(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		floor, live uint64
		want        int
	}{
		{64 << 20, 0, 6300},
		{64 << 20, 8 << 20, 700},
		{64 << 20, 32 << 20, 100},
		{64 << 20, 1 << 30, 100},
	} {
		if got := percent(test.floor, test.live); got != test.want {
			t.Errorf("percent(%d, %d) = %d, want %d", test.floor, test.live, got, test.want)
		}
	}
}
