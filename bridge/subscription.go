package bridge

import "time"

// Subscription is one parsed and validated record (docs/subscription.schema.json).
// It is immutable and kept small: a million of them stand in memory.
type Subscription struct {
	ID        string
	TargetURL string
	Method    string // GET, POST or PUT
	Payload   string // event, notification or cloudevent
	Tenant    string
	Subjects  []string // NATS subject filters; nil hears all
	Types     []string // event types, may hold *; nil hears all

	Inactive    bool // status "deactivated"
	Coalesce    bool
	Ordering    Ordering
	MaxInFlight int

	More *SubscriptionMore // nil when nothing in it was given: what a plain record does not have
}

// Ordering says which events of a subscription wait for one another.
type Ordering uint8

const (
	OrderingOrder  Ordering = iota // the events of one order
	OrderingNone                   // none
	OrderingStrict                 // all
)

// SubscriptionMore are the members that plain records do without.
type SubscriptionMore struct {
	Headers           map[string]string
	Key               Secret // query parameter key (contract B5); a secret
	Auth              *Auth
	ConnectionTimeout time.Duration   // 0: default
	Timeout           time.Duration   // 0: default
	Schedule          []time.Duration // nil: default
	StartFrom         string          // "", "new", "all" or an RFC 3339 time
	Description       string
	Labels            map[string]string
}

// Auth is how an attempt authenticates itself to the endpoint.
type Auth struct {
	Type     string // basic or noauth, for now
	Username string
	Password Secret
}
