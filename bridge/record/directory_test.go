package record

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"orderbridge/bridge/event"
)

func idsIn(subs []*Subscription) []string {
	var out []string
	for _, s := range subs {
		out = append(out, s.ID)
	}
	return out
}

func TestDirectory(t *testing.T) {
	t.Parallel()
	d := NewDirectory()
	if got, version := d.Match(&event.Event{}, nil); got != nil || version != 0 {
		t.Errorf("empty directory: %v, %d", got, version)
	}
	a := &Subscription{ID: "a", Subjects: []string{"orders.acme.>", "orders.*.created"}}
	b := &Subscription{ID: "b", Types: []string{"created", "c*"}}
	d.Put(b)
	d.Put(a)
	if d.len() != 2 || d.Get("a") != a || d.Get("x") != nil || d.Version() != 2 {
		t.Errorf("Len %d, Version %d", d.len(), d.Version())
	}
	before := &Subscription{ID: "zz"}
	ev := &event.Event{Message: event.Message{Subject: "orders.acme.created"}, Type: "created"}
	got, version := d.Match(ev, []*Subscription{before})
	if diff := cmp.Diff([]string{"zz", "a", "b"}, idsIn(got)); diff != "" || version != 2 {
		t.Errorf("Match: version %d (-want +got)\n%s", version, diff)
	}
	d.Put(&Subscription{ID: "a", Inactive: true})
	d.Remove("b")
	d.Remove("b")
	if got, version := d.Match(ev, nil); len(got) != 0 || version != 5 || d.len() != 1 || !d.Get("a").Inactive {
		t.Errorf("after removal: %v, version %d, Len %d", idsIn(got), version, d.len())
	}
	d.Remove("a")
	if len(d.edges) != 0 || *d.root != (node{}) || len(d.byID) != 0 {
		t.Errorf("the empty directory keeps %d edges, root %+v", len(d.edges), *d.root)
	}
}

// randomRecord makes one of few tokens, so that much overlaps.
func randomRecord(r *rand.Rand, id string) *Subscription {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	s := &Subscription{ID: id, Inactive: r.IntN(10) == 0}
	if r.IntN(3) > 0 {
		s.Tenant = pick("", "", "t1", "t2")
	}
	for range r.IntN(4) {
		var tokens []string
		for range 1 + r.IntN(3) {
			tokens = append(tokens, pick("a", "b", "c", "*"))
		}
		if r.IntN(3) == 0 {
			tokens = append(tokens, ">")
		}
		s.Subjects = append(s.Subjects, strings.Join(tokens, "."))
	}
	for range r.IntN(4) {
		s.Types = append(s.Types, pick("", "x", "xy", "xyz", "*", "x*", "*z", "x*z", "*y*", "xy*", "*yz", "*x*y*", "z*yy*", "*yx*z"))
	}
	s.Types = slices.DeleteFunc(s.Types, func(t string) bool { return t == "" })
	s.Subjects = withoutSubsumed(s.Subjects, ">", subjectSubsumes)
	s.Types = withoutSubsumed(s.Types, "*", typeMatches)
	return s
}

func randomEvent(r *rand.Rand) *event.Event {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	var tokens []string
	for range 1 + r.IntN(4) {
		tokens = append(tokens, pick("a", "b", "c", "d"))
	}
	return &event.Event{Message: event.Message{Subject: strings.Join(tokens, ".")}, Type: pick("", "x", "xy", "xyz", "zyx", "xz"), Tenant: pick("", "t1", "t2", "t3")}
}

func TestDirectoryAgainstNaive(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		r := rand.New(rand.NewPCG(seed, 1))
		d, naive := NewDirectory(), map[string]*Subscription{}
		matched := 0
		// Few ids: many replacements; many: long lists that outgrow the search.
		ids := []int{5, 40, 400}[seed%3]
		for step := range 1500 {
			id := fmt.Sprint("s", r.IntN(ids))
			if r.IntN(3) > 0 {
				s := randomRecord(r, id)
				d.Put(s)
				naive[id] = s
			} else {
				d.Remove(id)
				delete(naive, id)
			}
			if step%3 > 0 {
				continue
			}
			ev := randomEvent(r)
			var want []string
			for _, s := range naive {
				if !s.Inactive && s.MatchesEvent(ev) {
					want = append(want, s.ID)
				}
			}
			slices.Sort(want)
			got, version := d.Match(ev, nil)
			matched += len(got)
			if diff := cmp.Diff(want, idsIn(got)); diff != "" || version != uint64(step+1) || d.len() != len(naive) {
				t.Fatalf("seed %d, step %d, version %d, event %+v (-want +got)\n%s", seed, step, version, ev, diff)
			}
		}
		if matched == 0 {
			t.Errorf("seed %d: nothing matched", seed)
		}
		for id := range naive {
			d.Remove(id)
		}
		if len(d.edges) != 0 || *d.root != (node{}) {
			t.Errorf("seed %d: the empty directory keeps %d edges, root %+v", seed, len(d.edges), *d.root)
		}
	}
}

// TestLongListsLoseTheRightOne: lists that are too long to be searched keep the
// places of their subscriptions, over any order of puts and removals.
func TestLongListsLoseTheRightOne(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	d, want := NewDirectory(), map[string]*Subscription{}
	for step := range 4000 {
		id := fmt.Sprintf("s%03d", r.IntN(300))
		if step/1000%2 == 0 || r.IntN(3) == 0 {
			want[id] = &Subscription{ID: id}
			d.Put(want[id])
		} else {
			d.Remove(id)
			delete(want, id)
		}
		if step%50 > 0 {
			continue
		}
		got, _ := d.Match(&event.Event{Message: event.Message{Subject: "a"}}, nil)
		if len(got) != len(want) {
			t.Fatalf("step %d: %d matches of %d", step, len(got), len(want))
		}
		for _, s := range got {
			if want[s.ID] != s {
				t.Fatalf("step %d: %s is not the one that was put last", step, s.ID)
			}
		}
	}
	if held := d.root.rest.untyped.untied; len(held.at) != len(held.list) {
		t.Errorf("%d places of %d subscriptions", len(held.at), len(held.list))
	}
}

func TestDirectoryIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	d := NewDirectory()
	fixed := &Subscription{ID: "fixed", Subjects: []string{"a.>"}}
	d.Put(fixed)
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			var dst []*Subscription
			var last uint64
			for {
				select {
				case <-done:
					return
				default:
				}
				var version uint64
				dst, version = d.Match(&event.Event{Message: event.Message{Subject: "a.b"}, Type: "x"}, dst[:0])
				if !slices.Contains(dst, fixed) || version < last {
					t.Errorf("version %d after %d, matches %v", version, last, idsIn(dst))
					return
				}
				last = version
				d.Get("fixed")
				d.len()
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		id := fmt.Sprint("s", r.IntN(50))
		if r.IntN(2) == 0 {
			d.Put(randomRecord(r, id))
		} else {
			d.Remove(id)
		}
	}
	close(done)
	wg.Wait()
}

// shapes are the ways in which a million records can look. record gives the
// n-th one as JSON, event one that the n-th record hears and no other, or few.
var shapes = []struct {
	name   string
	record func(n int) string
	event  func(n int) *event.Event
}{
	{"OwnSubject",
		func(n int) string {
			return fmt.Sprintf(`{"targetURL":"https://erp%d.example.com/orders","subjects":["orders.t%d.>"]}`, n, n)
		},
		func(n int) *event.Event {
			return &event.Event{Message: event.Message{Subject: fmt.Sprintf("orders.t%d.OrderAccepted.4711", n)}, Type: "OrderAccepted", Tenant: "x"}
		}},
	{"OwnLastToken",
		func(n int) string {
			return fmt.Sprintf(`{"targetURL":"https://erp%d.example.com/orders","subjects":["orders.*.*.%d"]}`, n, n)
		},
		func(n int) *event.Event {
			return &event.Event{Message: event.Message{Subject: fmt.Sprintf("orders.acme.OrderAccepted.%d", n)}, Type: "OrderAccepted"}
		}},
	{"OwnType",
		func(n int) string {
			return fmt.Sprintf(`{"targetURL":"https://erp%d.example.com/orders","subjects":["orders.acme.>"],"eventTypes":["Type%d"]}`, n, n)
		},
		func(n int) *event.Event {
			return &event.Event{Message: event.Message{Subject: "orders.acme.x.1"}, Type: fmt.Sprintf("Type%d", n)}
		}},
	{"OwnTypePattern",
		func(n int) string {
			return fmt.Sprintf(`{"targetURL":"https://erp%d.example.com/orders","eventTypes":["Type%07d*"]}`, n, n)
		},
		func(n int) *event.Event {
			return &event.Event{Message: event.Message{Subject: "orders.acme.x.1"}, Type: fmt.Sprintf("Type%07dChanged", n)}
		}},
	{"OwnTenant",
		func(n int) string {
			return fmt.Sprintf(`{"targetURL":"https://erp%d.example.com/orders","tenant":"t%d"}`, n, n)
		},
		func(n int) *event.Event {
			return &event.Event{Message: event.Message{Subject: "orders.acme.x.1"}, Type: "x", Tenant: fmt.Sprintf("t%d", n)}
		}},
	{"OwnSubjectAndType",
		func(n int) string {
			return fmt.Sprintf(`{"targetURL":"https://erp%d.example.com/orders/{orderId}","subjects":["orders.t%d.>"],"eventTypes":["OrderAccepted"]}`, n, n)
		},
		func(n int) *event.Event {
			return &event.Event{Message: event.Message{Subject: fmt.Sprintf("orders.t%d.OrderAccepted.4711", n)}, Type: "OrderAccepted"}
		}},
}

func fill(tb testing.TB, d *Directory, count int, record func(n int) string) {
	tb.Helper()
	for n := range count {
		s, problems := Parse(fmt.Sprintf("sub-%d", n), []byte(record(n)), Policy{})
		if s == nil {
			tb.Fatal(problems)
		}
		d.Put(s)
	}
}

func TestDirectoryShapes(t *testing.T) {
	t.Parallel()
	for _, shape := range shapes {
		d := NewDirectory()
		fill(t, d, 1000, shape.record)
		for _, n := range []int{0, 500, 999} {
			got, _ := d.Match(shape.event(n), nil)
			if diff := cmp.Diff([]string{fmt.Sprintf("sub-%d", n)}, idsIn(got)); diff != "" {
				t.Errorf("%s (-want +got)\n%s", shape.name, diff)
			}
		}
	}
}

// heap is what lives on the heap, in bytes.
func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestPlainRecordsAreSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("fills a directory with 50,000 records")
	}
	for _, shape := range shapes {
		before := heapInUse()
		d := NewDirectory()
		fill(t, d, 50_000, shape.record)
		each := (heapInUse() - before) / 50_000
		t.Logf("%s: %d bytes a record", shape.name, each)
		if shape.name != "OwnTypePattern" && each > 1500 {
			t.Errorf("%s: %d bytes a record", shape.name, each)
		}
		runtime.KeepAlive(d)
	}
}

// BenchmarkDirectory measures, among n records of each shape, a match that one
// of them hears, the replacement of a record, and the memory of each.
func BenchmarkDirectory(b *testing.B) {
	for _, shape := range shapes {
		for _, count := range []int{10, 10_000, 1_000_000} {
			if count > 10_000 && (testing.Short() || shape.name == "OwnTypePattern" || shape.name == "OwnSubjectAndType") {
				continue
			}
			b.Run(fmt.Sprintf("%s/%d", shape.name, count), func(b *testing.B) {
				before := heapInUse()
				d := NewDirectory()
				fill(b, d, count, shape.record)
				each := float64(heapInUse()-before) / float64(count)
				events := make([]*event.Event, 1000)
				records := make([]*Subscription, 1000)
				for i := range events {
					n := rand.IntN(count)
					events[i] = shape.event(n)
					records[i] = d.Get(fmt.Sprintf("sub-%d", n))
				}
				b.Run("Match", func(b *testing.B) {
					var dst []*Subscription
					i := 0
					for b.Loop() {
						dst, _ = d.Match(events[i%len(events)], dst[:0])
						if len(dst) != 1 {
							b.Fatalf("%d matches", len(dst))
						}
						i++
					}
					b.ReportMetric(each, "B/record")
				})
				b.Run("Put", func(b *testing.B) {
					i := 0
					for b.Loop() {
						d.Put(records[i%len(records)])
						i++
					}
				})
			})
		}
	}
}

// BenchmarkDirectoryFanOut is one event for 100 subscriptions among 10,000.
func BenchmarkDirectoryFanOut(b *testing.B) {
	d := NewDirectory()
	for n := range 10_000 {
		d.Put(&Subscription{ID: fmt.Sprintf("sub-%d", n*7919%10_000), Subjects: []string{fmt.Sprintf("orders.t%d.>", n%100)}})
	}
	ev := &event.Event{Message: event.Message{Subject: "orders.t42.OrderAccepted.1"}, Type: "OrderAccepted"}
	var dst []*Subscription
	for b.Loop() {
		if dst, _ = d.Match(ev, dst[:0]); len(dst) != 100 {
			b.Fatalf("%d matches", len(dst))
		}
	}
}
