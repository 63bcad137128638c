package protocol

import "orderbridge/bridge/event"

// Reading is how far a reader has come.
type Reading struct {
	Through uint64    // no other matching message lies between where it began and here; one less than that: nothing new is there
	Known   event.Ref // a message at or above Through, if one is known
	Sure    bool      // it goes on where it was: the stream need not be looked at (R15)
}
