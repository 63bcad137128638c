package protocol

import (
	"time"

	"orderbridge/internal/limits"
)

// Bounds are the bounds and times of the protocol. They are variables of the machine
// and not constants, because the simulation runs the same code in a smaller world.
type Bounds struct {
	Window      int  // W: unsettled events of the feed; the feed holds it, the core only judges by it
	WindowBytes int  // of the events in the window; the feed holds it
	Deliveries  int  // D: unsettled deliveries in memory
	Lane        int  // references in one held lane
	Lanes       int  // held lanes of one subscription, whatever the others hold
	LanesMost   int  // held lanes of one subscription
	HeldMost    int  // held lanes of all; beyond it a subscription has no more than Lanes
	Outstanding int  // deliveries that a reading subscription has in memory
	ReadBytes   int  // of one read
	ReadTotal   int  // of all readers together
	Parked      int  // lanes of one subscription parked at one time before it reads instead
	Applying    int  // record revisions applied at the same time
	MaxRunning  int  // attempts at the same time, over all subscriptions
	Keen        int  // k of all shares; 0: each its own (sharing.go)
	Verbose     bool // every attempt is told

	TellFailures   bool // every attempt that failed is told
	TellSuperseded bool // and what was superseded

	FlightBytes int // of the events of attempts
	LedgerBytes int // of all entries in the ledger

	Lease      time.Duration // length of the lease
	Margin     time.Duration // attempts end so long before the lease does
	Renew      time.Duration // lease renewals, position flushes
	Stale      time.Duration // unconfirmed for so long: no attempt (R3)
	Park       time.Duration // R5
	ParkSoon   time.Duration // the same where an endpoint leaves an attempt without an answer
	Overlap    time.Duration // clock difference allowed between publisher and operator (R12, R13)
	Keep       time.Duration // debts of a deleted record
	Tick       time.Duration
	Poll       time.Duration // a reader that found nothing new
	Drain      time.Duration // of a graceful stop (R10b): until old attempts have ended
	Freeze     time.Duration // then, nothing starts: until young attempts have ended
	Last       time.Duration // then the lease is freed, whatever is confirmed
	Busy       time.Duration // until a refused or unanswered request is repeated
	ProbeMin   time.Duration
	ProbeMax   time.Duration
	Retention  time.Duration // between looks at the limits of the stream
	Check      time.Duration // between looks at which stream it is (R15)
	Watch      time.Duration // between looks at the state buckets
	Rest       time.Duration // without a success for so long, what the breaker knows is forgotten
	RampRate   float64       // of the slow start, attempts a second
	RampDouble time.Duration // until the rate doubles
	RampTime   time.Duration // until full speed
	Failures   int           // in a row, open the breaker
}

// DefaultBounds are those of internal/limits.
func DefaultBounds() Bounds {
	return Bounds{
		Window: limits.WindowEvents, WindowBytes: limits.WindowBytes,
		Deliveries: limits.WindowDeliveries, Lane: limits.LaneReferences, Lanes: limits.LanesLeast,
		LanesMost: limits.LanesMost, HeldMost: limits.LanesHeld, Outstanding: limits.ReaderDeliveries,
		ReadBytes: limits.ReaderBytes, ReadTotal: limits.ReadersBytes, Parked: limits.ParkedLanes,
		Applying: limits.RevisionsApplying, MaxRunning: limits.AttemptsRunning, Lease: limits.LeaseTime,
		Margin: limits.LeaseMargin, Renew: limits.LeaseRenewal, Stale: limits.LeaseStale, Park: limits.ParkAfter,
		ParkSoon: limits.ParkSoonAfter, Overlap: limits.ClockOverlap, Keep: limits.DeletedKept, Tick: limits.CoreTick,
		Poll: limits.ReaderPoll, Drain: limits.StopDrain, Freeze: limits.StopFreeze, Last: limits.StopLast,
		Busy: limits.BusyPause, ProbeMin: limits.ProbeFirst, ProbeMax: limits.ProbeLast, Failures: limits.BreakerFailures,
		Watch: limits.BucketWatch, Retention: limits.RetentionWatch, Check: limits.StreamWatch, Rest: limits.RestAfter, RampRate: limits.RampRate,
		RampDouble: limits.RampDouble, RampTime: limits.RampTime,
		FlightBytes: limits.FlightBytes, LedgerBytes: limits.OwedBytes,
	}
}

// For are the bounds of one of n shards: what stands for the process, or for all
// that the bridge keeps on the bus, is divided; what stands for a subscription is not.
func (b Bounds) For(n int) Bounds {
	if n <= 1 {
		return b
	}
	for _, x := range []*int{&b.WindowBytes, &b.Deliveries, &b.HeldMost, &b.ReadTotal, &b.Applying, &b.MaxRunning, &b.FlightBytes, &b.LedgerBytes} {
		*x = max(*x/n, min(*x, 1))
	}
	return b
}
