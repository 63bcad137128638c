package event

import "time"

// Message is an event as it lies on the bus, before anything in it is read.
type Message struct {
	Seq     uint64              // sequence in the source stream, from 1
	Time    time.Time           // the server's time stamp
	Subject string              // as published
	Header  map[string][]string // as published, Nats-* headers included; nil if none
	Data    []byte              // as published; never changed
}

// Event is one order change event: the message and what was read from it
// (Decoder says from where), each value at most 512 bytes. It is immutable.
type Event struct {
	Message
	ID            string // event id (R11, ids.go): what the server stored, nothing that a publisher says
	PublisherID   string // what the publisher calls the event, at most 512 bytes; "" if the event tells none
	Type          string // e.g. "OrderAccepted"; "" if the event tells none
	OrderID       string // "" if the event tells none
	LegacyOrderID string // "" if the event tells none
	Tenant        string // "" if the event tells none
	Not           string // what the message is that is not an event (noevent.go): it matches nothing; "" for an event

	over      *overlong // what was left out of it (bounds.go); nil: nothing
	bySubject bool      // its tenant is told by its subject or not at all

	former string // begins the id that former builds gave an event without one of its publisher
}

// Size is what the event weighs in memory, in bytes, headers included.
func (e *Event) Size() int {
	n := len(e.Data) + len(e.Subject) + 256
	for k, vs := range e.Header {
		n += len(k) + 64
		for _, v := range vs {
			n += len(v)
		}
	}
	return n
}

// Weight is about what an event takes in memory, without a look at its headers.
func (e *Event) Weight() int64 { return int64(len(e.Data) + len(e.Subject) + 256) }
