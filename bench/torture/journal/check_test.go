package journal

import (
	"fmt"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// at is a time of the story, in seconds.
func at(seconds float64) time.Time {
	return epoch.Add(time.Duration(seconds * float64(time.Second)))
}

// story is a true journal: 4 orders with 25 changes each, one change in 0.1 s;
// a crash at 5 s that repeats one delivery, a graceful stop at 7 s; "plain"
// fails now and then and gives one event up; "off" is deactivated from 4 s to
// 8 s; "moved" is deleted at 3 s and put again for another endpoint at 5 s;
// "lazy" hears only the newest of what waits; "strict" one after another.
func story() *Journal {
	j := &Journal{Exact: true, Started: epoch, Ended: at(30)}
	j.Subscriptions = []Subscription{
		{ID: "plain", Ordering: "order", MaxInFlight: 4},
		{ID: "off", Ordering: "order", Subjects: []string{"orders.*.OrderChanged.>"}},
		{ID: "moved", Ordering: "none", Types: []string{"OrderChanged"}},
		{ID: "lazy", Ordering: "order", Coalesce: true},
		{ID: "strict", Ordering: "strict", Subjects: []string{"orders.*.*.o1"}},
	}
	revision := uint64(0)
	op := func(sub, kind string, gen int, t float64) {
		revision++
		j.Operations = append(j.Operations, Operation{Subscription: sub, Kind: kind, Generation: gen, Revision: revision, At: at(t), Done: at(t + 0.01), Seen: at(t + 0.1)})
	}
	for _, s := range j.Subscriptions {
		op(s.ID, Put, 1, -1)
	}
	op("moved", Delete, 1, 3)
	op("off", Deactivate, 1, 4)
	op("moved", Put, 2, 5)
	op("off", Put, 1, 8)
	j.Faults = []Fault{{Kind: "kill", From: at(5), Until: at(5), Excuse: true}, {Kind: "end", From: at(7), Until: at(7)}}
	j.Terms = []Term{{Epoch: 1}, {Epoch: 2}}

	free := map[string]time.Time{} // of a lane, when its last delivery was done
	for i := range 100 {
		order, n := fmt.Sprintf("o%d", i%4), i/4+1
		t := float64(i) / 10
		e := Event{ID: fmt.Sprintf("%s-%d", order, n), Order: order, N: n, Type: "OrderChanged", Sequence: uint64(i + 1), Stored: uint64(i + 1), Sent: at(t), Confirmed: at(t + 0.005)}
		e.Subject = "orders.acme." + e.Type + "." + order
		j.Events = append(j.Events, e)
		for k := range j.Subscriptions {
			s := &j.Subscriptions[k]
			gen := 1
			switch {
			case !s.hears(&e), s.ID == "lazy" && n%3 == 1 && n < 25, s.ID == "off" && t >= 4 && t < 8, s.ID == "moved" && t >= 3 && t < 5:
				continue
			case s.ID == "moved" && t >= 5:
				gen = 2
			}
			r := Request{At: at(t + 0.02), Subscription: s.ID, Generation: gen, Event: e.ID, ID: fmt.Sprintf("%s.%s.%d", e.ID, s.ID, gen), Attempt: 1}
			lane := s.ID + s.lane(&e)
			if r.At.Before(free[lane]) {
				r.At = free[lane].Add(time.Millisecond)
			}
			send := func(status int) {
				r.Ended, r.Status = r.At.Add(10*time.Millisecond), status
				free[lane] = r.Ended
				j.Requests = append(j.Requests, r)
				r.Attempt++
				r.At = r.Ended.Add(200 * time.Millisecond)
			}
			switch {
			case s.ID == "plain" && i == 40:
				send(500)
				send(0)
				j.Letters = append(j.Letters, Letter{Time: r.At, Subscription: s.ID, Generation: gen, Event: e.ID, ID: r.ID})
				free[lane] = r.At
				continue
			case s.ID == "plain" && i%7 == 0:
				send(503)
			}
			send(200)
			if i == 48 && s.ID == "plain" { // sent 0.2 s before the crash, again after it
				r.At = at(17)
				send(200)
			}
		}
	}
	return j
}

// storyOwed counts plain, off, moved, lazy and strict; what was published while
// a record was being changed need not arrive.
const storyOwed = 100 + (40 + 19) + 49 + 100 + 25

func TestStoryIsTrue(t *testing.T) {
	t.Parallel()
	r := Check(story())
	for _, v := range r.Violations {
		t.Errorf("%s at %s: %s", v.Kind, clock(v.At), v.Text)
	}
	if r.Events != 100 || r.Repeats != 1 || r.Letters != 1 || r.Coalesced != 32 || r.Owed != storyOwed {
		t.Errorf("figures %+v", r)
	}
}

// The checker must reject what is not true.
func TestFalsifiedJournalsAreRejected(t *testing.T) {
	t.Parallel()
	find := func(j *Journal, sub, event string) *Request {
		var last *Request
		for i := range j.Requests {
			if r := &j.Requests[i]; r.Subscription == sub && r.Event == event && (last == nil || r.At.After(last.At)) {
				last = r
			}
		}
		return last
	}
	drop := func(j *Journal, sub, event string) {
		var keep []Request
		for _, r := range j.Requests {
			if r.Subscription != sub || r.Event != event {
				keep = append(keep, r)
			}
		}
		j.Requests = keep
	}
	again := func(j *Journal, sub, event string, t float64) {
		r := *find(j, sub, event)
		r.At, r.Ended = at(t), at(t+0.01)
		j.Requests = append(j.Requests, r)
	}
	swap := func(j *Journal, sub, x, y string) {
		a, b := find(j, sub, x), find(j, sub, y)
		a.At, a.Ended, b.At, b.Ended = b.At, b.Ended, a.At, a.Ended
	}
	for _, tt := range []struct {
		name, want string
		falsify    func(*Journal)
	}{
		{"a delivery is missing", Lost, func(j *Journal) { drop(j, "plain", "o1-3") }},
		{"the last of an order is missing", Lost, func(j *Journal) { drop(j, "plain", "o3-25") }},
		{"it never succeeded", Lost, func(j *Journal) { find(j, "off", "o1-3").Status = 500 }},
		{"the client was gone", Lost, func(j *Journal) { find(j, "off", "o1-3").Gone = true }},
		{"the dead letter is missing", Lost, func(j *Journal) { j.Letters = nil }},
		{"the newest of an order is missing where others may be", Lost, func(j *Journal) { drop(j, "lazy", "o2-25") }},
		{"nothing arrived before it was deleted and put for the same endpoint", Lost, func(j *Journal) {
			for i := range j.Operations {
				if j.Operations[i].Subscription == "moved" {
					j.Operations[i].Generation = 1
				}
			}
			drop(j, "moved", "o0-5")
		}},
		{"two changes of an order are swapped", Disorder, func(j *Journal) { swap(j, "plain", "o1-8", "o1-9") }},
		{"two events of a strict subscription overlap", Disorder, func(j *Journal) { find(j, "strict", "o1-9").At = find(j, "strict", "o1-8").At }},
		{"one overtakes a failing one", Disorder, func(j *Journal) { find(j, "plain", "o1-7").At = at(2.2) }},
		{"an older one comes after a newer one of a lazy subscription", Disorder, func(j *Journal) { find(j, "lazy", "o2-20").At = at(9) }},
		{"an id has changed from one attempt to the next", Identity, func(j *Journal) { find(j, "plain", "o1-6").ID = "other" }},
		{"an id is missing", Identity, func(j *Journal) { find(j, "plain", "o1-7").ID = "" }},
		{"two deliveries share an id", Identity, func(j *Journal) { find(j, "off", "o1-6").ID = find(j, "plain", "o1-6").ID }},
		{"the dead letter has another id", Identity, func(j *Journal) { j.Letters[0].ID = "other" }},
		{"a delivery after deactivation", Deactivated, func(j *Journal) {
			r := find(j, "off", "o3-9")
			r.At, r.Ended = at(5.5), at(5.6)
		}},
		{"a delivery after deletion", Deactivated, func(j *Journal) {
			r := find(j, "moved", "o1-8")
			r.At, r.Ended = at(4.5), at(4.6)
		}},
		{"an event of the time in which it was deactivated", Spurious, func(j *Journal) {
			r := *find(j, "off", "o2-21")
			r.Event, r.ID = "o2-13", "o2-13.off.1"
			j.Requests = append(j.Requests, r)
		}},
		{"an event that it does not hear", Spurious, func(j *Journal) {
			r := *find(j, "strict", "o1-5")
			r.Event, r.ID = "o2-5", "o2-5.strict.1"
			j.Requests = append(j.Requests, r)
		}},
		{"an event that was never published", Spurious, func(j *Journal) { find(j, "plain", "o1-5").Event = "o1-99" }},
		{"an old event at a new endpoint", Spurious, func(j *Journal) {
			r := *find(j, "moved", "o1-3")
			r.Generation, r.ID, r.At, r.Ended = 2, "x", at(9), at(9.1)
			j.Requests = append(j.Requests, r)
		}},
		{"a repeat after a graceful stop", Repeated, func(j *Journal) { again(j, "plain", "o1-17", 7.5) }},
		{"a repeat of what was sent long before the crash", Repeated, func(j *Journal) { again(j, "plain", "o1-5", 17) }},
		{"a repeat without any reason", Repeated, func(j *Journal) { again(j, "off", "o1-22", 9.9) }},
		{"a repeat before the crash", Repeated, func(j *Journal) { again(j, "off", "o3-9", 3.9) }},
		{"more at once than allowed", Crowded, func(j *Journal) {
			for _, event := range []string{"o1-21", "o2-21", "o3-21", "o0-22", "o1-22", "o2-22", "o3-22"} {
				find(j, "plain", event).Ended = at(9.99)
			}
		}},
		{"the bus lost an event", Bus, func(j *Journal) { j.Events[10].Stored = 0 }},
		{"the bus swapped two", Bus, func(j *Journal) {
			j.Events[10].Sequence, j.Events[14].Sequence = j.Events[14].Sequence, j.Events[10].Sequence
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			j := story()
			tt.falsify(j)
			r := Check(j)
			for _, v := range r.Violations {
				if v.Kind == tt.want {
					return
				}
			}
			t.Errorf("not rejected as %s; found %v", tt.want, r.Violations)
		})
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	j := story()
	j.Requests = nil
	if got := Missing(j); got != storyOwed-1 {
		t.Errorf("%d missing", got)
	}
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		filter, subject string
		want            bool
	}{
		{"orders.>", "orders.a.b", true},
		{"orders.>", "orders", false},
		{"orders.*", "orders.a", true},
		{"orders.*", "orders.a.b", false},
		{"orders.*.x", "orders.a.y", false},
		{"orders.a", "orders", false},
	} {
		if got := matches(tt.filter, tt.subject); got != tt.want {
			t.Errorf("%s matches %s: %v", tt.filter, tt.subject, got)
		}
	}
}

func TestWriteAndRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "journal.gz")
	j := story()
	if err := j.Write(path); err != nil {
		t.Fatal(err)
	}
	got, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, j) {
		t.Error("not the same after writing and reading")
	}
}
