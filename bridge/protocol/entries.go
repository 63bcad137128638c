package protocol

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"orderbridge/bridge/event"
)

// What the leader keeps on the bus. All of it is JSON, so that `nats kv get`
// shows it to a person.

// LaneEntry is a held lane, in the bucket owed under `<subscription>.<lane>`:
// references to the events that wait in it, oldest first.
type LaneEntry struct {
	Generation uint64      `json:"generation"`
	Key        string      `json:"key,omitempty"`   // the plain order key, where the lane's token is another one
	Order      string      `json:"order,omitempty"` // the plain order id
	Seqs       []uint64    `json:"seqs"`            // sequences in the source stream, at most 256
	Head       Head        `json:"head"`
	UpTo       uint64      `json:"upTo,omitempty"`    // drained: settled up to here, kept until the floor of the lease has passed it
	Redrive    uint64      `json:"redrive,omitempty"` // sequence in the dead-letter stream: put back by an operator
	Known      []event.Ref `json:"known,omitempty"`   // messages that the sequences speak of (R15)
}

// Head is what is known of the oldest delivery of a held lane.
type Head struct {
	Attempts   int       `json:"attempts"`             // failed so far
	Next       time.Time `json:"next"`                 // not tried before
	LastStatus int       `json:"lastStatus,omitempty"` // HTTP status of the last attempt
	LastError  string    `json:"lastError,omitempty"`
	Cut        bool      `json:"cut,omitempty"` // a stop has cut its attempt off, the endpoint may be at it until Next
}

// ParseLaneEntry reads a held lane as it stands in the ledger.
func ParseLaneEntry(value []byte) (LaneEntry, error) {
	var e LaneEntry
	if err := json.Unmarshal(value, &e); err != nil {
		return e, fmt.Errorf("not a lane entry: %w", err)
	}
	switch {
	case e.Generation == 0:
		return e, errors.New("lane entry without a generation")
	case e.Redrive != 0 && len(e.Seqs) != 1:
		return e, fmt.Errorf("lane entry of a redriven dead letter refers to %d events, not to one", len(e.Seqs))
	case e.Head.Attempts < 0:
		return e, fmt.Errorf("lane entry with %d attempts", e.Head.Attempts)
	}
	for i, seq := range e.Seqs {
		if seq == 0 || i > 0 && seq <= e.Seqs[i-1] {
			return e, fmt.Errorf("lane entry whose sequences do not rise: %d at place %d", seq, i)
		}
	}
	return e, nil
}

// Mark says that a subscription reads for itself, in the bucket owed under
// `<subscription>`; or, with Live, from where it owes to the feed again.
type Mark struct {
	Generation uint64      `json:"generation"`
	From       uint64      `json:"from,omitempty"`     // everything below is settled
	Done       [][2]uint64 `json:"done,omitempty"`     // settled, above From
	Until      *uint64     `json:"until,omitempty"`    // owes nothing above
	Reason     string      `json:"reason,omitempty"`   // why it reads
	Live       uint64      `json:"live,omitempty"`     // back to live: owes nothing below
	UntilTime  time.Time   `json:"untilTime,omitzero"` // owes nothing stamped later: what Until was made of
	Known      []event.Ref `json:"known,omitempty"`    // messages that the numbers speak of (R15)
}

// ParseMark reads a mark as it stands in the ledger.
func ParseMark(value []byte) (Mark, error) {
	var m Mark
	if err := json.Unmarshal(value, &m); err != nil {
		return m, fmt.Errorf("not a mark: %w", err)
	}
	switch {
	case m.Generation == 0:
		return m, errors.New("mark without a generation")
	case m.Live == 0 && m.From == 0:
		return m, errors.New("mark that says neither from nor live")
	}
	for _, x := range m.Done {
		if x[0] == 0 || x[1] < x[0] || x[1] == math.MaxUint64 {
			return m, fmt.Errorf("mark with the interval %d to %d", x[0], x[1])
		}
	}
	return m, nil
}

// LeaseEntry says who leads and how far the feed is settled (R3, R10).
type LeaseEntry struct {
	Epoch   uint64      `json:"epoch"`
	Holder  string      `json:"holder"`
	Free    bool        `json:"free,omitempty"`    // handed over: whoever wants may take it
	Floor   uint64      `json:"floor"`             // everything up to here is settled
	Settled [][2]uint64 `json:"settled,omitempty"` // above the floor
	Cursor  *Cursor     `json:"cursor,omitempty"`

	Term    string `json:"term,omitempty"`    // of this leadership, random (R16)
	Beat    uint64 `json:"beat,omitempty"`    // counts the writes of the term: no two revisions are equal
	Leading bool   `json:"leading,omitempty"` // the take-over is done

	Buckets *Buckets `json:"buckets,omitempty"`
	Applied *Applied `json:"applied,omitempty"`

	Length string `json:"length"` // how long the lease holds, for people and stand-bys

	// Deliveries of events up to here carry the ids of builds before R11 (ids.go);
	// absent: such a build has written this, or nobody has led yet.
	FormerIDs *uint64 `json:"formerIDs,omitempty"`
	// R15: which stream the numbers above speak of.
	Stream      *StreamName    `json:"stream,omitempty"`
	Top         event.Ref      `json:"top,omitzero"`          // the highest message known
	Known       []event.Ref    `json:"known,omitempty"`       // the messages at the floor, at the ends of Settled and some below Top
	Checkpoints []Checkpoint   `json:"checkpoints,omitempty"` // former floors, oldest first
	Changes     []StreamChange `json:"changes,omitempty"`     // that no operator has acknowledged yet
	Adopt       *Adoption      `json:"adopt,omitempty"`       // what an operator has decided while nobody led

	// R17, R18. Absent in generation 0.
	Layout    *Layout `json:"layout,omitempty"`    // to which the shard belongs: a lost layout can be made again
	Closed    bool    `json:"closed,omitempty"`    // for good: there is another layout
	Inherited bool    `json:"inherited,omitempty"` // what the former shards told; its own term has not opened the feed yet
	Own       bool    `json:"own,omitempty"`       // the floor is past all that the former shards have settled

	none   bool // there was no entry
	ByHand bool `json:"-"` // somebody else wrote it: what it does not tell is not unknown to the bridge
}

// Cursor names the one event that was expanded in part at a hand-over: done for
// the subscriptions whose id is below ID.
type Cursor struct {
	Seq uint64 `json:"seq"`
	ID  string `json:"id"`
}

// Encode writes an entry of a state bucket or the lease.
func Encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("protocol: state cannot be encoded: " + err.Error()) // only our own types come here
	}
	return b
}
