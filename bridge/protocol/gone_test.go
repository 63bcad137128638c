package protocol

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"
)

func newMachine() *Machine {
	return New(DefaultBounds(), rand.New(rand.NewPCG(1, 1)), Won{Entry: LeaseEntry{Epoch: 1, Holder: "a", Term: "t"}, Revision: 1})
}

// TestNothingFollowsForWhoIsGone: of a generation that has ended nobody waits for
// anything. That is decided where effects, timers and answers arrive, once.
func TestNothingFollowsForWhoIsGone(t *testing.T) {
	t.Parallel()
	m := newMachine()
	s := m.newSub("s", 1)
	s.reader = &reader{pulling: true}
	s.mode, s.active, s.pacing = gone, false, true

	m.confirmed(effect{what: activates, sub: s}, nil)
	if s.active {
		t.Error("an effect activates it")
	}
	m.after(time.Second, timer{what: duePace, sub: s})
	m.Step(Now{Boot: time.Second}, Tick{})
	if !s.pacing {
		t.Error("its timer fires")
	}
	m.requests[7] = &request{out: ReadEvents{Request: Request{7}}, sub: s, reader: s.reader}
	m.Step(Now{Boot: time.Second}, EventsRead{Reply: Reply{7, errors.New("no answer")}})
	if !s.reader.pulling {
		t.Error("it takes an answer")
	}
	m.Step(Now{Boot: time.Second}, EventsRead{Reply: Reply{7, nil}}) // twice: the second finds nobody
}

// TestDebtsOfADeletedRecordThatWasPutAgain: the leader of the bucket knows of a
// put that has not come here yet (R12).
func TestDebtsOfADeletedRecordThatWasPutAgain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		found  RecordFound
		remain bool
	}{
		{RecordFound{Revision: Revision{Key: "s", Revision: 9}}, true},
		{RecordFound{Revision: Revision{Key: "s", Revision: 8, Deleted: true}}, false},
		{RecordFound{Reply: Reply{Err: ErrNotFound}}, false},
		{RecordFound{Reply: Reply{Err: errors.New("no answer")}}, true},
	} {
		m := newMachine()
		s := m.newSub("s", 1)
		s.mode, s.deletedAt = live, time.Unix(1, 0)
		m.subs["s"] = s
		m.debtsJudged(&request{sub: s, time: s.deletedAt}, c.found)
		if remain := m.subs["s"] == s && s.mode != gone; remain != c.remain {
			t.Errorf("%+v: the debts remain: %v", c.found, remain)
		}
	}
}

// TestWhatATakeOverAdopts: entries of another generation are not its own (R9),
// and {live} says from where on it owes (R7).
func TestWhatATakeOverAdopts(t *testing.T) {
	t.Parallel()
	m := newMachine()
	s := m.newSub("s", 1)
	s.mode = live
	m.adopt(s, &Loaded{
		Marks: map[string]Mark{"s": {Generation: 1, Live: 5}},
		Lanes: map[string]map[string]LaneEntry{"s": {"A": {Generation: 2, Seqs: []uint64{1}}, "B": {Generation: 1, Seqs: []uint64{3}}}},
	})
	if s.lanes["A"] != nil || s.lanes["B"] == nil {
		t.Errorf("it has the lanes %v", sorted(s.lanes))
	}
	if s.liveFrom != 5 {
		t.Errorf("it owes from %d on, not from 5", s.liveFrom)
	}
}

// TestWhatWasCutIsNotCollapsed: only its entry says how long the endpoint may be
// at what a stop has cut off (R10b), so it stays though its record was deleted.
func TestWhatWasCutIsNotCollapsed(t *testing.T) {
	t.Parallel()
	m := newMachine()
	s := m.newSub("s", 1)
	ln := s.lane("A", "A")
	ln.q, ln.cut, ln.next = []*item{{seq: 1, sub: s, lane: ln}}, true, time.Minute
	if lanes, more := s.collapsible(); len(lanes) > 0 || !more {
		t.Errorf("it may go: %d lanes, more of them: %v", len(lanes), more)
	}
	m.now.Boot = time.Minute
	if lanes, _ := s.collapsible(); len(lanes) != 1 {
		t.Error("it stays for ever")
	}
}
