package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/lab"
)

// apiCalls are the subjects of the JetStream API that somebody has asked.
type apiCalls struct {
	mu       sync.Mutex
	subjects []string
}

func listenToAPI(t *testing.T, url string) *apiCalls {
	t.Helper()
	c := &apiCalls{}
	nc := lab.Dial(t, url)
	if _, err := nc.Subscribe("$JS.API.>", func(m *nats.Msg) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.subjects = append(c.subjects, m.Subject)
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *apiCalls) now() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.subjects)
}

// reads are the calls since then by which all of a bucket could be read.
func (c *apiCalls) reads(since int) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var reads []string
	for _, s := range c.subjects[since:] {
		if strings.Contains(s, "CONSUMER.CREATE.KV_subscription") {
			reads = append(reads, s)
		}
	}
	return reads
}

const followed = "the records are followed"

// A stand-by that has followed records and statuses reads neither of them again
// when it takes over, and knows what changed last: puts, statuses, a deletion.
func TestTakeOverReadsNothingThatWasFollowed(t *testing.T) {
	t.Parallel()
	bus := lab.ListenBus(t)
	js := jetStream(t, bus.URL())
	e := receive(t, nil)
	p := serving(t, bus.URL())
	for i := range 50 {
		subscribe(t, js, fmt.Sprint("s", i), recordFor(e, fmt.Sprintf(`"subjects":["orders.c%d"]`, i)))
	}
	second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
	second.said(20*time.Second, followed)
	subscribe(t, js, "late", recordFor(e, `"subjects":["orders.late"]`))
	put(t, js, "s1", recordFor(e, `"subjects":["orders.other"]`))
	kv, err := js.KeyValue(within(t, 10*time.Second), "subscriptions")
	if err != nil {
		t.Fatal(err)
	}
	if err := kv.Delete(within(t, 10*time.Second), "s2"); err != nil {
		t.Fatal(err)
	}
	verdict(t, js, "s2", 0, protocol.StateDeleted)
	calls := listenToAPI(t, bus.URL())
	at := calls.now()
	p.kill()
	second.leads()
	if reads := calls.reads(at); len(reads) > 0 {
		t.Errorf("the take-over reads %v", reads)
	}
	for n, subject := range []string{"orders.c0", "orders.c1", "orders.c2", "orders.late", "orders.other", "orders.c49"} {
		m := change("o", n+1)
		m.Subject = subject
		publishMsg(t, js, m)
	}
	e.came(t, 4)
	var got []int
	for _, h := range e.Journal() {
		got = append(got, h.N)
	}
	slices.Sort(got)
	if !slices.Equal(got, []int{1, 4, 5, 6}) {
		t.Errorf("came: %v", got)
	}
}

// A stand-by follows through a restart of the bus, through a time in which it was
// stopped, and into another bucket of records that takes the place of the first.
func TestStandByFollowsThroughTrouble(t *testing.T) {
	t.Parallel()
	for _, trouble := range []struct {
		name   string
		happen func(t *testing.T, bus *lab.Bus, standBy *program, change func())
	}{
		{"bus restarted", func(_ *testing.T, bus *lab.Bus, _ *program, change func()) {
			bus.Restart()
			change()
		}},
		{"stopped meanwhile", func(_ *testing.T, _ *lab.Bus, standBy *program, change func()) {
			standBy.Signal(syscall.SIGSTOP)
			change()
			standBy.Signal(syscall.SIGCONT)
		}},
		{"records in another bucket", func(t *testing.T, bus *lab.Bus, _ *program, change func()) {
			js := jetStream(t, bus.URL())
			s, err := js.Stream(within(t, 10*time.Second), "KV_subscriptions")
			if err != nil {
				t.Fatal(err)
			}
			config := s.CachedInfo().Config
			if err := js.DeleteStream(within(t, 10*time.Second), "KV_subscriptions"); err != nil {
				t.Fatal(err)
			}
			if _, err := js.CreateStream(within(t, 10*time.Second), config); err != nil {
				t.Fatal(err)
			}
			change()
		}},
	} {
		t.Run(trouble.name, func(t *testing.T) {
			t.Parallel()
			bus := lab.ListenBus(t)
			js := jetStream(t, bus.URL())
			e := receive(t, nil)
			p := serving(t, bus.URL())
			subscribe(t, js, "kept", recordFor(e, `"subjects":["orders.kept"]`))
			subscribe(t, js, "moved", recordFor(e, `"subjects":["orders.before"]`))
			second := launch(t, "ORDERBRIDGE_NATS_URL="+bus.URL())
			second.said(20*time.Second, followed)
			trouble.happen(t, bus, second, func() {
				js := jetStream(t, bus.URL())
				subscribe(t, js, "kept", recordFor(e, `"subjects":["orders.kept"]`))
				subscribe(t, js, "moved", recordFor(e, `"subjects":["orders.after"]`))
				subscribe(t, js, "new", recordFor(e, `"subjects":["orders.new"]`))
			})
			p.kill()
			second.leads()
			for n, subject := range []string{"orders.kept", "orders.before", "orders.after", "orders.new"} {
				m := change("o", n+1)
				m.Subject = subject
				publishMsg(t, js, m)
			}
			await(t, 30*time.Second, "all but what nobody hears any more", func() bool { return e.Delivered() >= 3 })
			for _, h := range e.Journal() {
				if h.N == 2 {
					t.Error("a record is in force that was replaced")
				}
			}
		})
	}
}
