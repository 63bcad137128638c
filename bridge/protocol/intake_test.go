package protocol

import (
	"math/rand/v2"
	"testing"
)

func TestIntakeTake(t *testing.T) {
	t.Parallel()
	type step struct {
		consumer, stream uint64
		redelivered      bool
		want             Taking
	}
	tests := []struct {
		name  string
		floor uint64
		steps []step
		taken uint64
	}{
		{"in order with holes in the stream", 4, []step{{1, 5, false, Deliver}, {2, 9, false, Deliver}}, 9},
		{"consumer sequence skipped", 0, []step{{1, 1, false, Deliver}, {3, 3, false, Gap}}, 1},
		{"nothing after a gap", 0, []step{{2, 2, false, Gap}, {1, 1, false, Gap}, {2, 2, false, Gap}}, 0},
		{"redelivery", 0, []step{{1, 1, false, Deliver}, {2, 1, true, Gap}}, 1},
		{"the stream has lost its end", 0, []step{{1, 8, false, Deliver}, {2, 6, false, Gap}}, 8},
		{"at or below the position", 7, []step{{1, 6, false, Skip}, {2, 7, false, Skip}, {3, 8, false, Deliver}}, 8},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var in Intake
			in.Opened(tt.floor)
			for i, s := range tt.steps {
				if got := in.Take(s.consumer, s.stream, s.redelivered); got != s.want {
					t.Fatalf("step %d: verdict %d, want %d", i, got, s.want)
				}
			}
			if in.Taken() != tt.taken {
				t.Errorf("taken %d, want %d", in.Taken(), tt.taken)
			}
		})
	}
}

func TestIntakeReopenTakesNothingTwice(t *testing.T) {
	t.Parallel()
	var in Intake
	in.Opened(0)
	for seq := uint64(1); seq <= 5; seq++ {
		in.Take(seq, seq, false)
	}
	in.Settle(1)
	in.Settle(3)
	if in.Prefix() != 1 || in.unsettled() != 4 {
		t.Fatalf("prefix %d, open %d; want 1, 4", in.Prefix(), in.unsettled())
	}
	if in.Take(9, 9, false) != Gap {
		t.Fatal("a jump in the consumer sequence must be a gap")
	}
	in.Opened(in.Prefix())
	for seq := uint64(2); seq <= 6; seq++ {
		want := Skip
		if seq == 6 {
			want = Deliver
		}
		if got := in.Take(seq-1, seq, false); got != want {
			t.Errorf("sequence %d: verdict %d, want %d", seq, got, want)
		}
	}
	for _, seq := range []uint64{6, 5, 4, 2} {
		in.Settle(seq)
	}
	if in.Prefix() != 6 || in.unsettled() != 0 {
		t.Errorf("prefix %d, open %d; want 6, 0", in.Prefix(), in.unsettled())
	}
}

// The prefix is held against its definition over random settling orders.
func TestIntakePrefixProperty(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		var in Intake
		in.Opened(10)
		var seqs []uint64
		settled := map[uint64]bool{}
		consumer, next := uint64(0), uint64(10)
		for range 300 {
			if rnd.IntN(2) == 0 {
				next += 1 + rnd.Uint64N(3)
				consumer++
				if in.Take(consumer, next, false) != Deliver {
					t.Fatalf("seed %d: sequence %d not taken in", seed, next)
				}
				seqs = append(seqs, next)
			} else if len(seqs) > 0 {
				s := seqs[rnd.IntN(len(seqs))]
				in.Settle(s)
				settled[s] = true
			}
			want := uint64(10)
			for _, s := range seqs {
				if !settled[s] {
					break
				}
				want = s
			}
			if in.Prefix() != want {
				t.Fatalf("seed %d: prefix %d, want %d", seed, in.Prefix(), want)
			}
		}
	}
}
