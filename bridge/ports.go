package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
)

// What a port answers when it cannot do what was asked. Any other error means
// that the outcome is unknown: it may have happened, or may yet happen.
var (
	// ErrDeposed: the server refused a write because another leader's fence
	// (or lease revision) is newer. Stop at once, write nothing more.
	ErrDeposed = errors.New("deposed: another replica leads")
	// ErrRefused: certainly not written, and a later copy of it cannot land
	// either: the bucket is full, the value too large.
	ErrRefused = errors.New("refused by the server")
	// ErrLost: the state bucket is gone, was made anew or was purged: not by a
	// leader. It takes no write until it is fenced again (R16).
	ErrLost = errors.New("the bucket was deleted or purged by somebody")
	// ErrMeddled: somebody else than the leader has written to a state bucket, or
	// removed entries of it.
	ErrMeddled = errors.New("somebody has changed entries of the bucket")
	// ErrNotFound: the leader of the stream says that there is no such thing.
	ErrNotFound = errors.New("not found")
)

// Bucket names a state bucket of the leader.
type Bucket int

const (
	BucketStatus Bucket = iota // subscription_status: key <subscription>
	BucketOwed                 // owed: keys <subscription> (mark) and <subscription>.<lane>
)

// String is the name of the bucket without prefix.
func (b Bucket) String() string { return [...]string{"subscription_status", "owed"}[b] }

// Made tells a state bucket from another of the same name, and whether it is
// complete.
type Made struct {
	Created  int64 // Unix nanoseconds
	Unfenced bool  // a fence was absent
	Sealed   bool
}

// Write is one write to a state bucket, checked by the server against the
// writer's fence (R4). It is repeated with the same ID until the answer is definite.
type Write struct {
	Bucket Bucket
	Key    string
	Value  []byte // nil removes the key (a KV-Operation marker)
	ID     string // Nats-Msg-Id: <term>:<epoch>:<counter>, the term a random text
}

// Ledger is the state on the bus that only the leader writes.
type Ledger interface {
	// Fence makes the bucket if it is gone, writes the epoch to every fence key
	// of it and remembers their sequences for Write. Until then nothing may be
	// written. It says which bucket it was. ErrDeposed if a fence holds a newer
	// epoch, or the same one of another term.
	Fence(ctx context.Context, b Bucket, epoch uint64, term string) (Made, error)
	// Seal notes in the bucket that it holds all that it should: a purge takes
	// the note away with the rest.
	Seal(ctx context.Context, b Bucket) error
	// Check tells whether the bucket is still the one that was fenced: ErrLost,
	// ErrMeddled, nil, or any other error: unknown.
	Check(ctx context.Context, b Bucket) error
	// Load calls fn for each present key of the bucket, fences left out, as of
	// this leader's own fence: nothing older is missing, nothing of a deposed
	// writer can follow.
	Load(ctx context.Context, b Bucket, fn func(key string, value []byte) error) error
	// Write returns nil when the server confirmed it (or says that it has it
	// already), ErrDeposed, ErrRefused, ErrLost, or any other error: unknown.
	Write(ctx context.Context, w Write) error
}

// Lease is the one entry that says who leads and how far it got. Its value is
// opaque here; compare-and-set on its revision.
type Lease interface {
	// Get reads the entry from the stream's leader; revision 0 and nil if absent.
	Get(ctx context.Context) (value []byte, revision uint64, err error)
	// Put writes the entry if its revision still is expect (0: absent).
	// ErrDeposed if not. A repeat with the same id of a write that has landed
	// returns its revision and no error.
	Put(ctx context.Context, value []byte, expect uint64, id string) (revision uint64, err error)
	// Watch calls fn with each new revision of the entry (the present one
	// included) until ctx ends, over reconnects.
	Watch(ctx context.Context, fn func(value []byte, revision uint64)) error
}

// Feed is the one shared consumer of the source stream: a Watermill Subscriber
// whose messages are the events in stream order, each sequence once. Ack means
// settled; the feed acknowledges the settled prefix on the bus (R1-R3).
type Feed interface {
	message.Subscriber
	// Floor returns what the newest durable of the newest older epoch has
	// confirmed, or one of this epoch that an earlier call made, and whether
	// there is one. ErrDeposed if there is one of a newer epoch.
	Floor(ctx context.Context, epoch uint64) (floor uint64, found bool, err error)
	// Open makes the durable of a new epoch, which begins after the message at,
	// and deletes the older ones. Subscribe may be called only after it.
	Open(ctx context.Context, epoch uint64, at Ref) error
	// Know tells of a message that others have seen in the stream. When the feed
	// makes another durable it must still be there, or merely gone.
	Know(r Ref)
	// Confirm acknowledges the settled prefix with a confirmed request.
	Confirm(ctx context.Context) error
}

// Source reads the source stream beside the feed. All positions are decided by
// the stream's leader.
type Source interface {
	// Get reads one message; ErrNotFound if it is gone for good.
	Get(ctx context.Context, seq uint64) (*Message, error)
	// Read returns, in order, up to max messages (at most maxBytes of data, but
	// at least one) with sequence >= from whose subject matches one of the
	// filters (none: all), and how far the stream has now been read. key tells
	// the readers apart, so that an implementation can keep its place between
	// calls; Forget drops it.
	Read(ctx context.Context, key string, from uint64, filters []string, max, maxBytes int) ([]*Message, Reading, error)
	Forget(key string)
	// SequenceAt returns the first sequence stamped at or after t (last+1 if
	// there is none; the first there is if t is zero) and the stream's last message.
	SequenceAt(ctx context.Context, t time.Time) (seq uint64, last Ref, err error)
	// Retention says how near the stream is to dropping its oldest messages: for
	// each fraction, up to which sequence messages have gone that part of the way
	// to the stream's limits (age, number, bytes; the nearest counts; 0: none has).
	Retention(ctx context.Context, fractions []float64) (Retention, error)
	// State says what the stream is; ErrNoStream if it does not exist.
	State(ctx context.Context) (StreamState, error)
	// Stamp reads the time of a message (Unix nanoseconds); ErrNotFound if the
	// stream holds none under that sequence.
	Stamp(ctx context.Context, seq uint64) (int64, error)
	// Reset forgets what is remembered of the stream: it may be another one.
	Reset()
}

// Reading is how far a reader has come.
type Reading struct {
	Through uint64 // no other matching message lies between where it began and here; one less than that: nothing new is there
	Known   Ref    // a message at or above Through, if one is known
	Sure    bool   // it goes on where it was: the stream need not be looked at (R15)
}

// Revision is one revision of a record, as its writer left it.
type Revision struct {
	Key      string
	Revision uint64    // of the KV entry
	Bucket   int64     // creation time of the bucket in Unix nanoseconds: revisions of another bucket do not compare
	Time     time.Time // the server's time stamp
	Deleted  bool      // explicit marker: delete
	Purged   bool      // explicit marker: purge (Deleted is true as well)
	Value    []byte    // nil when Deleted
}

// Records is the bucket of the subscription records.
type Records interface {
	// Watch calls fn with every kept revision of every key in the order of the
	// bucket, then calls caughtUp once, then goes on with what changes, over
	// reconnects, restarts of the bus and a bucket that is deleted and made
	// anew (then with all revisions of the new one). A revision may come twice.
	// missing(true) says that the bucket is gone, missing(false) that it is
	// there (again). It returns only when ctx ends, or with an error if it
	// cannot go on.
	Watch(ctx context.Context, fn func(Revision), caughtUp func(), missing func(bool)) error
	// Census counts what the bucket holds. Where less is there than the former
	// count (the zero value: none) and what came since make, or another bucket,
	// it returns as well which records are there.
	Census(ctx context.Context, was Census) (now Census, present *Listing, err error)
	// Latest reads the newest revision of a key from the stream's leader; ErrNotFound if none.
	Latest(ctx context.Context, key string) (Revision, error)
}

// DeadLetter is a delivery that was given up.
type DeadLetter struct {
	Subscription string    `json:"subscription"`
	Generation   uint64    `json:"generation"`
	Lane         string    `json:"lane"`                 // lane token, part of the subject
	Key          string    `json:"key,omitempty"`        // plain order key
	Order        string    `json:"order,omitempty"`      // plain order id
	Reason       string    `json:"reason"`               // one line
	Attempts     int       `json:"attempts"`             // made
	LastStatus   int       `json:"lastStatus"`           // HTTP status of the last attempt, 0 if none
	DeliveryID   string    `json:"deliveryId"`           // as the receiver saw it
	Stream       string    `json:"stream"`               // source stream
	Sequence     uint64    `json:"sequence"`             // in the source stream
	Time         time.Time `json:"time"`                 // when given up
	Through      uint64    `json:"through,omitempty"`    // it stands for all events of the subscription from Sequence to here
	Vanished     bool      `json:"vanished,omitempty"`   // the event was not in the stream any more (R15)
	MessageTime  time.Time `json:"messageTime,omitzero"` // of the event in the source stream
	Event        *Event    `json:"-"`                    // nil if it could not be read: then only the reference is kept
	ID           string    `json:"-"`                    // Nats-Msg-Id of the store operation

	former       bool // the delivery keeps the id of a former build
	message, top Ref  // of the event, and the highest one known
}

// DeadLetters keeps what was given up.
type DeadLetters interface {
	// Store returns nil when the letter is confirmed.
	Store(ctx context.Context, d DeadLetter) error
	// Get reads a letter back by its sequence in the dead-letter stream, Remove
	// deletes it (nil if it is gone already).
	Get(ctx context.Context, seq uint64) (DeadLetter, error)
	Remove(ctx context.Context, seq uint64) error
}

// Alerts tells operators what they want to be told.
type Alerts interface {
	// Raise returns nil when the alert is confirmed; one with an ID that was
	// raised lately is dropped.
	Raise(ctx context.Context, a Alert) error
}

// Filter evaluates the filters of records.
type Filter interface {
	// Wants reports whether the expression, which RecordPolicy.CheckFilter has
	// found good, is true for the event. An error says that it cannot be told:
	// an *AttemptError with FaultRender if that stays so for this event.
	Wants(ctx context.Context, expression string, e *Event) (bool, error)
}

type noFilter struct{}

func (noFilter) Wants(context.Context, string, *Event) (bool, error) {
	return false, &AttemptError{Fault: FaultConfig, Reason: "this program evaluates no filters"}
}

// Clock tells time.
type Clock interface {
	// Now is the wall clock.
	Now() time.Time
	// Boot is the time since boot, suspend included: what leases are measured by (R10).
	Boot() time.Duration
}
