package protocol

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestSharingWait(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		shards int
		leads  map[string]int
		wait   time.Duration
	}{
		{1, map[string]int{"a": 0}, 0},
		{4, map[string]int{"a": 3}, 0}, // nobody else is there
		{4, map[string]int{"a": 0, "b": 3}, 0},
		{4, map[string]int{"a": 2, "b": 1}, time.Second},
		{4, map[string]int{"a": 1, "b": 2}, 0},
		{3, map[string]int{"a": 1, "b": 1}, 0}, // the last one is for any of them
		{3, map[string]int{"a": 2, "b": 0}, time.Second},
		{2, map[string]int{"a": 0, "b": 0, "c": 1}, 0},
		{2, map[string]int{"a": 1, "b": 0, "c": 0}, time.Second},
		{1, map[string]int{"a": 0, "b": 0}, 0},
	} {
		if got := (Sharing{Shards: tt.shards, Own: "a", Leads: tt.leads, Patience: time.Second}).Wait(); got != tt.wait {
			t.Errorf("%d shards, %v: waits %s, want %s", tt.shards, tt.leads, got, tt.wait)
		}
	}
	s := Sharing{Shards: 4, Own: "a", Leads: map[string]int{"a": 0, "b": 4}, Reading: true, Patience: time.Second}
	if got := s.Wait(); got != time.Second {
		t.Errorf("while it reads the records it waits %s for one that has read them", got)
	}
	delete(s.Leads, "b")
	if got := s.Wait(); got != 0 {
		t.Errorf("while it reads the records, and nobody else has, it waits %s", got)
	}
}

func TestSharingHandOver(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		leads map[string]int
		want  bool
	}{
		{map[string]int{"a": 4}, false},
		{map[string]int{"a": 4, "b": 0}, true},
		{map[string]int{"a": 2, "b": 1}, false},
		{map[string]int{"a": 2, "b": 2, "c": 0}, true},
		{map[string]int{"a": 2, "B": 2, "c": 0}, false}, // the other one begins
		{map[string]int{"a": 2, "b": 3, "c": 0}, false},
		{map[string]int{"a": 0, "b": 0}, false},
	} {
		if got := (Sharing{Shards: 4, Own: "a", Leads: tt.leads}).HandOver(); got != tt.want {
			t.Errorf("%v: %t, want %t", tt.leads, got, tt.want)
		}
	}
}

// Replicas that come, go and decide by what they know come to an even share, and
// then nothing moves any more.
func TestSharingComesToRest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		shards := make([]string, 1+rnd.IntN(16)) // who leads it; "": nobody
		alive := map[string]int{}
		for range 1 + rnd.IntN(6) { // replicas come and go
			if name := fmt.Sprint("r", rnd.IntN(8)); alive[name] == 0 {
				alive[name] = 1
			} else if len(alive) > 1 {
				delete(alive, name)
			}
			settle(t, rnd, shards, slices.Sorted(maps.Keys(alive)))
		}
	}
}

// settle lets replicas act until all is shared evenly.
func settle(t *testing.T, rnd *rand.Rand, shards []string, alive []string) {
	t.Helper()
	for i, by := range shards {
		if !slices.Contains(alive, by) {
			shards[i] = ""
		}
	}
	know := func(own string) Sharing {
		s := Sharing{Shards: len(shards), Own: own, Leads: map[string]int{}, Patience: time.Second}
		for _, name := range alive {
			s.Leads[name] = 0
		}
		for _, by := range shards {
			if by != "" {
				s.Leads[by]++
			}
		}
		return s
	}
	moves := 0
	for range 1000 {
		own := alive[rnd.IntN(len(alive))]
		free := slices.Index(shards, "")
		switch s := know(own); {
		case free >= 0 && s.Wait() == 0:
			shards[free] = own
		case free < 0 && s.HandOver():
			shards[slices.Index(shards, own)] = ""
			moves++
		}
	}
	if moves > len(shards) {
		t.Fatalf("%d shards moved %d times", len(shards), moves)
	}
	for _, own := range alive {
		s := know(own)
		if led := s.Leads[own]; slices.Contains(shards, "") || led < len(shards)/len(alive) || led > s.most() || s.HandOver() {
			t.Fatalf("%v lead %v", alive, shards)
		}
	}
}
