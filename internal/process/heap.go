package process

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"orderbridge/internal/limits"
)

// Heap lets the heap grow to at least floor bytes before it is collected, and by
// about room bytes at most; and what a burst has left is given back to the system
// when it is over. By itself Go collects whenever the heap has doubled: a bridge
// in good health holds but a few MB and makes hundreds a second, and one with a
// million records would be twice as large as what it holds. It does nothing where
// GOGC is set. It ends when stop is called.
func Heap(floor, room uint64) (stop func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	watch(&cycle{floor: floor, room: room, percent: standard})
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		giveBack(room, quit)
	}()
	return func() {
		close(quit)
		<-done
	}
}

const (
	standard = 100 // GOGC where nothing is said
	half     = 50
	least    = 25 // below it collecting takes more than it gives
)

// cycle is garbage at once, so that its finalizer runs after each collection.
type cycle struct {
	floor   uint64
	room    uint64
	percent int
}

func watch(c *cycle) { runtime.SetFinalizer(c, (*cycle).ended) }

func (c *cycle) ended() {
	if p := percent(c.floor, c.room, figure(liveBytes)); p != c.percent {
		c.percent = p
		debug.SetGCPercent(p)
	}
	watch(c)
}

// percent is the growth from live to floor, at least the standard one; above floor
// the half of what lives, less where that is more than the room.
func percent(floor, room, live uint64) int {
	live = max(live, 1<<20)
	if live > floor {
		return int(min(half, max(least, room*100/live)))
	}
	return int(max(standard, int64(floor)*100/int64(live)-100))
}

// giveBack looks from time to time whether the process holds much more than the
// last collection has left though it does little: no collection came since the
// look before.
func giveBack(room uint64, quit <-chan struct{}) {
	tick := time.NewTicker(limits.HeapLook)
	defer tick.Stop()
	for cycles := uint64(0); ; {
		select {
		case <-quit:
			return
		case <-tick.C:
		}
		now := figure(collections)
		if idle := now == cycles; idle && figure(heldBytes)-figure(releasedBytes) > figure(liveBytes)+room/2 {
			debug.FreeOSMemory()
			now = figure(collections)
		}
		cycles = now
	}
}

// What the runtime tells.
const (
	liveBytes     = "/gc/heap/live:bytes" // what the last collection has left
	collections   = "/gc/cycles/total:gc-cycles"
	heldBytes     = "/memory/classes/total:bytes"
	releasedBytes = "/memory/classes/heap/released:bytes"
)

func figure(name string) uint64 {
	sample := []metrics.Sample{{Name: name}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
