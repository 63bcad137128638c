package protocol

import (
	"strconv"
	"strings"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// KnownID is the id under which the receiver knows a dead letter, if it is one
// that may be used again.
func (d *DeadLetter) KnownID() string {
	if event.IsDeliveryID(d.DeliveryID) {
		return d.DeliveryID
	}
	event, ok := strings.CutSuffix(d.DeliveryID, "."+d.Subscription+"."+strconv.FormatUint(d.Generation, 10))
	if ok && event != "" && len(event) <= limits.ValueBytes && !strings.Contains(event, ".") {
		return d.DeliveryID
	}
	return ""
}

// IDOf is the id of the delivery of that event which the letter speaks of.
func (d *DeadLetter) IDOf(ev *event.Event) string {
	if d.former {
		if id := ev.FormerID(d.Subscription, d.Generation); id != "" {
			return id
		}
	}
	return event.DeliveryID(ev.ID, d.Subscription, d.Generation)
}

// DeadLetter is a delivery that was given up.
type DeadLetter struct {
	Subscription string       `json:"subscription"`
	Generation   uint64       `json:"generation"`
	Lane         string       `json:"lane"`                 // lane token, part of the subject
	Key          string       `json:"key,omitempty"`        // plain order key
	Order        string       `json:"order,omitempty"`      // plain order id
	Reason       string       `json:"reason"`               // one line
	Attempts     int          `json:"attempts"`             // made
	LastStatus   int          `json:"lastStatus"`           // HTTP status of the last attempt, 0 if none
	DeliveryID   string       `json:"deliveryId"`           // as the receiver saw it
	Stream       string       `json:"stream"`               // source stream
	Sequence     uint64       `json:"sequence"`             // in the source stream
	Time         time.Time    `json:"time"`                 // when given up
	Through      uint64       `json:"through,omitempty"`    // it stands for all events of the subscription from Sequence to here
	Vanished     bool         `json:"vanished,omitempty"`   // the event was not in the stream any more (R15)
	MessageTime  time.Time    `json:"messageTime,omitzero"` // of the event in the source stream
	Event        *event.Event `json:"-"`                    // nil if it could not be read: then only the reference is kept
	ID           string       `json:"-"`                    // Nats-Msg-Id of the store operation

	former       bool      // the delivery keeps the id of a former build
	Message, Top event.Ref `json:"-"` // of the event, and the highest one known
}

// ReasonRemoved is that of the dead letter of an event that somebody removed.
const ReasonRemoved = "gone: the event was removed from the source stream while it was owed (a limit, a purge, or by hand)"

// stamp is the time of a redriven letter's event, 0 if it is not known.
func (d *DeadLetter) stamp() int64 {
	if d.MessageTime.IsZero() {
		return 0
	}
	return d.MessageTime.UnixNano()
}
