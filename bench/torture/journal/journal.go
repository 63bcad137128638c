// Package journal holds what was seen of orderbridge from outside in one run
// of the torture harness, and the checker that holds it against the promises.
// It imports nothing of orderbridge: what it knows is the contract.
package journal

import (
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// Journal is all that was seen in a run. Every time is of one machine's clock.
type Journal struct {
	Seed           uint64
	Exact          bool // times are held too, as a machine that does nothing else lets them
	Started, Ended time.Time
	Events         []Event
	Subscriptions  []Subscription
	Operations     []Operation // in the order in which they were made
	Requests       []Request
	Letters        []Letter
	Faults         []Fault
	Terms          []Term
}

// Event is one event whose publisher got a confirmation.
type Event struct {
	ID, Subject, Type, Tenant string
	Order                     string
	N                         int       // of the order, from 1
	Sequence                  uint64    // as confirmed
	Stored                    uint64    // as the stream holds it at the end; 0: it does not
	Sent, Confirmed           time.Time // first try, confirmation
}

// Subscription is the part of a record that no operation changes.
type Subscription struct {
	ID          string
	Subjects    []string // filters; nil: all
	Types       []string // nil: all
	Ordering    string   // order, strict or none
	Coalesce    bool
	MaxInFlight int
	Method      string // for people
}

// The kinds of operations.
const (
	Put        = "put"        // a record that was not there, or was deactivated, deleted or invalid
	Update     = "update"     // of an active record
	Deactivate = "deactivate" // status deactivated
	Delete     = "delete"
	Invalid    = "invalid" // a value that is not a record
)

// Operation is one change of a record.
type Operation struct {
	Subscription string
	Kind         string
	Generation   int // counts the records under one id: another one after a delete and a put for another endpoint
	Revision     uint64
	At, Done     time.Time // first sent, confirmed
	Seen         time.Time // when the status was seen to speak of this revision or a later one
}

// Request is one request that came to an endpoint.
type Request struct {
	At, Ended    time.Time // Ended is taken before the answer is sent
	Subscription string
	Generation   int
	Event        string // id of the event; of a GET as the delivery id tells it
	ID           string // of the delivery
	Attempt      int
	Status       int  // 0: none was sent
	Gone         bool // the client was gone when it was answered
	Redrive      bool
}

func (r *Request) success() bool { return r.Status >= 200 && r.Status < 300 }

// sure tells whether the bridge must know of the success.
func (r *Request) sure() bool { return r.success() && !r.Gone }

// Letter is a dead letter.
type Letter struct {
	Time         time.Time
	Subscription string
	Generation   int
	Event, ID    string
	Reason       string
}

// Fault is one thing that was done to the system.
type Fault struct {
	Kind, Target string
	From, Until  time.Time
	// Excuse says that what was sent in the second before From, or until Until,
	// may be repeated: a crash, or a bus that cannot be reached.
	Excuse bool
}

// Term is a leadership.
type Term struct {
	Shard  string // key of its lease
	Epoch  uint64
	Holder string
	Seen   time.Time
}

// Write stores a journal in a file.
func (j *Journal) Write(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	defer f.Close()
	z := gzip.NewWriter(f)
	if err := json.NewEncoder(z).Encode(j); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return f.Close()
}

// Read reads what Write has stored.
func Read(path string) (*Journal, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	j := &Journal{}
	if err := json.NewDecoder(z).Decode(j); err != nil {
		return nil, fmt.Errorf("read journal: %w", err)
	}
	return j, nil
}
