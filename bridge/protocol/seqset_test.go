package protocol

import (
	"math/rand/v2"
	"testing"
)

// TestSeqSet holds the set against a map.
func TestSeqSet(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 3))
		var s seqSet
		want := map[uint64]bool{}
		for range 60 {
			lo := 1 + r.Uint64N(80)
			if r.IntN(8) == 0 {
				s.cut(lo)
				for x := range want {
					if x < lo {
						delete(want, x)
					}
				}
				continue
			}
			hi := lo + r.Uint64N(6)
			s.add(lo, hi)
			for x := lo; x <= hi; x++ {
				want[x] = true
			}
		}
		for x := uint64(1); x < 100; x++ {
			if s.has(x) != want[x] {
				t.Fatalf("seed %d: has(%d) is %v in %v", seed, x, !want[x], s.spans)
			}
			end := x - 1
			for want[end+1] {
				end++
			}
			if s.end(x) != end {
				t.Fatalf("seed %d: end(%d) = %d, want %d in %v", seed, x, s.end(x), end, s.spans)
			}
		}
		var again seqSet
		again.load(s.list())
		if len(again.spans) != len(s.spans) || again.max() != s.max() {
			t.Fatalf("seed %d: %v came back as %v", seed, s.spans, again.spans)
		}
	}
}
