package bridge

import (
	"context"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// watchPresence asks again and again whether all records are still there, as long
// as the replica runs. A listing of many takes its time: the next one waits twenty
// times as long.
func (f *following) watchPresence(ctx context.Context) {
	wait := limits.CensusTime
	for rest(ctx, wait) == nil {
		began := time.Now()
		f.lookForAll(ctx)
		wait = max(limits.CensusTime, 20*time.Since(began))
	}
}

// lookForAll counts the records, and where some are gone tells all who know of
// them which are left.
func (f *following) lookForAll(ctx context.Context) {
	f.listed.Lock()
	defer f.listed.Unlock()
	f.mu.Lock()
	was, turn := f.census, f.turn
	f.mu.Unlock()
	if was.Bucket == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, limits.TermLoadTime)
	defer cancel()
	now, l, err := f.o.Records.Census(ctx, was)
	if err != nil {
		f.log.Debug("the records cannot be counted", "error", err)
		return
	}
	if l != nil && !f.compare(l) {
		now.Messages++ // as if one had gone
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.turn == turn {
		f.census = now
	}
	for t, x := range f.terms {
		x.pass(t)
	}
}

// compare is false if it has to be asked again.
func (f *following) compare(l *protocol.Listing) (all bool) {
	f.mu.Lock()
	var terms []*term
	for t, x := range f.terms {
		if x.known == nil {
			terms = append(terms, t)
		}
	}
	all = len(terms) == len(f.terms)
	for _, known := range f.waiting {
		known.Listed(l)
	}
	f.mu.Unlock()
	for _, t := range terms {
		t.post(protocol.RecordsListed{Listing: l})
		select {
		case <-t.done:
		case yes := <-t.compared:
			all = all && yes
		}
	}
	return all
}

// count takes the first count of a round.
func (f *following) count(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, limits.TermCallTime)
	defer cancel()
	c, _, err := f.o.Records.Census(ctx, protocol.Census{})
	if err != nil {
		f.log.Debug("the records cannot be counted", "error", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.census = c
}
