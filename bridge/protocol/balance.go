package protocol

import "time"

// Sharing is what a replica knows of who leads how many shards, when it decides
// whether to take a shard that is free and whether to hand one over. No replica
// waits for another's consent: who decides by old knowledge moves a shard once
// more, nothing else.
type Sharing struct {
	Shards int            // in all
	Own    string         // the replica that decides
	Leads  map[string]int // how many each replica leads that is alive and has read the records; the own one in any case
	// Reading says that the own replica has not read the records yet: a shard that
	// it took would stand still until it has.
	Reading bool
	// Patience is how long a replica that has its part leaves a free shard to others.
	Patience time.Duration
}

// Wait returns how long a shard that may be taken is left to others: no time for
// who has less than its part, so that the shard goes to who needs it, but never
// longer than Patience, so that it goes to somebody.
func (s Sharing) Wait() time.Duration {
	led, least := s.Leads[s.Own], s.least()
	if least >= 0 && s.Reading {
		return s.Patience
	}
	if least < 0 || led < s.Shards/len(s.Leads) || led < s.most() && led <= least {
		return 0
	}
	return s.Patience
}

// HandOver says that the replica leads too many: another one that is alive leads
// two fewer or less. Of several that lead as many, the first by name begins.
func (s Sharing) HandOver() bool {
	led, least := s.Leads[s.Own], s.least()
	if least < 0 || led-least < 2 {
		return false
	}
	for name, n := range s.Leads {
		if n > led || n == led && name < s.Own {
			return false
		}
	}
	return true
}

// most is the part of who has most, where all is shared evenly.
func (s Sharing) most() int { return (s.Shards + len(s.Leads) - 1) / len(s.Leads) }

// least is how many shards the other one leads that has fewest; -1: there is no other.
func (s Sharing) least() int {
	least := -1
	for name, n := range s.Leads {
		if name != s.Own && (least < 0 || n < least) {
			least = n
		}
	}
	return least
}
