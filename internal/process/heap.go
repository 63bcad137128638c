package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// HeapFloor lets the heap grow to at least so many bytes before it is collected.
// By itself Go collects whenever the heap has doubled, and a bridge in good
// health holds but a few MB and makes hundreds a second. Above half of the floor
// nothing changes. It does nothing where GOGC is set.
func HeapFloor(bytes uint64) {
	if os.Getenv("GOGC") == "" {
		watch(&cycle{floor: bytes, percent: standard})
	}
}

// standard is GOGC where nothing is said.
const standard = 100

// cycle is garbage at once, so that its finalizer runs after each collection.
type cycle struct {
	floor   uint64
	percent int
}

func watch(c *cycle) { runtime.SetFinalizer(c, (*cycle).ended) }

func (c *cycle) ended() {
	if p := percent(c.floor, live()); p != c.percent {
		c.percent = p
		debug.SetGCPercent(p)
	}
	watch(c)
}

// percent is the growth from live to floor, at least the standard one.
func percent(floor, live uint64) int {
	live = max(live, 1<<20)
	return int(max(standard, int64(floor)*100/int64(live)-100))
}

// live is what the last collection has left.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
