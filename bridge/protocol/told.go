package protocol

// What the log says of an attempt that ended: one line, at info if it failed
// otherwise than the one before or is the first success of a subscription since
// its record was put, else at debug. One that was not made, for want of files
// say, speaks of all: only another reason than the last is told. The delivery log
// wants each failure; what else ends an attempt it hears without the machine.

// aboutToTell notes what must be known before the outcome is judged; nil if
// nothing is told of it.
func (c *Machine) aboutToTell(a *attempt, o *Outcome) *AttemptTold {
	repeated := o.Reason == a.lane.lastError
	if o.Verdict == NotAttempted {
		repeated, c.notMade = o.Reason == c.notMade, o.Reason
	}
	first := o.Verdict == Delivered && a.lane.sub.unproven
	aloud := first || o.Verdict != Delivered && o.Verdict != Filtered && !repeated
	failed := o.Verdict != Delivered && o.Verdict != Filtered && o.Verdict != NotAttempted
	if !aloud && !c.Verbose && !(failed && c.TellFailures) {
		return nil
	}
	return &AttemptTold{Outcome: *o, Ran: c.now.Boot - a.at, First: first, Aloud: aloud}
}

func (c *Machine) tellAttempt(a *attempt, told *AttemptTold) {
	if told == nil {
		return
	}
	told.Subscription, told.Order, told.Sequence, told.Delivery = a.lane.sub.id, a.order(), a.Seq, &a.Delivery
	if told.Outcome.Verdict == Retry {
		told.RetryIn = max(a.lane.next-c.now.Boot, 0)
	}
	c.emit(told)
}

// tellSuperseded is for the delivery log.
func (c *Machine) tellSuperseded(it *item) {
	if !c.TellSuperseded {
		return
	}
	d := &Delivery{Subscription: it.sub.rec, Event: it.ev, Generation: it.sub.gen, Former: c.former(it.seq)}
	told := &SupersededTold{Delivery: d, Sequence: it.seq, Message: it.ref()}
	switch {
	case it.ev != nil:
		told.Order = it.ev.Order()
	case it.lane != nil:
		told.Order = it.lane.order
	}
	c.emit(told)
}
