package embedded

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"orderbridge/internal/limits"
)

// BoundMemory keeps a process with an embedded server small until the returned
// function is called. Most of what the server has in memory are the blocks of
// the stream that it wrote or read lately; it holds them weakly, but without a
// limit Go collects them only once the heap has doubled: 500 MB published in 20
// seconds made it a process of 700 MB. A GOMEMLIMIT of the user's is left alone.
func BoundMemory() (stop func()) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return func() {}
	}
	m := memoryBound{limit: limits.MemoryFloor}
	debug.SetMemoryLimit(m.limit)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		read := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/cpu/classes/gc/total:cpu-seconds"},
			{Name: "/cpu/classes/total:cpu-seconds"}}
		var collecting, all float64
		for {
			select {
			case <-tick.C:
				metrics.Read(read)
				c, a := read[1].Value.Float64(), read[2].Value.Float64()
				m.adapt(int64(read[0].Value.Uint64()), (c-collecting)/max(a-all, 0.001))
				collecting, all = c, a
				debug.SetMemoryLimit(m.limit)
			case <-quit:
				return
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// memoryBound is a limit that gives way to what is really in use, so that the
// collector never works hard for long.
type memoryBound struct {
	limit int64 // bytes
	hard  int   // seconds in a row
}

// adapt is called each second with the bytes that were in use at the last
// collection, and the share of the processors that collecting took since.
func (m *memoryBound) adapt(live int64, share float64) {
	needed := max(limits.MemoryFloor, live+live/2)
	switch {
	case live > 2*m.limit: // a million records were read
		m.limit, m.hard = needed, 0
	case share > 0.25:
		if m.hard++; m.hard == limits.MemoryTries {
			m.limit, m.hard = m.limit+m.limit/4, 0
		}
	default:
		m.hard = 0
		if share < 0.05 {
			m.limit = max(min(m.limit, needed), m.limit-m.limit/10)
		}
	}
}
