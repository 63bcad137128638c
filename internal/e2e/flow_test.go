package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"orderbridge/internal/lab"
)

// flow publishes the changes of some orders, one after another, until it is ended.
type flow struct {
	orders []string
	count  map[string]int // changes published of each order
	stop   func()
	done   chan struct{}
}

// publishFlow publishes about perSecond events in all.
func publishFlow(t testing.TB, js jetstream.JetStream, perSecond, orders int) *flow {
	t.Helper()
	stop := make(chan struct{})
	f := &flow{count: map[string]int{}, stop: sync.OnceFunc(func() { close(stop) }), done: make(chan struct{})}
	for i := range orders {
		f.orders = append(f.orders, "o"+strconv.Itoa(i))
	}
	go func() {
		defer close(f.done)
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for i := 0; ; i++ {
			order := f.orders[i%orders]
			m := change(order, f.count[order]+1)
			for {
				ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
				_, err := js.PublishMsg(ctx, m)
				cancel()
				if err == nil {
					break
				}
				select {
				case <-stop:
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
			f.count[order]++
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	t.Cleanup(func() {
		f.end()
	})
	return f
}

// end stops publishing and returns how many events there are.
func (f *flow) end() int {
	f.stop()
	<-f.done
	n := 0
	for _, c := range f.count {
		n += c
	}
	return n
}

// arrives waits until every event of the flow has arrived.
func (f *flow) arrives(t testing.TB, e *receiver) {
	t.Helper()
	n := f.end()
	await(t, 60*time.Second, fmt.Sprintf("all of %d events arrived", n), func() bool { return e.Delivered() >= n })
}

// check holds the journal against the promises and returns the repeats.
func (f *flow) check(t testing.TB, e *receiver) []lab.Repeat {
	t.Helper()
	repeats, err := e.Journal().Check(f.count)
	if err != nil {
		t.Error(err)
	}
	return repeats
}

// recent holds repeats against promise 4: what is repeated had been sent within
// the second before the crash, or later.
func recent(t testing.TB, repeats []lab.Repeat, crash time.Time) {
	t.Helper()
	oldest := time.Duration(0)
	for _, r := range repeats {
		oldest = max(oldest, crash.Sub(r.First.Ended))
	}
	t.Logf("%d repeats", len(repeats))
	lab.Promise(t, "how long before a crash was delivered what came again", oldest, 1500*time.Millisecond)
}

// notAgain holds repeats against promise 4 where nobody crashed: there are none, but
// of what was under way when one of the programs could not renew its lease in time,
// as on a machine that does not let it.
func notAgain(t testing.TB, repeats []lab.Repeat, programs ...*program) {
	t.Helper()
	var losses []time.Time
	for _, p := range programs {
		losses = append(losses, p.losses()...)
	}
	for _, r := range repeats {
		if !slices.ContainsFunc(losses, func(loss time.Time) bool {
			return r.First.At.Before(loss.Add(lab.Patience)) && r.Again.At.After(loss)
		}) {
			t.Errorf("%s %d came again, and no lease was lost", r.Again.Order, r.Again.N)
		}
	}
	t.Logf("%d repeats, %d times a lease was not renewed in time", len(repeats), len(losses))
}
