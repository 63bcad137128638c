package protocol

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseLaneEntry(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		`{"generation":1,"seqs":[3,4],"head":{"attempts":1,"next":"2026-01-01T00:00:00Z"}}`:       true,
		`{"generation":1,"seqs":[],"upTo":9,"head":{"attempts":0,"next":"0001-01-01T00:00:00Z"}}`: true,
		`{"seqs":[3]}`:                                       false,
		`{"generation":1,"seqs":[4,3]}`:                      false,
		`{"generation":1,"seqs":[0]}`:                        false,
		`{"generation":1,"seqs":[3,4],"redrive":7}`:          false,
		`{"generation":1,"seqs":[3],"head":{"attempts":-1}}`: false,
		`[]`: false,
		``:   false,
	} {
		if _, err := ParseLaneEntry([]byte(text)); (err == nil) != good {
			t.Errorf("%s: %v, want good %v", text, err, good)
		}
	}
}

func TestParseMark(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{
		`{"generation":1,"from":3,"done":[[4,6]],"until":9,"reason":"new"}`: true,
		`{"generation":1,"live":4}`:                                         true,
		`{"generation":1}`:                                                  false,
		`{"from":3}`:                                                        false,
		`{"generation":1,"from":3,"done":[[6,4]]}`:                          false,
		`{"generation":1,"from":3,"done":[[4,18446744073709551615]]}`:       false,
	} {
		if _, err := ParseMark([]byte(text)); (err == nil) != good {
			t.Errorf("%s: %v, want good %v", text, err, good)
		}
	}
}

// FuzzLedger: whatever stands in the ledger is refused or comes out as it went in.
func FuzzLedger(f *testing.F) {
	until := uint64(12)
	f.Add(Encode(&LaneEntry{Generation: 1, Key: "PO 1/2", Seqs: []uint64{3, 9}, Head: Head{Attempts: 2, Next: time.Unix(1767225600, 0).UTC(), LastStatus: 503, LastError: "busy"}}))
	f.Add(Encode(&Mark{Generation: 1, From: 3, Done: [][2]uint64{{5, 6}, {8, 8}}, Until: &until, Reason: reasonDeactivated}))
	f.Add(Encode(&Mark{Generation: 7, Live: 9}))
	f.Add([]byte(`{"generation":1,"seqs":[18446744073709551615]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		if e, err := ParseLaneEntry(value); err == nil {
			var again LaneEntry
			if err := json.Unmarshal(Encode(&e), &again); err != nil || !cmp.Equal(e.Seqs, again.Seqs) && len(e.Seqs) > 0 {
				t.Fatalf("%+v came back as %+v (%v)", e, again, err)
			}
		}
		if m, err := ParseMark(value); err == nil {
			set := seqSet{}
			set.load(m.Done)
			for _, x := range m.Done {
				if !set.has(x[0]) || !set.has(x[1]) {
					t.Fatalf("%v lost of %v: %v", x, m.Done, set.spans)
				}
			}
			for i := 1; i < len(set.spans); i++ {
				if set.spans[i].From <= set.spans[i-1].To+1 {
					t.Fatalf("spans %v touch", set.spans)
				}
			}
		}
	})
}
