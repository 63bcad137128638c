package bridge

import "time"

// Fault tells at which point an attempt failed.
type Fault int

const (
	FaultStatus    Fault = iota // the endpoint answered, but not 2xx
	FaultTransport              // no answer: DNS, TCP, TLS, timeout, reset, malformed answer
	FaultRender                 // the request cannot be built for this event, now or ever
	FaultConfig                 // the record cannot be used now: a certificate file is missing, policy forbids it
	FaultSource                 // the event could not be read from the bus now
	FaultExpired                // the event is gone from the bus
	FaultLocal                  // this machine can make no connections now: no attempt was made
)

// AttemptError is how a publisher reports a failed attempt. Its text holds no
// secret, no user info and no query of a URL.
type AttemptError struct {
	Fault      Fault
	Status     int           // HTTP status, for FaultStatus
	RetryAfter time.Duration // what the endpoint asked for with 429 or 503; 0 if nothing
	// Unreachable says that no request of whatever event could get through: no
	// connection, no token.
	Unreachable bool
	Reason      string // one line for people, at most 1 KiB
	Detail      string // what only the operator's log may tell; "": nothing but Reason
	Err         error  // the cause, may be nil
}

func (e *AttemptError) Error() string { return e.Reason }

func (e *AttemptError) Unwrap() error { return e.Err }
