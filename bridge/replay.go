package bridge

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"orderbridge/bridge/event"
	"orderbridge/internal/limits"
)

// ReplayRequest asks that a subscription is sent again what it heard in a range of
// the source stream, beside what it is owed.
type ReplayRequest struct {
	Subscription string    `json:"subscription"`
	Since        time.Time `json:"since,omitzero"`     // events stored at or after it; or FromSeq
	FromSeq      uint64    `json:"fromSeq,omitempty"`  // the first sequence
	Until        time.Time `json:"until,omitzero"`     // events stored before it; or UntilSeq
	UntilSeq     uint64    `json:"untilSeq,omitempty"` // the last sequence; neither: all that was heard by now
	Order        string    `json:"order,omitempty"`    // of this order (id or legacy id) only
	EventType    string    `json:"eventType,omitempty"`
	Rate         string    `json:"rate,omitempty"` // "10/s", "30/m", "100/h"; "": as fast as it may
	IDs          string    `json:"ids,omitempty"`  // "original" (also ""), "new"
	DryRun       bool      `json:"dryRun,omitempty"`
}

// Which delivery ids a replay has.
const (
	ReplayOriginal = "original" // those that the deliveries had: a receiver drops what it knows
	ReplayNew      = "new"      // others, which begin with "replay-": a receiver works on it once more
)

// Check says what is wrong with the request, with its members as name calls them
// (nil: as JSON has them); nil: nothing.
func (r *ReplayRequest) Check(name func(member string) string) error {
	if name == nil {
		name = func(member string) string { return member }
	}
	var found []error
	say := func(member, format string, args ...any) {
		found = append(found, fmt.Errorf("%s: %s", name(member), fmt.Sprintf(format, args...)))
	}
	from, until := "since", "until"
	if r.FromSeq > 0 {
		from = "fromSeq"
	}
	if r.UntilSeq > 0 {
		until = "untilSeq"
	}
	switch {
	case r.Since.IsZero() && r.FromSeq == 0:
		say("since", "where does it begin? Give it, or %s", name("fromSeq"))
	case !r.Since.IsZero() && r.FromSeq > 0:
		say("since", "give it or %s, not both", name("fromSeq"))
	}
	if !r.Until.IsZero() && r.UntilSeq > 0 {
		say("until", "give it or %s, not both", name("untilSeq"))
	}
	if !r.Until.IsZero() && !r.Since.IsZero() && !r.Since.Before(r.Until) || r.UntilSeq > 0 && r.FromSeq > r.UntilSeq {
		say(until, "it is before the beginning, %s", name(from))
	}
	if r.IDs != "" && r.IDs != ReplayOriginal && r.IDs != ReplayNew {
		say("ids", "%q is neither %q nor %q", r.IDs, ReplayOriginal, ReplayNew)
	}
	if _, err := replayPause(r.Rate); err != nil {
		say("rate", "%v", err)
	}
	return errors.Join(found...)
}

// replayPause is the time between two attempts at that rate; 0: none.
func replayPause(rate string) (time.Duration, error) {
	if rate == "" {
		return 0, nil
	}
	number, unit, _ := strings.Cut(rate, "/")
	per, known := map[string]time.Duration{"": time.Second, "s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	n, err := strconv.Atoi(number)
	if !known || err != nil || n < 1 || per/time.Duration(n) < time.Second/limits.ReplayRate {
		return 0, fmt.Errorf("%q is no rate: say, for example, 10/s, 30/m or 100/h, at most %d/s", rate, limits.ReplayRate)
	}
	return per / time.Duration(n), nil
}

// Replay is a replay as it stands on the bus.
type Replay struct {
	ID           string    `json:"id"`
	Subscription string    `json:"subscription"`
	Generation   uint64    `json:"generation"`
	Tenant       string    `json:"tenant,omitempty"` // of the subscription
	State        string    `json:"state"`            // ReplayRunning, ReplayDone, ReplayStopped
	Why          string    `json:"why,omitempty"`    // why it was stopped, or what it waits for
	From         uint64    `json:"from"`             // the first sequence
	Until        uint64    `json:"until"`            // the last one
	Order        string    `json:"order,omitempty"`
	EventType    string    `json:"eventType,omitempty"`
	Rate         string    `json:"rate,omitempty"`
	IDs          string    `json:"ids"`
	Known        event.Ref `json:"known"`        // the last message of the stream when it was asked for
	By           string    `json:"by,omitempty"` // who has asked for it
	Asked        time.Time `json:"asked"`
	Ended        time.Time `json:"ended,omitzero"`
	Progress
	Written time.Time `json:"written"` // when it was said last
	Epoch   uint64    `json:"epoch"`   // the leadership that carries it out
}

// Progress is how far a replay is.
type Progress struct {
	Next      uint64   `json:"next"`                // all below it is done
	Done      []uint64 `json:"done,omitempty"`      // of what follows, what is done as well
	Sent      int      `json:"sent"`                // events that the endpoint has taken
	Filtered  int      `json:"filtered"`            // that the filter of the record rejects
	Failed    int      `json:"failed"`              // that became dead letters
	Attempts  int      `json:"attempts"`            // requests
	Gone      uint64   `json:"gone"`                // sequences of the range that are not in the stream any more
	LastError string   `json:"lastError,omitempty"` // of the last failed attempt
}

// The states of a replay.
const (
	ReplayRunning = "running"
	ReplayDone    = "done"
	ReplayStopped = "stopped"
)

// ReplayCount is what a replay or a rewind would send.
type ReplayCount struct {
	From    uint64         `json:"from"`
	Until   uint64         `json:"until"`
	Matches int            `json:"matches"`        // events that would be sent
	Looked  int            `json:"looked"`         // events that were looked at
	More    bool           `json:"more,omitempty"` // it was counted up to Through only
	Through uint64         `json:"through"`
	Gone    uint64         `json:"gone"` // sequences of the range that are not in the stream any more
	Sample  []ReplaySample `json:"sample"`
}

// ReplaySample is one of the events that would be sent.
type ReplaySample struct {
	Sequence   uint64    `json:"sequence"`
	Time       time.Time `json:"time"`
	Order      string    `json:"order,omitempty"`
	EventType  string    `json:"eventType,omitempty"`
	DeliveryID string    `json:"deliveryId"`
}

// Replays is where replays stand on the bus. Only the leader of the subscription's
// shard writes one.
type Replays interface {
	// All reads those that there are, also those that have ended, in the order of
	// their ids.
	All(ctx context.Context) ([]StoredReplay, error)
	// Put writes one if its revision still is expect (0: there is none); else
	// protocol.ErrDeposed.
	Put(ctx context.Context, r Replay, expect uint64) (revision uint64, err error)
	// Remove removes one that has ended.
	Remove(ctx context.Context, id string, expect uint64) error
}

// StoredReplay is one, with its revision.
type StoredReplay struct {
	Replay
	Revision uint64
}
