package protocol

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"orderbridge/bridge/record"
)

// A term that goes on with what was followed knows of each subscription what one
// knows that reads everything: whatever its record and status say, and in
// whichever order they were told.
func TestFollowedIsWhatIsRead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	const good, bucket = `{"targetURL":"https://example.com/a"%s}`, 77
	histories := [][]string{
		{fmt.Sprintf(good, "")},
		{fmt.Sprintf(good, `,"rateLimit":{"requests":2,"per":"PT1S"}`)},
		{fmt.Sprintf(good, `,"startFrom":"all"`), fmt.Sprintf(good, `,"startFrom":"new"`)},
		{fmt.Sprintf(good, ""), fmt.Sprintf(good, `,"startFrom":"all"`)},
		{fmt.Sprintf(good, ""), fmt.Sprintf(good, `,"startFrom":"all"`), fmt.Sprintf(good, `,"startFrom":"all","method":"PUT"`)},
		{fmt.Sprintf(good, ""), "{", fmt.Sprintf(good, `,"tenant":"acme"`)},
		{fmt.Sprintf(good, ""), "{"},
		{"{"},
		{fmt.Sprintf(good, ""), fmt.Sprintf(good, `,"status":"deactivated"`)},
		{fmt.Sprintf(good, ""), "delete"},
		{fmt.Sprintf(good, ""), "purge"},
		{fmt.Sprintf(good, ""), "delete", fmt.Sprintf(good, `,"subjects":["orders.a.>"]`)},
		{fmt.Sprintf(good, ""), fmt.Sprintf(good, `,"retry":{"schedule":["PT0S"]}`)},
	}
	statuses := []func(st *Status){
		func(*Status) {},
		func(st *Status) { st.State, st.Reason = StateReading, "slow" },
		func(st *Status) { st.Active, st.State = false, StateDeactivated },
		func(st *Status) { st.Valid, st.State = false, StateInvalid },
		func(st *Status) { st.Suspended, st.State = true, StateSuspended },
		func(st *Status) { st.State, st.DeletedAt, st.Active = StateDeleted, &now, false },
		func(st *Status) { st.Expired = 3 },
		func(st *Status) { st.Pace = &Pace{SlowFrom: now, SlowRate: 3} },
		func(st *Status) { st.Anchor = 0 },
		func(st *Status) { st.Warnings = []record.Problem{{Message: "else", Warning: true}} },
		func(st *Status) { st.AnchorTime = time.Time{} },
		func(st *Status) { st.Bucket = 76 },
	}
	for h, history := range histories {
		for k, change := range statuses {
			for applied := 0; applied <= len(history); applied++ {
				var seen []*RecordSeen
				for i, value := range history {
					seen = append(seen, sighted(uint64(10+i), bucket, value, now))
				}
				var st *Status
				if applied > 0 {
					st = &Status{State: StateActive, Revision: uint64(9 + applied), Since: now, Generation: 10, Bucket: bucket, Active: true, Valid: true, Anchor: 5, AnchorTime: now.Add(-2 * time.Second)}
					change(st)
				}
				for order := range 3 {
					name := fmt.Sprintf("history %d, status %d, applied %d, order %d", h, k, applied, order)
					f := followedIn(order, seen, st)
					read, followed := machineAt(now), machineAt(now)
					l := &Loaded{Status: map[string]Status{}}
					if st != nil {
						l.Status["s"] = *st
					}
					read.loading, followed.loading = l, &Loaded{Followed: f}
					followed.loading.prepare(100)
					read.relocated()
					followed.relocated()
					for _, in := range seen {
						read.Step(read.now, in)
					}
					compareSubs(t, name, read, followed)
				}
			}
		}
	}
}

func machineAt(now time.Time) *Machine {
	c := New(DefaultBounds(), rand.New(rand.NewPCG(1, 1)), Won{Entry: LeaseEntry{Epoch: 1, Holder: "a", Term: "t"}, Revision: 1})
	c.now = Now{Boot: time.Hour, Wall: now}
	return c
}

func sighted(revision uint64, bucket int64, value string, now time.Time) *RecordSeen {
	in := &RecordSeen{Revision: Revision{Key: "s", Revision: revision, Bucket: bucket, Time: now}}
	switch value {
	case "delete", "purge":
		in.Revision.Deleted, in.Revision.Purged = true, value == "purge"
		return in
	}
	in.Record, in.Problems = record.Parse("s", []byte(value), record.Policy{})
	return in
}

// followedIn has them told: first the records, first the status, or the status
// in their middle after former ones.
func followedIn(order int, seen []*RecordSeen, st *Status) *Followed {
	f := NewFollowed()
	if st != nil && order == 1 {
		f.Told("s", st)
	}
	for i, in := range seen {
		f.See(in)
		if st != nil && order == 2 && in.Revision.Revision <= st.Revision {
			former := *st
			former.Revision = in.Revision.Revision
			f.Told("s", &former)
			if i == len(seen)-1 {
				f.See(seen[0]) // a reader begins again
			}
		}
	}
	if st != nil && order != 1 {
		f.Told("s", st)
	}
	return f
}

func compareSubs(t *testing.T, name string, read, followed *Machine) {
	t.Helper()
	a, b := read.peek("s"), followed.peek("s")
	if (a == nil) != (b == nil) {
		t.Fatalf("%s: read %v, followed %v", name, a, b)
	}
	if a == nil {
		return
	}
	x, y := *a, *b
	for _, s := range []*sub{&x, &y} {
		s.core, s.watched = nil, false
		s.revs = append([]revision(nil), s.revs...)
		if len(s.problems) == 0 {
			s.problems = nil
		}
		if s.change != nil {
			s.change = nil
		}
		s.own = nil
	}
	if !reflect.DeepEqual(x, y) {
		t.Errorf("%s:\nread     %+v\nfollowed %+v", name, x, y)
	}
	if i, j := read.Directory.Tied(), followed.Directory.Tied(); i != j {
		t.Errorf("%s: %d and %d tied", name, i, j)
	}
}
