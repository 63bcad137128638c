package bridge

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"orderbridge/bridge/event"
	"orderbridge/bridge/protocol"
)

// Ledger is the state on the bus that only the leader writes.
type Ledger interface {
	// Fence makes the bucket if it is gone, writes the epoch to every fence key
	// of it and remembers their sequences for Write. Until then nothing may be
	// written. It says which bucket it was. ErrDeposed if a fence holds a newer
	// epoch, or the same one of another term.
	Fence(ctx context.Context, b protocol.Bucket, epoch uint64, term string) (protocol.Made, error)
	// Seal notes in the bucket that it holds all that it should: a purge takes
	// the note away with the rest.
	Seal(ctx context.Context, b protocol.Bucket) error
	// Check tells whether the bucket is still the one that was fenced: ErrLost,
	// ErrMeddled, nil, or any other error: unknown.
	Check(ctx context.Context, b protocol.Bucket) error
	// Load calls fn for each present key of the bucket, fences left out, as of
	// this leader's own fence: nothing older is missing, nothing of a deposed
	// writer can follow.
	Load(ctx context.Context, b protocol.Bucket, fn func(key string, value []byte) error) error
	// Fenced says which bucket Fence has fenced, by its creation, and the highest
	// sequence of the own fences.
	Fenced(b protocol.Bucket) (created int64, last uint64)
	// Holds says which keys the bucket holds where they were not loaded: Check
	// notices if one goes.
	Holds(b protocol.Bucket, keys iter.Seq[string])
	// Write returns nil when the server confirmed it (or says that it has it
	// already), ErrDeposed, ErrRefused, ErrLost, or any other error: unknown.
	Write(ctx context.Context, w protocol.Write) error
}

// Statuses is the bucket of the statuses, for whoever follows them.
type Statuses interface {
	// Watch calls began, then fn with each entry of the bucket (value nil: it is
	// gone) in the order in which they were written, then caughtUp once, then goes
	// on with what changes, until ctx ends or the connection is closed for good.
	// Where it cannot go on from where it was (another bucket of that name, or too
	// long without contact), it calls began again and tells all once more.
	Watch(ctx context.Context, began func(), fn func(key string, value []byte), caughtUp func()) error
	// Through waits until Watch has told all up to that sequence of the bucket
	// that was made then (Ledger.Fenced).
	Through(ctx context.Context, created int64, last uint64) error
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

// Shards is what the replicas know of one another, and what is left of former
// layouts (R17, R18).
type Shards interface {
	// Leases reads the lease entries of all layouts from the bucket's leader. The
	// keys do not tell how many shards their layout has: Of is 0.
	Leases(ctx context.Context) (map[protocol.Shard]Entry, error)
	// Seen is the newest layout that fences and durables tell of, if there is one:
	// what is left when the lease bucket is gone. It is not done if anything of
	// the one before is there.
	Seen(ctx context.Context) (l protocol.Layout, found bool, err error)
	// CloseFences overwrites the fences of a shard whose lease is closed, in both
	// state buckets, with an epoch that nobody outbids: no write of a former
	// leader that is still under way is stored from then on. ErrNotClosed if the
	// lease is not, or not any more.
	CloseFences(ctx context.Context, s protocol.Shard) error
	// Fenced says whether CloseFences has been through with a shard of the first
	// layout, and nothing of it was undone: a build that knows of no shards may take
	// its closed lease again and again, and does nothing with it.
	Fenced(ctx context.Context, s protocol.Shard) (bool, error)
	// Remove removes the durables, fences and closed leases of all layouts below
	// that generation, which must be one that is done.
	Remove(ctx context.Context, below uint64) error
	// Fits says why the stream or the account does not allow so many shards
	// instead of those of the layout.
	Fits(ctx context.Context, l protocol.Layout, shards int) error

	// Beat writes the heartbeat of a replica; it vanishes some time after the last one.
	Beat(ctx context.Context, holder string, value []byte) error
	// EndBeat removes it.
	EndBeat(ctx context.Context, holder string) error
	// Beats are those that are there. Whether a replica lives is told by whether
	// its revision changes.
	Beats(ctx context.Context) ([]Beat, error)
}

// ErrNotClosed says that a former shard's lease is not closed, or was taken since
// by a build that knows of no shards.
var ErrNotClosed = errors.New("the lease is not closed")

// Entry is a lease as it stands on the bus.
type Entry struct {
	Value    []byte
	Revision uint64
}

// Beat is the heartbeat of a replica.
type Beat struct {
	Holder   string
	Value    []byte
	Revision uint64
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
	Open(ctx context.Context, epoch uint64, at event.Ref) error
	// Know tells of a message that others have seen in the stream. When the feed
	// makes another durable it must still be there, or merely gone.
	Know(r event.Ref)
	// Confirm acknowledges the settled prefix with a confirmed request.
	Confirm(ctx context.Context) error
}

// Source reads the source stream beside the feed. All positions are decided by
// the stream's leader.
type Source interface {
	// Get reads one message; ErrNotFound if it is gone for good.
	Get(ctx context.Context, seq uint64) (*event.Message, error)
	// Read returns, in order, up to max messages (at most maxBytes of data, but
	// at least one) with sequence >= from whose subject matches one of the
	// filters (none: all), and how far the stream has now been read. key tells
	// the readers apart, so that an implementation can keep its place between
	// calls; Forget drops it.
	Read(ctx context.Context, key string, from uint64, filters []string, max, maxBytes int) ([]*event.Message,
		protocol.Reading, error)
	Forget(key string)
	// SequenceAt returns the first sequence stamped at or after t (last+1 if
	// there is none; the first there is if t is zero) and the stream's last message.
	SequenceAt(ctx context.Context, t time.Time) (seq uint64, last event.Ref, err error)
	// Retention says how near the stream is to dropping its oldest messages: for
	// each fraction, up to which sequence messages have gone that part of the way
	// to the stream's limits (age, number, bytes; the nearest counts; 0: none has).
	Retention(ctx context.Context, fractions []float64) (protocol.Retention, error)
	// State says what the stream is; ErrNoStream if it does not exist.
	State(ctx context.Context) (protocol.StreamState, error)
	// Stamp reads the time of a message (Unix nanoseconds); ErrNotFound if the
	// stream holds none under that sequence.
	Stamp(ctx context.Context, seq uint64) (int64, error)
	// Gone says how many of these sequences the stream does not hold (any more).
	Gone(ctx context.Context, from, to uint64) (uint64, error)
	// Reset forgets what is remembered of the stream: it may be another one.
	Reset()
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
	Watch(ctx context.Context, fn func(protocol.Revision), caughtUp func(), missing func(bool)) error
	// Through waits until Watch has told all that the bucket's leader holds by now.
	Through(ctx context.Context) error
	// Census counts what the bucket holds. Where less is there than the former
	// count (the zero value: none) and what came since make, or another bucket,
	// it returns as well which records are there.
	Census(ctx context.Context, was protocol.Census) (now protocol.Census, present *protocol.Listing, err error)
	// Latest reads the newest revision of a key from the stream's leader; ErrNotFound if none.
	Latest(ctx context.Context, key string) (protocol.Revision, error)
}

// DeadLetters keeps what was given up.
type DeadLetters interface {
	// Store returns nil when the letter is confirmed.
	Store(ctx context.Context, d protocol.DeadLetter) error
	// Get reads a letter back by its sequence in the dead-letter stream, Remove
	// deletes it (nil if it is gone already).
	Get(ctx context.Context, seq uint64) (protocol.DeadLetter, error)
	Remove(ctx context.Context, seq uint64) error
}

// Alerts tells operators what they want to be told.
type Alerts interface {
	// Raise returns nil when the alert is confirmed; one with an ID that was
	// raised lately is dropped.
	Raise(ctx context.Context, a protocol.Alert) error
}

// Filter evaluates the filters of records.
type Filter interface {
	// Wants reports whether the expression, which Policy.CheckFilter has
	// found good, is true for the event. An error says that it cannot be told:
	// an *AttemptError with FaultRender if that stays so for this event.
	Wants(ctx context.Context, expression string, e *event.Event) (bool, error)
	// Values tells people what the parts of the expression are for the event.
	Values(ctx context.Context, expression string, e *event.Event) []Value
}

type noFilter struct{}

func (noFilter) Wants(context.Context, string, *event.Event) (bool, error) {
	return false, &AttemptError{Fault: FaultConfig, Reason: "this program evaluates no filters"}
}

func (noFilter) Values(context.Context, string, *event.Event) []Value { return nil }

// Clock tells time.
type Clock interface {
	// Now is the wall clock.
	Now() time.Time
	// Boot is the time since boot, suspend included: what leases are measured by (R10).
	Boot() time.Duration
}
