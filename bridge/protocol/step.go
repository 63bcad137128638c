package protocol

import (
	"time"
)

// Step tells the machine what happened, and returns what it wants done. The
// slice is valid until the next Step. After EndTerm nothing comes any more.
func (c *Machine) Step(now Now, in Input) []Output {
	clear(c.outputs)
	c.outputs = c.outputs[:0]
	if c.over {
		return nil
	}
	c.now = now
	switch in := in.(type) {
	case Tick:
		c.fireTimers()
	case *EventTaken:
		c.brought(in)
	case *AttemptEnded:
		c.attemptEnded(in)
	case AttemptWeighed:
		c.weighed(in)
	case reply:
		c.answered(in)
	case *RecordSeen:
		c.recordSeen(in)
	case *RecordReread:
		c.reread(in)
	case Start:
		c.start()
	case FeedEnded:
		c.sure(held{in: in})
	case RecordsPassed:
		c.seenUpTo(in.Bucket, in.Revision)
	case RecordsCaughtUp:
		c.recordsCaughtUp()
	case RecordsMissing:
		c.missing = in.Missing
	case RecordsListed:
		c.emit(ListingCompared{All: c.listed(in.Listing)})
	case RoomChanged:
		c.roomChanged(in)
	case StreamLoses:
		c.setLosing(in.Why)
	case BusAlert:
		c.raiseBus(in)
	case Stop:
		c.stop()
	case *Redrive:
		c.redrive(in)
	case *Adopt:
		c.adoptStream(in)
	case Rewind:
		c.rewind(in)
	case *ReplayAttempt:
		c.replayAttempt(in)
	case EndReplay:
		c.endReplay(in)
	case *RetryNow:
		c.retryNow(in)
	case *SkipHead:
		c.skip(in)
	case AlertsHeard:
		c.alertsHeard(in)
	}
	return c.outputs
}

// Next is the boot time at which a Tick is due; false if none is.
func (c *Machine) Next() (time.Duration, bool) {
	if len(c.timers.heap) == 0 {
		return 0, false
	}
	return c.timers.heap[0].at, true
}

func (c *Machine) emit(out Output) {
	if !c.over {
		c.outputs = append(c.outputs, out)
	}
}

func (c *Machine) log(level Level, msg string, args ...any) {
	c.emit(Log{level, msg, args})
}

// end ends the term: nothing is said or done after it.
func (c *Machine) end(cause error) {
	c.emit(EndTerm{cause})
	c.over = true
}

// Level is how much a line of the log matters.
type Level uint8

// The levels of the log.
const (
	Debug Level = iota
	Info
	Warn
	Error
)

func (c *Machine) roomChanged(in RoomChanged) {
	if in.Window > 0 {
		c.Window = in.Window
	}
	if in.Ledger > 0 {
		c.shares.pools[space].size = in.Ledger
	}
}
