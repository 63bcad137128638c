package protocol

import "orderbridge/bridge/record"

// rebuild makes subscriptions of their statuses, with what the ledger holds of them
// (R9, step 6). Entries of records without status wait for the records.
func (c *Machine) rebuild(l *Loaded) {
	for _, key := range l.Bad {
		c.log(Error, "state entry cannot be read and is left alone", "key", key)
	}
	for _, id := range sorted(l.Status) {
		st := l.Status[id]
		s := c.newSub(id, st.Generation)
		s.active, s.valid, s.suspended, s.paused = st.Active, st.Valid, st.Suspended, st.Paused
		s.applied, s.bucket, s.told = st.Revision, st.Bucket, announced{state: st.State, reason: st.Reason, since: st.Since, expired: st.Expired,
			said: append(record.Problems(st.Errors), st.Warnings...).Digest()}
		s.count(s.told.state)
		s.wasTold(st.State)
		s.expired = st.Expired
		if st.Alerts != nil {
			s.alerts = *st.Alerts
		}
		if st.DeletedAt != nil {
			s.deletedAt = *st.DeletedAt
			c.expireDebts(s)
		}
		if s.fromLoad, s.liveFrom = true, st.Anchor; st.Anchor > 0 {
			s.enter(live)
		}
		c.subs[id] = s
		s.anchorTime = st.AnchorTime
		if c.adopt(s, l) {
			s.confirmBeforeOpen()
		}
		if s.resumePace(&st); s.failing() || s.suspended {
			s.reason = st.failure()
		}
	}
	c.tellLost(l)
	c.orphans = &Loaded{Marks: map[string]Mark{}, Lanes: map[string]map[string]LaneEntry{}}
	for id, m := range l.Marks {
		if !c.there(id) {
			c.orphans.Marks[id] = m
		}
	}
	for id, lanes := range l.Lanes {
		if !c.there(id) {
			c.orphans.Lanes[id] = lanes
		}
	}
}

// adopt takes over what the ledger holds of a subscription. It tells whether its
// mark must be written again, confirmed before the feed opens.
func (c *Machine) adopt(s *sub, l *Loaded) (confirm bool) {
	id := s.id
	if m, ok := l.Marks[id]; ok {
		switch {
		case m.Generation != s.gen:
			c.put(BucketOwed, id, nil)
		case m.Live > 0 && m.From == 0:
			s.liveFrom = max(s.liveFrom, m.Live)
			s.liveMark = m.Live
			c.liveMarks[s] = struct{}{}
		default:
			confirm = s.adoptMark(m)
		}
	}
	for _, token := range sorted(l.Lanes[id]) {
		e := l.Lanes[id][token]
		if e.Generation != s.gen {
			c.put(BucketOwed, laneKey(id, token), nil)
			continue
		}
		s.loadLane(token, e)
	}
	return c.standsStill(s) || confirm
}

// adoptMark goes on with the reading of a predecessor.
func (s *sub) adoptMark(m Mark) (confirm bool) {
	c := s.core
	r := s.startReading(m.From, m.Reason)
	r.uncounted = true
	s.enter(reading)
	s.fromLoad = false
	if m.Until != nil {
		r.until = *m.Until
	}
	r.done.load(m.Done)
	r.done.learn(m.Known)
	for _, x := range m.Known {
		if x.Seq == m.From-1 {
			r.before = x
		}
	}
	s.untilTime = m.UntilTime
	if m.Live == 0 {
		return false
	}
	// A predecessor was live again, with leftovers: the feed's part is settled as
	// far as the lease says. It reads from here on, so the floor must say nothing
	// of it any more: confirmed before the feed opens.
	c.settledFor(s, m.Live, true, &r.done)
	return true
}
