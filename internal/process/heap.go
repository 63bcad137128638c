package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// Heap lets the heap grow to at least floor bytes before it is collected, and by
// about room bytes at most. By itself Go collects whenever the heap has doubled: a
// bridge in good health holds but a few MB and makes hundreds a second, and one
// with a million records would be twice as large as what it holds. It does nothing
// where GOGC is set.
func Heap(floor, room uint64) {
	if os.Getenv("GOGC") == "" {
		watch(&cycle{floor: floor, room: room, percent: standard})
	}
}

const (
	standard = 100 // GOGC where nothing is said
	least    = 25  // below it collecting takes more than it gives
)

// cycle is garbage at once, so that its finalizer runs after each collection.
type cycle struct {
	floor   uint64
	room    uint64
	percent int
}

func watch(c *cycle) { runtime.SetFinalizer(c, (*cycle).ended) }

func (c *cycle) ended() {
	if p := percent(c.floor, c.room, live()); p != c.percent {
		c.percent = p
		debug.SetGCPercent(p)
	}
	watch(c)
}

// percent is the growth from live to floor, at least the standard one; less where
// that is more than the room.
func percent(floor, room, live uint64) int {
	live = max(live, 1<<20)
	if live > room {
		return int(max(least, room*100/live))
	}
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
