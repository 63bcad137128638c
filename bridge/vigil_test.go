package bridge

import (
	"testing"
	"time"

	"orderbridge/bridge/protocol"
)

// stoppedClock shows the time that it was set to.
type stoppedClock struct{ boot time.Duration }

func (c *stoppedClock) Now() time.Time { return time.Unix(1767225600, 0).Add(c.boot) }

func (c *stoppedClock) Boot() time.Duration { return c.boot }

// A stand-by says after three seconds that nobody leads, and is not ready after
// twice the time that a take-over waits for.
func TestLeaderless(t *testing.T) {
	t.Parallel()
	clock := &stoppedClock{boot: time.Hour}
	b := &seat{bounds: protocol.DefaultBounds()}
	b.o.Options = &Options{Clock: clock}
	b.ready()
	b.led.Store(int64(time.Hour))
	for _, tt := range []struct {
		after          time.Duration
		reasons, notes int
	}{{2 * time.Second, 0, 0}, {4 * time.Second, 0, 1}, {23 * time.Second, 0, 1}, {25 * time.Second, 1, 0}} {
		clock.boot = time.Hour + tt.after
		c := b.condition()
		if len(c.Reasons) != tt.reasons || len(c.Notes) != tt.notes {
			t.Errorf("after %s: reasons %v, notes %v", tt.after, c.Reasons, c.Notes)
		}
		for _, text := range append(c.Reasons, c.Notes...) {
			if text != "nobody leads since 2026-01-01T01:00:00Z" {
				t.Errorf("after %s: %q", tt.after, text)
			}
		}
	}
}
