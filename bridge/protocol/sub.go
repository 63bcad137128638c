package protocol

import (
	"math"
	"time"

	"orderbridge/bridge/record"
)

const noTime = time.Duration(math.MaxInt64)

// sub is the state of one subscription of one generation. There may be a
// million of them: what only some need stands behind pointers.
type sub struct {
	core                     *Machine
	id                       string
	gen                      uint64
	rec                      *record.Subscription // the applied record, or the last valid one before it; else noRecord
	purged                   bool                 // deleted for good: a put after it is another partner's
	absent                   bool                 // not in the bucket, though nobody has deleted it
	lastSeen                 uint64               // the newest revision that the bucket was seen to hold in this term
	recalled                 *recalled            // status lost, being restored from the history
	mode                     mode
	active, valid, suspended bool
	paused                   bool    // by its record
	fromLoad                 bool    // live since before this term: the inherited intervals speak of it
	change                   *change // under way
	unproven                 bool    // nothing was delivered since the record was put in this term
	queued                   bool    // in core.applyQ

	liveFrom  uint64 // owes nothing below (anchor, or after the last reading)
	liveMark  uint64 // a mark {live} stands in the ledger
	markEvent *windowEvent
	applied   uint64 // revision
	bucket    int64
	revs      []revision // seen, not yet applied
	deletedAt time.Time

	anchorTime, untilTime time.Time // R15: what liveFrom, as anchor, and reader.until were made of

	lanes     map[string]*lane
	loadedMax map[string]uint64
	ready     readyLanes
	breaker   *breaker // nil: nothing was attempted yet
	reader    *reader
	pace      *pace // nil: as fast as it goes
	pacing    bool  // a timer runs until the pace allows the next attempt
	inFlight  int
	usual     time.Duration // how long the endpoint takes to answer; 0: unknown
	retrying  int           // of them, deliveries that have failed before
	held      int
	entries   map[string]int32 // keys of the ledger, and about how many bytes each takes
	probeAt   time.Duration
	notBefore time.Duration
	reason    string // of the breaker or the receiver
	problems  record.Problems
	warned    int                // step of the retention guard that was last told
	lateStart bool               // startFrom was changed after the first revision
	expired   uint64             // events that the stream dropped before they could be delivered
	rewinding *rewinding         // nil: it is not being set back
	letters   *letters           // nil: none lately
	lines     map[string][]*lane // letters that were put back, by order (redrive.go); nil: none
	replays   *replays           // nil: no attempt of a replay waits or runs
	own       *ownShare          // nil: had nothing yet of what is shared
	waits     bool               // for a slot, in core.turns
	told      announced          // what the status entry says
	firing    lasting            // alerts that have begun and not ended
	alerts    AlertTrouble       // of alerts that it hears
	counted   State              // as which it is counted (debtors.go)
	watched   bool               // in core.awake
}

func (c *Machine) newSub(id string, gen uint64) *sub {
	return &sub{core: c, id: id, gen: gen, rec: noRecord, active: true, valid: true}
}
