package protocol

import (
	"reflect"
	"time"
)

// peek returns the subscription as it is, without waking it.
func (c *Machine) peek(id string) *sub {
	if s := c.subs[id]; s != nil {
		return s
	}
	if x := c.resting[id]; x != nil {
		return x.wake(c)
	}
	return nil
}

// rested holds that whoever could rest is the same when it wakes.
func (t *simTerm) rested() {
	c, w := t.core, t.w
	w.stats["at rest"] += len(c.resting)
	w.stats["newcomers"] += c.newcomers.len()
	for _, id := range sorted(c.subs) {
		s := c.subs[id]
		if !s.idle() {
			continue
		}
		was, is := *s, *s.atRest().wake(c)
		for _, x := range []*sub{&was, &is} { // what it has for later use, and nothing is in, and what may be forgotten
			x.lanes, x.loadedMax, x.entries, x.ready, x.own, x.breaker = nil, nil, nil, readyLanes{}, nil, nil
			switch {
			case x.pace == nil:
			case x.pace.limit == nil:
				x.pace = nil
			default:
				x.pace = &pace{limit: x.pace.limit}
			}
			x.usual = x.usual.Truncate(time.Microsecond)
			x.anchorTime, x.told.since = x.anchorTime.UTC(), x.told.since.UTC()
			x.watched, x.untilTime, x.notBefore, x.probeAt = false, time.Time{}, 0, 0
			if len(x.problems) == 0 {
				x.problems = nil
			}
		}
		if !reflect.DeepEqual(was, is) {
			w.violate("rest", "%s is another one when it wakes: %+v, was %+v", id, is, was)
		}
	}
}
