package event

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"orderbridge/internal/limits"
)

// # R11 Identity of events and deliveries
//
// An event is named by what the server stored: stream name, sequence, time of the message. Nothing that a
// publisher says takes part. A delivery's id is a hash of that, of the subscription and of its generation: 32 characters
// of a-z2-7, no dot, fixed length. What the publisher calls the event travels beside it, as X-Event-Id, bounded. No
// Nats- header is copied onto a message of ours.
//
// Deliveries of events that lay in the stream when the first build with these ids took over keep the former form,
// <publisher's id>.<subscription>.<generation>: the lease says up to which sequence (formerIDs). A former id whose
// first part holds a dot is not used again.

// R11, identity. What an event is called comes from what the server stored:
// the stream's name, the sequence, the message's time. No publisher can choose
// it, a stream that is restored from a backup keeps it, and one that is made
// anew has others.
//
// A delivery's id is a hash of that, of the subscription and of its generation:
// 32 characters of a-z and 2-7. It holds no dot, so that a signature over
// <id>.<time>.<body> can be read in one way only, and two changes that were
// published under one id of their publisher are two deliveries. What the
// publisher called the event travels beside it (X-Event-Id).
//
// Builds before that named a delivery <publisher's id>.<subscription>.<generation>.
// So that all attempts of a delivery carry one id, those of events which lay in
// the stream when the first newer build took over keep that name: the lease
// says up to which sequence (LeaseEntry.FormerIDs). A name whose first part holds
// a dot could be read in another way and is not used again.

// EventID names a message of a stream.
func EventID(stream string, seq uint64, at time.Time) string {
	var nanos int64
	if !at.IsZero() {
		nanos = at.UnixNano()
	}
	var space [128]byte
	b := append(space[:0], stream...)
	b = append(b, '-')
	b = append(strconv.AppendUint(b, seq, 10), '-')
	return string(strconv.AppendInt(b, nanos, 10))
}

// deliveryIDLength is that of every delivery id, in characters.
const deliveryIDLength = 32

// DeliveryID names the delivery of an event, told by its id, for a subscription in
// a generation: 32 characters of a-z and 2-7, the same for ever.
func DeliveryID(event, subscription string, generation uint64) string {
	b := make([]byte, 0, 256)
	b = append(b, "orderbridge delivery\n"...)
	for _, part := range [...]string{event, subscription} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	b = binary.AppendUvarint(b, generation)
	sum := sha256.Sum256(b)
	return laneEncoding.EncodeToString(sum[:20])
}

// IsDeliveryID tells whether the text has the form of what DeliveryID returns.
func IsDeliveryID(id string) bool {
	return len(id) == deliveryIDLength && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

// publisherID is what a publisher calls an event, in a form that is bounded and
// can be shown: itself, or a hash.
func publisherID(id string) string {
	if len(id) <= limits.ValueBytes && utf8.ValidString(id) && strings.IndexFunc(id, unicode.IsControl) < 0 {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "sha256-" + hex.EncodeToString(sum[:])
}

// FormerID is the name that builds before R11 gave a delivery; "" if it may not
// be used any more.
func (e *Event) FormerID(subscription string, generation uint64) string {
	id := e.PublisherID
	if id == "" {
		id = e.former + strconv.FormatUint(e.Seq, 10)
	}
	if strings.Contains(id, ".") {
		return ""
	}
	return id + "." + subscription + "." + strconv.FormatUint(generation, 10)
}

// Redriven is the event of a dead letter, as the letter tells it and its stream
// ("": that of the decoder), under the name that it has now: a
// former build may have written the letter, with a tenant and values as that
// build told them. What the letter's message no longer tells (its data may be
// gone) stays as the letter has it.
func (d *Decoder) Redriven(was *Event, stream string) *Event {
	e := d.Decode(&was.Message)
	if stream == "" {
		stream = d.Stream
	}
	e.ID = EventID(stream, e.Seq, e.Time)
	if e.over == nil {
		e.Type = cmp.Or(e.Type, e.bound(fieldType, was.Type))
		if e.OrderID == "" && e.LegacyOrderID == "" {
			e.boundOrder(was.OrderID, was.LegacyOrderID)
		}
	}
	if !e.bySubject {
		e.Tenant = cmp.Or(e.Tenant, e.bound(fieldTenant, was.Tenant))
	}
	return e
}
