package e2e

import (
	"context"
	"fmt"
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
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
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
	const slack = 500 * time.Millisecond // for a busy machine
	for _, r := range repeats {
		if r.First.Ended.Before(crash.Add(-time.Second - slack)) {
			t.Errorf("%s %d was delivered %s before the crash and came again", r.First.Order, r.First.N, crash.Sub(r.First.Ended))
		}
	}
}
