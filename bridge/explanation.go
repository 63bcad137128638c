package bridge

import (
	"orderbridge/bridge/protocol"
)

// Explanation says what becomes of an event for one subscription: whether a
// delivery is made of it, which clause decides, and what would be sent.
type Explanation struct {
	Subscription string         `json:"subscription"`
	Tenant       string         `json:"tenant,omitempty"`
	State        protocol.State `json:"state,omitempty"` // as the bridge says; "" where it has said nothing yet
	// Hears is true if the subscription would be sent the event: every clause holds.
	Hears bool `json:"hears"`
	// Decided is the first clause that does not hold; "" if all do.
	Decided ClauseName `json:"decided,omitempty"`
	// Outcome is what becomes of the event here.
	Outcome Fate   `json:"outcome"`
	Why     string `json:"why"` // one sentence for people
	// Clauses are those that were asked, in the order in which a delivery meets them.
	Clauses []Clause `json:"clauses"`
	// Request is what would be sent, where all clauses hold.
	Request *Request `json:"request,omitempty"`
}

// ClauseName names what is asked before a request is sent.
type ClauseName string

// The clauses, in the order in which a delivery meets them.
const (
	clauseEvent   ClauseName = "event"   // the message is an event
	clauseStatus  ClauseName = "status"  // the record is in force
	clauseSubject ClauseName = "subject" // subjects
	clauseType    ClauseName = "type"    // eventTypes
	clauseTenant  ClauseName = "tenant"  // tenant
	clauseAnchor  ClauseName = "anchor"  // not published before the record began
	clauseRefusal ClauseName = "refusal" // the event can be matched for sure
	clauseFilter  ClauseName = "filter"  // filter
	clauseRequest ClauseName = "request" // the request can be made
)

// Fate is what becomes of an event for a subscription.
type Fate string

// The fates.
const (
	fateSent       Fate = "sent"        // a request is sent
	fateWaits      Fate = "waits"       // it is owed, and a request is sent later: suspended, or the record cannot be used now
	fateNothing    Fate = "nothing"     // no delivery is made
	fateFiltered   Fate = "filtered"    // the filter rejects it: nothing is sent
	FateDeadLetter Fate = "dead letter" // no attempt can succeed: a dead letter is stored
)

// Clause is one condition, what the record asks for and what is there.
type Clause struct {
	Name   ClauseName `json:"clause"`
	Holds  bool       `json:"holds"`
	Asks   string     `json:"asks,omitempty"`   // of the record; "" where it leaves the member out
	Saw    string     `json:"saw,omitempty"`    // of the event, or of the bridge's state
	Values []Value    `json:"values,omitempty"` // of a filter: what its parts were for this event
	Why    string     `json:"why,omitempty"`    // in words, where it does not hold
}

// Value is a part of a filter, and what it was.
type Value struct {
	Expression string `json:"expression"`
	Value      string `json:"value"` // as JSON, or "error: …"; cut to 256 bytes
}

// Request is an HTTP request as it may be shown: no value of it is a secret.
type Request struct {
	Method string `json:"method"`
	URL    string `json:"url"`
	// Headers: what the record keeps secret is "[redacted]", a signature
	// "[signature]", what identifies one delivery or one moment as it would be now.
	Headers  AttemptHeaders `json:"headers"`
	Body     string         `json:"body,omitempty"`     // its beginning, as text
	Bytes    int            `json:"bytes"`              // of the whole body
	BodyCut  bool           `json:"bodyCut,omitempty"`  // Body is not the whole
	Encoding string         `json:"encoding,omitempty"` // "base64" where Body is not text
}
