package publishers

import (
	"fmt"
	"testing"
	"time"

	"orderbridge/internal/limits"
)

// The letters of one owner stay within half of the stream and its part; the
// neighbour's keep their events.
func TestLettersShareTheirStream(t *testing.T) {
	t.Parallel()
	const most, size = 1 << 30, 900_000
	var r letterRoom
	now := time.Unix(1e9, 0)
	r.saw(0, most, now)
	if !r.stale(now.Add(limits.LetterRoomLook)) || r.stale(now.Add(time.Second)) {
		t.Error("the stream is looked at too often, or too rarely")
	}
	kept, said := 0, 0
	for i := range 10_000 {
		whole, say := r.admit("tenant evil", size, now.Add(time.Duration(i)*time.Millisecond))
		if whole {
			kept++
		}
		if say {
			said++
		}
	}
	if bytes := kept * size; bytes > most/2+most/limits.LetterRoomShares || bytes < most/2-size {
		t.Errorf("%d letters, %d bytes, kept their event", kept, bytes)
	}
	if said != 1 {
		t.Errorf("it was said %d times", said)
	}
	if whole, _ := r.admit("tenant evil", limits.LetterSmallBytes, now); !whole {
		t.Error("a small letter lost its event")
	}
	for range 50 {
		if whole, _ := r.admit("tenant neighbour", size, now); !whole {
			t.Fatal("the neighbour's letter lost its event")
		}
	}
	if whole, _ := r.admit("tenant evil", size, now.Add(limits.LetterRoomTime)); !whole {
		t.Error("the owner's part does not come back with time")
	}
	for i := range 2 * limits.LetterRoomOwners {
		r.admit(fmt.Sprint("subscription ", i), 1, now)
	}
	if n := len(r.owners); n > limits.LetterRoomOwners {
		t.Errorf("%d owners are known", n)
	}
	var unlimited letterRoom
	unlimited.saw(most, 0, now)
	for range 1000 {
		if whole, _ := unlimited.admit("tenant evil", size, now); !whole {
			t.Fatal("a stream without a limit is not shared")
		}
	}
}
