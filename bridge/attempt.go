package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// Attempt is an entry of the delivery log: what became of one attempt of a
// delivery, or of a delivery without one. It holds no secret. Members that say
// nothing are left out of its JSON, shard apart.
type Attempt struct {
	Time         time.Time        `json:"time"` // when it ended
	Subscription string           `json:"subscription"`
	Generation   uint64           `json:"generation,omitempty"`       // of the subscription
	Tenant       string           `json:"tenant,omitempty"`           // of the subscription, else of the event
	Order        string           `json:"order,omitempty"`            // order id, else legacy order id; cut as dead letters cut it
	Sequence     uint64           `json:"sequence,omitempty"`         // of the event in the source stream; 0: a test
	Published    time.Time        `json:"published,omitzero"`         // when the event was stored there
	EventID      string           `json:"eventId,omitempty"`          // the bridge's, made of what the server stored
	PublisherID  string           `json:"publisherEventId,omitempty"` // what the publisher calls the event
	EventType    string           `json:"eventType,omitempty"`
	DeliveryID   string           `json:"deliveryId,omitempty"`
	Attempt      int              `json:"attempt,omitempty"` // 1 for the first; of a dead letter: how many there were
	Kind         string           `json:"kind,omitempty"`    // why it was made: one of the Kinds
	Outcome      string           `json:"outcome"`           // one of the Outcomes
	Status       int              `json:"status,omitempty"`  // HTTP status; 0: no answer
	Reason       string           `json:"reason,omitempty"`  // why not delivered, one line, at most 1 KiB
	Request      *AttemptRequest  `json:"request,omitempty"` // nil: none was made
	Response     *AttemptResponse `json:"response,omitempty"`
	Timings      *AttemptTimings  `json:"timings,omitempty"`
	Next         time.Time        `json:"next,omitzero"` // when the next attempt is due; zero: none is, or it waits for something else
	TraceID      string           `json:"traceId,omitempty"`
	Shard        int              `json:"shard"`             // -1: a test by the API, which belongs to none
	Replica      string           `json:"replica,omitempty"` // who wrote the entry
}

// Why an attempt was made.
const (
	KindLive    = "live"    // the first attempt of a delivery
	KindRetry   = "retry"   // a later one
	KindProbe   = "probe"   // while the subscription is suspended
	KindRedrive = "redrive" // of a dead letter that was put back
	KindReplay  = "replay"  // of an event that is sent once more
	KindTest    = "test"    // a sample, or a given event, that somebody asked for
)

// What became of it.
const (
	OutcomeDelivered  = "delivered"  // a 2xx
	OutcomeFailed     = "failed"     // Next tells whether there is another attempt
	OutcomeCut        = "cut"        // by our own stop or a lost lease: it is not counted, and made again
	OutcomeFiltered   = "filtered"   // the filter rejects the event: settled without a request
	OutcomeSuperseded = "superseded" // a newer event of the order made it needless: settled without a request
	OutcomeDead       = "dead"       // a dead letter is stored: given up, expiring, vanished or skipped
)

// AttemptRequest is what was sent, without its secrets.
type AttemptRequest struct {
	Method  string         `json:"method"`
	URL     string         `json:"url"` // query values and parts of the path that nobody could guess are hidden
	Headers AttemptHeaders `json:"headers,omitempty"`
	Bytes   int            `json:"bytes"` // of the body
}

// AttemptResponse is what came back, without the secrets of the record.
type AttemptResponse struct {
	Headers AttemptHeaders `json:"headers,omitempty"`
	Excerpt string         `json:"excerpt,omitempty"` // the beginning of the body, one line
	Bytes   int            `json:"bytes"`             // of the body, as far as it was read
}

// AttemptTimings say where the time went, each in milliseconds. What a reused
// connection needs not takes none.
type AttemptTimings struct {
	DNS       float64 `json:"dns,omitempty"`
	Connect   float64 `json:"connect,omitempty"`
	TLS       float64 `json:"tls,omitempty"`
	FirstByte float64 `json:"firstByte,omitempty"` // from the request on a connection that stands to the first byte of the answer
	Total     float64 `json:"total"`               // of the whole attempt
}

// AttemptHeader is a header field.
type AttemptHeader struct{ Name, Value string }

// AttemptHeaders are a JSON object, name to value, in the order in which they
// were sent. A name that comes again has its values joined by ", ".
type AttemptHeaders []AttemptHeader

// Get is the value of a header, by its name as it stands there; "" if it is absent.
func (h AttemptHeaders) Get(name string) string {
	for _, x := range h {
		if x.Name == name {
			return x.Value
		}
	}
	return ""
}

// MarshalJSON implements json.Marshaler.
func (h AttemptHeaders) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, x := range h {
		if i > 0 {
			b.WriteByte(',')
		}
		for at, text := range [...]string{x.Name, x.Value} {
			quoted, err := json.Marshal(text)
			if err != nil {
				return nil, err
			}
			if at > 0 {
				b.WriteByte(':')
			}
			b.Write(quoted)
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (h *AttemptHeaders) UnmarshalJSON(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("headers are not a JSON object")
	}
	*h = nil
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		var value string
		if err := d.Decode(&value); err != nil {
			return err
		}
		text, _ := name.(string) // a name of a JSON object always is one
		*h = append(*h, AttemptHeader{text, value})
	}
	return nil
}

// AttemptLog keeps what became of each attempt.
type AttemptLog interface {
	// Log takes an entry note of. It never waits: where there is no room for the
	// entry, or the bus takes none, the entry is dropped and counted. It keeps
	// nothing of a. Safe for concurrent use.
	Log(a *Attempt)
	// Room is asked before the entry of what went well is made; tenant is "" for a
	// subscription of none. Where it is false the entry is not wanted, or there is no
	// room for it and it counts as dropped: it costs no more than the question. Safe for
	// concurrent use.
	Room(subscription, tenant string) bool
}
