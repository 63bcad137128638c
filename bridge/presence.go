package bridge

import (
	"context"
	"time"

	"orderbridge/bridge/protocol"
	"orderbridge/internal/limits"
)

// otherShards are the revisions of records that are none of the term's shard: the
// machine is told how far they were seen, now and then.
type otherShards struct {
	t    *term
	last protocol.RecordsPassed // seen, and not told yet; zero: none
	told time.Time
}

func (o *otherShards) pass(r *protocol.Revision) {
	o.last = protocol.RecordsPassed{Bucket: r.Bucket, Revision: r.Revision}
	if time.Since(o.told) > limits.LayoutLook {
		o.tell()
	}
}

func (o *otherShards) tell() {
	if o.last.Revision > 0 {
		o.t.post(o.last)
	}
	o.last, o.told = protocol.RecordsPassed{}, time.Now()
}

// watchPresence asks it as long as the term lasts. A listing of many records
// takes its time: the next one waits twenty times as long.
func (t *term) watchPresence(was protocol.Census) {
	wait := limits.CensusTime
	for {
		select {
		case <-t.ctx.Done():
			return
		case <-time.After(wait):
		}
		ctx, cancel := t.call(limits.TermLoadTime)
		began := time.Now()
		now, l, err := t.b.o.Records.Census(ctx, was)
		cancel()
		wait = max(limits.CensusTime, 20*time.Since(began))
		if err != nil {
			t.logger.Debug("the records cannot be counted", "error", err)
			wait = limits.CensusTime
			continue
		}
		was = now
		if l == nil {
			continue
		}
		t.post(protocol.RecordsListed{Listing: l})
		select {
		case <-t.ctx.Done():
			return
		case all := <-t.compared:
			if !all {
				was.Messages++ // as if one had gone
			}
		}
	}
}

func (t *term) firstCensus() protocol.Census {
	ctx, cancel := context.WithTimeout(t.ctx, limits.TermCallTime)
	defer cancel()
	c, _, err := t.b.o.Records.Census(ctx, protocol.Census{})
	if err != nil {
		t.logger.Debug("the records cannot be counted", "error", err)
	}
	return c
}
