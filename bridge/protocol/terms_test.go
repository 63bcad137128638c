package protocol

import (
	"testing"
	"time"

	"orderbridge/bridge/event"
)

func TestParseLeaseEntry(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		`{"epoch":7,"holder":"host/1/abc","floor":12,"settled":[[14,15]],"length":"10s"}`:   true, // of the first build
		`{"epoch":7,"holder":"a","free":true,"floor":0,"length":"10s","term":"T","beat":3}`: true,
		`x`:                        false,
		``:                         false,
		`{}`:                       false,
		`{"epoch":0,"holder":"a"}`: false,
		`{"epoch":7}`:              false,
		`{"epoch":18446744073709551615,"holder":"a"}`:                              false,
		`{"epoch":7,"holder":"a","settled":[[15,14]]}`:                             false,
		`{"epoch":7,"holder":"a","settled":[[1,18446744073709551615]]}`:            false,
		`{"epoch":"7","holder":"a"}`:                                               false,
		`{"epoch":7,"holder":"a","applied":{"revision":3},"buckets":{"status":1}}`: true,
	} {
		if _, err := parseLeaseEntry([]byte(text)); (err == nil) != good {
			t.Errorf("%s: %v, want good %v", text, err, good)
		}
	}
}

// Whose lease it is, as its holder sees it.
func TestLeaseSight(t *testing.T) {
	t.Parallel()
	const epoch = 5
	for text, deposes := range map[string]bool{
		"": false, "x": false,
		`{"epoch":4,"holder":"other"}`: false, // by hand: nobody wins with an older epoch
		`{"epoch":5,"holder":"other"}`: false,
		`{"epoch":6,"holder":"other"}`: true,
	} {
		if got := Sight([]byte(text), 9).deposes(epoch); got != deposes {
			t.Errorf("%q deposes: %v", text, got)
		}
	}
}

// R15: what a durable has confirmed counts up to the highest message that the lease
// knows. Above, its numbers may be those of a stream that was rolled back since.
func TestDurableCountsUpToTop(t *testing.T) {
	t.Parallel()
	e := LeaseEntry{Epoch: 3, Holder: "other", Floor: 3, Top: event.Ref{Seq: 5, Time: 500}}
	for floor, want := range map[uint64]uint64{2: 3, 4: 4, 5: 5, 8: 5} {
		s := Survey{Stream: StreamState{First: 1, Last: 9}, Durable: true, DurableFloor: floor, Floor: Absent}
		if p := Place(&e, &s, false); p.At.Seq != want || p.Changed != "" {
			t.Errorf("floor %d of the durable: the feed begins after %d (%s), want %d", floor, p.At.Seq, p.Changed, want)
		}
	}
}

// R10, R16: when a stand-by may take the lease.
func TestStandby(t *testing.T) {
	t.Parallel()
	const patience = 12 * time.Second
	held := LeaseEntry{Epoch: 3, Holder: "other", Term: "T", Beat: 7, Leading: true}
	free := LeaseEntry{Epoch: 3, Holder: "other", Free: true}
	for name, tt := range map[string]struct {
		s        Standby
		e        LeaseEntry
		revision uint64
		wait     time.Duration
	}{
		"held":                     {Standby{}, held, 4, patience - time.Second},
		"free":                     {Standby{}, free, 4, 0},
		"of a former life":         {Standby{Holder: "other"}, held, 4, 0},
		"absent":                   {Standby{}, LeaseEntry{}, 0, patience - time.Second},
		"absent, deleted":          {Standby{}, LeaseEntry{}, 8, patience - time.Second},
		"absent, nothing is there": {Standby{Fresh: true}, LeaseEntry{}, 0, 0},
		"held, nothing is there":   {Standby{Fresh: true}, held, 4, patience - time.Second},
		"unreadable":               {Standby{}, LeaseEntry{Holder: "unknown"}, 4, patience - time.Second},
	} {
		s := tt.s
		s.Patience = patience
		if got := s.Wait(0); got != patience {
			t.Errorf("%s: %s before anything is known", name, got)
		}
		s.Observe(tt.e, tt.revision, time.Second)
		if got := s.Wait(2 * time.Second); got != tt.wait {
			t.Errorf("%s: %s, want %s", name, got, tt.wait)
		}
	}
	// A bucket recreated may come to the same revision: the beat tells them apart.
	s := Standby{Patience: patience}
	s.Observe(held, 4, 0)
	held.Beat++
	s.Observe(held, 4, 5*time.Second)
	if got := s.Wait(6 * time.Second); got != patience-time.Second {
		t.Errorf("the same revision of a bucket recreated: %s", got)
	}
	s.Observe(held, 4, 8*time.Second)
	if got := s.Wait(9 * time.Second); got != patience-4*time.Second {
		t.Errorf("the same entry: %s", got)
	}
}

func TestAppliedUntil(t *testing.T) {
	t.Parallel()
	a := &Applied{Bucket: 1, Revision: 9, But: map[string]uint64{"late": 4, "new": 0}}
	for _, tt := range []struct {
		a      *Applied
		id     string
		bucket int64
		want   uint64
	}{{a, "s", 1, 9}, {a, "late", 1, 4}, {a, "new", 1, 0}, {a, "s", 2, 0}, {nil, "s", 1, 0}} {
		if got := tt.a.until(tt.id, tt.bucket); got != tt.want {
			t.Errorf("%s in bucket %d: %d, want %d", tt.id, tt.bucket, got, tt.want)
		}
	}
}
