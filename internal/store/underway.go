package store

import "context"

// firstAttempt is said of an event that nothing was told of yet.
const firstAttempt = "its first attempt is being sent, or waits for its turn"

// unsettled tells whether the leader of a subscription's shard has not settled the
// event yet, by its lease: it is being delivered. It is no error if that cannot be told.
func (s *teller) unsettled(ctx context.Context, id string, sequence uint64) bool {
	if s.overview == nil {
		s.overview = &Overview{}
		if o, err := s.catalog.Overview(ctx); err == nil {
			s.overview = o
		}
	}
	for _, x := range s.overview.Shards {
		if s.overview.Layout.Shard(x.Shard).Has(id) {
			return x.Leader != "" && sequence > x.Floor
		}
	}
	return false
}

// unsendable says why no request can be made of an event that the subscription
// hears, "" if one can.
func (x orderStanding) unsendable(sequence uint64) string {
	for _, e := range x.story.Events {
		for _, h := range e.Hearing {
			if e.Sequence == sequence && h.Subscription == x.id && h.Hears && h.Decided != "" {
				return h.Why
			}
		}
	}
	return ""
}
