package publishers

import (
	"sync"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// letterRoom shares the stream of dead letters, whose oldest letters go when it
// is full. While it is half empty each letter keeps its event. Beyond that an
// owner that has stored more than its part lately gets letters with the
// reference only: so nobody's letters push those of others out with events that
// a hundred records reject.
type letterRoom struct {
	mu     sync.Mutex
	owners map[string]*letterPart
	used   int64 // bytes of the stream when it was looked at, and what was stored since
	most   int64 // its max_bytes; 0: none, or not known
	looked time.Time
}

// letterPart is what one owner has stored lately.
type letterPart struct {
	bytes float64
	at    time.Time // when bytes was right
	said  time.Time
}

// ownerOf is whose letter it is: of the tenant of the event, else of the subscription.
func ownerOf(d protocol.DeadLetter) string {
	if d.Event != nil && d.Event.Tenant != "" {
		return "tenant " + d.Event.Tenant
	}
	return "subscription " + d.Subscription
}

// stale tells whether the stream should be looked at before the next large letter.
func (r *letterRoom) stale(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return now.Sub(r.looked) >= limits.LetterRoomLook
}

// saw takes note of how full the stream is.
func (r *letterRoom) saw(used, most int64, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.used, r.most, r.looked = used, most, now
}

// admit tells whether a letter of that size keeps its event, and whether it is
// time to say that it does not.
func (r *letterRoom) admit(owner string, size int, now time.Time) (whole, say bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.part(owner, now)
	part := float64(r.most) / limits.LetterRoomShares
	p.bytes = max(0, p.bytes-now.Sub(p.at).Seconds()*part/limits.LetterRoomTime.Seconds())
	p.at = now
	if r.most > 0 && size > limits.LetterSmallBytes && r.used+int64(size) > r.most/2 && p.bytes+float64(size) > part {
		say = now.Sub(p.said) >= limits.LetterRoomSay
		if say {
			p.said = now
		}
		return false, say
	}
	p.bytes += float64(size)
	if r.most > 0 {
		p.bytes = min(p.bytes, part) // what was stored while there was room is soon forgiven
	}
	r.used += int64(size)
	return true, false
}

// part returns the owner's; where too many are known the one that stored least
// is forgotten.
func (r *letterRoom) part(owner string, now time.Time) *letterPart {
	if p := r.owners[owner]; p != nil {
		return p
	}
	if r.owners == nil {
		r.owners = map[string]*letterPart{}
	}
	if len(r.owners) >= limits.LetterRoomOwners {
		least := ""
		for o, p := range r.owners {
			if least == "" || p.bytes < r.owners[least].bytes {
				least = o
			}
		}
		delete(r.owners, least)
	}
	p := &letterPart{at: now}
	r.owners[owner] = p
	return p
}
