package store

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"orderbridge/internal/lab"
	"orderbridge/internal/limits"
)

// sessionsAt are the catalogs of some replicas.
func sessionsAt(t *testing.T, replicas int) (all []*Catalog) {
	t.Helper()
	js := lab.StartBus(t).JetStream()
	names, found, err := Ensure(t.Context(), js, Options{Subjects: []string{"orders.>"}})
	if err != nil {
		t.Fatal(err, found)
	}
	for range replicas {
		all = append(all, NewCatalog(js, names, nil))
	}
	return all
}

func over(t *testing.T, c *Catalog, s Session) bool {
	t.Helper()
	ended, err := c.SessionEnded(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

// Somebody who logs in and out all the time leaves room for others, and what they
// have ended stays so.
func TestSessionsOfOneFillNothing(t *testing.T) {
	t.Parallel()
	c := sessionsAt(t, 1)[0]
	began := time.Now().Add(-time.Minute)
	of := func(whose string, i int) Session {
		return Session{Whose: whose, ID: fmt.Sprint(i), Begun: began.Add(time.Duration(i) * time.Millisecond)}
	}
	for i := range 3 * limits.SessionsEndedEach {
		if err := c.EndSessions(t.Context(), of("t1", i), time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	last := 3*limits.SessionsEndedEach - 1
	for i := range last + 1 {
		if !over(t, c, of("t1", i)) {
			t.Fatalf("session %d goes on", i)
		}
	}
	if over(t, c, of("t1", last+1)) || over(t, c, of("t2", 0)) || over(t, c, of("t11", 0)) {
		t.Error("sessions have ended that nobody has ended")
	}
	if noted, _, err := c.endedSessions(t.Context()); err != nil || len(noted) > limits.SessionsEndedEach+1 {
		t.Errorf("%d are noted, %v", len(noted), err)
	}
}

// One replica's clock goes before another's, or is set back: who logs out is out.
func TestSessionsEndWhateverTheClock(t *testing.T) {
	t.Parallel()
	c := sessionsAt(t, 1)[0]
	ahead := time.Now().Add(time.Hour)
	one, two := Session{Whose: "t1", ID: "1", Begun: ahead}, Session{Whose: "t1", ID: "2", Begun: ahead}
	if err := c.EndSessions(t.Context(), one, time.Hour); err != nil {
		t.Fatal(err)
	}
	if !over(t, c, one) || over(t, c, two) {
		t.Error("not the session that was ended has ended")
	}
	if err := c.EndSessions(t.Context(), Session{Whose: "t1", Begun: ahead}, time.Hour); err != nil {
		t.Fatal(err)
	}
	if !over(t, c, two) {
		t.Error("a session goes on")
	}
}

// Many log out at the same time at several replicas; somebody with a copy of a cookie
// asks and goes away at once, all the time.
func TestSessionsEndAtOnce(t *testing.T) {
	t.Parallel()
	all := sessionsAt(t, 3)
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			if err := all[i%len(all)].EndSessions(t.Context(), Session{Whose: "t1", ID: fmt.Sprint(i), Begun: time.Now()}, time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	gone, leave := context.WithCancel(t.Context())
	leave()
	fresh := NewCatalog(all[0].js, all[0].names, nil)
	if ended, err := fresh.SessionEnded(gone, Session{Whose: "t1", ID: "0"}); err != nil || !ended {
		t.Errorf("%t, %v: who goes away keeps the notes from being read", ended, err)
	}
	s := Session{Whose: "t2", ID: "1", Begun: time.Now()}
	if err := fresh.EndSessions(gone, s, time.Hour); err != nil || !over(t, fresh, s) {
		t.Errorf("who closes the window at once is not logged out: %v", err)
	}
}
