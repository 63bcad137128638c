package protocol

import (
	"testing"
	"time"
)

// TestCrowdedOut: what fails beyond what can be kept waiting is given up only by
// a subscription whose endpoint serves others.
func TestCrowdedOut(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		well, missed   int // first attempts
		held, all      int
		queue          int
		attempts       int
		mode           mode
		hopeless, gone bool
	}{
		"room":                                {well: 9, missed: 1, held: 1000, all: 1000, queue: 1, attempts: 1, mode: live},
		"more than its share, room for all":   {well: 9, missed: 1, held: 2000, all: 2000, queue: 1, attempts: 1, mode: live},
		"more than it may ever have":          {well: 9, missed: 1, held: 16384, all: 16384, queue: 1, attempts: 1, mode: live, gone: true},
		"more than its share, no room":        {well: 5, missed: 5, held: 1024, all: 65536, queue: 1, attempts: 1, mode: live, gone: true},
		"its share, no room":                  {well: 5, missed: 5, held: 1023, all: 65536, queue: 1, attempts: 1, mode: live},
		"an endpoint that serves few":         {well: 2, missed: 8, held: 16384, all: 65536, queue: 1, attempts: 1, mode: live},
		"one order, many changes":             {well: 9, missed: 1, held: 1, all: 1, queue: 300, attempts: 3, mode: reading, gone: true},
		"one order, failed twice only":        {well: 9, missed: 1, held: 1, all: 1, queue: 300, attempts: 2, mode: reading},
		"one order, given up before":          {well: 9, missed: 1, held: 1, all: 1, queue: 300, attempts: 1, mode: reading, hopeless: true, gone: true},
		"one order of one that serves nobody": {missed: 9, held: 1, all: 1, queue: 300, attempts: 9, mode: reading},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := &Machine{Bounds: DefaultBounds()}
			c.shares.pools = c.sharing()
			s := &sub{core: c, rec: noRecord, mode: tt.mode, held: tt.held, reader: &reader{outstanding: c.Outstanding}}
			c.shares.acquire(s.share(), places, int64(tt.held))
			c.shares.acquire(c.shares.join("another"), places, int64(tt.all-tt.held))
			for range tt.well {
				s.health().success(time.Second)
			}
			for range tt.missed {
				s.health().missed(time.Second)
			}
			ln := &lane{sub: s, attempts: tt.attempts, hopeless: tt.hopeless, held: tt.mode == reading, q: make([]*item, tt.queue)}
			if why := ln.crowdedOut(); (why != "") != tt.gone {
				t.Errorf("given up: %q", why)
			}
		})
	}
}
